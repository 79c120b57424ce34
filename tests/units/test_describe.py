"""The first message: what a silo tells of its tables, and what is refused before anything is read."""

from __future__ import annotations

import numpy as np
import pytest

from fedtrees import Channel, FedTreeClassifier, LocalFederation, ParameterError, ProtocolError, Silo
from fedtrees.core.protocol.describe import VERSION, Describe
from fedtrees.core.protocol.log import Call, Log
from fedtrees.core.protocol.message import ReplyKind, open_reply
from fedtrees.core.protocol.silo import Silo as Owner


def silos() -> list[Silo]:
    table = np.arange(12.0).reshape(6, 2)
    sets = [(table[:2], ["ill", "well"])]
    return [Silo(name, table, ["well", "ill", "odd"] * 2, eval_set=sets, n_jobs=1) for name in "ab"]


@pytest.mark.parametrize("mode", ["fused", "faithful"])
@pytest.mark.parametrize("labels", [False, True, "by column"])
def test_silos_describe_columns_sets_and_the_labels_that_are_asked_for(mode: str, labels: bool | str) -> None:
    channel = Channel(LocalFederation(silos(), mode))
    described = channel.describe(labels)  # type: ignore[arg-type]
    for _, own in described:
        assert own.schema.names == ["f0", "f1"] and own.eval_sets == 1 and own.version == VERSION
        assert own.schema.labels == (["ill", "odd", "well"] if labels else None)
    assert [name for name, _ in described] == (["a"] if mode == "fused" else ["a", "b"])
    (row,) = channel.ledger.per_round().itertuples()
    assert row.kind == "Describe" and row.silos == row.answers == 2 and row.integers == 0


def test_it_takes_the_same_bytes_in_both_modes() -> None:
    fused, faithful = (Channel(LocalFederation(silos(), mode)) for mode in ("fused", "faithful"))
    for channel in (fused, faithful):
        channel.describe(True)
    assert fused.ledger.per_silo().equals(faithful.ledger.per_silo())


def test_another_version_is_refused_by_the_silo() -> None:
    call = Call(Log(bytes(16)), 0, (), describe=Describe(True, VERSION + 1))
    reply = silos()[0].answer(call.request(0).encode())
    text = (
        rf"^silo 'a': the server speaks version {VERSION + 1} of the protocol, and this silo version {VERSION}; install"
    )
    with pytest.raises(ProtocolError, match=text):
        open_reply(call, reply, "a")


def test_a_silo_of_another_version_is_refused_by_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = silos()
    told = parts[1].description(Describe(True))
    monkeypatch.setattr(parts[1], "description", lambda question: type(told)(told.schema, told.eval_sets, 7))
    with pytest.raises(ProtocolError, match=r"^silo 'b' speaks version 7 of the protocol, and the server version 1; "):
        FedTreeClassifier().fit_federation(LocalFederation(parts, "faithful"))


def test_a_description_where_a_sum_belongs_is_refused() -> None:
    silo: Owner = silos()[0]
    call = Call(Log(bytes(16)), 0, (), describe=Describe(True))
    what, _ = open_reply(call, silo.answer(call.request(0).encode()), "a")
    assert what == ReplyKind.RECORD
    with pytest.raises(ProtocolError, match="silo 'a': a reply of the kind RECORD to a sum"):
        Call(Log(bytes(16)), 0, ()).bodies(silo.answer(call.request(0).encode()), "a")


def test_silos_of_unlike_numbers_of_sets_are_named() -> None:
    class Odd(LocalFederation):
        """Its silos are asked one by one, and were never compared."""

    parts = silos()
    parts[1].read = parts[1].read[0], []
    federation = Odd(parts[:1], "faithful")
    federation.names = ["a", "b"]
    federation._postman.names = federation.names
    federation._postman.transport._answer["b"] = parts[1].answer  # type: ignore[attr-defined]
    federation._postman._received = np.zeros(2, np.int64)
    with pytest.raises(ParameterError, match=r"silos have different numbers of evaluation sets: {'a': 1, 'b': 0}"):
        FedTreeClassifier().fit_federation(federation)
