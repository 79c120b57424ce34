"""Row statistics where classes' weights, or reweighed targets, are summed. Numba only; held to twins in the tests.

Additions, multiplications, divisions and `core.numeric.elementary` alone, so that machines agree.
"""

from __future__ import annotations

import numpy as np

from fedtrees.core.numeric.compiled import njit
from fedtrees.core.numeric.elementary import exp


@njit(nogil=True, cache=True, error_model="numpy")
def class_weights(margin, y, weight, ranges, even, odd):
    """Put each row's weight where the sum of its class stands.

    Classes stand in pairs, one word for both: those of even places in its half for gradients, those of odd ones in its
    half for hessians. A row has weight in one half alone.

    margin: float32 (rows,) IN; the logarithm of what the weight is multiplied by
    y: float32 (rows,) IN; places of classes
    weight: float32 (rows,) or (1,), ranges: int64 (ranges, 2) IN
    even, odd: float64 (rows,) OUT; the weight where the class's place is even, or odd, and 0 in the other
    """
    step = np.int64(weight.shape[0] > 1)
    for r in range(ranges.shape[0]):
        for i in range(ranges[r, 0], ranges[r, 1]):
            w = np.float64(weight[i * step])
            if margin[i] != 0.0:
                w *= exp(np.float64(margin[i]))
            is_odd = np.int64(y[i]) % 2 == 1
            even[i], odd[i] = (0.0, w) if is_odd else (w, 0.0)


@njit(nogil=True, cache=True, error_model="numpy")
def weighted_squares(margin, y, weight, ranges, g, h):
    """Compute gradients and hessians of squared errors at a margin of 0, of rows whose weights are multiplied.

    margin, weight, ranges: as in `class_weights`; y: float32 (rows,) IN
    g, h: float64 (rows,) OUT
    """
    step = np.int64(weight.shape[0] > 1)
    for r in range(ranges.shape[0]):
        for i in range(ranges[r, 0], ranges[r, 1]):
            h[i] = np.float64(weight[i * step]) * exp(np.float64(margin[i]))
            g[i] = -h[i] * np.float64(y[i])


@njit(nogil=True, cache=True, error_model="numpy")
def reweigh_classes(predicted, y, ranges, steps, margin):
    """Move the logarithms of weights by one step where the right class is predicted, and by another where it is not.

    predicted, y: float32 (rows,), ranges: int64 (ranges, 2), steps: float32 (2,) IN
    margin: float32 (rows,) IN OUT
    """
    for r in range(ranges.shape[0]):
        for i in range(ranges[r, 0], ranges[r, 1]):
            margin[i] += steps[0] if predicted[i] == y[i] else steps[1]


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def loss_of_error(predicted, y, largest, kind):
    """Return AdaBoost.R2's loss of a row: linear (0), square (1) or exponential (2), from 0 to 1."""
    share = min(abs(np.float64(predicted) - np.float64(y)) / largest, 1.0) if largest > 0.0 else 0.0
    if kind == 1:
        return share * share
    return 1.0 - exp(-share) if kind == 2 else share


@njit(nogil=True, cache=True, error_model="numpy")
def reweigh_numbers(predicted, y, ranges, steps, margin):
    """Move the logarithms of weights by less, the larger a row's loss.

    predicted, y: float32 (rows,), ranges: int64 (ranges, 2) IN
    steps: float32 (4,) IN; the largest error, the kind of loss, the step of rows without loss, and the step of all rows
    margin: float32 (rows,) IN OUT
    """
    largest, kind = np.float64(steps[0]), np.int64(steps[1])
    for r in range(ranges.shape[0]):
        for i in range(ranges[r, 0], ranges[r, 1]):
            lost = loss_of_error(predicted[i], y[i], largest, kind)
            margin[i] += np.float32(np.float64(steps[2]) * (1.0 - lost) + np.float64(steps[3]))


@njit(nogil=True, cache=True, error_model="numpy")
def weighted_losses(predicted, y, weight, largest, kind, out):
    """Compute AdaBoost.R2's losses of rows, times their weights; see `loss_of_error`.

    predicted, y: float32 (rows,), weight: float64 (rows,), largest: float, kind: int IN
    out: float64 (rows,) OUT
    """
    for i in range(out.shape[0]):
        out[i] = weight[i] * loss_of_error(predicted[i], y[i], largest, kind)
