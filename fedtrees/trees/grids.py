"""The grids that gradients are rounded to: fine enough for the smallest, wide enough for the largest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fedtrees.core.cohort import Cohort
from fedtrees.core.ring import HIGHEST_EXPONENT, LOWEST_EXPONENT, WORD_BITS, Vector, exponent_of, largest_exponent
from fedtrees.trees.grid import Grid
from fedtrees.trees.histogram import GradientExponents
from fedtrees.trees.kernels import STATISTIC_BITS_G, STATISTIC_BITS_H
from fedtrees.trees.losses import Bounds, Loss, Moves, grid_of
from fedtrees.trees.risk import Hazards
from fedtrees.trees.tree import LEAF, Tree

if TYPE_CHECKING:
    from fedtrees.core.channel import Channel
    from fedtrees.core.query import Query

DIGITS = 10  # binary digits that a gradient should keep, and
SHARE = 1 / 16  # the part of them that may keep fewer before all get more
MOST_LOST = 24  # digits that a bound may lie above the truth before it is asked for instead


class Grids:
    """The grids that gradients are rounded to, shared by the whole cohort.

    Where the loss bounds its gradients, they are fixed. Elsewhere the sizes of a round's gradients ride on its first
    histograms, and with what the leaves say they bound the next round's; a cohort that was drawn anew is asked first.

    A grid has 19 binary digits, and 19 more for a tree where those are too few: where more than a sixteenth of the
    gradients, or of the hessians, that are not zero would keep fewer than 10 digits.

    Parameters
    ----------
    loss : Loss
    weight_exponent, target_exponent : int
        What bounds a row's weight, and its weight times its target.
    gradients : int
        Gradients in the federation: rows times outputs.
    rows : int
        Rows of the federation, each as often as it counts: what histograms have to have room for.
    hazards : Hazards, optional
        What bounds gradients where rows are compared with all that are at risk.
    whole : bool, default False
        Whether all weights are whole.
    earlier : Grid, optional
        Of a training that goes on, the grid that the earlier one would have gone on with: it is taken where it has room
        for the gradients that there are, so that some rounds and then others are all of them.
    """

    def __init__(
        self, loss: Loss, weight_exponent: int, target_exponent: int, gradients: int, rows: int,
        hazards: Hazards | None = None, whole: bool = False, earlier: Grid | None = None,
    ):  # fmt: skip
        self._hazards = hazards
        self._loss, self._query = loss, GradientExponents(gradients)
        self._weight, self._target = weight_exponent, target_exponent
        self._room = max(0, min(STATISTIC_BITS_G, WORD_BITS - STATISTIC_BITS_H - max(rows, 1).bit_length()))
        bound = loss.bound()
        self._fixed = None
        if bound:
            extra = -STATISTIC_BITS_G if loss.counts and whole else self._room if loss.spans_orders else 0
            self._fixed = grid_of(bound, weight_exponent)._replace(extra=extra)
        self._next: Grid | None = None
        self._earlier = earlier

    @property
    def next(self) -> Grid | None:
        """The coming round's grid, where that depends on the rounds before; None where it is asked for."""
        return self._next

    def exponents(self, channel: Channel, cohort: Cohort) -> Grid:
        """The grid for the coming tree."""
        if self._fixed:
            return self._fixed
        if self._hazards is not None:
            g, h = self._hazards.learn(channel, cohort)
            return Grid(exponent_of(g), exponent_of(h), self._room)
        if self._next is None:
            counts = channel.total(self._query, cohort)
            g, h = largest_exponent(counts[0]), largest_exponent(counts[1])
            earlier, self._earlier = self._earlier, None
            return earlier if self._has_room(earlier, g, h) and earlier else self._fine_enough(g, h, counts)
        return self._next

    def riders(self) -> list[Query]:
        """What to ask along with the tree's first histograms."""
        return [] if self._fixed or self._hazards else [self._query]

    def learn(self, answers: Sequence[Any], trees: list[Tree], complete: bool, outputs: int) -> None:
        """Bound the next round's gradients; not possible where a cohort left somebody out."""
        if self._fixed or self._hazards:
            return
        self._next = None
        if complete:
            counts: Vector = answers[0]
            g, h = (largest_exponent(part) for part in counts)
            now = Bounds(*(math.ldexp(1.0, e) for e in (g, h, self._weight, self._target)))
            bound = self._loss.step(now, moves_of(trees, outputs, math.ldexp(1.0, h - STATISTIC_BITS_H)))
            if bound is not None and all(math.isfinite(part) for part in bound):
                next_g, next_h = (min(exponent_of(part), HIGHEST_EXPONENT) for part in bound)
                if max(next_g - g, next_h - h) <= MOST_LOST:
                    self._next = self._fine_enough(next_g, next_h, counts)

    def _has_room(self, grid: Grid | None, g: int, h: int) -> bool:
        """Whether a grid that came with a model is one, and right for gradients and hessians up to these exponents."""
        if grid is None or grid.extra not in (0, self._room):
            return False
        loose = MOST_LOST if grid.extra else STATISTIC_BITS_G - DIGITS
        return 0 <= grid.g - g <= loose and 0 <= grid.h - h <= loose

    def _fine_enough(self, g: int, h: int, counts: Vector) -> Grid:
        coarse = any(_loses_digits(part, exponent) for part, exponent in zip(counts, (g, h), strict=True))
        return Grid(g, h, self._room if coarse else 0)


def _loses_digits(counts: Vector, exponent: int) -> bool:
    """Whether too many of these numbers, counted by exponent, keep too few digits on a grid up to ``exponent``."""
    not_zero = counts[1:]
    few = not_zero[: max(0, exponent - (STATISTIC_BITS_G - DIGITS) - LOWEST_EXPONENT)]
    return bool(few.sum() > SHARE * not_zero.sum())


def moves_of(trees: list[Tree], outputs: int, unit_h: float) -> Moves:
    """How a round's trees move margins; ``unit_h`` is more than rounding can take from a leaf's sum of hessians."""
    leaves = [tree.feature == LEAF for tree in trees]
    values = [tree.value[leaf].astype(np.float64) for tree, leaf in zip(trees, leaves, strict=True)]
    if len(trees) == outputs:
        cover = [tree.cover[leaf].astype(np.float64) for tree, leaf in zip(trees, leaves, strict=True)]
        return Moves(np.concatenate(values), np.concatenate(cover) * (1 + 2.0**-20) + unit_h)
    # a row is in a leaf of each of its output's trees: between the sums of the least and of the most they say
    each = len(trees) // outputs
    of_output = [values[first : first + each] for first in range(0, len(trees), each)]
    low = min(sum(min(own.min(), 0.0) for own in group) for group in of_output)
    high = max(sum(max(own.max(), 0.0) for own in group) for group in of_output)
    return Moves(np.array([low, high]), np.full(2, np.inf))
