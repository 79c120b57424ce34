"""What every partition promises, and what each of them promises besides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedtrees.datasets import (
    partition_by,
    partition_classes,
    partition_dirichlet,
    partition_iid,
    partition_shards,
    partition_sizes,
)
from fedtrees.datasets.dealing import apportioned, dealt
from fedtrees.errors import DataError, ParameterError

Partition = Callable[[NDArray[Any], int, int], NDArray[np.str_]]

# each as a function of (y, silos, seed), and the least that its silos hold
DRAWN: dict[str, Partition] = {
    "iid": lambda y, silos, seed: partition_iid(len(y), silos, seed),
    "sizes": lambda y, silos, seed: partition_sizes(len(y), silos, 1.3, seed=seed),
    "equal sizes": lambda y, silos, seed: partition_sizes(len(y), silos, 0, seed=seed),
    "dirichlet": lambda y, silos, seed: partition_dirichlet(y, silos, 0.3, seed=seed),
    "one class by dirichlet": lambda y, silos, seed: partition_dirichlet(y, silos, 1e-9, seed=seed),
    "split classes": lambda y, silos, seed: partition_dirichlet(y, silos, 0.3, balanced=False, seed=seed),
    "shards": lambda y, silos, seed: partition_shards(y, silos, seed=seed),
    "classes": lambda y, silos, seed: partition_classes(y, silos, 2, seed=seed),
}

every_partition = pytest.mark.parametrize("partition", DRAWN.values(), ids=DRAWN.keys())


def sizes_of(silos: NDArray[np.str_]) -> NDArray[np.int64]:
    return np.unique(silos, return_counts=True)[1]


@st.composite
def problems(draw: st.DrawFn) -> tuple[NDArray[np.int64], int]:
    """Labels of three classes of 12 rows or more, in any order, and a number of silos from 2 on."""
    rows = [draw(st.integers(12, 40)) for _ in range(3)]
    y = np.repeat(np.arange(3), rows)
    return np.random.default_rng(draw(st.integers(0, 99))).permutation(y), draw(st.integers(2, 12))


# -- the contract -----------------------------------------------------------------------------------------


@every_partition
@given(problems(), st.integers())
def test_every_row_is_in_one_silo_and_every_silo_has_rows(
    partition: Partition, problem: tuple[NDArray[np.int64], int], seed: int
) -> None:
    y, silos = problem
    ids = partition(y, silos, seed)
    assert ids.shape == y.shape and ids.dtype.kind == "U"
    digits = len(str(silos - 1))
    assert sorted(set(ids)) == [f"silo {k:0{digits}d}" for k in range(silos)]


# law: partition_dirichlet, partition_shards, partition_classes, partition_iid, partition_sizes
@every_partition
@given(problems(), st.integers())
def test_a_partition_depends_on_its_arguments_alone(
    partition: Partition, problem: tuple[NDArray[np.int64], int], seed: int
) -> None:
    y, silos = problem
    first = partition(y, silos, seed)
    np.random.default_rng().random()
    partition(y, silos, seed + 1)
    np.testing.assert_array_equal(partition(y.copy(), silos, seed), first)


@every_partition
def test_seeds_draw_different_partitions(partition: Partition) -> None:
    y = np.arange(60) % 3
    assert len({partition(y, 5, seed).tobytes() for seed in range(20)}) == 20


@pytest.mark.parametrize("name", [name for name in DRAWN if "iid" not in name and "sizes" not in name])
def test_only_the_order_of_labels_plays_a_part(name: str) -> None:
    y = np.random.default_rng(0).permutation(np.arange(90) % 3)
    expected = DRAWN[name](y, 6, 4)
    for same in (np.array(["a", "b", "c"])[y], np.array(["a", "b", "c"], object)[y], y * 1.0, (y - 7).astype(np.int8)):
        np.testing.assert_array_equal(DRAWN[name](same, 6, 4), expected)
    np.testing.assert_array_equal(DRAWN[name](pd.Series(y, index=y[::-1]), 6, 4), expected)  # type: ignore[arg-type]
    np.testing.assert_array_equal(DRAWN[name](pd.Categorical(y), 6, 4), expected)  # type: ignore[arg-type]


PINNED = {
    "iid": [2, 2, 0, 0, 0, 1, 0, 0, 2, 1, 1, 1, 2, 1, 2, 0, 1, 2],
    "sizes": [1, 1, 0, 2, 2, 0, 0, 0, 1, 2, 0, 0, 0, 1, 1, 0, 0, 0],
    "dirichlet": [1, 1, 0, 0, 0, 1, 0, 2, 1, 0, 2, 1, 0, 2, 2, 1, 2, 2],
    "split classes": [0, 2, 0, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0],
    "shards": [0, 1, 1, 1, 0, 0, 2, 1, 2, 1, 1, 2, 0, 2, 2, 2, 0, 0],
    "classes": [2, 0, 2, 0, 2, 0, 0, 0, 1, 1, 0, 1, 2, 1, 1, 1, 2, 2],
}


@pytest.mark.parametrize("name", PINNED)
def test_the_draws_are_what_they_always_were(name: str) -> None:
    ids = DRAWN[name](np.repeat([0, 1, 2], 6), 3, 5)
    assert [int(silo[5:]) for silo in ids] == PINNED[name]


# -- sizes ------------------------------------------------------------------------------------------------


@given(st.integers(1, 200), st.data(), st.integers())
def test_equal_silos_differ_by_a_row(n: int, data: st.DataObject, seed: int) -> None:
    silos = data.draw(st.integers(1, n))
    y = np.arange(n) % 3
    for ids in (
        partition_iid(n, silos, seed),
        partition_sizes(n, silos, 0.0, seed=seed),
        partition_dirichlet(y, silos, 0.1, seed=seed),
    ):
        assert len(sizes_of(ids)) == silos and np.ptp(sizes_of(ids)) <= 1


def test_iid_silos_hold_the_classes_in_their_shares() -> None:
    y = np.repeat(np.arange(10), 6000)
    ids = partition_iid(len(y), 100)
    counts = pd.crosstab(ids, y).to_numpy()
    # 600 rows of which a tenth is of a class: chi squared of 99 * 9 degrees of freedom
    chi = ((counts - 60) ** 2 / 60).sum()
    assert abs(chi - 99 * 9) < 5 * np.sqrt(2 * 99 * 9)


# law: partition_sizes
@given(st.integers(1, 400), st.integers(1, 20), st.floats(0, 8))
def test_sizes_do_not_depend_on_the_seed(n: int, silos: int, power: float) -> None:
    first, second = (sizes_of(partition_sizes(n + silos, silos, power, seed=seed)) for seed in (n, n + 1))
    assert first.tolist() == second.tolist()


# law: partition_shards
@given(problems())
def test_shards_differ_by_a_row_at_the_most(problem: tuple[NDArray[np.int64], int]) -> None:
    y, silos = problem
    assert np.ptp(sizes_of(partition_shards(y, silos, 1))) <= 1


@given(st.integers(1, 400), st.integers(1, 20), st.floats(0, 8), st.integers(0, 9))
def test_sizes_fall_by_the_power_law(n: int, silos: int, power: float, least: int) -> None:
    n = n + silos * least + silos
    sizes = sizes_of(partition_sizes(n, silos, power, least, seed=n))
    if least:
        assert len(sizes) == silos and sizes.min() >= least
    assert (np.diff(sizes) <= 0).all() and sizes.sum() == n
    weights = np.arange(1, silos + 1.0) ** -power
    exact = least + (n - silos * least) * weights / weights.sum()
    assert np.abs(np.pad(sizes, (0, silos - len(sizes))) - exact).max() < 1


def test_sizes_of_a_thousand_silos_lie_on_a_line_of_the_power() -> None:
    sizes = sizes_of(partition_sizes(10**6, 1000, power=0.8, min_rows=0))
    slope = np.polyfit(np.log(np.arange(1, 1001)), np.log(sizes), 1)[0]
    assert slope == pytest.approx(-0.8, abs=0.01)


@given(st.integers(0, 1000), st.lists(st.floats(0, 1e6), min_size=1, max_size=30).filter(any))
def test_apportioned_numbers_are_whole_and_as_near_as_can_be(total: int, weights: list[float]) -> None:
    w = np.array(weights)
    counts = apportioned(total, w)
    assert counts.sum() == total and counts.min() >= 0
    assert np.abs(counts - total * (w / w.sum())).max() < 1


# -- label skew -------------------------------------------------------------------------------------------


def test_hsu_silos_draw_their_shares_by_dirichlet() -> None:
    # of so many rows that none is used up: the classes' shares by silo have the mean and variance of Dir(alpha p)
    y = np.repeat(np.arange(3), [50_000, 30_000, 20_000])
    p, alpha, silos = np.array([0.5, 0.3, 0.2]), 2.0, 1000
    counts = pd.crosstab(partition_dirichlet(y, silos, alpha), y).to_numpy()
    shares = counts / counts.sum(axis=1, keepdims=True)
    variance = p * (1 - p) / (alpha + 1)
    drawn = variance + (p * (1 - p) - variance) / 100  # a hundred rows are drawn by each silo's shares
    np.testing.assert_allclose(shares.mean(axis=0), p, atol=1e-12)
    np.testing.assert_allclose(shares.var(axis=0), drawn, rtol=0.12)


def test_yurochkin_classes_are_split_by_dirichlet() -> None:
    y = np.repeat(np.arange(40), 1000)
    counts = pd.crosstab(partition_dirichlet(y, 5, 0.7, balanced=False), y).to_numpy()
    shares = counts.T / 1000
    assert shares.mean() == pytest.approx(0.2)
    assert shares.var() == pytest.approx(0.2 * 0.8 / (5 * 0.7 + 1), rel=0.2)


@pytest.mark.parametrize("balanced", [True, False])
def test_the_larger_alpha_the_more_alike_the_silos(balanced: bool) -> None:
    y = np.repeat(np.arange(10), 600)
    spread = []
    for alpha in (1e-300, 0.01, 0.3, 3, 100, 1e300):
        ids = partition_dirichlet(y, 20, alpha, balanced)
        counts = pd.crosstab(ids, y).to_numpy()
        spread.append(np.abs(counts / counts.sum(axis=1, keepdims=True) - 0.1).sum(axis=1).mean() / 2)
    assert (np.diff(spread) < 0.01).all()
    assert spread[0] > 0.75 and spread[-1] < 0.08


@given(st.integers(0, 12), st.integers(0, 999))
def test_no_silo_has_fewer_rows_than_it_must(least: int, seed: int) -> None:
    y = np.repeat(np.arange(3), 40)
    ids = partition_dirichlet(y, 10, 0.05, balanced=False, min_rows=least, seed=seed)
    assert sizes_of(ids).min() >= least and (least == 0 or len(set(ids)) == 10)


def test_without_a_least_number_a_silo_may_have_no_rows() -> None:
    y = np.repeat([0, 1], 50)
    assert len(set(partition_dirichlet(y, 30, 0.05, balanced=False, min_rows=0))) < 30


def test_mcmahans_shards() -> None:
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 6000))
    ids = partition_shards(y, 100)
    counts = pd.crosstab(ids, y).to_numpy()
    assert (counts.sum(axis=1) == 600).all()
    assert set(counts.ravel().tolist()) == {0, 300, 600}  # 20 shards a digit: none spans two
    assert ((counts > 0).sum(axis=1) <= 2).all() and (counts == 300).sum() > 150


@given(st.integers(1, 8), st.integers(1, 4), st.integers(0, 60), st.integers(0, 99))
def test_shards_are_cut_from_sorted_labels(silos: int, shards: int, more: int, seed: int) -> None:
    n = silos * shards + more
    y = np.random.default_rng(seed).normal(size=n)  # no two alike: a silo's shards are runs of ranks
    ids = partition_shards(y, silos, shards, seed)
    ranked = ids[np.argsort(y)]
    for name in set(ids):
        places = np.flatnonzero(ranked == name)
        assert np.count_nonzero(np.diff(places) > 1) < shards
    smallest = n // (silos * shards)
    assert ((sizes_of(ids) >= shards * smallest) & (sizes_of(ids) <= shards * (smallest + 1))).all()


@given(problems(), st.integers(1, 3), st.integers(0, 99))
def test_silos_hold_as_many_classes_as_asked(problem: tuple[NDArray[np.int64], int], classes: int, seed: int) -> None:
    y, silos = problem
    silos = max(silos, 3)
    counts = pd.crosstab(partition_classes(y, silos, classes, seed), y).to_numpy()
    assert ((counts > 0).sum(axis=1) == classes).all()
    assert np.ptp((counts > 0).sum(axis=0)) <= 1  # classes have as many holders as others
    for column in counts.T:
        assert np.ptp(column[column > 0]) <= 1


@given(st.integers(1, 6), st.integers(1, 4), st.integers(0, 99))
def test_rows_are_dealt_as_counted(silos: int, n_classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 5, (silos, n_classes))
    classes = rng.permutation(np.repeat(np.arange(n_classes), counts.sum(axis=0)))
    codes = dealt(classes, counts, rng)
    found = np.zeros_like(counts)
    for silo, label in zip(codes, classes, strict=True):  # the naive twin
        found[silo, label] += 1
    np.testing.assert_array_equal(found, counts)


# -- natural columns --------------------------------------------------------------------------------------


def test_each_value_is_a_silo() -> None:
    assert partition_by(["UA", "AA", "UA"]).tolist() == ["UA", "AA", "UA"]
    assert partition_by(pd.Series(["x", "y"], dtype="category")).tolist() == ["x", "y"]
    assert partition_by([True, False]).tolist() == ["True", "False"]
    assert partition_by([10, -9, 2013]).tolist() == ["silo 1: 10", "silo 0: -9", "silo 2: 2013"]
    assert partition_by(pd.Series([2**53 + 1, 1], dtype="Int64")).tolist() == ["silo 1: 9007199254740993", "silo 0: 1"]


@given(
    st.lists(st.one_of(st.integers(-50, 50), st.floats(allow_nan=False, allow_infinity=False)), min_size=1, max_size=50)
)
def test_ids_sort_as_numbers_do(values: list[float]) -> None:
    ids = partition_by(np.array(values))
    for a, x in zip(ids, values, strict=True):
        for b, y in zip(ids, values, strict=True):
            assert (a < b) == (x < y)


@given(st.integers(1, 12), st.integers(0, 200), st.integers(0, 99))
def test_quantile_groups_are_of_one_size_and_in_order(groups: int, more: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=groups + more)
    ids = partition_by(values, groups)
    assert len(set(ids)) == groups and np.ptp(sizes_of(ids)) <= 1
    assert (np.sort(ids) == ids[np.argsort(values, kind="stable")]).all()


@given(st.lists(st.integers(0, 9), min_size=5, max_size=60), st.integers(1, 4))
def test_equal_values_stay_together(values: list[int], groups: int) -> None:
    try:
        ids = partition_by(values, groups)
    except ParameterError:
        assert len(set(values)) < 2 * groups  # it takes many ties
        return
    assert len(set(ids)) == groups
    assert len({(v, i) for v, i in zip(values, ids.tolist(), strict=True)}) == len(set(values))


def test_a_value_that_most_rows_share_is_a_group_by_itself() -> None:
    sizes = pd.Series(partition_by([0] * 90 + list(range(1, 11)), 2)).value_counts().to_dict()
    assert sizes == {"silo 0: 0": 90, "silo 1: 1 to 10": 10}


# -- bad input --------------------------------------------------------------------------------------------

Y = np.repeat([0, 1, 2], 4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: partition_iid(0, 1), r"^n_rows=0: give a whole number, 1 or above"),
        (lambda: partition_iid(10.0, 1), r"^n_rows=10.0: give a whole"),  # type: ignore[arg-type]
        (lambda: partition_iid(3, True), r"^silos=True: give a whole"),
        (lambda: partition_iid(3, 4), r"^silos=4: 3 rows are too few for silos of 1 or more; ask for 3 silos or fewer"),
        (lambda: partition_sizes(10, 3, -1), r"^power=-1: give a finite number from 0 on"),
        (lambda: partition_sizes(10, 3, float("nan")), r"^power=nan"),
        (lambda: partition_sizes(10, 3, 1, min_rows=4), r"^silos=3: 10 rows are too few for silos of 4"),
        (lambda: partition_sizes(10, 3, 1, min_rows=11), r"ask for 1 silos or fewer"),
        (lambda: partition_sizes(10, 3, 1, min_rows=-1), r"^min_rows=-1: give a whole number, 0 or above"),
        (lambda: partition_dirichlet(Y, 3, 0), r"^alpha=0: give a finite number above 0"),
        (lambda: partition_dirichlet(Y, 3, "a"), r"^alpha='a': give"),  # type: ignore[arg-type]
        (lambda: partition_dirichlet(Y, 3, 1, balanced="no"), r"^balanced='no'"),  # type: ignore[arg-type]
        (lambda: partition_dirichlet(Y, 13, 1), r"^silos=13: 12 rows"),
        (lambda: partition_shards(Y, 0), r"^silos=0"),
        (lambda: partition_shards(Y, 3, 0), r"^shards=0"),
        (lambda: partition_shards(Y, 4, 4), r"^silos=4, shards=4: 12 rows cannot be cut into 16 shards"),
        (lambda: partition_classes(Y, 3, 4), r"^classes=4: y has 3 classes; a silo cannot hold more"),
        (lambda: partition_classes(Y, 2, 1), r"give 3 silos or more, or 2 classes a silo"),
        (lambda: partition_by(["a", "b"], 2), r"^groups=2: the column holds no numbers; leave groups out"),
        (lambda: partition_by([1, 1, 1, 2], 3), r"^groups=3: the column has 2 different values.* ask for fewer groups"),
        (lambda: partition_by([1, 2], 0), r"^groups=0"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        call()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 1, np.nan], r"^y, row 2: no value; name what is missing, or leave the row out"),
        (["a", None, "b"], r"^y, row 1: no value"),
        (["a", "b", 3], r"^y, row 2: 3 beside 'a'; make all texts, or all numbers"),
        ([0.0, 0.5, 1.0], r"^y, row 1: 0.5 is a fraction, not a class; .* partition_by\(y, 10\)"),
        ([], r"^y has the shape \(0,\); give one value a row"),
        ([[1], [2]], r"^y has the shape \(2, 1\)"),
        (np.zeros(3, complex), r"^y holds complex128; make it texts, numbers or booleans"),
        (np.array(["2020-01-01"], "M8[D]"), r"^y holds datetime64\[D\]"),
    ],
)
def test_labels_that_are_no_classes_are_refused(y: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        partition_dirichlet(y, 1, 1.0)


def test_a_class_of_too_few_rows_is_named() -> None:
    with pytest.raises(DataError, match=r"^y: class rare has 2 rows, for 3 silos that should hold some"):
        partition_classes(np.repeat(["common", "rare"], [10, 2]), 6, 1)


def test_a_natural_column_needs_every_value() -> None:
    with pytest.raises(DataError, match=r"^column, row 1: no value"):
        partition_by([1.0, np.nan], 2)
