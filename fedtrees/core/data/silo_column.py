"""The silo of each row as one more column: a category that trees may split by, where that is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.data.silo_ids import places_of_ids, read_some_silos
from fedtrees.core.data.table import Schema, Table
from fedtrees.errors import DataError

COLUMN = "silo"


def with_silo_column(table: Table, silos: Sequence[str]) -> Table:
    """The same rows with a last column that holds the place of their silo's name in ``silos``.

    Rows of other silos miss it.
    """
    code = {name: place for place, name in enumerate(silos)}
    each = np.array([code.get(name, np.nan) for name in table.names], np.float32)
    X = np.empty((len(table.X), table.n_features + 1), np.float32, order="F" if table.X.flags.f_contiguous else "C")
    X[:, :-1], X[:, -1] = table.X, np.nan
    X[slice(table.n_rows) if table.order is None else table.order, -1] = np.repeat(each, np.diff(table.starts))
    return replace(table, X=X, schema=schema_with_silos(table.schema, silos))


def schema_with_silos(schema: Schema, silos: Sequence[str]) -> Schema:
    """The schema of `with_silo_column`.

    Raises
    ------
    DataError
        If there is a column of that name.
    """
    if COLUMN in schema.names:
        raise DataError(f"split_on_silo: X has a column {COLUMN!r} of its own; rename it, or leave it out.")
    return msgspec.structs.replace(
        schema,
        names=[*schema.names, COLUMN],
        kinds=[*schema.kinds, "category"],
        categories={**schema.categories, COLUMN: list(silos)},
    )


def schema_without_silos(schema: Schema) -> Schema:
    """The schema of the table itself."""
    categories = {name: vocabulary for name, vocabulary in schema.categories.items() if name != COLUMN}
    return msgspec.structs.replace(schema, names=schema.names[:-1], kinds=schema.kinds[:-1], categories=categories)


def codes_of_silos(given: ArrayLike | None, silos: Sequence[str], n_rows: int) -> NDArray[np.float32]:
    """Codes in that column for rows of these silos, float32 (rows,).

    Parameters
    ----------
    given : str, int or array-like (rows,), optional
        The silo of all rows, or of each. None and NaN are of no silo that was there in training.
    silos : sequence of str
        Those that were there.
    n_rows : int

    Raises
    ------
    DataError
        For another silo, or of other length than there are rows.
    """
    if given is None:
        return np.full(n_rows, np.nan, np.float32)
    ids, there = read_some_silos(np.full(n_rows, given, object) if np.isscalar(given) else given)
    if len(there) != n_rows:
        raise DataError(f"silos: {len(there)} ids for {n_rows} rows.")
    places = places_of_ids(ids, silos)
    unknown = sorted({str(each) for each in ids[places < 0]})
    if unknown:
        known = ", ".join(map(repr, list(silos)[:5])) + (", ..." if len(silos) > 5 else "")
        raise DataError(f"silos: {unknown[0]!r} was not there in training ({known}); give None of such rows.")
    column = np.full(n_rows, np.nan, np.float32)
    column[there] = places
    return column
