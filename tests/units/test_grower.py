"""Growing trees level by level, against building every node's histogram from its own rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import twins
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import examples, tables
from test_ranks import cuts_over

from fedtrees import Channel, LocalFederation
from fedtrees.core.numeric.fixed_point import exponent_of, largest_exponent
from fedtrees.core.numeric.threads import Threads
from fedtrees.core.protocol.query import Query
from fedtrees.core.sampling.samplers import Cohort
from fedtrees.trees.kernels.histogram import STATISTIC_BITS_G, STATISTIC_BITS_H
from fedtrees.trees.messages.histograms import GradientExponents, Histograms
from fedtrees.trees.messages.training import Begin
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.tree import LEAF, Tree
from fedtrees.trees.server.grow import GrowthPlan, grow
from fedtrees.trees.server.histogram_source import CohortHistograms
from fedtrees.trees.server.split import SplitRule, Units
from fedtrees.trees.silo.state import TreeState

seeds = st.integers(0, 2**32 - 1)
rules = st.builds(
    SplitRule,
    reg_lambda=st.sampled_from([0.0, 1.0]),
    reg_alpha=st.sampled_from([0.0, 0.2]),
    gamma=st.sampled_from([0.0, 0.1]),
    min_child_weight=st.sampled_from([0.0, 1.0, 3.0]),
)
GRIDS = GradientScale(4, 1)  # gradients up to 16, hessians up to 2


class Listener(Channel):
    """A channel that remembers what was asked and answered."""

    def __init__(self, federation: LocalFederation):
        super().__init__(federation)
        self.heard: list[tuple[list[Query], list[Any]]] = []

    def totals(self, queries: Sequence[Query], cohort: Cohort) -> list[Any]:
        answers = super().totals(queries, cohort)
        self.heard.append((list(queries), answers))
        return answers


class Ground:
    """Rows with gradients to grow a tree on: of half the squared error the gradient is minus y, and h the weight."""

    def __init__(self, X: NDArray[np.float32], seed: int, max_bin: int = 16):
        rng = np.random.default_rng(seed)
        n = len(X)
        self.X, self.cuts = X, cuts_over(X, max_bin)[0]
        ranks = np.argsort(np.argsort(np.nan_to_num(X), axis=0), axis=0).sum(axis=1) / (n * X.shape[1])
        self.y = np.clip(4 * ranks + rng.normal(size=n), -8, 8).astype(np.float32)
        self.weight = rng.choice([0.0, 0.5, 1.0, 1.7], n).astype(np.float32)
        self.weight[0] = 1  # some row counts
        self.silos = rng.integers(0, 4, n)

    def grow(self, rule: SplitRule, max_depth: int, riders: Sequence[Query] = ()) -> tuple[Tree, Listener, list[Any]]:
        """One tree over four silos, by the package."""
        federation = LocalFederation.from_table(self.X, self.y, silos=self.silos, sample_weight=self.weight, n_jobs=2)
        channel, cuts = Listener(federation), self.cuts
        objective = "reg:squarederror"
        channel.tell(Begin(objective, None, np.zeros(1, np.float32), cuts.values, cuts.offsets, cuts.missing))
        plan = GrowthPlan(cuts, rule, max_depth, 1, len(self.X), Threads(2))
        (tree,), answers = grow(plan, CohortHistograms(channel, np.arange(len(federation.names))), GRIDS, riders)
        return tree, channel, answers

    def statistics(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        weight = self.weight.astype(np.float64)
        g = twins.quantised(-self.y * weight, GRIDS[0], STATISTIC_BITS_G)
        return g, twins.quantised(weight, GRIDS[1], STATISTIC_BITS_H)

    def twin(self, rule: SplitRule, max_depth: int) -> twins.Grown:
        """The same tree, by the twin."""
        codes = twins.codes(self.X, self.cuts)
        return twins.grow(codes, *self.statistics(), self.cuts, rule, Units.of(GRIDS), max_depth)


def nodes_of(tree: Tree, cuts: Cuts) -> list[twins.Node]:
    return [
        twins.Node(f, b, int(cuts.n_values[f]) if f >= 0 and cuts.missing[f] else -1, d, left)
        for f, b, d, left in zip(
            tree.feature.tolist(), tree.bin.tolist(), tree.default_left.tolist(), tree.left.tolist(), strict=True
        )
    ]


@examples(60)
@given(X=tables(most_rows=100), seed=seeds, rule=rules, max_depth=st.sampled_from([1, 2, 3, 6]))
def test_a_tree_is_that_of_the_twin(X: NDArray[np.float32], seed: int, rule: SplitRule, max_depth: int) -> None:
    ground = Ground(X, seed)
    tree, _, _ = ground.grow(rule, max_depth)
    twin = ground.twin(rule, max_depth)
    assert nodes_of(tree, ground.cuts) == twin.nodes
    assert tree.value.tobytes() == np.array(twin.value).tobytes()


@examples(40)
@given(X=tables(most_rows=100), seed=seeds, rule=rules)
def test_covers_and_gains_are_those_of_the_rows(X: NDArray[np.float32], seed: int, rule: SplitRule) -> None:
    ground = Ground(X, seed)
    tree, _, _ = ground.grow(rule, 4)
    (g, h), units = ground.statistics(), Units.of(GRIDS)
    codes, nodes = twins.codes(ground.X, ground.cuts), nodes_of(tree, ground.cuts)
    leaves = np.array([twins.reached(row, nodes) for row in codes])
    below = {node: [node] for node in range(tree.n_nodes)}
    for node in range(tree.n_nodes - 1, -1, -1):
        if tree.left[node] != LEAF:
            below[node] = below[int(tree.left[node])] + below[int(tree.left[node]) + 1]
    for node, own in below.items():
        rows = np.isin(leaves, own)
        assert tree.cover[node] == np.float32(h[rows].sum() * units.h)
        assert tree.value[node] == twins.leaf(int(g[rows].sum()), int(h[rows].sum()), rule, units)
        assert (tree.gain[node] > 0) == (tree.left[node] != LEAF)


class ByTwin:
    """A source of histograms that is no federation: it walks the rows down each question's trees."""

    exact = True

    def __init__(self, ground: Ground):
        self.ground, self.codes = ground, twins.codes(ground.X, ground.cuts)

    def totals(self, queries: Sequence[Query]) -> list[Any]:
        return [self._total(query) for query in queries]

    def parts(self, query: Query) -> Any:
        raise NotImplementedError

    def _total(self, query: Any) -> NDArray[np.int64]:
        asked, nothing = query.trees, np.zeros(len(query.trees.feature), np.float32)
        tree = Tree(asked.feature, asked.bin, asked.default_left, asked.left, nothing, nothing, nothing)
        at = np.array([twins.reached(row, nodes_of(tree, self.ground.cuts)) for row in self.codes])
        offsets, (g, h) = self.ground.cuts.bin_offsets, self.ground.statistics()
        return np.stack(
            [twins.histogram(self.codes, g, h, np.flatnonzero(at == node), offsets) for node in query.build]
        )


# law: HistogramSource
@examples(40)
@given(X=tables(most_rows=100), seed=seeds, rule=rules, max_depth=st.sampled_from([1, 4]))
def test_trees_follow_from_the_totals_whoever_they_come_from(
    X: NDArray[np.float32], seed: int, rule: SplitRule, max_depth: int
) -> None:
    ground = Ground(X, seed)
    tree, _, _ = ground.grow(rule, max_depth)
    plan = GrowthPlan(ground.cuts, rule, max_depth, 1, len(X), Threads(1))
    (other,), _ = grow(plan, ByTwin(ground), GRIDS)
    for name in ("feature", "bin", "default_left", "left", "value", "gain", "cover"):
        assert getattr(tree, name).tobytes() == getattr(other, name).tobytes()


@examples(40)
@given(X=tables(most_rows=100), seed=seeds, rule=rules, max_depth=st.sampled_from([2, 5]))
def test_of_two_siblings_only_the_lighter_is_asked_for(
    X: NDArray[np.float32], seed: int, rule: SplitRule, max_depth: int
) -> None:
    ground = Ground(X, seed)
    tree, channel, _ = ground.grow(rule, max_depth)
    (g, h), codes = ground.statistics(), twins.codes(ground.X, ground.cuts)
    for (query, *_), (answer, *_) in channel.heard:
        assert isinstance(query, Histograms)
        asked = query.trees
        so_far = Tree(asked.feature, asked.bin, asked.default_left, asked.left, tree.value, tree.gain, tree.cover)
        nodes = nodes_of(so_far, ground.cuts)
        at = np.array([twins.reached(row, nodes) for row in codes])
        for node, sums in zip(query.build.tolist(), answer, strict=True):
            direct = twins.histogram(codes, g, h, np.flatnonzero(at == node), ground.cuts.bin_offsets)
            assert sums.tolist() == direct.tolist()
            if node:
                sibling = node + 1 if node in asked.left else node - 1
                own, other = h[at == node].sum(), h[at == sibling].sum()
                assert own < other or (own == other and sibling == node + 1)
                assert sibling not in query.build


@pytest.mark.parametrize("max_depth", [1, 2, 5])
def test_a_tree_takes_a_round_a_level(max_depth: int) -> None:
    rng = np.random.default_rng(0)
    ground = Ground(rng.normal(size=(200, 3)).astype(np.float32), 0)
    tree, channel, _ = ground.grow(SplitRule(min_child_weight=0), max_depth)
    assert channel.ledger.rounds == max_depth
    assert (channel.ledger.per_round()["kind"] == "Histograms").all()
    # each level's question is about the level before
    assert [len(queries[0].trees.feature) for queries, _ in channel.heard][:2] == [1, 3][:max_depth]
    assert tree.n_nodes > 2 * max_depth


def test_nothing_is_asked_where_nothing_can_be_split() -> None:
    X = np.zeros((20, 1), np.float32)
    X[10:] = 1
    ground = Ground(X, 0)
    ground.y, ground.weight = X[:, 0].copy(), np.ones(20, np.float32)
    # two bins make one split: a second level finds none, and a third is not asked for
    tree, channel, _ = ground.grow(SplitRule(), 6)
    assert tree.n_nodes == 3 and channel.ledger.rounds == 2
    # children of ten rows are too light to be split again
    tree, channel, _ = ground.grow(SplitRule(min_child_weight=6), 6)
    assert tree.n_nodes == 3 and channel.ledger.rounds == 1
    # nor is a root that cannot be split
    tree, channel, _ = ground.grow(SplitRule(gamma=1e6), 6)
    assert tree.n_nodes == 1 and channel.ledger.rounds == 1


def steps(y: Sequence[float]) -> Ground:
    """One feature that says all, in as many bins as rows; every row weighs 1."""
    ground = Ground(np.arange(len(y), dtype=np.float32)[:, None], 0)
    ground.y, ground.weight = np.array(y, np.float32), np.ones(len(y), np.float32)
    return ground


def test_of_equal_siblings_the_left_one_is_asked_for() -> None:
    tree, channel, _ = steps([0, 1, 4, 6]).grow(SplitRule(reg_lambda=0), 2)
    assert tree.cover.tolist() == [4, 2, 2, 1, 1, 1, 1]
    (query, *_), _ = channel.heard[1]
    assert isinstance(query, Histograms) and query.build.tolist() == [1]


def test_a_node_of_just_enough_for_two_children_is_asked_for() -> None:
    tree, channel, _ = steps([0, 1, 4, 6]).grow(SplitRule(reg_lambda=0, min_child_weight=1), 3)
    assert tree.cover.tolist() == [4, 2, 2, 1, 1, 1, 1]
    assert channel.ledger.rounds == 2


def test_riders_travel_with_the_first_question() -> None:
    rng = np.random.default_rng(0)
    ground = Ground(rng.normal(size=(50, 2)).astype(np.float32), 0)
    plain, quiet, nothing = ground.grow(SplitRule(), 3)
    tree, channel, answers = ground.grow(SplitRule(), 3, [GradientExponents(50)])
    assert channel.ledger.rounds == quiet.ledger.rounds and nothing == []
    assert [len(queries) for queries, _ in channel.heard] == [2] + [1] * (channel.ledger.rounds - 1)
    assert tree.value.tobytes() == plain.value.tobytes()
    (counts,) = answers
    assert counts.sum(axis=1).tolist() == [np.count_nonzero(ground.weight)] * 2
    assert [largest_exponent(own) for own in counts] == [
        exponent_of(float(np.abs(ground.y * ground.weight).max())),
        exponent_of(1.7),
    ]


@pytest.mark.parametrize("outputs", [1, 3, 7])
def test_the_trees_of_several_outputs_grow_in_the_same_rounds(outputs: int) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3)).astype(np.float32)
    n_classes = max(outputs, 2)
    y, cuts, silos = np.arange(300) % n_classes, cuts_over(X, 16)[0], np.arange(300) % 3
    federation = LocalFederation.from_table(X, y, silos=silos)
    channel, margin = Listener(federation), rng.normal(size=outputs).astype(np.float32)
    objective = "binary:logistic" if outputs == 1 else "multi:softprob"
    channel.tell(Begin(objective, list(range(n_classes)), margin, cuts.values, cuts.offsets, cuts.missing))
    plan = GrowthPlan(cuts, SplitRule(min_child_weight=0.01), 4, outputs, 300, Threads(1))
    trees, _ = grow(plan, CohortHistograms(channel, np.arange(3)), GradientScale(0, 0))
    assert len(trees) == outputs and channel.ledger.rounds == 4
    # each is the tree that would grow by itself
    words = federation._fused.states.find(TreeState).words.words[0]
    codes = twins.codes(X[np.argsort(silos, kind="stable")], cuts)
    for k, tree in enumerate(trees):
        twin = twins.grow(
            codes, words[k] >> 32, words[k] & 0xFFFFFFFF, cuts, plan.rule, Units.of(GradientScale(0, 0)), 4
        )
        assert nodes_of(tree, cuts) == twin.nodes
        assert tree.value.tobytes() == np.array(twin.value).tobytes()
