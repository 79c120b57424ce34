"""Times that are known by bounds: both models of them are XGBoost's, and every law holds for them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import Watched, assert_booster_s_margins, examples
from xgboost_twin import same_trees

from fedtrees import DataError, FedGBTRegressor, LocalFederation, ParameterError, Silo
from fedtrees.core.data.table_targets import numbers_of
from fedtrees.core.numeric.distributions import DISTRIBUTIONS, distribution, erf
from fedtrees.queries.metric import Rows
from fedtrees.queries.metrics import metric_named
from fedtrees.trees.kernels.survival import aft_row
from fedtrees.trees.losses import loss_named

AFT = "survival:aft"
seeds = st.integers(0, 2**32 - 1)
NOISE = {
    "normal": scipy.stats.norm,
    "logistic": scipy.stats.logistic,
    "extreme": scipy.stats.gumbel_l,
}


def times(n: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Whole numbers, few of each column, and times, a quarter of them known, the others by one bound or two."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 24, (n, 4)).astype(np.float32)
    t = np.exp(X[:, 0] / 12 - X[:, 1] / 20 + 0.5 * rng.normal(size=n)).astype(np.float32)
    known = rng.integers(0, 4, n)
    lower = np.where(known == 2, 0, t)
    upper = np.select([known == 1, known == 3], [np.inf, 1.5 * t], t)
    return X, np.stack([lower, upper], axis=1).astype(np.float32)


def their_matrix(X: Any, y: Any, weight: Any = None) -> xgboost.DMatrix:
    matrix = xgboost.QuantileDMatrix(X, weight=weight, max_bin=512)
    matrix.set_float_info("label_lower_bound", y[:, 0])
    matrix.set_float_info("label_upper_bound", y[:, 1])
    return matrix


# -- functions ----------------------------------------------------------------------------------------------


def test_the_error_function_is_scipy_s() -> None:
    x = np.concatenate([np.linspace(-7, 7, 2001), [0.0, 1e-300, -1e-12]])
    np.testing.assert_allclose([erf(own) for own in x], scipy.special.erf(x), rtol=4e-15, atol=4e-16)


@pytest.mark.parametrize("kind", NOISE)
def test_distributions_are_scipy_s_and_their_derivatives_are_slopes(kind: str) -> None:
    z = np.linspace(-6, 3, 181)
    below, density, slope, bend = np.array([distribution(DISTRIBUTIONS[kind], own) for own in z]).T
    np.testing.assert_allclose(below, NOISE[kind].cdf(z), rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(density, NOISE[kind].pdf(z), rtol=1e-9, atol=1e-14)
    step = 1e-5
    for values, derivative, place in ((density, slope, 1), (slope, bend, 2)):
        right, left = (
            np.array([distribution(DISTRIBUTIONS[kind], own + side * step)[place] for own in z]) for side in (1, -1)
        )
        np.testing.assert_allclose((right - left) / (2 * step), derivative, atol=1e-8)
        assert len(values) == len(z)


@pytest.mark.parametrize("kind", NOISE)
def test_distributions_are_scipy_s_far_out(kind: str) -> None:
    """Also where hardly anything lies: densities by their own size, and nothing above 1."""
    z = np.concatenate([np.linspace(-37, -6, 50), np.linspace(3, 37, 50)])
    if kind != "normal":
        z = np.concatenate([z, [-600.0, -310.0, -290.0, 290.0, 299.0]])
    below, density, *_ = np.array([distribution(DISTRIBUTIONS[kind], own) for own in z]).T
    np.testing.assert_allclose(below, NOISE[kind].cdf(z), rtol=1e-9, atol=3e-16)
    np.testing.assert_allclose(density, NOISE[kind].pdf(z), rtol=1e-9, atol=1e-290)
    assert (below <= 1).all() and (below >= 0).all()
    for far in (301.0, 1e4, np.inf):
        assert distribution(DISTRIBUTIONS[kind], far)[:2] == pytest.approx((1, 0), rel=0, abs=1e-300)
        assert distribution(DISTRIBUTIONS[kind], -far)[0] == pytest.approx(0, abs=1e-130)


@pytest.mark.parametrize("kind", NOISE)
@pytest.mark.parametrize("bounds", [(2.0, 2.0), (2.0, np.inf), (0.0, 2.0), (1.5, 4.0)])
@pytest.mark.parametrize("scale", [0.7, 1.0, 2.0])
def test_gradients_and_hessians_are_the_slopes_of_the_loss(kind: str, bounds: Any, scale: float) -> None:
    def loss(margin: float) -> float:
        z_l, z_u = ((np.log(own) - margin) / scale if own > 0 else -np.inf for own in bounds)
        if bounds[0] == bounds[1]:
            return float(-NOISE[kind].logpdf(z_l) + np.log(scale * bounds[0]))
        return float(-np.log(NOISE[kind].cdf(z_u) - NOISE[kind].cdf(z_l)))

    step = 1e-4
    for margin in np.linspace(-1, 2, 13):
        g, h = aft_row(DISTRIBUTIONS[kind], scale, margin, *bounds)
        if abs(g) == 15 or h == 15:  # XGBoost's limits
            continue
        assert g == pytest.approx((loss(margin + step) - loss(margin - step)) / (2 * step), rel=1e-5, abs=1e-6)
        curve = (loss(margin + step) - 2 * loss(margin) + loss(margin - step)) / step**2
        assert h == pytest.approx(max(curve, 1e-16), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("kind", NOISE)
def test_far_from_a_time_gradients_stay_within_xgboosts_limits(kind: str) -> None:
    for bounds in ((1.0, 1.0), (1.0, np.inf), (0.0, 1.0), (1.0, 2.0)):
        for margin in (-500.0, -60.0, 60.0, 500.0):
            g, h = aft_row(DISTRIBUTIONS[kind], 0.5, margin, *bounds)
            assert abs(g) <= 15 and 1e-16 <= h <= 15
            assert g * margin >= -1e-40


@pytest.mark.parametrize("kind", NOISE)
@pytest.mark.parametrize("bounds", [(1.0, 1.0), (1.0, np.inf), (0.0, 1.0), (1.0, 2.0)])
@pytest.mark.parametrize("scale", [0.5, 0.1])  # the curve of normal noise of 0.1 is 100, and counts as 15
def test_far_from_a_time_gradients_are_xgboosts(scale: float, kind: str, bounds: tuple[float, float]) -> None:
    """One row's leaf is -g / (h + lambda): what both tend to, by what is known of the time and on which side it is."""
    row = xgboost.DMatrix(np.zeros((1, 1), np.float32))
    for name, bound in zip(("label_lower_bound", "label_upper_bound"), bounds, strict=True):
        row.set_float_info(name, [bound])
    params: dict[str, Any] = {
        "objective": AFT, "aft_loss_distribution": kind, "aft_loss_distribution_scale": scale, "base_score": 1.0,
        "tree_method": "hist", "max_depth": 1, "min_child_weight": 0, "learning_rate": 1,
    }  # fmt: skip
    for margin in (-500.0, -60.0, 60.0, 500.0):
        g, h = aft_row(DISTRIBUTIONS[kind], scale, margin, *bounds)
        assert abs(g) <= 15 and 1e-16 <= h <= 15
        row.set_base_margin([margin])
        for more in (0.0, 1.0):
            dump = xgboost.train(params | {"reg_lambda": more}, row, 1).get_dump(dump_format="json")
            assert json.loads(dump[0])["leaf"] == pytest.approx(-g / (h + more), rel=1e-3, abs=1e-12)


# -- as XGBoost ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", NOISE)
def test_trees_and_scores_are_xgboost_s(kind: str, weighted: bool) -> None:
    X, y = times(2000)
    weight = np.random.default_rng(1).uniform(0.5, 1.5, len(X)).astype(np.float32) if weighted else None
    params: dict[str, Any] = {
        "objective": AFT, "aft_loss_distribution": kind, "aft_loss_distribution_scale": 1.2, "max_depth": 3,
        "eval_metric": ["interval-regression-accuracy", "aft-nloglik"],
    }  # fmt: skip
    model = FedGBTRegressor(6, max_bin=512, **params)
    model.fit(
        X, y, silos=np.arange(len(X)) % 3, sample_weight=weight, eval_set=[(X, y)], sample_weight_eval_set=[weight]
    )
    scores: dict[str, Any] = {}
    matrix = their_matrix(X, y, weight)
    theirs = xgboost.train(
        params | {"tree_method": "hist", "max_bin": 512}, matrix, 6, evals=[(matrix, "t")], evals_result=scores,
        verbose_eval=False,
    )  # fmt: skip
    assert same_trees(model.booster_, theirs) > 60
    for name, values in scores["t"].items():
        np.testing.assert_allclose(model.evals_result_["validation_0"][name], values, rtol=1e-4)
    np.testing.assert_allclose(model.predict(X), theirs.predict(matrix), rtol=1e-3)


def test_the_documented_example(tmp_path: Any) -> None:
    """Tutorials, Survival Analysis with Accelerated Failure Time: four kinds of bounds, and what is saved."""
    X = np.array([[1, -1], [-1, 1], [0, 1], [1, 0]], np.float32)
    y = np.array([[2.0, 2.0], [3.0, np.inf], [0.0, 4.0], [4.0, 5.0]])
    params: dict[str, Any] = {
        "objective": AFT, "eval_metric": "aft-nloglik", "aft_loss_distribution": "normal",
        "aft_loss_distribution_scale": 1.20, "learning_rate": 0.05, "max_depth": 2,
    }  # fmt: skip
    model = FedGBTRegressor(5, **params).fit(X, y, silos=["a", "b", "a", "c"], eval_set=[(X, y)])
    scores: dict[str, Any] = {}
    matrix = their_matrix(X, y)
    theirs = xgboost.train(
        {"tree_method": "hist", "max_bin": 512, **params},
        matrix,
        5,
        evals=[(matrix, "train")],
        evals_result=scores,
        verbose_eval=False,
    )
    np.testing.assert_allclose(model.predict(X), theirs.predict(matrix), rtol=1e-5)
    np.testing.assert_allclose(
        model.evals_result_["validation_0"]["aft-nloglik"], scores["train"]["aft-nloglik"], rtol=1e-5
    )
    model.save_model(tmp_path / "model.json")
    said = json.loads(xgboost.Booster(model_file=tmp_path / "model.json").save_config())["learner"]["objective"]
    assert said["name"] == AFT and said["aft_loss_param"]["aft_loss_distribution"] == "normal"
    assert float(said["aft_loss_param"]["aft_loss_distribution_scale"]) == pytest.approx(1.2)
    again = FedGBTRegressor().load_model(tmp_path / "model.json")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.parametrize("rows", [slice(0, 1), slice(1, 2), slice(2, 3), slice(0, 2), slice(0, 3)], ids=str)
def test_bounds_are_read_alike_whoever_holds_them(rows: slice) -> None:
    """Of a silo of none but unknown lower bounds, too."""
    given, read = np.array([[-np.inf, 2], [-np.inf, np.inf], [1, np.inf]]), [[0, 2], [0, np.inf], [1, np.inf]]
    silo = Silo("a", np.zeros((3, 1))[rows], given[rows])
    assert numbers_of(silo.table, open_above=True).tolist() == read[rows]
    for place, wrong in ((0, np.inf), (0, np.nan), (1, -np.inf), (1, np.nan)):
        odd = given[rows].copy()
        odd[-1, place] = wrong
        with pytest.raises(DataError, match=rf"^silo 'a': y, row {len(odd) - 1}: NaN, infinity or None"):
            numbers_of(Silo("a", np.zeros((3, 1))[rows], odd).table, open_above=True)


@pytest.mark.parametrize("kind", sorted(NOISE))
def test_times_that_are_as_good_as_impossible_cost_what_they_do_in_xgboost(kind: str) -> None:
    """Of no likelihood is less than 1e-12 made, whose logarithm is -27.6."""
    bounds = np.float32([[1, 1], [1, np.inf], [0, 1], [1, 2], [1, 1.0001]])
    params = {"aft_loss_distribution": kind, "aft_loss_distribution_scale": 0.5}
    metric, costs = metric_named("aft-nloglik", AFT), []
    for margin in (-14.0, -3.5, -1.0, 0.0, 1.0, 1.7, 3.5, 14.0):
        for low, high in bounds:
            matrix = xgboost.DMatrix(np.zeros((1, 1)), base_margin=[margin])
            matrix.set_float_info("label_lower_bound", [low])
            matrix.set_float_info("label_upper_bound", [high])
            rows = Rows(AFT, np.float32([[margin]]), np.float32([[low, high]]), None, 0, params)
            costs.append(metric.read(metric.ask(rows)))
            booster = xgboost.Booster({"objective": AFT, "eval_metric": "aft-nloglik", **params}, [matrix])
            assert costs[-1] == pytest.approx(float(booster.eval(matrix).split(":")[-1]), rel=1e-4, abs=1e-6)
    assert max(costs) == pytest.approx(-np.log(1e-12), rel=1e-6) and costs.count(max(costs)) >= 5


@pytest.mark.parametrize("kind", ["normal", "logistic", "extreme"])
def test_a_lower_bound_of_minus_infinity_is_one_of_0_as_in_xgboost(kind: str) -> None:
    rng = np.random.default_rng(0)
    table = rng.integers(0, 20, (400, 3)).astype(np.float32)
    time = np.exp(table[:, 0] / 10 + 0.2 * rng.normal(size=400))
    nothing = rng.random(400) < 0.3
    upper = np.where(rng.random(400) < 0.2, np.inf, time)
    params: dict[str, Any] = {"max_depth": 3, "aft_loss_distribution": kind}
    bounds = [np.column_stack([np.where(nothing, low, time), np.where(nothing, time, upper)]) for low in (-np.inf, 0.0)]
    bounds[0][0], bounds[1][0] = (-np.inf, np.inf), (0, np.inf)  # of which nothing is known
    estimator = FedGBTRegressor(8, objective="survival:aft", n_jobs=1, **params)
    ours, zero = (bytes(estimator.fit(table, y, silos=np.arange(400) % 3).booster_.save_raw()) for y in bounds)
    assert ours == zero
    matrix = xgboost.DMatrix(table)
    matrix.set_float_info("label_lower_bound", bounds[0][:, 0])
    matrix.set_float_info("label_upper_bound", bounds[0][:, 1])
    theirs = xgboost.train({"objective": "survival:aft", "tree_method": "hist", **params}, matrix, 8)
    np.testing.assert_allclose(estimator.predict(table), theirs.predict(matrix), rtol=2e-3)


# -- the laws -----------------------------------------------------------------------------------------------


@examples(12)
@given(seed=seeds, n=st.integers(1, 60), n_silos=st.integers(1, 5), kind=st.sampled_from(sorted(NOISE)))
def test_every_partition_gives_the_pooled_model_whose_margins_are_those_of_training(
    seed: int, n: int, n_silos: int, kind: str
) -> None:
    X, y = times(n, seed)
    silo = np.random.default_rng(seed).integers(n_silos, size=n)
    estimator = FedGBTRegressor(3, objective=AFT, aft_loss_distribution=kind, max_depth=3, n_jobs=1)
    pooled = estimator.fit(X, y).booster_.save_raw()
    ledgers = []
    for mode in ("fused", "faithful"):
        silos = [Silo(f"silo {k}", X[silo == k], y[silo == k] if (silo == k).any() else []) for k in range(n_silos)]
        federation = Watched(LocalFederation(silos, mode=mode))
        model = estimator.fit_federation(federation)
        assert model.booster_.save_raw() == pooled
        ledgers.append(model.ledger_.per_silo())
        assert federation.log is not None
        for own in [federation.inner._fused] if mode == "fused" else silos:
            own.forget()
            assert_booster_s_margins(own, federation.log, model)
    assert ledgers[0].equals(ledgers[1])


# -- errors -------------------------------------------------------------------------------------------------

FINE = np.array([[1.0, 2.0], [3.0, np.inf], [0.0, 4.0]])


@pytest.mark.parametrize(
    ("y", "error"),
    [
        ([1.0, 2.0, 3.0], "survival:aft needs y of two columns, .*; it has 1"),
        (np.ones((3, 3)), "survival:aft needs y of two columns, .*; it has 3"),
        ([[1.0, 2.0], [-1.0, 2.0], [1.0, 2.0]], "y, row 1: a lower bound below 0"),
        ([[1.0, 2.0], [1.0, 2.0], [3.0, 2.0]], "y, row 2: a lower bound above the upper one"),
        ([[0.0, 0.0], [1.0, 2.0], [1.0, 2.0]], "y, row 0: an upper bound of 0"),
        ([[np.inf, np.inf], [1.0, 2.0], [1.0, 2.0]], "y, row 0: NaN, infinity or None"),
        ([[1.0, np.nan], [1.0, 2.0], [1.0, 2.0]], "y, row 0: NaN, infinity or None"),
        ([[1.0, -np.inf], [1.0, 2.0], [1.0, 2.0]], "y, row 0: NaN, infinity or None"),
        ([[1.0, 1e39], [1.0, 2.0], [1.0, 2.0]], "y, row 0: too large for float32"),
    ],
)
def test_bounds_that_are_none_are_refused(y: Any, error: str) -> None:
    with pytest.raises((DataError, ParameterError), match=error):
        FedGBTRegressor(1, objective=AFT).fit(np.zeros((3, 1)), y)


def test_only_bounds_may_be_infinite() -> None:
    with pytest.raises(DataError, match="y, row 1: NaN, infinity or None"):
        FedGBTRegressor(1).fit(np.zeros((3, 1)), FINE)


@pytest.mark.parametrize(
    ("params", "error"),
    [
        ({"aft_loss_distribution": "norm"}, "did you mean 'normal'"),
        ({"aft_loss_distribution_scale": 0.0}, "give a number from 1e-6 to 1e6"),
        ({"aft_loss_distribution_scale": "wide"}, "aft_loss_distribution_scale='wide'"),
        ({"eval_metric": "rmse"}, "eval_metric='rmse' says nothing of what survival:aft predicts"),
        ({"base_score": 0.0}, "give a number above 0"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(params: dict[str, Any], error: str) -> None:
    with pytest.raises(ParameterError, match=error):
        FedGBTRegressor(1, objective=AFT, **params).fit(np.zeros((3, 1)), FINE)


def test_r2_is_no_score_of_times() -> None:
    model = FedGBTRegressor(1, objective=AFT).fit(np.zeros((3, 1)), FINE)
    with pytest.raises(DataError, match="score: R2 says nothing of what survival:aft predicts"):
        model.score(np.zeros((3, 1)), FINE)


def test_the_metric_is_of_this_objective_alone() -> None:
    with pytest.raises(ParameterError, match="eval_metric='aft-nloglik' says nothing of what reg:squared"):
        FedGBTRegressor(1, eval_metric="aft-nloglik").fit(np.zeros((3, 1)), np.ones(3))
    assert loss_named(AFT).params() == {"aft_loss_distribution": "normal", "aft_loss_distribution_scale": 1.0}
