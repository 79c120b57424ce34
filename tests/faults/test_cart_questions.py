"""What silos refuse to answer of forests and AdaBoost: whatever a server asks, rows stay within their memory."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from flat import ARRAYS, changed, of_trees
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import r2_score
from test_boosting import BEGIN, BINS, FEATURES, ROWS, Growing, a_silo

from fedtrees import (
    Availability,
    DataError,
    FedAdaBoostClassifier,
    FedAdaBoostRegressor,
    FedForestClassifier,
    FedTreeClassifier,
    FedTreeRegressor,
    LocalFederation,
    ProtocolError,
    Silo,
)
from fedtrees.core.data.record import decode, encode
from fedtrees.core.protocol.query import Fact, Query
from fedtrees.trees.messages.histograms import Histograms
from fedtrees.trees.messages.node_histograms import NodeHistograms
from fedtrees.trees.messages.out_of_bag import OutOfBag
from fedtrees.trees.messages.training import Begin
from fedtrees.trees.messages.tree_errors import TreeErrors
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.row_draws import RowDraws

STUMP = Growing([0, -1, -1], [1, 0, 0], [True, False, False], [1, -1, -1])
CLASSES = ["a", "b", "c"]


def classes(**other: Any) -> Begin:
    return msgspec.structs.replace(BEGIN, objective="tree:gini", labels=CLASSES, **other)


def a_silo_of(*facts: Fact) -> Silo:
    silo = a_silo()
    y = np.array(CLASSES)[np.arange(ROWS) % 3]
    silo = Silo("a", silo.table.X, y, n_jobs=1)
    for fact in facts:
        fact.apply(silo)
    return silo


def forest_question(**other: Any) -> NodeHistograms:
    fields: dict[str, Any] = {
        "rows": ROWS, "features": FEATURES, "bins": BINS, "exponents": GradientScale(0, 0, -19),
        **STUMP.arrays(), "build": np.int32([1, 2]), "build_ends": np.int32([2]), "columns": np.int32([0, 1, 1, 2]),
        "column_bins": np.int32([9, 9]), "statistics": 3,
    }  # fmt: skip
    return of_trees(NodeHistograms, **fields | other)


def tree_question() -> Histograms:
    """Of two trees, and of some features of each."""
    stumps = {name: np.concatenate([own, own]) for name, own in STUMP.arrays().items()}
    return of_trees(
        Histograms, rows=ROWS, features=FEATURES, bins=BINS, exponents=GradientScale(0, 0, -19), ends=np.int32([3, 6]),
        **stumps, build=np.int32([1, 2, 0]), build_ends=np.int32([2, 3]), columns=np.int32([0, 1, 2]),
        column_ends=np.int32([2, 3]), column_bins=np.int32([9, 5]), statistics=3,
    )  # fmt: skip


def error_question(**other: Any) -> TreeErrors:
    fields: dict[str, Any] = {
        "what": "exponents", "rows": ROWS, "grid": GradientScale(2, 0), **STUMP.arrays(),
        "value": np.zeros(3, np.float32),
    }  # fmt: skip
    return of_trees(TreeErrors, **fields | other)


def test_a_nodes_own_features_are_told_node_after_node() -> None:
    silo, question = a_silo_of(classes()), forest_question()
    answer = question.ask(silo)
    assert len(answer) == question.size() == 3 * 18 and answer.sum() == 3 * 0 + 2 * sum_of_units(silo)
    copy: Any = decode(encode(question), Query)
    assert copy.ask(silo).tolist() == answer.tolist()


def sum_of_units(silo: Silo) -> int:
    """What all rows add to one feature: 1, or 2 where the class stands in the lower half of a word."""
    y = silo.targets(CLASSES)
    return int(np.where(y % 2 == 1, 2, 1).sum())


WRONG: list[dict[str, Any]] = [
    {"columns": np.int32([0, 1, 1, 3])},
    {"columns": np.int32([0, 1, 2, 1])},
    {"columns": np.int32([0, -1, 1, 2])},
    {"columns": np.int32([0, 1, 1])},
    {"columns": np.zeros(0, np.int32)},
    {"column_bins": np.int32([9, 8])},
    {"column_bins": np.int32([18])},
    {"build": np.int32([1, 1])},
    {"build": np.int32([1, 3])},
    {"build": np.zeros(0, np.int32), "build_ends": np.int32([0])},
    {"build_ends": np.int32([1])},
    {"build_ends": np.int32([1, 2])},
    {"build_ends": np.zeros(0, np.int32)},
    {"statistics": 2},
    {"bins": BINS + 1},
    {"exponents": GradientScale(0, 0, 39)},
    {"ends": np.int32([2])},
    {"left": np.int32([5, -1, -1])},
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: "+".join(wrong))
def test_questions_of_forests_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        forest_question(**wrong).ask(a_silo_of(classes()))


@st.composite
def damaged(draw: st.DrawFn, question: Histograms) -> Histograms:
    """A question some of whose arrays hold another number, or lack one, or hold one more."""
    now = {name: getattr(question, name, None) for name in question.__struct_fields__}
    now |= {name: getattr(question.trees, name) for name in ARRAYS}
    arrays = [name for name, own in now.items() if isinstance(own, np.ndarray)]
    fields: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(arrays), min_size=1, max_size=3, unique=True)):
        values = now[name].tolist()
        number = draw(st.sampled_from([-(2**31), -2, -1, *range(10), 18, 1000, 2**31 - 1]))
        how = draw(st.sampled_from(["another", "one more", "one less"]))
        if how == "another" and values:
            values[draw(st.integers(0, len(values) - 1))] = number
        elif how == "one less":
            values = values[:-1]
        else:
            values.append(number)
        fields[name] = np.array(values).astype(now[name].dtype)
    return changed(question, **fields)


@given(st.data())
def test_damaged_questions_are_refused_or_answered_whole(data: st.DataObject) -> None:
    of_nodes = data.draw(st.booleans())
    question = data.draw(damaged(forest_question() if of_nodes else tree_question()))
    silo = a_silo_of(classes(parallel=1 if of_nodes else 2))
    try:
        answer = question.ask(silo)
    except ProtocolError:
        return
    assert len(answer) == question.size()
    assert np.concatenate([part.copy() for part in question.ask_in_parts(silo)]).tolist() == answer.tolist()


def left_out_question(**other: Any) -> OutOfBag:
    fields: dict[str, Any] = {
        "rows": ROWS, "labels": CLASSES, "draws": [RowDraws(1, 0, 0, 1.0)], "ends": np.array([3]),
        "feature": np.int32([0, -1, -1]), "threshold": np.array([0.5, -2, -2]), "missing_left": np.array([True] * 3),
        "left": np.int32([1, -1, -1]), "right": np.int32([2, -1, -1]), "values": np.eye(3), "centre": np.zeros(0),
    }  # fmt: skip
    return OutOfBag(**fields | other)


def test_questions_before_the_cut_points_are_refused() -> None:
    for question in (forest_question(), error_question()):
        with pytest.raises(ProtocolError):
            question.ask(a_silo_of())


TWO_TREES: dict[str, Any] = {  # the second is a leaf alone
    "draws": [RowDraws(2, 0, 0, 1.0)], "ends": np.array([3, 4]), "feature": np.int32([0, -1, -1, -1]),
    "threshold": np.array([0.5, -2, -2, -2]), "missing_left": np.array([True] * 4), "values": np.ones((4, 3)),
    "left": np.int32([1, -1, -1, -1]), "right": np.int32([2, -1, -1, -1]),
}  # fmt: skip
NOT_LEFT_OUT: list[dict[str, Any]] = [
    {"draws": [RowDraws(2, 0, 0, 1.0)]},
    {"draws": []},
    {"draws": [RowDraws(1, 0, 0, 17.0)]},
    {"draws": [RowDraws(1, 0, 0, 0.0)]},
    {"draws": [RowDraws(1, 0, 0, 1.0, np.ones(2))]},
    {"draws": [RowDraws(1, 0, 0, 1.0, np.array([1.0, np.nan, 1.0]))]},
    {"ends": np.array([2])},
    {"ends": np.zeros(0, np.int64)},
    {"feature": np.int32([FEATURES, -1, -1])},
    {"left": np.int32([0, -1, -1])},  # its own child
    {"right": np.int32([3, -1, -1])},
    {"left": np.int32([-1, -1, -1])},
    {"values": np.eye(3)[:2]},
    {"values": np.ones((3, 2))},
    {"threshold": np.zeros(2)},
    {"missing_left": np.ones(4, bool)},
    {"values": np.ones((3, 4))},
    {"labels": None, "classes": [2, 2], "values": np.ones((3, 3))},
    TWO_TREES | {"right": np.int32([3, -1, -1, -1])},  # the other tree's
    TWO_TREES | {"left": np.int32([3, -1, -1, -1])},
    TWO_TREES | {"feature": np.int32([-1, -1, -1, 0]), "right": np.int32([-1, -1, -1, 1])},
    TWO_TREES | {"ends": np.array([3, 3])},
    TWO_TREES | {"ends": np.array([4, 4])},
    TWO_TREES | {"ends": np.array([5, 4])},
    TWO_TREES | {"ends": np.array([0, 4])},
]


@pytest.mark.parametrize("wrong", NOT_LEFT_OUT, ids=lambda wrong: "+".join(wrong))
def test_rows_left_out_need_whole_trees_and_draws(wrong: dict[str, Any]) -> None:
    nothing = Silo("b", np.zeros((0, FEATURES)), np.array([], str), n_jobs=1)  # no row that could leave the memory
    left_out_question(**{} if len(wrong) == 1 else TWO_TREES).predictions(nothing)
    for silo in (nothing, a_silo_of(classes())):
        with pytest.raises(ProtocolError):
            left_out_question(**wrong).ask(silo)


def test_rows_left_out_are_counted() -> None:
    silo, question = a_silo_of(classes()), left_out_question()
    n, right = question.ask(silo).tolist()
    assert 0 < n < ROWS and 0 <= right <= n and question.read(np.array([0, 0])) == (None, 0)
    copy: Any = decode(encode(question), Query)
    assert copy.ask(silo).tolist() == [n, right] and question.read(np.array([n, right])) == (right / n, n)
    assert question.ask(a_silo_of()).tolist() == [n, right]  # no memory of a training is needed


def test_errors_of_a_tree_need_its_values_and_steps_their_loss() -> None:
    numbers = Silo("a", a_silo().table.X, np.arange(ROWS) / 7, n_jobs=1)
    msgspec.structs.replace(BEGIN, objective="tree:r2", labels=None).apply(numbers)
    assert error_question().ask(numbers).sum() == ROWS
    with pytest.raises(ProtocolError, match="errors of a tree"):
        error_question(value=np.zeros(2, np.float32)).ask(numbers)
    with pytest.raises(ProtocolError, match="0 steps of weights, for a loss that takes 4"):
        STUMP.fact().apply(numbers)


def test_margins_of_rows_are_refused() -> None:
    table = a_silo().table
    plain = Silo("b", table.X, np.arange(ROWS) / 7)
    for kind, y in ((FedTreeRegressor, np.arange(ROWS) / 7), (FedForestClassifier, np.arange(ROWS) % 2)):
        for mode in ("fused", "faithful"):
            silos = [Silo("b", plain.table.X, y), Silo("a", table.X, y, base_margin=np.ones(ROWS))]
            with pytest.raises(DataError, match="silo 'a' has a base_margin, and trees by impurity start from none"):
                kind().fit_federation(LocalFederation(silos, mode=mode))


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e6])
def test_numbers_far_from_0_are_boosted_as_well(offset: float) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 4))
    y = np.float32(2 * X[:, 0] + X[:, 1] + offset)
    model = FedAdaBoostRegressor(20).fit(X, y, silos=np.arange(2000) % 3)
    assert r2_score(y, model.predict(X)) > 0.94
    assert model.model_.predict(np.float32(X)).tolist() == model.predict(X).tolist()


@pytest.mark.parametrize("loss", ["linear", "square", "exponential"])
@pytest.mark.parametrize("rate", [4.0, 100.0])
def test_weights_of_boosted_numbers_stay_within_what_adds_up(loss: str, rate: float) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    y = X[:, 0] + rng.normal(size=300)
    model = FedAdaBoostRegressor(30, learning_rate=rate, loss=loss).fit(X, y, silos=np.arange(300) % 3)
    assert len(model.estimators_) > 1 and np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("kind", [FedAdaBoostClassifier, FedAdaBoostRegressor, FedForestClassifier, FedTreeClassifier])
def test_rounds_that_nobody_comes_to_are_passed_over(kind: Any) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    y = ((X[:, 0] > 0) ^ (rng.random(200) < 0.1)).astype(int) if kind._classifies else X[:, 0]
    nobody = Availability(lambda round, n: np.full(n, float(round % 3 == 1)))
    model = kind(max_depth=2, sampling=nobody).fit(X, y, silos=np.arange(200) % 3)
    assert len(getattr(model.model_, "estimators_", [])) in (0, 100, 17)  # of rounds 1, 4, ... 49
    if model._classifies:
        np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    if "AdaBoost" in kind.__name__:
        assert model.score(X, y) > 0.3
        with pytest.raises(DataError, match="no silo that holds rows took part in any round"):
            kind(n_estimators=1, sampling=nobody).fit(X, y, silos=np.arange(200) % 3)


@pytest.mark.parametrize("unit", [1e-25, 1e20, 1e30])
def test_what_numbers_gain_is_kept_whatever_their_unit(unit: float) -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    y = X[:, 0] + 0.1 * rng.normal(size=300)
    for grown in ({"max_depth": 3}, {"max_leaf_nodes": 6, "max_depth": None}, {"max_depth": 4, "ccp_alpha": 0.01}):
        alpha = grown.get("ccp_alpha", 0.0)
        one, other = (
            FedTreeRegressor(**grown | {"ccp_alpha": alpha * by**2}).fit(X, np.float32(y) * by) for by in (1.0, unit)
        )
        assert one.tree_.threshold.tolist() == other.tree_.threshold.tolist()
        np.testing.assert_allclose(one.feature_importances_, other.feature_importances_, rtol=1e-5)
        np.testing.assert_allclose(one.tree_.impurity, other.tree_.impurity / unit**2, rtol=1e-4)


def test_objectives_of_tables_are_not_those_of_boosting() -> None:
    with pytest.raises(ProtocolError, match="not known here"):
        a_silo_of(classes(params={"huber_slope": 1.0}))
