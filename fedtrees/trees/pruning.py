"""Cost-complexity pruning: splits that save less impurity than a leaf costs are taken back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedtrees.trees.tree import LEAF, Tree


def pruned(tree: Tree, alpha: float, mass: float) -> Tree:
    """The smallest of the subtrees that cost least, where a leaf costs ``alpha``.

    Breiman et al. (1984), chapter 3: the weakest link, the split whose subtree saves least a leaf, goes first. What a
    subtree saves are its gains, so that pruning asks the silos nothing.

    Parameters
    ----------
    tree : Tree
    alpha : float
        Impurity, weighted by the share of rows, that a leaf must save.
    mass : float
        The weight of the tree's rows.
    """
    return _kept(tree, _splits_kept(tree, alpha, mass))


def _splits_kept(tree: Tree, alpha: float, mass: float) -> NDArray[np.bool_]:
    """Which nodes are still split, bool (nodes,)."""
    inner: NDArray[np.bool_] = tree.feature != LEAF
    if not alpha:
        return inner
    saved, leaves = tree.gain.astype(np.float64) / mass, np.ones(tree.n_nodes, np.int64)
    parent = np.full(tree.n_nodes, LEAF, np.int64)
    for node in np.flatnonzero(inner)[::-1].tolist():  # children stand further on
        children = slice(tree.left[node], tree.left[node] + 2)
        saved[node] += saved[children].sum()
        leaves[node] = leaves[children].sum()
        parent[children] = node
    while inner.any():
        link = np.where(inner, saved / np.maximum(leaves - 1, 1), np.inf)
        weakest = int(np.argmin(link))
        if link[weakest] > alpha:
            break
        _cut_off(tree, inner, weakest)
        less, fewer, node = saved[weakest], leaves[weakest] - 1, weakest
        while node != LEAF:
            saved[node] -= less
            leaves[node] -= fewer
            node = int(parent[node])
    return inner


def _cut_off(tree: Tree, inner: NDArray[np.bool_], node: int) -> None:
    """Make a leaf of a node, and of all below it."""
    below = [node]
    while below:
        own = below.pop()
        if inner[own]:
            inner[own] = False
            below += [int(tree.left[own]), int(tree.left[own]) + 1]


def _kept(tree: Tree, inner: NDArray[np.bool_]) -> Tree:
    """The tree of these splits alone."""
    there = _there(tree, inner)
    place = np.cumsum(there) - 1
    split = inner[there]
    return Tree(
        np.where(split, tree.feature[there], LEAF).astype(np.int32),
        np.where(split, tree.bin[there], 0).astype(np.int32),
        tree.default_left[there] & split,
        np.where(split, place[tree.left[there]], LEAF).astype(np.int32),
        tree.value[there],
        np.where(split, tree.gain[there], 0),
        tree.cover[there],
        {},
        tree.sums[there],
        tree.bounds[there] if len(tree.bounds) else tree.bounds,
    )


def _there(tree: Tree, inner: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The nodes of the tree of these splits alone."""
    there = np.zeros(tree.n_nodes, bool)
    there[0] = True
    there[tree.left[inner]] = there[tree.left[inner] + 1] = True
    return there
