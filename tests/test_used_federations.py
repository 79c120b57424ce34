"""A federation that has trained before trains as a fresh one, whatever it was used for: no setting is left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fedtrees import (
    DataError,
    FedAvgRegressor,
    FedForestRegressor,
    FedGBTClassifier,
    FedGBTRanker,
    FedGBTRegressor,
    LocalFederation,
    Silo,
)

RNG = np.random.default_rng(0)
N = 120
X = np.round(RNG.normal(size=(N, 3)), 1).astype(np.float32)
Y = np.digitize(X[:, 0] + 0.3 * RNG.normal(size=N), [-0.5, 0.5]).astype(np.float64)
WEIGHT = RNG.integers(1, 4, 12).astype(np.float32)  # whole: rows count so often
QUERY = np.arange(N) // 10
SILO = np.minimum(QUERY // 2, 2)  # of other sizes
SMALL: dict[str, Any] = {"n_estimators": 3, "max_depth": 3, "n_jobs": 1}
EARLIER = FedGBTRegressor(**SMALL).fit(X, Y)


def federation(mode: str) -> LocalFederation:
    names = np.array(["a", "b", "c"])[SILO]
    sets = [(X[:30], Y[:30], None, None, QUERY[:30])]
    return LocalFederation.from_table(
        X, Y, silos=names, sample_weight=WEIGHT, qid=QUERY, eval_set=sets, mode=mode, n_jobs=1
    )


def raw(model: Any) -> bytes:
    return bytes(model.booster_.save_raw("ubj"))


TRAININGS: dict[str, Callable[[LocalFederation], bytes]] = {
    "squares": lambda use: raw(FedGBTRegressor(**SMALL).fit_federation(use)),
    "silos alike": lambda use: raw(FedGBTRegressor(**SMALL, weighting="equal").fit_federation(use)),
    "quantiles": lambda use: raw(
        FedGBTRegressor(**SMALL, objective="reg:quantileerror", quantile_alpha=[0.2, 0.8]).fit_federation(use)
    ),
    "classes": lambda use: raw(FedGBTClassifier(**SMALL).fit_federation(use)),
    "a ranking": lambda use: raw(FedGBTRanker(**SMALL, lambdarank_unbiased=True).fit_federation(use)),
    "hazards": lambda use: raw(FedGBTRegressor(**SMALL, objective="survival:cox").fit_federation(use)),
    "goes on": lambda use: raw(FedGBTRegressor(**SMALL).fit_federation(use, xgb_model=EARLIER)),
    "held out": lambda use: raw(FedGBTRegressor(**SMALL, validation_fraction=0.3).fit_federation(use)),
    "branches": lambda use: raw(FedGBTRegressor(**SMALL, split_on_silo=True).fit_federation(use)),
    "few silos": lambda use: raw(FedGBTRegressor(**SMALL, sampling=1, random_state=5).fit_federation(use)),
    "joined": lambda use: raw(FedGBTRegressor(**SMALL, mode="bagging").fit_federation(use)),
    "a forest": lambda use: bytes(
        FedForestRegressor(2, max_depth=3, n_jobs=1).fit_federation(use).to_booster().save_raw("ubj")
    ),
    "a network": lambda use: (
        FedAvgRegressor(hidden_layer_sizes=(3,), n_rounds=2, random_state=0).fit_federation(use).predict(X).tobytes()
    ),
}


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_every_training_after_every_other_is_that_of_a_fresh_federation(mode: str) -> None:
    fresh = {name: train(federation(mode)) for name, train in TRAININGS.items()}
    same = [(a, b) for a in fresh for b in fresh if a < b and fresh[a] == fresh[b]]
    assert not same
    used, rng = federation(mode), np.random.default_rng(1)
    for name in [*TRAININGS, *rng.permutation(list(TRAININGS)), *rng.permutation(list(TRAININGS))]:
        assert TRAININGS[name](used) == fresh[name], name


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_bounds_of_times_are_forgotten(mode: str) -> None:
    """An infinite upper bound is fine for times, and for nothing that comes after them."""
    times = np.column_stack([np.exp(X[:, 0]), np.where(X[:, 1] > 0, np.inf, np.exp(X[:, 0]))])
    silos = [Silo("a", X[:60], times[:60]), Silo("b", X[60:], times[60:])]
    used = LocalFederation(silos, mode=mode)
    survival = FedGBTRegressor(**SMALL, objective="survival:aft")
    first = raw(survival.fit_federation(used))
    with pytest.raises(DataError, match="NaN, infinity or None"):
        FedGBTRegressor(**SMALL).fit_federation(used)
    assert raw(survival.fit_federation(used)) == first


def test_a_silo_that_forgets_is_as_new() -> None:
    """What `Silo.forget` leaves is what a new silo has."""
    silos = [Silo(name, X[k == SILO], Y[k == SILO], n_jobs=1) for k, name in enumerate("abc")]
    new = dict(vars(silos[0]))
    use = LocalFederation(silos, mode="faithful")
    for train in (
        FedGBTRegressor(**SMALL, validation_fraction=0.3, split_on_silo=True),
        FedGBTRegressor(**SMALL, weighting="equal", sampling=2),
        FedGBTRegressor(**SMALL, objective="reg:absoluteerror"),
    ):
        train.fit_federation(use)
        silos[0].forget()
        silos[0].ask_only(None)
        for name, value in vars(silos[0]).items():
            same = value is new[name] or (np.array_equal(value, new[name]) if isinstance(value, np.ndarray) else False)
            assert same or value == new[name], name
