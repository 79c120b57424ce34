"""Below this line there are bytes and silo names only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np

from fedtrees.core.channel import Call, Reply
from fedtrees.core.cohort import Cohort
from fedtrees.core.message import What, open_reply, unpack_answers
from fedtrees.core.ring import Vector
from fedtrees.errors import ProtocolError, SiloLostError


class Transport(Protocol):
    """Carries a request to each of some silos and brings their replies."""

    def exchange(self, messages: Mapping[str, bytes], timeout: float) -> dict[str, bytes]:
        """Return the replies that came within ``timeout`` seconds; a name that is missing is a silo that is lost."""
        ...


class Postman:
    """Asks silos over a transport: addresses each the facts it has not heard, and brings the forgetful up to date.

    Parameters
    ----------
    transport : Transport
    names : sequence of str
    timeout : float
        Seconds a round may take.
    attempts : int
        How often a silent silo is asked before it counts as lost.
    batch : int
        Silos asked at a time: bounds the memory that their replies take.
    """

    def __init__(
        self,
        transport: Transport,
        names: Sequence[str],
        timeout: float = 60.0,
        attempts: int = 2,
        batch: int = 64,
    ):
        self.transport, self.names = transport, names
        self.timeout, self.attempts, self.batch = timeout, attempts, batch
        self._run = b""
        self._heard = np.zeros(len(names), np.int64)

    def sum(self, call: Call, cohort: Cohort) -> Reply:
        """The sum of the cohort's vectors; the silos' own are let go one by one."""
        total = np.zeros(call.size(), np.int64)
        down = np.zeros(len(cohort), np.int64)
        for place, sent, vector in self._vectors(call, cohort):
            total += vector
            down[place] = sent
        return Reply(total, down, call.answer_size())

    def gather(self, call: Call, cohort: Cohort) -> Reply:
        """The cohort's vectors, a row a silo."""
        vectors = np.zeros((len(cohort), call.size()), np.int64)
        down = np.zeros(len(cohort), np.int64)
        for place, sent, vector in self._vectors(call, cohort):
            vectors[place] = vector
            down[place] = sent
        return Reply(vectors, down, call.answer_size())

    def _vectors(self, call: Call, cohort: Cohort) -> Iterator[tuple[int, int, Vector]]:
        if call.log.run != self._run:
            self._run = call.log.run
            self._heard[:] = 0
        for start in range(0, len(cohort), self.batch):
            yield from self._ask(call, cohort, range(start, min(start + self.batch, len(cohort))))

    def _ask(self, call: Call, cohort: Cohort, places: range) -> Iterator[tuple[int, int, Vector]]:
        waiting = {self.names[cohort[place]]: place for place in places}
        sent = dict.fromkeys(waiting, 0)
        for _ in range(self.attempts + 1):  # one more, for silos that first say that they are behind
            messages = {name: call.request(int(self._heard[cohort[p]])).encode() for name, p in waiting.items()}
            for name, message in messages.items():
                sent[name] += len(message)
            for name, data in self.transport.exchange(messages, self.timeout).items():
                request = call.request(int(self._heard[cohort[waiting[name]]]))
                what, body = open_reply(request, data, name)
                silo = cohort[waiting[name]]
                if what == What.BEHIND:
                    self._heard[silo] = int.from_bytes(body, "little")
                    continue
                if what != What.ANSWER:
                    raise ProtocolError(f"silo {name!r}: a reply of the kind {what.name} to a sum")
                self._heard[silo] = len(call.log)
                yield waiting.pop(name), sent[name], unpack_answers(call.queries, body)
            if not waiting:
                return
        lost = ", ".join(repr(name) for name in sorted(waiting))
        raise SiloLostError(f"round {call.round}: no answer from silo {lost} in {self.attempts} attempts.")


class InProcess:
    """A transport to objects in this process: every message really becomes bytes, and back."""

    def __init__(self, answer: Mapping[str, Callable[[bytes], bytes]]):
        self._answer = answer

    def exchange(self, messages: Mapping[str, bytes], timeout: float) -> dict[str, bytes]:
        """See `Transport`."""
        return {name: self._answer[name](message) for name, message in messages.items()}
