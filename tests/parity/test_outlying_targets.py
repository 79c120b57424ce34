"""Targets far from all others: trees part them off, and say of the others what they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import r2_score
from sklearn.tree import DecisionTreeRegressor
from strategies import examples

from fedtrees import (
    FedAdaBoostRegressor,
    FedExtraTreesRegressor,
    FedForestRegressor,
    FedGBTRegressor,
    FedTreeRegressor,
    LocalFederation,
)

seeds = st.integers(0, 2**32 - 1)
ONE = np.arange(8.0)[:, None]


@pytest.mark.parametrize("far", [1e3, 1e6, 1e8, 1e12, 1e15, -1e6, -1e15, 4e7 + 1])
def test_a_tree_is_exact_beside_one_outlying_target(far: float) -> None:
    y = np.array([1, 1, 2, 2, 3, 3, 4, far])
    for place in (7, 0, 4):
        target = np.r_[y[:place], far, y[place:7]]
        for silos in (None, np.arange(8) % 3):
            own = FedTreeRegressor().fit(ONE, target, silos=silos).predict(ONE)
            assert own.tolist() == target.astype(np.float32).tolist()


def test_each_of_several_targets_has_its_own_outlier() -> None:
    first = np.array([1, 1, 2, 2, 3, 3, 4, 1e9])
    targets = np.stack([first, 1e6 + np.arange(8), np.r_[-1e12, np.arange(7)]], axis=1)
    for silos in (None, np.arange(8) % 3):
        own = FedTreeRegressor(max_depth=None).fit(ONE, targets, silos=silos).predict(ONE)
        np.testing.assert_allclose(own, targets, rtol=1e-6, atol=1e-6)


def many(seed: int = 0, rows: int = 300, far: float = 1e8) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(rows, 3)), rng.normal(size=rows)
    y[7] = far
    return x, y, np.arange(rows) != 7


@pytest.mark.parametrize("far", [1e6, 1e8, -1e10])
@pytest.mark.parametrize("kind", [FedTreeRegressor, lambda **given: FedForestRegressor(5, bootstrap=False, **given)])
def test_the_others_are_told_as_if_the_outlier_were_not_there(kind: Any, far: float) -> None:
    x, y, others = many(far=far)
    for silos in (None, np.arange(300) % 7):
        predicted = kind(max_depth=None).fit(x, y, silos=silos).predict(x)
        assert r2_score(y[others], predicted[others]) > 0.999999
        assert predicted[7] == pytest.approx(far, rel=1e-6)


@pytest.mark.parametrize("depth", [2, 4])
def test_a_shallow_tree_is_scikit_learns_beside_an_outlier(depth: int) -> None:
    x, y, _ = many(3, 400)
    x = np.floor(x * 4)
    own = FedTreeRegressor(max_depth=depth).fit(x, y)
    theirs = DecisionTreeRegressor(max_depth=depth, random_state=0).fit(x, y.astype(np.float32))
    np.testing.assert_allclose(own.predict(x), theirs.predict(x), rtol=1e-5, atol=1e-5)


def test_extra_trees_and_boosting_by_weights_are_no_worse_than_the_mean_of_the_others() -> None:
    x, y, others = many()
    extra = FedExtraTreesRegressor(20, random_state=0).fit(x, y).predict(x)
    assert r2_score(y[others], np.clip(extra, -5, 5)[others]) > 0.5
    boosted = FedAdaBoostRegressor(20).fit(x, y).predict(x)
    assert r2_score(y[others], boosted[others]) > 0.0


@pytest.mark.slow_without_jit
def test_boosting_by_gradients_leaves_the_outlier_behind() -> None:
    x, y, others = many()
    predicted = FedGBTRegressor(200, reg_lambda=0, min_child_weight=0).fit(x, y).predict(x)
    assert r2_score(y[others], predicted[others]) > 0.999


@examples(15)
@given(seed=seeds, power=st.integers(-40, 40), far=st.sampled_from([1.0, 1e4, 1e9]))
def test_targets_times_a_power_of_two_change_nothing_else(seed: int, power: int, far: float) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 9, (60, 2)).astype(np.float32), rng.normal(size=60).astype(np.float32)
    y[3] = np.float32(far)
    for model in (FedTreeRegressor(), FedForestRegressor(3), FedAdaBoostRegressor(4)):
        plain, scaled = (model.fit(x, own).predict(x) for own in (y, np.ldexp(y, power)))
        assert np.ldexp(plain, power).tolist() == scaled.tolist()


@examples(15)
@given(seed=seeds, far=st.sampled_from([1.0, 1e3, 1e6]), weighted=st.booleans(), depth=st.integers(1, 5))
def test_trees_of_numbers_of_any_size_are_scikit_learns(seed: int, far: float, weighted: bool, depth: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 15, (150, 3)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] + rng.normal(size=150) * far ** rng.random(150)).astype(np.float32)
    weight = rng.uniform(0.1, 3.0, 150).astype(np.float32) if weighted else None
    own = FedTreeRegressor(max_depth=depth).fit(x, y, sample_weight=weight)
    theirs = DecisionTreeRegressor(max_depth=depth, random_state=0).fit(x, y, sample_weight=weight)
    # two splits that part a node alike may stand for one another
    same = np.isclose(own.predict(x), theirs.predict(x), rtol=1e-4, atol=1e-4 * np.abs(y).std())
    assert same.mean() > 0.97


@pytest.mark.slow_without_jit
def test_every_message_beside_an_outlier_is_as_fused() -> None:
    x, y, _ = many(1, 60)
    silos, fitted = np.arange(60) % 4, []
    for kind in (FedTreeRegressor, lambda: FedForestRegressor(3), lambda: FedGBTRegressor(3, max_depth=3)):
        for mode in ("fused", "faithful"):
            model = kind().fit_federation(LocalFederation.from_table(x, y, silos=silos, mode=mode))
            fitted.append((model.predict(x).tolist(), model.ledger_.per_round().values.tolist()))
        assert fitted[-1] == fitted[-2]
