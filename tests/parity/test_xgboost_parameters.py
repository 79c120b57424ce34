"""XGBoost's parameters: its other names, its choices, None for a default; and names that nobody has."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from strategies import model_bytes

import fedtrees
from fedtrees import (
    ArgumentError,
    FedForestClassifier,
    FedGBTClassifier,
    FedGBTRanker,
    FedGBTRegressor,
    ParameterError,
)
from fedtrees.estimators.boosting.xgboost_parameters import ALIASES, CHOICES

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 4))
TWO, THREE = (X[:, 0] > 0).astype(int), np.digitize(X[:, 0], [-0.5, 0.5])
QUERY = np.arange(200) // 10
SMALL: dict[str, Any] = {"n_estimators": 3, "max_depth": 3, "n_jobs": 1}
BOTH: dict[str, tuple[Any, Any, Any, dict[str, Any]]] = {
    "two classes": (FedGBTClassifier, xgboost.XGBClassifier, TWO, {}),
    "three classes": (FedGBTClassifier, xgboost.XGBClassifier, THREE, {}),
    "numbers": (FedGBTRegressor, xgboost.XGBRegressor, X[:, 1], {}),
    "a ranking": (FedGBTRanker, xgboost.XGBRanker, TWO, {"qid": QUERY}),
}
ESTIMATORS = [
    getattr(fedtrees, name) for name in fedtrees.__all__ if hasattr(getattr(fedtrees, name), "fit_federation")
]


@pytest.mark.parametrize("case", BOTH)
@pytest.mark.parametrize(
    "given", [{"n_estimators": 2}, {**SMALL, "eta": 0.2, "tree_method": "hist"}], ids=["none", "some"]
)
def test_parameters_of_an_xgboost_estimator_make_one_of_ours(case: str, given: dict[str, Any]) -> None:
    ours, theirs, y, more = BOTH[case]
    params = theirs(**given).get_params()
    model = ours(**params)
    assert all(
        model.get_params()[name] is params[name]
        for name in model.get_params()
        if name in params
        if name != "learning_rate"
    )
    twin = ours(**SMALL, learning_rate=0.2) if "eta" in given else ours(n_estimators=2)
    expected = model_bytes(twin.fit(X, y, **more))
    assert model_bytes(model.fit(X, y, **more)) == expected
    assert model_bytes(clone(model).fit(X, y, **more)) == expected
    assert model_bytes(ours().set_params(**params).fit(X, y, **more)) == expected


def test_none_is_the_default_of_every_parameter() -> None:
    names = FedGBTClassifier().get_params()
    model = FedGBTClassifier(**dict.fromkeys(names))
    assert set(model.get_params().values()) == {None} and model.get_num_boosting_rounds() == 100
    model.set_params(n_estimators=2)
    assert model_bytes(model.fit(X, TWO)) == model_bytes(FedGBTClassifier(n_estimators=2).fit(X, TWO))
    assert set(model.get_params().values()) == {None, 2} and model.get_num_boosting_rounds() == 2
    missing = X.copy()
    missing[::3, 0] = np.nan
    assert model.predict(missing).tolist() == FedGBTClassifier(n_estimators=2).fit(X, TWO).predict(missing).tolist()


def test_xgboosts_other_names_are_ours() -> None:
    given = {"eta": 0.2, "lambda": 3, "alpha": 0.5, "min_split_loss": 0.1, "nthread": 2, "seed": 7}
    expected = {
        "learning_rate": 0.2, "reg_lambda": 3, "reg_alpha": 0.5, "gamma": 0.1, "n_jobs": 2, "random_state": 7
    }  # fmt: skip
    assert given.keys() == ALIASES.keys()
    for model in (FedGBTRegressor(**given), FedGBTRegressor().set_params(**given), clone(FedGBTRegressor(**given))):
        params = model.get_params()
        assert {name: params[name] for name in expected} == expected and not params.keys() & given.keys()
    # None is not given, and of one parameter's two names one may be None
    assert FedGBTRegressor(eta=None, learning_rate=0.1).learning_rate == 0.1
    assert FedGBTRegressor(eta=0.1, learning_rate=None).learning_rate == 0.1
    assert FedGBTRegressor(eta=0.1, learning_rate=0.1).learning_rate == 0.1
    assert FedGBTRegressor(learning_rate=0.1).set_params(eta=None).learning_rate is None
    for call in (FedGBTRegressor, FedGBTRegressor().set_params):
        with pytest.raises(ParameterError, match=r"^learning_rate=0\.3 and eta=0\.1 are one parameter"):
            call(eta=0.1, learning_rate=0.3)


def test_a_search_goes_over_xgboosts_names() -> None:
    search = GridSearchCV(FedGBTClassifier(**SMALL), {"eta": [1e-6, 0.5], "tree_method": ["hist"]}, cv=2).fit(X, TWO)
    assert search.best_params_["eta"] == 0.5 and search.best_estimator_.learning_rate == 0.5


@pytest.mark.parametrize("name", CHOICES)
def test_choices_that_are_ours_are_taken_and_others_say_what_to_do(name: str) -> None:
    taken, instead = CHOICES[name]
    for value in (None, *taken, *(np.int64(own) for own in taken if isinstance(own, bool))):
        model = FedGBTClassifier(**{name: value}).set_params(**{name: value})
        assert name not in model.get_params() and repr(model) == "FedGBTClassifier()"
    for value in ("no such", 7, [1], np.ones(2)):
        for call in (FedGBTClassifier, FedGBTClassifier().set_params):
            with pytest.raises(ParameterError, match=f"^{re.escape(f'{name}={value!r}: {instead}; leave it out')}"):
                call(**{name: value})


# values that XGBoost has, too, and that mean something else than what fedtrees does
OTHERS: list[tuple[str, Any]] = [
    ("booster", "dart"), ("booster", "gblinear"), ("tree_method", "approx"), ("tree_method", "exact"),
    ("device", "gpu"), ("device", "cuda:0"), ("sampling_method", "gradient_based"),
    ("multi_strategy", "multi_output_tree"), ("process_type", "update"), ("updater", "prune"), ("refresh_leaf", False),
    ("refresh_leaf", 0), ("verbosity", 2), ("verbosity", 3), ("validate_parameters", False), ("validate_parameters", 0),
    ("disable_default_eval_metric", True), ("disable_default_eval_metric", 1), ("seed_per_iteration", True),
    ("seed_per_iteration", 1), ("use_label_encoder", True), ("use_label_encoder", 1), ("feature_types", ["q"]),
    ("num_class", 2), ("num_class", 0),
]  # fmt: skip


def test_what_else_xgboost_takes_is_refused() -> None:
    assert {name for name, _ in OTHERS} == CHOICES.keys()
    for name, value in OTHERS:
        with pytest.raises(ParameterError, match=f"^{re.escape(f'{name}={value!r}: ')}"):
            FedGBTRegressor(**{name: value})


REFUSED = {"tree_method": "exact", "device": "cuda", "booster": "dart", "multi_strategy": "multi_output_tree"}


def test_all_choices_that_are_not_ours_are_named_in_one_error() -> None:
    with pytest.raises(ParameterError) as raised:
        FedGBTClassifier(**REFUSED)
    assert all(f"{name}={value!r}" in str(raised.value) for name, value in REFUSED.items())


def test_every_parameter_of_xgboosts_estimators_is_taken() -> None:
    theirs = set(inspect.signature(xgboost.XGBModel).parameters) - {"kwargs"}
    ours = set(inspect.signature(FedGBTClassifier).parameters)
    assert theirs <= ours | CHOICES.keys()
    assert not ours & (ALIASES.keys() | CHOICES.keys()) and set(ALIASES.values()) <= ours


# -- names that are no parameter ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda kind: kind.__name__)
def test_a_misspelt_parameter_names_the_class_and_the_nearest(kind: Any) -> None:
    for name in kind().get_params():
        wrong = name[:-1] + "x"
        for call in (kind, kind().set_params):
            with pytest.raises(ArgumentError, match=rf"^{kind.__name__} has no '{wrong}': did you mean '{name[:3]}"):
                call(**{wrong: 1})
    with pytest.raises(ArgumentError, match=rf"^{kind.__name__} has no 'zzz'\. Known: "):
        kind(zzz=1)
    with pytest.raises(ArgumentError, match=f"^{kind.__name__} takes .* by name"):
        kind(*range(99))


def test_subclasses_name_themselves_and_have_parameters_of_their_own() -> None:
    class Shallow(FedGBTClassifier):
        def __init__(self, *, depth: int = 2, **others: Any):
            super().__init__(max_depth=depth, **others)

    class Forest(FedForestClassifier):
        def __init__(self, *, trees: int = 5):
            super().__init__(trees)

    assert Shallow(depth=3, eta=0.1).learning_rate == 0.1
    with pytest.raises(ArgumentError, match=r"^Shallow has no 'max_deph': did you mean 'max_depth'\?"):
        Shallow(max_deph=3)
    assert Forest(trees=3).n_estimators == 3
    with pytest.raises(ArgumentError, match=r"^Forest has no 'tree': did you mean 'trees'\?"):
        Forest(tree=3)


# -- verbose ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", BOTH)
def test_fit_takes_verbose_in_place_of_the_constructors(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, _, y, more = BOTH[case]
    shown: list[Any] = []
    module = "fedtrees.estimators.boosting.base.progress"
    from fedtrees.estimators.common.progress import progress

    monkeypatch.setattr(module, lambda verbose, *rest: shown.append(verbose) or progress(0, *rest))
    loud, quiet = ours(**SMALL, verbose=1), ours(**SMALL)
    for verbose in (None, False, 0, True, 2):
        loud.fit(X, y, verbose=verbose, **more)
        quiet.fit(X, y, verbose=verbose, **more)
    assert shown == [1, 0, False, False, 0, 0, True, True, 2, 2] and loud.verbose == 1 and quiet.verbose == 0
    with pytest.raises(ParameterError, match=r"^verbose='much': give a whole number from 0"):
        quiet.fit(X, y, verbose="much", **more)
