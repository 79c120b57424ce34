"""Losses: what their gradients are gradients of, and what the kernels make of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import CLASSES, examples

from fedtrees.core.ring import exponent_of
from fedtrees.errors import ParameterError
from fedtrees.trees.kernels import STATISTIC_BITS_G, STATISTIC_BITS_H
from fedtrees.trees.losses import LOSSES, Loss, Softmax, loss_named, scales, statistic_exponents

seeds = st.integers(0, 2**32 - 1)
names = st.sampled_from(sorted(LOSSES))
sizes = st.floats(1e-3, 1e3)


def value(loss: Loss, margin: NDArray[np.float64], y: NDArray[np.float32]) -> NDArray[np.float64]:
    """The loss itself, of every row: margin (outputs, rows)."""
    match loss.name:
        case "binary:logistic":
            return np.logaddexp(0, margin[0]) - y * margin[0]
        case "multi:softprob":
            return np.logaddexp.reduce(margin, axis=0) - margin[y.astype(int), np.arange(len(y))]
        case _:
            return (margin[0] - y) ** 2 / 2


def targets(rng: np.random.Generator, loss: Loss, rows: int) -> NDArray[np.float32]:
    classes = CLASSES[loss.name]
    return (rng.integers(0, classes, rows) if classes else rng.normal(size=rows) * 5).astype(np.float32)


def outputs(loss: Loss) -> int:
    return loss.outputs(CLASSES[loss.name])


@given(name=names, seed=seeds, scale=st.sampled_from([0.1, 1.0, 5.0]))
def test_gradients_and_hessians_are_the_slopes_of_the_loss(name: str, seed: int, scale: float) -> None:
    loss, rng = LOSSES[name], np.random.default_rng(seed)
    margin, y = rng.normal(scale=scale, size=(outputs(loss), 20)), targets(rng, LOSSES[name], 20)
    g, h = loss.gradients(margin, y)
    assert g.shape == h.shape == margin.shape
    for k in range(len(margin)):
        step = np.zeros((len(margin), 1))
        step[k] = 1e-4
        slope = (value(loss, margin + step, y) - value(loss, margin - step, y)) / 2e-4
        np.testing.assert_allclose(g[k], slope, atol=1e-6)
        bend = (loss.gradients(margin + step, y)[0][k] - loss.gradients(margin - step, y)[0][k]) / 2e-4
        # XGBoost takes twice the diagonal of the softmax, which bounds the whole matrix from above
        np.testing.assert_allclose(h[k], (2 if isinstance(loss, Softmax) else 1) * bend, atol=1e-6)


@examples(100)
@given(
    name=names,
    seed=seeds,
    scale=st.sampled_from([0.0, 1.0, 30.0, 1e6]),
    weighted=st.booleans(),
    weight_exponent=st.integers(-10, 10),
)
def test_kernels_agree_with_the_plain_gradients_within_one_step_of_the_grid(
    name: str, seed: int, scale: float, weighted: bool, weight_exponent: int
) -> None:
    loss, rng, rows = LOSSES[name], np.random.default_rng(seed), 30
    margin = (rng.normal(size=(outputs(loss), rows)) * scale).astype(np.float32)
    y = targets(rng, loss, rows)
    largest = 2.0**weight_exponent
    weight = (rng.uniform(0, largest, rows) if weighted else np.full(1, largest)).astype(np.float32)
    g, h = (part * weight for part in loss.gradients(margin, y))
    bound = loss.bound()
    exponents = (
        statistic_exponents(bound, weight_exponent) if bound else (exponent_of(np.abs(g).max()), exponent_of(h.max()))
    )
    scale_g, scale_h = scales(exponents)
    ranges = np.sort(rng.integers(0, rows + 1, 4)).reshape(2, 2)
    words = np.full(margin.shape, -7)

    loss.kernel(margin, y, weight, ranges, scale_g, scale_h, words)

    asked = np.zeros(rows, bool)
    for start, stop in ranges:
        asked[start:stop] = True
    own_g, own_h = words[:, asked] >> 32, words[:, asked] & 0xFFFFFFFF
    assert (np.abs(own_g - g[:, asked] * scale_g) <= 1).all()
    assert (np.abs(own_h - h[:, asked] * scale_h) <= 1).all()
    assert (np.abs(own_g) <= 2**STATISTIC_BITS_G).all() and (own_h <= 2**STATISTIC_BITS_H).all()
    assert (words[:, ~asked] == -7).all()


@pytest.mark.parametrize("name", [name for name in sorted(LOSSES) if LOSSES[name].bound()])
@pytest.mark.parametrize("margin", [0.0, 800.0, -800.0, 3e38, -3e38])
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_gradients_stay_within_their_bound_at_any_margin(name: str, margin: float, y: float) -> None:
    loss = LOSSES[name]
    bound = loss.bound()
    assert bound is not None
    margins = np.zeros((outputs(loss), 1), np.float32)
    margins[0] = margin
    g, h = loss.gradients(margins, np.float32([y]))
    assert (np.abs(g) <= bound[0]).all() and (h <= bound[1]).all() and (h > 0).all()
    words = np.zeros(margins.shape, np.int64)
    scale_g, scale_h = scales(statistic_exponents(bound, 0))
    loss.kernel(margins, np.float32([y]), np.ones(1, np.float32), np.array([[0, 1]]), scale_g, scale_h, words)
    assert (np.abs(words >> 32) <= 2**STATISTIC_BITS_G).all()
    assert ((words & 0xFFFFFFFF) <= 2**STATISTIC_BITS_H).all()


@given(name=names, seed=seeds)
def test_the_intercept_is_where_the_loss_is_least(name: str, seed: int) -> None:
    loss, rng = LOSSES[name], np.random.default_rng(seed)
    y, weight = targets(rng, loss, 200), rng.uniform(0.1, 2, 200)
    classes = CLASSES[name]
    if classes:
        y[:classes] = np.arange(classes)
        sums = np.array([weight[y == k].sum() for k in range(classes)])
    else:
        sums = np.array([weight.sum(), (weight * y).sum()])
    margin = np.tile(loss.intercept(sums)[:, None], 200)
    assert margin.shape == (outputs(loss), 200)
    g, _ = loss.gradients(margin, y)
    assert np.abs((g * weight).sum(axis=1)).max() < 1e-3


@given(share=st.floats(0.01, 0.99))
def test_a_base_score_is_in_the_units_of_a_prediction(share: float) -> None:
    assert 1 / (1 + math.exp(-LOSSES["binary:logistic"].link(share))) == pytest.approx(share)
    assert LOSSES["reg:squarederror"].link(share) == share


@given(name=names, seed=seeds, leaf=st.sampled_from([0.0, 0.1, 3.0, 1e6]))
def test_no_gradient_grows_by_more_than_its_step(name: str, seed: int, leaf: float) -> None:
    loss, rng = LOSSES[name], np.random.default_rng(seed)
    margin, y = rng.normal(size=(outputs(loss), 50)) * 5, targets(rng, loss, 50)
    moved = margin + rng.uniform(-leaf, leaf, margin.shape)
    before, after = (np.abs(loss.gradients(m, y)[0]).max() for m in (margin, moved))
    bound = loss.bound()
    assert after <= (bound[0] if bound else before + loss.step(leaf) * (1 + 1e-9))


@given(bound=st.tuples(sizes, sizes), weight=sizes)
def test_grids_hold_every_statistic_and_are_no_coarser_than_they_must(
    bound: tuple[float, float], weight: float
) -> None:
    exponent = exponent_of(weight)
    exponents, bits_of = statistic_exponents(bound, exponent), (STATISTIC_BITS_G, STATISTIC_BITS_H)
    for e, scale, limit, bits in zip(exponents, scales(exponents), bound, bits_of, strict=True):
        assert limit * weight * scale <= 2**bits
        assert 2 ** (bits - 1) < limit * 2.0**exponent * scale
        assert math.ldexp(scale, e) == 2**bits


def test_losses_are_found_by_xgboosts_names() -> None:
    assert {name: loss_named(name).name for name in LOSSES} == {name: name for name in LOSSES}
    assert all(LOSSES[name].classification == bool(CLASSES[name]) for name in LOSSES)
    with pytest.raises(ParameterError, match="did you mean 'binary:logistic'"):
        loss_named("binary:logitic")
