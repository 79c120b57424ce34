"""The rows that a forest's trees drew, and those that they left out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.labels import ClassLabels
from fedtrees.core.data.row_ids import RowIds
from fedtrees.core.data.table import Table
from fedtrees.core.sampling.samplers import Cohort
from fedtrees.trees.kernels import sampling as sampling_kernels
from fedtrees.trees.messages.out_of_bag import OutOfBag
from fedtrees.trees.model.row_draws import RowDraws

if TYPE_CHECKING:
    from fedtrees.export.sklearn import DecisionTree

NO_ROWS_HERE = (
    "is known where fit(X, y) had all rows: in a federation they stay in their silos, "
    "and no file of a model contains anything of them."
)


@dataclass(frozen=True)
class Stage:
    """Trees that grew together.

    Attributes
    ----------
    trees : int
    draws : RowDraws, optional
        None where each tree has all rows.
    """

    trees: int
    draws: RowDraws | None


@dataclass(frozen=True, eq=False)
class RowsHere:
    """Settings of the draws of the rows that a stage's trees grew from.

    Attributes
    ----------
    ids : uint64 (rows,)
    kind : uint16 (rows,) or (0,)
        The place of each row's class, where rows of some are drawn oftener.
    place : int64 (rows,)
        Where each row stands in X.
    there : bool (rows,)
        Whether its silo took part.
    """

    ids: RowIds
    kind: NDArray[np.uint16]
    place: NDArray[np.int64]
    there: NDArray[np.bool_]

    @staticmethod
    def of(table: Table, target: NDArray[np.float32], cohort: Cohort, stage: Stage) -> RowsHere:
        """Return the places and names of a table's rows, and whether their silos took part."""
        there = np.repeat(np.isin(np.arange(len(table.names)), cohort), np.diff(table.starts))
        by_class = stage.draws is not None and len(stage.draws.class_draws) > 0
        ids = np.zeros(0, np.uint64) if stage.draws is None else table.row_ids()
        kind = target.astype(np.uint16) if by_class else np.zeros(0, np.uint16)
        return RowsHere(ids, kind, places_in(table), there)

    def drawn(self, stage: Stage) -> Iterator[NDArray[np.int64]]:
        """The places of the rows that each tree drew, as often as it did: int64 (draws,), ascending."""
        if stage.draws is None:
            yield from [np.sort(self.place[self.there])] * stage.trees
            return
        once, everything, shares = (
            np.ones(len(self.ids), np.int64),
            np.array([[0, len(self.ids)]]),
            stage.draws.shares(),
        )
        for tree in range(stage.trees):
            times = np.zeros(len(self.ids), np.int64)
            sampling_kernels.draw(once, self.ids, everything, stage.draws.keys(tree), shares, self.kind, times)
            yield np.sort(np.repeat(self.place, np.where(self.there, times, 0)))


def places_in(table: Table) -> NDArray[np.int64]:
    """The places of a table's rows in X, int64 (rows,)."""
    return np.arange(table.n_rows) if table.order is None else table.order.astype(np.int64)


def out_of_bag(
    trees: Sequence[DecisionTree], stages: Sequence[Stage], rows: int, labels: ClassLabels | None, metric: str
) -> OutOfBag | None:
    """The question for the score of rows that fitted trees left out; None where each has all rows."""
    ends = np.cumsum([stage.trees for stage in stages]).tolist()
    draws = [stage.draws for stage in stages if stage.draws is not None]
    asked = [
        tree.tree_
        for stage, end in zip(stages, ends, strict=True)
        if stage.draws is not None
        for tree in trees[end - stage.trees : end]
    ]
    if not asked:
        return None
    values = np.concatenate([tree.value.reshape(tree.node_count, -1) for tree in asked])
    classes = [len(column) for column in labels] if labels and isinstance(labels[0], list) else []
    numbers = labels is None
    centre = np.mean([tree.value[0].ravel() for tree in asked], axis=0) if numbers else np.zeros(0)
    farthest = float(np.abs(values - centre).max()) if numbers else 0.0
    left = np.concatenate([tree.children_left for tree in asked])
    return OutOfBag(
        rows=rows,
        labels=None if classes else labels,
        draws=draws,
        ends=np.cumsum([tree.node_count for tree in asked], dtype=np.int64),
        feature=np.where(left < 0, -1, np.concatenate([tree.feature for tree in asked])).astype(np.int32),
        threshold=np.concatenate([tree.threshold for tree in asked]),
        missing_left=np.concatenate([tree.missing_go_to_left for tree in asked]).astype(bool),
        left=left.astype(np.int32),
        right=np.concatenate([tree.children_right for tree in asked]).astype(np.int32),
        values=values,
        centre=centre,
        exponent=math.frexp(farthest)[1] if farthest else 0,
        metric=metric,
        classes=classes,
    )
