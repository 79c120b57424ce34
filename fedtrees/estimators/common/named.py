"""Names of an estimator's parameters: the error of a misspelt one has the nearest, and the class that was written."""

from __future__ import annotations

from functools import cache
from inspect import Parameter, signature
from typing import ClassVar, Self

from sklearn.base import BaseEstimator

from fedtrees.core.arguments import unknown_argument
from fedtrees.errors import ArgumentError


class NamedParameters(BaseEstimator):
    """An estimator whose constructor and `set_params` refuse names that it has no parameter of.

    Examples
    --------
    >>> class Forest(NamedParameters):
    ...     def __init__(self, *, max_depth=None):
    ...         self.max_depth = max_depth
    >>> Forest(max_dept=3)
    Traceback (most recent call last):
    fedtrees.errors.ArgumentError: Forest has no 'max_dept': did you mean 'max_depth'?
    """

    _other_names: ClassVar[frozenset[str]] = frozenset()  # which the constructor takes for parameters, too

    def __new__(cls, *args: object, **params: object) -> Self:
        """Refuse names before the constructor, whose own error would name the class that it was inherited from."""
        if args or params:
            _check_call(cls, len(args), params)
        return super().__new__(cls)  # type: ignore[no-any-return]

    def set_params(self, **params: object) -> Self:
        """Set parameters, also those of nested estimators, as scikit-learn has it.

        Raises
        ------
        ArgumentError
            For a name without a parameter; it has the nearest.
        """
        known = self._get_param_names()
        for name in params:
            if name.partition("__")[0] not in known:
                raise unknown_argument(type(self).__name__, name, self._other_names.union(known))
        BaseEstimator.set_params(self, **params)  # and not XGBoost's, where that is a base, too
        return self


def _check_call(kind: type[NamedParameters], places: int, params: dict[str, object]) -> None:
    placed, named, open_ended = _names_of(kind)  # type: ignore[arg-type]
    if open_ended:  # its constructor sees to the names itself
        return
    if places > len(placed):
        first = f"{', '.join(placed)} by place and all else" if placed else "parameters"
        raise ArgumentError(f"{kind.__name__} takes {first} by name, such as {kind.__name__}({named[0]}=...).")
    known = kind._other_names.union(placed, named)
    for name in params:
        if name not in known:
            raise unknown_argument(kind.__name__, name, known)


@cache
def _names_of(kind: type) -> tuple[list[str], list[str], bool]:
    """A constructor's parameters that go by place and those that go by name; and whether it takes any others."""
    parameters = list(signature(kind.__init__).parameters.values())[1:]  # type: ignore[misc]
    return (
        [one.name for one in parameters if one.kind in (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)],
        [one.name for one in parameters if one.kind is Parameter.KEYWORD_ONLY],
        any(one.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD) for one in parameters),
    )
