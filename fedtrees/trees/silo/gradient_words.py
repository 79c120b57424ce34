"""Gradients and hessians of a silo's rows as whole numbers on a gradient scale, which histograms sum.

A row's pair is one word of 64 bits, (gradient << 32) + hessian: one addition sums both. Where a scale has more digits
than a word holds, a row has several words, the highest digits first; see `GradientScale.further`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.numeric.row_ranges import pieces
from fedtrees.errors import ProtocolError
from fedtrees.trees.kernels import gradients as gradients_kernels
from fedtrees.trees.kernels import histogram as histogram_kernels
from fedtrees.trees.losses.outputs import WeighedOutputs
from fedtrees.trees.model.gradient_scale import GradientScale, further_digits
from fedtrees.trees.silo.forest import FinishedRound
from fedtrees.trees.silo.gradients import Gradients
from fedtrees.trees.silo.margins import Margins
from fedtrees.trees.silo.positions import Positions
from fedtrees.trees.silo.row_sampling import RowSampler
from fedtrees.trees.silo.training_rows import TrainingRows

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows

Ranges = NDArray[np.int64]
Doubles = NDArray[np.float64]


class DrawnWords(NamedTuple):
    """The words of the rows that one of the prepared round's trees draws, and the factors that they are made with."""

    tree: int
    factors: Doubles | None
    words: list[Vector]


class GradientWords:
    """Packed gradients and hessians of the round that grows.

    Law: a function of the gradients and the gradient scale, whatever was asked before.

    Attributes
    ----------
    words : list of int64 (outputs, rows)
        The words of the highest digits, and one more for each of `GradientScale.further`.
    pieces : list of int64 (any, 2)
        The rows that they are made of, one piece per thread.
    """

    def __init__(
        self, rows: TrainingRows, margins: Margins, gradients: Gradients, positions: Positions, sampler: RowSampler,
        forest: list[FinishedRound],
    ):  # fmt: skip
        self._rows, self._margins, self._gradients = rows, margins, gradients
        self._positions, self._sampler, self._forest = positions, sampler, forest
        self.words = [np.zeros(margins.values.shape, np.int64)]
        self.pieces: list[Ranges] = []
        self._scale, self._ranges = GradientScale(0, 0), np.zeros((0, 2), np.int64)
        self._prepared: tuple[object, ...] = ()
        self._drawn = DrawnWords(-1, None, [])
        self._factors: Doubles | None = None  # of classes in each tree; see `class_factors.TreeFactors`

    def prepare(self, silo: SiloRows, scale: GradientScale) -> None:
        """Compute and quantise the gradients of a new round, and put the rows at its roots; done once per round."""
        # gradients change with the finished trees, the scale, and the silos that are asked
        key = len(self._forest), scale
        if key == self._prepared and silo.ranges is self._ranges:
            return
        rows, digits = self._rows, (0, *scale.further)
        self.words += [np.zeros_like(self.words[0]) for _ in digits[len(self.words) :]]
        scale_g, scale_h = scale.scales()
        # a loss's kernel packs words at once, without gradients in between: of one target, and of one word
        kernel = None if scale.further or rows.target.ndim > 1 else self._rows.loss.kernel
        if kernel is None:
            self._gradients.fill(silo)
        else:
            self._margins.catch_up(silo)

        def fill(piece: Ranges) -> None:
            if kernel is not None:
                kernel(self._margins.values, rows.target, rows.weight, piece, scale_g, scale_h, self.words[0])
            for place, words in enumerate(self.words[: len(digits)]):
                if kernel is None:
                    for g, h, packed in zip(*self._gradients.statistics, words, strict=True):
                        self._pack(scale, g, h, piece, place, packed)
                if rows.repeats is not None:
                    histogram_kernels.repeat(words, rows.repeats, piece)
            self._positions.to_root(piece)

        self.pieces = pieces(silo.ranges, silo.threads.n)
        silo.threads.map(fill, self.pieces)
        self._positions.begin(len(self._forest), silo.silos_asked, silo.ranges)
        self._sampler.begin(len(self._forest), silo.ranges)
        self._prepared, self._ranges, self._scale = key, silo.ranges, scale
        self._drawn = DrawnWords(-1, None, [])

    def _pack(self, scale: GradientScale, g: Doubles, h: Doubles, piece: Ranges, place: int, words: Vector) -> None:
        """Quantise some rows' gradients and hessians to the words of one place; see `GradientScale.further`."""
        digits = (0, *scale.further)
        most = 2.0 ** (histogram_kernels.STATISTIC_BITS_G + scale.extra)
        least_g = np.int64(self._rows.loss.keeps_gradients)
        least_h = np.int64(bool(scale.further) and self._rows.loss.keeps_hessians)
        below = sum(digits[place + 1 :])
        gradients_kernels.pack_statistics(
            g, h, piece, *scale.scales(), most, (least_g, least_h), digits[place], below, words
        )

    def of_output(self, output: int, extra: int) -> list[Vector]:
        """Return the words of an output, the highest digits first."""
        return [words[output] for words in self.words[: 1 + len(further_digits(extra))]]

    def of_tree(self, silo: SiloRows, tree: int, extra: int) -> list[Vector]:
        """Return the words of a round's tree, the highest digits first: those of its output, 0 for rows not drawn."""
        words = self.of_output(self._rows.terms.output(tree), extra)
        if not self._sampler.draws:
            return words
        # made once, and kept for all levels of the tree
        drawn = self._drawn
        if drawn.tree != tree or drawn.factors is not self._factors:
            if self._factors is not None:
                words = self._weighed(silo, tree, words, self._factors)
            words = [self._sampler.drawn(silo, tree, digits) for digits in words]
            self._drawn = DrawnWords(tree, self._factors, words)
        return self._drawn.words

    def weigh_trees(self, factors: Doubles) -> None:
        """Take in the factors of classes in each tree of the coming round; see `class_factors.TreeFactors`."""
        weighed = isinstance(self._rows.loss, WeighedOutputs) and self._sampler.draws
        if not weighed or len(factors) != self._rows.terms.parallel:
            raise ProtocolError("weights of classes, of other trees than those that grow")
        self._factors = factors

    def _weighed(self, silo: SiloRows, tree: int, words: list[Vector], factors: Doubles) -> list[Vector]:
        """Return the words of a tree whose classes have factors; the output that counts rows has none."""
        output, loss, repeats = self._rows.terms.output(tree), self._rows.loss, self._rows.repeats
        if not isinstance(loss, WeighedOutputs) or output == len(loss.classes):
            return words
        factor = loss.products(self._rows.target, factors[tree % self._rows.terms.parallel])
        g, h = (statistic[output] * factor for statistic in self._gradients.statistics)
        weighed = [np.zeros_like(digits) for digits in words]

        def fill(piece: Ranges) -> None:
            for place, digits in enumerate(weighed):
                self._pack(self._scale, g, h, piece, place, digits)
                if repeats is not None:
                    histogram_kernels.repeat(digits[None], repeats, piece)

        silo.threads.map(fill, self.pieces)
        return weighed
