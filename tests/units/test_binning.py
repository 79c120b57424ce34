"""Bins and cuts: a row goes left by its bin exactly where it goes left by its value."""

from __future__ import annotations

import numpy as np
import pytest
import twins
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import LARGEST, examples, tables
from test_ranks import cuts_over

from fedtrees import Silo
from fedtrees.core.numeric.threads import Threads
from fedtrees.trees.silo.binning import bin_table

EXTREMES = np.float32([-LARGEST, np.nextafter(-LARGEST, np.float32(0)), -1, -1e-45, -0.0, 0.0, 1e-45, 1, LARGEST])


def bins_of(X: NDArray[np.float32], max_bin: int) -> NDArray[np.int64]:
    cuts, _ = cuts_over(X, max_bin)
    table = Silo("one", X, np.zeros(len(X))).table
    return twins.from_groups(bin_table(table, cuts, Threads(2)), X.shape[1])


@examples(100)
@given(X=tables(), max_bin=st.sampled_from([2, 3, 16, 256, 257, 1000]))
@example(X=EXTREMES[:, None], max_bin=256)
@example(X=np.append(EXTREMES, [np.nan] * 3).astype(np.float32)[:, None], max_bin=256)
@example(X=np.repeat(EXTREMES, 5)[:, None], max_bin=3)
def test_a_bin_is_at_or_below_another_exactly_where_the_value_is_below_its_cut(
    X: NDArray[np.float32], max_bin: int
) -> None:
    cuts, _ = cuts_over(X, max_bin)
    bins = bins_of(X, max_bin)
    for f, values in enumerate(X.T):
        missing = np.isnan(values)
        for b, cut in enumerate(cuts.of(f)):
            assert ((bins[:, f] <= b) & ~missing).tolist() == (values < cut).tolist()
        assert (bins[missing, f] == cuts.n_values[f]).all()
        assert (bins[~missing, f] < cuts.n_values[f]).all()


@pytest.mark.parametrize(("max_bin", "dtype"), [(255, np.uint8), (256, np.uint8), (257, np.uint16)])
@pytest.mark.parametrize("missing", [False, True])
def test_bins_take_one_byte_where_256_of_them_do(max_bin: int, dtype: type, missing: bool) -> None:
    X = np.append(np.arange(1000), [np.nan] * missing).astype(np.float32)[:, None]
    cuts, _ = cuts_over(X, max_bin)
    assert cuts.n_bins.tolist() == [max_bin]
    assert bin_table(Silo("one", X, np.zeros(len(X))).table, cuts, Threads(1)).dtype == dtype
    assert len(np.unique(bins_of(X, max_bin))) == max_bin


@pytest.mark.parametrize("max_bin", [2, 254, 255, 256, 257, 258])
@pytest.mark.parametrize("missing", [False, True])
def test_rows_of_evaluation_have_bins_of_their_own_beyond_all_cuts(max_bin: int, missing: bool) -> None:
    """The missing too, whether or not training missed any; two more than the values', whatever a byte holds."""
    seen = np.arange(1000, dtype=np.float32)
    cuts, _ = cuts_over(np.append(seen, [np.nan] * missing).astype(np.float32)[:, None], max_bin)
    n = int(cuts.n_values[0])
    assert n == max_bin - missing
    rows = np.concatenate([seen, [np.nan, LARGEST, -LARGEST, 0.5, 998.5]]).astype(np.float32)
    table = Silo("one", rows[:, None], np.zeros(len(rows))).table
    found = twins.from_groups(bin_table(table, cuts, Threads(1), trained=False), 1)[:, 0]
    expected = np.searchsorted(cuts.of(0), rows, side="right")
    expected = np.where(np.isnan(rows), n, np.where(expected >= n, n + 1, expected))
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize(
    "values",
    [
        [37, 38], [0.123, 0.777], [-5.5, -5.25, 0, 1e-30], [1, 1.000001, 1e30], [-LARGEST, LARGEST], [100, 300, 1000],
        [-3e-45, 3e-45],
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("missing", [False, True])
def test_cuts_are_short_decimals_between_values_and_none_of_them(values: list[float], missing: bool) -> None:
    """What is published says between which values rows part, and no row's value; the last cut is above all."""
    X = np.append(np.repeat(np.float32(values), 3), [np.nan] * missing).astype(np.float32)[:, None]
    cuts, _ = cuts_over(X, 256)
    found, seen = cuts.of(0), np.unique(np.float32(values))
    assert len(found) == len(seen) and not np.isin(found[:-1], seen).any()
    for cut, low, high in zip(found[:-1], seen[:-1], seen[1:], strict=True):
        assert low < cut < high and cut in twins.shortest_between(low, high)
    assert found[-1] > seen[-1] and (np.isinf(found[-1]) == (seen[-1] == np.float32(LARGEST)))


def test_cuts_know_where_features_start() -> None:
    X = np.stack([np.arange(9), np.full(9, np.nan), np.full(9, 2.0)], axis=1).astype(np.float32)
    X[0, 0] = np.nan
    cuts, _ = cuts_over(X, 256)
    assert cuts.n_values.tolist() == [8, 0, 1] and cuts.n_bins.tolist() == [9, 1, 1]
    assert cuts.bin_offsets.tolist() == [0, 9, 10, 11] and cuts.total_bins == 11 and cuts.n_features == 3
    assert cuts.of(1).tolist() == []
    assert bins_of(X, 256)[:3].tolist() == [[8, 0, 0], [0, 0, 0], [1, 0, 0]]
