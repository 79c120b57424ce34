"""The laws that trees by impurity, forests and AdaBoost keep: partition, order, threads, real bytes, forgetful silos.

"The same model" means the same bytes of every node and value of every tree.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from families import BY_IMPURITY
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pandas.testing import assert_frame_equal
from sklearn.metrics import r2_score
from strategies import BadPost, Problem, examples, problems

from fedtrees import (
    DataError,
    FedForestClassifier,
    FedForestRegressor,
    FedTreeClassifier,
    LocalFederation,
    Postman,
)
from fedtrees.core.data.row_ids import mixed
from fedtrees.core.numeric.rng import stream
from fedtrees.trees.server import node_grower
from fedtrees.trees.server.growth_plan import Frontier, Pairs

OF_TREES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "max_depth": st.sampled_from([1, 3, 8, None]),
        "max_bin": st.sampled_from([2, 16, 256, 300]),
        "max_features": st.sampled_from([None, "sqrt", 1]),
        "max_leaf_nodes": st.sampled_from([None, None, 5]),
        "min_samples_leaf": st.sampled_from([1, 3, 0.1]),
        "min_samples_split": st.sampled_from([2, 10]),
        "min_impurity_decrease": st.sampled_from([0.0, 0.01]),
        "random_state": st.integers(0, 5),
        "n_jobs": st.sampled_from([1, 2]),
    }
)


@st.composite
def tasks(draw: st.DrawFn, most_silos: int = 30) -> tuple[Problem, Any]:
    """A problem whose rows have names, and an estimator for it."""
    problem = draw(
        problems(most_silos=most_silos, objectives=["binary:logistic", "multi:softprob", "reg:squarederror"])
    )
    kind = draw(st.sampled_from(sorted(BY_IMPURITY)), label="kind")
    classifies = problem.objective != "reg:squarederror"
    given = draw(OF_TREES, label="params")
    names = BY_IMPURITY[kind][not classifies]().get_params()
    params = {name: own for name, own in given.items() if name in names}
    if classifies and draw(st.booleans(), label="entropy"):
        params["criterion"] = "entropy"
    if kind != "tree":
        params["n_estimators"] = draw(st.integers(1, 4))
    if kind == "forest":
        params["oob_score"] = draw(st.booleans())
        params["max_samples"] = draw(st.sampled_from([None, 0.3, 2.5, len(problem.y) // 2 or None]))
    if classifies and kind != "boost":
        first = np.unique(problem.y)[0]
        words = ["balanced"] if kind == "tree" else ["balanced", "balanced_subsample"]
        params["class_weight"] = draw(st.sampled_from([None, *words, {first: 0.25}, {first: 30.0}]))
    if problem.objective != "multi:softprob" and kind != "boost":
        directions = st.tuples(*[st.sampled_from([-1, 0, 1])] * problem.X.shape[1])
        params["monotonic_cst"] = draw(st.none() | directions)
    if not classifies and kind != "boost" and draw(st.booleans(), label="poisson"):
        params["criterion"], problem = "poisson", replace(problem, y=np.abs(problem.y))
    return replace(problem, row_id=np.arange(len(problem.y))), BY_IMPURITY[kind][not classifies](**params)


def nodes_of(model: Any) -> bytes:
    """All trees, and what else the model says."""
    trees = getattr(model.model_, "estimators_", None) or [model.model_]
    states = [tree.tree_.__getstate__() for tree in trees]
    votes = getattr(model.model_, "estimator_weights_", np.zeros(0))
    own = [state["nodes"].tobytes() + state["values"].tobytes() for state in states]
    return b"".join(own) + votes.tobytes() + repr(getattr(model, "oob_score_", None)).encode()


def trained(estimator: Any, problem: Problem, federation: Any = None, **params: Any) -> bytes:
    """The model over a federation, by default one silo that holds everything; an error is one under all of them."""
    model = estimator.__class__(**estimator.get_params() | params)
    warnings.filterwarnings("ignore", "Some inputs do not have OOB scores")
    try:
        if federation is None:
            model.fit(problem.X, problem.y, sample_weight=problem.weight, row_id=problem.row_id)
        else:
            model.fit_federation(federation)
    except DataError as error:  # the same under every partition
        return str(error).encode()
    return nodes_of(model)


# law: FedCart.fit, AdaBoost
@examples(80)
@given(task=tasks())
def test_any_partition_of_the_rows_gives_the_pooled_model(task: tuple[Problem, Any]) -> None:
    problem, estimator = task
    assert trained(estimator, problem, LocalFederation(problem.silos())) == trained(estimator, problem)


@examples(30)
@given(task=tasks(most_silos=5))
def test_messages_of_real_bytes_give_the_pooled_model(task: tuple[Problem, Any]) -> None:
    problem, estimator = task
    federation = LocalFederation(problem.silos(), mode="faithful", n_jobs=1)
    assert trained(estimator, problem, federation) == trained(estimator, problem)


@examples(30)
@given(task=tasks(), seed=st.integers(0, 2**32 - 1))
def test_the_order_of_rows_and_silos_and_the_number_of_threads_change_nothing(
    task: tuple[Problem, Any], seed: int
) -> None:
    problem, estimator = task
    rng = np.random.default_rng(seed)
    moved, expected = problem.shuffled(rng), trained(estimator, problem)
    silos = moved.silos(order=rng.permutation(problem.n_silos).tolist())
    assert trained(estimator, moved, LocalFederation(silos, n_jobs=3), n_jobs=3) == expected


@examples(25)
@given(task=tasks(most_silos=5), seed=st.integers(0, 2**32 - 1))
def test_replies_that_get_lost_and_silos_that_forget_change_nothing(task: tuple[Problem, Any], seed: int) -> None:
    problem, estimator = task
    silos = problem.silos()
    federation = Postman(BadPost(silos, np.random.default_rng(seed)), [silo.name for silo in silos])
    assert trained(estimator, problem, federation) == trained(estimator, problem)


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("kind", sorted(BY_IMPURITY))
@pytest.mark.parametrize("sampling", [0.5, 1.0])
def test_the_bill_is_the_same_fused_and_faithful(kind: str, sampling: float) -> None:
    problem = table(rows=400)
    bills = []
    for mode in ("fused", "faithful"):
        model = BY_IMPURITY[kind][0](max_depth=3, sampling=sampling)
        bills.append(model.fit_federation(LocalFederation(problem.silos(), mode=mode)).ledger_)
    assert_frame_equal(bills[0].per_round(), bills[1].per_round())
    assert_frame_equal(bills[0].per_silo(), bills[1].per_silo())


def table(rows: int, seed: int = 0) -> Problem:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 6)).astype(np.float32)
    X[rng.random(X.shape) < 0.05] = np.nan
    y = (np.nan_to_num(X[:, 0]) * np.nan_to_num(X[:, 1]) + rng.normal(size=rows) / 2 > 0).astype(int)
    return Problem(X, y, None, rng.integers(0, 4, rows), 4, "binary:logistic", {"n_jobs": 1}, np.arange(rows))


# law: NodeGrower
@examples(15)
@given(task=tasks())
def test_levels_that_take_several_messages_are_grown_too(task: tuple[Problem, Any]) -> None:
    problem, estimator = task
    expected = trained(estimator, problem)
    with patch.object(node_grower, "MOST_INTEGERS", 200):
        assert trained(estimator, problem) == expected
        assert trained(estimator, problem, LocalFederation(problem.silos())) == expected


@pytest.mark.parametrize(
    ("most", "sizes"), [(1, [1] * 5), (107, [1] * 5), (108, [2, 2, 1]), (161, [2, 2, 1]), (162, [3, 2]), (270, [5])]
)
def test_a_message_asks_for_no_more_than_fits(most: int, sizes: list[int]) -> None:
    """Of a pair, both children's largest histograms, 5 + 4 bins of 3 statistics each: 54 integers."""
    nodes = np.arange(5, dtype=np.int32)
    pairs = Pairs(Frontier(nodes, nodes, nodes), 2 * nodes + 1, 2 * nodes + 1)
    plan = SimpleNamespace(
        cuts=SimpleNamespace(n_bins=np.array([3, 5, 2, 4])), n_features_per_node=2, rule=SimpleNamespace(statistics=3)
    )
    growth: Any = SimpleNamespace(plan=plan, again=None, again_tried=np.zeros((0, 4), bool))
    with patch.object(node_grower, "MOST_INTEGERS", most):
        batches = node_grower.NodeGrower.batches(growth, pairs)
    assert [len(own) for own in batches] == sizes and growth.messages == len(sizes)
    assert np.concatenate([own.left for own in batches]).tolist() == pairs.left.tolist()


def rounds_of(model: Any, n_silos: int = 4) -> int:
    return int(model.ledger_.rounds)


@pytest.mark.slow_without_jit
def test_a_forest_takes_as_many_messages_as_a_tree() -> None:
    problem = table(rows=600)
    one, many = (FedForestClassifier(n, max_depth=6).fit(problem.X, problem.y, row_id=problem.row_id) for n in (1, 40))
    assert max(tree.get_depth() for tree in one.estimators_ + many.estimators_) == 6
    assert rounds_of(one) == rounds_of(many)


@pytest.mark.slow_without_jit
def test_a_level_of_few_features_a_node_costs_less() -> None:
    problem = table(rows=600)
    up = {}
    for most in (1, None):
        model = FedForestClassifier(10, max_depth=4, max_features=most).fit(problem.X, problem.y, silos=problem.silo)
        up[most] = model.ledger_.per_silo()["bytes_up"].sum()
    assert up[1] < up[None] / 2


def drawn_rows(problem: Problem, trees: int) -> NDArray[np.float64]:
    model = FedForestClassifier(trees, max_depth=1).fit(problem.X, problem.y, row_id=problem.row_id)
    return np.array([tree.tree_.weighted_n_node_samples[0] for tree in model.estimators_])


@pytest.mark.slow_without_jit
def test_trees_draw_about_as_many_rows_as_there_are() -> None:
    weights = drawn_rows(table(rows=2000), 60)
    assert abs(weights.mean() - 2000) < 4 * np.sqrt(2000 / 60)  # sums of Poisson variables of mean 1
    assert 25 < weights.std() < 65 and len(set(weights.tolist())) > 30


@pytest.mark.slow_without_jit
def test_without_drawing_a_forest_of_all_features_is_one_tree_over_and_over() -> None:
    problem = table(rows=500)
    forest = FedForestClassifier(3, bootstrap=False, max_features=None, max_bin=256).fit(problem.X, problem.y)
    tree = FedTreeClassifier().fit(problem.X, problem.y)
    for own in forest.estimators_:
        assert own.tree_.__getstate__()["nodes"].tobytes() == tree.tree_.__getstate__()["nodes"].tobytes()


def test_integers_are_no_longer_than_their_nodes_need() -> None:
    problem = table(rows=4000)
    model = FedTreeClassifier(max_depth=None).fit(problem.X, problem.y)
    levels = model.ledger_.per_round().query("kind == 'Histograms'")
    a_number = (levels["bytes_up"] / levels["integers"]).tolist()
    assert a_number[0] > 1.9 and a_number[-1] < 1.5


def drawn_times(ids: NDArray[np.uint64], tree: int, seed: int) -> NDArray[np.int64]:
    """How often a tree draws rows, said once more."""
    keys = stream(seed, f"rows of tree {tree}", 0).integers(2**64, size=2, dtype=np.uint64)
    chance = (mixed(mixed(ids ^ keys[0]) + keys[1]) >> np.uint64(11)) / 2**53
    tails = 1 - np.cumsum([math.exp(-1) / math.factorial(n) for n in range(8)])
    return (chance[:, None] < tails).sum(axis=1)


@pytest.mark.parametrize("kind", [FedForestClassifier, FedForestRegressor])
def test_a_score_out_of_the_bag_is_that_of_rows_that_trees_left_out(kind: Any) -> None:
    problem = table(rows=300)
    ids = np.arange(300)
    y = problem.y if kind is FedForestClassifier else problem.X[:, 1].round(2) + 7
    y = np.nan_to_num(y, nan=1.0)
    with pytest.warns(UserWarning, match="Some inputs do not have OOB scores"):
        model = kind(6, max_depth=4, oob_score=True, random_state=3).fit(problem.X, y, silos=problem.silo, row_id=ids)
    said, times = np.zeros(300), np.zeros(300)
    for number, tree in enumerate(model.estimators_):
        drawn = drawn_times(ids.astype(np.uint64), number, 3)
        assert tree.tree_.weighted_n_node_samples[0] == drawn.sum()
        own = tree.predict_proba(problem.X)[:, 1] if kind is FedForestClassifier else tree.predict(problem.X)
        said += np.where(drawn == 0, own, 0)
        times += drawn == 0
    there = times > 0
    said = said[there] / times[there]
    score = np.mean((said > 0.5) == y[there]) if kind is FedForestClassifier else r2_score(y[there], said)
    assert model.oob_score_ == pytest.approx(score, abs=1e-5) and 0 < (~there).sum() < 60


PLAIN_OR_COMPILED = """
import hashlib
import numpy as np
from fedtrees import FedAdaBoostClassifier, FedAdaBoostRegressor, FedExtraTreesClassifier, FedForestClassifier
rng = np.random.default_rng(0)
X = np.round(rng.normal(size=(60, 4)), 2)
X[rng.random(X.shape) < 0.1] = np.nan
label, silos, number = rng.integers(0, 3, 60), np.arange(60) % 3, rng.normal(size=60)
for kind in (FedForestClassifier, FedExtraTreesClassifier, FedAdaBoostClassifier, FedAdaBoostRegressor):
    y = number if kind is FedAdaBoostRegressor else label
    model = kind(3, max_depth=3, max_bin=20).fit(X, y, silos=silos)
    for tree in model.estimators_:
        state = tree.tree_.__getstate__()
        print(hashlib.sha256(state["nodes"].tobytes() + state["values"].tobytes()).hexdigest())
"""


def test_compiled_kernels_and_plain_python_give_the_same_trees() -> None:
    def said(disable: str) -> str:
        environment = os.environ | {"NUMBA_DISABLE_JIT": disable}
        command = [sys.executable, "-W", "error::RuntimeWarning", "-c", PLAIN_OR_COMPILED]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    compiled = said("0")
    assert compiled == said("1") and len(compiled.split()) == 12


def test_a_node_that_drew_only_constant_features_draws_others() -> None:
    X = np.zeros((200, 9), np.float32)
    X[:, 4] = np.arange(200)
    y = (X[:, 4] > 77).astype(int)
    forest = FedForestClassifier(5, max_features=1, bootstrap=False, max_bin=256).fit(X, y, silos=np.arange(200) % 3)
    assert [tree.get_n_leaves() for tree in forest.estimators_] == [2] * 5
    assert forest.score(X, y) == 1
