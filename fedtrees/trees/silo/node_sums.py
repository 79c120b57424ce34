"""Sums of many nodes, each of the features that it has drawn, part after part: a silo's answer to `NodeHistograms`.

All nodes of a deep level have more bins than memory is quick to fill. Their sums are made, and by a server in the same
process read, a part at a time that stays in the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.trees.kernels import node_histogram as node_histogram_kernels
from fedtrees.trees.model.gradient_scale import further_digits
from fedtrees.trees.model.shape import Shape
from fedtrees.trees.silo.histograms import slots

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows
    from fedtrees.trees.silo.state import TreeState

MOST_INTEGERS = 1 << 21  # in a part, but where one node has more
TREES_PER_THREAD = 2  # whose rows are listed at a time: more take memory, fewer leave threads waiting

Range = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Layout:
    """The layout of nodes' sums: where their features' bins stand in memory, and their integers in the answer.

    Attributes
    ----------
    columns : uint64 (nodes, features per node)
        Where a feature's bin of row 0 stands among the bins of all rows, flat.
    bins : int64 (nodes, features per node)
        Where a feature's bins start among a node's.
    sizes : int64 (nodes,)
        A node's bins.
    starts : int64 (nodes + 1,)
        Where a node's integers start in the answer.
    """

    columns: NDArray[np.uint64]
    bins: NDArray[np.int64]
    sizes: NDArray[np.int64]
    starts: NDArray[np.int64]

    @staticmethod
    def of(columns: NDArray[np.int32], state: TreeState) -> Layout:
        """Lay out nodes that ask for these features, int32 (nodes, features per node)."""
        _, rows, per_group = state.rows.bins.shape
        group, place = np.divmod(columns.astype(np.int64), per_group)
        n_bins = state.cuts.n_bins[columns]
        ends = np.cumsum(n_bins, axis=1)
        sizes = ends[:, -1].copy()  # contiguous, as all other arguments are: one kernel is compiled, not two
        starts = np.append(0, np.cumsum(sizes * state.rows.statistics))
        return Layout((group * rows * per_group + place).astype(np.uint64), ends - n_bins, sizes, starts)

    def size(self, nodes: Range) -> int:
        """Return the number of integers of some nodes."""
        return int(self.starts[nodes[1]] - self.starts[nodes[0]])

    def cut(self, nodes: Range, most: int) -> Iterator[Range]:
        """Yield nodes in parts of so many integers at the most, or of one node."""
        first, end = nodes
        while first < end:
            last = int(np.searchsorted(self.starts, self.starts[first] + most, side="right")) - 1
            last = min(max(last, first + 1), end)
            yield first, last
            first = last

    def shares(self, nodes: Range, n: int) -> list[Range]:
        """Cut nodes into n parts of about as many integers each."""
        low, high = self.starts[nodes[0]], self.starts[nodes[1]]
        edges = np.searchsorted(self.starts, np.linspace(low, high, n + 1)[1:-1]).tolist()
        edges = [nodes[0], *edges, nodes[1]]
        return [(first, last) for first, last in pairwise(edges) if last > first]


class Listed(NamedTuple):
    """The rows of a tree's nodes, node after node, and where each node's start; see `NodeSums._lister`."""

    tree: int
    nodes: Range
    rows: NDArray[np.uint32]
    starts: NDArray[np.int64]


class NodeSums:
    """Sums that one question asks of a silo.

    Parameters
    ----------
    silo : SiloRows
    state : TreeState
    shapes : list of Shape
        The trees so far.
    build : int32 (nodes,)
        The nodes to sum, tree after tree.
    ends : list of int
        Where each tree's nodes end.
    columns : int32 (nodes, features per node)
    extra : int
        Digits beyond one word's; see `GradientScale`.
    """

    def __init__(
        self, silo: SiloRows, state: TreeState, shapes: list[Shape], build: NDArray[np.int32], ends: list[int],
        columns: NDArray[np.int32], extra: int,
    ):  # fmt: skip
        self.silo, self.state, self.shapes, self.build, self.extra = silo, state, shapes, build, extra
        self.layout = Layout.of(columns, state)
        self.trees = [(tree, nodes) for tree, nodes in enumerate(pairwise([0, *ends])) if nodes[1] > nodes[0]]

    def parts(self, whole: Vector | None = None) -> Iterator[Vector]:
        """Yield the sums, part after part, each in its place of the whole where that is given."""
        threads, step, turn = self.silo.threads, TREES_PER_THREAD * self.silo.threads.n, 0
        memory = [np.empty(0, np.int64)] * 2
        for start in range(0, len(self.trees), step):
            group = self.trees[start : start + step]
            listed = self._listed(group)
            for nodes in self.layout.cut((group[0][1][0], group[-1][1][1]), MOST_INTEGERS):
                if whole is None:
                    # in turn: the last part may be held until this one is there
                    turn, size = 1 - turn, self.layout.size(nodes)
                    if len(memory[turn]) < size:
                        memory[turn] = np.empty(max(size, MOST_INTEGERS), np.int64)
                    out = memory[turn][:size]
                else:
                    out = whole[self.layout.starts[nodes[0]] : self.layout.starts[nodes[1]]]
                threads.map(partial(self._sum, listed, out, nodes[0]), self.layout.shares(nodes, threads.n))
                yield out

    def _listed(self, group: list[tuple[int, Range]]) -> list[Listed]:
        """List the rows of some trees, a tree per thread."""
        listers = [self._lister(tree, self.shapes[tree], self.build[slice(*nodes)]) for tree, nodes in group]
        rows = self.silo.threads.map(lambda lister: lister(), listers)
        return [Listed(tree, nodes, *listed) for (tree, nodes), listed in zip(group, rows, strict=True)]

    def _lister(
        self, tree: int, shape: Shape, build: NDArray[np.int32]
    ) -> Callable[[], tuple[NDArray[np.uint32], NDArray[np.int64]]]:
        """Return a function that lists the rows asked, node after node, and where each node's start; threads call it.

        It returns uint32 (any,) and int64 (nodes + 1,). All that needs the interpreter's lock is done here.
        """
        state, silo = self.state, self.silo
        slot_of, levels = slots(shape, build), state.positions.levels(tree, shape, silo.ranges)
        walk, node, bins = shape.walk(state.rows.bins), state.positions.node[tree], state.rows.bins
        order = np.empty(int((silo.ranges[:, 1] - silo.ranges[:, 0]).sum()), np.uint32)
        starts = np.empty(len(build) + 1, np.int64)

        def list_rows() -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
            times = state.sampler.times(silo, tree)
            node_histogram_kernels.list_rows(bins, times, node, silo.ranges, levels, walk, slot_of, starts, order)
            return order, starts

        return list_rows

    def _sum(self, listed: list[Listed], out: Vector, start: int, nodes: Range) -> None:
        """Sum some nodes, of trees whose rows are listed; ``out`` starts with the node ``start``."""
        layout = self.layout
        for tree, (tree_first, tree_end), rows, starts in listed:
            first, end = max(nodes[0], tree_first), min(nodes[1], tree_end)
            if first >= end:
                continue
            part, to = slice(first, end), slice(*(layout.starts[[first, end]] - layout.starts[start]))
            bins, times = self.state.rows.bins, self.state.sampler.times(self.silo, tree)
            words = self.state.words.of_output(self.state.terms.output(tree), self.extra)
            for packed, digits in zip(words, (0, *further_digits(self.extra)), strict=True):
                node_histogram_kernels.sum_nodes(
                    bins.reshape(-1), np.uint64(bins.shape[2]), packed, digits, times, self.state.rows.pair, rows,
                    starts[first - tree_first : end - tree_first + 1], layout.columns[part], layout.bins[part],
                    layout.sizes[part], self.state.rows.statistics, out[to],
                )  # fmt: skip
