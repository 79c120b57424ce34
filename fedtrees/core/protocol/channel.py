"""A channel answers queries over a cohort; the loops that ask never know which channel it is.

`total` is the one primitive: a query's integers, summed over the cohort. `gather` is the other door, each silo's
integers by themselves, for robust estimators; a channel that hides the silos' vectors has no such door.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol, runtime_checkable
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.record import encode
from fedtrees.core.data.table import Labels, Schema
from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.protocol.ledger import Amount, Entry, Ledger
from fedtrees.core.protocol.message import REPLY_HEAD, Request, answer_size, frame
from fedtrees.core.protocol.query import Fact, Query
from fedtrees.core.sampling.samplers import Cohort

__all__ = [
    "REPLY_HEAD",
    "Call",
    "Channel",
    "Federation",
    "Log",
    "PartedReply",
    "Parting",
    "PlainChannel",
    "Reply",
    "Simulating",
    "run_name",
]


class Log:
    """The facts of a run, in order: all that a silo needs to know.

    ``sizes[v]`` are the bytes of the first ``v`` facts on the wire.
    """

    def __init__(self, run: bytes):
        self.run = run
        self.facts: list[Fact] = []
        self.frames: list[bytes] = []
        self.sizes = [0]

    def append(self, fact: Fact) -> None:
        """Add a fact; every silo hears of it with the next request that reaches it."""
        self.facts.append(fact)
        self.frames.append(frame(encode(fact)))
        self.sizes.append(self.sizes[-1] + len(self.frames[-1]))

    def __len__(self) -> int:
        return len(self.facts)


@dataclass(frozen=True)
class Call:
    """A round's questions, before they are addressed to anybody."""

    log: Log
    round: int
    queries: Sequence[Query]
    attempt: int = 0

    def request(self, since: int) -> Request:
        """The request for a silo that knows ``since`` facts."""
        facts = self.log.frames[since:]
        return Request(self.log.run, self.round, self.attempt, since, facts, self.queries)

    @property
    def partial(self) -> bool:
        """Return whether the answers of some of the cohort will do."""
        return all(query.partial for query in self.queries)

    def size(self) -> int:
        """Integers that each silo answers with."""
        return sum(query.size() for query in self.queries)

    def answer_size(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bytes that silos with rows (tables, silos) answer with; see `Query.reach`."""
        return answer_size(self.queries, rows)


@dataclass(frozen=True)
class Reply:
    """What came back, and the bytes it took, ``down`` and ``up``."""

    vector: Vector
    down: Amount
    up: Amount


@dataclass(frozen=True)
class PartedReply:
    """A `Reply` whose vector comes part after part."""

    parts: Generator[Vector]
    down: Amount
    up: Amount


class Federation(Protocol):
    """Silos that can be asked, wherever they are."""

    @property
    def names(self) -> Sequence[str]:
        """The silos, in a fixed order; cohorts are places in it."""
        ...

    @property
    def eval_sets(self) -> int:
        """Evaluation sets that every silo holds, empty ones included."""
        ...

    def schemas(self, labels: Labels) -> Sequence[tuple[str, Schema]]:
        """What the silos say of their columns, with their class labels where those are asked for."""
        ...

    def sum(self, call: Call, cohort: Cohort) -> Reply:
        """The sum of the cohort's vectors."""
        ...

    def gather(self, call: Call, cohort: Cohort) -> Reply:
        """The cohort's vectors, (silos, integers)."""
        ...


@runtime_checkable
class Parting(Protocol):
    """A federation that sums part after part, so that nobody ever holds the whole."""

    def parts(self, call: Call, cohort: Cohort) -> PartedReply:
        """The sum of the cohort's vectors. Until its last part is read, or it is closed, others wait."""
        ...


@runtime_checkable
class Simulating(Protocol):
    """A federation that need not make each silo's schema to tell its size."""

    def schema_sizes(self, labels: Labels) -> Amount:
        """Bytes that the silos' schemas would take."""
        ...


class Channel(Protocol):
    """How a training asks its federation."""

    ledger: Ledger

    def tell(self, fact: Fact) -> None:
        """Add a fact to the run; it travels with the next request."""
        ...

    def total(self, query: Query, cohort: Cohort) -> Any:
        """The answer that a query reads from the sum of the cohort's vectors."""
        ...

    def totals(self, queries: Sequence[Query], cohort: Cohort) -> list[Any]:
        """Several queries in one round."""
        ...

    def parts(self, query: Query, cohort: Cohort) -> Generator[Vector]:
        """The sum of the cohort's vectors, part after part: as many as the channel likes. Close it."""
        ...


class PlainChannel:
    """The channel that hides nothing from the server: each silo's integers travel as they are.

    Law: the total does not depend on the order of silos or of arrival.

    Parameters
    ----------
    federation : Federation
    seed : int
        Names the run, together with ``purpose``.
    schemas : int, array or Grouped, optional
        Bytes that the silos' schemas took, which the ledger then begins with.
    """

    def __init__(
        self, federation: Federation, seed: int = 0, purpose: str = "train", schemas: Amount | None = None
    ):  # fmt: skip
        self.federation = federation
        self.ledger = Ledger(federation.names)
        if schemas is not None:
            self.ledger.record(Entry(0, Schema.__name__, np.arange(len(federation.names)), 0, schemas, 0))
        self._log = Log(run_name(federation, seed, purpose))

    def tell(self, fact: Fact) -> None:
        """See `Channel`."""
        self._log.append(fact)

    def total(self, query: Query, cohort: Cohort) -> Any:
        """See `Channel`."""
        return self.totals([query], cohort)[0]

    def totals(self, queries: Sequence[Query], cohort: Cohort) -> list[Any]:
        """See `Channel`."""
        call = self._call(queries)
        reply = self.federation.sum(call, cohort)
        self._enter(call, cohort, reply)
        ends = np.cumsum([query.size() for query in queries])
        return [query.read(vector) for query, vector in zip(queries, np.split(reply.vector, ends[:-1]), strict=True)]

    def parts(self, query: Query, cohort: Cohort) -> Generator[Vector]:
        """See `Channel`."""
        call = self._call([query])
        if isinstance(self.federation, Parting):
            parted = self.federation.parts(call, cohort)
            self._enter(call, cohort, parted)
            return parted.parts
        reply = self.federation.sum(call, cohort)
        self._enter(call, cohort, reply)
        return (vector for vector in (reply.vector,))

    def gather(self, query: Query, cohort: Cohort) -> Vector:
        """Each silo's own integers, int64 (silos, size); no other channel can show them."""
        call = self._call([query])
        reply = self.federation.gather(call, cohort)
        self._enter(call, cohort, reply)
        return reply.vector

    def _call(self, queries: Sequence[Query]) -> Call:
        for query in queries:
            query.width()  # raises where there is no headroom, before anything is sent
        return Call(self._log, self.ledger.rounds, queries)

    def _enter(self, call: Call, cohort: Cohort, reply: Reply | PartedReply) -> None:
        kind = "+".join(query.kind for query in call.queries)
        self.ledger.record(Entry(call.round, kind, cohort, reply.down, reply.up, call.size()))


def run_name(federation: Federation, seed: int, purpose: str) -> bytes:
    """Sixteen bytes that name a run: no two runs share them, of whatever process, or silos would mix their facts."""
    return blake2b(struct.pack("<q", seed % 2**63) + uuid4().bytes + purpose.encode(), digest_size=16).digest()
