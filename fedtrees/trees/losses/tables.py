"""What rows carry where classes' weights are summed: Gini tables, and the weights of AdaBoost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedtrees.core.data.table import Table
from fedtrees.errors import DataError
from fedtrees.trees.kernels import class_weights as class_weights_kernels
from fedtrees.trees.losses.base import Doubles, Floats, Loss, Ranges, check_rows
from fedtrees.trees.losses.numbers import SquaredError

MOST_CLASSES = 510  # a row's pair of classes is told by a byte


@dataclass(frozen=True)
class Squares(SquaredError):
    """``tree:squares``: every bin holds the sums of targets, less their mean, and of weights."""

    name = "tree:squares"
    shares_splits = True
    takes_margins = False
    asks_moments = True
    starts_amid = True


@dataclass(frozen=True)
class Totals(Squares):
    """``tree:totals``: every bin holds the sums of targets, as they are and none below 0, and of weights."""

    name = "tree:totals"
    asks_deviance = True
    keeps_gradients = True

    def check(self, table: Table, y: Floats) -> None:
        """See `Loss`."""
        check_rows(table, y < 0, "a number below 0; criterion='poisson' is for counts and rates")

    def intercept(self, sums: Doubles) -> Doubles:
        """See `Loss`; a bin whose targets are all 0 must be told from others."""
        return np.zeros(len(sums) - 1)


@dataclass(frozen=True)
class ClassWeights(Loss):
    """``tree:gini``: every bin holds the weight of each class.

    Classes stand in pairs: those of even places where gradients stand elsewhere, those of odd ones where hessians do.
    """

    name = "tree:gini"
    classification = True
    counts = True
    takes_margins = False

    def outputs(self, n_labels: int, targets: int = 1) -> int:
        """One tree for all classes.

        Raises
        ------
        DataError
            If there are more classes than rows can tell.
        """
        if n_labels > MOST_CLASSES:
            raise DataError(f"y holds {n_labels} classes; trees by impurity are for {MOST_CLASSES} at the most.")
        return 1

    def statistics_a_bin(self, n_labels: int) -> int:
        """See `Loss`."""
        return n_labels

    def intercept(self, sums: Doubles) -> Doubles:
        """See `Loss`."""
        return np.zeros(1)

    def link(self, base_score: float) -> float:
        """See `Loss`."""
        return 0.0

    def bound(self) -> tuple[float, float] | None:
        """See `Loss`."""
        return 1.0, 1.0

    def statistics(self, margin: Floats, y: Floats, weight: Floats, ranges: Ranges, g: Doubles, h: Doubles) -> None:
        """See `Loss`."""
        class_weights_kernels.class_weights(margin[0], y, weight, ranges, g[0], h[0])


@dataclass(frozen=True)
class Samme(ClassWeights):
    """``tree:samme``: weights are multiplied by what AdaBoost says; margins are the logarithms of that.

    Zhu, Zou, Rosset and Hastie (2009), "Multi-class AdaBoost", algorithm 2.
    """

    name = "tree:samme"
    counts = False
    reweighs = 2  # of who is told the right class, and of who is not

    def bound(self) -> tuple[float, float] | None:
        """See `Loss`."""
        return None

    def reweigh(self, predicted: Floats, y: Floats, ranges: Ranges, steps: Floats, margin: Floats) -> None:
        """See `Loss`."""
        class_weights_kernels.reweigh_classes(predicted, y, ranges, steps, margin)


@dataclass(frozen=True)
class AdaBoostR2(Loss):
    """``tree:r2``: squares, their weights multiplied by what AdaBoost.R2 says; margins are the logarithms of that.

    Targets are told less their mean, as what lies far from 0 has few digits left for its differences.

    Drucker (1997), "Improving regressors using boosting techniques".
    """

    name = "tree:r2"
    takes_margins = False
    asks_moments = True
    starts_amid = True
    reweighs = 4  # the largest error, the power of it that is the loss, the step of who errs by nothing, and of all

    def intercept(self, sums: Doubles) -> Doubles:
        """The mean, for `moved`; logarithms of weights start from 0."""
        mean: Doubles = sums[1:] / sums[0]
        return mean

    def moved(self, y: Floats, base: Floats) -> Floats:
        """See `Loss`."""
        moved: Floats = y - base[0]
        return moved

    def statistics(self, margin: Floats, y: Floats, weight: Floats, ranges: Ranges, g: Doubles, h: Doubles) -> None:
        """See `Loss`."""
        class_weights_kernels.weighted_squares(margin[0], y, weight, ranges, g[0], h[0])

    def reweigh(self, predicted: Floats, y: Floats, ranges: Ranges, steps: Floats, margin: Floats) -> None:
        """See `Loss`."""
        class_weights_kernels.reweigh_numbers(predicted, y, ranges, steps, margin)
