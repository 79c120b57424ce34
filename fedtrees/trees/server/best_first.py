"""The order in which best-first growth splits the nodes of a tree: the largest gain first."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Order:
    """The next splits of best-first growth, as far as gains are known.

    Attributes
    ----------
    split : list of int
        The nodes it splits, in order, as far as is known.
    open : dict of int to int
        The nodes of them that are not split yet, and the number of leaves once each is. What their children gain is
        not known: they may put off, or take the place of, whatever follows.
    """

    split: list[int]
    open: dict[int, int]


def best_first(
    left: NDArray[np.int32], gain: NDArray[np.floating], candidates: Mapping[int, float], max_leaves: int
) -> Order:
    """Order the splits of a tree as XGBoost's ``grow_policy="lossguide"`` does: of equal gains the older node first.

    Law: a node that is not in the order now will never be, whatever gains are found later.

    Parameters
    ----------
    left : int32 (nodes,)
        The left child, negative where a node is not split.
    gain : float32 or float64 (nodes,)
        As the rule compares them.
    candidates : dict of int to float
        The gains of nodes that are not split.
    max_leaves : int
        0 is no limit.

    Examples
    --------
    >>> left = np.int32([1, -1, -1])
    >>> best_first(left, np.array([9.0, 0, 0]), {1: 2.0, 2: 5.0}, max_leaves=3)
    Order(split=[0, 2], open={2: 3})
    """
    known = {int(node): float(gain[node]) for node in np.flatnonzero(left >= 0)} | dict(candidates)
    order = Order([], {})
    # the nodes' numbers are those of the finished tree
    heap = [(-known[0], 0, 0)] if 0 in known else []
    following, leaves = 1, 1
    while heap and (not max_leaves or leaves < max_leaves):
        _, _, node = heapq.heappop(heap)
        order.split.append(node)
        leaves += 1
        if left[node] < 0:
            order.open[node] = leaves
        else:
            for side in range(2):
                child = int(left[node]) + side
                if child in known:
                    heapq.heappush(heap, (-known[child], following + side, child))
        following += 2
    return order
