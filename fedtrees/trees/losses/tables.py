"""Row statistics of trees that grow by impurity: classes' weights, sums of numbers, and AdaBoost's weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from fedtrees.core.data.table import Table
from fedtrees.errors import DataError
from fedtrees.trees.kernels import class_weights as class_weights_kernels
from fedtrees.trees.losses.base import Bounds, Doubles, Floats, Moves, Ranges, RowStatistics, check_rows
from fedtrees.trees.losses.numbers import SquaredError

MOST_CLASSES = 510  # a row's pair of classes is a byte


@dataclass(frozen=True)
class Target(RowStatistics):
    """Row statistics of trees that grow by impurity: no objective of XGBoost's, and without initial margins."""

    counts: ClassVar[bool] = False  # whether the rows' weights themselves are summed
    shares_splits: ClassVar[bool] = False  # whether the trees of all outputs are split, and draw rows, alike


@dataclass(frozen=True)
class NumberTarget(Target):
    """Numbers, whose leaves are exact means. Rows carry them less an initial margin that lies among most of them."""

    deviance: ClassVar[bool] = False  # whether nodes' Poisson deviances are asked for, too

    def intercept(self, sums: Doubles) -> Doubles:
        """The means."""
        mean: Doubles = sums[1:] / sums[0]
        return mean


@dataclass(frozen=True)
class Reweighed(Target):
    """A target whose weights a round of AdaBoost multiplies: margins are the logarithms of the factors."""

    n_steps: ClassVar[int]  # numbers that a round moves them by

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
        """See `RowStatistics`; a bin whose targets are all 0 must differ from others."""
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
        """The number of outputs: one tree for all classes.

        Raises
        ------
        DataError
            If there are more classes than fit a row's byte.
        """
        if n_labels > MOST_CLASSES:
            raise DataError(f"y holds {n_labels} classes; trees by impurity are for {MOST_CLASSES} at the most.")
        return 1

    def statistics_per_bin(self, n_labels: int) -> int:
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
    """``tree:samme``: AdaBoost multiplies weights; margins are the logarithms of the factors.

    Zhu, Zou, Rosset and Hastie (2009), "Multi-class AdaBoost", algorithm 2.
    """

    name = "tree:samme"
    counts = False
    n_steps = 2  # of rows whose class is predicted, and of rows whose class is not

    def bound(self) -> tuple[float, float] | None:
        """See `RowStatistics`."""
        return None

    def reweigh(self, predicted: Floats, y: Floats, ranges: Ranges, steps: Floats, margin: Floats) -> None:
        """See `RowStatistics`."""
        class_weights_kernels.reweigh_classes(predicted, y, ranges, steps, margin)


@dataclass(frozen=True)
class AdaBoostR2(Reweighed, NumberTarget):
    """``tree:r2``: squares, whose weights AdaBoost.R2 multiplies; margins are the logarithms of the factors.

    Rows carry targets less their mean: numbers far from 0 have few digits left for their differences.

    Drucker (1997), "Improving regressors using boosting techniques".
    """

    name = "tree:r2"
    n_steps = 4  # the largest error, the kind of loss, the step of rows without error, and that of all

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
