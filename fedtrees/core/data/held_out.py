"""Evaluation sets: rows to score on and not to train on."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fedtrees.core.arguments import EvalSet, Features
from fedtrees.core.data.features import read_features
from fedtrees.core.data.ranking_groups import refuse_ids_missing, rows_to_keep, weights_of_rows
from fedtrees.core.data.row_ids import RowIds, read_row_ids
from fedtrees.core.data.table import Schema, Table, of_rows, read_weight
from fedtrees.core.data.target import read_margin, read_target
from fedtrees.errors import ParameterError

Parts = tuple[Features, ArrayLike, ArrayLike | None, ArrayLike | None, ArrayLike | None]


def read_held_out(
    eval_set: EvalSet, schema: Schema, name: str, place: int, missing: float, trained_on: RowIds | None
) -> Table:
    """Read one silo's evaluation set, of the same columns as its rows to train on, and in groups where those are.

    Raises
    ------
    SchemaError, DataError, ParameterError
        Naming the silo and the set.
    """
    where = f"silo {name!r}, eval_set {place}: "
    X, y, sample_weight, base_margin, qid = apart(eval_set, where)
    values, schema_of_set = read_features(X, where, known=schema, missing=missing, frame_codes=True)
    target, groups = read_target(y, len(values), where), read_row_ids(qid, len(values), where, "qid")
    refuse_ids_missing(groups, trained_on, len(values), where)
    weight = read_weight(weights_of_rows(sample_weight, groups, where), len(values), where)
    margin, order = read_margin(base_margin, len(values), where), rows_to_keep(None, groups)
    target, weight, margin, groups = (of_rows(column, order) for column in (target, weight, margin, groups))
    starts = np.array([0, len(values)], np.int64)
    return Table(schema_of_set, values, target, weight, [name], starts, order, margin=margin, groups=groups)


def apart(eval_set: EvalSet, where: str) -> Parts:
    """An evaluation set's X, y, sample weights, base margins and group ids; the last three may be left out.

    Raises
    ------
    ParameterError
    """
    if not isinstance(eval_set, tuple | list) or not 2 <= len(eval_set) <= 5:
        raise ParameterError(f"{where}give (X, y) or (X, y, sample_weight); eval_set is a list of those: [(X, y)].")
    X, y, sample_weight, base_margin, qid = [*eval_set, None, None, None][:5]
    return X, y, sample_weight, base_margin, qid
