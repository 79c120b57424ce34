"""Messages between server and silo: requests, and replies of four kinds.

A request is a fixed header, the facts that the silo does not have yet, and the queries. A reply repeats the header's
(run, round, attempt), so a late or doubled one is recognised; answering twice is harmless.

    request   run 16s | round u32 | attempt u32 | since u32 | facts u32 | queries u32 | (length u32 | record) ...
    reply     kind u8 | run 16s | round u32 | attempt u32 | body
    answer    (length u32 | the bytes that the aggregation makes of a vector) for each query
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from fedtrees import errors
from fedtrees.core.data.record import decode, encode
from fedtrees.core.protocol.query import Query, Question
from fedtrees.errors import FedTreesError, ProtocolError

_HEAD = struct.Struct("<16sIIIII")
_FRAME = struct.Struct("<I")
_REPLY = struct.Struct("<B16sII")

REPLY_HEAD, FRAME_HEAD = _REPLY.size, _FRAME.size


def frame(body: bytes) -> bytes:
    """A length, then the bytes."""
    return _FRAME.pack(len(body)) + body


@dataclass(frozen=True)
class Request:
    """One round's message to one silo.

    Attributes
    ----------
    run : bytes (16,)
        The training that this belongs to; a silo forgets one run when it receives a request of the next.
    round, attempt : int
    since : int
        The number of facts of the run that the silo is taken to have already.
    facts : sequence of bytes
        The framed facts from ``since`` on.
    queries : sequence of Question
        Queries, or one `Describe`.
    """

    run: bytes
    round: int
    attempt: int
    since: int
    facts: Sequence[bytes]
    queries: Sequence[Question]

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
        queries = [decode(body, Question) for body in bodies[n_facts:]]
        return Request(run, round, attempt, since, bodies[:n_facts], queries)


class Header(Protocol):
    """The part of a request, or of the call that it was made of, that its replies repeat."""

    @property
    def run(self) -> bytes: ...  # noqa: D102

    @property
    def round(self) -> int: ...  # noqa: D102

    @property
    def attempt(self) -> int: ...  # noqa: D102


class ReplyKind(IntEnum):
    """The kind of a reply's content."""

    ANSWER = 1  # the vectors, packed
    BEHIND = 2  # the number of facts that this silo has, fewer than the request took it to have
    REFUSAL = 3  # an error's class and text
    RECORD = 4  # a record, where no sum was asked for


def reply(request: Header, kind: ReplyKind, body: bytes) -> bytes:
    """The bytes of a reply to ``request``."""
    return _REPLY.pack(kind, request.run, request.round, request.attempt) + body


def answers(bodies: Sequence[bytes]) -> bytes:
    """The body of an `ANSWER`: the bytes that a silo's aggregation makes of each query's vector."""
    return b"".join(frame(body) for body in bodies)


def read_answers(queries: Sequence[Query], data: bytes, silo: str) -> list[bytes]:
    """Read what `answers` wrote, one body a query.

    Raises
    ------
    ProtocolError
        If the bytes are cut short, or more than were asked for.
    """
    bodies, at = [], 0
    for query in queries:
        length = int.from_bytes(data[at : at + _FRAME.size], "little")
        at += _FRAME.size
        if at + length > len(data):
            raise ProtocolError(f"silo {silo!r}: an answer of {len(data)} bytes is not one to {query.kind}")
        bodies.append(data[at : at + length])
        at += length
    if at != len(data):
        raise ProtocolError(f"silo {silo!r}: an answer of {len(data)} bytes where {at} were asked for")
    return bodies


def open_reply(request: Header, data: bytes, silo: str) -> tuple[ReplyKind, bytes]:
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
    kind, run, round, attempt = _REPLY.unpack_from(data)
    if (run, round, attempt) != (request.run, request.round, request.attempt):
        raise ProtocolError(f"silo {silo!r}: a reply to round {round}, attempt {attempt}, of another question")
    if kind not in list(ReplyKind):
        raise ProtocolError(f"silo {silo!r}: a reply of the unknown kind {kind}")
    body = data[REPLY_HEAD:]
    if kind == ReplyKind.REFUSAL:
        raise _refusal(body.decode(errors="replace"), silo)
    return ReplyKind(kind), body


def read_behind(body: bytes, silo: str) -> int:
    """Read the number of facts that a silo which is behind does have.

    Raises
    ------
    ProtocolError
        If the body is no such number.
    """
    if len(body) != _FRAME.size:
        raise ProtocolError(f"silo {silo!r}: says that it is behind, in {len(body)} bytes instead of {_FRAME.size}")
    return int.from_bytes(body, "little")


def _refusal(refusal: str, silo: str) -> FedTreesError:
    """The error that a silo refused with: of a class of `fedtrees.errors`, whatever it names."""
    name, _, text = refusal.partition(":")
    kind: type[FedTreesError] = getattr(errors, name) if name in errors.__all__ else FedTreesError
    return kind(text if f"silo {silo!r}" in text else f"silo {silo!r}: {text}")
