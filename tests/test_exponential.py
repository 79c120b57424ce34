"""The exponential of the loss histogram_kernels, and the word that a row's statistics are packed in."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedtrees.trees.kernels import gradients as gradients_kernels
from fedtrees.trees.kernels import histogram as histogram_kernels

STATISTICS = (
    1 << histogram_kernels.STATISTIC_BITS_G,
    1 << histogram_kernels.STATISTIC_BITS_H,
)  # the largest |g| and h of a row


# -- the exponential ----------------------------------------------------------------------------------------


def ulps_off(x: float) -> float:
    exact = math.exp(x)
    return abs(float(gradients_kernels.exp(x)) - exact) / math.ulp(exact)


@given(x=st.floats(-700, 700))
def test_exp_is_within_two_units_in_the_last_place(x: float) -> None:
    assert ulps_off(x) <= 2


def test_exp_is_so_everywhere() -> None:
    rng = np.random.default_rng(0)
    many = np.concatenate([rng.uniform(-700, 700, 5000), rng.normal(size=5000), np.ldexp(rng.normal(size=999), -30)])
    halves = (np.arange(-1000, 1000) + 0.5) * math.log(2)  # where the reduced argument is largest
    assert max(ulps_off(float(x)) for x in [*many, *halves, *np.nextafter(halves, 0), 0.0, -0.0, 700.0, -700.0]) <= 2


def test_exp_of_what_is_beyond_is_that_of_the_end() -> None:
    assert gradients_kernels.exp(1e9) == gradients_kernels.exp(700.0) and gradients_kernels.exp(
        -1e9
    ) == gradients_kernels.exp(-700.0)
    assert gradients_kernels.exp(0.0) == gradients_kernels.exp(-0.0) == 1.0


@given(g=st.floats(-1, 1), h=st.floats(0, 1))
def test_a_rows_statistics_are_packed_in_one_word(g: float, h: float) -> None:
    word = int(gradients_kernels.pack(g, h, float(STATISTICS[0]), float(STATISTICS[1])))
    assert (word >> 32, word & 0xFFFFFFFF) == (round(g * STATISTICS[0]), round(h * STATISTICS[1]))
