"""Fixed point: every width, the last bit of headroom, and sums that do not care about partition."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fedtrees import HeadroomError
from fedtrees.core.numeric.fixed_point import (
    HIGHEST_EXPONENT,
    LOWEST_EXPONENT,
    N_EXPONENTS,
    exponent_counts,
    exponent_of,
    headroom_bits,
    largest_exponent,
    pack,
    quantise,
    restore,
    step_bits,
    unpack,
)

floats32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


def extremes(width: int) -> list[int]:
    top = 1 << (8 * width - 1)
    return [-top, -top + 1, -1, 0, 1, top - 2, top - 1]


# -- pack and unpack --------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", range(1, 9))
def test_every_width_carries_its_extremes(width: int) -> None:
    vector = np.array(extremes(width), np.int64)
    data = pack(vector, width)
    assert len(data) == width * len(vector)
    assert data == b"".join(int(v).to_bytes(width, "little", signed=True) for v in vector)
    np.testing.assert_array_equal(unpack(data, width), vector)
    assert unpack(data, width).dtype == np.int64


@given(st.integers(1, 8), st.data())
def test_unpack_undoes_pack(width: int, data: st.DataObject) -> None:
    top = 1 << (8 * width - 1)
    values = data.draw(st.lists(st.integers(-top, top - 1), max_size=20))
    vector = np.array(values, np.int64)
    np.testing.assert_array_equal(unpack(pack(vector, width), width), vector)
    np.testing.assert_array_equal(unpack(pack(vector[::-1], width), width), vector[::-1])  # not contiguous


@given(st.integers(1, 8), st.data())
def test_pack_undoes_unpack(width: int, data: st.DataObject) -> None:
    raw = data.draw(st.binary(max_size=10 * width).filter(lambda b: len(b) % width == 0))
    assert pack(unpack(raw, width), width) == raw


def test_an_empty_vector_takes_no_bytes() -> None:
    assert pack(np.zeros(0, np.int64), 3) == b""
    assert unpack(b"", 3).shape == (0,)


@given(st.integers(0, 2**63 - 1))
def test_the_width_of_a_bound_carries_it_with_either_sign(bound: int) -> None:
    width = -(-headroom_bits(bound, 1, "test") // 8)
    vector = np.array([bound, -bound], np.int64)
    np.testing.assert_array_equal(unpack(pack(vector, width), width), vector)


# -- headroom ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bound", "terms"),
    [(2**63 - 1, 1), (1, 2**63 - 1), (2**62, 1), (2**31, 2**31), ((2**63 - 1) // 7, 7), (2**63 - 1, 0)],
)
def test_sums_up_to_the_last_integer_are_let_through(bound: int, terms: int) -> None:
    assert headroom_bits(bound, terms, "test") <= 64
    assert bound * terms < 2**63


@pytest.mark.parametrize(
    ("bound", "terms"),
    [(2**63, 1), (1, 2**63), (2**32, 2**31), ((2**63 - 1) // 7 + 1, 7), (2**100, 1), (2**40, 2**40)],
)
def test_sums_that_might_leave_64_bits_are_refused(bound: int, terms: int) -> None:
    with pytest.raises(HeadroomError, match=rf"^histograms: {terms} terms of up to {bound} need \d+ bits and a sum"):
        headroom_bits(bound, terms, "histograms")


@given(st.integers(0, 2**40), st.integers(1, 2**24))
def test_the_bits_are_the_fewest_that_hold_the_sum(bound: int, terms: int) -> None:
    try:
        bits = headroom_bits(bound, terms, "test")
    except HeadroomError:
        assert bound * terms > 2**63 - 1
        return
    assert -(2 ** (bits - 1)) <= -bound * terms and bound * terms < 2 ** (bits - 1)
    assert bits == 1 or bound * terms >= 2 ** (bits - 2)


@given(st.integers(1, 2**62))
def test_the_finest_grid_leaves_room_for_all_rows(rows: int) -> None:
    bits = step_bits(rows)
    assert 0 <= bits <= 52
    assert headroom_bits(1 << bits, rows, "test") <= 64
    if bits < 52:
        assert (rows << (bits + 2)) > 2**63 - 1  # it could not be two bits finer


# -- exponents --------------------------------------------------------------------------------------------


def naive_exponent(value: float) -> int:
    exact = abs(Fraction(value))
    return next(e for e in range(LOWEST_EXPONENT, HIGHEST_EXPONENT + 1) if exact <= Fraction(2) ** e)


@given(st.lists(floats32, max_size=8))
def test_exponent_counts_are_those_of_the_definition(values: list[float]) -> None:
    naive = np.zeros(N_EXPONENTS, np.int64)
    for value in values:
        naive[naive_exponent(value) - LOWEST_EXPONENT] += 1
    for dtype in (np.float32, np.float64):
        counts = exponent_counts(np.array(values, dtype))
        np.testing.assert_array_equal(counts, naive)
        assert counts.dtype == np.int64
    largest = max(map(naive_exponent, values), default=LOWEST_EXPONENT)
    assert largest_exponent(naive) == largest
    assert exponent_of(max(map(abs, values), default=0.0)) == largest


# law: exponent_counts
@given(st.lists(floats32, max_size=30), st.lists(floats32, max_size=30))
def test_exponents_of_all_rows_are_the_sum_of_those_of_any_parts(a: list[float], b: list[float]) -> None:
    parts = exponent_counts(np.array(a, np.float32)) + exponent_counts(np.array(b, np.float32))
    np.testing.assert_array_equal(exponent_counts(np.array(a + b, np.float32)), parts)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 2.0**128 * (1 + 2**-52), -1e300])
def test_what_has_no_exponent_is_refused(value: float) -> None:
    with pytest.raises(HeadroomError, match=r"beyond 2\*\*128; scale y or weights down"):
        exponent_counts(np.array([1.0, value, 0.0]))


def test_the_smallest_and_the_largest_floats_have_exponents() -> None:
    tiny, huge = np.nextafter(np.float32(0), np.float32(1)), np.finfo(np.float32).max
    assert exponent_of(float(tiny)) == LOWEST_EXPONENT == -149
    assert exponent_of(float(huge)) == HIGHEST_EXPONENT == 128
    assert exponent_of(1e-300) == LOWEST_EXPONENT
    assert largest_exponent(exponent_counts(np.array([tiny, -huge]))) == 128


# -- quantising -------------------------------------------------------------------------------------------


# law: quantise
@given(
    arrays(np.float32, st.integers(1, 30), elements=st.floats(-1, 1, width=32)),
    st.integers(0, 52),
    st.integers(-20, 20),
    st.randoms(use_true_random=False),
)
def test_quantising_commutes_with_partition(values: np.ndarray, bits: int, scale: int, random: object) -> None:
    values = np.ldexp(values.astype(np.float64), scale)
    whole = quantise(values, scale, bits)
    silo = np.array([random.randrange(4) for _ in values])  # type: ignore[attr-defined]
    assert sum(int(quantise(values[silo == k], scale, bits).sum()) for k in range(4)) == int(whole.sum())
    for k in range(4):
        np.testing.assert_array_equal(quantise(values[silo == k], scale, bits), whole[silo == k])
    assert np.abs(whole).max() <= 1 << bits


@given(st.floats(-1, 1), st.integers(0, 52), st.integers(-100, 100))
def test_a_value_is_off_by_half_a_step_at_the_most(value: float, bits: int, exponent: int) -> None:
    value = float(np.ldexp(value, exponent))
    (word,) = quantise(np.array([value]), exponent, bits)
    error = abs(Fraction(restore(word, exponent, bits)) - Fraction(value))
    assert error <= Fraction(2) ** (exponent - bits) / 2


def test_ties_go_to_even() -> None:
    assert quantise(np.array([0.5, 1.5, 2.5, -0.5, -1.5]) / 8, exponent=0, bits=3).tolist() == [0, 2, 2, 0, -2]


def test_a_whole_power_of_two_lands_on_the_last_step() -> None:
    assert quantise(np.array([4.0, -4.0]), exponent=2, bits=20).tolist() == [2**20, -(2**20)]
    assert restore(np.int64(2**20), 2, 20) == 4.0
