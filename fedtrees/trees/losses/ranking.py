"""Losses of rankings: rows are compared with the others of their group, which is inside one silo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedtrees.core.data.row_ids import RowIds
from fedtrees.core.data.table import Table
from fedtrees.errors import DataError, ParameterError, unknown_value
from fedtrees.trees.kernels import ranking as ranking_kernels
from fedtrees.trees.losses.base import Doubles, Floats, Loss, Params, Ranges, check_rows

PAIR_METHODS = ("topk", "mean")
LARGEST_GAIN = 31  # XGBoost's: 2 to more is beyond 32 bits
MOST_POSITIONS = 4096  # that biases are estimated of
TRACKED_POSITIONS = 32  # where pairs are drawn: XGBoost's
MOST_PAIRS = 32  # of each row, by default: XGBoost's ``topk``

# A group's lambdas add up to 100 per pair at the most, as differences of scores count as 0.01 at the least. They are
# scaled by log2(1 + sum) / sum: of fewer than 2**40 pairs, to less than 48. A row has half of it, and a hessian of
# twice that.
MOST_GRADIENT, MOST_HESSIAN = 32.0, 64.0


@dataclass(frozen=True)
class RankingLoss(Loss):
    """LambdaMART, as XGBoost has it; Burges (2010), section 7.

    Parameters
    ----------
    lambdarank_pair_method : {"topk", "mean"}, default "topk"
        Whether the rows that are ranked highest are compared with all below them, or each with some drawn by lot.
    lambdarank_num_pair_per_sample : int, optional
        The number of rows from the top, or of draws per row; None is 32, or 1.
    lambdarank_normalization : bool, default True
        Whether groups of many pairs count no more for it.
    lambdarank_score_normalization : bool, default True
        Whether pairs count less that are far apart already.
    ndcg_exp_gain : bool, default True
        Whether a relevance of r is worth ``2**r - 1``, or r.
    lambdarank_unbiased : bool, default False
        Whether relevances are clicks, which come oftener to rows that are shown higher up: pairs are then weighed by
        the estimated biases of positions; Hu et al. (2019). Rows stand in the order in which they were shown.
    lambdarank_bias_norm : float, default 1.0
        The smoothing of these estimates.
    weight_norm : float, default 1.0
        Factor of weights: the number of groups over the sum of their weights.
    """

    keeps_hessians = True
    lambdarank_pair_method: str = "topk"
    lambdarank_num_pair_per_sample: float | None = None
    lambdarank_normalization: bool = True
    lambdarank_score_normalization: bool = True
    ndcg_exp_gain: bool = True
    lambdarank_unbiased: bool = False
    lambdarank_bias_norm: float = 1.0
    weight_norm: float = 1.0

    def __post_init__(self) -> None:
        if self.lambdarank_pair_method not in PAIR_METHODS:
            raise unknown_value("lambdarank_pair_method", self.lambdarank_pair_method, PAIR_METHODS)
        pairs = self.lambdarank_num_pair_per_sample
        if pairs is not None and not (1 <= pairs <= 1_000_000 and pairs == int(pairs)):
            raise ParameterError(f"lambdarank_num_pair_per_sample={pairs!r}: give a whole number from 1, or None.")

        if self.lambdarank_unbiased and self.positions > MOST_POSITIONS:
            raise ParameterError(
                f"lambdarank_num_pair_per_sample={pairs!r}: biases are estimated of {MOST_POSITIONS} positions at the "
                "most; give fewer, or leave lambdarank_unbiased out."
            )

    @property
    def positions(self) -> int:
        """The number of positions that biases are estimated of, as in XGBoost."""
        if not self.lambdarank_unbiased:
            return 0
        return self.pairs if self.is_truncated else TRACKED_POSITIONS

    @property
    def is_truncated(self) -> bool:
        """Return whether only the highest ranks are compared."""
        return self.lambdarank_pair_method == "topk"

    @property
    def pairs(self) -> int:
        """The number of rows from the top, or of draws per row."""
        return int(self.lambdarank_num_pair_per_sample or (MOST_PAIRS if self.is_truncated else 1))

    def outputs(self, n_labels: int, targets: int = 1) -> int:
        """See `Loss`."""
        if targets != 1:
            raise ParameterError(f"{self.name} needs y of one column, and it has {targets}.")
        return 1

    def params(self) -> Params:
        """See `Loss`."""
        return {name: value for name, value in super().params().items() if value is not None}

    def metric(self) -> str:
        """See `Loss`."""
        kind = "map" if self.name == "rank:map" else "ndcg"
        return f"{kind}@{self.pairs}" if self.is_truncated else kind

    def check(self, table: Table, y: Floats) -> None:
        """See `Loss`."""
        if table.groups is None and table.n_rows:
            silo = table.silo_of(0)
            how = "Silo(..., qid=)"
            if "qid" in table.schema.names:
                how = "Silo(name, X.drop(columns='qid'), y, qid=X['qid']), of the X that has them as a column"
            raise DataError(f"silo {silo!r}: qid is not given; a ranking needs the query of each row: {how}.")
        check_rows(table, y < 0, f"a negative number; {self.name} needs a relevance of 0 or more")
        if self.ndcg_exp_gain and self.name != "rank:map":
            wrong = (y != np.floor(y)) | (y > LARGEST_GAIN)
            check_rows(table, wrong, f"no whole number up to {LARGEST_GAIN}; for others, set ndcg_exp_gain to False")

    def weighted(self, weight: Floats, y: Floats) -> Floats:
        """See `Loss`."""
        return weight if self.weight_norm == 1 else weight * np.float32(self.weight_norm)

    def intercept(self, sums: Doubles) -> Doubles:
        """See `Loss`; what all rows share changes no ranking."""
        return np.zeros(1)

    def bound(self) -> tuple[float, float] | None:
        """See `Loss`."""
        if not (self.is_truncated and self.lambdarank_normalization) or self.lambdarank_unbiased:
            return None
        norm = float(np.float32(self.weight_norm)) * 1.001
        return MOST_GRADIENT * norm, MOST_HESSIAN * norm

    def lambdas(
        self, margin: Floats, y: Floats, weight: Floats, starts: Ranges, ids: RowIds, groups: Ranges, keys: RowIds,
        bias: Doubles, costs: Doubles, g: Doubles, h: Doubles,
    ) -> None:  # fmt: skip
        """Gradients and hessians of the rows of some groups; see `kernels.ranking.lambdas`."""
        how = (
            self.code, self.is_truncated, self.pairs, bool(self.lambdarank_normalization),
            bool(self.lambdarank_score_normalization), bool(self.ndcg_exp_gain),
        )  # fmt: skip
        ranking_kernels.lambdas(how, margin, y, weight, starts, ids, groups, keys, bias, costs, g, h)


@dataclass(frozen=True)
class RankNdcg(RankingLoss):
    """``rank:ndcg``: pairs count by the change of the normalised discounted cumulative gain if they were swapped."""

    name = "rank:ndcg"
    code = ranking_kernels.NDCG
    spans_orders = True


@dataclass(frozen=True)
class RankPairwise(RankingLoss):
    """``rank:pairwise``: all pairs count the same; RankNet."""

    name = "rank:pairwise"
    code = ranking_kernels.PAIRWISE
    spans_orders = True


@dataclass(frozen=True)
class RankMap(RankingLoss):
    """``rank:map``: pairs count by the change of the average precision if they were swapped; relevances are 0 or 1."""

    name = "rank:map"
    code = ranking_kernels.MAP
    spans_orders = True

    def check(self, table: Table, y: Floats) -> None:
        """See `Loss`."""
        check_rows(table, (y != 0) & (y != 1), "neither 0 nor 1; rank:map tells relevant rows from others")
