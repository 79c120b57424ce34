"""Losses: what their gradients are gradients of, what the kernels make of them, and what bounds them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import CLASSES, examples, numbers_for

from fedtrees.core.numeric.fixed_point import LOWEST_EXPONENT, N_EXPONENTS, exponent_counts, exponent_of
from fedtrees.errors import ParameterError
from fedtrees.trees.kernels import gradients as gradients_kernels
from fedtrees.trees.kernels.histogram import STATISTIC_BITS_G, STATISTIC_BITS_H
from fedtrees.trees.losses import LOSSES, Bounds, Loss, Moves, gradient_scale_of, gradients, loss_named
from fedtrees.trees.model.gradient_scale import GradientScale

Doubles = NDArray[np.float64]

PARAMS: dict[str, dict[str, float]] = {
    "reg:pseudohubererror": {"huber_slope": 2.5},
    "count:poisson": {"max_delta_step": 0.3},
    "reg:tweedie": {"tweedie_variance_power": 1.2},
    "reg:quantileerror": {"quantile_alpha": 0.8},
}
seeds = st.integers(0, 2**32 - 1)
ELSEWHERE = ("survival:", "rank:", "tree:")  # these have tests of their own
ROWWISE = sorted(name for name in LOSSES if not name.startswith(ELSEWHERE))
names = st.sampled_from(ROWWISE)
ONCE = np.ones(1, np.int64)
losses = st.one_of(names.map(loss_named), names.map(lambda name: loss_named(name, PARAMS.get(name))))
sizes = st.floats(1e-3, 1e3)


def value(loss: Loss, margin: Doubles, y: NDArray[np.float32]) -> Doubles:
    """The loss itself, of every row: margin (outputs, rows)."""
    p, y64 = margin[0], y.astype(np.float64)
    params: Any = loss.params()
    match loss.name:
        case "binary:logistic" | "binary:logitraw" | "reg:logistic":
            return np.logaddexp(0, p) - y * p
        case "multi:softprob" | "multi:softmax":
            return np.logaddexp.reduce(margin, axis=0) - margin[y.astype(int), np.arange(len(y))]
        case "binary:hinge":
            return np.maximum(0, 1 - (2 * y64 - 1) * p)
        case "reg:squaredlogerror":
            return (np.log1p(np.maximum(p, -1 + 1e-6)) - np.log1p(y64)) ** 2 / 2
        case "reg:pseudohubererror":
            slope = params["huber_slope"]
            return slope**2 * (np.sqrt(1 + ((p - y64) / slope) ** 2) - 1)
        case "count:poisson":
            return np.exp(p) - y64 * p
        case "reg:gamma":
            return p + y64 * np.exp(-p)
        case "reg:tweedie":
            power = params["tweedie_variance_power"]
            return -y64 * np.exp((1 - power) * p) / (1 - power) + np.exp((2 - power) * p) / (2 - power)
        case "reg:absoluteerror":
            return np.abs(p - y64)
        case "reg:quantileerror":
            (alpha,) = params["quantile_alpha"]
            return np.maximum(alpha * (y64 - p), (alpha - 1) * (y64 - p))
        case _:
            return (p - y64) ** 2 / 2


def targets(rng: np.random.Generator, loss: Loss, rows: int) -> NDArray[np.float32]:
    classes = CLASSES[loss.name]
    if classes:
        return rng.integers(0, classes, rows).astype(np.float32)
    if loss.name in ("reg:squarederror", "reg:pseudohubererror", "reg:absoluteerror", "reg:quantileerror"):
        return (rng.normal(size=rows) * 5).astype(np.float32)
    y = numbers_for(loss.name, rng, rng.random(rows))
    return np.minimum(y, 100).astype(np.float32)


def margins(rng: np.random.Generator, loss: Loss, rows: int, scale: float) -> Doubles:
    margin = rng.normal(scale=scale, size=(loss.outputs(CLASSES[loss.name]), rows))
    return np.abs(margin) if loss.name == "reg:squaredlogerror" else margin


# -- what gradients are -------------------------------------------------------------------------------------


def bend_of(loss: Loss, bend: Doubles, y: NDArray[np.float32], margin: Doubles) -> Doubles:
    """XGBoost's hessian, from the true one."""
    if loss.name.startswith("multi:"):  # twice the diagonal of the softmax, which bounds the whole matrix from above
        return 2 * bend
    if loss.name == "count:poisson":
        return bend * math.exp(float(loss.params()["max_delta_step"]))
    if loss.name == "reg:squaredlogerror":
        return np.maximum(bend, 1e-6)
    if loss.name == "binary:hinge":
        return np.where((2 * y - 1) * margin[0] < 1, 1.0, 0.0)
    return np.ones(len(y)) if loss.leaf_quantiles(1) else bend


@given(loss=losses, seed=seeds, scale=st.sampled_from([0.1, 1.0, 3.0]))
def test_gradients_and_hessians_are_the_slopes_of_the_loss(loss: Loss, seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    margin, y = margins(rng, loss, 20, scale), targets(rng, loss, 20)
    if loss.name in ("binary:hinge", "reg:absoluteerror", "reg:quantileerror"):  # not at their kinks
        margin += np.where(np.abs(margin - np.round(margin)) < 1e-3, 0.01, 0.0)
    g, h = gradients(loss, margin, y)
    assert g.shape == h.shape == margin.shape
    for k in range(len(margin)):
        step = np.zeros((len(margin), 1))
        step[k] = 1e-5
        slope = (value(loss, margin + step, y) - value(loss, margin - step, y)) / 2e-5
        np.testing.assert_allclose(g[k], slope, atol=1e-5 * (1 + np.abs(g).max()), rtol=1e-4)
        bend = (gradients(loss, margin + step, y)[0][k] - gradients(loss, margin - step, y)[0][k]) / 2e-5
        np.testing.assert_allclose(h[k], bend_of(loss, bend, y, margin), atol=1e-5 * (1 + h.max()), rtol=1e-4)


# the others start where XGBoost starts them, which is elsewhere: see test_boost
AT_THE_LEAST = [
    "binary:logistic", "count:poisson", "multi:softmax", "multi:softprob", "reg:gamma", "reg:logistic",
    "reg:squarederror", "reg:tweedie",
]  # fmt: skip


@given(name=st.sampled_from(AT_THE_LEAST), seed=seeds)
def test_margins_start_where_the_loss_is_least(name: str, seed: int) -> None:
    loss, rng = loss_named(name), np.random.default_rng(seed)
    y, weight = targets(rng, loss, 200), rng.uniform(0.1, 2, 200)
    classes = CLASSES[name]
    if classes:
        y[:classes] = np.arange(classes)
        sums = np.array([weight[y == k].sum() for k in range(classes)])
    else:
        sums = np.array([weight.sum(), (weight * y).sum()])
    margin = np.tile(loss.intercept(sums)[:, None], 200)
    assert margin.shape == (loss.outputs(classes), 200)
    g, _ = gradients(loss, margin, y)
    assert np.abs((g * weight).sum(axis=1)).max() < 1e-5 * (np.abs(g * weight).sum() + 1)


def test_positives_weigh_more() -> None:
    for name in ("binary:logistic", "binary:logitraw"):
        plain, three = (loss_named(name, {"scale_pos_weight": weight}) for weight in (1.0, 3.0))
        assert three.intercept(np.array([2.0, 1.0])) == [0.4]  # a Newton step: see test_objectives
        weight, y = np.ones(1, np.float32), np.float32([0, 1, 1])
        assert three.weighted(weight, y).tolist() == [1.0, 3.0, 3.0]
        assert plain.weighted(weight, y) is weight
        assert three.bound() == (3.0, 0.75)


@given(share=st.floats(0.01, 0.99))
def test_a_base_score_is_in_the_units_of_a_prediction(share: float) -> None:
    for name in ("binary:logistic", "reg:logistic"):
        assert 1 / (1 + math.exp(-loss_named(name).link(share))) == pytest.approx(share)
    for name in ("count:poisson", "reg:gamma", "reg:tweedie"):
        assert math.exp(loss_named(name).link(share)) == pytest.approx(share)
    for name in ("reg:squarederror", "binary:logitraw", "binary:hinge", "reg:absoluteerror"):
        assert loss_named(name).link(share) == share


# -- kernels ------------------------------------------------------------------------------------------------


@examples(100, plain=100)
@given(
    loss=losses,
    seed=seeds,
    scale=st.sampled_from([0.0, 1.0, 30.0]),
    weighted=st.booleans(),
    weight_exponent=st.integers(-10, 10),
    extra=st.sampled_from([0, 1, 7, 19, 20, 33, 38]),
)
def test_words_hold_what_the_gradients_are_on_the_grid(
    loss: Loss, seed: int, scale: float, weighted: bool, weight_exponent: int, extra: int
) -> None:
    rng, rows = np.random.default_rng(seed), 30
    margin, y = margins(rng, loss, rows, scale).astype(np.float32), targets(rng, loss, rows)
    largest = 2.0**weight_exponent
    weight = (rng.uniform(0, largest, rows) if weighted else np.full(1, largest)).astype(np.float32)
    plain_g, plain_h = gradients(loss, margin, y)
    ranges = np.sort(rng.integers(0, rows + 1, 4)).reshape(2, 2)
    g, h = np.full((2, *margin.shape), np.nan)
    loss.statistics(margin, y, weight, ranges, g, h)
    asked = np.zeros(rows, bool)
    for start, stop in ranges:
        asked[start:stop] = True
    assert (g[:, asked] == (plain_g * weight)[:, asked]).all() and (h[:, asked] == (plain_h * weight)[:, asked]).all()
    assert np.isnan(g[:, ~asked]).all()

    all_g, all_h = plain_g * weight, plain_h * weight
    exponents = exponent_of(np.abs(all_g).max()), exponent_of(all_h.max())
    bound = loss.bound()
    grid = (gradient_scale_of(bound, weight_exponent) if bound else GradientScale(*exponents))._replace(extra=extra)
    scale_g, scale_h = grid.scales()
    digits, whole_g, whole_h, least = (0, *grid.further), 0, 0, seed % 2
    assert sum(digits) == extra
    for place, own in enumerate(digits):
        words, below = np.full(margin.shape, -7), sum(digits[place + 1 :])
        for k in range(len(margin)):
            gradients_kernels.pack_statistics(
                g[k], h[k], ranges, scale_g, scale_h, 2.0**62, (np.int64(0), least), own, below, words[k]
            )
        part_g, part_h = words[:, asked] >> 32, words[:, asked] & 0xFFFFFFFF
        if place:
            assert (part_g >= 0).all() and (part_g < 2**own).all() and (part_h < 2**own).all()
        else:
            assert (np.abs(part_g) <= 2**STATISTIC_BITS_G).all() and (part_h <= 2**STATISTIC_BITS_H).all()
        whole_g, whole_h = (whole_g << own) + part_g, (whole_h << own) + part_h
        assert (words[:, ~asked] == -7).all()
    assert (whole_g == np.rint(all_g * scale_g)[:, asked]).all()
    expected_h = np.maximum(np.rint(all_h * scale_h), (all_h > 0) * least)[:, asked]
    assert (whole_h == expected_h).all()

    if loss.kernel is not None and not extra and not least:  # the words at once
        fused = np.full(margin.shape, -7)
        loss.kernel(margin, y, weight, ranges, scale_g, scale_h, fused)
        assert (fused == words).all()


@given(st.lists(st.floats(-1e37, 1e37)))
def test_exponents_are_counted_as_the_naive_twin_counts_them(values: list[float]) -> None:
    own = np.array(values, np.float64)
    out = np.zeros(N_EXPONENTS, np.int64)
    assert gradients_kernels.count_exponents(own, ONCE, np.array([[0, len(own)]]), LOWEST_EXPONENT, out)
    assert out.tolist() == exponent_counts(own).tolist()


@pytest.mark.parametrize("beyond", [2.0**128 * 1.01, math.inf, math.nan])
def test_what_has_no_exponent_is_noticed(beyond: float) -> None:
    out = np.zeros(N_EXPONENTS, np.int64)
    assert not gradients_kernels.count_exponents(
        np.array([1.0, beyond]), ONCE, np.array([[0, 2]]), LOWEST_EXPONENT, out
    )


# -- bounds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in ROWWISE if loss_named(name).bound()])
@pytest.mark.parametrize("margin", [0.0, 800.0, -800.0, 3e38, -3e38])
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_gradients_stay_within_their_bound_at_any_margin(name: str, margin: float, y: float) -> None:
    loss = loss_named(name)
    bound = loss.bound()
    assert bound is not None
    where = np.zeros((loss.outputs(CLASSES[name]), 1), np.float32)
    where[0] = margin
    g, h = gradients(loss, where, np.float32([y]))
    assert (np.abs(g) <= bound[0]).all() and (h <= bound[1]).all() and (h > 0).all()


@examples(300, plain=300)
@given(
    loss=losses.filter(lambda loss: loss.bound() is None),
    seed=seeds,
    largest=st.sampled_from([0.0, 0.1, 1.0, 10.0]),
    covered=st.booleans(),
    weight=st.sampled_from([1.0, 0.01, 1000.0]),
)
def test_no_gradient_is_above_its_bound_after_a_round(
    loss: Loss, seed: int, largest: float, covered: bool, weight: float
) -> None:
    """Rows in leaves that say anything; of each leaf only the sum of hessians is known, or not even that."""
    rng, rows = np.random.default_rng(seed), 40
    margin = margins(rng, loss, rows, rng.choice([0.1, 1, 5])).astype(np.float32)
    y = (targets(rng, loss, rows) * rng.choice([1.0, 1e-3, 1e3])).astype(np.float32)
    each = (rng.uniform(0, 1, rows) * weight).astype(np.float32)
    leaf_of, says = rng.integers(0, 6, rows), rng.uniform(-largest, largest, 6).astype(np.float32)
    (before_g, before_h), (g, h) = (
        [part * each for part in gradients(loss, m, y)] for m in (margin, margin + says[leaf_of])
    )
    cover = np.bincount(leaf_of, weights=before_h[0], minlength=6) if covered else np.full(6, np.inf)
    now = Bounds(np.abs(before_g).max(), before_h.max(), weight, float((each * np.abs(y)).max()))
    bound = loss.step(now, Moves(says.astype(np.float64), cover))
    if loss.name == "reg:squaredlogerror":
        assert bound is None
        return
    assert bound is not None
    assert np.abs(g).max() <= bound[0] and h.max() <= bound[1]
    if largest <= 0.1:  # and the bound is of use
        assert bound[1] <= 2 * now.h
        assert bound[0] <= 10 * max(now.g, now.target, now.h, now.weight)


@given(bound=st.tuples(sizes, sizes), weight=sizes)
def test_grids_hold_every_statistic_and_are_no_coarser_than_they_must(
    bound: tuple[float, float], weight: float
) -> None:
    exponent = exponent_of(weight)
    grid, bits_of = gradient_scale_of(bound, exponent), (STATISTIC_BITS_G, STATISTIC_BITS_H)
    for e, scale, limit, bits in zip(grid[:2], grid.scales(), bound, bits_of, strict=True):
        assert limit * weight * scale <= 2**bits
        assert 2 ** (bits - 1) < limit * 2.0**exponent * scale
        assert math.ldexp(scale, e) == 2**bits


# -- names --------------------------------------------------------------------------------------------------


def test_losses_are_found_by_xgboosts_names() -> None:
    assert {name: loss_named(name).name for name in LOSSES} == {name: name for name in LOSSES}
    assert sorted(CLASSES) == ROWWISE
    assert all(LOSSES[name].classification == bool(CLASSES[name]) for name in ROWWISE)
    with pytest.raises(ParameterError, match="did you mean 'binary:logistic'"):
        loss_named("binary:logitic")


@pytest.mark.parametrize(
    ("name", "params", "says"),
    [
        ("reg:tweedie", {"tweedie_variance_power": 2.0}, "from 1 to below 2"),
        ("reg:tweedie", {"huber_slope": 1.0}, "huber_slope is no parameter of reg:tweedie"),
        ("reg:pseudohubererror", {"huber_slope": 0.0}, "above 0"),
        ("count:poisson", {"max_delta_step": -1.0}, "from 0 to 80"),
        ("binary:logistic", {"scale_pos_weight": 0.0}, "above 0"),
        ("binary:logistic", {"scale_pos_weight": math.nan}, "above 0"),
        ("reg:quantileerror", {"quantile_alpha": 1.0}, "above 0 and below 1"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(name: str, params: dict[str, float], says: str) -> None:
    with pytest.raises(ParameterError, match=says):
        loss_named(name, params)


@pytest.mark.parametrize("target", [1e8, 3e8, -7e8])
def test_a_bound_of_the_next_gradients_has_room_for_margins_that_are_rounded(target: float) -> None:
    """Float32 has steps of 8 and more there: a move may take a margin further than the leaf's value is."""
    loss, y = loss_named("reg:squarederror"), np.float32(target)
    furthest = 0.0
    for apart in range(0, 4096, 64):
        for move in (0.5, 3.0, 4.1, 20.0, 36.0, 70.0, 130.0):
            margin = np.float32(y + np.float32(apart))
            bounds = Bounds(float(margin) - float(y), 1.0, 1.0, abs(float(y)))
            moved = float(np.float32(margin + np.float32(move))) - float(y)
            stepped = loss.step(bounds, Moves(np.array([move]), np.ones(1)))
            assert stepped is not None and moved <= stepped[0]
            furthest = max(furthest, moved - bounds.g - move)
    assert furthest > 0  # some are rounded upwards
