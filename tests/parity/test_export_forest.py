"""Trees by impurity, forests and AdaBoost as XGBoost models: they predict what scikit-learn's own objects do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from strategies import examples

from fedtrees import (
    FedAdaBoostClassifier,
    FedAdaBoostRegressor,
    FedExtraTreesClassifier,
    FedForestClassifier,
    FedForestRegressor,
    FedGBTClassifier,
    FedTreeClassifier,
    FedTreeRegressor,
    ParameterError,
)
from fedtrees.export.forest import to_xgboost
from fedtrees.export.pruning import pruned
from fedtrees.export.sklearn import to_decision_tree
from fedtrees.export.xgboost import to_booster
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.tree import Tree

MODELS: list[Any] = [
    FedTreeClassifier(max_depth=5),
    FedTreeClassifier(max_leaf_nodes=6, ccp_alpha=0.002),
    FedTreeRegressor(max_depth=6),
    FedForestClassifier(12, max_depth=5),
    FedForestRegressor(12, max_depth=5, max_features=2),
    FedExtraTreesClassifier(9, max_depth=7),
    FedAdaBoostClassifier(12, max_depth=2),
    FedAdaBoostClassifier(9, learning_rate=0.4),
]


def table(seed: int, classes: int, missing: float, rows: int = 160) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = np.round(rng.normal(size=(rows, 4)), 1).astype(np.float32)
    X[rng.random(X.shape) < missing] = np.nan
    noisy = np.nan_to_num(X[:, 0]) - 2 * np.isnan(X[:, 1]) + np.nan_to_num(X[:, 2]) ** 2 + rng.normal(size=rows) / 2
    return pd.DataFrame(X, columns=list("abcd")), pd.qcut(noisy, classes, labels=False) if classes else noisy


# law: to_xgboost
@examples(60)
@given(
    estimator=st.sampled_from(MODELS), classes=st.integers(2, 4), missing=st.sampled_from([0.0, 0.2]),
    named=st.booleans(), seed=st.integers(0, 9),
)  # fmt: skip
def test_a_booster_predicts_the_same(estimator: Any, classes: int, missing: float, named: bool, seed: int) -> None:
    X, y = table(seed, classes if estimator._classifies else 0, missing)
    rows = X if named else X.to_numpy()
    model = clone(estimator).set_params(n_jobs=1).fit(rows, y, silos=np.arange(len(y)) % 3)
    said = model.to_booster().inplace_predict(X.to_numpy(), validate_features=False)
    if not model._classifies:
        expected = model.predict(rows)
    elif classes == 2:
        expected = model.predict_proba(rows)[:, 1]
    else:
        expected = model.predict_proba(rows)
    np.testing.assert_allclose(said, expected, rtol=2e-6, atol=2e-6)
    assert model.to_booster().feature_names == (list("abcd") if named else None)


@pytest.mark.parametrize("flipped", [False, True])
def test_numbers_at_the_end_of_float32_are_told_from_the_missing(flipped: bool) -> None:
    top = np.finfo(np.float32).max
    rows = np.float32([[top, 1], [top, 2], [np.nan, 1], [np.nan, 2], [-top, 1]] * 4)
    y = (np.isnan(rows[:, 0]) ^ flipped).astype(int)
    for width in (1, 2):
        model = FedTreeClassifier().fit(rows[:, :width], y)
        said = model.to_booster().inplace_predict(rows[:, :width])
        assert said.tolist() == model.predict_proba(rows[:, :width])[:, 1].tolist() == y.tolist()


def test_a_split_of_the_missing_alone_sends_all_values_right() -> None:
    """A node below the first bin: whatever there is goes right, the least value of all as well."""
    cuts = Cuts(np.float32([1, 2]), np.array([0, 2]), np.array([True]))
    stump = Tree(
        np.int32([0, -1, -1]), np.int32([-1, 0, 0]), np.array([True, True, False]), np.int32([1, -1, -1]),
        np.float32([0, 0, 1]), np.float32([1, 0, 0]), np.float32([4, 2, 2]), sums=np.array([[2.0, 2], [2, 0], [0, 2]]),
    )  # fmt: skip
    least = np.finfo(np.float32).min
    rows = np.float32([[np.nan], [least], [-1], [0.5], [1], [1.5], [9]])
    own = to_decision_tree(stump, cuts, np.array([0, 1]))
    assert own.predict(rows).tolist() == [0, 1, 1, 1, 1, 1, 1]
    booster = to_booster([stump], cuts, objective="reg:squarederror", base_margin=[0])
    assert booster.inplace_predict(rows).tolist() == own.predict(rows).tolist()
    (written,) = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
    assert (
        own.tree_.missing_go_to_left.tolist() == written["default_left"] == [1, 0, 0]
    )  # of leaves, none goes anywhere


@pytest.mark.parametrize("values", [0, 2])
@pytest.mark.parametrize(("feature", "features"), [(0, 1), (0, 2), (1, 2)])
def test_a_split_of_the_missing_alone_needs_no_cut(feature: int, features: int, values: int) -> None:
    """Whether or not others split by a threshold, and by the last of the columns, too."""
    cuts = Cuts(
        np.arange(values * features, dtype=np.float32), values * np.arange(features + 1), np.ones(features, bool)
    )
    stump = Tree(
        np.int32([feature, -1, -1]), np.int32([-1, 0, 0]), np.array([True, False, False]), np.int32([1, -1, -1]),
        np.float32([0, 0, 1]), np.float32([1, 0, 0]), np.float32([4, 2, 2]), sums=np.array([[2.0, 2], [2, 0], [0, 2]]),
    )  # fmt: skip
    rows = np.full((4, features), 0.5, np.float32)
    rows[:, feature] = [np.nan, np.finfo(np.float32).min, 0, 9]
    own = to_decision_tree(stump, cuts, np.array([0, 1]))
    direct = to_booster([stump], cuts, objective="reg:squarederror", base_margin=[0])
    for booster in (direct, to_xgboost(own)):
        assert booster.inplace_predict(rows).tolist() == own.predict(rows).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("cut", [1.0, 0.1, 0.0, -0.0, -3.5, 1e-45, 3e38])
def test_a_value_at_a_cut_goes_right_and_the_next_one_below_goes_left(cut: float) -> None:
    cuts = Cuts(np.float32([cut, np.inf]), np.array([0, 2]), np.array([False]))
    stump = Tree(
        np.int32([0, -1, -1]), np.int32([0, 0, 0]), np.zeros(3, bool), np.int32([1, -1, -1]), np.float32([0, 0, 1]),
        np.float32([1, 0, 0]), np.float32([4, 2, 2]), sums=np.array([[2.0, 2], [2, 0], [0, 2]]),
    )  # fmt: skip
    at = np.float32(cut)
    rows = np.array([[np.nextafter(at, np.float32(-np.inf))], [at], [np.nextafter(at, np.float32(np.inf))]])
    own = to_decision_tree(stump, cuts, np.array([0, 1]))
    booster = to_booster([stump], cuts, objective="reg:squarederror", base_margin=[0])
    assert own.predict(rows).tolist() == booster.inplace_predict(rows).tolist() == [0, 1, 1]
    assert own.predict([[0.0], [-0.0]]).tolist() == [int(cut <= 0)] * 2


@pytest.mark.parametrize("estimator", MODELS, ids=repr)
def test_fitted_trees_have_the_attributes_of_scikit_learns(estimator: Any) -> None:
    """Columns, classes, outputs and the features that a node asks for; a fit of the same class has the same."""
    X, y = table(1, 3 if estimator._classifies else 0, 0)
    model = clone(estimator).set_params(n_jobs=1).fit(X, y).model_
    trees = getattr(model, "estimators_", [model])
    for tree in trees[:2]:
        theirs = clone(tree).fit(X, y)
        for name in ("n_features_in_", "n_outputs_", "max_features_", "n_classes_"):
            assert getattr(tree, name, None) == getattr(theirs, name, None), name
        assert (tree.tree_.n_features, tree.tree_.n_outputs) == (4, 1)


def test_pruned_nodes_are_leaves_and_nothing_else() -> None:
    X, y = table(0, 3, 0.1)
    booster = FedTreeClassifier(max_depth=5, ccp_alpha=0.01).fit(X, y).to_booster()
    (written, *_) = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
    leaf = np.array(written["left_children"]) < 0
    assert 3 < leaf.sum() < len(np.unique(FedTreeClassifier(max_depth=5).fit(X, y).apply(X)))
    for name in ("loss_changes", "split_indices", "default_left"):
        assert not np.array(written[name])[leaf].any()
    assert (np.array(written["loss_changes"])[~leaf] > 0).all()


def test_a_pruned_tree_is_the_tree_grown_with_those_splits_alone() -> None:
    """Of a leaf that was a split, nothing is left: neither its bin, nor its gain, nor where the missing went."""
    cuts = Cuts(np.float32([1, 2, 3]), np.array([0, 3]), np.array([True]))
    sums = np.array([[6.0, 6], [5, 2], [1, 4], [4, 1], [1, 1], [1, 0], [0, 1]])

    def grown(feature: list[int], bins: list[int], lost: list[bool], left: list[int], gain: list[float]) -> Tree:
        n = len(feature)
        return Tree(
            np.int32(feature), np.int32(bins), np.array(lost), np.int32(left), np.zeros(n, np.float32),
            np.float32(gain), np.float32(sums[:n].sum(axis=1)), sums=sums[:n],
        )  # fmt: skip

    leaves = [-1] * 2
    tree = grown([0, 0, *leaves, 0, *leaves], [1, 0, 0, 0, 1, 0, 0], [False, True, False, False, True, False, False],
                 [1, 3, -1, -1, 5, -1, -1], [3, 0.5, 0, 0, 0.25, 0, 0])  # fmt: skip
    native = to_decision_tree(tree, cuts, np.array([0, 1])).tree_
    smaller = pruned(tree, native, 0.1)
    expected = grown([0, *leaves], [1, 0, 0], [False] * 3, [1, *leaves], [3, 0, 0])
    for name in ("feature", "bin", "default_left", "left", "value", "gain", "cover", "sums", "bounds"):
        left, right = getattr(smaller, name), getattr(expected, name)
        assert left.dtype == right.dtype and left.tolist() == right.tolist(), name
    assert pruned(tree, native, 9.0).feature.tolist() == [-1] and pruned(tree, native, 0.0).n_nodes == 7


@pytest.mark.parametrize("threshold", [0.5, -2.0, 0.1, 1e-45])
@pytest.mark.parametrize("numbers", [False, True])
def test_a_value_at_a_threshold_of_scikit_learns_goes_left(threshold: float, numbers: bool) -> None:
    """Its trees say x <= threshold, whether or not a float32 is the threshold itself."""
    kind = DecisionTreeRegressor if numbers else DecisionTreeClassifier
    theirs = kind().fit([[threshold - 1], [threshold + 1]], [0, 1])
    state = theirs.tree_.__getstate__()
    state["nodes"]["threshold"][0] = threshold
    theirs.tree_.__setstate__(state)
    at = np.float32(threshold)
    rows = np.array([[np.nextafter(at, np.float32(-np.inf))], [at], [np.nextafter(at, np.float32(np.inf))]])
    expected = theirs.predict(rows).tolist()
    assert expected == [0, int(float(at) > threshold), 1]
    assert to_xgboost(theirs).inplace_predict(rows).tolist() == expected


def test_a_tree_that_splits_nothing_is_a_model_too() -> None:
    model = FedTreeRegressor().fit(np.zeros((6, 1)), np.arange(6.0))
    assert model.to_booster().inplace_predict(np.zeros((1, 1))).tolist() == [2.5]


def test_gains_and_covers_are_the_trees_own(tmp_path: Path) -> None:
    X, y = table(0, 2, 0.1)
    model = FedTreeClassifier(max_depth=3).fit(X, y)
    model.to_booster().save_model(tmp_path / "tree.json")
    plain = xgboost.Booster(model_file=str(tmp_path / "tree.json"))
    nodes = plain.trees_to_dataframe()
    assert nodes["Cover"].to_numpy()[0] == len(X)
    gains = plain.get_score(importance_type="total_gain")
    shares = {name: own / sum(gains.values()) for name, own in gains.items()}
    expected = {name: own for name, own in zip("abcd", model.feature_importances_, strict=True) if own}
    assert shares == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("weight", [3.0, 0.37])
@pytest.mark.parametrize(
    "estimator", [FedTreeRegressor(max_depth=3), FedTreeClassifier(max_depth=3), FedForestClassifier(3, max_depth=2),
                  FedTreeClassifier(max_depth=3, class_weight={0: 5.0, 1: 0.25})], ids=repr,
)  # fmt: skip
def test_covers_of_a_model_are_what_rows_weigh(estimator: Any, weight: float) -> None:
    X, y = table(3, 2 if estimator._classifies else 0, 0.1)
    weights = np.where(np.arange(len(y)) % 3, 1.0, weight)
    model = clone(estimator).set_params(n_jobs=1).fit(X, y, sample_weight=weights)
    trees = getattr(model.model_, "estimators_", [model.model_])
    written = json.loads(model.to_booster().save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
    assert len(written) == len(trees)
    for own, tree in zip(written, trees, strict=True):
        np.testing.assert_allclose(own["sum_hessian"], tree.tree_.weighted_n_node_samples, rtol=1e-6)
        assert own["sum_hessian"][0] != len(y)
        inner = np.array(own["left_children"]) >= 0
        impure = tree.tree_.weighted_n_node_samples * tree.tree_.impurity
        gains = impure - impure[own["left_children"]] - impure[own["right_children"]]
        np.testing.assert_allclose(np.array(own["loss_changes"])[inner], gains[inner], rtol=1e-3, atol=1e-5)


def test_shap_of_a_forest_adds_up() -> None:
    X, y = table(1, 2, 0.1)
    model = FedForestClassifier(10, max_depth=4).fit(X, y)
    parts = model.to_booster().predict(xgboost.DMatrix(X), pred_contribs=True)
    np.testing.assert_allclose(parts.sum(axis=1), model.predict_proba(X)[:, 1], atol=1e-5)


def test_a_weighted_median_is_refused() -> None:
    X, y = table(0, 0, 0.0)
    with pytest.raises(ParameterError, match="a weighted median of its trees, which no XGBoost model is"):
        FedAdaBoostRegressor(3).fit(X, y).to_booster()
    with pytest.raises(NotFittedError):
        FedForestClassifier().to_booster()


def test_boosting_may_go_on_from_an_adaboost() -> None:
    X, y = table(2, 2, 0.0)
    votes = FedAdaBoostClassifier(5).fit(X, y)
    model = FedGBTClassifier(3).fit(X, y, xgb_model=votes.to_booster())
    assert model.booster_.num_boosted_rounds() == 8
    assert model.score(X, y) >= votes.score(X, y)
