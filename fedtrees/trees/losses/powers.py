"""Losses with a logarithm for a link: counts, sizes, and sums of sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fedtrees.core.data.table import Table
from fedtrees.errors import DataError, ParameterError
from fedtrees.trees.kernels import gradients as gradients_kernels
from fedtrees.trees.losses.base import SAFE, Bounds, Doubles, Floats, Loss, Moves, check_rows


def _grown(moves: Moves, rate: float, hessian: float) -> float:
    """Return the largest of hessians that grow by ``exp(rate * move)``: none is larger than its leaf's sum of them."""
    with np.errstate(over="ignore"):
        grown = np.minimum(moves.hessian, hessian) * np.exp(rate * moves.by)
    return float(grown.max()) * SAFE


@dataclass(frozen=True)
class _LogLink(Loss):
    """A loss whose predictions are e to the margin; the initial one is the mean."""

    def check(self, table: Table, y: Floats) -> None:
        """See `Loss`."""
        check_rows(table, y < 0, f"a negative number; {self.name} needs 0 or more")

    def intercept(self, sums: Doubles) -> Doubles:
        """See `Loss`."""
        mean: Doubles = sums[1:] / sums[0]
        if not (mean > 0).all():
            raise DataError(f"y is 0 in every row that has a weight; {self.name} needs one above 0.")
        return np.log(mean)

    def link(self, base_score: float) -> float:
        """See `Loss`."""
        return math.log(base_score)


@dataclass(frozen=True)
class PoissonLoss(_LogLink):
    """``count:poisson``: g = exp(p) - y; XGBoost keeps its hessian, exp(p + max_delta_step), on the safe side.

    Parameters
    ----------
    max_delta_step : float, default 0.7
    """

    name = "count:poisson"
    code = gradients_kernels.POISSON
    max_delta_step: float = 0.7

    def __post_init__(self) -> None:
        if not 0 <= self.max_delta_step <= 80:  # e to more is beyond float32
            raise ParameterError(f"max_delta_step={self.max_delta_step!r}: give a number from 0 to 80.")

    def parameter(self, output: int) -> float:
        """See `Loss`."""
        return float(np.float32(self.max_delta_step))  # as XGBoost keeps it

    def step(self, now: Bounds, moves: Moves) -> tuple[float, float] | None:
        """See `Loss`."""
        h = _grown(moves, 1.0, now.h)
        return max(now.target, h * math.exp(-self.parameter(0)) * SAFE), h  # |a - b| <= max(a, b)


@dataclass(frozen=True)
class Gamma(_LogLink):
    """``reg:gamma``: g = 1 - y exp(-p), h = y exp(-p), of targets above 0."""

    name = "reg:gamma"
    code = gradients_kernels.GAMMA

    def check(self, table: Table, y: Floats) -> None:
        """See `Loss`."""
        check_rows(table, y <= 0, "a number of 0 or less; reg:gamma needs more than 0")

    def step(self, now: Bounds, moves: Moves) -> tuple[float, float] | None:
        """See `Loss`."""
        h = _grown(moves, -1.0, now.h)
        return max(now.weight, h), h


@dataclass(frozen=True)
class Tweedie(_LogLink):
    """``reg:tweedie``: between Poisson (1) and gamma (2).

    Parameters
    ----------
    tweedie_variance_power : float, default 1.5
        From 1 to below 2.
    """

    name = "reg:tweedie"
    code = gradients_kernels.TWEEDIE
    tweedie_variance_power: float = 1.5

    def __post_init__(self) -> None:
        if not 1 <= self.tweedie_variance_power < 2:
            given = f"tweedie_variance_power={self.tweedie_variance_power!r}"
            raise ParameterError(f"{given}: give a number from 1 to below 2.")

    def metric(self) -> str:
        """See `Loss`."""
        return f"tweedie-nloglik@{self.tweedie_variance_power:g}"

    def parameter(self, output: int) -> float:
        """See `Loss`."""
        return float(np.float32(self.tweedie_variance_power))  # as XGBoost keeps it

    def step(self, now: Bounds, moves: Moves) -> tuple[float, float] | None:
        """See `Loss`."""
        # g = b - a and h = (r - 1) a + (2 - r) b, where a falls and b grows with the margin, neither below 0
        r = self.parameter(0)
        falling, growing = _grown(moves, 1 - r, now.h), _grown(moves, 2 - r, now.h)
        a = falling / (r - 1) if r > 1 else now.target * SAFE
        return max(a, growing / (2 - r)), max(falling, growing)
