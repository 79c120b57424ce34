"""Elementary functions made of additions, multiplications and divisions alone, which IEEE 754 fixes to the bit.

A library's exp is not fixed: two machines may differ in its last bit, and two silos must not. Numba only.
"""

from __future__ import annotations

import numpy as np

from fedtrees.core.numeric.compiled import njit

LOG2_E = 1.4426950408889634
LN2_HIGH = 0.6931471803691238
LN2_LOW = 1.9082149292705877e-10
MOST_MARGIN = 80.0  # of a hazard: margins beyond it, either way, count as it


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


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def log(x):
    """Return the natural logarithm of a normal positive x, the same bits on every machine."""
    bits = np.float64(x).view(np.int64)
    k = (bits >> 52) - 1023
    m = np.int64((bits & np.int64(0xFFFFFFFFFFFFF)) | np.int64(0x3FF0000000000000)).view(np.float64)
    if m > 1.4142135623730951:
        m, k = m * 0.5, k + 1
    f = (m - 1.0) / (m + 1.0)
    s = f * f
    # 2 artanh(f) to the 21st power: |f| < 0.172, so what is left out is below 2**-58
    p = 2.0 / 21
    p = p * s + 2.0 / 19
    p = p * s + 2.0 / 17
    p = p * s + 2.0 / 15
    p = p * s + 2.0 / 13
    p = p * s + 2.0 / 11
    p = p * s + 2.0 / 9
    p = p * s + 2.0 / 7
    p = p * s + 2.0 / 5
    p = p * s + 2.0 / 3
    return k * LN2_HIGH + (k * LN2_LOW + (p * s * f + 2.0 * f))


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def log_gamma(x):
    """Return ln(gamma(x)) for x >= 1: Stirling's series, far enough out."""
    shift = 1.0
    while x < 8.0:  # gamma(x) = gamma(x + 1) / x
        shift *= x
        x += 1.0
    z = 1.0 / (x * x)
    series = (((-1.0 / 1680 * z + 1.0 / 1260) * z - 1.0 / 360) * z + 1.0 / 12) / x
    return (x - 0.5) * log(x) - x + 0.9189385332046727 + series - log(shift)
