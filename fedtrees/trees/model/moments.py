"""The moments of nodes of numbers: weight, mean, variance and deviance, from sums without any rounding.

A leaf's rows come to a weight W, and to S = sum of w y and Q = sum of w y**2 (see `kernels.moments`). Its targets are
all the same if and only if W Q = S**2, by the inequality of Cauchy and Schwarz; its variance is (W Q - S**2) / W**2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

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
DEVIANCE = 64  # binary digits of deviances below the prediction they are measured from; float64 has fewer


class MomentScale(NamedTuple):
    """The powers of two and the digits that moments are written in.

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
        return np.array([self.weight + power for power in above[: len(self.digits)]], np.int64)

    @property
    def ends(self) -> NDArray[np.int64]:
        """The ends of each moment's digits, int64 (moments,)."""
        return np.cumsum(self.digits, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class MomentPlan:
    """The units of nodes' moments, for a whole training.

    Attributes
    ----------
    rows : int
        Rows, as often as they count or may be drawn.
    target : (int, int)
        The power of two that all targets are whole numbers of, and one that none is above.
    weight : (int, int), optional
        The same of weights; None where each round's gradient scale has it.
    span : int
        Binary digits between the lightest and the heaviest weight; 0 where rows count several times instead.
    base : float64 (outputs,)
        The initial margins.
    centre : float64 (outputs,) or (0,)
        Predictions that deviances are measured from, where they are asked for.
    """

    rows: int
    target: tuple[int, int]
    weight: tuple[int, int] | None
    span: int
    base: Doubles
    centre: Doubles

    def scale(self, gradient_scale: GradientScale) -> MomentScale:
        """Return the scale that a round's moments are written in."""
        (low, high), (light, heavy) = self.target, self.weight_of(gradient_scale)
        bits = min(MOST_DIGIT, WORD_BITS - 1 - TERMS - max(self.rows, 1).bit_length())
        spans, deviance = [heavy - light, heavy - light + high - low, heavy - light + 2 * (high - low)], 0
        if len(self.centre):
            largest = max(float(np.max(self.centre)), math.ldexp(1.0, high) * max(0.0, self._most_logarithm(high)))
            deviance = exponent_of(float(np.min(self.centre))) - DEVIANCE
            spans.append(heavy - light + exponent_of(largest) - deviance)
        return MomentScale(bits, light, low, deviance, tuple(span // bits + 1 for span in spans))

    def _most_logarithm(self, high: int) -> float:
        """Return the largest logarithm of a target over a centre."""
        return high * math.log(2) - math.log(float(np.min(self.centre)))

    def lightest(self, gradient_scale: GradientScale) -> float:
        """Return a weight that no row is below."""
        low, high = self.weight_of(gradient_scale)
        return math.ldexp(1.0, low if self.weight is None or low == high else high - self.span - 1)

    def weight_of(self, gradient_scale: GradientScale) -> tuple[int, int]:
        """Return the power of two that weights are whole numbers of, and one that none is above."""
        return (
            (gradient_scale.h - STATISTIC_BITS_H - gradient_scale.extra, gradient_scale.h)
            if self.weight is None
            else self.weight
        )


@dataclass(frozen=True, eq=False)
class Moments:
    """Moments of nodes' rows, by node of a tree.

    Attributes
    ----------
    weight : float64 (nodes,)
    mean : float64 (nodes, outputs)
    variance : float64 (nodes, outputs)
    deviance : float64 (nodes, outputs) or (nodes, 0)
        Half the mean Poisson deviance from the mean, where splits are chosen by it.
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
        """The mean impurity of each node's outputs, float64 (nodes,)."""
        impurity: Doubles = (self.deviance if self.deviance.shape[1] else self.variance).mean(axis=1)
        return impurity

    def take(self, nodes: NDArray[np.integer] | NDArray[np.bool_]) -> Moments:
        """Return the moments of some nodes."""
        return Moments(
            self.weight[nodes], self.mean[nodes], self.variance[nodes], self.deviance[nodes], self.differ[nodes]
        )

    @staticmethod
    def of_outputs(parts: list[Moments]) -> Moments:
        """Put outputs' moments of the same nodes side by side."""
        sides = {
            name: np.concatenate([getattr(part, name) for part in parts], 1)
            for name in ("mean", "variance", "deviance")
        }
        return Moments(parts[0].weight, differ=np.any([part.differ for part in parts], axis=0), **sides)

    @staticmethod
    def read(digits: Vector, scale: MomentScale, base: float, centre: float | None) -> Moments:
        """Read the moments of nodes of one output.

        digits: int64 (nodes, digits)
        base: float; the prediction of nodes without rows
        centre: float, optional; the prediction that deviances are measured from
        """
        n = len(digits)
        weight, mean, variance, deviance = np.zeros((4, n))
        differ = np.zeros(n, bool)
        moments_kernels.read_moments(digits, scale.bits, scale.ends, weight, mean, variance, deviance, differ)
        mean = np.ldexp(mean, scale.target)
        mean = np.where(
            differ, mean, mean.astype(np.float32)
        )  # where all targets are equal, their mean is one: a float32
        mean = np.where(weight > 0, mean, base)[:, None]
        variance = np.ldexp(variance, 2 * scale.target)[:, None]
        weight = np.ldexp(weight, scale.weight)
        if centre is None:
            return Moments(weight, mean, variance, np.zeros((n, 0)), differ)
        apart = np.maximum(np.ldexp(deviance, scale.deviance) - _deviance(mean[:, 0], centre), 0.0)
        return Moments(weight, mean, variance, np.where(differ, apart, 0.0)[:, None], differ)


def _deviance(mean: Doubles, centre: float) -> Doubles:
    """Return `kernels.moments.deviance` of each mean."""
    above = np.where(mean > 0, mean, centre)
    near = above > centre / 2
    logarithm = np.where(near, np.log1p(np.where(near, (above - centre) / centre, 0.0)), np.log(above / centre))
    return np.where(mean > 0, mean * logarithm - (mean - centre), centre)
