"""The postman: silos that are silent, slow, forgetful or foreign; and law 5, that forgetting changes no bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from fedtrees import DataError, FedGBTClassifier, FedGBTRegressor, LocalFederation, ProtocolError, Silo, SiloLostError
from fedtrees.core.numeric.rng import stream
from fedtrees.core.protocol.channel import Channel
from fedtrees.core.protocol.message import REPLY_HEAD, ReplyKind, Request, reply
from fedtrees.core.protocol.start_messages import Weigh
from fedtrees.core.sampling.weighting import RowWeights
from fedtrees.queries.counts import Counts
from fedtrees.runtime.transport import InProcess, Postman, Transport

EVERYONE = np.arange(3)


def silos() -> list[Silo]:
    rng = np.random.default_rng(5)
    X = rng.normal(size=(60, 3)).round(1)
    X[rng.random(X.shape) < 0.1] = np.nan
    y = (np.nan_to_num(X[:, 0]) + rng.normal(scale=0.5, size=60) > 0).astype(int)
    return [
        Silo(name, X[rows], y[rows], n_jobs=1)
        for name, rows in (("a", slice(25)), ("b", slice(25, 30)), ("c", slice(30, 60)))
    ]


class Line:
    """A transport that loses, repeats or spoils what ``wrong`` says: a function of (exchange, silo, replies)."""

    def __init__(
        self, parts: list[Silo], wrong: Callable[[int, dict[str, bytes]], Any] = lambda exchange, replies: None
    ):
        self.inner = InProcess({silo.name: silo.answer for silo in parts})
        self.wrong = wrong
        self.sent: list[dict[str, bytes]] = []
        self.timeouts: set[float] = set()

    def exchange(self, messages: Mapping[str, bytes], timeout: float) -> dict[str, bytes]:
        self.sent.append(dict(messages))
        assert len(self.sent) < 500, "silos are asked for ever"
        self.timeouts.add(timeout)
        replies = self.inner.exchange(messages, timeout)
        self.wrong(len(self.sent) - 1, replies)
        return replies


def over(transport: Transport, parts: list[Silo], **options: Any) -> LocalFederation:
    """A faithful federation whose messages go over a transport."""
    federation = LocalFederation(parts, mode="faithful", n_jobs=1)
    federation._postman = Postman(transport, federation.names, **options)
    return federation


def channel_over(wrong: Callable[[int, dict[str, bytes]], Any], **options: Any) -> tuple[Channel, Line]:
    parts = silos()
    line = Line(parts, wrong)
    return Channel(over(line, parts, **options)), line


def losing(*lost: tuple[int, str]) -> Callable[[int, dict[str, bytes]], Any]:
    return lambda exchange, replies: [replies.pop(name, None) for at, name in lost if at == exchange]


# -- silence ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_a_silo_that_stays_silent_is_lost_by_name_and_round(attempts: int) -> None:
    channel, line = channel_over(losing(*((at, "b") for at in range(1, 9))), attempts=attempts, timeout=1.5)
    channel.total(Counts(3), EVERYONE)
    with pytest.raises(SiloLostError, match=rf"^round 1: no answer from silo 'b' in {attempts} attempts\.$"):
        channel.total(Counts(3), EVERYONE)
    assert [sorted(messages) for messages in line.sent] == [["a", "b", "c"]] * 2 + [["b"]] * (attempts - 1)
    assert line.timeouts == {1.5}
    assert channel.ledger.rounds == 1


def test_all_who_are_lost_are_named() -> None:
    channel, _ = channel_over(lambda exchange, replies: replies.clear())
    with pytest.raises(SiloLostError, match=r"^round 0: no answer from silo 'a', 'b', 'c' in 2 attempts"):
        channel.total(Counts(3), EVERYONE)


def test_those_who_are_lost_are_named_in_one_order_wherever_they_stand() -> None:
    parts = silos()[::-1]
    line = Line(parts, lambda exchange, replies: replies.clear())
    with pytest.raises(SiloLostError, match=r"no answer from silo 'a', 'b', 'c' in 2 attempts"):
        Channel(over(line, parts)).total(Counts(3), EVERYONE)


def test_a_lost_silo_is_a_lost_connection() -> None:
    channel, _ = channel_over(losing((0, "a"), (1, "a")))
    with pytest.raises(ConnectionError):
        channel.total(Counts(3), EVERYONE)


def test_a_silo_that_answers_at_the_second_attempt_costs_that_attempt_and_nothing_else() -> None:
    channel, line = channel_over(losing((0, "b")))
    undisturbed, _ = channel_over(lambda exchange, replies: None)
    answers = [c.total(Counts(3), EVERYONE) for c in (channel, undisturbed)]
    assert (answers[0].rows, answers[0].silos, answers[0].missing.tolist()) == (
        answers[1].rows, answers[1].silos, answers[1].missing.tolist(),
    )  # fmt: skip
    assert line.sent[1] == {"b": line.sent[0]["b"]}
    costs, usual = channel.ledger.per_silo(), undisturbed.ledger.per_silo()
    assert (costs["bytes_down"] - usual["bytes_down"]).to_dict() == {"a": 0, "b": len(line.sent[0]["b"]), "c": 0}
    assert (costs["bytes_up"] - usual["bytes_up"]).to_dict() == {"a": 0, "b": 0, "c": 0}  # what was lost never came


def test_silos_are_asked_in_batches() -> None:
    channel, line = channel_over(lambda exchange, replies: None, batch=2)
    assert channel.total(Counts(3), EVERYONE).rows == 60
    assert [sorted(messages) for messages in line.sent] == [["a", "b"], ["c"]]


def test_an_empty_cohort_sends_nothing() -> None:
    channel, line = channel_over(lambda exchange, replies: None)
    assert channel.total(Counts(3), np.zeros(0, np.int64)).rows == 0
    assert channel.gather(Counts(3), np.zeros(0, np.int64)).shape == (0, 5)
    assert line.sent == []


# -- memory -----------------------------------------------------------------------------------------------


def test_facts_are_sent_once_and_all_again_to_one_that_forgot() -> None:
    parts = silos()
    line = Line(parts)
    channel = Channel(over(line, parts))
    for _ in range(3):
        channel.tell(Weigh(RowWeights()))
        channel.total(Counts(3), EVERYONE)
    parts[1].forget()
    channel.total(Counts(3), EVERYONE)
    requests = [{name: Request.decode(m) for name, m in messages.items()} for messages in line.sent]
    assert [{name: (r.since, len(r.facts)) for name, r in exchange.items()} for exchange in requests] == [
        {"a": (0, 1), "b": (0, 1), "c": (0, 1)},
        {"a": (1, 1), "b": (1, 1), "c": (1, 1)},
        {"a": (2, 1), "b": (2, 1), "c": (2, 1)},
        {"a": (3, 0), "b": (3, 0), "c": (3, 0)},
        {"b": (0, 3)},
    ]
    costs = channel.ledger.detail("b").iloc[-1], channel.ledger.detail("a").iloc[-1]
    assert costs[0]["bytes_down"] - costs[1]["bytes_down"] == len(line.sent[-1]["b"])
    assert costs[0]["bytes_up"] - costs[1]["bytes_up"] == REPLY_HEAD + 4  # that it said it was behind


def test_to_have_restarted_is_no_failed_attempt_but_restarting_for_ever_is() -> None:
    parts = silos()
    line = Line(parts)
    channel = Channel(over(line, parts, attempts=1))
    channel.tell(Weigh(RowWeights()))
    channel.total(Counts(3), EVERYONE)
    parts[0].forget()
    assert channel.total(Counts(3), EVERYONE).rows == 60

    def ahead(exchange: int, replies: dict[str, bytes]) -> None:
        if exchange == before:
            replies["b"] = reply(Request.decode(line.sent[-1]["b"]), ReplyKind.BEHIND, (300).to_bytes(4, "little"))

    before, line.wrong = len(line.sent), ahead
    assert channel.total(Counts(3), EVERYONE).rows == 60  # as a silo of what it was never sent is no further ahead

    def behind(exchange: int, replies: dict[str, bytes]) -> None:
        replies["b"] = reply(Request.decode(line.sent[-1]["b"]), ReplyKind.BEHIND, bytes(4))

    line.wrong = behind
    with pytest.raises(SiloLostError, match="no answer from silo 'b' in 1 attempts"):
        channel.total(Counts(3), EVERYONE)


def test_a_postman_asks_64_silos_at_a_time_and_waits_a_minute_twice() -> None:
    parts = [Silo(f"{k:03}", [[1.0]], [k], n_jobs=1) for k in range(131)]
    line = Line(parts, losing((2, "130")))
    assert Channel(over(line, parts)).total(Counts(1), np.arange(131)).rows == 131
    assert [len(messages) for messages in line.sent] == [64, 64, 3, 1] and line.timeouts == {60.0}
    line.wrong = lambda exchange, replies: replies.clear()
    with pytest.raises(SiloLostError, match="in 2 attempts"):
        Channel(over(line, parts)).total(Counts(1), np.arange(131))


# -- what does not belong ---------------------------------------------------------------------------------


def test_an_answer_that_comes_late_as_well_does_no_harm() -> None:
    kept: dict[str, bytes] = {}

    def late(exchange: int, replies: dict[str, bytes]) -> None:
        if exchange == 0:
            kept.update(b=replies.pop("b"))  # too late for the first attempt,
        else:
            replies.update(kept)  # it comes with the second, in place of the second's own

    channel, _ = channel_over(late)
    assert channel.total(Counts(3), EVERYONE).rows == 60


def test_an_answer_to_an_earlier_round_is_refused() -> None:
    kept: list[bytes] = []

    def doubled(exchange: int, replies: dict[str, bytes]) -> None:
        kept.append(replies["c"])
        replies["c"] = kept[0]

    channel, _ = channel_over(doubled)
    channel.total(Counts(3), EVERYONE)
    with pytest.raises(ProtocolError, match=r"^silo 'c': a reply to round 0, attempt 0, of another question"):
        channel.total(Counts(3), EVERYONE)


def put(name: str, data: bytes) -> Callable[[int, dict[str, bytes]], None]:
    return lambda exchange, replies: replies.update({name: data})


def change(name: str, how: Callable[[bytes], bytes]) -> Callable[[int, dict[str, bytes]], None]:
    return lambda exchange, replies: replies.update({name: how(replies[name])})


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (put("stranger", b""), "silo 'stranger': a reply where nothing was asked"),
        (put("b", b""), "silo 'b': a reply of 0 bytes is too short"),
        (change("b", lambda data: data[:-1]), "silo 'b': an answer of 33 bytes is not one to"),
        (change("b", lambda data: data + b"\0"), "silo 'b': an answer of 35 bytes where 34 were asked for"),
        (change("b", lambda data: b"\x63" + data[1:]), "silo 'b': a reply of the unknown kind 99"),
        (
            change("b", lambda data: bytes([ReplyKind.RECORD]) + data[1:]),
            "silo 'b': a reply of the kind RECORD to a sum",
        ),
        (
            change("b", lambda data: bytes([ReplyKind.BEHIND]) + data[1:]),
            "silo 'b': says that it is behind, in 34 bytes",
        ),
        (change("b", lambda data: data[:1] + bytes(16) + data[17:]), "silo 'b': a reply to round 0, attempt 0, of "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_replies_that_do_not_belong_are_refused_by_silo(wrong: Any, text: str) -> None:
    channel, _ = channel_over(wrong)
    with pytest.raises(ProtocolError, match=f"^{text}"):
        channel.total(Counts(3), EVERYONE)
    assert channel.ledger.rounds == 0


def test_a_silo_that_refuses_is_heard_in_its_own_words() -> None:
    parts = silos()
    agreed = parts[2].schema(labels=True)
    parts[2].table.y[4] = 7  # after the labels were agreed on
    parts[2].schema = lambda labels: agreed  # type: ignore[method-assign]
    with pytest.raises(DataError, match=r"^silo 'c': y, row 4: label 7 is none of the agreed ones, \[0, 1\]\.$"):
        FedGBTClassifier(n_estimators=1, n_jobs=1).fit_federation(LocalFederation(parts, mode="faithful", n_jobs=1))


# -- law 5 ------------------------------------------------------------------------------------------------


class Forgetful(Line):
    """Before any exchange, any silo may have restarted, and any reply may be lost."""

    def __init__(self, parts: list[Silo], seed: int, share: float):
        super().__init__(parts)
        self.parts, self.share, self.random = parts, share, stream(seed, "restarts")
        self.restarts = 0

    def exchange(self, messages: Mapping[str, bytes], timeout: float) -> dict[str, bytes]:
        for silo in self.parts:
            if self.random.random() < self.share:
                silo.forget()
                self.restarts += 1
        replies = super().exchange(messages, timeout)
        return {name: data for name, data in replies.items() if self.random.random() >= self.share / 2}


@pytest.mark.parametrize(
    "estimator",
    [
        FedGBTClassifier(n_estimators=4, max_depth=4, max_bin=8, n_jobs=1),
        FedGBTClassifier(n_estimators=5, max_depth=3, objective="multi:softprob", weighting="equal", n_jobs=1),
        FedGBTRegressor(n_estimators=4, max_depth=3, reg_lambda=0.1, n_jobs=1),
        FedGBTRegressor(n_estimators=6, max_depth=3, sampling=2, random_state=3, n_jobs=1),
    ],
    ids=["binary", "multiclass, equal silos", "regression", "sampled cohorts"],
)
@pytest.mark.parametrize(("seed", "share"), [(0, 0.1), (1, 0.3), (2, 0.5)])
def test_silos_that_restart_in_the_middle_of_trees_change_no_bit(estimator: Any, seed: int, share: float) -> None:
    steady = estimator.fit_federation(LocalFederation(silos(), n_jobs=1))
    wanted, usual = steady.booster_.save_raw("json"), steady.ledger_
    parts = silos()
    line = Forgetful(parts, seed, share)
    disturbed = estimator.fit_federation(over(line, parts, attempts=50))
    assert disturbed.booster_.save_raw("json") == wanted
    assert line.restarts > 5
    assert disturbed.ledger_.rounds == usual.rounds
    assert disturbed.ledger_.bytes_down > usual.bytes_down and disturbed.ledger_.bytes_up > usual.bytes_up
    assert disturbed.ledger_.bytes_down == sum(len(m) for messages in line.sent for m in messages.values())


def test_a_silo_that_was_not_asked_yet_has_nothing_to_answer() -> None:
    for cohort, asked in ((EVERYONE, 2), (EVERYONE[:2], 3)):
        channel, _ = channel_over(put("c", b""), batch=asked)
        with pytest.raises(ProtocolError, match=r"^silo 'c': a reply where nothing was asked"):
            channel.total(Counts(3), cohort)
