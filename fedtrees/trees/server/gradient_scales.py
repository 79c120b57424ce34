"""Gradient scales: fine enough for the smallest gradients of a round, wide enough for the largest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import HIGHEST_EXPONENT, LOWEST_EXPONENT, Vector, exponent_of, largest_exponent
from fedtrees.core.protocol.query import QueryResult
from fedtrees.core.sampling.samplers import Cohort
from fedtrees.training.weights import Weights
from fedtrees.trees.kernels.histogram import STATISTIC_BITS_G, STATISTIC_BITS_H
from fedtrees.trees.losses import Bounds, Moves, Reweighed, RowStatistics, Target, gradient_scale_of
from fedtrees.trees.messages.histograms import GradientExponents
from fedtrees.trees.model.gradient_scale import MOST_EXTRA, GradientScale, room_of
from fedtrees.trees.model.tree import LEAF, Tree
from fedtrees.trees.server.hazards import Hazards

if TYPE_CHECKING:
    from fedtrees.core.protocol.channel import Channel
    from fedtrees.core.protocol.query import Query

DIGITS = 10  # binary digits that a gradient should keep; fewer, for
SHARE = 1 / 16  # this part of them at the most, and half as many for each digit fewer, before all get more
LONE = 3  # so many gradients of any size do not count, nor do as many standard deviations of that part
MOST_LOST = 24  # binary digits that a bound may lie above the truth before gradients' sizes are asked for instead
LEAST_DIGITS = 5  # of its weight that the lightest row keeps, or training is refused
CHOICES = (0, STATISTIC_BITS_G, MOST_EXTRA)  # digits beyond one word's


def check_weights(loss: RowStatistics, weights: Weights, rows: int) -> None:
    """Refuse weights of which the lightest would be lost: see `Weights.check_span`.

    rows: int; the rows that the sums of histograms have room for
    """
    weights.check_span(STATISTIC_BITS_H + room_of(rows) - LEAST_DIGITS, loss.weight_span())


class GradientScales:
    """Gradient scales of a training, round after round, shared by the whole cohort.

    Where the loss bounds its gradients, the scale is fixed. Elsewhere the sizes of a round's gradients ride on its
    first histograms, and with the leaves' values they bound the next round's; a cohort that was drawn anew is asked
    first.

    A scale has 19 binary digits, and where these are too few 19 or 38 more, as far as sums have room for them. They are
    too few where

    - the lightest row would keep fewer than 10 digits of its weight,
    - more than a sixteenth of the gradients, or of the hessians, that are not zero would keep fewer than 10 digits,
      more than a thirty-second fewer than 9, and so on,
    - a class is so rare, or the last round's rows were fitted so well, that the mean row would keep fewer than 10.

    Law: a scale is a function of sums of integers alone.

    Parameters
    ----------
    loss : Loss
    weights : Weights
    gradients : int
        Gradients in the federation: rows times outputs.
    rows : int
        The rows that histograms have room for, as often as they count or may be drawn.
    hazards : Hazards, optional
        The bounds of gradients where rows are compared with all that are at risk.
    sums : float64 (any,), optional
        The sums that `LabelSums` reads.
    drawn : float
        The share of the rows that a tree draws.
    earlier : GradientScale, optional
        Of a training that goes on, the scale that the earlier one would have gone on with: it is taken where it has
        room for the gradients that there are, so that some rounds and then others give the model of all of them.
    """

    def __init__(
        self, loss: RowStatistics, weights: Weights, gradients: int, rows: int, hazards: Hazards | None = None,
        sums: NDArray[np.float64] | None = None, drawn: float = 1.0, earlier: GradientScale | None = None,
    ):  # fmt: skip
        self._hazards = hazards
        self._loss, self._query = loss, GradientExponents(gradients)
        self._weight, self._target = weights.exponents
        self._room, self._span = room_of(rows), weights.span + loss.weight_span()
        self._spread = DIGITS if loss.spans_orders else 0
        self._unfitted = 0.0
        if sums is not None:
            self._spread = max(self._spread, math.ceil(-math.log2(loss.least_share(sums))))
            self._unfitted = drawn * loss.largest_hessians(sums)
        self._fixed, bound = None, loss.bound()
        self._earlier = earlier
        if bound:
            counted = isinstance(loss, Target) and loss.counts and weights.whole
            extra = -STATISTIC_BITS_G if counted else self._extra_for(self._spread)
            self._fixed = gradient_scale_of(bound, self._weight)._replace(extra=extra)

    def first(self) -> GradientScale | None:
        """Return the first round's scale, where the earlier training has it; None where it is asked for."""
        earlier = self._earlier
        if self._fixed and earlier is not None and earlier in self._finer(self._fixed):
            return earlier
        return None

    def of_round(
        self, channel: Channel, cohort: Cohort, foreseen: GradientScale | None, first: bool = False
    ) -> GradientScale:
        """Return the scale of the coming round, asking for gradients' sizes where nothing bounds them.

        Parameters
        ----------
        channel : Channel
        cohort : Cohort
        foreseen : GradientScale, optional
            The scale by the rounds before: `first`, or of `after`.
        first : bool, default False
            Whether this is the training's first round, in which the earlier training's scale may do.
        """
        if self._fixed:
            return self._fixed if foreseen is None else foreseen
        if self._hazards is not None:
            g, h = self._hazards.learn(channel, cohort)
            return GradientScale(exponent_of(g), exponent_of(h), self._extra_for(self._spread))
        if foreseen is not None:
            return foreseen
        counts = channel.total(self._query, cohort)
        g, h = largest_exponent(counts[0]), largest_exponent(counts[1])
        earlier = self._earlier if first else None
        return earlier if earlier is not None and self._has_room(earlier, g, h) else self._fine_enough(g, h, counts)

    def riders(self) -> list[Query]:
        """Return the queries to ask along with the round's first histograms."""
        return [] if self._fixed or self._hazards else [self._query]

    def after(
        self, answers: Sequence[QueryResult], trees: list[Tree], asked: float, outputs: int
    ) -> GradientScale | None:
        """Return the scale that bounds the next round's gradients; None where a cohort left silos out.

        asked: float; the share of the silos that were asked
        """
        if self._fixed:
            root = sum(float(tree.cover[0]) for tree in trees) * outputs / len(trees)
            return self._for_fit(root, asked * self._unfitted)
        if not self._hazards and asked == 1:
            counts: Vector = answers[0]
            g, h = (largest_exponent(part) for part in counts)
            now = Bounds(*(math.ldexp(1.0, e) for e in (g, h, self._weight, self._target)))
            bound = self._loss.step(now, moves_of(trees, outputs, math.ldexp(1.0, h - STATISTIC_BITS_H)))
            if bound is not None and all(math.isfinite(part) for part in bound):
                next_g, next_h = (min(exponent_of(part), HIGHEST_EXPONENT) for part in bound)
                if max(next_g - g, next_h - h) <= MOST_LOST:
                    return self._fine_enough(next_g, next_h, counts)
        return None

    def _finer(self, scale: GradientScale) -> list[GradientScale]:
        """Return a scale, and those of as large gradients that have more digits."""
        choices = sorted({min(choice, self._room) for choice in CHOICES})
        return [scale, *(scale._replace(extra=more) for more in choices if more > scale.extra >= 0)]

    def _has_room(self, scale: GradientScale, g: int, h: int) -> bool:
        """Return whether a scale that came with a model is right for gradients and hessians up to these exponents."""
        if scale not in self._finer(scale._replace(extra=self._extra_for(0))):
            return False
        loose = MOST_LOST if scale.extra else STATISTIC_BITS_G - DIGITS
        return 0 <= scale.g - g <= loose and 0 <= scale.h - h <= loose

    def _for_fit(self, fit: float, unfitted: float) -> GradientScale | None:
        """Return the finer scale, where the hessians of the last trees' rows have few digits left in the mean.

        fit, unfitted: float; the sum of hessians, and that of rows that are not fitted at all
        """
        if self._fixed is None or not 0 < fit < unfitted:
            return None
        spread = max(self._spread, math.ceil(math.log2(unfitted / fit)))
        return self._fixed._replace(extra=self._extra_for(spread))

    def _extra_for(self, spread: int) -> int:
        """Return the digits beyond one word's for gradients that span so many digits more than weights do."""
        span = self._span + spread
        lost = STATISTIC_BITS_G - DIGITS
        place = 0 if span <= lost else 1 if span <= lost + STATISTIC_BITS_G - 4 else 2
        return min(CHOICES[min(place, len(CHOICES) - 1)], self._room)

    def _fine_enough(self, g: int, h: int, counts: Vector) -> GradientScale:
        """Return the scale up to these exponents, of gradients and hessians of these sizes."""
        least, lone = self._extra_for(0), 0 if isinstance(self._loss, Reweighed) else LONE
        extra = least
        for extra in sorted({min(choice, self._room) for choice in CHOICES if choice >= least}):
            sizes = zip(counts, (g, h), strict=True)
            if not any(_loses_digits(part, exponent, STATISTIC_BITS_G + extra, lone) for part, exponent in sizes):
                break
        return GradientScale(g, h, extra)


def _loses_digits(counts: Vector, exponent: int, digits: int, lone: int) -> bool:
    """Return whether too many of these numbers keep too few digits on a scale up to ``exponent``."""
    upto, total = np.cumsum(counts[1:]), counts[1:].sum()
    kept = digits - exponent + np.arange(LOWEST_EXPONENT, HIGHEST_EXPONENT)  # a number has half of its bound or more
    few = kept < DIGITS
    may = SHARE * total * np.exp2(kept[few] + 1.0 - DIGITS)
    return bool((upto[few] > may + lone * (np.sqrt(may) + 1)).any())


def moves_of(trees: list[Tree], outputs: int, unit_h: float) -> Moves:
    """Return how a round's trees move margins; rounding takes less than ``unit_h`` from a leaf's sum of hessians."""
    leaves = [tree.feature == LEAF for tree in trees]
    values = [tree.value[leaf].astype(np.float64) for tree, leaf in zip(trees, leaves, strict=True)]
    if len(trees) == outputs:
        cover = [tree.cover[leaf].astype(np.float64) for tree, leaf in zip(trees, leaves, strict=True)]
        return Moves(np.concatenate(values), np.concatenate(cover) * (1 + 2.0**-20) + unit_h)
    # a row is in a leaf of each of its output's trees: its move is between the sums of their least and largest values
    each = len(trees) // outputs
    of_output = [values[first : first + each] for first in range(0, len(trees), each)]
    low = min(sum(min(leaf_values.min(), 0.0) for leaf_values in group) for group in of_output)
    high = max(sum(max(leaf_values.max(), 0.0) for leaf_values in group) for group in of_output)
    return Moves(np.array([low, high]), np.full(2, np.inf))
