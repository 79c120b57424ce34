"""Losses: a row's gradient and hessian, and what bounds them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.ring import exponent_of
from fedtrees.errors import unknown_value
from fedtrees.trees import loss_kernels

Kernel = Callable[..., None]
Margins = NDArray[np.floating]


class Loss:
    """What is minimised. Every method is a function of its arguments alone."""

    name: ClassVar[str]
    classification: ClassVar[bool]
    kernel: ClassVar[Kernel]

    def outputs(self, n_labels: int) -> int:
        """Trees a round."""
        return 1

    def intercept(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Where margins start, float64 (outputs,), from the sums that `queries.counts.LabelSums` reads."""
        raise NotImplementedError

    def link(self, base_score: float) -> float:
        """The margin of a base score, which is in the units of a prediction."""
        return base_score

    def bound(self) -> tuple[float, float] | None:
        """The largest |gradient| and hessian of a row of weight 1; None where the margins decide."""
        return None

    def gradients(self, margin: Margins, y: NDArray[np.float32]) -> tuple[Margins, Margins]:
        """Gradients and hessians of rows of weight 1, before any rounding: what ``kernel`` computes, written plainly.

        margin: (outputs, rows); y: (rows,); both results (outputs, rows), float64.
        """
        raise NotImplementedError

    def step(self, largest_leaf: float) -> float:
        """By how much |gradient| can grow in a round whose leaves say no more than this, where `bound` is None."""
        return 0.0


class Logistic(Loss):
    """``binary:logistic``: margins start from the log-odds of the second class."""

    name = "binary:logistic"
    classification = True
    kernel = staticmethod(loss_kernels.logistic)

    def intercept(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `Loss`."""
        return np.log(sums[1:] / sums[:1])

    def link(self, base_score: float) -> float:
        """See `Loss`."""
        return math.log(base_score / (1 - base_score))

    def bound(self) -> tuple[float, float] | None:
        """See `Loss`."""
        return 1.0, 0.25

    def gradients(self, margin: Margins, y: NDArray[np.float32]) -> tuple[Margins, Margins]:
        """See `Loss`."""
        p = 1 / (1 + np.exp(-np.clip(margin.astype(np.float64), -700, 700)))
        return p - y, np.maximum(p * (1 - p), loss_kernels.SMALLEST_HESSIAN)


class Softmax(Loss):
    """``multi:softprob``: margins start from the logarithm of each class's share, less their mean."""

    name = "multi:softprob"
    classification = True
    kernel = staticmethod(loss_kernels.softmax)

    def outputs(self, n_labels: int) -> int:
        """See `Loss`."""
        return n_labels

    def intercept(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `Loss`."""
        logs = np.log(sums / sums.sum() + 1e-6)  # the constant is XGBoost's
        centred: NDArray[np.float64] = logs - logs.mean()
        return centred

    def bound(self) -> tuple[float, float] | None:
        """See `Loss`."""
        return 1.0, 0.5

    def gradients(self, margin: Margins, y: NDArray[np.float32]) -> tuple[Margins, Margins]:
        """See `Loss`."""
        power = np.exp(margin.astype(np.float64) - margin.max(axis=0))
        p = power / power.sum(axis=0)
        own = y == np.arange(len(margin))[:, None]
        return p - own, np.maximum(2 * p * (1 - p), loss_kernels.SMALLEST_HESSIAN)


class SquaredError(Loss):
    """``reg:squarederror``: margins start from the mean."""

    name = "reg:squarederror"
    classification = False
    kernel = staticmethod(loss_kernels.squared)

    def intercept(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `Loss`."""
        mean: NDArray[np.float64] = sums[1:] / sums[0]
        return mean

    def gradients(self, margin: Margins, y: NDArray[np.float32]) -> tuple[Margins, Margins]:
        """See `Loss`."""
        return margin.astype(np.float64) - y, np.ones(margin.shape)

    def step(self, largest_leaf: float) -> float:
        """See `Loss`."""
        return largest_leaf


LOSSES: dict[str, Loss] = {loss.name: loss for loss in (Logistic(), Softmax(), SquaredError())}


def loss_named(name: str) -> Loss:
    """The loss of an XGBoost objective's name.

    Raises
    ------
    ParameterError
        If there is none; it names the nearest.
    """
    if name not in LOSSES:
        raise unknown_value("objective", name, LOSSES)
    return LOSSES[name]


def statistic_exponents(bound: tuple[float, float], weight_exponent: int) -> tuple[int, int]:
    """The exponents of the gradient's and the hessian's grids, for rows of weight up to ``2 ** weight_exponent``."""
    return exponent_of(bound[0]) + weight_exponent, exponent_of(bound[1]) + weight_exponent


def scales(exponents: tuple[int, int]) -> tuple[float, float]:
    """What gradients and hessians are multiplied by before they are rounded."""
    from fedtrees.trees.kernels import STATISTIC_BITS_G, STATISTIC_BITS_H

    return math.ldexp(1.0, STATISTIC_BITS_G - exponents[0]), math.ldexp(1.0, STATISTIC_BITS_H - exponents[1])
