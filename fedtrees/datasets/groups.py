"""Groups of about equal size that numbers fall into, and their names."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def quantile_groups(values: NDArray[np.generic], groups: int) -> tuple[NDArray[np.int64], list[str]]:
    """Cut numbers into groups of about equal size; equal values stay together.

    Parameters
    ----------
    values : int or float (rows,)
    groups : int
        Groups wanted. There are fewer where so many rows share a value that one would be empty.

    Returns
    -------
    int64 (rows,), list of str
        The group of each row, and the least and the largest value of each.

    Examples
    --------
    >>> quantile_groups(np.array([31, 45, 67, 18]), 2)
    (array([0, 1, 1, 0]), ['18 to 31', '45 to 67'])
    """
    ranked = np.sort(values)
    # ranks where a new value starts: groups are cut at those nearest to where groups of one size would be
    starts = np.flatnonzero(ranked[1:] != ranked[:-1]) + 1
    wished = np.arange(1, groups) * (len(values) / groups)
    cuts = np.unique(starts[_nearest(starts, wished)]) if len(starts) else starts
    least, largest = ranked[np.append(0, cuts)], ranked[np.append(cuts, len(values)) - 1]
    spans = [(plain(a), plain(b)) for a, b in zip(least, largest, strict=True)]
    return np.searchsorted(ranked[cuts], values, side="right"), [a if a == b else f"{a} to {b}" for a, b in spans]


def plain(value: np.number) -> str:
    """A number of an array as a reader would write it."""
    return str(value.item()) if value.dtype.kind in "iu" else f"{value:.6g}"


def _nearest(places: NDArray[np.int64], wished: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return which of the ascending places is nearest to each wished one; of two, the lower."""
    upper = np.searchsorted(places, wished).clip(max=len(places) - 1)
    lower = (upper - 1).clip(min=0)
    return np.where(wished - places[lower] <= places[upper] - wished, lower, upper)
