"""Trees, forests and AdaBoost of classes as XGBoost models, for whatever serves or explains those."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xgboost
from numpy.typing import NDArray
from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor

from fedtrees.errors import ParameterError
from fedtrees.export.xgboost import storable_base_margin, to_booster
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.tree import LEAF, Tree
from fedtrees.trees.server.growing_tree import within

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator
    from sklearn.tree._tree import Tree as NativeTree

Values = NDArray[np.float64]


def to_xgboost(model: BaseEstimator, names: Sequence[str] | None = None) -> xgboost.Booster:
    """An XGBoost model that predicts what a fitted object of `export.sklearn` does, up to float32.

    Law: what it predicts is the number of a regression, the probability of the second of two classes, or that of each
    of more, and of one output after the other. A mean of trees is a sum of trees whose leaves are divided by their
    number; SAMME is a sum of votes whose softmax its probabilities are (Zhu et al. 2009, section 2.3).

    Parameters
    ----------
    model : DecisionTree*, RandomForest*, ExtraTrees* or AdaBoostClassifier
        Whose right children stand beside the left.
    names : sequence of str, optional
        The features'.

    Raises
    ------
    ParameterError
        For an AdaBoostRegressor: a weighted median of trees is no sum of them.
    """
    if isinstance(model, AdaBoostRegressor):
        raise ParameterError("AdaBoost's numbers are a weighted median of its trees, which no XGBoost model is.")
    trees = [fitted.tree_ for fitted in getattr(model, "estimators_", [model])]
    classes = getattr(model, "classes_", ())
    several = isinstance(classes, list)
    n_classes = 0 if several else len(classes)
    votes = isinstance(model, AdaBoostClassifier) and n_classes > 1  # of one class there is nothing to vote on
    values = _votes(model, trees) if votes else [tree.value.reshape(tree.node_count, -1) / len(trees) for tree in trees]
    if several:
        most = max(map(len, classes))
        columns = [
            k * most + place for k, labels in enumerate(classes) for place in range(len(labels) == 2, len(labels))
        ]
        values = [part[:, columns] for part in values]
    if n_classes == 2:
        values = [part[:, 1:] for part in values]
    cuts = _cuts(trees)
    bins = [_bins(tree, cuts) for tree in trees]
    outputs = range(values[0].shape[1])
    # rounds of a tree a class, or one round whose trees of a class stand side by side
    order = [(t, k) for t in range(len(trees)) for k in outputs] if votes else [
        (t, k) for k in outputs for t in range(len(trees))
    ]  # fmt: skip
    objective = "reg:squarederror" if not votes else "binary:logistic" if n_classes == 2 else "multi:softprob"
    return to_booster(
        [_tree(trees[t], values[t][:, k], bins[t]) for t, k in order],
        cuts,
        objective=objective,
        base_margin=storable_base_margin(objective, np.zeros(len(outputs), np.float32)),
        n_classes=n_classes if objective.startswith("multi:") else 0,
        n_targets=len(outputs),
        parallel=1 if votes else len(trees),
        feature_names=names,
    )


def _votes(model: AdaBoostClassifier, trees: Sequence[NativeTree]) -> list[Values]:
    """Values of leaves by class, float64 (nodes, classes), whose sum's softmax is that of the votes."""
    weights, n_classes = model.estimator_weights_[: len(trees)], len(model.classes_)
    # of two classes, the margin is the difference of the two
    scale = (2.0 if n_classes == 2 else 1.0 / (n_classes - 1)) / weights.sum()
    votes = []
    for tree, weight in zip(trees, weights * scale, strict=True):
        chosen = tree.value[:, 0, :].argmax(axis=1)[:, None] == np.arange(n_classes)
        votes.append(np.where(chosen, weight, -weight / (n_classes - 1)))
    return votes


def _cuts(trees: Sequence[NativeTree]) -> Cuts:
    """The thresholds that trees use, each once: bins of features all of which may be missing."""
    feature = np.concatenate([tree.feature for tree in trees])
    above = np.concatenate([_above(tree) for tree in trees])
    each = [np.unique(above[(feature == f) & ~np.isneginf(above)]) for f in range(trees[0].n_features)]
    offsets = np.concatenate([[0], np.cumsum([len(values) for values in each])]).astype(np.int64)
    return Cuts(np.concatenate(each).astype(np.float32), offsets, np.ones(len(each), bool))


def _above(tree: NativeTree) -> NDArray[np.float32]:
    """The least float32 above each threshold: x <= threshold is x < that."""
    with np.errstate(over="ignore"):
        near = tree.threshold.astype(np.float32)
    above: NDArray[np.float32] = np.where(near > tree.threshold, near, np.nextafter(near, np.float32(np.inf)))
    return np.where(np.isneginf(tree.threshold), np.float32(-np.inf), above)


def _bins(tree: NativeTree, cuts: Cuts) -> NDArray[np.int32]:
    """The bin of each node's threshold; -1 where only the missing go left."""
    above, bins = _above(tree), np.zeros(tree.node_count, np.int32)
    for f in np.unique(tree.feature[tree.feature >= 0]).tolist():
        (asking,) = np.nonzero(tree.feature == f)
        bins[asking] = np.searchsorted(cuts.values[cuts.offsets[f] : cuts.offsets[f + 1]], above[asking])
    bins[np.isneginf(above)] = -1
    return bins


def _tree(tree: NativeTree, values: Values, bins: NDArray[np.int32]) -> Tree:
    """One tree whose leaves have these values."""
    inner = tree.children_left != LEAF
    weight = tree.weighted_n_node_samples
    left = np.where(inner, tree.children_left, 0)
    impure = weight * tree.impurity
    return Tree(
        feature=np.where(inner, tree.feature, LEAF).astype(np.int32),
        bin=np.where(inner, bins, 0).astype(np.int32),
        default_left=np.asarray(tree.missing_go_to_left, bool),
        left=tree.children_left.astype(np.int32),
        value=values.astype(np.float32),
        gain=within(np.where(inner, impure - impure[left] - impure[np.where(inner, left + 1, 0)], 0.0), np.float32),
        cover=weight.astype(np.float32),
    )
