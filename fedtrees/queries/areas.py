"""Areas under curves of ranked scores, and bounds of what buckets leave open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedtrees.queries.metric import Metric
from fedtrees.queries.score_histogram import ScoreHistogram

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class AreaRead:
    """An area, and bounds of its error.

    Attributes
    ----------
    value : float
    doubts : sequence of float64 (buckets,)
        The most by which each bucket's unknown order can move it, of each histogram.
    """

    value: float
    doubts: Sequence[Doubles]

    @property
    def uncertainty(self) -> float:
        """The most by which the area may be off."""
        return math.fsum(float(doubt.sum()) for doubt in self.doubts)


@dataclass(frozen=True)
class Area(Metric):
    """``auc`` and ``aucpr``: of two classes, or of each class against all others.

    Of several classes, ``auc`` is the mean weighted by how frequent they are and ``aucpr`` the plain one, as in
    XGBoost. Rows of equal scores count as ties. So do those that share a bucket of other scores, which is all that is
    unknown: `AreaRead.uncertainty` bounds what it can change.
    """

    name: str
    maximise = True

    def fits(self, objective: str) -> bool:
        """See `Metric`."""
        return objective.startswith(("binary:", "multi:"))

    def read_histograms(self, histograms: Sequence[ScoreHistogram]) -> AreaRead:
        """The area from a histogram of each class against the others, or of the second one alone; NaN if a class lacks.

        Parameters
        ----------
        histograms : sequence of ScoreHistogram
        """
        nothing = [np.zeros(len(histogram.edges)) for histogram in histograms]
        if not all(histogram.has_both for histogram in histograms):
            return AreaRead(math.nan, nothing)
        of_each = area_under_roc if self.name == "auc" else area_under_precision
        masses = np.array([float(histogram.positive.sum()) for histogram in histograms])
        shares = masses / masses.sum() if self.name == "auc" else np.full(len(masses), 1 / len(masses))
        value, doubts = 0.0, []
        for share, histogram in zip(shares.tolist(), histograms, strict=True):
            area, doubt = of_each(histogram)
            value += share * area
            doubts.append(share * doubt)
        return AreaRead(value, doubts)


def area_under_roc(histogram: ScoreHistogram) -> tuple[float, Doubles]:
    """The share of pairs of both classes that are in order, ties counting half, and half of each bucket's unknown ones.

    Examples
    --------
    >>> edges = np.array([0, 7, 8])
    >>> area, doubts = area_under_roc(ScoreHistogram(edges, np.array([0, 1, 1]), np.array([1, 1, 0])))
    >>> area, doubts.tolist()
    (0.875, [0.0, 0.0, 0.0])
    """
    positive, negative = _from_the_top(histogram)
    above = np.cumsum(positive) - positive / 2
    pairs = float(positive.sum()) * float(negative.sum())
    open_pairs = np.where(histogram.tied, 0.0, positive[::-1] * negative[::-1])
    return float(negative @ above / pairs), open_pairs / (2 * pairs)


def area_under_precision(histogram: ScoreHistogram) -> tuple[float, Doubles]:
    """The area under precision over recall, by the interpolation of Davis and Goadrich (2006), as XGBoost has it.

    A bucket of unknown order adds the most if its positive rows come first, the least if they come last.
    """
    positive, negative = _from_the_top(histogram)
    whole = positive.sum()
    after_p, after_n = np.cumsum(positive), np.cumsum(negative)
    (gained,) = np.nonzero(positive > 0)
    a, b = (after_p[gained] - positive[gained]) / whole, after_p[gained] / whole
    before_n, after_n = (after_n[gained] - negative[gained]) / whole, after_n[gained] / whole
    h = negative[gained] / positive[gained]
    area = _area_between(a, b, before_n, h)
    most, least = (_area_between(a, b, n, np.zeros(len(n))) for n in (before_n, after_n))
    doubts = np.zeros(len(positive))
    doubts[gained] = np.maximum(0, np.maximum(most - area, area - least))
    return float(area.sum()), np.where(histogram.tied, 0.0, doubts[::-1])


def _area_between(a: Doubles, b: Doubles, n: Doubles, h: Doubles) -> Doubles:
    """The area from recall a to b, where false positives start from n and grow by h for each true one.

    Precision is ``x / (x + n + h (x - a))``, all in shares of the positive rows.
    """
    k = (n - h * a) / (1 + h)
    with np.errstate(divide="ignore", invalid="ignore"):
        curved = (b - a - k * np.log1p((b - a) * (1 + h) / (a + n))) / (1 + h)
    straight: Doubles = (b - a) / (1 + h)
    return np.where(k == 0, straight, curved)


def _from_the_top(histogram: ScoreHistogram) -> tuple[Doubles, Doubles]:
    """The weights of both classes from the highest score down, float64 (buckets,)."""
    return histogram.positive[::-1].astype(np.float64), histogram.negative[::-1].astype(np.float64)
