"""Metrics of times that are known by bounds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedtrees.core.distributions import DISTRIBUTIONS
from fedtrees.core.ring import Vector
from fedtrees.queries import metric_kernels as kernels
from fedtrees.queries.metric import Metric, Rows, mean_of_sums, weighted_sums


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
