"""Digests of what training gives, over all families and settings: the net beneath a move of code that changes nothing.

    python tests/golden.py > before.txt       # at one commit
    python tests/golden.py --against before.txt  # at another: prints what differs, exits with 1 if anything does

A line is a setting's name and, for each way of running it (fused, or faithful to every byte), the digests of its model,
predictions, ledger and history. Tables are small and made here; nothing is drawn that is not named by a seed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedtrees import (
    Availability,
    BySize,
    Ditto,
    FedAdaBoostClassifier,
    FedAdaBoostRegressor,
    FedAvgClassifier,
    FedAvgRegressor,
    FedExtraTreesClassifier,
    FedExtraTreesRegressor,
    FedForestClassifier,
    FedForestRegressor,
    FedGBTClassifier,
    FedGBTRanker,
    FedGBTRegressor,
    FedTreeClassifier,
    FedTreeRegressor,
    FineTuning,
    FixedNumber,
    LocalFederation,
    MoreTrees,
    OwnHead,
    OwnLeaves,
    Period,
    Poisson,
    Rounded,
    Silo,
    TopK,
    UnreliableFederation,
)

N_ROWS, N_SILOS = 240, 6
MODES = ("fused", "faithful")


# -- tables -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Data:
    """A table whose rows are spread over silos in turn, unevenly, with values and whole columns missing in places."""

    X: pd.DataFrame
    silos: NDArray[np.int64]
    weight: NDArray[np.float32]
    qid: NDArray[np.int64]
    targets: dict[str, NDArray[Any]]


def some_data() -> Data:
    """The one table of all settings; the first 180 rows are to train on."""
    rng = np.random.default_rng(2026)
    numbers = rng.normal(size=(N_ROWS, 4)).round(2).astype(np.float32)
    ward = rng.integers(0, 7, N_ROWS)
    signal = numbers[:, 0] - 0.5 * numbers[:, 1] * (ward % 2) + 0.3 * rng.normal(size=N_ROWS)
    silos = np.minimum(rng.geometric(0.35, N_ROWS) - 1, N_SILOS - 1)
    numbers[rng.random(numbers.shape) < 0.1] = np.nan
    numbers[silos == 2, 3] = np.nan  # one silo never measured it
    X = pd.DataFrame(numbers, columns=["age", "dose", "lab", "rare"])
    X["ward"] = pd.Categorical.from_codes(np.where(rng.random(N_ROWS) < 0.05, -1, ward), list("abcdefg"))
    positive = np.exp(signal) * rng.gamma(2.0, 0.5, N_ROWS)
    lower = np.exp(signal)
    classes = np.digitize(signal, [-0.7, 0.4])
    targets: dict[str, NDArray[Any]] = {
        "two": np.array(["no", "yes"])[(signal > 0).astype(int)],
        "three": classes,
        "number": signal,
        "positive": positive,
        "share": 1 / (1 + np.exp(-signal)),
        "count": rng.poisson(np.exp(0.5 * signal)).astype(np.float64),
        "time": np.where(rng.random(N_ROWS) < 0.3, -positive, positive),
        "lower": np.where(rng.random(N_ROWS) < 0.2, 0, lower),
        "upper": np.where(rng.random(N_ROWS) < 0.3, np.inf, 1.5 * lower),
        "grade": np.clip(np.round(signal + 2), 0, 4).astype(int),
        "labels": np.stack([signal > 0, ward > 3], axis=1).astype(int),
        "numbers": np.stack([signal, positive], axis=1),
    }
    weight = rng.choice([0.0, 0.5, 1.0, 3.0], N_ROWS, p=[0.05, 0.3, 0.5, 0.15]).astype(np.float32)
    return Data(X, silos.astype(np.int64), weight, np.sort(rng.integers(0, 30, N_ROWS)), targets)


DATA = some_data()
TRAIN, HELD_OUT = slice(0, 180), slice(180, None)
ROW_ID = np.arange(N_ROWS)


# -- settings ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """An estimator, the target that it learns, and what else goes into the federation."""

    estimator: Any
    target: str
    weights: bool = False
    evaluated: bool = False
    columns: Sequence[str] = ("age", "dose", "lab", "rare", "ward")
    federation: Callable[[LocalFederation], Any] = lambda federation: federation
    personal: Sequence[Any] = ()
    fit: dict[str, Any] = field(default_factory=dict)


def gbt(target: str, kind: Any = FedGBTRegressor, **params: Any) -> Any:
    """A small boosted ensemble."""
    params = {"n_estimators": 4, "max_depth": 3, "max_bin": 32, "n_jobs": 1, "random_state": 3} | params
    return kind(**params), target


def net(kind: Any = FedAvgClassifier, **params: Any) -> Any:
    """A small network."""
    usual = {"hidden_layer_sizes": (5,), "n_rounds": 4, "batch_size": 16, "n_jobs": 1, "random_state": 3}
    return kind(**{**usual, **params})


def unreliable(federation: LocalFederation) -> Any:
    """Silos that are lost now and then."""
    return UnreliableFederation(federation, 0.3, seed=1)


def boosting() -> Iterator[tuple[str, Setting]]:
    """Objectives, ways to grow, constraints, samples, metrics and modes of boosting."""
    of_numbers = {
        "number": "reg:squarederror reg:absoluteerror reg:pseudohubererror reg:quantileerror",
        "positive": "reg:gamma reg:tweedie reg:squaredlogerror",
        "share": "reg:logistic",
        "count": "count:poisson",
        "time": "survival:cox",
    }
    for target, names in of_numbers.items():
        for name in names.split():
            more = {"quantile_alpha": [0.2, 0.7]} if "quantile" in name else {}
            yield name, Setting(*gbt(target, objective=name, **more), weights=True, evaluated=True)
    yield (
        "survival:aft",
        Setting(*gbt("bounds", objective="survival:aft", aft_loss_distribution="logistic"), evaluated=True),
    )
    for name in ["binary:logistic", "binary:logitraw", "binary:hinge"]:
        yield name, Setting(*gbt("two", FedGBTClassifier, objective=name), weights=True, evaluated=True)
    for name in ["multi:softprob", "multi:softmax"]:
        yield name, Setting(*gbt("three", FedGBTClassifier, objective=name), weights=True, evaluated=True)
    for name in ["rank:ndcg", "rank:pairwise", "rank:map"]:
        target = "grade" if name != "rank:map" else "relevant"
        yield name, Setting(*gbt(target, FedGBTRanker, objective=name), evaluated=True)
    yield "unbiased ranking", Setting(*gbt("grade", FedGBTRanker, lambdarank_unbiased=True))
    yield "several labels", Setting(*gbt("labels", FedGBTClassifier))
    yield "several numbers", Setting(*gbt("numbers"), weights=True)

    two: dict[str, dict[str, Any]] = {
        "defaults": {},
        "leaf-wise": {"grow_policy": "lossguide", "max_leaves": 7, "max_depth": 0},
        "constraints": {"monotone_constraints": {"age": 1}, "interaction_constraints": [["age", "dose"], ["lab"]]},
        "penalties": {"reg_alpha": 0.5, "gamma": 0.1, "min_child_weight": 3.0, "max_delta_step": 0.7},
        "columns drawn": {"colsample_bytree": 0.8, "colsample_bylevel": 0.7, "colsample_bynode": 0.7},
        "columns drawn by weight": {"colsample_bynode": 0.5, "feature_weights": [1, 2, 3, 4, 5]},
        "rows drawn": {"subsample": 0.6},
        "trees in parallel": {"num_parallel_tree": 3, "subsample": 0.7},
        "one-hot categories": {"max_cat_to_onehot": 50},
        "sets of categories": {"max_cat_to_onehot": 1, "max_cat_threshold": 3},
        "full bins": {"min_bin_rows": 12},
        "heavy positives": {"scale_pos_weight": 5.0},
        "drawn fraction": {"sampling": 0.5},
        "drawn number": {"sampling": FixedNumber(3)},
        "drawn singly": {"sampling": Poisson(0.6)},
        "drawn by size": {"sampling": BySize(np.arange(1.0, N_SILOS + 1), 0.5)},
        "present at times": {"sampling": Availability(Period(3, 2))},
        "equal silos": {"weighting": "equal"},
        "weighed silos": {"weighting": {"silo 0": 2.0, "silo 1": 0.5} | {f"silo {k}": 1.0 for k in range(2, N_SILOS)}},
        "bagging": {"mode": "bagging"},
        "cyclic": {"mode": "cyclic"},
        "splits on silos": {"split_on_silo": True},
        "held out rows": {"validation_fraction": 0.3, "early_stopping_rounds": 2},
        "areas": {"eval_metric": ["auc", "aucpr", "error@0.3", "logloss"]},
        "base score": {"base_score": 0.3},
    }
    for name, params in two.items():
        evaluated = name not in ("held out rows", "bagging", "cyclic")
        columns = ("age", "dose", "lab", "rare") if name in ("bagging", "cyclic") else tuple(DATA.X)
        booster = gbt("two", FedGBTClassifier, **params)
        yield name, Setting(*booster, weights=True, evaluated=evaluated, columns=columns)
    own = [MoreTrees(2), OwnLeaves()]
    yield "own trees", Setting(*gbt("two", FedGBTClassifier), columns=("age", "dose", "lab", "rare"), personal=own)


def by_impurity() -> Iterator[tuple[str, Setting]]:
    """Trees, forests and AdaBoost."""
    few = {"max_bin": 32, "n_jobs": 1, "random_state": 3}
    numbers = ("age", "dose", "lab", "rare")
    for criterion in ("gini", "entropy"):
        tree = FedTreeClassifier(criterion=criterion, **few)
        yield f"tree by {criterion}", Setting(tree, "three", weights=True, columns=numbers)
    for criterion, target in (("squared_error", "number"), ("poisson", "count"), ("squared_error", "numbers")):
        tree = FedTreeRegressor(criterion=criterion, max_depth=5, **few)
        yield f"tree by {criterion}, {target}", Setting(tree, target, weights=True, columns=numbers)
    limits: dict[str, dict[str, Any]] = {
        "best first": {"max_leaf_nodes": 9},
        "pruned": {"ccp_alpha": 0.01},
        "small leaves refused": {"min_samples_leaf": 0.05, "min_samples_split": 9, "min_impurity_decrease": 0.002},
        "monotone": {"monotonic_cst": [1, 0, 0, -1]},
        "balanced": {"class_weight": "balanced"},
        "features drawn": {"max_features": 2, "max_depth": None},
        "full bins": {"min_bin_rows": 12},
        "drawn fraction": {"sampling": 0.5},
        "equal silos": {"weighting": "equal"},
    }
    for name, params in limits.items():
        yield f"tree, {name}", Setting(FedTreeClassifier(**{**few, **params}), "two", weights=True, columns=numbers)
    for kind, regressor in (
        (FedForestClassifier, FedForestRegressor),
        (FedExtraTreesClassifier, FedExtraTreesRegressor),
    ):
        name = "forest" if kind is FedForestClassifier else "extra trees"
        drawn = {"bootstrap": True, "oob_score": True, "n_estimators": 5, "max_depth": 6}
        yield f"{name} of classes", Setting(kind(**drawn, **few), "three", weights=True, columns=numbers)
        yield f"{name} of numbers", Setting(regressor(**drawn, **few), "number", weights=True, columns=numbers)
        balanced = kind(**drawn, class_weight="balanced_subsample", max_samples=0.5, **few)
        yield f"{name}, balanced", Setting(balanced, "two", columns=numbers)
    for loss in ("linear", "square", "exponential"):
        boosted = FedAdaBoostRegressor(4, loss=loss, **few)
        yield f"adaboost, {loss}", Setting(boosted, "number", weights=True, columns=numbers)
    for target in ("two", "three"):
        yield f"adaboost, {target}", Setting(FedAdaBoostClassifier(4, max_depth=2, **few), target, columns=numbers)


def networks() -> Iterator[tuple[str, Setting]]:
    """Methods, servers, compressions, schedules and personal copies of networks."""
    given: dict[str, dict[str, Any]] = {f"method {name}": {"method": name} for name in
             ("fedavg", "fedprox", "scaffold", "fednova", "qfedavg", "fedper")}  # fmt: skip
    given |= {f"server {name}": {"server": name} for name in ("fedavgm", "fedadagrad", "fedadam", "fedyogi")}
    given |= {f"schedule {name}": {"schedule": name} for name in ("exponential", "inverse", "cosine")}
    given |= {
        "rounded": {"compression": Rounded(8)},
        "largest": {"compression": TopK(0.2, 12)},
        "gradients": {"upload": "gradients", "batch_size": None},
        "whole batches": {"batch_size": None, "local_epochs": 3},
        "stragglers": {"stragglers": 0.5, "local_epochs": 2},
        "drawn fraction": {"sampling": 0.5},
        "balanced": {"class_weight": "balanced"},
        "held out rows": {"validation_fraction": 0.3, "patience": 2},
        "activation": {"activation": "tanh", "alpha": 0.01, "hidden_layer_sizes": (4, 3)},
    }
    numbers = ("age", "dose", "lab")
    for name, params in given.items():
        evaluated = name not in ("held out rows", "method fedper")
        own = [OwnHead(epochs=2)] if name == "method fedper" else []
        network = net(**params)
        yield f"network, {name}", Setting(network, "three", evaluated=evaluated, columns=numbers, personal=own)
    for loss, target in (("squared_error", "number"), ("poisson", "count")):
        network = net(FedAvgRegressor, loss=loss)
        yield f"network, {loss}", Setting(network, target, weights=True, evaluated=True, columns=numbers)
    lost = Setting(net(), "two", columns=numbers, federation=unreliable)
    yield "network, silos that vanish", lost
    copies = [FineTuning(2), Ditto(epochs=2), OwnHead(epochs=2)]
    yield "network, personal copies", Setting(net(), "two", columns=numbers, personal=copies)


def settings() -> dict[str, Setting]:
    """All of them by name."""
    return dict([*boosting(), *by_impurity(), *networks()])


# -- running them -----------------------------------------------------------------------------------------


def target_of(name: str, rows: Any) -> Any:
    """The target of some rows, as `Silo` takes it."""
    targets = DATA.targets
    if name == "bounds":
        return np.stack([targets["lower"][rows], targets["upper"][rows]], axis=1)
    if name == "relevant":
        return (targets["grade"][rows] > 2).astype(int)
    return targets[name][rows]


def table_of(setting: Setting, rows: Any) -> Any:
    """The columns of some rows; networks have no word for what is missing."""
    X = DATA.X.loc[:, list(setting.columns)].iloc[rows]
    return X.fillna(0.5) if isinstance(setting.estimator, FedAvgClassifier | FedAvgRegressor) else X


def silo_of(setting: Setting, k: int) -> Silo:
    """A silo's rows, and its part of the held out ones."""
    ranks = isinstance(setting.estimator, FedGBTRanker)
    whose = DATA.qid % N_SILOS if ranks else DATA.silos
    train, held_out = (np.flatnonzero((whose == k) & part(ROW_ID)) for part in (lambda i: i < 180, lambda i: i >= 180))
    more: dict[str, Any] = {"sample_weight": DATA.weight[train]} if setting.weights else {}
    more |= {"qid": DATA.qid[train]} if ranks else {}
    if setting.evaluated:
        scored = (table_of(setting, held_out), target_of(setting.target, held_out))
        weight = DATA.weight[held_out] if setting.weights else None
        more["eval_set"] = [(*scored, weight, None, DATA.qid[held_out]) if ranks else (*scored, weight)]
    X, y = table_of(setting, train), target_of(setting.target, train)
    return Silo(f"silo {k}", X, y, row_id=ROW_ID[train], n_jobs=1, **more)


def digest(*parts: Any) -> str:
    """Ten hexadecimal digits of what is given: bytes, arrays, or text."""
    hashed = hashlib.sha256()
    for part in parts:
        hashed.update(part if isinstance(part, bytes) else as_text(part).encode())
    return hashed.hexdigest()[:10]


def as_text(value: Any) -> str:
    """Every bit of a value."""
    match value:
        case np.ndarray():
            return f"{value.dtype}{value.shape}{value.tolist()!r}"
        case dict():
            return repr([(key, as_text(own)) for key, own in value.items()])
        case list() | tuple():
            return repr([as_text(own) for own in value])
        case _:
            return repr(value)


def model_of(model: Any) -> Any:
    """What a trained model is made of, in the words of the library that it belongs to."""
    if hasattr(model, "booster_"):
        return bytes(model.booster_.save_raw("json"))
    if hasattr(model, "coefs_"):
        return [*model.coefs_, *model.intercepts_]
    trees = [getattr(model.model_, "estimators_", None) or [model.model_]]
    states = [tree.tree_.__getstate__() for tree in np.ravel(trees).tolist()]
    votes = getattr(model.model_, "estimator_weights_", None)
    return [part for state in states for part in (state["nodes"].tobytes(), state["values"])] + [votes]


def history_of(model: Any) -> Any:
    """Scores by round, and the rest of what a training notes."""
    names = ("evals_result_", "evals_uncertainty_", "best_iteration_", "history_", "oob_score_", "n_iter_")
    return {name: getattr(model, name) for name in names if hasattr(model, name)}


def outcome(setting: Setting, mode: str) -> dict[str, str]:
    """Train once; digests by what they are of."""
    federation = LocalFederation([silo_of(setting, k) for k in range(N_SILOS)], mode=mode, n_jobs=1)
    model = setting.estimator.__class__(**setting.estimator.get_params())
    model.fit_federation(setting.federation(federation), **setting.fit)
    X = table_of(setting, HELD_OUT)
    given = {"silos": [f"silo {k}" for k in DATA.silos[HELD_OUT]]} if getattr(model, "split_on_silo", False) else {}
    whole = getattr(model, "method", None) != "fedper"  # which leaves the last layer to the silos
    predicted = [model.predict(X, **given)] if whole else []
    if whole and hasattr(model, "predict_proba"):
        predicted.append(model.predict_proba(X, **given))
    predicted += [model.personalize(silo_of(setting, 1), how).predict(X) for how in setting.personal]
    ledger = model.ledger_
    return {
        "model": digest(model_of(model)),
        "predictions": digest(predicted),
        "ledger": digest(ledger.to_json()),
        "history": digest(history_of(model)),
    }


def lines(names: Sequence[str]) -> Iterator[tuple[str, dict[str, dict[str, str]]]]:
    """Each setting's digests by mode."""
    everything = settings()
    for name in names or everything:
        yield name, {mode: outcome(everything[name], mode) for mode in MODES}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the digests, or what of them differs from those of a file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("settings", nargs="*", help="names of settings; all without")
    parser.add_argument("--against", type=Path, help="a file that this program printed, to compare with")
    asked = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    before = {}
    if asked.against:
        before = dict(json.loads(line) for line in asked.against.read_text().splitlines())
    different = 0
    for name, digests in lines(asked.settings):
        if not asked.against:
            print(json.dumps([name, digests]), flush=True)
            continue
        old = before.get(name, {})
        changed = [f"{mode}: {what}" for mode in MODES for what, own in digests[mode].items()
                   if old.get(mode, {}).get(what) != own]  # fmt: skip
        different += bool(changed)
        if changed:
            print(f"{name}: {', '.join(changed)}", flush=True)
    if asked.against:
        print(f"{different} of {len(before)} settings differ")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
