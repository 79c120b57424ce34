"""Gradients of the losses, row by row, quantised and packed. Numba only; held to naive twins in the tests.

Everything here is made of additions, multiplications, divisions and square roots, which IEEE 754 fixes to the bit, and
of `core.numeric.elementary`, which is made of them.
"""

from __future__ import annotations

import numpy as np

from fedtrees.core.numeric.compiled import njit
from fedtrees.core.numeric.elementary import exp, log
from fedtrees.core.numeric.float_keys import key_of

SMALLEST_HESSIAN = 1e-16
SMALLEST_FLOAT = 1.1754943508222875e-38  # a float32's: to XGBoost, less is 0
LEAST_LOG_MARGIN = -1.0 + 1e-6  # XGBoost's: to reg:squaredlogerror, a lower margin is this one

# losses of one margin per row
LOGISTIC, HINGE, SQUARED, SQUARED_LOG, PSEUDO_HUBER, POISSON, GAMMA, TWEEDIE, ABSOLUTE, QUANTILE = range(10)


@njit(nogil=True, cache=True, inline="always")
def pack(g, h, scale_g, scale_h):
    """Quantise a row's gradient and hessian and put them in one word, the gradient in the upper half."""
    return (np.int64(np.rint(g * scale_g)) << np.int64(32)) + np.int64(np.rint(h * scale_h))


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def _logistic_row(margin, y, w, scale_g, scale_h):
    p = 1.0 / (1.0 + exp(-np.float64(margin)))
    return pack(w * (p - y), w * max(p * (1.0 - p), SMALLEST_HESSIAN), scale_g, scale_h)


@njit(nogil=True, cache=True, error_model="numpy")
def logistic(margin, y, weight, ranges, scale_g, scale_h, words):
    """Binary cross-entropy of a sigmoid: g = w (p - y), h = w p (1 - p).

    margin: float32 (1, rows), y: float32 (rows,) IN
    weight: float32 (rows,) or (1,) IN; one weight for all where there is one
    ranges: int64 (ranges, 2) IN; the rows to do
    words: int64 (1, rows) OUT
    """
    for r in range(ranges.shape[0]):
        rows = slice(ranges[r, 0], ranges[r, 1])
        margins, target, out = margin[0, rows], y[rows], words[0, rows]
        if weight.shape[0] == 1:  # a separate loop, over slices from zero on: it runs in vectors
            w = np.float64(weight[0])
            for i in range(out.shape[0]):
                out[i] = _logistic_row(margins[i], target[i], w, scale_g, scale_h)
        else:
            weights = weight[rows]
            for i in range(out.shape[0]):
                out[i] = _logistic_row(margins[i], target[i], np.float64(weights[i]), scale_g, scale_h)


@njit(nogil=True, cache=True, error_model="numpy")
def softmax(margin, y, weight, ranges, scale_g, scale_h, words):
    """Cross-entropy of a softmax: g = w (p - [y = k]), h = 2 w p (1 - p), as XGBoost has it.

    margin: float32 (classes, rows), words: int64 (classes, rows); others as in `logistic`
    """
    classes, step = margin.shape[0], np.int64(weight.shape[0] > 1)
    power = np.empty(classes, np.float64)
    for r in range(ranges.shape[0]):
        for i in range(ranges[r, 0], ranges[r, 1]):
            largest = np.float64(margin[0, i])
            for k in range(1, classes):
                largest = max(largest, np.float64(margin[k, i]))
            total = 0.0
            for k in range(classes):
                power[k] = exp(np.float64(margin[k, i]) - largest)
                total += power[k]
            w = np.float64(weight[i * step])
            for k in range(classes):
                p = power[k] / total
                g = p - 1.0 if y[i] == k else p
                words[k, i] = pack(w * g, w * max(2.0 * p * (1.0 - p), SMALLEST_HESSIAN), scale_g, scale_h)


@njit(nogil=True, cache=True, error_model="numpy")
def softmax_statistics(margin, y, weight, ranges, g, h):
    """Compute gradients and hessians as `softmax` does, before any rounding.

    g, h: float64 (classes, rows) OUT; others as in `softmax`
    """
    classes, step = margin.shape[0], np.int64(weight.shape[0] > 1)
    for r in range(ranges.shape[0]):
        for i in range(ranges[r, 0], ranges[r, 1]):
            largest = np.float64(margin[:, i].max())
            total = 0.0
            for k in range(classes):
                g[k, i] = exp(np.float64(margin[k, i]) - largest)
                total += g[k, i]
            w = np.float64(weight[i * step])
            for k in range(classes):
                p = g[k, i] / total
                g[k, i] = w * (p - 1.0 if y[i] == k else p)
                h[k, i] = w * max(2.0 * p * (1.0 - p), SMALLEST_HESSIAN)


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def _row(kind, a, p, y):
    """Return the gradient and hessian of a row of weight 1, at margin p; a is the loss's parameter."""
    if kind == LOGISTIC:
        q = 1.0 / (1.0 + exp(-p))
        g, h = q - y, max(q * (1.0 - q), SMALLEST_HESSIAN)
    elif kind == HINGE:
        sign = 2.0 * y - 1.0
        within = p * sign < 1.0
        g, h = (-sign, 1.0) if within else (0.0, SMALLEST_FLOAT)
    elif kind == SQUARED:
        g, h = p - y, 1.0
    elif kind == SQUARED_LOG:
        q = max(p, LEAST_LOG_MARGIN) + 1.0
        over = log(q) - log(1.0 + y)
        g, h = over / q, max((1.0 - over) / (q * q), 1e-6)
    elif kind == PSEUDO_HUBER:
        z = p - y
        root = np.sqrt(1.0 + (z / a) * (z / a))
        g, h = z / root, 1.0 / (root * root * root)
    elif kind == POISSON:
        g, h = exp(p) - y, exp(p + a)
    elif kind == GAMMA:
        ratio = y * exp(-p)
        g, h = 1.0 - ratio, ratio
    elif kind == TWEEDIE:
        less, more = y * exp((1.0 - a) * p), exp((2.0 - a) * p)
        g, h = more - less, (a - 1.0) * less + (2.0 - a) * more
    elif kind == ABSOLUTE:
        g, h = np.float64(p > y) - np.float64(p < y), 1.0
    else:  # QUANTILE
        g = 1.0 - a if p >= y else -a  # as in XGBoost, where y is p, too
        h = 1.0
    return g, h


@njit(nogil=True, cache=True, error_model="numpy")
def statistics(kind, parameter, margin, y, weight, ranges, g, h):
    """Compute gradients and hessians, weights included, before any rounding.

    kind: int IN; one of the codes above
    parameter: float IN; max_delta_step, huber_slope, tweedie_variance_power or quantile_alpha, as the loss has it
    margin: float32 (rows,) IN; y, weight, ranges: as in `logistic`
    g, h: float64 (rows,) OUT
    """
    step = np.int64(weight.shape[0] > 1)
    for r in range(ranges.shape[0]):
        for i in range(ranges[r, 0], ranges[r, 1]):
            w = np.float64(weight[i * step])
            slope, bend = _row(kind, parameter, np.float64(margin[i]), np.float64(y[i]))
            g[i], h[i] = w * slope, w * bend if bend >= SMALLEST_FLOAT else 0.0


@njit(nogil=True, cache=True)
def pack_statistics(g, h, ranges, scale_g, scale_h, most, least, digits, below, words):
    """Quantise gradients and hessians to one of the words that hold their digits.

    g, h: float64 (rows,), ranges: int64 (ranges, 2) IN
    scale_g, scale_h: float IN; of the gradient scale, with its digits beyond one word's
    most: float IN; the largest rounded gradient: rows of nodes that are not asked for may have larger ones
    least: (int, int) IN; the least magnitude that a gradient below 0, and a hessian above 0, is rounded to: with 1, no
        row loses its events, or its weight
    digits: int IN; of the word, from 0 to 2**digits - 1; 0 for the highest word, which has all that are left and is
        rounded down
    below: int IN; the digits that go to words below this one
    words: int64 (rows,) OUT
    """
    # digits are cut off by shifts, which round down below 0, too: the words of a number add up to it again
    half, shift = np.int64(32), np.int64(below)
    mask = (np.int64(1) << np.int64(digits)) - np.int64(1) if digits else np.int64(-1)
    for r in range(ranges.shape[0]):
        for i in range(ranges[r, 0], ranges[r, 1]):
            whole_g = np.int64(min(max(np.rint(g[i] * scale_g), -most), most))
            whole_h = np.int64(np.rint(h[i] * scale_h))
            if g[i] < 0.0:
                whole_g = min(whole_g, -least[0])
            if h[i] > 0.0:
                whole_h = max(whole_h, least[1])
            words[i] = (((whole_g >> shift) & mask) << half) + ((whole_h >> shift) & mask)


@njit(nogil=True, cache=True)
def count_exponents(values, times, ranges, lowest, out):
    """Count values by the exponents that bound them, as `exponent_counts` does; return whether all have one.

    values: float64 (rows,), ranges: int64 (ranges, 2) IN
    times: int64 (rows,) or (1,) IN; the number of times that each counts
    lowest: int IN; the first exponent
    out: int64 (exponents,) OUT, added to
    """
    fine, step = True, np.int64(times.shape[0] > 1)
    for r in range(ranges.shape[0]):
        for i in range(ranges[r, 0], ranges[r, 1]):
            # the exponent field of IEEE 754, one up where any digit of the fraction is set
            bits = np.float64(values[i]).view(np.int64)
            whole = (bits & np.int64(0xFFFFFFFFFFFFF)) == 0  # a power of two bounds itself
            exponent = ((bits >> np.int64(52)) & np.int64(0x7FF)) - np.int64(1023) + np.int64(not whole)
            at = max(exponent - lowest, np.int64(0))
            if at < out.shape[0]:
                out[at] += times[i * step]
            else:
                fine = False
    return fine


@njit(nogil=True, cache=True)
def count_residuals(y, margin, counts, node, ranges, slot_of, low, log_keys, log_child, out):
    """Count rows' residuals, leaf by leaf, in equal children of two intervals of keys per leaf.

    y, margin: float32 (rows,) IN; keys are those of ``y - margin``, see `core.numeric.float_keys.key_of`
    counts: int64 (rows,) or (1,) IN; the number of times that each row counts
    node: uint32 (rows,) IN; the leaf that a row is in
    ranges: int64 (ranges, 2) IN; the rows to do
    slot_of: int32 (nodes,) IN; the place of a leaf's intervals, -1 for none
    low: uint32 (leaves, 2) IN; where the intervals start
    log_keys, log_child: int IN; an interval has 2**log_keys keys, a child 2**log_child
    out: int64 (leaves, 2, children) OUT, added to
    """
    step, keys = np.int64(counts.shape[0] > 1), np.int64(1) << np.int64(log_keys)
    # a float32 and its bits, in the same memory
    one = np.empty(1, np.float32)
    bits = one.view(np.uint32)
    for r in range(ranges.shape[0]):
        for i in range(ranges[r, 0], ranges[r, 1]):
            slot = slot_of[node[i]]
            if slot >= 0:
                one[0] = y[i] - margin[i]
                key = np.int64(key_of(bits[0]))
                for side in range(2):
                    offset = key - np.int64(low[slot, side])
                    if 0 <= offset < keys:
                        out[slot, side, offset >> np.int64(log_child)] += counts[i * step]
