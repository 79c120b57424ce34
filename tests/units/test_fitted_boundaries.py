"""Trees, forests, AdaBoost, networks and silos' own models: ends of parameters, and what fitted ones hold."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.metrics import accuracy_score, r2_score
from sklearn.tree import DecisionTreeClassifier

import fedtrees
from fedtrees import (
    DataError,
    FedAdaBoostClassifier,
    FedAdaBoostRegressor,
    FedAvgClassifier,
    FedAvgRegressor,
    FedForestClassifier,
    FedForestRegressor,
    FedGBTClassifier,
    FedGBTRanker,
    FedGBTRegressor,
    FedTreeClassifier,
    FedTreeRegressor,
    LocalFederation,
    ParameterError,
    SchemaError,
    Silo,
)
from fedtrees.core.numeric.rng import stream
from fedtrees.estimators.boosting.personal_trees import MoreTrees, OwnLeaves
from fedtrees.estimators.cart.parameters import check_cart_parameters, features_per_node
from fedtrees.estimators.network.parameters import check_parameters as check_network_parameters

N = 60
X = stream(0, "fitted").normal(size=(N, 3)).astype(np.float32)
NOISE = stream(1, "fitted").normal(size=N)
TWO = (X[:, 0] + 0.5 * NOISE > 0).astype(int)
NUMBERS = X[:, 0] + 0.2 * NOISE
WEIGHT = stream(2, "fitted").uniform(0.1, 5, N)

# -- parameters ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["sqrt", "log2", 0.01, 0.3, 0.5, 0.99, 1.0, 1, 2, None])
def test_a_node_asks_for_as_many_features_as_scikit_learns(given: Any) -> None:
    for columns in (1, 2, 3, 5, 7, 8, 12, 15, 16, 31):
        theirs = DecisionTreeClassifier(max_features=given).fit(np.zeros((4, max(columns, 2))), [0, 1, 0, 1])
        assert features_per_node(given, max(columns, 2)) == theirs.max_features_, columns
    fitted = FedTreeClassifier(max_features=given, max_depth=1, n_jobs=1).fit(X, TWO)
    theirs = DecisionTreeClassifier(max_features=given).fit(X, TWO)
    assert fitted.max_features_ == fitted.model_.max_features_ == theirs.max_features_
    assert FedForestClassifier(1, max_features=given, max_depth=1).fit(X, TWO)[0].max_features_ == theirs.max_features_


@pytest.mark.parametrize(
    ("kind", "wrong", "fine"),
    [
        (FedTreeClassifier, {"max_depth": 0}, {"max_depth": 1}),
        (FedTreeClassifier, {"max_leaf_nodes": 1}, {"max_leaf_nodes": 2}),
        (FedTreeClassifier, {"min_weight_fraction_leaf": 0.51}, {"min_weight_fraction_leaf": 0.5}),
        (FedTreeClassifier, {"min_samples_split": 1}, {"min_samples_split": 2}),
        (FedTreeClassifier, {"min_samples_leaf": 0}, {"min_samples_leaf": 1}),
        (FedTreeClassifier, {"min_samples_leaf": 1.01}, {"min_samples_leaf": 1.0}),
        (FedTreeClassifier, {"ccp_alpha": -1e-9}, {"ccp_alpha": 0.0}),
        (FedTreeClassifier, {"max_bin": 1}, {"max_bin": 2}),
        (FedTreeClassifier, {"min_bin_rows": 0}, {"min_bin_rows": 1}),
        (FedTreeClassifier, {"class_weight": {1: 2.0**65}}, {"class_weight": {1: 2.0**4}}),
        (FedTreeClassifier, {"monotonic_cst": [2, 0, 0]}, {"monotonic_cst": [1, 0, -1]}),
        (FedForestClassifier, {"n_estimators": 10_001}, {"n_estimators": 1}),
        (FedForestClassifier, {"max_samples": 16.1}, {"max_samples": 16.0, "n_estimators": 1}),
        (FedForestClassifier, {"max_samples": 0.5, "bootstrap": False}, {"max_samples": 0.5, "n_estimators": 1}),
        (FedAdaBoostClassifier, {"learning_rate": 100.1}, {"learning_rate": 100, "n_estimators": 1}),
        (FedAvgClassifier, {"stragglers": 1.01}, {"stragglers": 1, "n_rounds": 1}),
        (FedAvgClassifier, {"upload": "gradients", "batch_size": None, "local_epochs": 2},
         {"upload": "gradients", "batch_size": None, "local_epochs": 1, "n_rounds": 1}),
        (FedAvgClassifier, {"schedule": "exponential", "decay": 1}, {"schedule": "exponential", "decay": 0.9}),
    ],
    ids=lambda own: next(iter(own)) if isinstance(own, dict) else "",
)  # fmt: skip
def test_ranges_end_where_they_are_said_to(kind: Any, wrong: dict[str, Any], fine: dict[str, Any]) -> None:
    few = {"hidden_layer_sizes": (), "n_rounds": 1} if kind is FedAvgClassifier else {}
    kind(**{**few, **fine}, n_jobs=1).fit(X, TWO)
    with pytest.raises(ParameterError):
        kind(**{**few, **wrong}, n_jobs=1).fit(X, TWO)


@pytest.mark.parametrize(
    ("kind", "name", "fine", "wrong"),
    [
        (FedForestClassifier, "n_estimators", [1, 10_000], [0, 10_001, 1.0, True]),
        (FedForestClassifier, "max_bin", [2, 65535], [1, 65536, 2.0]),
        (FedForestClassifier, "min_bin_rows", [1, 2**31], [0, 2**31 + 1]),
        (FedForestClassifier, "verbose", [0, 1, True], [-1, 0.5]),
        (FedForestClassifier, "max_depth", [1, None, 10**9], [0, -1, 1.0, True]),
        (FedForestClassifier, "max_leaf_nodes", [2, None], [1, 2.0]),
        (FedForestClassifier, "min_samples_split", [2, 1e-9, 1.0], [1, 0.0, 1.01, -1]),
        (FedForestClassifier, "min_samples_leaf", [1, 1e-9, 0.99], [0, 0.0, 1.01, -1]),
        (FedForestClassifier, "min_weight_fraction_leaf", [0, 0.5], [-1e-9, 0.5 + 1e-9]),
        (FedForestClassifier, "min_impurity_decrease", [0, 1e300], [-1e-9, np.inf, np.nan]),
        (FedForestClassifier, "ccp_alpha", [0, 1e300], [-1e-9, np.inf, np.nan]),
        (FedAdaBoostClassifier, "learning_rate", [1e-9, 100], [0, 100 + 1e-9, np.nan]),
        (FedAvgClassifier, "n_rounds", [1, 10**9], [0, 1.0]),
        (FedAvgClassifier, "local_epochs", [1, 10**9], [0, 1.0]),
        (FedAvgClassifier, "learning_rate", [1e-300, 1e6], [0, 1e6 + 1, np.nan]),
        (FedAvgClassifier, "alpha", [0, 1e6], [-1e-9, 1e6 + 1, np.nan]),
        (FedAvgClassifier, "stragglers", [0, 1], [-1e-9, 1 + 1e-9, np.nan]),
        (FedAvgClassifier, "verbose", [0, 1, True], [-1, 0.5]),
    ],
)  # fmt: skip
def test_ends_of_ranges_are_fine_and_what_is_beyond_is_named(
    kind: Any, name: str, fine: list[Any], wrong: list[Any]
) -> None:
    check = check_network_parameters if kind is FedAvgClassifier else check_cart_parameters
    for value in fine:
        check(kind(**{name: value}))
    for value in wrong:
        with pytest.raises(ParameterError, match=f"^{name}={re.escape(repr(value))}: give "):
            check(kind(**{name: value}))


def test_directions_of_zero_are_none() -> None:
    free, none = (FedTreeClassifier(max_depth=3, monotonic_cst=own).fit(X, TWO) for own in (None, [0, 0, 0]))
    assert free.tree_.value.tobytes() == none.tree_.value.tobytes()
    assert free.ledger_.bytes_down == none.ledger_.bytes_down


def test_the_estimator_is_named_that_takes_one_target() -> None:
    with pytest.raises(DataError, match=r"^y has 2 columns; FedAdaBoostRegressor is for one"):
        FedAdaBoostRegressor(1).fit(X, np.stack([NUMBERS, NUMBERS], axis=1))


# -- what is held -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FedForestClassifier, FedForestRegressor])
def test_one_row_without_out_of_bag_trees_is_warned_of(kind: Any) -> None:
    y, left = TWO if kind is FedForestClassifier else NUMBERS, -1
    for seed in range(60):
        plain = kind(8, max_depth=1, random_state=seed, n_jobs=1).fit(X[:30], y[:30])
        times = np.sum([~np.isin(np.arange(30), own) for own in plain.estimators_samples_], axis=0)
        left = np.count_nonzero(times == 0)
        if left == 1:
            break
    assert left == 1
    with pytest.warns(UserWarning, match="do not have OOB scores"):
        fitted = kind(8, max_depth=1, random_state=seed, n_jobs=1, oob_score=True).fit(X[:30], y[:30])
    if kind is FedForestRegressor:
        assert fitted.oob_prediction_.shape == (30,) and fitted.oob_prediction_[times == 0].tolist() == [0]
    else:
        assert fitted.oob_decision_function_.shape == (30, 2)


def test_rows_of_a_forest_are_known_where_all_its_trees_grew_here() -> None:
    federation = LocalFederation.from_table(X, TWO, mode="faithful", silos=np.arange(N) % 2)
    fitted = FedForestClassifier(2, warm_start=True, n_jobs=1).fit_federation(federation)
    for _ in range(2):
        with pytest.raises(AttributeError, match="estimators_samples_ is known where"):
            _ = fitted.estimators_samples_
        fitted.set_params(n_estimators=4).fit(X, TWO) if len(fitted) == 2 else None


def test_a_score_out_of_the_bag_is_that_of_the_last_fit() -> None:
    fitted = FedForestClassifier(30, oob_score=True, random_state=1, n_jobs=1).fit(X, TWO)
    first = fitted.oob_score_
    fitted.fit(X, TWO[::-1])
    other = FedForestClassifier(30, oob_score=True, random_state=1, n_jobs=1).fit(X, TWO[::-1])
    assert fitted.oob_score_ == other.oob_score_ != first
    assert fitted.oob_decision_function_.tolist() == other.oob_decision_function_.tolist()
    assert not hasattr(fitted.set_params(oob_score=False).fit(X, TWO), "oob_score_")


def test_boosted_trees_are_scored_by_weight_after_each_tree() -> None:
    for model, y, metric in (
        (FedAdaBoostClassifier(4, n_jobs=1), TWO, accuracy_score),
        (FedAdaBoostRegressor(4, max_depth=2, n_jobs=1), NUMBERS, r2_score),
    ):
        model.fit(X, y)
        expected = [metric(y, own, sample_weight=WEIGHT) for own in model.staged_predict(X)]
        assert list(model.staged_score(X, y, WEIGHT)) == expected != list(model.staged_score(X, y))
    with pytest.raises(DataError, match=r"label .* was not there"):
        list(FedAdaBoostClassifier(2).fit(X, TWO).staged_score(X, TWO + 0.5))


def test_votes_shrink_with_the_learning_rate_and_errors_follow_the_loss() -> None:
    whole, half = (FedAdaBoostRegressor(1, max_depth=2, learning_rate=rate).fit(X, NUMBERS) for rate in (1.0, 0.5))
    np.testing.assert_allclose(half.estimator_weights_, whole.estimator_weights_ / 2)
    missed = np.abs(whole.estimators_[0].predict(X) - NUMBERS.astype(np.float32))
    share = missed / missed.max()
    for loss, of in (("linear", share), ("square", share**2), ("exponential", 1 - np.exp(-share))):
        fitted = FedAdaBoostRegressor(1, max_depth=2, loss=loss).fit(X, NUMBERS)
        assert fitted.estimator_errors_[0] == pytest.approx(of.mean(), rel=2e-3)
        assert fitted.estimator_weights_[0] == pytest.approx(np.log((1 - of.mean()) / of.mean()), rel=1e-2)
    classes = [FedAdaBoostClassifier(1, learning_rate=rate).fit(X, TWO) for rate in (1.0, 0.25)]
    np.testing.assert_allclose(classes[1].estimator_weights_, classes[0].estimator_weights_ / 4)
    wrong = np.mean(classes[0].estimators_[0].predict(X) != TWO)
    assert classes[0].estimator_errors_[0] == pytest.approx(wrong)


@pytest.mark.parametrize("kind", [FedTreeClassifier, FedTreeRegressor])
def test_a_path_is_that_of_the_whole_tree(kind: Any) -> None:
    y = TWO if kind is FedTreeClassifier else NUMBERS
    whole, pruned = (kind(ccp_alpha=alpha, n_jobs=1).cost_complexity_pruning_path(X, y) for alpha in (0.0, 0.05))
    assert whole.ccp_alphas.tolist() == pruned.ccp_alphas.tolist() and len(whole.ccp_alphas) > 2
    assert whole.impurities.tolist() == pruned.impurities.tolist()
    if kind is FedTreeRegressor:
        assert whole.impurities[-1] == pytest.approx(NUMBERS.var(), rel=1e-3)
        weighted = kind().cost_complexity_pruning_path(X, y, sample_weight=WEIGHT).impurities[-1]
        mean = np.average(NUMBERS, weights=WEIGHT)
        assert weighted == pytest.approx(np.average((NUMBERS - mean) ** 2, weights=WEIGHT), rel=1e-3)


@pytest.mark.parametrize("kind", [FedTreeClassifier, FedForestClassifier, FedAdaBoostClassifier])
def test_an_exported_booster_knows_the_names(kind: Any) -> None:
    frame = pd.DataFrame(X, columns=["age", "dose", "weight"])
    assert kind(max_depth=2, n_jobs=1).fit(frame, TWO).to_booster().feature_names == ["age", "dose", "weight"]
    assert kind(max_depth=2, n_jobs=1).fit(X, TWO).to_booster().feature_names is None


@pytest.mark.parametrize("criterion", ["gini", "entropy", "log_loss"])
def test_impurities_are_those_of_the_criterion(criterion: str) -> None:
    fitted = FedTreeClassifier(criterion=criterion, max_depth=2, n_jobs=1).fit(X, TWO)
    p = TWO.mean()
    expected = 2 * p * (1 - p) if criterion == "gini" else -p * np.log2(p) - (1 - p) * np.log2(1 - p)
    assert fitted.tree_.impurity[0] == pytest.approx(expected) and fitted.model_.criterion == criterion
    assert fitted.tree_.max_depth == fitted.get_depth() == 2


# -- silos' own trees ---------------------------------------------------------------------------------------


def test_more_trees_are_ten_and_weigh_rows() -> None:
    shared = FedGBTRegressor(3, max_depth=2, n_jobs=1).fit(X, NUMBERS)
    silo = Silo("a", X[:30], NUMBERS[:30] * 2, sample_weight=WEIGHT[:30], n_jobs=1)
    own = shared.personalize(silo)
    assert own.booster_.num_boosted_rounds() == 13 and MoreTrees() == MoreTrees(10)
    matrix = xgboost.DMatrix(X[:30], NUMBERS[:30] * 2, weight=WEIGHT[:30])
    params = {**shared.get_xgb_params(), "objective": "reg:squarederror"}
    for ours in ("n_jobs", "random_state", "base_score"):
        params.pop(ours, None)
    theirs = xgboost.train(params, matrix, 10, xgb_model=shared.booster_.copy())
    np.testing.assert_allclose(own.predict(X), theirs.predict(xgboost.DMatrix(X)), rtol=1e-5)
    assert shared.booster_.num_boosted_rounds() == 3


def test_personal_trees_draw_by_the_seed_and_by_weights_of_features() -> None:
    silo = Silo("a", X[:30], NUMBERS[:30], n_jobs=1)

    def trees(**params: Any) -> list[str]:
        shared = FedGBTRegressor(1, max_depth=1, n_jobs=1, **params).fit(X, NUMBERS)
        return shared.personalize(silo, MoreTrees(12)).booster_.get_dump()[1:]

    drawn = {"colsample_bynode": 0.3}
    assert trees(**drawn, random_state=1) == trees(**drawn, random_state=1) != trees(**drawn, random_state=2)
    shared = FedGBTRegressor(1, max_depth=1, n_jobs=1, subsample=0.5).fit(X, NUMBERS)  # of one model, by the seed alone
    own = {
        seed: shared.set_params(random_state=seed).personalize(silo, MoreTrees(6)).booster_.get_dump()
        for seed in (None, 0, 1, 2, -1)
    }
    assert own[None] == own[0] and len({tuple(each) for each in own.values()}) == 4
    assert len({each[0] for each in own.values()}) == 1
    heavy = "".join(trees(**drawn, feature_weights=[1e-9, 1e-9, 1.0]))
    assert "[f2<" in heavy and "[f0<" not in heavy and "[f1<" not in heavy


def test_a_personal_model_begins_after_the_best_round_and_has_none() -> None:
    shared = FedGBTRegressor(40, early_stopping_rounds=2, eval_metric="rmse", n_jobs=1)
    shared.fit(X, NUMBERS, eval_set=[(X[::-1], NOISE)])
    best = shared.best_iteration
    assert best + 1 < shared.booster_.num_boosted_rounds()
    silo = Silo("a", X[:30], NUMBERS[:30], n_jobs=1)
    own = shared.personalize(silo, MoreTrees(2))
    assert own.booster_.num_boosted_rounds() == best + 3
    assert not hasattr(own, "best_iteration") and not hasattr(own, "evals_result_") and shared.evals_result_
    leaves = shared.personalize(silo, OwnLeaves())
    assert leaves.booster_.num_boosted_rounds() == best + 1 and not hasattr(leaves, "best_iteration")


# -- networks -----------------------------------------------------------------------------------------------


def test_rounds_are_whole_numbers_of_any_type() -> None:
    model = FedGBTRegressor(4, max_depth=2).fit(X, NUMBERS)
    matrix = xgboost.DMatrix(X)
    for first, end in ((0, 1), (1, 3), (3, 4)):
        expected = model.booster_.predict(matrix, iteration_range=(first, end))
        for kind in (int, np.int64, np.uint8):
            rounds = kind(first), kind(end)
            np.testing.assert_array_equal(model.predict(X, iteration_range=rounds), expected)
            assert model.apply(X, iteration_range=rounds).shape == (N, end - first)
    np.testing.assert_array_equal(model.predict(X, iteration_range=(2, 0)), model.predict(X))
    for wrong in ((1, 1), (0, 5), (-1, 2), (3, 2), (1,), (0, 1, 2)):
        with pytest.raises(ParameterError, match=r"give \(first, end\) with 0 <= first < end <= 4"):
            model.predict(X, iteration_range=wrong)


def test_rows_beyond_one_piece_are_predicted_too() -> None:
    model = FedAvgRegressor((3,), n_rounds=2, n_jobs=1).fit(X, NUMBERS)
    many = np.resize(X, (8192 + 5, 3))
    np.testing.assert_allclose(model.predict(many), np.resize(model.predict(X), len(many)), rtol=1e-5, atol=1e-6)


def test_the_row_and_the_column_are_named_that_are_wrong() -> None:
    model = FedAvgRegressor((), n_rounds=1, n_jobs=1).fit(pd.DataFrame(X, columns=list("abc")), NUMBERS)
    for column in "abc":
        wrong = pd.DataFrame(X, columns=list("abc"))
        wrong.loc[4, column] = np.nan
        with pytest.raises(DataError, match=f"^column '{column}' holds NaN"):
            model.predict(wrong)
    plain = FedAvgRegressor((4,), activation="identity", n_rounds=1, n_jobs=1, standardize=False).fit(X, NUMBERS)
    far = np.zeros((6, 3), np.float32)
    far[4] = 3e38
    with np.errstate(all="ignore"), pytest.raises(DataError, match=r"^row 4 holds numbers too large"):
        plain.predict(far)


def test_losses_and_layers_are_told() -> None:
    model = FedAvgClassifier((5, 4), n_rounds=6, learning_rate=2.0, n_jobs=1).fit(X, TWO)
    assert (model.loss_, model.best_loss_) == (model.loss_curve_[-1], min(model.loss_curve_))
    assert (model.n_layers_, model.n_outputs_, model.n_rounds_, model.n_iter_) == (4, 1, 6, 6)
    assert [own.shape for own in model.coefs_] == [(3, 5), (5, 4), (4, 1)] and len(model.intercepts_) == 3
    three = FedAvgClassifier((), n_rounds=1, n_jobs=1).fit(X, TWO + (NOISE > 1))
    assert three.n_outputs_ == 3 and three.out_activation_ == "softmax" and model.out_activation_ == "logistic"


def test_a_training_that_goes_on_keeps_its_columns_and_seed() -> None:
    frame = pd.DataFrame(X, columns=list("abc"))
    model = FedAvgRegressor((3,), n_rounds=2, random_state=5, n_jobs=1).fit(frame, NUMBERS)
    with pytest.raises(DataError, match=r"column 'd'|column 'c'"):
        model.partial_fit(frame.rename(columns={"c": "d"}), NUMBERS)
    whole = FedAvgRegressor((3,), n_rounds=4, random_state=5, n_jobs=1).fit(frame, NUMBERS)
    again = model.set_params(random_state=6).partial_fit(frame, NUMBERS, n_rounds=2)
    assert again.params_.tobytes() == whole.params_.tobytes()


def test_every_public_name_has_its_estimator() -> None:
    assert fedtrees.FedExtraTreesClassifier().bootstrap is False and FedForestClassifier().bootstrap is True


@pytest.mark.parametrize("kind", [FedGBTClassifier, FedGBTRanker, FedGBTRegressor])
def test_columns_are_checked_unless_that_is_left_out(kind: Any) -> None:
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    y = TWO if kind is not FedGBTRegressor else NUMBERS
    model = kind(1, max_depth=2).fit(frame, y, **({"qid": np.arange(N) // 6} if kind is FedGBTRanker else {}))
    other = frame.rename(columns={"c": "d"})
    methods = [model.predict] + ([model.predict_proba] if kind is FedGBTClassifier else [])
    for method in methods:
        with pytest.raises(SchemaError, match=r"'[cd]'"):
            method(other)
        np.testing.assert_array_equal(method(other, validate_features=False), method(frame))


@pytest.mark.parametrize("label", [np.inf, -np.inf, np.nan, 0.5])
@pytest.mark.parametrize(
    "estimator", [FedTreeClassifier(max_depth=1), FedGBTClassifier(1), FedAvgClassifier(n_rounds=1)]
)
def test_labels_to_score_that_are_no_whole_numbers_are_named(estimator: Any, label: float) -> None:
    model = estimator.fit(X, TWO)
    y = TWO.astype(float)
    assert model.score(X, np.where(np.arange(N) == 3, 7.0, y)) <= 1  # a class that was not there
    y[3] = label
    with pytest.raises(DataError, match=f"{label}|NaN|missing"):
        model.score(X, y)
