"""The best split of a node by impurity. Numba only; held to a naive twin in the tests.

A node's sums are integers: of classes the weight of each, output after output, and of numbers minus the sum of weighted
targets and the sum of weights, likewise. One step of a sum stands for its entry of ``units``.
"""

from __future__ import annotations

import numpy as np

from fedtrees.core.numeric.compiled import njit
from fedtrees.core.numeric.elementary import log

GINI, ENTROPY, SQUARED, POISSON = range(4)  # of classes, and from SQUARED on, of numbers


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def _mass(kind, sums):
    """Return the mass of a node of these sums: the classes' weights together, or the second of (sum, weight)."""
    if kind >= SQUARED:
        return sums[1]
    total = 0.0
    for value in sums:
        total += value
    return total


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def _log_of_more(x):
    """Return the logarithm of 1 + x, right to the last digits of a small x; Kahan's, see Higham (2002), 1.14.1."""
    more = 1.0 + x
    return x if more == 1.0 else log(more) * (x / (more - 1.0))


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def _between(left, right, first, last, left_mass, right_mass):
    """Return the entropy that a split saves, times masses, in natural units, from the distances of classes' shares."""
    value = 0.0
    for s in range(first, last):
        both = left[s] + right[s]
        if both > 0.0:
            apart, on_left, on_right = left[s] * right_mass - right[s] * left_mass, 0.0, 0.0
            if left[s] > 0.0:
                on_left = left[s] * _log_of_more(apart / (both * left_mass))
            if right[s] > 0.0:
                on_right = right[s] * _log_of_more(-apart / (both * right_mass))
            value += on_left + on_right  # the same where the sides are exchanged
    return value


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def _never_happens(left, right):
    """Return whether a child's targets, whose sums are given with the other sign, are all 0.

    Such a child predicts that nothing ever happens, and any row that is not 0 is infinitely unlikely there: by the
    Poisson deviance it is refused, as in scikit-learn.
    """
    return left >= 0.0 or right >= 0.0


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def _deviance_saved(on_left, on_right, left_mass, right_mass):
    """Return half of the Poisson deviance from the means, which are above 0, that a split saves."""
    apart, both = on_left * right_mass - on_right * left_mass, on_left + on_right
    saved = on_left * _log_of_more(apart / (both * left_mass)) + on_right * _log_of_more(-apart / (both * right_mass))
    return max(saved, 0.0)


@njit(nogil=True, cache=True, error_model="numpy")
def _mean_saved(kind, left, right, left_mass, right_mass, noise):
    """Return the mean of what a split saves each of several outputs; sums stand output after output.

    Of squares it is computed from how far the children's means are apart. -1 where `_never_happens`.
    """
    saved, outputs = 0.0, len(left) // 2
    for k in range(0, len(left), 2):
        if kind == POISSON and _never_happens(left[k], right[k]):
            return -1.0
        left_mean, right_mean = left[k] / left_mass, right[k] / right_mass
        apart = (left_mean - right_mean) * (left_mean - right_mean)
        if not apart > noise * (left_mean * left_mean + right_mean * right_mean):
            continue
        if kind == POISSON:
            saved += _deviance_saved(-left[k], -right[k], left_mass, right_mass)
        else:
            saved += apart * (left_mass * right_mass / (left_mass + right_mass))
    return saved / outputs


@njit(nogil=True, cache=True, error_model="numpy")
def _gain_of_outputs(kind, left, right, least, noise, each):
    """Return the mean of `_gain_of` over outputs of classes; sums behind theirs count rows, and are passed over.

    each: (int, int) IN; the number of outputs, and of classes that each has room for
    """
    left_mass, right_mass, saved = 0.0, 0.0, 0.0
    for s in range(each[1]):  # every output has all rows
        left_mass += left[s]
        right_mass += right[s]
    if left_mass < least or right_mass < least or left_mass <= 0.0 or right_mass <= 0.0:
        return -1.0
    for k in range(each[0]):
        first, last, apart, size = k * each[1], (k + 1) * each[1], 0.0, 0.0
        for s in range(first, last):
            left_share, right_share = left[s] / left_mass, right[s] / right_mass
            apart += (left_share - right_share) * (left_share - right_share)
            size += left_share * left_share + right_share * right_share
        if not apart > noise * size:
            continue
        if kind == ENTROPY:
            saved += max(_between(left, right, first, last, left_mass, right_mass) * 1.4426950408889634, 0.0)
        else:
            saved += apart * (left_mass * right_mass / (left_mass + right_mass))
    return saved / each[0]


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def _in_order(kind, left, total, units, direction, low, high):
    """Return whether children's predictions keep to a monotone feature's direction, and to bounds from further up.

    Of two classes it is the share of the second, and of numbers the mean, as it is in scikit-learn.
    """
    on_left, on_right = left[1] * units[1], (total[1] - left[1]) * units[1]
    if kind >= SQUARED:
        on_left, on_right = -left[0] * units[0] / on_left, -(total[0] - left[0]) * units[0] / on_right
    else:
        on_left /= on_left + left[0] * units[0]
        on_right /= on_right + (total[0] - left[0]) * units[0]
    inside = low <= on_left <= high and low <= on_right <= high
    return inside and (on_right - on_left) * direction >= 0.0


@njit(nogil=True, cache=True, inline="always")
def _classes(sums):
    """Return the number of classes that have any weight."""
    n = 0
    for value in sums:
        n += value != 0
    return n


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def _gain_of(kind, left_real, right_real, least, noise, each):
    """Return the gain where these sums go left, 0 where it is a rounding; -1 where a child is too light or refused.

    Gini impurity is 1 - sum of p ** 2, entropy minus the sum of p log2 p, and of squares the variance; Breiman et al.
    (1984), chapters 4 and 8. What masses times impurities lose by a split is computed from how far the children are
    apart: a difference of impurities would be lost where one child's sums are many times the other's, or far from 0.
    """
    if kind < SQUARED and each[0] > 1:
        return _gain_of_outputs(kind, left_real, right_real, least, noise, each)
    left_mass, right_mass = _mass(kind, left_real), _mass(kind, right_real)
    if left_mass < least or right_mass < least or left_mass <= 0.0 or right_mass <= 0.0:
        return -1.0
    if kind >= SQUARED and len(left_real) > 2:
        return _mean_saved(kind, left_real, right_real, left_mass, right_mass, noise)
    apart, size = 0.0, 0.0  # of the child's mean or shares and the other's, the squared distance, and their squares
    if kind >= SQUARED:
        left_mean, right_mean = left_real[0] / left_mass, right_real[0] / right_mass
        apart = (left_mean - right_mean) * (left_mean - right_mean)
        size = left_mean * left_mean + right_mean * right_mean
    else:
        for s in range(len(left_real)):
            left_share, right_share = left_real[s] / left_mass, right_real[s] / right_mass
            apart += (left_share - right_share) * (left_share - right_share)
            size += left_share * left_share + right_share * right_share
    if kind == POISSON and _never_happens(left_real[0], right_real[0]):
        return -1.0
    if not apart > noise * size:
        return 0.0
    if kind == POISSON:
        return _deviance_saved(-left_real[0], -right_real[0], left_mass, right_mass)
    if kind == ENTROPY:
        return max(
            _between(left_real, right_real, 0, len(left_real), left_mass, right_mass) * 1.4426950408889634, 0.0
        )  # 1 / log(2)
    return apart * (left_mass * right_mass / (left_mass + right_mass))


@njit(nogil=True, cache=True, error_model="numpy")
def _gain(kind, left, total, units, least, noise, each, left_real, right_real):
    """Return `_gain_of` of integer sums. Two of them are a tuple, which stays in registers."""
    if left.shape[0] == 2:
        two = left[0] * units[0], left[1] * units[1]
        return _gain_of(
            kind, two, ((total[0] - left[0]) * units[0], (total[1] - left[1]) * units[1]), least, noise, each
        )
    for s in range(left.shape[0]):
        left_real[s], right_real[s] = left[s] * units[s], (total[s] - left[s]) * units[s]
    return _gain_of(kind, left_real, right_real, least, noise, each)


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def _too_few(left, total, counted, least_rows):
    """Return whether a child has too few rows, where rows count for other than they weigh."""
    on_left, on_right = 0.0, 0.0
    for s in range(left.shape[0]):
        on_left += left[s] * counted[s]
        on_right += (total[s] - left[s]) * counted[s]
    return on_left < least_rows or on_right < least_rows


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def _more_left(kind, left, total, counted):
    """Return whether more rows go left: where none of a node's rows misses the feature, others that do go with them."""
    if kind >= SQUARED:
        return left[1] > total[1] - left[1]  # so written, nothing overflows
    balance = 0.0
    for s in range(left.shape[0]):
        balance += (left[s] - (total[s] - left[s])) * counted[s]
    return balance > 0.0


@njit(nogil=True, cache=True)
def _any_rows(sums, rows):
    """Find the bins that rows are in: few, deep in a tree, where all else is read in vectors.

    sums: int64 (statistics, bins) IN
    rows: int64 (bins,) OUT; 0 where there are none
    """
    rows[:] = sums[0]
    for s in range(1, sums.shape[0]):
        for b in range(rows.shape[0]):
            rows[b] |= sums[s, b]


@njit(nogil=True, cache=True)
def _list_filled(rows, filled):
    """List the bins that rows are in, ascending; return their number."""
    n = np.uint64(0)
    for b in range(rows.shape[0]):
        filled[n] = b  # write first, count after: no branch to miss
        n += np.uint64(rows[b] != 0)
    return np.int64(n)


@njit(nogil=True, cache=True, error_model="numpy")
def _bin_below(middles, value, low, high):
    """Return the last bin, from low to high - 1, left of a threshold: of bins up to ``value``, and low in any case.

    Values stand in the middle of what their bin holds, the outer bins' too, which have no cut on their other side: a
    column whose sign is changed is cut where it was.
    """
    b = low
    while b < high - 1 and middles[b + 1] <= value:
        b += 1
    return b


@njit(nogil=True, cache=True, error_model="numpy")
def _only(filled, chance, middles):
    """Return the one threshold that may be tried, -1 for none: where a number drawn between the rows' values falls.

    filled: int64 (any,) IN; the feature's bins that rows are in
    middles: float64 (bins,) IN; of what the feature's bins hold
    """
    if filled.shape[0] < 2:
        return -1
    low, high = filled[0], filled[-1]
    return _bin_below(middles, middles[low] + chance * (middles[high] - middles[low]), low, high)


@njit(nogil=True, cache=True, error_model="numpy")
def _by_feature(
    kind, sums, n, filled, misses, total, units, least, counted, least_rows, noise, each, chance, order, middles, best,
    found, scratch,
):  # fmt: skip
    """Find the first of a feature's splits that gain most, of those that gain more than ``best``.

    Of the bins that part the node's rows alike, that is taken in which the middle between the rows' values falls, and
    the last where only the missing lie beyond.

    sums: int64 (statistics, bins) IN; the missing, where there are any, at n
    filled: int64 (any,) IN; the bins that rows are in but for the missing, ascending
    chance: float IN; below 0 where every threshold is tried, else the place of the one that is, from 0 to 1
    order: (int, float, float) IN; see `_in_order`, 0 where children may stand in any order
    middles: float64 (bins,) IN; of what the feature's bins hold
    found: int64 (2,) OUT; the bin, and whether the missing go left
    Returns the gain; ``best`` where none gains more.
    """
    # one block of scratch memory, as integers and as floats: sums of what goes left, and both children's real numbers
    left, left_real, right_real = scratch[0], scratch[1].view(np.float64), scratch[2].view(np.float64)
    only, last = _only(filled, chance, middles) if chance >= 0.0 else -1, filled.shape[0] - 1
    best_k = -1
    for missing_left in range(2 if misses else 1):
        for s in range(left.shape[0]):
            left[s] = sums[s, n] if missing_left else 0
        for k in range(last + 1 if misses and not missing_left else last):
            for s in range(left.shape[0]):
                left[s] += sums[s, filled[k]]
            if chance >= 0.0 and k < last and not filled[k] <= only < filled[k + 1]:
                continue
            if counted.shape[0] and _too_few(left, total, counted, least_rows):
                continue
            if order[0] != 0 and not _in_order(kind, left, total, units, order[0], order[1], order[2]):
                continue
            value = _gain(kind, left, total, units, least, noise, each, left_real, right_real)
            if value > best:
                best, best_k, found[1] = value, k, missing_left
    if best_k == last:
        found[0] = n - 1
    elif best_k >= 0:
        low, high = filled[best_k], filled[best_k + 1]
        found[0] = only if chance >= 0.0 else _bin_below(middles, middles[low] / 2 + middles[high] / 2, low, high)
    return best


@njit(nogil=True, cache=True, error_model="numpy")
def best_splits(
    kind, each, histograms, starts, totals, first, last, layout, units, noise, least, counted, least_rows, columns,
    allowed, chance, direction, bounds, gain, feature, split, default_left, left_sums,
):  # fmt: skip
    """Find the best split of the nodes from first to last.

    Ties go to the lowest feature, then to missing right before missing left, then to the lowest bin; of bins that part
    the node's rows alike, that is taken in which the middle between them falls, as unseen rows may lie there.

    kind: GINI, ENTROPY, SQUARED or POISSON, each: (int, int) IN; as in `_gain_of_outputs`
    histograms: int64 (any,), starts: int64 (nodes,) IN; from its start on, a node's (statistics, bins of its features)
    totals: int64 (nodes, statistics) IN
    layout: (offsets: int64 (features + 1,), n_values: int64 (features,), has_missing: bool (features,),
        middles: float64 (any,), ends: int64 (features + 1,)) IN; the last two are of values, see `Cuts`
    units: float64 (statistics,) IN; the value of one step of each sum
    noise: float IN; a squared distance between children is a rounding below this share of their squares
    least: float64 (nodes,) IN; the least weight of each child
    counted: float64 (statistics,) IN; the rows that one step of each sum counts; none where ``least`` is enough
    least_rows: float64 (nodes,) IN; the least number of rows of each child
    columns: int64 (nodes, any) IN; the features that a node's histogram has, ascending; no nodes where it has all
    allowed: bool (nodes, features) IN; no nodes where each may ask for all
    chance: float64 (nodes, features) IN; see `split.Limits`; no nodes where every threshold is tried
    direction: int8 (features,) IN; see `split.Limits`; no features where none is monotone
    bounds: float64 (nodes, 2) IN; the least and the most that children of a monotone feature may predict
    gain: float64, feature, split: int32, default_left: bool (nodes,) OUT; feature is -1 where no split gains, and the
        missing go where more rows do where there are none
    left_sums: int64 (nodes, statistics) OUT
    """
    offsets, n_values, has_missing, middles, ends = layout
    found, scratch = np.zeros(2, np.int64), np.zeros((3, totals.shape[1]), np.int64)
    any_rows, filled = np.zeros(offsets[-1], np.int64), np.zeros(offsets[-1], np.int64)
    n_columns = columns.shape[1] if len(columns) else len(n_values)
    for node in range(first, last):
        total, width = totals[node], np.int64(0)
        for place in range(n_columns):
            f = columns[node, place] if len(columns) else place
            width += offsets[f + 1] - offsets[f]
        sums = histograms[starts[node] : starts[node] + len(total) * width].reshape(len(total), width)
        rows = any_rows[:width]
        _any_rows(sums, rows)
        best_at, end, feature[node] = np.int64(0), np.int64(0), -1
        # a node of several classes, or of numbers that may differ, is split even where nothing is gained yet, as below
        # it something may be
        best = -1.0 if kind >= SQUARED or _classes(total) > len(total) // each[1] else 0.0
        for place in range(n_columns):
            f = columns[node, place] if len(columns) else place
            at, end = end, end + offsets[f + 1] - offsets[f]
            if len(allowed) and not allowed[node, f]:
                continue
            n, bins = n_values[f], sums[:, at:end]
            misses = has_missing[f] and rows[at + n] != 0
            there = filled[: _list_filled(rows[at : at + n], filled)]
            which = chance[node, f] if len(chance) else -1.0
            order = (direction[f], bounds[node, 0], bounds[node, 1]) if len(direction) else (np.int8(0), 0.0, 0.0)
            more = _by_feature(
                kind, bins, n, there, misses, total, units, least[node], counted, least_rows[node], noise, each,
                which, order, middles[ends[f] : ends[f + 1]], best, found, scratch,
            )  # fmt: skip
            if more > best:
                best, best_at, feature[node] = more, at, f
                split[node], default_left[node] = found
        gain[node] = max(best, 0.0)
        if feature[node] >= 0:
            n = n_values[feature[node]]
            for s in range(total.shape[0]):
                left_sums[node, s] = sums[s, best_at : best_at + split[node] + 1].sum()
                if default_left[node] and has_missing[feature[node]]:
                    left_sums[node, s] += sums[s, best_at + n]
            if not (has_missing[feature[node]] and rows[best_at + n] != 0):
                default_left[node] = _more_left(kind, left_sums[node], total, counted if len(counted) else units)
