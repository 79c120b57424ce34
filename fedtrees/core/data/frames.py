"""Frames of pandas, polars or pyarrow: columns read by their types, and named by their labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.arguments import Features, has_method
from fedtrees.core.data.categories import first_unseen, translated, unseen_category
from fedtrees.core.data.column_kinds import NoNumbers, all_of, no_numbers
from fedtrees.core.data.column_names import column_names, difference
from fedtrees.core.data.labels import Label
from fedtrees.core.data.rounding import as_float32
from fedtrees.core.data.table import MISSING, Schema
from fedtrees.core.data.texts import odd_text
from fedtrees.errors import DataError, MissingExtraError, SchemaError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow


def is_frame(X: Features) -> bool:
    """Return whether this is a table with columns: pandas', polars' or pyarrow's."""
    kind = type(X)  # of which nothing is computed: a lazy table would
    return hasattr(kind, "columns") and (hasattr(kind, "dtypes") or hasattr(kind, "column_names"))


def as_pandas(X: Features, where: str) -> pd.DataFrame:
    """A table of pandas; of polars or pyarrow, through the buffers of Arrow, as whose types its columns come."""
    frame: pd.DataFrame
    if hasattr(X, "iloc"):
        frame = X
        return frame

    if has_method(X, "collect") and not has_method(X, "to_arrow"):
        raise DataError(f"{where}X is a lazy table; collect it first.")
    try:
        table = X.to_arrow() if has_method(X, "to_arrow") else X
        frame = table.to_pandas(types_mapper=_arrow_type())
    except ImportError as error:
        raise MissingExtraError(
            f"{where}{type(X).__module__} needs pyarrow; pip install '.[arrow]' in a checkout."
        ) from error
    return frame


def _arrow_type() -> Callable[[pyarrow.DataType], pd.ArrowDtype | None]:
    import pandas as pd
    import pyarrow

    def kind(arrow: pyarrow.DataType) -> pd.ArrowDtype | None:
        return None if pyarrow.types.is_dictionary(arrow) else pd.ArrowDtype(arrow)

    return kind


def read_frame(
    X: pd.DataFrame, where: str, known: Schema | None, frame_codes: bool
) -> tuple[NDArray[np.float32], Schema]:
    """Read a frame of pandas; see `read_features`."""
    names = column_names(X.columns, where)
    if known is not None:
        _refuse_other_columns(names, known, where)
    values = np.empty((len(X), len(names)), np.float32, order="F")
    kinds: list[str] = []
    categories: dict[str, list[Label]] = {}
    widths: dict[str, int] = {}
    wrong: dict[str, NoNumbers] = {}
    for place, name in enumerate(names):
        column = X.iloc[:, place]
        if column.dtype.name == "category":
            kinds.append("category" if len(column.cat.categories) else MISSING)
            values[:, place] = codes = column.cat.codes.to_numpy()
            values[codes < 0, place] = np.nan
            if kinds[place] == "category":
                categories[name] = [_category(value, name, where) for value in column.cat.categories]
                type_of: Any = column.cat.categories.dtype  # NumPy's, or pandas' of a like interface
                if type_of.kind == "i" and type_of.itemsize < 8:
                    widths[name] = 8 * type_of.itemsize
            continue
        odd = no_numbers(column)
        if odd is not None:
            wrong[name] = odd
        else:
            values[:, place] = _numbers_of(column)
        kinds.append(MISSING if odd is None and _all_missing(values[:, place]) else "number")
    if wrong:
        raise DataError(where + all_of(wrong, dict(zip(names, X.columns, strict=True))))
    if known is None:
        return values, Schema(names, kinds, categories, True, widths=widths)
    return _against(values, Schema(names, kinds, categories, known.named, widths=widths), known, where, frame_codes)


def _against(
    values: NDArray[np.float32], read: Schema, known: Schema, where: str, frame_codes: bool
) -> tuple[NDArray[np.float32], Schema]:
    """Values that were read, by the codes of a schema that is known."""
    for place, (kind, before) in enumerate(zip(read.kinds, known.kinds, strict=True)):
        name = read.names[place]
        if kind != before and MISSING not in (kind, before):
            raise SchemaError(f"{where}column {name!r} is a {kind} and was a {before} in training.")
        if kind == "category" and not frame_codes:
            vocabulary, agreed = read.categories[name], known.categories[known.names[place]]
            row = first_unseen(values[:, place], vocabulary, agreed)
            if row is not None:
                raise unseen_category(where, name, vocabulary[int(values[row, place])])
            values[:, place] = translated(values[:, place], vocabulary, agreed)
    if not frame_codes:
        return values, known
    categories = {known.names[read.names.index(name)]: vocabulary for name, vocabulary in read.categories.items()}
    return values, msgspec.structs.replace(known, kinds=read.kinds, categories=categories)


def _all_missing(column: NDArray[np.float32]) -> bool:
    """Return whether no row of a column has a value; rows that have one are mostly found at once."""
    return not len(column) or bool(np.isnan(column[0]) and np.isnan(column).all())


def _numbers_of(column: pd.Series) -> NDArray[np.float32]:
    """A column of numbers, each rounded once, or one without any value."""
    if column.dtype.kind not in "buif":
        return np.full(len(column), np.nan, np.float32)
    with np.errstate(invalid="ignore"):  # a NaN may have any bits, some of which NumPy warns of
        if isinstance(column.dtype, np.dtype):
            return as_float32(column.to_numpy())
        missing = column.isna().to_numpy()
        if column.dtype.kind in "iu":  # as float64, numbers beyond 2**53 would be rounded twice
            whole = np.dtype(f"{column.dtype.kind}8")
            values = as_float32(column.to_numpy(dtype=whole, na_value=0) if missing.any() else column.to_numpy(whole))
            return np.where(missing, np.float32(np.nan), values)
        return as_float32(column.to_numpy(dtype=np.float64, na_value=np.nan))


def _category(value: object, column: str, where: str) -> Label:
    """A category as a plain value: what is neither text nor number is its text."""
    plain = value.item() if isinstance(value, np.generic) else value
    plain = plain if isinstance(plain, str | int | float) else str(plain)
    odd = odd_text(plain) if isinstance(plain, str) else None
    if odd is not None:
        raise DataError(f"{where}column {column!r} has the category {plain!r}, with {odd} in it; rename it.")
    return plain


def _refuse_other_columns(names: list[str], known: Schema, where: str) -> None:
    other = difference(names, known.names) if known.named else None
    if other is not None:
        raise SchemaError(f"{where}The feature names should match those that were passed during fit: {other}.")
    if len(names) != len(known.names):
        raise other_count(len(names), known, where)


def other_count(n: int, known: Schema, where: str) -> SchemaError:
    """The error for another number of columns than in training."""
    return SchemaError(f"{where}X has {n} features, but fedtrees is expecting {len(known.names)} features as input.")
