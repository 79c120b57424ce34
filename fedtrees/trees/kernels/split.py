"""Kernels of the server: children by subtraction, and the best split of a node. Each has a naive twin in the tests."""

from __future__ import annotations

import numpy as np

from fedtrees.core.numeric.compiled import njit


@njit(nogil=True, cache=True)
def divide(histograms, parents, built, free, first, last):
    """Put built children in the cache, and leave in each parent's place the sums of its other child.

    histograms: int64 (places, statistics, bins) IN OUT; the histogram cache
    parents, free: int64 (pairs,) IN; the places of the parents, and those for the built children, all distinct
    built: int64 (pairs, statistics, bins) IN
    first, last: pairs to do IN
    """
    for pair in range(first, last):
        parent, child, child_sums = histograms[parents[pair]], histograms[free[pair]], built[pair]
        for statistic in range(child_sums.shape[0]):
            for b in range(child_sums.shape[1]):
                child[statistic, b] = child_sums[statistic, b]
                parent[statistic, b] -= child_sums[statistic, b]


@njit(nogil=True, cache=True, error_model="numpy")
def _score(g, h, alpha, reg_lambda):
    """Return equation 6 of Chen and Guestrin (2016), with the soft threshold of an L1 penalty."""
    g = max(abs(g) - alpha, 0.0)
    return g * g / (h + reg_lambda) if h > 0 else 0.0


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def _gains(left_g, left_h, right_g, right_h, alpha, reg_lambda, min_child, parent, out):
    """Compute equation 7 of Chen and Guestrin (2016), twice, of each way to part a node; -1 where a child is too light.

    One loop without branches over plain floats: it runs in vectors.
    """
    for b in range(out.shape[0]):
        gl, hl, gr, hr = left_g[b], left_h[b], right_g[b], right_h[b]
        light = (hl < min_child) | (hr < min_child) | (hl <= 0.0) | (hr <= 0.0)
        gl, gr = max(abs(gl) - alpha, 0.0), max(abs(gr) - alpha, 0.0)
        hl, hr = hl + reg_lambda, hr + reg_lambda
        both = 1.0 if light else hl * hr
        value = (gl * gl * hr + gr * gr * hl) / both - parent
        out[b] = -1.0 if light else value


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def _bounded_gains(left_g, left_h, right_g, right_h, alpha, reg_lambda, min_child, bounds, before, out):
    """Compute gains of bounded weights w, as XGBoost has them: -(2 g w + (h + lambda) w ** 2) of each child.

    bounds: (most, low, high, direction) IN; the largest |weight|, the node's bounds, and whether the left weight
        must not be above the right one (1), below it (-1), or may be either (0)
    before: float IN; the same of the node itself
    """
    most, low, high, direction = bounds
    for b in range(out.shape[0]):
        gl, hl, gr, hr = left_g[b], left_h[b], right_g[b], right_h[b]
        light = (hl < min_child) | (hr < min_child) | (hl <= 0.0) | (hr <= 0.0)
        dl, dr = 1.0 if light else hl + reg_lambda, 1.0 if light else hr + reg_lambda
        wl = -(max(gl - alpha, 0.0) + min(gl + alpha, 0.0)) / dl
        wr = -(max(gr - alpha, 0.0) + min(gr + alpha, 0.0)) / dr
        wl, wr = max(min(wl, most), -most), max(min(wr, most), -most)
        # XGBoost's weights are of 32 bits: what is equal to them is so here
        wl, wr = np.float64(np.float32(max(min(wl, high), low))), np.float64(np.float32(max(min(wr, high), low)))
        value = -(2.0 * gl * wl + dl * wl * wl) - (2.0 * gr * wr + dr * wr * wr) - before
        out[b] = -1.0 if light | (direction * (wl - wr) > 0.0) else value


@njit(nogil=True, cache=True, error_model="numpy")
def _ways(sides, before, penalties, limit, out):
    """Compute the gains of some ways to part a node.

    sides: (g and h of what goes left, g and h of what goes right), float64 (more than the ways,) each IN
    before: float IN; the loss that the node saves as a leaf
    limit: (whether weights are bounded, most, low, high, direction) IN; see `_bounded_gains`
    """
    left_g, left_h, right_g, right_h = sides
    alpha, reg_lambda, min_child = penalties
    is_bounded, most, low, high, direction = limit
    if is_bounded:
        bounds = (most, low, high, direction)
        _bounded_gains(left_g, left_h, right_g, right_h, alpha, reg_lambda, min_child, bounds, before, out)
    else:
        _gains(left_g, left_h, right_g, right_h, alpha, reg_lambda, min_child, before, out)


@njit(nogil=True, cache=True, inline="always")
def _part(sides, way, g, h, total, units):
    """Write down a way to part a node: right is what is left of the total, subtracted before anything is rounded."""
    sides[0][way], sides[1][way] = g * units[0], h * units[1]
    sides[2][way], sides[3][way] = (total[0] - g) * units[0], (total[1] - h) * units[1]


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def _by_threshold(sums_g, sums_h, n, misses, total, before, units, penalties, limit, best, sides, gains, found):
    """Find the first of the splits by a threshold that gain most, of those that gain more than ``best``.

    sums_g, sums_h: int64 (bins,) IN; the missing, where there are any, at n
    total: int64 (2,) IN; the node's sums
    sides: see `_ways`, gains: float64 (more than n,) scratch
    found: int64 (2,) OUT; the bin, and whether the missing go left. Written to memory, so that the compiler makes a
        branch of it that is seldom taken, not a chain of choices.
    Returns the gain; ``best`` where none gains more.
    """
    g, h = np.int64(0), np.int64(0)
    for b in range(n):
        g += sums_g[b]
        h += sums_h[b]
        _part(sides, b, g, h, total, units)
    # all ways are written down first and their gains computed in one loop, which runs in vectors
    # missing right; at the last bin, the present from the missing
    ways = gains[: n if misses else max(n - 1, 0)]
    _ways(sides, before, penalties, limit, ways)
    for b in range(ways.shape[0]):
        if ways[b] > best:
            best, found[0], found[1] = ways[b], b, False
    if misses:
        ways = gains[: max(n - 1, 0)]
        g, h = sums_g[n], sums_h[n]
        for b in range(ways.shape[0]):
            g += sums_g[b]
            h += sums_h[b]
            _part(sides, b, g, h, total, units)
        _ways(sides, before, penalties, limit, ways)
        for b in range(ways.shape[0] - 1, -1, -1):
            if ways[b] > best:
                best, found[0], found[1] = ways[b], b, True
        if limit[4] != 0:
            # the missing from the present: the other way about, the weights may stand the wrong way
            _part(sides, 0, sums_g[n], sums_h[n], total, units)
            _ways(sides, before, penalties, limit, gains[:1])
            if gains[0] > best:
                best, found[0], found[1] = gains[0], -1, True
    return best


@njit(nogil=True, cache=True, error_model="numpy")
def _by_category(sums_g, sums_h, n, total, before, units, penalties, limit, best, sides, gains, found):
    """Find the first of the splits of one category from all others that gain most, as in `_by_threshold`.

    found: int64 (2,) OUT; the category, which goes right, and whether the missing go left
    Returns the gain.
    """
    ways = gains[: 2 * n]
    g, h = np.int64(0), np.int64(0)
    for b in range(n):
        g += sums_g[b]
        h += sums_h[b]
    for b in range(n):
        _part(sides, 2 * b, total[0] - sums_g[b], total[1] - sums_h[b], total, units)
        _part(sides, 2 * b + 1, g - sums_g[b], h - sums_h[b], total, units)
    _ways(sides, before, penalties, limit, ways)
    for way in range(2 * n):
        if ways[way] > best:
            best, found[0], found[1] = ways[way], way // 2, way % 2 == 0
    return best


@njit(nogil=True, cache=True, error_model="numpy")
def _sorted_categories(sums_g, sums_h, n, units, penalties, most_weight):
    """Order categories by the weights that leaves of each would have, of equals the lower first: int64 (n,)."""
    alpha, reg_lambda, min_child = penalties
    weight = np.zeros(n)
    for b in range(n):
        g, h = sums_g[b] * units[0], sums_h[b] * units[1]
        if h > 0.0 and h >= min_child:
            weight[b] = -(max(g - alpha, 0.0) + min(g + alpha, 0.0)) / (h + reg_lambda)
            # XGBoost's weights are of 32 bits: what is equal to them is so here
            weight[b] = np.float32(max(min(weight[b], most_weight), -most_weight))
    return np.argsort(weight, kind="mergesort")


@njit(nogil=True, cache=True, error_model="numpy")
def _by_set(sums_g, sums_h, n, most_right, total, before, units, penalties, limit, best, sides, gains, found):
    """Find the first of the splits of the sorted categories in two that gain most, as in `_by_threshold`.

    most_right: int IN; categories that are tried on one side of such a split, and one more
    found: int64 (2,) OUT; the number of sorted categories that go right, and whether the missing go left
    Returns the gain.
    """
    order = _sorted_categories(sums_g, sums_h, n, units, penalties, limit[1])
    ways = gains[: max(min(most_right, n) - 1, 0)]
    g, h = total[0], total[1]
    for b in range(ways.shape[0]):
        g -= sums_g[order[b]]
        h -= sums_h[order[b]]
        _part(sides, b, g, h, total, units)
    _ways(sides, before, penalties, limit, ways)
    for b in range(ways.shape[0]):
        if ways[b] > best:
            best, found[0], found[1] = ways[b], b + 1, True
    g, h = np.int64(0), np.int64(0)
    for b in range(ways.shape[0]):
        g += sums_g[order[n - 1 - b]]
        h += sums_h[order[n - 1 - b]]
        _part(sides, b, g, h, total, units)
    _ways(sides, before, penalties, limit, ways)
    for b in range(ways.shape[0]):
        if ways[b] > best:
            best, found[0], found[1] = ways[b], n - 1 - b, False
    return best


@njit(cache=True, nogil=True)
def _send_categories(sums, n, is_one, split, missing, units, penalties, most_weight, goes_right, left_sums):
    """Write down the categories that go right, and the sums of what goes left.

    sums: int64 (2, bins of the feature), n: its categories, is_one: whether ``split`` is a category itself, missing:
        int64 (2,), the sums of the missing where they go left IN
    goes_right: bool (any,), left_sums: int64 (2,) OUT
    """
    if is_one:
        goes_right[split] = True
    else:
        order = _sorted_categories(sums[0], sums[1], n, units, penalties, most_weight)
        goes_right[order[:split]] = True
    left_sums[:] = missing
    for b in range(n):
        if not goes_right[b]:
            left_sums += sums[:, b]


@njit(nogil=True, cache=True, error_model="numpy")
def best_splits(
    histograms, places, totals, first, last, layout, categories, units, penalties, limits, allowed, gain, feature,
    split, default_left, left_sums, goes_right,
):  # fmt: skip
    """Find the best split of the nodes from first to last.

    Ties go where XGBoost's go: to the lowest feature, then to missing right before missing left, then to the lowest
    bin with missing right and to the highest with missing left.

    histograms: int64 (places, 2, bins), places: int64 (nodes,), totals: int64 (nodes, 2) IN
    layout: (offsets: int64 (features + 1,), n_values: int64 (features,), has_missing: bool (features,)) IN
    categories: (is_category: bool (features,), the number of them below which one is split from the others: int,
        the number that is tried on one side: int) IN
    units: (g, h), floats IN; the value of one step of g and of h
    penalties: (alpha, lambda, least hessian of a child), floats IN
    limits: (largest |weight|: float, bounds: float64 (nodes, 2), direction: int8 (features,), before: float64 (nodes,))
        IN; see `_bounded_gains`; no nodes where weights are not bounded
    allowed: bool (nodes, features) IN; the features that a node may ask for; no nodes where each may ask for all
    gain: float64, feature, split: int32, default_left: bool (nodes,) OUT; feature is -1 where no split gains, and split
        is where the missing go left and all others right
    left_sums: int64 (nodes, 2) OUT
    goes_right: bool (nodes, any) OUT; the categories that go right, where the best split is one of categories
    """
    offsets, n_values, has_missing = layout
    is_category, one_below, most_right = categories
    most_weight, bounds, direction, before = limits
    is_bounded = len(bounds) > 0
    most, found = 2 * n_values.max() + 1, np.zeros(2, np.int64)
    gains, sides = np.empty(most), (np.empty(most), np.empty(most), np.empty(most), np.empty(most))
    for node in range(first, last):
        sums, total = histograms[places[node]], totals[node]
        all_g, all_h = total[0] * units[0], total[1] * units[1]
        low, high = (bounds[node, 0], bounds[node, 1]) if is_bounded else (-np.inf, np.inf)
        leaf = before[node] if is_bounded else _score(all_g, all_h, penalties[0], penalties[1])
        best, feature[node] = 0.0, -1
        for f in range(n_values.shape[0]):
            if len(allowed) and not allowed[node, f]:
                continue
            start, n = offsets[f], n_values[f]
            sums_g, sums_h = sums[0, start : offsets[f + 1]], sums[1, start : offsets[f + 1]]
            limit = (is_bounded, most_weight, low, high, np.float64(direction[f]))
            if not is_category[f]:
                misses = has_missing[f] and (sums_g[n] != 0 or sums_h[n] != 0)
                more = _by_threshold(
                    sums_g, sums_h, n, misses, total, leaf, units, penalties, limit, best, sides, gains, found
                )
            elif n < one_below:
                more = _by_category(sums_g, sums_h, n, total, leaf, units, penalties, limit, best, sides, gains, found)
            else:
                more = _by_set(
                    sums_g, sums_h, n, most_right, total, leaf, units, penalties, limit, best, sides, gains, found
                )
            if more > best:
                best, feature[node] = more, f
                split[node], default_left[node] = found[0], found[1]
        gain[node] = best
        if feature[node] >= 0:
            f = feature[node]
            its = sums[:, offsets[f] : offsets[f + 1]]
            missing = its[:, n_values[f]] if default_left[node] and has_missing[f] else np.zeros(2, np.int64)
            if is_category[f]:
                _send_categories(
                    its, n_values[f], n_values[f] < one_below, split[node], missing, units, penalties, most_weight,
                    goes_right[node], left_sums[node],
                )  # fmt: skip
            else:
                for statistic in range(2):
                    left_sums[node, statistic] = its[statistic, : split[node] + 1].sum() + missing[statistic]
