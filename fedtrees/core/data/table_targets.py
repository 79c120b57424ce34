"""Targets of a table: labels, numbers, and places among agreed labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.labels import Label, MixedLabels, is_label, joined_labels, label_array, places_among
from fedtrees.core.data.rounding import as_float32
from fedtrees.core.data.target import refuse_mixed_targets
from fedtrees.core.data.texts import odd_text
from fedtrees.errors import DataError, SchemaError

if TYPE_CHECKING:
    from fedtrees.core.data.table import Table


T = TypeVar("T")


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


def _are(y: NDArray[np.generic], kind: type) -> NDArray[np.bool_]:
    return np.array([isinstance(value, kind) for value in y.flat], bool).reshape(y.shape)


def _missing(y: NDArray[np.generic]) -> NDArray[np.bool_]:
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


def _comparable(table: Table) -> NDArray[np.generic]:
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
