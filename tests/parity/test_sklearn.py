"""Whether the estimators are what scikit-learn takes for one: its checks, metadata, searches, copies and files."""

from __future__ import annotations

import dataclasses
import pickle
import threading
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
import xgboost
from sklearn import ensemble, neural_network, tree
from sklearn.base import clone, is_classifier
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

import fedtrees
from fedtrees import FedGBTClassifier, FedGBTRegressor, expected_failed_checks

RNG = np.random.default_rng(0)
X = RNG.normal(size=(240, 4)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
SILOS = np.array(["mayo", "ucla", "ohio"])[np.arange(240) % 3]
WEIGHT = RNG.uniform(0.5, 2, 240)
SMALL = {"n_estimators": 3, "max_depth": 3, "n_jobs": 1}
KINDS = [FedGBTClassifier, FedGBTRegressor]


@pytest.fixture(autouse=True)
def no_threads_are_left() -> Any:
    before = set(threading.enumerate())
    yield
    assert not [own for own in set(threading.enumerate()) - before if own.name.startswith("fedtrees")]


@pytest.fixture
def routing() -> Any:
    with sklearn.config_context(enable_metadata_routing=True):
        yield


# -- scikit-learn's own checks ------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::fedtrees.OneClassWarning")
@parametrize_with_checks(
    [FedGBTClassifier(**SMALL), FedGBTRegressor(**SMALL)], expected_failed_checks=expected_failed_checks
)
def test_scikit_learns_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("kind", KINDS)
def test_the_tags_say_what_is_read(kind: type) -> None:
    tags = kind().__sklearn_tags__().input_tags
    assert tags.allow_nan and tags.sparse and not tags.string


PEERS: dict[str, tuple[type, dict[str, bool]]] = {  # and what is otherwise than theirs
    "FedGBTClassifier": (xgboost.XGBClassifier, {"no_validation": False}),
    "FedGBTRegressor": (xgboost.XGBRegressor, {"no_validation": False}),
    "FedTreeClassifier": (tree.DecisionTreeClassifier, {}),
    "FedTreeRegressor": (tree.DecisionTreeRegressor, {}),
    "FedForestClassifier": (ensemble.RandomForestClassifier, {}),
    "FedForestRegressor": (ensemble.RandomForestRegressor, {}),
    "FedExtraTreesClassifier": (ensemble.ExtraTreesClassifier, {}),
    "FedExtraTreesRegressor": (ensemble.ExtraTreesRegressor, {}),
    "FedAdaBoostClassifier": (ensemble.AdaBoostClassifier, {"input_tags.allow_nan": True}),
    "FedAdaBoostRegressor": (ensemble.AdaBoostRegressor, {"input_tags.allow_nan": True}),
    "FedAvgClassifier": (neural_network.MLPClassifier, {"classifier_tags.multi_label": False}),
    "FedAvgRegressor": (neural_network.MLPRegressor, {"target_tags.multi_output": True}),
}


def flat(tags: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Tags by name, those of tags by dotted names."""
    found: dict[str, Any] = {}
    for name, own in tags.items():
        found |= flat(own, f"{above}{name}.") if isinstance(own, dict) else {above + name: own}
    return found


@pytest.mark.parametrize("name", PEERS)
def test_tags_are_those_of_the_peer(name: str) -> None:
    peer, other = PEERS[name]
    own, theirs = (flat(dataclasses.asdict(get_tags(kind()))) for kind in (getattr(fedtrees, name), peer))
    assert {key: value for key, value in own.items() if value != theirs[key]} == other and own.keys() == theirs.keys()
    assert is_classifier(getattr(fedtrees, name)()) == is_classifier(peer())


# -- metadata -----------------------------------------------------------------------------------------------


class Seen(FedGBTClassifier):
    """Notes what it is fitted with."""

    notes: list[dict[str, Any]] = []  # noqa: RUF012 - one list for all clones, to be read after a search

    def fit(self, X: Any, y: Any, *, silos: Any = None, sample_weight: Any = None) -> Seen:  # type: ignore[override]
        self.notes.append({"rows": len(X), "silos": silos, "sample_weight": sample_weight})
        super().fit(X, y, silos=silos, sample_weight=sample_weight)
        return self


@pytest.fixture
def seen() -> Seen:
    Seen.notes.clear()
    return Seen(**SMALL)


def rows_and_silos(notes: list[dict[str, Any]]) -> list[tuple[int, list[str]]]:
    return [(len(note["silos"]), sorted(set(note["silos"]))) for note in notes]


@pytest.mark.usefixtures("routing")
def test_silos_and_weights_reach_the_last_step_of_a_pipeline(seen: Seen) -> None:
    last = seen.set_fit_request(silos=True, sample_weight=True)
    scale = StandardScaler().set_fit_request(sample_weight=False)
    Pipeline([("scale", scale), ("gbt", last)]).fit(X, Y, silos=SILOS, sample_weight=WEIGHT)
    assert seen.notes[0]["silos"].tolist() == SILOS.tolist()
    assert seen.notes[0]["sample_weight"].tolist() == WEIGHT.tolist()


@pytest.mark.usefixtures("routing")
def test_cross_validation_cuts_silos_and_weights_as_it_cuts_the_rows(seen: Seen) -> None:
    routed = seen.set_fit_request(silos=True, sample_weight=True).set_score_request(sample_weight=False)
    scores = cross_val_score(routed, X, Y, cv=4, params={"silos": SILOS, "sample_weight": WEIGHT})
    assert scores.mean() > 0.8
    assert [note["rows"] for note in seen.notes] == [180] * 4
    assert rows_and_silos(seen.notes) == [(180, ["mayo", "ohio", "ucla"])] * 4


@pytest.mark.usefixtures("routing")
def test_a_grid_search_and_its_last_fit_get_their_silos(seen: Seen) -> None:
    search = GridSearchCV(seen.set_fit_request(silos=True), {"max_depth": [1, 3]}, cv=2)
    search.fit(X, Y, silos=SILOS)
    assert rows_and_silos(seen.notes) == [(120, ["mayo", "ohio", "ucla"])] * 4 + [(240, ["mayo", "ohio", "ucla"])]
    assert search.best_estimator_.ledger_.per_silo().shape[0] == 3


@pytest.mark.usefixtures("routing")
def test_a_search_over_a_pipeline_gets_them_too(seen: Seen) -> None:
    pipeline = make_pipeline(StandardScaler(), seen.set_fit_request(silos=True))
    GridSearchCV(pipeline, {"seen__learning_rate": [0.1, 0.3]}, cv=2).fit(X, Y, silos=SILOS)
    assert len(seen.notes) == 5 and all(note["silos"] is not None for note in seen.notes)


@pytest.mark.usefixtures("routing")
def test_calibration_passes_them_on(seen: Seen) -> None:
    calibrated = CalibratedClassifierCV(seen.set_fit_request(silos=True), cv=3).fit(X, Y, silos=SILOS)
    assert rows_and_silos(seen.notes) == [(160, ["mayo", "ohio", "ucla"])] * 3
    assert calibrated.predict_proba(X).shape == (240, 2)


@pytest.mark.usefixtures("routing")
def test_silos_that_nobody_asked_for_are_refused() -> None:
    with pytest.raises(UnsetMetadataPassedError, match="silos"):
        GridSearchCV(FedGBTClassifier(**SMALL), {}, cv=2).fit(X, Y, silos=SILOS)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("kind", KINDS)
def test_every_metadata_of_fit_and_predict_can_be_asked_for(kind: type) -> None:
    requests = kind().get_metadata_routing()
    assert {"silos", "sample_weight", "base_margin", "eval_set"} <= set(requests.fit.requests)
    assert {"base_margin", "iteration_range"} <= set(requests.predict.requests)


def test_without_routing_a_pipeline_takes_them_by_the_steps_name() -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("gbt", FedGBTClassifier(**SMALL))])
    pipeline.fit(X, Y, gbt__silos=SILOS)
    assert pipeline[-1].ledger_.per_silo().shape[0] == 3
    searched = GridSearchCV(FedGBTClassifier(**SMALL), {"max_depth": [1]}, cv=2).fit(X, Y, silos=SILOS)
    assert searched.best_estimator_.ledger_.per_silo().shape[0] == 3


# -- parameters, copies and files ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_are_read_set_and_cloned(kind: type) -> None:
    estimator = kind(n_estimators=7, sampling=0.5)
    assert estimator.get_params()["n_estimators"] == 7
    estimator.set_params(max_depth=2, weighting="equal")
    twin = clone(estimator)
    assert twin.get_params() == estimator.get_params()  # NaN is itself, though it equals nothing
    assert repr(twin) == repr(estimator) and "max_depth=2" in repr(twin)
    with pytest.raises(ValueError, match="has no 'depth': did you mean 'max_depth'"):
        estimator.set_params(depth=3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_clone_is_not_fitted(kind: type) -> None:
    fitted = kind(**SMALL).fit(X, Y, silos=SILOS)
    with pytest.raises(NotFittedError):
        clone(fitted).predict(X)


@pytest.mark.parametrize("kind", KINDS)
def test_pickle_and_joblib_bring_everything_back(kind: type, tmp_path: Path) -> None:
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = kind(**SMALL).fit(frame, Y, silos=SILOS, eval_set=[(frame, Y)])
    joblib.dump(model, tmp_path / "model.joblib")
    for back in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model.joblib")):
        assert back.predict(frame).tobytes() == model.predict(frame).tobytes()
        assert back.evals_result() == model.evals_result()
        assert back.feature_names_in_.tolist() == list("abcd")
        assert back.ledger_.rounds == model.ledger_.rounds
        assert back.booster_.save_raw("ubj") == model.booster_.save_raw("ubj")


def test_parallel_searches_nest_and_find_the_same() -> None:
    scores = [
        cross_val_score(FedGBTClassifier(n_estimators=3, n_jobs=n_jobs), X, Y, cv=3, n_jobs=2)
        for n_jobs in (1, 2, None)
    ]
    assert scores[0].tolist() == scores[1].tolist() == scores[2].tolist()


def test_joblib_threads_nest() -> None:
    def score(seed: int) -> float:
        return float(FedGBTRegressor(n_estimators=3, n_jobs=2, random_state=seed).fit(X, Y).score(X, Y))

    assert len(set(joblib.Parallel(n_jobs=2, backend="threading")(joblib.delayed(score)(7) for _ in range(4)))) == 1


# -- others of scikit-learn ---------------------------------------------------------------------------------


def test_pandas_output_of_steps_before_reaches_the_model_with_its_names() -> None:
    frame = pd.DataFrame(X, columns=list("abcd"))
    pipeline = make_pipeline(StandardScaler(), FedGBTClassifier(**SMALL)).set_output(transform="pandas")
    pipeline.fit(frame, Y)
    assert pipeline[-1].feature_names_in_.tolist() == list("abcd") and pipeline.n_features_in_ == 4
    assert pipeline.predict(frame).shape == (240,)


def test_inspection_and_multi_output_meta_estimators_take_it() -> None:
    model = FedGBTRegressor(n_estimators=10, n_jobs=1).fit(X, Y)
    assert np.argmax(permutation_importance(model, X, Y, random_state=0).importances_mean) in (0, 1)
    both = MultiOutputRegressor(FedGBTRegressor(**SMALL)).fit(X, X[:, :2])
    assert both.predict(X).shape == (240, 2)


def test_cross_validate_returns_estimators_that_predict() -> None:
    result = cross_validate(FedGBTClassifier(**SMALL), X, Y, cv=3, scoring="roc_auc", return_estimator=True)
    assert min(result["test_score"]) > 0.8
    assert all(model.classes_.tolist() == [0, 1] and model.n_classes_ == 2 for model in result["estimator"])
