"""Leaves that are quantiles of their rows' residuals: exact, weighted, and over all silos, by counting."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.numeric.float_keys import KEY_BITS, float_of
from fedtrees.core.sampling.samplers import Cohort
from fedtrees.trees.messages.leaf_quantiles import MOST_BITS, ResidualRanks, TargetRanks
from fedtrees.trees.model.flat_trees import FlatTrees
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.tree import LEAF, Tree
from fedtrees.trees.server.monotone import in_order
from fedtrees.trees.server.split import SplitRule

if TYPE_CHECKING:
    from fedtrees.core.protocol.channel import Channel


Counter = Callable[
    [NDArray[np.uint32], int, int], Vector
]  # from the starts of intervals, and the logs of their and their parts' lengths


MOST_COUNTS = 1 << 18  # in an answer, about


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
        """Return two ranks from 0 on, of n rows or units of weight, and the quantile's place between their values."""
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

        output_of: int (leaves,); the output that a leaf is of
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


def quantile_of_targets(channel: Channel, all_silos: Cohort, quantile: Quantile, most: int) -> NDArray[np.float64]:
    """Find each output's quantile of all rows' targets, float64 (outputs,); three rounds."""

    def count(low: NDArray[np.uint32], log_keys: int, log_child: int) -> Vector:
        counts: Vector = channel.total(TargetRanks(most, low, log_keys, log_child), all_silos)
        return counts

    return quantile.search(np.arange(len(quantile.alphas)), count)


def with_quantiles(
    channel: Channel, cohort: Cohort, trees: list[Tree], quantile: Quantile, gradient_scale: GradientScale, most: int,
    rule: SplitRule, direction: NDArray[np.int8] | None = None,
) -> list[Tree]:  # fmt: skip
    """Return the trees with leaves that are quantiles of their rows' residuals.

    As XGBoost's adaptive trees, after they were grown by gradients; three or four rounds. Unlike XGBoost's they keep to
    monotone constraints, the ``direction`` of each feature; see `monotone.in_order`.
    """
    grown = FlatTrees.of(trees)
    ends, is_leaf, value = grown.ends, grown.feature == LEAF, np.concatenate([tree.value for tree in trees])

    def count(low: NDArray[np.uint32], log_keys: int, log_child: int) -> Vector:
        question = ResidualRanks(most, gradient_scale, grown, low, log_keys, log_child)
        counts: Vector = channel.total(question, cohort)
        return counts

    each = len(trees) // len(quantile.alphas)  # trees of an output, side by side
    output_of = np.repeat(np.arange(len(trees)) // each, np.diff(ends, prepend=0))
    found = quantile.search(output_of[is_leaf], count)
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
        value[is_leaf] = found.astype(np.float32) * np.float32(rule.learning_rate)
    trees = [replace(tree, value=values) for tree, values in zip(trees, np.split(value, ends[:-1]), strict=True)]
    return trees if direction is None else [_in_order(tree, direction) for tree in trees]


def _in_order(tree: Tree, direction: NDArray[np.int8]) -> Tree:
    """Return a tree whose leaves keep to monotone constraints."""
    values = in_order(tree.feature, tree.left, tree.left + 1, tree.value, tree.cover, direction)
    return replace(tree, value=values)
