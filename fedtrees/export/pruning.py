"""Cost-complexity pruning: splits that save less impurity than a leaf costs are taken back."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.tree._tree import Tree as NativeTree
from sklearn.tree._tree import _build_pruned_tree_ccp

from fedtrees.trees.model.tree import LEAF, Tree


def pruned(tree: Tree, native: NativeTree, alpha: float) -> Tree:
    """The smallest of the subtrees that cost least, where a leaf costs ``alpha``.

    Breiman et al. (1984), chapter 3: the weakest link, the split whose subtree saves least a leaf, goes first. What
    nodes save follows from their sums, so that pruning asks the silos nothing. scikit-learn decides which links go,
    in its arithmetic: an alpha of `sklearn.tree._tree.ccp_pruning_path` takes back the link that it is of.

    Parameters
    ----------
    tree : Tree
    native : sklearn.tree._tree.Tree
        The same tree as `export.sklearn` makes it.
    alpha : float
        Impurity, weighted by the share of rows, that a leaf must save.
    """
    smaller = NativeTree(native.n_features, native.n_classes, native.n_outputs)
    _build_pruned_tree_ccp(smaller, native, alpha)
    inner = np.zeros(tree.n_nodes, bool)
    node, kept = np.zeros(1, np.intp), np.zeros(1, np.intp)  # the same nodes in the tree and in the smaller one
    while len(node):
        split = smaller.children_left[kept] >= 0
        node, kept = node[split], kept[split]
        inner[node] = True
        node = np.concatenate([tree.left[node], tree.left[node] + 1])
        kept = np.concatenate([smaller.children_left[kept], smaller.children_right[kept]])
    return _kept(tree, inner)


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
        tree.sums[there] if len(tree.sums) else tree.sums,
        tree.bounds[there] if len(tree.bounds) else tree.bounds,
        None if tree.moments is None else tree.moments.take(there),
    )


def _there(tree: Tree, inner: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The nodes of the tree of these splits alone."""
    there = np.zeros(tree.n_nodes, bool)
    there[0] = True
    there[tree.left[inner]] = there[tree.left[inner] + 1] = True
    return there
