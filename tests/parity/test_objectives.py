"""Objectives from end to end: XGBoost's trees node for node, heavy tails, exact quantiles, functions, and refusals."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import CLASSES, Watched, examples, margins, model_bytes, numbers_for

from fedtrees import DataError, FedGBTClassifier, FedGBTRegressor, LocalFederation, ParameterError, ProtocolError, Silo
from fedtrees.trees.losses import register_objective
from fedtrees.trees.messages.histograms import Histograms
from fedtrees.trees.messages.leaf_quantiles import ResidualRanks, TargetRanks
from fedtrees.trees.messages.training import Aim, Begin
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.flat_trees import FlatTrees
from fedtrees.trees.server import gradient_scales
from fedtrees.trees.server.growing_tree import GrowingTree
from fedtrees.trees.server.quantile_leaves import Quantile

Floats = NDArray[np.float32]


def estimator(objective: Any, **params: Any) -> FedGBTClassifier | FedGBTRegressor:
    classifies = CLASSES.get(objective, 0) > 0
    return (FedGBTClassifier if classifies else FedGBTRegressor)(objective=objective, n_jobs=2, **params)


def table(objective: str, rows: int = 3000) -> tuple[Floats, NDArray[Any], Floats]:
    """Features of few values, so that XGBoost's bins can be ours, a target that follows them, and weights."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 5)).astype(np.float32)
    signal = 0.3 * (X[:, 0] * X[:, 1] + X[:, 2]) + 0.15 * rng.normal(size=rows)
    X[rng.random(X.shape) < 0.05] = np.nan
    classes = CLASSES[objective]
    if classes:
        y = np.searchsorted(np.linspace(-0.3, 0.4, classes - 1) if classes > 2 else [0.1], signal)
    else:
        y = numbers_for(objective, np.random.default_rng(5), signal + 1 if objective != "reg:logistic" else signal)
        y = signal if objective in ("reg:absoluteerror", "reg:quantileerror", "reg:squarederror") else y
    return X, y.astype(np.float32), rng.uniform(0.5, 1.5, rows).astype(np.float32)


def both(
    objective: str, X: Floats, y: NDArray[Any], weight: Floats | None, trees: int = 20, **params: Any
) -> tuple[Floats, Floats, Watched]:
    """Margins of ours over five silos, and of XGBoost's hist with our bins and our start."""
    params = {"max_depth": 5, "learning_rate": 0.2, **params}
    federation = Watched(LocalFederation.from_table(X, y, silos=np.arange(len(y)) % 5, sample_weight=weight))
    model = estimator(objective, n_estimators=trees, **params).fit_federation(federation)
    assert federation.log is not None
    (begin,) = (fact for fact in federation.log.facts if isinstance(fact, Begin))
    cuts = Cuts(begin.values, begin.offsets, begin.missing)
    codes = np.full(X.shape, np.nan, np.float32)
    for f, column in enumerate(X.T):
        there = ~np.isnan(column)
        codes[there, f] = np.searchsorted(cuts.of(f)[:-1], column[there], side="right")
    base = np.tile(begin.base_margin, (len(X), 1))
    matrix = xgboost.QuantileDMatrix(codes, y, weight=weight, max_bin=512)
    matrix.set_base_margin(base)
    theirs: dict[str, Any] = {**params, "objective": objective, "tree_method": "hist", "max_bin": 512, "nthread": 1}
    if objective.startswith("multi:"):
        theirs["num_class"] = len(begin.base_margin)
    booster = xgboost.train(theirs, matrix, trees)
    same = booster.predict(xgboost.DMatrix(codes, base_margin=base), output_margin=True)
    return margins(model, X), same.reshape(len(X), -1).T, federation


def grids_of(federation: Watched) -> list[Any]:
    asked = [query for call, _ in federation.calls for query in call.queries if isinstance(query, Histograms)]
    return [query.exponents for query in asked]


# -- as XGBoost ---------------------------------------------------------------------------------------------

OWN = {
    "binary:logistic": {"scale_pos_weight": 0.4},
    "binary:logitraw": {"scale_pos_weight": 3.0},
    "reg:pseudohubererror": {"huber_slope": 2.5},
    "reg:tweedie": {"tweedie_variance_power": 1.2},
    "reg:quantileerror": {"quantile_alpha": 0.9},
    "count:poisson": {"max_delta_step": 2.0},  # no leaf reaches it here
}


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("objective", sorted(CLASSES))
def test_with_the_same_bins_every_row_stands_in_the_same_leaves_as_in_xgboost(objective: str, weighted: bool) -> None:
    X, y, weight = table(objective)
    own, same, _ = both(objective, X, y, weight if weighted else None, trees=5, **OWN.get(objective, {}))
    scale = max(float(np.std(same)), 1e-3 * float(np.abs(same).max()))
    # a tie of gains that float32 breaks otherwise may move a few rows, most of all where gradients take few values
    moved = np.abs(own - same) > 1e-3 * scale
    assert moved.mean() < 0.02
    np.testing.assert_allclose(own[~moved], same[~moved], atol=1e-3 * scale)


@pytest.mark.parametrize("objective", sorted(CLASSES))
def test_margins_start_where_xgboosts_do(objective: str) -> None:
    X, y, weight = table(objective, 500)
    for own in (None, weight):
        model = estimator(objective, n_estimators=1, **OWN.get(objective, {})).fit(X, y, sample_weight=own)
        params: dict[str, Any] = {"objective": objective, **OWN.get(objective, {})}
        if CLASSES[objective] > 2:
            params["num_class"] = CLASSES[objective]
        booster = xgboost.train(params, xgboost.DMatrix(X, y, weight=own), 1)
        ours, theirs = (
            json.loads(json.loads(one.save_raw("json"))["learner"]["learner_model_param"]["base_score"])
            for one in (model.booster_, booster)
        )
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("objective", sorted(CLASSES))
def test_a_saved_model_is_of_its_objective_and_predicts_as_xgboost_reads_it(objective: str, tmp_path: Any) -> None:
    X, y, _ = table(objective, 300)
    own = OWN.get(objective, {})
    model = estimator(objective, n_estimators=3, **own).fit(X, y)
    model.save_model(tmp_path / "model.json")
    booster = xgboost.Booster(model_file=tmp_path / "model.json")
    said = json.loads(booster.save_config())["learner"]["objective"]
    assert said["name"] == objective
    for name, value in own.items():
        (section,) = (part for part in said.values() if isinstance(part, dict))
        assert np.float32(str(section[name]).strip("[]")) == np.float32(value)
    predicted, margin = (booster.predict(xgboost.DMatrix(X), output_margin=raw) for raw in (False, True))
    again = estimator(objective).load_model(tmp_path / "model.json")
    assert again.predict(X).tolist() == model.predict(X).tolist()
    match objective:
        case "count:poisson" | "reg:gamma" | "reg:tweedie":
            np.testing.assert_allclose(model.predict(X), np.exp(margin), rtol=1e-5)
        case "binary:logitraw":
            np.testing.assert_allclose(model.predict_proba(X)[:, 1], 1 / (1 + np.exp(-predicted)), rtol=1e-5)
            assert model.predict(X).tolist() == (predicted > 0).tolist()
        case "binary:hinge":
            assert model.predict(X).tolist() == predicted.tolist() == (margin > 0).tolist()
        case "multi:softmax":
            assert model.predict(X).tolist() == predicted.tolist()
            np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
        case "multi:softprob" | "binary:logistic":
            proba = model.predict_proba(X)
            assert (proba if proba.shape[1] > 2 else proba[:, 1]).tolist() == predicted.tolist()
        case _:
            assert model.predict(X).tolist() == predicted.tolist()


# -- heavy tails --------------------------------------------------------------------------------------------


def heavy(objective: str) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6000, 5)).astype(np.float32)
    y = np.exp(X[:, 0] * X[:, 1] + X[:, 2] + 3 * rng.normal(size=6000))
    return X, np.where(objective == "reg:gamma", np.maximum(y, 1e-6), y * (rng.random(6000) < 0.5)).astype(np.float32)


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("objective", ["reg:gamma", "reg:tweedie"])
def test_small_gradients_count_beside_huge_ones(objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With more digits for heavy tails each row's margin is XGBoost's; a deviance alone may be near by chance."""
    X, y = heavy(objective)

    def off() -> tuple[float, list[Any]]:
        ours, theirs, federation = both(objective, X, y, None, trees=40, max_depth=6, learning_rate=0.1)
        return float(np.abs(ours - theirs).max()), grids_of(federation)

    lost, asked = off()
    assert lost < 5e-6 and all(grid.extra >= 19 for grid in asked)
    monkeypatch.setattr(gradient_scales, "CHOICES", (0,))
    lost, asked = off()
    assert lost > 1e-3 and all(grid.extra == 0 for grid in asked)


@pytest.mark.slow_without_jit
def test_ordinary_gradients_keep_to_one_word() -> None:
    X, _, weight = table("reg:squarederror")
    y = np.nan_to_num(X).sum(axis=1) + np.random.default_rng(1).normal(size=len(X)).astype(np.float32)
    _, _, federation = both("reg:squarederror", X, y, weight)
    assert all(grid.extra == 0 for grid in grids_of(federation))


def test_digits_leave_room_for_the_sums_of_many_rows() -> None:
    few, many = ((31, 38), (32, 37), (1000, 33)), ((2**23, 19), (2**24 - 1, 19), (2**30, 12), (2**42, 0), (2**50, 0))
    for rows, extra in (*few, *many):
        room = gradient_scales.room_of(rows)
        assert room == extra
        if rows < 2**43:
            root = FlatTrees.of([GrowingTree()])
            grid = gradient_scales.GradientScale(0, 0, room)
            Histograms(rows, 1, 2, grid, root, np.zeros(1, np.int32), np.ones(1, np.int32)).width()


@pytest.mark.slow_without_jit
def test_a_full_cohort_is_not_asked_for_its_gradients_again() -> None:
    for objective in ("reg:gamma", "reg:tweedie", "count:poisson", "reg:pseudohubererror", "reg:squarederror"):
        X, y, weight = table(objective, 500)
        model = estimator(objective, n_estimators=15, learning_rate=0.5).fit(X, y, sample_weight=weight)
        assert model.ledger_.per_round()["kind"].eq("GradientExponents").sum() == 1


# -- quantiles ----------------------------------------------------------------------------------------------


@examples(100)
@given(
    seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 60), alpha=st.sampled_from([0.01, 0.25, 0.5, 0.9, 0.999]),
    ties=st.booleans(), n_silos=st.integers(1, 4), whole=st.booleans(),
)  # fmt: skip
def test_a_quantile_by_counting_is_that_of_the_sorted_values(
    seed: int, rows: int, alpha: float, ties: bool, n_silos: int, whole: bool
) -> None:
    rng = np.random.default_rng(seed)
    y = (rng.integers(-3, 3, rows) if ties else rng.normal(size=rows) * 10.0 ** rng.integers(-30, 30)).astype(
        np.float32
    )
    weight = rng.integers(1, 5, rows) if whole else None
    federation = Watched(
        LocalFederation.from_table(np.zeros((rows, 1)), y, silos=np.arange(rows) % n_silos, sample_weight=weight)
    )
    FedGBTRegressor(1, objective="reg:quantileerror", quantile_alpha=alpha).fit_federation(federation)
    assert federation.log is not None
    (begin,) = (fact for fact in federation.log.facts if isinstance(fact, Begin))
    expected = np.quantile(y.astype(np.float64) if weight is None else np.repeat(y, weight), alpha, method="weibull")
    assert begin.base_margin[0] == pytest.approx(expected, rel=1e-6)


@given(n=st.integers(1, 50), alpha=st.floats(0.001, 0.999))
def test_a_weighted_quantile_is_the_first_value_with_enough_weight_up_to_it(n: int, alpha: float) -> None:
    rank, same, between = Quantile((alpha,), weighted=True).ranks(n)
    assert rank == same == int(np.searchsorted(np.arange(1, n + 1), alpha * n)) and between == 0


def test_questions_for_leaves_that_there_are_not_are_refused() -> None:
    X, y, _ = table("reg:absoluteerror", 50)
    silo = Silo("a", X, y)
    low = np.zeros((1, 2), np.uint32)
    grid, trees = gradient_scales.GradientScale(0, 0), FlatTrees.of([GrowingTree()])
    with pytest.raises(ProtocolError, match="before the cut points"):
        ResidualRanks(most=50, exponents=grid, low=low, log_keys=32, log_child=21, trees=trees).ask(silo)
    cuts = {"values": np.arange(5, dtype=np.float32), "offsets": np.arange(6), "missing": np.ones(5, bool)}
    silo.learn(b"run", 0, [Begin("reg:absoluteerror", None, np.zeros(1, np.float32), **cuts)])
    fine = {"low": low, "log_keys": 32, "log_child": 21}
    assert ResidualRanks(most=50, exponents=grid, **fine, trees=trees).ask(silo).sum() == 100
    parts: list[dict[str, Any]] = [  # of keys of 32 bits, and of 2 ** 11 parts at the most
        {"log_keys": 33, "log_child": 22}, {"log_child": 33}, {"log_child": 0}, {"log_child": 20},
        {"log_keys": 5, "log_child": 6}, {"log_keys": 5, "log_child": -1},
    ]  # fmt: skip
    for log_keys, log_child in ((32, 21), (32, 32), (11, 0), (0, 0)):
        for kind, question in ((ResidualRanks, {"exponents": grid, "trees": trees}), (TargetRanks, {})):
            asked = kind(most=50, **question, low=low, log_keys=log_keys, log_child=log_child)
            assert len(asked.ask(silo)) == asked.size() == 2 << (log_keys - log_child)
    for wrong in (*parts, {"low": np.zeros((2, 2), np.uint32)}, {"low": np.zeros((0, 2), np.uint32)}):
        with pytest.raises(ProtocolError, match="leaves were asked for"):
            ResidualRanks(most=50, exponents=grid, **{**fine, **wrong}, trees=trees).ask(silo)
    for wrong in (*parts, {"low": np.zeros((1, 3), np.uint32)}, {"low": np.zeros((1, 1), np.uint32)}):
        with pytest.raises(ProtocolError, match="ranks of targets"):
            TargetRanks(most=50, **{**fine, **wrong}).ask(silo)
    two = Silo("two", np.zeros((5, 1)), np.arange(10.0).reshape(5, 2))
    for outputs, taken in ((1, False), (2, True), (3, False)):
        question = TargetRanks(most=50, **{**fine, "low": np.zeros((outputs, 2), np.uint32)})
        if taken:
            assert question.ask(two).sum() == 2 * 2 * 5  # each column's rows, for both ranks
        else:
            with pytest.raises(ProtocolError, match="ranks of targets"):
                question.ask(two)


# -- functions ----------------------------------------------------------------------------------------------


def squared(y: Any, margin: Any, sample_weight: Any = None) -> tuple[Any, Any]:
    weight = 1.0 if sample_weight is None else sample_weight
    return (margin - y) * weight, np.ones(len(y)) * weight


def logistic(y: Any, margin: Any) -> tuple[Any, Any]:
    p = 1 / (1 + np.exp(-margin.astype(np.float64)))
    return p - y, p * (1 - p)


def softmax(y: Any, margin: Any) -> tuple[Any, Any]:
    power = np.exp(margin - margin.max(axis=1, keepdims=True))
    p = power / power.sum(axis=1, keepdims=True)
    return p - (y[:, None] == np.arange(margin.shape[1])), 2 * p * (1 - p)


@pytest.mark.slow_without_jit
@pytest.mark.parametrize(
    ("function", "objective", "weighted"),
    [(squared, "reg:squarederror", False), (squared, "reg:squarederror", True), (logistic, "binary:logistic", False),
     (softmax, "multi:softprob", False)],
)  # fmt: skip
def test_a_function_trains_as_it_does_in_xgboost(function: Any, objective: str, weighted: bool) -> None:
    X, y, weight = table(objective, 1000)
    X = np.round(X, 1)  # few values: XGBoost's bins are ours
    own = weight if weighted else None
    classifies = bool(CLASSES[objective])
    params = {"n_estimators": 10, "max_depth": 4, "objective": function}
    kind, other = (FedGBTClassifier, xgboost.XGBClassifier) if classifies else (FedGBTRegressor, xgboost.XGBRegressor)
    model, theirs = (
        kind(**params).fit(X, y, silos=np.arange(1000) % 3, sample_weight=own),
        other(**params).fit(X, y, sample_weight=own),
    )
    same = theirs.get_booster().predict(xgboost.DMatrix(X), output_margin=True).reshape(1000, -1).T
    off = np.abs(margins(model, X) - same) > 1e-3
    assert off.mean() < 0.02
    faithful = LocalFederation.from_table(X, y, silos=np.arange(1000) % 3, sample_weight=own, mode="faithful")
    assert model_bytes(kind(**params).fit_federation(faithful)) == model_bytes(model) == model_bytes(
        kind(**params).fit(X, y, sample_weight=own)
    )  # fmt: skip


def test_a_silo_that_does_not_know_a_function_refuses() -> None:
    silo = Silo("a", [[1.0]], [1.0])
    for fact in (Aim("theirs", {}, None), Aim("reg:tweedie", {"huber_slope": 1.0}, None)):
        with pytest.raises(ProtocolError, match="a loss that is not known here"):
            silo.learn(b"run", 0, [fact])
    register_objective(squared, "theirs")
    silo.learn(b"run", 0, [Aim("theirs", {}, None)])
    X, y, _ = table("reg:squarederror", 100)
    by_name, itself = (FedGBTRegressor(2, objective=which).fit(X, y).predict(X) for which in ("theirs", squared))
    assert by_name.tolist() == itself.tolist()


def test_functions_of_one_name_are_kept_apart() -> None:
    first, second = (eval("lambda y, margin: (margin - y, 0 * y + k)", {"k": k}) for k in (1, 2))
    names = [register_objective(one) for one in (first, second, first)]
    assert names[0] != names[1]


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda y, margin: (margin - y, -np.ones(len(y))), "hessian that is not finite, or a hessian below 0"),
        (lambda y, margin: (margin * np.nan, np.ones(len(y))), "gradient that is not finite"),
        (lambda y, margin: ((margin - y)[:1], np.ones(len(y))), "1 gradients for 100 margins"),
    ],
)
def test_functions_that_return_nonsense_are_refused(function: Any, says: str) -> None:
    X, y, _ = table("reg:squarederror", 100)
    with pytest.raises(ParameterError, match=says):
        FedGBTRegressor(1, objective=function, n_jobs=1).fit(X, y)


# -- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["fused", "faithful"])
@pytest.mark.parametrize(
    ("objective", "wrong"),
    [("count:poisson", -1.0), ("reg:gamma", 0.0), ("reg:tweedie", -0.5), ("reg:squaredlogerror", -1.0),
     ("reg:logistic", 1.5), ("reg:logistic", -0.1)],
)  # fmt: skip
def test_a_target_that_the_objective_has_no_value_for_is_named(objective: str, wrong: float, mode: str) -> None:
    X = np.arange(4.0)[:, None]
    silos = [Silo("good", X, [1.0, 0.5, 1.0, 0.5]), Silo("bad", X, [1.0, 0.5, wrong, 0.5])]
    with pytest.raises(DataError, match=rf"silo 'bad': y, row 2: .*{objective}"):
        estimator(objective, n_estimators=1).fit_federation(LocalFederation(silos, mode))


@pytest.mark.parametrize("objective", ["count:poisson", "reg:tweedie"])
def test_a_mean_of_zero_has_no_logarithm(objective: str) -> None:
    with pytest.raises(DataError, match="y is 0 in every row"):
        estimator(objective, n_estimators=1).fit(np.zeros((3, 1)), np.zeros(3))


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"objective": "reg:gamma", "base_score": 0.0}, "above 0"),
        ({"objective": "reg:logistic", "base_score": 1.0}, "a probability above 0 and below 1"),
        ({"objective": "reg:tweedie", "tweedie_variance_power": 2.5}, "from 1 to below 2"),
        ({"huber_slope": "steep"}, "huber_slope='steep'"),
        ({"objective": 3}, "a name, or a function"),
        ({"objective": "reg:gama"}, "did you mean 'reg:gamma'"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(params: dict[str, Any], says: str) -> None:
    with pytest.raises(ParameterError, match=says):
        FedGBTRegressor(1, **params).fit(np.zeros((3, 1)), np.ones(3))


def test_a_parameter_of_another_objective_is_told_to_be_unused() -> None:
    with pytest.warns(UserWarning, match="huber_slope is not used by reg:squarederror"):
        FedGBTRegressor(1, huber_slope=2.0).fit(np.zeros((3, 1)), np.ones(3))
