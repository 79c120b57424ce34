"""Behaviours that XGBoost's own tests hold XGBoost to, held of both: of XGBoost's estimators, and of ours beside them.

XGBoost's tests are not in its wheel. Each test here is in our own words; its place in the table names the tests of
XGBoost's `tests/python` whose behaviour it is. What stands elsewhere, or is not held, is listed with where or why.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from scipy.special import expit
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    make_classification,
    make_multilabel_classification,
)
from sklearn.ensemble import StackingClassifier, StackingRegressor
from sklearn.feature_selection import RFE, SelectFromModel
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, train_test_split

import fedtrees

TESTS = Path(__file__).parents[1]


class Peer(NamedTuple):
    """The estimators of one package."""

    classifier: Any
    regressor: Any
    ranker: Any


PEERS = {  # of one thread: XGBoost's wait for each other where processes share the cores
    "xgboost": Peer(*(partial(kind, n_jobs=1) for kind in (xgb.XGBClassifier, xgb.XGBRegressor, xgb.XGBRanker))),
    "fedtrees": Peer(
        *(
            partial(kind, n_jobs=1)
            for kind in (fedtrees.FedGBTClassifier, fedtrees.FedGBTRegressor, fedtrees.FedGBTRanker)
        )
    ),
}
HELD: dict[str, Callable[[Peer], None]] = {}


def of(*names: str) -> Callable[[Callable[[Peer], None]], Callable[[Peer], None]]:
    """Enter a behaviour under the names of XGBoost's tests of it."""

    def enter(behaviour: Callable[[Peer], None]) -> Callable[[Peer], None]:
        HELD.update(dict.fromkeys(names, behaviour))
        return behaviour

    return enter


def config(model: Any) -> dict[str, Any]:
    learner: dict[str, Any] = json.loads(model.get_booster().save_config())["learner"]
    return learner


@of("test_binary_classification", "test_multiclass_classification")
def digits_and_irises_are_told_apart(peer: Peer) -> None:
    X, y = load_digits(n_class=2, return_X_y=True)
    two = peer.classifier(random_state=42, eval_metric=["auc", "logloss"]).fit(X[::2], y[::2])
    assert (two.predict(X[1::2]) != y[1::2]).mean() < 0.1
    X, y = load_iris(return_X_y=True)
    for objective in ("multi:softmax", "multi:softprob"):
        three = peer.classifier(objective=objective).fit(X[::2], y[::2])
        assert three.get_booster().num_boosted_rounds() == 100 and three.n_classes_ == 3
        margins = [three.predict(X, output_margin=True, iteration_range=rounds) for rounds in ((0, 1), None)]
        for classes in [*(margin.argmax(axis=1) for margin in margins), three.predict(X, iteration_range=(0, 1))]:
            assert (classes != y).mean() < 0.1
        assert three.predict_proba(X).shape == (150, 3)


@of("test_predict_proba_logitraw")
def raw_margins_have_probabilities(peer: Peer) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(100, 4)), rng.integers(0, 2, 100)
    model = peer.classifier(objective="binary:logitraw", n_estimators=2).fit(X, y)
    shares = model.predict_proba(X)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(shares[:, 1], expit(model.get_booster().inplace_predict(X)), rtol=1e-5)


@of("test_best_iteration")
def the_best_round_is_the_last_where_each_is_better(peer: Peer) -> None:
    X, y = load_iris(return_X_y=True)
    for trees in (None, 4):
        model = peer.classifier(n_estimators=4, num_parallel_tree=trees, early_stopping_rounds=3)
        assert model.fit(X, y, eval_set=[(X, y)], verbose=False).best_iteration == 3
        assert model.predict(X).shape == (150,)


@of("test_early_stopping_nonparallel", "test_early_stopping_skl")
def patience_changes_when_training_ends_and_not_the_best_score(peer: Peer) -> None:
    X, X_test, y, y_test = train_test_split(*load_digits(n_class=2, return_X_y=True), random_state=0)
    common = {"learning_rate": 0.1, "eval_metric": "auc", "base_score": 0.5}
    scores = []
    for patience in (4, 5, 10):
        model = peer.classifier(early_stopping_rounds=patience, **common)
        scores.append(model.fit(X, y, eval_set=[(X_test, y_test)], verbose=False).best_score)
        assert len(model.evals_result()["validation_0"]["auc"]) == model.best_iteration + 1 + patience
    assert scores == sorted(scores) and scores[-1] == pytest.approx(1, abs=1e-4)


def searches(rows: int = 200) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(rows, 4))
    return X, np.clip(np.rint(X[:, 0] + 1.5), 0, 3).astype(int), np.repeat(np.arange(rows // 20), 20)


@of("test_ranking", "test_ranking_metric")
def rankings_take_groups_and_are_scored(peer: Peer) -> None:
    X, y, qid = searches()
    sizes = np.full(10, 20)
    common = {"objective": "rank:pairwise", "n_estimators": 4, "learning_rate": 0.1, "gamma": 1.0}
    by_size = peer.ranker(**common).fit(X, y, group=sizes, eval_set=[(X, y)], eval_group=[sizes], verbose=False)
    by_id = peer.ranker(**common).fit(X, y, qid=qid, eval_set=[(X, y)], eval_qid=[qid], verbose=False)
    assert by_size.evals_result() == by_id.evals_result()
    np.testing.assert_array_equal(by_size.predict(X), by_id.predict(X))
    assert np.corrcoef(by_id.predict(X), y)[0, 1] > 0.5


@of("test_ranking_qid_df")
def a_column_of_ids_names_the_queries(peer: Peer) -> None:
    X, y, qid = searches()
    frame = pd.DataFrame(X, columns=list("abcd"))
    with_ids = peer.ranker(n_estimators=3).fit(frame.assign(qid=qid), y)
    apart = peer.ranker(n_estimators=3).fit(frame, y, qid=qid)
    assert with_ids.n_features_in_ == 4
    np.testing.assert_array_equal(with_ids.predict(frame), apart.predict(frame))
    with pytest.raises(ValueError, match=r"qid|group"):
        peer.ranker().fit(frame, y)


@of("test_stacking_classification", "test_stacking_regression")
def stacks_take_it(peer: Peer) -> None:
    X, y = load_iris(return_X_y=True)
    several = [("trees", peer.classifier(n_estimators=5)), ("line", LogisticRegression(max_iter=1000))]
    assert StackingClassifier(several, LogisticRegression(max_iter=1000)).fit(X, y).score(X, y) > 0.95
    X, y = load_diabetes(return_X_y=True)
    numbers = [("trees", peer.regressor(n_estimators=5)), ("line", RidgeCV())]
    assert StackingRegressor(numbers, RidgeCV()).fit(X, y).score(X, y) > 0.4


@of("test_feature_importances_weight", "test_feature_importances_gain", "test_select_feature", "test_RFECV")
def importances_choose_features(peer: Peer) -> None:
    X, y = load_digits(n_class=2, return_X_y=True)
    model = peer.classifier(n_estimators=5).fit(X, y)
    assert SelectFromModel(model, prefit=True, max_features=1).transform(X).shape[1] == 1
    assert model.feature_importances_.argmax() in (28, 36)
    assert RFE(peer.classifier(n_estimators=2), n_features_to_select=8, step=0.5).fit(X, y).support_[[28, 36]].any()
    none = peer.classifier(min_child_weight=1000, n_estimators=1).fit(X, y)
    assert (none.feature_importances_ == 0).all()


@of("test_num_parallel_tree")
def rounds_have_parallel_trees(peer: Peer) -> None:
    X, y = load_diabetes(return_X_y=True)
    model = peer.regressor(n_estimators=4, num_parallel_tree=4).fit(X, y)
    assert len(model.get_booster().get_dump(dump_format="json")) == 16
    assert config(model)["gradient_booster"]["gbtree_model_param"]["num_parallel_tree"] == "4"


@of("test_parameter_tuning", "test_kwargs_grid_search")
def searches_go_over_parameters_and_their_other_names(peer: Peer) -> None:
    X, y = load_iris(return_X_y=True)
    model = peer.classifier(n_estimators=3, tree_method="hist")
    search = GridSearchCV(model, {"eta": [0.01, 0.4], "max_depth": [1, 3]}, cv=3).fit(X, y)
    assert search.best_score_ > 0.9 and len(set(search.cv_results_["mean_test_score"])) > 1


@of("test_classification_with_custom_objective", "test_regression_with_custom_objective")
def functions_are_objectives(peer: Peer) -> None:
    X, y = load_diabetes(return_X_y=True)

    def squares(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        return y_pred - y_true, np.ones(len(y_true))

    built_in = peer.regressor(n_estimators=10, base_score=0.5).fit(X, y)
    custom = peer.regressor(n_estimators=10, base_score=0.5, objective=squares).fit(X, y)
    np.testing.assert_allclose(custom.predict(X), built_in.predict(X), rtol=1e-3)


@of("test_sklearn_random_state", "test_sklearn_n_jobs", "test_get_params_works_as_expected", "test_sklearn_clone")
def parameters_are_read_back(peer: Peer) -> None:
    model = peer.classifier(random_state=402, n_jobs=2, max_depth=2)
    assert model.get_xgb_params()["random_state"] == 402 and model.get_xgb_params()["n_jobs"] == 2
    assert clone(model).get_params()["max_depth"] == 2
    for source in (np.random.RandomState(403), np.random.default_rng(404)):
        assert isinstance(peer.classifier(random_state=source).get_xgb_params()["random_state"], int)
    assert peer.regressor(objective="reg:tweedie").get_params()["objective"] == "reg:tweedie"


@of("test_validation_weights", "test_weighted_evaluation_metric")
def weights_of_evaluation_sets_count(peer: Peer) -> None:
    X, y = make_classification(400, random_state=0)
    weight = np.random.default_rng(0).choice([1, 2], 100)
    common = {"n_estimators": 3, "eval_metric": "logloss"}
    scores = []
    for given in (None, [weight]):
        model = peer.classifier(**common).fit(
            X[:300], y[:300], eval_set=[(X[300:], y[300:])], sample_weight_eval_set=given, verbose=False
        )
        scores.append(model.evals_result()["validation_0"]["logloss"])
        expected = log_loss(y[300:], model.predict_proba(X[300:]), sample_weight=None if given is None else weight)
        assert scores[-1][-1] == pytest.approx(expected, rel=1e-5)
    assert all(plain != weighted for plain, weighted in zip(*scores, strict=True))
    with pytest.raises(ValueError):  # noqa: PT011 - two sets, weights of one
        peer.classifier(**common).fit(X, y, eval_set=[(X, y), (X, y)], sample_weight_eval_set=[np.ones(400)])


@of("test_XGBClassifier_resume", "test_boost_from_prediction", "test_training_continuation_json")
def training_goes_on_from_a_model_and_from_margins(peer: Peer) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    common = {"n_estimators": 4, "base_score": 0.5}
    first = peer.classifier(**common).fit(X, y)
    all_of_them = peer.classifier(**{**common, "n_estimators": 8}).fit(X, y)
    for earlier in (first, first.get_booster()):
        more = peer.classifier(**common).fit(X, y, xgb_model=earlier)
        assert more.get_booster().num_boosted_rounds() == 8
        np.testing.assert_allclose(more.predict_proba(X), all_of_them.predict_proba(X), rtol=1e-4)
    margin = first.predict(X, output_margin=True)
    rest = peer.classifier(**common).fit(X, y, base_margin=margin)
    np.testing.assert_allclose(rest.predict_proba(X, base_margin=margin), all_of_them.predict_proba(X), rtol=1e-4)


@of("test_estimator_type", "test_tags", "test_sklearn_tags")
def each_kind_is_what_it_is(peer: Peer) -> None:
    assert is_classifier(peer.classifier()) and is_regressor(peer.regressor())
    assert peer.regressor().__sklearn_tags__().target_tags.multi_output
    assert peer.classifier().__sklearn_tags__().classifier_tags.multi_label
    assert peer.ranker().__sklearn_tags__().input_tags.allow_nan
    X, y = load_digits(n_class=2, return_X_y=True)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.json"
        peer.classifier(n_estimators=2).fit(X, y).save_model(file)
        peer.classifier().load_model(file)
        with pytest.raises(TypeError):
            peer.regressor().load_model(file)


@of("test_multilabel_classification")
def several_labels_a_row_are_several_targets(peer: Peer) -> None:
    X, y = make_multilabel_classification(32, n_classes=5, n_labels=3, random_state=0)
    model = peer.classifier().fit(X, y)
    assert config(model)["learner_model_param"]["num_target"] == "5"
    np.testing.assert_array_equal(model.predict(X), y)
    np.testing.assert_array_equal(model.predict(X), model.predict_proba(X) > 0.5)
    np.testing.assert_array_equal(peer.classifier().fit(X, y.tolist()).predict(X), y)


@of("test_constraint_parameters")
def constraints_are_taken_as_text(peer: Peer) -> None:
    rng = np.random.default_rng(0)
    X, y = pd.DataFrame(rng.normal(size=(50, 5)), columns=[f"f{place}" for place in range(5)]), rng.normal(size=50)
    text = peer.regressor(n_estimators=5, interaction_constraints="[[0, 1], [2, 3, 4]]").fit(X, y)
    lists = peer.regressor(n_estimators=5, interaction_constraints=[["f0", "f1"], ["f2", "f3", "f4"]]).fit(X, y)
    np.testing.assert_array_equal(text.predict(X), lists.predict(X))
    used = text.get_booster().trees_to_dataframe()
    for _, tree in used.groupby("Tree"):
        names = set(tree["Feature"]) - {"Leaf"}
        assert names <= {"f0", "f1"} or names <= {"f2", "f3", "f4"}


@of("test_monotone_constraints", "test_monotone_constraints_tuple", "test_monotone_constraints_feature_names")
def directions_are_taken_in_all_forms_and_kept(peer: Peer) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.random((300, 2)), columns=["rises", "falls"])
    y = 5 * frame["rises"] + np.sin(20 * frame["rises"]) - 5 * frame["falls"] - np.cos(20 * frame["falls"])
    models = [
        peer.regressor(n_estimators=20, monotone_constraints=form).fit(frame, y)
        for form in ((1, -1), "(1,-1)", {"rises": 1, "falls": -1})
    ]
    line = np.linspace(0, 1, 200)
    for name, sign in (("rises", 1), ("falls", -1)):
        steps = np.diff(models[0].predict(frame.iloc[:1].loc[[0] * 200].assign(**{name: line})))
        assert (sign * steps >= 0).all() and np.any(steps)
    for other in models[1:]:
        np.testing.assert_array_equal(models[0].predict(frame), other.predict(frame))


@of("test_categorical", "test_recoding", "test_apply_method")
def categories_are_those_of_training_in_any_order(peer: Peer) -> None:
    rng = np.random.default_rng(0)
    names = rng.choice(["a", "b", "c"], 120)
    y = np.where(names == "b", 3.0, 0.0) + 0.1 * rng.normal(size=120)
    frame = pd.DataFrame({"name": pd.Categorical(names), "x": rng.normal(size=120)})
    model = peer.regressor(n_estimators=20, enable_categorical=True).fit(frame, y)
    other = frame.assign(name=pd.Categorical(names, categories=["c", "b", "a"]))
    np.testing.assert_array_equal(model.predict(frame), model.predict(other))
    np.testing.assert_array_equal(model.apply(frame), model.apply(other))
    one_hot = pd.get_dummies(frame, dtype=float)
    np.testing.assert_allclose(
        model.predict(frame), peer.regressor(n_estimators=20).fit(one_hot, y).predict(one_hot), atol=0.2
    )
    with pytest.raises(ValueError, match="enable_categorical"):
        peer.regressor(enable_categorical=False).fit(frame, y)


@of("test_evaluation_metric", "test_mixed_metrics", "test_early_stopping_multiple_metrics")
def metrics_stand_in_the_order_given(peer: Peer) -> None:
    X, y = make_classification(random_state=2025)
    model = peer.classifier(eval_metric=["error", "logloss"], n_estimators=5, early_stopping_rounds=2)
    model.fit(X, y, eval_set=[(X, y), (X[:50], y[:50])], verbose=False)
    results = model.evals_result()
    assert list(results) == ["validation_0", "validation_1"] and list(results["validation_0"]) == ["error", "logloss"]
    assert model.best_score == min(results["validation_1"]["logloss"])
    assert results["validation_0"]["error"][-1] == pytest.approx((model.predict(X) != y).mean())


@of("test_roc_auc")
def auc_is_scikit_learns(peer: Peer) -> None:
    X, y = make_classification(300, flip_y=0.3, random_state=1)
    model = peer.classifier(n_estimators=5, max_depth=2, eval_metric="auc").fit(X, y, eval_set=[(X, y)], verbose=False)
    expected = roc_auc_score(y, model.predict_proba(X)[:, 1])
    assert model.evals_result()["validation_0"]["auc"][-1] == pytest.approx(expected, abs=1e-4)


@of("test_intercept", "test_init_estimation")
def intercepts_are_the_mean_or_what_is_given(peer: Peer) -> None:
    X, y = load_diabetes(return_X_y=True)
    assert peer.regressor(n_estimators=1).fit(X, y).intercept_ == pytest.approx(y.mean(), rel=1e-5)
    assert peer.regressor(n_estimators=1, base_score=7.0).fit(X, y).intercept_ == pytest.approx(7)
    two = peer.classifier(n_estimators=1).fit(X, y > 150)
    assert two.intercept_ == pytest.approx((y > 150).mean(), rel=1e-4)


@of("test_fit_none")
def missing_rows_and_labels_are_refused(peer: Peer) -> None:
    with pytest.raises((TypeError, ValueError)):
        peer.classifier().fit(None, [0, 1])
    for kind in (peer.classifier, peer.regressor):
        with pytest.raises((TypeError, ValueError)):
            kind().fit(np.zeros((2, 2)), None)


@of("test_model_pickling_json", "test_parameters_access")
def files_and_pickles_predict_alike(peer: Peer) -> None:
    X, y = load_iris(return_X_y=True)
    model = peer.classifier(n_estimators=2, max_depth=3).fit(X, y)
    back = pickle.loads(pickle.dumps(model))
    assert back.get_params()["max_depth"] == 3 and back.get_params()["n_estimators"] == 2
    read = peer.classifier()
    read.load_model(model.get_booster().save_raw())
    for other in (back, read):
        np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))


ELSEWHERE = {
    "test_interaction_constraints_feature_names": "test_constraints.py::test_directions_and_groups_are_read_in_all",
    "test_hist_interaction_constraints": "test_constraints.py::test_only_features_of_a_group_meet_on_a_path",
    "test_absolute_error": "test_monotone.py::test_nothing_falls_whatever_the_objective",
    "test_quantile_error": "test_monotone.py::test_leaves_that_are_quantiles_keep_to_it",
    "test_feature_weights": "test_feature_weights.py::test_heavy_features_are_asked_oftener_as_in_xgboost",
    "test_unbiased": "test_unbiased_ranking.py::test_trees_and_biases_are_those_of_xgboost",
    "test_continuation_determinism": "test_continued.py::test_half_the_rounds_and_then_the_others",
    "test_check_point": "test_checkpoints.py::test_a_training_that_goes_on_from_a_checkpoint_ends_the_same",
    "test_eta_decay": "test_evaluation.py::test_a_schedule_of_learning_rates_is_xgboost_s",
    "test_callback_list": "test_evaluation.py::test_callbacks_are_called_as_xgboost_calls_them",
    "test_sklearn_plotting": "test_xgboost_names.py::test_plots_of_xgboost_take_it",
    "test_estimator_reg": "test_sklearn.py::test_scikit_learns_checks",
    "test_kwargs_error": "test_xgboost_parameters.py::test_a_misspelt_parameter_names_the_class_and_the_nearest",
    "test_deprecate_position_arg": "test_arguments.py::",
}
NOT_HELD = {
    "test_sklearn_nfolds_cv": "is of `xgboost.cv`, as test_cv_early_stopping is",
    "test_split_value_histograms": "is of the Booster, which is XGBoost's",
    "test_data_initialization": "counts the DMatrix objects that a fit makes",
    "test_rf_deprecated": "there is no XGBRF*: num_parallel_tree, or a FedForest*",
    "test_rf_regression": "as before",
    "test_parameter_validation": "XGBoost warns of unknown parameters, here an error names the nearest",
    "test_sklearn_api": "trains gblinear, too, which sends no histograms",
    "test_doc_link": "links are to XGBoost's documentation",
    "test_early_stopping_custom_eval": "functions as metrics score rows here, as silos add them up",
    "test_exact_interaction_constraints": "there is no exact tree_method, nor approx",
    "test_vector_leaf_monotone": "there is no multi_strategy='multi_output_tree'",
    "test_dart_normalization_multi_output_eta": "there is no dart",
    "test_with_iter": "there are no external iterators",
}


@pytest.mark.slow_without_jit
@pytest.mark.filterwarnings("ignore:Unknown data type")  # XGBoost's, of None, before it refuses it
@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("behaviour", list(dict.fromkeys(HELD.values())), ids=lambda each: each.__name__)
def test_both_behave_alike(behaviour: Callable[[Peer], None], peer: str) -> None:
    if behaviour is raw_margins_have_probabilities and peer == "xgboost":
        pytest.skip("mended in XGBoost after 3.2")
    behaviour(PEERS[peer])


@pytest.mark.parametrize("name", ELSEWHERE)
def test_what_is_held_elsewhere_is_there(name: str) -> None:
    file, _, test = ELSEWHERE[name].partition("::")
    assert f"def {test or 'test_'}" in next(TESTS.rglob(file)).read_text(encoding="utf-8")


def test_each_of_xgboosts_tests_is_in_one_list() -> None:
    names = [*HELD, *ELSEWHERE, *NOT_HELD]
    assert len(names) == len(set(names))
