"""A silo asked twice within a round, on another grid or for other silos, answers as one that was asked for nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flat import of_trees

from fedtrees import LocalFederation, Silo
from fedtrees.core.protocol.count_weights import CountWeights
from fedtrees.trees.messages.histograms import GradientExponents, Histograms
from fedtrees.trees.messages.training import Begin, Grown
from fedtrees.trees.messages.tree_errors import TreeErrors
from fedtrees.trees.model.gradient_scale import GradientScale

RNG = np.random.default_rng(0)
N = 60
X = RNG.integers(0, 4, (N, 2)).astype(np.float32)
Y = RNG.normal(size=N) * 10.0 ** RNG.integers(-3, 4, N)
CUTS: dict[str, Any] = {
    "values": np.tile(np.arange(1, 5, dtype=np.float32), 2),
    "offsets": np.array([0, 4, 8]),
    "missing": np.zeros(2, bool),
}
STUMP: dict[str, Any] = {
    "feature": np.int32([0, -1, -1]), "bin": np.int32([1, 0, 0]), "default_left": np.zeros(3, bool),
    "left": np.int32([1, -1, -1]),
}  # fmt: skip
GRIDS = [
    GradientScale(14, 0),
    GradientScale(14, 0, 19),
    GradientScale(16, 2),
    GradientScale(14, 0, 38),
    GradientScale(14, 1, 7),
]
COHORTS = [np.array([1]), np.array([0, 2]), np.array([2]), np.array([0, 1]), None]


def begin(**other: Any) -> Begin:
    return Begin("reg:pseudohubererror", None, np.zeros(1, np.float32), **CUTS, params={"huber_slope": 1e4}, **other)


def silo_of(*facts: Any, weight: Any = None) -> Silo:
    """Three silos that answer together, and have heard so much."""
    parts = [Silo(str(k), X[20 * k : 20 * k + 20], Y[20 * k : 20 * k + 20], n_jobs=1) for k in range(3)]
    federation = LocalFederation(parts, n_jobs=1)
    silo = Silo.of_table(federation.table, federation.threads)
    for fact in facts:
        fact.apply(silo)
    return silo


def histograms(grid: GradientScale, build: tuple[int, ...] = (0,)) -> Histograms:
    nodes = 3 if max(build) else 1
    return of_trees(
        Histograms, rows=N, features=2, bins=8, exponents=grid,
        **{name: own[:nodes] if nodes == 3 else own[1:2] for name, own in STUMP.items()},
        build=np.int32(build), build_ends=np.int32([len(build)]),
    )  # fmt: skip


# law: Gradients
@pytest.mark.parametrize("bootstrap", [False, True])
def test_grids_and_cohorts_by_turns(bootstrap: bool) -> None:
    facts: list[Any] = [begin(bootstrap=bootstrap, seed=3)]
    silo = silo_of(*facts)
    value = np.float32([0, 1, -1])
    for _ in range(2):
        for turn in range(12):
            grid, cohort = GRIDS[turn % len(GRIDS)], COHORTS[(turn * 3) % len(COHORTS)]
            for query in (histograms(grid), GradientExponents(N), histograms(grid, (1, 2)), histograms(grid, (2,))):
                fresh = silo_of(*facts)
                for own in (silo, fresh):
                    own.ask_only(cohort)
                assert query.ask(silo).tolist() == query.ask(fresh).tolist()
        facts.append(of_trees(Grown, **STUMP, value=value))
        facts[-1].apply(silo)


# law: GradientWords
def test_sums_of_a_grid_are_the_rows_own_rounded_each() -> None:
    """By hand, of every grid: a row's gradient and hessian are rounded once, however many words hold their digits."""
    z = np.zeros(N) - Y.astype(np.float32).astype(np.float64)
    root = np.sqrt(1 + (z / 1e4) ** 2)
    exact = z / root, 1 / root**3
    silo = silo_of(begin())
    for grid in GRIDS:
        found = histograms(grid).ask(silo).reshape(2, 8)
        for own, part, scale in zip(found, exact, grid.scales(), strict=True):
            whole = np.rint(part * scale).astype(np.int64)
            by_bin = [whole[X[:, f] == b].sum() for f in (0, 1) for b in range(4)]
            np.testing.assert_allclose(own, by_bin, rtol=0, atol=2e-15 * scale * abs(part).max() * N + 1)


def test_rows_that_count_several_times_are_counted_so_often_by_size() -> None:
    weight = np.arange(N) % 3 + 1.0
    heavy = Silo("a", X, Y, sample_weight=weight, n_jobs=1)
    often = Silo("a", np.repeat(X, weight.astype(int), axis=0), np.repeat(Y, weight.astype(int)), n_jobs=1)
    CountWeights(2, whole=True).apply(heavy)
    for own in (heavy, often):
        begin().apply(own)
    for query in (GradientExponents(N), histograms(GRIDS[1]), histograms(GRIDS[0], (1, 2))):
        assert query.ask(heavy).tolist() == query.ask(often).tolist()


@pytest.mark.parametrize("loss", [0, 1, 2])
def test_losses_of_rows_that_count_several_times_are_as_many_losses(loss: int) -> None:
    weight = np.arange(N) % 3 + 1.0
    heavy = Silo("a", X, Y / 1e3, sample_weight=weight, n_jobs=1)
    often = Silo("a", np.repeat(X, weight.astype(int), axis=0), np.repeat(Y, weight.astype(int)) / 1e3, n_jobs=1)
    CountWeights(2, whole=True).apply(heavy)
    for own in (heavy, often):
        Begin("tree:r2", None, np.zeros(1, np.float32), **CUTS).apply(own)
    largest = float(np.float32(np.abs(Y / 1e3).max() + 1))
    query = of_trees(
        TreeErrors, what="losses", rows=int(weight.sum()), grid=GradientScale(5, 0), **STUMP,
        value=np.float32([0, 1, -1]), largest=largest, loss=loss,
    )  # fmt: skip
    total = query.ask(heavy)
    assert total.tolist() == query.ask(often).tolist()
    share = np.abs(np.where(X[:, 0] < 2, 1, -1) - (Y / 1e3).astype(np.float32)) / largest
    lost = [share, share**2, 1 - np.exp(-share)][loss]
    assert query.read(total) == pytest.approx((lost * weight).sum(), rel=1e-5)
