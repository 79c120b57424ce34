"""Losses of several labels per row: each is a column of 0 and 1, with an output and a tree per round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fedtrees.core.data.table import Table
from fedtrees.trees.losses.base import Doubles, Floats, Loss, Ranges, check_rows, column_of
from fedtrees.trees.losses.classes import Hinge, Logistic, LogitRaw

if TYPE_CHECKING:
    _Base = Logistic
else:
    _Base = Loss


class _ByColumn(_Base):
    """The loss of two classes where each column of y holds two."""

    classification = False  # y is read as numbers
    checks_sets = True

    def check(self, table: Table, y: Floats) -> None:
        """See `Loss`."""
        wrong = (y != 0) & (y != 1)
        label = y[wrong.any(axis=1)][0][wrong[wrong.any(axis=1)][0]][0] if wrong.any() else 0
        check_rows(table, wrong, f"{label:g} is neither 0 nor 1; of several labels a row, each is a column of 0 and 1")

    def intercept(self, sums: Doubles) -> Doubles:
        """See `Loss`."""
        second = np.clip(sums[1:] / sums[:1], 0, 1)
        return self.of_sides(1 - second, second)

    def sides(self, sums: Doubles) -> tuple[Doubles, Doubles]:
        """See `Logistic`; of which all columns have the same rows."""
        return sums[0] - sums[1:], getattr(self, "scale_pos_weight", 1.0) * sums[1:]

    def weighted(self, weight: Floats, y: Floats) -> Floats:
        """See `Loss`; a row weighs differently in each column, see `statistics`."""
        return weight

    def statistics(self, margin: Floats, y: Floats, weight: Floats, ranges: Ranges, g: Doubles, h: Doubles) -> None:
        """See `Loss`."""
        for k in range(len(margin)):
            one, target = slice(k, k + 1), column_of(y, k)
            super().statistics(margin[one], target, super().weighted(weight, target), ranges, g[one], h[one])


@dataclass(frozen=True)
class Labels(_ByColumn, Logistic):
    """``binary:logistic`` of several columns."""


@dataclass(frozen=True)
class RawLabels(_ByColumn, LogitRaw):
    """``binary:logitraw`` of several columns."""


@dataclass(frozen=True)
class HingeLabels(_ByColumn, Hinge):
    """``binary:hinge`` of several columns."""
