"""Scores of evaluation sets by the margins of the trees so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.table import Table
from fedtrees.queries.metric import Rows
from fedtrees.queries.scores import Scores
from fedtrees.trees.losses import RankingLoss
from fedtrees.trees.silo.state import TreeState
from fedtrees.trees.silo.time_bins import bins_of

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows


class ForestScores(Scores, frozen=True, eq=False):
    """Metrics of the trees so far on one evaluation set."""

    def rows_of(self, silo: SiloRows, table: Table, asked: NDArray[np.int64]) -> Rows:
        """See `Scores`."""
        state = silo.state_of(TreeState, "scores were asked for")
        self.check_metrics(state.terms.objective)
        evaluation_set = state.evaluation_set(silo, self.place, table)
        evaluation_set.catch_up(silo, state.forest)
        weight = None if table.weight is None else table.weight[asked]
        margin, target = evaluation_set.margin[:, asked], evaluation_set.target[asked]
        if target.ndim == 2 and not silo.open_above:  # each target counts as a row, as in XGBoost
            weight = None if weight is None else np.tile(weight, len(margin))
            margin, target = margin.reshape(1, -1), target.T.ravel()
        groups = groups_asked(table, asked) if isinstance(state.loss, RankingLoss) else None
        bins = bins_of(target, state.gradients.times) if len(state.gradients.times) else None
        return Rows(
            evaluation_set.objective, margin, target, weight, self.weight_exponent, state.terms.params, groups, bins
        )


def groups_asked(table: Table, asked: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each ranking group starts among the rows asked; silos are asked whole, and groups with them."""
    starts = table.group_starts()[:-1]
    return np.append(np.flatnonzero(np.isin(asked, starts)), len(asked)).astype(np.int64)
