"""Leaf values in the order that monotone constraints ask for, where they were found after the splits.

Newton steps are bounded while a tree grows (`GrowingTree.constrain`). Quantiles of residuals, and leaves that one silo
refits, come later and may stand in any order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def in_order(
    feature: NDArray[np.integer],
    left: NDArray[np.integer],
    right: NDArray[np.integer],
    value: NDArray[np.float32],
    weight: NDArray[np.floating],
    direction: NDArray[np.int8],
) -> NDArray[np.float32]:
    """Return leaf values that keep to the directions of a tree's splits, each moved as little as that takes.

    Law: at a split by a feature that must not fall, no leaf on the left is above any on the right, as with XGBoost's
    own bounds; values that keep to this already come back as they are.

    From the root down, a threshold parts the leaves below either child: the one to which clipping moves the least
    weight times distance.

    Parameters
    ----------
    feature, left, right : int (nodes,)
        The feature is negative at a leaf. Children stand behind their parents.
    value : float32 (nodes,)
    weight : float (nodes,)
        The cost of moving a leaf.
    direction : int8 (features,)
        See `constraints.Constraints`.

    Returns
    -------
    float32 (nodes,)

    Examples
    --------
    >>> tree = np.array([0, -1, -1]), np.array([1, -1, -1]), np.array([2, -1, -1])
    >>> in_order(*tree, np.float32([0, 5, 3]), np.array([3.0, 1.0, 2.0]), np.int8([1])).tolist()
    [0.0, 3.0, 3.0]
    """
    inner = feature >= 0
    if not (direction[feature[inner]] != 0).any():
        return value
    leaves, first, middle, last = _leaves_below(inner, left, right)
    ordered, heavy = value[leaves], weight[leaves].astype(np.float64)
    for node in np.flatnonzero(inner):
        way = direction[feature[node]]
        if way:
            sides = slice(first[node], middle[node]), slice(middle[node], last[node])
            low, high = sides if way > 0 else sides[::-1]
            _part(ordered, heavy, low, high)
    moved = value.copy()
    moved[leaves] = ordered
    return moved


def _leaves_below(
    inner: NDArray[np.bool_], left: NDArray[np.integer], right: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the leaves from left to right, and of each node where its left and its right child's stand.

    Returns (leaves, first, middle, last), int64: a node's are ``leaves[first:last]``, its right child's from ``middle``
    on.
    """
    n = len(inner)
    count = np.where(inner, 0, 1)
    for node in range(n - 1, -1, -1):
        if inner[node]:
            count[node] = count[left[node]] + count[right[node]]
    first, middle = np.zeros(n, np.int64), np.zeros(n, np.int64)
    is_leaf = np.zeros(n, bool)  # XGBoost's pruned trees have nodes that no path leads to, too
    is_leaf[0] = not inner[0]
    for node in range(n):
        if inner[node]:
            first[left[node]] = first[node]
            first[right[node]] = middle[node] = first[node] + count[left[node]]
            is_leaf[left[node]], is_leaf[right[node]] = ~inner[left[node]], ~inner[right[node]]
    leaves = np.empty(count[0], np.int64)
    leaves[first[is_leaf]] = np.flatnonzero(is_leaf)
    return leaves, first, middle, first + count


def _part(value: NDArray[np.float32], weight: NDArray[np.float64], low: slice, high: slice) -> None:
    """Clip values that are to be low to a threshold from above, and those that are to be high from below."""
    if value[low].max() <= value[high].min():
        return
    values, weights = (np.concatenate([array[low], array[high]]) for array in (value, weight))
    order = np.argsort(values, kind="stable")
    # the cost is convex in the threshold, and least where as much weight lies up to it as is to be low
    place = np.searchsorted(np.cumsum(weights[order]), weight[low].sum())
    threshold = values[order[min(int(place), len(order) - 1)]]
    value[low] = np.minimum(value[low], threshold)
    value[high] = np.maximum(value[high], threshold)
