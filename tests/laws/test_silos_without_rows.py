"""Silos that train on nothing and are scored all the same: both modes give the same model, scores and ledger."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedtrees import (
    DataError,
    FedAvgClassifier,
    FedAvgRegressor,
    FedGBTClassifier,
    FedGBTRegressor,
    LocalFederation,
    Silo,
)
from fedtrees.core.numeric.fixed_point import LOWEST_EXPONENT
from fedtrees.queries.counts import LabelExponents

X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
COUNTS = np.abs(X[:, 0]).round(1)
ESTIMATORS: dict[str, tuple[Any, Any]] = {
    "trees of classes": (FedGBTClassifier(2, eval_metric=["auc", "logloss"], min_child_weight=0), COUNTS > 0.5),
    "trees of two targets": (FedGBTRegressor(2), np.column_stack([COUNTS, 2 * COUNTS])),
    "network of classes": (FedAvgClassifier((3,), n_rounds=2), COUNTS > 0.5),
    "network of numbers": (FedAvgRegressor((3,), n_rounds=2), COUNTS),
    "network of two targets": (FedAvgRegressor((3,), n_rounds=2), np.column_stack([COUNTS, 2 * COUNTS])),
    "network of counts": (FedAvgRegressor((3,), n_rounds=2, loss="poisson"), COUNTS),
    "network that holds out": (FedAvgRegressor((3,), n_rounds=2, validation_fraction=0.3), COUNTS),
}


def silos_of(y: Any) -> list[Silo]:
    """Of b and d no row trains, as there is none or as none weighs anything; all but a and b are scored on many."""
    none = np.zeros(20)
    return [
        Silo("a", X[:40], y[:40], eval_set=[(X[:0], y[:0])], n_jobs=1),
        Silo("b", X[:0], y[:0], eval_set=[(X[:0], y[:0])], n_jobs=1),
        Silo("c", X[:1], y[:1], eval_set=[(X, y)], n_jobs=1),
        Silo("d", X[40:], y[40:], sample_weight=none, eval_set=[(X[40:], y[40:])], n_jobs=1),
    ]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_silos_without_rows_are_scored_and_answer_in_both_modes(name: str) -> None:
    estimator, y = ESTIMATORS[name]
    found = []
    for mode in ("fused", "faithful"):
        model = estimator.fit_federation(LocalFederation(silos_of(y), mode=mode, n_jobs=1))
        scores = {place: dict(own) for place, own in model.evals_result_.items()}
        found.append((scores, model.predict(X).tobytes(), model.ledger_.per_silo().to_dict()))
    assert found[0] == found[1]
    rows = [40, 0, 1, 0]
    without = [Silo(own.name, X[:n], y[:n], n_jobs=1) for own, n in zip(silos_of(y), rows, strict=True)]
    if "holds out" not in name:
        plain = estimator.fit_federation(LocalFederation(without, n_jobs=1))
        assert plain.predict(X).tobytes() == found[0][1]  # whom a model is scored on changes nothing of it


NOTHING = {"trees": FedGBTClassifier(2), "a network": FedAvgClassifier((2,), n_rounds=2)}


@pytest.mark.parametrize("name", NOTHING)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_evaluation_set_that_nobody_has_rows_of_is_refused_by_name(name: str, place: int) -> None:
    y = (COUNTS > 0.5).astype(int)
    sets = [(X[:0], y[:0]) if own == place else (X[:1], y[:1]) for own in range(3)]
    ids = [np.zeros(len(own[1])) for own in sets]
    silos = [Silo("a", X, y, eval_set=sets), Silo("b", X[:9], y[:9], eval_set=[(X[:0], y[:0])] * 3)]
    with pytest.raises(DataError, match=f"^validation_{place}: the evaluation set holds no row in any silo"):
        NOTHING[name].fit(X, y, silos=np.arange(60) % 2, eval_set=sets, eval_silos=ids)
    with pytest.raises(DataError, match=f"^validation_{place}: the evaluation set holds no row in any silo"):
        NOTHING[name].fit_federation(LocalFederation(silos))


def test_a_silo_without_rows_counts_none_whatever_the_others_weigh() -> None:
    """By definition: how many rows have weights, and weighted targets, of each power of two."""
    for n in (0, 1, 3):
        for weight in (None, np.full(n, 2.0**-5)):
            counts = LabelExponents(9, None).ask(Silo("a", np.zeros((n, 1)), np.full(n, 4.0), sample_weight=weight))
            own, product = counts.reshape(2, -1)
            light = 0 if weight is None else -5
            assert dict(enumerate(own)) == {k: n * (k == light - LOWEST_EXPONENT) for k in range(len(own))}
            assert dict(enumerate(product)) == {k: n * (k == light + 2 - LOWEST_EXPONENT) for k in range(len(own))}
    full = {"X": X[:40], "y": COUNTS[:40], "sample_weight": np.full(40, 2.0**-5)}
    empty = {"X": X[:0], "y": COUNTS[:0]}
    models = []
    for more in ({}, {"sample_weight": np.zeros(0)}):
        silos = [Silo("a", **full), Silo("b", **empty, **more)]
        models.append(FedGBTRegressor(2).fit_federation(LocalFederation(silos, n_jobs=1)).predict(X).tobytes())
    assert models[0] == models[1]
