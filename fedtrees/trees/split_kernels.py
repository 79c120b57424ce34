"""Kernels of the server: children by subtraction, and the best split of a node. Each has a naive twin in the tests."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def divide(histograms, parents, built, free, first, last):
    """Put built children on the shelf, and leave of each parent what is its other child's.

    histograms: int64 (places, 2, bins) IN OUT
    parents, free: int64 (pairs,) IN; the places of the parents, and those for the built children, all distinct
    built: int64 (pairs, 2, bins) IN
    first, last: pairs to do IN
    """
    for pair in range(first, last):
        parent, child, own = histograms[parents[pair]], histograms[free[pair]], built[pair]
        for statistic in range(2):
            for b in range(own.shape[1]):
                child[statistic, b] = own[statistic, b]
                parent[statistic, b] -= own[statistic, b]


@njit(nogil=True, cache=True, error_model="numpy")
def _score(g, h, alpha, reg_lambda):
    """Equation 6 of Chen and Guestrin (2016), with the soft threshold of an L1 penalty."""
    g = max(abs(g) - alpha, 0.0)
    return g * g / (h + reg_lambda) if h > 0 else 0.0


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def _gains(left_g, left_h, more_g, more_h, all_g, all_h, alpha, reg_lambda, min_child, parent, out):
    """Equation 7 of Chen and Guestrin (2016), twice, of each way to part a node; -1 where a child is too light.

    What goes left is ``left`` and ``more``. One loop without branches over plain floats: it runs in vectors.
    """
    for b in range(out.shape[0]):
        gl, hl = left_g[b] + more_g, left_h[b] + more_h
        gr, hr = all_g - gl, all_h - hl
        light = (hl < min_child) | (hr < min_child) | (hl <= 0.0) | (hr <= 0.0)
        gl, gr = max(abs(gl) - alpha, 0.0), max(abs(gr) - alpha, 0.0)
        hl, hr = hl + reg_lambda, hr + reg_lambda
        both = 1.0 if light else hl * hr
        value = (gl * gl * hr + gr * gr * hl) / both - parent
        out[b] = -1.0 if light else value


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def _bounded_gains(left_g, left_h, more_g, more_h, all_g, all_h, alpha, reg_lambda, min_child, bounds, before, out):
    """`_gains` where weights are bounded, as XGBoost has them: -(2 g w + (h + lambda) w ** 2) of each child.

    bounds: (most, low, high, direction) IN; the largest |weight|, the node's own bounds, and whether the left weight
        must not be above the right one (1), below it (-1), or may be either (0)
    before: float IN; the same of the node itself
    """
    most, low, high, direction = bounds
    for b in range(out.shape[0]):
        gl, hl = left_g[b] + more_g, left_h[b] + more_h
        gr, hr = all_g - gl, all_h - hl
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
def best_splits(
    histograms, places, totals, first, last, layout, units, penalties, limits, allowed, gain, feature, split,
    default_left, left_sums,
):  # fmt: skip
    """Find the best split of the nodes from first to last.

    Ties go where XGBoost's go: to the lowest feature, then to missing right before missing left, then to the lowest
    bin with missing right and to the highest with missing left.

    histograms: int64 (places, 2, bins), places: int64 (nodes,), totals: int64 (nodes, 2) IN
    layout: (offsets: int64 (features + 1,), n_values: int64 (features,), has_missing: bool (features,)) IN
    units: (g, h), floats IN; what one step of g and of h stands for
    penalties: (alpha, lambda, least hessian of a child), floats IN
    limits: (largest |weight|: float, bounds: float64 (nodes, 2), direction: int8 (features,), before: float64 (nodes,))
        IN; see `_bounded_gains`; no nodes where weights are not bounded
    allowed: bool (nodes, features) IN; the features that a node may ask for; no nodes where each may ask for all
    gain: float64, feature, split: int32, default_left: bool (nodes,) OUT; feature is -1 where no split gains, and split
        is where the missing go left and all others right
    left_sums: int64 (nodes, 2) OUT
    """
    offsets, n_values, has_missing = layout
    unit_g, unit_h = units
    alpha, reg_lambda, min_child = penalties
    most_weight, bounds, direction, before = limits
    most = n_values.max()
    left_g, left_h, gains, none = np.empty(most), np.empty(most), np.empty(max(most, 1)), np.zeros(1)
    for node in range(first, last):
        own, all_g, all_h = histograms[places[node]], totals[node, 0] * unit_g, totals[node, 1] * unit_h
        parent = before[node] if len(bounds) else _score(all_g, all_h, alpha, reg_lambda)
        best, feature[node] = 0.0, -1
        for f in range(n_values.shape[0]):
            if len(allowed) and not allowed[node, f]:
                continue
            start, n = offsets[f], n_values[f]
            own_g, own_h = own[0, start : offsets[f + 1]], own[1, start : offsets[f + 1]]
            misses = has_missing[f] and (own_g[n] != 0 or own_h[n] != 0)
            g, h = np.int64(0), np.int64(0)
            for b in range(n):
                g += own_g[b]
                h += own_h[b]
                left_g[b], left_h[b] = g * unit_g, h * unit_h
            # missing right; at the last bin, the present from the missing
            ways = gains[: n if misses else max(n - 1, 0)]
            if len(bounds):
                own_bounds = (most_weight, bounds[node, 0], bounds[node, 1], np.float64(direction[f]))
                _bounded_gains(
                    left_g, left_h, 0.0, 0.0, all_g, all_h, alpha, reg_lambda, min_child, own_bounds, parent, ways
                )
            else:
                _gains(left_g, left_h, 0.0, 0.0, all_g, all_h, alpha, reg_lambda, min_child, parent, ways)
            for b in range(ways.shape[0]):
                if ways[b] > best:
                    best, feature[node], split[node], default_left[node] = ways[b], f, b, False
            if misses:
                ways = gains[: max(n - 1, 0)]
                more_g, more_h = own_g[n] * unit_g, own_h[n] * unit_h
                if len(bounds):
                    own_bounds = (most_weight, bounds[node, 0], bounds[node, 1], np.float64(direction[f]))
                    _bounded_gains(
                        left_g, left_h, more_g, more_h, all_g, all_h, alpha, reg_lambda, min_child, own_bounds, parent,
                        ways,
                    )  # fmt: skip
                else:
                    _gains(left_g, left_h, more_g, more_h, all_g, all_h, alpha, reg_lambda, min_child, parent, ways)
                for b in range(ways.shape[0] - 1, -1, -1):
                    if ways[b] > best:
                        best, feature[node], split[node], default_left[node] = ways[b], f, b, True
                if len(bounds) and direction[f] != 0:
                    # the missing from the present: the other way about, the weights may stand the wrong way
                    own_bounds = (most_weight, bounds[node, 0], bounds[node, 1], np.float64(direction[f]))
                    _bounded_gains(
                        none, none, more_g, more_h, all_g, all_h, alpha, reg_lambda, min_child, own_bounds, parent,
                        gains[:1],
                    )  # fmt: skip
                    if gains[0] > best:
                        best, feature[node], split[node], default_left[node] = gains[0], f, -1, True
        gain[node] = best
        if feature[node] >= 0:
            start, n = offsets[feature[node]], n_values[feature[node]]
            for statistic in range(2):
                values = own[statistic, start : start + split[node] + 1]
                left_sums[node, statistic] = values.sum() + (own[statistic, start + n] if default_left[node] else 0)
