"""Training that goes on from an earlier model: whose trees stay, and whose margins are where the new ones start."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from strategies import CLASSES, Problem, Watched, assert_booster_s_margins, examples, numbers_for, problems

from fedtrees import (
    DataError,
    FedGBTClassifier,
    FedGBTRanker,
    FedGBTRegressor,
    LocalFederation,
    ParameterError,
    ProtocolError,
    Silo,
)
from fedtrees.export.continued import Continued
from fedtrees.trees.messages.earlier_model import EarlierModel

RNG = np.random.default_rng(0)
X = np.round(RNG.normal(size=(300, 4)), 1).astype(np.float32)
X[RNG.random(X.shape) < 0.1] = np.nan
SIGNAL = np.nan_to_num(X[:, 0] + X[:, 1] * X[:, 2]) + RNG.normal(size=300) / 4
TARGETS: dict[str, Any] = {
    "binary:logistic": (SIGNAL > 0).astype(int),
    "multi:softprob": np.digitize(SIGNAL, [-0.5, 0.5]),
    "reg:squarederror": SIGNAL,
}
SILO = np.arange(300) % 3
SMALL: dict[str, Any] = {"n_estimators": 3, "max_depth": 3, "n_jobs": 1}
OBJECTIVES = list(TARGETS)


def kinds(objective: str) -> tuple[Any, Any]:
    if CLASSES[objective]:
        return FedGBTClassifier, xgboost.XGBClassifier
    return FedGBTRegressor, xgboost.XGBRegressor


def boosters_of(theirs: Any) -> list[dict[str, Any]]:
    model = json.loads(theirs.get_booster().save_raw("json"))["learner"]["gradient_booster"]["model"]
    return list(model["trees"])


# -- the laws -----------------------------------------------------------------------------------------------


# law: Continued.with_new
@examples(25)
@given(problem=problems(most_silos=4), ours=st.booleans(), depth=st.integers(1, 4))
def test_any_partition_gives_the_pooled_model_whose_margins_are_those_of_training(
    problem: Problem, ours: bool, depth: int
) -> None:
    own, other = kinds(problem.objective)
    first = own if ours else other
    alpha = {"quantile_alpha": 0.5} if problem.objective == "reg:quantileerror" else {}  # which XGBoost insists on
    before = first(n_estimators=2, max_depth=depth, objective=problem.objective, **alpha).fit(problem.X, problem.y)
    pooled = problem.estimator().fit(problem.X, problem.y, sample_weight=problem.weight, xgb_model=before)
    for mode in ("fused", "faithful"):
        silos = problem.silos()
        federation = Watched(LocalFederation(silos, mode=mode))
        apart = problem.estimator().fit_federation(federation, xgb_model=before)
        assert apart.booster_.save_raw("ubj") == pooled.booster_.save_raw("ubj")
        assert federation.log is not None
        for silo in [federation.inner._fused] if mode == "fused" else silos:
            if mode == "faithful":
                silo.forget()  # what it lost, the facts bring back
            assert_booster_s_margins(silo, federation.log, apart)


# -- XGBoost ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_xgboost_goes_on_from_the_same_model_to_the_same_predictions(objective: str) -> None:
    ours, theirs = kinds(objective)
    y = TARGETS[objective]
    before = theirs(**SMALL, tree_method="hist").fit(X, y)
    own = ours(**SMALL).fit(X, y, silos=SILO, xgb_model=before)
    other = theirs(**SMALL, tree_method="hist").fit(X, y, xgb_model=before.get_booster())
    assert own.booster_.num_boosted_rounds() == other.get_booster().num_boosted_rounds() == 6
    np.testing.assert_allclose(own.predict(X, output_margin=True), other.predict(X, output_margin=True), atol=2e-5)
    # the earlier trees are the earlier model's, to the last bit
    assert boosters_of(own)[: len(boosters_of(before))] == boosters_of(before)
    first = before.predict(X, output_margin=True)
    assert own.predict(X, output_margin=True, iteration_range=(0, 3)).tobytes() == first.tobytes()
    np.testing.assert_array_equal(own.intercept_, before.intercept_)


DRAWS: list[dict[str, Any]] = [
    {},
    {"subsample": 0.5},
    {"colsample_bytree": 0.5, "colsample_bynode": 0.7},
    {"sampling": 2},
    {"num_parallel_tree": 2, "subsample": 0.6, "sampling": 0.5},
]


@pytest.mark.parametrize("draws", DRAWS, ids=str)
@pytest.mark.parametrize("objective", [*CLASSES, "survival:aft", "survival:cox"])
def test_half_the_rounds_and_then_the_others_are_all_of_them(objective: str, draws: dict[str, Any]) -> None:
    ours, y = (FedGBTClassifier if CLASSES.get(objective) else FedGBTRegressor), target_of(objective)
    options: dict[str, Any] = {**SMALL, "objective": objective, "random_state": 3, **draws}
    more: dict[str, Any] = {"silos": SILO, "row_id": np.arange(300)}
    whole = ours(**options | {"n_estimators": 6}).fit(X, y, **more)
    half = ours(**options).fit(X, y, **more)
    rest = ours(**options).fit(X, y, xgb_model=half, **more)
    assert rest.booster_.save_raw("ubj") == whole.booster_.save_raw("ubj")
    assert half.booster_.num_boosted_rounds() == 3 and rest.booster_.get_dump()[0] == half.booster_.get_dump()[0]


def target_of(objective: str) -> Any:
    if objective in TARGETS:
        return TARGETS[objective]
    if objective == "survival:aft":
        return np.column_stack([np.exp(SIGNAL), np.where(SIGNAL > 1, np.inf, np.exp(SIGNAL))])
    if objective == "survival:cox":
        return np.where(SIGNAL > 1, -1, 1) * np.exp(SIGNAL)
    classes = CLASSES[objective]
    if classes:
        return np.digitize(SIGNAL, [-1, -0.5, 0.5][: classes - 1])
    return numbers_for(objective, np.random.default_rng(0), SIGNAL / 4)


@pytest.mark.parametrize("method", ["topk", "mean"])
@pytest.mark.parametrize("objective", ["rank:ndcg", "rank:pairwise", "rank:map"])
def test_rankings_go_on_too_pairs_drawn_or_not(objective: str, method: str) -> None:
    y, qid = np.digitize(SIGNAL, [0.0]), np.arange(300) // 10
    options: dict[str, Any] = {**SMALL, "objective": objective, "lambdarank_pair_method": method, "random_state": 1}
    whole = FedGBTRanker(**options | {"n_estimators": 6}).fit(X, y, qid=qid)
    half = FedGBTRanker(**options).fit(X, y, qid=qid, silos=qid % 3)
    rest = FedGBTRanker(**options).fit(X, y, qid=qid, silos=qid % 3, xgb_model=half)
    assert rest.booster_.save_raw("ubj") == whole.booster_.save_raw("ubj")


def test_a_grid_that_does_not_fit_other_rows_is_not_taken() -> None:
    """What the first training noted is too narrow for other rows, or far too wide; and notes may be nonsense."""
    y = TARGETS["reg:squarederror"]
    half = FedGBTRegressor(**SMALL).fit(X, y)
    bare, about = half.booster_.copy(), json.loads(half.booster_.attr("fedtrees") or "")
    for other in (y * 1e6, half.predict(X) + y * 1e-6):
        bare.set_attr(fedtrees=None)
        noted, asked = (FedGBTRegressor(**SMALL).fit(X, other, xgb_model=model) for model in (half, bare))
        assert noted.booster_.get_dump() == asked.booster_.get_dump()
    for grid in ([10**9, 0, 0], [0, 0, 77], [0, 0], "fine", [0.5, 0, 0]):
        bare.set_attr(fedtrees=json.dumps({**about, "grid": grid}))
        np.testing.assert_allclose(
            FedGBTRegressor(**SMALL).fit(X, y, xgb_model=bare).predict(X),
            FedGBTRegressor(**SMALL).fit(X, y, xgb_model=half).predict(X),
            rtol=1e-3,
            atol=1e-3,
        )


def test_a_file_a_booster_and_an_estimator_are_the_same_model(tmp_path: Path) -> None:
    y = TARGETS["binary:logistic"]
    half = FedGBTClassifier(**SMALL).fit(X, y)
    half.save_model(tmp_path / "half.ubj")
    fits = [
        FedGBTClassifier(**SMALL).fit(X, y, xgb_model=model)
        for model in (half, half.booster_, tmp_path / "half.ubj", str(tmp_path / "half.ubj"))
    ]
    assert len({bytes(fit.booster_.save_raw("ubj")) for fit in fits}) == 1


def test_evaluation_sets_and_early_stopping_count_from_the_first_round_of_all() -> None:
    y = TARGETS["binary:logistic"]
    half = FedGBTClassifier(**SMALL).fit(X[:200], y[:200])
    held_out = [(X[200:], y[200:])]
    options: dict[str, Any] = {**SMALL, "n_estimators": 60, "early_stopping_rounds": 3, "learning_rate": 0.9}
    model = FedGBTClassifier(**options).fit(X[:200], y[:200], eval_set=held_out, xgb_model=half)
    scores = model.evals_result()["validation_0"]["logloss"]
    assert model.best_iteration == 3 + int(np.argmin(scores)) and len(scores) < 60
    best = model.predict_proba(X[200:], iteration_range=(0, model.best_iteration + 1))
    assert model.predict_proba(X[200:]).tobytes() == best.tobytes()
    p = np.clip(best[np.arange(100), y[200:]].astype(np.float64), 1e-16, 1)
    assert min(scores) == pytest.approx(-np.log(p).mean(), rel=1e-5)


def test_a_margin_that_is_given_comes_before_the_earlier_trees() -> None:
    y = TARGETS["reg:squarederror"]
    margin = RNG.normal(size=300).astype(np.float32)
    before = xgboost.XGBRegressor(**SMALL, tree_method="hist").fit(X, y)
    own = FedGBTRegressor(**SMALL).fit(X, y, base_margin=margin, xgb_model=before)
    other = xgboost.XGBRegressor(**SMALL, tree_method="hist").fit(
        X, y, base_margin=margin, xgb_model=before.get_booster()
    )
    np.testing.assert_allclose(own.predict(X, base_margin=margin), other.predict(X, base_margin=margin), atol=2e-5)


# -- categories ---------------------------------------------------------------------------------------------

FRAME = pd.DataFrame(X, columns=list("abcd"))
FRAME["kind"] = pd.Categorical(np.take(list("qwertyuiop"), RNG.integers(0, 10, 300)))
FRAME["dose"] = pd.Categorical(RNG.choice([30, 10, 20], 300))
FRAME.loc[::17, "kind"] = None
EFFECT = SIGNAL + RNG.normal(size=10)[FRAME["kind"].cat.codes] + FRAME["dose"].astype(float).to_numpy() / 20
OPTIONS: dict[str, Any] = {**SMALL, "enable_categorical": True, "max_cat_to_onehot": 4}


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_models_of_categories_go_on_in_any_partition(mode: str) -> None:
    whole = FedGBTRegressor(**OPTIONS | {"n_estimators": 6}).fit(FRAME, EFFECT)
    half = FedGBTRegressor(**OPTIONS).fit(FRAME, EFFECT, silos=SILO)
    silos = [Silo(f"silo {k}", FRAME[k == SILO], EFFECT[k == SILO], n_jobs=1) for k in range(3)]
    federation = Watched(LocalFederation(silos, mode=mode))
    rest = FedGBTRegressor(**OPTIONS).fit_federation(federation, xgb_model=half)
    assert rest.booster_.save_raw("ubj") == whole.booster_.save_raw("ubj")
    assert any(tree["categories"] for tree in tables(half))
    assert federation.log is not None
    silo = federation.inner._fused if mode == "fused" else silos[1]
    assert silo.table.n_rows
    assert_booster_s_margins(silo, federation.log, rest)


def tables(model: Any) -> list[dict[str, Any]]:
    booster = json.loads(model.booster_.save_raw("json"))["learner"]["gradient_booster"]["model"]
    return list(booster["trees"])


@pytest.mark.parametrize("onehot", [1, 100])
def test_xgboost_goes_on_with_categories_to_the_same_predictions(onehot: int) -> None:
    options = {**OPTIONS, "max_cat_to_onehot": onehot}
    before = xgboost.XGBRegressor(**options, tree_method="hist").fit(FRAME, EFFECT)
    own = FedGBTRegressor(**options).fit(FRAME, EFFECT, silos=SILO, xgb_model=before)
    other = xgboost.XGBRegressor(**options, tree_method="hist").fit(FRAME, EFFECT, xgb_model=before.get_booster())
    np.testing.assert_allclose(own.predict(FRAME), other.predict(FRAME), atol=2e-4)
    assert own.predict(FRAME, iteration_range=(0, 3)).tobytes() == before.predict(FRAME).tobytes()


def test_new_categories_follow_those_of_the_earlier_model_whose_predictions_stay() -> None:
    early, late = FRAME["kind"].isin(list("wert")), FRAME["kind"].isin(list("rtyuiopq"))
    first, then = FRAME[early].copy(), FRAME[late].copy()
    for frame in (first, then):
        frame["kind"] = frame["kind"].cat.remove_unused_categories()
    half = FedGBTRegressor(**OPTIONS).fit(first, EFFECT[early])
    rest = FedGBTRegressor(**OPTIONS).fit(then, EFFECT[late], silos=np.arange(len(then)) % 2, xgb_model=half)
    assert rest._schema.categories["kind"] == [*"ertw", *"iopquy"]  # "w" is in the model only
    assert rest.predict(first, iteration_range=(0, 3)).tobytes() == half.predict(first).tobytes()
    both = FRAME[early | late]
    assert np.isfinite(rest.predict(both)).all()
    by_name = rest.booster_.predict(xgboost.DMatrix(then, enable_categorical=True))
    np.testing.assert_allclose(rest.predict(then), by_name, rtol=1e-6)


def test_models_that_tell_silos_apart_go_on() -> None:
    names = np.take(["a", "b", "c"], SILO)
    options = {**OPTIONS, "split_on_silo": True}
    y = EFFECT + 2 * SILO
    whole = FedGBTRegressor(**options | {"n_estimators": 6}).fit(FRAME, y, silos=names)
    half = FedGBTRegressor(**options).fit(FRAME, y, silos=names)
    rest = FedGBTRegressor(**options).fit(FRAME, y, silos=names, xgb_model=half)
    assert rest.booster_.save_raw("ubj") == whole.booster_.save_raw("ubj")
    other = FedGBTRegressor(**options).fit(FRAME, y, silos=np.where(names == "a", "new", names), xgb_model=half)
    assert other._silos == ["a", "b", "c", "new"] and np.isfinite(other.predict(FRAME, silos="new")).all()


def test_categories_that_no_code_can_be_found_for_are_refused_by_name() -> None:
    half = FedGBTRegressor(**OPTIONS).fit(FRAME, EFFECT)
    numbers = FRAME.assign(kind=np.arange(300.0))
    texts = FRAME.assign(dose=FRAME["dose"].astype(str).astype("category"))
    matrix = xgboost.DMatrix(
        np.column_stack([X, np.arange(300) % 3, np.arange(300) % 2]), EFFECT, feature_types=["float"] * 4 + ["c", "c"]
    )
    codes = xgboost.train({"max_depth": 3}, matrix, 2)
    for model, frame, text in (
        (half, numbers, "to the model, column 'kind' holds categories, and here it holds numbers"),
        (FedGBTRegressor(**OPTIONS).fit(numbers, EFFECT), FRAME, "column 'kind' holds numbers, and here it holds cat"),
        (half, texts, "the categories of column 'dose' are numbers, and here they are not"),
        (codes, FRAME, "the model has codes of column 'kind', and no names of its categories"),
    ):
        with pytest.raises(DataError, match=text):
            FedGBTRegressor(**OPTIONS).fit(frame, EFFECT, xgb_model=model)


# -- what cannot be gone on from ----------------------------------------------------------------------------


def test_models_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    y, classes = TARGETS["binary:logistic"], TARGETS["multi:softprob"]
    frame = pd.DataFrame(np.nan_to_num(X), columns=list("abcd"))
    dart = xgboost.train({"booster": "dart", "objective": "binary:logistic"}, xgboost.DMatrix(X, y), 2)
    codes = frame.assign(a=pd.Categorical(np.arange(300) % 5))
    trained = xgboost.XGBClassifier(n_estimators=2, enable_categorical=True).fit(codes, np.arange(300) % 5 > 2)
    texts = np.array(["no", "yes"])[y]
    wrong: list[tuple[Any, str]] = [
        (
            FedGBTRegressor(**SMALL).fit(X, y),
            "a model of 'reg:squarederror', and this training is of 'binary",
        ),
        (FedGBTClassifier(**SMALL).fit(X[:, :3], y), "a model of 3 features, and X has 4"),
        (FedGBTClassifier(**SMALL).fit(X, texts), "a model of the classes .'no', 'yes'., and y holds .0, 1."),
        (dart, "a model of 'dart'; only one of 'gbtree' can be continued"),
        (trained, "to the model, column 'f0' holds categories, and here it holds numbers"),
    ]
    for model, text in wrong:
        with pytest.raises(DataError, match=f"^xgb_model: {text}"):
            FedGBTClassifier(**SMALL).fit(X, y, xgb_model=model)
    with pytest.raises(DataError, match=r"a model of the classes \[0, 1, 2\], and y holds \[0, 1, 2, 3\]"):
        FedGBTClassifier(**SMALL).fit(X, np.arange(300) % 4, xgb_model=FedGBTClassifier(**SMALL).fit(X, classes))
    other = frame.set_axis(list("abce"), axis=1)
    with pytest.raises(DataError, match=r"a model of the features \['a', 'b', 'c', 'd'\], and X has"):
        FedGBTClassifier(**SMALL).fit(other, y, xgb_model=FedGBTClassifier(**SMALL).fit(frame, y))
    with pytest.raises(ParameterError, match="xgb_model: give a Booster, a fitted estimator or a path, not int"):
        FedGBTClassifier(**SMALL).fit(X, y, xgb_model=7)
    with pytest.raises(FileNotFoundError):
        FedGBTClassifier(**SMALL).fit(X, y, xgb_model=tmp_path / "nothing.json")


def told(**other: Any) -> EarlierModel:
    parts: dict[str, Any] = {
        "features": 2,
        "base_margin": np.zeros(1, np.float32),
        "ends": np.array([3]),
        "output": np.zeros(1, np.int32),
        "feature": np.int32([1, -1, -1]),
        "value": np.float32([0.5, 1, 2]),
        "default_left": np.zeros(3, bool),
        "left": np.int32([1, -1, -1]),
        "right": np.int32([2, -1, -1]),
    }
    return EarlierModel(**parts | other)


def test_a_silo_refuses_trees_that_would_lead_it_elsewhere() -> None:
    silo = Silo("a", [[0.0, 0.0], [0.0, np.nan]], [0, 1])
    told().apply(silo)
    margin = np.zeros((1, 2), np.float32)
    told().add_to(margin, silo.table, silo.threads)
    assert margin.tolist() == [[1, 2]]
    sets = {"by_category": np.array([0]), "categories": np.int32([0]), "category_ends": np.array([1])}
    told(**sets).apply(silo)
    for other in (
        sets | {"by_category": np.array([1])},
        sets | {"by_category": np.array([3])},
        sets | {"by_category": np.array([-1])},
        sets | {"categories": np.int32([-1])},
        sets | {"categories": np.int32([0xFFFF])},
        sets | {"category_ends": np.array([2])},
        sets | {"category_ends": np.array([0, 1])},
        {"left": np.int32([0, -1, -1]), "right": np.int32([0, -1, -1])},
        {"output": np.int32([-1])},
        {"features": 3},
        {"feature": np.int32([2, -1, -1])},
        {"left": np.int32([0, -1, -1])},
        {"right": np.int32([3, -1, -1])},
        {"ends": np.array([4])},
        {"ends": np.array([0])},
        {"ends": np.array([3, 3]), "output": np.zeros(2, np.int32)},
        {"output": np.ones(1, np.int32)},
        {"value": np.zeros(2, np.float32)},
    ):
        with pytest.raises(ProtocolError, match="of an earlier model"):
            told(**other).apply(silo)


def test_a_model_read_is_the_model_that_silos_hear_of() -> None:
    model = xgboost.XGBClassifier(**SMALL, num_parallel_tree=2).fit(X, TARGETS["multi:softprob"])
    earlier = Continued.read(model.get_booster())
    assert (earlier.rounds, earlier.objective, len(earlier.trees.ends)) == (3, "multi:softprob", 18)
    table = Silo("a", X, TARGETS["multi:softprob"]).table
    margin = np.repeat(earlier.trees.base_margin[:, None], 300, axis=1)
    earlier.trees.add_to(margin, table, Silo("b", X, SILO).threads)
    assert margin.T.tobytes() == model.predict(X, output_margin=True).tobytes()
