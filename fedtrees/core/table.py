"""A silo's table: read from numpy or pandas, checked, and described by a schema that silos must share."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.record import Record
from fedtrees.core.row_ids import RowIds, placed_row_ids
from fedtrees.core.target import is_text, plain_array
from fedtrees.errors import DataError, DataTypeError, SchemaError


class Schema(Record, frozen=True, eq=False):
    """What the columns are: no value of any row.

    Parameters
    ----------
    names : list of str
    kinds : list of str
        ``"number"`` or ``"category"``, by column.
    categories : dict of str to list
        The vocabulary of each category column, in the order of its codes.
    named : bool
        Whether the names are the table's own; an array's columns are called f0, f1, ...
    labels : list, optional
        The class labels that occur, sorted; asked for when training a classifier only.
    """

    names: list[str]
    kinds: list[str]
    categories: dict[str, list[Any]]
    named: bool
    labels: list[Any] | None = None


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of one silo, or of several standing one after the other.

    Row ``i`` has the features ``X[order[i]]``; everything else stands in the table's own order.

    Attributes
    ----------
    schema : Schema
    X : float32 (rows, features)
        Missing is NaN.
    y : (rows,)
        Labels or numbers, as they were given.
    weight : float32 (rows,) or None
    names : sequence of str (silos,)
    starts : int64 (silos + 1,)
        Where each silo's rows start.
    order : uint32 (rows,) or None
        None where the rows stand in X as they are.
    joined : bool
        Whether the silos were read by themselves: their owners count rows from 0 each.
    ids : uint64 (rows,) or None
        What names a row wherever it lies; None where its place in its silo does.
    """

    schema: Schema
    X: NDArray[np.float32]
    y: NDArray[Any]
    weight: NDArray[np.float32] | None
    names: Sequence[str]
    starts: NDArray[np.int64]
    order: NDArray[np.uint32] | None = None
    joined: bool = False
    ids: RowIds | None = None

    def row_ids(self) -> RowIds:
        """What names each row: its id, or its silo and its place there."""
        return placed_row_ids(self.names, self.starts) if self.ids is None else self.ids

    @property
    def n_rows(self) -> int:
        """Rows of all its silos."""
        return int(self.starts[-1])

    @property
    def n_features(self) -> int:
        """Columns."""
        return int(self.X.shape[1])

    def silo_of(self, row: int) -> str:
        """The silo that holds a row."""
        return self.names[int(np.searchsorted(self.starts, row, side="right")) - 1]


def read_features(
    X: Any, where: str = "", known: Schema | None = None, silos: NDArray[Any] | None = None
) -> tuple[NDArray[np.float32], Schema]:
    """Read features from a DataFrame or an array.

    Parameters
    ----------
    X : DataFrame or array-like (rows, features)
        Numbers, booleans, or pandas categories, which are read as their codes.
    where : str
        Named in errors, for example ``"silo 'mayo': "``.
    known : Schema, optional
        The schema that was trained on: its categories' codes are used, and other columns refused.
    silos : (rows,), optional
        Whose each row is, for errors to name.

    Returns
    -------
    float32 (rows, features), Schema

    Raises
    ------
    DataError
        For columns of text or other objects, infinite values, or a shape that is not a table.
    SchemaError
        If the columns are not those of ``known``.
    """
    if hasattr(X, "columns") and hasattr(X, "dtypes"):
        values, schema = _read_frame(X, where, known)
    else:
        values, schema = _read_array(X, where, known)
    if silos is not None and len(silos) != len(values):
        raise DataError(f"silos has the shape {silos.shape} and X has {len(values)} rows; give one id a row.")
    _refuse_infinite(values, schema, where, silos)
    return values, schema


def _read_array(X: Any, where: str, known: Schema | None) -> tuple[NDArray[np.float32], Schema]:
    if hasattr(X, "toarray"):
        raise DataError(f"{where}a sparse matrix is not read yet; pass X.toarray().")
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
    n = array.shape[1]
    if known is not None:
        if n != len(known.names):
            raise _other_count(n, known, where)
        return _as_float32(array), known
    return _as_float32(array), Schema([f"f{i}" for i in range(n)], ["number"] * n, {}, named=False)


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


def _as_float32(array: NDArray[Any]) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, and is refused as such
        return array.astype(np.float32, copy=False)


def _other_count(n: int, known: Schema, where: str) -> SchemaError:
    return SchemaError(f"{where}X has {n} features, but fedtrees is expecting {len(known.names)} features as input.")


def _read_frame(X: Any, where: str, known: Schema | None) -> tuple[NDArray[np.float32], Schema]:
    names = _column_names(X, where)
    if known is not None and known.named:
        _refuse_other_columns(names, known, where)
    if known is not None and len(names) != len(known.names):
        raise _other_count(len(names), known, where)
    values = np.empty((len(X), len(names)), np.float32, order="F")
    kinds: list[str] = []
    categories: dict[str, list[Any]] = {}
    for place, name in enumerate(names):
        column = X.iloc[:, place]
        kinds.append("category" if column.dtype.name == "category" else "number")
        if kinds[place] == "number":
            values[:, place] = _read_column(column, name, where)
        if known is not None and kinds[place] != known.kinds[place]:
            raise SchemaError(f"{where}column {name!r} is a {kinds[place]} and was a {known.kinds[place]} in training.")
        if kinds[place] == "category":
            categories[name] = [_plain(value) for value in column.cat.categories]
            vocabulary = known.categories.get(name) if known is not None else None
            codes = _codes(column, categories[name], vocabulary or categories[name], name, where)
            values[:, place] = np.where(codes < 0, np.nan, codes)
    schema = Schema(names, kinds, categories, named=all(isinstance(name, str) for name in X.columns))
    return values, schema if known is None else known


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
    return names


def _read_column(column: Any, name: str, where: str) -> NDArray[np.float32]:
    if column.dtype.kind not in "buif":
        raise DataError(
            f"{where}column {name!r} holds {column.dtype}, not numbers: make it category "
            f"(X[{name!r}] = X[{name!r}].astype('category')) or number."
        )
    return _as_float32(column.to_numpy(dtype=np.float64, na_value=np.nan))


def _codes(column: Any, own: list[Any], vocabulary: list[Any], name: str, where: str) -> NDArray[np.int64]:
    codes: NDArray[np.int64] = column.cat.codes.to_numpy().astype(np.int64)
    if own == vocabulary:
        return codes
    place = {value: code for code, value in enumerate(vocabulary)}
    used = np.unique(codes[codes >= 0])
    unseen = [own[code] for code in used if own[code] not in place]
    if unseen:
        raise SchemaError(f"{where}column {name!r}: category {unseen[0]!r} was not there in training.")
    translate = np.array([place.get(value, -1) for value in own] + [-1], np.int64)
    translated: NDArray[np.int64] = translate[codes]
    return translated


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


def read_weight(
    weight: ArrayLike | None, n_rows: int, where: str = "", silos: NDArray[Any] | None = None
) -> NDArray[np.float32] | None:
    """Read sample weights, float32 (rows,); None stays None, every row counting 1.

    Raises
    ------
    DataError
        If they are no numbers, of another length, negative or not finite.
    """
    if weight is None:
        return None
    given = plain_array(weight, f"{where}sample_weight")
    try:
        if given.dtype.kind not in "buifO":
            raise TypeError(f"an array of {given.dtype}")
        values = _as_float32(given)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}sample_weight is not numbers: {error}.") from error
    if values.ndim == 0:
        values = np.full(n_rows, values, np.float32)
    if values.shape != (n_rows,):
        raise DataError(f"{where}sample_weight has the shape {values.shape} and X has {n_rows} rows.")
    for wrong, what in ((~np.isfinite(values), "NaN or infinite"), (values < 0, "negative")):
        if wrong.any():
            row = int(np.argmax(wrong))
            where = where if silos is None else f"silo {str(silos[row])!r}: "
            raise DataError(f"{where}sample_weight is {what} in row {row}; give finite numbers, 0 or above.")
    return values


def without_weightless(
    target: NDArray[Any], weight: NDArray[np.float32] | None
) -> tuple[NDArray[Any], NDArray[np.float32] | None, NDArray[np.uint32] | None]:
    """Leave out the rows of weight 0: targets, weights, and a `Table.order` that finds the others' features in X.

    No cut point, no count of missing values and no label may come from a row that does not count.
    """
    if weight is None or weight.all():
        return target, weight, None
    order = np.flatnonzero(weight).astype(np.uint32)
    return target[order], weight[order], order


def agree(schemas: Sequence[tuple[str, Schema]]) -> Schema:
    """The schema that all silos share.

    Raises
    ------
    SchemaError
        Naming the silo and the first column that differs from the first silo's, or the silo whose labels do.
    """
    first_silo, first = schemas[0]
    for silo, schema in schemas:
        where = f"silo {silo!r}, unlike silo {first_silo!r}: "
        if len(schema.names) != len(first.names) and not (schema.named and first.named):
            raise SchemaError(f"{where}{len(schema.names)} columns, not {len(first.names)}.")
        if schema.named != first.named:
            raise SchemaError(f"{where}columns {'with' if schema.named else 'without'} names.")
        _refuse_other_columns_of(schema, first, where)
        for name, kind, own in zip(first.names, first.kinds, schema.kinds, strict=True):
            if kind != own:
                raise SchemaError(f"{where}column {name!r} is a {own}, not a {kind}.")
            if first.categories.get(name) != schema.categories.get(name):
                raise SchemaError(
                    f"{where}column {name!r} has other categories, or in another order; agree on one vocabulary and "
                    "set it with pandas.CategoricalDtype in every silo."
                )
    labels = None if first.labels is None else _all_labels(schemas)
    return Schema(first.names, first.kinds, first.categories, first.named, labels)


def _all_labels(schemas: Sequence[tuple[str, Schema]]) -> list[Any]:
    own = [(silo, np.array(schema.labels)) for silo, schema in schemas if schema.labels]
    refuse_mixed_targets(own)
    return [label.item() for label in np.unique(np.concatenate([labels for _, labels in own]))] if own else []


def refuse_mixed_targets(targets: Sequence[tuple[str, NDArray[Any]]]) -> None:
    """Raise a `SchemaError` where y holds texts in some silos and numbers in others; empty ones hold neither."""
    kinds = [(silo, "texts" if is_text(y) else "numbers") for silo, y in targets if len(y)]
    for silo, kind in kinds:
        first_silo, first = kinds[0]
        if kind != first:
            raise SchemaError(f"silo {silo!r}, unlike silo {first_silo!r}: y holds {kind}, not {first}.")


def _refuse_other_columns_of(schema: Schema, first: Schema, where: str) -> None:
    if schema.names == first.names:
        return
    lost = [name for name in first.names if name not in schema.names]
    more = [name for name in schema.names if name not in first.names]
    if lost:
        raise SchemaError(f"{where}column {lost[0]!r} is missing.")
    if more:
        raise SchemaError(f"{where}column {more[0]!r} is one too many.")
    name = next(a for a, b in zip(first.names, schema.names, strict=True) if a != b)
    raise SchemaError(f"{where}the columns stand in another order, from {name!r} on.")
