"""What crosses the line between server and silo: requests, and replies of four kinds.

A request is a fixed header, the facts the silo has not heard yet, and the queries. A reply repeats the header's
(run, round, attempt), so a late or doubled one is recognised; answering twice is harmless.

A vector of which a silo's few rows can touch but a part travels as that part: places and integers, filled up to as many
as so many rows could touch. So lengths depend on the questions and on a silo's numbers of rows, never on its values.

    request   run 16s | round u32 | attempt u32 | since u32 | facts u32 | queries u32 | (length u32 | record) ...
    reply     what u8 | run 16s | round u32 | attempt u32 | body
    answer    (entries u32 | places u32 ... where entries < size | integers ...) for each query
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from fedtrees import errors
from fedtrees.core.data.record import decode, encode
from fedtrees.core.numeric.fixed_point import Vector, pack, unpack
from fedtrees.core.protocol.query import Query
from fedtrees.errors import FedTreesError, ProtocolError

_HEAD = struct.Struct("<16sIIIII")
_FRAME = struct.Struct("<I")
_REPLY = struct.Struct("<B16sII")

_PLACE = np.dtype("<u4")
_NOWHERE = np.iinfo(_PLACE).max  # the place of what only fills up

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


def pack_answers(queries: Sequence[Query], vectors: Sequence[Vector], rows: NDArray[np.int64]) -> bytes:
    """The vectors of several queries, each in its own width, as a silo sends them whose tables have so many rows.

    Raises
    ------
    ProtocolError
        If a vector breaks the size or the bounds that its query states: it is not sent.
    """
    parts = []
    for query, vector in zip(queries, vectors, strict=True):
        if len(vector) != query.size():
            raise ProtocolError(f"{query.kind}: {len(vector)} integers where {query.size()} were asked for")
        if not _within(query, vector):
            raise ProtocolError(f"{query.kind}: an integer beyond the stated bound of {query.bound()}")
        entries = _entries(query, rows)
        parts.append(_FRAME.pack(entries))
        if entries < len(vector):
            (hit,) = np.nonzero(vector)
            if len(hit) > entries:
                given = int(query.rows_among(rows))
                raise ProtocolError(
                    f"{query.kind}: {given} rows touch {len(hit)} integers, more than stated: {entries}"
                )
            places = np.full(entries, _NOWHERE, _PLACE)
            places[: len(hit)] = hit
            parts.append(places.tobytes())
            vector = np.append(vector[hit], np.zeros(entries - len(hit), np.int64))
        parts.append(pack(vector, query.width()))
    return b"".join(parts)


def answer_size(queries: Sequence[Query], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes of an `ANSWER` reply to these queries from silos with rows (tables, silos): int64 (silos,)."""
    size = np.full(rows.shape[1:], REPLY_HEAD, np.int64)
    for query in queries:
        dense = query.size() * query.width()
        size += _FRAME.size + np.minimum(query.reach(rows) * (_PLACE.itemsize + query.width()), dense)
    return size


def _entries(query: Query, rows: NDArray[np.int64]) -> int:
    """How many integers of the vector travel: all of them, unless those that the rows can touch take fewer bytes."""
    reach, width = int(query.reach(rows)), query.width()
    return reach if reach * (_PLACE.itemsize + width) < query.size() * width else query.size()


def add_answers(queries: Sequence[Query], body: bytes, silo: str, total: Vector) -> None:
    """Read what `pack_answers` wrote, and add it to ``total``, in which the queries' vectors stand end to end.

    Raises
    ------
    ProtocolError
        If it is not what the queries ask for: a length, a place or a bound.
    """
    at, start = 0, 0
    for query in queries:
        size, width = query.size(), query.width()
        entries = int.from_bytes(body[at : at + _FRAME.size], "little")
        at += _FRAME.size
        n_places = entries if entries < size else 0
        end = at + n_places * _PLACE.itemsize + entries * width
        if entries > size or end > len(body):
            raise ProtocolError(f"silo {silo!r}: an answer of {len(body)} bytes is not one to {query.kind}")
        integers = unpack(body[end - entries * width : end], width)
        if not _within(query, integers):
            raise ProtocolError(f"silo {silo!r}: an integer beyond the bound of {query.kind}, {query.bound()}")
        own = total[start : start + size]
        if entries < size:
            places = np.frombuffer(body, _PLACE, entries, at)
            used = np.count_nonzero(places != _NOWHERE)
            rising = (places[1:used] > places[: max(used - 1, 0)]).all()
            if not rising or (places[:used] >= size).any() or integers[used:].any():
                raise ProtocolError(f"silo {silo!r}: an answer to {query.kind} with places that there are not")
            own[places[:used]] = _sum(query, own[places[:used]], integers[:used], silo)
        else:
            own[:] = _sum(query, own, integers, silo)
        at, start = end, start + size
    if at != len(body):
        raise ProtocolError(f"silo {silo!r}: an answer of {len(body)} bytes where {at} were asked for")


def _within(query: Query, vector: Vector) -> bool:
    return not len(vector) or (int(vector.max()) <= query.bound() and int(vector.min()) >= query.lowest())


def _sum(query: Query, total: Vector, more: Vector, silo: str) -> Vector:
    """Add a silo's integers, which are within the bound; so is the sum, where silos answer what they were asked."""
    both = total + more
    wrapped = ((total ^ both) & (more ^ both)) < 0  # both terms have the other sign
    if wrapped.any() or not _within(query, both):
        raise ProtocolError(
            f"silo {silo!r}: its answer takes the sum beyond the bound of {query.kind}, {query.bound()}"
        )
    return both


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
