"""Which silo a row is of, as one more column: a category that trees may split by, where that is allowed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.table import Schema, Table
from fedtrees.core.target import plain_array
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
    categories = {name: own for name, own in schema.categories.items() if name != COLUMN}
    return msgspec.structs.replace(schema, names=schema.names[:-1], kinds=schema.kinds[:-1], categories=categories)


def read_silos(silos: ArrayLike, whole: bool = True) -> NDArray[Any]:
    """Read silo ids, one a row, as something that sorts.

    Parameters
    ----------
    silos : array-like (rows,)
    whole : bool, default True
        Whether every row needs one; else those without are None.

    Raises
    ------
    DataError
    """
    import pandas as pd

    ids = plain_array(silos, "silos")
    if ids.ndim != 1:
        raise DataError(f"silos has the shape {ids.shape}; give one id a row.")
    missing = np.asarray(pd.isna(ids))
    if missing.any() and whole:
        raise DataError(f"silos is missing (NaN or None) in row {int(np.argmax(missing))}; every row needs a silo.")
    if not whole:
        named = np.empty(len(ids), object)
        named[:] = [None if lost else own for own, lost in zip(ids, missing, strict=True)]
        return named
    if ids.dtype.kind != "O":
        return ids
    texts = ids.astype(str)
    if len(pd.unique(ids)) > len(pd.unique(pd.Series(texts, dtype=object))):
        raise DataError("silos holds ids that differ and read the same, such as 1 and '1'; make them all texts.")
    return texts


def codes_of_silos(given: ArrayLike | None, silos: Sequence[str], n_rows: int) -> NDArray[np.float32]:
    """What the column holds of rows of these silos, float32 (rows,).

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
    ids = read_silos(np.full(n_rows, given, object) if np.isscalar(given) else given, whole=False)
    if len(ids) != n_rows:
        raise DataError(f"silos: {len(ids)} ids for {n_rows} rows.")
    code = {name: place for place, name in enumerate(silos)}
    own = {each: _place(each, code) for each in set(ids)}
    unknown = sorted(str(each) for each, place in own.items() if place is None)
    if unknown:
        known = ", ".join(map(repr, list(silos)[:5])) + (", ..." if len(silos) > 5 else "")
        raise DataError(f"silos: {unknown[0]!r} was not there in training ({known}); give None of such rows.")
    return np.array([own[each] for each in ids], np.float32)


def _place(silo: Any, code: dict[str, int]) -> float | None:
    """The code of a silo; None of a stranger."""
    if silo is None:
        return math.nan
    if isinstance(silo, float) and silo.is_integer() and str(silo) not in code:
        silo = int(silo)  # pandas makes floats of whole numbers where some are missing
    return code.get(str(silo))
