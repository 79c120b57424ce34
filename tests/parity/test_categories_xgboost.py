"""Splits by category are XGBoost's: the same trees, node for node, the same names in the model, the same scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import reference_data
import xgboost
from sklearn.metrics import roc_auc_score
from strategies import model_bytes
from xgboost_twin import same_trees, trained, trees_of, with_categories

from fedtrees import (
    DataError,
    FedGBTClassifier,
    FedGBTRegressor,
    LocalFederation,
    Silo,
)
from fedtrees.export.categories import vocabularies_of
from fedtrees.export.xgboost import to_booster
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.tree import Tree

X, Y, WEIGHT = with_categories(600)
SMALL: dict[str, Any] = {"n_estimators": 4, "max_depth": 4, "n_jobs": 1, "enable_categorical": True}
MODEL = FedGBTRegressor(**SMALL).fit(X, Y, silos=np.arange(len(Y)) % 3, sample_weight=WEIGHT)


@pytest.mark.slow_without_jit
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"max_cat_to_onehot": 200},
        {"max_cat_threshold": 5},
        {"max_cat_to_onehot": 1, "max_cat_threshold": 1},
        {"reg_alpha": 0.5, "reg_lambda": 0.0, "min_child_weight": 3.0},
        {"max_delta_step": 0.3},
        {"monotone_constraints": {"a": 1, "b": -1}, "seed": 3},
        {"interaction_constraints": [["a", "few"], ["some", "b", "many"]]},
        {"grow_policy": "lossguide", "max_leaves": 20, "max_depth": 0},
        {"objective": "binary:logistic"},
        {"objective": "multi:softprob"},
    ],
    ids=str,
)
@pytest.mark.parametrize("missing", [0.0, 0.1])
def test_trees_are_those_of_xgboost_node_for_node(params: dict[str, Any], missing: float) -> None:
    params = {"max_depth": 5, "enable_categorical": True} | params
    frame, y, weight = with_categories(seed=params.pop("seed", 0), missing=missing)
    shares = {"binary:logistic": [0.4], "multi:softprob": [0.3, 0.6]}.get(params.get("objective", ""))
    y = y if shares is None else np.digitize(y, np.quantile(y, shares)).astype(float)
    ours, theirs = trained(frame, y, weight, 6, **params)
    assert same_trees(ours, theirs) > 100
    assert any(tree["categories_nodes"] for tree in trees_of(ours)) == (params.get("max_cat_threshold") != 1)
    other = xgboost.DMatrix(
        with_categories(seed=9)[0][: len(y)].set_axis(frame.columns, axis=1), enable_categorical=True
    )
    np.testing.assert_allclose(ours.predict(other), theirs.predict(other), atol=1e-4)


def test_splits_by_category_have_no_threshold() -> None:
    asked = 0
    for tree in trees_of(MODEL.booster_):
        by_category = np.array(tree["split_type"]) == 1
        assert np.flatnonzero(by_category).tolist() == tree["categories_nodes"]
        assert not np.array(tree["split_conditions"])[by_category].any()
        asked += by_category.sum()
    assert asked > 4


def test_categories_are_written_as_xgboost_writes_them() -> None:
    theirs = xgboost.XGBRegressor(n_estimators=1, enable_categorical=True).fit(X, Y).get_booster()
    own, other = (
        json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["cats"]
        for booster in (MODEL.booster_, theirs)
    )
    assert own == other
    assert vocabularies_of(theirs) == vocabularies_of(MODEL.booster_)
    assert MODEL.booster_.feature_types == ["float"] * 5 + ["c"] * 4


@pytest.mark.parametrize("codes", [[3, -2, 7], [2**40, -(2**40), 1], [2**63 - 1, 0, -(2**63) + 1]], ids=str)
@pytest.mark.parametrize("widths", [None, [64]], ids=str)
def test_whole_numbers_of_64_bits_are_written_and_read(codes: list[int], widths: Any) -> None:
    cuts = Cuts(np.float32([1, 2, 3]), np.array([0, 3]), np.array([False]), categorical=np.array([True]))
    stump = Tree(
        np.int32([0, -1, -1]), np.int32([0, 0, 0]), np.zeros(3, bool), np.int32([1, -1, -1]), np.float32([0, 1, 2]),
        np.float32([1, 0, 0]), np.float32([3, 2, 1]), {0: np.int32([1])},
    )  # fmt: skip
    booster = to_booster(
        [stump], cuts, objective="reg:squarederror", base_margin=[0], feature_names=["c"], feature_types=["c"],
        categories=[codes], widths=widths,
    )  # fmt: skip
    frame = pd.DataFrame({"c": pd.Categorical(codes[::-1], sorted(codes))})
    said = booster.predict(xgboost.DMatrix(frame, enable_categorical=True))
    assert said.tolist() == [1, 2, 1] and vocabularies_of(booster) == [codes]


@pytest.mark.parametrize("names", [["b", "a", "ab", "", "aa", "B"], ["b", "é", "a", "ab", "", "日本", "ß"]], ids=str)
def test_texts_are_cut_and_sorted_as_xgboost_does(names: list[str]) -> None:
    frame = pd.DataFrame({"c": pd.Categorical(names * 9, names)})
    y = np.arange(63.0)[: len(frame)] % len(names)
    theirs = xgboost.XGBRegressor(n_estimators=1, enable_categorical=True).fit(frame, y).get_booster()
    ours = FedGBTRegressor(n_estimators=1, enable_categorical=True).fit(frame, y)
    own, other = (
        json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["cats"]
        for booster in (ours.booster_, theirs)
    )
    assert own == other
    matrix = xgboost.DMatrix(frame, enable_categorical=True)
    assert ours.booster_.predict(matrix).tobytes() == ours.predict(frame).tobytes()
    assert ours.predict(frame.iloc[::-1].assign(c=frame["c"].cat.reorder_categories(names[::-1])))[::-1].tolist() == (
        ours.predict(frame).tolist()
    )


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "int64"])
def test_whole_numbers_keep_their_width(kind: str) -> None:
    numbers = np.random.default_rng(0).choice(np.array([30, 10, 20, 7, -3], kind), 90)
    frame = pd.DataFrame({"c": pd.Categorical(numbers)})
    assert frame["c"].cat.categories.dtype == kind
    ours = FedGBTRegressor(n_estimators=2, enable_categorical=True).fit(frame, numbers % 4)
    theirs = xgboost.XGBRegressor(n_estimators=2, enable_categorical=True).fit(frame, numbers % 4)
    own, other = (
        json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["cats"]
        for booster in (ours.booster_, theirs.get_booster())
    )
    assert own == other
    assert (
        ours.booster_.predict(xgboost.DMatrix(frame, enable_categorical=True)).tobytes()
        == ours.predict(frame).tobytes()
    )
    # where silos have numbers of several widths, 64 bits hold them all
    silos = [
        Silo(
            name, frame.astype({"c": pd.CategoricalDtype(np.array(sorted(set(numbers.tolist())), width))}), numbers % 4
        )
        for name, width in (("mayo", kind), ("ucla", "int64"))
    ]
    both = FedGBTRegressor(n_estimators=2, enable_categorical=True).fit_federation(LocalFederation(silos))
    wide = frame.astype({"c": pd.CategoricalDtype(np.array([-3, 7, 10, 20, 30], np.int64))})
    assert (
        both.booster_.predict(xgboost.DMatrix(wide, enable_categorical=True)).tobytes() == both.predict(frame).tobytes()
    )


def test_names_that_xgboost_did_not_keep_are_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"c": pd.Categorical(["é", "b", "ß"] * 9)})
    theirs = xgboost.XGBRegressor(n_estimators=1, enable_categorical=True).fit(frame, np.arange(27.0))
    theirs.save_model(tmp_path / "model.json")
    with pytest.raises(DataError, match="a model of categories beyond ASCII, whose names XGBoost did not keep"):
        FedGBTRegressor().load_model(tmp_path / "model.json")


def test_the_documented_example_has_xgboosts_scores() -> None:
    """XGBoost's tutorial on categorical data: few categories, each split from the others."""
    rng = np.random.RandomState(1994)
    table = pd.DataFrame({str(i): rng.randint(0, 4, 100) for i in range(11)})
    y = table.sum(axis=1) + 1
    frame = table.iloc[:, 1:].astype("category")
    for name in frame:
        frame[name] = frame[name].cat.set_categories(np.arange(4))
    params: dict[str, Any] = {"enable_categorical": True, "max_cat_to_onehot": 5}
    ours = FedGBTRegressor(**params).fit(frame, y, eval_set=[(frame, y)])
    theirs = xgboost.XGBRegressor(tree_method="hist", **params).fit(frame, y, eval_set=[(frame, y)], verbose=False)
    one_hot = pd.get_dummies(frame)
    encoded = FedGBTRegressor().fit(one_hot, y, eval_set=[(one_hot, y)])
    scores = [model.evals_result()["validation_0"]["rmse"] for model in (ours, theirs, encoded)]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-3, atol=2e-3)
    np.testing.assert_allclose(scores[0], scores[2], rtol=1e-3, atol=2e-3)
    booster = ours.get_booster()
    matrix = xgboost.DMatrix(frame, enable_categorical=True)
    shap = booster.predict(matrix, pred_contribs=True)
    np.testing.assert_allclose(shap.sum(axis=1), booster.predict(matrix, output_margin=True), rtol=1e-3)
    assert booster.feature_types == ["c"] * 10


@pytest.mark.slow_without_jit
def test_adult_scores_as_with_xgboost_and_is_the_same_over_real_silos() -> None:
    table = pd.read_csv(reference_data.path_of("adult_income.csv.gz"))
    train = (table["split"] == "train").to_numpy()
    y, frame = (table["income"] == ">50K").to_numpy(int), table.drop(columns=["income", "split"])
    for name in frame.select_dtypes(exclude="number"):
        frame[name] = frame[name].astype("category")
    silos = table["workclass"].fillna("unknown")
    params: dict[str, Any] = {"n_estimators": 60, "learning_rate": 0.1, "n_jobs": 2, "enable_categorical": True}
    theirs = xgboost.XGBClassifier(tree_method="hist", **params).fit(frame[train], y[train])
    ours = FedGBTClassifier(**params).fit(frame[train], y[train], silos=silos[train])
    areas = [roc_auc_score(y[~train], model.predict_proba(frame[~train])[:, 1]) for model in (ours, theirs)]
    assert areas[0] == pytest.approx(areas[1], abs=1e-3) and areas[0] > 0.92
    rows = np.flatnonzero(train)[::10]
    small: dict[str, Any] = params | {"n_estimators": 5}
    apart = [
        # each silo makes its own categories of its own texts
        Silo(
            name,
            own.apply(lambda column: column.astype(str).astype("category") if column.dtype == "category" else column),
            y[own.index],
        )
        for name, own in frame.iloc[rows].astype({"education": "category"}).groupby(silos.iloc[rows])
    ]
    pooled = frame.iloc[rows].apply(
        lambda column: column.astype(str).astype("category") if column.dtype == "category" else column
    )
    federated = FedGBTClassifier(**small).fit_federation(LocalFederation(apart))
    assert model_bytes(federated) == model_bytes(FedGBTClassifier(**small).fit(pooled, y[rows]))


def test_more_than_256_categories_each_have_a_bin() -> None:
    rng = np.random.default_rng(0)
    codes = rng.permutation(np.arange(2400) % 600)
    frame = pd.DataFrame({"c": pd.Categorical.from_codes(codes, [f"{k:03d}" for k in range(600)])})
    y = rng.normal(size=600)[codes]
    ours, theirs = trained(frame, y, None, 3, max_depth=3, max_cat_threshold=700, enable_categorical=True)
    same_trees(ours, theirs)


def test_codes_without_names_are_predicted_as_xgboost_does(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).integers(0, 9, (200, 2)).astype(np.float32)
    theirs = xgboost.XGBRegressor(n_estimators=3, enable_categorical=True, feature_types=["c", "q"])
    theirs.fit(codes, codes[:, 0] % 3).save_model(tmp_path / "model.json")
    assert (
        FedGBTRegressor().load_model(tmp_path / "model.json").predict(codes).tobytes()
        == theirs.predict(codes).tobytes()
    )
