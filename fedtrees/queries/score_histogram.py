"""Histograms of scores by class, in buckets of an order-preserving key of the float."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.numeric.float_keys import KEY_BITS, MAGNITUDE, SIGN, shift_of
from fedtrees.core.numeric.row_ranges import pieces
from fedtrees.core.numeric.threads import Threads
from fedtrees.queries import metric_kernels

KEYS = 1 << KEY_BITS


@dataclass(frozen=True, eq=False)
class ScoreHistogram:
    """The weights of the rows of both classes in each bucket of scores.

    A bucket holds the keys from its edge up to the next edge; see `core.numeric.float_keys`.

    Law: the weights of all rows are the sum of those of any parts of them, over the same edges.

    Attributes
    ----------
    edges : int64 (buckets,)
        Ascending; the first is 0.
    positive, negative : int64 (buckets,)
    """

    edges: NDArray[np.int64]
    positive: Vector
    negative: Vector

    @staticmethod
    def of_rows(score: NDArray[np.float32], positive: NDArray[np.bool_]) -> ScoreHistogram:
        """The histogram of a few rows of weight 1, with a bucket for each score."""
        keys, place = np.unique(keys_of(score), return_inverse=True)
        edges = np.unique(np.concatenate([np.zeros(1, np.int64), keys, keys + 1]))
        counts = np.zeros((2, len(edges)), np.int64)
        for k, which in enumerate((positive, ~positive)):
            counts[k, np.searchsorted(edges, keys)] = np.bincount(place[which], minlength=len(keys))
        return ScoreHistogram(edges, counts[0], counts[1])

    @property
    def ends(self) -> NDArray[np.int64]:
        """The key after each bucket's last, int64 (buckets,)."""
        return np.append(self.edges[1:], KEYS)

    @property
    def tied(self) -> NDArray[np.bool_]:
        """Return whether all scores of a bucket are equal, as it holds one key only: bool (buckets,)."""
        tied: NDArray[np.bool_] = self.ends - self.edges == 1
        return tied

    @property
    def has_both(self) -> bool:
        """Return whether rows of both classes weigh anything."""
        return bool(self.positive.any() and self.negative.any())

    def shares(self) -> NDArray[np.float64]:
        """The share of each class that a bucket holds, added up: float64 (buckets,)."""
        shares = np.zeros(len(self.edges))
        for weights in (self.positive, self.negative):
            if weights.any():
                shares += weights / weights.sum(dtype=np.float64)
        return shares

    def refined(self, which: NDArray[np.bool_], finer: ScoreHistogram) -> ScoreHistogram:
        """The histogram with some buckets replaced by those of a finer one that lie within them.

        Parameters
        ----------
        which : bool (buckets,)
        finer : ScoreHistogram
            With an edge wherever one of these buckets starts or ends.
        """
        parent = np.searchsorted(self.edges, finer.edges, side="right") - 1
        within = which[parent]
        edges = np.concatenate([self.edges[~which], finer.edges[within]])
        order = np.argsort(edges, kind="stable")
        positive = np.concatenate([self.positive[~which], finer.positive[within]])
        negative = np.concatenate([self.negative[~which], finer.negative[within]])
        return ScoreHistogram(edges[order], positive[order], negative[order])


def keys_of(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """The order-preserving keys of scores, int64 (scores,); both zeros have one key."""
    bits = np.ascontiguousarray(scores, np.float32).view(np.uint32)
    key = np.where(bits & SIGN, SIGN - (bits & MAGNITUDE), bits | SIGN)
    return key.astype(np.int64)


def count_scores(
    score: NDArray[np.float32],
    positive: NDArray[np.bool_],
    weight: Vector,
    edges: NDArray[np.int64],
    threads: Threads,
) -> Vector:
    """The weights of the positive and of the negative rows in each bucket: int64 (2 * buckets,).

    Parameters
    ----------
    score : float32 (rows,)
    positive : bool (rows,)
    weight : int64 (rows,) or (1,)
    edges : int64 (buckets,)
    threads : Threads
    """
    shift = int(shift_of(len(score)))
    slots = np.arange((KEYS >> shift) + 1, dtype=np.int64) << shift
    first = np.searchsorted(edges, slots, side="right") - 1  # the bucket that each slot of upper bits starts in
    bits = np.ascontiguousarray(score).view(np.uint32)

    def count(piece: NDArray[np.int64]) -> Vector:
        out = np.zeros((2, len(edges)), np.int64)
        for start, stop in piece:
            metric_kernels.add_scores(bits, positive, weight, edges, first, np.uint32(shift), start, stop, out)
        return out.reshape(-1)

    rows = np.array([[0, len(score)]], np.int64)
    return sum(threads.map(count, pieces(rows, threads.n)), np.zeros(2 * len(edges), np.int64))
