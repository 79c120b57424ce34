"""Rare events: what a model says of all rows together is what happened, however small each gradient is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xgboost
from numpy.typing import NDArray
from strategies import Watched
from test_objectives import grids_of

from fedtrees import FedGBTClassifier, FedGBTRegressor, LocalFederation
from fedtrees.export.xgboost import storable_base_margin
from fedtrees.training.weights import Weights
from fedtrees.trees.losses import loss_named
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.tree import Tree
from fedtrees.trees.server.gradient_scales import GradientScales, check_weights

ROWS = 60_000
PARAMS: dict[str, Any] = {"n_estimators": 50, "max_depth": 3, "reg_lambda": 0, "min_child_weight": 0}


def rare(positives: int, rows: int = ROWS) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Rows of few values, and a class that nothing tells."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 2, (rows, 3)).astype(np.float32), np.zeros(rows, np.int64)
    y[rng.choice(rows, positives, replace=False)] = 1
    return x, y


def grids_asked(model: Any, x: Any, y: Any, weight: Any = None) -> list[int]:
    federation = Watched(LocalFederation.from_table(x, y, silos=np.arange(len(y)) % 5, sample_weight=weight))
    model.fit_federation(federation)
    return [grid.extra for grid in grids_of(federation)]


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("positives", [2, 5, 8, 20, 100])
def test_probabilities_of_a_rare_class_add_up_to_its_rows(positives: int) -> None:
    x, y = rare(positives)
    p = FedGBTClassifier(**PARAMS).fit(x, y, silos=np.arange(ROWS) % 7).predict_proba(x)[:, 1]
    assert p.sum(dtype=np.float64) / positives == pytest.approx(1, abs=0.002)
    shares = FedGBTRegressor(objective="reg:logistic", **PARAMS).fit(x, y).predict(x)
    assert shares.sum(dtype=np.float64) / positives == pytest.approx(1, abs=0.002)


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("positives", [5, 20])
def test_probabilities_of_a_rare_class_of_several_add_up_to_its_rows(positives: int) -> None:
    x, y = rare(positives)
    y[(y == 0) & (np.arange(ROWS) % 3 == 0)] = 2
    p = FedGBTClassifier(**PARAMS).fit(x, y).predict_proba(x).sum(axis=0, dtype=np.float64)
    np.testing.assert_allclose(p / np.bincount(y), 1, atol=0.002)


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("objective", ["count:poisson", "reg:tweedie", "reg:gamma", "reg:squarederror"])
def test_small_means_are_xgboosts(objective: str) -> None:
    x, y = rare(8)
    target = np.where(y, 1.0, 1e-4) if objective == "reg:gamma" else 3.0 * y
    params = PARAMS | {"objective": objective, "learning_rate": 0.1, "reg_lambda": 1e-6}
    own = FedGBTRegressor(**params).fit(x, target).predict(x).astype(np.float64)
    theirs = xgboost.XGBRegressor(**params).fit(x, target).predict(x).astype(np.float64)
    assert own.sum() == pytest.approx(theirs.sum(), rel=0.002)


@pytest.mark.slow_without_jit
def test_a_rare_class_that_weighs_more_is_as_often_as_it_weighs() -> None:
    x, y = rare(8)
    model = FedGBTClassifier(scale_pos_weight=ROWS / 8 - 1, **PARAMS).fit(x, y)
    weighted = np.where(y == 1, ROWS / 8 - 1, 1.0)
    assert model.predict_proba(x)[:, 1] @ weighted / weighted[y == 1].sum() == pytest.approx(1, abs=0.002)
    light = np.where(y == 1, 0.01, 1.0)
    p = FedGBTClassifier(**PARAMS).fit(x, y, sample_weight=light).predict_proba(x)[:, 1]
    assert p @ light / light[y == 1].sum() == pytest.approx(1, abs=0.002)


# -- which grid -----------------------------------------------------------------------------------------------


def test_balanced_classes_without_weights_keep_to_one_word() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 4)).astype(np.float32)
    y = (x.sum(axis=1) + rng.normal(size=500) > 0).astype(int)
    assert set(grids_asked(FedGBTClassifier(n_estimators=15, max_depth=3), x, y)) == {0}
    y = np.digitize(x.sum(axis=1) + rng.normal(size=500), [-1, 1])
    assert set(grids_asked(FedGBTClassifier(n_estimators=5, max_depth=3), x, y)) == {0}


def test_rows_that_are_fitted_to_nothing_get_the_finer_grid_and_a_model_that_goes_on_keeps_it() -> None:
    x = (np.arange(200) % 2).astype(np.float32)[:, None]
    y = np.arange(200) % 2
    params: dict[str, Any] = {"reg_lambda": 0, "min_child_weight": 0, "max_depth": 1, "learning_rate": 1.0}
    asked = grids_asked(FedGBTClassifier(n_estimators=14, **params), x, y)
    assert asked[0] == 0 and asked[-1] > 0
    whole = FedGBTClassifier(n_estimators=14, **params).fit(x, y)
    half = FedGBTClassifier(n_estimators=9, **params).fit(x, y)
    again = FedGBTClassifier(n_estimators=5, **params).fit(x, y, xgb_model=half)
    assert again.predict(x, output_margin=True).tolist() == whole.predict(x, output_margin=True).tolist()
    theirs = xgboost.XGBClassifier(n_estimators=14, base_score=0.5, **params).fit(x, y)
    np.testing.assert_allclose(whole.predict(x, output_margin=True), theirs.predict(x, output_margin=True), rtol=1e-3)


@pytest.mark.parametrize(
    ("positives", "span", "extra"),
    [
        (500, 0, 0), (500, 8, 0), (500, 9, 19), (500, 23, 19), (500, 24, 33), (2, 0, 0), (1, 0, 19), (1 / 64, 0, 19),
        (1 / 64, 8, 19), (1 / 64, 9, 33),
    ],
)  # fmt: skip
def test_digits_are_added_where_a_class_is_rare_or_weights_span_orders(positives: float, span: int, extra: int) -> None:
    weights = Weights(1000, (0, 0), 1, span == 0, span)
    sums = np.array([1000.0 - positives, positives])
    for name in ("binary:logistic", "multi:softprob"):
        scales = GradientScales(loss_named(name), weights, 1000, 1000, sums=sums)
        assert scales.of_round(Any, Any, scales.first()).extra == extra


def tree_of(hessian: float) -> Tree:
    none, one = np.full(1, -1, np.int32), np.zeros(1, np.float32)
    return Tree(none, one.astype(np.int32), one > 0, none, one, one, np.float32([hessian]))


@pytest.mark.parametrize(("hessian", "extra"), [(250, 0), (0.5, 0), (0.48, 19), (1e-6, 33), (0.0, 0)])
def test_digits_are_added_where_little_is_left_of_hessians(hessian: float, extra: int) -> None:
    weights, loss = Weights(1000, (0, 0), 1), loss_named("binary:logistic")
    for asked, drawn in ((1.0, 1.0), (0.25, 0.5)):
        scales = GradientScales(loss, weights, 1000, 1000, sums=np.array([500.0, 500.0]), drawn=drawn)
        foreseen = scales.after([], [tree_of(hessian * asked * drawn)], asked, 1)
        assert scales.of_round(Any, Any, foreseen) == GradientScale(0, -2, extra)


def test_what_a_loss_adds_to_weights_is_part_of_their_span() -> None:
    loss = loss_named("binary:logistic", {"scale_pos_weight": 2.0**20})
    assert (
        loss.weight_span() == 20 and loss_named("binary:logistic", {"scale_pos_weight": 2.0**-20}).weight_span() == 20
    )
    check_weights(loss, Weights(1000, (0, 0), 1, span=28), 1000)
    with pytest.raises(Exception, match="sample_weight"):
        check_weights(loss, Weights(1000, (0, 0), 1, span=29), 1000)


@pytest.mark.parametrize("share", [0.0, 2e-6, 1e-5, 1e-4, 1e-2, 0.5, 0.99, 1 - 1e-4, 1 - 1e-5, 1.0])
@pytest.mark.parametrize("objective", ["binary:logistic", "reg:logistic", "binary:logitraw", "multi:softprob"])
def test_margins_start_from_xgboosts_for_a_class_of_any_share(objective: str, share: float) -> None:
    classes = {"num_class": 2} if objective == "multi:softprob" else {}
    data = xgboost.DMatrix(np.zeros((2, 1)), np.float32([0, 1]), weight=np.float32([1 - share, share]))
    booster = xgboost.train({"objective": objective, "learning_rate": 0, **classes}, data, 1)
    theirs = booster.predict(data, output_margin=True)[0]
    sums = np.array([1.0 if objective == "reg:logistic" else 1 - share, share])
    ours = storable_base_margin(objective, loss_named(objective).intercept(sums))
    np.testing.assert_allclose(ours, np.atleast_1d(theirs), atol=1e-5 if share < 0.9999 else 0.2)


def test_a_constant_prediction_of_a_loss_has_a_least_share() -> None:
    assert loss_named("binary:logistic").least_share(np.array([3.0, 1.0])) == 0.25
    assert loss_named("binary:logistic", {"scale_pos_weight": 9.0}).least_share(np.array([3.0, 1.0])) == 0.25
    assert loss_named("multi:softprob").least_share(np.array([6.0, 0.0, 2.0])) == 0.25
    assert loss_named("reg:logistic").least_share(np.array([4.0, 3.0])) == 0.25
    assert loss_named("reg:quantileerror", {"quantile_alpha": [0.5, 0.875]}).least_share(np.zeros(2)) == 0.125
    assert loss_named("reg:squarederror").least_share(np.array([4.0, 3.0])) == 1
    assert loss_named("binary:logistic").largest_hessians(np.array([3.0, 1.0])) == 1
    assert loss_named("multi:softprob").largest_hessians(np.array([3.0, 1.0, 4.0])) == 4
    assert loss_named("reg:absoluteerror").largest_hessians(np.array([3.0, 1.0])) == 0
