"""Split finding over summed histograms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.ring import Vector
from fedtrees.trees import split_kernels
from fedtrees.trees.grid import Grid
from fedtrees.trees.tree import Cuts

if TYPE_CHECKING:
    from fedtrees.core.threads import Threads

SMALLEST_GAIN = 1e-6  # XGBoost's kRtEps: what gains less is noise


@dataclass(frozen=True)
class SplitRule:
    """What a split must reach, and how a leaf is valued; names and meanings are XGBoost's."""

    reg_lambda: float = 1.0
    reg_alpha: float = 0.0
    gamma: float = 0.0
    min_child_weight: float = 1.0
    learning_rate: float = 0.3
    max_delta_step: float = 0.0  # none

    def leaf(self, g: NDArray[np.floating], h: NDArray[np.floating]) -> NDArray[np.float32]:
        """What leaves of these sums add to the margin, 0 where h is too small.

        Equation 5 of Chen and Guestrin (2016), with the soft threshold of an L1 penalty.
        """
        soft = np.sign(g) * np.maximum(np.abs(g) - self.reg_alpha, 0)
        enough = (h > 0) & (h >= self.min_child_weight)
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = np.where(enough, -soft / (h + self.reg_lambda), 0.0)
        if self.max_delta_step:
            weight = np.clip(weight, -self.max_delta_step, self.max_delta_step)
        largest = np.finfo(np.float32).max
        return np.clip(weight * self.learning_rate, -largest, largest).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Splits:
    """The best split of each node; ``feature`` is -1 where none is good enough.

    ``left`` and ``right`` are the children's exact sums of (G, H), int64 (nodes, 2).
    """

    feature: NDArray[np.int32]
    bin: NDArray[np.int32]
    default_left: NDArray[np.bool_]
    gain: NDArray[np.float64]
    left: Vector
    right: Vector


@dataclass(frozen=True)
class Units:
    """What one step of the quantised gradient and hessian stands for."""

    g: float
    h: float

    @staticmethod
    def of(grid: Grid) -> Units:
        """The units of a grid."""
        scale_g, scale_h = grid.scales()
        return Units(1 / scale_g, 1 / scale_h)  # powers of two


def best_splits(
    histograms: Vector,
    places: NDArray[np.int64],
    totals: Vector,
    cuts: Cuts,
    rule: SplitRule,
    units: Units,
    threads: Threads,
) -> Splits:
    """Find each node's best split.

    Law: a function of the integer sums alone. Ties go to the lowest feature, then where XGBoost's
    go: missing right in the lowest bin, before missing left in the highest.

    Parameters
    ----------
    histograms : int64 (places, 2, bins)
    places : int64 (nodes,)
        Where among them each node's histogram stands.
    totals : int64 (nodes, 2)
        The nodes' own sums.
    """
    nodes = len(totals)
    gain = np.zeros(nodes)
    feature, split = np.full(nodes, -1, np.int32), np.zeros(nodes, np.int32)
    default_left, left = np.zeros(nodes, bool), np.zeros((nodes, 2), np.int64)

    def search(first: int) -> None:
        split_kernels.best_splits(
            histograms, places, totals, first, min(first + step, nodes), cuts.bin_offsets, cuts.n_values, cuts.missing,
            units.g, units.h, rule.reg_alpha, rule.reg_lambda, rule.min_child_weight,
            gain, feature, split, default_left, left,
        )  # fmt: skip

    step = max(1, -(-nodes // threads.n))
    threads.map(search, range(0, nodes, step))
    feature[(gain <= SMALLEST_GAIN) | (gain < rule.gamma)] = -1
    return Splits(feature, split, default_left, gain, left, totals - left)
