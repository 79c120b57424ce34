"""Constructors that differ in their defaults alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import signature
from types import FunctionType
from typing import Any


def with_defaults(init: Callable[..., None], without: tuple[str, ...] = (), **own: Any) -> Callable[..., None]:
    """A constructor with other defaults of keyword-only parameters; its signature says so, as scikit-learn asks.

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
    assert isinstance(init, FunctionType)
    twin = FunctionType(init.__code__, init.__globals__, init.__name__, init.__defaults__, init.__closure__)
    twin.__qualname__, twin.__annotations__ = init.__qualname__, init.__annotations__
    twin.__kwdefaults__ = {**(init.__kwdefaults__ or {}), **own}
    return _without(twin, without) if without else twin


def _without(init: Callable[..., None], names: tuple[str, ...]) -> Callable[..., None]:
    whole = signature(init)

    @wraps(init)
    def fewer(self: Any, *args: Any, **given: Any) -> None:
        for name in names:
            if name in given:
                raise TypeError(f"{type(self).__name__}.__init__() got an unexpected keyword argument {name!r}")
        init(self, *args, **given)
        for name in names:
            delattr(self, name)

    kept = [own for name, own in whole.parameters.items() if name not in names]
    vars(fewer)["__signature__"] = whole.replace(parameters=kept)
    return fewer
