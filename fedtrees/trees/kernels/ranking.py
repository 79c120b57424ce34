"""Gradients of rankings, group by group. Numba only; held to naive twins and to XGBoost in the tests.

A group's rows are the ones that are ranked among each other: XGBoost's queries. A place is a row's among its group's, a
rank its place by score: ``order`` holds the place of each rank.
"""

from __future__ import annotations

import numpy as np

from fedtrees.core.numeric.compiled import njit
from fedtrees.core.numeric.elementary import exp, log

NDCG, PAIRWISE, MAP = range(3)
LN2 = 0.6931471805599453
SMALLEST_HESSIAN = 1e-16
SMALLEST_BIAS = 1e-16  # no number is divided by less
APART = 0.01  # added to differences of scores where pairs are divided by them


@njit(nogil=True, cache=True)
def _mixed(words):
    """Mix the bits of words: see `core.data.row_ids.mixed`."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


@njit(nogil=True, cache=True, error_model="numpy")
def _gain(relevance, exponential):
    """Return the gain of a relevance."""
    if exponential:
        return np.float64((np.int64(1) << np.int64(relevance)) - 1)
    return np.float64(relevance)


@njit(nogil=True, cache=True, error_model="numpy")
def _ideal(y, discount, exponential, top):
    """Return the largest discounted cumulative gain of a group's rows, of so many ranks."""
    total, best = 0.0, np.sort(y)[::-1]
    for rank in range(min(best.shape[0], top)):
        total += discount[rank] * _gain(best[rank], exponential)
    return total


@njit(nogil=True, cache=True, error_model="numpy")
def _change(kind, exponential, y, order, high, low, discount, ideal, relevant, precision):
    """Return the change of the metric if two ranks were swapped; ``high`` is the smaller rank."""
    if kind == PAIRWISE:
        return 1.0
    one, other = y[order[high]], y[order[low]]
    if kind == NDCG:
        gains = _gain(one, exponential) - _gain(other, exponential)
        return abs(gains * (discount[high] - discount[low])) / ideal if ideal > 0.0 else 0.0
    between = precision[low - 1] - precision[high]
    if one < other:
        change = relevant[low] / (low + 1.0) - (relevant[high] + 1.0) / (high + 1.0) - between
    else:
        change = relevant[high] / (high + 1.0) - relevant[low] / (low + 1.0) + between
    return abs(change) / relevant[-1]


@njit(nogil=True, cache=True, error_model="numpy")
def _compare(how, scores, y, order, one, other, discount, ideal, relevant, precision, bias, costs, g, h):
    """Add a pair of ranks to its rows' gradients and hessians; returns the size of the gradient.

    With biases of positions, which are places in the group, the pair's weight is divided by both, and its cost
    is noted: equations 30 and 31 of Hu et al. (2019), "Unbiased LambdaMART", as XGBoost has them.
    """
    kind, _, _, _, by_difference, exponential = how
    if y[order[one]] == y[order[other]]:
        return 0.0
    better, worse = order[one], order[other]
    if y[better] < y[worse]:
        better, worse = worse, better
    change = _change(
        kind, exponential, y, order, min(one, other), max(one, other), discount, ideal, relevant, precision
    )
    ahead = np.float64(scores[better]) - np.float64(scores[worse])
    if by_difference and scores[order[0]] != scores[order[-1]]:
        change /= abs(ahead) + APART
    p = 1.0 / (1.0 + exp(-ahead))
    slope, bend = (1.0 - p) * change, 2.0 * max(p * (1.0 - p), SMALLEST_HESSIAN) * change
    if better < bias.shape[1] and worse < bias.shape[1]:
        cost = (ahead - log(p) if ahead > 0.0 else -log(1.0 - p)) * change
        plus, minus = bias[0, better], bias[1, worse]
        if minus >= SMALLEST_BIAS:
            costs[0, better] += cost / minus
        if plus >= SMALLEST_BIAS:
            costs[1, worse] += cost / plus
        if minus >= SMALLEST_BIAS and plus >= SMALLEST_BIAS:
            slope /= plus * minus
            bend /= plus * minus
    g[better] -= slope
    g[worse] += slope
    h[better] += bend
    h[worse] += bend
    return slope


@njit(nogil=True, cache=True, error_model="numpy")
def _draw_pairs(how, scores, y, order, group_id, keys, discount, ideal, relevant, precision, bias, costs, g, h):
    """Compare each row with some of other relevances, drawn by the group's id."""
    n, pairs = order.shape[0], how[2]
    by_relevance = np.argsort(-y[order], kind="mergesort")  # ranks, the most relevant first
    start = 0
    while start < n:
        stop = start + 1
        while stop < n and y[order[by_relevance[stop]]] == y[order[by_relevance[start]]]:
            stop += 1
        others = n - (stop - start)
        if others:
            for pair in range(pairs):
                # of whole arrays: plain Python would warn that single words overflow, which is what they are to do
                place = np.arange(pair * n + start, pair * n + stop).astype(np.uint64)
                lots = _mixed(_mixed(place + (group_id ^ keys[0])) + keys[1]) % np.uint64(others)
                for k in range(stop - start):
                    chosen = np.int64(lots[k])
                    chosen += (stop - start) if chosen >= start else 0
                    _compare(
                        how, scores, y, order, by_relevance[start + k], by_relevance[chosen], discount, ideal, relevant,
                        precision, bias, costs, g, h,
                    )  # fmt: skip
        start = stop


@njit(nogil=True, cache=True, error_model="numpy")
def lambdas(how, margin, y, weight, starts, ids, ranges, keys, bias, costs, g, h):
    """Compute gradients and hessians of the rows of some groups, weights included.

    how: (kind, truncated, pairs, normalised, by difference, exponential) IN; see `losses.ranking.RankingLoss`
    margin, y: float32 (rows,) IN
    weight: float32 (rows,) or (1,) IN; a group's is that of its first row
    starts: int64 (groups + 1,) IN; where a group's rows start
    ids: uint64 (groups,) IN; see `core.data.row_ids`
    ranges: int64 (ranges, 2) IN; the groups to do
    keys: uint64 (2,) IN; of the draws
    bias: float64 (2, positions) IN; of the better row's position and of the other's; no positions without a bias
    costs: float64 (2, rows) OUT; the costs that each row adds to its position; (2, 0) without a bias
    g, h: float64 (rows,) OUT
    """
    kind, truncated, pairs, normalised, _, exponential = how
    step, longest = np.int64(weight.shape[0] > 1), 0
    for r in range(ranges.shape[0]):
        for q in range(ranges[r, 0], ranges[r, 1]):
            longest = max(longest, starts[q + 1] - starts[q])
    discount = np.empty(longest, np.float64)
    for rank in range(longest):
        discount[rank] = LN2 / log(rank + 2.0)
    for r in range(ranges.shape[0]):
        for q in range(ranges[r, 0], ranges[r, 1]):
            rows = slice(starts[q], starts[q + 1])
            scores, group_y, group_g, group_h = margin[rows], y[rows], g[rows], h[rows]
            n = scores.shape[0]
            group_costs = costs[:, rows]
            group_g[:], group_h[:], group_costs[:] = 0.0, 0.0, 0.0
            order = np.argsort(-scores, kind="mergesort")  # a stable one: equal scores stay in the rows' order
            relevant, precision = np.zeros(n, np.float64), np.zeros(n, np.float64)
            ideal, total, found = 0.0, 0.0, 0.0
            if kind == NDCG:
                ideal = _ideal(group_y, discount, exponential, pairs if truncated else n)
            if kind == MAP:
                for rank in range(n):
                    hit = np.float64(group_y[order[rank]])
                    found += hit
                    total += hit / (rank + 1.0)
                    relevant[rank], precision[rank] = found, total
            size = 0.0
            if truncated:
                for one in range(min(n, pairs)):
                    for other in range(one + 1, n):
                        size += _compare(
                            how, scores, group_y, order, one, other, discount, ideal, relevant, precision, bias,
                            group_costs, group_g, group_h,
                        )  # fmt: skip
            else:
                _draw_pairs(
                    how, scores, group_y, order, ids[q], keys, discount, ideal, relevant, precision, bias, group_costs,
                    group_g, group_h,
                )  # fmt: skip
            scale = np.float64(weight[starts[q] * step])
            if normalised and truncated and size > 0.0:
                scale *= log(1.0 + 2.0 * size) / LN2 / (2.0 * size)
            if normalised and not truncated:
                scale /= pairs
            group_g *= scale
            group_h *= scale
