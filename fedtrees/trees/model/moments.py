"""The moments of nodes of numbers: weight, mean, variance and deviance, from sums that nothing was rounded in.

A leaf's rows come to a weight W, and to S = sum of w y and Q = sum of w y**2 (see `moment_kernels`). Its targets are
all the same if and only if W Q = S**2, by the inequality of Cauchy and Schwarz; its variance is (W Q - S**2) / W**2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import WORD_BITS, Vector, exponent_of
from fedtrees.trees.kernels import moments as moments_kernels
from fedtrees.trees.kernels.histogram import STATISTIC_BITS_H
from fedtrees.trees.model.gradient_scale import GradientScale

Doubles = NDArray[np.float64]

TERMS = 5  # binary digits of the number of products that a row adds to one digit: 3 by 3 parts, of two halves each
MOST_DIGIT = 38  # binary digits of a digit: shifted by as many, a half of a product still fits a word
MANTISSA = 24  # of a float32
DEVIANCE = 64  # binary digits below what they are measured from that deviances are told to; float64 has fewer


class MomentScale(NamedTuple):
    """How moments are written as digits.

    Attributes
    ----------
    bits : int
        Binary digits of a digit.
    weight, target, deviance : int
        The powers of two that weights, targets and deviances are whole numbers of.
    digits : tuple of int
        Of each moment: weights, first and second moments of targets, and deviances where they are asked for.
    """

    bits: int
    weight: int
    target: int
    deviance: int
    digits: tuple[int, ...]

    @property
    def lows(self) -> NDArray[np.int64]:
        """The power of two of each moment's lowest digit, int64 (moments,)."""
        above = (0, self.target, 2 * self.target, self.deviance)
        return np.array([self.weight + own for own in above[: len(self.digits)]], np.int64)

    @property
    def ends(self) -> NDArray[np.int64]:
        """Where each moment's digits end, int64 (moments,)."""
        return np.cumsum(self.digits, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class MomentPlan:
    """What nodes' moments are measured by, for a whole training.

    Attributes
    ----------
    rows : int
        Rows, as often as they count or may be drawn.
    target : (int, int)
        The power of two that all targets are whole numbers of, and one that none is above.
    weight : (int, int), optional
        The same of weights; None where each round's grid has it.
    span : int
        Binary digits between the lightest and the heaviest weight; 0 where rows count several times instead.
    base : float64 (outputs,)
        What margins start from.
    centre : float64 (outputs,) or (0,)
        Predictions that deviances are measured from, where they are asked for.
    """

    rows: int
    target: tuple[int, int]
    weight: tuple[int, int] | None
    span: int
    base: Doubles
    centre: Doubles

    def scale(self, grid: GradientScale) -> MomentScale:
        """How a round's moments are written."""
        (low, high), (light, heavy) = self.target, self.weight_of(grid)
        bits = min(MOST_DIGIT, WORD_BITS - 1 - TERMS - max(self.rows, 1).bit_length())
        spans, deviance = [heavy - light, heavy - light + high - low, heavy - light + 2 * (high - low)], 0
        if len(self.centre):
            largest = max(float(np.max(self.centre)), math.ldexp(1.0, high) * max(0.0, self._most_logarithm(high)))
            deviance = exponent_of(float(np.min(self.centre))) - DEVIANCE
            spans.append(heavy - light + exponent_of(largest) - deviance)
        return MomentScale(bits, light, low, deviance, tuple(own // bits + 1 for own in spans))

    def _most_logarithm(self, high: int) -> float:
        return high * math.log(2) - math.log(float(np.min(self.centre)))

    def lightest(self, grid: GradientScale) -> float:
        """What no row weighs less than."""
        low, high = self.weight_of(grid)
        return math.ldexp(1.0, low if self.weight is None or low == high else high - self.span - 1)

    def weight_of(self, grid: GradientScale) -> tuple[int, int]:
        """The power of two that weights are whole numbers of, and one that none is above."""
        return (grid.h - STATISTIC_BITS_H - grid.extra, grid.h) if self.weight is None else self.weight


@dataclass(frozen=True, eq=False)
class Moments:
    """What nodes' rows come to, by node of a tree.

    Attributes
    ----------
    weight : float64 (nodes,)
    mean : float64 (nodes, outputs)
    variance : float64 (nodes, outputs)
    deviance : float64 (nodes, outputs) or (nodes, 0)
        Half the mean Poisson deviance from the mean, where that is what splits save.
    differ : bool (nodes,)
        Whether targets do.
    """

    weight: Doubles
    mean: Doubles
    variance: Doubles
    deviance: Doubles
    differ: NDArray[np.bool_]

    @property
    def impurity(self) -> Doubles:
        """Of each node, the mean of its outputs: float64 (nodes,)."""
        own: Doubles = (self.deviance if self.deviance.shape[1] else self.variance).mean(axis=1)
        return own

    def take(self, nodes: NDArray[Any]) -> Moments:
        """Those of some nodes."""
        return Moments(
            self.weight[nodes], self.mean[nodes], self.variance[nodes], self.deviance[nodes], self.differ[nodes]
        )

    @staticmethod
    def of_outputs(parts: list[Moments]) -> Moments:
        """The outputs' moments of the same nodes side by side."""
        sides = {
            name: np.concatenate([getattr(own, name) for own in parts], 1) for name in ("mean", "variance", "deviance")
        }
        return Moments(parts[0].weight, differ=np.any([own.differ for own in parts], axis=0), **sides)

    @staticmethod
    def read(digits: Vector, scale: MomentScale, base: float, centre: float | None) -> Moments:
        """The moments of nodes of one output.

        digits: int64 (nodes, digits)
        base: float; what nodes without rows predict
        centre: float, optional; what deviances are measured from
        """
        n = len(digits)
        weight, mean, variance, deviance = np.zeros((4, n))
        differ = np.zeros(n, bool)
        moments_kernels.read_moments(digits, scale.bits, scale.ends, weight, mean, variance, deviance, differ)
        mean = np.ldexp(mean, scale.target)
        mean = np.where(differ, mean, mean.astype(np.float32))  # targets are float32, and so is what all of them are
        mean = np.where(weight > 0, mean, base)[:, None]
        variance = np.ldexp(variance, 2 * scale.target)[:, None]
        weight = np.ldexp(weight, scale.weight)
        if centre is None:
            return Moments(weight, mean, variance, np.zeros((n, 0)), differ)
        own = np.maximum(np.ldexp(deviance, scale.deviance) - _deviance(mean[:, 0], centre), 0.0)
        return Moments(weight, mean, variance, np.where(differ, own, 0.0)[:, None], differ)


def _deviance(mean: Doubles, centre: float) -> Doubles:
    """`moments_kernels.deviance` of each mean."""
    above = np.where(mean > 0, mean, centre)
    near = above > centre / 2
    logarithm = np.where(near, np.log1p(np.where(near, (above - centre) / centre, 0.0)), np.log(above / centre))
    return np.where(mean > 0, mean * logarithm - (mean - centre), centre)
