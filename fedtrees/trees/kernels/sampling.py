"""Draws of rows by their ids, and of features by nodes. Numba only; held to naive twins in the tests."""

from __future__ import annotations

import numpy as np

from fedtrees.core.numeric.compiled import njit

LEFT_OUT_ROWS = 256  # walked through a tree before the next one: their features stay in the cache


@njit(nogil=True, cache=True)
def _mixed(words):
    """Mix the bits of words: see `core.data.row_ids.mixed`."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


@njit(nogil=True, cache=True)
def draw(words, ids, ranges, keys, shares, kind, out):
    """Multiply rows' words by the number of times that the rows are drawn, 0 for rows that are not.

    words: int64 (rows,), ids: uint64 (rows,) IN
    ranges: int64 (ranges, 2) IN; the rows to do
    keys: uint64 (2,) IN; of the purpose of the draw
    shares: uint64 (kinds, any) IN; of 2 ** 53, falling: the rows that are drawn once or more, twice or more, and so on
    kind: uint16 (rows,) or (0,) IN; the kind of a row, which has its shares; the first where empty
    out: int64 (rows,) OUT
    """
    first, second = keys[0], keys[1]
    for r in range(ranges.shape[0]):
        rows = slice(ranges[r, 0], ranges[r, 1])
        from_rows, to = words[rows], out[rows]
        # of whole arrays: plain Python would warn that single words overflow, which they are meant to
        chance = _mixed(_mixed(ids[rows] ^ first) + second) >> np.uint64(11)
        for i in range(from_rows.shape[0]):
            times, of = np.int64(0), kind[rows.start + i] if kind.shape[0] else 0
            while times < shares.shape[1] and chance[i] < shares[of, times]:
                times += 1
            to[i] = from_rows[i] * times


@njit(nogil=True, cache=True)
def draw_columns(chance, tried, drawn):
    """Draw features of each node: the ones of the lowest chances; tried ones come after all others.

    chance: float64 (nodes, features) IN; from 0 to 1
    tried: bool (nodes, features) IN OUT
    drawn: int64 (nodes, any) OUT; ascending
    """
    # insertion into a short sorted list: a node draws few of many features
    most = drawn.shape[1]
    lowest = np.empty(most)
    for node in range(chance.shape[0]):
        features, lowest[:] = drawn[node], np.inf
        for f in range(chance.shape[1]):
            value = chance[node, f] + (1.0 if tried[node, f] else 0.0)
            if value >= lowest[most - 1]:
                continue
            place = most - 1
            while place > 0 and lowest[place - 1] > value:
                lowest[place], features[place] = lowest[place - 1], features[place - 1]
                place -= 1
            lowest[place], features[place] = value, f
        for j in range(most):
            f, place = features[j], j
            tried[node, f] = True
            while place > 0 and features[place - 1] > f:
                features[place] = features[place - 1]
                place -= 1
            features[place] = f


@njit(nogil=True, cache=True)
def add_left_out(
    X, order, ids, kind, keys, drawn, ranges, starts, feature, threshold, missing_left, left, right, values, sums, times
):
    """Add up trees' predictions of the rows that they did not draw.

    X: float32 (rows, features), order: uint32 (rows,) or (0,) IN; where a row stands in X, itself when empty
    ids: uint64 (rows,), kind: uint16 (rows,) IN; as in `draw`
    keys: uint64 (trees, 2), drawn: uint64 (trees, kinds) IN; of 2 ** 53, the share of rows that a tree draws once
        or more
    ranges: int64 (ranges, 2), starts: int64 (trees,) IN; where a tree's nodes start
    feature, threshold, missing_left, left, right: (nodes,), values: float64 (nodes, any) IN; see `out_of_bag.OutOfBag`
    sums: float64 (rows, any), times: int64 (rows,) IN OUT
    """
    for r in range(ranges.shape[0]):
        for block in range(ranges[r, 0], ranges[r, 1], LEFT_OUT_ROWS):
            end = min(block + LEFT_OUT_ROWS, ranges[r, 1])
            block_ids = ids[block:end]
            for tree in range(starts.shape[0]):
                chance = _mixed(_mixed(block_ids ^ keys[tree, 0]) + keys[tree, 1]) >> np.uint64(11)
                start = starts[tree]
                for i in range(block, end):
                    if chance[i - block] < drawn[tree, kind[i]]:
                        continue
                    row, at = order[i] if order.shape[0] else i, start
                    while feature[at] >= 0:
                        x = X[row, feature[at]]
                        to_left = missing_left[at] if np.isnan(x) else np.float64(x) <= threshold[at]
                        at = start + (left[at] if to_left else right[at])
                    times[i] += 1
                    for k in range(values.shape[1]):
                        sums[i, k] += values[at, k]
