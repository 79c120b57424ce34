"""Metrics of times that are known by bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from fedtrees.core.numeric.distributions import DISTRIBUTIONS
from fedtrees.core.numeric.elementary import MOST_MARGIN
from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.queries import metric_kernels as kernels
from fedtrees.queries.hazards import LIMBS, MOST_BINS, bound_of_limbs, hazard_limbs, restore_limbs
from fedtrees.queries.metric import Metric, Rows, mean_of_sums, weighted_sums
from fedtrees.queries.sums import N_PLACES, bound_of_sums, restore_sum, sums_by_power


@dataclass(frozen=True)
class FailureTimeLoss(Metric):
    """``aft-nloglik``: minus the logarithm of the likelihood, by the objective's distribution and scale."""

    name = "aft-nloglik"

    def fits(self, objective: str) -> bool:
        """See `Metric`."""
        return objective == "survival:aft"

    def ask(self, rows: Rows) -> Vector:
        """See `Metric`."""
        if not len(rows.y):
            return np.zeros(self.size(), np.int64)
        out = np.empty(len(rows.y), np.float32)
        kind = DISTRIBUTIONS[rows.params["aft_loss_distribution"]]
        scale = float(np.float32(rows.params["aft_loss_distribution_scale"]))
        kernels.add_failure_times(kind, scale, rows.margin[0], rows.y[:, 0], rows.y[:, 1], out)
        return weighted_sums(out, rows.weight)

    def read(self, total: Vector) -> float:
        """See `Metric`."""
        return mean_of_sums(total)


@dataclass(frozen=True)
class PartialLikelihood(Metric):
    """``cox-nloglik``: minus the logarithm of the partial likelihood, a mean over events, by the training's times.

    Margins beyond 80 count as 80, either way, in both halves of the likelihood: it is never negative.
    """

    name = "cox-nloglik"

    def fits(self, objective: str) -> bool:
        """See `Metric`."""
        return objective == "survival:cox"

    def size(self) -> int:
        """See `Metric`."""
        return 2 * MOST_BINS * LIMBS + N_PLACES

    def touches(self) -> int:
        """See `Metric`."""
        return 9

    def bound(self, rows: int) -> int:
        """See `Metric`."""
        return max(bound_of_limbs(rows), bound_of_sums(rows))

    def ask(self, rows: Rows) -> Vector:
        """See `Metric`."""
        if rows.bins is None or not len(rows.y):
            return np.zeros(self.size(), np.int64)
        weight = np.ones(1, np.float32) if rows.weight is None else rows.weight
        limbs = hazard_limbs(rows.margin[0], rows.y, weight, rows.bins, MOST_BINS)
        happened = np.where(rows.y > 0, weight, np.float32(0)) * np.clip(rows.margin[0], -MOST_MARGIN, MOST_MARGIN)
        return np.concatenate([limbs.reshape(-1), sums_by_power(happened)])

    def read(self, total: Vector) -> float:
        """See `Metric`; NaN where nothing happened."""
        hazards, events = (restore_limbs(limbs) for limbs in total[:-N_PLACES].reshape(2, MOST_BINS, LIMBS))
        at_risk, likelihood = Fraction(0), restore_sum(total[-N_PLACES:])
        for hazard, happened in zip(reversed(hazards), reversed(events), strict=True):
            at_risk += hazard
            if happened:
                likelihood -= float(happened) * math.log(at_risk)
        return -likelihood / float(sum(events)) if any(events) else math.nan


@dataclass(frozen=True)
class IntervalAccuracy(Metric):
    """``interval-regression-accuracy``: the share of predictions that lie within the bounds."""

    name = "interval-regression-accuracy"
    maximise = True

    def fits(self, objective: str) -> bool:
        """See `Metric`."""
        return objective == "survival:aft"

    def ask(self, rows: Rows) -> Vector:
        """See `Metric`."""
        if not len(rows.y):
            return np.zeros(self.size(), np.int64)
        predicted = rows.prediction()
        within = (predicted >= rows.y[:, 0]) & (predicted <= rows.y[:, 1])
        return weighted_sums(within.astype(np.float32), rows.weight)

    def read(self, total: Vector) -> float:
        """See `Metric`."""
        return mean_of_sums(total)
