"""Bounded steps, monotone features, interactions, leaves and forests: as XGBoost has them, node for node."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import twins
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import examples
from test_split import UNITS, random_layout, random_node, seeds
from xgboost_twin import few_values, same_trees, tables_of, trained, trees_of

from fedtrees import FedGBTRegressor
from fedtrees.core.numeric.threads import Threads
from fedtrees.errors import ParameterError
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.server.best_first import best_first
from fedtrees.trees.server.constraints import Constraints
from fedtrees.trees.server.growing_tree import GrowingTree
from fedtrees.trees.server.split import SMALLEST_GAIN, Limits, SplitRule, Units, best_splits

# -- as XGBoost ---------------------------------------------------------------------------------------------

PARAMETERS: list[dict[str, Any]] = [
    {"max_delta_step": 0.3},
    {"max_delta_step": 0.3, "reg_alpha": 3.0},
    {"max_delta_step": 0.01, "gamma": 0.1},
    {"monotone_constraints": (1, -1, 0, 1)},
    {"monotone_constraints": "(-1,0,0,0,1)", "reg_alpha": 2.0, "min_child_weight": 5.0},
    {"monotone_constraints": (0, 1, -1, 0, 0), "max_delta_step": 0.5},
    {"interaction_constraints": "[[0,2],[1,3,4]]"},
    {"interaction_constraints": "[[0,1],[1,2]]", "max_depth": 6},
    {"interaction_constraints": "[]"},
    {"interaction_constraints": "[[0,1],[1,2]]", "monotone_constraints": (0, -1)},
    {"max_depth": 3, "max_leaves": 5},
    {"max_depth": 0, "max_leaves": 31},
    {"max_depth": 0, "min_child_weight": 50.0},
    {"max_leaves": 1},
    {"grow_policy": "lossguide", "max_leaves": 9, "max_depth": 0},
    {"grow_policy": "lossguide", "max_leaves": 12},
    {"grow_policy": "lossguide", "max_leaves": 2},
    {"grow_policy": "lossguide", "max_leaves": 1},
    {"grow_policy": "lossguide"},
    {"grow_policy": "lossguide", "max_leaves": 31, "max_depth": 0, "monotone_constraints": (1, 1, 1, 1, 1)},
    {"grow_policy": "lossguide", "max_leaves": 20, "max_depth": 0, "interaction_constraints": "[[0,1],[2,3,4]]"},
    {"num_parallel_tree": 3, "max_depth": 3},
]


def targets(y: NDArray[np.float64], objective: str) -> NDArray[Any]:
    if objective == "binary:logistic":
        return (y > y.mean()).astype(int)
    return np.digitize(y, np.quantile(y, [0.3, 0.7])) if objective == "multi:softprob" else y


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("objective", ["reg:squarederror", "binary:logistic", "multi:softprob"])
@pytest.mark.parametrize("params", PARAMETERS, ids=str)
def test_trees_are_those_of_xgboost_node_for_node(params: dict[str, Any], objective: str) -> None:
    X, y, weight = few_values()
    params = {"max_depth": 4, "objective": objective} | params
    ours, theirs = trained(X, targets(y, objective), weight, 2, **params)
    assert same_trees(ours, theirs) >= 2
    plain = {name: value for name, value in params.items() if name in ("max_depth", "objective")}
    default, _ = trained(X, targets(y, objective), weight, 2, **plain | {"max_depth": 4})
    if params.get("grow_policy") != "lossguide" or "max_leaves" in params:  # to the end, the order changes no leaf
        assert default.save_raw("json") != ours.save_raw("json")


def test_a_forest_shares_the_learning_rate() -> None:
    X, y, weight = few_values(300)
    one = trained(X, y, weight, 2, max_depth=3)[0]
    ours, theirs = trained(X, y, weight, 2, max_depth=3, num_parallel_tree=4)
    assert ours.num_boosted_rounds() == theirs.num_boosted_rounds() == 2 and len(ours.get_dump()) == 8
    matrix = xgboost.DMatrix(X)
    assert ours.predict(matrix) == pytest.approx(one.predict(matrix), rel=1e-5)
    assert ours.predict(matrix, iteration_range=(0, 1)) == pytest.approx(
        theirs.predict(matrix, iteration_range=(0, 1)), rel=1e-3
    )


def test_many_leaves_take_few_rounds() -> None:
    X, y, weight = few_values(3000)
    model = FedGBTRegressor(1, n_jobs=1, grow_policy="lossguide", max_leaves=64, max_depth=0).fit(
        X, y, sample_weight=weight
    )
    assert len(tables_of(model.booster_)) == 127
    asked = int((model.ledger_.per_round()["kind"].str.contains("Histograms")).sum())
    assert asked < 25  # one leaf at a time would take 63


@pytest.mark.parametrize("leaves", [1, 2, 3, 4, 5, 8, 9, 16, 17])
def test_no_histogram_is_asked_for_that_no_split_can_come_of(leaves: int) -> None:
    """Level by level: of the root, and of each level below it that may yet be split."""
    X, y, _ = few_values(600)
    given: dict[str, Any] = {"n_jobs": 1, "max_leaves": leaves, "min_child_weight": 0.0, "reg_lambda": 0.0}
    model = FedGBTRegressor(1, max_depth=9, **given).fit(X, y)
    assert len(tables_of(model.booster_)) == 2 * leaves - 1

    def asked(model: FedGBTRegressor) -> int:
        return int(model.ledger_.per_round()["kind"].str.contains("Histograms").sum())

    assert asked(model) == max(1, int(np.ceil(np.log2(leaves))))
    for depth in range(1, 4):
        to_the_end = FedGBTRegressor(1, max_depth=depth, **given | {"max_leaves": 0}).fit(X, y)
        assert len(tables_of(to_the_end.booster_)) == 2 ** (depth + 1) - 1 and asked(to_the_end) == depth
    if leaves < 3:
        assert asked(FedGBTRegressor(1, max_depth=0, grow_policy="lossguide", **given).fit(X, y)) == 1


# -- documented examples ------------------------------------------------------------------------------------


def example(n: int = 1000) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """XGBoost's tutorial on monotone constraints: one feature goes up, one goes down, both with waves."""
    rng = np.random.default_rng(1994)
    x1, x2 = rng.random(n), rng.random(n)
    noise = rng.normal(0.0, 0.01, n)
    return np.column_stack([x1, x2]), 5 * x1 + np.sin(10 * np.pi * x1) - 5 * x2 - np.cos(10 * np.pi * x2) + noise


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("how", [(1, -1), [1, -1], "(1,-1)", {"up": 1, "down": -1}], ids=str)
def test_predictions_rise_and_fall_as_they_are_told(how: Any) -> None:
    X, y = example()
    frame = pd.DataFrame(X, columns=["up", "down"])
    free = FedGBTRegressor(40, n_jobs=1).fit(frame, y)
    model = FedGBTRegressor(40, n_jobs=1, monotone_constraints=how).fit(frame, y, silos=np.arange(len(y)) % 3)
    grid = np.linspace(-0.1, 1.1, 200)
    waves = 0
    for held in (0.1, 0.5, 0.9):
        rising = pd.DataFrame({"up": grid, "down": held})
        falling = pd.DataFrame({"up": held, "down": grid})
        assert (np.diff(model.predict(rising)) >= 0).all()
        assert (np.diff(model.predict(falling)) <= 0).all()
        waves += (np.diff(free.predict(rising)) < 0).sum()
    assert waves > 0
    theirs = xgboost.XGBRegressor(n_jobs=1, n_estimators=40, monotone_constraints=(1, -1)).fit(frame, y)
    assert model.score(frame, y) == pytest.approx(theirs.score(frame, y), abs=2e-3)


@pytest.mark.parametrize(
    "how", ["[[0, 2], [1, 3, 4], [5]]", [["a", "c"], ["b", "d", "e"], ["f"]], [[0, 2], [1, 3, 4], [5]]], ids=str
)
def test_only_features_of_a_group_meet_on_a_path(how: Any) -> None:
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(600, 6)), columns=list("abcdef"))
    y = (X["a"] * X["b"] + X["c"] * X["d"] + X["e"] * X["f"]).to_numpy()
    model = FedGBTRegressor(10, n_jobs=1, interaction_constraints=how).fit(X, y)
    groups = [{"a", "c"}, {"b", "d", "e"}, {"f"}]
    met = paths(model.booster_)
    assert len(met) > 10 and all(any(path <= group for group in groups) for path in met)
    free = paths(FedGBTRegressor(10, n_jobs=1).fit(X, y).booster_)
    assert not all(any(path <= group for group in groups) for path in free)


def paths(booster: xgboost.Booster) -> list[set[str]]:
    """The features asked on the way to each leaf."""
    found: list[set[str]] = []
    for _, tree in booster.trees_to_dataframe().groupby("Tree"):
        nodes = tree.set_index("ID")

        def walk(node: str, met: set[str], nodes: pd.DataFrame = nodes) -> None:
            feature = nodes.loc[node, "Feature"]
            if feature == "Leaf":
                found.append(met)
                return
            for child in ("Yes", "No"):
                walk(nodes.loc[node, child], met | {feature}, nodes)

        walk(nodes.index[0], set())
    return found


# -- reading parameters -------------------------------------------------------------------------------------

NAMES = ["age", "sex", "dose"]


def test_directions_and_groups_are_read_in_all_their_forms() -> None:
    for monotone in ((1, 0, -1), "(1,0,-1)", " ( 1, 0, -1 ) ", {"dose": -1, "age": 1}, np.array([1, 0, -1])):
        assert Constraints.of(monotone, None, NAMES).direction.tolist() == [1, 0, -1]
    for monotone in ((1,), [1], "(1)", "(1,)", "1", "1,", {"age": 1}):  # Python writes a tuple of one so
        assert Constraints.of(monotone, None, NAMES).direction.tolist() == [1, 0, 0]
    for monotone in ("(1,0,-1,)", "1,0,-1", "(1,0,-1"):
        assert Constraints.of(monotone, None, NAMES).direction.tolist() == [1, 0, -1]
    for monotone in ((), "()", "", {}, None):
        assert Constraints.of(monotone, None, NAMES).direction.tolist() == [0, 0, 0]
    for interactions in ([["age", "dose"], ["sex"]], [[0, 2], [1]], "[[0, 2], [1]]", '[["age", "dose"], ["sex"]]'):
        assert Constraints.of(None, interactions, NAMES).groups == (frozenset({0, 2}), frozenset({1}))
    assert Constraints.of(None, None, NAMES).groups is None and Constraints.of(None, [], NAMES).groups == ()


@pytest.mark.parametrize(
    ("monotone", "interactions", "error"),
    [
        ((1, 2), None, "a direction is 1, 0 or -1, not 2"),
        ((1, 0.5), None, "a direction is 1, 0 or -1, not 0.5"),
        ((1, 0, 0, 0), None, "give a direction for each of 3 features"),
        (1, None, "give a direction for each of 3 features"),
        ("up", None, "write it like"),
        ({"weight": 1}, None, "'weight' is none of the features"),
        (None, "0, 1", "write it like"),
        (None, [["age", "weight"]], "'weight' is none of the features"),
        (None, [[0, 3]], "3 is none of the features"),
        (None, [[0.5]], "0.5 is none of the features"),
        (None, ["age"], "give a list of lists"),
        (None, 7, "give a list of lists"),
        (None, {"age": 1}, "give a list of lists"),
        (None, {("age", "dose"): 1}, "give a list of lists"),
        (None, {}, "give a list of lists"),
        (None, [[0, 1], 2], "give a list of lists"),
        (None, [[-1, 0]], "-1 is none of the features"),
        (None, [["age", 3]], "3 is none of the features"),
        ({"age": 2}, None, "a direction is 1, 0 or -1, not 2"),
        ((1, -2), None, "a direction is 1, 0 or -1, not -2"),
        ("(1,0,0,0)", None, "give a direction for each of 3 features"),
    ],
)
def test_what_means_nothing_is_refused(monotone: Any, interactions: Any, error: str) -> None:
    with pytest.raises(ParameterError, match=error):
        Constraints.of(monotone, interactions, NAMES)


def test_a_policy_that_there_is_not_is_refused() -> None:
    with pytest.raises(ParameterError, match="grow_policy='lossguided' is not known: did you mean 'lossguide'"):
        FedGBTRegressor(grow_policy="lossguided").fit([[1.0], [2.0]], [1.0, 2.0])


# -- twins --------------------------------------------------------------------------------------------------

rules = st.builds(
    SplitRule,
    reg_lambda=st.sampled_from([0.1, 1.0]),
    reg_alpha=st.sampled_from([0.0, 0.3]),
    min_child_weight=st.sampled_from([0.0, 0.5, 4.0]),
    max_delta_step=st.sampled_from([0.0, 0.05, 0.7]),
    max_cat_to_onehot=st.sampled_from([1, 4]),
    max_cat_threshold=st.sampled_from([2, 64]),
)


@examples(150, plain=150)
@given(seed=seeds, few=st.booleans(), rule=rules, n_nodes=st.integers(1, 4), categories=st.booleans())
def test_bounded_splits_are_those_of_an_exhaustive_search(
    seed: int, few: bool, rule: SplitRule, n_nodes: int, categories: bool
) -> None:
    rng = np.random.default_rng(seed)
    cuts = random_layout(rng, few, categories)
    nodes = [random_node(rng, cuts.n_bins, int(rng.integers(0, 40)), few) for _ in range(n_nodes)]
    histograms, totals = np.stack([sums for sums, _ in nodes]), np.array([total for _, total in nodes])
    ends = [-np.inf, -0.5, -0.1], [-0.1, 0.0, 0.2, np.inf]
    bounds = np.stack([rng.choice(end, n_nodes) for end in ends], axis=1)
    direction = rng.integers(-1, 2, cuts.n_features).astype(np.int8)
    allowed = rng.random((n_nodes, cuts.n_features)) < 0.7
    before = rule.objective(totals[:, 0] * UNITS.g, totals[:, 1] * UNITS.h, bounds)
    for (g, h), within, saved in zip(totals * (UNITS.g, UNITS.h), bounds, before.tolist(), strict=True):
        weight = twins.bounded_weight(g, h, rule, within) if h > 0 and h >= rule.min_child_weight else 0.0
        weight = float(np.float32(np.clip(weight, *within)))
        assert saved == pytest.approx(-(2 * g * weight + (h + rule.reg_lambda) * weight**2) if h > 0 else 0.0, abs=1e-9)
    limits = Limits(bounds, before, direction, allowed)
    splits = best_splits(histograms, np.arange(n_nodes), totals, cuts, rule, UNITS, Threads(1), limits)
    for node, (sums, total) in enumerate(nodes):
        best, found = 0.0, None
        for own in [*twins.candidates(sums.tolist(), cuts, rule, UNITS), *missing_apart(sums, cuts)]:
            saved = twins.bounded_gain(own, total, rule, UNITS, bounds[node], int(direction[own.feature]))
            if saved is not None and allowed[node, own.feature] and saved - before[node] > best + 1e-9:
                best, found = saved - before[node], own
        assert splits.gain[node] == pytest.approx(best, abs=1e-6) or splits.feature[node] < 0
        if best > SMALLEST_GAIN + 1e-6:
            assert found is not None and splits.feature[node] >= 0
            f, g, h = int(splits.feature[node]), *splits.left[node].tolist()
            own = twins.Candidate(f, int(splits.bin[node]), bool(splits.default_left[node]), g, h)
            assert allowed[node, f]
            saved = twins.bounded_gain(own, total, rule, UNITS, bounds[node], int(direction[f]))
            assert saved is not None and saved - before[node] == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize(
    ("left", "right", "most", "low", "high", "rises", "falls"),
    [
        (1.0, 2.0, 0.0, -np.inf, np.inf, True, False),
        (2.0, 1.0, 0.0, -np.inf, np.inf, False, True),
        (1.0, 1.0, 0.0, -np.inf, np.inf, True, True),
        (1 + 2.0**-29, 1.0, 0.0, -np.inf, np.inf, True, True),  # equal as float32, as XGBoost compares them
        (1 + 2.0**-20, 1.0, 0.0, -np.inf, np.inf, False, True),
        (1.0, 1 + 2.0**-29, 0.0, -np.inf, np.inf, True, True),
        (1.0, 1 + 2.0**-20, 0.0, -np.inf, np.inf, True, False),
        (2.0, 1.0, 0.0, -np.inf, 1.0, True, True),  # equal within bounds
        (2.0, 1.0, 0.0, 2.0, np.inf, True, True),
        (2.0, 1.0, 0.0, 1.25, 1.75, False, True),
        (-2.0, -1.0, 1.0, -np.inf, np.inf, True, True),  # or as steps that are bounded
        (3.0, 2.0, 1.0, -np.inf, np.inf, True, True),
        (2.0, 0.5, 1.0, -np.inf, np.inf, False, True),
        (-2.0, -0.5, 1.0, -np.inf, np.inf, True, False),
    ],
    ids=str,
)
def test_weights_keep_to_a_direction_as_they_are_kept(
    left: float, right: float, most: float, low: float, high: float, rises: bool, falls: bool
) -> None:
    h = 2**30
    sums = np.array([[[int(-left * h), int(-right * h)], [h, h]]])
    cuts = Cuts(np.arange(2, dtype=np.float32), np.array([0, 2]), np.array([False]))
    rule = SplitRule(reg_lambda=0.0, min_child_weight=0.0, max_delta_step=most)
    bounds, before = np.array([[low, high]]), np.array([-(2.0**40)])  # whatever the children save, it is a gain
    for direction, fine in ((1, rises), (-1, falls), (0, True)):
        limits = Limits(bounds, before, np.int8([direction]))
        splits = best_splits(
            sums, np.zeros(1, np.int64), sums.sum(axis=2), cuts, rule, Units(1.0, 1.0), Threads(1), limits
        )
        assert splits.feature.tolist() == [0 if fine else -1]
        if not fine:
            continue
        saved = 0.0
        for weight in (left, right):
            kept = float(np.float32(np.clip(np.clip(weight, -(most or np.inf), most or np.inf), low, high)))
            saved -= h * (kept * kept - 2 * int(weight * h) / h * kept)
        assert splits.gain[0] == pytest.approx(saved + 2.0**40, rel=1e-12)


@pytest.mark.parametrize(("most", "right"), [(0.0, [0, 1, 3]), (0.5, [0]), (1.0, [0]), (2.0, [1]), (4.0, [0, 1, 3])])
def test_categories_are_sorted_by_weights_as_bounded_as_leaves(most: float, right: list[int]) -> None:
    """Of those that steps make equal the first is the lowest, as in XGBoost; one is tried on either side."""
    weight, h = np.array([-1, -4, 6, 2]), np.full(4, 8)
    cuts = Cuts(np.arange(4, dtype=np.float32), np.array([0, 4]), np.array([False]), np.array([True]))
    given: dict[str, Any] = {"max_cat_to_onehot": 1, "max_cat_threshold": 2, "reg_lambda": 0.0, "max_delta_step": most}
    rule, sums, bounds = SplitRule(**given), np.array([[-weight * h, h]]), np.array([[-np.inf, np.inf]])
    limits = Limits(bounds, rule.objective(sums[:, 0].sum(axis=1), sums[:, 1].sum(axis=1), bounds), np.int8([0]))
    units = Units(1.0, 1.0)
    splits = best_splits(sums, np.zeros(1, np.int64), sums.sum(axis=2), cuts, rule, units, Threads(1), limits)
    assert splits.categories[0].tolist() == right
    assert splits.right.tolist() == [[int((-weight * h)[right].sum()), 8 * len(right)]]
    frame = pd.DataFrame({"c": pd.Categorical(np.repeat(np.arange(4), 8))})
    theirs = xgboost.XGBRegressor(
        n_estimators=1, max_depth=1, learning_rate=1.0, base_score=0.0, enable_categorical=True, tree_method="hist",
        min_child_weight=1.0, **given,
    ).fit(frame, np.repeat(weight, 8))  # fmt: skip
    tree = trees_of(theirs.get_booster())[0]
    assert tree["categories"] == right and tree["loss_changes"][0] == pytest.approx(splits.gain[0])


def missing_apart(sums: NDArray[np.int64], cuts: Any) -> list[twins.Candidate]:
    """The missing go left, all others right: told apart from its mirror image by a direction only."""
    found = []
    for f in np.flatnonzero(cuts.missing & ~cuts.categorical):
        at = cuts.bin_offsets[f + 1] - 1
        if sums[:, at].any():
            found.append(twins.Candidate(int(f), -1, True, int(sums[0, at]), int(sums[1, at])))
    return found


# law: best_first
@given(
    seed=seeds,
    max_leaves=st.integers(0, 12),
    ask=st.integers(1, 3),
)
def test_splits_that_are_looked_at_ahead_leave_no_trace(seed: int, max_leaves: int, ask: int) -> None:
    """A whole tree of gains is hidden; what is learnt piece by piece leads to the order of one leaf at a time."""
    rng = np.random.default_rng(seed)
    size = 63
    gain = np.where(rng.random(size) < 0.7, rng.integers(1, 6, size), 0).astype(float)  # 0: no split
    # one leaf at a time: the largest gain first, of equals the one that came first
    expected, waiting, leaves = [], [(0, 0)] if gain[0] else [], 1
    following = 1
    while waiting and (not max_leaves or leaves < max_leaves):
        number, node = min(waiting, key=lambda own: (-gain[own[1]], own[0]))
        waiting.remove((number, node))
        expected.append(node)
        leaves += 1
        for side, child in enumerate((2 * node + 1, 2 * node + 2)):
            if child < size and gain[child]:
                waiting.append((following + side, child))
        following += 2
    # here: some of the open ones are split, and only then is known what their children gain
    left, known = np.full(size, -1, np.int32), {0: gain[0]} if gain[0] else {}
    while (order := best_first(left, gain, known, max_leaves)).open:
        for node in list(order.open)[:ask]:
            del known[node]
            left[node] = 2 * node + 1
            known |= {child: gain[child] for child in (2 * node + 1, 2 * node + 2) if child < size and gain[child]}
    assert order.split == expected


@pytest.mark.parametrize("max_leaves", [2, 3, 9, 20])
def test_only_nodes_that_split_by_categories_have_sets_of_them(
    monkeypatch: pytest.MonkeyPatch, max_leaves: int
) -> None:
    """A split that was looked at ahead and not taken is a leaf, and nothing of it goes to silos or into the model."""
    kept: list[tuple[GrowingTree, GrowingTree]] = []
    keep = GrowingTree.kept

    def noted(tree: GrowingTree, splits: list[int]) -> GrowingTree:
        kept.append((tree, keep(tree, splits)))
        return kept[-1][1]

    monkeypatch.setattr(GrowingTree, "kept", noted)
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 7, (400, 3))
    y = (-1.0) ** codes.sum(axis=1) + 0.5 * rng.normal(size=400)  # no column says anything alone
    frame = pd.DataFrame({f"c{f}": pd.Categorical(codes[:, f]) for f in range(3)})
    model = FedGBTRegressor(4, grow_policy="lossguide", max_leaves=max_leaves, max_depth=0, n_jobs=1).fit(frame, y)
    for (ahead, tree), written in zip(kept, trees_of(model.booster_), strict=True):
        inner = np.flatnonzero(tree.left >= 0).tolist()
        assert sorted(tree.categories) == inner == written["categories_nodes"] and len(inner) == max_leaves - 1
        assert all(len(array) == 2 * max_leaves - 1 for array in (tree.feature, tree.bin, tree.gain, tree.depth))
        assert len(ahead.left) >= len(tree.left)
    assert max_leaves < 9 or any(len(ahead.left) > len(tree.left) for ahead, tree in kept)
