"""The exported Booster: what it predicts, bit for bit, and what else XGBoost can do with it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import sparse

from fedtrees.errors import ParameterError
from fedtrees.export.links import LOG, LOGIT, Link
from fedtrees.export.objectives import OBJECTIVES as KNOWN
from fedtrees.export.xgboost import _node_columns, _sets, accumulate, storable_base_margin, to_booster
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.tree import LEAF, Tree

ROOT_PARENT = 2**31 - 1
OBJECTIVES = {"binary:logistic": 1, "count:poisson": 1, "multi:softprob": 3, "reg:squarederror": 1}
floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


def random_cuts(rng: np.random.Generator, n_features: int) -> Cuts:
    """Up to nine cuts a feature, the very last at infinity. Every other feature has a bin for the missing."""
    each = [np.unique(rng.normal(size=rng.integers(1, 10)).astype(np.float32)) for _ in range(n_features)]
    each[-1][-1] = np.inf
    offsets = np.cumsum([0, *map(len, each)])
    return Cuts(np.concatenate(each), offsets, np.arange(n_features) % 2 == 0)


def random_tree(rng: np.random.Generator, cuts: Cuts, n_splits: int, chain: bool = False) -> Tree:
    """Split a random leaf, or always the last one, so many times. Leaves are of all magnitudes, some -0.0."""
    size = 2 * n_splits + 1
    feature, bins, left = (np.full(size, fill, dtype=np.int32) for fill in (LEAF, 0, LEAF))
    leaves = [0]
    for split in range(n_splits):
        node = leaves.pop(-1 if chain else rng.integers(len(leaves)))
        feature[node] = rng.integers(cuts.n_features)
        bins[node] = rng.integers(cuts.n_values[feature[node]])
        left[node] = 2 * split + 1
        leaves += [2 * split + 1, 2 * split + 2]
    value = rng.normal(size=size) * 10 ** rng.uniform(-6, 6, size)
    value[rng.random(size) < 0.1] = -0.0
    inner = feature != LEAF
    return Tree(
        feature=feature,
        bin=bins,
        default_left=rng.random(size) < 0.5,
        left=left,
        value=value.astype(np.float32),
        gain=np.where(inner, rng.exponential(size=size), 0).astype(np.float32),
        cover=(1 + rng.exponential(size=size)).astype(np.float32),
    )


def random_rows(rng: np.random.Generator, cuts: Cuts, n_rows: int, missing: float) -> NDArray[np.float32]:
    """Half of the values are cuts themselves, where `<` and `<=` part."""
    X = rng.normal(size=(n_rows, cuts.n_features)).astype(np.float32)
    on_cut = (rng.random(X.shape) < 0.5) & np.isfinite(picked := rng.choice(cuts.values, X.shape))
    X[on_cut] = picked[on_cut]
    X[rng.random(X.shape) < missing] = np.nan
    return X


def leaf_of(tree: Tree, cuts: Cuts, x: NDArray[np.float32]) -> np.float32:
    """The naive twin of XGBoost's predictor."""
    node = 0
    while tree.feature[node] != LEAF:
        value = x[tree.feature[node]]
        if np.isnan(value):
            goes_left = tree.default_left[node]
        else:
            goes_left = value < cuts.of(tree.feature[node])[tree.bin[node]]
        node = tree.left[node] + (0 if goes_left else 1)
    return tree.value[node]


def walk(trees: list[Tree], cuts: Cuts, base: NDArray[np.float32], X: NDArray[np.float32]) -> bytes:
    """The margins' bytes by the law of the module, in plain float32 additions."""
    margins = np.empty((len(X), len(base)), dtype=np.float32)
    for row, x in enumerate(X):
        margin = list(base)
        for number, tree in enumerate(trees):
            k = number % len(base)
            margin[k] = np.float32(margin[k] + leaf_of(tree, cuts, x))
        margins[row] = margin
    return margins.tobytes()


def random_model(
    rng: np.random.Generator, objective: str = "reg:squarederror", rounds: int = 10, n_splits: int = 7
) -> SimpleNamespace:
    cuts = random_cuts(rng, n_features=4)
    K = OBJECTIVES[objective]
    sizes = rng.integers(n_splits + 1, size=rounds * K)
    trees = [random_tree(rng, cuts, size, chain=rng.random() < 0.3) for size in sizes]
    base = storable_base_margin(objective, rng.normal(scale=3, size=K))
    booster = to_booster(trees, cuts, objective=objective, base_margin=base, n_classes=K)
    return SimpleNamespace(cuts=cuts, trees=trees, base=base, booster=booster, objective=objective)


def margins(booster: xgboost.Booster, X: NDArray[np.float32]) -> bytes:
    return booster.predict(xgboost.DMatrix(X), output_margin=True).tobytes()


def nodes_written(booster: xgboost.Booster, tree: int) -> dict[str, list[float]]:
    model = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]
    return model["trees"][tree]


def reloaded(booster: xgboost.Booster, raw_format: str) -> xgboost.Booster:
    return xgboost.Booster(model_file=booster.save_raw(raw_format))


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    objective=st.sampled_from(sorted(OBJECTIVES)),
    rounds=st.integers(1, 6),
    n_splits=st.integers(0, 12),
    missing=st.sampled_from([0, 0.3, 0.9]),
)
def test_margins_are_those_of_the_naive_walk_bit_for_bit(
    seed: int, objective: str, rounds: int, n_splits: int, missing: float
) -> None:
    rng = np.random.default_rng(seed)
    model = random_model(rng, objective, rounds, n_splits)
    X = random_rows(rng, model.cuts, n_rows=rng.integers(1, 30), missing=missing)
    expected = walk(model.trees, model.cuts, model.base, X)
    assert margins(model.booster, X) == expected
    assert model.booster.inplace_predict(X, predict_type="margin").tobytes() == expected
    for raw_format in ("json", "ubj"):
        assert margins(reloaded(model.booster, raw_format), X) == expected


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_neither_rows_nor_threads_nor_the_kind_of_input_change_a_bit(objective: str) -> None:
    rng = np.random.default_rng(1)
    model = random_model(rng, objective, rounds=30)
    X = random_rows(rng, model.cuts, n_rows=333, missing=0.6)
    present = ~np.isnan(X)
    rows = sparse.csr_matrix((X[present], np.nonzero(present)), shape=X.shape)
    expected = walk(model.trees, model.cuts, model.base, X)
    for threads in (1, 2, 3):
        model.booster.set_param({"nthread": threads})
        for n in (1, 63, 64, 65, 333):  # XGBoost walks through blocks of 64 rows
            some = expected[: n * len(expected) // len(X)]
            assert margins(model.booster, X[:n]) == some
            assert margins(model.booster, rows[:n]) == some
            for data in (X[:n], np.asfortranarray(X[:n]), X[:n].astype(np.float64), rows[:n]):
                assert model.booster.inplace_predict(data, predict_type="margin").tobytes() == some


def test_many_rows_are_added_up_as_one_is() -> None:
    rng = np.random.default_rng(2)
    model = random_model(rng, rounds=20)
    X = random_rows(rng, model.cuts, n_rows=100, missing=0.1)
    expected = walk(model.trees, model.cuts, model.base, X)
    assert margins(model.booster, np.tile(X, (1000, 1))) == expected * 1000


def test_other_orders_of_addition_would_give_other_bits() -> None:
    rng = np.random.default_rng(3)
    model = random_model(rng, rounds=20)
    X = random_rows(rng, model.cuts, n_rows=100, missing=0.1)
    leaves = np.array([[leaf_of(tree, model.cuts, x) for x in X] for tree in model.trees])
    assert margins(model.booster, X) == accumulate(model.base, leaves).tobytes()
    base_last = accumulate([0], leaves) + model.base
    backwards = accumulate(model.base, leaves[::-1])
    assert margins(model.booster, X) not in (base_last.tobytes(), backwards.tobytes())


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_trees_of_a_root_alone(objective: str) -> None:
    rng = np.random.default_rng(4)
    model = random_model(rng, objective, rounds=3, n_splits=0)
    X = random_rows(rng, model.cuts, n_rows=5, missing=0.5)
    assert all(tree.n_nodes == 1 for tree in model.trees)
    assert margins(model.booster, X) == walk(model.trees, model.cuts, model.base, X)
    assert model.booster.get_score(importance_type="weight") == {}


def test_a_deep_chain() -> None:
    rng = np.random.default_rng(5)
    cuts = random_cuts(rng, n_features=3)
    trees = [random_tree(rng, cuts, n_splits=500, chain=True)]
    base = np.float32([0.5])
    booster = to_booster(trees, cuts, objective="reg:squarederror", base_margin=base)
    X = random_rows(rng, cuts, n_rows=50, missing=0.5)
    assert margins(booster, X) == walk(trees, cuts, base, X)


@given(values=hnp.arrays(np.float32, st.integers(1, 20), elements=floats))
def test_every_float32_survives_the_way_through_both_formats(values: NDArray[np.float32]) -> None:
    n = len(values)
    cuts = Cuts(np.unique(values), np.array([0, len(np.unique(values))]), np.array([False]))
    tree = random_tree(np.random.default_rng(0), cuts, n_splits=n, chain=True)
    filled = np.resize(values, tree.n_nodes)
    tree = replace(tree, value=filled, gain=filled, cover=filled)
    booster = to_booster([tree], cuts, objective="reg:squarederror", base_margin=values[:1])
    threshold = np.where(tree.feature == LEAF, filled, cuts.values[tree.bin])
    for again in (booster, reloaded(booster, "json"), reloaded(booster, "ubj")):
        written = nodes_written(again, tree=0)
        for field in ("base_weights", "loss_changes", "sum_hessian"):
            assert np.float32(written[field]).tobytes() == filled.tobytes()
        assert np.float32(written["split_conditions"]).tobytes() == threshold.tobytes()


def test_the_nodes_are_written_as_xgboost_writes_them() -> None:
    cuts = Cuts(np.float32([1, 2, 10, 20]), np.array([0, 2, 4]), np.array([False, True]))
    tree = Tree(
        feature=np.int32([1, 0, LEAF, LEAF, LEAF]),
        bin=np.int32([1, 0, 0, 0, 0]),
        default_left=np.array([True, False, True, False, True]),
        left=np.int32([1, 3, LEAF, LEAF, LEAF]),
        value=np.float32([0.5, 1, 2, 3, 4]),
        gain=np.float32([9, 8, 0, 0, 0]),
        cover=np.float32([5, 3, 2, 2, 1]),
    )
    ours = nodes_written(to_booster([tree], cuts, objective="reg:squarederror", base_margin=[0]), tree=0)
    data = xgboost.DMatrix(np.float32([[1], [2]]), np.float32([0, 1]))
    theirs = nodes_written(xgboost.train({"objective": "reg:squarederror"}, data, 1), tree=0)
    assert ours.keys() == theirs.keys()
    assert ours["tree_param"] == theirs["tree_param"] | {"num_nodes": "5", "num_feature": "2"}
    expected = {
        "left_children": [1, 3, -1, -1, -1],
        "right_children": [2, 4, -1, -1, -1],
        "parents": [ROOT_PARENT, 0, 0, 1, 1],
        "split_indices": [1, 0, 0, 0, 0],
        "split_conditions": [20, 1, 2, 3, 4],
        "default_left": [1, 0, 0, 0, 0],
        "base_weights": [0.5, 1, 2, 3, 4],
        "loss_changes": [9, 8, 0, 0, 0],
        "sum_hessian": [5, 3, 2, 2, 1],
    }
    assert {field: ours[field] for field in expected} == expected
    sent = _node_columns([tree], cuts)  # XGBoost writes a root's parent itself, whatever it read
    assert {field: sent[field].tolist() for field in expected} == expected


def test_sets_of_categories_are_written_as_xgboost_writes_them() -> None:
    """Each node's set stands where the one before it ends; a wrong place ends the process that reads the file."""
    tree = Tree(
        feature=np.int32([0, 0, 0, LEAF, LEAF, LEAF, LEAF]), bin=np.zeros(7, np.int32),
        default_left=np.zeros(7, bool), left=np.int32([1, 3, 5, LEAF, LEAF, LEAF, LEAF]), value=np.zeros(7, np.float32),
        gain=np.zeros(7, np.float32), cover=np.ones(7, np.float32),
        categories={2: np.int32([5, 0, 3]), 0: np.int32([4]), 1: np.int32([2, 1])},
    )  # fmt: skip
    written = _sets(tree)
    assert {name: (array.dtype.str, array.tolist()) for name, array in written.items()} == {
        "categories": (">i4", [4, 1, 2, 0, 3, 5]),
        "categories_nodes": (">i4", [0, 1, 2]),
        "categories_segments": (">i8", [0, 1, 3]),
        "categories_sizes": (">i8", [1, 2, 3]),
    }
    codes = np.tile(np.arange(8), 9)
    data = xgboost.DMatrix(codes[:, None], np.sin(3.0 * codes), feature_types=["c"], enable_categorical=True)
    params = {"max_cat_to_onehot": 1, "max_depth": 3, "tree_method": "hist", "nthread": 1}
    own = nodes_written(xgboost.train(params, data, 1), tree=0)
    ends, sets = np.cumsum(own["categories_sizes"]), {}
    for node, end, size in zip(own["categories_nodes"], ends, own["categories_sizes"], strict=True):
        sets[node] = np.int32(own["categories"][end - size : end])
    n = len(own["left_children"])
    again = Tree(
        np.int32(own["split_indices"]), np.zeros(n, np.int32), np.zeros(n, bool), np.int32(own["left_children"]),
        np.zeros(n, np.float32), np.zeros(n, np.float32), np.zeros(n, np.float32), sets,
    )  # fmt: skip
    assert len(sets) > 1
    assert {name: array.tolist() for name, array in _sets(again).items()} == {name: own[name] for name in written}


@pytest.mark.parametrize("objective", sorted(KNOWN))
def test_what_is_not_given_of_an_objective_is_xgboost_s_default(objective: str, stump: SimpleNamespace) -> None:
    needed = {"num_class": 3} if objective.startswith("multi:") else {}
    needed |= {"quantile_alpha": 0.5} if objective == "reg:quantileerror" else {}
    data = xgboost.DMatrix(np.zeros((2, 1), np.float32), np.float32([0, 1]))
    theirs = xgboost.Booster({"objective": objective, **needed}, [data])
    margins = needed.get("num_class", 1)
    base = storable_base_margin(objective, np.zeros(margins))
    ours = to_booster([stump.tree] * margins, stump.cuts, objective=objective, base_margin=base, n_classes=3)
    said = [json.loads(own.save_config())["learner"]["objective"] for own in (ours, theirs)]
    assert said[0] == said[1]


@pytest.mark.parametrize("suffix", ["json", "ubj"])
@pytest.mark.parametrize(
    ("objective", "estimator", "n_classes"),
    [
        ("binary:logistic", xgboost.XGBClassifier(), 2),
        ("multi:softprob", xgboost.XGBClassifier(), 3),
        ("reg:squarederror", xgboost.XGBRegressor(), None),
    ],
)
def test_scikit_learn_estimators_of_xgboost_open_the_file(
    tmp_path: Path, suffix: str, objective: str, estimator: xgboost.XGBModel, n_classes: int | None
) -> None:
    rng = np.random.default_rng(8)
    model = random_model(rng, objective)
    X = random_rows(rng, model.cuts, n_rows=50, missing=0.2)
    path = tmp_path / f"model.{suffix}"
    model.booster.save_model(path)
    estimator.load_model(path)
    assert estimator.predict(X, output_margin=True).tobytes() == margins(model.booster, X)
    if n_classes:
        assert estimator.n_classes_ == n_classes
        proba = estimator.predict_proba(X)
        assert proba.shape == (50, n_classes)
        assert proba[:, -1].tobytes() == model.booster.inplace_predict(X).reshape(50, -1)[:, -1].tobytes()


def test_importances_are_those_of_the_trees() -> None:
    model = random_model(np.random.default_rng(10), rounds=5)
    fields = ("feature", "gain", "cover")
    feature, gain, cover = (np.concatenate([getattr(tree, f) for tree in model.trees]) for f in fields)
    used = [f for f in range(4) if f in feature]
    assert used
    weight = {f"f{f}": np.count_nonzero(feature == f) for f in used}
    assert model.booster.get_score(importance_type="weight") == weight
    for kind, values in (("gain", gain), ("cover", cover)):
        means = {f"f{f}": values[feature == f].mean() for f in used}
        assert model.booster.get_score(importance_type=kind) == pytest.approx(means, rel=1e-5)


def test_trees_as_a_table_with_names_and_types_kept() -> None:
    model = random_model(np.random.default_rng(11), rounds=5)
    names, types = ["age", "weight (kg)", "größe", "sex"], ["int", "float", "q", "float"]
    named = to_booster(
        model.trees,
        model.cuts,
        objective="reg:squarederror",
        base_margin=model.base,
        feature_names=names,
        feature_types=types,
    )
    for booster in (named, reloaded(named, "json"), reloaded(named, "ubj")):
        assert booster.feature_names == names and booster.feature_types == types
        table = booster.trees_to_dataframe()
        assert len(table) == sum(tree.n_nodes for tree in model.trees)
        split = np.concatenate([tree.feature for tree in model.trees])
        assert table["Feature"].tolist() == [[*names, "Leaf"][feature] for feature in split]
        cover = np.concatenate([tree.cover for tree in model.trees])
        assert np.float32(table["Cover"]).tobytes() == cover.tobytes()
    assert model.booster.feature_names is None and model.booster.feature_types is None


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_contributions_sum_to_the_margin(objective: str) -> None:
    rng = np.random.default_rng(12)
    model = random_model(rng, objective, rounds=4)
    X = xgboost.DMatrix(random_rows(rng, model.cuts, n_rows=20, missing=0.2))
    margin = model.booster.predict(X, output_margin=True)
    scale = sum(np.abs(tree.value).max() for tree in model.trees)
    contributions = model.booster.predict(X, pred_contribs=True)
    assert np.abs(contributions.sum(axis=-1) - margin).max() < 1e-5 * scale


def test_training_goes_on_from_the_booster() -> None:
    rng = np.random.default_rng(13)
    model = random_model(rng, "binary:logistic", rounds=3)
    X = random_rows(rng, model.cuts, n_rows=50, missing=0.2)
    data = xgboost.DMatrix(X, rng.integers(0, 2, 50))
    longer = xgboost.train({"objective": "binary:logistic"}, data, 2, xgb_model=model.booster)
    assert longer.num_boosted_rounds() == 5
    assert margins(longer[:3], X) == walk(model.trees, model.cuts, model.base, X)


def test_rounds_are_xgboosts_rounds() -> None:
    rng = np.random.default_rng(14)
    model = random_model(rng, "multi:softprob", rounds=5)
    X = random_rows(rng, model.cuts, n_rows=20, missing=0.2)
    assert model.booster.num_boosted_rounds() == 5
    first = model.booster.predict(xgboost.DMatrix(X), output_margin=True, iteration_range=(0, 2))
    assert first.tobytes() == walk(model.trees[:6], model.cuts, model.base, X)


@pytest.mark.parametrize(("outputs", "parallel"), [(1, 1), (1, 3), (3, 1), (3, 2), (2, 3)])
def test_the_trees_of_a_round_stand_as_xgboost_s_own(outputs: int, parallel: int) -> None:
    """Outside reference: XGBoost's file of as many rounds, outputs and parallel trees."""
    rng = np.random.default_rng(16)
    y = rng.normal(size=(30, outputs))
    data = xgboost.DMatrix(rng.normal(size=(30, 2)), y if outputs > 1 else y[:, 0])
    params = {"num_parallel_tree": parallel, "max_depth": 1, "nthread": 1}
    written = []
    cuts = Cuts(np.float32([1, 2]), np.array([0, 2]), np.array([False]))
    trees = [random_tree(rng, cuts, n_splits=1) for _ in range(2 * outputs * parallel)]
    ours = to_booster(
        trees, cuts, objective="reg:squarederror", base_margin=[0] * outputs, n_targets=outputs, parallel=parallel
    )
    for booster in (ours, xgboost.train(params, data, 2)):
        model = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]
        written.append([model[name] for name in ("gbtree_model_param", "iteration_indptr", "tree_info")])
        assert [tree["id"] for tree in model["trees"]] == list(range(len(trees)))
    assert written[0] == written[1]


@pytest.fixture
def stump() -> SimpleNamespace:
    cuts = Cuts(np.float32([1, 2]), np.array([0, 2]), np.array([False]))
    tree = random_tree(np.random.default_rng(15), cuts, n_splits=1)
    return SimpleNamespace(cuts=cuts, tree=tree)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"objective": "binary:logitic"}, "did you mean 'binary:logistic'"),
        ({"trees": 0}, r"^0 trees are no whole number \(1 or more\) of rounds of 1\."),
        ({"trees": 5, "parallel": 3}, r"^5 trees are no whole number \(1 or more\) of rounds of 3\."),
        ({"trees": 3, "parallel": 0}, "^3 trees are no whole number"),
        (
            {"objective": "multi:softprob", "n_classes": 2, "base_margin": [0, 0], "trees": 9, "parallel": 3},
            r"^9 trees are no whole number \(1 or more\) of rounds of 6\.",
        ),
        (
            {"objective": "multi:softprob", "n_classes": 2, "base_margin": [0, 0], "trees": 3},
            "no whole number",
        ),
        ({"objective": "multi:softprob", "n_classes": 3}, r"needs \(3,\)"),
        ({"objective": "multi:softprob", "n_classes": 1}, "2 or more"),
        ({"base_margin": 0.5}, r"needs \(1,\)"),
        ({"base_margin": [np.nan]}, "finite"),
        ({"objective": "binary:logistic", "base_margin": [1.0]}, "cannot store"),
        ({"feature_names": ["a", "b"]}, "2 feature_names for 1 features"),
        ({"feature_types": []}, "0 feature_types for 1 features"),
    ],
)
def test_what_does_not_fit_is_refused(stump: SimpleNamespace, wrong: dict[str, object], message: str) -> None:
    given = {"objective": "reg:squarederror", "base_margin": [0.0], "trees": 1} | wrong
    trees = [stump.tree] * given.pop("trees")
    with pytest.raises(ParameterError, match=message):
        to_booster(trees, stump.cuts, **given)


@pytest.mark.parametrize(
    ("column", "root", "message"),
    [
        ("feature", 1, "feature outside"),
        ("feature", -2, "feature outside"),
        ("bin", 2, "no cut"),
        ("bin", -2, "no cut"),
        ("left", 0, "further on"),
        ("left", 2, "further on"),
    ],
)
def test_nodes_that_xgboost_would_follow_out_of_its_arrays_are_refused(
    stump: SimpleNamespace, column: str, root: int, message: str
) -> None:
    getattr(stump.tree, column)[0] = root
    with pytest.raises(ParameterError, match=message):
        to_booster([stump.tree], stump.cuts, objective="reg:squarederror", base_margin=[0])


@pytest.mark.parametrize("link", [LOGIT, LOG], ids=["logit", "log"])
def test_a_base_score_is_beyond_doubt_however_far_it_has_to_be_looked_for(link: Link) -> None:
    """Within 0.18 units of its last bit, a logarithm is the same float32 on every platform; see `export.links`."""
    far = [0.11778833, -0.22318166]  # where hundreds of probabilities next to each other are in doubt
    for wished in np.float32([*far, *np.linspace(-20, 20, 301), 0.0, -88.7, 88.7]):
        prediction, margin = link.nearest(wished)
        exact = link.exact(np.array([prediction]))[0]
        unit = np.spacing(np.nextafter(np.abs(margin), np.float32(0)))
        assert margin == np.float32(exact) and abs(exact - margin) <= 0.18 * unit
        assert link.nearest(margin) == (prediction, margin)
