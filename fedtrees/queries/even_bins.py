"""Neighbouring buckets gathered into bins of about equal mass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def divide_evenly(counts: Integers, most: int) -> Integers:
    """The last bucket of each of at most ``most`` bins of about equal mass; a heavy bucket has one of its own.

    Law: buckets in the opposite order give the same bins in the opposite order, but where two cuts are equally near a
    bin's share: then the lower one is taken, as XGBoost's sketch does. A model must not depend on the direction of a
    scale. That is why heavy buckets, such as a value that many rows share, are set apart before what lies between them
    is divided, and not met on the way from one end.

    Parameters
    ----------
    counts : int64 (buckets,)
        Above 0.
    most : int

    Examples
    --------
    >>> divide_evenly(np.array([90, 1, 1, 1, 1, 1, 1]), 4), divide_evenly(np.array([1, 1, 1, 1, 1, 1, 90]), 4)
    (array([0, 2, 4, 6]), array([1, 3, 5, 6]))
    """
    heavy = _heavy(counts, most)
    last = np.ones(len(counts), bool)  # of its bin
    if heavy.all():
        return np.arange(len(counts), dtype=np.int64)
    starts = np.flatnonzero(~heavy & np.concatenate([[True], heavy[:-1]]))
    ends = np.flatnonzero(~heavy & np.concatenate([heavy[1:], [True]])) + 1
    before = np.cumsum(counts) - counts
    masses = (before + counts)[ends - 1] - before[starts]
    bins = _bins_of_runs(masses, most - int(heavy.sum()))
    # a bucket belongs where its middle falls
    light, length = np.flatnonzero(~heavy), ends - starts
    middle = before[light] + counts[light] / 2 - np.repeat(before[starts], length)
    place: NDArray[np.float64] = np.floor(middle * np.repeat(np.maximum(bins, 1) / masses, length))
    same = (np.diff(light) == 1) & (place[1:] == place[:-1])
    last[light[:-1][same]] = False
    for run in np.flatnonzero(bins == 0).tolist():  # which joins the lighter of its neighbours
        first, end = int(starts[run]), int(ends[run])
        left = counts[first - 1] if first else np.inf
        right = counts[end] if end < len(counts) else np.inf
        last[first - 1 if left <= right else end - 1] = False
    ends_of_bins: Integers = np.flatnonzero(last)
    return ends_of_bins


def _heavy(counts: Integers, most: int) -> NDArray[np.bool_]:
    """Buckets that hold a bin's share, or more, of what those heavier leave: bool (buckets,)."""
    heavy = np.zeros(len(counts), bool)
    while not heavy.all():
        left, bins = counts[~heavy].sum(), most - np.count_nonzero(heavy)
        more = ~heavy & (counts >= left / bins)
        if not more.any():
            break
        heavy |= more
    return heavy


def _bins_of_runs(masses: Integers, bins: int) -> Integers:
    """The number of bins of each run of light buckets, by its mass: one at least, or none where there are too few."""
    if len(masses) > bins:
        chosen = np.zeros(len(masses), np.int64)
        chosen[np.argsort(-masses, kind="stable")[:bins]] = 1
        return chosen
    share = masses * (bins / masses.sum())
    each: Integers = np.maximum(np.floor(share).astype(np.int64), 1)
    while each.sum() < bins:
        lacking = np.argsort(each - share, kind="stable")[: bins - int(each.sum())]
        each[lacking] += 1
    while each.sum() > bins:
        order = np.argsort(share - each, kind="stable")
        each[order[each[order] > 1][: int(each.sum()) - bins]] -= 1
    return each
