"""The exponential of the loss histogram_kernels, and the word that a row's statistics are packed in."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrees.core.numeric import elementary
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


@pytest.mark.parametrize(
    ("function", "values", "bits"),
    [
        (
            elementary.log,
            (0.75, 1.4375, 1.4688513127721807),
            "-0x1.269621134db92p-2 0x1.739d7f6bbd006p-2 0x1.89b54d5bd64efp-2",
        ),
        (elementary.log, (3.0, 1e-300, 6.02e23), "0x1.193ea7aad030bp+0 -0x1.5963447f87fb5p+9 0x1.b6094e92cca28p+5"),
        (elementary.exp, (-1.0, 0.3, 1.0), "0x1.78b56362cef38p-2 0x1.599058c8c1a96p+0 0x1.5bf0a8b145769p+1"),
        (elementary.exp, (-20.7, 88.0, 699.0), "0x1.195920309b9dap-30 0x1.f1056dc7bf22dp+126 0x1.5c36fb1036d55p+1008"),
        (elementary.log_gamma, (1.5, 7.9, 33.3), "-0x1.eeb95b098a200p-4 0x1.0a6062d0497fdp+3 0x1.4a6a3683bc20bp+6"),
    ],
)
def test_elementary_functions_have_the_same_bits_everywhere(function: Any, values: Any, bits: str) -> None:
    """A silo on another machine must not differ in the last: these are of one machine, for all others."""
    assert " ".join(float(function(np.float64(own))).hex() for own in values) == bits


@given(g=st.floats(-1, 1), h=st.floats(0, 1))
def test_a_rows_statistics_are_packed_in_one_word(g: float, h: float) -> None:
    word = int(gradients_kernels.pack(g, h, float(STATISTICS[0]), float(STATISTICS[1])))
    assert (word >> 32, word & 0xFFFFFFFF) == (round(g * STATISTICS[0]), round(h * STATISTICS[1]))
