"""What a silo remembers while trees are boosted: bins, margins, and where its rows stand in the growing trees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.buffer import Reused
from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.protocol.state import State
from fedtrees.errors import ProtocolError
from fedtrees.queries.counts import pieces
from fedtrees.trees.kernels import gradients as gradients_kernels
from fedtrees.trees.kernels import histogram as histogram_kernels
from fedtrees.trees.kernels import node_histogram as node_histogram_kernels
from fedtrees.trees.kernels import sampling as sampling_kernels
from fedtrees.trees.losses import column_of, loss_of
from fedtrees.trees.losses.outputs import WeighedOutputs
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.gradient_scale import Grid, further_digits
from fedtrees.trees.model.shape import Shape
from fedtrees.trees.model.value_trees import ValueTrees
from fedtrees.trees.silo.binning import bin_table
from fedtrees.trees.silo.evaluation_set import Evaluated
from fedtrees.trees.silo.gradients import Gradients
from fedtrees.trees.silo.margins import first_margin
from fedtrees.trees.silo.row_moments import RowMoments
from fedtrees.trees.silo.row_sampling import keys_of
from fedtrees.trees.silo.terms import Terms

if TYPE_CHECKING:
    from fedtrees.core.data.table import Table
    from fedtrees.core.numeric.threads import Threads
    from fedtrees.core.protocol.silo import Silo

Ranges = NDArray[np.int64]


class TreeState(State):
    """A silo's margins and positions.

    Law: everything here follows from the table and the facts; positions are kept to save the walk from the root.

    Attributes
    ----------
    bins : uint8 or uint16 (groups, rows, features a group)
    margin : float32 (outputs, rows)
    node : uint32 (trees, rows)
        The node of the growing tree that a row is known to have reached.
    words : list of int64 (outputs, rows)
        Packed quantised gradients and hessians: the highest digits, and one more for each of `Grid.further`.
    """

    begins = "the cut points"

    def __init__(self, silo: Silo, terms: Terms, cuts: Cuts):
        rows, outputs = silo.table.n_rows, len(terms.base_margin)
        self.trees = outputs * terms.parallel  # a round
        self.terms, self.cuts = terms, cuts
        self.loss = loss_of(terms.objective, terms.params, terms.labels)
        self.target = silo.targets(terms.labels)
        if terms.labels is None and not rows:
            # of no column to speak of
            self.target = np.zeros((0, 2) if self.loss.open_above else (0, outputs)[: 1 + (outputs > 1)], np.float32)
        # rows that count k times are k rows of weight 1
        counting = silo.counting if silo.counting is not None and silo.counting.whole else None
        self.repeats = None if counting is None else silo.counts()
        self.target = self.loss.moved(self.target, terms.base_margin)
        self.shares = terms.shares()
        self.word_rows = histogram_kernels.WORD_ROWS // (
            (1 if counting is None else counting.most) * max(1, self.shares.shape[1])
        )
        weight = None if counting is not None else silo.weights()
        self.weight = self.loss.weighted(np.ones(1, np.float32) if weight is None else weight, self.target)
        self.bins = bin_table(silo.table, cuts, silo.threads)
        self.earlier = silo.states.find(ValueTrees)  # that training goes on from
        self.margin = self.start_of(silo.table, silo.threads)
        self.node = np.zeros((self.trees, rows), np.uint32)
        self.words = [np.zeros((outputs, rows), np.int64)]
        self.statistics_a_bin = self.loss.statistics_a_bin(len(terms.labels or ()))
        # which pair of a bin's sums a row adds to; where rows are drawn, also who is passed over for a word of 0
        listed = self.statistics_a_bin > 2 or terms.bootstrap
        self.plane = np.zeros(rows if listed else 0, np.uint8)
        if self.statistics_a_bin > 2 and self.target.ndim == 1:
            self.plane = (self.target // 2).astype(np.uint8)
        elif self.statistics_a_bin > 2:  # of each output
            self.plane = np.zeros((outputs, rows), np.uint8)
            self.plane[: self.target.shape[1]] = self.target.T // 2
        self._ids = silo.table.row_ids() if self.shares.size else None
        self._drawn_as = self.target.astype(np.uint16) if len(self.shares) > 1 else np.zeros(0, np.uint16)
        self._drawn: list[Vector] = []  # what the tree drawn for last counts of each digit's words
        self._drawn_for = -1
        self._drawn_times: dict[int, NDArray[np.uint8]] = {}
        self._tree_factors = np.zeros((0, 0, 0))  # see `output_weights.TreeFactors`
        self.forest: list[tuple[list[Shape], list[NDArray[np.float32]]]] = []
        self.steps: list[NDArray[np.float32]] = []  # of each round, what moves the weights of a loss that reweighs
        # of each silo in the table: how many rounds its margins hold, and the round its positions belong to
        self.added = np.zeros(len(silo.table.names), np.int64)
        self.placed = np.full(len(silo.table.names), -1, np.int64)
        self._kept: dict[tuple[str, int], Vector] = {}
        self.answers = Reused(), Reused()  # what answers are written to that come in parts
        self._prepared: tuple[object, ...] = ()
        self._grid = Grid(0, 0)  # of the growing trees
        self.gradients = Gradients(self.loss, outputs, rows)
        self.moments = RowMoments()
        # the rows asked last, and of each output the tree as far as they have walked it; None: they are at its root
        self._ranges: Ranges | None = None
        self.pieces: list[Ranges] = []  # of those rows, one a thread
        self._walked: list[Shape | None] = [None] * self.trees
        self._evaluated: dict[int, Evaluated] = {}

    def start_of(self, table: Table, threads: Threads) -> NDArray[np.float32]:
        """What the margins of a table start from, float32 (outputs, rows)."""
        base = self.terms.base_margin
        margin = first_margin(table, np.zeros_like(base) if self.loss.reweighs else base)
        if self.earlier is not None:
            if self.earlier.outputs != len(margin):
                raise ProtocolError("trees of an earlier model of other outputs")
            self.earlier.add_to(margin, table, threads)
        return margin

    def evaluated(self, silo: Silo, place: int, table: Table) -> Evaluated:
        """What is known of an evaluation set; a function of the facts, so it may be built late, and again."""
        if place not in self._evaluated:
            self._evaluated[place] = Evaluated(silo, table, self)
        return self._evaluated[place]

    # -- between trees --------------------------------------------------------------------------------------

    def catch_up(self, silo: Silo) -> None:
        """Add the trees that the margins of the silos asked do not hold yet, in order."""
        asked = silo.silos_asked
        last = len(self.forest) - 1
        if not len(asked) or (self.added[asked] > last).all():
            return
        for round in range(int(self.added[asked].min()), last + 1):
            behind = asked[self.added[asked] == round]
            ranges = _ranges(silo, behind)
            if silo.ranges is not self._ranges or (self.placed[behind] != round).any():
                histogram_kernels.to_root(self.node, ranges)
                self._walked = [None] * len(self.node)
            self._add_round(silo, ranges, round)
            self.added[behind] = round + 1

    def _add_round(self, silo: Silo, ranges: Ranges, round: int) -> None:
        shapes, values = self.forest[round]
        levels = [self.levels(number, shape, ranges) for number, shape in enumerate(shapes)]

        def add(piece: Ranges) -> None:
            if self.loss.reweighs:
                predicted = np.zeros(self.margin.shape[1], np.float32)
                walk = shapes[0].walk(self.bins)
                histogram_kernels.add_leaves(self.bins, self.node[0], piece, levels[0], walk, values[0], predicted)
                self.loss.reweigh(predicted, self.target, piece, self.steps[round], self.margin[0])
                return
            for k, (shape, value) in enumerate(zip(shapes, values, strict=True)):
                walk = shape.walk(self.bins)
                histogram_kernels.add_leaves(
                    self.bins, self.node[k], piece, levels[k], walk, value, self.margin[self.output(k)]
                )

        silo.threads.map(add, pieces(ranges, silo.threads.n))

    def prepare(self, silo: Silo, grid: Grid) -> None:
        """Compute and quantise the gradients of a new tree, and put the rows at its root; done once a tree."""
        key = len(self.forest), grid
        if key == self._prepared and silo.ranges is self._ranges:
            return
        digits = (0, *grid.further)
        self.words += [np.zeros_like(self.words[0]) for _ in digits[len(self.words) :]]
        scale_g, scale_h = grid.scales()
        kernel = None if grid.further or self.target.ndim > 1 else self.loss.kernel
        if kernel is None:
            self.gradients.fill(self, silo)
        else:
            self.catch_up(silo)

        def fill(piece: Ranges) -> None:
            if kernel is not None:
                kernel(self.margin, self.target, self.weight, piece, scale_g, scale_h, self.words[0])
            for place, words in enumerate(self.words[: len(digits)]):
                if kernel is None:
                    for g, h, own in zip(*self.gradients.statistics, words, strict=True):
                        self._pack(grid, g, h, piece, place, own)
                if self.repeats is not None:
                    histogram_kernels.repeat(words, self.repeats, piece)
            histogram_kernels.to_root(self.node, piece)

        self.pieces = pieces(silo.ranges, silo.threads.n)
        silo.threads.map(fill, self.pieces)
        self.placed[silo.silos_asked] = len(self.forest)
        self._prepared, self._ranges, self._drawn_for, self._grid = key, silo.ranges, -1, grid
        self._drawn_times = {}
        self._walked = [None] * len(self.node)

    def _pack(
        self, grid: Grid, g: NDArray[np.float64], h: NDArray[np.float64], piece: Ranges, place: int, words: Vector
    ) -> None:
        """Quantise some rows' gradients and hessians to the words of one place; see `Grid.further`."""
        digits = (0, *grid.further)
        most = 2.0 ** (histogram_kernels.STATISTIC_BITS_G + grid.extra)
        least = np.int64(self.loss.keeps_gradients), np.int64(bool(grid.further) and self.loss.keeps_hessians)
        below = sum(digits[place + 1 :])
        gradients_kernels.pack_statistics(g, h, piece, *grid.scales(), most, least, digits[place], below, words)

    # -- within a tree --------------------------------------------------------------------------------------

    def output(self, tree: int) -> int:
        """The output that a round's tree belongs to."""
        return tree // self.terms.parallel

    def levels(self, tree: int, shape: Shape, ranges: Ranges) -> int:
        """Levels that rows have to go down in a round's tree; to its root first, where they walked another."""
        walked = self._walked[tree]
        if walked is not None and not shape.extends(walked):
            histogram_kernels.to_root(self.node[tree : tree + 1], ranges)
            walked = None
        self._walked[tree] = shape
        return shape.levels_below(walked)

    def _slots(self, shape: Shape, build: NDArray[np.int32]) -> NDArray[np.int32]:
        """Where each node's histogram goes, int32 (nodes,); -1 for those that are not built."""
        slot_of = np.full(len(shape.feature), -1, np.int32)
        inside = (build >= 0) & (build < len(slot_of))
        slot_of[build[inside]] = np.flatnonzero(inside)
        if np.count_nonzero(slot_of >= 0) < len(build):
            raise ProtocolError("histograms were asked for of nodes that there are not, or twice")
        return slot_of

    def histograms(
        self, silo: Silo, tree: int, shape: Shape, build: NDArray[np.int32], columns: NDArray[np.int32] | None,
        extra: int,
    ) -> Vector:  # fmt: skip
        """The sums of each bin of some features, or of all, of a tree's nodes: int64 (nodes, statistics, bins)."""
        cuts, offsets = self.cuts, self.cuts.bin_offsets
        slot_of = self._slots(shape, build)
        stride = 256 if self.bins.dtype == np.uint8 else int(cuts.n_bins.max())
        levels = self.levels(tree, shape, silo.ranges)
        words, further = self._words(silo, tree, extra), further_digits(extra)
        plane = self.plane if self.plane.ndim == 1 else self.plane[self.output(tree)]
        slots = len(build) * (-(-self.statistics_a_bin // 2))
        # words of few digits leave their accumulators room for more rows
        word_rows = min(histogram_kernels.LIST_ROWS, self.word_rows << max(-extra, 0))
        scratch = slots * self.bins.shape[0] * self.bins.shape[2] * stride

        def fill(piece: tuple[int, Ranges]) -> Vector:
            place, ranges = piece
            packed = self._scratch("packed", place, scratch)
            wide = self._scratch("wide", place, slots * 2 * cuts.total_bins)
            wide[:] = 0
            wide = wide.reshape(slots, 2, cuts.total_bins)
            # the digits of further words are summed after those of the first, which have then moved rows to their nodes
            for digits, shift, down in zip(words, (0, *further), (levels, *(0 for _ in further)), strict=True):
                wide <<= shift
                histogram_kernels.grow_level(
                    self.bins, digits, plane, self.node[tree], ranges, down,
                    shape.walk(self.bins), slot_of, offsets, stride, packed, wide, word_rows,
                )  # fmt: skip
            return wide.reshape(len(build), -1, cuts.total_bins)[:, : self.statistics_a_bin]

        parts = silo.threads.map(fill, enumerate(self.pieces))
        if not parts:
            parts = [np.zeros((len(build), self.statistics_a_bin, cuts.total_bins), np.int64)]
        if columns is not None:
            own = cuts.bins_of(columns)
            parts = [part[:, :, own] for part in parts]
        total = parts[0] + parts[1] if len(parts) > 1 else parts[0].copy()
        for part in parts[2:]:
            total += part
        return total

    def row_lister(
        self, silo: Silo, tree: int, shape: Shape, build: NDArray[np.int32]
    ) -> Callable[[], tuple[NDArray[np.uint32], NDArray[np.int64]]]:
        """What lists the rows asked, node after node of a tree, and where each node's start: for a thread to call.

        It returns uint32 (any,) and int64 (nodes + 1,). All that needs the interpreter's lock is done here.
        """
        slot_of, levels = self._slots(shape, build), self.levels(tree, shape, silo.ranges)
        walk, node = shape.walk(self.bins), self.node[tree]
        order = np.empty(int((silo.ranges[:, 1] - silo.ranges[:, 0]).sum()), np.uint32)
        starts = np.empty(len(build) + 1, np.int64)

        def list_rows() -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
            times = self.times_drawn(silo, tree)
            node_histogram_kernels.list_rows(self.bins, times, node, silo.ranges, levels, walk, slot_of, starts, order)
            return order, starts

        return list_rows

    def sum_nodes(
        self, silo: Silo, tree: int, extra: int, order: NDArray[np.uint32], starts: NDArray[np.int64],
        columns: NDArray[np.uint64], bins: NDArray[np.int64], sizes: NDArray[np.int64], out: Vector,
    ) -> None:  # fmt: skip
        """Write the sums of each bin of some nodes' own features to ``out``; see `node_histogram_kernels.sum_nodes`."""
        flat, a_group, times = self.bins.reshape(-1), np.uint64(self.bins.shape[2]), self.times_drawn(silo, tree)
        for words, digits in zip(self._digits(tree, extra), (0, *further_digits(extra)), strict=True):
            node_histogram_kernels.sum_nodes(
                flat, a_group, words, digits, times, self.plane, order, starts, columns, bins, sizes,
                self.statistics_a_bin, out,
            )  # fmt: skip

    def residual_counts(
        self, silo: Silo, tree: int, shape: Shape, slot_of: NDArray[np.int32], low: NDArray[np.uint32],
        log_keys: int, log_child: int,
    ) -> Vector:  # fmt: skip
        """What rows in some leaves miss their targets by, counted; see `gradients_kernels.count_residuals`."""
        output, levels, counts = self.output(tree), self.levels(tree, shape, silo.ranges), silo.counts()
        walk, nothing = shape.walk(self.bins), np.zeros(len(shape.feature), np.float32)
        target = column_of(self.target, output)
        unmoved = np.zeros(len(target), np.float32) if levels else self.margin[output]
        each = np.ones(1, np.int64) if counts is None else counts
        if self._ids is not None:
            each = self.draw_rows(silo, tree, np.ones(len(target), np.int64) if counts is None else counts)

        def count(piece: Ranges) -> Vector:
            out = np.zeros((*low.shape, 1 << (log_keys - log_child)), np.int64)
            if levels:
                histogram_kernels.add_leaves(self.bins, self.node[tree], piece, levels, walk, nothing, unmoved)
            gradients_kernels.count_residuals(
                target, self.margin[output], each, self.node[tree], piece, slot_of, low, log_keys, log_child, out
            )
            return out

        return sum(silo.threads.map(count, self.pieces), np.zeros((*low.shape, 1 << (log_keys - log_child)), np.int64))

    def _digits(self, tree: int, extra: int) -> list[Vector]:
        """The words of a round's tree, by digits: those of its output."""
        return [words[self.output(tree)] for words in self.words[: 1 + len(further_digits(extra))]]

    def _words(self, silo: Silo, tree: int, extra: int) -> list[Vector]:
        """`_digits`, and 0 for the rows that the tree does not draw."""
        words = self._digits(tree, extra)
        if self._ids is None:
            return words
        if tree != self._drawn_for:
            if len(self._tree_factors):
                words = self._weighed(silo, tree, words)
            self._drawn = [self.draw_rows(silo, tree, own) for own in words]
            self._drawn_for = tree
        return self._drawn

    def weigh_trees(self, factors: NDArray[np.float64]) -> None:
        """Take in what classes weigh in each tree of the coming round; see `output_weights.TreeFactors`."""
        if not isinstance(self.loss, WeighedOutputs) or len(factors) != self.terms.parallel or self._ids is None:
            raise ProtocolError("weights of classes, of other trees than those that grow")
        self._tree_factors, self._drawn_for = factors, -1

    def draws_of_trees(self, silo: Silo, trees: int) -> Iterator[Vector]:
        """The times that each of the coming round's trees draws each row: int64 (rows,)."""
        if trees != self.terms.parallel or self._ids is None:
            raise ProtocolError("draws were asked for of other trees than those that grow")
        for tree in range(trees):
            yield self.draw_rows(silo, tree, np.ones(len(self._ids), np.int64))

    def _weighed(self, silo: Silo, tree: int, words: list[Vector]) -> list[Vector]:
        """The words of a tree whose classes weigh as its own rows have it; rows are counted as they are."""
        output, loss = self.output(tree), self.loss
        if not isinstance(loss, WeighedOutputs) or output == len(loss.classes):
            return words
        factor = loss.products(self.target, self._tree_factors[tree % self.terms.parallel])
        g, h = (own[output] * factor for own in self.gradients.statistics)
        weighed = [np.zeros_like(own) for own in words]

        def fill(piece: Ranges) -> None:
            for place, own in enumerate(weighed):
                self._pack(self._grid, g, h, piece, place, own)
                if self.repeats is not None:
                    histogram_kernels.repeat(own[None], self.repeats, piece)

        silo.threads.map(fill, self.pieces)
        return weighed

    def times_drawn(self, silo: Silo, tree: int) -> NDArray[np.uint8]:
        """The number of times a round's tree draws each row, kept while its trees grow; empty where all count once."""
        if self._ids is None:
            return np.zeros(0, np.uint8)
        if tree not in self._drawn_times:
            once = np.ones(len(self._ids), np.int64)
            # by one thread: it is one of many that each have a tree
            self._drawn_times[tree] = self.draw_rows(silo, tree, once, parts=[silo.ranges]).astype(np.uint8)
        return self._drawn_times[tree]

    def draw_rows(self, silo: Silo, tree: int, words: Vector, parts: list[Ranges] | None = None) -> Vector:
        """The words of rows as often as the growing round's tree draws them, 0 for others: int64 (rows,)."""
        if self.loss.shares_splits:
            tree %= self.terms.parallel
        keys = keys_of(self.terms.seed, self.terms.trees_before + tree, self.terms.rounds_before + len(self.forest))
        out = np.zeros(len(words), np.int64)

        def draw(piece: Ranges) -> None:
            sampling_kernels.draw(words, self._ids, piece, keys, self.shares, self._drawn_as, out)

        silo.threads.map(draw, pieces(silo.ranges, silo.threads.n) if parts is None else parts)
        return out

    def _scratch(self, what: str, place: int, size: int) -> Vector:
        """A thread's memory, at first zeros. Fresh memory would cost the system more time than the sums do."""
        if len(self._kept.get((what, place), ())) < size:
            self._kept[what, place] = np.zeros(size, np.int64)
        return self._kept[what, place][:size]


def _ranges(silo: Silo, silos: NDArray[np.int64]) -> Ranges:
    starts = silo.table.starts
    if len(silos) == len(silo.table.names):
        return np.array([[0, silo.table.n_rows]], np.int64)
    return np.stack([starts[silos], starts[silos + 1]], axis=1)
