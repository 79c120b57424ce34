"""Histograms of nodes that each ask for some of the features. Numba only; held to a naive twin in the tests.

Nodes of deep trees have more bins than rows, and all nodes of a level many times what a cache holds. Rows are therefore
put in the order of their nodes first: the sums of one node at a time stay in the cache, and rows' bins are small.

A node's sums stand statistic after statistic, each of them feature after feature:

    out[start of the node + statistic * size of the node + start of the feature + bin]
"""

from __future__ import annotations

import numpy as np

from fedtrees.core.numeric.compiled import njit
from fedtrees.core.numeric.float_keys import BLOCK
from fedtrees.trees.kernels.histogram import LOW_HALF, descend


@njit(nogil=True, cache=True)
def list_rows(bins, times, node, ranges, levels, tree, slot_of, starts, order):
    """Move rows down as in `kernels.histogram.grow_level`, and list rows that count, node after node to be built.

    bins, node, ranges, levels, tree, slot_of: as in `kernels.histogram.grow_level`
    times: uint8 (rows,) or (0,) IN; the number of times that a row counts, once where empty
    starts: int64 (slots + 1,) OUT; where each slot's rows start, and where the last ones end
    order: uint32 (rows of the ranges,) OUT
    """
    # a counting sort: rows of each slot are counted, then written from the slot's start on
    flat = bins.reshape(-1)
    starts[:] = 0
    for r in range(ranges.shape[0]):
        for block in range(ranges[r, 0], ranges[r, 1], BLOCK):
            end = min(block + BLOCK, ranges[r, 1])
            descend(flat, bins.shape[2], node, block, end, levels, tree)
            for i in range(np.uint64(block), np.uint64(end)):
                # of a node that is not built, slot -1, rows are counted at 0, which is then cleared
                starts[slot_of[node[i]] + 1] += times.shape[0] == 0 or times[i] != 0
    starts[0] = 0
    for slot in range(1, starts.shape[0]):
        starts[slot] += starts[slot - 1]
    for r in range(ranges.shape[0]):
        for i in range(np.uint64(ranges[r, 0]), np.uint64(ranges[r, 1])):
            slot = slot_of[node[i]]
            if slot >= 0 and (times.shape[0] == 0 or times[i] != 0):
                order[starts[slot]] = i
                starts[slot] += 1
    for slot in range(starts.shape[0] - 1, 0, -1):  # each start has moved to where the next slot starts
        starts[slot] = starts[slot - 1]
    starts[0] = 0


@njit(nogil=True, cache=True, inline="always")
def _add(flat, per_group, words, times, plane, rows, columns, bins, size, out):
    """Add listed rows to the sums of their node's features; see `sum_nodes`."""
    for i in rows:
        row = np.uint64(i)
        word = words[row] * np.int64(times[row]) if times.shape[0] else words[row]
        g, h = word >> 32, word & LOW_HALF
        first = 2 * np.int64(plane[row]) * size if plane.shape[0] else 0
        for j in range(columns.shape[0]):
            at = bins[j] + first + np.int64(flat[columns[j] + row * per_group])
            out[at] += g
            if h != 0:  # of an odd number of statistics, the last has no second one
                out[at + size] += h


@njit(nogil=True, cache=True)
def sum_nodes(
    flat, per_group, words, further, times, plane, order, starts, columns, bins, sizes, statistics, out,
):  # fmt: skip
    """Sum the histograms of each node's features, of one word of the rows' digits.

    flat: uint8 or uint16 (any,) IN; bins as in `kernels.histogram.grow_level`, flat
    per_group: uint64 IN; features per group
    words: int64 (rows,) IN; packed (g, h)
    further: int IN; 0 for the first word, else the digits that this one adds to those of the words before
    times, plane: uint8 (rows,) or (0,) IN; as in `list_rows` and `kernels.histogram.grow_level`
    order, starts: IN; the rows of each of the nodes, see `list_rows`
    columns: uint64 (nodes, features per node) IN; where the feature's bin of row 0 stands in the flat bins
    bins: int64 (nodes, features per node) IN; where the feature's bins start in the node's sums
    sizes: int64 (nodes,) IN; a node's bins, which is how far its next statistic is
    statistics: int IN; sums of a bin
    out: int64 (integers,) IN OUT; node after node
    """
    end = 0
    for node in range(sizes.shape[0]):
        first, end = end, end + statistics * sizes[node]
        sums, rows = out[first:end], order[starts[node] : starts[node + 1]]
        if further:
            sums <<= further
        else:
            sums[:] = 0
        _add(flat, per_group, words, times, plane, rows, columns[node], bins[node], sizes[node], sums)
