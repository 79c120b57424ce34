"""Features: read from numpy, scipy's sparse matrices, pandas, polars or pyarrow, and checked."""

from __future__ import annotations

import math
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.arguments import Features, has_method
from fedtrees.core.data.absent_entries import all_absent, apart_from_absent
from fedtrees.core.data.column_kinds import all_of, no_numbers_in
from fedtrees.core.data.frames import as_pandas, is_frame, other_count, read_frame
from fedtrees.core.data.rounding import as_float32
from fedtrees.core.data.table import DENSE, SPARSE, Schema
from fedtrees.core.data.target import plain_array
from fedtrees.errors import DataError, DataTypeError

_OF_ARRAYS = {  # by the kind of their type
    "M": "give the days since a day, (X - t0) / np.timedelta64(1, 'D')",
    "m": "give days, X / np.timedelta64(1, 'D')",
    "S": "decode it, and make it category, in a DataFrame, or number",
    "U": "make it category, in a DataFrame, or number",
}


def read_features(
    X: Features,
    where: str = "",
    known: Schema | None = None,
    silos: NDArray[np.generic] | None = None,
    missing: float = math.nan,
    frame_codes: bool = False,
    absent: float = math.nan,
) -> tuple[NDArray[np.float32], Schema]:
    """Read features from a DataFrame, a sparse matrix or an array.

    Parameters
    ----------
    X : DataFrame, sparse matrix or array-like (rows, features)
        Numbers, booleans, or categories, which are read as their codes.
    where : str
        Named in errors, for example ``"silo 'mayo': "``.
    known : Schema, optional
        The schema that was trained on: its categories' codes are used, and other columns refused.
    silos : (rows,), optional
        Whose each row is, for errors to name.
    missing : float, default NaN
        The number that stands for a missing value; NaN is missing in any case.
    frame_codes : bool, default False
        Whether codes count a frame's own categories, which are then those of the schema returned, and not ``known``'s.
    absent : float, default NaN
        What entries are that a sparse matrix does not hold: NaN, which a training may yet take as 0, see
        `core.data.absent_entries`, or 0.

    Returns
    -------
    float32 (rows, features), Schema

    Raises
    ------
    DataError
        For columns of text or other objects, infinite values, or a shape that is not a table.
    SchemaError
        If the columns are not those of ``known``, or some row has a category that is not.
    """
    sparse = has_method(X, "tocsr") and hasattr(X, "nnz")
    if is_frame(X):
        values, schema = read_frame(as_pandas(X, where), where, known, frame_codes)
    elif sparse:
        values, schema = _read_sparse(X, where, known, zero=absent == 0)
        if missing == 0:  # so that absent entries are missing, whatever a training takes them as
            values[np.isnan(values)] = np.nan
    else:
        values, schema = _read_array(X, where, known)
    if silos is not None and len(silos) != len(values):
        raise DataError(f"silos has the shape {silos.shape} and X has {len(values)} rows; give one id a row.")
    if not math.isnan(missing):
        numbers = np.array([kind == "number" for kind in schema.kinds], bool)
        values = np.where(numbers & (values == np.float32(missing)), np.float32(np.nan), values)
    _refuse_infinite(values, schema, where, silos)
    formats = {DENSE if not sparse or X.nnz == values.size else SPARSE: ""}
    return values, schema if schema.formats == formats else msgspec.structs.replace(schema, formats=formats)


def _read_array(X: Features, where: str, known: Schema | None) -> tuple[NDArray[np.float32], Schema]:
    array = np.ma.getdata(X) if isinstance(X, np.ma.MaskedArray) else plain_array(_no_other(X, where), f"{where}X")
    if isinstance(X, dict):
        raise DataError(f"{where}X is a dict: give one table with a silo id a row, or Silos to fit_federation.")
    if array.ndim != 2:
        raise DataError(
            f"{where}Expected 2D array, got {array.ndim}D array of shape {array.shape} instead. Reshape your data: "
            "a row an example, a column a feature."
        )
    if array.dtype.kind == "c":
        raise DataError(f"{where}Complex data not supported: X is {array.dtype}; give real numbers.")
    values, schema = _numbers(array, where), _unnamed(array.shape[1], where, known)
    if isinstance(X, np.ma.MaskedArray):
        values = np.where(np.ma.getmaskarray(X), np.float32(np.nan), values)
    _refuse_no_codes(values, schema, where)
    return values, schema


def _no_other(X: Features, where: str) -> Features:
    """Return X, and refuse objects for another place, which look like arrays of nothing."""
    if has_method(X, "num_row") and has_method(X, "get_label"):
        raise DataError(f"{where}X is an xgboost.{type(X).__name__}; give the table that it was made of.")
    first = X[0] if isinstance(X, list | tuple) and X else X
    if has_method(first, "ask") or has_method(first, "answer"):
        raise DataError(f"{where}X is no table but silos: call fit_federation(LocalFederation(silos)) instead of fit.")
    return X


def _read_sparse(X: Features, where: str, known: Schema | None, zero: bool) -> tuple[NDArray[np.float32], Schema]:
    """The entries of a sparse matrix, the rest absent, or 0: in float32 from the start, in their stored order."""
    if X.ndim != 2 or X.dtype.kind not in "buif":
        kind = "Complex data not supported: X" if X.dtype.kind == "c" else "X"
        raise DataError(f"{where}{kind} is a sparse matrix of {X.ndim} dimensions and {X.dtype}; give real numbers.")
    schema = _unnamed(X.shape[1], where, known)
    by_column = X.format == "csc"
    stored = X if X.format in ("csr", "csc") else X.tocsr()
    if not stored.has_canonical_format:  # what stands twice is summed, as everywhere
        stored = stored.copy()
        stored.sum_duplicates()
    order: Literal["C", "F"] = "F" if by_column else "C"
    values = np.zeros(X.shape, np.float32, order) if zero else all_absent(X.shape, order)
    major = np.repeat(np.arange(len(stored.indptr) - 1), np.diff(stored.indptr))
    at = (stored.indices, major) if by_column else (major, stored.indices)
    values[at] = apart_from_absent(as_float32(stored.data))
    _refuse_no_codes(values, schema, where)
    return values, schema


def _unnamed(n: int, where: str, known: Schema | None) -> Schema:
    """The schema of an array of so many columns."""
    if known is None:
        return Schema([f"f{i}" for i in range(n)], ["number"] * n, {}, named=False)
    if n != len(known.names):
        raise other_count(n, known, where)
    return known


def _numbers(array: NDArray[np.generic], where: str) -> NDArray[np.float32]:
    """The numbers of an array; objects are looked at column by column, and all that hold none are named."""
    if array.dtype.kind in "buif":
        return as_float32(array)
    if array.dtype.kind != "O":
        raise DataError(f"{where}X is an array of {array.dtype}; {_OF_ARRAYS.get(array.dtype.kind, _OF_ARRAYS['U'])}.")
    wrong = {f"f{place}": no_numbers_in(column) for place, column in enumerate(array.T)}
    found = {name: what for name, what in wrong.items() if what is not None}
    if found:
        kind = DataTypeError if all(what.kind not in ("texts", "numbers") for what in found.values()) else DataError
        raise kind(where + all_of(found, {}))
    return as_float32(array)


def _refuse_no_codes(values: NDArray[np.float32], known: Schema, where: str) -> None:
    """Refuse numbers that stand for no category."""
    for place, name in enumerate(known.names if known.categories else ()):
        if known.kinds[place] == "category":
            codes, last = values[:, place], len(known.categories[name]) - 1
            bad = (codes < 0) | (codes > last) | ((codes != np.floor(codes)) & ~np.isnan(codes))
            if bad.any():
                row = int(np.argmax(bad))
                raise DataError(
                    f"{where}column {name!r} holds {codes[row]:g} in row {row}, which is the code of no category; give "
                    f"a DataFrame, or whole numbers from 0 to {last}."
                )


def _refuse_infinite(
    values: NDArray[np.float32], schema: Schema, where: str, silos: NDArray[np.generic] | None
) -> None:
    if values.shape[1] == 0:
        raise DataError(f"{where}0 feature(s) (shape={values.shape}) while a minimum of 1 is required.")
    for start in range(0, len(values), 65536):  # in blocks: a mask of the whole would double the memory
        bad = np.isinf(values[start : start + 65536])
        if bad.any():
            row, column = np.argwhere(bad)[0]
            where = where if silos is None else f"silo {str(silos[start + row])!r}: "
            raise DataError(
                f"{where}column {schema.names[column]!r} is infinity (or too large for float32) in row {start + row}; "
                "make it a number, or NaN where it is missing."
            )
