"""Boosting where it is decided by a hair, and what a second call, a file or a callback leaves of the first."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.metrics import accuracy_score, r2_score

from fedtrees import (
    DataError,
    FedGBTClassifier,
    FedGBTRanker,
    FedGBTRegressor,
    LocalFederation,
    ParameterError,
    Silo,
)
from fedtrees.core.numeric.rng import stream
from fedtrees.core.numeric.threads import Threads
from fedtrees.export.objectives import OBJECTIVES

N = 60
X = stream(0, "boosted").normal(size=(N, 3)).astype(np.float32)
NOISE = stream(1, "boosted").normal(size=N)
TWO = (X[:, 0] + NOISE > 0).astype(int)
WEIGHT = stream(2, "boosted").uniform(0.1, 5, N)
SMALL: dict[str, Any] = {"n_estimators": 3, "max_depth": 2, "n_jobs": 1}


# -- ties and ends ------------------------------------------------------------------------------------------


def test_a_label_at_half_is_not_there_as_in_xgboost() -> None:
    """A node of as many rows with a label as without, from a base score of a half: margins are 0, to the bit."""
    y = np.stack([np.arange(N) % 2, np.arange(N) % 2 == 0], axis=1).astype(int)
    still = np.zeros((N, 1))
    given = {"n_estimators": 2, "base_score": 0.5, "n_jobs": 1}
    fitted = FedGBTClassifier(**given).fit(still, y)
    theirs = xgboost.XGBClassifier(**given, tree_method="hist").fit(still, y)
    assert (fitted.predict_proba(still) == 0.5).all()
    assert fitted.predict(still).tolist() == theirs.predict(still).tolist() == [[0, 0]] * N
    assert next(fitted.staged_predict(still)).tolist() == [[0, 0]] * N
    assert fitted.classes_.tolist() == [0, 1] and fitted.classes_.dtype.kind == "i"


def test_of_classes_that_share_the_top_score_the_first_is_predicted() -> None:
    for labels in (["a", "b"], ["a", "b", "c"]):
        y = np.resize(labels, N)
        fitted = FedGBTClassifier(1, base_score=0.5, n_jobs=1).fit(np.zeros((N, 1)), y)
        p = fitted.predict_proba(np.zeros((2, 1)))
        assert (p == p[0, 0]).all() and fitted.predict(np.zeros((2, 1))).tolist() == ["a", "a"]


def test_probabilities_of_large_margins_are_none_that_are_not() -> None:
    fitted = FedGBTClassifier(**SMALL, objective="multi:softmax").fit(X, TWO + (NOISE > 1))
    margin = np.float32([[1000, 0, 0], [0, 1000, 999], [-1000, -1000, -1000]])
    with np.errstate(all="raise", under="ignore"):
        p = fitted.predict_proba(X[:3], base_margin=margin)
    assert np.isfinite(p).all() and p.sum(axis=1) == pytest.approx([1, 1, 1], rel=1e-6)
    assert p.argmax(axis=1).tolist()[:2] == [0, 1]


@pytest.mark.parametrize("rounds", [(0, 0), (1, 0), (2, 0)])
def test_rounds_that_end_at_0_are_all(rounds: tuple[int, int]) -> None:
    fitted = FedGBTRegressor(**SMALL).fit(X, NOISE)
    assert fitted.predict(X, iteration_range=rounds).tolist() == fitted.predict(X).tolist()
    assert fitted.apply(X, rounds).tolist() == fitted.apply(X).tolist()


def test_three_classes_of_a_binary_objective_are_three_classes() -> None:
    for labels in (3, 4):
        y = np.arange(N) % labels
        fitted = FedGBTClassifier(**SMALL, objective="binary:logistic").fit(X, y)
        assert fitted.predict_proba(X).shape == (N, labels) and len(fitted.booster_.get_dump()) == 3 * labels
        assert json.loads(fitted.booster_.save_config())["learner"]["objective"]["name"] == "multi:softprob"


# -- scores -------------------------------------------------------------------------------------------------


def test_scores_weigh_rows() -> None:
    model, numbers = FedGBTClassifier(**SMALL).fit(X, TWO), FedGBTRegressor(**SMALL).fit(X, NOISE)
    assert model.score(X, TWO, WEIGHT) == accuracy_score(TWO, model.predict(X), sample_weight=WEIGHT)
    assert model.score(X, TWO, WEIGHT) != model.score(X, TWO)
    assert numbers.score(X, NOISE, WEIGHT) == r2_score(NOISE, numbers.predict(X), sample_weight=WEIGHT)
    assert numbers.score(X, NOISE, WEIGHT) != numbers.score(X, NOISE)


def test_one_quantile_has_an_r2_and_several_have_none() -> None:
    one = FedGBTRegressor(**SMALL, objective="reg:quantileerror").fit(X, NOISE)
    assert one.score(X, NOISE) == r2_score(NOISE, one.predict(X))
    several = FedGBTRegressor(**SMALL, objective="reg:quantileerror", quantile_alpha=[0.2, 0.8]).fit(X, NOISE)
    with pytest.raises(DataError, match=r"^score: R2 says nothing of what reg:quantileerror predicts"):
        several.score(X, NOISE)


def test_numbers_of_several_targets_are_doubles() -> None:
    fitted = FedGBTRegressor(**SMALL).fit(X, np.stack([NOISE, -NOISE], axis=1))
    assert fitted.predict(X).dtype == next(fitted.staged_predict(X)).dtype == np.float64
    assert FedGBTRegressor(**SMALL).fit(X, NOISE).predict(X).dtype == np.float32


# -- parameters ---------------------------------------------------------------------------------------------


def test_no_parameter_of_ours_is_told_to_xgboosts_own_training() -> None:
    """XGBoost warns of what it does not know, and warnings are errors here."""
    given: dict[str, Any] = {
        "sampling": 0.5, "weighting": "equal", "feature_weights": [1, 2, 3], "min_bin_rows": 2, "verbose": 0,
        "validation_fraction": 0.1, "mode": "histogram", "split_on_silo": False, "enable_categorical": True,
        "early_stopping_rounds": 3, "callbacks": [], "importance_type": "gain", "eval_metric": "rmse", "missing": 0.0,
    }  # fmt: skip
    params = FedGBTRegressor(**SMALL, **given).get_xgb_params()
    known = set(xgboost.XGBRegressor().get_params()) | {"huber_slope", "tweedie_variance_power"}
    assert set(params) <= known and params["max_depth"] == 2 and params["eval_metric"] == "rmse"
    assert not {"n_estimators", "missing", "callbacks", "early_stopping_rounds", "feature_weights"} & set(params)


@pytest.mark.parametrize("generator", [np.random.RandomState, np.random.default_rng])
def test_a_generator_is_the_seed_that_it_gives_next(generator: Any) -> None:
    def fit(state: Any) -> bytes:
        return bytes(FedGBTRegressor(**SMALL, subsample=0.5, random_state=state).fit(X, NOISE).booster_.save_raw())

    own = generator(3)
    model = FedGBTRegressor(**SMALL, subsample=0.5, random_state=own)
    told = model.get_xgb_params()["random_state"]
    assert told == model.get_xgb_params()["random_state"]  # asking draws nothing
    first, second = (bytes(model.fit(X, NOISE).booster_.save_raw()) for _ in range(2))
    assert first == fit(told) == fit(generator(3)) != second != fit(None)


def test_seeds_have_64_bits() -> None:
    for seed in (2**63 - 1, -(2**63)):
        FedGBTRegressor(1, random_state=seed, subsample=0.5, n_jobs=1).fit(X, NOISE)
    for seed in (2**63, -(2**63) - 1):
        with pytest.raises(ParameterError, match="give a whole number of 64 bits at the most"):
            FedGBTRegressor(1, random_state=seed).fit(X, NOISE)


@pytest.mark.parametrize(
    ("objective", "score"),
    [
        ("reg:logistic", 0.0), ("reg:logistic", 1.0), ("reg:tweedie", 0.0), ("count:poisson", 0.0),
        ("reg:gamma", 0.0), ("survival:aft", -1.0), ("reg:tweedie", -2.0),
    ],
)  # fmt: skip
def test_a_base_score_lies_inside_what_the_objective_predicts(objective: str, score: float) -> None:
    with pytest.raises(ParameterError, match=r"^base_score="):
        FedGBTRegressor(1, objective=objective, base_score=score).fit(X, TWO)


@pytest.mark.parametrize(("scores", "columns"), [([0.1, 0.2], 3), ([0.1, 0.2, 0.3], 2), ([0.1, 0.2], 1)])
def test_a_base_score_is_one_number_or_one_an_output(scores: list[float], columns: int) -> None:
    y = np.stack([NOISE] * columns, axis=1) if columns > 1 else NOISE
    with pytest.raises(ParameterError, match=f"^base_score has {len(scores)} numbers for {columns} outputs"):
        FedGBTRegressor(1, base_score=scores).fit(X, y)


def test_weights_of_features_are_above_0() -> None:
    for weights in ([1, 0, 1], [1, -1, 1], [1, np.inf, 1], [1, 2], [[1, 2, 3]]):
        with pytest.raises(ParameterError, match="give a number above 0 for each of 3 features"):
            FedGBTRegressor(1, feature_weights=weights, colsample_bytree=0.5).fit(X, NOISE)


def test_columns_are_named_that_are_wrong_and_no_others() -> None:
    frame = pd.DataFrame(X, columns=list("abc")).assign(
        d=pd.Categorical(np.arange(N) % 2), e=pd.Categorical(np.arange(N) % 3)
    )
    with pytest.raises(ParameterError, match=r"^monotone_constraints: 'e' is a category"):
        FedGBTRegressor(1, monotone_constraints={"a": 1, "e": -1}).fit(frame, NOISE)
    with pytest.raises(DataError, match=r"^columns 'd', 'e' are of categories, .* such as X\['d'\]\.cat\.codes"):
        FedGBTRegressor(1, enable_categorical=False).fit(frame, NOISE)


@pytest.mark.parametrize("metric", ["auc", "aucpr"])
def test_areas_are_of_one_label_a_row(metric: str) -> None:
    y = np.stack([TWO, 1 - TWO], axis=1)
    with pytest.raises(ParameterError, match=f"^eval_metric='{metric}' is for one label a row"):
        FedGBTClassifier(1, eval_metric=["logloss", metric]).fit(X, y)


def test_the_most_categories_of_a_split_are_those_that_are_asked_for() -> None:
    """As XGBoost: with few allowed, the sets of a split are no larger."""
    codes = np.arange(600) % 40
    frame = pd.DataFrame({"ward": pd.Categorical(codes)})
    y = np.sin(codes * 1.7) + 0.01 * codes
    for most in (3, 64):
        given = {"n_estimators": 1, "max_depth": 1, "max_cat_threshold": most, "max_cat_to_onehot": 1, "n_jobs": 1}
        fitted = FedGBTRegressor(**given).fit(frame, y)
        theirs = xgboost.XGBRegressor(**given, tree_method="hist", enable_categorical=True).fit(frame, y)
        np.testing.assert_allclose(fitted.predict(frame), theirs.predict(frame), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("onehot", [3, 4, 5])
def test_categories_are_split_one_by_one_where_there_are_fewer_than_said(onehot: int) -> None:
    """As XGBoost: two of four against the other two is one split of sets, and none of single ones."""
    codes = np.arange(200) % 4
    frame, y = pd.DataFrame({"ward": pd.Categorical(codes)}), np.array([0.0, 3.0, 0.1, 3.1])[codes]
    given = {"n_estimators": 1, "max_depth": 1, "max_cat_to_onehot": onehot, "n_jobs": 1}
    ours = FedGBTRegressor(**given).fit(frame, y).predict(frame)
    theirs = xgboost.XGBRegressor(**given, tree_method="hist", enable_categorical=True).fit(frame, y).predict(frame)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    high = np.isin(codes, np.flatnonzero(np.bincount(codes, ours) / 50 > 1.55))
    assert (high == (codes % 2 == 1)).all() == (onehot <= 4)


# -- callbacks ----------------------------------------------------------------------------------------------


class Does(xgboost.callback.TrainingCallback):
    """Calls a function before and after rounds."""

    def __init__(self, before: Any = None, after: Any = None, end: Any = None):
        self._calls = before, after, end

    def before_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        return bool(self._calls[0] and self._calls[0](model, epoch))

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        return bool(self._calls[1] and self._calls[1](model, epoch))

    def after_training(self, model: Any) -> Any:
        return self._calls[2](model) if self._calls[2] else model


@pytest.mark.parametrize("place", [0, 1])
def test_one_callback_of_several_ends_a_training(place: int) -> None:
    for stop, rounds in (
        (Does(before=lambda model, epoch: epoch == 2), 2),
        (Does(after=lambda model, epoch: epoch == 1), 2),
    ):
        callbacks = [Does(), Does()]
        callbacks[place] = stop
        assert FedGBTRegressor(5, callbacks=callbacks, n_jobs=1).fit(X, NOISE).booster_.num_boosted_rounds() == rounds


@pytest.mark.parametrize("mode", ["histogram", "bagging", "cyclic"])
@pytest.mark.parametrize("last", [("before", 2), ("after", 1)])
def test_a_training_that_ended_does_not_go_on(mode: str, last: tuple[str, int]) -> None:
    """A callback says once that it is over, before a round or after one, and is not asked again."""
    asked: list[tuple[str, int]] = []

    def ends(when: str, epoch: int) -> bool:
        asked.append((when, epoch))
        return asked[-1] == last

    stop = Does(lambda model, epoch: ends("before", epoch), lambda model, epoch: ends("after", epoch))
    model = FedGBTRegressor(5, mode=mode, max_depth=2, callbacks=[stop], n_jobs=1).fit(X, NOISE)
    assert model.booster_.num_boosted_rounds() == 2
    assert asked == [("before", 0), ("after", 0), ("before", 1), ("after", 1), last][: 5 if last[0] == "before" else 4]


@pytest.mark.parametrize(
    ("rate", "fine"), [(0, False), (-1, False), (float("nan"), False), (1e39, False), (1e-30, True)]
)
def test_a_callback_sets_a_learning_rate_by_either_name(rate: float, fine: bool) -> None:
    for name in ("learning_rate", "eta"):
        for given in ({name: rate}, [(name, rate)]):
            callback = Does(before=lambda model, epoch, given=given: model.set_param(given))
            fit = FedGBTRegressor(1, callbacks=[callback], n_jobs=1).fit
            if fine:
                assert np.ptp(fit(X, NOISE).predict(X)) < 1e-20
            else:
                with pytest.raises(ParameterError, match="a callback set the learning rate to"):
                    fit(X, NOISE)


def test_what_is_noted_is_in_the_booster_that_callbacks_look_at_and_can_be_taken_off() -> None:
    seen: list[Any] = []

    def after(model: Any, epoch: int) -> None:
        model.set_attr(round=epoch, gone="here")
        seen.append((model.attr("round"), model[: epoch + 1].num_boosted_rounds(), model.attributes().get("gone")))
        seen.append(json.loads(model.save_raw("json"))["learner"]["attributes"].get("round"))
        model.set_attr(gone=None)

    fitted = FedGBTRegressor(2, callbacks=[Does(after=after)], n_jobs=1).fit(X, NOISE)
    assert seen == [("0", 1, "here"), "0", ("1", 2, "here"), "1"]
    assert fitted.booster_.attr("round") == "1" and fitted.booster_.attr("gone") is None


def test_rounds_of_an_earlier_model_are_counted_by_callbacks() -> None:
    earlier, seen = FedGBTRegressor(4, n_jobs=1).fit(X, NOISE), []
    again = FedGBTRegressor(
        2, callbacks=[Does(after=lambda model, _: seen.append(model.num_boosted_rounds()))], n_jobs=1
    )
    again.fit(X, NOISE, xgb_model=earlier)
    assert seen == [5, 6]


@pytest.mark.parametrize("returned", [None, 3, "model"])
def test_a_callback_that_returns_no_model_is_refused(returned: Any) -> None:
    with pytest.raises(ParameterError, match="returned no model after training"):
        FedGBTRegressor(1, callbacks=[Does(end=lambda model: returned)], n_jobs=1).fit(X, NOISE)


def test_an_undefined_score_stops_only_those_who_wait_for_a_better_one() -> None:
    one_class = (X, np.zeros(N, int))
    fitted = FedGBTClassifier(2, eval_metric="auc", n_jobs=1).fit(X, TWO, eval_set=[one_class])
    assert np.isnan(fitted.evals_result_["validation_0"]["auc"]).all()
    with pytest.raises(DataError, match=r"^early stopping: .* of validation_0 is undefined \(NaN\) in round 0"):
        FedGBTClassifier(2, eval_metric="auc", early_stopping_rounds=1).fit(X, TWO, eval_set=[one_class])


def test_the_last_metric_of_the_last_set_says_which_way_is_better() -> None:
    fitted = FedGBTClassifier(20, eval_metric=["logloss", "auc"], early_stopping_rounds=3, n_jobs=1)
    fitted.fit(X, TWO, eval_set=[(X, TWO), (X[::-1], 1 - TWO)])
    scores = fitted.evals_result_["validation_1"]["auc"]
    assert fitted.best_iteration == int(np.argmax(scores)) and fitted.best_score == max(scores)


# -- a second life ------------------------------------------------------------------------------------------


def test_a_second_fit_and_a_file_leave_nothing_of_the_first(tmp_path: Path) -> None:
    fitted = FedGBTClassifier(20, early_stopping_rounds=2, eval_metric="auc", n_jobs=1)
    fitted.fit(X, TWO, eval_set=[(X, TWO)])
    assert fitted.evals_result_ and fitted.evals_uncertainty_ and fitted.best_iteration >= 0 and fitted.ledger_.rounds
    FedGBTClassifier(2, n_jobs=1).fit(X, TWO).save_model(tmp_path / "other.json")
    fitted.load_model(tmp_path / "other.json")
    for name in ("evals_result_", "evals_uncertainty_", "best_iteration", "ledger_"):
        assert not hasattr(fitted, name), name
    assert fitted.get_num_boosting_rounds() == fitted.booster_.num_boosted_rounds() == 2


def test_a_personal_copy_is_no_more_one_after_another_file(tmp_path: Path) -> None:
    silos = np.array(["a", "b"])[np.arange(N) % 2]
    y = NOISE + 9 * (silos == "b")
    both = FedGBTRegressor(**SMALL, split_on_silo=True).fit(X, y, silos=silos)
    own = both.personalize(Silo("a", X[::2], y[::2]))
    assert own.predict(X).tolist() == both.predict(X, silos="a").tolist() != both.predict(X, silos="b").tolist()
    assert own.predict(X).tolist() != both.predict(X).tolist()
    own.save_model(tmp_path / "own.json")
    both.save_model(tmp_path / "both.json")
    read = FedGBTRegressor(n_jobs=1).load_model(tmp_path / "own.json")
    assert read.predict(X).tolist() == own.predict(X).tolist()
    again = read.load_model(tmp_path / "both.json")
    assert again.predict(X).tolist() == both.predict(X).tolist()
    assert again.predict(X, silos="a").tolist() == own.predict(X).tolist()
    with pytest.raises(ParameterError, match=r"^how="):
        both.personalize(Silo("a", X[::2], y[::2]), how=object())


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_what_is_written_of_an_objective_is_what_xgboost_writes(objective: str) -> None:
    """Every parameter of it at its default, as in the model of XGBoost's own training."""
    y = np.where(NOISE > 0, 1, 0) + 1.0 * (objective == "reg:gamma")
    params: dict[str, Any] = {"objective": objective, "tree_method": "hist"}
    data = xgboost.DMatrix(X, y, group=[N] if objective.startswith("rank:") else None)
    if objective.startswith("multi:"):
        y = np.arange(N) % 3
        params["num_class"] = 3
        data = xgboost.DMatrix(X, y)
    if objective == "survival:aft":
        data.set_float_info("label_lower_bound", y + 1)
        data.set_float_info("label_upper_bound", y + 1)
        y = np.stack([y + 1, y + 1], axis=1)
    if objective == "reg:quantileerror":
        params["quantile_alpha"] = 0.5
    theirs = json.loads(xgboost.train(params, data, 1).save_raw("json"))["learner"]
    kind: Any = FedGBTClassifier if objective.startswith(("binary:", "multi:")) else FedGBTRegressor
    more: dict[str, Any] = {}
    if objective.startswith("rank:"):
        kind, more = FedGBTRanker, {"qid": np.zeros(N, int)}
    ours = json.loads(kind(1, objective=objective, n_jobs=1).fit(X, y, **more).booster_.save_raw("json"))["learner"]
    assert ours["objective"] == theirs["objective"]
    for name in ("boost_from_average", "num_class", "num_feature", "num_target"):
        assert ours["learner_model_param"][name] == theirs["learner_model_param"][name], name


def test_a_table_is_read_with_the_number_that_stands_for_the_missing() -> None:
    gaps = np.where(np.arange(N * 3).reshape(N, 3) % 7 == 0, np.float32(-999), X)
    nan = np.where(gaps == -999, np.nan, gaps)
    own, other = FedGBTRegressor(**SMALL, missing=-999.0), FedGBTRegressor(**SMALL)
    own.fit(gaps, NOISE, eval_set=[(gaps, NOISE)])
    other.fit(nan, NOISE, eval_set=[(nan, NOISE)])
    assert own.evals_result_ == other.evals_result_
    assert own.predict(gaps).tolist() == other.predict(nan).tolist()


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_model_predicts_with_the_threads_that_were_asked_for(tmp_path: Path, jobs: int) -> None:
    model = FedGBTRegressor(1, max_depth=1, n_jobs=jobs).fit(X, NOISE)
    model.save_model(tmp_path / "model.json")
    for own in (model, FedGBTRegressor(n_jobs=jobs).load_model(tmp_path / "model.json")):
        told = json.loads(own.booster_.save_config())["learner"]["generic_param"]
        assert told["nthread"] == str(Threads(jobs).n)


def test_a_federation_has_the_threads_that_were_asked_for() -> None:
    for n_jobs in (1, 2):
        assert LocalFederation.from_table(X, NOISE, n_jobs=n_jobs).threads.n == n_jobs
        fitted = FedGBTRegressor(1, n_jobs=n_jobs).fit(X, NOISE)
        assert json.loads(fitted.booster_.save_config())["learner"]["generic_param"]["nthread"] == str(n_jobs)


def test_earlier_models_without_trees_or_of_vectors_are_refused() -> None:
    both = np.stack([NOISE, -NOISE], axis=1)
    vectors = xgboost.train({"multi_strategy": "multi_output_tree", "tree_method": "hist"}, xgboost.DMatrix(X, both), 1)
    nothing = xgboost.train({"objective": "reg:squarederror"}, xgboost.DMatrix(X, NOISE), 0)
    for earlier, y, text in (
        (vectors, both, "a model whose leaves hold vectors, which fedtrees does not make"),
        (nothing, NOISE, "a model without trees"),
    ):
        with pytest.raises(DataError, match=f"^xgb_model: {text}"):
            FedGBTRegressor(**SMALL).fit(X, y, xgb_model=earlier)
