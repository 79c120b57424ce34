"""Densities and distribution functions, of the operations that `elementary` is made of: machines agree on them."""

from __future__ import annotations

from fedtrees.core.numeric.compiled import njit
from fedtrees.core.numeric.elementary import exp

NORMAL, LOGISTIC, EXTREME = range(3)
DISTRIBUTIONS = {"normal": NORMAL, "logistic": LOGISTIC, "extreme": EXTREME}

FAR = 300.0  # powers of e to twice as much are floats
LEAST_POWER = -700.0  # that `core.numeric.elementary.exp` raises e to

ROOT_TWO = 1.4142135623730951
ROOT_PI = 1.772453850905516
ROOT_TWO_PI = 2.5066282746310002


@njit(nogil=True, cache=True, error_model="numpy")
def erf(x):
    """Return the error function within 4e-16."""
    size = abs(x)
    if size > 6.0:
        return 1.0 if x > 0.0 else -1.0
    square = size * size
    if size < 2.5:  # 2 / sqrt(pi) exp(-x**2) times a series of positive terms: nothing cancels
        term, total = size, size
        for k in range(1, 60):
            term *= 2.0 * square / (2.0 * k + 1.0)
            total += term
        value = 2.0 / ROOT_PI * exp(-square) * total
    else:  # one less exp(-x**2) / sqrt(pi) times a continued fraction, from its far end
        fraction = size
        for k in range(60, 0, -1):
            fraction = size + (0.5 * k) / fraction
        value = 1.0 - exp(-square) / (ROOT_PI * fraction)
    return value if x > 0.0 else -value


@njit(nogil=True, cache=True, error_model="numpy")
def distribution(kind, z):
    """Return the distribution function at z, the density, and the density's first and second derivative."""
    if kind == NORMAL:
        density = exp(-z * z / 2.0) / ROOT_TWO_PI
        return 0.5 * (1.0 + erf(z / ROOT_TWO)), density, -z * density, (z * z - 1.0) * density
    w = exp(z)
    if z > FAR or (kind == EXTREME and w > -LEAST_POWER):  # all lies below, and what follows would overflow
        return 1.0, 0.0, 0.0, 0.0
    if kind == LOGISTIC:
        one = 1.0 + w
        below = w / one
        density = below / one
        return below, density, density * (1.0 - w) / one, density * ((w - 4.0) * w + 1.0) / (one * one)
    density = w * exp(-w)
    return 1.0 - exp(-w), density, (1.0 - w) * density, ((w - 3.0) * w + 1.0) * density
