"""Terms of metrics, row by row. Numba only; held to naive twins in the tests, and to XGBoost's metrics."""

from __future__ import annotations

import numpy as np

from fedtrees.core.numeric.compiled import njit
from fedtrees.core.numeric.distributions import distribution
from fedtrees.core.numeric.elementary import MOST_MARGIN, exp, log, log_gamma
from fedtrees.core.numeric.float_keys import key_of

# XGBoost's floors, below which no logarithm is taken
SMALLEST = 1e-16  # of probabilities
LEAST_LIKELIHOOD = 1e-12  # of times

# codes of metrics of one margin per row; they score XGBoost's predictions from margins
LOGLOSS, ERROR, SQUARED, ABSOLUTE, PERCENTAGE, SQUARED_LOG, POISSON, GAMMA, GAMMA_DEVIANCE, TWEEDIE = range(10)
PINBALL, PSEUDO_HUBER = 10, 11
LOWEST_POWER, LIMBS = -200, 12  # of exact sums of hazards: 384 bits from 2**-200 on
# codes of metrics of rankings
NDCG, AVERAGE_PRECISION, PRECISION = range(3)
LN2 = 0.6931471805599453
MOST_EXPONENT = np.float32(88.7)  # of a sigmoid: e to it is finite


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def _log_or_nan(x):
    """Return the logarithm of a float64 that may be 0 or below."""
    if x > 0.0:
        return log(x)
    return -np.inf if x == 0.0 else np.nan


@njit(nogil=True, cache=True, error_model="numpy")
def add_rows(metric, prediction, y, parameter, out):
    """Compute each row's loss.

    metric: int IN; one of the codes above
    prediction: float32 (rows,) IN; in the units of the objective's predictions; see `metric.Rows.prediction`
    y: float32 (rows,) IN
    parameter: float IN; ERROR's threshold, TWEEDIE's power, PINBALL's quantile, PSEUDO_HUBER's slope
    out: float32 (rows,) OUT
    """
    for i in range(out.shape[0]):
        p, t = np.float64(prediction[i]), np.float64(y[i])
        if metric == LOGLOSS:
            value = -t * log(max(p, SMALLEST)) - (1.0 - t) * log(max(1.0 - p, SMALLEST))
        elif metric == ERROR:
            value = 1.0 - t if prediction[i] > np.float32(parameter) else t  # at the threshold, the negative class
        elif metric == SQUARED:
            value = (p - t) * (p - t)
        elif metric == ABSOLUTE:
            value = abs(p - t)
        elif metric == PERCENTAGE:
            value = abs((t - p) / t)
        elif metric == SQUARED_LOG:
            difference = _log_or_nan(1.0 + p) - log(1.0 + t)
            value = difference * difference
        elif metric == POISSON:
            p = max(p, SMALLEST)
            value = log_gamma(t + 1.0) + p - log(p) * t
        elif metric == GAMMA:
            p = max(p, 1e-6)
            value = t / p + log(p)
        elif metric == GAMMA_DEVIANCE:
            p, t = p + 1e-6, t + 1e-6
            value = 2.0 * (_log_or_nan(p / t) + t / p - 1.0)
        elif metric == PINBALL:
            value = parameter * (t - p) if t >= p else (parameter - 1.0) * (t - p)
        elif metric == PSEUDO_HUBER:
            z = (p - t) / parameter
            value = parameter * parameter * (np.sqrt(1.0 + z * z) - 1.0)
        elif p > 0.0:
            value = -t * exp((1.0 - parameter) * log(p)) / (1.0 - parameter)
            value += exp((2.0 - parameter) * log(p)) / (2.0 - parameter)
        else:
            value = np.inf if p == 0.0 and t > 0.0 else np.nan
        out[i] = np.float32(value)


@njit(nogil=True, cache=True, error_model="numpy")
def sigmoid(margin, out):
    """1 / (1 + e ** -margin), each step rounded to float32 as XGBoost does; both float32 (rows,)."""
    for i in range(out.shape[0]):
        below = np.float32(exp(np.float64(min(-margin[i], MOST_EXPONENT))))
        out[i] = np.float32(1.0) / (below + np.float32(1.0))


@njit(nogil=True, cache=True, error_model="numpy")
def exponential(margin, out):
    """E ** margin; both float32 (rows,)."""
    for i in range(out.shape[0]):
        out[i] = np.float32(exp(np.float64(margin[i])))


@njit(nogil=True, cache=True, error_model="numpy")
def probabilities(margin, out):
    """Compute the softmax of each row's margins.

    margin: float32 (classes, rows) IN
    out: float32 (classes, rows) OUT
    """
    for i in range(margin.shape[1]):
        largest = np.float64(margin[:, i].max())
        total = 0.0
        for k in range(margin.shape[0]):
            total += exp(np.float64(margin[k, i]) - largest)
        for k in range(margin.shape[0]):
            out[k, i] = exp(np.float64(margin[k, i]) - largest) / total


@njit(nogil=True, cache=True, error_model="numpy")
def add_classes(margin, y, loss, wrong):
    """Compute each row's cross-entropy, and whether another class than its label's is the likeliest.

    Of classes that are equally likely in float32, the first counts as the likeliest, as in XGBoost.

    margin: float32 (classes, rows), y: float32 (rows,) IN
    loss, wrong: float32 (rows,) OUT
    """
    n = margin.shape[0]
    p = np.empty(n, np.float32)
    for i in range(loss.shape[0]):
        largest, total = margin[:, i].max(), 0.0
        for k in range(n):
            p[k] = np.float32(exp(np.float64(np.float32(margin[k, i] - largest))))
            total += np.float64(p[k])
        likeliest = 0
        for k in range(n):
            p[k] = p[k] / np.float32(total)
            if p[k] > p[likeliest]:
                likeliest = k
        label = np.int64(y[i])
        loss[i] = np.float32(-log(max(np.float64(p[label]), SMALLEST)))
        wrong[i] = np.float32(likeliest != label)


@njit(nogil=True, cache=True)
def add_scores(bits, positive, weight, edges, first, shift, start, stop, out):
    """Add up the weights of both classes by buckets of the score's key.

    bits: uint32 (rows,) IN; the scores' bits, none of them NaN
    positive: bool (rows,) IN
    weight: int64 (rows,) or (1,) IN
    edges: int64 (buckets,) IN; the first key of each bucket, ascending, the first one 0
    first: int64 (slots + 1,) IN; the bucket in which each slot of upper bits starts, and the last bucket
    shift: uint32 IN; a key's slot is what is left of it after this shift
    start, stop: rows to walk IN
    out: int64 (2, buckets) OUT, added to; the positive rows come first
    """
    step = np.int64(weight.shape[0] > 1)
    for i in range(start, stop):
        key = np.int64(key_of(bits[i]))
        slot = key >> np.int64(shift)
        low, high = first[slot], first[slot + 1]
        while low < high:  # the last edge at or below the key
            middle = (low + high + 1) >> 1
            if edges[middle] <= key:
                low = middle
            else:
                high = middle - 1
        out[np.int64(not positive[i]), low] += weight[i * step]


@njit(nogil=True, cache=True, error_model="numpy")
def odds_of_classes(margin, out):
    """Compute a score of each class that ranks rows as its probability does, also where that is nearly 1.

    It is the probability p up to a half, and 1 / (4 (1 - p)) above: float32 resolves probabilities near 0, not
    those near 1.

    margin: float32 (classes, rows) IN
    out: float32 (classes, rows) OUT
    """
    for i in range(margin.shape[1]):
        top, rest = 0, 0.0
        for k in range(1, margin.shape[0]):
            if margin[k, i] > margin[top, i]:
                top = k
        for k in range(margin.shape[0]):
            if k != top:
                rest += exp(np.float64(margin[k, i]) - np.float64(margin[top, i]))
        for k in range(margin.shape[0]):
            out[k, i] = np.float32(exp(np.float64(margin[k, i]) - np.float64(margin[top, i])) / (1.0 + rest))
        if rest < 1.0:
            out[top, i] = np.float32((1.0 + rest) / (4.0 * rest))


@njit(nogil=True, cache=True, error_model="numpy")
def add_failure_times(kind, scale, margin, lower, upper, out):
    """Compute minus the logarithm of each row's likelihood; equation 3 of Barnwal, Cho and Hocking (2020).

    kind, scale: as in `core.numeric.distributions`
    margin, lower, upper: float32 (rows,) IN
    out: float32 (rows,) OUT
    """
    for i in range(out.shape[0]):
        p, low, high = np.float64(margin[i]), np.float64(lower[i]), np.float64(upper[i])
        if low == high:
            _, density, _, _ = distribution(kind, (log(low) - p) / scale)
            likelihood = density / (scale * low)
        else:
            below_u, below_l = 1.0, 0.0
            if not np.isinf(high):
                below_u, _, _, _ = distribution(kind, (log(high) - p) / scale)
            if low > 0.0:
                below_l, _, _, _ = distribution(kind, (log(low) - p) / scale)
            likelihood = below_u - below_l
        out[i] = np.float32(-log(max(likelihood, LEAST_LIKELIHOOD)))


@njit(nogil=True, cache=True, error_model="numpy")
def _discounted_gain(relevances, top, exponential):
    """Return the discounted cumulative gain of relevances as they are ranked."""
    total = 0.0
    for rank in range(min(relevances.shape[0], top)):
        relevance = np.float64(relevances[rank])
        gain = np.float64((np.int64(1) << np.int64(relevance)) - 1) if exponential else relevance
        total += gain * LN2 / log(rank + 2.0)
    return total


@njit(nogil=True, cache=True, error_model="numpy")
def add_groups(kind, margin, y, starts, top, exponential, nothing, out):
    """Compute each group's metric.

    kind: int IN; one of the codes above
    margin, y: float32 (rows,) IN
    starts: int64 (groups + 1,) IN
    top: int IN; ranks that count
    exponential: bool IN; whether a relevance of r is worth 2**r - 1, or r
    nothing: float IN; the value of a group without relevant rows
    out: float32 (groups,) OUT
    """
    for q in range(out.shape[0]):
        relevances = y[starts[q] : starts[q + 1]]
        ranked = relevances[np.argsort(-margin[starts[q] : starts[q + 1]], kind="mergesort")]
        n = ranked.shape[0]
        if kind == NDCG:
            ideal = _discounted_gain(np.sort(relevances)[::-1], top, exponential)
            out[q] = _discounted_gain(ranked, top, exponential) / ideal if ideal > 0.0 else nothing
            continue
        hits, total, at_top = 0.0, 0.0, 0.0
        for rank in range(n):
            hits += ranked[rank]
            if rank < top:
                at_top = hits
                total += ranked[rank] * hits / (rank + 1.0)
        if kind == AVERAGE_PRECISION:
            out[q] = total / min(hits, np.float64(top)) if hits > 0.0 else nothing
        else:
            out[q] = at_top / min(top, n)


@njit(nogil=True, cache=True, error_model="numpy")
def add_pairs_in_order(margin, y, starts, out):
    """Compute the share of each group's pairs that margins rank as relevances do, ties counting half.

    Of two rows of one relevance, the first should be ranked above the other: XGBoost counts all pairs.

    margin, y: float32 (rows,) IN
    starts: int64 (groups + 1,) IN
    out: float32 (groups,) OUT; 0 of a group without pairs
    """
    for q in range(out.shape[0]):
        score, relevance = margin[starts[q] : starts[q + 1]], y[starts[q] : starts[q + 1]]
        n, twice = score.shape[0], 0
        for i in range(n):
            for j in range(i + 1, n):
                high, low = (i, j) if relevance[i] >= relevance[j] else (j, i)
                twice += 2 * (score[high] > score[low]) + (score[high] == score[low])
        out[q] = np.float32(twice / (n * (n - 1.0))) if n > 1 else np.float32(0)


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def _add_exactly(value, out):
    """Add a positive float64 to digits of 32 bits, int64 (LIMBS,); what lies below the lowest is cut off."""
    bits = np.float64(value).view(np.int64)
    exponent = ((bits >> 52) & 0x7FF) - 1075 - LOWEST_POWER
    whole = (bits & 0xFFFFFFFFFFFFF) | 0x10000000000000
    if exponent < 0:
        whole, exponent = whole >> min(-exponent, 62), 0
    for half in range(2):  # of 26 bits and 27: shifted, each stays within a word
        part = (whole >> 26) if half else (whole & 0x3FFFFFF)
        shift = exponent + 26 * half
        place, part = shift // 32, part << (shift % 32)
        out[place] += part & 0xFFFFFFFF
        out[place + 1] += part >> 32


@njit(nogil=True, cache=True, error_model="numpy")
def add_hazards(margin, y, weight, bins, out):
    """Add each row's hazard, and the weight of what happened to it, to its bin of time.

    margin, y: float32 (rows,) IN
    weight: float32 (rows,) or (1,) IN
    bins: int64 (rows,) IN
    out: int64 (2, bins, LIMBS) OUT, added to; see `_add_exactly`
    """
    step = np.int64(weight.shape[0] > 1)
    for i in range(margin.shape[0]):
        w = np.float64(weight[i * step])
        hazard = exp(min(max(np.float64(margin[i]), -MOST_MARGIN), MOST_MARGIN))
        _add_exactly(w * hazard, out[0, bins[i]])
        if y[i] > 0:
            _add_exactly(w, out[1, bins[i]])
