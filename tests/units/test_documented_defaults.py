"""Defaults are those that docstrings name, and XGBoost's or scikit-learn's where a parameter is theirs."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import pytest
import sklearn.ensemble
import sklearn.tree
import xgboost

import fedtrees
from fedtrees.core.sampling.by_turns import OneAfterAnother
from fedtrees.neural.optimisers import Averaging, FedAdagrad, FedAdam, FedYogi, Momentum
from fedtrees.neural.schedules import Cosine, Exponential, Inverse
from fedtrees.runtime.transport import Postman


def everything() -> Iterator[tuple[str, Any]]:
    """Every class, method and function of the package, by its module and name."""
    for module in pkgutil.walk_packages(fedtrees.__path__, "fedtrees."):
        if not module.name.endswith("__main__"):
            for name, own in vars(importlib.import_module(module.name)).items():
                if (inspect.isclass(own) or inspect.isfunction(own)) and own.__module__ == module.name:
                    yield f"{module.name}.{name}", own
                    for what, method in vars(own).items() if inspect.isclass(own) else ():
                        if inspect.isfunction(method):
                            yield f"{module.name}.{name}.{what}", method


def documented(own: Any) -> Iterator[tuple[str, str]]:
    """Each parameter whose docstring names a default, and how it is written there."""
    text = (inspect.getdoc(own) or "").replace("\\\n", "")
    _, found, rest = text.partition("\nParameters\n----------\n")
    section = re.split(r"\n\n[^\n]+\n-{3,}\n", rest)[0] if found else ""
    for line in section.splitlines():
        match = re.match(r"^(\*{0,2}\w[\w, *]*) : .*\bdefault (.+)$", line)
        if match:
            names = [name.strip() for name in match[1].split(",")]
            values = re.split(r" and ", match[2])
            yield from zip(names, values * len(names) if len(values) == 1 else values, strict=True)


CALLED = {name: own for name, own in everything() if list(documented(own))}


@pytest.mark.parametrize("name", sorted(CALLED))
def test_a_documented_default_is_the_one_that_is_taken(name: str) -> None:
    parameters = inspect.signature(CALLED[name]).parameters
    for parameter, written in documented(CALLED[name]):
        default = parameters[parameter].default
        assert repr(default) == written.replace('"', "'") or (written == "NaN" and default != default), parameter


def test_most_parameters_are_documented_so() -> None:
    counted = sum(len(list(documented(own))) for own in CALLED.values())
    assert counted > 100


LIKE: dict[str, tuple[str, dict[str, Any]]] = {  # whose defaults an estimator has that does not document its own
    "FedGBTRegressor": ("FedGBTClassifier", {}),
    "FedGBTRanker": ("FedGBTClassifier", {}),
    "FedAvgRegressor": ("FedAvgClassifier", {"loss": "squared_error"}),
    "FedTreeRegressor": ("FedTreeClassifier", {"criterion": "squared_error"}),
    "FedForestClassifier": ("FedTreeClassifier", {"max_bin": 128}),
    "FedForestRegressor": ("FedForestClassifier", {"criterion": "squared_error", "max_features": 1.0}),
    "FedExtraTreesClassifier": ("FedForestClassifier", {"bootstrap": False}),
    "FedExtraTreesRegressor": ("FedForestRegressor", {"bootstrap": False}),
    "FedAdaBoostClassifier": ("FedTreeClassifier", {}),
    "FedAdaBoostRegressor": ("FedAdaBoostClassifier", {}),
}


@pytest.mark.parametrize("name", LIKE)
def test_what_is_not_documented_again_is_as_in_the_kin(name: str) -> None:
    kin, other = LIKE[name]
    own, theirs = (inspect.signature(getattr(fedtrees, each)).parameters for each in (name, kin))
    written = dict(documented(getattr(fedtrees, name)))
    for parameter in own.keys() - written.keys():
        default = own[parameter].default
        expected = other.get(parameter, theirs[parameter].default if parameter in theirs else None)
        assert repr(default) == repr(expected), parameter


def test_servers_and_schedules_start_as_in_their_papers() -> None:
    """Reddi et al. (2021) with tau of 1e-3 and table 8's betas; Hsu et al. (2019); McMahan et al. (2016)."""
    adaptive = {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.99, "tau": 1e-3}
    for kind, expected in (
        (Averaging, {"learning_rate": 1.0}), (Momentum, {"learning_rate": 1.0, "momentum": 0.9}), (FedAdam, adaptive),
        (FedYogi, adaptive), (FedAdagrad, adaptive | {"learning_rate": 0.1, "beta_1": 0.0}),
        (Exponential, {"decay": 0.99}), (Inverse, {"decay": 0.01}), (Cosine, {"rounds": 100}),
    ):  # fmt: skip
        assert vars(kind()) == expected


OF_XGBOOST = {  # XGBoost's estimators leave them to its library
    "max_depth": 6, "learning_rate": 0.3, "reg_lambda": 1, "reg_alpha": 0, "gamma": 0, "min_child_weight": 1,
    "max_leaves": 0, "grow_policy": "depthwise", "num_parallel_tree": 1, "subsample": 1, "colsample_bytree": 1,
    "colsample_bylevel": 1, "colsample_bynode": 1, "max_bin": 256, "max_cat_to_onehot": 4, "max_cat_threshold": 64,
}  # fmt: skip


@pytest.mark.parametrize("kind", [fedtrees.FedGBTClassifier, fedtrees.FedGBTRegressor, fedtrees.FedGBTRanker])
def test_boosting_starts_from_xgboosts_defaults(kind: Any) -> None:
    params = kind().get_params()
    assert params["n_estimators"] == xgboost.XGBClassifier().get_num_boosting_rounds() == 100
    assert {name: params[name] for name in OF_XGBOOST} == OF_XGBOOST
    left_out = {name for name, own in params.items() if own is None}
    assert left_out >= {"base_score", "objective", "eval_metric", "early_stopping_rounds", "random_state", "n_jobs"}


OURS: dict[str, Any] = {"max_depth": 10, "max_bin": 256}  # with reasons in the docstrings
PAIRS = {
    fedtrees.FedTreeClassifier: (sklearn.tree.DecisionTreeClassifier, OURS),
    fedtrees.FedTreeRegressor: (sklearn.tree.DecisionTreeRegressor, OURS),
    fedtrees.FedForestClassifier: (sklearn.ensemble.RandomForestClassifier, OURS),
    fedtrees.FedForestRegressor: (sklearn.ensemble.RandomForestRegressor, OURS),
    fedtrees.FedExtraTreesClassifier: (sklearn.ensemble.ExtraTreesClassifier, OURS),
    fedtrees.FedExtraTreesRegressor: (sklearn.ensemble.ExtraTreesRegressor, OURS),
    fedtrees.FedAdaBoostClassifier: (sklearn.ensemble.AdaBoostClassifier, {}),
    fedtrees.FedAdaBoostRegressor: (sklearn.ensemble.AdaBoostRegressor, {}),
}


@pytest.mark.parametrize("kind", PAIRS, ids=lambda own: own.__name__)
def test_trees_by_impurity_start_from_scikit_learns_defaults(kind: Any) -> None:
    theirs, ours = PAIRS[kind]
    params = kind().get_params()
    expected = {name: own for name, own in theirs().get_params().items() if name in params} | {
        name: own for name, own in ours.items() if name != "max_bin"
    }
    assert {name: params[name] for name in expected} == expected
    assert params["sampling"] == 1.0 and params["weighting"] == "rows" and params["min_bin_rows"] == 1
    assert params["missing"] != params["missing"] and params["verbose"] == 0


def test_a_transport_is_asked_twice_for_a_minute_and_64_silos_at_a_time() -> None:
    given = {name: own.default for name, own in inspect.signature(Postman).parameters.items()}
    assert (given["timeout"], given["attempts"], given["batch"]) == (60.0, 2, 64)
    assert OneAfterAnother(fedtrees.Poisson(0.5)) == OneAfterAnother(fedtrees.Poisson(0.5))
