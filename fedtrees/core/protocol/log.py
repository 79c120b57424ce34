"""The facts of a run, and the calls that carry them to silos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.record import Record, decode, encode
from fedtrees.core.protocol.aggregation import PLAIN_SUM, Aggregation
from fedtrees.core.protocol.describe import Describe, Description
from fedtrees.core.protocol.message import FRAME_HEAD, REPLY_HEAD, ReplyKind, Request, frame, open_reply, read_answers
from fedtrees.core.protocol.query import Fact, Query, Repeat
from fedtrees.core.sampling.samplers import Cohort
from fedtrees.errors import ParameterError, ProtocolError


class KeptQuestion(Record, frozen=True, eq=False):
    """A question that silos remember, and those that answered it; see `Query.remembered`.

    Parameters
    ----------
    asked : bytes
        The query, encoded.
    silos : int64 (any,)
        Their places among the federation's silos.
    size : int
        Bytes that it takes in a request.
    """

    asked: bytes
    silos: Cohort
    size: int

    @property
    def query(self) -> Query:
        """The query."""
        return decode(self.asked, Query)


class Log:
    """The facts of a run, in order, and the questions that silos remember: all that their answers depend on.

    ``sizes[v]`` are the bytes of the first ``v`` facts on the wire.
    """

    def __init__(self, run: bytes):
        self.run = run
        self.facts: list[Fact] = []
        self.frames: list[bytes] = []  # encoded once, whatever the number of silos
        self.sizes = [0]
        self.kept: list[KeptQuestion] = []

    def append(self, fact: Fact) -> None:
        """Add a fact; every silo receives it with the next request that reaches it."""
        self._add(fact, frame(encode(fact)))

    def append_frame(self, framed: bytes) -> None:
        """Add a fact as it travels."""
        self._add(decode(framed[FRAME_HEAD:], Fact), framed)

    def _add(self, fact: Fact, framed: bytes) -> None:
        self.facts.append(fact)
        self.frames.append(framed)
        self.sizes.append(self.sizes[-1] + len(framed))

    def keep(self, asked: bytes, silos: Cohort) -> None:
        """Keep a question that silos remember, for those among them that forget."""
        self.kept.append(KeptQuestion(asked, silos.astype(np.int64), len(frame(encode(Repeat(asked))))))

    def repeats(self, silo: int) -> list[Repeat]:
        """Return the questions that a silo has answered and remembers, for one that has forgotten them."""
        return [Repeat(kept.asked) for kept in self.kept if (kept.silos == silo).any()]

    def repeat_sizes(self, cohort: Cohort) -> NDArray[np.int64]:
        """Return the bytes that `repeats` take, int64 (silos,)."""
        sizes = np.zeros(len(cohort), np.int64)
        for kept in self.kept if len(cohort) else ():
            sizes[np.isin(cohort, kept.silos)] += kept.size
        return sizes

    def __len__(self) -> int:
        return len(self.facts)


@dataclass(frozen=True)
class Call:
    """A round's questions, before they are addressed to silos."""

    log: Log
    round: int
    queries: Sequence[Query]
    attempt: int = 0
    describe: Describe | None = None  # asked alone, in place of queries
    aggregation: Aggregation = PLAIN_SUM

    @property
    def run(self) -> bytes:
        """The name of the run."""
        return self.log.run

    def request(self, since: int, silo: int | None = None) -> Request:
        """The request for a silo that has ``since`` facts; one without any is reminded of what it has answered.

        Raises
        ------
        ParameterError
            If it may have to be reminded and is not named.
        """
        if not since and silo is None and self.log.kept:
            raise ParameterError(
                "Call.request(0): silos remember what they have answered in this training, and those that start anew "
                "are sent it again; give the silo's place, as in call.request(0, silo)."
            )
        facts = self.log.frames[since:]
        repeats = [] if since or silo is None else self.log.repeats(silo)
        asked = self.queries if self.describe is None else [self.describe]
        return Request(self.log.run, self.round, self.attempt, since, facts, [*repeats, *asked])

    @property
    def partial(self) -> bool:
        """Return whether the answers of some of the cohort will do."""
        return self.describe is None and all(query.partial for query in self.queries)

    def size(self) -> int:
        """Integers that each silo answers with."""
        return sum(query.size() for query in self.queries)

    def answer_size(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bytes of plain answers by silos with rows, int64 (tables, silos); see `PlainSum.size`."""
        heads = np.full(rows.shape[1:], REPLY_HEAD + len(self.queries) * FRAME_HEAD, np.int64)
        return sum((PLAIN_SUM.size(query, rows) for query in self.queries), heads)

    def bodies(self, data: bytes, silo: str) -> list[bytes]:
        """The bytes that a silo's aggregation made of each query's vector, from the silo's reply.

        Raises
        ------
        ProtocolError
            If it is no reply to this call, or of other lengths.
        FedTreesError
            What the silo refused with, as its own class.
        """
        kind, body = open_reply(self, data, silo)
        if kind != ReplyKind.ANSWER:
            raise ProtocolError(f"silo {silo!r}: a reply of the kind {kind.name} to a sum")
        return read_answers(self.queries, body, silo)

    def description(self, data: bytes, silo: str) -> Description:
        """A silo's description, from its reply to `Describe`; raises as `bodies` does."""
        kind, body = open_reply(self, data, silo)
        if kind != ReplyKind.RECORD:
            raise ProtocolError(f"silo {silo!r}: a reply of the kind {kind.name} to a question for its columns")
        description = decode(body, Description)
        description.check(silo)
        return description


def run_name() -> bytes:
    """Sixteen bytes that name a run: no two runs share them, of whatever process, or silos would mix their facts."""
    return uuid4().bytes
