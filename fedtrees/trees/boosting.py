"""What a silo remembers while trees are boosted: bins, margins, and where its rows stand in the growing trees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.query import Fact
from fedtrees.core.ring import Vector
from fedtrees.core.rng import stream
from fedtrees.errors import ProtocolError
from fedtrees.queries.counts import pieces
from fedtrees.trees import kernels
from fedtrees.trees.binning import bin_table
from fedtrees.trees.evaluated import Evaluated
from fedtrees.trees.losses import loss_named, scales
from fedtrees.trees.tree import Cuts, Shape, Tree

if TYPE_CHECKING:
    from fedtrees.core.silo import Silo
    from fedtrees.core.table import Table

Ranges = NDArray[np.int64]


class Begin(Fact, frozen=True, eq=False):
    """Boosting begins: the loss, the agreed labels, and what the margins start from.

    Parameters
    ----------
    objective : str
    labels : list, optional
    base_margin : float32 (outputs,)
    values, offsets, missing
        The cut points; see `trees.tree.Cuts`.
    parallel : int, default 1
        Trees a round of each output.
    subsample : float, default 1.0
        The share of rows that a tree draws.
    seed : int, default 0
        Of these draws.
    """

    objective: str
    labels: list[Any] | None
    base_margin: NDArray[np.float32]
    values: NDArray[np.float32]
    offsets: NDArray[np.int64]
    missing: NDArray[np.bool_]
    parallel: int = 1
    subsample: float = 1.0
    seed: int = 0

    def apply(self, silo: Silo) -> None:
        """See `Fact`."""
        cuts = Cuts(self.values, self.offsets, self.missing)
        cuts.check(silo.table.n_features)
        if len(self.base_margin) != loss_named(self.objective).outputs(len(self.labels or ())):
            raise ProtocolError(f"margins of {len(self.base_margin)} outputs are not those of {self.objective}")
        if self.parallel < 1 or not 0 < self.subsample <= 1:
            raise ProtocolError(f"{self.parallel} trees a round, of a share of {self.subsample} of the rows")
        silo.state = Boosting(silo, self, cuts)


class Grown(Fact, frozen=True, eq=False):
    """A round's trees are finished, those of an output side by side; their arrays stand end to end.

    Parameters
    ----------
    ends : int32 (trees,)
        Where each tree's nodes end.
    feature, bin, default_left, left, value
        See `trees.tree.Tree`.
    """

    ends: NDArray[np.int32]
    feature: NDArray[np.int32]
    bin: NDArray[np.int32]
    default_left: NDArray[np.bool_]
    left: NDArray[np.int32]
    value: NDArray[np.float32]

    @staticmethod
    def of(trees: list[Tree]) -> Grown:
        """Put trees end to end."""
        names = ("feature", "bin", "default_left", "left", "value")
        ends = np.cumsum([tree.n_nodes for tree in trees]).astype(np.int32)
        return Grown(ends, *(np.concatenate([getattr(tree, name) for tree in trees]) for name in names))

    def apply(self, silo: Silo) -> None:
        """See `Fact`."""
        state: Boosting | None = silo.state
        if state is None or len(self.ends) != state.trees:
            raise ProtocolError("trees before the cut points, or of other outputs than they were for")
        shapes = Shape.apart(self.ends, self.feature, self.bin, self.default_left, self.left, state.cuts)
        if len(self.value) != len(self.feature):
            raise ProtocolError("trees whose arrays have other lengths than they say")
        state.forest.append((shapes, np.split(self.value, self.ends[:-1])))


class Boosting:
    """A silo's margins and positions.

    Law: everything here follows from the table and the facts; positions are kept to save the walk from the root.

    Attributes
    ----------
    bins : uint8 or uint16 (groups, rows, features a group)
    margin : float32 (outputs, rows)
    node : uint32 (trees, rows)
        The node of the growing tree that a row is known to have reached.
    words : int64 (outputs, rows)
        Packed quantised gradients and hessians.
    """

    def __init__(self, silo: Silo, begin: Begin, cuts: Cuts):
        rows, outputs = silo.table.n_rows, len(begin.base_margin)
        self.trees = outputs * begin.parallel  # a round
        self.begin, self.cuts = begin, cuts
        self.loss = loss_named(begin.objective)
        self.target = silo.targets(begin.labels)
        # rows that count k times are k rows of weight 1
        counting = silo.counting if silo.counting is not None and silo.counting.whole else None
        self.repeats = None if counting is None else silo.counts()
        self.word_rows = kernels.WORD_ROWS // (1 if counting is None else counting.most)
        weight = None if counting is not None else silo.weights()
        self.weight = np.ones(1, np.float32) if weight is None else weight
        self.bins = bin_table(silo.table, cuts, silo.threads)
        self.margin = np.repeat(begin.base_margin[:, None].astype(np.float32), rows, axis=1)
        self.node = np.zeros((self.trees, rows), np.uint32)
        self.words = np.zeros((outputs, rows), np.int64)
        self._ids = silo.table.row_ids() if begin.subsample < 1 else None
        self._drawn = np.zeros(rows if begin.subsample < 1 else 0, np.int64)  # the words of the tree drawn for last
        self._drawn_for = -1
        self.forest: list[tuple[list[Shape], list[NDArray[np.float32]]]] = []
        # of each silo in the table: how many rounds its margins hold, and the round its positions belong to
        self.added = np.zeros(len(silo.table.names), np.int64)
        self.placed = np.full(len(silo.table.names), -1, np.int64)
        self._kept: dict[tuple[str, int], Vector] = {}
        self._prepared: tuple[object, ...] = ()
        # the rows asked last, and of each output the tree as far as they have walked it; None: they are at its root
        self._ranges: Ranges | None = None
        self._pieces: list[Ranges] = []  # of those rows, one a thread
        self._walked: list[Shape | None] = [None] * self.trees
        self._evaluated: dict[int, Evaluated] = {}

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
                kernels.to_root(self.node, ranges)
                self._walked = [None] * len(self.node)
            self._add_round(silo, ranges, round)
            self.added[behind] = round + 1

    def _add_round(self, silo: Silo, ranges: Ranges, round: int) -> None:
        shapes, values = self.forest[round]
        levels = [self._levels(number, shape, ranges) for number, shape in enumerate(shapes)]

        def add(piece: Ranges) -> None:
            for k, (shape, value) in enumerate(zip(shapes, values, strict=True)):
                walk = shape.walk(self.bins)
                kernels.add_leaves(self.bins, self.node[k], piece, levels[k], walk, value, self.margin[self._output(k)])

        silo.threads.map(add, pieces(ranges, silo.threads.n))

    def prepare(self, silo: Silo, exponents: tuple[int, int]) -> None:
        """Compute and quantise the gradients of a new tree, and put the rows at its root; done once a tree."""
        key = len(self.forest), exponents
        if key == self._prepared and silo.ranges is self._ranges:
            return
        self.catch_up(silo)
        scale_g, scale_h = scales(exponents)

        def fill(piece: Ranges) -> None:
            self.loss.kernel(self.margin, self.target, self.weight, piece, scale_g, scale_h, self.words)
            if self.repeats is not None:
                kernels.repeat(self.words, self.repeats, piece)
            kernels.to_root(self.node, piece)

        self._pieces = pieces(silo.ranges, silo.threads.n)
        silo.threads.map(fill, self._pieces)
        self.placed[silo.silos_asked] = len(self.forest)
        self._prepared, self._ranges, self._drawn_for = key, silo.ranges, -1
        self._walked = [None] * len(self.node)

    def gradients(self, silo: Silo) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """The gradients and hessians of the rows asked, weights included, not quantised: (outputs, rows) each."""
        self.catch_up(silo)
        rows = silo.rows_asked()
        weight = self.weight[rows] if len(self.weight) > 1 else self.weight
        g, h = self.loss.gradients(self.margin[:, rows], self.target[rows])
        return g * weight, h * weight

    # -- within a tree --------------------------------------------------------------------------------------

    def _output(self, tree: int) -> int:
        """The output that a round's tree belongs to."""
        return tree // self.begin.parallel

    def _levels(self, tree: int, shape: Shape, ranges: Ranges) -> int:
        """Levels that rows have to go down in a round's tree; to its root first, where they walked another."""
        walked = self._walked[tree]
        if walked is not None and not shape.extends(walked):
            kernels.to_root(self.node[tree : tree + 1], ranges)
            walked = None
        self._walked[tree] = shape
        return shape.levels_below(walked)

    def histograms(
        self, silo: Silo, tree: int, shape: Shape, build: NDArray[np.int32], columns: NDArray[np.int32] | None = None
    ) -> Vector:
        """The (G, H) of each bin of some features, or of all, in a round's tree's nodes: int64 (nodes, 2, bins)."""
        cuts, offsets = self.cuts, self.cuts.bin_offsets
        slot_of = np.full(len(shape.feature), -1, np.int32)
        if len(set(build.tolist()) & set(range(len(slot_of)))) < len(build):
            raise ProtocolError("histograms were asked for of nodes that there are not, or twice")
        slot_of[build] = np.arange(len(build))
        stride = 256 if self.bins.dtype == np.uint8 else int(cuts.n_bins.max())
        levels = self._levels(tree, shape, silo.ranges)
        words = self._words(silo, tree)
        scratch = len(build) * self.bins.shape[0] * self.bins.shape[2] * stride

        def fill(piece: tuple[int, Ranges]) -> Vector:
            place, ranges = piece
            packed = self._scratch("packed", place, scratch)
            wide = self._scratch("wide", place, len(build) * 2 * cuts.total_bins)
            wide[:] = 0
            wide = wide.reshape(len(build), 2, cuts.total_bins)
            kernels.grow_level(
                self.bins, words, self.node[tree], ranges, levels,
                shape.walk(self.bins), slot_of, offsets, stride, packed, wide, self.word_rows,
            )  # fmt: skip
            return wide

        parts = silo.threads.map(fill, enumerate(self._pieces))
        if not parts:
            parts = [np.zeros((len(build), 2, cuts.total_bins), np.int64)]
        if columns is not None:
            own = cuts.bins_of(columns)
            parts = [part[:, :, own] for part in parts]
        total = parts[0] + parts[1] if len(parts) > 1 else parts[0].copy()
        for part in parts[2:]:
            total += part
        return total

    def _words(self, silo: Silo, tree: int) -> Vector:
        """The words of a round's tree: those of its output, and 0 for the rows that it does not draw."""
        words = self.words[self._output(tree)]
        if self._ids is None or tree == self._drawn_for:
            return words if self._ids is None else self._drawn
        ids = self._ids
        keys = stream(self.begin.seed, f"rows of tree {tree}", len(self.forest)).integers(
            2**64, size=2, dtype=np.uint64
        )
        share = np.uint64(self.begin.subsample * 2.0**53)

        def draw(piece: Ranges) -> None:
            kernels.draw(words, ids, piece, keys, share, self._drawn)

        silo.threads.map(draw, self._pieces)
        self._drawn_for = tree
        return self._drawn

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
