"""Means and deviations by sums: those of all rows, whoever holds them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from fedtrees import Channel, LocalFederation, ProtocolError, Silo
from fedtrees.queries.long_sums import DIGIT_BITS, LOWEST, N_DIGITS, bound_of_long_sums, long_sums, restore_long
from fedtrees.queries.moments import PowerSums, learn_moments

SEEDS = st.integers(0, 2**32)


# law: learn_moments
@given(seed=SEEDS, silos=st.integers(1, 9), targets=st.integers(0, 2))
def test_they_are_those_of_all_rows_and_of_every_partition(seed: int, silos: int, targets: int) -> None:
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(60, 3)) * [1, 1e6, 1e-6] + [0, 1e7, 0]).astype(np.float32)
    y = rng.normal(size=(60, 2)).astype(np.float32) if targets == 2 else rng.normal(size=60).astype(np.float32)
    found = []
    for whose in (None, rng.integers(0, silos, 60)):
        for mode in ("fused", "faithful"):
            federation = LocalFederation.from_table(X, y, silos=whose, mode=mode)
            channel = Channel(federation)
            everyone = np.arange(len(federation.names))
            found.append(learn_moments(channel, everyone, 60, 3, targets))
    columns = np.concatenate([X, y.reshape(60, -1)[:, :targets]], axis=1).astype(np.float64)
    np.testing.assert_allclose(found[0].mean, columns.mean(axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found[0].deviation, columns.std(axis=0), rtol=1e-6)
    for other in found[1:]:
        assert other.mean.tobytes() == found[0].mean.tobytes()
        assert other.deviation.tobytes() == found[0].deviation.tobytes()


@pytest.mark.parametrize("value", [0.0, 7.0, 1e15, 0.1])
def test_a_constant_column_deviates_by_one(value: float) -> None:
    federation = LocalFederation.from_table(np.full((50, 1), value, np.float32), np.arange(50) % 2)
    moments = learn_moments(Channel(federation), np.arange(1), 50, 1, 0)
    assert moments.mean[0] == pytest.approx(np.float32(value)) and moments.deviation[0] == 1


SIZES = {
    "tiny": (1e-25, 0.0), "subnormal": (1e-41, 0.0), "huge": (1e30, 0.0), "the largest": (5e37, 0.0),
    "near a million": (0.5, 1e6), "near a tiny number": (1e-33, 1e-30), "near a huge one": (1e24, 1e30),
}  # fmt: skip


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("weights", ["none", "whole", "tiny", "of many sizes"])
def test_columns_of_any_size_have_the_moments_that_scikit_learn_gives_them(size: str, weights: str) -> None:
    """StandardScaler's, in float64, of columns scaled by a power of two that float64 squares without loss."""
    scale, centre = SIZES[size]
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(200, 2)) * scale + centre).astype(np.float32)
    y = (rng.normal(size=200) * scale + centre).astype(np.float32)
    weight = {
        "none": None, "whole": rng.integers(1, 9, 200), "tiny": rng.uniform(1, 2, 200) * 1e-38,
        "of many sizes": 10.0 ** rng.uniform(-4.5, 4.5, 200),
    }[weights]  # fmt: skip
    weight = None if weight is None else weight.astype(np.float32)
    federation = LocalFederation.from_table(X, y, silos=np.arange(200) % 3, sample_weight=weight)
    found = learn_moments(Channel(federation), np.arange(3), 200, 2, 1)
    power = np.exp2(-np.floor(np.log2(float(abs(X).max()))))
    columns = np.column_stack([X, y]).astype(np.float64) * power
    theirs = StandardScaler().fit(columns, sample_weight=None if weight is None else weight.astype(np.float64))
    np.testing.assert_allclose(found.mean * power, theirs.mean_, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(found.deviation * power, theirs.scale_, rtol=1e-6)


# law: PowerSums
def test_a_row_of_a_whole_weight_is_as_many_rows_to_the_bit() -> None:
    rng = np.random.default_rng(1)
    X, repeats = rng.normal(size=(50, 3)).astype(np.float32) * [1, 1e-30, 1e30], rng.integers(1, 40, 50)
    found = []
    for own, weight in ((X, repeats), (X.repeat(repeats, axis=0), None)):
        federation = LocalFederation.from_table(
            own, np.zeros(len(own)), silos=np.arange(len(own)) % 2, sample_weight=weight
        )
        found.append(learn_moments(Channel(federation), np.arange(2), len(own), 3, 0))
    assert found[0].mean.tobytes() == found[1].mean.tobytes()
    assert found[0].deviation.tobytes() == found[1].deviation.tobytes()


@given(value=st.floats(width=32, allow_nan=False, allow_infinity=False), rows=st.integers(1, 40))
def test_a_column_deviates_by_one_where_it_is_constant_and_only_there(value: float, rows: int) -> None:
    X = np.full((rows + 1, 2), value, np.float32)
    X[0, 1] = np.nextafter(X[0, 1], np.float32(0 if value else 1))
    moments = learn_moments(Channel(LocalFederation.from_table(X, X[:, 0])), np.arange(1), rows + 1, 2, 0)
    assert moments.mean[0] == np.float32(value) and moments.deviation[0] == 1
    step = abs(float(X[0, 1]) - float(X[1, 1]))
    assert moments.deviation[1] == pytest.approx(step * np.sqrt(rows) / (rows + 1), rel=1e-4, abs=0)


# law: long_sums
@given(
    values=st.lists(st.floats(-(2.0**126), 2.0**126, width=32), min_size=1, max_size=30), scale=st.integers(-200, 200),
    cut=st.integers(0, 30),
)  # fmt: skip
def test_long_sums_are_exact_and_add_up(values: list[float], scale: int, cut: int) -> None:
    array = np.ldexp(np.array(values) * np.float64(np.float32(0.7)), scale)
    total = long_sums(array)
    wanted = sum(map(Fraction, array.tolist()), Fraction(0))
    assert abs(restore_long(total) * Fraction(2) ** LOWEST - wanted) <= len(values) * Fraction(2) ** LOWEST
    if np.abs(array)[array != 0].min(initial=1e300) > 2.0 ** (LOWEST + 48):
        assert restore_long(total) * Fraction(2) ** LOWEST == wanted
    assert (long_sums(array[:cut]) + long_sums(array[cut:])).tolist() == total.tolist()
    assert np.abs(total).max() <= bound_of_long_sums(len(values))


def test_long_sums_reach_as_far_as_any_square_times_a_weight() -> None:
    largest, smallest = np.ldexp([1 - 2.0**-48, 1], [390, 3 * -149])  # the square of float32's least, times itself
    total = long_sums(np.array([largest, smallest, -largest, largest]))
    assert restore_long(total) * Fraction(2) ** LOWEST == Fraction(largest) + Fraction(smallest)
    assert len(total) == N_DIGITS and Fraction(2) ** (LOWEST + DIGIT_BITS * N_DIGITS) == 2**392
    assert largest > 4 * float(np.finfo(np.float32).max) ** 3


def test_questions_of_other_columns_are_refused() -> None:
    silo = Silo("a", [[1.0], [2.0]], [0.0, 1.0])
    for question in (PowerSums(2, 2, 0), PowerSums(2, 1, 2), PowerSums(2, 1, 0, np.zeros(2))):
        with pytest.raises(ProtocolError, match="moments were asked for"):
            question.ask(silo)
