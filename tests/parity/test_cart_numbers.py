"""Regression trees beside scikit-learn's: what leaves predict, impurities, and splits that gain nothing yet."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeRegressor
from strategies import examples

from fedtrees import (
    FedAdaBoostRegressor,
    FedExtraTreesRegressor,
    FedForestRegressor,
    FedTreeRegressor,
    LocalFederation,
)

seeds = st.integers(0, 2**32 - 1)
XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]] * 5, float)
KINDS: dict[str, Any] = {
    "tree": FedTreeRegressor,
    "poisson": lambda **given: FedTreeRegressor(criterion="poisson", **given),
    "best first": lambda **given: FedTreeRegressor(max_leaf_nodes=30, **given),
    "forest": lambda **given: FedForestRegressor(5, bootstrap=False, **given),
    "forest by node": lambda **given: FedForestRegressor(5, bootstrap=False, max_features=1, **given),
    "extra trees": lambda **given: FedExtraTreesRegressor(5, **given),
    "AdaBoost": lambda **given: FedAdaBoostRegressor(3, **given),
}


# -- splits that gain nothing yet -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("far", [0.0, 1e6, 1e20])
def test_exclusive_or_of_numbers_is_learnt(kind: str, far: float) -> None:
    y = (XOR[:, 0] != XOR[:, 1]) * 1.0 + 0.5
    X = np.concatenate([XOR, [[2.0, 2.0]]])
    target = np.append(y, far)
    if far == 0 and kind == "poisson":
        target[-1] = 3.0
    for silos in (None, np.arange(21) % 3):
        model = KINDS[kind](max_depth=6).fit(X, target, silos=silos)
        np.testing.assert_allclose(model.predict(X[:-1]), y, rtol=1e-12)
        assert model.predict(X[-1:]) == pytest.approx(target[-1])


def parity(bits: int, times: int = 4) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Numbers of which all but the last bit's split gains nothing."""
    X = (np.arange(2**bits)[:, None] >> np.arange(bits)) % 2
    return np.tile(X, (times, 1)).astype(float), np.tile(X.sum(axis=1) % 2, times).astype(float)


@pytest.mark.parametrize("kind", ["tree", "best first", "forest", "forest by node"])
def test_a_parity_of_four_is_learnt_where_leaves_and_levels_allow(kind: str) -> None:
    X, y = parity(4)
    limit = {} if kind == "best first" else {"max_depth": None}
    assert KINDS[kind](**limit).fit(X, y, silos=np.arange(64) % 5).score(X, y) == 1.0
    theirs = DecisionTreeRegressor(random_state=0).fit(X, y)
    assert FedTreeRegressor().fit(X, y).get_n_leaves() == theirs.get_n_leaves() == 16


@pytest.mark.parametrize(
    "limit",
    [{"max_depth": 1}, {"max_leaf_nodes": 3}, {"min_samples_leaf": 6}, {"min_samples_split": 21},
     {"min_impurity_decrease": 1e-3}, {"min_weight_fraction_leaf": 0.3}, {"max_depth": 2}],
    ids=str,
)  # fmt: skip
def test_limits_hold_where_nothing_is_gained(limit: dict[str, Any]) -> None:
    y = (XOR[:, 0] != XOR[:, 1]) * 1.0
    own, theirs = FedTreeRegressor(**limit).fit(XOR, y), DecisionTreeRegressor(**limit, random_state=0).fit(XOR, y)
    assert own.get_n_leaves() == theirs.get_n_leaves()
    assert sorted(own.predict(XOR)) == sorted(theirs.predict(XOR))  # which of two features comes first is a draw there


def test_a_node_whose_targets_are_the_same_is_a_leaf() -> None:
    X = np.arange(40.0)[:, None]
    for y in (np.full(40, 0.1), np.where(X[:, 0] < 20, 0.1, 1e7)):
        for weight in (None, np.linspace(1e-6, 1, 40)):
            model = FedTreeRegressor(max_depth=None).fit(X, y, sample_weight=weight, silos=np.arange(40) % 3)
            assert model.get_n_leaves() == len(set(y))
            assert model.predict(X).tolist() == y.astype(np.float32).tolist()


def test_a_child_without_any_event_is_refused_where_nothing_is_gained() -> None:
    """As in scikit-learn: the Poisson deviance from a mean of 0 is infinite."""
    y = (XOR[:, 0] != XOR[:, 1]) * 1.0
    own = FedTreeRegressor(criterion="poisson").fit(XOR, y)
    theirs = DecisionTreeRegressor(criterion="poisson", random_state=0).fit(XOR, y)
    assert own.predict(XOR).tolist() == theirs.predict(XOR).tolist()


def test_one_message_more_is_sent_where_splits_gain_until_leaves_are_pure() -> None:
    X, y = np.arange(64.0)[:, None], np.arange(64.0) ** 2
    kinds = FedTreeRegressor(max_depth=4).fit(X, y).ledger_.per_round()["kind"].tolist()
    assert kinds[-5:] == ["Histograms+GradientExponents", *["Histograms"] * 3, "LeafMoments"]


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("kind", KINDS)
def test_leaves_that_are_looked_at_again_are_those_of_every_partition(kind: str) -> None:
    rng = np.random.default_rng(5)
    X = rng.integers(0, 3, (80, 3)).astype(np.float32)
    y = ((X[:, 0] + X[:, 1]) % 2 + 1.0) * np.where(rng.random(80) < 0.05, 1e25, 1.0)
    told, ledgers = [], []
    for silos in (np.zeros(80), np.arange(80) % 7, np.arange(80) // 30):
        for mode in ("fused", "faithful"):
            federation = LocalFederation.from_table(X, y, silos=silos, row_id=np.arange(80), mode=mode)
            model = KINDS[kind](max_depth=5).fit_federation(federation)
            trees = getattr(model, "estimators_", [model])
            told.append([[own.tree_.value.tolist(), own.tree_.impurity.tolist()] for own in trees])
            ledgers.append(model.ledger_.per_round().values.tolist())
    assert all(own == told[0] for own in told) and ledgers[::2] == ledgers[1::2]


# law: stalled_leaves
@pytest.mark.slow_without_jit
def test_a_tree_is_looked_at_again_whichever_others_grow_beside_it() -> None:
    rng = np.random.default_rng(5)
    X = rng.integers(0, 3, (60, 3)).astype(np.float32)
    y = ((X[:, 0] + X[:, 1]) % 2 + 1.0) * np.repeat([1.0, 1e12, 1e25], [50, 7, 3])[rng.permutation(60)]
    for kind in (FedForestRegressor, FedExtraTreesRegressor):
        together = kind(6, max_features=1, max_depth=8).fit(X, y, row_id=np.arange(60))
        grown = kind(2, max_features=1, max_depth=8, warm_start=True)
        for trees in (2, 5, 6):
            grown.set_params(n_estimators=trees).fit(X, y, row_id=np.arange(60))
        for own, other in zip(together, grown, strict=True):
            assert own.tree_.value.tolist() == other.tree_.value.tolist()
            assert own.tree_.feature.tolist() == other.tree_.feature.tolist()


# -- targets far from one another -------------------------------------------------------------------------------


@pytest.mark.parametrize("far", [1e20, -1e25, 1e30, 3e38])
@pytest.mark.parametrize("limit", [{"max_depth": 5}, {"max_depth": None}], ids=str)
def test_the_others_are_told_apart_however_far_out_one_target_lies(far: float, limit: dict[str, Any]) -> None:
    """As beside 1e6, where scikit-learn does; beside 1e20, it has some with the sum of squares lost to rounding."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 3)).astype(np.float32), rng.normal(size=300).astype(np.float32)
    alone = np.arange(300) != 7
    y[7] = 1e6 if far > 0 else -1e6
    theirs = DecisionTreeRegressor(**limit, random_state=0).fit(X, y).predict(X)
    y[7] = far
    for kind in (FedTreeRegressor, lambda **given: FedForestRegressor(3, bootstrap=False, **given)):
        own = kind(**limit, max_bin=400).fit(X, y, silos=np.arange(300) % 7).predict(X)
        same = np.isclose(own, theirs, rtol=1e-9)
        assert same[alone].mean() > 0.98
        if limit["max_depth"] is None:
            assert own.tolist() == y.tolist()


def test_targets_of_many_sizes_are_parted_size_by_size() -> None:
    X = np.arange(30.0)[:, None]
    y = np.ldexp(np.arange(1, 31), np.repeat([-60, 0, 60], 10)).astype(np.float32)
    for silos in (None, np.arange(30) % 4):
        model = FedTreeRegressor(max_depth=None).fit(X, y, silos=silos)
        assert model.predict(X).tolist() == y.tolist()
        assert model.get_depth() <= 16


# -- what leaves predict, and how impure nodes are ------------------------------------------------------------


def by_definition(y: NDArray[Any], weight: NDArray[Any], criterion: str) -> tuple[float, NDArray[np.float64], float]:
    """Weight, means and impurity of rows of one or several outputs."""
    mass = Fraction(0)
    for own in weight.tolist():
        mass += Fraction(own)
    means, impurities = [], []
    for column in y.reshape(len(y), -1).T.tolist():
        rows = [(Fraction(w), Fraction(t)) for w, t in zip(weight.tolist(), column, strict=True)]
        mean = sum(w * t for w, t in rows) / mass
        means.append(float(mean))
        if criterion == "squared_error":
            impurities.append(float(sum(w * (t - mean) ** 2 for w, t in rows) / mass))
        else:
            terms = [float(w) * (float(t) * np.log(float(t) / float(mean)) if t else 0.0) for w, t in rows]
            impurities.append(float(np.sum(terms)) / float(mass))
    return float(mass), np.array(means), float(np.mean(impurities))


@pytest.mark.slow_without_jit
@examples(25)
@given(
    seed=seeds, criterion=st.sampled_from(["squared_error", "poisson"]),
    weights=st.sampled_from(["none", "whole", "real"]), outputs=st.integers(1, 3),
    offset=st.sampled_from([0.0, 1e6]), missing=st.booleans(),
)  # fmt: skip
def test_every_node_is_what_definitions_say_of_its_rows(
    seed: int, criterion: str, weights: str, outputs: int, offset: float, missing: bool
) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 60))
    X = rng.integers(0, 6, (n, 3)).astype(np.float32)
    X[rng.random(X.shape) < 0.2 * missing] = np.nan
    y = (rng.gamma(0.7, size=(n, outputs)) + offset).astype(np.float32)
    y[rng.random(y.shape) < 0.2] = y[0, 0]
    y = y[:, 0] if outputs == 1 else y
    weight = {"none": None, "whole": rng.integers(1, 9, n), "real": rng.uniform(0.01, 3, n)}[weights]
    model = FedTreeRegressor(criterion=criterion, max_depth=4)
    model.fit(X, y, sample_weight=weight, silos=rng.integers(0, 3, n))
    each = np.ones(n) if weight is None else np.asarray(weight, np.float32).astype(float)
    path = model.decision_path(X).toarray().astype(bool)
    for node in range(model.tree_.node_count):
        rows = path[:, node]
        mass, means, impurity = by_definition(y[rows], each[rows], criterion)
        assert model.tree_.weighted_n_node_samples[node] == pytest.approx(mass, rel=1e-15)
        assert model.tree_.value[node].ravel() == pytest.approx(means, rel=1e-15)
        size = float(np.abs(means).max())
        slack = 1e-14 if criterion == "squared_error" else 1e-13 * max(size, 1.0)
        assert model.tree_.impurity[node] == pytest.approx(impurity, rel=1e-9, abs=slack)


def same_questions(own: Any, theirs: Any) -> bool:
    """Whether nodes ask for the same features: of two that part a node alike, scikit-learn draws one."""
    return sorted(own.feature) == sorted(theirs.feature)


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("criterion", ["squared_error", "poisson"])
@pytest.mark.parametrize("weights", ["none", "whole", "real"])
@pytest.mark.parametrize("outputs", [1, 2])
@pytest.mark.parametrize(
    "limit", [{"max_depth": 4}, {"max_leaf_nodes": 9}, {"min_impurity_decrease": 0.03}, {"ccp_alpha": 0.02}], ids=str
)
def test_trees_are_scikit_learns_with_their_impurities(
    criterion: str, weights: str, outputs: int, limit: dict[str, Any]
) -> None:
    rng = np.random.default_rng(outputs)
    X = rng.integers(0, 30, (400, 4)).astype(np.float32)
    signal = X[:, 0] / 10 + X[:, 1] * X[:, 2] / 300
    y = (signal[:, None] + rng.gamma(0.5, size=(400, outputs))).astype(np.float32)
    y = y[:, 0] if outputs == 1 else y
    weight = {"none": None, "whole": rng.integers(1, 9, 400), "real": rng.uniform(0.1, 3, 400).astype(np.float32)}[
        weights
    ]
    own = FedTreeRegressor(criterion=criterion, **({"max_depth": 6} | limit))
    theirs = DecisionTreeRegressor(criterion=criterion, **({"max_depth": 6} | limit), random_state=0)
    own.fit(X, y, sample_weight=weight, silos=rng.integers(0, 5, 400))
    theirs.fit(X, y, sample_weight=weight)
    assert own.get_n_leaves() == theirs.get_n_leaves()
    np.testing.assert_allclose(own.predict(X), theirs.predict(X), rtol=1e-12)
    if same_questions(own.tree_, theirs.tree_):
        np.testing.assert_allclose(own.feature_importances_, theirs.feature_importances_, atol=1e-9)
    for name in ("impurity", "weighted_n_node_samples"):
        mine, yours = (np.sort(getattr(model.tree_, name)) for model in (own, theirs))
        np.testing.assert_allclose(mine, yours, rtol=1e-7, atol=1e-9)
    if "ccp_alpha" not in limit and limit.get("max_depth") == 4:
        paths = [model.cost_complexity_pruning_path(X, y, sample_weight=weight) for model in (own, theirs)]
        for name in ("ccp_alphas", "impurities"):
            np.testing.assert_allclose(paths[0][name], paths[1][name], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", ["tree", "best first", "forest", "extra trees"])
def test_leaves_of_one_target_predict_it_to_the_last_bit(kind: str) -> None:
    rng = np.random.default_rng(2)
    X = np.arange(25.0)[:, None]
    y = (rng.normal(size=25) * 1e3 + 0.1).astype(np.float32)
    limit = {} if kind == "best first" else {"max_depth": None}
    for weight in (None, rng.uniform(0.01, 5, 25)):
        model = KINDS[kind](**limit).fit(X, y, sample_weight=weight, silos=np.arange(25) % 4)
        assert model.predict(X) == pytest.approx(y.astype(float), rel=1e-15)
    assert (FedTreeRegressor(max_depth=None).fit(X, y).tree_.impurity[1:] == 0).any()


def test_adaboost_ends_with_a_tree_that_misses_nothing() -> None:
    """Drucker's AdaBoost.R2, as scikit-learn's, has nothing to go on with."""
    X, y = np.arange(8.0)[:, None], np.array([0.1, 0.1, 1e6, 1e6, 0.3, 0.3, 7.7, 7.7])
    model = FedAdaBoostRegressor(20, max_depth=3).fit(X, y, silos=np.arange(8) % 3)
    assert len(model) == 1 and model.estimator_errors_.tolist() == [0.0]
    assert model.predict(X).tolist() == y.astype(np.float32).tolist()


def test_monotone_trees_keep_to_the_means_of_children_exactly() -> None:
    rng = np.random.default_rng(3)
    X = rng.integers(0, 9, (300, 2)).astype(np.float32)
    y = (X[:, 0] + rng.normal(size=300) * 3).astype(np.float32)
    given = {"max_depth": 5, "monotonic_cst": [1, 0]}
    own, theirs = FedTreeRegressor(**given).fit(X, y), DecisionTreeRegressor(**given, random_state=0).fit(X, y)
    np.testing.assert_allclose(own.predict(X), theirs.predict(X), rtol=1e-12)
