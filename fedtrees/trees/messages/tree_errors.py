"""Errors of a tree of numbers, in sums: for AdaBoost.R2."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import (
    LOWEST_EXPONENT,
    N_EXPONENTS,
    Vector,
    exponent_counts,
    largest_exponent,
    quantise,
    restore,
    step_bits,
)
from fedtrees.core.protocol.query import Query
from fedtrees.errors import ProtocolError
from fedtrees.trees.kernels import class_weights as class_weights_kernels
from fedtrees.trees.kernels import histogram as histogram_kernels
from fedtrees.trees.model.flat_trees import FlatTrees
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.tree import Tree
from fedtrees.trees.silo.state import TreeState

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows

LOSS_KINDS = {"linear": 0, "square": 1, "exponential": 2}
BUCKETS = 2048  # of equal width: the largest error is rounded up to the end of one


class TreeErrors(Query, frozen=True, eq=False):
    """Distances of a tree's predictions from the targets: counts of them, or the sum of weighted losses.

    Parameters
    ----------
    what : {"exponents", "buckets", "losses"}
        Counts by exponent, counts by parts of ``2 ** exponent``, or the sum of weighted losses.
    rows : int
        Rows of the federation.
    grid : GradientScale
        The gradient scale of the tree's histograms.
    trees : FlatTrees
        One tree.
    value : float32 (nodes,)
    exponent : int
        No error is above ``2 ** exponent``.
    largest : float
        What errors are divided by.
    loss : int
        Of `LOSS_KINDS`.
    """

    what: str
    rows: int
    grid: GradientScale
    trees: FlatTrees
    value: NDArray[np.float32]
    exponent: int = 0
    largest: float = 1.0
    loss: int = 0

    @staticmethod
    def of(
        tree: Tree, gradient_scale: GradientScale, rows: int, what: str, exponent: int = 0, largest: float = 1.0,
        loss: int = 0,
    ) -> TreeErrors:  # fmt: skip
        """Make the question of a tree."""
        trees = FlatTrees.of([tree])
        return TreeErrors(what, rows, gradient_scale, trees, tree.value, exponent, largest, loss)

    def size(self) -> int:
        """See `Query`."""
        return {"exponents": N_EXPONENTS, "buckets": BUCKETS}.get(self.what, 1)

    def bound(self) -> int:
        """See `Query`."""
        return self.rows << step_bits(self.rows) if self.what == "losses" else self.rows

    def lowest(self) -> int:
        """See `Query`."""
        return 0

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        state = silo.state_of(TreeState, "errors of a tree were asked for")
        if state.trees != 1 or state.rows.target.ndim > 1 or len(self.value) != len(self.trees.feature):
            raise ProtocolError("errors of a tree were asked for of several targets")
        state.prepare(silo, self.grid)
        (shape,) = self.trees.shapes(state.cuts)
        node, predicted = np.zeros(len(state.rows.target), np.uint32), np.zeros(len(state.rows.target), np.float32)
        levels, walk = shape.levels_below(None), shape.walk(state.rows.bins)
        histogram_kernels.add_leaves(state.rows.bins, node, silo.ranges, levels, walk, self.value, predicted)
        rows = silo.rows_asked()
        predicted, y = predicted[rows], state.rows.target[rows]
        error = np.abs(predicted.astype(np.float64) - y.astype(np.float64))
        if self.what == "exponents":
            return exponent_counts(error)
        if self.what == "buckets":
            place = np.minimum(np.floor(np.ldexp(error, -self.exponent) * BUCKETS), BUCKETS - 1)
            return np.bincount(place.astype(np.int64), minlength=BUCKETS).astype(np.int64)
        lost = np.empty(len(y))
        class_weights_kernels.weighted_losses(
            predicted, y, state.gradients.statistics[1, 0][rows], self.largest, self.loss, lost
        )
        counts = silo.counts() if silo.counting is not None and silo.counting.whole else None
        whole = quantise(lost, self._exponent, self._bits)
        return np.array([(whole if counts is None else whole * counts[rows]).sum()], np.int64)

    @property
    def _exponent(self) -> int:
        return max(self.grid.h, LOWEST_EXPONENT)

    @property
    def _bits(self) -> int:
        return step_bits(self.rows)

    def read(self, total: Vector) -> float:
        """Return the exponent, the largest error, or the sum of weighted losses."""
        if self.what == "exponents":
            return largest_exponent(total)
        if self.what == "buckets":
            return float(np.float32(math.ldexp((int(np.flatnonzero(total)[-1]) + 1) / BUCKETS, self.exponent)))
        return restore(total[0], self._exponent, self._bits)
