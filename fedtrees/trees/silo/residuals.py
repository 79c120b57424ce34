"""Counts of rows' residuals, leaf by leaf."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.trees.kernels import gradients as gradients_kernels
from fedtrees.trees.kernels import histogram as histogram_kernels
from fedtrees.trees.losses import column_of
from fedtrees.trees.model.shape import Shape

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows
    from fedtrees.trees.silo.state import TreeState

Ranges = NDArray[np.int64]


def residual_counts(
    state: TreeState, silo: SiloRows, tree: int, shape: Shape, low: NDArray[np.uint32], log_keys: int, log_child: int
) -> Vector:
    """Count the residuals of the rows in a tree's leaves, int64 (leaves, 2, parts); see `kernels.gradients`."""
    output, levels, counts = state.terms.output(tree), state.positions.levels(tree, shape, silo.ranges), silo.counts()
    bins, node, slot_of = state.rows.bins, state.positions.node[tree], shape.leaf_slots()
    walk, nothing = shape.walk(bins), np.zeros(len(shape.feature), np.float32)
    target = column_of(state.rows.target, output)
    unmoved = np.zeros(len(target), np.float32) if levels else state.margin[output]
    each = np.ones(1, np.int64) if counts is None else counts
    if state.sampler.draws:
        each = state.sampler.drawn(silo, tree, np.ones(len(target), np.int64) if counts is None else counts)

    def count(piece: Ranges) -> Vector:
        out = np.zeros((*low.shape, 1 << (log_keys - log_child)), np.int64)
        if levels:  # leaves of value 0: rows walk down, and margins stay
            histogram_kernels.add_leaves(bins, node, piece, levels, walk, nothing, unmoved)
        gradients_kernels.count_residuals(
            target, state.margin[output], each, node, piece, slot_of, low, log_keys, log_child, out
        )
        return out

    parts = silo.threads.map(count, state.words.pieces)
    return sum(parts, np.zeros((*low.shape, 1 << (log_keys - log_child)), np.int64))
