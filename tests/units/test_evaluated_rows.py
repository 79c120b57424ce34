"""Scores of rows unlike those of training: beyond all cuts, missing where none was, of many outputs and trees.

What silos score by bins is held to what the saved model predicts by values.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from fedtrees import FedGBTClassifier, FedGBTRegressor, LocalFederation

RNG = np.random.default_rng(0)


def log_loss(y: NDArray[np.int64], p: NDArray[np.floating]) -> float:
    return float(-np.log(p[np.arange(len(y)), y].astype(np.float64)).mean())


@pytest.mark.parametrize("values", [3, 254, 255, 256, 257])
@pytest.mark.parametrize("gaps", [False, True])
def test_rows_beyond_all_cuts_and_missing_where_none_was_go_as_in_the_model(values: int, gaps: bool) -> None:
    """At the ends of a byte: bins of values, of the missing, and of what lies beyond both."""
    X = np.tile(np.arange(values, dtype=np.float32), 3)[:, None]
    y = (np.sin(X[:, 0]) > 0).astype(int)
    if gaps:
        X[::7] = np.nan
    given: dict[str, Any] = {"n_estimators": 3, "max_depth": 8, "max_bin": 256 + 2, "min_child_weight": 0, "n_jobs": 1}
    other = np.float32([np.nan, -1e9, -1, 0, 1, values - 2, values - 1, values, values + 1, 1e9])[:, None]
    labels = np.arange(10) % 2
    model = FedGBTClassifier(**given).fit(X, y, eval_set=[(other, labels), (X, y)], silos=np.arange(len(X)) % 2)
    for place, (rows, own) in enumerate([(other, labels), (X, y)]):
        expected = log_loss(own, model.predict_proba(rows))
        assert model.evals_result_[f"validation_{place}"]["logloss"][-1] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("onehot", [1, 100])
def test_categories_that_are_missing_where_none_was_go_as_in_the_model(onehot: int) -> None:
    """And are not taken for the last category, which may stand on the other side of a split."""
    kinds = np.arange(60) % 4
    y = (kinds == 3).astype(int) ^ (np.arange(60) % 11 == 0)
    train = pd.DataFrame({"kind": pd.Categorical.from_codes(kinds, list("abcd")), "x": np.arange(60.0) % 7})
    other = pd.DataFrame({"kind": pd.Categorical.from_codes([-1, 0, 3, -1], list("abcd")), "x": [1.0, 2, 3, np.nan]})
    labels = np.array([0, 1, 0, 1])
    model = FedGBTClassifier(3, max_depth=2, min_child_weight=0, max_cat_to_onehot=onehot, n_jobs=1)
    model.fit(train, y, eval_set=[(other, labels)], silos=np.arange(60) % 2)
    expected = log_loss(labels, model.predict_proba(other))
    assert model.evals_result_["validation_0"]["logloss"][-1] == pytest.approx(expected, rel=1e-6)
    missing, last = model.predict_proba(other)[[0, 2], 1]
    assert onehot == 1 or abs(missing - last) > 0.1


@pytest.mark.parametrize("parallel", [1, 3])
def test_trees_side_by_side_of_many_classes_score_as_the_model_does(parallel: int) -> None:
    X = RNG.integers(0, 9, (120, 3)).astype(np.float32)
    y = (X[:, 0] // 3).astype(int)
    model = FedGBTClassifier(
        3, max_depth=2, num_parallel_tree=parallel, subsample=0.7, random_state=1, n_jobs=1, eval_metric="mlogloss"
    ).fit(X[:80], y[:80], eval_set=[(X[80:], y[80:])], silos=np.arange(80) % 2)  # fmt: skip
    for rounds in (1, 2, 3):
        p = model.predict_proba(X[80:], iteration_range=(0, rounds))
        score = model.evals_result_["validation_0"]["mlogloss"][rounds - 1]
        assert score == pytest.approx(log_loss(y[80:], p), rel=1e-6)


@pytest.mark.parametrize("parallel", [1, 2])
def test_several_targets_are_scored_by_the_weight_of_their_row(parallel: int) -> None:
    X = RNG.integers(0, 9, (120, 3)).astype(np.float32)
    y = np.column_stack([X[:, 0], X[:, 1] ** 2, RNG.normal(size=120)])
    weight = np.linspace(0.1, 5, 40)
    model = FedGBTRegressor(2, max_depth=2, num_parallel_tree=parallel, n_jobs=1)
    model.fit(X[:80], y[:80], eval_set=[(X[80:], y[80:], weight)], silos=np.arange(80) % 2)
    error = (model.predict(X[80:]).astype(np.float64) - y[80:]) ** 2
    expected = np.sqrt((error * weight[:, None]).sum() / (3 * weight.sum()))
    assert model.evals_result_["validation_0"]["rmse"][-1] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("mode", ["fused", "faithful"])
@pytest.mark.parametrize("way", ["histogram", "bagging"])
@pytest.mark.parametrize("weight", [None, 1.75])
def test_sums_of_several_targets_have_the_room_that_each_takes(mode: str, way: str, weight: float | None) -> None:
    """All targets' errors are of one power of two, with nearly all bits set: their sums are as large as they get."""
    X = np.zeros((40, 1), np.float32)
    y, other = np.zeros((40, 3)), np.full((40, 3), 4093.0)
    held_out = (X, other) if weight is None else (X, other, np.full(40, weight))
    federation = LocalFederation.from_table(
        X, y, silos=np.arange(40) % 2, eval_set=[held_out], eval_silos=[np.arange(40) % 2], mode=mode, n_jobs=1
    )
    model = FedGBTRegressor(2, mode=way, eval_metric=["rmse", "mae"], max_depth=1, n_jobs=1).fit_federation(federation)
    for scores in model.evals_result_["validation_0"].values():
        np.testing.assert_allclose(scores, [4093.0] * 2, rtol=1e-7)
