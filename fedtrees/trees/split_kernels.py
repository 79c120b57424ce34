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
    histograms, places, totals, first, last, offsets, n_values, has_missing, unit_g, unit_h, alpha, reg_lambda, min_child,
    gain, feature, split, default_left, left_sums,
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
    for node in range(first, last):
        own, all_g, all_h = histograms[places[node]], totals[node, 0], totals[node, 1]
        parent = _score(all_g * unit_g, all_h * unit_h, alpha, reg_lambda)
        best = 0.0
        feature[node] = -1
        for f in range(n_values.shape[0]):
            start, n = offsets[f], n_values[f]
            own_g, own_h = own[0, start : offsets[f + 1]], own[1, start : offsets[f + 1]]
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
