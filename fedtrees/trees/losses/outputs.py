"""Weights of the classes of several outputs: each output's are summed alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fedtrees.core.data.table import Table
from fedtrees.errors import DataError
from fedtrees.trees.kernels import class_weights as class_weights_kernels
from fedtrees.trees.losses.base import Doubles, Floats, Ranges, check_rows, column_of
from fedtrees.trees.losses.tables import MOST_CLASSES, Target

FINE = 10  # binary digits more than whole weights need: classes' weights are mostly fractions


@dataclass(frozen=True)
class OutputClasses(Target):
    """``tree:outputs``: every bin holds the weight of each class of each output; y holds places among the classes.

    Attributes
    ----------
    classes : list of int
        Of each output. All have room for as many as the largest.
    """

    classes: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(int(n) for n in self.classes))  # messages make floats of them

    name = "tree:outputs"
    counts = True
    shares_splits = True

    def check(self, table: Table, y: Floats) -> None:
        """See `RowStatistics`."""
        if y.ndim == 2 and y.shape[1] == len(self.classes):
            check_rows(table, (y < 0) | (y >= np.array(self.classes)) | (y != np.floor(y)), "no place of a class")

    def outputs(self, n_labels: int, targets: int = 1) -> int:
        """The number of outputs, each with a tree; all are split alike.

        Raises
        ------
        DataError
            If there are more classes than fit a row's byte.
        """
        if max(self.classes) > MOST_CLASSES:
            most = f"trees by impurity are for {MOST_CLASSES} at the most"
            raise DataError(f"column {int(np.argmax(self.classes))} of y holds {max(self.classes)} classes; {most}.")
        return len(self.classes)

    def statistics_per_bin(self, n_labels: int) -> int:
        """See `RowStatistics`."""
        return max(2, *self.classes)

    def intercept(self, sums: Doubles) -> Doubles:
        """See `RowStatistics`."""
        return np.zeros(self.outputs(0))

    def bound(self) -> tuple[float, float] | None:
        """See `RowStatistics`."""
        return 1.0, 1.0

    def statistics(self, margin: Floats, y: Floats, weight: Floats, ranges: Ranges, g: Doubles, h: Doubles) -> None:
        """See `RowStatistics`."""
        for k in range(len(self.classes)):
            class_weights_kernels.class_weights(margin[k], column_of(y, k), weight, ranges, g[k], h[k])


@dataclass(frozen=True)
class WeighedOutputs(OutputClasses):
    """``tree:weighed-outputs``: a row weighs the product of its classes' factors, and one tree more counts rows.

    A last output has one class, in which each row weighs what it does without the factors.

    Attributes
    ----------
    factors : list of float
        Of each output's classes, one after the other, as many of each as the largest has; 1 where trees have their own.
    least, most : float
        What bounds a row's product.
    """

    factors: tuple[float, ...] = ()
    least: float = 1.0
    most: float = 1.0

    name = "tree:weighed-outputs"
    counts = False

    def outputs(self, n_labels: int, targets: int = 1) -> int:
        """See `RowStatistics`."""
        return super().outputs(n_labels, targets) + 1

    def bound(self) -> tuple[float, float] | None:
        """See `RowStatistics`."""
        largest = max(self.most, 1.0)
        return largest, largest

    def weight_span(self) -> int:
        """See `RowStatistics`."""
        return math.ceil(math.log2(max(self.most, 1.0) / min(self.least, 1.0)))

    def least_share(self, sums: Doubles) -> float:
        """See `RowStatistics`."""
        return 2.0**-FINE

    def weighted(self, weight: Floats, y: Floats) -> Floats:
        """The weights without the factors, and with them: float32 (2, rows)."""
        plain = np.broadcast_to(weight, len(y)).astype(np.float32)
        return np.stack([plain, plain * self.products(y, np.reshape(self.factors, (len(self.classes), -1)))])

    def products(self, y: Floats, factors: Doubles) -> Doubles:
        """The products of classes' factors, (outputs, classes): float64 (rows,)."""
        product = np.ones(len(y))
        for k, of_classes in enumerate(factors if len(y) else ()):
            product *= of_classes[y[:, k].astype(np.int64)]
        return product

    def statistics(self, margin: Floats, y: Floats, weight: Floats, ranges: Ranges, g: Doubles, h: Doubles) -> None:
        """See `RowStatistics`."""
        super().statistics(margin, y, weight[1], ranges, g, h)
        class_weights_kernels.class_weights(margin[-1], np.zeros(len(y), np.float32), weight[0], ranges, g[-1], h[-1])
