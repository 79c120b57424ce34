"""Light rows beside heavy ones: their weights count to the last that a sum has room for, or are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import AdaBoostClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from strategies import CLASSES, examples
from test_objectives import OWN, both, grids_of, table

from fedtrees import (
    DataError,
    FedAdaBoostClassifier,
    FedAdaBoostRegressor,
    FedExtraTreesClassifier,
    FedExtraTreesRegressor,
    FedForestClassifier,
    FedForestRegressor,
    FedGBTClassifier,
    FedGBTRegressor,
    FedTreeClassifier,
    FedTreeRegressor,
    LocalFederation,
)
from fedtrees.core.numeric.fixed_point import middle_exponent, smallest_exponent
from fedtrees.core.protocol.count_weights import CountWeights
from fedtrees.training.weights import Weights

seeds = st.integers(0, 2**32 - 1)
X = (np.arange(1000) % 2.0)[:, None]
Y = (np.arange(1000) % 2).astype(int)
BOOSTED = {"reg_lambda": 0.0, "min_child_weight": 0.0, "n_estimators": 20}
MODELS = {
    "gbt": lambda: FedGBTClassifier(**BOOSTED),
    "tree": FedTreeClassifier,
    "entropy": lambda: FedTreeClassifier(criterion="entropy"),
    "forest": lambda: FedForestClassifier(10),
    "extra": lambda: FedExtraTreesClassifier(10),
    "adaboost": lambda: FedAdaBoostClassifier(5),
    "gbt of numbers": lambda: FedGBTRegressor(**BOOSTED, learning_rate=1.0),
    "absolute": lambda: FedGBTRegressor(**BOOSTED, learning_rate=1.0, objective="reg:absoluteerror"),
    "tree of numbers": FedTreeRegressor,
    "forest of numbers": lambda: FedForestRegressor(10),
    "extra of numbers": lambda: FedExtraTreesRegressor(10),
    "adaboost of numbers": lambda: FedAdaBoostRegressor(5),
}


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("ratio", [1e5, 6e5, 1e9])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_one_heavy_row_leaves_the_others_what_they_are(name: str, ratio: float) -> None:
    heavy = np.where(np.arange(1000) == 1, ratio, 1.0)
    # all gains of numbers below 1e-6 are none where trees are boosted, in XGBoost, too
    for weight in (heavy,) if ratio == 1e9 and name in ("gbt of numbers", "absolute") else (heavy, heavy / ratio):
        predicted = MODELS[name]().fit(X, Y, sample_weight=weight).predict(X)
        assert np.count_nonzero(np.rint(predicted) != Y) == 0


@pytest.mark.parametrize("ratio", [6e5, 1e9])
@pytest.mark.parametrize("criterion", ["gini", "entropy"])
def test_a_few_light_rows_are_parted_where_heavy_ones_gain_nothing(criterion: str, ratio: float) -> None:
    x = np.r_[np.zeros(100), np.ones(100), 2, 2][:, None]
    y, weight = np.r_[np.zeros(100), np.ones(100), 0, 1], np.r_[np.ones(200), ratio, ratio]
    for silos in (None, np.arange(202) % 3):
        tree = FedTreeClassifier(criterion=criterion).fit(x, y, silos=silos, sample_weight=weight)
        assert tree.predict_proba([[0], [1], [2]])[:, 1].tolist() == [0, 1, 0.5]


def wide(seed: int, rows: int, orders: float) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 12, (rows, 3)).astype(np.float32)
    y = codes[:, 0] * codes[:, 1] + 3 * codes[:, 2] + rng.normal(size=rows)
    return codes, y.astype(np.float32), 10 ** rng.uniform(-orders / 2, orders / 2, rows)


@examples(15)
@given(
    seed=seeds, orders=st.sampled_from([1, 4, 9]), depth=st.integers(1, 6), n_silos=st.integers(1, 5),
    criterion=st.sampled_from(["gini", "entropy", "squared_error"]),
)  # fmt: skip
def test_trees_over_weights_of_any_size_are_scikit_learns(
    seed: int, orders: float, depth: int, n_silos: int, criterion: str
) -> None:
    x, y, weight = wide(seed, 200, orders)
    weight = weight.astype(np.float32)
    if criterion == "squared_error":
        own: Any = FedTreeRegressor(max_depth=depth)
        theirs: Any = DecisionTreeRegressor(max_depth=depth, random_state=0)
    else:
        y = np.digitize(y, [30, 50])
        own = FedTreeClassifier(max_depth=depth, criterion=criterion)
        theirs = DecisionTreeClassifier(max_depth=depth, criterion=criterion, random_state=0)
    own.fit(x, y, silos=np.arange(len(y)) % n_silos, sample_weight=weight)
    theirs.fit(x, y, sample_weight=weight)
    ours, expected = (
        model.predict(x) if criterion == "squared_error" else model.predict_proba(x) for model in (own, theirs)
    )
    # two splits that part a node alike may stand for one another, and no others
    same = np.isclose(ours, expected, rtol=1e-4, atol=1e-5).reshape(len(y), -1).all(axis=1)
    weighed = own.model_.tree_.weighted_n_node_samples
    assert same.mean() > 0.97
    assert weighed[0] == pytest.approx(weight.sum(dtype=np.float64), rel=1e-6)


@pytest.mark.parametrize("orders", [4, 9])
def test_stumps_over_weights_of_any_size_vote_as_scikit_learns(orders: float) -> None:
    x, y, weight = wide(1, 300, orders)
    y, weight = np.digitize(y, [40]), weight.astype(np.float32)
    own = FedAdaBoostClassifier(25).fit(x, y, silos=np.arange(300) % 4, sample_weight=weight)
    theirs = AdaBoostClassifier(DecisionTreeClassifier(max_depth=1), n_estimators=25, random_state=0)
    theirs.fit(x, y, sample_weight=weight)
    np.testing.assert_allclose(own.model_.estimator_errors_, theirs.estimator_errors_, rtol=1e-4)
    assert own.predict(x).tolist() == theirs.predict(x).tolist()


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("orders", [4, 9])
@pytest.mark.parametrize("objective", sorted(set(CLASSES) - {"reg:gamma"}))  # whose steps are beyond float32 here
def test_boosted_trees_over_weights_of_any_size_are_xgboosts(objective: str, orders: float) -> None:
    x, y, _ = table(objective, 1000)
    weight = (10 ** np.random.default_rng(4).uniform(-orders / 2, orders / 2, len(y))).astype(np.float32)
    least = 1.0 if objective == "reg:squaredlogerror" else 0.01  # whose steps are large
    given = OWN.get(objective, {}) | {"max_depth": 3, "min_child_weight": 0.0, "reg_lambda": least}
    own, same, federation = both(objective, x, y, weight, trees=5, **given)
    scale = float(np.std(same))
    # XGBoost's gains are of 32 bits, and let a tie go elsewhere
    assert (np.abs(own - same) > 1e-3 * scale).mean() < 0.02
    assert all(grid.extra > 0 for grid in grids_of(federation))


@examples(10)
@given(seed=seeds, power=st.integers(-30, 30), orders=st.sampled_from([0.5, 6]))
def test_weights_times_a_power_of_two_change_nothing(seed: int, power: int, orders: float) -> None:
    x, y, weight = wide(seed, 80, orders)
    for model, target in (
        (FedTreeClassifier(), np.digitize(y, [40])), (FedTreeRegressor(), y), (FedForestRegressor(3), y),
        (FedAdaBoostClassifier(4), np.digitize(y, [40])), (FedAdaBoostRegressor(4), y),
    ):  # fmt: skip
        plain, scaled = (
            model.fit(x, target, sample_weight=own).predict(x).tolist() for own in (weight, weight * 2.0**power)
        )
        assert plain == scaled


def test_silos_may_weigh_as_differently_as_rows() -> None:
    silos = np.where(np.arange(1000) < 2, "large", "small")
    for weighting in ({"large": 1e9, "small": 1.0}, {"large": 1.0, "small": 1e-9}):
        for kind in (FedTreeClassifier, FedGBTClassifier):
            model = kind(weighting=weighting, **(BOOSTED if kind is FedGBTClassifier else {}))
            assert model.fit(X, Y, silos=silos).predict(X).tolist() == Y.tolist()


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("name", ["gbt", "tree", "forest", "adaboost of numbers"])
def test_every_message_of_three_words_is_as_fused(name: str) -> None:
    x, y, weight = wide(5, 60, 8)
    target = y if "numbers" in name else np.digitize(y, [40])
    fitted = []
    for mode, order in (("fused", 1), ("faithful", 1), ("fused", -1)):
        silos = np.repeat(np.arange(4), 15)
        federation = LocalFederation.from_table(
            x[::order], target[::order], silos=silos[::order], sample_weight=weight[::order], mode=mode
        )
        model = MODELS[name]().fit_federation(federation)
        ledger = model.ledger_.per_round().values.tolist() if order == 1 else None
        fitted.append((model.predict(x).tolist(), ledger))
    assert fitted[0] == fitted[1] and fitted[0][0] == fitted[2][0]


# -- beyond what sums hold --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gbt", "tree", "forest", "adaboost", "gbt of numbers", "tree of numbers"])
def test_weights_beyond_what_sums_hold_are_refused_by_name_and_ratio(name: str) -> None:
    for weight in (np.where(np.arange(1000) == 1, 1e30, 1.0), np.where(np.arange(1000) == 1, 1e-30, 1.0)):
        with pytest.raises(DataError, match=r"sample_weight: the heaviest row weighs about \de\+(29|30) times"):
            MODELS[name]().fit(X, Y, sample_weight=weight)


def test_products_of_weights_are_refused_as_weights_are() -> None:
    weight, silos = np.where(np.arange(1000) == 1, 1e9, 1.0), np.where(np.arange(1000) < 2, "large", "small")
    with pytest.raises(DataError, match=r"weighs about 3e\+20 times the lightest, its silo's weight included"):
        FedTreeClassifier(weighting={"large": 1e9, "small": 1.0}).fit(X, Y, silos=silos, sample_weight=weight)
    with pytest.raises(DataError, match="scale_pos_weight by a factor of 2"):
        FedGBTClassifier(scale_pos_weight=1e9).fit(X, Y, sample_weight=weight)
    with pytest.raises(DataError, match="sample_weight: the heaviest row"):
        FedGBTClassifier(mode="bagging").fit(X, Y, sample_weight=np.where(np.arange(1000) == 1, 1e30, 1.0))


def test_a_span_of_weights_is_refused_where_digits_end() -> None:
    weights = Weights(1000, (0, 0), 1, False, span=40)
    weights.check_span(40)
    weights.check_span(43, 3)
    for digits, more in ((39, 0), (42, 3)):
        with pytest.raises(DataError, match="sample_weight: the heaviest row weighs about 1e\\+12 times the lightest"):
            weights.check_span(digits, more)


def test_exponents_of_counts() -> None:
    counts = np.zeros(278, np.int64)
    assert smallest_exponent(counts) == 128 and middle_exponent(counts) == -149
    counts[[0, 149, 150, 159]] = [3, 1, 1, 2]  # three zeros, one number up to 1, one up to 2, two up to 1024
    assert smallest_exponent(counts) == 0 and middle_exponent(counts) == 0
    counts[159] = 4
    assert middle_exponent(counts) == 1
    counts[1] = 1  # of the smallest number of all
    assert smallest_exponent(counts) == -148


def test_light_rows_count_as_they_weigh_where_rows_are_counted() -> None:
    fine = CountWeights(30, whole=False, bits=40)
    assert fine.counts(np.float32([2.0**30, 1.0, 2.0])).tolist() == [2**40, 2**10, 2**11]
