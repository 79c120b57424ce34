"""Targets of a table's rows: class labels or numbers, checked, with errors that name silo and row."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.arguments import has_method
from fedtrees.core.data.column_kinds import is_missing
from fedtrees.core.data.labels import Label, MixedLabels, is_label, joined_labels, label_array, places_among
from fedtrees.core.data.rounding import as_float32
from fedtrees.core.data.texts import odd_text
from fedtrees.errors import DataError, DataTypeError, SchemaError

if TYPE_CHECKING:
    from fedtrees.core.data.table import Table

T = TypeVar("T")


def plain_array(values: ArrayLike, what: str) -> NDArray[Any]:
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


def _of_columns(frame: Any, floats: NDArray[Any]) -> NDArray[Any]:
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


def read_target(y: ArrayLike, n_rows: int, where: str = "") -> NDArray[Any]:
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


def _kind(target: Sequence[Label] | NDArray[Any]) -> str | None:
    """Return whether labels are texts or numbers; of mixed ones, the kind of the first that is not missing."""
    if isinstance(target, np.ndarray) and target.dtype.kind != "O":
        return ("texts" if target.dtype.kind == "U" else "numbers") if len(target) else None
    values = target.flat if isinstance(target, np.ndarray) else target
    first = next((value for value in values if not is_missing(value)), None)
    return None if first is None else "texts" if isinstance(first, str) else "numbers"


def refuse_mixed_targets(targets: Sequence[tuple[str, Sequence[Label] | NDArray[Any]]], what: str = "y") -> None:
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


def labels_of(table: Table) -> list[Label]:
    """The class labels that occur, sorted, as plain values.

    Raises
    ------
    DataError
        For labels that are missing, infinite, of mixed kinds, or fractions.
    """

    def read(table: Table) -> list[Label]:
        y = _comparable(table)
        labels = np.unique(y)
        if y.dtype.kind == "f" and (labels != np.floor(labels)).any():
            row = int(np.argmax(y != np.floor(y)))
            raise DataError(
                f"{_place(table, row)}Unknown label type: y is continuous, it holds fractions such as {y[row]}; a "
                "classifier needs classes."
            )
        for label in labels if y.dtype.kind == "U" else ():
            odd = odd_text(str(label))
            if odd is not None:
                raise DataError(f"{_place(table, int(np.argmax(y == label)))}{_odd_label(str(label), odd)}")
        found: list[Label] = labels.tolist()
        return found

    try:
        return read(table)
    except DataError:  # as the silos would see it, one by one
        parts = [(name, read(table.of_silo(place))) for place, name in enumerate(table.names)]
        refuse_mixed_targets(parts)
        return joined_labels(parts)


def labels_of_columns(table: Table) -> list[list[Label]]:
    """The class labels that occur in each of several columns of y; see `labels_of`."""
    return [_of_column(table, column, labels_of) for column in range(table.y.shape[1])]


def places_of_columns(table: Table, labels: list[list[Label]]) -> NDArray[np.float32]:
    """Each row's place among the agreed labels of each column, float32 (rows, columns), the columns contiguous.

    Raises
    ------
    DataError
        For a label that is none of them.
    """
    places = np.zeros((table.n_rows, len(labels)), np.float32, order="F")
    for column, agreed in enumerate(labels) if table.n_rows else ():
        places[:, column] = _of_column(table, column, partial(places_of, labels=agreed))
    return places


def _of_column(table: Table, column: int, read: Callable[[Table], T]) -> T:
    """Read one of several columns of y; errors name it."""
    try:
        return read(replace(table, y=table.y[:, column]))
    except (DataError, SchemaError) as error:
        raise type(error)(str(error).replace(": y", f": y, column {column}", 1)) from error


def numbers_of(table: Table, open_above: bool = False) -> NDArray[np.float32]:
    """The targets of a regression, float32 (rows,), or (rows, targets) with each target's values side by side.

    Parameters
    ----------
    table : Table
    open_above : bool, default False
        Whether two columns are bounds of a number above 0: the upper one may be infinite, and the lower one minus
        infinity, which is 0.

    Raises
    ------
    DataError
        For numbers that are missing, infinite or too large for float32, and for anything that is no number.
    """

    def read(table: Table) -> NDArray[np.float32]:
        y = table.y
        missing = _missing(y)
        if open_above and y.ndim == 2 and y.dtype.kind == "f":
            missing[:, :1] &= y[:, :1] != -np.inf
            missing[:, 1:] &= y[:, 1:] != np.inf
        _refuse(table, missing, "NaN, infinity or None; every row needs a target")
        if y.dtype.kind in "UO":
            what = "a text; a regressor needs numbers" if y.ndim == 1 else "a text; give numbers in several columns"
            _refuse(table, _are(y, str), what)
        try:
            targets = as_float32(y)
        except (TypeError, ValueError) as error:
            raise DataError(f"silo {table.names[0]!r}: y is not numbers: {error}.") from error
        infinite = np.isinf(y) if y.dtype.kind == "f" else np.zeros(y.shape, bool)
        _refuse(table, np.isinf(targets) & ~infinite, "too large for float32; scale the target")
        if open_above and targets.ndim == 2:
            # XGBoost takes a lower bound of minus infinity, and any below 0, for one of 0
            targets = np.where(targets == -np.inf, np.float32(0), targets)
        return np.asfortranarray(targets)

    return _silo_by_silo(table, read)


def places_of(table: Table, labels: list[Label]) -> NDArray[np.float32]:
    """Each row's place among the agreed labels, float32 (rows,).

    Raises
    ------
    DataError
        For a label that is none of them.
    """

    def read(table: Table) -> NDArray[np.float32]:
        y = _comparable(table)
        if not len(y):
            return np.zeros(0, np.float32)  # of no type to speak of
        codes = places_among(labels, y)
        if codes.min() < 0:
            row = int(np.argmin(codes))
            raise DataError(f"{_place(table, row)}label {y[row].item()!r} is none of the agreed ones, {labels}.")
        return codes.astype(np.float32)

    return _silo_by_silo(table, read)


def _silo_by_silo(table: Table, read: Callable[[Table], T]) -> T:
    """A value read from all silos at once; an error is that of the first silo which is wrong by itself."""
    try:
        return read(table)
    except DataError:
        for place in range(len(table.names) if len(table.names) > 1 else 0):
            read(table.of_silo(place))
        raise


def _place(table: Table, row: int) -> str:
    """The place of a row of a table, for an error: silo and row, counted as the owner counts."""
    return f"silo {table.silo_of(row)!r}: y, row {table.row_as_given(row)}: "


def _refuse(table: Table, wrong: NDArray[np.bool_], what: str) -> None:
    if wrong.any():
        row = int(np.argmax(wrong if wrong.ndim == 1 else wrong.any(axis=1)))
        raise DataError(f"{_place(table, row)}{what}.")


def _are(y: NDArray[Any], kind: type) -> NDArray[np.bool_]:
    return np.array([isinstance(value, kind) for value in y.flat], bool).reshape(y.shape)


def _missing(y: NDArray[Any]) -> NDArray[np.bool_]:
    wrong: NDArray[np.bool_] = np.zeros(y.shape, bool)
    if y.dtype.kind == "f":
        wrong = ~np.isfinite(y)
    elif y.dtype.kind == "O":
        import pandas as pd

        infinite = [isinstance(value, float | np.floating) and math.isinf(value) for value in y.flat]
        wrong = pd.isna(y) | np.array(infinite, bool).reshape(y.shape)
    return wrong


def _odd_label(label: str, odd: str) -> str:
    return f"label {label!r} has {odd}, which does not come through; rename it."


def _comparable(table: Table) -> NDArray[Any]:
    """The labels as an array that sorts: see `label_array`."""
    y = table.y
    if y.ndim == 2:
        raise DataError(f"silo {table.names[0]!r}: y has {y.shape[1]} columns; a classifier needs one label a row.")
    _refuse(table, _missing(y), "NaN, infinity or None; every row needs a label")
    if y.dtype.kind == "O" and len(y):
        text = _are(y, str)
        kinds = ("a text", "not a text") if text[0] else ("not a text", "a text")
        _refuse(table, text != text[0], f"a label that is {kinds[1]} where the first of all is {kinds[0]}")
        if text[0]:
            lost = next((label for label in set(y.tolist()) if label.endswith("\0")), None)  # NumPy cuts these off
            if lost is not None:
                row = int(np.argmax([label.endswith("\0") for label in y.tolist()]))
                raise DataError(f"{_place(table, row)}{_odd_label(y[row], 'a NUL character')}")
        else:
            odd = np.array([not is_label(value) for value in y], bool)
            _refuse(table, odd, "a label that is neither a text, a number nor a boolean; make it text")
    try:
        return label_array(y)
    except MixedLabels as error:
        raise DataError(f"silo {table.names[0]!r}: {error}") from error


def refuse_other_targets(table: Table, trained: Table) -> None:
    """Refuse an evaluation set of more or fewer columns of y than the rows that are trained on.

    Raises
    ------
    DataError
    """
    columns, expected = table.n_targets, trained.n_targets
    if columns and expected and columns != expected:
        silo = table.silo_of(0)
        raise DataError(f"silo {silo!r}: y has {columns} columns, and y of the rows to train on has {expected}.")


@contextmanager
def of_set(place: int) -> Iterator[None]:
    """Name the evaluation set in the error of what is read of it."""
    try:
        yield
    except DataError as error:
        raise type(error)(f"validation_{place}: {error}") from error


def check_rows(table: Table, wrong: NDArray[np.bool_], what: str) -> None:
    """Refuse a table some of whose rows are wrong.

    Raises
    ------
    DataError
        Naming the silo and the first such row.
    """
    _refuse(table, wrong, what)
