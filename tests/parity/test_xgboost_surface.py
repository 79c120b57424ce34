"""What users of XGBoost's estimators find where it was."""

from __future__ import annotations

import json
from operator import attrgetter, methodcaller
from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.exceptions import NotFittedError

from fedtrees import DataError, FedGBTClassifier, FedGBTRegressor, LocalFederation, ParameterError, SchemaError, Silo
from fedtrees.trees.silo.state import TreeState

RNG = np.random.default_rng(0)
X = np.round(RNG.normal(size=(300, 4)), 1).astype(np.float32)  # few values: XGBoost's bins are ours
SIGNAL = X[:, 0] + X[:, 1] * X[:, 2] + RNG.normal(size=300) / 4
TARGETS: dict[str, Any] = {
    "binary": (SIGNAL > 0).astype(int),
    "classes": np.digitize(SIGNAL, [-0.5, 0.5]),
    "numbers": SIGNAL,
}
silo_of = np.arange(300) % 3
SMALL: dict[str, Any] = {"n_estimators": 5, "max_depth": 3, "n_jobs": 1}


def pair(target: str, **options: Any) -> tuple[Any, Any]:
    """Ours, and XGBoost's."""
    ours, theirs = FedGBTClassifier, xgboost.XGBClassifier
    if target == "numbers":
        ours, theirs = FedGBTRegressor, xgboost.XGBRegressor
    y = TARGETS[target]
    return ours(**SMALL).fit(X, y, silos=silo_of, **options), theirs(**SMALL, tree_method="hist").fit(X, y, **options)


@pytest.fixture(scope="module", params=list(TARGETS))
def both(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    return pair(request.param)


def close(own: Any, theirs: Any) -> None:
    assert np.shape(own) == np.shape(theirs)
    np.testing.assert_allclose(own, theirs, rtol=2e-4, atol=2e-5)


# -- predicting ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"output_margin": True},
        {"iteration_range": (0, 2)},
        {"iteration_range": (1, 4), "output_margin": True},
        {"iteration_range": (0, 0)},
        {"validate_features": False},
    ],
)
def test_predictions_take_xgboosts_options(both: tuple[Any, Any], options: dict[str, Any]) -> None:
    ours, theirs = both
    close(ours.predict(X, **options), theirs.predict(X, **options))
    options.pop("output_margin", None)
    if hasattr(theirs, "predict_proba"):
        close(ours.predict_proba(X, **options), theirs.predict_proba(X, **options))


def test_predictions_start_from_a_margin_that_is_given(both: tuple[Any, Any]) -> None:
    ours, theirs = both
    shape = np.shape(ours.predict(X, output_margin=True))
    margin = np.linspace(-1, 1, int(np.prod(shape))).reshape(shape)
    for output_margin in (False, True):
        options = {"base_margin": margin, "output_margin": output_margin}
        close(ours.predict(X, **options), theirs.predict(X, **options))


def test_leaves_are_numbered_for_every_tree(both: tuple[Any, Any]) -> None:
    ours, theirs = both
    a_round = ours.apply(X).shape[1] // 5
    assert ours.apply(X, (1, 3)).tolist() == ours.apply(X)[:, a_round : 3 * a_round].tolist()  # XGBoost refuses these
    for rounds in (None, (0, 3)):
        own, other = ours.apply(X, iteration_range=rounds), theirs.apply(X, iteration_range=rounds)
        assert own.shape == other.reshape(len(X), -1).shape and own.dtype == other.dtype
        # numbers may differ where XGBoost let nodes go; who is together may not
        for k in range(own.shape[1]):
            pairs = set(zip(own[:, k].tolist(), other.reshape(len(X), -1)[:, k].tolist(), strict=True))
            assert len(pairs) == len(set(own[:, k].tolist()))


@pytest.mark.parametrize("rounds", [(3, 2), (0, 6), (-1, 2), (0, 1, 2), (2, 2)])
def test_rounds_that_there_are_not_are_refused(rounds: Any) -> None:
    ours, _ = pair("numbers")
    with pytest.raises(ParameterError, match=r"iteration_range=.*: give \(first, end\) with 0 <= first < end <= 5"):
        ours.predict(X, iteration_range=rounds)


# -- looking into the model ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["weight", "gain", "cover", "total_gain", "total_cover", None])
def test_importances_are_xgboosts(both: tuple[Any, Any], kind: str | None) -> None:
    ours, theirs = both
    ours.set_params(importance_type=kind), theirs.set_params(importance_type=kind)
    close(ours.feature_importances_, theirs.feature_importances_)
    ours.set_params(importance_type=None)


def test_the_intercept_is_xgboosts(both: tuple[Any, Any]) -> None:
    ours, theirs = both
    close(ours.intercept_, theirs.intercept_)
    assert ours.intercept_.dtype == np.float32


def test_the_booster_and_what_it_was_trained_with(both: tuple[Any, Any]) -> None:
    ours, theirs = both
    assert ours.get_booster() is ours.booster_
    assert ours.get_num_boosting_rounds() == theirs.get_num_boosting_rounds() == 5
    if hasattr(theirs, "n_classes_"):
        assert ours.n_classes_ == theirs.n_classes_
    params = ours.get_xgb_params()
    assert params["max_depth"] == 3 and params["learning_rate"] == 0.3
    assert not {"sampling", "weighting", "n_estimators", "callbacks", "missing"} & set(params)
    again = xgboost.train({**params, "objective": "reg:squarederror"}, xgboost.DMatrix(X, SIGNAL), 1)
    assert again.num_boosted_rounds() == 1  # XGBoost's own training knows them all


def test_what_was_not_trained_has_nothing() -> None:
    for look in (attrgetter("intercept_"), attrgetter("feature_importances_"), methodcaller("get_booster")):
        with pytest.raises(NotFittedError):
            look(FedGBTClassifier())


def test_scores_are_there_where_there_was_an_evaluation_set() -> None:
    ours, theirs = pair("binary", eval_set=[(X, TARGETS["binary"])])
    close(ours.evals_result()["validation_0"]["logloss"], theirs.evals_result()["validation_0"]["logloss"])
    with pytest.raises(ParameterError, match="No evaluation result: fit had no eval_set"):
        ours.fit(X, TARGETS["binary"]).evals_result()


# -- margins to start from ----------------------------------------------------------------------------------


def margins_of(target: str) -> Any:
    columns = 3 if target == "classes" else 1
    return RNG.normal(size=(300, columns)).astype(np.float32)


@pytest.mark.parametrize("target", list(TARGETS))
def test_training_starts_from_a_margin_that_is_given_as_xgboosts_does(target: str) -> None:
    margin = margins_of(target)
    given = margin if target == "classes" else margin[:, 0]
    ours, theirs = pair(target, base_margin=given)
    options = {"base_margin": given, "output_margin": True}
    close(ours.predict(X, **options), theirs.predict(X, **options))
    close(ours.intercept_, theirs.intercept_)


@pytest.mark.parametrize("mode", ["fused", "faithful"])
@pytest.mark.parametrize("target", list(TARGETS))
def test_any_partition_with_margins_gives_the_pooled_model_whose_margins_are_those_of_training(
    target: str, mode: str
) -> None:
    kind = FedGBTRegressor if target == "numbers" else FedGBTClassifier
    y, margin = TARGETS[target], margins_of(target)
    weight = RNG.choice([0.0, 0.5, 2.0], 300)
    held_out = [(X[:50], y[:50])]
    pooled = kind(**SMALL).fit(
        X, y, sample_weight=weight, base_margin=margin, eval_set=held_out, base_margin_eval_set=[margin[:50]]
    )
    silos = [
        Silo(
            str(k), X[silo_of == k], y[silo_of == k],
            sample_weight=weight[silo_of == k], base_margin=margin[silo_of == k],
            eval_set=[(X[:50], y[:50], None, margin[:50])] if k == 1 else [(X[:0], y[:0])],
        )
        for k in range(3)
    ]  # fmt: skip
    federation = LocalFederation(silos, mode=mode)
    apart = kind(**SMALL).fit_federation(federation)
    assert apart.booster_.save_raw("ubj") == pooled.booster_.save_raw("ubj")
    assert apart.evals_result() == pooled.evals_result()
    table = federation.table if mode == "fused" else silos[1].table
    state = federation._fused.states.find(TreeState) if mode == "fused" else silos[1].states.find(TreeState)
    rows = table.X if table.order is None else table.X[table.order]
    before = kind(**SMALL).fit(X, y).predict(rows[:1], output_margin=True)  # of the same shape
    predicted = apart.predict(rows, base_margin=table.margin, output_margin=True, iteration_range=(0, 4))
    # the last round's leaves are told with the next request, which never comes
    assert np.shape(before)[1:] == predicted.shape[1:]
    assert state.margin.T.reshape(predicted.shape).tobytes() == predicted.tobytes()


def test_a_silo_without_margins_starts_from_the_intercept() -> None:
    y = TARGETS["numbers"]
    start = FedGBTRegressor(**SMALL).fit(X, y).intercept_[0]
    margin = np.where(silo_of == 0, start, X[:, 0]).astype(np.float32)
    silos = [
        Silo(str(k), X[silo_of == k], y[silo_of == k], base_margin=None if k == 0 else margin[silo_of == k])
        for k in range(3)
    ]
    apart = FedGBTRegressor(**SMALL).fit_federation(LocalFederation(silos))
    pooled = FedGBTRegressor(**SMALL).fit(X, y, base_margin=margin)
    assert apart.booster_.save_raw("ubj") == pooled.booster_.save_raw("ubj")


def test_margins_that_do_not_fit_are_refused() -> None:
    y = TARGETS["classes"]
    for margin, text in (
        (np.zeros(299), r"base_margin has the shape \(299,\) and X has 300 rows"),
        (np.full(300, np.nan), "base_margin is NaN or infinite in row 0"),
        (np.zeros((300, 1, 1)), r"base_margin has the shape \(300, 1, 1\)"),
        (np.full(300, "a"), "base_margin holds <U1; give numbers"),
        (np.zeros(300), "silo 'all': base_margin has 1 columns for 3 outputs"),
    ):
        with pytest.raises(DataError, match=text):
            FedGBTClassifier(**SMALL).fit(X, y, base_margin=margin)
    with pytest.raises(ParameterError, match="base_margin_eval_set has 2 entries for 1 in eval_set"):
        FedGBTClassifier(**SMALL).fit(X, y, eval_set=[(X, y)], base_margin_eval_set=[None, None])
    one, three = (Silo(str(k), X, y, base_margin=np.zeros((300, k))) for k in (1, 3))
    with pytest.raises(SchemaError, match="silo '3', unlike silo '1': base_margin has 3 columns"):
        LocalFederation([one, three])


def test_what_xgboost_saved_is_looked_into_alike(tmp_path: Any) -> None:
    _, theirs = pair("classes")
    theirs.save_model(tmp_path / "model.json")
    back = FedGBTClassifier().load_model(tmp_path / "model.json")
    close(back.predict_proba(X), theirs.predict_proba(X))
    close(back.intercept_, theirs.intercept_)
    assert back.n_classes_ == 3 and back.apply(X).shape == (300, 15)
    assert json.loads(back.get_booster().save_config())["version"][0] == 3
