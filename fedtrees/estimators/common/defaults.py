"""Defaults of constructors: other ones for a class that differs in nothing else, and those in place of None."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import cache, wraps
from inspect import signature
from typing import TypeVar

_Estimator = TypeVar("_Estimator")


def with_defaults(init: Callable[..., None], without: tuple[str, ...] = (), **defaults: object) -> Callable[..., None]:
    """A constructor with other defaults of keyword-only parameters; its signature has them, as scikit-learn asks.

    It does not take, nor hold, the parameters that ``without`` names.

    Examples
    --------
    >>> class Forest:
    ...     def __init__(self, *, bootstrap: bool = True):
    ...         self.bootstrap = bootstrap
    >>> class ExtraTrees(Forest):
    ...     __init__ = with_defaults(Forest.__init__, bootstrap=False)
    >>> Forest().bootstrap, ExtraTrees().bootstrap, ExtraTrees(bootstrap=True).bootstrap
    (True, False, True)
    >>> class Stump(Forest):
    ...     __init__ = with_defaults(Forest.__init__, without=("bootstrap",))
    >>> vars(Stump())
    {}
    """
    whole = signature(init)
    kept = [parameter for name, parameter in whole.parameters.items() if name not in without]
    kept = [parameter.replace(default=defaults.get(parameter.name, parameter.default)) for parameter in kept]

    @wraps(init)
    def constructor(self: object, *args: object, **given: object) -> None:
        for name in without:
            if name in given:
                raise TypeError(f"{type(self).__name__}.__init__() got an unexpected keyword argument {name!r}")
        init(self, *args, **defaults | given)
        for name in without:
            delattr(self, name)

    vars(constructor)["__signature__"] = whole.replace(parameters=kept)
    return constructor


def filled(estimator: _Estimator) -> _Estimator:
    """A copy with defaults in place of parameters that are None, which XGBoost's estimators have for most.

    Examples
    --------
    >>> class Forest:
    ...     def __init__(self, *, max_depth: int = 6, seed: int | None = None):
    ...         self.max_depth, self.seed = max_depth, seed
    >>> vars(filled(Forest(max_depth=None)))
    {'max_depth': 6, 'seed': None}
    """
    twin = copy(estimator)
    for name, default in _defaults(type(estimator)).items():  # type: ignore[arg-type]
        if default is not None and getattr(twin, name, default) is None:
            setattr(twin, name, default)
    return twin


@cache
def _defaults(kind: type) -> dict[str, object]:
    """Defaults of a class's parameters, and of those of the classes that it inherits from."""
    inits = [vars(base)["__init__"] for base in reversed(kind.__mro__[:-1]) if "__init__" in vars(base)]
    parameters = [one for init in inits for one in signature(init).parameters.values()]
    return {one.name: one.default for one in parameters if one.default is not one.empty}
