"""Losses of times until an event, of which some are known by bounds alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fedtrees.core.data.table import Table
from fedtrees.core.numeric.distributions import DISTRIBUTIONS
from fedtrees.errors import ParameterError, unknown_value
from fedtrees.trees.kernels import survival as survival_kernels
from fedtrees.trees.losses.base import Doubles, Floats, Loss, Ranges, check_rows


@dataclass(frozen=True)
class ProportionalHazards(Loss):
    """``survival:cox``: the partial likelihood; Cox (1972), with ties as Breslow (1974) has them.

    A target above 0 is the time of an event, one below 0 is minus the time until which there was none. Predictions are
    hazard ratios. Where weights differ, risk sets count them, which XGBoost's do not.

    Law: the model is the same bytes for every partition. It is XGBoost's where times differ and there are no more than
    4096 of them; of more, times in one of 4096 bins count as equal. See `trees.messages.risk_sets`.
    """

    name = "survival:cox"
    spans_orders = True

    def intercept(self, sums: Doubles) -> Doubles:
        """See `Loss`; what all rows share changes no ratio."""
        return np.zeros(1)

    def link(self, base_score: float) -> float:
        """See `Loss`."""
        return math.log(base_score)

    def outputs(self, n_labels: int, targets: int = 1) -> int:
        """See `Loss`."""
        if targets != 1:
            raise ParameterError(f"{self.name} needs y of one column, and it has {targets}.")
        return 1


@dataclass(frozen=True)
class AcceleratedFailureTime(Loss):
    """``survival:aft``: the logarithm of a time is the margin plus noise; Barnwal, Cho and Hocking (2020).

    Targets are (lower bound, upper bound) of each time: equal where it is known, an infinite upper one where it is
    censored on the right, a lower one of 0 where it is on the left.

    Parameters
    ----------
    aft_loss_distribution : {"normal", "logistic", "extreme"}, default "normal"
        Of the noise.
    aft_loss_distribution_scale : float, default 1.0
    """

    name = "survival:aft"
    open_above = True
    keeps_hessians = True
    spans_orders = True
    aft_loss_distribution: str = "normal"
    aft_loss_distribution_scale: float = 1.0

    def __post_init__(self) -> None:
        if self.aft_loss_distribution not in DISTRIBUTIONS:
            raise unknown_value("aft_loss_distribution", self.aft_loss_distribution, DISTRIBUTIONS)
        scale = self.aft_loss_distribution_scale
        if not (math.isfinite(scale) and 1e-6 <= scale <= 1e6):
            raise ParameterError(f"aft_loss_distribution_scale={scale!r}: give a number from 1e-6 to 1e6.")

    def outputs(self, n_labels: int, targets: int = 1) -> int:
        """See `Loss`."""
        if targets != 2:
            raise ParameterError(
                f"{self.name} needs y of two columns, the lower and the upper bound; it has {targets}."
            )
        return 1

    def check(self, table: Table, y: Floats) -> None:
        """See `Loss`."""
        if y.ndim != 2:
            return  # `outputs` refuses other numbers of columns
        lower, upper = y.T
        check_rows(table, lower < 0, "a lower bound below 0; times are 0 or more")
        check_rows(table, lower > upper, "a lower bound above the upper one")
        check_rows(table, upper <= 0, "an upper bound of 0; a time is above 0")

    def intercept(self, sums: Doubles) -> Doubles:
        """See `Loss`; XGBoost estimates nothing here, either."""
        return np.array([math.log(0.5)])

    def link(self, base_score: float) -> float:
        """See `Loss`."""
        return math.log(base_score)

    def bound(self) -> tuple[float, float] | None:
        """See `Loss`."""
        return survival_kernels.MOST, survival_kernels.MOST

    def statistics(self, margin: Floats, y: Floats, weight: Floats, ranges: Ranges, g: Doubles, h: Doubles) -> None:
        """See `Loss`."""
        scale = float(np.float32(self.aft_loss_distribution_scale))  # as XGBoost keeps it
        kind = DISTRIBUTIONS[self.aft_loss_distribution]
        survival_kernels.aft_statistics(kind, scale, margin[0], y[:, 0], y[:, 1], weight, ranges, g[0], h[0])
