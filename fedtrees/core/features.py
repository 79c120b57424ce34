"""Features: read from numpy, scipy's sparse matrices, pandas, polars or pyarrow, and checked."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.categories import first_unseen, translated, unseen_category
from fedtrees.core.table import Schema
from fedtrees.core.target import as_float32, plain_array
from fedtrees.errors import DataError, DataTypeError, MissingExtraError, SchemaError


def read_features(
    X: Any,
    where: str = "",
    known: Schema | None = None,
    silos: NDArray[Any] | None = None,
    missing: float = math.nan,
    own_codes: bool = False,
) -> tuple[NDArray[np.float32], Schema]:
    """Read features from a DataFrame, a sparse matrix or an array.

    Parameters
    ----------
    X : DataFrame, sparse matrix or array-like (rows, features)
        Numbers, booleans, or categories, which are read as their codes. Of a sparse matrix, what it does not hold is
        missing and not 0, as XGBoost has it.
    where : str
        Named in errors, for example ``"silo 'mayo': "``.
    known : Schema, optional
        The schema that was trained on: its categories' codes are used, and other columns refused.
    silos : (rows,), optional
        Whose each row is, for errors to name.
    missing : float, default NaN
        The number that stands for a missing value; NaN is missing whatever it says.
    own_codes : bool, default False
        Whether codes count a frame's own categories, which are then those of the schema returned, and not ``known``'s.

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
    if is_frame(X):
        values, schema = _read_frame(as_pandas(X, where), where, known, own_codes)
    elif hasattr(X, "tocsr") and hasattr(X, "nnz"):
        values, schema = _read_sparse(X, where, known)
    else:
        values, schema = _read_array(X, where, known)
    if silos is not None and len(silos) != len(values):
        raise DataError(f"silos has the shape {silos.shape} and X has {len(values)} rows; give one id a row.")
    if not math.isnan(missing):
        numbers = np.array([kind == "number" for kind in schema.kinds], bool)
        values = np.where(numbers & (values == np.float32(missing)), np.float32(np.nan), values)
    _refuse_infinite(values, schema, where, silos)
    return values, schema


def is_frame(X: Any) -> bool:
    """Whether this is a table with columns: pandas', polars' or pyarrow's."""
    kind = type(X)  # of which nothing is computed: a lazy table would
    return hasattr(kind, "columns") and (hasattr(kind, "dtypes") or hasattr(kind, "column_names"))


def as_pandas(X: Any, where: str) -> Any:
    """A table of pandas; of polars or pyarrow, through the buffers of Arrow, as whose types its columns come."""
    if hasattr(X, "iloc"):
        return X
    import pandas as pd

    if hasattr(X, "collect") and not hasattr(X, "to_arrow"):
        raise DataError(f"{where}X is a lazy table; collect it first.")
    try:
        table = X.to_arrow() if hasattr(X, "to_arrow") else X
        return table.to_pandas(types_mapper=_arrow_type(pd))
    except ImportError as error:
        raise MissingExtraError(f"{where}{type(X).__module__} needs pyarrow; pip install 'fedtrees[arrow]'.") from error


def _arrow_type(pd: Any) -> Any:
    import pyarrow

    def kind(own: Any) -> Any:
        return None if pyarrow.types.is_dictionary(own) else pd.ArrowDtype(own)

    return kind


def _read_array(X: Any, where: str, known: Schema | None) -> tuple[NDArray[np.float32], Schema]:
    if isinstance(X, np.ma.MaskedArray):
        X = np.ma.filled(X.astype(np.float64), np.nan)
    array = plain_array(X, f"{where}X")
    if array.ndim != 2:
        raise DataError(
            f"{where}Expected 2D array, got {array.ndim}D array of shape {array.shape} instead. Reshape your data: "
            "a row an example, a column a feature."
        )
    if array.dtype.kind == "c":
        raise DataError(f"{where}Complex data not supported: X is {array.dtype}; give real numbers.")
    array = _numbers(array, where)
    values, schema = as_float32(array), _unnamed(array.shape[1], where, known)
    _refuse_no_codes(values, schema, where)
    return values, schema


def _read_sparse(X: Any, where: str, known: Schema | None) -> tuple[NDArray[np.float32], Schema]:
    """What a sparse matrix holds, the rest missing: in float32 from the start, in the order that it is stored in."""
    if X.ndim != 2 or X.dtype.kind not in "buif":
        kind = "Complex data not supported: X" if X.dtype.kind == "c" else "X"
        raise DataError(f"{where}{kind} is a sparse matrix of {X.ndim} dimensions and {X.dtype}; give real numbers.")
    schema = _unnamed(X.shape[1], where, known)
    by_column = X.format == "csc"
    stored = X if X.format in ("csr", "csc") else X.tocsr()
    if not stored.has_canonical_format:  # what stands twice is summed, as everywhere
        stored = stored.copy()
        stored.sum_duplicates()
    values = np.full(X.shape, np.nan, np.float32, order="F" if by_column else "C")
    major = np.repeat(np.arange(len(stored.indptr) - 1), np.diff(stored.indptr))
    at = (stored.indices, major) if by_column else (major, stored.indices)
    values[at] = as_float32(stored.data)
    _refuse_no_codes(values, schema, where)
    return values, schema


def _unnamed(n: int, where: str, known: Schema | None) -> Schema:
    """The schema of an array of so many columns."""
    if known is None:
        return Schema([f"f{i}" for i in range(n)], ["number"] * n, {}, named=False)
    if n != len(known.names):
        raise _other_count(n, known, where)
    return known


def _numbers(array: NDArray[Any], where: str) -> NDArray[Any]:
    if array.dtype.kind in "buif":
        return array
    if array.dtype.kind != "O":
        raise DataError(f"{where}X is an array of {array.dtype}; make it category, in a DataFrame, or number.")
    for place, column in enumerate(array.T):
        text = next((value for value in column if isinstance(value, str)), None)
        if text is not None:
            raise DataError(
                f"{where}column 'f{place}' holds texts such as {text!r}: make it category, in a DataFrame, or number."
            )
        try:
            column.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise DataTypeError(
                f"{where}column 'f{place}' holds objects: {error}; make it category or number."
            ) from error
    return array.astype(np.float64)


def _other_count(n: int, known: Schema, where: str) -> SchemaError:
    return SchemaError(f"{where}X has {n} features, but fedtrees is expecting {len(known.names)} features as input.")


def _read_frame(X: Any, where: str, known: Schema | None, own_codes: bool) -> tuple[NDArray[np.float32], Schema]:
    names = _column_names(X, where)
    if known is not None and known.named:
        _refuse_other_columns(names, known, where)
    if known is not None and len(names) != len(known.names):
        raise _other_count(len(names), known, where)
    values = np.empty((len(X), len(names)), np.float32, order="F")
    kinds: list[str] = []
    categories: dict[str, list[Any]] = {}
    widths: dict[str, int] = {}
    for place, name in enumerate(names):
        column = X.iloc[:, place]
        kinds.append("category" if column.dtype.name == "category" else "number")
        if kinds[place] == "number":
            values[:, place] = _read_column(column, name, where)
        if known is not None and kinds[place] != known.kinds[place]:
            raise SchemaError(f"{where}column {name!r} is a {kinds[place]} and was a {known.kinds[place]} in training.")
        if kinds[place] == "category":
            categories[name] = [_plain(value) for value in column.cat.categories]
            codes, type_of = column.cat.codes.to_numpy(), column.cat.categories.dtype
            if type_of.kind == "i" and type_of.itemsize < 8:
                widths[name] = 8 * type_of.itemsize
            values[:, place] = np.where(codes < 0, np.nan, codes)
            if known is not None and not own_codes:
                vocabulary = known.categories[known.names[place]]
                row = first_unseen(codes, categories[name], vocabulary)
                if row is not None:
                    raise unseen_category(where, name, categories[name][codes[row]])
                values[:, place] = translated(values[:, place], categories[name], vocabulary)
    if known is None:
        named = all(isinstance(name, str) for name in X.columns)
        return values, Schema(names, kinds, categories, named, widths=widths)
    if not own_codes:
        return values, known
    return values, msgspec.structs.replace(
        known, categories=dict(zip(known.categories, categories.values(), strict=True))
    )


def _column_names(X: Any, where: str) -> list[str]:
    columns: list[Hashable] = list(X.columns)
    kinds = {type(column).__name__ for column in columns}
    if "str" in kinds and len(kinds) > 1:
        raise DataError(
            f"{where}Feature names are only supported if all input features have string names, but your input has "
            f"{sorted(kinds)} as feature name / column name types. Convert them all to strings, such as "
            "X.columns = X.columns.astype(str)."
        )
    names = [column if isinstance(column, str) else f"f{place}" for place, column in enumerate(columns)]
    twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    if twice:
        raise DataError(f"{where}column {min(twice)!r} stands twice; give every column its own name.")
    for name in names:
        if not name or set(name) & set("[]<"):
            raise DataError(
                f"{where}column {name!r}: XGBoost takes no feature name that is empty or has [, ] or < in it."
            )
    return names


def _read_column(column: Any, name: str, where: str) -> NDArray[np.float32]:
    if column.dtype.kind not in "buif":
        raise DataError(
            f"{where}column {name!r} holds {column.dtype}, not numbers: make it category "
            f"(X[{name!r}] = X[{name!r}].astype('category')) or number."
        )
    with np.errstate(invalid="ignore"):  # a NaN may have any bits, some of which would be told of
        return as_float32(column.to_numpy(dtype=np.float64, na_value=np.nan))


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


def _plain(value: Any) -> Any:
    return (
        value.item() if isinstance(value, np.generic) else value if isinstance(value, str | int | float) else str(value)
    )


def _refuse_other_columns(names: list[str], known: Schema, where: str) -> None:
    if names == known.names:
        return
    lost = [name for name in known.names if name not in names]
    more = [name for name in names if name not in known.names]
    if lost:
        what = f"column {lost[0]!r} is missing"
    elif more:
        what = f"column {more[0]!r} is one too many"
    else:
        first = next(name for name, own in zip(known.names, names, strict=True) if name != own)
        what = f"the columns stand in another order, from {first!r} on"
    raise SchemaError(f"{where}The feature names should match those that were passed during fit: {what}.")


def _refuse_infinite(values: NDArray[np.float32], schema: Schema, where: str, silos: NDArray[Any] | None) -> None:
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
