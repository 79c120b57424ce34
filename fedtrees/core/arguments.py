"""Arguments of public functions: arrays that must not be mixed up go by name, and names are spelt right."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import wraps
from inspect import Parameter, signature
from typing import Any, ParamSpec, TypeVar

from fedtrees.errors import ArgumentError

# a table of rows: a frame of pandas, polars or pyarrow, a sparse matrix, or an array; no one type is all of these
Features = Any
EvalSet = tuple[Any, ...]  # X and y, and up to three columns of the rows: weights, base margins, ids of groups

_P = ParamSpec("_P")
_R = TypeVar("_R")


def by_name(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Wrap a function in a clear error for arguments by place that go by name, and for names that it does not have.

    Examples
    --------
    >>> class Model:
    ...     @by_name
    ...     def fit(self, X, y, *, silos=None, sample_weight=None):
    ...         return self
    >>> Model().fit([[0.0]], [1], [2.0])
    Traceback (most recent call last):
    fedtrees.errors.ArgumentError: Model.fit takes X and y by place and all else by name: silos=..., sample_weight=...
    >>> Model().fit([[0.0]], [1], sample_weights=[2.0])
    Traceback (most recent call last):
    fedtrees.errors.ArgumentError: Model.fit has no 'sample_weights': did you mean 'sample_weight'?
    """
    parameters = list(signature(function).parameters.values())
    placed = [parameter.name for parameter in parameters if parameter.kind is Parameter.POSITIONAL_OR_KEYWORD]
    named = [parameter.name for parameter in parameters if parameter.kind is Parameter.KEYWORD_ONLY]
    known = frozenset(placed + named)
    without_default = [parameter.name for parameter in parameters if parameter.default is Parameter.empty]
    needed = [name for name in without_default if name in placed]
    bound = placed[:1] in (["self"], ["cls"])

    @wraps(function)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        if len(args) > len(placed) or not kwargs.keys() <= known:
            who = _called(function, args[0] if bound else None)
            if len(args) > len(placed):
                raise ArgumentError(
                    f"{who} takes {_listed(placed[bound:])} by place and all else by name: "
                    + ", ".join(f"{name}=..." for name in named)
                )
            raise unknown_argument(who, next(name for name in kwargs if name not in known), known - {"self", "cls"})
        lacking = [name for name in needed[len(args) :] if name not in kwargs]
        if lacking:
            given = [*args[bound:], *kwargs.values()]
            hint = "; train over silos by fit_federation(LocalFederation(silos))" if _holds_silos(given) else ""
            who = _called(function, args[0] if bound else None)
            raise ArgumentError(f"{who} needs {_listed(lacking)}{hint}.")
        return function(*args, **kwargs)

    return called


def unknown_argument(who: str, name: str, known: Iterable[str]) -> ArgumentError:
    """The error for an argument that there is not; it names the nearest.

    Examples
    --------
    >>> print(unknown_argument("FedGBTClassifier", "max_dept", ["max_depth", "max_bin"]))
    FedGBTClassifier has no 'max_dept': did you mean 'max_depth'?
    """
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    hint = f": did you mean {near[0]!r}?" if near else f". Known: {', '.join(names)}."
    return ArgumentError(f"{who} has no {name!r}{hint}")


def has_method(thing: object, name: str) -> bool:
    """Return whether an object has a method of that name; a column that is called so is none.

    Examples
    --------
    >>> import pandas as pd
    >>> has_method([], "append"), has_method(pd.DataFrame({"ask": [1.0]}), "ask")
    (True, False)
    """
    return callable(getattr(thing, name, None))


def _holds_silos(given: list[object]) -> bool:
    """Return whether the first of these arguments is a federation, or silos, where a table was to be."""
    first = given[0] if given else None
    candidate = first[0] if isinstance(first, list | tuple) and first else first
    return has_method(candidate, "ask") or has_method(candidate, "answer")


def _called(function: Callable[..., object], owner: object) -> str:
    """The function's name as its caller wrote it: after the class of the object or class that it was called on."""
    if owner is None:
        return function.__name__
    kind = owner.__name__ if isinstance(owner, type) else type(owner).__name__
    return kind if function.__name__ == "__init__" else f"{kind}.{function.__name__}"


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
