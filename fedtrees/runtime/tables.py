"""Tables of many silos: split from one by ids, or joined from many."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.arguments import EvalSet, Features
from fedtrees.core.data.absent_entries import apart_from_absent, take_absent_as
from fedtrees.core.data.features import read_features
from fedtrees.core.data.held_out import apart
from fedtrees.core.data.ranking_groups import (
    refuse_ids_missing,
    refuse_ids_twice,
    refuse_shared,
    rows_to_keep,
    weights_of_rows,
)
from fedtrees.core.data.recoding import recoded
from fedtrees.core.data.row_ids import RowIds, read_row_ids
from fedtrees.core.data.silo_ids import codes_of_ids, places_of_ids, read_silos
from fedtrees.core.data.table import (
    SPARSE,
    Schema,
    Table,
    agree,
    of_rows,
    read_weight,
)
from fedtrees.core.data.target import read_margin, read_target, refuse_mixed_targets
from fedtrees.errors import DataError, SchemaError


def join_tables(tables: Sequence[Table], schemas: Sequence[Schema] | None = None) -> Table:
    """Put the tables of several silos one after the other, by the codes of the categories that they agree on.

    ``schemas`` are those that the silos disclose, if they hold less than the tables'.

    Raises
    ------
    SchemaError, DataError
        If columns or targets are of different kinds.
    """
    names = [table.names[0] for table in tables]
    schema = agree(list(zip(names, schemas or map(schema_with_targets, tables), strict=True)))
    refuse_mixed_targets([(table.names[0], table.y) for table in tables])
    weight = None
    if any(table.weight is not None for table in tables):
        weight = np.concatenate([np.ones(t.n_rows, np.float32) if t.weight is None else t.weight for t in tables])
    starts = np.concatenate(([0], np.cumsum([table.n_rows for table in tables])))
    # the type of an empty silo's y has no meaning: it must not turn the others' labels into floats
    targets = [table.y for table in tables if table.n_rows] or [tables[0].y]
    y = _join_targets(targets)
    aligned = [recoded(table, schema.categories) for table in tables]
    features = np.concatenate([t.X if t.order is None else t.X[t.order] for t in aligned])
    _keep_absent_apart(features, tables, starts)
    ids = None
    if any(table.ids is not None for table in tables):
        ids = np.concatenate([table.row_ids() for table in tables])
    margin, groups, given = _join_margins(tables), _join_groups(tables), None
    if any(table.order is not None for table in tables):  # rows that weigh nothing were left out, or groups sorted
        given = np.concatenate([table.rows_as_given(0) for table in tables])
    return Table(
        schema, features, y, weight, names, starts, origins=starts[:-1], margin=margin, ids=ids, groups=groups,
        given=given,
    )  # fmt: skip


def _keep_absent_apart(X: NDArray[np.float32], tables: Sequence[Table], starts: NDArray[np.int64]) -> None:
    """Give absent entries, whatever a run has made of them, their bits, and no others; see `absent_entries`."""
    if any(SPARSE in table.schema.formats for table in tables):
        for table, first, end in zip(tables, starts[:-1], starts[1:], strict=True):
            rows = X[first:end]
            if SPARSE in table.schema.formats:
                take_absent_as(rows, zero=False)
            else:
                rows[:] = apart_from_absent(rows)


def schema_with_targets(table: Table) -> Schema:
    """A table's schema with the number of its targets."""
    return msgspec.structs.replace(table.schema, targets=table.n_targets)


def _join_margins(tables: Sequence[Table]) -> NDArray[np.float32] | None:
    """Base margins of all rows, NaN in silos that leave them to the training; None if all do."""
    given = [table for table in tables if table.margin is not None and table.n_rows]
    if not given:
        return None
    outputs = {table.names[0]: table.margin.shape[1] for table in given if table.margin is not None}
    width = next(iter(outputs.values()))
    for silo, columns in outputs.items():
        if columns != width:
            raise SchemaError(f"silo {silo!r}, unlike silo {next(iter(outputs))!r}: base_margin has {columns} columns.")
    empty = [np.full((table.n_rows, width), np.nan, np.float32) for table in tables]
    return np.concatenate(
        [
            blank if table.margin is None or not table.n_rows else table.margin
            for table, blank in zip(tables, empty, strict=True)
        ]
    )


def _join_groups(tables: Sequence[Table]) -> RowIds | None:
    """Ids of the groups of all rows; None where no silo has any."""
    having = [table.groups is not None for table in tables if table.n_rows]
    if not any(having):
        return None
    if not all(having):
        silo = next(table.names[0] for table in tables if table.n_rows and table.groups is None)
        raise SchemaError(f"silo {silo!r}, unlike others: qid is not given; give it in every silo.")
    empty = np.zeros(0, np.uint64)
    return np.concatenate([empty, *(table.groups for table in tables if table.groups is not None)])


def split_table(
    X: Features,
    y: ArrayLike,
    silos: ArrayLike | None,
    sample_weight: ArrayLike | None,
    base_margin: ArrayLike | None = None,
    missing: float = math.nan,
    row_id: ArrayLike | None = None,
    qid: ArrayLike | None = None,
) -> Table:
    """Sort one table by a silo id a row, without a copy of X; None is one silo, called ``all``."""
    ids = None if silos is None else read_silos(silos)
    values, schema = read_features(X, silos=ids, missing=missing)
    n = len(values)
    refuse_ids_twice(qid, schema.names)
    target, groups = read_target(y, n), read_row_ids(qid, n, what="qid")
    weight = read_weight(weights_of_rows(sample_weight, groups), n, silos=ids)
    margin, row_ids = read_margin(base_margin, n), read_row_ids(row_id, n)
    codes, names = None, ["all"]
    if ids is not None:
        codes, found = codes_of_ids(ids)
        names = found or names
        if groups is not None and qid is not None:
            refuse_shared(groups, qid, codes, names)
    kept = rows_to_keep(weight, groups, codes)
    if kept is not None and not len(kept) and n:
        raise DataError("sample_weight is zero in every row of every silo; some row must count.")
    columns = (target, weight, margin, row_ids, groups, codes)
    target, weight, margin, row_ids, groups, codes = (of_rows(column, kept) for column in columns)
    if codes is None:
        starts = np.array([0, len(target)], np.int64)
        return Table(schema, values, target, weight, names, starts, kept, margin=margin, ids=row_ids, groups=groups)
    return _sorted(schema, values, target, weight, names, codes, margin, kept, row_ids, groups)


def split_held_out(
    table: Table, eval_set: EvalSet, silos: ArrayLike | None, place: int, missing: float = math.nan
) -> Table:
    """Sort an evaluation set, (X, y) or (X, y, sample_weight), by the silos of a table; None is the first of them.

    Raises
    ------
    DataError, SchemaError
        For other columns, and for silos that the table does not have.
    """
    where = f"eval_set {place}: "
    X, y, sample_weight, base_margin, qid = apart(eval_set, where)
    ids = None if silos is None else read_silos(silos)
    values, schema = read_features(X, where, known=table.schema, silos=ids, missing=missing, frame_codes=True)
    n = len(values)
    target, groups = read_target(y, n, where), read_row_ids(qid, n, where, "qid")
    refuse_ids_missing(groups, table.groups, n, where)
    weight = read_weight(weights_of_rows(sample_weight, groups, where), n, where, silos=ids)
    codes = np.zeros(n, np.int64) if ids is None else places_of_ids(ids, table.names)
    if ids is not None and (codes < 0).any():
        unknown = str(ids[int(np.argmax(codes < 0))])
        raise DataError(f"{where}silo {unknown!r} holds no rows to train on.")
    if groups is not None and qid is not None:
        refuse_shared(groups, qid, codes, table.names, where)
    margin, order = read_margin(base_margin, n, where), rows_to_keep(None, groups, codes)
    columns = (target, weight, margin, groups, codes)
    target, weight, margin, groups, codes = (of_rows(column, order) for column in columns)
    return _sorted(schema, values, target, weight, table.names, codes, margin, order, None, groups)


def _sorted(
    schema: Schema,
    values: NDArray[np.float32],
    target: NDArray[np.generic],
    weight: NDArray[np.float32] | None,
    names: Sequence[str],
    codes: NDArray[np.integer],
    margin: NDArray[np.float32] | None,
    kept: NDArray[np.uint32] | None = None,
    ids: RowIds | None = None,
    groups: RowIds | None = None,
) -> Table:
    """Put rows in the order of their silos; ``kept`` are their places in ``values``, where that has others, too."""
    starts = np.concatenate(([0], np.cumsum(np.bincount(codes, minlength=len(names)))))
    codes = codes.astype(np.uint16) if len(names) <= 2**16 else codes  # narrow codes sort by radix
    order = kept
    if (codes[1:] < codes[:-1]).any():
        order = np.argsort(codes, kind="stable").astype(np.uint32)
        target, weight = _narrow(target)[order], None if weight is None else weight[order]
        margin = None if margin is None else margin[order]
        ids, groups = of_rows(ids, order), of_rows(groups, order)
        order = order if kept is None else kept[order]
    return Table(schema, values, target, weight, names, starts, order, margin=margin, ids=ids, groups=groups)


def _join_targets(targets: Sequence[NDArray[np.generic]]) -> NDArray[np.generic]:
    """Targets of several silos, each as it is: what no type of numbers holds stays objects."""
    kinds = {y.dtype.kind for y in targets}
    whole = [y for y in targets if y.dtype.kind in "iu" and len(y)]
    most = max((int(y.max()) for y in whole), default=0)
    least = min((int(y.min()) for y in whole), default=0)
    if kinds <= {"i", "u"} and (most <= np.iinfo(np.int64).max or least >= 0):  # together, NumPy makes floats of them
        dtype = np.int64 if most <= np.iinfo(np.int64).max else np.uint64
        return np.concatenate(targets, dtype=dtype, casting="unsafe")
    if kinds <= {"b", "i", "u", "f"} and max(most, -least) > 2**53 and len(kinds) > 1:
        return np.concatenate([y.astype(object) for y in targets])
    return np.concatenate(targets)


def _narrow(y: NDArray[np.generic]) -> NDArray[np.generic]:
    """Whole numbers in as few bytes as they need."""
    if y.dtype.kind not in "iu" or not len(y):
        return y
    least, most = int(y.min()), int(y.max())
    kind = "u" if least >= 0 else "i"  # of one sign: of int64 and uint64 NumPy makes floats
    fits = (np.dtype(f"{kind}{width}") for width in (1, 2, 4, 8))
    return y.astype(next(dtype for dtype in fits if np.iinfo(dtype).min <= least and most <= np.iinfo(dtype).max))


def part_table(table: Table) -> list[Table]:
    """The tables of the silos, one by one."""
    parts = []
    for place, name in enumerate(table.names):
        rows = slice(int(table.starts[place]), int(table.starts[place + 1]))
        X = table.X[rows] if table.order is None else table.X[table.order[rows]]
        weight = None if table.weight is None else table.weight[rows]
        margin = None if table.margin is None else table.margin[rows]
        starts = np.array([0, len(X)], np.int64)
        ids, groups = (None if column is None else column[rows] for column in (table.ids, table.groups))
        given = table.rows_as_given(place)
        parts.append(
            Table(table.schema, X, table.y[rows], weight, [name], starts, None, None, margin, ids, groups, given)
        )
    return parts
