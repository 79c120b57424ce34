"""The grids that gradients are rounded to: fine enough for the smallest, wide enough for the largest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fedtrees.core.cohort import Cohort
from fedtrees.core.ring import exponent_of
from fedtrees.trees.histogram import GradientExponents
from fedtrees.trees.losses import Loss, statistic_exponents
from fedtrees.trees.tree import Tree

if TYPE_CHECKING:
    from fedtrees.core.channel import Channel
    from fedtrees.core.query import Query


class Grids:
    """The grids that gradients are rounded to, shared by the whole cohort.

    Where the loss bounds its gradients, they are fixed. Elsewhere the largest gradient of a round rides on its first
    histograms, and with the largest leaf it bounds the next round's; a cohort that was drawn anew is asked first.
    """

    def __init__(self, loss: Loss, weight_exponent: int, gradients: int):
        self._loss, self._weight, self._query = loss, weight_exponent, GradientExponents(gradients)
        bound = loss.bound()
        self._fixed = statistic_exponents(bound, weight_exponent) if bound else None
        self._next: tuple[int, int] | None = None

    def exponents(self, channel: Channel, cohort: Cohort) -> tuple[int, int]:
        """The exponents for the coming tree."""
        if self._fixed:
            return self._fixed
        exponents: tuple[int, int] = self._next or channel.total(self._query, cohort)
        return exponents

    def riders(self) -> list[Query]:
        """What to ask along with the tree's first histograms."""
        return [] if self._fixed else [self._query]

    def learn(self, answers: Sequence[Any], trees: list[Tree], complete: bool) -> None:
        """Bound the next round's gradients; not possible where a cohort left somebody out."""
        if self._fixed:
            return
        self._next = None
        if complete:
            g, h = answers[0]
            leaf = sum(float(np.abs(tree.value).max()) for tree in trees)
            bound = math.ldexp(1.0, g) + math.ldexp(self._loss.step(leaf), self._weight)
            self._next = exponent_of(bound), h
