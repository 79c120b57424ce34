"""Facts and questions of a training that contradict themselves are refused, each alone, and what is whole is not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from flat import changed, of_trees
from test_boosting import BEGIN, BINS, FEATURES, ROWS, STUMP, told

from fedtrees import DataError, ProtocolError, Silo
from fedtrees.core.protocol.holdout import HoldOut
from fedtrees.queries.hazards import MOST_BINS
from fedtrees.trees.kernels import histogram as histogram_kernels
from fedtrees.trees.kernels.histogram import STATISTIC_BITS_G
from fedtrees.trees.messages.histograms import Histograms
from fedtrees.trees.messages.risk_sets import Risks, RiskSums, TimeBins, TimeCounts
from fedtrees.trees.messages.training import Aim, Begin
from fedtrees.trees.messages.tree_errors import TreeErrors
from fedtrees.trees.model.flat_trees import cuts_up
from fedtrees.trees.model.gradient_scale import MOST_EXTRA, GradientScale
from fedtrees.trees.silo.state import TreeState

THREE, TWO = [0.0, 1.0, 2.0], np.zeros(2, np.float32)


@pytest.mark.parametrize(
    "fine",
    [
        {},
        {"objective": "multi:softprob", "base_margin": TWO},
        {"objective": "multi:softprob", "labels": THREE, "base_margin": np.zeros(3, np.float32)},
        {"objective": "reg:squarederror", "labels": None},
        {"objective": "tree:gini", "labels": [0.0, 1.0]},
        {"bootstrap": True, "subsample": 16.0},
        {"bootstrap": True, "class_draws": np.array([1.0, 4.0])},
        {"subsample": 1e-9},
    ],
    ids=str,
)
def test_beginnings_that_are_whole(fine: dict[str, Any]) -> None:
    assert told(changed(BEGIN, **fine)).states.find(TreeState) is not None


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"labels": THREE}, "margins of 1 outputs are not those of binary:logistic of 3 labels"),
        ({"labels": []}, "0 labels are not those of binary:logistic"),
        ({"objective": "reg:squarederror"}, "2 labels are not those of reg:squarederror"),
        ({"objective": "tree:gini", "labels": []}, "0 labels are not those of tree:gini"),
        ({"objective": "multi:softprob", "base_margin": np.zeros(3, np.float32)}, "margins of 3 outputs"),
        ({"objective": "multi:softprob"}, "margins of 1 outputs are not those of multi:softprob of 2 labels"),
        ({"objective": "reg:squarederror", "labels": None, "base_margin": TWO}, "margins of 2 outputs .* of 1 targets"),
        ({"subsample": 1.5}, "rows are drawn several times, or by class, and without bootstrap"),
        ({"class_draws": np.ones(2)}, "rows are drawn several times, or by class, and without bootstrap"),
        ({"subsample": 0.0}, "trees a round, of a share of"),
        ({"bootstrap": True, "subsample": 16.01}, "trees a round, of a share of"),
        ({"bootstrap": True, "class_draws": np.ones(3)}, "rows of 2 classes are drawn as those of 3"),
        ({"bootstrap": True, "class_draws": np.array([1.0, 4.01])}, "or too often"),
        ({"bootstrap": True, "class_draws": np.array([1.0, 0.0])}, "or too often"),
        ({"parallel": 0}, "0 trees a round"),
        ({"objective": "reg:nothing"}, "not known here"),
    ],
    ids=str,
)
def test_beginnings_that_contradict_themselves(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(ProtocolError, match=text):
        told(changed(BEGIN, **wrong))


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"value": np.zeros(2, np.float32)}, "trees whose arrays have other lengths than their nodes"),
        ({"value": np.zeros(4, np.float32)}, "trees whose arrays have other lengths than their nodes"),
        ({"steps": np.zeros(1, np.float32)}, "1 steps of weights, for a loss that takes 0"),
        ({"ends": np.int32([3, 3])}, "of other outputs than the cut points were for"),
        ({"ends": np.zeros(0, np.int32)}, "of other outputs than the cut points were for"),
        ({"ends": np.int32([2])}, "other lengths"),
    ],
    ids=str,
)
def test_finished_trees_that_contradict_themselves(wrong: dict[str, Any], text: str) -> None:
    silo = told(BEGIN)
    STUMP.fact().apply(silo)
    with pytest.raises(ProtocolError, match=text):
        changed(STUMP.fact(), **wrong).apply(silo)
    assert len(silo.states.find(TreeState).forest) == 1


def question(**other: Any) -> Histograms:
    """Of two features of the root."""
    fields: dict[str, Any] = {"columns": np.int32([0, 1]), "column_ends": np.int32([2]), "column_bins": np.int32([9])}
    return changed(STUMP.question([0]), **fields | other)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"column_bins": np.int32([8])}, "of features that there are not, or of other bins"),
        ({"column_bins": np.int32([9, 9])}, "of other trees' features"),
        ({"columns": np.int32([1, 0])}, "of features that there are not, or of other bins"),
        ({"columns": np.int32([0, 0]), "column_bins": np.int32([10])}, "of features that there are not, or of other"),
        ({"columns": np.int32([0, FEATURES])}, "of features that there are not, or of other bins"),
        ({"columns": np.int32([-1, 1])}, "of features that there are not, or of other bins"),
        ({"column_ends": np.int32([1])}, "of other trees' features"),
        ({"build_ends": np.int32([0])}, "of no nodes, or of other trees'"),
        ({"build": np.zeros(0, np.int32), "build_ends": np.int32([0])}, "of no nodes, or of other trees'"),
        ({"exponents": GradientScale(0, -2, MOST_EXTRA + 1)}, "more digits than a word holds"),
        ({"exponents": GradientScale(0, -2, -STATISTIC_BITS_G - 1)}, "more digits than a word holds"),
        ({"statistics": 3}, "of other bins than those of the cut points"),
        ({"features": FEATURES + 1}, "of other bins than those of the cut points"),
        ({"bins": BINS + 1}, "of other bins than those of the cut points"),
        ({"statistics": 1}, "of other bins than those of the cut points"),
        ({"features": FEATURES - 1}, "of other bins than those of the cut points"),
        ({"bins": BINS - 1}, "of other bins than those of the cut points"),
        ({"column_bins": np.int32([10])}, "of features that there are not, or of other bins"),
        ({"column_bins": np.zeros(0, np.int32)}, "of other trees' features"),
    ],
    ids=str,
)
def test_questions_that_contradict_themselves(wrong: dict[str, Any], text: str) -> None:
    for extra in (0, MOST_EXTRA, -STATISTIC_BITS_G):
        assert len(question(exponents=GradientScale(0, -2, extra)).ask(told(BEGIN))) == 18
    with pytest.raises(ProtocolError, match=text):
        question(**wrong).ask(told(BEGIN))


@pytest.mark.parametrize(("statistics", "sums"), [(1, 1), (2, 2), (3, 1), (7, 1)])
def test_a_row_adds_to_its_gradient_and_hessian_or_to_the_weight_of_its_class(statistics: int, sums: int) -> None:
    """A message has room for so many integers of a row: one more a feature would be bytes that nobody needs."""
    whole = changed(STUMP.question([0]), statistics=statistics)
    assert whole.touches() == sums * FEATURES and whole.size() == statistics * BINS
    assert question(statistics=statistics).touches() == sums * 2
    assert question(statistics=statistics).size() == statistics * 9
    nobody = changed(STUMP.question([]), statistics=statistics)
    assert nobody.touches() == nobody.size() == 0


TIMES = np.uint32([10, 20])


def a_silo_of_times(*facts: Any) -> Silo:
    silo = Silo("a", told(BEGIN).table.X, np.arange(1.0, ROWS + 1), n_jobs=1)
    for fact in (changed(BEGIN, objective="survival:cox", labels=None), *facts):
        fact.apply(silo)
    return silo


def test_bins_of_time_rise_and_are_as_many_as_there_may_be() -> None:
    for fine in ([0], [3, 4], range(MOST_BINS)):
        assert len(a_silo_of_times(TimeBins(np.uint32(fine))).state_of(TreeState, "").gradients.times) == len(fine)
    for wrong in ([], [4, 4], [4, 3], [1, 2, 2], [1, 3, 2], range(MOST_BINS + 1)):
        with pytest.raises(ProtocolError, match="bins of time that are none"):
            a_silo_of_times(TimeBins(np.uint32(wrong)))


@pytest.mark.parametrize(
    ("asked", "fine"),
    [
        ((TIMES, 31, 31), True),
        ((TIMES, 31, 16), True),
        ((TIMES, 0, 0), True),
        ((TIMES[:1], 18, 0), True),  # as many counts as an answer may have
        ((TIMES[:1], 19, 0), False),
        ((TIMES, 18, 0), False),
        ((TIMES, 32, 32), False),
        ((TIMES, 32, 31), False),
        ((TIMES, 4, 5), False),
        ((TIMES, 4, -1), False),
        ((TIMES[:0], 4, 4), False),
    ],
    ids=str,
)
def test_times_are_counted_in_parts_that_there_are(asked: tuple[Any, int, int], fine: bool) -> None:
    silo, question = a_silo_of_times(), TimeCounts(ROWS, *asked)
    if fine:
        assert len(question.ask(silo)) == question.size() == len(asked[0]) << (asked[1] - asked[2])
    else:
        with pytest.raises(ProtocolError, match="times were asked for in parts that are none"):
            question.ask(silo)


def test_times_are_counted_where_they_fall() -> None:
    """The keys of float32 numbers from 1 on: of each interval's parts, the first key in and the last out."""
    keys = np.arange(1, ROWS + 1, dtype=np.float32).view(np.uint32).astype(np.int64)
    silo = a_silo_of_times()
    for low in (keys[[0, 20]], keys[[0, 20]] + 1, keys[[3]], keys[[3]] - 1, keys[[39]] + 1):
        for log_keys, log_child in ((23, 20), (4, 2), (0, 0), (31, 25)):
            counts = np.zeros((len(low), 1 << (log_keys - log_child)), int)
            for key in keys:
                at = np.flatnonzero(low <= key)[-1:]
                if len(at) and key - low[at[0]] < 1 << log_keys:
                    counts[at[0], (key - low[at[0]]) >> log_child] += 1
            question = TimeCounts(ROWS, low.astype(np.uint32), log_keys, log_child)
            assert question.read(question.ask(silo)).tolist() == counts.tolist()


def test_risks_are_those_of_the_bins_of_time() -> None:
    silo = a_silo_of_times(TimeBins(TIMES))
    assert len(RiskSums(ROWS, 2).ask(silo)) == RiskSums(ROWS, 2).size()
    Risks(np.ones(2), np.ones(2)).apply(silo)
    for bins in (0, 1, 3):
        with pytest.raises(ProtocolError, match="risks were asked for before their bins of time, or in others"):
            RiskSums(ROWS, bins).ask(silo)
    for rates, squares in ((1, 1), (3, 3), (2, 1), (1, 2), (2, 3), (3, 2)):
        with pytest.raises(ProtocolError, match="risks before their bins of time, or of others"):
            Risks(np.ones(rates), np.ones(squares)).apply(silo)
    with pytest.raises(ProtocolError, match="risks were asked for before"):
        RiskSums(ROWS, 2).ask(a_silo_of_times())


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, 1.5, float("nan")])
def test_a_share_of_no_rows_or_of_all_is_not_held_out(share: float) -> None:
    silo = Silo("a", np.zeros((9, 1)), np.arange(9))
    with pytest.raises(ProtocolError, match=r"a share of .* of the rows was to be held out"):
        HoldOut(share, 0).apply(silo)
    assert silo.table.n_rows == 9 and not silo.held_out
    for fine in (1e-12, 1 - 1e-12):
        HoldOut(fine, 0).apply(silo)
        silo.forget()


def test_ends_rise_to_the_length_and_are_as_many_as_the_parts() -> None:
    fine = [([], 0, 0), ([0], 1, 0), ([2, 2, 5], 3, 5), ([0, 0, 5], 3, 5)]
    wrong = [([], 0, 1), ([], 1, 0), ([5], 2, 5), ([2, 5], 2, 6), ([5, 2, 5], 3, 5), ([-1, 5], 2, 5), ([6, 5], 2, 5)]
    assert all(cuts_up(np.array(ends, np.int32), parts, length) for ends, parts, length in fine)
    assert not any(cuts_up(np.array(ends, np.int32), parts, length) for ends, parts, length in wrong)


def test_targets_of_an_aim_are_those_of_its_loss() -> None:
    bounds = Silo("a", np.zeros((3, 1)), np.array([[1, np.inf], [2, 2], [0, 1]]))
    Aim("survival:aft", {}, None).apply(bounds)
    assert bounds.open_above
    bounds.forget()
    with pytest.raises(DataError, match="NaN, infinity or None"):
        Aim("reg:squarederror", {}, None).apply(bounds)
    assert not bounds.open_above
    margins = Silo("a", np.zeros((3, 1)), np.arange(3), base_margin=[0.0, 1, 2])
    Aim("reg:squarederror", {}, None).apply(margins)
    with pytest.raises(DataError, match="silo 'a' has a base_margin, and trees by impurity start from none"):
        Aim("tree:squares", {}, None).apply(margins)
    assert isinstance(told(BEGIN).states.find(TreeState).terms, Begin) and ROWS == 40


def test_errors_of_a_tree_are_those_of_one_target() -> None:
    """Of bounds of times there are two, and of two targets two trees."""
    query = of_trees(
        TreeErrors,
        what="exponents",
        rows=ROWS,
        grid=GradientScale(2, 0),
        **STUMP.arrays(),
        value=np.zeros(3, np.float32),
    )
    X, bounds = told(BEGIN).table.X, np.ones((ROWS, 2))
    for objective, outputs in (("survival:aft", 1), ("reg:squarederror", 2)):
        silo = Silo("a", X, bounds, n_jobs=1)
        Aim(objective, {}, None).apply(silo)
        changed(BEGIN, objective=objective, labels=None, base_margin=np.zeros(outputs, np.float32)).apply(silo)
        with pytest.raises(ProtocolError, match="errors of a tree were asked for of several"):
            query.ask(silo)
    fine = Silo("a", X, np.arange(ROWS), n_jobs=1)
    changed(BEGIN, objective="reg:squarederror", labels=None).apply(fine)
    assert query.ask(fine).sum() == ROWS


@pytest.mark.parametrize("count", [1, 2, 15, 16])
def test_words_of_rows_that_count_several_times_are_multiples(count: int) -> None:
    words = np.array([[5, -3, 1 << 40, 7]])
    histogram_kernels.repeat(words, np.array([1, count, count, 3]), np.array([[0, 1], [1, 3]]))
    assert words.tolist() == [[5, -3 * count, (1 << 40) * count, 7]]
