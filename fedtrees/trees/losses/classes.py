"""Losses of class labels, and of shares between 0 and 1."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fedtrees.core.data.table import Table
from fedtrees.errors import ParameterError
from fedtrees.trees.kernels import gradients as gradients_kernels
from fedtrees.trees.losses.base import Doubles, Floats, Loss, Ranges, check_rows

MOST_POSITIVE_WEIGHT = 2.0**64
# XGBoost's shares of a class that no row is of, and of one that all are of, as float32 has them
LEAST_SHARE, MOST_SHARE = float(np.float32(1e-6)), float(np.float32(1 - 1e-6))


def _rarest(shares: Doubles) -> float:
    """The smallest of some shares that are not 0."""
    return float(min((share for share in shares.tolist() if share > 0), default=1.0))


def log_odds(share: float) -> float:
    """The margin of a probability."""
    return math.log(share / (1 - share))


@dataclass(frozen=True)
class Logistic(Loss):
    """``binary:logistic``: the initial margin is the log-odds of the second class.

    Parameters
    ----------
    scale_pos_weight : float, default 1.0
        Factor of the weights of the second class's rows.
    """

    name = "binary:logistic"
    classification = True
    code = gradients_kernels.LOGISTIC
    keeps_hessians = True
    kernel = staticmethod(gradients_kernels.logistic)
    scale_pos_weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.scale_pos_weight <= MOST_POSITIVE_WEIGHT:
            given = f"scale_pos_weight={self.scale_pos_weight!r}"
            raise ParameterError(f"{given}: give a number above 0 to {MOST_POSITIVE_WEIGHT}.")

    def weighted(self, weight: Floats, y: Floats) -> Floats:
        """See `Loss`."""
        scale = np.float32(self.scale_pos_weight)
        return weight if scale == 1 else np.where(y == 1, weight * scale, weight)

    def weight_span(self) -> int:
        """See `Loss`."""
        return math.ceil(abs(math.log2(self.scale_pos_weight)))

    def sides(self, sums: Doubles) -> tuple[Doubles, Doubles]:
        """The weights of the first class and of the second, float64 (outputs,) each, from `LabelSums`."""
        return sums[:1], self.scale_pos_weight * sums[1:]

    def least_share(self, sums: Doubles) -> float:
        """See `Loss`."""
        first, second = self.sides(sums)
        return _rarest(np.concatenate([first, second]) / np.tile(first + second, 2))

    def largest_hessians(self, sums: Doubles) -> float:
        """See `Loss`."""
        first, second = self.sides(sums)
        return float((first + second).sum()) / 4

    def intercept(self, sums: Doubles) -> Doubles:
        """See `Loss`."""
        return self.of_sides(sums[:1], sums[1:])

    def of_sides(self, first: Doubles, second: Doubles) -> Doubles:
        """The initial margins, from the weights of the first class and of the second, float64 (outputs,) each."""
        if self.scale_pos_weight == 1:
            return self.of_share(second / (first + second))
        more = self.scale_pos_weight * second
        step: Doubles = 2 * (more - first) / (more + first)  # XGBoost then takes a Newton step from 0
        return step

    def of_share(self, share: Doubles) -> Doubles:
        """The margin of a share of the second class; where rows are all of one class, XGBoost's."""
        share = np.where(share == 0, LEAST_SHARE, np.where(share == 1, MOST_SHARE, share))
        return np.log(share / (1 - share))

    def link(self, base_score: float) -> float:
        """See `Loss`."""
        return log_odds(base_score)

    def bound(self) -> tuple[float, float] | None:
        """See `Loss`."""
        largest = max(1.0, float(np.float32(self.scale_pos_weight)))
        return largest, largest / 4


@dataclass(frozen=True)
class LogitRaw(Logistic):
    """``binary:logitraw``: predictions are margins; the initial one is the second class's share, as in XGBoost."""

    name = "binary:logitraw"

    def of_share(self, share: Doubles) -> Doubles:
        """See `Logistic`."""
        return share

    def link(self, base_score: float) -> float:
        """See `Loss`."""
        return base_score


@dataclass(frozen=True)
class Share(Loss):
    """``reg:logistic``: targets are shares from 0 to 1."""

    name = "reg:logistic"
    code = gradients_kernels.LOGISTIC
    keeps_hessians = True
    kernel = staticmethod(gradients_kernels.logistic)

    def check(self, table: Table, y: Floats) -> None:
        """See `Loss`."""
        check_rows(table, (y < 0) | (y > 1), "a number that is not from 0 to 1; reg:logistic needs shares")

    def least_share(self, sums: Doubles) -> float:
        """See `Loss`."""
        shares = sums[1:] / sums[0]
        return _rarest(np.concatenate([shares, 1 - shares]))

    def largest_hessians(self, sums: Doubles) -> float:
        """See `Loss`."""
        return float(sums[0]) / 4

    def intercept(self, sums: Doubles) -> Doubles:
        """See `Loss`."""
        share = np.clip(sums[1:] / sums[:1], 1e-6, 1 - 1e-6)  # XGBoost's limits, where all are 0 or 1
        return np.log(share / (1 - share))

    def link(self, base_score: float) -> float:
        """See `Loss`."""
        return log_odds(base_score)

    def bound(self) -> tuple[float, float] | None:
        """See `Loss`."""
        return 1.0, 0.25


@dataclass(frozen=True)
class Hinge(Loss):
    """``binary:hinge``: predictions are 0 or 1; the initial margin is the larger class, as in XGBoost."""

    name = "binary:hinge"
    classification = True
    code = gradients_kernels.HINGE

    def intercept(self, sums: Doubles) -> Doubles:
        """See `Loss`."""
        return self.of_sides(sums[:1], sums[1:])

    def of_sides(self, first: Doubles, second: Doubles) -> Doubles:
        """See `Logistic`."""
        return (second > first).astype(np.float64)

    def bound(self) -> tuple[float, float] | None:
        """See `Loss`."""
        return 1.0, 1.0


@dataclass(frozen=True)
class Softprob(Loss):
    """``multi:softprob``: initial margins are the logarithms of the classes' shares, less their mean."""

    name = "multi:softprob"
    classification = True
    kernel = staticmethod(gradients_kernels.softmax)
    keeps_hessians = True

    def outputs(self, n_labels: int, targets: int = 1) -> int:
        """See `Loss`; of one class only, a second output stands for all that is not of it."""
        return max(2, n_labels)

    def least_share(self, sums: Doubles) -> float:
        """See `Loss`."""
        return _rarest(sums / sums.sum())

    def largest_hessians(self, sums: Doubles) -> float:
        """See `Loss`."""
        return float(sums.sum()) / 2

    def intercept(self, sums: Doubles) -> Doubles:
        """See `Loss`."""
        logs = np.log(sums / sums.sum() + 1e-6)  # the constant is XGBoost's
        centred: Doubles = logs - logs.mean()
        return centred

    def bound(self) -> tuple[float, float] | None:
        """See `Loss`."""
        return 1.0, 0.5

    def statistics(self, margin: Floats, y: Floats, weight: Floats, ranges: Ranges, g: Doubles, h: Doubles) -> None:
        """See `Loss`."""
        gradients_kernels.softmax_statistics(margin, y, weight, ranges, g, h)


@dataclass(frozen=True)
class Softmax(Softprob):
    """``multi:softmax``: as ``multi:softprob``, but the Booster predicts the likeliest class."""

    name = "multi:softmax"
