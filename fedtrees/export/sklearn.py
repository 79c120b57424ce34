"""Grown trees as fitted trees of scikit-learn, which predict, plot and explain as if they had been fitted there.

A row goes left here where ``x < cut``, and there where ``x <= threshold``: the threshold is the largest float64 below
the cut, which parts float32 values alike. Where rows that miss a feature go is kept with the node there, too.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor
from sklearn.tree._tree import NODE_DTYPE
from sklearn.tree._tree import Tree as NativeTree

from fedtrees.core.arguments import Features
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.tree import LEAF, Tree

DecisionTree: TypeAlias = DecisionTreeClassifier | DecisionTreeRegressor

UNDEFINED = -2  # what scikit-learn writes as a leaf's feature and threshold


def to_decision_tree(
    tree: Tree,
    cuts: Cuts,
    classes: NDArray[np.generic] | list[NDArray[np.generic]] | None,
    base: NDArray[np.float64] | None = None,
    names: NDArray[np.generic] | None = None,
    random: bool = False,
    **params: object,
) -> DecisionTree:
    """A fitted tree of scikit-learn that predicts what a grown one does.

    Parameters
    ----------
    tree : Tree
        With the sums of its nodes' classes, or their moments.
    cuts : Cuts
        The thresholds of the tree's bins.
    classes : (classes,) or list of (classes,), optional
        The labels, of each output where there are several; None for a regression.
    base : float64 (outputs,), optional
        Of a regression, what bounds of monotone constraints are measured from.
    names : (features,), optional
        The columns' names.
    random : bool, default False
        Whether its thresholds were drawn: then it is an extra tree of scikit-learn's, which predicts alike.
    **params
        Of the estimator.

    Examples
    --------
    >>> cuts = Cuts(values=np.float32([37.5, 90]), offsets=np.array([0, 2]), missing=np.array([False]))
    >>> stump = Tree(
    ...     feature=np.int32([0, -1, -1]),
    ...     bin=np.int32([0, 0, 0]),
    ...     default_left=np.array([False, False, False]),
    ...     left=np.int32([1, -1, -1]),
    ...     value=np.float32([0, 0, 1]),
    ...     gain=np.float32([2, 0, 0]),
    ...     cover=np.float32([8, 4, 4]),
    ...     sums=np.array([[4.0, 4.0], [3.0, 1.0], [1.0, 3.0]]),
    ... )
    >>> to_decision_tree(stump, cuts, np.array(["ill", "well"])).predict([[20.0], [37.5]]).tolist()
    ['ill', 'well']
    """
    kinds = (ExtraTreeClassifier, ExtraTreeRegressor) if random else (DecisionTreeClassifier, DecisionTreeRegressor)
    model = kinds[classes is None](**params)
    model.n_features_in_, model.n_outputs_ = cuts.n_features, 1
    if tree.moments is not None:
        model.n_outputs_ = tree.moments.mean.shape[1]
    n_classes: list[int] | None = None
    if isinstance(classes, list):
        n_classes = [len(labels) for labels in classes]
        model.n_outputs_, model.classes_, model.n_classes_ = len(classes), classes, np.array(n_classes, np.intp)
    elif classes is not None:
        n_classes = [len(classes)]
        model.classes_, model.n_classes_ = classes, len(classes)
    if names is not None:
        model.feature_names_in_ = names
    model.tree_ = native_tree(tree, cuts, base, None if classes is None else model.criterion, n_classes)
    return model


def native_tree(
    tree: Tree, cuts: Cuts, base: NDArray[np.float64] | None, criterion: str | None, n_classes: list[int] | None = None
) -> NativeTree:
    """The arrays that scikit-learn's predictions walk.

    criterion: str, optional; of a classification, the measure of impurity
    n_classes: list of int, optional; of a classification, the classes of each output
    """
    inner = tree.feature != LEAF
    nodes = np.zeros(tree.n_nodes, NODE_DTYPE)
    nodes["left_child"] = np.where(inner, tree.left, LEAF)
    nodes["right_child"] = np.where(inner, tree.left + 1, LEAF)
    nodes["feature"] = np.where(inner, tree.feature, UNDEFINED)
    nodes["threshold"] = np.where(inner, _thresholds(tree, cuts, inner), UNDEFINED)
    nodes["missing_go_to_left"] = tree.default_left & inner
    outputs = 1 if n_classes is None else len(n_classes)
    values, weight = _values(tree, outputs)
    nodes["weighted_n_node_samples"] = weight
    # rows count as often as they weigh; the cover is a float32, and exact where classes have weights of their own only
    rows = np.where(weight.astype(np.float32) == tree.cover, weight, tree.cover)
    nodes["n_node_samples"] = np.rint(np.minimum(rows, 2.0**62)).astype(np.intp)
    if n_classes is None:
        n_classes = [1] * values.shape[1]
        nodes["impurity"] = _impurities(tree, values, criterion)
    else:
        by_output = [_impurities(tree, shares, criterion) for shares in np.split(values, outputs, axis=1)]
        nodes["impurity"] = np.mean(by_output, axis=0)
    if len(tree.bounds):
        values = _within_bounds(values, tree.bounds, base)
    native = NativeTree(cuts.n_features, np.array(n_classes, np.intp), len(n_classes))
    # of an output of fewer classes than others, or where all have one only, sums have room for more
    values = values.reshape(tree.n_nodes, len(n_classes), -1)[:, :, : max(n_classes)].copy()
    native.__setstate__({"max_depth": _depth(tree), "node_count": tree.n_nodes, "nodes": nodes, "values": values})
    return native


def _thresholds(tree: Tree, cuts: Cuts, inner: NDArray[np.bool_]) -> NDArray[np.float64]:
    at = cuts.offsets[np.where(inner, tree.feature, 0)] + np.maximum(tree.bin, 0)
    cut = cuts.values[np.minimum(at, max(len(cuts.values) - 1, 0))].astype(np.float64) if len(cuts.values) else 0.0
    below: NDArray[np.float64] = np.nextafter(cut, -np.inf)
    return np.where(tree.bin < 0, -np.inf, below)


def _values(tree: Tree, outputs: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Predictions of nodes, float64 (nodes, classes or outputs), and their weights."""
    if tree.moments is not None:
        return tree.moments.mean, tree.moments.weight
    weight = tree.sums[:, : tree.sums.shape[1] // outputs].sum(axis=1)  # which every output has
    return tree.sums / np.where(weight > 0, weight, 1.0)[:, None], weight


def _within_bounds(
    values: NDArray[np.float64], bounds: NDArray[np.float64], base: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Predictions of nodes under monotone constraints: of two classes, the share of the second keeps to bounds."""
    if base is not None:
        return np.clip(values, bounds[:, :1] + base, bounds[:, 1:] + base)
    second = np.clip(values[:, 1:], bounds[:, :1], bounds[:, 1:])
    return np.concatenate([1 - second, second], axis=1)


def _impurities(tree: Tree, values: NDArray[np.float64], criterion: str | None) -> NDArray[np.float64]:
    """Nodes' impurities."""
    if tree.moments is not None:
        return tree.moments.impurity
    if criterion == "gini":
        gini: NDArray[np.float64] = 1 - (values**2).sum(axis=1)
        return gini
    logs: NDArray[np.float64] = np.log2(np.where(values > 0, values, 1.0))
    entropy: NDArray[np.float64] = -(values * logs).sum(axis=1)
    return entropy


def _depth(tree: Tree) -> int:
    depth, at = 0, np.flatnonzero(tree.feature[:1] != LEAF)
    while len(at):
        below = np.concatenate([tree.left[at], tree.left[at] + 1])
        depth, at = depth + 1, below[tree.feature[below] != LEAF]
    return depth


class _TakesMissing:
    """A check of AdaBoost's rows that lets missing values through, which its trees can place.

    Rows were read before they come here, and staged predictions check theirs twice, the second time without names.
    """

    def _check_X(self, X: Features) -> Features:
        return np.asarray(X, np.float32)


class _MissingAdaBoostClassifier(_TakesMissing, AdaBoostClassifier):
    pass


class _MissingAdaBoostRegressor(_TakesMissing, AdaBoostRegressor):
    pass


def taking_missing(model: AdaBoostClassifier | AdaBoostRegressor) -> AdaBoostClassifier | AdaBoostRegressor:
    """The same fitted object, for rows that miss values, too."""
    kind = _MissingAdaBoostClassifier if isinstance(model, AdaBoostClassifier) else _MissingAdaBoostRegressor
    view = kind()
    view.__dict__.update(model.__dict__)
    return view
