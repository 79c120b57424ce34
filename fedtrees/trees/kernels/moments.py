"""Exact sums of targets and of their squares. Numba only; held to naive twins in the tests.

A row's weight w, and its w * y, w * y**2 and, for the Poisson deviance, w * d(y), are whole numbers of some power of
two. Each is written as digits of ``bits`` binary digits that are added up by themselves: the sum of rows is the sum of
their digits, and carries wait until the server puts them together. So no sum is rounded, however far targets lie apart.

    digits[row, d]      of moment 0 up to ends[0], of moment 1 from there to ends[1], and so on; the lowest digit first
"""

from __future__ import annotations

import numpy as np

from fedtrees.core.numeric.compiled import njit
from fedtrees.core.numeric.elementary import log
from fedtrees.core.numeric.float_keys import BLOCK
from fedtrees.trees.kernels.histogram import descend

HALF = 24  # binary digits of a factor's parts: the product of two is exact, and room is left to shift its halves
MOST_PLACES = 2048  # binary digits of a product are this many above the lowest at the most
INVERSE_BITS = 20
MOST_WORD = 64  # binary digits of a sum's digit
HALF_MASK = np.int64((1 << HALF) - 1)


@njit(nogil=True, cache=True, error_model="numpy")
def _whole(x):
    """Return a number above 0, not subnormal, as an odd number of at most 53 binary digits, and a power of two."""
    bits = np.float64(x).view(np.int64)
    m = (bits & np.int64(0xFFFFFFFFFFFFF)) | np.int64(0x10000000000000)
    lowest = (np.float64(m & -m).view(np.int64) >> np.int64(52)) - np.int64(1023)
    return m >> lowest, (bits >> np.int64(52)) - np.int64(1075) + lowest


@njit(nogil=True, cache=True, error_model="numpy")
def _write_digits(a, b, low, bits, inverse, sign, out, start, end):
    """Write the product of two numbers above 0, in units of ``2 ** low``, as a row's digits; return whether it fits.

    inverse: int IN; a factor that, with a shift by `INVERSE_BITS`, stands for a division by ``bits``
    out: int64 (any,) IN OUT; zeros where the digits go, from start to end
    """
    (m, e), (n, f) = _whole(a), _whole(b)
    first = e + f - low
    if first < 0 or first >= min((end - start) * bits, MOST_PLACES):
        return False
    # long multiplication by parts of HALF digits; a product is added in two halves: shifted whole it would overflow
    mask, fine = (np.int64(1) << bits) - np.int64(1), True
    while n:
        part, left, at = n & HALF_MASK, m, first
        while left:
            product = part * (left & HALF_MASK)
            for half in range(2):
                half_word = (product >> np.int64(HALF * half)) & HALF_MASK
                place = (at * inverse) >> np.int64(INVERSE_BITS)  # at // bits
                moved = half_word << (at - place * bits)
                low_half, high_half = moved & mask, moved >> bits
                to = start + place
                if to + 1 < end:
                    out[np.uint64(to)] += sign * low_half
                    out[np.uint64(to + 1)] += sign * high_half
                elif to < end:
                    out[np.uint64(to)] += sign * low_half
                    fine &= high_half == 0
                else:
                    fine &= half_word == 0
                at += HALF
            left, at = left >> np.int64(HALF), at - HALF
        n, first = n >> np.int64(HALF), first + HALF
    return fine


@njit(nogil=True, cache=True, inline="always", error_model="numpy")
def deviance(y, centre):
    """Return half the Poisson deviance of a target from a prediction above 0: y log(y / centre) - (y - centre)."""
    if y <= 0.0:
        return centre
    apart = (y - centre) / centre
    more = 1.0 + apart
    if more < 0.5:
        logarithm = log(y / centre)
    else:  # near 1, as in `kernels.impurity`
        logarithm = apart if more == 1.0 else log(more) * (apart / (more - 1.0))
    return max(y * logarithm - (y - centre), 0.0)


@njit(nogil=True, cache=True, error_model="numpy")
def row_digits(y, weight, counts, ranges, lows, bits, ends, centre, out):
    """Write each row's moments as digits; return whether all fit.

    y: float32 (rows,) IN
    weight: float64 (rows,) or (1,) IN; one weight for all where there is one
    counts: int64 (rows,) or (1,) IN; the number of times that each row counts
    ranges: int64 (ranges, 2) IN; the rows to do
    lows: int64 (moments,) IN; the power of two that a moment's lowest digit is in units of
    bits: int IN; of a digit
    ends: int64 (moments,) IN; where a moment's digits end
    centre: float IN; the prediction that the fourth moment, if there is one, measures the deviance from
    out: int64 (rows, digits) OUT
    """
    step, step_count, bits = np.int64(weight.shape[0] > 1), np.int64(counts.shape[0] > 1), np.int64(bits)
    inverse = np.int64(1 << INVERSE_BITS) // bits + np.int64(1)  # exact for what is far below 2 ** INVERSE_BITS
    fine = True
    for r in range(ranges.shape[0]):
        for i in range(ranges[r, 0], ranges[r, 1]):
            row, w, times = out[i], weight[i * step], counts[i * step_count]
            row[:] = 0
            target = np.float64(y[i])
            size, sign = abs(target), -times if target < 0.0 else times
            if w <= 0.0:
                continue
            fine &= _write_digits(w, 1.0, lows[0], bits, inverse, times, row, 0, ends[0])
            if size > 0.0:
                fine &= _write_digits(w, size, lows[1], bits, inverse, sign, row, ends[0], ends[1])
                fine &= _write_digits(w, size * size, lows[2], bits, inverse, times, row, ends[1], ends[2])
            if ends.shape[0] > 3:
                scale = np.int64((lows[3] - lows[0] + 1023) << np.int64(52)).view(np.float64)  # 2.0 ** of that
                steps = np.rint(deviance(target, centre) / scale)
                if steps > 0.0:
                    fine &= _write_digits(w, steps * scale, lows[3], bits, inverse, times, row, ends[2], ends[3])
    return fine


@njit(nogil=True, cache=True)
def sum_leaves(bins, node, ranges, levels, tree, slot_of, times, digits, out):
    """Move rows down to their leaves, and add up the digits of each leaf's rows.

    bins, node, ranges, levels, tree: as in `kernels.histogram.grow_level`
    slot_of: int32 (nodes,) IN; the place of a leaf, -1 for other nodes
    times: uint8 (rows,) or (0,) IN; the number of times that a row counts, once where empty
    digits: int64 (rows, digits) IN
    out: int64 (leaves, digits) OUT, added to
    """
    flat = bins.reshape(-1)
    for r in range(ranges.shape[0]):
        for block in range(ranges[r, 0], ranges[r, 1], BLOCK):
            end = min(block + BLOCK, ranges[r, 1])
            descend(flat, bins.shape[2], node, block, end, levels, tree)
            for i in range(block, end):
                often = np.int64(times[i]) if times.shape[0] else np.int64(1)
                slot = slot_of[node[i]]
                if often and slot >= 0:
                    for d in range(digits.shape[1]):
                        out[slot, d] += often * digits[i, d]


@njit(nogil=True, cache=True)
def _limbs(digits, bits, sign, out):
    """Put a sum's digits together: its magnitude as limbs of `HALF` binary digits; return its sign.

    digits: int64 (any,) IN; of either sign, each up to a word
    out: int64 (any,) OUT
    """
    mask, carry = (np.int64(1) << bits) - np.int64(1), np.int64(0)
    out[:] = 0
    for p in range(digits.shape[0]):
        digit = sign * digits[p] + carry
        last = p == digits.shape[0] - 1
        if last and digit < 0:
            return _limbs(digits, bits, -sign, out)  # the carries show that the sum is below 0
        carry = digit >> bits
        digit = digit if last else digit & mask
        place, shift = divmod(p * bits, np.int64(HALF))
        while digit:
            out[place] += (digit & HALF_MASK) << shift
            digit, place = digit >> np.int64(HALF), place + 1
    _carry(out)
    return sign


@njit(nogil=True, cache=True)
def _carry(limbs):
    """Bring limbs of any size back to `HALF` binary digits, but for the highest."""
    for k in range(limbs.shape[0] - 1):
        limbs[k + 1] += limbs[k] >> np.int64(HALF)
        limbs[k] &= HALF_MASK


@njit(nogil=True, cache=True)
def _real(limbs):
    """Return the number that limbs stand for, within two units in the last place."""
    x = 0.0
    for k in range(limbs.shape[0] - 1, -1, -1):
        x = x * np.float64(1 << HALF) + np.float64(limbs[k])
    return x


@njit(nogil=True, cache=True, error_model="numpy")
def read_moments(digits, bits, ends, weight, mean, variance, deviance, differ):
    """Compute nodes' moments from their digits, in units of the moments' lowest digits.

    digits: int64 (nodes, digits), bits, ends IN; as in `row_digits`
    weight, mean, variance: float64 (nodes,) OUT; mean and variance are 0 without any weight
    deviance: float64 (nodes,) OUT; the mean deviance, where there is such a moment
    differ: bool (nodes,) OUT; whether targets do: exactly
    """
    bits, size = np.int64(bits), np.int64((digits.shape[1] + 2) * MOST_WORD // HALF + 2)
    heavy, first, second = np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(size, np.int64)
    spread = np.zeros(2 * size, np.int64)
    # the number of limbs that hold each moment
    sizes = np.zeros(3, np.int64)
    for m in range(3):
        sizes[m] = ((ends[m] - (ends[m - 1] if m else 0)) * bits + MOST_WORD) // HALF + 2
    for node in range(digits.shape[0]):
        node_digits = digits[node]
        w, s, q = heavy[: sizes[0]], first[: sizes[1]], second[: sizes[2]]
        _limbs(node_digits[: ends[0]], bits, np.int64(1), w)
        sign = _limbs(node_digits[ends[0] : ends[1]], bits, np.int64(1), s)
        _limbs(node_digits[ends[1] : ends[2]], bits, np.int64(1), q)
        # weight times second moment, less the square of the first: of integers, so that equal targets give exactly 0
        apart = spread[: max(sizes[0] + sizes[2], 2 * sizes[1])]
        apart[:] = 0
        for i in range(sizes[0]):
            if w[i]:
                for j in range(sizes[2]):
                    apart[i + j] += w[i] * q[j]
        for i in range(sizes[1]):
            if s[i]:
                for j in range(sizes[1]):
                    apart[i + j] -= s[i] * s[j]
        _carry(apart)
        mass = _real(w)
        weight[node], far = mass, _real(apart)
        differ[node] = far > 0.0
        mean[node], variance[node] = 0.0, 0.0
        if mass > 0.0:
            mean[node], variance[node] = np.float64(sign) * (_real(s) / mass), far / (mass * mass)
            if ends.shape[0] > 3:
                total = spread[: ((ends[3] - ends[2]) * bits + MOST_WORD) // HALF + 2]
                _limbs(node_digits[ends[2] : ends[3]], bits, np.int64(1), total)
                deviance[node] = _real(total) / mass
