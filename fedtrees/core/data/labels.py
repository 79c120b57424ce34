"""Class labels: texts, whole numbers, numbers or booleans, compared exactly, whatever type a silo holds them in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtrees.errors import DataError, SchemaError

_LARGEST = np.iinfo(np.int64).max
_EXACT = 2**53  # whole numbers up to it are float64 as they are
_BEYOND = "make labels texts, or all of them floats"

Label = str | bool | int | float  # a class label, or the name of a category, as a plain value
# agreed class labels, sorted: a `Label` each, or of several columns a list of them each; msgspec reads no union of two
# lists
ClassLabels = list[Any]
# labels or ids in the type that a user gave them in: what may be computed with them is the user's affair
LabelArray = NDArray[Any]


class MixedLabels(DataError):
    """Labels that no one type holds as they are."""


def label_array(values: NDArray[np.generic]) -> NDArray[np.generic]:
    """Labels in the one type that stands for them: bool, int64, uint64, float64 or texts.

    Booleans among numbers are 0 and 1, and whole numbers among floats are floats. Minus 0 is 0.

    Raises
    ------
    MixedLabels
        For whole numbers that no such type holds besides the others.

    Examples
    --------
    >>> label_array(np.array([3, True], object)), label_array(np.array([2**64 - 1, 0], object)).dtype
    (array([3, 1]), dtype('uint64'))
    """
    kind = values.dtype.kind
    if kind in "bU":
        return values
    if kind == "f":
        with np.errstate(over="ignore"):
            return values.astype(np.float64) + 0.0
    if kind in "iu":
        return _whole(values)
    if kind == "O" and len(values) and isinstance(values[0], str):
        return values.astype(str)
    return _of_objects(values.tolist())


def _whole(values: NDArray[np.generic]) -> NDArray[np.generic]:
    large = values.dtype.kind == "u" and len(values) and values.max() > _LARGEST
    return values.astype(np.uint64 if large else np.int64, copy=False)


def _of_objects(values: list[Any]) -> NDArray[np.generic]:  # objects of the user's
    """Return numbers and booleans of Python, NumPy and other libraries as an array of one type."""
    if all(isinstance(value, bool | np.bool_) for value in values):
        return np.array(values, bool)
    if all(isinstance(value, Integral | np.bool_) for value in values):
        whole = [int(value) for value in values]
        least, most = min(whole), max(whole)
        if most <= _LARGEST and least >= -_LARGEST - 1:
            return np.array(whole, np.int64)
        if least < 0 or most > np.iinfo(np.uint64).max:
            alone = least < -_LARGEST - 1 or most > 2**64 - 1
            what = "whole numbers beyond 64 bits" if alone else "numbers below 0, and others beyond 63 bits"
            raise MixedLabels(f"y holds {what}; {_BEYOND}.")
        return np.array(whole, np.uint64)
    if any(isinstance(value, Integral) and abs(int(value)) > _EXACT for value in values):
        raise MixedLabels(f"y holds floats, and whole numbers beyond 2**53, which floats do not tell apart; {_BEYOND}.")
    return np.array([float(value) for value in values]) + 0.0


def is_label(value: object) -> bool:
    """Return whether a value that is no text can be a label."""
    return isinstance(value, Real | np.bool_)


def columns_of_labels(columns: Sequence[Sequence[Label]]) -> list[NDArray[np.generic]]:
    """Agreed labels of several columns, as arrays of one type that holds all of them, as those of one array are.

    Examples
    --------
    >>> columns_of_labels([["ill", "well"], [0, 1]])
    [array(['ill', 'well'], dtype=object), array([0, 1], dtype=object)]
    """
    arrays = [labels_array(labels) for labels in columns]
    kinds = {array.dtype.kind for array in arrays}
    exact = all(array.dtype.kind == "f" or not len(array) or max(map(abs, array.tolist())) <= _EXACT
                for array in arrays if array.dtype.kind in "iuf")  # fmt: skip
    if len(kinds) == 1 or (kinds <= {"i", "u", "f"} and exact):
        dtype = np.result_type(*arrays)
        return [array.astype(dtype) for array in arrays]
    return [array.astype(object) for array in arrays]


def labels_array(labels: Sequence[Label] | None) -> NDArray[np.generic]:
    """Agreed labels as an array of the one type that holds them."""
    values = np.empty(len(labels or ()), object)
    values[:] = list(labels or ())
    return label_array(values) if len(values) else np.zeros(0, np.int64)


def places_among(labels: Sequence[Label], y: NDArray[np.generic]) -> NDArray[np.int64]:
    """Each label's place among the agreed ones, which are sorted; -1 of others.

    Parameters
    ----------
    labels : sequence
    y : (rows,)
        As `label_array` has them.

    Examples
    --------
    >>> places_among([0, 2**53, 2**53 + 1], np.array([2**53 + 1, 0], np.uint64))
    array([2, 0])
    """
    known = labels_array(labels)
    if not len(known) or (known.dtype.kind == "U") != (y.dtype.kind == "U"):
        return np.full(len(y), -1)
    same, exact = _as_type(y, known.dtype)
    codes = np.minimum(np.searchsorted(known, same), len(known) - 1)
    return np.where(exact & (known[codes] == same), codes, -1)


# of numbers, if they are compared: the kind of the dtype decides, which no type can
def _as_type(y: NDArray[Any], dtype: np.dtype[np.generic]) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Labels in another type, and which of them are the same there."""
    if y.dtype.kind == dtype.kind or dtype.kind == "U":
        return y, np.ones(len(y), bool)
    if dtype.kind == "b":
        return y != 0, (y == 0) | (y == 1)
    if dtype.kind == "f":
        held = np.ones(len(y), bool)
        if y.dtype.kind in "iu":
            held = (y <= _EXACT) & (y >= -_EXACT) if y.dtype.kind == "i" else y <= _EXACT
        return y.astype(np.float64), held
    if y.dtype.kind == "f":
        held = (y == np.floor(y)) & (np.abs(y) <= _EXACT) & ((y >= 0) | (dtype.kind == "i"))
        return np.where(held, y, 0).astype(dtype), held
    held = y <= _LARGEST if dtype.kind == "i" else y >= 0
    return np.where(held, y, 0).astype(dtype), held


def joined_labels(parts: Iterable[tuple[str, Sequence[Label]]]) -> list[Label]:
    """The labels that occur in any silo, sorted, as plain values of one type.

    Parameters
    ----------
    parts : iterable of (str, sequence)
        Each silo's name and its labels, texts everywhere or nowhere.

    Raises
    ------
    SchemaError
        Naming two silos whose labels no one type holds.

    Examples
    --------
    >>> joined_labels([("mayo", [False, True]), ("ucla", [2])])
    [0, 1, 2]
    """
    arrays = [(silo, labels_array(labels)) for silo, labels in parts if len(labels)]
    if not arrays:
        return []
    _refuse_beyond(arrays)
    if len({array.dtype.kind for _, array in arrays}) == 1:
        every = np.concatenate([array for _, array in arrays])
    else:
        every = label_array(np.concatenate([array.astype(object) for _, array in arrays]))
    labels: list[Label] = np.unique(every).tolist()
    return labels


def _refuse_beyond(arrays: Sequence[tuple[str, NDArray[np.generic]]]) -> None:
    """Refuse labels of two silos that no one type holds, naming both."""
    floats = [silo for silo, array in arrays if array.dtype.kind == "f"]
    below = [silo for silo, array in arrays if array.dtype.kind == "i" and array.min() < 0]
    beyond_63 = [silo for silo, array in arrays if array.dtype.kind == "u" and array.max() > _LARGEST]
    beyond_53 = [
        silo for silo, array in arrays
        if array.dtype.kind in "iu" and (int(array.max()) > _EXACT or int(array.min()) < -_EXACT)
    ]  # fmt: skip
    for one, two, what in (
        (below, beyond_63, "numbers below 0, and {} others beyond 63 bits"),
        (floats, beyond_53, "floats, and {} whole numbers beyond 2**53, which floats do not tell apart"),
    ):
        if one and two:
            raise SchemaError(f"silo {one[0]!r}, unlike silo {two[0]!r}: y holds {what.format('there')}; {_BEYOND}.")
