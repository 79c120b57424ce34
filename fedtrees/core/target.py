"""What a table's rows are to predict: class labels or numbers, checked, and errors that name silo and row."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.rounding import as_float32
from fedtrees.errors import DataError

if TYPE_CHECKING:
    from fedtrees.core.table import Table


def plain_array(values: ArrayLike, what: str) -> NDArray[Any]:
    """An array of labels or ids as they were given.

    NumPy would write a number, NaN or None that stands in a list of texts as a text: such lists stay objects.

    Raises
    ------
    DataError
        If lists of different lengths are nested.

    Examples
    --------
    >>> plain_array(["ill", float("nan")], "y")
    array(['ill', nan], dtype=object)
    """
    try:
        array = np.asarray(values)
        if array.dtype.kind in "US" and not hasattr(values, "dtype"):
            objects = np.asarray(values, dtype=object)
            return array if all(isinstance(value, str) for value in objects.flat) else objects
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} is not an array: {error}") from error
    return array


def read_margin(margin: ArrayLike | None, n_rows: int, where: str = "") -> NDArray[np.float32] | None:
    """Read what each row's margin starts from: float32 (rows, outputs); None stays None.

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


def read_target(y: ArrayLike, n_rows: int, where: str = "") -> NDArray[Any]:
    """Read y as it is given: (rows,), or (rows, targets) of numbers.

    Raises
    ------
    DataError
        If it is not one value a row, or several numbers.
    """
    target = plain_array(y, f"{where}y")
    several = target.ndim == 2 and len(target) == n_rows and target.shape[1] > 1 and target.dtype.kind in "biuf"
    if target.shape != (n_rows,) and not several:
        raise DataError(f"{where}y has the shape {target.shape} and X has {n_rows} rows.")
    if target.dtype.kind not in "biufUO":
        raise DataError(f"{where}y holds {target.dtype}; make it text, numbers or booleans.")
    return target


def is_text(target: NDArray[Any]) -> bool:
    """Whether labels are texts; of mixed ones, whether the first is."""
    return target.dtype.kind == "U" or (target.dtype.kind == "O" and isinstance(target.flat[0], str))


def labels_of(table: Table) -> list[Any]:
    """The class labels that occur, sorted, as plain values.

    Raises
    ------
    DataError
        For labels that are missing, infinite, of mixed kinds, or fractions.
    """
    y = _comparable(table)
    labels = np.unique(y)
    if y.dtype.kind == "f" and (labels != np.floor(labels)).any():
        row = int(np.argmax(y != np.floor(y)))
        raise DataError(
            f"{_place(table, row)}Unknown label type: y is continuous, it holds fractions such as {y[row]}; a "
            "classifier needs classes."
        )
    return [value.item() for value in labels]


def numbers_of(table: Table, open_above: bool = False) -> NDArray[np.float32]:
    """The targets of a regression, float32 (rows,), or (rows, targets) with each target's values side by side.

    Parameters
    ----------
    table : Table
    open_above : bool, default False
        Whether two columns are bounds of a number, the upper of which may be infinite.

    Raises
    ------
    DataError
        For numbers that are missing, infinite or too large for float32, and for anything that is no number.
    """
    y = table.y
    missing = _missing(y)
    if open_above and y.ndim == 2 and y.dtype.kind == "f":
        missing[:, 1:] &= y[:, 1:] != np.inf
    _refuse(table, missing, "NaN, infinity or None; every row needs a target")
    if y.dtype.kind in "UO":
        _refuse(table, np.array([isinstance(value, str) for value in y], bool), "a text; a regressor needs numbers")
    try:
        with np.errstate(over="ignore"):  # too large becomes infinite, and is refused as such
            targets = y.astype(np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"silo {table.names[0]!r}: y is not numbers: {error}.") from error
    _refuse(table, np.isinf(targets) & ~np.isinf(y.astype(np.float64)), "too large for float32; scale the target")
    return np.asfortranarray(targets)


def places_of(table: Table, labels: list[Any]) -> NDArray[np.float32]:
    """Each row's place among the agreed labels, float32 (rows,).

    Raises
    ------
    DataError
        For a label that is none of them.
    """
    y, known = _comparable(table), np.asarray(labels)
    if not len(y):
        return np.zeros(0, np.float32)  # of no type to speak of
    if is_text(y) != is_text(known):
        raise DataError(f"{_place(table, 0)}label {y[0].item()!r} is none of the agreed ones, {labels}.")
    codes = np.searchsorted(known, y)
    codes[codes == len(known)] = 0
    wrong = known[codes] != y
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"{_place(table, row)}label {y[row].item()!r} is none of the agreed ones, {labels}.")
    return codes.astype(np.float32)


def _place(table: Table, row: int) -> str:
    """Where a row of a table stands, for an error: counted as the owner counts."""
    given = row if table.order is None else int(table.order[row])
    if table.origins is not None:
        given -= int(table.origins[np.searchsorted(table.starts, row, side="right") - 1])
    return f"silo {table.silo_of(row)!r}: y, row {given}: "


def _refuse(table: Table, wrong: NDArray[np.bool_], what: str) -> None:
    if wrong.any():
        row = int(np.argmax(wrong if wrong.ndim == 1 else wrong.any(axis=1)))
        raise DataError(f"{_place(table, row)}{what}.")


def _missing(y: NDArray[Any]) -> NDArray[np.bool_]:
    wrong: NDArray[np.bool_] = np.zeros(y.shape, bool)
    if y.dtype.kind == "f":
        wrong = ~np.isfinite(y)
    elif y.dtype.kind == "O":
        import pandas as pd

        wrong = pd.isna(y) | np.array([isinstance(value, float) and math.isinf(value) for value in y], bool)
    return wrong


def _comparable(table: Table) -> NDArray[Any]:
    """The labels as an array that sorts: numbers or booleans in an object array become what they are."""
    y = table.y
    if y.ndim == 2:
        raise DataError(f"silo {table.names[0]!r}: y has {y.shape[1]} columns; a classifier needs one label a row.")
    _refuse(table, _missing(y), "NaN, infinity or None; every row needs a label")
    if y.dtype.kind != "O" or not len(y):
        return y
    text = np.array([isinstance(value, str) for value in y], bool)
    kinds = ("a text", "not a text") if text[0] else ("not a text", "a text")
    _refuse(table, text != text[0], f"a label that is {kinds[1]} where the first of all is {kinds[0]}")
    if text[0]:
        return y.astype(str)
    odd = np.array([not isinstance(value, Real | np.bool_) for value in y], bool)
    _refuse(table, odd, "a label that is neither a text, a number nor a boolean")
    plain = np.array(y.tolist())
    if plain.dtype.kind == "O":
        raise DataError(f"silo {table.names[0]!r}: y holds whole numbers beyond 64 bits; make them texts.")
    return plain


def check_rows(table: Table, wrong: NDArray[np.bool_], what: str) -> None:
    """Refuse a table some of whose rows are wrong.

    Raises
    ------
    DataError
        Naming the silo and the first such row.
    """
    _refuse(table, wrong, what)
