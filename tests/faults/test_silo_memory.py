"""What one silo keeps, counts, reads and refuses, each at its limit; `test_silo` has the protocol around it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedtrees import DataError, FedAvgRegressor, FedGBTRanker, FedGBTRegressor, LocalFederation, ParameterError, Silo
from fedtrees.core.protocol.count_weights import MOST_REPEATS, CountWeights, count_bits
from fedtrees.core.protocol.holdout import HoldOut
from fedtrees.core.protocol.log import Log
from fedtrees.core.protocol.message import ReplyKind, Request, open_reply
from fedtrees.core.protocol.query import Fact, Query
from fedtrees.core.protocol.start_messages import Vocabulary, Weigh
from fedtrees.core.sampling.weighting import SiloWeights
from fedtrees.errors import ProtocolError
from fedtrees.trees.messages.rare_categories import RareCategories
from fedtrees.trees.messages.training import Aim

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype(np.float32)
Y = X[:, 0].astype(np.float64)


class Zeros(Query, frozen=True, eq=False):
    """As many as are asked for."""

    n: int

    def size(self) -> int:
        return self.n

    def touches(self) -> int:
        return 0

    def bound(self) -> int:
        return 1

    def ask(self, silo: Silo) -> np.ndarray:
        return np.zeros(self.n, np.int64)


class Half(Fact, frozen=True, eq=False):
    """Changes the silo, and stumbles."""

    def apply(self, silo: Silo) -> None:
        silo.open_above = True
        raise ZeroDivisionError("half way")


def ask(silo: Silo, facts: Sequence[Fact], *queries: Query) -> tuple[ReplyKind, bytes]:
    log = Log(bytes(16))
    for fact in facts:
        log.append(fact)
    request = Request(log.run, 0, 0, 0, log.frames, queries)
    return open_reply(request, silo.answer(request.encode()), silo.name)


# -- what it keeps ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_bounds_of_times_are_no_targets_of_what_comes_after_them(mode: str) -> None:
    """Networks say nothing of bounds, so what a silo keeps of those is what they would be read by."""
    times = np.column_stack([np.exp(Y), np.where(X[:, 1] > 0, np.inf, np.exp(Y))])
    silos = [Silo("a", X[:30], times[:30], n_jobs=1), Silo("b", X[30:], times[30:], n_jobs=1)]
    used = LocalFederation(silos, mode=mode, n_jobs=1)
    FedGBTRegressor(2, objective="survival:aft", n_jobs=1).fit_federation(used)
    for silo in silos if mode == "faithful" else [used._fused]:
        assert silo.open_above
        silo.forget()
        assert not silo.open_above
    FedGBTRegressor(2, objective="survival:aft", n_jobs=1).fit_federation(used)
    with pytest.raises(DataError, match=r"^silo 'a': y, row \d+: NaN, infinity or None"):
        FedAvgRegressor((), n_rounds=1, n_jobs=1).fit_federation(used)


def test_rows_held_out_take_their_weights_with_them() -> None:
    """Whatever was said of weights before: those that are left are the rows' own, and so are the rows asked."""
    weight = np.arange(1, 61, dtype=np.float32)
    silos = [
        Silo(name, X[own], Y[own], sample_weight=weight[own]) for name, own in (("a", slice(40)), ("b", slice(40, 60)))
    ]
    table = LocalFederation(silos, n_jobs=1)
    silo = Silo.of_table(table.table, table.threads)
    silo.ask_only(np.array([1]))
    Weigh(SiloWeights().settled(60, 2)).apply(silo)
    assert silo.targets(None).shape == (60,)
    HoldOut(0.5, 3).apply(silo)
    n, of_b = silo.table.n_rows, int(np.diff(silo.table.starts)[1])
    assert 0 < of_b < 20 < n < 40
    order = silo.table.order
    np.testing.assert_array_equal(silo.weights(), weight[order])
    np.testing.assert_array_equal(silo.targets(None), Y[order].astype(np.float32))
    assert silo.ranges.tolist() == [[n - of_b, n]] and silo.n_asked == of_b
    silo.forget()
    assert silo.ranges.tolist() == [[40, 60]] and silo.n_asked == 20
    np.testing.assert_array_equal(silo.weights(), weight)


FACTS: dict[str, Any] = {
    "rows held out": HoldOut(0.5, 3),
    "weights of silos": Weigh(SiloWeights().settled(1, 1)),
    "counted weights": CountWeights(3, False, 20),
    "bounds of times": Aim("survival:aft", {}, None),
    "rare categories": RareCategories([1], [[0, 1]], [True]),
    "a vocabulary": Vocabulary({"b": ["q", "r", "p"]}),
}


@pytest.mark.parametrize("fact", FACTS)
def test_whatever_a_silo_was_told_it_forgets(fact: str) -> None:
    frame = pd.DataFrame({"a": X[:, 0], "b": pd.Categorical(np.tile(["p", "q", "r"], 20))})
    y = np.column_stack([np.exp(Y), np.exp(Y)]) if fact == "bounds of times" else Y
    silo = Silo("a", frame, y, sample_weight=np.arange(1, 61), eval_set=[(frame[:9], y[:9])])
    new = {name: list(value) if isinstance(value, list) else value for name, value in vars(silo).items()}
    X_before = [table.X.copy() for table in (silo.table, *silo.held_out)]
    silo.targets(None)
    silo.learn(b"run", 0, [FACTS[fact]])
    assert silo.version == 1
    silo.targets(None)
    silo.forget()
    for name, value in vars(silo).items():
        if name == "states":
            assert not vars(value)["_by_kind"]
        elif name == "ranges":
            assert value.tolist() == new[name].tolist()
        elif name == "held_out":
            assert [id(own) for own in value] == [id(own) for own in new[name]]
        else:
            assert value is new[name] or value == new[name], name
    for table, before in zip((silo.table, *silo.held_out), X_before, strict=True):
        assert table.X.tobytes() == before.tobytes()


def test_after_an_error_of_any_kind_nothing_is_left_half_done(caplog: pytest.LogCaptureFixture) -> None:
    silo = Silo("mayo", X, Y)
    with (
        caplog.at_level(logging.CRITICAL, "fedtrees"),
        pytest.raises(ProtocolError, match=r"^silo 'mayo': no answer to : ZeroDivisionError: half way$"),
    ):
        ask(silo, [CountWeights(0, True), Half()])
    assert (silo.run, silo.version, silo.counting, silo.open_above) == (b"", 0, None, False)


def test_an_answer_of_the_most_integers_is_given_and_one_more_is_not() -> None:
    silo = Silo("a", X, Y)
    silo.most_integers = 100
    assert ask(silo, [], Zeros(60), Zeros(40))[0] == ReplyKind.ANSWER
    with pytest.raises(ProtocolError, match=r"^silo 'a': 101 integers were asked for; this silo answers with 100$"):
        ask(silo, [], Zeros(61), Zeros(40))


# -- what it counts -----------------------------------------------------------------------------------------


def test_what_rows_count_together_is_the_sum_of_what_each_does() -> None:
    whole = Silo("a", X[:4], Y[:4], sample_weight=[1, 3, 16, 2])
    assert whole.mass(0) == 4 and whole.counts() is None
    CountWeights(4, whole=True).apply(whole)
    assert whole.counts().tolist() == [1, 3, 16, 2] and whole.mass(0) == 22
    parts = Silo("a", X[:4], Y[:4], sample_weight=[0.5, 0.25, 1, 0.125])
    CountWeights(0, whole=False).apply(parts)
    assert parts.counts().tolist() == [1 << 15, 1 << 14, 1 << 16, 1 << 13]
    assert parts.mass(0) == sum(parts.counts().tolist())
    CountWeights(0, whole=False, bits=52).apply(parts)
    assert parts.mass(0) == sum(parts.counts().tolist()) == 15 << 49
    light = np.float32([1, *[2**-30] * 100])  # of which the hundred are lost where sums are of 32 bits
    assert CountWeights(0, whole=False, bits=52).mass(light) == (1 << 52) + 100 * (1 << 22)
    plain = Silo("a", X[:4], Y[:4])
    CountWeights(0, whole=False).apply(plain)
    assert plain.mass(0) == 4 << 16


@pytest.mark.parametrize(
    ("weight", "fits"),
    [(1, True), (MOST_REPEATS, True), (MOST_REPEATS + 1, False), (0, False), (1.5, False), (-1, False)],
)
def test_weights_that_count_as_rows_are_whole_from_1_to_the_most(weight: float, fits: bool) -> None:
    fact, weights = CountWeights(4, whole=True), np.float32([1, weight])
    if fits:
        assert fact.counts(weights).tolist() == [1, weight]
    else:
        with pytest.raises(ProtocolError, match="weights that are not whole, 1 to 16, were said to be"):
            fact.counts(weights)


@pytest.mark.parametrize(
    ("rows", "span", "bits"),
    [
        (1000, 0, 16), (1000, 5, 16), (1000, 6, 16), (1000, 7, 17), (1000, 30, 40), (1000, 42, 52), (100, 60, 52),
        (1 << 20, 60, 41), ((1 << 20) - 1, 60, 42), (0, 60, 52), (1 << 50, 60, 16),
    ],
)  # fmt: skip
def test_grids_keep_ten_digits_of_the_lightest_and_room_for_the_sum(rows: int, span: int, bits: int) -> None:
    assert count_bits(rows, span) == bits
    if 16 < bits < 52 and rows == 1000:
        light = np.float32(1.37 * 2.0**-span)
        counted = CountWeights(0, whole=False, bits=bits).counts(np.float32([1, light]))[1]
        assert counted * 2.0**-bits == pytest.approx(float(light), rel=2.0**-10)
    assert rows << bits < 2**63 or bits == 16


@pytest.mark.parametrize(("bits", "fits"), [(15, False), (16, True), (52, True), (53, False)])
def test_weights_are_counted_on_grids_from_16_to_52_digits(bits: int, fits: bool) -> None:
    silo, fact = Silo("a", X[:2], Y[:2], sample_weight=[1, 1e-9]), CountWeights(0, False, bits)
    if not fits:
        with pytest.raises(ProtocolError, match=f"a grid of {bits} digits"):
            fact.apply(silo)
        return
    fact.apply(silo)
    assert silo.counts().tolist() == [1 << bits, max(1, round(float(np.float32(1e-9)) * 2**bits))]
    assert fact.most == 1 << bits


# -- what it reads ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("least", [2, 3])
def test_categories_of_fewer_rows_than_the_least_are_withheld(least: int) -> None:
    kind = pd.Series(["one", "two", "two", "three", "three", "three"], dtype="category")
    silo = Silo("a", pd.DataFrame({"kind": kind}), np.arange(6), min_category_rows=least)
    rows = {"one": 1, "two": 2, "three": 3}
    shown = silo.schema(labels=False).categories["kind"]
    assert shown == [name if rows[name] >= least else None for name in ("one", "three", "two")]
    assert np.isnan(silo.table.X[:, 0]).tolist() == [rows[name] < least for name in kind]


@pytest.mark.parametrize("least", [0, True, 1.0, -1])
def test_the_least_rows_of_a_category_are_a_whole_number(least: Any) -> None:
    with pytest.raises(ParameterError, match=r"^silo 'a': min_category_rows=.*: give a whole number from 1"):
        Silo("a", X, Y, min_category_rows=least)


def test_what_stands_for_missing_does_so_in_evaluation_sets() -> None:
    silo = Silo("a", [[-1.0], [2.0]], [0, 1], missing=-1, eval_set=[([[2.0], [-1.0], [np.nan]], [0, 1, 0])])
    np.testing.assert_array_equal(silo.table.X, [[np.nan], [2]])
    np.testing.assert_array_equal(silo.held_out[0].X, [[2], [np.nan], [np.nan]])


@pytest.mark.parametrize(
    "column", [pd.Series(["x", "y", "x"], dtype="category"), pd.Series([1.0, 2, 3])], ids=["category", "number"]
)
def test_a_column_without_a_value_is_what_the_first_evaluation_set_with_one_says(column: Any) -> None:
    """Or a silo that only scores what others measured would disagree with them about its own column."""
    nothing = pd.DataFrame({"a": [1.0, 2, 3], "b": pd.Series([None] * 3, dtype=object)})
    filled = pd.DataFrame({"a": [1.0, 2, 3], "b": column})
    silo = Silo("a", nothing, [0, 1, 0], eval_set=[(nothing, [0, 1, 0]), (filled, [0, 1, 0])])
    kind = "category" if column.dtype.name == "category" else "number"
    assert silo.schema(labels=False).kinds == silo.table.schema.kinds == ["number", kind]
    assert Silo("a", nothing, [0, 1, 0], eval_set=[(nothing, [0, 1, 0])]).table.schema.kinds == ["number", "missing"]


@pytest.mark.parametrize("entries", [1, 6])
def test_an_evaluation_set_has_two_to_five_entries(entries: int) -> None:
    full = (X, Y, np.ones(60), np.zeros(60), np.zeros(60, int))
    for n in (2, 3, 4, 5):
        of_queries = (X, Y, np.ones(1), *full[3:]) if n == 5 else full[:n]
        assert Silo("a", X, Y, eval_set=[of_queries]).held_out[0].n_rows == 60
    with pytest.raises(ParameterError, match=r"^silo 'a', eval_set 0: give \(X, y\) or \(X, y, sample_weight\)"):
        Silo("a", X, Y, eval_set=[(*full, 0)[:entries]])


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_silos_that_number_their_queries_alike_have_queries_of_their_own(mode: str) -> None:
    y, qid = RNG.integers(0, 3, 60), np.arange(60) // 10
    given: dict[str, Any] = {"n_estimators": 3, "max_depth": 2, "n_jobs": 1}
    apart = FedGBTRanker(**given).fit(X, y, qid=qid)
    alike = [
        Silo(str(k), X[30 * k : 30 * k + 30], y[30 * k : 30 * k + 30], qid=np.repeat([0, 1, 2][:: 1 - 2 * k], 10))
        for k in (0, 1)
    ]
    federation = LocalFederation(alike, mode=mode, n_jobs=1)
    assert federation.table.group_starts().tolist() == [0, 10, 20, 30, 40, 50, 60]
    own = FedGBTRanker(**given).fit_federation(federation)
    order = np.r_[0:30, 50:60, 40:50, 30:40]  # a silo's queries stand by their numbers
    ordered = FedGBTRanker(**given).fit(X[order], y[order], qid=qid)
    assert own.booster_.save_raw() == ordered.booster_.save_raw()
    np.testing.assert_allclose(own.predict(X), apart.predict(X), rtol=1e-5, atol=1e-6)
