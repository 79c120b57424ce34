"""A silo: whom it answers for, what it remembers, and what it says of its labels."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrees import DataError, LocalFederation, ParameterError, ProtocolError, Silo
from fedtrees.core.data.target import plain_array
from fedtrees.core.protocol.aggregation import PLAIN_SUM
from fedtrees.core.protocol.log import Log
from fedtrees.core.protocol.message import REPLY_HEAD, ReplyKind, Request, open_reply, read_answers
from fedtrees.core.protocol.query import Fact, Query
from fedtrees.core.protocol.start_messages import Weigh
from fedtrees.core.sampling.weighting import SiloWeights

RUN = bytes(16)


class Rows(Query, frozen=True, eq=False):
    """The rows that are asked, and their weights."""

    def size(self) -> int:
        return 2

    def bound(self) -> int:
        return 1000

    def ask(self, silo: Silo) -> np.ndarray:
        rows = silo.rows_asked()
        weight = silo.weights()
        n = len(np.arange(silo.table.n_rows)[rows])
        return np.array([n, n if weight is None else int(weight[rows].sum())])

    def read(self, total: np.ndarray) -> list[int]:
        return total.tolist()


class Broken(Query, frozen=True, eq=False):
    """Stumbles over a bug."""

    def size(self) -> int:
        return 1

    def bound(self) -> int:
        return 1

    def ask(self, silo: Silo) -> np.ndarray:
        raise ZeroDivisionError("by nought")


class TooLarge(Rows, frozen=True, eq=False):
    """States a bound that its answer breaks."""

    def bound(self) -> int:
        return 0


class Remember(Fact, frozen=True, eq=False):
    """Keeps every number it is told, in order."""

    number: int

    def apply(self, silo: Silo) -> None:
        silo.states.keep([*(silo.states.find(list) or []), self.number])


def of_three(sizes: Sequence[int] = (3, 0, 2, 4)) -> Silo:
    parts = [Silo(chr(97 + k), np.zeros((n, 1)), np.arange(n)) for k, n in enumerate(sizes)]
    federation = LocalFederation(parts, n_jobs=1)
    return Silo.of_table(federation.table, federation.threads)


def request(log: Log, since: int = 0, queries: Sequence[Query] = (), round: int = 0) -> Request:
    return Request(log.run, round, 0, since, log.frames[since:], queries)


def a_log(*numbers: int, run: bytes = RUN) -> Log:
    log = Log(run)
    for number in numbers:
        log.append(Remember(number))
    return log


def ask(silo: Silo, question: Request) -> tuple[ReplyKind, bytes]:
    return open_reply(question, silo.answer(question.encode()), silo.name)


# -- whom it answers for ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cohort", "ranges"),
    [
        ([0], [[0, 3]]),
        ([0, 2], [[0, 5]]),  # the empty one between them does not part them
        ([0, 1, 2], [[0, 5]]),
        ([0, 3], [[0, 3], [5, 9]]),
        ([1], [[3, 3]]),
        ([1, 3], [[3, 3], [5, 9]]),
        ([0, 1, 2, 3], [[0, 9]]),
        ([], []),
    ],
)
def test_the_rows_asked_are_those_of_the_cohort(cohort: list[int], ranges: list[list[int]]) -> None:
    silo = of_three()
    silo.ask_only(np.array(cohort, np.int64))
    assert silo.ranges.tolist() == ranges
    assert silo.silos_asked.tolist() == cohort
    rows = np.arange(9)[silo.rows_asked()]
    assert rows.tolist() == [row for a, b in ranges for row in range(a, b)]
    silo.ask_only(None)
    assert silo.ranges.tolist() == [[0, 9]] and silo.silos_asked.tolist() == [0, 1, 2, 3]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.data())
def test_rows_asked_are_those_of_the_silos_for_any_cohort(sizes: list[int], data: st.DataObject) -> None:
    silo = of_three(sizes)
    cohort = np.array(sorted(data.draw(st.sets(st.integers(0, len(sizes) - 1)))), np.int64)
    silo.ask_only(cohort)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    np.testing.assert_array_equal(np.arange(sum(sizes))[silo.rows_asked()], np.flatnonzero(np.isin(owner, cohort)))


# -- what it remembers ------------------------------------------------------------------------------------


def test_facts_are_taken_in_once_and_in_order() -> None:
    silo, log = Silo("a", [[1.0]], [0]), a_log(1, 2, 3)
    for since in (0, 0, 2, 3):  # said twice, or in part: what is known is passed over
        assert ask(silo, request(log, since, [Rows()]))[0] == ReplyKind.ANSWER
        assert silo.states.find(list) == [1, 2, 3] and silo.version == 3
    log.append(Remember(4))
    ask(silo, request(log, 1))
    assert silo.states.find(list) == [1, 2, 3, 4]


def test_a_silo_that_knows_less_than_it_is_taken_to_says_so_and_learns_nothing() -> None:
    silo, log = Silo("a", [[1.0]], [0]), a_log(1, 2, 3)
    assert ask(silo, request(log, 2, [Rows()])) == (ReplyKind.BEHIND, (0).to_bytes(4, "little"))
    assert silo.states.find(list) is None
    ask(silo, request(a_log(1)))
    assert ask(silo, request(log, 2, [Rows()])) == (ReplyKind.BEHIND, (1).to_bytes(4, "little"))
    assert ask(silo, request(log, 1, [Rows()]))[0] == ReplyKind.ANSWER
    assert silo.states.find(list) == [1, 2, 3]


def test_another_run_is_a_new_memory() -> None:
    silo = Silo("a", [[1.0]], [0])
    ask(silo, request(a_log(1, 2)))
    other = a_log(7, run=b"another run here")
    assert ask(silo, request(other, 1)) == (ReplyKind.BEHIND, (0).to_bytes(4, "little"))
    assert silo.states.find(list) == [1, 2]  # not forgotten before the other run says anything
    ask(silo, request(other))
    assert silo.states.find(list) == [7] and silo.version == 1


# law: Silo
def test_the_same_request_gets_the_same_bytes_however_often_it_comes() -> None:
    silo, log = Silo("a", np.zeros((5, 1)), [0] * 5, sample_weight=2), a_log(1, 2)
    log.append(Weigh(SiloWeights().settled(10, 1)))
    question = request(log, 0, [Rows()]).encode()
    first = silo.answer(question)
    (body,) = read_answers([Rows()], first[REPLY_HEAD:], "a")
    assert PLAIN_SUM.vector(Rows(), "a", body).tolist() == [5, 20]
    assert silo.answer(question) == first
    silo.forget()
    assert (silo.run, silo.version, silo.states.find(list)) == (b"", 0, None)
    assert silo.weights() is silo.table.weight
    assert silo.answer(question) == first


# -- what goes wrong --------------------------------------------------------------------------------------


def test_an_error_of_ours_travels_as_its_own_class() -> None:
    silo = Silo("mayo", [[1.0]], [0])
    with pytest.raises(ProtocolError, match=r"^silo 'mayo': TooLarge: an integer beyond the stated bound of 0$"):
        ask(silo, request(a_log(), 0, [TooLarge()]))
    log = a_log()
    log.append(Weigh(SiloWeights({"ucla": 1.0}, 5, 1)))
    with pytest.raises(ParameterError, match=r"^weighting: no weight for silo 'mayo'; give one"):
        ask(silo, request(log))
    assert silo.version == 0  # the fact was not taken in: the next request brings it again


def test_a_bug_is_answered_and_logged_with_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    silo = Silo("mayo", [[1.0]], [0])
    with (
        caplog.at_level(logging.ERROR, "fedtrees"),
        pytest.raises(ProtocolError, match=r"^silo 'mayo': no answer to Rows\+Broken: ZeroDivisionError: by nought$"),
    ):
        ask(silo, request(a_log(), 0, [Rows(), Broken()]))
    (record,) = caplog.records
    assert "silo 'mayo'" in record.getMessage()
    assert record.exc_info is not None and record.exc_info[0] is ZeroDivisionError


def test_a_message_that_cannot_be_read_is_no_request() -> None:
    with pytest.raises(ProtocolError, match="cut short"):
        Silo("a", [[1.0]], [0]).answer(b"hello")


# -- labels and targets -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("y", "labels"),
    [
        ([2, 0, 2], [0, 2]),
        (["b", "a", "b"], ["a", "b"]),
        (np.array(["b", "a", "b"], object), ["a", "b"]),
        ([True, False, True], [False, True]),
        ([1.0, 0.0, 1.0], [0.0, 1.0]),
        (np.array([1, 0, 1], object), [0, 1]),
        (np.array([True, False, True], object), [False, True]),
        (pd.Series(["b", "a", "b"], dtype="category"), ["a", "b"]),
        (pd.Series(["b", "a", "b"], dtype="string"), ["a", "b"]),
        (pd.Series([1, 0, 1], dtype="Int64"), [0, 1]),
        (np.array([1, 0, 255], np.uint8), [0, 1, 255]),
    ],
    ids=str,
)
def test_labels_are_plain_values_in_order(y: Any, labels: list[Any]) -> None:
    silo = Silo("a", np.zeros((3, 1)), y)
    said = silo.schema(labels=True).labels
    assert said == labels
    assert [type(label) for label in said] == [type(label) for label in labels]
    assert silo.schema(labels=False).labels is None
    codes = silo.targets(["0", "a", "b"] if isinstance(labels[0], str) else [*labels, 300])
    assert codes.dtype == np.float32
    expected = [["0", "a", "b"].index(v) if isinstance(v, str) else labels.index(v) for v in np.asarray(y).tolist()]
    assert codes.tolist() == expected


@pytest.mark.parametrize("y", [[1, 2, 3], [1.5, -2, 1e30], np.array([1, 2.5, 3], object), [True, False, True]], ids=str)
def test_numbers_are_their_own_targets(y: Any) -> None:
    targets = Silo("a", np.zeros((3, 1)), y).targets(None)
    assert targets.dtype == np.float32
    np.testing.assert_array_equal(targets, np.asarray(y, np.float32))


def test_targets_are_read_once_and_again_for_other_labels() -> None:
    silo = Silo("a", np.zeros((2, 1)), [1, 2])
    assert silo.targets([1, 2]) is silo.targets([1, 2])
    assert silo.targets([0, 1, 2]).tolist() == [1, 2]
    assert silo.targets(None).tolist() == [1, 2]


def test_a_silo_without_rows_has_no_labels_and_no_targets() -> None:
    silo = Silo("a", np.zeros((0, 2)), [])
    assert silo.schema(labels=True).labels == []
    assert silo.targets(["x", "y"]).shape == silo.targets(None).shape == (0,)


NAN = float("nan")


@pytest.mark.parametrize(
    ("y", "text"),
    [
        ([0.0, NAN, 1.0], "y, row 1: NaN, infinity or None"),
        ([0.0, 1.0, np.inf], "y, row 2: NaN, infinity or None"),
        (["a", "b", None], "y, row 2: NaN, infinity or None"),
        (["a", NAN, "b"], "y, row 1: NaN, infinity or None"),
        (pd.Series([1, None, 0], dtype="Int64"), "y, row 1: NaN, infinity or None"),
        (["a", "b", 1], "y, row 2: a label that is not a text where the first of all is a text"),
        (np.array([1, "b", 1], object), "y, row 1: a label that is a text where the first of all is not a text"),
        ([2**70, 1, 2], "y holds whole numbers beyond 64 bits; make labels texts"),
        ([0.0, 1.0, 0.5], "y, row 2: Unknown label type: y is continuous, it holds fractions such as 0.5"),
        (
            np.array([(1, 2), (3,), None], object)[[0, 1, 0]],
            "y, row 0: a label that is neither a text, a number nor a boolean",
        ),
    ],
    ids=str,
)
def test_labels_that_mean_nothing_are_refused_by_row(y: Any, text: str) -> None:
    with pytest.raises(DataError, match=f"^silo 'mayo': {text}"):
        Silo("mayo", np.zeros((3, 1)), y).schema(labels=True)


@pytest.mark.parametrize(
    ("y", "text"),
    [
        ([0.0, NAN, 1.0], "y, row 1: NaN, infinity or None"),
        ([0.0, 1.0, -np.inf], "y, row 2: NaN, infinity or None"),
        ([0.0, 1.0, -1e300], "y, row 2: too large for float32; scale the target"),
        (np.array([1.0, None, 2], object), "y, row 1: NaN, infinity or None"),
        (pd.Series([1, 2, None], dtype="Float64"), "y, row 2: NaN, infinity or None"),
        (["1", "2", "3"], "y, row 0: a text; a regressor needs numbers"),
        ([1, 2, "3"], "y, row 2: a text; a regressor needs numbers"),
        (np.array([[1], [2], [3]], object)[:, :1].tolist(), r"y has the shape \(3, 1\)"),
    ],
    ids=str,
)
def test_targets_that_are_no_numbers_are_refused_by_row(y: Any, text: str) -> None:
    with pytest.raises(DataError, match=f"^silo 'mayo': {text}"):
        Silo("mayo", np.zeros((3, 1)), y).targets(None)


@pytest.mark.parametrize(
    ("y", "labels", "row"),
    [([1, 9], [0, 1], 1), (["x", "a"], ["a", "b"], 0), ([3, 0], ["a"], 0), (["a", "b"], [0, 1], 0)],
)
def test_a_label_that_was_not_agreed_on_is_refused_by_row(y: Any, labels: list[Any], row: int) -> None:
    with pytest.raises(DataError, match=rf"^silo 'mayo': y, row {row}: label {y[row]!r} is none of the agreed ones"):
        Silo("mayo", np.zeros((2, 1)), y).targets(labels)


@pytest.mark.parametrize("dtype", ["c16", "M8[D]", "S3"])
def test_targets_of_other_types_are_refused_where_they_are_given(dtype: str) -> None:
    with pytest.raises(DataError, match=r"^silo 'mayo': y holds .*; make it text, numbers or booleans"):
        Silo("mayo", np.zeros((2, 1)), np.zeros(2, dtype))


def test_texts_in_a_list_do_not_turn_what_stands_beside_them_into_texts() -> None:
    assert plain_array(["a", NAN], "y").dtype == object
    assert plain_array(["a", 1], "y").tolist() == ["a", 1]
    assert plain_array(["a", "b"], "y").dtype.kind == "U"
    assert plain_array(np.array(["a", "nan"]), "y").dtype.kind == "U"
    with pytest.raises(DataError, match=r"^y is not an array: "):
        plain_array([[1, 2], [3]], "y")


@pytest.mark.parametrize("name", ["", 3, None, b"mayo"], ids=repr)
def test_a_silo_s_name_is_a_text(name: Any) -> None:
    with pytest.raises(ParameterError, match=r"^a silo's name is a text, not "):
        Silo(name, [[1.0]], [0])
