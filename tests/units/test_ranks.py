"""Exact ranks: what the rounds of counting come to, and the decimals that are put between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import twins
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import LARGEST, Watched, column, examples, tables

from fedtrees import Channel, FedGBTRegressor, LocalFederation
from fedtrees.core.numeric.float_keys import float_of
from fedtrees.queries.counts import Counts, Summary
from fedtrees.queries.ranks import LARGEST_KEY, Buckets, Ranks, shortest_between
from fedtrees.trees.messages.training import Begin
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.server.cut_points import cuts_of, global_cuts
from fedtrees.trees.silo.binning import keys_of

seeds = st.integers(0, 2**32 - 1)
floats = st.floats(width=32, allow_nan=False, allow_infinity=False)
max_bins = st.sampled_from([2, 3, 16, 255, 256, 257, 1000])


def sorted_keys(X: NDArray[np.float32]) -> list[NDArray[np.uint32]]:
    """Each feature's keys in order, the missing left out: what the rounds of counting never see."""
    return [np.sort(keys_of(values[~np.isnan(values)])) for values in X.T]


def count(query: Ranks, keys: list[NDArray[np.uint32]]) -> NDArray[np.int64]:
    """The answer to a query, by sorting."""
    base, answer = query.base(), np.zeros(query.size(), np.int64)
    for f, own in enumerate(keys):
        for i in range(query.first[f], query.first[f + 1]):
            edges = int(query.low[i]) + (np.arange(base[i + 1] - base[i] + 1) << int(query.log_child[i]))
            answer[base[i] : base[i + 1]] = np.diff(np.searchsorted(own.astype(np.int64), edges))
    return answer


def refinements(X: NDArray[np.float32], max_bin: int) -> Iterator[Buckets]:
    """The buckets after each round of counting, from none on."""
    missing = np.isnan(X).sum(axis=0)
    keys = sorted_keys(X)
    buckets = Buckets.start(len(X), len(X) - missing, max_bin - (missing > 0))
    yield buckets
    while (coarse := buckets.to_refine()).any():
        query = buckets.query(coarse)
        buckets = buckets.refined(coarse, query, count(query, keys))
        yield buckets


def cuts_over(X: NDArray[np.float32], max_bin: int, silos: NDArray[np.int64] | None = None) -> tuple[Cuts, int]:
    """The cuts that a federation agrees on, and the rounds it took after the first."""
    federation = LocalFederation.from_table(X, np.zeros(len(X)), silos=silos)
    channel, everyone = Channel(federation), np.arange(len(federation.names))
    summary: Summary = channel.total(Counts(X.shape[1]), everyone)
    return global_cuts(channel, everyone, summary, max_bin), channel.ledger.rounds - 1


# -- buckets ------------------------------------------------------------------------------------------------


# law: Buckets
@examples(60)
@given(X=tables(), max_bin=max_bins)
def test_buckets_are_disjoint_and_ascending_and_count_every_value_exactly(X: NDArray[np.float32], max_bin: int) -> None:
    keys = sorted_keys(X)
    for buckets in refinements(X, max_bin):
        for f, own in enumerate(keys):
            mine = buckets.feature == f
            low, width = buckets.low[mine], buckets.width[mine]
            end = low + (np.int64(1) << width)
            assert (end[:-1] <= low[1:]).all()
            inside = np.searchsorted(own.astype(np.int64), [low, end])
            assert buckets.count[mine].tolist() == (inside[1] - inside[0]).tolist()
            assert buckets.count[mine].sum() == len(own)


@examples(40)
@given(X=tables(), max_bin=max_bins)
def test_buckets_end_fine_enough(X: NDArray[np.float32], max_bin: int) -> None:
    *before, buckets = refinements(X, max_bin)
    assert len(before) <= 6
    for f, own in enumerate(sorted_keys(X)):
        count, width = buckets.count[buckets.feature == f], buckets.width[buckets.feature == f]
        distinct, most = len(np.unique(own)), int(buckets.most[f])
        if distinct <= most:
            assert len(count) == distinct  # a bucket, and so a bin, for each
        else:
            # no bucket that could be divided holds more than a sixteenth of a bin's share
            assert len(count) > most
            assert (count[width > 0] <= max(1.0, len(own) / (16 * most))).all()


@given(values=st.lists(floats, min_size=1, max_size=50))
@example(values=[float(LARGEST), -float(LARGEST), -0.0, 1e-45, -1e-45])
def test_keys_and_floats_are_each_others_inverse(values: list[float]) -> None:
    given = np.float32(values)
    keys = keys_of(given)
    assert (float_of(keys.astype(np.int64)) == given).all()
    assert keys.max() <= LARGEST_KEY
    assert (np.argsort(keys, kind="stable") == np.argsort(given, kind="stable")).all()


# -- cuts ---------------------------------------------------------------------------------------------------


# law: global_cuts
@examples(60)
@given(X=tables(), max_bin=max_bins, seed=seeds, n_silos=st.integers(1, 20))
def test_cuts_do_not_depend_on_the_partition(X: NDArray[np.float32], max_bin: int, seed: int, n_silos: int) -> None:
    rng = np.random.default_rng(seed)
    pooled, rounds = cuts_over(X, max_bin)
    order = rng.permutation(len(X))
    parted, same_rounds = cuts_over(X[order], max_bin, rng.integers(n_silos, size=len(X)))
    assert pooled.values.tobytes() == parted.values.tobytes()
    assert pooled.offsets.tolist() == parted.offsets.tolist() and pooled.missing.tolist() == parted.missing.tolist()
    assert rounds == same_rounds <= 6


@examples(40)
@given(X=tables(), max_bin=max_bins)
def test_cuts_over_a_channel_are_those_of_sorted_values(X: NDArray[np.float32], max_bin: int) -> None:
    *_, buckets = refinements(X, max_bin)
    assert cuts_over(X, max_bin)[0].values.tobytes() == cuts_of(buckets, np.isnan(X).any(axis=0)).values.tobytes()


@examples(60)
@given(X=tables(), max_bin=max_bins)
def test_cuts_ascend_and_the_last_lies_above_every_value(X: NDArray[np.float32], max_bin: int) -> None:
    cuts, _ = cuts_over(X, max_bin)
    assert cuts.missing.tolist() == np.isnan(X).any(axis=0).tolist()
    for f, values in enumerate(X.T):
        own, there = cuts.of(f), values[~np.isnan(values)]
        assert (own[:-1] < own[1:]).all()
        assert len(own) + cuts.missing[f] <= max_bin
        assert (len(own) == 0) == (len(there) == 0)
        if len(own):
            assert own[-1] > there.max()
            # every bin holds somebody: no cut but the last says anything about a value that nobody has
            held = np.searchsorted(own, there, side="right")
            assert len(np.unique(held)) == len(own)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("kind", ["integers", "any", "subnormal"])
@pytest.mark.parametrize("distinct", [1, 2, 255, 256, 257])
def test_few_distinct_values_get_a_bin_each(distinct: int, kind: str, missing: bool) -> None:
    rng = np.random.default_rng(distinct)
    values = np.arange(distinct) * 3 - 100 if kind == "integers" else column(rng, kind, 20 * distinct + 50)
    values = np.unique(values[~np.isnan(values)].astype(np.float32))[:distinct]
    assert len(values) == distinct
    many = np.concatenate([values, values[:1].repeat(300), values, [np.nan] * missing]).astype(np.float32)
    cuts, _ = cuts_over(rng.permutation(many)[:, None], 256)
    room = 256 - missing
    assert cuts.n_values[0] == min(distinct, room)
    bins = np.searchsorted(cuts.of(0), values, side="right")
    if distinct <= room:
        assert bins.tolist() == list(range(distinct))
    else:  # somebody shares, but not the value that many have
        assert np.count_nonzero(bins == bins[0]) == 1


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("shape", ["normal", "lognormal", "uniform"])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_bins_of_continuous_data_hold_about_the_same(shape: str, missing: float) -> None:
    rng = np.random.default_rng(0)
    values = getattr(rng, shape)(size=100_000).astype(np.float32)
    values[rng.random(len(values)) < missing] = np.nan
    cuts, rounds = cuts_over(values[:, None], 256)
    there = values[~np.isnan(values)]
    held = np.bincount(np.searchsorted(cuts.of(0), there, side="right"))
    assert len(held) == 256 - (missing > 0)
    assert held.max() <= 1.5 / 256 * len(there) and held.min() >= 0.5 / 256 * len(there)
    assert rounds <= 4


def test_a_heavy_value_gets_a_bin_of_its_own_and_the_rest_share_the_others() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=3000), np.full(3000, 0.125)]).astype(np.float32)
    cuts, _ = cuts_over(values[:, None], 32)
    held = np.bincount(np.searchsorted(cuts.of(0), values, side="right"))
    alone = int(np.searchsorted(cuts.of(0), np.float32(0.125), side="right"))
    assert held[alone] < 3000 + 200
    assert np.delete(held, alone).max() < 2 * 3000 / 31
    assert len(held) >= 30


# -- decimals -----------------------------------------------------------------------------------------------


def neighbours(value: float, steps: int) -> tuple[np.float32, np.float32]:
    """A float and the one so many steps above it."""
    low = np.float32(value)
    key = min(int(keys_of(np.array([low]))[0]) + steps, LARGEST_KEY)
    return low, float_of(np.array([key]))[0]


@examples(300)
@given(value=floats, steps=st.one_of(st.integers(1, 5), st.integers(1, 2**20), st.integers(1, 2**31)))
@example(value=-1e-45, steps=2)
@example(value=-0.0, steps=1)
@example(value=0.0, steps=5)
@example(value=-float(LARGEST), steps=2**32)
@example(value=-float(LARGEST), steps=1)
@example(value=999.5, steps=2**14)
@example(value=0.1, steps=1)
def test_a_cut_is_the_shortest_decimal_between(value: float, steps: int) -> None:
    low, high = neighbours(value, steps)
    if not low < high:
        low, high = np.nextafter(low, np.float32(0)), low
    (cut,) = shortest_between(np.array([low]), np.array([high]))
    assert low < cut <= high
    assert cut in twins.shortest_between(low, high)


def test_many_cuts_at_once_are_each_by_itself() -> None:
    rng = np.random.default_rng(0)
    edges = np.unique(np.concatenate([column(rng, kind, 300) for kind in ("any", "continuous", "subnormal", "huge")]))
    edges = edges[~np.isnan(edges)]
    together = shortest_between(edges[:-1], edges[1:])
    alone = [shortest_between(edges[i : i + 1], edges[i + 1 : i + 2])[0] for i in range(len(edges) - 1)]
    assert together.tolist() == [float(cut) for cut in alone]
    assert (edges[:-1] < together).all() and (together <= edges[1:]).all()


def test_cuts_read_well() -> None:
    ages = np.repeat(np.arange(18, 91, dtype=np.float32), 3)
    cuts, _ = cuts_over(ages[:, None], 256)
    assert cuts.of(0)[:-1].tolist() == [age + 0.5 for age in range(18, 90)]


def test_ranks_answer_in_as_many_bytes_whatever_a_silo_holds() -> None:
    buckets = Buckets.start(1000, np.array([1000]), np.array([256]))
    query = buckets.query(buckets.to_refine())
    assert query.size() == 2**12 and query.bound() == 1000 and query.width() == 2
    assert replace(buckets, rows=10**6).query(buckets.to_refine()).width() == 3


# law: global_cuts
@pytest.mark.parametrize("rows", [300, 5000])
@pytest.mark.parametrize("unit", [2.0**-8, 1 / 300, 1e9])
def test_cuts_of_rows_that_weigh_alike_are_those_of_rows_without_weights(rows: int, unit: float) -> None:
    """The size of a fraction does not show whether a bucket has one row; refined further, its cuts lie elsewhere."""
    X = np.random.default_rng(0).normal(size=(rows, 3)).astype(np.float32)
    cuts = []
    for weight in (None, np.full(rows, unit)):
        federation = Watched(LocalFederation.from_table(X, X[:, 0], silos=np.arange(rows) % 3, sample_weight=weight))
        FedGBTRegressor(1, max_depth=1, n_jobs=1).fit_federation(federation)
        assert federation.log is not None
        cuts += [fact.values.tobytes() for fact in federation.log.facts if isinstance(fact, Begin)]
    assert cuts[0] == cuts[1]


@examples(60)
@given(X=tables(), max_bin=st.sampled_from([2, 3, 16, 300]))
def test_middles_of_bins_are_numbers_between_their_cuts(X: NDArray[np.float32], max_bin: int) -> None:
    cuts = cuts_over(X, max_bin)[0]
    assert np.isfinite(cuts.middles).all()
    for f in range(cuts.n_features):
        own, middles = cuts.of(f).astype(np.float64), cuts.middles[cuts.offsets[f] : cuts.offsets[f + 1]]
        assert (middles <= own).all() and (middles[1:] >= own[:-1]).all() and (np.diff(middles) > 0).all()
