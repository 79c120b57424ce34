"""Transport of messages: bytes and names of silos, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fedtrees.core.protocol.federation import Answer, silo_lost
from fedtrees.core.protocol.log import Call
from fedtrees.core.protocol.message import ReplyKind, open_reply, read_behind
from fedtrees.core.sampling.samplers import Cohort
from fedtrees.errors import ProtocolError


class Transport(Protocol):
    """A way to carry a request to each of some silos and to bring their replies."""

    def exchange(self, messages: Mapping[str, bytes], timeout: float) -> dict[str, bytes]:
        """Return the replies that came within ``timeout`` seconds; a name that is missing is a silo that is lost."""
        ...


class Postman:
    """The sender of requests over a transport: each holds the facts that its silo lacks, after a restart all of them.

    Parameters
    ----------
    transport : Transport
    names : sequence of str
    timeout : float
        Seconds a round may take.
    attempts : int
        The number of times that a silent silo is asked before it counts as lost.
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
        self._received = np.zeros(len(names), np.int64)  # facts of the run that each silo has acknowledged

    def ask(self, call: Call, cohort: Cohort) -> Iterator[Answer]:
        """See `Federation`: each silo's answer, or that it is lost for a round that can do without it.

        Raises
        ------
        SiloLostError
            If the round cannot.
        """
        if call.log.run != self._run:
            self._run = call.log.run
            self._received[:] = 0
        self._received[self._received > len(call.log)] = 0  # the run went back to a checkpoint, and they begin anew
        for start in range(0, len(cohort), self.batch):
            batch = cohort[start : start + self.batch].tolist()
            waiting = {self.names[silo]: _Errand(silo, self.attempts) for silo in batch}
            while waiting:
                yield from self._ask(call, waiting)

    def _ask(self, call: Call, waiting: dict[str, _Errand]) -> Iterator[Answer]:
        """Ask the silos that have not answered once more; those that answer leave the list, and those lost for good."""
        lost = sorted(name for name in waiting if not waiting[name].attempts)
        if lost and not call.partial:
            raise silo_lost(call, lost, self.attempts)
        for name in lost:
            yield waiting.pop(name).answer(None)
        requests = {
            name: call.request(int(self._received[errand.silo]), errand.silo) for name, errand in waiting.items()
        }
        messages = {name: request.encode() for name, request in requests.items()}
        for name, errand in waiting.items():
            errand.down += len(messages[name])
            errand.attempts -= 1
        for name, data in self.transport.exchange(messages, self.timeout).items():
            if name not in requests:
                raise ProtocolError(f"silo {name!r}: a reply where nothing was asked")
            errand = waiting[name]
            errand.up += len(data)
            kind, body = open_reply(call, data, name)
            if kind == ReplyKind.BEHIND:
                self._received[errand.silo] = min(read_behind(body, name), self._received[errand.silo])
                errand.attempts += not errand.behind  # one restart is no failed attempt
                errand.behind = True
            else:
                self._received[errand.silo] = len(call.log)
                yield waiting.pop(name).answer(data)


@dataclass
class _Errand:
    """A silo's part of a round: its place in the federation, attempts left, and bytes so far."""

    silo: int
    attempts: int
    down: int = 0
    up: int = 0
    behind: bool = False

    def answer(self, data: bytes | None) -> Answer:
        """The silo's answer, with the bytes that it took."""
        return Answer(self.silo, data, self.down, self.up)


class InProcess:
    """A transport to objects in this process: every message really becomes bytes, and back."""

    def __init__(self, answer: Mapping[str, Callable[[bytes], bytes]]):
        self._answer = answer

    def exchange(self, messages: Mapping[str, bytes], timeout: float) -> dict[str, bytes]:
        """See `Transport`."""
        return {name: self._answer[name](message) for name, message in messages.items()}
