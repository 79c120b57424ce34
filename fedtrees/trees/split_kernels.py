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


@njit(nogil=True, cache=True, error_model="numpy")
def best_splits(
    histograms, places, totals, first, last, offsets, n_values, has_missing, unit_g, unit_h, alpha, reg_lambda,
    min_child, gain, feature, split, default_left, left_sums,
):  # fmt: skip
    """Find the best split of the nodes from first to last.

    Ties go where XGBoost's go: to the lowest feature, then to missing right before missing left, then to the lowest
    bin with missing right and to the highest with missing left.

    histograms: int64 (places, 2, bins), places: int64 (nodes,), totals: int64 (nodes, 2) IN
    offsets: int64 (features + 1,), n_values: int64 (features,), has_missing: bool (features,) IN
    unit_g, unit_h: float IN; what one step of g and of h stands for
    gain: float64, feature, split: int32, default_left: bool (nodes,) OUT; feature is -1 where no split gains
    left_sums: int64 (nodes, 2) OUT
    """
    most = n_values.max()
    left_g, left_h, gains = np.empty(most), np.empty(most), np.empty(most)
    for node in range(first, last):
        own, all_g, all_h = histograms[places[node]], totals[node, 0] * unit_g, totals[node, 1] * unit_h
        parent = _score(all_g, all_h, alpha, reg_lambda)
        best, feature[node] = 0.0, -1
        for f in range(n_values.shape[0]):
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
            _gains(left_g, left_h, 0.0, 0.0, all_g, all_h, alpha, reg_lambda, min_child, parent, ways)
            for b in range(ways.shape[0]):
                if ways[b] > best:
                    best, feature[node], split[node], default_left[node] = ways[b], f, b, False
            if misses:
                ways = gains[: max(n - 1, 0)]
                more_g, more_h = own_g[n] * unit_g, own_h[n] * unit_h
                _gains(left_g, left_h, more_g, more_h, all_g, all_h, alpha, reg_lambda, min_child, parent, ways)
                for b in range(ways.shape[0] - 1, -1, -1):
                    if ways[b] > best:
                        best, feature[node], split[node], default_left[node] = ways[b], f, b, True
        gain[node] = best
        if feature[node] >= 0:
            start, n = offsets[feature[node]], n_values[feature[node]]
            for statistic in range(2):
                values = own[statistic, start : start + split[node] + 1]
                left_sums[node, statistic] = values.sum() + (own[statistic, start + n] if default_left[node] else 0)
