"""Criteria of regression trees: Poisson deviance against scikit-learn, and why others are none that sums give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import mean_poisson_deviance
from sklearn.tree import DecisionTreeRegressor
from strategies import examples

from fedtrees import (
    DataError,
    FedExtraTreesRegressor,
    FedForestRegressor,
    FedTreeClassifier,
    FedTreeRegressor,
    ParameterError,
)


def counts(seed: int, rows: int = 500, features: int = 3) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 20, (rows, features)).astype(np.float32)
    rate = np.exp(X[:, 0] / 6 - 2 + (X[:, 1] > 10) - 0.05 * X[:, 2])
    return X, rng.poisson(rate).astype(float), rng.uniform(1, 2, rows)


@pytest.mark.slow_without_jit
@examples(40)
@given(
    seed=st.integers(0, 2**16), missing=st.booleans(),
    limits=st.sampled_from([{"max_depth": 4}, {"max_leaf_nodes": 12}, {"min_impurity_decrease": 0.02, "max_depth": 6}]),
)  # fmt: skip
def test_poisson_trees_are_scikit_learns(seed: int, missing: bool, limits: dict[str, Any]) -> None:
    X, y, weight = counts(seed)
    if missing:
        X[np.random.default_rng(seed).random(X.shape) < 0.1] = np.nan
    given = {"criterion": "poisson", "max_depth": None, "min_weight_fraction_leaf": 0.02, **limits}
    own = FedTreeRegressor(**given).fit(X, y, sample_weight=weight, silos=np.arange(500) % 3)
    # which features scikit-learn looks at first decides at times whether it splits a node at all
    trees = [DecisionTreeRegressor(**given, random_state=k).fit(X, y, sample_weight=weight) for k in range(6)]
    theirs = min(trees, key=lambda tree: np.abs(tree.predict(X) - own.predict(X)).max())
    np.testing.assert_allclose(own.predict(X), theirs.predict(X), rtol=1e-4)
    np.testing.assert_allclose(own.feature_importances_, theirs.feature_importances_, atol=1e-3)
    np.testing.assert_allclose(own.to_booster().inplace_predict(X), own.predict(X), rtol=1e-5)


def test_no_leaf_predicts_that_nothing_ever_happens() -> None:
    """A child whose targets are all 0 is refused, as by scikit-learn: squares make one."""
    X, y = np.arange(40.0)[:, None], np.repeat([0.0, 3, 0, 5], 10)
    assert FedTreeRegressor().fit(X, y).predict(X).round(5).min() == 0
    for weight in (1.0, 1e-3, 1e6):
        own = FedTreeRegressor(criterion="poisson").fit(X, y, sample_weight=np.full(40, weight))
        theirs = DecisionTreeRegressor(criterion="poisson").fit(X, y)
        assert own.predict(X).min() > 0
        np.testing.assert_allclose(own.predict(X), theirs.predict(X), rtol=1e-4)


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("kind", [FedForestRegressor, FedExtraTreesRegressor])
def test_poisson_forests_deviate_as_little_as_scikit_learns(kind: Any) -> None:
    X, y, _ = counts(7, rows=1500)
    own = kind(40, criterion="poisson", max_depth=6, random_state=0).fit(X[:1000], y[:1000], silos=np.arange(1000) % 3)
    theirs = RandomForestRegressor(40, criterion="poisson", max_depth=6, random_state=0).fit(X[:1000], y[:1000])
    deviances = [mean_poisson_deviance(y[1000:], model.predict(X[1000:])) for model in (own, theirs)]
    assert deviances[0] == pytest.approx(deviances[1], abs=0.06)
    assert own.model_.criterion == "poisson"


def test_targets_below_zero_or_all_zero_are_refused() -> None:
    with pytest.raises(DataError, match=r"silo 'b'.*criterion='poisson' is for counts and rates"):
        FedTreeRegressor(criterion="poisson").fit(np.zeros((4, 1)), [1.0, 2.0, -1.0, 0.0], silos=list("aabb"))
    with pytest.raises(DataError, match="y is 0 in every row; criterion='poisson' needs some row where it is more"):
        FedTreeRegressor(criterion="poisson").fit(np.zeros((4, 1)), np.zeros(4))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("absolute_error", "a median follows from rows, not from sums"),
        ("friedman_mse", "it chooses the splits of 'squared_error'"),
        ("gini", "criterion='gini' is not known"),
    ],
)
def test_criteria_that_sums_do_not_give_say_why(given: str, why: str) -> None:
    for kind in (FedTreeRegressor, FedForestRegressor, FedExtraTreesRegressor):
        with pytest.raises(ParameterError, match=why):
            kind(criterion=given).fit(np.zeros((4, 1)), np.zeros(4))
    with pytest.raises(ParameterError, match="is not known"):
        FedTreeClassifier(criterion="poisson").fit(np.zeros((4, 1)), [0, 1, 0, 1])
