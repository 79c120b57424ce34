"""Gradients of losses of times, row by row. Numba only; held to XGBoost and to finite differences in the tests."""

from __future__ import annotations

import numpy as np

from fedtrees.core.numeric.compiled import njit
from fedtrees.core.numeric.distributions import LOGISTIC, NORMAL, distribution
from fedtrees.core.numeric.elementary import MOST_MARGIN, exp, log

# XGBoost's limits
MOST = 15.0  # of a gradient and a hessian
LEAST_HESSIAN = 1e-16
MOST_QUOTIENT = 1e300  # beyond it, a quotient is of zero by zero, or nearly so

KNOWN, RIGHT, LEFT, BETWEEN = range(4)  # what is known of a time: itself, a lower bound, an upper bound, or both


@njit(nogil=True, cache=True, inline="always")
def _far_gradient(kind, known, above, scale):
    """Return the limit of a gradient where the margin is far from the time; ``above`` is where the time is larger."""
    if (known == RIGHT and not above) or (known == LEFT and above):
        return 0.0
    if above:
        return -1.0 / scale if kind == LOGISTIC else -MOST
    return MOST if kind == NORMAL else 1.0 / scale


@njit(nogil=True, cache=True, inline="always")
def _far_hessian(kind, known, above, scale):
    """Return the limit of a hessian where the margin is far from the time."""
    if (known == RIGHT and not above) or (known == LEFT and above) or kind == LOGISTIC:
        return LEAST_HESSIAN
    if kind == NORMAL:
        return 1.0 / (scale * scale)
    return MOST if above and known != LEFT else LEAST_HESSIAN


@njit(nogil=True, cache=True, error_model="numpy")
def aft_row(kind, scale, margin, lower, upper):
    """Return the gradient and the hessian of one time; Barnwal, Cho and Hocking (2020), sections 2 and 3."""
    if lower == upper:
        known, z = KNOWN, (log(lower) - margin) / scale
        _, density, slope, bend = distribution(kind, z)
        above = z > 0.0
        over_g, over_h = slope, slope * slope - density * bend
        under = density
    else:
        known = RIGHT if np.isinf(upper) else (LEFT if lower <= 0.0 else BETWEEN)
        below_u, density_u, slope_u, z_u = 1.0, 0.0, 0.0, 0.0
        below_l, density_l, slope_l, z_l = 0.0, 0.0, 0.0, 0.0
        if not np.isinf(upper):
            z_u = (log(upper) - margin) / scale
            below_u, density_u, slope_u, _ = distribution(kind, z_u)
        if lower > 0.0:
            z_l = (log(lower) - margin) / scale
            below_l, density_l, slope_l, _ = distribution(kind, z_l)
        above = z_u > 0.0 or z_l > 0.0
        under, over_g = below_u - below_l, density_u - density_l
        over_h = over_g * over_g - under * (slope_u - slope_l)
    under *= scale
    square = under * under
    g = over_g / under if abs(over_g) < MOST_QUOTIENT * under else _far_gradient(kind, known, above, scale)
    h = over_h / square if abs(over_h) < MOST_QUOTIENT * square else _far_hessian(kind, known, above, scale)
    return min(max(g, -MOST), MOST), min(max(h, LEAST_HESSIAN), MOST)


@njit(nogil=True, cache=True, error_model="numpy")
def cox_statistics(margin, y, weight, bins, rates, squares, ranges, g, h):
    """Compute gradients and hessians of the partial likelihood; Cox (1972), ties as Breslow (1974) has them.

    margin, y: float32 (rows,) IN; a y above 0 is an event's time, any other one until which none was
    weight, ranges, g, h: as in `kernels.gradients.statistics`
    bins: int64 (rows,) IN; the bin of each time
    rates, squares: float64 (bins,) IN; see `messages.risk_sets.Risks`
    """
    step = np.int64(weight.shape[0] > 1)
    for r in range(ranges.shape[0]):
        for i in range(ranges[r, 0], ranges[r, 1]):
            w = np.float64(weight[i * step])
            hazard = w * exp(min(max(np.float64(margin[i]), -MOST_MARGIN), MOST_MARGIN))
            at_risk = hazard * rates[bins[i]]
            g[i] = at_risk - (w if y[i] > 0 else 0.0)
            h[i] = max(at_risk - hazard * hazard * squares[bins[i]], 0.0)


@njit(nogil=True, cache=True, error_model="numpy")
def aft_statistics(kind, scale, margin, lower, upper, weight, ranges, g, h):
    """Compute gradients and hessians of times, weights included.

    kind: int IN; see `core.numeric.distributions`
    scale: float IN
    margin, lower, upper: float32 (rows,) IN; upper is infinite where there is no bound
    weight, ranges, g, h: as in `kernels.gradients.statistics`
    """
    step = np.int64(weight.shape[0] > 1)
    for r in range(ranges.shape[0]):
        for i in range(ranges[r, 0], ranges[r, 1]):
            w = np.float64(weight[i * step])
            slope, bend = aft_row(kind, scale, np.float64(margin[i]), np.float64(lower[i]), np.float64(upper[i]))
            g[i], h[i] = w * slope, w * bend
