"""Every kernel does what its naive twin does."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
import twins
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import JIT, LARGEST, column, examples, tables
from twins import Node

from fedtrees import LocalFederation
from fedtrees.core.data.table import Schema, Table
from fedtrees.core.numeric import float_keys
from fedtrees.core.numeric.float_keys import float_of
from fedtrees.core.numeric.threads import Threads
from fedtrees.core.protocol.count_weights import CountWeights
from fedtrees.core.protocol.silo import Silo
from fedtrees.queries.counts import Counts
from fedtrees.queries.ranks import Ranks
from fedtrees.trees.kernels import gradients as gradients_kernels
from fedtrees.trees.kernels import histogram as histogram_kernels
from fedtrees.trees.model.cuts import NO_BIN, Cuts
from fedtrees.trees.model.shape import Shape
from fedtrees.trees.model.tree import LEAF
from fedtrees.trees.model.value_trees import ValueTrees
from fedtrees.trees.server.histogram_cache import HistogramCache
from fedtrees.trees.silo.binning import bin_table, keys_of

seeds = st.integers(0, 2**32 - 1)
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
STATISTICS = (
    1 << histogram_kernels.STATISTIC_BITS_G,
    1 << histogram_kernels.STATISTIC_BITS_H,
)  # the largest |g| and h of a row


def silo_of(X: NDArray[np.float32], n_silos: int, rng: np.random.Generator, n_jobs: int) -> tuple[Silo, list[int]]:
    """Some silos of a table whose rows stand in another order than in X; and the rows of X that they hold."""
    names = [f"f{f}" for f in range(X.shape[1])]
    schema = Schema(names, ["number"] * len(names), {}, named=False)
    starts = np.sort(np.append(rng.integers(0, len(X) + 1, n_silos - 1), [0, len(X)]))
    order = rng.permutation(len(X)) if rng.random() < 0.5 else None
    table = Table(schema, X, np.zeros(len(X)), None, [str(k) for k in range(n_silos)], starts, order)
    silo = Silo.of_table(table, Threads(n_jobs))
    cohort = np.flatnonzero(rng.random(n_silos) < 0.7)
    silo.ask_only(cohort if len(cohort) < n_silos else None)
    places = np.concatenate([np.arange(starts[k], starts[k + 1]) for k in cohort] or [[]]).astype(np.int64)
    return silo, (places if order is None else order[places]).tolist()


# -- keys ---------------------------------------------------------------------------------------------------


@given(x=finite)
@example(x=-0.0)
@example(x=float(LARGEST))
@example(x=-1e-45)
def test_keys_are_those_of_the_twin(x: float) -> None:
    value = np.float32(x)
    assert float_keys.key_of(value.view(np.uint32)) == twins.key(value)
    assert keys_of(np.array([value])).tolist() == [twins.key(value)]


@given(x=finite, z=finite)
@example(x=0.0, z=-0.0)
def test_keys_sort_as_floats_do(x: float, z: float) -> None:
    keys = [float_keys.key_of(np.float32(value).view(np.uint32)) for value in (x, z)]
    assert (keys[0] < keys[1]) == (x < z) and (keys[0] == keys[1]) == (x == z)


def test_only_nan_is_missing() -> None:
    bits = np.uint32([0x7FC00000, 0xFFC00000, 0x7F800001, 0xFFFFFFFF, 0x7F800000, 0xFF800000, 0, 0x80000000, 1])
    missing = [bool(float_keys.is_missing(value)) for value in bits]
    assert missing == np.isnan(bits.view(np.float32)).tolist()


# -- counting -----------------------------------------------------------------------------------------------


def random_intervals(rng: np.random.Generator, values: NDArray[np.float32]) -> list[tuple[int, int, int]]:
    """Disjoint intervals of keys, ascending, most of them where values are: (first key, log keys, log child)."""
    intervals: list[tuple[int, int, int]] = []
    there = values[~np.isnan(values)]
    for _ in range(rng.integers(0, 12)):
        near = twins.key(rng.choice(there)) if len(there) and rng.random() < 0.8 else int(rng.integers(2**32))
        width = int(rng.integers(0, 33))
        low = near >> width << width
        if all(low + 2**width <= other or other + 2**own <= low for other, own, _ in intervals):
            intervals.append((low, width, max(0, width - int(rng.integers(0, 6)))))
    return sorted(intervals)


@examples(100, plain=100)
@given(X=tables(), seed=seeds, n_silos=st.integers(1, 5), n_jobs=st.integers(1, 3))
def test_ranks_are_counted_as_the_twin_does(X: NDArray[np.float32], seed: int, n_silos: int, n_jobs: int) -> None:
    rng = np.random.default_rng(seed)
    intervals = [random_intervals(rng, values) for values in X.T]
    first = np.cumsum([0, *map(len, intervals)]).astype(np.int64)
    flat = [interval for own in intervals for interval in own]
    low, width, child = (np.array([interval[k] for interval in flat], np.int64) for k in range(3))
    silo, rows = silo_of(X, n_silos, rng, n_jobs)
    query = Ranks(len(X), first, low.astype(np.uint32), width.astype(np.uint8), child.astype(np.uint8))
    assert query.ask(silo).tolist() == twins.count_ranks(X[rows], intervals)
    weight = rng.integers(1, 5, len(X)).astype(np.float32)  # of rows as they stand in the silos
    CountWeights(2, whole=True).apply(silo)
    silo.multiply_weights(weight)
    by_rows = msgspec.structs.replace(query, weighted=False)
    assert by_rows.ask(silo).tolist() == twins.count_ranks(X[rows], intervals)
    of_row = np.empty(len(X), np.int64)
    of_row[slice(None) if silo.table.order is None else silo.table.order] = weight
    often = np.repeat(np.array(rows, np.int64), of_row[rows] if rows else [])
    assert query.ask(silo).tolist() == twins.count_ranks(X[often], intervals)


@examples(50, plain=50)
@given(X=tables(), seed=seeds, n_silos=st.integers(1, 5), n_jobs=st.integers(1, 3))
def test_missing_values_are_counted_as_the_twin_does(
    X: NDArray[np.float32], seed: int, n_silos: int, n_jobs: int
) -> None:
    silo, rows = silo_of(X, n_silos, np.random.default_rng(seed), n_jobs)
    n_rows, holding, *missing = Counts(X.shape[1]).ask(silo).tolist()
    assert missing == twins.count_missing(X[rows])
    assert n_rows == len(rows) and holding <= len(silo.silos_asked)


# -- bins ---------------------------------------------------------------------------------------------------


def random_cuts(rng: np.random.Generator, X: NDArray[np.float32], most: int) -> Cuts:
    """Cuts at values and between them, the last one above all."""
    each = []
    for values in X.T:
        there = np.append(values[~np.isnan(values)], [0, 1]).astype(np.float32)
        near = rng.choice(there, rng.integers(0, most))
        near = np.where(rng.random(len(near)) < 0.5, near, np.nextafter(near, np.float32(0)))
        each.append(np.append(np.unique(near), np.float32(np.inf)))
    offsets = np.cumsum([0, *map(len, each)])
    return Cuts(np.concatenate(each), offsets, np.isnan(X).any(axis=0) | (rng.random(X.shape[1]) < 0.3))


@examples(80, plain=80)
@given(X=tables(), seed=seeds, most=st.sampled_from([1, 5, 300]), n_jobs=st.integers(1, 3))
def test_values_find_their_bins_as_the_twin_does(X: NDArray[np.float32], seed: int, most: int, n_jobs: int) -> None:
    rng = np.random.default_rng(seed)
    cuts = random_cuts(rng, X, most)
    table = silo_of(X, 3, rng, 1)[0].table
    bins = bin_table(table, cuts, Threads(n_jobs))
    ordered = X if table.order is None else X[table.order]
    assert bins.dtype == (np.uint8 if cuts.n_bins.max() <= 256 else np.uint16)
    assert twins.from_groups(bins, cuts.n_features).tolist() == twins.codes(ordered, cuts).tolist()


@pytest.mark.parametrize("n_features", [1, 5, 7, 8, 9, 17, 33, 50])
def test_features_find_their_places_in_the_groups(n_features: int) -> None:
    rng = np.random.default_rng(n_features)
    X = np.stack([column(rng, "continuous", 50) for _ in range(n_features)], axis=1)
    cuts = random_cuts(rng, X, 20)
    bins = bin_table(silo_of(X, 1, rng, 1)[0].table, cuts, Threads(1))
    groups, rows, a_group = bins.shape
    assert a_group == group_width(n_features) and groups == -(-n_features // 8) and rows == 50
    table = silo_of(X, 1, np.random.default_rng(1), 1)[0].table
    ordered = X if table.order is None else X[table.order]
    again = bin_table(table, cuts, Threads(1))
    assert twins.from_groups(again, n_features).tolist() == twins.codes(ordered, cuts).tolist()


# -- histograms ---------------------------------------------------------------------------------------------


def packed_words(g: NDArray[np.int64], h: NDArray[np.int64]) -> NDArray[np.int64]:
    return (g << 32) + h


def random_tree(rng: np.random.Generator, n_bins: NDArray[np.int64], n_splits: int, chain: bool) -> list[Node]:
    """Split a random leaf, or always the last, so many times; every other feature's last bin is for the missing.

    Every third feature's other bins are categories.
    """
    nodes, leaves = [Node(LEAF, 0, NO_BIN, False, LEAF)], [0]
    for _ in range(n_splits):
        node = leaves.pop(-1 if chain else rng.integers(len(leaves)))
        f = int(rng.integers(len(n_bins)))
        missing = int(n_bins[f]) - f % 2 if f % 2 or f % 3 == 2 else NO_BIN
        right = frozenset(np.flatnonzero(rng.random(n_bins[f] - f % 2) < 0.5).tolist()) if f % 3 == 2 else None
        nodes[node] = Node(f, int(rng.integers(n_bins[f])), missing, bool(rng.random() < 0.5), len(nodes), right)
        leaves += [len(nodes), len(nodes) + 1]
        nodes += [Node(LEAF, 0, NO_BIN, False, LEAF)] * 2
    return nodes


def group_width(n_features: int) -> int:
    """Features a group: as few groups of up to 8 as there can be, and about as many in each."""
    return -(-n_features // -(-n_features // 8))


def shape_of(nodes: Sequence[Node]) -> Shape:
    *fields, _ = zip(*nodes, strict=True)
    feature, split, missing, default_left, left = map(np.array, fields)
    sets = {at: np.array(sorted(node.right), np.int32) for at, node in enumerate(nodes) if node.right is not None}
    return Shape(
        feature.astype(np.int32), split.astype(np.int32), missing.astype(np.int32),
        default_left.astype(np.bool_), left.astype(np.int32), sets, 800 if sets else 0,
    )  # fmt: skip


def built(
    bins: NDArray[np.uint8] | NDArray[np.uint16],
    words: NDArray[np.int64],
    node: NDArray[np.uint32],
    ranges: NDArray[np.int64],
    nodes: Sequence[Node],
    build: Sequence[int],
    offsets: NDArray[np.int64],
    word_rows: int = histogram_kernels.WORD_ROWS,
) -> NDArray[np.int64]:
    """What the kernel sums for some nodes: int64 (nodes, 2, bins); rows are moved to their nodes."""
    slot_of = np.full(len(nodes), -1, np.int32)
    slot_of[list(build)] = np.arange(len(build))
    stride = 256 if bins.dtype == np.uint8 else int(np.diff(offsets).max())
    packed = np.zeros(len(build) * bins.shape[0] * bins.shape[2] * stride, np.int64)
    wide = np.zeros((len(build), 2, offsets[-1]), np.int64)
    shape = shape_of(nodes)
    levels, walk = shape.levels_below(None), shape.walk(bins)
    one = np.zeros(0, np.uint8)
    given = bins, words, one, node, ranges, levels, walk, slot_of, offsets, stride, packed, wide
    histogram_kernels.grow_level(*given, word_rows)
    assert not packed.any()
    return wide


def random_ranges(rng: np.random.Generator, rows: int) -> NDArray[np.int64]:
    """Up to four disjoint ranges of rows, ascending, empty ones among them."""
    return np.sort(rng.integers(0, rows + 1, 2 * rng.integers(0, 5))).reshape(-1, 2)


@examples(80, plain=80)
@given(
    seed=seeds,
    rows=st.integers(1, 200),
    n_features=st.sampled_from([1, 3, 5, 7, 8, 9, 12, 17, 33]),
    most_bins=st.sampled_from([2, 20, 256, 700]),
    n_splits=st.sampled_from([0, 1, 2, 7, 30]),
    chain=st.booleans(),
)
def test_histograms_are_those_of_the_twin(
    seed: int, rows: int, n_features: int, most_bins: int, n_splits: int, chain: bool
) -> None:
    rng = np.random.default_rng(seed)
    n_bins = rng.integers(1, most_bins + 1, n_features)
    n_bins[0] = most_bins
    codes = rng.integers(0, n_bins, (rows, n_features))
    g, h = rng.integers(-STATISTICS[0], STATISTICS[0] + 1, rows), rng.integers(0, STATISTICS[1] + 1, rows)
    bins = twins.in_groups(codes, group_width(n_features), np.uint8 if most_bins <= 256 else np.uint16)
    offsets = np.concatenate(([0], np.cumsum(n_bins)))
    nodes = random_tree(rng, n_bins, n_splits, chain)
    build = rng.choice(len(nodes), rng.integers(1, len(nodes) + 1), replace=False).tolist()
    ranges = random_ranges(rng, rows)
    # a part of the tree was walked before: rows stand at any node on their way
    node = np.zeros(rows, np.uint32)
    stop = int(rng.integers(len(nodes)))
    upper = [asked if asked.left <= stop else Node(LEAF, 0, NO_BIN, False, LEAF) for asked in nodes]
    for row in range(rows):
        node[row] = twins.reached(codes[row], upper) if rng.random() < 0.5 else 0
    before = node.copy()

    wide = built(bins, packed_words(g, h), node, ranges, nodes, build, offsets)

    asked = np.concatenate([np.arange(a, b) for a, b in ranges] or [[]]).astype(np.int64)
    end = before.copy()
    end[asked] = [twins.reached(codes[row], nodes) for row in asked]
    assert node.tolist() == end.tolist()
    for slot, number in enumerate(build):
        own = asked[end[asked] == number]
        assert wide[slot].tolist() == twins.histogram(codes, g, h, own, offsets).tolist()


@examples(60, plain=60)
@given(
    seed=seeds, word_rows=st.integers(2, 9), rows=st.integers(60, 120), n_splits=st.sampled_from([2, 1, 0]),
    share=st.sampled_from([1.0, 0.5]), sign=st.sampled_from([-1, 1]),
)  # fmt: skip
def test_words_are_emptied_before_they_run_over(
    seed: int, word_rows: int, rows: int, n_splits: int, share: float, sign: int
) -> None:
    """Each row has the most that so many rows of a word may: one row more of a node, and a half runs over."""
    rng = np.random.default_rng(seed)
    n_bins = np.ones(3, np.int64)
    nodes = random_tree(rng, n_bins, n_splits, chain=False)
    build = [at for at, own in enumerate(nodes) if own.feature < 0][: 1 + n_splits]
    codes, node = np.zeros((rows, 3), np.int64), np.zeros(rows, np.uint32)
    node[:] = rng.choice(build, rows)
    h = np.where(rng.random(rows) < share, (2**32 - 1) // word_rows, 0)
    g = np.where(h > 0, sign * (2**31 // word_rows - 1), 0)
    bins = twins.in_groups(codes, group_width(3), np.uint8)
    offsets, middle = np.arange(4), int(rng.integers(10, rows - 10))
    ranges = np.array([[0, middle - 3], [middle, rows]])
    own = np.r_[0 : middle - 3, middle:rows]
    wide = built(bins, packed_words(g, h), node, ranges, nodes, build, offsets, word_rows)
    for slot, number in enumerate(build):
        held = own[node[own] == number]
        assert wide[slot].tolist() == [[int(g[held].sum())] * 3, [int(h[held].sum())] * 3]


@given(seed=seeds, n_splits=st.sampled_from([0, 1, 2, 7, 30]), chain=st.booleans())
def test_a_grown_tree_extends_what_was_walked_and_says_how_far_it_is(seed: int, n_splits: int, chain: bool) -> None:
    rng = np.random.default_rng(seed)
    nodes = random_tree(rng, np.full(3, 9), n_splits, chain)
    stop = int(rng.integers(len(nodes)))
    upper = [asked if asked.left <= stop else Node(LEAF, 0, NO_BIN, False, LEAF) for asked in nodes]
    whole, younger = shape_of(nodes), shape_of(upper)
    assert whole.extends(whole) and whole.extends(younger)
    assert younger.extends(whole) == (nodes == upper)

    def depth(node: int) -> int:
        return 0 if nodes[node].feature < 0 else 1 + max(depth(nodes[node].left), depth(nodes[node].left + 1))

    leaves = {twins.reached(row, upper) for row in np.ndindex(9, 9, 9)}
    assert whole.levels_below(None) == depth(0) and whole.levels_below(whole) == 0
    assert whole.levels_below(younger) >= max(depth(leaf) for leaf in leaves)
    assert whole.levels_below(younger) <= depth(0)
    if n_splits:
        assert not shape_of([nodes[0]._replace(bin=nodes[0].bin ^ 1), *nodes[1:]]).extends(whole)
        assert not shape_of([nodes[0]._replace(feature=(nodes[0].feature + 1) % 3), *nodes[1:]]).extends(whole)


@pytest.fixture
def many_rows(monkeypatch: pytest.MonkeyPatch) -> int:
    """Rows enough to empty every accumulator several times; plain Python has smaller ones, so that fewer will do."""
    if JIT:
        return 150_000
    monkeypatch.setattr(histogram_kernels, "WORD_ROWS", 7)
    monkeypatch.setattr(histogram_kernels, "LIST_ROWS", 40)
    return 150


@pytest.mark.parametrize("n_features", [1, 5, 7, 8, 12, 17])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_no_accumulator_overflows(many_rows: int, n_features: int, dtype: type, sign: int, depth: int) -> None:
    """The largest statistics there are, all in one bin; the built nodes hold all rows, half of them, or take turns."""
    n_bins = 256 if dtype == np.uint8 else 300
    codes = np.full((many_rows, n_features), n_bins - 1)
    codes[:, 0] = np.arange(many_rows) % 4
    g, h = np.full(many_rows, sign * STATISTICS[0]), np.full(many_rows, STATISTICS[1])
    bins = twins.in_groups(codes, group_width(n_features), dtype)
    offsets = np.arange(n_features + 1) * n_bins
    inner = [Node(0, split, NO_BIN, False, left) for split, left in ((1, 1), (0, 3), (2, 5))]
    nodes = inner[: (0, 1, 3)[depth]]
    nodes += [Node(LEAF, 0, NO_BIN, False, LEAF)] * (len(nodes) + 1)
    build = {0: [0], 1: [2], 2: [4, 6, 3]}[depth]
    lies_in = {0: [0, 0, 0, 0], 1: [1, 1, 2, 2], 2: [3, 4, 5, 6]}[depth]  # the node of each code of feature 0
    ranges = np.array([[0, many_rows // 2], [many_rows // 2, many_rows // 2 + 5], [many_rows // 2 + 5, many_rows]])

    wide = built(bins, packed_words(g, h), np.zeros(many_rows, np.uint32), ranges, nodes, build, offsets)

    place = np.array(lies_in)[codes[:, 0]]
    for slot, number in enumerate(build):
        own = np.flatnonzero(place == number)
        assert wide[slot].tolist() == twins.histogram(codes, g, h, own, offsets).tolist()
        # the last feature's last bin holds them all, where it is not the first feature's
        if n_features > 1:
            assert wide[slot, :, -1].tolist() == [sign * STATISTICS[0] * len(own), STATISTICS[1] * len(own)]


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("depth", [0, 1])
def test_a_million_random_rows_sum_as_the_twins_do(depth: int) -> None:
    rng = np.random.default_rng(depth)
    rows, n_features = 300_000, 17
    codes = rng.integers(0, 256, (rows, n_features))
    g, h = rng.integers(-STATISTICS[0], STATISTICS[0] + 1, rows), rng.integers(0, STATISTICS[1] + 1, rows)
    offsets = np.arange(n_features + 1) * 256
    leaves = [Node(LEAF, 0, NO_BIN, False, LEAF)] * 2
    nodes = [Node(3, 100, 255, True, 1), *leaves] if depth else leaves[:1]
    ranges = np.array([[10, 70_000], [70_001, 70_001], [100_000, rows]])
    bins = twins.in_groups(codes, group_width(n_features), np.uint8)
    wide = built(bins, packed_words(g, h), np.zeros(rows, np.uint32), ranges, nodes, [len(nodes) - 1], offsets)
    asked = np.concatenate([np.arange(a, b) for a, b in ranges])
    goes_right = (codes[asked, 3] > 100) & (codes[asked, 3] != 255)
    own = asked[goes_right] if depth else asked
    assert wide[0].tolist() == twins.histogram(codes, g, h, own, offsets).tolist()


def test_the_largest_statistics_of_as_many_rows_as_a_word_holds_fit_its_halves() -> None:
    g, h = (statistic * histogram_kernels.WORD_ROWS for statistic in STATISTICS)
    assert g < 2**31 and h < 2**32


# -- leaves and siblings ------------------------------------------------------------------------------------


@examples(60, plain=60)
@given(seed=seeds, rows=st.integers(1, 60), n_splits=st.sampled_from([0, 1, 5, 40]), chain=st.booleans())
def test_leaves_are_added_as_the_twin_does(seed: int, rows: int, n_splits: int, chain: bool) -> None:
    rng = np.random.default_rng(seed)
    n_bins = np.array([2, 5, 9])
    codes = rng.integers(0, n_bins, (rows, 3))
    bins, nodes = twins.in_groups(codes, 2, np.uint8), random_tree(rng, n_bins, n_splits, chain)
    value = rng.normal(size=len(nodes)).astype(np.float32)
    margin = rng.normal(size=rows).astype(np.float32)
    node, ranges, expected = np.zeros(rows, np.uint32), random_ranges(rng, rows), margin.copy()
    for a, b in ranges:
        for row in range(a, b):
            expected[row] += value[twins.reached(codes[row], nodes)]
    shape = shape_of(nodes)
    histogram_kernels.add_leaves(bins, node, ranges, shape.levels_below(None), shape.walk(bins), value, margin)
    assert margin.tobytes() == expected.tobytes()


@given(seed=seeds, pairs=st.integers(1, 6), bins=st.integers(1, 9), n_jobs=st.integers(1, 3))
def test_siblings_are_what_is_left_of_their_parents(seed: int, pairs: int, bins: int, n_jobs: int) -> None:
    rng = np.random.default_rng(seed)
    parents, own = rng.integers(-(2**60), 2**60, (8, 2, bins)), rng.integers(-(2**60), 2**60, (pairs, 2, bins))
    shelf = HistogramCache(bins)
    places = rng.permutation(shelf.put(parents))[:pairs]
    built = shelf.divide(places, own, Threads(n_jobs))
    assert len({*places, *built}) == 2 * pairs  # nothing is written twice
    assert shelf.histograms[built].tolist() == own.tolist()
    assert shelf.histograms[places].tolist() == (parents[places] - own).tolist()
    assert shelf.put(own).tolist() == list(range(pairs)) and shelf.histograms[:pairs].tolist() == own.tolist()


@pytest.mark.parametrize("repeated", [False, True])
def test_exponents_are_counted_by_the_power_of_two_that_bounds_a_value(repeated: bool) -> None:
    """By definition: the smallest e with |value| <= 2 ** e; a power of two bounds itself, and below the first is it."""
    exact = [float(sign * 2.0**e) for e in range(-4, 5) for sign in (1, -1)]
    values = np.array([0.0, *exact, *np.nextafter(exact, 0), *np.nextafter(exact, np.inf), 5e-324, 3.0, -0.3])
    times = np.arange(len(values)) % 3 if repeated else np.ones(1, np.int64)
    lowest, out = -3, np.full(9, 4, np.int64)
    ranges = np.array([[0, 20], [22, len(values)]])
    expected = np.full(9, 4)
    for i in [*range(20), *range(22, len(values))]:
        bound = next(e for e in range(lowest, 7) if abs(values[i]) <= 2.0**e)
        expected[bound - lowest] += times[i] if repeated else 1
    assert gradients_kernels.count_exponents(values, times, ranges, lowest, out)
    assert out.tolist() == expected.tolist()
    for beyond in (np.nextafter(2.0**5, 99), 2.0**6, np.inf):
        assert not gradients_kernels.count_exponents(
            np.array([beyond]), np.ones(1, int), ranges[:1] * 0 + [0, 1], lowest, out
        )
    assert gradients_kernels.count_exponents(np.array([2.0**5]), np.ones(1, int), np.array([[0, 1]]), lowest, out)
    assert out[-1] == expected[-1] + 1


@examples(60, plain=60)
@given(seed=seeds, log_keys=st.integers(0, 6), margins=st.booleans(), draws=st.booleans())
def test_residuals_are_counted_from_an_interval_s_first_key_to_its_last(
    seed: int, log_keys: int, margins: bool, draws: bool
) -> None:
    rng = np.random.default_rng(seed)
    rows, nodes, leaves, log_child = 80, 4, 3, int(rng.integers(0, log_keys + 1))
    low = (twins.key(1.0) + rng.integers(-40, 40, (leaves, 2))).astype(np.uint32)
    ends = np.array([-1, 0, 1, (1 << log_keys) - 1, 1 << log_keys, (1 << log_keys) + 1])
    keys = rng.choice(low.ravel(), rows).astype(np.int64) + rng.choice(ends, rows)
    residual, margin = float_of(keys), np.full(rows, 0.5 if margins else 0.0, np.float32)
    y = residual + margin  # which is exact near 1
    node, slot_of = rng.integers(0, nodes, rows).astype(np.uint32), np.int32([1, -1, 0, 2])
    counts = rng.integers(0, 5, rows) if draws else np.ones(1, np.int64)
    ranges = np.array([[0, 30], [35, rows]])
    out = np.full((leaves, 2, 1 << (log_keys - log_child)), 7, np.int64)
    gradients_kernels.count_residuals(
        y, margin, counts, node, ranges, slot_of, low, log_keys, log_child, out[:leaves]
    )  # fmt: skip
    expected = np.full(out.shape, 7)
    for i in [*range(30), *range(35, rows)]:
        for side in range(2):
            slot = slot_of[node[i]]
            place = twins.key(float(y[i] - margin[i])) - int(low[slot, side])
            if slot >= 0 and 0 <= place < 1 << log_keys:
                expected[slot, side, place >> log_child] += counts[i] if draws else 1
    assert out.tolist() == expected.tolist()


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("default_left", [False, True])
def test_rows_walk_trees_over_values_as_xgboost_has_them(shuffled: bool, default_left: bool) -> None:
    """Left below a threshold and right from it on; right in a set, and left of it where a code is in none."""
    numbers, codes = [np.nan, 0.5, np.nextafter(np.float32(1), np.float32(0)), 1.0, 2.0], [np.nan, 0, 1, 2, 3, 4, 99]
    X = np.array([[x, code] for x in numbers for code in codes], np.float32)
    trees = ValueTrees(
        features=2, base_margin=np.zeros(2, np.float32), ends=np.array([3, 4, 9]), output=np.int32([1, 0, 1]),
        feature=np.int32([0, -1, -1, -1, 1, 1, -1, -1, -1]), value=np.float32([1, 2, 3, 8, 0, 0, 16, 32, 64]),
        default_left=np.array([default_left] * 9), left=np.int32([1, -1, -1, -1, 2, 3, -1, -1, -1]),
        right=np.int32([2, -1, -1, -1, 1, 4, -1, -1, -1]), by_category=np.array([4, 5]),
        categories=np.int32([0, 3, 1, 3, 2]), category_ends=np.array([2, 5]),
    )  # fmt: skip
    trees.check(2)

    def walked(x: float, code: float) -> list[float]:
        to_left = default_left if np.isnan(x) else x < 1
        first = 2.0 if to_left else 3.0
        if default_left if np.isnan(code) else code not in (0, 3):
            last = 16.0
        else:
            last = 32.0 if (default_left if np.isnan(code) else code not in (1, 2, 3)) else 64.0
        return [8.0, first + last]

    silos = np.arange(len(X)) % 3 if shuffled else None
    table = LocalFederation.from_table(X, np.zeros(len(X)), silos=silos).table
    assert (table.order is not None) == shuffled
    margin = np.full((2, len(X)), 0.5, np.float32)
    trees.add_to(margin, table, Threads(2))
    rows = X if table.order is None else X[table.order]
    expected = [[0.5 + own for own in walked(*row)] for row in rows.tolist()]
    assert margin.T.tolist() == expected
