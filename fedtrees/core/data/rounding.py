"""Numbers of any type as float32, each rounded once: what is rounded to float64 first may end elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.column_kinds import is_missing

_EXACT = 2.0**53  # whole numbers up to it are float64 as they are
_BITS = 40  # of a larger one that are kept: more than float32 has, and one that marks a rest


def as_float32(array: NDArray[np.generic]) -> NDArray[np.float32]:
    """An array as float32, itself where it is; what is too large becomes infinite, None and its like NaN.

    Raises
    ------
    TypeError, ValueError
        For objects that are no numbers.

    Examples
    --------
    >>> large = 2**54 + 2**30 + 1  # just above the middle of two numbers of float32, as which float64 rounds it
    >>> as_float32(np.array([large, None], object)) - np.float32(2**54)
    array([2.1474836e+09,           nan], dtype=float32)
    """
    with np.errstate(over="ignore", invalid="ignore"):  # infinity is refused where it is looked for
        if array.dtype.kind == "O":
            return np.array([_as_float64(value) for value in array.flat]).reshape(array.shape).astype(np.float32)
        return array.astype(np.float32, copy=False)


def _as_float64(value: Any) -> float:  # an object of the user's, which float may take or not
    """A number as one of float64 that rounds to the float32 next to it."""
    if is_missing(value):
        return np.nan
    try:
        number = float(value)
    except OverflowError:  # a whole number of hundreds of digits
        return np.inf if value > 0 else -np.inf
    if not _EXACT < abs(number) < np.inf or isinstance(value, float):
        return number
    whole = abs(int(value))
    shift = whole.bit_length() - _BITS
    rest = whole != whole >> shift << shift or int(value) != value  # exact: abs() rounds a Decimal of many digits
    return float((whole >> shift) | rest) * 2.0**shift * (1 if number > 0 else -1)
