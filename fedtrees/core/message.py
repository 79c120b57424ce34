"""What crosses the line between server and silo: requests, and replies of four kinds.

A request is a fixed header, the facts the silo has not heard yet, and the queries. A reply repeats the header's
(run, round, attempt), so a late or doubled one is recognised; answering twice is harmless. Lengths depend on the
questions alone, never on a silo's data.

    request   run 16s | round u32 | attempt u32 | since u32 | facts u32 | queries u32 | (length u32 | record) ...
    reply     what u8 | run 16s | round u32 | attempt u32 | body
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from fedtrees import errors
from fedtrees.core.query import Query
from fedtrees.core.record import decode, encode
from fedtrees.core.ring import Vector, pack, unpack
from fedtrees.errors import FedTreesError, ProtocolError

_HEAD = struct.Struct("<16sIIIII")
_FRAME = struct.Struct("<I")
_REPLY = struct.Struct("<B16sII")

REPLY_HEAD = _REPLY.size


def frame(body: bytes) -> bytes:
    """A length, then the bytes."""
    return _FRAME.pack(len(body)) + body


@dataclass(frozen=True)
class Request:
    """One round's message to one silo.

    Attributes
    ----------
    run : bytes (16,)
        Which training this belongs to; a silo forgets one run when it hears of the next.
    round, attempt : int
    since : int
        How many facts of the run the silo is taken to know already.
    facts : sequence of bytes
        The framed facts from ``since`` on.
    queries : sequence of Query
    """

    run: bytes
    round: int
    attempt: int
    since: int
    facts: Sequence[bytes]
    queries: Sequence[Query]

    def encode(self) -> bytes:
        """The bytes to send."""
        head = _HEAD.pack(self.run, self.round, self.attempt, self.since, len(self.facts), len(self.queries))
        return b"".join([head, *self.facts, *(frame(encode(query)) for query in self.queries)])

    @staticmethod
    def decode(data: bytes) -> Request:
        """Read what `encode` wrote, facts left as bytes.

        Raises
        ------
        ProtocolError
            If the bytes are cut short or damaged.
        """
        try:
            run, round, attempt, since, n_facts, n_queries = _HEAD.unpack_from(data)
            bodies, at = [], _HEAD.size
            for _ in range(n_facts + n_queries):
                (length,) = _FRAME.unpack_from(data, at)
                at += _FRAME.size
                bodies.append(data[at : at + length])
                at += length
        except struct.error as error:
            raise ProtocolError(f"a request was cut short: {error}") from error
        if at != len(data):
            raise ProtocolError(f"a request of {len(data)} bytes where its frames make {at}")
        queries = [decode(body, Query) for body in bodies[n_facts:]]
        return Request(run, round, attempt, since, bodies[:n_facts], queries)


class What(IntEnum):
    """What a reply holds."""

    ANSWER = 1  # the vectors, packed
    BEHIND = 2  # the number of facts this silo knows, fewer than the request took it to
    REFUSAL = 3  # an error's class and text
    RECORD = 4  # a record, where no sum was asked for


def reply(request: Request, what: What, body: bytes) -> bytes:
    """The bytes of a reply to ``request``."""
    return _REPLY.pack(what, request.run, request.round, request.attempt) + body


def pack_answers(queries: Sequence[Query], vectors: Sequence[Vector]) -> bytes:
    """The vectors of several queries, each in its own width.

    Raises
    ------
    ProtocolError
        If a vector breaks the size or the bound that its query states: it is not sent.
    """
    for query, vector in zip(queries, vectors, strict=True):
        if len(vector) != query.size():
            raise ProtocolError(f"{query.kind}: {len(vector)} integers where {query.size()} were asked for")
        if len(vector) and max(int(vector.max()), -int(vector.min())) > query.bound():
            raise ProtocolError(f"{query.kind}: an integer beyond the stated bound of {query.bound()}")
    return b"".join(pack(vector, query.width()) for query, vector in zip(queries, vectors, strict=True))


def answer_size(queries: Sequence[Query]) -> int:
    """Bytes of an `ANSWER` reply to these queries, the same for every silo."""
    return REPLY_HEAD + sum(query.size() * query.width() for query in queries)


def unpack_answers(queries: Sequence[Query], body: bytes, silo: str) -> Vector:
    """Read what `pack_answers` wrote, joined end to end.

    Raises
    ------
    ProtocolError
        If the length is not the one the queries state.
    """
    wanted = answer_size(queries) - REPLY_HEAD
    if len(body) != wanted:
        raise ProtocolError(f"silo {silo!r}: an answer of {len(body)} bytes where {wanted} were asked for")
    vectors, at = [], 0
    for query in queries:
        end = at + query.size() * query.width()
        vectors.append(unpack(body[at:end], query.width()))
        at = end
    return np.concatenate(vectors)


def open_reply(request: Request, data: bytes, silo: str) -> tuple[What, bytes]:
    """Check that a reply belongs to ``request``; return what it holds.

    Raises
    ------
    ProtocolError
        If it does not belong.
    FedTreesError
        What the silo refused with, as its own class.
    """
    if len(data) < REPLY_HEAD:
        raise ProtocolError(f"silo {silo!r}: a reply of {len(data)} bytes is too short")
    what, run, round, attempt = _REPLY.unpack_from(data)
    if (run, round, attempt) != (request.run, request.round, request.attempt):
        raise ProtocolError(f"silo {silo!r}: a reply to round {round}, attempt {attempt}, of another question")
    if what not in list(What):
        raise ProtocolError(f"silo {silo!r}: a reply of the unknown kind {what}")
    body = data[REPLY_HEAD:]
    if what == What.REFUSAL:
        raise _refusal(body.decode(errors="replace"), silo)
    return What(what), body


def read_behind(body: bytes, silo: str) -> int:
    """How many facts a silo that is behind does know.

    Raises
    ------
    ProtocolError
        If the body is no such number.
    """
    if len(body) != _FRAME.size:
        raise ProtocolError(f"silo {silo!r}: says that it is behind, in {len(body)} bytes instead of {_FRAME.size}")
    return int.from_bytes(body, "little")


def _refusal(said: str, silo: str) -> FedTreesError:
    """The error that a silo refused with: one of ours, whatever it may say."""
    name, _, text = said.partition(":")
    kind: type[FedTreesError] = getattr(errors, name) if name in errors.__all__ else FedTreesError
    return kind(text if f"silo {silo!r}" in text else f"silo {silo!r}: {text}")
