"""Targets of a table's rows: class labels or numbers, checked, with errors that name silo and row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.arguments import Features, has_method
from fedtrees.core.data.column_kinds import is_missing
from fedtrees.core.data.labels import Label
from fedtrees.core.data.rounding import as_float32
from fedtrees.errors import DataError, DataTypeError, SchemaError


def plain_array(values: ArrayLike, what: str) -> NDArray[np.generic]:
    """An array of labels or ids as they were given.

    NumPy would write a number, NaN or None that stands in a list of texts as a text, and make floats of whole numbers
    that are equal as float64: such lists stay objects.

    Raises
    ------
    DataError
        If lists of different lengths are nested.
    DataTypeError
        If it is a sparse matrix.

    Examples
    --------
    >>> plain_array(["ill", float("nan")], "y")
    array(['ill', nan], dtype=object)
    """
    if has_method(values, "tocsr"):
        raise DataTypeError(f"{what} is a sparse matrix; give an array, such as {what.split()[-1]}.toarray().")
    try:
        array = np.asarray(values)
        if array.ndim == 2 and array.dtype.kind == "f" and hasattr(values, "columns"):
            return _of_columns(values, array)
        if array.dtype.kind == "T":  # NumPy's texts of any length
            return array.astype(object)
        if array.dtype.kind not in "USf" or hasattr(values, "dtype"):
            return array
        objects = (
            np.asarray(values, dtype=object) if array.dtype.kind != "f" or isinstance(values, list | tuple) else array
        )
        if array.dtype.kind in "US":  # NUL at the end, too, is lost in an array of texts
            return array if all(isinstance(value, str) and value[-1:] != "\0" for value in objects.flat) else objects
        if array.dtype.kind == "f" and any(type(value) is int and abs(value) > 2**53 for value in objects.flat):
            return objects
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} is not an array: {error}") from error
    return array


def _of_columns(frame: Features, floats: NDArray[np.generic]) -> NDArray[np.generic]:
    """A frame of numbers as floats; as objects where some whole numbers would be equal as floats."""
    places = range(floats.shape[1])
    columns = [np.asarray(frame.iloc[:, k] if hasattr(frame, "iloc") else frame[:, k]) for k in places]
    whole = [k for k, column in enumerate(columns) if column.dtype.kind in "iu"]
    large = any((np.abs(floats[:, k]) > 2**53 - 1).any() for k in whole)
    return np.stack([column.astype(object) for column in columns], axis=1) if large else floats


def read_margin(margin: ArrayLike | None, n_rows: int, where: str = "") -> NDArray[np.float32] | None:
    """Read the base margin of each row: float32 (rows, outputs); None stays None.

    Raises
    ------
    DataError
        If it is not finite numbers, one or one an output for every row.
    """
    if margin is None:
        return None
    given = plain_array(margin, f"{where}base_margin")
    if given.dtype.kind not in "buif":
        raise DataError(f"{where}base_margin holds {given.dtype}; give numbers.")
    if given.ndim not in (1, 2) or len(given) != n_rows:
        raise DataError(f"{where}base_margin has the shape {given.shape} and X has {n_rows} rows.")
    values = as_float32(given.reshape(n_rows, -1 if given.size else 1))
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values).all(axis=1)))
        raise DataError(f"{where}base_margin is NaN or infinite in row {row}; give finite numbers.")
    return values


def read_target(y: ArrayLike, n_rows: int, where: str = "") -> NDArray[np.generic]:
    """Read y as it is given: (rows,), or (rows, columns).

    Raises
    ------
    DataError
        If it is not one value a row, or several.
    """
    target = plain_array(y, f"{where}y")
    several = target.ndim == 2 and len(target) == n_rows and target.shape[1] > 1
    if target.shape != (n_rows,) and not several:
        raise DataError(f"{where}y has the shape {target.shape} and X has {n_rows} rows.")
    if target.dtype.kind not in "biufUO":
        raise DataError(f"{where}y holds {target.dtype}; make it text, numbers or booleans.")
    if target.dtype.kind == "f" and target.dtype.itemsize > 8:
        return target.astype(np.float64)  # wider ones do not travel
    return target


def _kind(target: Sequence[Label] | NDArray[np.generic]) -> str | None:
    """Return whether labels are texts or numbers; of mixed ones, the kind of the first that is not missing."""
    if isinstance(target, np.ndarray) and target.dtype.kind != "O":
        return ("texts" if target.dtype.kind == "U" else "numbers") if len(target) else None
    values = target.flat if isinstance(target, np.ndarray) else target
    first = next((value for value in values if not is_missing(value)), None)
    return None if first is None else "texts" if isinstance(first, str) else "numbers"


def refuse_mixed_targets(targets: Sequence[tuple[str, Sequence[Label] | NDArray[np.generic]]], what: str = "y") -> None:
    """Raise a `SchemaError` where y holds texts in some silos and numbers in others; empty ones hold neither."""
    columns = max((y.shape[1] for _, y in targets if isinstance(y, np.ndarray) and y.ndim == 2), default=0)
    for column in range(columns):
        having = [(silo, y[:, column]) for silo, y in targets if isinstance(y, np.ndarray) and y.shape[1:] > (column,)]
        refuse_mixed_targets(having, f"column {column} of y")
    kinds = [] if columns else [(silo, kind) for silo, kind in ((silo, _kind(y)) for silo, y in targets) if kind]
    for silo, kind in kinds:
        first_silo, first = kinds[0]
        if kind != first:
            raise SchemaError(f"silo {silo!r}, unlike silo {first_silo!r}: {what} holds {kind}, not {first}.")
