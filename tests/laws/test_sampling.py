"""Shares of rows and of features: what is drawn, what is sent, and the laws that hold whatever is drawn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flat import changed
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pandas.testing import assert_frame_equal
from strategies import (
    BadPost,
    Problem,
    Watched,
    bring_up_to_date,
    examples,
    margins,
    model_bytes,
    problems,
)
from xgboost_twin import few_values, tables_of

from fedtrees import DataError, FedGBTClassifier, FedGBTRegressor, LocalFederation, Postman, Silo
from fedtrees.core.data.row_ids import mixed, placed_row_ids, read_row_ids
from fedtrees.errors import ProtocolError
from fedtrees.trees.kernels import sampling as sampling_kernels
from fedtrees.trees.messages.histograms import Histograms
from fedtrees.trees.server.feature_sampling import FeatureSampling
from fedtrees.trees.silo.state import TreeState

seeds = st.integers(0, 2**32 - 1)
shares = st.sampled_from([0.3, 0.6, 1.0, 1.0])


@st.composite
def sampled(draw: st.DrawFn, most_silos: int = 12) -> Problem:
    """Any problem, with any of the parameters that choose rows, features, splits and leaves."""
    problem = draw(problems(most_silos=most_silos, categories=True))
    seed = draw(seeds)
    rng = np.random.default_rng(seed)
    n, features = problem.X.shape
    drawn = draw(
        st.fixed_dictionaries(
            {
                "random_state": st.integers(0, 9),
                "max_delta_step": st.sampled_from([0.0, 0.0, 0.2]),
                "num_parallel_tree": st.integers(1, 2),
                **dict.fromkeys(("subsample", "colsample_bytree", "colsample_bylevel", "colsample_bynode"), shares),
            }
        )
    )
    drawn["max_depth"] = min(problem.params["max_depth"], 4)
    if draw(st.booleans(), label="best first"):
        drawn |= {
            "grow_policy": "lossguide",
            "max_leaves": int(rng.integers(1, 12)),
            "max_depth": int(rng.choice([0, 4])),
        }
    elif draw(st.booleans(), label="few leaves"):
        drawn["max_leaves"] = int(rng.integers(1, 9))
    if draw(st.booleans(), label="monotone"):
        directions = rng.integers(-1, 2, features)
        directions[list(problem.categories)] = 0
        drawn["monotone_constraints"] = tuple(directions.tolist())
    if draw(st.booleans(), label="interactions"):
        drawn["interaction_constraints"] = [rng.permutation(features)[:2].tolist() for _ in range(2)]
    ids = rng.permutation(10 * n)[:n] if draw(st.booleans(), label="ids of many digits") else np.arange(n)
    return replace(problem, params=problem.params | drawn, row_id=ids)


# -- the laws -----------------------------------------------------------------------------------------------


@examples(50)
@given(problem=sampled())
def test_any_partition_of_the_rows_gives_the_pooled_model(problem: Problem) -> None:
    pooled = problem.pooled()
    assert problem.federated() == pooled
    ids = model_bytes(
        problem.estimator().fit(
            problem.table(), problem.y, silos=problem.silo, sample_weight=problem.weight, row_id=problem.row_id
        )
    )
    assert ids == pooled


@examples(20)
@given(problem=sampled(), seed=seeds)
def test_the_order_of_rows_and_silos_and_the_number_of_threads_change_nothing(problem: Problem, seed: int) -> None:
    rng = np.random.default_rng(seed)
    expected = problem.federated()
    moved = problem.shuffled(rng)
    for n_jobs in (1, 3):
        silos = moved.silos(order=rng.permutation(problem.n_silos).tolist())
        assert moved.federated(LocalFederation(silos, n_jobs=n_jobs), n_jobs=n_jobs) == expected


@examples(20)
@given(problem=sampled(most_silos=5), seed=seeds)
def test_bad_post_and_silos_that_forget_change_nothing(problem: Problem, seed: int) -> None:
    silos = problem.silos()
    federation = Postman(BadPost(silos, np.random.default_rng(seed)), [silo.name for silo in silos])
    assert problem.federated(federation) == problem.federated()


@examples(30)
@given(problem=sampled(most_silos=5), sampling=st.sampled_from([1.0, 0.5]), with_ids=st.booleans())
def test_models_and_bills_are_the_same_fused_and_faithful(problem: Problem, sampling: float, with_ids: bool) -> None:
    problem = problem if with_ids else replace(problem, row_id=None)
    models = [
        problem.estimator(sampling=sampling).fit_federation(LocalFederation(problem.silos(), mode))
        for mode in ("fused", "faithful")
    ]
    assert model_bytes(models[0]) == model_bytes(models[1])
    fused, faithful = (model.ledger_ for model in models)
    assert_frame_equal(fused.per_round(), faithful.per_round())
    assert_frame_equal(fused.per_silo(), faithful.per_silo())


@examples(40)
@given(problem=sampled())
def test_the_boosters_margins_are_the_training_margins_bit_for_bit(problem: Problem) -> None:
    federation = Watched(LocalFederation(problem.silos(), n_jobs=problem.params["n_jobs"]))
    model = problem.estimator().fit_federation(federation)
    silo = federation.inner._fused
    assert federation.log is not None
    bring_up_to_date(silo, federation.log)
    order = silo.table.order
    X = silo.table.X if order is None else silo.table.X[order]
    assert silo.states.find(TreeState).margin.tobytes() == margins(model, X).tobytes()


# -- features -----------------------------------------------------------------------------------------------


# law: FeatureSampling
def test_shares_multiply_and_are_drawn_anew_for_every_tree_level_and_node() -> None:
    columns = FeatureSampling(64, seed=1, bytree=0.5, bylevel=0.5, bynode=0.5)
    drawn = [columns.of_tree(round, tree) for round in range(2) for tree in range(2)]
    for own in drawn:
        levels = [set(own.level(depth).tolist()) for depth in range(3)]
        nodes = [set(own.node(2, path).tolist()) for path in (4, 5, 6, 7)]
        assert [len(own.tree), *map(len, levels), *map(len, nodes)] == [32, 16, 16, 16, 8, 8, 8, 8]
        assert all(level <= set(own.tree.tolist()) for level in levels) and all(node <= levels[2] for node in nodes)
        assert len({frozenset(level) for level in levels}) == 3 and len({frozenset(node) for node in nodes}) == 4
        assert set(own.below(1, 3).tolist()) == levels[1] | levels[2] and own.below(1, 0) is own.tree
    assert len({own.tree.tobytes() for own in drawn}) == 4
    again = columns.of_tree(1, 0)
    assert again.node(1, 3).tolist() == drawn[2].node(1, 3).tolist()  # whatever was drawn in between
    assert FeatureSampling(64, seed=2, bytree=0.5).of_tree(0, 0).tree.tolist() != drawn[0].tree.tolist()


@pytest.mark.parametrize(("n", "share", "count"), [(10, 0.7, 7), (3, 0.1, 1), (10, 0.35, 3), (7, 0.999, 6), (5, 1, 5)])
def test_as_many_features_are_drawn_as_xgboost_would(n: int, share: float, count: int) -> None:
    assert len(FeatureSampling(n, 0, bytree=share).of_tree(0, 0).tree) == count


def test_a_tree_of_some_features_is_that_of_a_table_of_these() -> None:
    X, y, weight = few_values(500, features=8)
    model = FedGBTRegressor(3, max_depth=4, colsample_bytree=0.5, random_state=5, n_jobs=1).fit(
        X, y, sample_weight=weight
    )
    grown = tables_of(model.booster_)
    margin = np.full(len(y), y.astype(np.float32) @ weight / weight.sum())
    for round in range(3):
        kept = FeatureSampling(8, 5, bytree=0.5).of_tree(round, 0).tree
        assert set(grown.feature[(grown.tree == round) & (grown.feature >= 0)]) <= set(kept.tolist())
        if round == 0:
            alone = FedGBTRegressor(1, max_depth=4, n_jobs=1).fit(X[:, kept], y, sample_weight=weight).booster_
            other = tables_of(alone)
            other["feature"] = np.where(other.feature >= 0, kept[other.feature], -1)
            assert_frame_equal(grown[grown.tree == 0], other)
    assert np.isfinite(margin).all()


def paths_of(tree: pd.DataFrame) -> dict[int, tuple[int, int]]:
    """Depth, and name, of each inner node."""
    found, level = {}, [(0, 0, 1)]
    while level:
        node, depth, path = level.pop()
        if tree.left.iloc[node] >= 0:
            found[node] = depth, path
            level += [(tree.left.iloc[node], depth + 1, 2 * path), (tree.right.iloc[node], depth + 1, 2 * path + 1)]
    return found


@pytest.mark.parametrize("policy", [{}, {"grow_policy": "lossguide", "max_leaves": 12, "max_depth": 0}], ids=str)
def test_every_node_asks_for_a_feature_of_its_own_draw(policy: dict[str, Any]) -> None:
    X, y, weight = few_values(600, features=10)
    share = {"bytree": 0.8, "bylevel": 0.5, "bynode": 0.5}
    params = {f"colsample_{name}": value for name, value in share.items()} | {"num_parallel_tree": 2} | policy
    model = FedGBTRegressor(3, random_state=2, n_jobs=1, **params).fit(
        X, y, silos=np.arange(len(y)) % 3, sample_weight=weight
    )
    nodes = 0
    for number, tree in tables_of(model.booster_).groupby("tree"):
        drawn = FeatureSampling(10, 2, **share).of_tree(int(number) // 2, int(number) % 2)
        for node, (depth, path) in paths_of(tree).items():
            assert tree.feature.iloc[node] in drawn.node(depth, path)
            nodes += 1
    assert nodes > 40


@pytest.mark.parametrize(
    ("params", "most"),
    [
        ({"colsample_bytree": 0.25}, 0.25),
        ({"colsample_bylevel": 0.25, "max_depth": 3}, 0.8),  # the root is asked for what levels below will use
        ({"colsample_bytree": 0.5, "colsample_bynode": 0.5}, 0.5),
    ],
    ids=str,
)
def test_what_is_not_drawn_is_not_sent(params: dict[str, Any], most: float) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(240, 40)).astype(np.float32), rng.normal(size=240)

    def asked(**params: Any) -> pd.DataFrame:
        given: dict[str, Any] = {"max_depth": 4, "max_bin": 32, "n_jobs": 1, "min_child_weight": 0} | params
        model = FedGBTRegressor(2, **given).fit(X, y, silos=np.arange(240) % 3)
        rounds = model.ledger_.per_round()
        return rounds[rounds["kind"].str.contains("Histograms")]

    some, everything = asked(**params), asked(max_depth=params.get("max_depth", 4))
    for size in ("integers", "bytes_up"):
        assert some[size].sum() < (most + 0.02) * everything[size].sum()


@pytest.mark.parametrize(
    "wrong",
    [
        {"columns": [0, 5]},
        {"columns": [-1, 1]},
        {"columns": [1, 0]},
        {"columns": [1, 1]},
        {"column_bins": [1]},
    ],
    ids=str,
)
def test_features_that_there_are_not_are_refused(wrong: dict[str, list[int]]) -> None:
    X, y, _ = few_values(60, features=4)
    federation = Watched(LocalFederation([Silo("a", X, y)], mode="faithful"))
    FedGBTRegressor(1, colsample_bytree=0.5, n_jobs=1).fit_federation(federation)
    asked = [query for call, _ in federation.calls for query in call.queries if isinstance(query, Histograms)]
    question = asked[0]
    silo = federation.inner.silos["a"]
    question.ask(silo)
    with pytest.raises(ProtocolError):
        changed(question, **{name: np.array(value, np.int32) for name, value in wrong.items()}).ask(silo)


# -- rows ---------------------------------------------------------------------------------------------------


def roots(model: Any) -> NDArray[np.float64]:
    table = model.booster_.trees_to_dataframe()
    return table.Cover[table.Node == 0].to_numpy()


def test_each_tree_draws_its_own_share_of_the_rows() -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(4000, 3)), rng.normal(size=4000)
    model = FedGBTRegressor(4, subsample=0.3, num_parallel_tree=3, max_depth=2, n_jobs=1).fit(X, y)
    drawn = roots(model)  # a row's hessian is 1
    assert len(set(drawn)) > 6
    assert drawn == pytest.approx(1200, abs=5 * np.sqrt(4000 * 0.3 * 0.7))
    classes = FedGBTClassifier(1, subsample=0.3, max_depth=1, n_jobs=1).fit(X, np.arange(4000) % 3)
    assert len(set(roots(classes))) == 3
    other = FedGBTRegressor(1, subsample=0.3, max_depth=2, n_jobs=1, random_state=1).fit(X, y)
    assert roots(other)[0] != drawn[0]


# law: RowSampler
def test_a_row_is_drawn_by_its_id_alone() -> None:
    rng = np.random.default_rng(0)
    X, y, ids = rng.normal(size=(500, 3)), rng.normal(size=500), np.array([f"patient {k}" for k in range(500)])
    silos = np.arange(500) % 4

    def fit(row_id: Any, silos: Any, order: Any = slice(None), **params: Any) -> bytes:
        params = {"subsample": 0.5, "n_jobs": 1} | params
        model = FedGBTRegressor(2, **params).fit(
            X[order], y[order], silos=silos, row_id=None if row_id is None else row_id[order]
        )
        return model_bytes(model)

    expected = fit(ids, None)
    assert fit(ids, silos) == fit(ids, None, rng.permutation(500)) == expected
    assert fit(np.roll(ids, 1), None) != expected and fit(np.arange(500), None) != expected
    # without ids, the draw depends on who holds a row; without a draw, nothing does
    assert fit(None, silos) != fit(None, None)
    assert fit(None, silos, subsample=1.0) == fit(None, None, subsample=1.0) == fit(ids, None, subsample=1.0)


def test_rows_of_one_id_are_drawn_together() -> None:
    y = np.random.default_rng(0).normal(size=300)
    model = FedGBTRegressor(6, subsample=0.5, max_depth=1, n_jobs=1).fit(
        np.zeros((300, 1)), y, row_id=np.zeros(300, int)
    )
    assert set(roots(model)) == {0, 300}


@given(seed=seeds, share=st.sampled_from([0.01, 0.5, 0.99]), n=st.integers(0, 50))
def test_drawn_words_are_those_of_the_twin(seed: int, share: float, n: int) -> None:
    rng = np.random.default_rng(seed)
    words, ids = rng.integers(-9, 9, n), rng.integers(0, 2**64, n, dtype=np.uint64)
    keys = rng.integers(0, 2**64, 2, dtype=np.uint64)
    ranges = np.array([[0, n // 3], [n // 2, n]])
    out = np.full(n, 77)
    sampling_kernels.draw(words, ids, ranges, keys, np.array([[share * 2**53]], np.uint64), np.zeros(0, np.uint16), out)
    for i in range(n):
        word = 77
        if i < n // 3 or i >= n // 2:
            h = split_mix((split_mix(int(ids[i]) ^ int(keys[0])) + int(keys[1])) % 2**64)
            word = words[i] if h / 2**64 < share else 0
        assert out[i] == word


def split_mix(word: int) -> int:
    """The last step of SplitMix64, in Python's integers."""
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB % 2**64
    return word ^ (word >> 31)


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1))
def test_mixed_words_are_those_of_the_twin(words: list[int]) -> None:
    assert mixed(np.array(words, np.uint64)).tolist() == [split_mix(word) for word in words]


def test_row_ids_are_read_as_they_are_meant() -> None:
    texts = ["a", "b", "ab", "ba", "", "aa", "ä"]
    hashed = read_row_ids(texts, 7)
    assert hashed is not None and len(set(hashed.tolist())) == 7 and hashed.dtype == np.uint64
    for same in (np.array(texts, object), pd.Series(texts), np.array(texts, "U9"), np.array(texts, ">U9")):
        assert read_row_ids(same, 7).tolist() == hashed.tolist()  # type: ignore[union-attr]
    for whole in (np.int16, np.uint8, np.int64):
        assert read_row_ids(np.array([1, 2], whole).astype(object), 2).tolist() == [1, 2]  # type: ignore[union-attr]
        assert read_row_ids(np.array([1, 2], whole), 2).tolist() == [1, 2]  # type: ignore[union-attr]
    assert read_row_ids(None, 3) is None and read_row_ids([], 0).tolist() == []  # type: ignore[union-attr]
    placed = placed_row_ids(["a", "b"], np.array([0, 2, 5]))
    assert len(set(placed.tolist())) == 5
    assert placed[2:].tolist() == placed_row_ids(["b"], np.array([0, 3])).tolist()


@pytest.mark.parametrize("wrong", [[1.5, 2.0], [1], [[1, 2]], ["a", 1], [True, False], [None, "a"]], ids=str)
def test_ids_that_name_nothing_are_refused(wrong: Any) -> None:
    with pytest.raises(DataError, match="row_id"):
        FedGBTRegressor(1, subsample=0.5).fit([[1.0], [2.0]], [1.0, 2.0], row_id=wrong)
    with pytest.raises(DataError, match="silo 'a': row_id"):
        Silo("a", [[1.0], [2.0]], [1.0, 2.0], row_id=wrong)


def test_weights_of_zero_take_their_ids_along() -> None:
    rng = np.random.default_rng(0)
    X, y, weight = rng.normal(size=(300, 2)), rng.normal(size=300), rng.integers(0, 3, 300).astype(float)
    kept, ids = weight > 0, rng.permutation(300)
    params = {"subsample": 0.5, "n_jobs": 1}
    whole = FedGBTRegressor(2, **params).fit(X, y, silos=np.arange(300) % 3, sample_weight=weight, row_id=ids)
    part = FedGBTRegressor(2, **params).fit(X[kept], y[kept], sample_weight=weight[kept], row_id=ids[kept])
    assert model_bytes(whole) == model_bytes(part)
    silos = [Silo(str(k), X[k::3], y[k::3], sample_weight=weight[k::3], row_id=ids[k::3], n_jobs=1) for k in range(3)]
    for mode in ("fused", "faithful"):
        model = FedGBTRegressor(2, **params).fit_federation(LocalFederation(silos, mode))
        assert model_bytes(model) == model_bytes(whole)


def test_trees_of_drawn_rows_score_as_xgboosts_do() -> None:
    X, y, weight = few_values(3000)
    import xgboost

    params: dict[str, Any] = {"n_estimators": 40, "learning_rate": 0.1, "max_depth": 4, "subsample": 0.5, "n_jobs": 1}
    params |= {"colsample_bytree": 0.8, "colsample_bynode": 0.8}
    train = np.arange(len(y)) % 2 == 0
    ours = FedGBTRegressor(**params).fit(X[train], y[train], sample_weight=weight[train])
    theirs = xgboost.XGBRegressor(**params).fit(X[train], y[train], sample_weight=weight[train])
    own, other = (model.score(X[~train], y[~train]) for model in (ours, theirs))
    assert own > 0.3 and own == pytest.approx(other, abs=0.02)
