"""Of an estimator that is not fitted: every attribute and method is scikit-learn's NotFittedError, by its name."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

import fedtrees
from fedtrees import Silo

KINDS = [kind for kind in (getattr(fedtrees, name) for name in fedtrees.__all__) if hasattr(kind, "fit_federation")]
X, Y = np.arange(16.0).reshape(8, 2), np.array([0, 1] * 4)
ALWAYS = {  # there without a model: training, parameters, and what says of itself that there is none
    "fit", "partial_fit", "fit_federation", "get_params", "set_params", "get_metadata_routing", "load_model",
    "get_num_boosting_rounds", "get_xgb_params", "cost_complexity_pruning_path",
    "cost_complexity_pruning_path_federation",
}  # fmt: skip
SET_BY_FIT = {
    "FedGBT": "booster_ ledger_ evals_result_ evals_uncertainty_ n_features_in_ feature_names_in_ intercept_",
    "FedTree": "model_ ledger_ feature_importances_",
    "FedForest": "model_ ledger_ estimators_ oob_score_",
    "FedExtraTrees": "model_ ledger_ estimators_ oob_score_",
    "FedAdaBoost": "model_ ledger_ estimators_ estimator_weights_ estimator_errors_",
    "FedAvg": "params_ coefs_ intercepts_ n_rounds_ n_iter_ n_layers_ n_outputs_ out_activation_ loss_ best_loss_ "
    "loss_curve_ evals_result_ evals_uncertainty_ ledger_",
}


def called(kind: Any) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """The methods of an estimator, and arguments."""
    known = {"score": (X, Y), "staged_score": (X, Y), "personalize": (Silo("mayo", X, Y),), "save_model": ("m.json",)}
    for name, own in inspect.getmembers(kind, callable):
        if not name.startswith(("_", "set_")) and name not in ALWAYS:
            given = list(inspect.signature(own).parameters.values())[1:]
            yield name, known.get(name, (X,) * sum(one.default is one.empty for one in given if one.kind < 2))


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_no_attribute_of_what_is_not_fitted(kind: Any) -> None:
    model = kind()
    with pytest.raises(NotFittedError):
        check_is_fitted(model)
    names = {name for name in dir(model) if not name.startswith("_") and not hasattr(kind, name)}
    family = next(own for own in SET_BY_FIT if kind.__name__.startswith(own))
    properties = [name for name, own in inspect.getmembers(kind) if not callable(own) and not name.startswith("_")]
    documented = [*SET_BY_FIT[family].split(), *(["classes_"] if "Classifier" in kind.__name__ else [])]
    for name in {*properties, *documented} - {"coef_"}:  # which trees never have, as in XGBoost
        assert not hasattr(model, name)
        with pytest.raises(NotFittedError, match=kind.__name__):
            getattr(model, name)
    assert names == set(model.get_params())  # and all that the constructor sets are parameters


@pytest.mark.parametrize("kind", KINDS)
def test_no_method_of_what_is_not_fitted_answers(kind: Any) -> None:
    for name, arguments in called(kind):
        method = getattr(kind(), name)
        with pytest.raises(NotFittedError, match=kind.__name__):
            list(method(*arguments))  # what is staged begins with the first


@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB")
@pytest.mark.parametrize("kind", [kind for kind in KINDS if "Ranker" not in kind.__name__])
def test_attributes_come_with_fit_and_are_plain_ones_where_there_are_none(kind: Any) -> None:
    model = kind()
    family = next(own for own in SET_BY_FIT if kind.__name__.startswith(own))
    asked = {name: 2 for name in ("n_estimators", "n_rounds") if name in model.get_params()}
    model.set_params(**asked).fit(X, Y)
    check_is_fitted(model)
    lacking = {name for name in SET_BY_FIT[family].split() if not hasattr(model, name)}
    assert lacking <= {"evals_result_", "evals_uncertainty_", "oob_score_", "feature_names_in_"}
    for name in lacking:
        with pytest.raises(AttributeError) as caught:
            getattr(model, name)
        assert not isinstance(caught.value, NotFittedError)
    assert not hasattr(clone(model), "ledger_")
