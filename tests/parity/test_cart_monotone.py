"""Monotone constraints of trees by impurity: they hold everywhere, and the trees are those of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from strategies import examples

from fedtrees import (
    FedExtraTreesClassifier,
    FedExtraTreesRegressor,
    FedForestClassifier,
    FedForestRegressor,
    FedTreeClassifier,
    FedTreeRegressor,
    LocalFederation,
    ParameterError,
    Silo,
)

ENSEMBLES: list[Any] = [
    FedForestClassifier(8, max_depth=6, max_features=None, n_jobs=1),
    FedForestClassifier(8, max_depth=6, max_features=1, n_jobs=1),
    FedForestRegressor(8, max_depth=6, n_jobs=1),
    FedForestRegressor(8, max_depth=6, max_features=1, max_leaf_nodes=9, n_jobs=1),
    FedExtraTreesClassifier(8, max_depth=8, n_jobs=1),
    FedExtraTreesRegressor(8, max_depth=8, n_jobs=1),
]
Table = tuple[NDArray[np.float64], NDArray[Any], NDArray[np.float64]]


def table(seed: int, classifies: bool, missing: float = 0.0, rows: int = 400) -> Table:
    """Whole numbers whose effects turn around, so that constraints take something away; weights part all ties."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 15, (rows, 3)).astype(float)
    noisy = np.where(X[:, 0] < 8, X[:, 0], 12 - X[:, 0]) + 0.4 * X[:, 1] - np.cos(X[:, 2]) + rng.normal(size=rows) * 2
    X[rng.random(X.shape) < missing] = np.nan
    return X, (noisy > np.median(noisy)).astype(int) if classifies else noisy, rng.uniform(0.5, 2, rows)


def falls(model: Any, place: int, direction: int) -> float:
    """By how much predictions go against a direction along a column, over all values of the others."""
    grid = np.stack(np.meshgrid(*[np.arange(-1.0, 16)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    said = model.predict_proba(grid)[:, 1] if model._classifies else model.predict(grid)
    steps = np.diff(said.reshape(17, 17, 17), axis=place) * direction
    return float(-min(steps.min(), 0.0))


@pytest.mark.slow_without_jit
@examples(60)
@given(
    seed=st.integers(0, 2**16), classifies=st.booleans(), missing=st.sampled_from([0.0, 0.1]),
    directions=st.tuples(*[st.sampled_from([-1, 0, 1])] * 3).filter(any),
    limits=st.sampled_from([
        {"max_depth": 5}, {"max_leaf_nodes": 12}, {"max_depth": 4, "ccp_alpha": 0.01},
        {"max_depth": 5, "min_impurity_decrease": 0.01}, {"max_leaf_nodes": 9, "min_impurity_decrease": 0.02},
    ]),
)  # fmt: skip
def test_trees_are_scikit_learns(
    seed: int, classifies: bool, missing: float, directions: Any, limits: dict[str, Any]
) -> None:
    X, y, weight = table(seed, classifies, missing)
    kinds = (FedTreeClassifier, DecisionTreeClassifier) if classifies else (FedTreeRegressor, DecisionTreeRegressor)
    given = {"max_depth": None, "min_weight_fraction_leaf": 0.02, "monotonic_cst": directions, **limits}
    own = kinds[0](**given).fit(X, y, sample_weight=weight, silos=np.arange(len(y)) % 3)
    theirs = kinds[1](**given, random_state=0).fit(X, y, sample_weight=weight)
    if classifies:
        np.testing.assert_allclose(own.predict_proba(X), theirs.predict_proba(X), atol=1e-3)
    else:
        np.testing.assert_allclose(own.predict(X), theirs.predict(X), atol=1e-3)


@pytest.mark.slow_without_jit
@examples(30)
@given(
    estimator=st.sampled_from(ENSEMBLES), seed=st.integers(0, 2**16),
    directions=st.tuples(*[st.sampled_from([-1, 0, 1])] * 3).filter(any), missing=st.sampled_from([0.0, 0.1]),
    balanced=st.sampled_from([None, "balanced", "balanced_subsample"]),
)  # fmt: skip
def test_no_prediction_of_a_forest_goes_against_a_direction(
    estimator: Any, seed: int, directions: Any, missing: float, balanced: str | None
) -> None:
    X, y, weight = table(seed, estimator._classifies, missing)
    given = {"monotonic_cst": directions} | ({"class_weight": balanced} if estimator._classifies else {})
    model = type(estimator)(**estimator.get_params() | given).fit(X, y, sample_weight=weight)
    for place, direction in enumerate(directions):
        assert direction == 0 or falls(model, place, direction) < 1e-12
    said = model.to_booster().inplace_predict(X)
    np.testing.assert_allclose(said, model.predict_proba(X)[:, 1] if model._classifies else model.predict(X), rtol=1e-5)


@pytest.mark.parametrize("estimator", [FedTreeClassifier(), FedTreeRegressor(), *ENSEMBLES[:1], *ENSEMBLES[4:]])
def test_unbound_predictions_do_go_both_ways(estimator: Any) -> None:
    X, y, weight = table(1, estimator._classifies)
    assert falls(type(estimator)(**estimator.get_params()).fit(X, y, sample_weight=weight), 0, 1) > 0.05


def test_directions_are_given_by_name_or_by_place_and_travel_to_silos() -> None:
    X, y, weight = table(2, classifies=False)
    frame = pd.DataFrame(X, columns=["age", "dose", "week"])
    by_name = FedTreeRegressor(monotonic_cst={"dose": 1, "age": -1}).fit(frame, y, sample_weight=weight)
    by_place = FedTreeRegressor(monotonic_cst=np.array([-1, 1, 0])).fit(frame, y, sample_weight=weight)
    silos = [Silo(str(k), frame[k::2], y[k::2], sample_weight=weight[k::2]) for k in range(2)]
    faithful = FedTreeRegressor(monotonic_cst=[-1.0, 1.0, 0.0]).fit_federation(LocalFederation(silos, mode="faithful"))
    free = FedTreeRegressor().fit(frame, y, sample_weight=weight)
    values = [model.tree_.value.tolist() for model in (by_name, by_place, faithful, free)]
    assert values[0] == values[1] == values[2] != values[3]
    assert by_place.model_.monotonic_cst.tolist() == [-1, 1, 0]
    unbound = FedTreeRegressor(monotonic_cst=[0, 0, 0]).fit(frame, y, sample_weight=weight)
    assert unbound.tree_.value.tolist() == values[3]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([1, 0], "monotonic_cst has 2 directions, and X has 3 features"),
        ([1, 0, 2], "monotonic_cst: a direction is 1, 0 or -1, not 2"),
        ([1, 0, "1"], "a direction is 1, 0 or -1, not '1'"),
        ("(1,0,0)", r"give 1, 0 or -1 for each feature"),
        (1, "give 1, 0 or -1 for each feature"),
        ([[1, 0, 0]], "give 1, 0 or -1 for each feature"),
        ({"weight": 1}, "'weight' is none of the features"),
    ],
)
def test_wrong_directions_are_refused(given: Any, said: str) -> None:
    X, y, _ = table(0, classifies=False, rows=30)
    with pytest.raises(ParameterError, match=said):
        FedForestRegressor(2, monotonic_cst=given).fit(X, y)


def test_more_than_two_classes_have_no_direction() -> None:
    X, _, _ = table(0, classifies=False, rows=30)
    with pytest.raises(ParameterError, match="monotonic_cst: y holds 3 classes; directions are for two"):
        FedTreeClassifier(monotonic_cst=[1, 0, 0]).fit(X, np.arange(30) % 3)
