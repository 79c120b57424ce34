"""Edges of buckets of scores: some that follow the last round's scores, and finer ones where these do not do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.float_keys import KEY_BITS, float_of
from fedtrees.queries.score_histogram import KEYS, ScoreHistogram, keys_of

BUCKETS = 1 << 14  # of about equal shares of both classes: ranks within them leave 1 / (2 * BUCKETS) open at the most
COARSE_BITS = 9  # sign and exponent: what lies beyond the last round's scores falls in these
FIRST_BITS = 12
MOST_FOLLOWED = 1 << 12  # scores of many rows of which the next ones are foreseen
MOST_FORESEEN = 1 << 13  # scores that get a bucket by themselves
Edges = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Frequencies:
    """Numbers, and the share of rows that has each.

    Attributes
    ----------
    values : float32 (values,)
    shares : float64 (values,)
    """

    values: NDArray[np.float32]
    shares: NDArray[np.float64]

    def moved(self, steps: Sequence[Frequencies]) -> Frequencies:
        """The values after each of some steps added one of its numbers, as if rows took them whatever their values are.

        Trees that grow side by side are such steps, and a tree's leaves the numbers of one. The most frequent are kept.

        Examples
        --------
        >>> half = np.array([0.5, 0.5])
        >>> Frequencies(np.float32([0.5]), np.ones(1)).moved([Frequencies(np.float32([1, 2]), half)]).values
        array([1.5, 2.5], dtype=float32)
        """
        moved = self
        for step in steps:
            most = moved.most_frequent(MOST_FOLLOWED)
            with np.errstate(over="ignore"):
                values = (most.values[:, None] + step.values).astype(np.float32).ravel()
            values, place = np.unique(values, return_inverse=True)
            shares = np.bincount(place, (most.shares[:, None] * step.shares).ravel(), minlength=len(values))
            moved = Frequencies(values, shares.astype(np.float64))
        return moved

    def most_frequent(self, most: int) -> Frequencies:
        """The most frequent of the values, so many of them."""
        first = np.argsort(-self.shares, kind="stable")[:most]
        return Frequencies(self.values[first], self.shares[first])


def regular_edges(bits: int) -> Edges:
    """Edges by the upper bits of the key."""
    return np.arange(1 << bits, dtype=np.int64) << (KEY_BITS - bits)


def ties_of(histogram: ScoreHistogram) -> Frequencies:
    """The scores that have a bucket by themselves and rows in it."""
    shares = histogram.shares() / 2
    (held,) = np.nonzero(histogram.tied & (shares > 0))
    return Frequencies(float_of(histogram.edges[held]), shares[held])


def first_edges(foreseen: Frequencies | None) -> Edges:
    """Edges where nothing is known of scores but some that rows are likely to have."""
    return _joined(regular_edges(FIRST_BITS), _alone(foreseen, 0.0))


def edges_like(histogram: ScoreHistogram, buckets: int, foreseen: Frequencies | None, top_heavy: bool) -> Edges:
    """Edges for scores that are spread about as those of a histogram: about equal shares of both classes a bucket.

    Parameters
    ----------
    histogram : ScoreHistogram
    buckets : int
    foreseen : Frequencies, optional
        Scores that rows which shared one are likely to have now; None where those are unknown.
    top_heavy : bool
        Whether buckets hold less towards the highest scores, where precision changes fastest.
    """
    shares, least = histogram.shares()[::-1], 1 / (4 * buckets)
    low, high = histogram.edges[::-1], histogram.ends[::-1]
    if foreseen is not None:
        shares = np.where(histogram.tied[::-1] & (shares / 2 > least), 0, shares)
    held = shares > 0
    low, high, above = low[held], high[held], np.cumsum(shares[held]) / 2
    total = float(above[-1]) if len(above) else 0.0
    below = np.append(0, above[:-1])
    if top_heavy:
        above, below = (part + np.sqrt(part * total) for part in (above, below))
    wanted = np.linspace(0, above[-1], int(np.ceil(buckets * total)) + 1)[1:] if total else np.zeros(0)
    at = np.searchsorted(above, wanted)  # the last one wanted is the last one there
    part = (wanted - below[at]) / (above[at] - below[at])
    spread = high[at] - np.ceil(part * (high - low)[at]).astype(np.int64)
    return _joined(regular_edges(COARSE_BITS), spread, _alone(foreseen, least))


def finer_edges(
    histogram: ScoreHistogram,
    doubts: NDArray[np.float64],
    which: NDArray[np.bool_],
    room: int,
    foreseen: Frequencies | None,
) -> Edges:
    """Edges that cut some buckets, the more doubtful the finer, with as many new ones as there is room for, or twice.

    Parameters
    ----------
    histogram : ScoreHistogram
    doubts : float64 (buckets,)
    which : bool (buckets,)
        Of more than one key each.
    room : int
    foreseen : Frequencies, optional
        Scores that are looked for in these buckets besides.
    """
    low, high = histogram.edges[which], histogram.ends[which]
    need = np.sqrt(doubts[which])
    children = np.clip((room * need / max(need.sum(), 1e-300)).astype(np.int64), 2, high - low)
    parent = np.repeat(np.arange(len(low)), children)
    child = np.arange(len(parent)) - np.repeat(np.cumsum(children) - children, children)
    inner = low[parent] + (child * (high - low)[parent]) // children[parent]
    ends = high[high < KEYS]
    if foreseen is None:
        return _joined(inner, ends)
    within = which[np.searchsorted(histogram.edges, keys_of(foreseen.values), side="right") - 1]
    return _joined(inner, ends, _alone(Frequencies(foreseen.values[within], foreseen.shares[within]), 0.0))


def _alone(foreseen: Frequencies | None, least: float) -> Edges:
    """Edges that give each of the more frequent scores a bucket by itself."""
    if foreseen is None:
        return np.zeros(0, np.int64)
    likely = foreseen.most_frequent(MOST_FORESEEN)
    keys = keys_of(likely.values[likely.shares > least])
    return np.concatenate([keys, keys + 1])


def _joined(*edges: Edges) -> Edges:
    return np.unique(np.concatenate([np.zeros(1, np.int64), *edges]))
