"""Draws of nodes and of trees: uniform, of their own for each seed, purpose, round, tree, node and feature."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedtrees import FedExtraTreesClassifier, FedForestClassifier
from fedtrees.trees.server.feature_sampling import FeatureSampling, NodeDraws

TREES, NODES = np.repeat(np.arange(20), 50), np.tile(np.arange(50), 20)


def draws(round: int = 0, seed: int = 3, purpose: str = "thresholds", features: int = 8) -> Any:
    return NodeDraws(features, seed, purpose).draw(round, TREES, NODES)


def test_draws_are_uniform_and_all_their_own() -> None:
    found = draws()
    assert found.shape == (1000, 8) and found.min() >= 0 and found.max() < 1
    assert len(np.unique(found)) == found.size
    share = np.sort(found.reshape(-1))
    assert np.abs(share - (np.arange(8000) + 0.5) / 8000).max() < 1.95 / np.sqrt(
        8000
    )  # Kolmogorov's, once in a thousand
    by_feature = np.corrcoef(found.T)[np.triu_indices(8, 1)]
    by_node = np.corrcoef(found.reshape(20, 50, 8).transpose(1, 0, 2).reshape(50, -1))[np.triu_indices(50, 1)]
    by_tree = np.corrcoef(found.reshape(20, -1))[np.triu_indices(20, 1)]
    for correlations, n in ((by_feature, 1000), (by_node, 160), (by_tree, 400)):
        assert np.abs(correlations).max() < 5 / np.sqrt(n)


@pytest.mark.parametrize("other", [{"round": 1}, {"seed": 4}, {"purpose": "columns"}, {"seed": 3 + 2**32}], ids=str)
def test_another_round_seed_or_purpose_draws_others(other: dict[str, Any]) -> None:
    one, two = draws(), draws(**other)
    assert not (one == two).any()
    assert abs(np.corrcoef(one.reshape(-1), two.reshape(-1))[0, 1]) < 5 / np.sqrt(one.size)


# law: NodeDraws
def test_a_draw_is_the_same_whoever_draws_beside_it_and_whatever_was_drawn_before() -> None:
    source = NodeDraws(8, 3, "thresholds")
    source.draw(5, TREES, NODES)
    order = np.random.default_rng(0).permutation(1000)[:77]
    np.testing.assert_array_equal(source.draw(0, TREES[order], NODES[order]), draws()[order])
    np.testing.assert_array_equal(draws(features=3), draws()[:, :3])
    assert source.draw(0, TREES[:0], NODES[:0]).shape == (0, 8)


@pytest.mark.parametrize("kind", [FedForestClassifier, FedExtraTreesClassifier])
def test_nodes_of_a_forest_draw_once_each_for_a_purpose(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int, int, int]] = []
    plain = NodeDraws.draw

    def recorded(self: NodeDraws, round: int, trees: Any, nodes: Any) -> Any:
        asked.extend((self.purpose, round, *key) for key in zip(trees.tolist(), nodes.tolist(), strict=True))
        return plain(self, round, trees, nodes)

    monkeypatch.setattr(NodeDraws, "draw", recorded)
    X = np.random.default_rng(0).normal(size=(80, 4))
    model = kind(3, max_depth=3, max_features=2, random_state=1, n_jobs=1).fit(X, X[:, 0] > 0, silos=np.arange(80) % 2)
    assert len(asked) == len(set(asked))  # features vary in every node, so that none draws again
    assert {tree for _, _, tree, _ in asked} == {0, 1, 2}
    purposes = {purpose for purpose, *_ in asked}
    assert len(purposes) == (2 if kind is FedExtraTreesClassifier else 1)
    for purpose in purposes:
        nodes = [len([1 for own, _, tree, _ in asked if own == purpose and tree == k]) for k in range(3)]
        assert all(n >= own.tree_.node_count // 2 for n, own in zip(nodes, model.estimators_, strict=True))


def test_trees_levels_and_nodes_draw_features_of_their_own() -> None:
    columns = FeatureSampling(40, 0, bytree=0.5, bylevel=0.5, bynode=0.5)

    def drawn(round: int, tree: int, columns: FeatureSampling = columns) -> list[tuple[int, ...]]:
        own = columns.of_tree(round, tree)
        levels = [own.level(depth) for depth in range(3)]
        nodes = [own.node(depth, path) for depth, path in ((0, 1), (1, 2), (1, 3), (2, 4), (2, 5), (2, 6), (2, 7))]
        for depth, level in enumerate(levels):
            assert set(level) <= set(own.tree) and len(own.tree) == 20 and len(level) == 10
            assert all(set(node) <= set(level) and len(node) == 5 for node in (nodes[:1], nodes[1:3], nodes[3:])[depth])
        assert own.below(1, 3).tolist() == sorted(set(levels[1]) | set(levels[2]))
        assert own.below(0, 3).tolist() == sorted(set(levels[0]) | set(levels[1]) | set(levels[2]))
        assert own.below(1, 0).tolist() == own.tree.tolist()
        return [tuple(part) for part in (own.tree, *levels, *nodes)]

    sets = [drawn(round, tree) for round in range(4) for tree in range(4)]
    other = drawn(0, 0, FeatureSampling(40, 1, bytree=0.5, bylevel=0.5, bynode=0.5))
    for place in range(11):
        assert len({own[place] for own in [*sets, other]}) == 17
    of_levels = [set(own[1:4]) for own in sets]
    assert all(len(own) == 3 for own in of_levels)
    alike = FeatureSampling(40, 0, bylevel=0.5).of_tree(0, 0), FeatureSampling(40, 0, bylevel=0.5).of_tree(1, 0)
    assert all(not np.array_equal(alike[0].level(depth), alike[1].level(depth)) for depth in range(3))
    nodes = FeatureSampling(40, 0, bynode=0.5).of_tree(0, 0), FeatureSampling(40, 0, bynode=0.5).of_tree(0, 1)
    assert not np.array_equal(nodes[0].node(0, 1), nodes[1].node(0, 1))
    later = FeatureSampling(40, 0, bynode=0.5).of_tree(1, 0)
    assert not np.array_equal(nodes[0].node(0, 1), later.node(0, 1))


def test_heavy_features_are_drawn_oftener_where_some_are_left_out_before() -> None:
    """Weights are the features' own, however few of them a level has left to draw from."""
    weights = tuple([1e-9] * 20 + [1.0] * 20)
    columns = FeatureSampling(40, 0, bytree=0.5, bylevel=0.5, weights=weights)
    trees = [columns.of_tree(round, 0) for round in range(30)]
    assert all((own.tree >= 20).all() for own in trees) and all((own.level(0) >= 20).all() for own in trees)
    light = FeatureSampling(40, 0, bylevel=0.25, weights=weights[::-1]).of_tree(0, 0)
    assert (light.level(0) < 20).all()
    part = columns.draw(np.arange(10, 30), 0.5, 0, "x")
    assert part.tolist() == list(range(20, 30))
