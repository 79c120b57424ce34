"""Measures of skew: differences of silos in size, in labels, in features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Measure = NDArray[np.float64]  # (silos,)


def effective_silos(rows: NDArray[np.int64]) -> float:
    """The number of silos of one size that would weigh as evenly: ``(sum n)^2 / sum n^2`` (Kish 1965).

    Examples
    --------
    >>> effective_silos(np.array([50, 50, 50])), effective_silos(np.array([150, 0, 0]))
    (3.0, 1.0)
    """
    share = rows / rows.sum()
    return float(1 / (share @ share))


def gini(rows: NDArray[np.int64]) -> float:
    """Gini's coefficient of the sizes: 0 where all are equal, towards 1 where one silo holds all rows.

    It is half the mean absolute difference of two silos' rows, over the mean.

    Examples
    --------
    >>> gini(np.array([10, 10, 10])), gini(np.array([0, 0, 0, 30]))
    (0.0, 0.75)
    """
    ranked, n = np.sort(rows), len(rows)
    return float((2 * np.arange(1, n + 1) - n - 1) @ ranked / (n * ranked.sum()))


def label_divergence(counts: NDArray[np.int64]) -> Measure:
    """The Jensen-Shannon distance of each silo's labels from those of all rows: 0 alike, 1 without a label in common.

    With P of a silo, Q of all rows and M = (P + Q) / 2, it is the root of ``(KL(P, M) + KL(Q, M)) / 2``, in bits: a
    distance (Endres and Schindelin 2003), unlike the divergence.

    Parameters
    ----------
    counts : int64 (silos, labels)
        Rows of each label; every silo has some.

    Examples
    --------
    >>> label_divergence(np.array([[30, 30], [20, 20], [10, 10]])).tolist()
    [0.0, 0.0, 0.0]
    """
    silo = counts / counts.sum(axis=1, keepdims=True)
    every = counts.sum(axis=0) / counts.sum()
    middle = (silo + every) / 2
    return np.sqrt(np.maximum(_relative_entropy(silo, middle) + _relative_entropy(every, middle), 0) / 2)


def _relative_entropy(p: NDArray[np.float64], q: NDArray[np.float64]) -> Measure:
    """Kullback and Leibler's, in bits; what p lacks counts nothing."""
    ratio = np.divide(p, q, out=np.ones_like(q), where=p > 0)
    total: Measure = (p * np.log2(ratio, out=np.zeros_like(q), where=p > 0)).sum(axis=1)
    return total


def feature_drift(
    X: NDArray[np.float32], categorical: NDArray[np.bool_], partitions: Sequence[NDArray[np.int64]]
) -> list[Measure]:
    """The distance of each silo's features from those of all rows, the mean over features: 0 alike, 1 apart.

    Of a number, Kolmogorov's distance: the largest difference of the two distribution functions. It sees differences
    of place, spread and shape, and no change of units matters. Of a category, the total variation distance: half the
    sum of the differences of shares. Both are the most by which the share of a range, or set,
    of values differs in the silo. A missing value is one beyond the largest, or one more category.

    Parameters
    ----------
    X : float32 (rows, features)
    categorical : bool (features,)
    partitions : sequence of int64 (rows,)
        The place of each row's silo, in one or several partitions.

    Examples
    --------
    >>> X = np.float32([[1, 5], [2, 5], [3, 5], [4, 5]])
    >>> feature_drift(X, np.zeros(2, bool), [np.array([0, 0, 1, 1])])
    [array([0.25, 0.25])]
    """
    from fedtrees.datasets.kernels import kolmogorov  # numba takes half a second to import

    drifts = [np.zeros(int(codes.max()) + 1) for codes in partitions]
    sizes = [np.bincount(codes) for codes in partitions]
    for column, discrete in zip(X.T, categorical, strict=True):
        keys = None if discrete else _sortable(column)
        for codes, drift, rows in zip(partitions, drifts, sizes, strict=True):
            if keys is None:
                drift += _total_variation(column, codes, rows)
            else:
                seen, largest = np.empty_like(rows), np.empty_like(rows)
                # sorting whole cells is several times as fast as sorting places by value
                kolmogorov(np.sort(keys | codes.astype(np.uint64)), rows, seen, largest)
                drift += largest / (rows * len(column))
    return [drift / X.shape[1] for drift in drifts]


def _sortable(column: NDArray[np.float32]) -> NDArray[np.uint64]:
    """Keys that sort as floats do, missing ones last, in the upper half of 64 bits."""
    bits = (column + np.float32(0)).view(np.uint32)  # -0 becomes 0
    keys = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    keys[np.isnan(column)] = 2**32 - 1
    return keys.astype(np.uint64) << np.uint64(32)


def _total_variation(column: NDArray[np.float32], codes: NDArray[np.int64], rows: NDArray[np.int64]) -> Measure:
    found, place = np.unique(column, return_inverse=True)
    counts = np.bincount(codes * len(found) + place, minlength=len(rows) * len(found)).reshape(len(rows), -1)
    difference = counts / rows[:, None] - counts.sum(axis=0) / len(column)
    total: Measure = np.abs(difference).sum(axis=1) / 2
    return total
