"""The histogram cache: the server's histograms of the nodes that may be split."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.numeric.threads import Threads
from fedtrees.trees.kernels import split as split_kernels

Places = NDArray[np.int64]


class HistogramCache:
    """Histograms in places that are used again, level after level and tree after tree.

    Fresh memory costs the system more time than the sums that go there: a training keeps one histogram cache.

    Parameters
    ----------
    bins : int
        Bins of all features.
    statistics : int, default 2
        Sums of a bin.

    Attributes
    ----------
    histograms : int64 (places, statistics, bins)
        Each place holds a node's sums, such as of gradients and of hessians, or what is no longer needed.
    """

    def __init__(self, bins: int, statistics: int = 2):
        self.histograms = np.empty((0, statistics, bins), np.int64)

    def put(self, roots: Vector) -> Places:
        """Begin anew with histograms of roots, int64 (nodes, statistics, bins); return their places."""
        places = np.arange(len(roots))
        self._make_room(len(roots))
        self.histograms[places] = roots
        return places

    def divide(self, parents: Places, built: Vector, threads: Threads, taken: Places | None = None) -> Places:
        """Part parents into the children that were built, and their siblings.

        A sibling's histogram is its parent's less the built child's, exactly, as they are integers. It takes the
        parent's place.

        Parameters
        ----------
        parents : int64 (pairs,)
            Places.
        built : int64 (pairs, statistics, bins)
        threads : Threads
        taken : int64 (any,), optional
            Places of all other histograms that are still needed.

        Returns
        -------
        int64 (pairs,)
            The places of the built children.
        """
        pairs = len(parents)
        free = self._free(pairs, parents if taken is None else np.concatenate([parents, taken]))
        step = max(1, -(-pairs // threads.n))

        def subtract(first: int) -> None:
            split_kernels.divide(self.histograms, parents, built, free, first, min(first + step, pairs))

        threads.map(subtract, range(0, pairs, step))
        return free

    def add(self, histograms: Vector, taken: Places) -> Places:
        """Put histograms, int64 (nodes, statistics, bins), in places that are not taken; return their places."""
        places = self._free(len(histograms), taken)
        self.histograms[places] = histograms
        return places

    def _free(self, n: int, taken: Places) -> Places:
        """Return so many places that are not taken."""
        self._make_room(n + len(taken))
        is_free = np.ones(len(self.histograms), bool)
        is_free[taken] = False
        return np.flatnonzero(is_free)[:n]

    def _make_room(self, places: int) -> None:
        """Have so many places at the least."""
        missing = places - len(self.histograms)
        if missing > 0:
            # by a half at least: a deep tree would otherwise copy all histograms on every level
            missing = max(missing, len(self.histograms) // 2)
            more = np.empty((missing, *self.histograms.shape[1:]), np.int64)
            self.histograms = np.concatenate([self.histograms, more])
