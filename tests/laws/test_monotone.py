"""Monotone constraints hold for every objective, mode and way to grow: along a constrained column nothing falls."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import CLASSES, Watched, bring_up_to_date, examples, numbers_for

from fedtrees import FedGBTClassifier, FedGBTRanker, FedGBTRegressor, LocalFederation, MoreTrees, OwnLeaves, Silo
from fedtrees.export.ordered import in_order as booster_in_order
from fedtrees.trees.server.monotone import in_order
from fedtrees.trees.silo.state import TreeState

ROWS, SILOS = 400, 3
SURVIVAL = ["survival:aft", "survival:cox"]
RANKINGS = ["rank:map", "rank:ndcg", "rank:pairwise"]
OBJECTIVES = [*CLASSES, *SURVIVAL, *RANKINGS]
WAYS: list[dict[str, Any]] = [
    {},
    {"grow_policy": "lossguide", "max_leaves": 9, "max_depth": 0},
    {"num_parallel_tree": 3, "colsample_bynode": 0.5},
    {"interaction_constraints": [[0, 1], [1, 2]]},
    {"max_delta_step": 0.2},
    {"reg_alpha": 0.5, "gamma": 0.01, "min_child_weight": 3},
    {"reg_lambda": 0, "min_child_weight": 0, "max_bin": 5},
]


def problem(objective: str, seed: int = 0) -> tuple[pd.DataFrame, NDArray[Any], dict[str, Any]]:
    """Waves along both constrained columns, missing values, a column of categories; y, and what else fit takes."""
    rng = np.random.default_rng(seed)
    X = np.round(rng.normal(size=(ROWS, 3)), 1)
    signal = 0.5 + 0.2 * np.sin(2 * X[:, 0]) + 0.2 * np.cos(2 * X[:, 1]) + 0.05 * X[:, 2] + 0.05 * rng.normal(size=ROWS)
    X[rng.random(X.shape) < 0.1] = np.nan
    frame = pd.DataFrame(X, columns=["up", "down", "free"])
    frame["kind"] = pd.Categorical(rng.choice(list("abcdef"), ROWS))
    if objective in RANKINGS:
        relevance = np.digitize(signal, [0.5] if objective == "rank:map" else [0.3, 0.5, 0.7])
        return frame, relevance, {"qid": np.arange(ROWS) // 10}
    if objective == "survival:aft":
        lower = np.exp(signal)
        return frame, np.column_stack([lower, np.where(rng.random(ROWS) < 0.3, np.inf, lower)]), {}
    if objective == "survival:cox":
        return frame, np.exp(signal) * rng.choice([-1, 1, 1], ROWS), {}
    classes = CLASSES.get(objective, 0)
    if classes:
        return frame, np.digitize(signal, np.linspace(0.3, 0.7, classes - 1) if classes > 2 else [0.5]), {}
    if objective in ("reg:logistic", "count:poisson", "reg:gamma", "reg:tweedie", "reg:squaredlogerror"):
        return frame, numbers_for(objective, np.random.default_rng(1), signal), {}
    return frame, 4 * (signal - 0.5), {}


def estimator(objective: Any, **params: Any) -> Any:
    name = "reg:squarederror" if callable(objective) else objective
    kind = FedGBTRanker if name in RANKINGS else FedGBTClassifier if CLASSES.get(name) else FedGBTRegressor
    constraints = {"up": 1, "down": -1}
    usual = {
        "n_estimators": 8,
        "max_depth": 4,
        "monotone_constraints": constraints,
        "n_jobs": 1,
        "objective": objective,
    }
    return kind(**usual | params)


def falls(booster: xgboost.Booster, frame: pd.DataFrame, names: tuple[str, str] = ("up", "down")) -> float:
    """By how much margins fall along a fine grid at the most, where they are to rise; beyond the data's ends, too."""
    grid = np.concatenate([[-1e30], np.linspace(-4, 4, 161), [1e30]])
    codes = frame.assign(kind=frame["kind"].cat.codes) if "kind" in frame else frame
    rows = codes.to_numpy(np.float32)[np.linspace(0, len(frame) - 1, 12).astype(int)]
    worst = 0.0
    for name, sign in zip(names, (1, -1), strict=True):
        tiled = np.repeat(rows, len(grid), axis=0)
        tiled[:, list(frame).index(name)] = np.tile(grid, len(rows))
        margin = booster.inplace_predict(tiled, predict_type="margin", validate_features=False)
        steps = sign * np.diff(margin.reshape(len(rows), len(grid), -1), axis=1)
        worst = max(worst, float(-steps.min()))
    return worst


# law: in_order
@pytest.mark.slow_without_jit
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_nothing_falls_whatever_the_objective_and_the_way_to_grow(objective: str) -> None:
    frame, y, more = problem(objective)
    for way in WAYS:
        if "max_delta_step" in way and objective != "count:poisson":
            way = way | ({"max_delta_step": 1e-3} if objective in SURVIVAL else {})
        model = estimator(objective, enable_categorical=True, **way)
        with_silos = (np.arange(ROWS) // 10 if "qid" in more else np.arange(ROWS)) % SILOS
        assert falls(model.fit(frame, y, silos=with_silos, **more).booster_, frame) == 0, way
    wild = estimator(objective, enable_categorical=True, monotone_constraints=None).fit(frame, y, **more)
    assert falls(wild.booster_, frame) > 0  # the waves are there to be followed


@pytest.mark.slow_without_jit
@examples(15)
@given(
    objective=st.sampled_from(["reg:absoluteerror", "reg:quantileerror"]),
    seed=st.integers(0, 10_000),
    way=st.sampled_from(WAYS),
    depth=st.integers(1, 6),
    weighted=st.booleans(),
    several=st.booleans(),
    mode=st.sampled_from(["fused", "faithful"]),
)
def test_leaves_that_are_quantiles_keep_to_it_and_to_the_margins_of_training(
    objective: str, seed: int, way: dict[str, Any], depth: int, weighted: bool, several: bool, mode: str
) -> None:
    frame, y, _ = problem(objective, seed)
    del frame["kind"]
    alpha = {"quantile_alpha": [0.1, 0.5, 0.9] if several else 0.3} if objective == "reg:quantileerror" else {}
    weight = np.random.default_rng(seed).uniform(0.1, 9, ROWS).astype(np.float32) if weighted else None
    model = estimator(objective, **{"n_estimators": 3, "max_depth": depth} | alpha | way)
    federation = Watched(
        LocalFederation.from_table(frame, y, silos=np.arange(ROWS) % SILOS, sample_weight=weight, mode=mode)
    )
    booster = model.fit_federation(federation).booster_
    assert falls(booster, frame) == 0
    assert booster.save_raw("ubj") == estimator(**model.get_params()).fit(
        frame, y, sample_weight=weight
    ).booster_.save_raw("ubj")
    assert federation.log is not None
    if mode == "fused":
        silo = federation.inner._fused
        bring_up_to_date(silo, federation.log)
        rows = silo.table.X if silo.table.order is None else silo.table.X[silo.table.order]
        told = booster.inplace_predict(rows, predict_type="margin").reshape(ROWS, -1).T
        assert silo.states.find(TreeState).margin.tobytes() == np.ascontiguousarray(told).tobytes()


@pytest.mark.slow_without_jit
def test_values_in_order_cost_no_accuracy() -> None:
    """A target that does rise: constrained leaves are as good as free ones on new rows, and as XGBoost's."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-3, 3, (4000, 2))
    y = np.arctan(2 * X[:, 0]) - 0.5 * X[:, 1] + rng.standard_t(2, 4000) / 4
    train, test = slice(None, 2000), slice(2000, None)
    params: dict[str, Any] = {"n_estimators": 60, "max_depth": 4, "learning_rate": 0.1, "n_jobs": 1}
    params |= {"objective": "reg:absoluteerror"}
    ours = FedGBTRegressor(**params, monotone_constraints=(1, -1)).fit(X[train], y[train])
    free = FedGBTRegressor(**params).fit(X[train], y[train])
    theirs = xgboost.XGBRegressor(**params, monotone_constraints=(1, -1)).fit(X[train], y[train])
    error = [np.abs(model.predict(X[test]) - y[test]).mean() for model in (ours, free, theirs)]
    assert error[0] < error[1] and error[0] < error[2] * 1.002


@pytest.mark.parametrize("mode", ["bagging", "cyclic"])
@pytest.mark.parametrize("objective", sorted(CLASSES))
def test_trees_that_silos_grow_by_themselves_keep_to_it(objective: str, mode: str) -> None:
    frame, y, _ = problem(objective)
    del frame["kind"]
    model = estimator(objective, mode=mode, n_estimators=6).fit(frame, y, silos=np.arange(ROWS) % SILOS)
    assert falls(model.booster_, frame) == 0


@pytest.mark.parametrize("how", [MoreTrees(5), OwnLeaves()], ids=repr)
@pytest.mark.parametrize("objective", ["reg:absoluteerror", "reg:quantileerror", "reg:squarederror", "binary:logistic"])
def test_personal_models_keep_to_it(objective: str, how: Any) -> None:
    frame, y, _ = problem(objective)
    del frame["kind"]
    other = np.where(frame["up"] > 0, y.max() - y, y)  # which falls where the shared model rises
    shared = estimator(objective).fit(frame, y, silos=np.arange(ROWS) % SILOS)
    personal = shared.personalize(Silo("own", frame, other), how)
    assert falls(personal.booster_, frame) == 0
    assert personal.booster_.save_raw() != shared.booster_.save_raw()


@pytest.mark.parametrize("objective", ["reg:absoluteerror", "reg:quantileerror", "reg:squarederror"])
def test_training_that_goes_on_keeps_to_it(objective: str) -> None:
    frame, y, _ = problem(objective)
    del frame["kind"]
    before = estimator(objective).fit(frame, y)
    assert falls(estimator(objective).fit(frame, y, xgb_model=before).booster_, frame) == 0


def test_functions_as_objectives_keep_to_it() -> None:
    frame, y, _ = problem("reg:squarederror")

    def asymmetric(y: Any, margin: Any) -> tuple[Any, Any]:
        error = margin - y
        return np.where(error > 0, 3 * error, error), np.where(error > 0, 3.0, 1.0)

    model = estimator(asymmetric, enable_categorical=True).fit(frame, y, silos=np.arange(ROWS) % SILOS)
    assert falls(model.booster_, frame) == 0


def test_moved_leaves_are_written_as_xgboost_writes_leaves_and_others_stay() -> None:
    frame, y, _ = problem("reg:absoluteerror")
    del frame["kind"]
    booster = estimator("reg:squarederror", monotone_constraints=None).fit(frame, y).booster_
    trees = [
        json.loads(own.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
        for own in (booster, booster_in_order(booster, np.int8([1, -1, 0])))
    ]
    moved = 0
    for before, after in zip(*trees, strict=True):
        names = {name for name in before if before[name] != after[name]}
        assert names <= {"split_conditions", "base_weights"}
        leaf = np.array(before["left_children"]) < 0
        one, other = (np.array(own["split_conditions"]) for own in (before, after))
        assert (one == other)[~leaf].all() and np.array(after["base_weights"])[leaf].tolist() == other[leaf].tolist()
        moved += (one != other).sum()
    assert moved > 10
    free = np.zeros(3, np.int8)
    assert booster_in_order(booster, free) is booster
    done = booster_in_order(booster, np.int8([1, -1, 0]))
    assert booster_in_order(done, np.int8([1, -1, 0])) is done


@pytest.mark.parametrize("how", [MoreTrees(2), OwnLeaves()], ids=repr)
def test_a_model_put_in_order_is_set_as_it_was_trained(how: Any) -> None:
    """What more training, a prediction's threads and attributes depend on."""
    frame, y, _ = problem("reg:squarederror")
    del frame["kind"]
    matrix = xgboost.DMatrix(frame, y)
    params = {"max_depth": 3, "eta": 0.7, "nthread": 1, "seed": 5, "eval_metric": "mae", "lambda": 3}
    shared = xgboost.train({"max_depth": 3}, matrix, 3)
    trained = how.own(shared, matrix, params)
    trained.set_attr(note="kept")
    before = trained.save_raw("json")
    ordered = booster_in_order(trained, np.int8([1, -1, 0]))
    assert ordered is not trained and trained.save_raw("json") == before != ordered.save_raw("json")
    assert ordered.save_config() == trained.save_config()
    assert ordered.attributes() == trained.attributes() and ordered.feature_names == trained.feature_names


# -- the repair itself --------------------------------------------------------------------------------------


# law: in_order
@given(seed=st.integers(0, 10_000), n_splits=st.integers(1, 12))
def test_values_move_as_little_as_their_order_takes(seed: int, n_splits: int) -> None:
    rng = np.random.default_rng(seed)
    feature, left, right = [-1], [-1], [-1]
    for _ in range(n_splits):
        node = int(rng.choice(np.flatnonzero(np.array(feature) < 0)))
        feature[node], left[node], right[node] = int(rng.integers(3)), len(feature), len(feature) + 1
        feature += [-1, -1]
        left += [-1, -1]
        right += [-1, -1]
    direction = np.int8([1, -1, 0])
    value = rng.integers(-5, 6, len(feature)).astype(np.float32)
    weight = rng.integers(0, 4, len(feature)).astype(np.float64)
    arrays = np.array(feature), np.array(left), np.array(right)
    moved = in_order(*arrays, value, weight, direction)

    def below(node: int) -> list[int]:
        return [node] if feature[node] < 0 else below(left[node]) + below(right[node])

    for node, asked in enumerate(feature):
        low, high = (left[node], right[node]) if asked < 0 or direction[asked] >= 0 else (right[node], left[node])
        if asked >= 0 and direction[asked]:
            assert moved[below(low)].max() <= moved[below(high)].min()
    assert in_order(*arrays, moved, weight, direction).tobytes() == moved.tobytes()
    if n_splits == 1 and direction[feature[0]]:  # of one split, every threshold is tried
        sign = direction[feature[0]]
        low, high = (1, 2) if sign > 0 else (2, 1)
        costs = [
            weight[low] * max(value[low] - t, 0) + weight[high] * max(t - value[high], 0) for t in (value[1], value[2])
        ]
        assert (weight * np.abs(moved - value)).sum() == pytest.approx(min(costs))
    assert (moved[np.array(feature) >= 0] == value[np.array(feature) >= 0]).all()
