"""Gradients and hessians of a silo's rows as whole numbers on a grid: what histograms sum."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.errors import ProtocolError
from fedtrees.queries.counts import pieces
from fedtrees.trees.kernels import gradients as gradients_kernels
from fedtrees.trees.kernels import histogram as histogram_kernels
from fedtrees.trees.losses.outputs import WeighedOutputs
from fedtrees.trees.model.gradient_scale import GradientScale, further_digits

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo import Silo
    from fedtrees.trees.silo.state import TreeState

Ranges = NDArray[np.int64]
Doubles = NDArray[np.float64]


class DrawnWords(NamedTuple):
    """The words of the rows that a tree draws, and of which tree, on which grid, with which factors, they are."""

    prepared: tuple[object, ...]
    tree: int
    factors: Doubles | None
    words: list[Vector]


class GradientWords:
    """Packed gradients and hessians of the round that grows.

    Law: a function of the gradients and the grid, whatever was asked before.

    Attributes
    ----------
    words : list of int64 (outputs, rows)
        The highest digits, and one more for each of `GradientScale.further`.
    pieces : list of int64 (any, 2)
        The rows they are made of, one piece a thread.
    """

    def __init__(self, outputs: int, rows: int):
        self.words = [np.zeros((outputs, rows), np.int64)]
        self.pieces: list[Ranges] = []
        self._grid, self._ranges = GradientScale(0, 0), np.zeros((0, 2), np.int64)
        self._prepared: tuple[object, ...] = ()
        self._drawn = DrawnWords((), -1, None, [])
        self._factors: Doubles | None = None  # of classes in each tree; see `class_factors.TreeFactors`

    def prepare(self, state: TreeState, silo: Silo, grid: GradientScale) -> None:
        """Compute and quantise the gradients of a new round, and put the rows at its roots; done once a round."""
        key = len(state.forest), grid
        if key == self._prepared and silo.ranges is self._ranges:
            return
        rows, digits = state.rows, (0, *grid.further)
        self.words += [np.zeros_like(self.words[0]) for _ in digits[len(self.words) :]]
        scale_g, scale_h = grid.scales()
        kernel = None if grid.further or rows.target.ndim > 1 else state.loss.kernel
        if kernel is None:
            state.gradients.fill(state, silo)
        else:
            state.margins.catch_up(state, silo)

        def fill(piece: Ranges) -> None:
            if kernel is not None:
                kernel(state.margin, rows.target, rows.weight, piece, scale_g, scale_h, self.words[0])
            for place, words in enumerate(self.words[: len(digits)]):
                if kernel is None:
                    for g, h, packed in zip(*state.gradients.statistics, words, strict=True):
                        self._pack(state, grid, g, h, piece, place, packed)
                if rows.repeats is not None:
                    histogram_kernels.repeat(words, rows.repeats, piece)
            state.positions.to_root(piece)

        self.pieces = pieces(silo.ranges, silo.threads.n)
        silo.threads.map(fill, self.pieces)
        state.positions.begin(len(state.forest), silo.silos_asked, silo.ranges)
        state.sampler.begin(len(state.forest), silo.ranges)
        self._prepared, self._ranges, self._grid = key, silo.ranges, grid
        self._drawn = DrawnWords((), -1, None, [])

    def _pack(
        self, state: TreeState, grid: GradientScale, g: Doubles, h: Doubles, piece: Ranges, place: int, words: Vector
    ) -> None:
        """Quantise some rows' gradients and hessians to the words of one place; see `GradientScale.further`."""
        digits = (0, *grid.further)
        most = 2.0 ** (histogram_kernels.STATISTIC_BITS_G + grid.extra)
        least_g = np.int64(state.loss.keeps_gradients)
        least_h = np.int64(bool(grid.further) and state.loss.keeps_hessians)
        below = sum(digits[place + 1 :])
        gradients_kernels.pack_statistics(
            g, h, piece, *grid.scales(), most, (least_g, least_h), digits[place], below, words
        )

    def of_output(self, output: int, extra: int) -> list[Vector]:
        """Return the words of an output, by digits."""
        return [words[output] for words in self.words[: 1 + len(further_digits(extra))]]

    def of_tree(self, state: TreeState, silo: Silo, tree: int, extra: int) -> list[Vector]:
        """Return the words of a round's tree, by digits: those of its output, and 0 for the rows it does not draw."""
        words = self.of_output(state.output(tree), extra)
        if not state.sampler.draws:
            return words
        drawn = self._drawn
        if drawn.prepared != self._prepared or drawn.tree != tree or drawn.factors is not self._factors:
            if self._factors is not None:
                words = self._weighed(state, silo, tree, words, self._factors)
            words = [state.sampler.drawn(state, silo, tree, digits) for digits in words]
            self._drawn = DrawnWords(self._prepared, tree, self._factors, words)
        return self._drawn.words

    def weigh_trees(self, state: TreeState, factors: Doubles) -> None:
        """Take in what classes weigh in each tree of the coming round; see `class_factors.TreeFactors`."""
        weighed = isinstance(state.loss, WeighedOutputs) and state.sampler.draws
        if not weighed or len(factors) != state.terms.parallel:
            raise ProtocolError("weights of classes, of other trees than those that grow")
        self._factors = factors

    def _weighed(self, state: TreeState, silo: Silo, tree: int, words: list[Vector], factors: Doubles) -> list[Vector]:
        """Return the words of a tree whose classes weigh as its own rows have it; rows are counted as they are."""
        output, loss, repeats = state.output(tree), state.loss, state.rows.repeats
        if not isinstance(loss, WeighedOutputs) or output == len(loss.classes):
            return words
        factor = loss.products(state.rows.target, factors[tree % state.terms.parallel])
        g, h = (own[output] * factor for own in state.gradients.statistics)
        weighed = [np.zeros_like(digits) for digits in words]

        def fill(piece: Ranges) -> None:
            for place, digits in enumerate(weighed):
                self._pack(state, self._grid, g, h, piece, place, digits)
                if repeats is not None:
                    histogram_kernels.repeat(digits[None], repeats, piece)

        silo.threads.map(fill, self.pieces)
        return weighed
