"""Bins, histograms and walks of rows: the hot loops. Numba only; every kernel has a naive twin in the tests.

Rows are walked in memory order once per level, however many nodes there are: gathering a node's rows by index costs
four times as much. Features stand in groups of up to 8, so that the accumulators of a level's nodes stay in the cache:

    bins[group, row, place]                 feature = group * features_per_group + place
    packed[slot, feature, bin]              accumulators: words (gradient << 32) + hessian, ``stride`` bins per feature
    wide[slot, gradient or hessian, bin]    sums: all features' bins end to end, a feature's from ``offsets`` on

A slot is a node that is built, or a pair of its sums where it has more than two. Accumulators are emptied into the sums
before a slot has had more rows than a word has room for.
"""

from __future__ import annotations

import numpy as np

from fedtrees.core.numeric.compiled import njit
from fedtrees.core.numeric.float_keys import BLOCK, is_missing, key_of

LIST_ROWS = 65536  # rows gathered before they are added: their bins are read once per feature group
# A row's (g, h) is one word, (g << 32) + h, with |g| <= 2**19 and 0 <= h <= 2**20: both halves have room for 4095 rows
STATISTIC_BITS_G = 19
STATISTIC_BITS_H = 20
WORD_ROWS = 4095
LOW_HALF = np.int64(0xFFFFFFFF)


@njit(nogil=True, cache=True)
def bin_rows(
    bits, row_stride, column_stride, order, start, stop, keys, slot_shift, below, steps, n_values, lost,
    features_per_group, largest, out,
):  # fmt: skip
    """Find the bin of every value.

    bits, row_stride, column_stride, order, start, stop: as in `queries.kernels.count_missing` IN
    keys: uint32 (features, any) IN; keys of the cuts, ascending, filled up with the largest key
    slot_shift: uint32 IN; a key's slot is what is left of it after this shift
    below: uint16 (features, slots) IN; the number of cuts whose upper bits are below those of a slot
    steps: uint8 (features,) IN; halvings that find a value among the cuts of any one slot
    n_values: int64 (features,) IN; bins for values
    lost: int64 (features,) IN; the bin for the missing
    largest: int64 (features,) IN OUT; the largest bin that was found
    out: uint8 or uint16 (groups, rows, features_per_group) OUT
    """
    one = np.uint64(1)
    for block in range(start, stop, BLOCK):
        end = min(block + BLOCK, stop)
        for f in range(keys.shape[0]):
            cut_keys, first = keys[f], below[f]
            group, place = f // features_per_group, f % features_per_group
            for i in range(block, end):
                row = order[i] if order.shape[0] else i
                value = bits[row * row_stride + f * column_stride]
                key = key_of(value)
                at = np.uint64(first[key >> slot_shift])
                for halving in range(steps[f]):  # no branch depends on the data
                    step = one << np.uint64(steps[f] - halving - 1)
                    at += step * np.uint64(cut_keys[at + step - one] <= key)
                # a value beyond the last cut, which training never has, is not taken for a missing one
                at = min(at + np.uint64(at >= np.uint64(n_values[f])), np.uint64(0xFFFF))
                found = np.uint64(lost[f]) if is_missing(value) else at
                largest[f] = max(largest[f], np.int64(found))
                out[group, i, place] = found


@njit(nogil=True, cache=True, inline="always")
def _add_listed(bins, rows, slots, words, first, width, stride, slot_size, packed):
    """Add listed rows to the accumulators of one feature group, which start at ``first`` within those of a slot.

    Unsigned indices throughout: numba need not ask whether they count from the end.
    """
    for i in range(rows.shape[0]):
        row, word = np.uint64(rows[i]), words[i]
        at = np.uint64(slots[i]) * slot_size + first
        for place in range(width):
            packed[at + place * stride + np.uint64(bins[row, place])] += word


@njit(nogil=True, cache=True)
def _add(bins, rows, slots, words, first, width, stride, slot_size, packed):
    """Add rows as `_add_listed` does, with constants for usual widths and stride: unrolled loops take less time."""
    usual = stride == np.uint64(256)
    if usual and width == 8:
        _add_listed(bins, rows, slots, words, first, np.uint64(8), np.uint64(256), slot_size, packed)
    elif usual and width == 7:
        _add_listed(bins, rows, slots, words, first, np.uint64(7), np.uint64(256), slot_size, packed)
    elif usual and width == 6:
        _add_listed(bins, rows, slots, words, first, np.uint64(6), np.uint64(256), slot_size, packed)
    elif usual and width == 5:
        _add_listed(bins, rows, slots, words, first, np.uint64(5), np.uint64(256), slot_size, packed)
    else:
        _add_listed(bins, rows, slots, words, first, width, stride, slot_size, packed)


@njit(nogil=True, cache=True, inline="always")
def _add_run(bins, words, first, width, stride, packed):
    """Add rows that stand side by side to one node's accumulators."""
    for i in range(words.shape[0]):
        for place in range(width):
            packed[first + place * stride + np.uint64(bins[i, place])] += words[i]


@njit(nogil=True, cache=True)
def _add_all(bins, words, first, width, stride, packed):
    """Add rows as `_add_run` does, with constants as in `_add`."""
    usual = stride == np.uint64(256)
    if usual and width == 8:
        _add_run(bins, words, first, np.uint64(8), np.uint64(256), packed)
    elif usual and width == 7:
        _add_run(bins, words, first, np.uint64(7), np.uint64(256), packed)
    elif usual and width == 6:
        _add_run(bins, words, first, np.uint64(6), np.uint64(256), packed)
    elif usual and width == 5:
        _add_run(bins, words, first, np.uint64(5), np.uint64(256), packed)
    else:
        _add_run(bins, words, first, width, stride, packed)


@njit(nogil=True, cache=True)
def _empty(packed, wide, slot, low, high, stride, offsets):
    """Unpack one slot's accumulators, of the features from low to high, into its sums, and leave zeros.

    The lower half of a word is never negative, so that a shift gives the upper half exactly.
    """
    slot_start = slot * (packed.shape[0] // wide.shape[0])
    for f in range(low, high):
        at, out, n = slot_start + f * stride, offsets[f], offsets[f + 1] - offsets[f]
        words, g, h = packed[at : at + n], wide[slot, 0, out : out + n], wide[slot, 1, out : out + n]
        for b in range(n):  # slices from zero on: runs in vectors
            g[b] += words[b] >> 32
            h[b] += words[b] & LOW_HALF
            words[b] = 0


@njit(nogil=True, cache=True)
def _drain(bins, rows, slots, words, n, counts, since, offsets, stride, word_rows, packed, wide):
    """Add the n gathered rows to the accumulators, one feature group after the other.

    counts: int64 (parts, slots) scratch; the rows of each slot among ``word_rows`` gathered rows
    since: int64 (slots,) IN OUT; rows that a slot's accumulators hold since they were last emptied
    """
    per_group = bins.shape[2]
    n_features = offsets.shape[0] - 1
    slot_size = np.uint64(packed.shape[0] // wide.shape[0])
    before = since.copy()
    counts[:] = 0
    for i in range(n):
        counts[i // word_rows, slots[i]] += 1
    for group in range(bins.shape[0]):
        low, high = group * per_group, min((group + 1) * per_group, n_features)
        since[:] = before  # every group's accumulators take the same rows: they are emptied at the same parts
        for part in range(0, n, word_rows):
            for slot in range(since.shape[0]):
                more = counts[part // word_rows, slot]
                if since[slot] + more > word_rows:
                    _empty(packed, wide, slot, low, high, stride, offsets)
                    since[slot] = 0
                since[slot] += more
            to = slice(part, min(part + word_rows, n))
            first, width = np.uint64(low * stride), np.uint64(high - low)
            _add(bins[group], rows[to], slots[to], words[to], first, width, np.uint64(stride), slot_size, packed)


@njit(nogil=True, cache=True)
def _sum_root(bins, words, ranges, offsets, stride, word_rows, packed, wide):
    """Add all rows of the ranges to one node: no list is needed."""
    per_group, n_features = bins.shape[2], offsets.shape[0] - 1
    step = np.uint64(stride)
    since = 0
    for r in range(ranges.shape[0]):
        for start in range(ranges[r, 0], ranges[r, 1], word_rows):
            end = min(start + word_rows, ranges[r, 1])
            if since + end - start > word_rows:
                _empty(packed, wide, 0, 0, n_features, stride, offsets)
                since = 0
            since += end - start
            run = words[start:end]
            for group in range(bins.shape[0]):
                lines = bins[group, start:end]
                first = np.uint64(group * per_group) * step
                width = np.uint64(min(per_group, n_features - group * per_group))
                _add_all(lines, run, first, width, step, packed)
    _empty(packed, wide, 0, 0, n_features, stride, offsets)


@njit(nogil=True, cache=True)
def descend(flat, features_per_group, node, start, stop, levels, tree):
    """Move the rows from start to stop down so many levels; rows in a leaf stay there. No branches.

    flat: bins as in `grow_level`, flat; the bin of a feature in row i is at column + i * features per group
    tree: see `trees.model.shape.Shape.walk` for the bits of a question
    """
    column, question, of, _ = tree
    if of.shape[0]:
        _descend_sets(flat, features_per_group, node, start, stop, levels, tree)
        return
    per_group, one, low = np.uint64(features_per_group), np.uint64(1), np.uint64(0xFFFF)
    for _ in range(levels):
        for i in range(np.uint64(start), np.uint64(stop)):
            at = np.uint64(node[i])
            asked = question[at]
            b = np.uint64(flat[column[at] + i * per_group])
            is_missing = b == (asked >> np.uint64(16)) & low
            right = (asked >> np.uint64(32)) & one if is_missing else np.uint64(b >= asked & low)
            node[i] = np.uint32((asked >> np.uint64(33)) + right)


@njit(nogil=True, cache=True)
def _descend_sets(flat, features_per_group, node, start, stop, levels, tree):
    """Move rows as `descend` does, where some nodes ask for one of several categories."""
    column, question, of, goes_right = tree
    per_group, one, low = np.uint64(features_per_group), np.uint64(1), np.uint64(0xFFFF)
    for _ in range(levels):
        for i in range(np.uint64(start), np.uint64(stop)):
            at = np.uint64(node[i])
            asked = question[at]
            b = np.uint64(flat[column[at] + i * per_group])
            if of[at] >= 0:
                right = np.uint64(goes_right[of[at], b])
            else:
                is_missing = b == (asked >> np.uint64(16)) & low
                right = (asked >> np.uint64(32)) & one if is_missing else np.uint64(b >= asked & low)
            node[i] = np.uint32((asked >> np.uint64(33)) + right)


@njit(nogil=True, cache=True)
def _list(words, node, start, stop, slot_of, rows, slots, held):
    """List the rows from start to stop whose node is built; return their number."""
    n = np.uint64(0)
    for i in range(np.uint64(start), np.uint64(stop)):
        slot = slot_of[node[i]]
        # write first, count after: no branch to miss
        rows[n] = i
        slots[n] = slot
        held[n] = words[i]
        n += np.uint64(slot >= 0)
    return n


@njit(nogil=True, cache=True)
def _list_planes(words, plane, planes, node, start, stop, slot_of, rows, slots, held):
    """List rows as `_list` does, where each adds to one of its node's planes, and only if its word is not 0."""
    n = np.uint64(0)
    for i in range(np.uint64(start), np.uint64(stop)):
        slot = slot_of[node[i]]
        rows[n] = i
        slots[n] = slot * planes + np.int32(plane[i])
        held[n] = words[i]
        n += np.uint64((slot >= 0) & (words[i] != 0))
    return n


@njit(nogil=True, cache=True)
def grow_level(
    bins, words, plane, node, ranges, levels, tree, slot_of, offsets, stride, packed, wide, word_rows=WORD_ROWS,
):  # fmt: skip
    """Move rows down to the nodes they belong to now, and sum the histograms of the nodes to be built.

    bins: uint8 or uint16 (groups, rows, features per group) IN
    words: int64 (rows,) IN; packed (g, h)
    plane: uint8 (rows,) or (0,) IN; the pair of its node's statistics that a row adds to; there is one pair where empty
    node: uint32 (rows,) IN OUT; the node that a row has reached
    ranges: int64 (ranges, 2) IN; the rows to walk
    levels: int IN; the levels that a row may have to go down
    tree: (column, question, of, goes_right) IN; see `trees.model.shape.Shape.walk`
    slot_of: int32 (nodes,) IN; the slot of a node's histogram, -1 for a node that is not built
    offsets: int64 (features + 1,) IN; where a feature's bins start
    stride: int IN; accumulators per feature
    packed: int64 (slots * planes * groups * features per group * stride,) scratch, zeros in and out
    wide: int64 (slots * planes, 2, bins) OUT, added to
    word_rows: int IN; rows that an accumulator holds: fewer where words are multiples
    """
    if slot_of.shape[0] == 1 and not plane.shape[0]:
        _sum_root(bins, words, ranges, offsets, stride, word_rows, packed, wide)
        return
    # of gathered rows: their places, slots and words, which the loops over feature groups read one after the other
    rows = np.empty(LIST_ROWS, np.uint32)
    slots = np.empty(LIST_ROWS, np.int32)
    held = np.empty(LIST_ROWS, np.int64)
    counts = np.zeros((LIST_ROWS // word_rows + 1, wide.shape[0]), np.int64)
    since = np.zeros(wide.shape[0], np.int64)
    flat, planes = bins.reshape(-1), np.int32(wide.shape[0] // max(1, (slot_of >= 0).sum()))
    n = 0
    for r in range(ranges.shape[0]):
        start, stop = ranges[r]
        while start < stop:
            end = min(stop, start + LIST_ROWS - n)
            descend(flat, bins.shape[2], node, start, end, levels, tree)
            to = rows[n:], slots[n:], held[n:]
            if plane.shape[0]:
                n += np.int64(_list_planes(words, plane, planes, node, start, end, slot_of, *to))
            else:
                n += np.int64(_list(words, node, start, end, slot_of, *to))
            start = end
            if n > LIST_ROWS // 2:  # where few rows are in nodes to be built, several blocks are gathered first
                _drain(bins, rows, slots, held, n, counts, since, offsets, stride, word_rows, packed, wide)
                n = 0
    _drain(bins, rows, slots, held, n, counts, since, offsets, stride, word_rows, packed, wide)
    for slot in range(wide.shape[0]):
        if since[slot]:
            _empty(packed, wide, slot, 0, offsets.shape[0] - 1, stride, offsets)


@njit(nogil=True, cache=True)
def add_leaves(bins, node, ranges, levels, tree, value, margin):
    """Move rows down to their leaves, and add the leaves' values to their margins.

    bins, node, ranges, levels, tree: as in `grow_level`
    value: float32 (nodes,) IN
    margin: float32 (rows,) IN OUT
    """
    flat = bins.reshape(-1)
    for r in range(ranges.shape[0]):
        start, stop = ranges[r]
        for block in range(start, stop, BLOCK):
            end = min(block + BLOCK, stop)
            descend(flat, bins.shape[2], node, block, end, levels, tree)
            for i in range(block, end):
                margin[i] += value[node[i]]


@njit(nogil=True, cache=True)
def to_root(node, ranges):
    """Put rows back to the root.

    node: uint32 (trees, rows) OUT
    ranges: int64 (ranges, 2) IN
    """
    for k in range(node.shape[0]):
        for r in range(ranges.shape[0]):
            node[k, ranges[r, 0] : ranges[r, 1]] = 0


@njit(nogil=True, cache=True)
def repeat(words, counts, ranges):
    """Let rows count several times: packed sums of equal words are their multiples.

    words: int64 (outputs, rows) IN OUT
    counts: int64 (rows,) IN
    ranges: int64 (ranges, 2) IN
    """
    for k in range(words.shape[0]):
        for r in range(ranges.shape[0]):
            for i in range(ranges[r, 0], ranges[r, 1]):
                words[k, i] *= counts[i]


@njit(nogil=True, cache=True)
def add_value_trees(
    X, order, ranges, starts, output, feature, value, default_left, left, right, set_of, goes_right, margin
):  # fmt: skip
    """Walk rows through trees over values, and add their leaves' values.

    X: float32 (rows, features) IN
    order: uint32 (rows,) or (0,) IN; where a row stands in X, itself when empty
    ranges: int64 (ranges, 2) IN
    starts, output: (trees,) IN; where a tree's nodes start, and the output whose margin it adds to
    feature, value, default_left, left, right: (nodes,) IN; see `ValueTrees`
    set_of: int64 (nodes,) or (0,) IN; the row of ``goes_right`` of a node that asks for categories, else -1
    goes_right: bool (sets, categories) IN; a category beyond is in no set, as in XGBoost
    margin: float32 (outputs, rows) IN OUT
    """
    for r in range(ranges.shape[0]):
        for i in range(ranges[r, 0], ranges[r, 1]):
            row = order[i] if order.shape[0] else i
            for tree in range(starts.shape[0]):
                start = starts[tree]
                at = start
                while feature[at] >= 0:
                    x = X[row, feature[at]]
                    if np.isnan(x):
                        to_left = default_left[at]
                    elif set_of.shape[0] and set_of[at] >= 0:
                        inside = x >= 0 and x < goes_right.shape[1]
                        to_left = not (inside and goes_right[set_of[at], np.int64(x)])
                    else:
                        to_left = x < value[at]
                    at = start + (left[at] if to_left else right[at])
                margin[output[tree], i] += value[at]
