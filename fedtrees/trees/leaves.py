"""Leaves that say quantiles: exact, weighted, and over all silos, by counting.

What a row misses its target by is a float32, and floats have keys that sort as they do (see `queries.ranks`). The key
at a rank is found by counting rows in equal parts of an interval of keys, and going on with the part that holds it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.protocol.query import Query
from fedtrees.core.sampling.samplers import Cohort
from fedtrees.errors import ProtocolError
from fedtrees.queries.ranks import KEY_BITS, float_of
from fedtrees.trees import loss_kernels
from fedtrees.trees.grid import Grid
from fedtrees.trees.losses import column_of
from fedtrees.trees.monotone import in_order
from fedtrees.trees.split import SplitRule
from fedtrees.trees.tree import LEAF, Shape, Tree, flat_categories

if TYPE_CHECKING:
    from fedtrees.core.protocol.channel import Channel
    from fedtrees.core.protocol.silo import Silo
    from fedtrees.trees.boosting import Boosting

Counter = Callable[[NDArray[np.uint32], int, int], Vector]  # of where intervals start, and the logs of their lengths

MOST_COUNTS = 1 << 18  # in an answer, about
MOST_BITS = 11  # of a key that a round finds: 32 take three rounds


class ResidualRanks(Query, frozen=True, eq=False):
    """How many rows of each leaf miss their targets by what falls in each part of two intervals of keys.

    Parameters
    ----------
    most : int
        What all rows count together, at the most.
    exponents : Grid
        As the trees' histograms were asked for.
    ends, feature, bin, default_left, left
        The grown trees, end to end; see `histogram.Histograms`.
    low : uint32 (leaves, 2)
        Where the intervals start, of every tree's leaves in order.
    log_keys, log_child : int
        An interval has ``2 ** log_keys`` keys, a part ``2 ** log_child``.
    categories, category_ends : int32 (any,)
        See `trees.tree.flat_categories`.
    """

    dimensions: ClassVar[dict[str, int | None]] = {"low": 2}

    most: int
    exponents: Grid
    ends: NDArray[np.int32]
    feature: NDArray[np.int32]
    bin: NDArray[np.int32]
    default_left: NDArray[np.bool_]
    left: NDArray[np.int32]
    low: NDArray[np.uint32]
    log_keys: int
    log_child: int
    categories: NDArray[np.int32] = msgspec.field(default_factory=lambda: np.zeros(0, np.int32))
    category_ends: NDArray[np.int32] = msgspec.field(default_factory=lambda: np.zeros(0, np.int32))

    def size(self) -> int:
        """See `Query`."""
        return len(self.low) * 2 << (self.log_keys - self.log_child)

    def touches(self) -> int:
        """See `Query`."""
        return 2 * len(self.ends)

    def bound(self) -> int:
        """See `Query`."""
        return self.most

    def ask(self, silo: Silo) -> Vector:
        """See `Query`."""
        state: Boosting | None = silo.state
        if state is None or len(self.ends) != state.trees:
            raise ProtocolError("leaves were asked for before the cut points, or of other outputs than they were for")
        state.prepare(silo, self.exponents)
        shapes = Shape.apart(
            self.ends, self.feature, self.bin, self.default_left, self.left, state.cuts, self.categories,
            self.category_ends,
        )  # fmt: skip
        n_leaves = np.cumsum([np.count_nonzero(shape.feature == LEAF) for shape in shapes])
        self._check(int(n_leaves[-1]))
        lows = np.split(self.low, n_leaves[:-1])
        parts = []
        for tree, (shape, low) in enumerate(zip(shapes, lows, strict=True)):
            counts = state.residual_counts(silo, tree, shape, shape.leaf_slots(), low, self.log_keys, self.log_child)
            parts.append(counts.reshape(-1))
        return np.concatenate(parts)

    def _check(self, n_leaves: int) -> None:
        fine = 0 <= self.log_child <= self.log_keys <= KEY_BITS and self.log_keys - self.log_child <= MOST_BITS
        if not fine or self.low.shape != (n_leaves, 2):
            raise ProtocolError("leaves were asked for that there are not, or in parts that are none")

    def read(self, total: Vector) -> Vector:
        """The counts, int64 (leaves, 2, parts)."""
        return total.reshape(len(self.low), 2, -1)


class TargetRanks(Query, frozen=True, eq=False):
    """`ResidualRanks` of all rows together, from margins of 0: ranks of the targets. Asked before boosting begins."""

    dimensions: ClassVar[dict[str, int | None]] = {"low": 2}

    most: int
    low: NDArray[np.uint32]
    log_keys: int
    log_child: int

    def size(self) -> int:
        """See `Query`."""
        return len(self.low) * 2 << (self.log_keys - self.log_child)

    def bound(self) -> int:
        """See `Query`."""
        return self.most

    def ask(self, silo: Silo) -> Vector:
        """See `Query`."""
        y, counts = silo.targets(None), silo.counts()
        fine = 0 <= self.log_child <= self.log_keys <= KEY_BITS and self.log_keys - self.log_child <= MOST_BITS
        if not fine or self.low.shape[1:] != (2,) or (y.ndim == 2 and len(self.low) != y.shape[1]):
            raise ProtocolError("ranks of targets that there are not, or in parts that are none")
        out = np.zeros((len(self.low), 2, 1 << (self.log_keys - self.log_child)), np.int64)
        root, each = np.zeros(len(y), np.uint32), np.ones(1, np.int64) if counts is None else counts
        for k in range(len(self.low) if len(y) else 0):
            loss_kernels.count_residuals(
                column_of(y, k), np.zeros(len(y), np.float32), each, root, silo.ranges, np.zeros(1, np.int32),
                self.low[k : k + 1], self.log_keys, self.log_child, out[k : k + 1],
            )  # fmt: skip
        return out.reshape(-1)

    def read(self, total: Vector) -> Vector:
        """The counts, int64 (outputs, 2, parts)."""
        return total.reshape(len(self.low), 2, -1)


@dataclass(frozen=True)
class Quantile:
    """A quantile as XGBoost computes it.

    Rows of equal weight, or that count as so many rows: between two neighbours, at ``alpha * (n + 1)``. Rows of other
    weights: the first value up to which lies a share of ``alpha`` of the weight.

    Attributes
    ----------
    alphas : tuple of float
        Of each output.
    weighted : bool
        Whether rows have other weights.
    """

    alphas: tuple[float, ...]
    weighted: bool

    def ranks(self, n: int, output: int = 0) -> tuple[int, int, float]:
        """Of n rows or units of weight, two ranks from 0 on, and where between their values the quantile lies."""
        alpha = self.alphas[output]
        if self.weighted:
            rank = max(math.ceil(alpha * n), 1) - 1
            return rank, rank, 0.0
        x = alpha * (n + 1)
        if n <= 1 or x <= 1:
            return 0, 0, 0.0
        if x >= n:
            return n - 1, n - 1, 0.0
        k = math.floor(x) - 1
        return k, k + 1, (x - 1) - k

    def search(self, output_of: NDArray[np.integer], count: Counter) -> NDArray[np.float64]:
        """Find the quantile of each leaf, float64 (leaves,), by asking for counts; 0 where a leaf has no rows.

        output_of: int (leaves,); the output that a leaf speaks of
        """
        leaves = len(output_of)
        low, before = np.zeros((leaves, 2), np.int64), np.zeros((leaves, 2), np.int64)
        rank, between = np.zeros((leaves, 2), np.int64), np.zeros(leaves)
        bits = max(4, min(MOST_BITS, (MOST_COUNTS // (2 * leaves)).bit_length() - 1))
        width, total = KEY_BITS, np.zeros(leaves, np.int64)
        while width:
            child = max(0, width - bits)
            counts = count(low.astype(np.uint32), width, child)
            if width == KEY_BITS:
                total = counts[:, 0].sum(axis=1)
                for leaf, n in enumerate(total.tolist()):
                    rank[leaf, 0], rank[leaf, 1], between[leaf] = self.ranks(n, int(output_of[leaf]))
            upto = before[:, :, None] + np.cumsum(counts, axis=2)
            part = np.minimum((upto <= rank[:, :, None]).sum(axis=2), counts.shape[2] - 1)
            before = np.take_along_axis(upto - counts, part[:, :, None], axis=2)[:, :, 0]
            low, width = low + (part << child), child
        values = float_of(low).astype(np.float64)
        found = values[:, 0] + between * (values[:, 1] - values[:, 0])
        return np.where(total > 0, found, 0.0)


def quantile_of_targets(channel: Channel, everyone: Cohort, quantile: Quantile, most: int) -> NDArray[np.float64]:
    """The quantile of all rows' targets that each output speaks of, float64 (outputs,); three rounds."""

    def count(low: NDArray[np.uint32], log_keys: int, log_child: int) -> Vector:
        counts: Vector = channel.total(TargetRanks(most, low, log_keys, log_child), everyone)
        return counts

    return quantile.search(np.arange(len(quantile.alphas)), count)


def with_quantiles(
    channel: Channel, cohort: Cohort, trees: list[Tree], quantile: Quantile, grid: Grid, most: int, rule: SplitRule,
    direction: NDArray[np.int8] | None = None,
) -> list[Tree]:  # fmt: skip
    """The trees with leaves that are quantiles of their rows' residuals.

    As XGBoost's adaptive trees, after they were grown by gradients; three or four rounds. Unlike XGBoost's they keep to
    monotone constraints, the ``direction`` of each feature; see `monotone.in_order`.
    """
    ends = np.cumsum([tree.n_nodes for tree in trees]).astype(np.int32)
    feature = np.concatenate([tree.feature for tree in trees])
    is_leaf, value = feature == LEAF, np.concatenate([tree.value for tree in trees])
    grown: dict[str, Any] = {
        "feature": feature,
        "bin": np.concatenate([tree.bin for tree in trees]),
        "default_left": np.concatenate([tree.default_left for tree in trees]),
        "left": np.concatenate([tree.left for tree in trees]),
    }

    categories, category_ends = flat_categories(tree.categories for tree in trees)

    def count(low: NDArray[np.uint32], log_keys: int, log_child: int) -> Vector:
        question = ResidualRanks(
            most=most, exponents=grid, ends=ends, categories=categories, category_ends=category_ends, low=low,
            log_keys=log_keys, log_child=log_child, **grown,
        )  # fmt: skip
        counts: Vector = channel.total(question, cohort)
        return counts

    each = len(trees) // len(quantile.alphas)  # trees of an output, side by side
    output_of = np.repeat(np.arange(len(trees)) // each, np.diff(ends, prepend=0))
    found = quantile.search(output_of[is_leaf], count)
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
        value[is_leaf] = found.astype(np.float32) * np.float32(rule.learning_rate)
    trees = [replace(tree, value=own) for tree, own in zip(trees, np.split(value, ends[:-1]), strict=True)]
    return trees if direction is None else [_in_order(tree, direction) for tree in trees]


def _in_order(tree: Tree, direction: NDArray[np.int8]) -> Tree:
    values = in_order(tree.feature, tree.left, tree.left + 1, tree.value, tree.cover, direction)
    return replace(tree, value=values)
