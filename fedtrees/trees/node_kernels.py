"""Histograms of nodes that each ask for features of their own. Numba only; held to a naive twin in the tests.

Nodes of deep trees have more bins than rows, and all nodes of a level many times what a cache holds. Rows are therefore
put in the order of their nodes first: the sums of one node at a time stay in the cache, and rows' bins are small.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from fedtrees.queries.kernels import BLOCK
from fedtrees.trees.kernels import LOW_HALF, descend


@njit(nogil=True, cache=True, inline="always")
def _counts(words, times, i):
    """Whether a row has something to add."""
    return words[i] != 0 and (times.shape[0] == 0 or times[i] != 0)


@njit(nogil=True, cache=True)
def _by_node(words, times, node, ranges, slot_of, ends, order):
    """List the rows that have something to add, node after node.

    ends: int64 (slots + 1,) OUT; where each slot's rows end, from the second on
    order: uint32 (rows of the ranges,) OUT
    """
    ends[:] = 0
    for r in range(ranges.shape[0]):
        for i in range(np.uint64(ranges[r, 0]), np.uint64(ranges[r, 1])):
            # a node that is not built counts in front of all others
            ends[slot_of[node[i]] + 1] += _counts(words, times, i)
    ends[0] = 0
    for slot in range(1, ends.shape[0]):
        ends[slot] += ends[slot - 1]
    for r in range(ranges.shape[0]):
        for i in range(np.uint64(ranges[r, 0]), np.uint64(ranges[r, 1])):
            slot = slot_of[node[i]]
            if slot >= 0 and _counts(words, times, i):
                order[ends[slot]] = i
                ends[slot] += 1


@njit(nogil=True, cache=True)
def _add_rows(flat, a_group, words, times, plane, rows, columns, starts, size, out):
    """Add listed rows to the sums of their node's features; see `grow_columns`."""
    for i in rows:
        row = np.uint64(i)
        word = words[row] * np.int64(times[row]) if times.shape[0] else words[row]
        g, h = word >> 32, word & LOW_HALF
        first = 2 * np.int64(plane[row]) * size if plane.shape[0] else 0
        for j in range(columns.shape[0]):
            at = starts[j] + first + np.int64(flat[columns[j] + row * a_group])
            out[at] += g
            if h != 0:
                out[at + size] += h


@njit(nogil=True, cache=True)
def grow_columns(
    bins, words, times, plane, node, ranges, levels, tree, slot_of, columns, starts, sizes, statistics, shift, out,
):  # fmt: skip
    """Move rows down as in `kernels.grow_level`, and sum the histograms of each built node's own features.

    bins, words, plane, node, ranges, levels, tree, slot_of: as in `kernels.grow_level`
    times: uint8 (rows,) or (0,) IN; how often a row counts, once where empty
    columns: uint64 (slots, features a node) IN; where the feature's bin of row 0 stands in the flat bins
    starts: int64 (slots, features a node) IN; where the feature's bins start in ``out``
    sizes: int64 (slots,) IN; a node's bins, which is how far its next statistic is
    statistics: int IN; sums of a bin
    shift: int IN; what ``out`` holds are digits that so many binary digits are to follow; -1 where it holds nothing
    out: int64 (integers,) OUT
    """
    flat, a_group, rows = bins.reshape(-1), np.uint64(bins.shape[2]), 0
    for r in range(ranges.shape[0]):
        rows += ranges[r, 1] - ranges[r, 0]
        for block in range(ranges[r, 0], ranges[r, 1], BLOCK):
            descend(flat, bins.shape[2], node, block, min(block + BLOCK, ranges[r, 1]), levels, tree)
    ends, order = np.empty(sizes.shape[0] + 1, np.int64), np.empty(rows, np.uint32)
    _by_node(words, times, node, ranges, slot_of, ends, order)
    first = 0
    for slot in range(sizes.shape[0]):
        own = out[starts[slot, 0] : starts[slot, 0] + statistics * sizes[slot]]
        for at in range(own.shape[0]):
            own[at] = own[at] << shift if shift >= 0 else 0
        listed = order[first : ends[slot]]
        _add_rows(flat, a_group, words, times, plane, listed, columns[slot], starts[slot], sizes[slot], out)
        first = ends[slot]
