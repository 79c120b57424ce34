"""Requests and replies: framed, damaged, short, foreign and hostile ones."""

from __future__ import annotations

import contextlib
import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrees import DataError, FedTreesError, HeadroomError, ParameterError, ProtocolError, errors
from fedtrees.core.data.record import decode, encode
from fedtrees.core.protocol.aggregation import PLAIN_SUM, Collector, Sender, protected
from fedtrees.core.protocol.log import Call, Log
from fedtrees.core.protocol.message import (
    REPLY_HEAD,
    ReplyKind,
    Request,
    answers,
    frame,
    open_reply,
    read_answers,
    read_behind,
    reply,
)
from fedtrees.core.protocol.query import Query
from fedtrees.core.protocol.start_messages import Weigh
from fedtrees.core.sampling.weighting import RowWeights
from fedtrees.queries.counts import Counts, LabelExponents

RUN = bytes(range(16))
FACT = frame(encode(Weigh(RowWeights())))
REQUEST = Request(RUN, 7, 1, 2, [FACT, FACT], [Counts(3), LabelExponents(5, ["a"])])


class Some(Query, frozen=True, eq=False):
    """Any number of integers up to any bound."""

    n: int
    largest: int
    a_row: int = 1000

    def size(self) -> int:
        return self.n

    def touches(self) -> int:
        return self.a_row

    def bound(self) -> int:
        return self.largest


# -- requests ---------------------------------------------------------------------------------------------


def test_a_request_comes_back_as_it_went() -> None:
    back = Request.decode(REQUEST.encode())
    assert (back.run, back.round, back.attempt, back.since) == (RUN, 7, 1, 2)
    assert [frame(fact) for fact in back.facts] == [FACT, FACT]
    assert [encode(query) for query in back.queries] == [encode(query) for query in REQUEST.queries]
    assert isinstance(decode(back.facts[0], Weigh).weighting, RowWeights)


def test_a_request_may_hold_nothing() -> None:
    back = Request.decode(Request(RUN, 0, 0, 0, [], []).encode())
    assert (list(back.facts), list(back.queries)) == ([], [])


def test_a_request_cut_anywhere_is_refused() -> None:
    data = REQUEST.encode()
    for length in range(len(data)):
        with pytest.raises(ProtocolError):
            Request.decode(data[:length])


def test_a_request_with_more_behind_it_is_refused() -> None:
    data = REQUEST.encode()
    with pytest.raises(ProtocolError, match=f"a request of {len(data) + 1} bytes where its frames make {len(data)}"):
        Request.decode(data + b"\x00")


def test_a_request_that_promises_four_billion_frames_is_refused_at_once() -> None:
    head = struct.pack("<16sIIIII", RUN, 0, 0, 0, 2**32 - 1, 2**32 - 1)
    with pytest.raises(ProtocolError, match="cut short"):
        Request.decode(head + FACT)


def test_a_fact_where_a_query_belongs_is_refused() -> None:
    head = struct.pack("<16sIIIII", RUN, 0, 0, 0, 0, 1)
    with pytest.raises(ProtocolError, match="a 'Weigh' where a Question was expected"):
        Request.decode(head + FACT)


@given(st.integers(0, len(REQUEST.encode()) - 1), st.binary(min_size=1, max_size=6))
def test_damage_gives_a_protocol_error_or_another_request(at: int, other: bytes) -> None:
    data = REQUEST.encode()
    with contextlib.suppress(ProtocolError):
        assert isinstance(Request.decode(data[:at] + other + data[at + len(other) :]), Request)


# -- answers ----------------------------------------------------------------------------------------------


def packed(queries: list[Some], vectors: list[np.ndarray], rows: int) -> bytes:
    sender = Sender("mayo", np.array([rows]), RUN, 0, 0)
    return answers(protected(PLAIN_SUM, queries, vectors, sender))


def add(collectors: list[Collector], queries: list[Some], data: bytes, silo: str = "mayo") -> None:
    for collector, body in zip(collectors, read_answers(queries, data, silo), strict=True):
        collector.add(silo, body)


def opened(queries: list[Some], data: bytes) -> list[int]:
    collectors = [PLAIN_SUM.collector(query) for query in queries]
    add(collectors, queries, data)
    return [int(value) for collector in collectors for value in collector.total()]


def length(queries: list[Some], rows: int) -> int:
    return int(Call(Log(RUN), 0, queries).answer_size(np.array([[rows]]))[0]) - REPLY_HEAD


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2**63 - 1), st.integers(1, 8)), max_size=4), st.data())
def test_answers_of_several_queries_come_back(shapes: list[tuple[int, int, int]], data: st.DataObject) -> None:
    rows = data.draw(st.integers(0, 12))
    queries = [Some(n, largest, a_row) for n, largest, a_row in shapes]
    vectors = []
    for query in queries:
        vector = np.zeros(query.n, np.int64)
        reach = min(query.n, rows * query.a_row) if query.a_row < query.n else query.n
        hit = data.draw(st.lists(st.integers(0, max(query.n - 1, 0)), max_size=reach, unique=True))
        vector[hit] = [data.draw(st.integers(-query.largest, query.largest)) for _ in hit]
        vectors.append(vector)
    body = packed(queries, vectors, rows)
    assert len(body) == length(queries, rows)
    assert opened(queries, body) == [int(value) for vector in vectors for value in vector]
    both = [PLAIN_SUM.collector(query) for query in queries]
    add(both, queries, body)
    add(both, queries, packed(queries, [-vector for vector in vectors], rows))
    assert not any(collector.total().any() for collector in both)


def test_a_sum_beyond_the_bound_is_refused() -> None:
    for largest, a_row in ((100, 2), (2**62, 2), (2**63 - 1, 2), (100, 1)):
        query, vector = Some(40, largest, a_row), np.zeros(40, np.int64)
        for value in (largest, -largest):
            vector[3] = value
            body, collector = packed([query], [vector], 1), PLAIN_SUM.collector(query)
            add([collector], [query], body, "a")
            with pytest.raises(ProtocolError, match="silo 'b': its answer takes the sum beyond the bound of Some"):
                add([collector], [query], body, "b")
            assert collector.total().tolist() == vector.tolist()


def test_counts_below_zero_are_refused() -> None:
    query = Some(5, 2**40)
    (body,) = read_answers([query], packed([query], [np.array([5, 1, -7, 0, 0])], 3), "a")
    with pytest.raises(ProtocolError, match="silo 'a': an integer beyond the bound of Counts"):
        PLAIN_SUM.collector(Counts(3)).add("a", body)


def test_the_length_of_an_answer_says_nothing_of_the_values() -> None:
    for query, rows, taken in ((Some(3, 2**40), 1, 4 + 3 * 6), (Some(100, 2**40, 2), 3, 4 + 6 * (4 + 6))):
        for value in (0, -(2**40)):
            vector = np.zeros(query.n, np.int64)
            vector[:3] = value
            assert len(packed([query], [vector], rows)) == taken


def test_a_few_rows_send_no_more_than_they_can_touch() -> None:
    query = [Some(10_000, 2**40, 5)]
    assert [length(query, rows) for rows in (0, 1, 2, 10**6)] == [4, 54, 104, 60_004]


@pytest.mark.parametrize("value", [101, -101, 2**63 - 1, -(2**63)])
def test_an_integer_beyond_its_bound_is_neither_sent_nor_added(value: int) -> None:
    with pytest.raises(ProtocolError, match="Some: an integer beyond the stated bound of 100"):
        packed([Some(2, 100)], [np.array([100, value])], 1)
    lone = np.eye(1, 50, 7, dtype=np.int64)[0] * max(value, 1 - 2**63)
    for a_row in (2, 1):
        body = packed([Some(50, 2**63 - 1, a_row)], [lone], 1)
        with pytest.raises(ProtocolError, match="silo 'mayo': an integer beyond the bound of Narrow, 100"):
            opened([Narrow(50, 2**63 - 1, a_row)], body)


class Narrow(Some, frozen=True, eq=False):
    """Travels as widely as its like, with a bound of its own."""

    def bound(self) -> int:
        return 100

    def width(self) -> int:
        return 8


def test_a_vector_of_another_size_is_not_sent() -> None:
    with pytest.raises(ProtocolError, match="Some: 3 integers where 2 were asked for"):
        packed([Some(2, 100)], [np.zeros(3, np.int64)], 1)


def test_a_query_that_says_too_little_of_what_rows_touch_is_not_answered() -> None:
    with pytest.raises(ProtocolError, match="Some: 2 rows touch 5 integers, more than stated: 4"):
        packed([Some(50, 100, 2)], [np.repeat([1, 0], [5, 45])], 2)


@pytest.mark.parametrize("body", [b"", b"\2", bytes(5), bytes(7), bytes(1000), b"\2\0\0\0", b"\3" + bytes(20)])
def test_an_answer_of_another_length_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError, match=rf"silo 'mayo': an answer of {len(body)} bytes"):
        opened([Some(2, 2**20)], body)


@pytest.mark.parametrize("places", [[3, 3], [4, 3], [3, 50], [50, 51], [2**32 - 1, 3], [3, 2**32 - 2]])
def test_places_that_there_are_not_are_refused(places: list[int]) -> None:
    body = struct.pack("<I2I2b", 10, *places, 1, 1)
    with pytest.raises(ProtocolError, match="silo 'mayo': an answer to Some with places that there are not"):
        opened([Some(50, 100, 1)], body)


def test_integers_without_a_place_are_refused() -> None:
    for integers, fine in (((1, 0), True), ((1, 1), False), ((0, -1), False)):
        body = struct.pack("<I2I2b", 10, 3, 2**32 - 1, *integers)
        if fine:
            assert opened([Some(50, 100, 1)], body)[3] == 1
        else:
            with pytest.raises(ProtocolError, match="silo 'mayo': an answer to Some with places that there are not"):
                opened([Some(50, 100, 1)], body)


@given(st.binary(max_size=60))
def test_damaged_answers_change_nothing(body: bytes) -> None:
    query = Some(20, 100, 2)
    collector = PLAIN_SUM.collector(query)
    with contextlib.suppress(ProtocolError):
        add([collector], [query], body)
        assert np.abs(collector.total()).max() <= 100
        return
    assert not collector.total().any()


def test_a_bound_without_headroom_has_no_width() -> None:
    assert Some(1, 2**63 - 1).width() == 8
    for bound in (2**63, 2**70):
        with pytest.raises(HeadroomError, match=rf"Some: 1 terms of up to {bound}"):
            Some(1, bound).width()


# -- replies ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", [ReplyKind.ANSWER, ReplyKind.BEHIND, ReplyKind.RECORD])
@pytest.mark.parametrize("body", [b"", b"abc"])
def test_a_reply_comes_back_as_it_went(what: ReplyKind, body: bytes) -> None:
    assert open_reply(REQUEST, reply(REQUEST, what, body), "mayo") == (what, body)


@pytest.mark.parametrize("length", range(REPLY_HEAD))
def test_a_short_reply_is_refused(length: int) -> None:
    data = reply(REQUEST, ReplyKind.ANSWER, b"")[:length]
    with pytest.raises(ProtocolError, match=rf"silo 'mayo': a reply of {length} bytes is too short"):
        open_reply(REQUEST, data, "mayo")


@pytest.mark.parametrize("other", [{"run": bytes(16)}, {"round": 6}, {"attempt": 0}], ids=str)
def test_a_reply_to_another_question_is_refused(other: dict[str, object]) -> None:
    foreign = replace(REQUEST, **other)
    with pytest.raises(
        ProtocolError, match=rf"silo 'mayo': a reply to round {foreign.round}, attempt {foreign.attempt}"
    ):
        open_reply(REQUEST, reply(foreign, ReplyKind.ANSWER, b""), "mayo")


@pytest.mark.parametrize("what", [0, 5, 255])
def test_a_reply_of_no_known_kind_is_refused(what: int) -> None:
    data = bytes([what]) + reply(REQUEST, ReplyKind.ANSWER, b"")[1:]
    with pytest.raises(ProtocolError, match=rf"silo 'mayo': a reply of the unknown kind {what}"):
        open_reply(REQUEST, data, "mayo")


def test_how_far_behind_a_silo_is_takes_four_bytes() -> None:
    assert read_behind((300).to_bytes(4, "little"), "mayo") == 300
    for body in (b"", b"123", b"12345"):
        with pytest.raises(ProtocolError, match=rf"silo 'mayo': says that it is behind, in {len(body)} bytes"):
            read_behind(body, "mayo")


@pytest.mark.parametrize("name", errors.__all__)
def test_a_refusal_is_raised_as_its_own_class_and_names_the_silo(name: str) -> None:
    with pytest.raises(FedTreesError, match=r"^silo 'mayo': column 'age' is: odd$") as caught:
        open_reply(REQUEST, reply(REQUEST, ReplyKind.REFUSAL, f"{name}:column 'age' is: odd".encode()), "mayo")
    assert type(caught.value) is getattr(errors, name)


def test_a_refusal_that_names_the_silo_does_not_name_it_twice() -> None:
    with pytest.raises(DataError, match=r"^silo 'mayo': y, row 3: NaN$"):
        open_reply(REQUEST, reply(REQUEST, ReplyKind.REFUSAL, b"DataError:silo 'mayo': y, row 3: NaN"), "mayo")


@pytest.mark.parametrize(
    "said",
    [
        b"SystemExit:x",
        b"unknown_value:x",
        b"get_close_matches:x",
        b"__builtins__:x",
        b"",
        b":",
        b"\xff\xfe\x00",
        b"no colon",
    ],
)
def test_a_refusal_cannot_choose_what_is_raised(said: bytes) -> None:
    with pytest.raises(FedTreesError, match=r"^silo 'mayo': ") as caught:
        open_reply(REQUEST, reply(REQUEST, ReplyKind.REFUSAL, said), "mayo")
    assert type(caught.value) is FedTreesError


@given(st.binary(max_size=60))
def test_noise_is_never_taken_for_a_reply(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="silo 'mayo'"):
        open_reply(REQUEST, data, "mayo")


def test_refusals_stay_value_errors_where_they_are() -> None:
    with pytest.raises(ValueError, match="odd") as caught:
        open_reply(REQUEST, reply(REQUEST, ReplyKind.REFUSAL, b"ParameterError:odd"), "mayo")
    assert isinstance(caught.value, ParameterError)
