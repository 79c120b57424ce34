"""Silos with hardly a row to train on, and any number to score: what they answer with finds room, and is counted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from strategies import JIT

from fedtrees import FedAvgClassifier, FedAvgRegressor, FedGBTClassifier, FedGBTRanker, FedGBTRegressor, Silo
from fedtrees import LocalFederation as Federation
from fedtrees.export.objectives import OBJECTIVES
from fedtrees.queries.metrics import METRICS, metric_named

SEVERAL = {"reg:quantileerror": {"quantile_alpha": [0.1, 0.4, 0.5, 0.8, 0.9]}}


def targets(kind: str, signal: NDArray[np.float64]) -> Any:
    """Targets of one kind, spread over many powers of two where they may be."""
    rng = np.random.default_rng(5)
    wild = np.exp(4 * signal)
    columns = np.stack([signal * 8.0**k for k in range(5)], axis=1)
    match kind:
        case "classes":
            return np.digitize(signal, [-0.8, 0.0, 0.8])
        case "two":
            return (signal > 0).astype(int)
        case "labels":
            return (columns[:, :3] * [1, -1, 1] > 0).astype(int)
        case "columns":
            return columns
        case "bounds":
            return np.stack([wild, np.where(rng.random(len(signal)) < 0.3, np.inf, 2 * wild)], axis=1)
        case "times":
            return np.where(rng.random(len(signal)) < 0.3, -wild, wild)
        case "shares":
            return 1 / (1 + wild)
        case "counts":
            return np.floor(wild)
        case _:
            return wild


def silos_of(kind: str, ranks: bool) -> list[Silo]:
    """Silos of 60, 0, 1, 1, 2 and 3 rows, with evaluation sets of 0, 30, 1, 40, 9 and 2."""
    rng = np.random.default_rng(3)
    rows, scored = [60, 0, 1, 1, 2, 3], [0, 30, 1, 40, 9, 2]
    n = sum(rows) + sum(scored)
    X = rng.normal(size=(n, 2)).astype(np.float32)
    y, weight = targets(kind, X[:, 0]), np.exp2(rng.uniform(-9, 9, n)).astype(np.float32)
    parts = np.split(np.arange(n), np.cumsum([*rows, *scored])[:-1])
    silos = []
    for k in range(6):
        own, held_out = parts[k], parts[k + 6]
        more: dict[str, Any] = {"qid": np.arange(len(own)) // 4} if ranks else {"sample_weight": weight[own]}
        third = (None, None, np.arange(len(held_out)) // 4) if ranks else (weight[held_out],)
        silos.append(Silo(f"{k}", X[own], y[own], eval_set=[(X[held_out], y[held_out], *third)], n_jobs=1, **more))
    return silos


def kind_of(objective: str) -> str:
    kinds = {"binary": "two", "multi": "classes", "rank": "classes", "count": "counts"}
    exact = {"survival:aft": "bounds", "survival:cox": "times", "reg:logistic": "shares", "rank:map": "two"}
    return exact.get(objective) or kinds.get(objective.split(":")[0], "numbers")


CASES: dict[str, tuple[Any, str]] = {
    **{objective: (lambda objective=objective: estimator(objective), kind_of(objective)) for objective in OBJECTIVES},
    "several numbers": (lambda: FedGBTRegressor(2, eval_metric=["rmse", "mae", "mape"]), "columns"),
    "several labels": (lambda: FedGBTClassifier(2, eval_metric=["logloss", "error"]), "labels"),
    "bagging": (lambda: FedGBTRegressor(2, mode="bagging", eval_metric=["rmse", "mae"]), "columns"),
    "network of numbers": (lambda: FedAvgRegressor((3,), n_rounds=2, eval_metric=["rmse", "mae"]), "columns"),
    "network of classes": (lambda: FedAvgClassifier((3,), n_rounds=2, eval_metric=["mlogloss", "auc"]), "classes"),
    "network of two": (lambda: FedAvgClassifier((3,), n_rounds=2, eval_metric=["logloss", "aucpr"]), "two"),
}


def estimator(objective: str) -> Any:
    """An estimator of this objective, with all metrics that fit it."""
    ranks = objective.startswith("rank:")
    names = [*METRICS, *(["ndcg", "map@3", "pre@2"] if ranks else [])]
    fit = [name for name in names if metric_named(name, objective).fits(objective)]
    if objective in ("rank:ndcg", "rank:pairwise"):
        fit.remove("aucpr")  # whose relevances are 0 and 1
    if objective == "reg:quantileerror":
        fit = ["quantile"]
    kind = FedGBTRanker if ranks else FedGBTClassifier if objective.startswith(("binary", "multi")) else FedGBTRegressor
    return kind(2, max_depth=2, objective=objective, eval_metric=fit, n_jobs=1, **SEVERAL.get(objective, {}))


@pytest.mark.parametrize("case", CASES if JIT else ["reg:quantileerror", "several numbers", "multi:softprob"])
def test_silos_of_few_rows_are_scored_and_counted_as_all_are(case: str) -> None:
    make, kind = CASES[case]
    found = []
    for mode in ("fused", "faithful"):
        model = make()
        model.fit_federation(Federation(silos_of(kind, isinstance(model, FedGBTRanker)), mode=mode, n_jobs=1))
        found.append((repr(model.evals_result_), model.ledger_.to_json()))
    assert found[0] == found[1]
