"""Names of XGBoost's estimators: each is here, by our own code and with the same meaning, or has a reason not to be."""

from __future__ import annotations

import inspect
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.base import is_classifier, is_regressor
from sklearn.exceptions import NotFittedError

from fedtrees import FedGBTClassifier, FedGBTRanker, FedGBTRegressor
from fedtrees.estimators.boosting.xgboost_parameters import CHOICES

RNG = np.random.default_rng(0)
X = pd.DataFrame(RNG.normal(size=(200, 4)), columns=list("abcd"))
Y = (X["a"] > 0).to_numpy().astype(int)
QUERY = np.arange(200) // 10
SMALL: dict[str, Any] = {"n_estimators": 4, "max_depth": 3, "n_jobs": 1, "early_stopping_rounds": 3}
PAIRS: list[Any] = [
    pytest.param(FedGBTClassifier, xgboost.XGBClassifier, {"eval_set": [(X, Y)]}, id="classifier"),
    pytest.param(FedGBTRegressor, xgboost.XGBRegressor, {"eval_set": [(X, Y)]}, id="regressor"),
    pytest.param(
        FedGBTRanker, xgboost.XGBRanker, {"qid": QUERY, "eval_set": [(X, Y)], "eval_qid": [QUERY]}, id="ranker"
    ),
]
# attributes that XGBoost's estimators have and ours have not: parameters of which there is one choice
REASONS = {name: choice.instead for name, choice in CHOICES.items()}
# arguments of methods, likewise
ARGUMENTS = {"feature_weights": "deprecated in XGBoost's fit, too: a parameter of the constructor"}


def public(something: Any) -> set[str]:
    return {name for name in dir(something) if not name.startswith("_")}


@pytest.mark.parametrize(("ours", "theirs", "more"), PAIRS)
def test_every_public_name_is_ours_or_has_a_reason(ours: Any, theirs: Any, more: dict[str, Any]) -> None:
    model, twin = ours(**SMALL).fit(X, Y, **more), theirs(**SMALL).fit(X, Y, verbose=False, **more)
    expected = public(twin) | {
        name for name in public(theirs) if isinstance(inspect.getattr_static(theirs, name), property)
    }
    assert expected - public(model) - public(ours) <= REASONS.keys() and all(REASONS.values())
    for name in expected & public(ours):  # nothing of XGBoost's own code shows through
        home = next(kind.__module__ for kind in ours.__mro__ if name in vars(kind))
        assert not home.startswith("xgboost"), name


@pytest.mark.parametrize(("ours", "theirs", "more"), PAIRS)
def test_every_method_takes_the_same_arguments(ours: Any, theirs: Any, more: dict[str, Any]) -> None:
    for name in public(theirs):
        if callable(getattr(theirs, name)) and not name.startswith("set_"):
            asked = inspect.signature(getattr(theirs, name)).parameters.keys()
            assert asked - inspect.signature(getattr(ours, name)).parameters.keys() <= ARGUMENTS.keys(), name


@pytest.mark.parametrize(("ours", "theirs", "more"), PAIRS)
def test_what_a_fitted_one_has_means_the_same(ours: Any, theirs: Any, more: dict[str, Any]) -> None:
    model, twin = ours(**SMALL).fit(X, Y, **more), theirs(**SMALL).fit(X, Y, verbose=False, **more)
    assert isinstance(model, theirs) and isinstance(model.get_booster(), xgboost.Booster)
    for same in (is_classifier, is_regressor):
        assert same(model) == same(twin)
    for name in ("n_features_in_", "best_iteration", "n_classes_"):
        assert getattr(model, name, None) == getattr(twin, name, None)
    for name in ("feature_names_in_", "classes_"):
        assert np.array_equal(getattr(model, name, None), getattr(twin, name, None))
    for name in ("feature_importances_", "intercept_"):
        one, other = getattr(model, name), getattr(twin, name)
        assert one.shape == other.shape and one.dtype == other.dtype and np.allclose(one, other, atol=0.05)
    assert model.get_num_boosting_rounds() == twin.get_num_boosting_rounds() == 4
    assert model.best_score == pytest.approx(twin.best_score, abs=0.02) and type(model.best_score) is float
    (name, scores), (other, expected) = *model.evals_result().items(), *twin.evals_result().items()
    assert name == other and scores.keys() == expected.keys() and model.evals_result() is model.evals_result_
    assert (
        model.apply(X).shape == twin.apply(X).reshape(200, -1).shape
        and model.apply(X, iteration_range=(0, 2)).shape[1] == 2
    )
    assert model.predict(X).shape == twin.predict(X).shape
    for estimator in (model, twin):
        with pytest.raises(AttributeError, match="oefficients"):
            _ = estimator.coef_


@pytest.mark.parametrize(("ours", "theirs", "more"), PAIRS)
def test_before_fitting_nothing_fitted_is_there(ours: Any, theirs: Any, more: dict[str, Any]) -> None:
    for name in ("n_features_in_", "feature_names_in_", "best_iteration", "feature_importances_", "booster_"):
        assert not hasattr(ours(), name)
        with pytest.raises((NotFittedError, AttributeError)):
            getattr(ours(), name)
    with pytest.raises(NotFittedError):
        ours().get_booster()
    plain = ours(n_estimators=2).fit(X.to_numpy(), Y, **{name: own for name, own in more.items() if name == "qid"})
    assert not hasattr(plain, "best_iteration") and not hasattr(plain, "feature_names_in_")


@pytest.mark.parametrize(("ours", "theirs", "more"), PAIRS)
def test_its_parameters_train_xgboost_without_a_word(ours: Any, theirs: Any, more: dict[str, Any]) -> None:
    rows = xgboost.DMatrix(X, Y, qid=QUERY)
    for state in (np.random.RandomState(3), np.random.default_rng(3), 3, None):
        params = ours(**SMALL, random_state=state, validation_fraction=0.2).get_xgb_params()
        drawn = {int: 3, np.random.RandomState: 218175338, np.random.Generator: 1742692731}  # the first below 2**31 - 1
        assert params.get("random_state") == drawn.get(type(state))
        xgboost.train({**params, "validate_parameters": True, "verbosity": 1}, rows, 2)
        again = ours(**SMALL, random_state=state, validation_fraction=0.2)
        assert again.get_xgb_params() == again.get_xgb_params()  # a generator is not drawn from


# -- tools that ask for an estimator of XGBoost's -----------------------------------------------------------


@pytest.mark.parametrize(("ours", "theirs", "more"), PAIRS)
def test_plots_of_xgboost_take_it(
    ours: Any, theirs: Any, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    model = ours(**SMALL).fit(X, Y, **more)
    axes = xgboost.plot_importance(model)
    assert [text.get_text() for text in axes.get_yticklabels()][-1] == "a"
    matplotlib.pyplot.close("all")
    graphviz = ModuleType("graphviz")
    vars(graphviz)["Source"] = str
    monkeypatch.setitem(sys.modules, "graphviz", graphviz)
    assert "a<" in xgboost.to_graphviz(model, tree_idx=0)


@pytest.mark.filterwarnings("ignore")  # SHAP's own
@pytest.mark.parametrize(("ours", "theirs", "more"), PAIRS)
def test_shap_explains_it(ours: Any, theirs: Any, more: dict[str, Any]) -> None:
    shap = pytest.importorskip("shap")
    model = ours(**SMALL | {"early_stopping_rounds": None}).fit(X, Y, **more)
    explainer = shap.TreeExplainer(model)
    margins = np.asarray(explainer.shap_values(X)).sum(axis=1) + explainer.expected_value
    np.testing.assert_allclose(margins, model.predict(X, output_margin=True), atol=1e-5)


def test_xgboost_goes_on_from_it() -> None:
    model = FedGBTClassifier(**SMALL | {"early_stopping_rounds": None}).fit(X, Y)
    after = xgboost.XGBClassifier(n_estimators=2).fit(X, Y, xgb_model=model)
    assert after.get_booster().num_boosted_rounds() == 6
