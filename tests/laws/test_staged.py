"""Predictions after each round are those of so many rounds, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from strategies import CLASSES, numbers_for

from fedtrees import FedGBTClassifier, FedGBTRanker, FedGBTRegressor

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 3)).astype(np.float32)
SIGNAL = X[:, 0] + X[:, 1] * X[:, 2]
SMALL: dict[str, Any] = {"n_estimators": 4, "max_depth": 3, "n_jobs": 1}


def upto(k: int) -> dict[str, Any]:
    return {"iteration_range": (0, k)}


# law: staged
@pytest.mark.parametrize("objective", [name for name, classes in CLASSES.items() if classes])
def test_classes(objective: str) -> None:
    y = np.digitize(SIGNAL, [0.0] if CLASSES[objective] == 2 else [-0.5, 0.5])
    model = FedGBTClassifier(**SMALL, objective=objective).fit(X, y)
    stages = zip(model.staged_predict(X), model.staged_predict_proba(X), model.staged_decision_function(X), strict=True)
    k = 0
    for k, (labels, shares, margins) in enumerate(stages, 1):
        assert labels.tobytes() == model.predict(X, **upto(k)).tobytes()
        assert shares.tobytes() == model.predict_proba(X, **upto(k)).tobytes()
        assert margins.tobytes() == model.predict(X, output_margin=True, **upto(k)).tobytes()
    assert k == 4


def test_several_labels_and_the_branches_of_silos() -> None:
    y = np.stack([SIGNAL > 0, X[:, 1] > 0], axis=1)
    names = np.array(["a", "b"])[np.arange(200) % 2]
    model = FedGBTClassifier(**SMALL, split_on_silo=True).fit(X, y, silos=names)
    stages = list(model.staged_predict_proba(X, silos="b"))
    assert len(stages) == 4
    assert stages[-1].tobytes() == model.predict_proba(X, silos="b").tobytes()
    assert next(model.staged_predict(X, silos=names)).tobytes() == model.predict(X, silos=names, **upto(1)).tobytes()


# law: staged
@pytest.mark.parametrize("objective", [name for name, classes in CLASSES.items() if not classes])
def test_numbers(objective: str) -> None:
    y = numbers_for(objective, np.random.default_rng(0), SIGNAL / 8 + 0.5)
    model = FedGBTRegressor(**SMALL, objective=objective).fit(X, y)
    k = 0
    for k, numbers in enumerate(model.staged_predict(X), 1):
        assert numbers.tobytes() == model.predict(X, **upto(k)).tobytes()
    assert k == 4


def test_all_rounds_are_there_where_the_best_one_was_sought() -> None:
    y = SIGNAL + RNG.normal(size=200)
    model = FedGBTRegressor(30, learning_rate=0.9, early_stopping_rounds=3, validation_fraction=0.3).fit(X, y)
    stages = list(model.staged_predict(X))
    assert len(stages) > model.best_iteration + 1
    assert stages[model.best_iteration].tobytes() == model.predict(X).tobytes()


def test_rankings() -> None:
    model = FedGBTRanker(**SMALL).fit(X, (SIGNAL > 0).astype(int), qid=np.arange(200) // 20)
    assert [scores.tobytes() for scores in model.staged_predict(X)][2] == model.predict(X, **upto(3)).tobytes()


def test_what_is_not_fitted_has_no_stages() -> None:
    with pytest.raises(NotFittedError):
        next(FedGBTRegressor().staged_predict(X))
    with pytest.raises(NotFittedError):
        next(FedGBTClassifier().staged_decision_function(X))
