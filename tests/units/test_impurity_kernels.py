"""Kernels of trees by impurity against naive twins: tables of classes, draws of rows, weights of AdaBoost."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import twins
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from fedtrees.core.data.row_ids import poisson_shares
from fedtrees.trees.kernels import class_weights as class_weights_kernels
from fedtrees.trees.kernels import histogram as histogram_kernels
from fedtrees.trees.kernels import sampling as sampling_kernels

seeds = st.integers(0, 2**32 - 1)


@examples(60, plain=60)
@given(seed=seeds, rows=st.integers(1, 100), n_features=st.sampled_from([1, 5, 9]), classes=st.integers(2, 7))
def test_class_tables_are_those_of_the_twin(seed: int, rows: int, n_features: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    codes, y, weight = rng.integers(0, 11, (rows, n_features)), rng.integers(0, classes, rows), rng.integers(0, 9, rows)
    bins, offsets = twins.in_groups(codes, 8, np.uint8), np.arange(n_features + 1) * 11
    words = np.where(y % 2 == 0, weight << 32, weight)
    planes = -(-classes // 2)
    n_nodes = int(rng.integers(1, 4))
    node = rng.integers(0, n_nodes, rows).astype(np.uint32)
    slot_of = np.arange(n_nodes, dtype=np.int32)
    wide = np.zeros((n_nodes * planes, 2, offsets[-1]), np.int64)
    packed = np.zeros(n_nodes * planes * bins.shape[0] * 8 * 256, np.int64)
    nowhere = (
        np.zeros(n_nodes, np.uint64),
        np.zeros(n_nodes, np.uint64),
        np.zeros(0, np.int64),
        np.zeros((0, 0), bool),
    )
    everything = np.array([[0, rows]])
    histogram_kernels.grow_level(
        bins, words, (y // 2).astype(np.uint8), node, everything, 0, nowhere, slot_of, offsets, 256, packed, wide, 5
    )
    found = wide.reshape(n_nodes, 2 * planes, -1)[:, :classes]
    for at in range(n_nodes):
        for k in range(classes):
            (own,) = np.nonzero((node == at) & (y == k))
            expected = twins.histogram(codes, weight, weight, own, offsets)[0]
            assert found[at, k].tolist() == expected.tolist()
    assert not packed.any()


# law: poisson_shares
@pytest.mark.parametrize("mean", [0.1, 1.0, 3.75])
def test_poisson_shares_are_exact(mean: float) -> None:
    m = Fraction(mean)
    e = sum(m**n / math.factorial(n) for n in range(60))
    for n, share in enumerate(poisson_shares(mean, 20).tolist(), 1):
        tail = 1 - sum(m**k / math.factorial(k) for k in range(n)) / e
        assert abs(Fraction(share, 2**53) - tail) <= Fraction(1, 2**53)


def test_rows_are_drawn_several_times() -> None:
    ids, out = np.arange(50_000, dtype=np.uint64), np.zeros(50_000, np.int64)
    keys = np.array([3, 4], np.uint64)
    kind = (np.arange(50_000) % 2).astype(np.uint16)
    shares = np.stack([poisson_shares(mean, 20) for mean in (1.0, 3.5)])
    sampling_kernels.draw(np.full(50_000, 7), ids, np.array([[0, 49_999]]), keys, shares, kind, out)
    assert (out % 7 == 0).all() and out[-1] == 0
    for own, mean in enumerate((1.0, 3.5)):
        times = np.bincount(out[:-1][kind[:-1] == own] // 7, minlength=9)[:8] / 25_000
        np.testing.assert_allclose(times, [math.exp(-mean) * mean**n / math.factorial(n) for n in range(8)], atol=0.01)
    alike = out.copy()
    sampling_kernels.draw(np.full(50_000, 7), ids, np.array([[0, 49_999]]), keys, shares[:1], kind[:0], alike)
    assert (alike == out)[kind == 0].all()


def test_weights_of_adaboost_are_those_of_the_twin() -> None:
    rng = np.random.default_rng(0)
    n = 40
    said, y, margin = (rng.integers(0, 3, n).astype(np.float32) for _ in range(3))
    rows, steps = np.array([[0, 10], [15, n]]), np.float32([-0.25, 0.5])
    moved = margin.copy()
    class_weights_kernels.reweigh_classes(said, y, rows, steps, moved)
    inside = np.r_[0:10, 15:n]
    assert moved[10:15].tolist() == margin[10:15].tolist()
    assert moved[inside].tolist() == (margin + np.where(said == y, steps[0], steps[1]))[inside].tolist()
    even, odd = np.zeros(n), np.zeros(n)
    class_weights_kernels.class_weights(margin, y, np.float32([2]), rows, even, odd)
    np.testing.assert_allclose((even + odd)[inside], 2 * np.exp(margin[inside].astype(float)), rtol=1e-14)
    assert not even[inside][y[inside] == 1].any() and not odd[inside][y[inside] != 1].any()
    for kind, loss in enumerate((lambda e: e, lambda e: e**2, lambda e: 1 - np.exp(-e))):
        moved = margin.copy()
        class_weights_kernels.reweigh_numbers(said, y, rows, np.float32([2, kind, -0.5, 0.125]), moved)
        expected = margin + -0.5 * (1 - loss(np.abs(said - y) / 2)) + 0.125
        np.testing.assert_allclose(moved[inside], expected[inside], rtol=1e-6)
