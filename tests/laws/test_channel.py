"""The plain channel: what it asks, in which order it checks, and what it writes down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from fedtrees import Channel, FedGBTRegressor, HeadroomError, LocalFederation, ProtocolError, Silo
from fedtrees.core.data.record import encode
from fedtrees.core.protocol.aggregation import Sender, protected
from fedtrees.core.protocol.federation import Answer, Reply
from fedtrees.core.protocol.log import Call, Log, run_name
from fedtrees.core.protocol.message import REPLY_HEAD, ReplyKind, answers, frame, reply
from fedtrees.core.protocol.query import Query
from fedtrees.core.protocol.start_messages import Weigh
from fedtrees.core.sampling.samplers import Cohort
from fedtrees.core.sampling.weighting import RowWeights, SiloWeights


class Place(Query, frozen=True, eq=False):
    """A silo answers with its place in the federation, n times."""

    n: int
    largest: int = 100

    def size(self) -> int:
        return self.n

    def bound(self) -> int:
        return self.largest

    def read(self, total: np.ndarray) -> list[int]:
        return total.tolist()


class Fake:
    """A federation that only writes down what it is asked."""

    def __init__(self, n: int = 4):
        self.names: Sequence[str] = [f"silo {k}" for k in range(n)]
        self.calls: list[Call] = []

    def ask(self, call: Call, cohort: Cohort) -> Iterator[Answer]:
        self.calls.append(call)
        for silo in reversed(cohort.tolist()):  # in any order
            sender = Sender(self.names[silo], np.array([1]), call.run, call.round, call.attempt)
            vectors = [np.full(query.size(), silo) for query in call.queries]
            body = answers(protected(call.aggregation, call.queries, vectors, sender))
            yield Answer(silo, reply(call, ReplyKind.ANSWER, body), 10, 20)


def test_a_total_is_read_from_the_sum_of_the_cohort_s_vectors() -> None:
    channel = Channel(Fake())
    assert channel.total(Place(2), np.array([1, 3])) == [4, 4]
    assert channel.totals([Place(1), Place(0), Place(3)], np.array([2, 3])) == [[5], [], [5, 5, 5]]
    np.testing.assert_array_equal(channel.gather(Place(2), np.array([0, 3])), [[0, 0], [3, 3]])


def test_rounds_are_numbered_and_written_down_whatever_is_asked() -> None:
    federation = Fake()
    channel = Channel(federation)
    channel.total(Place(2), np.arange(4))
    channel.totals([Place(1), Place(3)], np.array([1]))
    channel.gather(Place(5), np.array([0, 2]))
    assert [call.round for call in federation.calls] == [0, 1, 2]
    table = channel.ledger.per_round()
    assert table["kind"].tolist() == ["Place", "Place+Place", "Place"]
    assert table["silos"].tolist() == [4, 1, 2]
    assert table["integers"].tolist() == [2, 4, 5]
    assert table["bytes_up"].tolist() == [80, 20, 40]


# -- headroom ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bound", [2**63, 2**64, 2**100])
def test_without_headroom_nothing_is_sent_and_nothing_written_down(bound: int) -> None:
    federation = Fake()
    channel = Channel(federation)
    fine, wide = Place(1, 2**63 - 1), Place(1, bound)
    for ask in (
        lambda: channel.total(wide, np.arange(4)),
        lambda: channel.totals([fine, wide], np.arange(4)),
        lambda: channel.gather(wide, np.arange(4)),
    ):
        with pytest.raises(HeadroomError, match=r"^Place: 1 terms of up to"):
            ask()
    assert federation.calls == [] and channel.ledger.rounds == 0
    channel.total(fine, np.arange(4))
    assert len(federation.calls) == channel.ledger.rounds == 1


class Crowded(LocalFederation):
    """Says that it holds many more rows than it does."""

    rows = 0

    def sum(self, call: Call, cohort: Cohort) -> Reply:
        self.kinds = [*getattr(self, "kinds", []), *(query.kind for query in call.queries)]
        reply = super().sum(call, cohort)
        if self.kinds == ["Counts"]:
            reply.vector[0] = self.rows
        if self.kinds[-1] == "WholeWeights":
            reply.vector[call.queries[0].size() + 1] = self.rows
        return reply


@pytest.mark.parametrize(("rows", "fits"), [(2**43 - 1, True), (2**43, False)])  # of 20 bits each
def test_too_many_rows_are_refused_before_a_histogram_is_asked_for(rows: int, fits: bool) -> None:
    federation = Crowded([Silo("a", [[1.0], [2.0]], [0.0, 1.0])], n_jobs=1)
    federation.rows = rows
    model = FedGBTRegressor(n_estimators=1, max_depth=1, n_jobs=1)
    if fits:
        model.fit_federation(federation)
        assert "Histograms" in federation.kinds
    else:
        with pytest.raises(HeadroomError, match=r"^Histograms: 1 terms of up to 9223372036854775808 need 65 bits"):
            model.fit_federation(federation)
        assert len(federation.kinds) > 1 and "Histograms" not in federation.kinds


@pytest.mark.parametrize("given", [b"bytes", None, Answer(4, b"", 0), Answer(-1, b"", 0)], ids=repr)
def test_what_is_no_answer_of_a_silo_is_refused(given: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    federation = Fake()
    monkeypatch.setattr(federation, "ask", lambda call, cohort: [given])
    with pytest.raises(ProtocolError, match=r"^Fake\.ask returned .*; give a fedtrees\.Answer whose silo is a place"):
        Channel(federation).total(Place(1), np.arange(4))


# -- facts ------------------------------------------------------------------------------------------------


def test_facts_travel_in_order_with_the_next_request() -> None:
    federation = Fake()
    channel = Channel(federation)
    facts = [Weigh(RowWeights()), Weigh(SiloWeights({"a": 1.0}, 2, 1))]
    for fact in facts:
        channel.tell(fact)
    channel.total(Place(1), np.arange(4))
    (call,) = federation.calls
    framed = [frame(encode(fact)) for fact in facts]
    assert call.log.facts == facts and len(call.log) == 2
    assert list(call.request(0).facts) == framed and list(call.request(1).facts) == framed[1:]
    assert call.log.sizes == [0, len(framed[0]), len(framed[0]) + len(framed[1])]
    assert len(call.request(0).encode()) == len(call.request(2).encode()) + call.log.sizes[-1]


def test_a_call_knows_what_its_answer_takes() -> None:
    call = Call(Log(bytes(16)), 0, [Place(3, 100), Place(2, 2**30)])
    assert call.size() == 5
    assert call.answer_size(np.array([[1, 10**9]])).tolist() == [REPLY_HEAD + 2 * 4 + 3 * 1 + 2 * 4] * 2


def test_no_two_runs_share_a_name() -> None:
    names = {run_name() for _ in range(12)}
    assert len(names) == 12 and {len(name) for name in names} == {16}
