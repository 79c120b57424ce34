"""Gradients of the losses, row by row, quantised and packed. Numba only; held to naive twins in the tests.

Everything here is made of additions, multiplications and divisions, which IEEE 754 fixes to the bit. The library's exp
is not: two machines may differ in its last bit, and two silos must not.
"""

from __future__ import annotations

import numpy as np
from numba import njit

LOG2_E = 1.4426950408889634
LN2_HIGH = 0.6931471803691238
LN2_LOW = 1.9082149292705877e-10
SMALLEST_HESSIAN = 1e-16


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def exp(x):
    """Return e ** x within 2 units in the last place, the same bits on every machine; x is clipped to +-700."""
    x = min(max(x, -700.0), 700.0)
    k = np.floor(x * LOG2_E + 0.5)
    r = (x - k * LN2_HIGH) - k * LN2_LOW  # Cody and Waite: |r| <= ln(2) / 2
    # Taylor's series to the twelfth power: what is left out is below 2**-52 there
    p = 1.0 / 479001600
    p = p * r + 1.0 / 39916800
    p = p * r + 1.0 / 3628800
    p = p * r + 1.0 / 362880
    p = p * r + 1.0 / 40320
    p = p * r + 1.0 / 5040
    p = p * r + 1.0 / 720
    p = p * r + 1.0 / 120
    p = p * r + 1.0 / 24
    p = p * r + 1.0 / 6
    p = p * r + 0.5
    p = (p * r * r + r) + 1.0  # the large terms last: an error of a sum that is small is small
    power = np.int64((np.int64(k) + 1023) << 52).view(np.float64)
    return p * power


@njit(nogil=True, cache=True, inline="always")
def pack(g, h, scale_g, scale_h):
    """Quantise a row's gradient and hessian and put them in one word."""
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
        own, target, out = margin[0, rows], y[rows], words[0, rows]
        if weight.shape[0] == 1:  # a loop of its own over slices from zero on: it runs in vectors
            w = np.float64(weight[0])
            for i in range(out.shape[0]):
                out[i] = _logistic_row(own[i], target[i], w, scale_g, scale_h)
        else:
            each = weight[rows]
            for i in range(out.shape[0]):
                out[i] = _logistic_row(own[i], target[i], np.float64(each[i]), scale_g, scale_h)


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
def squared(margin, y, weight, ranges, scale_g, scale_h, words):
    """Half the squared error: g = w (margin - y), h = w; arguments as in `logistic`."""
    step = np.int64(weight.shape[0] > 1)
    for r in range(ranges.shape[0]):
        for i in range(ranges[r, 0], ranges[r, 1]):
            w = np.float64(weight[i * step])
            words[0, i] = pack(w * (np.float64(margin[0, i]) - np.float64(y[i])), w, scale_g, scale_h)
