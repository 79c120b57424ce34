"""Moments of leaves against fractions: digits of rows, their sums, and what is read from them."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from flat import of_trees
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import examples

from fedtrees import FedTreeRegressor, LocalFederation
from fedtrees.core.data.record import decode, encode
from fedtrees.errors import ProtocolError
from fedtrees.queries.target_steps import TargetSteps
from fedtrees.trees.kernels import moments as moments_kernels
from fedtrees.trees.messages.leaf_moments import LeafMoments
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.moments import MomentPlan, Moments, MomentScale
from fedtrees.trees.server import zero_gain_leaves

seeds = st.integers(0, 2**32 - 1)
GRID = GradientScale(0, 0)


def digits_of(
    y: NDArray[np.float32],
    weight: NDArray[np.float64],
    counts: NDArray[np.int64],
    scale: MomentScale,
    centre: float = 1.0,
) -> NDArray[np.int64]:
    out = np.full((len(y), sum(scale.digits)), 7, np.int64)
    ranges = np.array([[0, len(y)]], np.int64)
    assert moments_kernels.row_digits(y, weight, counts, ranges, scale.lows, scale.bits, scale.ends, centre, out)
    return out


def value(digits: NDArray[np.int64], low: int, bits: int) -> Fraction:
    whole = sum(int(digit) << (bits * place) for place, digit in enumerate(digits))
    return whole * Fraction(2) ** low


def lowest_digit(x: float) -> int:
    """The power of two that the lowest binary digit of a number stands for, by definition."""
    fraction = Fraction(x)
    power = -(fraction.denominator.bit_length() - 1)
    while fraction.numerator and (fraction / Fraction(2) ** (power + 1)).denominator == 1:
        power += 1
    return power


def targets(rng: np.random.Generator, n: int, span: int) -> NDArray[np.float32]:
    y = (rng.normal(size=n) * 2.0 ** rng.integers(-span, span + 1, n)).astype(np.float32)
    y[rng.random(n) < 0.1] = 0
    return y


@examples(60, plain=60)
@given(seed=seeds, span=st.sampled_from([0, 3, 60, 100]), weighted=st.booleans(), poisson=st.booleans())
def test_digits_of_rows_are_their_moments_exactly(seed: int, span: int, weighted: bool, poisson: bool) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 12))
    y = targets(rng, n, span)
    y = np.abs(y) if poisson else y
    weight = rng.uniform(0.001, 9, n).astype(np.float32).astype(np.float64) if weighted else np.ones(1)
    counts = rng.integers(1, 17, n) if rng.random() < 0.5 else np.ones(1, np.int64)
    steps = [lowest_digit(float(own)) for own in y if own]
    largest = float(np.abs(y).max())
    high = math.frexp(largest)[1] if largest else 0
    centre = np.array([1.5]) if poisson else np.zeros(0)
    plan = MomentPlan(1000, (min(steps, default=0), high), (-34, 4) if weighted else (0, 0), 14, np.zeros(1), centre)
    scale = plan.scale(GRID)
    digits = digits_of(y, weight, counts, scale, 1.5)
    assert np.abs(digits).max() <= plan.rows << (scale.bits + 5)
    for i in range(n):
        w, often, own = Fraction(weight[i % len(weight)]), int(counts[i % len(counts)]), Fraction(float(y[i]))
        parts = np.split(digits[i], scale.ends[:-1])
        found = [value(part, int(low), scale.bits) for part, low in zip(parts, scale.lows, strict=True)]
        assert found[:3] == [often * w, often * w * own, often * w * own * own]
        if poisson:
            expected = float(own) * (math.log(float(own) / 1.5) if own else 0.0) - (float(own) - 1.5)
            largest_term = max(1.5, float(own) * abs(math.log(float(own) / 1.5)) if own else 0.0)
            assert float(found[3]) == pytest.approx(
                float(often * w) * expected, rel=1e-12, abs=1e-14 * largest_term * float(often * w)
            )


@pytest.mark.parametrize(("y", "weight"), [(3.0, 1.0), (1.0, 0.5), (2.0**40, 1.0), (1.0, 2.0**80)])
def test_what_no_digit_stands_for_is_no_answer(y: float, weight: float) -> None:
    scale = MomentScale(bits=20, weight=0, target=1, deviance=0, digits=(1, 1, 1))
    out = np.zeros((1, 3), np.int64)
    target, heavy, once = np.float32([y]), np.array([weight]), np.ones(1, np.int64)
    ranges = np.array([[0, 1]], np.int64)
    assert not moments_kernels.row_digits(target, heavy, once, ranges, scale.lows, 20, scale.ends, 1.0, out)


@examples(60, plain=60)
@given(seed=seeds, span=st.sampled_from([0, 20, 120]), weighted=st.booleans(), same=st.booleans())
def test_moments_are_read_as_definitions_say(seed: int, span: int, weighted: bool, same: bool) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 9))
    y = targets(rng, n, span)
    if same:
        y[:] = y[0]
    weight = rng.uniform(0.001, 9, n).astype(np.float32).astype(np.float64) if weighted else np.ones(n)
    low = min([lowest_digit(float(own)) for own in y if own], default=0)
    plan = MomentPlan(n, (low, 130), (-34, 4), 14, np.zeros(1), np.zeros(0))
    scale = plan.scale(GRID)
    total = digits_of(y, weight, np.ones(1, np.int64), scale).sum(axis=0, keepdims=True)
    own = Moments.read(np.repeat(total, 2, axis=0), scale, 0.0, None)
    exact = [(Fraction(w), Fraction(float(t))) for w, t in zip(weight, y, strict=True)]
    mass = sum(w for w, _ in exact)
    mean = sum(w * t for w, t in exact) / mass
    variance = sum(w * (t - mean) ** 2 for w, t in exact) / mass
    assert own.weight == pytest.approx(float(mass), rel=1e-15)
    assert own.mean[:, 0] == pytest.approx(float(mean), rel=1e-15)
    assert not same or own.mean[:, 0].tolist() == [float(y[0])] * 2  # to the last bit
    assert own.variance[:, 0] == pytest.approx(float(variance), rel=1e-14)
    assert own.differ.tolist() == [len(set(y.tolist())) > 1] * 2


def test_a_node_without_rows_predicts_what_margins_start_from() -> None:
    scale = MomentPlan(1, (0, 3), (0, 0), 0, np.zeros(1), np.array([2.0])).scale(GRID)
    own = Moments.read(np.zeros((1, sum(scale.digits)), np.int64), scale, 2.5, 2.0)
    assert own.mean.tolist() == [[2.5]] and own.weight.tolist() == [0.0] and not own.differ.any()
    assert own.impurity.tolist() == [0.0]


@examples(30, plain=30)
@given(seed=seeds)
def test_steps_of_targets_are_those_of_the_finest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = targets(rng, 20, int(rng.integers(0, 100)))
    if not y.any():
        y[0] = 1
    silos = rng.integers(0, 3, 20)
    silo = LocalFederation.from_table(np.arange(20.0)[:, None], y, silos=silos).together
    assert silo is not None
    query = TargetSteps(20)
    assert query.read(query.ask(silo)) == min(lowest_digit(float(own)) for own in y if own)
    assert query.read(np.zeros(query.size(), np.int64)) is None


@examples(100, plain=100)
@given(sizes=st.lists(st.integers(1, 9), max_size=12), most=st.integers(1, 20))
def test_trees_share_messages_as_far_as_they_fit(sizes: list[int], most: int) -> None:
    batches = zero_gain_leaves._batches(sizes, most)
    assert [place for first, last in batches for place in range(first, last)] == list(range(len(sizes)))
    totals = [sum(sizes[first:last]) for first, last in batches]
    assert all(own <= most or end - first == 1 for own, (first, end) in zip(totals, batches, strict=True))
    for (_, last), total in zip(batches[:-1], totals, strict=False):
        assert total + sizes[last] > most  # the next tree did not fit


def asked(**others: Any) -> LeafMoments:
    root = {"feature": np.int32([-1]), "bin": np.int32([0]), "default_left": np.array([False]), "left": np.int32([-1])}
    given: dict[str, Any] = {
        "rows": 8, "exponents": GradientScale(3, 0), "weights": GradientScale(3, 0),
        "scale": MomentScale(30, 0, 0, 0, (1, 1, 1)), "centre": np.zeros(0), "places": np.int32([0]),
    }  # fmt: skip
    return of_trees(LeafMoments, **given | root | others)


TWO_ROOTS: dict[str, Any] = {
    "ends": np.int32([1, 2]), "feature": np.int32([-1, -1]), "bin": np.int32([0, 0]),
    "default_left": np.array([False, False]), "left": np.int32([-1, -1]),
}  # fmt: skip


@pytest.fixture(scope="module")
def silo() -> Any:
    """A silo in the middle of a training, whose targets are 0 to 7."""
    federation = LocalFederation.from_table(np.arange(8.0)[:, None], np.arange(8.0))
    FedTreeRegressor(max_depth=1).fit_federation(federation)
    return federation.together


def test_the_root_holds_all_rows(silo: Any) -> None:
    query = decode(encode(asked()), LeafMoments)
    assert query.size() == 3 and query.touches() == 3
    assert query.read(query.ask(silo)).tolist() == [[8, 28, 140]]


@pytest.mark.parametrize(
    "fine",
    [
        {"scale": MomentScale(38, 0, 0, 0, (1, 1, 1))},
        {"scale": MomentScale(7, 0, 0, 0, (1, 1, 1))},
        {"scale": MomentScale(7, 0, 0, 0, (1, 1, 62))},
        {"scale": MomentScale(30, 0, 0, 1023, (1, 1, 1))},
        {"scale": MomentScale(30, 0, 0, -1023, (1, 1, 1))},
        {"centre": np.ones(1), "scale": MomentScale(30, 0, 0, -20, (1, 1, 1, 1))},
    ],
    ids=str,
)
def test_a_silo_answers_questions_at_the_ends_of_what_digits_hold(silo: Any, fine: dict[str, Any]) -> None:
    query = asked(**fine)
    assert len(query.ask(silo)) == query.size()


@pytest.mark.parametrize(
    "wrong",
    [
        {"places": np.int32([1])},
        {"places": np.int32([-1])},
        {"places": np.int32([])},
        {"places": np.int32([0, 0]), "ends": np.int32([1, 1])},
        {"places": np.int32([0, 0]), **TWO_ROOTS},
        {"places": np.int32([1, 0]), **TWO_ROOTS},
        {"places": np.int32([0, 1]), **TWO_ROOTS},
        {"places": np.int32([0]), **TWO_ROOTS},
        {"ends": np.int32([2])},
        {"feature": np.int32([1]), "left": np.int32([1])},
        {"centre": np.ones(1)},
        {"centre": np.ones(2), "scale": MomentScale(30, 0, 0, 0, (1, 1, 1, 1))},
        {"centre": np.zeros(1), "scale": MomentScale(30, 0, 0, 0, (1, 1, 1, 1))},
        {"scale": MomentScale(30, 0, 0, 0, (1, 1))},
        {"scale": MomentScale(30, 0, 0, 0, (1, 1, 0))},
        {"scale": MomentScale(30, 0, 0, 0, (21, 22, 22))},
        {"scale": MomentScale(0, 0, 0, 0, (1, 1, 1))},
        {"scale": MomentScale(39, 0, 0, 0, (1, 1, 1))},
        {"scale": MomentScale(30, 0, 1, 0, (1, 1, 1))},
        {"scale": MomentScale(2, 0, 0, 0, (1, 1, 1))},
        {"scale": MomentScale(30, 1024, 0, 0, (1, 1, 1))},
        {"scale": MomentScale(30, 0, -1024, 0, (1, 1, 1))},
        {"scale": MomentScale(30, 0, 0, 1024, (1, 1, 1))},
        {"scale": MomentScale(30, 2**62, 2**62, 0, (1, 1, 1))},
    ],
    ids=str,
)
def test_a_silo_refuses_what_is_no_question(silo: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        asked(**wrong).ask(silo)


def test_targets_of_all_sizes_together_are_told_apart() -> None:
    """One leaf of 1e-38 and 1e38: digits reach from the one to the other."""
    y = np.float32([1e-38, 1e38, -1e38, 3.0])
    model = FedTreeRegressor(min_samples_leaf=4).fit(np.arange(4.0)[:, None], y)
    assert model.tree_.value[0, 0, 0] == pytest.approx(float(sum(map(Fraction, y.tolist())) / 4), rel=1e-15)
    exact = np.array([Fraction(own) for own in y.tolist()])
    variance = (exact * exact).sum() / 4 - (exact.sum() / 4) ** 2
    assert model.tree_.impurity[0] == pytest.approx(float(variance), rel=1e-14)


def test_scales_are_of_each_round_where_weights_change() -> None:
    plan = MomentPlan(100, (0, 4), None, 0, np.zeros(1), np.zeros(0))
    scale = plan.scale(GradientScale(5, -3, 19))
    assert scale.weight == -3 - 20 - 19 and plan.lightest(GradientScale(5, -3, 19)) == 2.0**-42
    assert replace(plan, weight=(-30, 4), span=6).lightest(GRID) == 2.0**-3
