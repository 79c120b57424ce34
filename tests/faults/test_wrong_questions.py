"""Questions that no server of ours asks: each is refused by name, at the first value that is wrong."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedtrees import Channel, DataError, LocalFederation, ParameterError, ProtocolError, Silo
from fedtrees.core.data.row_ids import drawn
from fedtrees.core.data.table import Table
from fedtrees.core.data.table_targets import numbers_of
from fedtrees.core.numeric.rng import stream
from fedtrees.core.protocol.holdout import HoldOut
from fedtrees.neural.one_class import ClassRows
from fedtrees.queries.categories import CategoryCounts
from fedtrees.queries.counts import Counts
from fedtrees.queries.metric import Rows
from fedtrees.queries.moments import PowerSums
from fedtrees.queries.ranks import Buckets, Ranks
from fedtrees.queries.scores import HeldOut, Scores, SetSize
from fedtrees.queries.sums import restore_sum, sums_by_power
from fedtrees.training.weights import Weights

X = np.arange(8.0, dtype=np.float32).reshape(4, 2)
Y = np.arange(4.0)
SILO = Silo("a", X, Y, eval_set=[(X, Y), (X[:2], Y[:2])])


class FirstColumn(Scores, frozen=True, eq=False):
    """Metrics of a model whose margins are the first column of X."""

    def rows_of(self, silo: Silo, table: Table, asked: Any) -> Rows:
        self.check_metrics("reg:squarederror")
        order = asked if table.order is None else table.order[asked]
        return Rows("reg:squarederror", np.ascontiguousarray(table.X[order, :1].T), numbers_of(table)[asked], None, 0)


FINE = FirstColumn(0, 2, ["rmse"], 4, 0)


@pytest.mark.parametrize(
    ("question", "text"),
    [
        (FirstColumn(2, 2, ["rmse"], 4, 0), "of a set that there is not"),
        (FirstColumn(-1, 2, ["rmse"], 4, 0), "of a set that there is not"),
        (FirstColumn(0, 1, ["rmse"], 4, 0), "silo 'a' holds 2 evaluation sets, and 1 were asked for"),
        (FirstColumn(0, 3, ["rmse"], 4, 0), "silo 'a' holds 2 evaluation sets, and 3 were asked for"),
        (HeldOut(1, None), "silo 'a' holds 2 evaluation sets, and 1 were asked for"),
        (FirstColumn(0, 2, ["rmse", "logloss"], 4, 0), "are not all metrics of reg:squarederror"),
        (FirstColumn(0, 2, ["logloss"], 4, 0), "are not all metrics of reg:squarederror"),
        (FirstColumn(0, 2, ["rmse"], 4, 0, objective="count:poisson"), "scores were asked for of count:poisson, and"),
    ],
    ids=lambda own: own if isinstance(own, str) else "",
)
def test_scores(question: Any, text: str) -> None:
    assert FINE.read(FINE.ask(SILO))[0]["rmse"] == pytest.approx(np.sqrt(np.mean((X[:, 0] - Y) ** 2)))
    with pytest.raises(ProtocolError, match=text):
        question.ask(SILO)


@pytest.mark.parametrize("bits", [-1, 63, 64])
def test_bits_of_weights(bits: int) -> None:
    class Area(FirstColumn, frozen=True, eq=False):
        def rows_of(self, silo: Silo, table: Table, asked: Any) -> Rows:
            return Rows(
                "binary:logistic", np.zeros((1, len(asked)), np.float32), (asked % 2).astype(np.float32), None, 0
            )

    fine = Area(0, 2, ["auc"], 4, 0, 3, objective="binary:logistic").over([np.array([0, 2**31])])
    assert fine.ask(SILO).tolist() == [0, 2 << 3, 0, 2 << 3]
    wrong = Area(0, 2, ["auc"], 4, 0, bits, objective="binary:logistic").over([np.array([0, 2**31])])
    with pytest.raises(ProtocolError, match=f"weights were asked for in {bits} bits"):
        wrong.ask(SILO)


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_some_silos_are_asked_for_their_rows_and_no_others(mode: str) -> None:
    silos, held = np.array(list("abcabc")), np.array(list("bbcaca"))
    rows = np.arange(12.0).reshape(6, 2)
    federation = LocalFederation.from_table(
        rows, np.zeros(6), silos=silos, eval_set=[(rows * 10, np.zeros(6))], eval_silos=[held], mode=mode
    )
    channel = Channel(federation)
    for cohort in ([], [0], [1], [2], [0, 2], [1, 2], [0, 1, 2]):
        asked = np.array(cohort, np.int64)
        values, _ = channel.total(FirstColumn(0, 1, ["mae"], 6, 0), asked)
        own = np.isin(held, np.array(list("abc"))[asked])
        assert values["mae"] == pytest.approx(rows[own, 0].mean() * 10 if cohort else np.nan, nan_ok=True)
        assert channel.total(HeldOut(1, None), asked)[0].rows == own.sum()
        assert channel.total(Counts(2), asked).rows == np.isin(silos, np.array(list("abc"))[asked]).sum()


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_some_silos_are_asked_for_their_categories_and_their_missing_and_no_others(mode: str) -> None:
    """Of interleaved silos: counted where their rows stand, also after some are held out."""
    silos, codes = np.array(list("abcabcab")), np.array([0, 1, 2, 0, 0, 2, 1, -1])
    age = np.where(np.isin(np.arange(8), [1, 4, 5]), np.nan, 1.0)
    frame = pd.DataFrame({"age": age, "ward": pd.Categorical.from_codes(codes, list("xyz"))})
    federation = LocalFederation.from_table(frame, np.zeros(8), silos=silos, row_id=np.arange(8), mode=mode)
    for share in (0.0, 0.4):
        channel = Channel(federation)
        out = np.zeros(8, bool)
        if share:
            keys = stream(3, "held-out rows").integers(2**64, size=2, dtype=np.uint64)
            out[federation.table.order] = drawn(federation.table.row_ids(), keys, share)
            assert 0 < out.sum() < 8
            channel.tell(HoldOut(share, 3))
        for cohort in ([0], [1], [2], [0, 2], [1, 2], [0, 1, 2]):
            asked = np.array(cohort, np.int64)
            own = np.isin(silos, np.array(list("abc"))[asked]) & ~out
            counts = channel.total(CategoryCounts(8, np.array([0, 3])), asked)
            assert counts[1].tolist() == [np.count_nonzero(own & (codes == k)) for k in range(3)]
            summary = channel.total(Counts(2), asked)
            assert summary.rows == own.sum()
            assert summary.missing.tolist() == [np.isnan(age[own]).sum(), (codes[own] < 0).sum()]


def ranks(**other: Any) -> Ranks:
    buckets = Buckets.start(4, np.array([4, 4]), np.array([2, 2]))
    return replace_fields(buckets.query(buckets.to_refine()), other)


def replace_fields(question: Ranks, other: dict[str, Any]) -> Ranks:
    names = ("rows", "first", "low", "log_keys", "log_child")
    return Ranks(*(other.get(name, getattr(question, name)) for name in names))


@pytest.mark.parametrize(
    "other",
    [
        {"first": np.array([0, 1])}, {"first": np.array([0, 1, 1])}, {"first": np.array([0, 1, 3])},
        {"first": np.array([1, 1, 2])}, {"first": np.array([0, 3, 2])}, {"log_keys": np.uint8([32, 33])},
        {"log_child": np.uint8([33, 20])}, {"log_keys": np.uint8([19, 32]), "log_child": np.uint8([20, 20])},
        {"log_keys": np.uint8([32])}, {"log_child": np.uint8([20])}, {"low": np.uint32([0])},
    ],
    ids=str,
)  # fmt: skip
def test_ranks(other: dict[str, Any]) -> None:
    assert ranks().ask(SILO).sum() == 8
    with pytest.raises(ProtocolError, match="ranks were asked for intervals"):
        ranks(**other).ask(SILO)


@pytest.mark.parametrize("features", [1, 3])
def test_counts_and_moments_of_other_columns(features: int) -> None:
    with pytest.raises(ProtocolError, match=f"counts were asked for {features} features of 2"):
        Counts(features).ask(SILO)
    with pytest.raises(ProtocolError, match="moments were asked for"):
        PowerSums(4, features, 1).ask(SILO)
    several = Silo("b", X, np.ones((4, 2)))
    for silo, columns in ((SILO, 1), (several, 2)):
        assert PowerSums(4, 2, columns).ask(silo).any()
        for targets in {1, 2, 3} - {columns}:
            with pytest.raises(ProtocolError, match=f"moments were asked for {targets} targets of {columns}"):
                PowerSums(4, 2, targets).ask(silo)
    for centre in (np.zeros(2), np.zeros(4)):
        with pytest.raises(ProtocolError, match="moments were asked for"):
            PowerSums(4, 2, 1, centre).ask(SILO)


def test_categories_that_were_not_agreed_on_are_named() -> None:
    frame = pd.DataFrame({"age": [1.0, 2.0, 3.0], "ward": pd.Categorical([0, 1, 2]), "few": pd.Categorical([0, 1, 0])})
    silo = Silo("a", frame, [0.0, 1.0, 2.0])
    assert [own.tolist() for own in CategoryCounts(3, np.array([0, 3, 2])).read(np.array([1, 1, 1, 2, 1]))] == [
        [], [1, 1, 1], [2, 1],
    ]  # fmt: skip
    assert CategoryCounts(3, np.array([0, 3, 2])).ask(silo).tolist() == [1, 1, 1, 2, 1]
    for sizes, name in (([0, 2, 2], "ward"), ([0, 3, 1], "few")):
        with pytest.raises(ProtocolError, match=f"column '{name}' has categories that were not agreed on"):
            CategoryCounts(3, np.array(sizes)).ask(silo)
    for sizes in ([0, 3], [0, 3, 2, 1], [-1, 3, 2]):
        with pytest.raises(ProtocolError, match="categories were asked for of"):
            CategoryCounts(3, np.array(sizes)).ask(silo)


WARDS = pd.DataFrame({"age": [1.0], "ward": pd.Categorical([0], [0, 1]), "few": pd.Categorical([1], [0, 1])})
ONE_ROW = {
    "categories": (Silo("a", WARDS, [1.0]), CategoryCounts(1, np.array([0, 2, 2])), 2),
    "ranks": (Silo("a", X[:1], Y[:1]), ranks(), 2),
    "classes": (Silo("a", X[:1], [1]), ClassRows(1, [0, 1, 2]), 1),
    "a mean": (Silo("a", X[:1], Y[1:2], eval_set=[(X[1:2], Y[:1])]), FirstColumn(0, 1, ["rmse"], 1, 0), 2),
    "two": (Silo("a", X[:1], Y[1:2], eval_set=[(X[1:2], Y[:1])]), FirstColumn(0, 1, ["rmse", "mae"], 1, 0), 4),
}


@pytest.mark.parametrize("kind", ONE_ROW)
def test_one_row_makes_as_many_integers_other_than_zero_as_is_stated(kind: str) -> None:
    """A reply has room for so many, and a message that had more would say more of its silo's size."""
    silo, question, touched = ONE_ROW[kind]
    assert np.count_nonzero(question.ask(silo)) == question.touches() == touched < question.size()


# -- sums and limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "total"),
    [
        ([np.inf, 1.0], np.inf), ([-np.inf, 1.0], -np.inf), ([np.inf, -np.inf], np.nan), ([np.nan, 1.0], np.nan),
        ([np.inf, np.inf], np.inf), ([-np.inf, np.nan], np.nan), ([], 0.0),
    ],
)  # fmt: skip
def test_what_is_not_finite_adds_up_as_in_arithmetic(values: list[float], total: float) -> None:
    assert repr(restore_sum(sums_by_power(np.array(values, np.float32)))) == repr(total)


@pytest.mark.parametrize(("span", "more", "fine"), [(10, 0, True), (11, 0, False), (8, 2, True), (8, 3, False)])
def test_weights_span_as_many_digits_as_there_is_room_for(span: int, more: int, fine: bool) -> None:
    weights = Weights(100, (0, 0), 1, whole=False, span=span)
    if fine:
        weights.check_span(10, more)
    else:
        with pytest.raises(DataError, match=rf"^sample_weight: .* about {re.escape(f'{2.0**span:.0e}')} times"):
            weights.check_span(10, more)


def test_rows_count_as_often_as_they_weigh_where_that_is_whole() -> None:
    for most, whole, all_one, counted in (
        (1, True, True, 7),
        (3, True, False, 7),
        (1, False, False, 7),
        (5, False, False, 35),
    ):
        weights = Weights(7, (3, 0), most, whole=whole)
        assert (weights.all_one, weights.most_counted, weights.largest) == (all_one, counted, 8.0)


@pytest.mark.parametrize(
    ("rows", "exponent", "kept"), [(1, 62, True), (1, 63, False), (1000, 53, True), (1000, 54, False)]
)
def test_whole_weights_of_scores_stay_as_they_are_where_their_sum_fits_a_word(
    rows: int, exponent: int, kept: bool
) -> None:
    assert (SetSize(rows, exponent, True).weight_bits(rows) == exponent) == kept
    assert SetSize(rows, exponent, False).weight_bits(rows) != exponent
    for whole in (True, False):
        bits = SetSize(rows, exponent, whole).weight_bits(rows)
        assert rows << bits < 2**63


def test_silos_without_an_equal_number_of_sets_or_ids_are_told() -> None:
    with pytest.raises(ParameterError, match=r"different numbers of evaluation sets: \{'a': 2, 'b': 1\}"):
        LocalFederation([SILO, Silo("b", X, Y, eval_set=[(X, Y)])])
    for silos in ([None, None], []):
        with pytest.raises(ParameterError, match=f"eval_silos has {len(silos)} entries for 1"):
            LocalFederation.from_table(X, Y, eval_set=[(X, Y)], eval_silos=silos)
    with pytest.raises(DataError, match=r"^eval_set 1: silo 'mars' holds no rows to train on"):
        LocalFederation.from_table(
            X, Y, silos=list("aabb"), eval_set=[(X, Y)] * 2, eval_silos=[list("abab"), ["a", "b", "mars", "b"]]
        )
    with pytest.raises(ParameterError, match="two silos are named 'b'"):
        LocalFederation([Silo(name, X, Y) for name in "abbc"])
    narrow, wide = (Silo(name, X, Y, base_margin=np.zeros((4, width))) for name, width in (("a", 1), ("b", 2)))
    with pytest.raises(DataError, match=r"^silo 'b', unlike silo 'a': base_margin has 2 columns"):
        LocalFederation([narrow, wide])
    with pytest.raises(DataError, match=r"^silo 'b', unlike others: qid is not given"):
        LocalFederation([Silo("a", X, Y, qid=[0, 0, 1, 1]), Silo("b", X, Y)])
    empty = Silo("none", X[:0], [], qid=None)
    assert LocalFederation([Silo("a", X, Y, qid=[0, 0, 1, 1]), empty]).table.n_rows == 4
