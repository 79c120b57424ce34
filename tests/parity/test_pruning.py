"""Cost-complexity pruning: scikit-learn's path, and what an alpha that is on it takes back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from strategies import examples

from fedtrees import FedForestClassifier, FedTreeClassifier, FedTreeRegressor, LocalFederation, ParameterError, Silo

RNG = np.random.default_rng(0)
X = RNG.integers(0, 30, (600, 4)).astype(float)
LABELS = np.digitize(X[:, 0] + X[:, 1] + RNG.normal(0, 8, 600), [20, 34])
NUMBERS = np.round(X[:, 0] + X[:, 1] * X[:, 2] / 20 + RNG.normal(0, 3, 600), 2)
SILOS = RNG.integers(0, 4, 600)
WEIGHT = RNG.integers(1, 4, 600).astype(float)


@pytest.mark.parametrize("weight", [None, WEIGHT, WEIGHT / 7], ids=["none", "whole", "real"])
@pytest.mark.parametrize(
    "params", [{}, {"criterion": "entropy"}, {"class_weight": "balanced"}, {"numbers": True}], ids=str
)
def test_the_path_is_scikit_learns(params: dict[str, Any], weight: Any) -> None:
    if "class_weight" in params and weight is not None:
        weight = np.ones(600)  # scikit-learn's trees balance rows, ours and its forests their weights
    numbers = params.get("numbers", False)
    given = {name: own for name, own in params.items() if name != "numbers"} | {"max_depth": 4}
    kinds = (FedTreeRegressor, DecisionTreeRegressor) if numbers else (FedTreeClassifier, DecisionTreeClassifier)
    y = NUMBERS if numbers else LABELS
    ours = kinds[0](**given).cost_complexity_pruning_path(X, y, silos=SILOS, sample_weight=weight)
    theirs = kinds[1](random_state=0, **given).cost_complexity_pruning_path(X, y, sample_weight=weight)
    for name in ("ccp_alphas", "impurities"):
        np.testing.assert_allclose(ours[name], theirs[name], rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("kind", [FedTreeClassifier, FedTreeRegressor])
def test_an_alpha_that_is_on_the_path_takes_its_link_back(kind: Any) -> None:
    """As scikit-learn has it: pruning goes on while the weakest link costs no more than alpha."""
    y = LABELS if kind is FedTreeClassifier else NUMBERS
    path = kind(max_depth=5).cost_complexity_pruning_path(X, y, silos=SILOS)
    alphas = path.ccp_alphas
    assert alphas[0] == 0 and (np.diff(alphas) >= 0).all() and len(alphas) > 5
    leaves = [kind(max_depth=5, ccp_alpha=alpha).fit(X, y, silos=SILOS).get_n_leaves() for alpha in alphas]
    assert leaves[0] == kind(max_depth=5).fit(X, y).get_n_leaves() and leaves[-1] == 1
    assert (np.diff(leaves) < 0).all()
    for alpha, before in zip(alphas[1:], leaves, strict=False):
        assert kind(max_depth=5, ccp_alpha=np.nextafter(alpha, 0)).fit(X, y).get_n_leaves() == before
    other = DecisionTreeClassifier if kind is FedTreeClassifier else DecisionTreeRegressor
    theirs = other(max_depth=5, random_state=0).cost_complexity_pruning_path(X, y).ccp_alphas
    pruned = [other(max_depth=5, ccp_alpha=alpha, random_state=0).fit(X, y).get_n_leaves() for alpha in theirs]
    assert leaves == pruned


@pytest.mark.parametrize("more", [{}, {"monotonic_cst": [-1, 0, 1, 0]}], ids=["free", "monotone"])
@pytest.mark.parametrize("kind", [FedTreeClassifier, FedTreeRegressor])
def test_nodes_that_stay_are_as_they_were(kind: Any, more: dict[str, Any]) -> None:
    """What a pruned tree predicts, weighs and saves is that of the same nodes of the whole one, bounds included."""
    y = (LABELS > 0).astype(int) if kind is FedTreeClassifier else NUMBERS
    grown = kind(max_depth=5, **more)
    alphas = grown.cost_complexity_pruning_path(X, y, silos=SILOS, sample_weight=WEIGHT).ccp_alphas
    smaller = kind(max_depth=5, ccp_alpha=alphas[len(alphas) // 2], **more).fit(X, y, silos=SILOS, sample_weight=WEIGHT)
    before = grown.fit(X, y, silos=SILOS, sample_weight=WEIGHT).model_.tree_
    after = smaller.model_.tree_
    pairs = [(0, 0)]
    for old, new in pairs:
        if after.children_left[new] >= 0:
            pairs += [(before.children_left[old], after.children_left[new])]
            pairs += [(before.children_right[old], after.children_right[new])]
    old, new = np.array(pairs).T
    assert sorted(new) == list(range(after.node_count)) and 3 < after.node_count < before.node_count
    for name in ("value", "impurity", "n_node_samples", "weighted_n_node_samples"):
        assert getattr(after, name)[new].tolist() == getattr(before, name)[old].tolist(), name
    inner = after.children_left[new] >= 0
    for name in ("feature", "threshold", "missing_go_to_left"):
        assert getattr(after, name)[new][inner].tolist() == getattr(before, name)[old][inner].tolist(), name


@examples(30)
@given(seed=st.integers(0, 2**32 - 1), silos=st.integers(1, 5), offset=st.sampled_from([0.0, 1e6, -1e20]))
def test_the_path_is_that_of_every_partition(seed: int, silos: int, offset: float) -> None:
    rng = np.random.default_rng(seed)
    rows, y = rng.integers(0, 6, (40, 2)).astype(float), rng.normal(size=40) + offset
    whose = rng.integers(0, silos, 40)
    for kind, target in ((FedTreeRegressor, y), (FedTreeClassifier, rng.integers(0, 3, 40))):
        pooled = kind().cost_complexity_pruning_path(rows, target)
        parts = [Silo(str(k), rows[whose == k], target[whose == k]) for k in range(silos)]
        for mode in ("fused", "faithful"):
            path = kind(ccp_alpha=0.5).cost_complexity_pruning_path_federation(LocalFederation(parts, mode=mode))
            assert path.ccp_alphas.tobytes() == pooled.ccp_alphas.tobytes()
            assert path.impurities.tobytes() == pooled.impurities.tobytes()


def test_a_path_leaves_the_estimator_as_it_is_and_checks_first() -> None:
    tree = FedTreeClassifier(ccp_alpha=0.1)
    tree.cost_complexity_pruning_path(X, LABELS)
    assert not hasattr(tree, "model_") and tree.ccp_alpha == 0.1
    with pytest.raises(ParameterError, match="max_depth=0"):
        FedTreeClassifier(max_depth=0).cost_complexity_pruning_path("no table", None)
    assert not hasattr(FedForestClassifier(), "cost_complexity_pruning_path")  # nor has scikit-learn's
