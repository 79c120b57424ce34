"""Constructors that differ in their defaults alone."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any


def with_defaults(init: Callable[..., None], **own: Any) -> Callable[..., None]:
    """A constructor with other defaults of keyword-only parameters; its signature says so, as scikit-learn asks.

    Examples
    --------
    >>> class Forest:
    ...     def __init__(self, *, bootstrap: bool = True):
    ...         self.bootstrap = bootstrap
    >>> class ExtraTrees(Forest):
    ...     __init__ = with_defaults(Forest.__init__, bootstrap=False)
    >>> Forest().bootstrap, ExtraTrees().bootstrap, ExtraTrees(bootstrap=True).bootstrap
    (True, False, True)
    """
    assert isinstance(init, FunctionType)
    twin = FunctionType(init.__code__, init.__globals__, init.__name__, init.__defaults__, init.__closure__)
    twin.__qualname__, twin.__annotations__ = init.__qualname__, init.__annotations__
    twin.__kwdefaults__ = {**(init.__kwdefaults__ or {}), **own}
    return twin
