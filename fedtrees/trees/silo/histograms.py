"""A silo's histograms: sums of gradients and hessians in the bins of nodes.

Each thread sums its piece of the rows, and pieces are added up. A thread has two blocks of memory:

    packed[slot, feature, bin]              words (gradient << 32) + hessian, of as many rows as a word has room for
    wide[slot, gradient or hessian, bin]    the sums that these are emptied into before they overflow

A slot is a node, or where a bin has more than two sums, one pair of them: classes 0 and 1, 2 and 3, and so on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.errors import ProtocolError
from fedtrees.trees.kernels import histogram as histogram_kernels
from fedtrees.trees.model.gradient_scale import further_digits
from fedtrees.trees.model.shape import Shape
from fedtrees.trees.silo.gradient_words import GradientWords
from fedtrees.trees.silo.positions import Positions
from fedtrees.trees.silo.training_rows import TrainingRows

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows

Ranges = NDArray[np.int64]


class HistogramSums:
    """Sums of nodes, and the memory that threads sum in: fresh memory takes more time than the sums do."""

    def __init__(self, rows: TrainingRows, positions: Positions, words: GradientWords, most_counts: int):
        self._rows, self._positions, self._words = rows, positions, words
        # rows whose packed words fit an accumulator, where a row counts so many times at the most
        self.word_rows = histogram_kernels.WORD_ROWS // most_counts
        self._memory: dict[tuple[str, int], Vector] = {}

    def of_nodes(
        self, silo: SiloRows, tree: int, shape: Shape, build: NDArray[np.int32],
        columns: NDArray[np.int32] | None, extra: int,
    ) -> Vector:  # fmt: skip
        """Sum each bin of some features, or of all, of a tree's nodes: int64 (nodes, statistics, bins)."""
        bins, cuts = self._rows.bins, self._rows.cuts
        offsets, statistics = cuts.bin_offsets, self._rows.statistics
        slot_of = slots(shape, build)
        # accumulators of a feature: a constant for bytes, which the compiler can shift by
        stride = 256 if bins.dtype == np.uint8 else int(cuts.n_bins.max())
        levels = self._positions.levels(tree, shape, silo.ranges)
        words, further = self._words.of_tree(silo, tree, extra), further_digits(extra)
        pair = self._rows.pair if self._rows.pair.ndim == 1 else self._rows.pair[self._rows.terms.output(tree)]
        n_slots = len(build) * (-(-statistics // 2))
        # words of few digits leave their accumulators room for more rows
        word_rows = min(histogram_kernels.LIST_ROWS, self.word_rows << max(-extra, 0))
        size = n_slots * bins.shape[0] * bins.shape[2] * stride

        def fill(piece: tuple[int, Ranges]) -> Vector:
            place, ranges = piece
            packed = self._scratch("packed", place, size)
            wide = self._scratch("wide", place, n_slots * 2 * cuts.total_bins)
            wide[:] = 0
            wide = wide.reshape(n_slots, 2, cuts.total_bins)
            # the digits of further words are summed after those of the first, which have then moved rows to their nodes
            for digits, shift, down in zip(words, (0, *further), (levels, *(0 for _ in further)), strict=True):
                wide <<= shift  # make room for the digits of this word
                histogram_kernels.grow_level(
                    bins, digits, pair, self._positions.node[tree], ranges, down,
                    shape.walk(bins), slot_of, offsets, stride, packed, wide, word_rows,
                )  # fmt: skip
            return wide.reshape(len(build), -1, cuts.total_bins)[:, :statistics]

        parts = silo.threads.map(fill, enumerate(self._words.pieces))
        if not parts:  # a silo without rows
            parts = [np.zeros((len(build), statistics, cuts.total_bins), np.int64)]
        if columns is not None:
            kept = cuts.bins_of(columns)
            parts = [part[:, :, kept] for part in parts]
        total = parts[0] + parts[1] if len(parts) > 1 else parts[0].copy()
        for part in parts[2:]:
            total += part
        return total

    def _scratch(self, what: str, place: int, size: int) -> Vector:
        """Return a thread's memory, at first zeros; `grow_level` leaves zeros behind in packed words."""
        if len(self._memory.get((what, place), ())) < size:
            self._memory[what, place] = np.zeros(size, np.int64)
        return self._memory[what, place][:size]


def slots(shape: Shape, build: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the slot of each node's histogram, int32 (nodes,); -1 for nodes that are not built.

    Raises
    ------
    ProtocolError
        If a node is unknown, or named twice.
    """
    slot_of = np.full(len(shape.feature), -1, np.int32)
    inside = (build >= 0) & (build < len(slot_of))
    slot_of[build[inside]] = np.flatnonzero(inside)
    if np.count_nonzero(slot_of >= 0) < len(build):
        raise ProtocolError("histograms were asked for of nodes that there are not, or twice")
    return slot_of
