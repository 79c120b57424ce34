"""A federation that is used again, by another estimator or with other settings, gives the bytes that a fresh one does.

Silos remember one run at a time: what they learnt of it (weights, rows held out, agreed categories, absent entries,
an earlier model, gradients, positions, networks) must not reach the next. So every family follows every other.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone

from fedtrees import (
    DataError,
    FedAdaBoostClassifier,
    FedAdaBoostRegressor,
    FedAvgClassifier,
    FedAvgRegressor,
    FedExtraTreesClassifier,
    FedForestClassifier,
    FedForestRegressor,
    FedGBTClassifier,
    FedGBTRanker,
    FedGBTRegressor,
    FedTreeClassifier,
    FedTreeRegressor,
    LocalFederation,
    Silo,
)

RNG = np.random.default_rng(0)
ROWS = np.round(RNG.normal(size=(60, 3)), 1).astype(np.float32)
Y = (np.digitize(ROWS[:, 0], [-0.5, 0.5]) + (RNG.random(60) < 0.1)) % 3  # labels, and numbers
WHOSE = np.minimum(np.arange(60) % 4, 2)  # of other sizes
HEAVY = {"0": 1.0, "1": 2.0, "2": 3.0}

TREES: dict[str, Any] = {
    "gbt": FedGBTClassifier(2, max_depth=2),
    "gbt of numbers": FedGBTRegressor(2, max_depth=2),
    "gbt of heavy silos": FedGBTRegressor(2, max_depth=2, weighting=HEAVY),
    "gbt of equal silos": FedGBTClassifier(2, max_depth=2, weighting="equal"),
    "gbt of few bins and rows": FedGBTRegressor(2, max_depth=2, max_bin=4, subsample=0.5, min_bin_rows=5),
    "gbt that holds out": FedGBTRegressor(2, max_depth=2, validation_fraction=0.3, objective="reg:absoluteerror"),
    "gbt of counts": FedGBTRegressor(2, max_depth=2, objective="count:poisson", sampling=2),
    "gbt that bags": FedGBTRegressor(2, max_depth=2, mode="bagging"),
    "gbt that goes on": FedGBTRegressor(2, max_depth=2, random_state=3),
    "tree": FedTreeClassifier(max_depth=3),
    "tree of heavy silos": FedTreeRegressor(max_depth=3, weighting=HEAVY),
    "forest": FedForestClassifier(2, max_depth=3, oob_score=True),
    "forest of numbers": FedForestRegressor(2, max_depth=3, max_features=1, max_samples=1.5),
    "extra trees": FedExtraTreesClassifier(2, max_depth=3, weighting=HEAVY, min_bin_rows=4),
    "adaboost": FedAdaBoostClassifier(2),
    "adaboost of numbers": FedAdaBoostRegressor(2, weighting=HEAVY),
}
NETWORKS: dict[str, Any] = {
    "network": FedAvgClassifier((3,), n_rounds=2, batch_size=8),
    "network of heavy silos": FedAvgRegressor((3,), n_rounds=2, batch_size=8, weighting=HEAVY, method="scaffold"),
    "network that holds out": FedAvgClassifier((3,), n_rounds=2, batch_size=8, validation_fraction=0.3),
}
OF_RANKINGS: dict[str, Any] = {
    "ranking": FedGBTRanker(2, max_depth=2, lambdarank_unbiased=True),
    "quantiles": FedGBTRegressor(2, max_depth=2, objective="reg:quantileerror", quantile_alpha=[0.2, 0.8]),
    "hazards": FedGBTRegressor(2, max_depth=2, objective="survival:cox"),
    "branches": FedGBTRegressor(2, max_depth=2, split_on_silo=True),
    "few silos": FedGBTRegressor(2, max_depth=2, sampling=1, random_state=5),
    "forest of numbers": FedForestRegressor(2, max_depth=3),
    "network": FedAvgRegressor((3,), n_rounds=2, batch_size=8),
    "gbt that bags": TREES["gbt that bags"],
    "gbt that goes on": TREES["gbt that goes on"],
}
FEW = ("gbt", "gbt of equal silos", "gbt that holds out", "gbt that goes on", "tree of heavy silos", "forest",
       "adaboost of numbers", "network")  # fmt: skip
EARLIER = FedGBTRegressor(2, max_depth=2).fit(ROWS, Y)


def model_of(estimator: Any, federation: LocalFederation, goes_on: bool) -> bytes:
    """All that is learnt."""
    model = clone(estimator)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Some inputs do not have OOB scores")
        model.fit_federation(federation, **({"xgb_model": EARLIER.booster_} if goes_on else {}))
    more = repr([getattr(model, name, None) for name in ("oob_score_", "evals_result_", "loss_curve_")]).encode()
    if hasattr(model, "booster_"):
        return bytes(model.booster_.save_raw("json")) + more
    if hasattr(model, "params_"):
        return bytes(np.asarray(model.params_).tobytes()) + more
    trees = getattr(model.model_, "estimators_", None) or [model.model_]
    states = [tree.tree_.__getstate__() for tree in trees]
    votes = np.array(getattr(model.model_, "estimator_weights_", [])).tobytes()
    return b"".join(own["nodes"].tobytes() + own["values"].tobytes() for own in states) + votes + more


def each_after_each(names: list[str]) -> Iterator[str]:
    """A walk on which every name follows every other, and itself: Hierholzer's (1873)."""
    ahead = {name: list(names) for name in names}
    stack, walk = [names[0]], list[str]()
    while stack:
        if ahead[stack[-1]]:
            stack.append(ahead[stack[-1]].pop())
        else:
            walk.append(stack.pop())
    return reversed(walk)


def dense(which: Any) -> Any:
    return ROWS[which]


def sparse(which: Any) -> Any:
    return csr_array(np.where(ROWS > 0, ROWS, 0)[which])


def frame(which: Any) -> Any:
    """A column of categories, of which silos hold different ones, and values that are missing."""
    kinds = pd.Categorical.from_codes(np.digitize(ROWS[:, 1], [-1, 0, 1]), ["a", "b", "c", "d"])
    table = pd.DataFrame({"kind": kinds, "x": np.where(ROWS[:, 0] > 1, np.nan, ROWS[:, 0]), "z": ROWS[:, 2]})
    return table[which].assign(kind=table["kind"][which].cat.remove_unused_categories())


def rankings(mode: str) -> LocalFederation:
    """Silos of whole queries, whose rows count as often as their query weighs; with a set to score."""
    weight, queries = np.arange(12) % 3 + 1.0, np.arange(60) // 5
    held_out = [(ROWS[:15], Y[:15], None, None, queries[:15])]
    return LocalFederation.from_table(
        ROWS, Y, silos=np.minimum(queries // 2, 2), sample_weight=weight, qid=queries, eval_set=held_out, mode=mode,
        n_jobs=1,
    )  # fmt: skip


def silos_of(read: Callable[[Any], Any], weighs: bool) -> list[Silo]:
    weight = np.arange(60) % 4 + 1.0 if weighs else np.ones(60)
    return [
        Silo(str(k), read(k == WHOSE), Y[k == WHOSE], sample_weight=weight[k == WHOSE] if weighs else None, n_jobs=1)
        for k in range(3)
    ]


@pytest.mark.slow_without_jit
@pytest.mark.parametrize(
    ("read", "mode"),
    [(dense, "fused"), (sparse, "fused"), (frame, "fused"), (dense, "faithful")],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_every_family_after_every_other_is_as_after_none(read: Callable[[Any], Any], mode: str) -> None:
    known = TREES | NETWORKS if read is dense else TREES
    if read is not dense:
        known = {name: own for name, own in known.items() if name not in ("gbt that goes on", "gbt that bags")}
    if mode == "faithful":  # which takes its time
        known = {name: known[name] for name in FEW}
    check_each_after_each(known, lambda: LocalFederation(silos_of(read, weighs=False), mode=mode, n_jobs=1))


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_every_objective_after_every_other_is_as_after_none(mode: str) -> None:
    check_each_after_each(OF_RANKINGS, lambda: rankings(mode))


def check_each_after_each(known: dict[str, Any], new: Callable[[], LocalFederation]) -> None:
    """Train each estimator after each other in one federation, and compare with a new federation's model."""
    goes_on = "gbt that goes on"
    fresh = {name: model_of(estimator, new(), name == goes_on) for name, estimator in known.items()}
    assert len(set(fresh.values())) == len(fresh)  # each would show
    again, before = new(), "none"
    for name in each_after_each(list(known)):
        assert model_of(known[name], again, name == goes_on) == fresh[name], f"{name} after {before}"
        before = name


def test_silos_that_other_federations_had_before_are_as_new() -> None:
    """The same Silo objects, of all that went before: another federation, other neighbours, other sample weights."""
    for weighs in (False, True):
        silos = silos_of(dense, weighs)
        for name, estimator in (TREES | NETWORKS).items():
            goes_on = name == "gbt that goes on"
            fresh = model_of(estimator, LocalFederation(silos_of(dense, weighs), n_jobs=1), goes_on)
            model_of(FedTreeRegressor(max_depth=2), LocalFederation(silos[:2], mode="faithful", n_jobs=1), False)
            assert model_of(estimator, LocalFederation(silos, mode="faithful", n_jobs=1), goes_on) == fresh, name
            assert model_of(estimator, LocalFederation(silos, n_jobs=1), goes_on) == fresh, name


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_bounds_of_times_are_forgotten(mode: str) -> None:
    """An infinite upper bound is fine for times, and for nothing that comes after them."""
    times = np.column_stack([np.exp(ROWS[:, 0]), np.where(ROWS[:, 1] > 0, np.inf, np.exp(ROWS[:, 0]))])
    used = LocalFederation([Silo("a", ROWS[:30], times[:30]), Silo("b", ROWS[30:], times[30:])], mode=mode)
    survival = FedGBTRegressor(2, max_depth=2, objective="survival:aft")
    first = model_of(survival, used, False)
    with pytest.raises(DataError, match="NaN, infinity or None"):
        FedGBTRegressor(2).fit_federation(used)
    assert model_of(survival, used, False) == first


def test_a_silo_that_forgets_is_as_new() -> None:
    silos = silos_of(dense, weighs=False)
    new = dict(vars(silos[0]))
    federation = LocalFederation(silos, mode="faithful")
    for estimator in (
        FedGBTRegressor(2, validation_fraction=0.3, split_on_silo=True),
        FedGBTRegressor(2, weighting="equal", sampling=2),
        FedGBTRegressor(2, objective="reg:absoluteerror"),
        TREES["gbt that goes on"],
    ):
        model_of(estimator, federation, estimator is TREES["gbt that goes on"])
        silos[0].forget()
        silos[0].ask_only(None)
        for name, value in vars(silos[0]).items():
            same = value is new[name] or (np.array_equal(value, new[name]) if isinstance(value, np.ndarray) else False)
            assert same or value == new[name] or (name == "states" and not vars(value)["_by_kind"]), name
