"""Metrics of rankings: means over groups, each of which is inside one silo."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.errors import ParameterError
from fedtrees.queries import metric_kernels as kernels
from fedtrees.queries.areas import area_under_precision
from fedtrees.queries.metric import Floats, Metric, Rows, mean_of_sums, weighted_sums
from fedtrees.queries.score_histogram import ScoreHistogram

KINDS = {"ndcg": kernels.NDCG, "map": kernels.AVERAGE_PRECISION, "pre": kernels.PRECISION}
ALL_RANKS = 2**31 - 1


@dataclass(frozen=True)
class RankMetric(Metric):
    """``ndcg``, ``map`` and ``pre``, of all ranks or of so many, the weighted mean over groups.

    Parameters
    ----------
    name : str
    kind : {"ndcg", "map", "pre"}
    top : int
        Ranks that count.
    minus : bool
        Whether groups without any relevant row score 0, and not 1.
    """

    name: str
    kind: str
    top: int = ALL_RANKS
    minus: bool = False
    maximise = True

    def fits(self, objective: str) -> bool:
        """See `Metric`."""
        return objective.startswith("rank:")

    def ask(self, rows: Rows) -> Vector:
        """See `Metric`."""
        if rows.groups is None or not len(rows.y):
            return np.zeros(self.size(), np.int64)
        out = np.empty(len(rows.groups) - 1, np.float32)
        exponential = bool(rows.params.get("ndcg_exp_gain", True))
        kind, scores = KINDS[self.kind], rows.margin[0]
        kernels.add_groups(kind, scores, rows.y, rows.groups, self.top, exponential, 0.0 if self.minus else 1.0, out)
        return weighted_sums(out, None if rows.weight is None else rows.weight[rows.groups[:-1]])

    def read(self, total: Vector) -> float:
        """See `Metric`."""
        return mean_of_sums(total)


@dataclass(frozen=True)
class RankArea(Metric):
    """``auc`` and ``aucpr`` of rankings, the mean over groups that have any, as XGBoost has them.

    The area under the ROC curve is the share of a group's pairs that are ranked as their relevances are; of pairs of
    one relevance, the row that stands first should come first. A group of fewer than three rows has none. The area
    under precision is of relevances of 0 and 1; a group has none where they are all equal.
    """

    name: str
    maximise = True

    def fits(self, objective: str) -> bool:
        """See `Metric`."""
        return objective.startswith("rank:")

    def refused(self, y: Floats) -> tuple[NDArray[np.bool_], str] | None:
        """See `Metric`."""
        if self.name == "auc" or not (y > 1).any():
            return None
        return y > 1, "a relevance above 1, of which eval_metric='aucpr' has no precision; score by 'ndcg'"

    def ask(self, rows: Rows) -> Vector:
        """See `Metric`."""
        if rows.groups is None or not len(rows.y):
            return np.zeros(self.size(), np.int64)
        starts = rows.groups
        kept = np.ones(len(starts) - 1, bool) if rows.weight is None else rows.weight[starts[:-1]] > 0
        out = np.empty(len(kept), np.float32)
        if self.name == "auc":
            kernels.add_pairs_in_order(rows.margin[0], rows.y, starts, out)
            kept &= np.diff(starts) >= 3
        else:
            for group, (start, end) in enumerate(pairwise(starts.tolist())):
                histogram = ScoreHistogram.of_rows(rows.margin[0, start:end], rows.y[start:end] > 0)
                out[group] = area_under_precision(histogram)[0] if histogram.has_both else 0
                kept[group] &= histogram.has_both
        return weighted_sums(out[kept], None)

    def read(self, total: Vector) -> float:
        """See `Metric`."""
        return mean_of_sums(total)


RANK_AREAS = {name: RankArea(name) for name in ("auc", "aucpr")}


def rank_metric_named(name: str) -> RankMetric | None:
    """The metric of an XGBoost name such as ``ndcg``, ``map@5`` or ``ndcg@10-``; None where it is none of these.

    Raises
    ------
    ParameterError
        If what follows the @ is no number of ranks.
    """
    bare = name.removesuffix("-")
    kind, at, top = bare.partition("@")
    if kind not in KINDS:
        return None
    if at and not (top.isdigit() and int(top) > 0):
        raise ParameterError(f"eval_metric={name!r}: what follows the @ is a number of ranks, from 1.")
    return RankMetric(name, kind, int(top) if at else ALL_RANKS, name.endswith("-"))
