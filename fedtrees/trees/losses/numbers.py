"""Losses of numbers that lie around a margin."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fedtrees.core.data.table import Table
from fedtrees.core.numeric.fixed_point import exponent_of
from fedtrees.errors import ParameterError
from fedtrees.trees.kernels import gradients as gradients_kernels
from fedtrees.trees.losses.base import SAFE, ULP, Bounds, Doubles, Floats, Loss, Moves, check_rows


@dataclass(frozen=True)
class SquaredError(Loss):
    """``reg:squarederror``: the initial margin is the mean."""

    name = "reg:squarederror"
    code = gradients_kernels.SQUARED

    def intercept(self, sums: Doubles) -> Doubles:
        """See `Loss`."""
        mean: Doubles = sums[1:] / sums[0]
        return mean

    def step(self, now: Bounds, moves: Moves) -> tuple[float, float] | None:
        """See `Loss`."""
        g = now.g + now.weight * float(np.abs(moves.by).max())
        return g + (now.target + g) * ULP, now.h  # a margin is at most |y| + |g|, and rounded to float32


@dataclass(frozen=True)
class SquaredLogError(Loss):
    """``reg:squaredlogerror``: half the squared difference of logarithms of one more, of targets above -1."""

    name = "reg:squaredlogerror"
    code = gradients_kernels.SQUARED_LOG
    starts_by_newton = True

    def check(self, table: Table, y: Floats) -> None:
        """See `Loss`."""
        check_rows(table, y <= -1, "a number of -1 or less; reg:squaredlogerror takes its logarithm plus one")


@dataclass(frozen=True)
class PseudoHuber(Loss):
    """``reg:pseudohubererror``: squared near the target, straight beyond ``huber_slope``.

    Parameters
    ----------
    huber_slope : float, default 1.0
    """

    name = "reg:pseudohubererror"
    code = gradients_kernels.PSEUDO_HUBER
    starts_by_newton = True
    huber_slope: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.huber_slope) and self.huber_slope > 0):
            raise ParameterError(f"huber_slope={self.huber_slope!r}: give a number above 0.")

    def parameter(self, output: int) -> float:
        """See `Loss`."""
        return float(np.float32(self.huber_slope))  # as XGBoost keeps it

    def newton_exponent(self, weight: int, target: int) -> int:
        """See `Loss`."""
        return min(exponent_of(self.parameter(0)) + weight, target)

    def step(self, now: Bounds, moves: Moves) -> tuple[float, float] | None:
        """See `Loss`."""
        # the ratio of s**2 + z**2 before and after z moves by m is largest at some z, where it is this
        slope = self.parameter(0)
        m = float(np.abs(moves.by).max()) / slope
        ratio = (m * m + 2 + m * math.sqrt(m * m + 4)) / 2
        g = now.g + now.weight * m * slope  # the slope of g is at most 1
        g += (now.target + now.weight * slope) * ULP
        return min(g, now.weight * slope), min(now.h * ratio**1.5 * SAFE, now.weight)
