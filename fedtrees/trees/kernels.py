"""The hot loops. Numba only, no Python objects; every kernel has a naive twin in the tests.

Rows are walked in memory order once a level, however many nodes there are: gathering a node's rows by index costs four
times as much. Features stand in groups of up to 16 so that the accumulators of a level's nodes stay in the cache:

    bins[group, row, place]     feature = group * features_a_group + place
"""

from __future__ import annotations

import numpy as np
from numba import njit

from fedtrees.queries.kernels import BLOCK, SLOT_SHIFT, is_missing, key_of

LIST_ROWS = 65536  # rows gathered before they are added: their bins are read once a feature group
# A row's (g, h) is one word, (g << 32) + h, with |g| <= 2**19 and 0 <= h <= 2**20: both halves hold 4095 rows
STATISTIC_BITS_G = 19
STATISTIC_BITS_H = 20
WORD_ROWS = 4095
LOW_HALF = np.int64(0xFFFFFFFF)


@njit(nogil=True, cache=True)
def bin_rows(bits, row_stride, column_stride, order, start, stop, keys, below, steps, last, features_a_group, out):
    """Find the bin of every value.

    bits, row_stride, column_stride, order, start, stop: as in `queries.kernels.count_missing` IN
    keys: uint32 (features, any) IN; keys of the inner cuts, ascending, filled up with the largest key
    below: uint16 (features, N_SLOTS) IN; how many cuts have upper bits below those of a slot
    steps: uint8 (features,) IN; halvings that find a value among the cuts of any one slot
    last: int64 (features,) IN; the bin for the missing
    out: uint8 or uint16 (groups, rows, features_a_group) OUT
    """
    one = np.uint64(1)
    for block in range(start, stop, BLOCK):
        end = min(block + BLOCK, stop)
        for f in range(keys.shape[0]):
            own, first = keys[f], below[f]
            group, place = f // features_a_group, f % features_a_group
            for i in range(block, end):
                row = order[i] if order.shape[0] else i
                value = bits[row * row_stride + f * column_stride]
                key = key_of(value)
                at = np.uint64(first[key >> SLOT_SHIFT])
                for halving in range(steps[f]):  # no branch depends on the data
                    step = one << np.uint64(steps[f] - halving - 1)
                    at += step * np.uint64(own[at + step - one] <= key)
                out[group, i, place] = last[f] if is_missing(value) else at


@njit(nogil=True, cache=True)
def _add(bins, rows, slots, words, first, width, stride, slot_size, packed):
    """Add gathered rows to the accumulators of one feature group, which start at first in a slot's own.

    Unsigned indices throughout: numba need not ask whether they count from the end.
    """
    if stride == np.uint64(256):  # the usual case: the compiler folds the constant into the address
        for i in range(rows.shape[0]):
            row, word = np.uint64(rows[i]), words[i]
            at = np.uint64(slots[i]) * slot_size + first
            for place in range(width):
                packed[at + place * np.uint64(256) + np.uint64(bins[row, place])] += word
    else:
        for i in range(rows.shape[0]):
            row, word = np.uint64(rows[i]), words[i]
            at = np.uint64(slots[i]) * slot_size + first
            for place in range(width):
                packed[at + place * stride + np.uint64(bins[row, place])] += word


@njit(nogil=True, cache=True)
def _empty(packed, wide, slot, low, high, stride, offsets):
    """Unpack one node's accumulators, of the features from low to high, into its sums."""
    slot_start = slot * (packed.shape[0] // wide.shape[0])
    for f in range(low, high):
        at, out, n = slot_start + f * stride, offsets[f], offsets[f + 1] - offsets[f]
        words, g, h = packed[at : at + n], wide[slot, 0, out : out + n], wide[slot, 1, out : out + n]
        for b in range(n):  # slices from zero on: runs in vectors
            g[b] += words[b] >> 32
            h[b] += words[b] & LOW_HALF
            words[b] = 0


@njit(nogil=True, cache=True)
def _drain(bins, rows, slots, words, n, counts, since, offsets, stride, packed, wide):
    """Add the n gathered rows to the accumulators, one feature group after the other."""
    a_group = bins.shape[2]
    n_features = offsets.shape[0] - 1
    slot_size = np.uint64(packed.shape[0] // wide.shape[0])
    before = since.copy()
    counts[:] = 0
    for i in range(n):
        counts[i // WORD_ROWS, slots[i]] += 1
    for group in range(bins.shape[0]):
        low, high = group * a_group, min((group + 1) * a_group, n_features)
        since[:] = before
        for part in range(0, n, WORD_ROWS):
            for slot in range(since.shape[0]):
                more = counts[part // WORD_ROWS, slot]
                if since[slot] + more > WORD_ROWS:
                    _empty(packed, wide, slot, low, high, stride, offsets)
                    since[slot] = 0
                since[slot] += more
            to = slice(part, min(part + WORD_ROWS, n))
            first, width = np.uint64(low * stride), np.uint64(high - low)
            _add(bins[group], rows[to], slots[to], words[to], first, width, np.uint64(stride), slot_size, packed)


@njit(nogil=True, cache=True)
def _sum_root(bins, words, ranges, offsets, stride, packed, wide):
    """Add all rows of the ranges to one node: no list is needed."""
    a_group, n_features = bins.shape[2], offsets.shape[0] - 1
    step = np.uint64(stride)
    since = 0
    for r in range(ranges.shape[0]):
        for start in range(ranges[r, 0], ranges[r, 1], WORD_ROWS):
            end = min(start + WORD_ROWS, ranges[r, 1])
            if since + end - start > WORD_ROWS:
                _empty(packed, wide, 0, 0, n_features, stride, offsets)
                since = 0
            since += end - start
            own = words[start:end]
            for group in range(bins.shape[0]):
                lines = bins[group, start:end]
                first = np.uint64(group * a_group) * step
                width = np.uint64(min(a_group, n_features - group * a_group))
                if step == np.uint64(256):
                    for i in range(own.shape[0]):
                        for place in range(width):
                            packed[first + place * np.uint64(256) + np.uint64(lines[i, place])] += own[i]
                else:
                    for i in range(own.shape[0]):
                        for place in range(width):
                            packed[first + place * step + np.uint64(lines[i, place])] += own[i]
    _empty(packed, wide, 0, 0, n_features, stride, offsets)


@njit(nogil=True, cache=True, inline="always")
def _descend(flat, at_row, at, tree):
    """The node that a row reaches from node ``at``; its bins start at ``at_row`` in their group."""
    column, split, missing, default_left, left = tree
    c = column[at]
    while c >= 0:
        b = np.int32(flat[np.uint64(c) + at_row])
        goes_left = (default_left[at] & (b == missing[at])) | ((b <= split[at]) & (b != missing[at]))
        at = np.uint32(left[at] + np.int32(not goes_left))
        c = column[at]
    return at


@njit(nogil=True, cache=True)
def _gather(flat, a_group, words, node, start, stop, tree, slot_of, rows, slots, held):
    """Move the rows from start to stop down to their nodes; list those whose node is built. Returns how many."""
    n = np.uint64(0)
    a_group = np.uint64(a_group)
    for i in range(np.uint64(start), np.uint64(stop)):
        at = _descend(flat, i * a_group, np.uint32(node[i]), tree)
        node[i] = at
        slot = slot_of[at]
        # write first, count after: no branch to miss
        rows[n] = i
        slots[n] = slot
        held[n] = words[i]
        n += np.uint64(slot >= 0)
    return n


@njit(nogil=True, cache=True)
def grow_level(bins, words, node, ranges, tree, slot_of, offsets, stride, packed, wide):
    """Move rows down to the nodes they belong to now, and sum the histograms of the nodes to be built.

    bins: uint8 or uint16 (groups, rows, features a group) IN
    words: int64 (rows,) IN; packed (g, h)
    node: int32 (rows,) IN OUT; the node a row is known to have reached
    ranges: int64 (ranges, 2) IN; the rows to walk
    tree: (column: int64, split, missing: int32, default_left: bool, left: int32) each (nodes,) IN; column is where
        the feature's bin of row 0 stands in the flat bins, -1 where a node is not split; missing is the bin of that
    slot_of: int32 (nodes,) IN; where a node's histogram goes, -1 for a node that is not built
    offsets: int64 (features + 1,) IN; where a feature's bins start
    stride: int IN; accumulators a feature
    packed: int64 (slots * groups * features a group * stride,) scratch, zeros in and out
    wide: int64 (slots, 2, bins) OUT, added to
    """
    if slot_of.shape[0] == 1:
        _sum_root(bins, words, ranges, offsets, stride, packed, wide)
        return
    rows = np.empty(LIST_ROWS, np.uint32)
    slots = np.empty(LIST_ROWS, np.int32)
    held = np.empty(LIST_ROWS, np.int64)
    counts = np.zeros((LIST_ROWS // WORD_ROWS + 1, wide.shape[0]), np.int64)
    since = np.zeros(wide.shape[0], np.int64)
    flat = bins.reshape(-1)
    n = 0
    for r in range(ranges.shape[0]):
        start, stop = ranges[r]
        while start < stop:
            end = min(stop, start + LIST_ROWS - n)
            n += np.int64(
                _gather(flat, bins.shape[2], words, node, start, end, tree, slot_of, rows[n:], slots[n:], held[n:])
            )
            start = end
            if n > LIST_ROWS // 2:
                _drain(bins, rows, slots, held, n, counts, since, offsets, stride, packed, wide)
                n = 0
    _drain(bins, rows, slots, held, n, counts, since, offsets, stride, packed, wide)
    for slot in range(wide.shape[0]):
        if since[slot]:
            _empty(packed, wide, slot, 0, offsets.shape[0] - 1, stride, offsets)


@njit(nogil=True, cache=True)
def add_leaves(bins, node, ranges, tree, value, margin):
    """Move rows down to their leaves and add what those say.

    bins, node, ranges, tree: as in `grow_level`
    value: float32 (nodes,) IN
    margin: float32 (rows,) IN OUT
    """
    flat, a_group = bins.reshape(-1), np.uint64(bins.shape[2])
    for r in range(ranges.shape[0]):
        for i in range(np.uint64(ranges[r, 0]), np.uint64(ranges[r, 1])):
            margin[i] += value[_descend(flat, i * a_group, np.uint32(node[i]), tree)]


@njit(nogil=True, cache=True)
def to_root(node, ranges):
    """Put rows back to the root.

    node: int32 (outputs, rows) OUT
    ranges: int64 (ranges, 2) IN
    """
    for k in range(node.shape[0]):
        for r in range(ranges.shape[0]):
            node[k, ranges[r, 0] : ranges[r, 1]] = 0


@njit(nogil=True, cache=True)
def siblings(parents, parent_of, built, place, first, last, out):
    """Put the built child's histogram and its sibling's, the parent's less it, side by side.

    parents: int64 (nodes, 2, bins), parent_of: int64 (pairs,), built: int64 (pairs, 2, bins) IN
    place: int32 (pairs,) IN; 0 where the left child was built, 1 where the right
    first, last: pairs to do IN
    out: int64 (pairs, 2, 2, bins) OUT
    """
    for pair in range(first, last):
        parent, own = parents[parent_of[pair]], built[pair]
        mine, other = out[pair, place[pair]], out[pair, 1 - place[pair]]
        for statistic in range(2):
            for b in range(parents.shape[2]):
                mine[statistic, b] = own[statistic, b]
                other[statistic, b] = parent[statistic, b] - own[statistic, b]


@njit(nogil=True, cache=True, error_model="numpy")
def _score(g, h, alpha, reg_lambda):
    """Equation 6 of Chen and Guestrin (2016), with the soft threshold of an L1 penalty."""
    g = max(abs(g) - alpha, 0.0)
    return g * g / (h + reg_lambda) if h > 0 else 0.0


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def _saved(left_g, left_h, total_g, total_h, unit_g, unit_h, alpha, reg_lambda, min_child):
    """Equation 7 of Chen and Guestrin (2016), twice, but for the parent's score; -1 where a child is too light."""
    gl, hl = left_g * unit_g, left_h * unit_h
    gr, hr = (total_g - left_g) * unit_g, (total_h - left_h) * unit_h
    if hl < min_child or hr < min_child or hl <= 0.0 or hr <= 0.0:
        return -1.0
    gl, gr = max(abs(gl) - alpha, 0.0), max(abs(gr) - alpha, 0.0)
    hl, hr = hl + reg_lambda, hr + reg_lambda
    return (gl * gl * hr + gr * gr * hl) / (hl * hr)


@njit(nogil=True, cache=True, error_model="numpy")
def best_splits(
    histograms, totals, first, last, offsets, n_values, has_missing, unit_g, unit_h, alpha, reg_lambda, min_child,
    gain, feature, split, default_left, left_sums,
):  # fmt: skip
    """Find the best split of the nodes from first to last.

    Ties go where XGBoost's go: to the lowest feature, then to missing right before missing left, then to the lowest
    bin with missing right and to the highest with missing left.

    histograms: int64 (nodes, 2, bins), totals: int64 (nodes, 2) IN
    offsets: int64 (features + 1,), n_values: int64 (features,), has_missing: bool (features,) IN
    unit_g, unit_h: float IN; what one step of g and of h stands for
    gain: float64, feature, split: int32, default_left: bool (nodes,) OUT; feature is -1 where no split gains
    left_sums: int64 (nodes, 2) OUT
    """
    for node in range(first, last):
        all_g, all_h = totals[node, 0], totals[node, 1]
        parent = _score(all_g * unit_g, all_h * unit_h, alpha, reg_lambda)
        best = 0.0
        feature[node] = -1
        for f in range(n_values.shape[0]):
            start, n = offsets[f], n_values[f]
            own_g, own_h = histograms[node, 0, start : offsets[f + 1]], histograms[node, 1, start : offsets[f + 1]]
            misses = has_missing[f] and (own_g[n] != 0 or own_h[n] != 0)
            g, h = np.int64(0), np.int64(0)
            for b in range(n if misses else n - 1):  # missing right; at the last bin, the present from the missing
                if own_g[b] == 0 and own_h[b] == 0:
                    continue  # the same split as the one before
                g += own_g[b]
                h += own_h[b]
                value = _saved(g, h, all_g, all_h, unit_g, unit_h, alpha, reg_lambda, min_child) - parent
                if value > best:
                    best = value
                    feature[node], split[node], default_left[node] = f, b, False
                    left_sums[node, 0], left_sums[node, 1] = g, h
            if not misses:
                continue
            g, h = all_g, all_h
            for b in range(n - 1, 0, -1):  # missing left: what is left of bin b, and the missing
                if own_g[b] == 0 and own_h[b] == 0:
                    continue
                g -= own_g[b]
                h -= own_h[b]
                value = _saved(g, h, all_g, all_h, unit_g, unit_h, alpha, reg_lambda, min_child) - parent
                if value > best:
                    best = value
                    feature[node], split[node], default_left[node] = f, b - 1, True
                    left_sums[node, 0], left_sums[node, 1] = g, h
        gain[node] = best
