"""Evaluation sets in silos: scores by sums are those of the exported model, and training stops where they say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, mean_absolute_error, roc_auc_score, root_mean_squared_error
from strategies import examples

from fedtrees import (
    DataError,
    FedGBTClassifier,
    FedGBTRegressor,
    LocalFederation,
    ParameterError,
    ProtocolError,
    SchemaError,
    Silo,
)
from fedtrees.core.numeric.fixed_point import step_bits
from fedtrees.core.numeric.rng import stream
from fedtrees.core.protocol.channel import Channel
from fedtrees.queries.custom_metric import register_metric
from fedtrees.queries.evaluation import Evaluation
from fedtrees.queries.scores import HeldOut, Scores
from fedtrees.trees.messages.evaluation import ForestScores, groups_asked

ROWS, HELD_OUT, FEATURES = 120, 60, 4


def rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = stream(seed, "rows")
    X = rng.normal(size=(n, FEATURES)).astype(np.float32)
    X[rng.random(n) < 0.2, 0] = np.nan
    return X, (np.nan_to_num(X[:, 0]) + X[:, 1] + rng.normal(size=n) > 0).astype(int)


def unlike_training() -> tuple[np.ndarray, np.ndarray]:
    """Missing where no row of training is, and values far beyond all of those."""
    X, y = rows(HELD_OUT, 2)
    X[::5, 2] = np.nan
    X[1::5] *= 1000
    return X, y


X, Y = rows(ROWS, 1)
XV, YV = unlike_training()


def silos(silo_of: np.ndarray, held_out_of: np.ndarray) -> list[Silo]:
    return [
        Silo(
            f"silo {k}", X[silo_of == k], Y[silo_of == k], n_jobs=1,
            eval_set=[(X[silo_of == k], Y[silo_of == k]), (XV[held_out_of == k], YV[held_out_of == k])],
        )
        for k in range(3)
    ]  # fmt: skip


def model(**parameters: Any) -> FedGBTClassifier:
    return FedGBTClassifier(**{"n_estimators": 6, "max_depth": 3, "n_jobs": 1, **parameters})


def test_scores_are_those_of_the_exported_model() -> None:
    fitted = model(eval_metric=["logloss", "auc"]).fit(X, Y, eval_set=[(X, Y), (XV, YV)])
    assert list(fitted.evals_result_) == ["validation_0", "validation_1"]
    for name, values, labels in (("validation_0", X, Y), ("validation_1", XV, YV)):
        for round in range(6):
            p = fitted.booster_.inplace_predict(values, iteration_range=(0, round + 1)).astype(np.float64)
            said = {metric: scores[round] for metric, scores in fitted.evals_result_[name].items()}
            assert said["logloss"] == pytest.approx(log_loss(labels, p), rel=1e-6)
            assert said["auc"] == pytest.approx(roc_auc_score(labels, p), abs=1e-4)


def test_a_regression_is_scored_in_the_units_of_y() -> None:
    y = X[:, 1] * 100
    fitted = FedGBTRegressor(n_estimators=4, n_jobs=1).fit(X, y, eval_set=[(XV, YV * 100)])
    p = fitted.booster_.inplace_predict(XV)
    assert fitted.evals_result_["validation_0"]["rmse"][-1] == pytest.approx(root_mean_squared_error(YV * 100, p))


def test_classes_are_scored_together() -> None:
    y, yv = Y + (X[:, 1] > 0.5), YV + (np.nan_to_num(XV[:, 1]) > 0.5)
    fitted = model(eval_metric=("merror", "mlogloss")).fit(X, y, eval_set=[(XV, yv)])
    p = fitted.predict_proba(XV).astype(np.float64)
    said = fitted.evals_result_["validation_0"]
    assert said["mlogloss"][-1] == pytest.approx(log_loss(yv, p / p.sum(axis=1, keepdims=True)), rel=1e-5)
    assert said["merror"][-1] == pytest.approx((p.argmax(axis=1) != yv).mean(), abs=1e-7)


@examples(15)
@given(st.integers(0, 1000), st.sampled_from([1.0, 2]), st.booleans())
def test_scores_do_not_depend_on_the_partition(seed: int, sampling: Any, weighted: bool) -> None:
    rng = stream(seed, "partition")
    silo_of, held_out_of = rng.integers(0, 3, ROWS), rng.integers(0, 3, HELD_OUT)
    weights = [rng.random(HELD_OUT) * 3] if weighted else None
    made = model(n_estimators=3, eval_metric=["auc", "logloss", "aucpr", "error"])
    pooled = made.fit(X, Y, eval_set=[(XV, YV)], sample_weight_eval_set=weights).evals_result_
    apart = made.fit(X, Y, silos=silo_of, eval_set=[(XV, YV)], eval_silos=[held_out_of], sample_weight_eval_set=weights)
    assert apart.evals_result_ == pooled
    parts = silos(silo_of, held_out_of)
    ends = []
    for mode in ("fused", "faithful"):
        fitted = model(n_estimators=3, sampling=sampling, random_state=seed, eval_metric="logloss").fit_federation(
            LocalFederation(parts, mode=mode, n_jobs=1)
        )
        ends.append((fitted.evals_result_, fitted.booster_.save_raw(), fitted.ledger_.per_silo().to_dict()))
    assert ends[0] == ends[1]


# -- early stopping ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("metric", "best"), [("logloss", min), ("auc", max), (["auc", "logloss"], min)])
def test_training_stops_when_the_last_metric_of_the_last_set_gets_no_better(metric: Any, best: Any) -> None:
    fitted = model(n_estimators=80, early_stopping_rounds=4, eval_metric=metric)
    fitted.fit(X, Y, eval_set=[(X, Y), (XV, YV)])
    last = metric if isinstance(metric, str) else metric[-1]
    scores = fitted.evals_result_["validation_1"][last]
    assert fitted.best_iteration == scores.index(best(scores)) and fitted.best_score == best(scores)
    assert len(scores) == fitted.best_iteration + 5 == fitted.booster_.num_boosted_rounds() < 80
    whole = fitted.booster_.inplace_predict(XV, iteration_range=(0, fitted.best_iteration + 1))
    np.testing.assert_array_equal(fitted.predict_proba(XV)[:, 1], whole)


def test_the_best_round_is_saved_with_the_model(tmp_path: Any) -> None:
    fitted = model(n_estimators=80, early_stopping_rounds=4).fit(X, Y, eval_set=[(XV, YV)])
    fitted.save_model(tmp_path / "model.json")
    loaded = FedGBTClassifier().load_model(tmp_path / "model.json")
    assert (loaded.best_iteration, loaded.best_score) == (fitted.best_iteration, fitted.best_score)
    np.testing.assert_array_equal(loaded.predict_proba(XV), fitted.predict_proba(XV))
    again = fitted.set_params(early_stopping_rounds=None, n_estimators=2).fit(X, Y)
    assert not hasattr(again, "best_iteration") and not hasattr(again, "evals_result_")


# -- what is refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "kind", "text"),
    [
        ({"eval_set": [(XV[:, :3], YV)]}, DataError, "eval_set 0: .*3.*4|eval_set 0: .*4.*3"),
        ({"eval_set": [(XV, YV[:-1])]}, DataError, "eval_set 0: "),
        (
            {"eval_set": [(XV, YV + 5)]},
            DataError,
            "^validation_0: silo .*: label [56] is none of the agreed",
        ),
        ({"eval_set": [(XV,)]}, ParameterError, "eval_set 0: give"),
        ({"eval_set": [(XV, YV)], "eval_silos": []}, ParameterError, "eval_silos has 0 entries for 1"),
        ({"eval_set": [(XV, YV)], "eval_silos": [["z"] * HELD_OUT]}, DataError, "silo 'z' holds no rows to train on"),
        ({"eval_set": [(XV, YV)], "sample_weight_eval_set": []}, ParameterError, "sample_weight_eval_set has 0"),
    ],
)
def test_sets_that_do_not_fit_are_refused(wrong: dict[str, Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        model().fit(X, Y, silos=["a"] * ROWS, **wrong)


def test_patience_without_a_set_is_refused() -> None:
    with pytest.raises(ParameterError, match="early_stopping_rounds needs an eval_set"):
        model(early_stopping_rounds=3).fit(X, Y)
    with pytest.raises(ParameterError, match="early_stopping_rounds=0: give a whole number from 1"):
        model(early_stopping_rounds=0).fit(X, Y)
    with pytest.raises(ParameterError, match="eval_metric='rsme' is not known: did you mean 'rmse'"):
        model(eval_metric="rsme").fit(X, Y)


@pytest.mark.parametrize(
    "objective",
    [
        "binary:logistic", "binary:hinge", "binary:logitraw", "reg:logistic", "reg:squarederror", "reg:squaredlogerror",
        "reg:pseudohubererror", "reg:absoluteerror", "count:poisson", "reg:gamma", "reg:tweedie", "survival:cox",
        "survival:aft",
    ],
)  # fmt: skip
def test_a_function_gets_what_the_model_predicts(objective: str) -> None:
    """By plain XGBoost's predictions, in the units of each objective; a classifier's are probabilities."""
    seen: list[Any] = []

    def noted_prediction(y: Any, predicted: Any) -> Any:
        seen.append(predicted)
        return np.zeros(len(y))

    kind = FedGBTClassifier if objective.startswith("binary") else FedGBTRegressor
    y: Any = Y if kind is FedGBTClassifier or objective == "reg:logistic" else np.exp(np.nan_to_num(X[:, 0]))
    y = np.column_stack([y, y]) if objective == "survival:aft" else y
    model = kind(2, max_depth=2, objective=objective, eval_metric=noted_prediction, n_jobs=1)
    model.fit(X, y, eval_set=[(X, y)])
    plain = model.booster_.predict(xgboost.DMatrix(X))
    plain = 1 / (1 + np.exp(-plain)) if objective == "binary:logitraw" else plain
    np.testing.assert_allclose(seen[-1], plain, rtol=2e-6)
    assert len(np.unique(seen[-1])) > 1 or objective == "binary:hinge"


@pytest.mark.parametrize(("silos", "starts"), [([0], [0, 2, 3]), ([1], [0, 3, 4]), ([0, 1], [0, 2, 3, 6, 7])])
def test_the_last_group_of_the_silos_that_are_asked_ends_with_their_rows(silos: list[int], starts: list[int]) -> None:
    owned = {"a": [0, 0, 1], "b": [5, 5, 5, 6]}
    parts = [Silo(name, np.zeros((len(qid), 1)), np.zeros(len(qid)), qid=qid) for name, qid in owned.items()]
    table = LocalFederation(parts).table
    asked = np.concatenate([np.arange(table.starts[k], table.starts[k + 1]) for k in silos])
    assert groups_asked(table, asked).tolist() == starts


def test_silos_with_other_numbers_of_sets_are_refused() -> None:
    parts = [Silo("a", X, Y), Silo("b", X, Y, eval_set=[(XV, YV)])]
    with pytest.raises(ParameterError, match=r"different numbers of evaluation sets: \{'a': 0, 'b': 1\}"):
        LocalFederation(parts)
    with pytest.raises(ProtocolError, match="silo 'a' holds 0 evaluation sets, and 1 were asked for"):
        HeldOut(1, None).ask(parts[0])
    with pytest.raises(ProtocolError, match="scores were asked for before the cut points"):
        ForestScores(0, 1, ["rmse"], 10, 0).ask(parts[1])
    with pytest.raises(SchemaError):
        Silo("a", pd.DataFrame(X, columns=list("wxyz")), Y, eval_set=[(pd.DataFrame(XV, columns=list("wxyv")), YV)])


# -- callbacks --------------------------------------------------------------------------------------------


class Notes(xgboost.callback.TrainingCallback):
    """Writes down when it is called, looks at the model, and ends the training when told to."""

    def __init__(self, end: int = 99):
        self.calls: list[Any] = []
        self.end = end

    def before_training(self, model: Any) -> Any:
        self.calls.append("start")
        return model

    def before_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        self.calls.append(("before", epoch, model.num_boosted_rounds()))
        return False

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        self.calls.append(("after", epoch, len(model.get_dump()), len(evals_log["validation_0"]["logloss"])))
        model.set_attr(note=f"round {epoch}")
        return epoch == self.end

    def after_training(self, model: Any) -> Any:
        self.calls.append("end")
        return model


def brier(y: Any, p: Any) -> Any:
    return (y - p) ** 2


def test_a_function_is_a_metric_if_it_says_something_of_each_row() -> None:
    weight = stream(0, "weights").integers(1, 9, len(YV)).astype(float)
    given: dict[str, Any] = {"eval_set": [(XV, YV)], "sample_weight_eval_set": [weight]}
    fitted = model(eval_metric=["logloss", brier], early_stopping_rounds=3).fit(
        X, Y, silos=np.arange(len(Y)) % 3, **given
    )
    scores = fitted.evals_result_["validation_0"]["brier"]
    expected = np.average(brier(YV, fitted.predict_proba(XV)[:, 1]), weights=weight)
    assert scores[fitted.best_iteration] == pytest.approx(expected, rel=1e-5)
    assert fitted.best_score == min(scores)


def test_a_function_of_several_classes_gets_probabilities() -> None:
    seen = []

    def chance_missed(y: Any, p: Any) -> Any:
        seen.append(p.shape)
        return 1 - p[np.arange(len(y)), y.astype(int)]

    y = np.arange(len(Y)) % 4
    fitted = model(eval_metric=chance_missed).fit(X, y, eval_set=[(X, y)])
    p = fitted.predict_proba(X)[np.arange(len(y)), y]
    assert fitted.evals_result_["validation_0"]["chance_missed"][-1] == pytest.approx((1 - p).mean(), rel=1e-5)
    assert set(seen) == {(len(y), 4)}


@pytest.mark.parametrize("targets", [1, 2])
def test_a_function_gets_what_is_predicted_of_quantiles_and_of_targets(targets: int) -> None:
    """All quantiles of a row at once; targets as rows of their own."""
    seen: list[Any] = []

    def off(y: Any, p: Any) -> Any:
        seen[:] = [y, p]
        return abs(y - (p if p.ndim == 1 else p[:, 0]))

    y = X[:, 1] if targets == 1 else X[:, 1:3]
    params: dict[str, Any] = {"objective": "reg:quantileerror", "quantile_alpha": [0.2, 0.8]} if targets == 1 else {}
    fitted = FedGBTRegressor(2, max_depth=2, eval_metric=off, n_jobs=1, **params).fit(X, y, eval_set=[(X, y)])
    predicted = fitted.predict(X)
    assert predicted.shape == (len(X), 2)
    wanted = (y, predicted) if targets == 1 else (y.T.ravel(), predicted.T.ravel())
    for found, right in zip(seen, wanted, strict=True):
        np.testing.assert_array_equal(found, right.astype(np.float32))


def test_a_function_that_averages_by_itself_is_refused() -> None:
    with pytest.raises(
        ParameterError, match=r"mean_absolute_error gave one number for .* return a number for each row"
    ):
        model(eval_metric=mean_absolute_error).fit(X, Y, eval_set=[(XV, YV)])


def test_functions_of_one_name_are_told_apart() -> None:
    first, second = (lambda y, p: p), (lambda y, p: 2 * p)
    scores = model(eval_metric=[first, second]).fit(X, Y, eval_set=[(XV, YV)]).evals_result_["validation_0"]
    (one, two) = scores.values()
    np.testing.assert_allclose(2 * np.array(one), two)
    with pytest.raises(ParameterError, match="'auc' is a metric of XGBoost's; give the function another name"):
        register_metric(first, "auc")


def test_callbacks_are_called_as_xgboost_calls_them() -> None:
    ours, theirs = Notes(end=2), Notes(end=2)
    fitted = model(callbacks=[ours]).fit(X, Y, eval_set=[(XV, YV)])
    xgboost.XGBClassifier(n_estimators=6, callbacks=[theirs]).fit(X, Y, eval_set=[(XV, YV)], verbose=False)
    assert ours.calls == theirs.calls
    assert fitted.booster_.num_boosted_rounds() == 3 and fitted.booster_.attr("note") == "round 2"


def test_a_schedule_of_learning_rates_is_xgboost_s() -> None:
    """The same trees but for the learning rate: the leaves of round t are 0.5 ** t of what they would be."""
    rates = [0.5**round for round in range(4)]
    schedule = xgboost.callback.LearningRateScheduler(rates)
    fitted = FedGBTRegressor(n_estimators=4, max_depth=1, callbacks=[schedule], n_jobs=1).fit(X, Y * 8.0)
    theirs = xgboost.XGBRegressor(n_estimators=4, max_depth=1, tree_method="hist", callbacks=[schedule]).fit(X, Y * 8.0)
    np.testing.assert_allclose(fitted.predict(X), theirs.predict(X), rtol=1e-4)


def test_xgboost_s_own_callbacks_work(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    stop = xgboost.callback.EarlyStopping(rounds=4, data_name="validation_0", metric_name="logloss")
    check = xgboost.callback.TrainingCheckPoint(tmp_path, interval=3)
    show = xgboost.callback.EvaluationMonitor()
    callbacks = [stop, check, show]
    fitted = model(n_estimators=80, callbacks=callbacks).fit(X, Y, eval_set=[(XV, YV)])
    plain = model(n_estimators=80, early_stopping_rounds=4).fit(X, Y, eval_set=[(XV, YV)])
    assert fitted.best_iteration == plain.best_iteration
    np.testing.assert_array_equal(fitted.predict_proba(XV), plain.predict_proba(XV))
    assert len(list(tmp_path.iterdir())) >= 2
    assert "validation_0-logloss" in capsys.readouterr().out


def test_what_a_callback_returns_after_training_is_the_model() -> None:
    """XGBoost's ``save_best`` cuts the rounds off that came after the best."""
    stop = xgboost.callback.EarlyStopping(rounds=4, data_name="validation_0", metric_name="logloss", save_best=True)
    fitted = model(n_estimators=80, callbacks=[stop]).fit(X, Y, eval_set=[(XV, YV)])
    plain = model(n_estimators=80, early_stopping_rounds=4).fit(X, Y, eval_set=[(XV, YV)])
    assert fitted.booster_.num_boosted_rounds() == plain.best_iteration + 1 < plain.booster_.num_boosted_rounds()
    np.testing.assert_array_equal(fitted.predict_proba(XV), plain.predict_proba(XV))


def test_what_a_callback_may_not_do_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"is no xgboost\.callback\.TrainingCallback"):
        model(callbacks=[print]).fit(X, Y)

    class Deeper(xgboost.callback.TrainingCallback):
        def before_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            model.set_param({"max_depth": 9})
            return False

    class Never(xgboost.callback.TrainingCallback):
        def before_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            return True

    with pytest.raises(ParameterError, match="may change learning_rate between rounds, and not 'max_depth'"):
        model(callbacks=[Deeper()]).fit(X, Y)
    with pytest.raises(ParameterError, match="ended the training before its first round"):
        model(callbacks=[Never()]).fit(X, Y)


@pytest.mark.parametrize("objective", ["reg:squarederror", "multi:softprob"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_a_row_of_several_outputs_is_as_many_rows_to_sums_and_to_weights(objective: str, outputs: int) -> None:
    """Sums of squares have room for each output's; an evaluation by class scores a row by one number."""
    n = 4000
    X, y = np.arange(float(n))[:, None], np.arange(n) % 3
    weight = np.linspace(0.1, 2.3, n)
    federation = LocalFederation.from_table(X, y, eval_set=[(X, y, weight)], n_jobs=1)
    labels = [0, 1, 2] if objective.startswith("multi:") else None
    channel, all_silos, metric = Channel(federation), np.arange(1), "mlogloss" if labels else "rmse"
    (size,) = channel.total(HeldOut(1, labels), all_silos)
    prepared = Evaluation.prepare(channel, all_silos, ["a"], [metric], labels, outputs, Scores, objective)
    (question,) = prepared.questions
    assert (size.rows, question.rows) == (n, n * outputs)
    assert question.weight_bits == step_bits(n * outputs) and step_bits(n) != step_bits(3 * n)
    assert question.numbers == (1 if labels else outputs)
