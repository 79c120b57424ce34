"""Checks of parameters that are numbers: Python's and numpy's count, and no booleans."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import TypeGuard


def is_whole(value: object, least: float = 1, most: float = math.inf) -> TypeGuard[int]:
    """Return whether this is a whole number from ``least`` to ``most``.

    Examples
    --------
    >>> is_whole(3), is_whole(True), is_whole(3.0), is_whole(0)
    (True, False, False, False)
    """
    return isinstance(value, Integral) and not isinstance(value, bool) and least <= int(value) <= most


def is_number(value: object, least: float = -math.inf, most: float = math.inf) -> TypeGuard[float]:
    """Return whether this is a finite number from ``least`` to ``most``.

    Examples
    --------
    >>> is_number(0.5), is_number(2), is_number(True), is_number(float("nan")), is_number(-1, least=0)
    (True, True, False, False, False)
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        number = float(value)
    except OverflowError:  # of a whole number with hundreds of digits
        return False
    return math.isfinite(number) and least <= number <= most
