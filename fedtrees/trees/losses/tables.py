"""What rows carry where classes' weights are summed: Gini tables, and the weights of AdaBoost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedtrees.core.data.table import Table
from fedtrees.errors import DataError
from fedtrees.trees.kernels import class_weights as class_weights_kernels
from fedtrees.trees.losses.base import Bounds, Doubles, Floats, Moves, Ranges, RowStatistics, check_rows
from fedtrees.trees.losses.numbers import SquaredError

MOST_CLASSES = 510  # a row's pair of classes is told by a byte


@dataclass(frozen=True)
class Target(RowStatistics):
    """What rows carry where trees grow by impurity: no objective of XGBoost's, and rows start from no margins."""

    counts: ClassVar[bool] = False  # whether what is summed are the rows' weights themselves
    shares_splits: ClassVar[bool] = False  # whether the trees of all outputs are split, and draw rows, alike


@dataclass(frozen=True)
class NumberTarget(Target):
    """Numbers, whose leaves are exact means. Rows carry them less a start among most, however far out any lies."""

    deviance: ClassVar[bool] = False  # whether nodes' Poisson deviances are asked for, too

    def intercept(self, sums: Doubles) -> Doubles:
        """The means."""
        mean: Doubles = sums[1:] / sums[0]
        return mean


@dataclass(frozen=True)
class Reweighed(Target):
    """A target whose weights a round of AdaBoost multiplies: margins are the logarithms of what by."""

    n_steps: ClassVar[int]  # numbers that say how a round moves them

    def reweigh(self, predicted: Floats, y: Floats, ranges: Ranges, steps: Floats, margin: Floats) -> None:
        """Move rows' margins by a tree's predictions.

        predicted, y: (rows,), steps: (n_steps,) IN; margin: (rows,) IN OUT
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Squares(NumberTarget):
    """``tree:squares``: every bin holds the sums of targets, less their mean, and of weights."""

    name = "tree:squares"
    code = SquaredError.code
    shares_splits = True

    def step(self, now: Bounds, moves: Moves) -> tuple[float, float] | None:
        """See `RowStatistics`."""
        return SquaredError().step(now, moves)


@dataclass(frozen=True)
class Totals(Squares):
    """``tree:totals``: every bin holds the sums of targets, as they are and none below 0, and of weights."""

    name = "tree:totals"
    deviance = True
    keeps_gradients = True

    def check(self, table: Table, y: Floats) -> None:
        """See `RowStatistics`."""
        check_rows(table, y < 0, "a number below 0; criterion='poisson' is for counts and rates")

    def intercept(self, sums: Doubles) -> Doubles:
        """See `RowStatistics`; a bin whose targets are all 0 must be told from others."""
        return np.zeros(len(sums) - 1)


@dataclass(frozen=True)
class ClassWeights(Target):
    """``tree:gini``: every bin holds the weight of each class.

    Classes stand in pairs: those of even places where gradients stand elsewhere, those of odd ones where hessians do.
    """

    name = "tree:gini"
    classification = True
    counts = True

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
        """See `RowStatistics`."""
        return n_labels

    def intercept(self, sums: Doubles) -> Doubles:
        """See `RowStatistics`."""
        return np.zeros(1)

    def bound(self) -> tuple[float, float] | None:
        """See `RowStatistics`."""
        return 1.0, 1.0

    def statistics(self, margin: Floats, y: Floats, weight: Floats, ranges: Ranges, g: Doubles, h: Doubles) -> None:
        """See `RowStatistics`."""
        class_weights_kernels.class_weights(margin[0], y, weight, ranges, g[0], h[0])


@dataclass(frozen=True)
class Samme(Reweighed, ClassWeights):
    """``tree:samme``: weights are multiplied by what AdaBoost says; margins are the logarithms of that.

    Zhu, Zou, Rosset and Hastie (2009), "Multi-class AdaBoost", algorithm 2.
    """

    name = "tree:samme"
    counts = False
    n_steps = 2  # of who is told the right class, and of who is not

    def bound(self) -> tuple[float, float] | None:
        """See `RowStatistics`."""
        return None

    def reweigh(self, predicted: Floats, y: Floats, ranges: Ranges, steps: Floats, margin: Floats) -> None:
        """See `RowStatistics`."""
        class_weights_kernels.reweigh_classes(predicted, y, ranges, steps, margin)


@dataclass(frozen=True)
class AdaBoostR2(Reweighed, NumberTarget):
    """``tree:r2``: squares, their weights multiplied by what AdaBoost.R2 says; margins are the logarithms of that.

    Targets are told less their mean, as what lies far from 0 has few digits left for its differences.

    Drucker (1997), "Improving regressors using boosting techniques".
    """

    name = "tree:r2"
    n_steps = 4  # the largest error, the power of it that is the loss, the step of who errs by nothing, and of all

    def moved(self, y: Floats, base: Floats) -> Floats:
        """See `RowStatistics`."""
        moved: Floats = y - base[0]
        return moved

    def statistics(self, margin: Floats, y: Floats, weight: Floats, ranges: Ranges, g: Doubles, h: Doubles) -> None:
        """See `RowStatistics`."""
        class_weights_kernels.weighted_squares(margin[0], y, weight, ranges, g[0], h[0])

    def reweigh(self, predicted: Floats, y: Floats, ranges: Ranges, steps: Floats, margin: Floats) -> None:
        """See `RowStatistics`."""
        class_weights_kernels.reweigh_numbers(predicted, y, ranges, steps, margin)
