"""Means and deviations by sums: those of all rows, whoever holds them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrees import DataError, LocalFederation, PlainChannel, ProtocolError, Silo
from fedtrees.queries.moments import PowerSums, learn_moments

SEEDS = st.integers(0, 2**32)


@given(seed=SEEDS, silos=st.integers(1, 9), targets=st.integers(0, 2))
def test_they_are_those_of_all_rows_and_of_every_partition(seed: int, silos: int, targets: int) -> None:
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(60, 3)) * [1, 1e6, 1e-6] + [0, 1e7, 0]).astype(np.float32)
    y = rng.normal(size=(60, 2)).astype(np.float32) if targets == 2 else rng.normal(size=60).astype(np.float32)
    found = []
    for whose in (None, rng.integers(0, silos, 60)):
        for mode in ("fused", "faithful"):
            federation = LocalFederation.from_table(X, y, whose, mode=mode)
            channel = PlainChannel(federation)
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
    moments = learn_moments(PlainChannel(federation), np.arange(1), 50, 1, 0)
    assert moments.mean[0] == pytest.approx(np.float32(value)) and moments.deviation[0] == 1


def test_squares_beyond_float32_are_refused() -> None:
    federation = LocalFederation.from_table(np.array([[1e20], [-1e20]]), [0, 1])
    with pytest.raises(DataError, match="feature 0 holds numbers whose squares are too large for float32"):
        learn_moments(PlainChannel(federation), np.arange(1), 2, 1, 0)


def test_questions_of_other_columns_are_refused() -> None:
    silo = Silo("a", [[1.0], [2.0]], [0.0, 1.0])
    for question in (PowerSums(2, 2, 0), PowerSums(2, 1, 2), PowerSums(2, 1, 0, np.zeros(2))):
        with pytest.raises(ProtocolError, match="moments were asked for"):
            question.ask(silo)
