"""What trees and losses take at the most, and refuse one beyond: the largest legal values are legal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fedtrees import (
    DataError,
    FedForestClassifier,
    FedGBTRanker,
    FedGBTRegressor,
    FedTreeClassifier,
    LocalFederation,
    ParameterError,
    ProtocolError,
    Silo,
)
from fedtrees.trees.losses import loss_named
from fedtrees.trees.losses.tables import MOST_CLASSES
from fedtrees.trees.messages.earlier_model import EarlierModel
from fedtrees.trees.messages.training import Begin
from fedtrees.trees.model.cuts import NO_BIN, Cuts
from fedtrees.trees.model.flat_trees import FlatTrees
from fedtrees.trees.model.row_draws import MOST_SHARE, RowDraws
from fedtrees.trees.model.value_trees import MOST_CODES
from fedtrees.trees.silo.state import TreeState

# -- trees over values ----------------------------------------------------------------------------------------


def inherited(**other: Any) -> EarlierModel:
    """Two trees of two features: the first asks for categories at its root and below, the second is a leaf."""
    fields: dict[str, Any] = {
        "features": 2, "base_margin": np.zeros(2, np.float32), "ends": np.array([5, 6]), "output": np.int32([1, 0]),
        "feature": np.int32([0, 1, -1, -1, -1, -1]), "value": np.zeros(6, np.float32),
        "default_left": np.zeros(6, bool), "left": np.int32([1, 3, -1, -1, -1, -1]),
        "right": np.int32([2, 4, -1, -1, -1, -1]), "by_category": np.array([0, 1]), "categories": np.int32([0, 7, 3]),
        "category_ends": np.array([2, 3]),
    }  # fmt: skip
    return EarlierModel(**fields | other)


FINE: list[dict[str, Any]] = [
    {},
    {"categories": np.int32([0, MOST_CODES - 1, 3])},
    {"by_category": np.array([1]), "categories": np.int32([3]), "category_ends": np.array([1])},
    {"category_ends": np.array([3, 3])},
    {"output": np.int32([1, 1])},
]
WRONG: list[dict[str, Any]] = [
    {"categories": np.int32([0, MOST_CODES, 3])},
    {"categories": np.int32([-1, 7, 3])},
    {"by_category": np.array([1, 0])},
    {"by_category": np.array([1, 1])},
    {"by_category": np.array([-1, 1])},
    {"by_category": np.array([0, 2])},  # a leaf
    {"by_category": np.array([0, 6])},
    {"category_ends": np.array([2, 2])},
    {"category_ends": np.array([3, 2])},
    {"category_ends": np.array([3])},
    {"output": np.int32([2, 0])},
    {"output": np.int32([-1, 0])},
    {"output": np.int32([1])},
    {"features": 3},
    {"feature": np.int32([0, 2, -1, -1, -1, -1])},
    {"right": np.int32([2, 5, -1, -1, -1, -1])},  # a node of the next tree
    {"left": np.int32([1, 1, -1, -1, -1, -1])},
    {"ends": np.array([5, 5])},
    {"ends": np.array([6])},
    {"value": np.zeros(5, np.float32)},
]


@pytest.mark.parametrize("fine", FINE, ids=str)
def test_trees_of_an_earlier_model(fine: dict[str, Any]) -> None:
    inherited(**fine).check(2)


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_trees_of_no_earlier_model(wrong: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="of an earlier model"):
        inherited(**wrong).check(2)


def test_trees_of_an_earlier_model_have_the_outputs_of_the_training() -> None:
    """Rows' margins have as many places, and no tree may add to another."""
    for outputs, fine in ((2, True), (1, False), (3, False)):
        silo = Silo("a", np.zeros((3, 2)), np.zeros((3, outputs)) if outputs > 1 else np.zeros(3))
        inherited().apply(silo)
        begin = Begin(
            "reg:squarederror", None, np.zeros(outputs, np.float32), np.float32([1, 1]), np.array([0, 1, 2]),
            np.zeros(2, bool),
        )  # fmt: skip
        if fine:
            begin.apply(silo)
            assert silo.states.find(TreeState).margin.shape == (2, 3)
        else:
            with pytest.raises(ProtocolError, match="trees of an earlier model of other outputs"):
                begin.apply(silo)


# -- cut points -----------------------------------------------------------------------------------------------


def cuts(values: Any, offsets: Any, missing: Any) -> Cuts:
    return Cuts(np.array(values, np.float32), np.array(offsets), np.array(missing, bool))


def test_as_many_bins_as_can_be_numbered() -> None:
    for n, missing, fine in (
        (NO_BIN, False, True),
        (NO_BIN - 1, True, True),
        (NO_BIN, True, False),
        (NO_BIN + 1, False, False),
    ):
        own = cuts(np.arange(n), [0, n], [missing])
        if fine:
            own.check(1)
        else:
            with pytest.raises(ProtocolError, match="more of a feature than its bins can be numbered"):
                own.check(1)


@pytest.mark.parametrize(
    ("given", "fine"),
    [
        (([1, 2, 1], [0, 2, 3], [False, False]), True),  # they rise within each feature
        (([1, 1, 1], [0, 2, 3], [False, False]), False),
        (([2, 1, 3], [0, 2, 3], [False, False]), False),
        (([1, 2], [0, 2, 2], [False, True]), True),  # one that is missing everywhere
        (([1, 2], [0, 2, 2], [False, False]), False),  # one without any bin
        (([1, 2], [0, 3, 2], [False, True]), False),
        (([1, 2], [1, 2, 2], [False, True]), False),
        (([1, 2, 3], [0, 1, 2], [False, True]), False),
        (([1, 2], [0, 2], [False]), False),
    ],
)
def test_cuts_rise_and_every_feature_has_a_bin(given: Any, fine: bool) -> None:
    if fine:
        cuts(*given).check(2)
    else:
        with pytest.raises(ProtocolError, match="cut points"):
            cuts(*given).check(2)


@pytest.mark.parametrize("ends", [[3, 2], [3, 3], [-1, 3], [0, 3], [3]], ids=str)
def test_trees_that_end_before_they_begin_are_none(ends: list[int]) -> None:
    plain = cuts([1, 2], [0, 2], [False])
    stump = np.int32([0, -1, -1]), np.zeros(3, np.int32), np.zeros(3, bool), np.int32([1, -1, -1])
    assert len(FlatTrees(np.int32([3]), *stump).shapes(plain)) == 1
    if ends != [3]:
        with pytest.raises(ProtocolError):
            FlatTrees(np.int32(ends), *stump).shapes(plain)


# -- draws, classes, relevances, parameters -------------------------------------------------------------------


def test_a_tree_draws_up_to_sixteen_times_the_rows() -> None:
    X, y = np.arange(20.0)[:, None], np.arange(20) % 2
    for draws, fine in ((MOST_SHARE * 20, True), (MOST_SHARE * 20 + 1, False)):
        if fine:
            FedForestClassifier(1, max_samples=draws, max_depth=1).fit(X, y)
        else:
            with pytest.raises(DataError, match=r"trees cannot draw 321 rows each: at the most 16 times the rows"):
                FedForestClassifier(1, max_samples=draws, max_depth=1).fit(X, y)
    RowDraws(1, 0, 0, float(MOST_SHARE)).check(0)
    for trees, share in ((1, np.nextafter(MOST_SHARE, 17)), (1, 0.0), (0, 1.0), (1, float("nan"))):
        with pytest.raises(ProtocolError, match="trees a round, of a share of"):
            RowDraws(trees, 0, 0, float(share)).check(0)


def test_as_many_classes_as_rows_can_tell() -> None:
    for classes, fine in ((MOST_CLASSES, True), (MOST_CLASSES + 1, False)):
        X, y = np.arange(classes) % 7, np.arange(classes)
        if fine:
            model = FedTreeClassifier(max_depth=1).fit(X[:, None], y)
            assert model.predict_proba([[0.0]]).shape == (1, classes)
        else:
            with pytest.raises(DataError, match=f"y holds {classes} classes; trees by impurity are for {MOST_CLASSES}"):
                FedTreeClassifier(max_depth=1).fit(X[:, None], y)


@pytest.mark.parametrize(("relevance", "fine"), [(31, True), (32, False), (0.5, False)])
def test_relevances_that_are_worth_a_power_of_two(relevance: float, fine: bool) -> None:
    X, y, qid = np.arange(6.0)[:, None], np.array([0, relevance, 0, 1, 2, 3]), np.zeros(6, int)
    assert np.isfinite(FedGBTRanker(1, ndcg_exp_gain=False).fit(X, y, qid=qid).predict(X)).all()
    if fine:
        assert np.isfinite(FedGBTRanker(1).fit(X, y, qid=qid).predict(X)).all()
    else:
        with pytest.raises(DataError, match=r"y, row 1: no whole number up to 31"):
            FedGBTRanker(1).fit(X, y, qid=qid)


@pytest.mark.parametrize(
    ("objective", "given", "fine"),
    [
        ("rank:ndcg", {"lambdarank_unbiased": True, "lambdarank_num_pair_per_sample": 4096}, True),
        ("rank:ndcg", {"lambdarank_unbiased": True, "lambdarank_num_pair_per_sample": 4097}, False),
        ("rank:ndcg", {"lambdarank_num_pair_per_sample": 1_000_000}, True),
        ("rank:ndcg", {"lambdarank_num_pair_per_sample": 1_000_001}, False),
        ("rank:ndcg", {"lambdarank_num_pair_per_sample": 0}, False),
        ("rank:ndcg", {"lambdarank_num_pair_per_sample": 1.5}, False),
        ("reg:tweedie", {"tweedie_variance_power": 1.0}, True),
        ("reg:tweedie", {"tweedie_variance_power": np.nextafter(2, 1)}, True),
        ("reg:tweedie", {"tweedie_variance_power": 2.0}, False),
        ("reg:tweedie", {"tweedie_variance_power": np.nextafter(1, 0)}, False),
        ("count:poisson", {"max_delta_step": 0.0}, True),
        ("count:poisson", {"max_delta_step": 80.0}, True),
        ("count:poisson", {"max_delta_step": 80.1}, False),
        ("count:poisson", {"max_delta_step": -0.1}, False),
        ("reg:quantileerror", {"quantile_alpha": 0.0}, False),
        ("reg:quantileerror", {"quantile_alpha": 1.0}, False),
        ("reg:quantileerror", {"quantile_alpha": [0.5, 1.0]}, False),
        ("reg:quantileerror", {"quantile_alpha": []}, False),
        ("reg:quantileerror", {"quantile_alpha": 1e-9}, True),
        ("reg:pseudohubererror", {"huber_slope": 0.0}, False),
        ("reg:pseudohubererror", {"huber_slope": 1e-9}, True),
        ("survival:aft", {"aft_loss_distribution_scale": 1e-6}, True),
        ("survival:aft", {"aft_loss_distribution_scale": 9e-7}, False),
        ("survival:aft", {"aft_loss_distribution_scale": 1e6}, True),
        ("survival:aft", {"aft_loss_distribution_scale": 1.1e6}, False),
        ("binary:logistic", {"scale_pos_weight": 0.0}, False),
        ("binary:logistic", {"scale_pos_weight": 2.0**64}, True),
        ("binary:logistic", {"scale_pos_weight": 2.0**65}, False),
    ],
)
def test_parameters_of_objectives_at_their_ends(objective: str, given: dict[str, Any], fine: bool) -> None:
    if fine:
        loss_named(objective, given)
    else:
        with pytest.raises(ParameterError, match=next(iter(sorted(given, key=len, reverse=True)))):
            loss_named(objective, given)


@pytest.mark.parametrize(
    ("objective", "fine", "wrong"),
    [
        ("reg:logistic", [0.0, 1.0], [np.nextafter(np.float32(1), np.float32(2)), -1e-30]),
        ("reg:squaredlogerror", [np.nextafter(np.float32(-1), np.float32(0)), 0.0], [-1.0, -2.0]),
        ("count:poisson", [0.0, 1.0], [-1e-30]),
        ("reg:gamma", [1e-30, 1.0], [0.0, -1.0]),
        ("reg:tweedie", [0.0, 1.0], [-1e-30]),
    ],
)
def test_targets_of_objectives_at_their_ends(objective: str, fine: list[float], wrong: list[float]) -> None:
    X = np.arange(4.0)[:, None]
    y = np.float32([fine[0], fine[1], fine[0], fine[1]])
    assert np.isfinite(FedGBTRegressor(1, objective=objective).fit(X, y).predict(X)).all()
    for value in wrong:
        with pytest.raises(DataError, match=r"^silo 'all': y, row 2: "):
            FedGBTRegressor(1, objective=objective).fit(X, np.float32([fine[0], fine[1], value, fine[1]]))


def test_bounds_of_times_at_their_ends() -> None:
    X = np.arange(4.0)[:, None]
    fine = np.array([[0, 1e-30], [1, 1], [0, np.inf], [2, 3]])
    assert np.isfinite(FedGBTRegressor(1, objective="survival:aft").fit(X, fine).predict(X)).all()
    for wrong, what in (([0, 0], "an upper bound of 0"), ([2, 1], "above the upper one"), ([-1e-30, 1], "below 0")):
        y = fine.copy()
        y[2] = wrong
        with pytest.raises(DataError, match=f"^silo 'all': y, row 2: .*{what}"):
            FedGBTRegressor(1, objective="survival:aft").fit(X, y)


def test_as_many_rows_as_the_least_of_a_bin_are_one_bin() -> None:
    X, y = np.array([[1.0], [2.0]]), [0.0, 1.0]
    model = FedGBTRegressor(1, min_bin_rows=2, min_child_weight=0, base_score=0.0).fit(X, y)
    assert len(set(model.predict(X).tolist())) == 1
    with pytest.raises(DataError, match=r"^min_bin_rows=3: all silos together hold 2 rows"):
        FedGBTRegressor(1, min_bin_rows=3).fit(X, y)


def test_no_row_of_any_silo_that_counts_is_refused() -> None:
    silos = Silo("a", [[1.0], [2.0]], [0.0, 1.0]), Silo("b", np.zeros((0, 1)), [])
    with pytest.raises(DataError, match="sample_weight is zero in every row of every silo; some row must count"):
        FedGBTRegressor(1, weighting={"a": 0.0, "b": 1.0}).fit_federation(LocalFederation(silos))
