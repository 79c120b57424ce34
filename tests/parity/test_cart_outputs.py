"""Trees and forests of several outputs: shared splits, scikit-learn's trees, and the laws that trees of one keep."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from sklearn.tree import DecisionTreeRegressor
from strategies import examples

from fedtrees import (
    DataError,
    FedAdaBoostRegressor,
    FedExtraTreesRegressor,
    FedForestRegressor,
    FedTreeRegressor,
    LocalFederation,
    ParameterError,
    Silo,
)
from fedtrees.trees.model.tree import Tree
from fedtrees.trees.server.shared_grower import SharedGrower

Table = tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]
ESTIMATORS: list[Any] = [
    FedTreeRegressor(max_depth=4, n_jobs=1),
    FedTreeRegressor(max_depth=None, max_leaf_nodes=9, n_jobs=1),
    FedTreeRegressor(max_depth=4, max_features=2, criterion="poisson", n_jobs=1),
    FedForestRegressor(3, max_depth=4, n_jobs=1),
    FedForestRegressor(3, max_depth=4, max_features=1, max_samples=0.6, n_jobs=1),
    FedExtraTreesRegressor(3, max_depth=5, n_jobs=1),
]


def table(seed: int, outputs: int = 3, missing: float = 0.0, rows: int = 400) -> Table:
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 15, (rows, 4)).astype(np.float32)
    y = np.stack([X[:, k % 4] * (k + 1) + X[:, 0] * X[:, 1] / 9 for k in range(outputs)], axis=1)
    y += rng.normal(size=y.shape) * 3
    X[rng.random(X.shape) < missing] = np.nan
    return X, np.abs(y), rng.uniform(0.5, 2, rows)


def trees_of(model: Any) -> list[bytes]:
    states = [own.tree_.__getstate__() for own in getattr(model, "estimators_", [model.model_])]
    return [state["nodes"].tobytes() + state["values"].tobytes() for state in states]


@pytest.mark.slow_without_jit
@examples(30)
@given(
    seed=st.integers(0, 2**16), outputs=st.integers(2, 4), missing=st.sampled_from([0.0, 0.1]),
    criterion=st.sampled_from(["squared_error", "poisson"]),
    limits=st.sampled_from([
        {"max_depth": 4}, {"max_leaf_nodes": 9}, {"max_depth": 4, "ccp_alpha": 0.1},
        {"max_depth": 5, "min_impurity_decrease": 0.05},
    ]),
)  # fmt: skip
def test_trees_of_several_outputs_are_scikit_learns(
    seed: int, outputs: int, missing: float, criterion: str, limits: dict[str, Any]
) -> None:
    X, y, weight = table(seed, outputs, missing)
    given = {"criterion": criterion, "max_depth": None, "min_weight_fraction_leaf": 0.03, **limits}
    own = FedTreeRegressor(**given).fit(X, y, sample_weight=weight, silos=np.arange(len(y)) % 3)
    trees = [DecisionTreeRegressor(**given, random_state=k).fit(X, y, sample_weight=weight) for k in range(3)]
    theirs = min(trees, key=lambda tree: np.abs(tree.predict(X) - own.predict(X)).max())
    np.testing.assert_allclose(own.predict(X), theirs.predict(X), rtol=2e-4)
    np.testing.assert_allclose(own.feature_importances_, theirs.feature_importances_, atol=2e-3)
    assert own.model_.n_outputs_ == outputs and own.score(X, y) == pytest.approx(theirs.score(X, y), abs=1e-4)
    np.testing.assert_allclose(own.to_booster().inplace_predict(X), own.predict(X), rtol=1e-5)


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("mode", ["fused", "faithful"])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_any_partition_gives_the_pooled_trees(estimator: Any, mode: str) -> None:
    X, y, weight = table(1, missing=0.05)
    ids, silo = np.arange(len(y)), np.random.default_rng(0).integers(0, 4, len(y))
    pooled = type(estimator)(**estimator.get_params()).fit(X, y, sample_weight=weight, row_id=ids)
    silos = [
        Silo(str(k), X[silo == k], y[silo == k], sample_weight=weight[silo == k], row_id=ids[silo == k])
        for k in range(5)  # the last holds none
    ]
    apart = type(estimator)(**estimator.get_params()).fit_federation(LocalFederation(silos, mode=mode))
    assert trees_of(apart) == trees_of(pooled)
    assert apart.predict(X).shape == y.shape
    one, two = (type(estimator)(**estimator.get_params()).fit(X, y[:, list(own)]) for own in ((0, 1, 2), (2, 0, 1)))
    np.testing.assert_allclose(one.predict(X)[:, 2], two.predict(X)[:, 0], rtol=1e-4)  # outputs have no order


@pytest.mark.slow_without_jit
def test_forests_of_several_outputs_score_as_scikit_learns_and_draw_one_set_of_rows_a_tree() -> None:
    X, y, _ = table(5, rows=900)
    own = FedForestRegressor(40, max_depth=7, random_state=0).fit(X[:600], y[:600], silos=np.arange(600) % 3)
    theirs = RandomForestRegressor(40, max_depth=7, random_state=0).fit(X[:600], y[:600])
    assert own.score(X[600:], y[600:]) == pytest.approx(theirs.score(X[600:], y[600:]), abs=0.03)
    drawn = [len(rows) for rows in own.estimators_samples_]
    assert drawn == [int(tree.tree_.weighted_n_node_samples[0]) for tree in own.estimators_]


# law: SharedGrower
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=str)
def test_trees_of_one_place_have_the_same_nodes_in_every_output(estimator: Any, monkeypatch: Any) -> None:
    X, y, weight = table(3, missing=0.05)
    grown: list[list[Tree]] = []
    finished = SharedGrower.finished

    def kept(grower: SharedGrower) -> list[Tree]:
        grown.append(finished(grower))
        return grown[-1]

    monkeypatch.setattr(SharedGrower, "finished", kept)
    clone(estimator).fit(X, y, sample_weight=weight)
    (trees,) = grown
    parallel = len(trees) // 3
    for first, *others in zip(*(trees[k * parallel : (k + 1) * parallel] for k in range(3)), strict=True):
        assert len(first.feature) > 5
        for other in others:
            for name in ("feature", "bin", "left"):
                assert getattr(first, name).tolist() == getattr(other, name).tolist()


def test_one_output_twice_is_one() -> None:
    X, y, _ = table(2)
    for estimator in ESTIMATORS:
        twice = type(estimator)(**estimator.get_params()).fit(
            X, np.repeat(y[:, :1], 2, axis=1), row_id=np.arange(len(y))
        )
        assert (twice.predict(X)[:, 0] == twice.predict(X)[:, 1]).all()
    one = FedTreeRegressor(max_depth=4).fit(X, y[:, 0])
    np.testing.assert_allclose(
        FedTreeRegressor(max_depth=4).fit(X, np.repeat(y[:, :1], 2, axis=1)).predict(X)[:, 0], one.predict(X), rtol=1e-5
    )


def test_what_has_no_meaning_for_several_outputs_is_refused() -> None:
    X, y, _ = table(0, rows=40)
    with pytest.raises(ParameterError, match=r"monotonic_cst=.*: y has 3 columns, and it is for one"):
        FedTreeRegressor(monotonic_cst=[1, 0, 0, 0]).fit(X, y)
    with pytest.raises(DataError, match="y has 3 columns; FedAdaBoostRegressor is for one"):
        FedAdaBoostRegressor(3).fit(X, y)
