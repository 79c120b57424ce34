"""Aggregation of a cohort's vectors: the only place where a silo's integers become bytes, and bytes a total.

An aggregation has two halves. In a silo, `Aggregation.protect` makes bytes of the vector that answers a query; at the
server, a `Collector` makes the total of those bytes. Plain sums hide nothing; masks, encryption, noise and robust
centres are other aggregations, and training does not depend on which one is at work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector, pack, unpack
from fedtrees.core.protocol.query import Fact, Query
from fedtrees.errors import ParameterError, ProtocolError

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows

_PLACE = np.dtype("<u4")
_NOWHERE = np.iinfo(_PLACE).max  # the place of what only fills up


@dataclass(frozen=True)
class Sender:
    """The silo that answers, and the question that it answers.

    Attributes
    ----------
    name : str
    rows : int64 (tables,)
        Of the table that it trains on, and of its evaluation sets.
    run : bytes (16,)
    round, attempt : int
    """

    name: str
    rows: NDArray[np.int64]
    run: bytes
    round: int
    attempt: int


class Collector(Protocol):
    """The server's half for one query of one round."""

    def add(self, silo: str, body: bytes) -> None:
        """Take in what a silo's `Aggregation.protect` returned.

        Raises
        ------
        ProtocolError
            If it is no answer to the query; the total is as before.
        """
        ...

    def total(self) -> Vector:
        """The total over the silos that were taken in, int64 (size,)."""
        ...


class Aggregation(Fact, frozen=True, eq=False):
    """The way from vectors to a total; it travels to the silos as the first fact of a run.

    Law: where it is ``exact``, the total is the sum of the vectors, so that the model is the same bytes under each.

    Attributes
    ----------
    exact : bool
        Whether totals are sums: of two siblings in a tree, the second is then the parent less the first.
    plain : bool
        Whether one pass over the rows of many simulated silos may stand in for their answers.
    shows_vectors : bool
        Whether the server can read each silo's own vector; see `vector`.
    """

    exact: ClassVar[bool] = True
    plain: ClassVar[bool] = False
    shows_vectors: ClassVar[bool] = False

    def apply(self, silo: SiloRows) -> None:
        """See `Fact`."""
        silo.states.keep(self, Aggregation)

    def protect(self, query: Query, vector: Vector, sender: Sender, place: int) -> bytes:
        """Return what a silo sends in place of its vector.

        Parameters
        ----------
        query : Query
        vector : int64 (size,)
            Within the bounds that the query states.
        sender : Sender
        place : int
            Of the query among those of the request.
        """
        raise NotImplementedError

    def collector(self, query: Query) -> Collector:
        """Return what makes a total of the silos' bytes."""
        raise NotImplementedError

    def vector(self, query: Query, silo: str, body: bytes) -> Vector:
        """Return the vector that a silo's bytes hold; only where ``shows_vectors``."""
        raise NotImplementedError


def check_aggregation(value: object) -> None:
    """Refuse a value of ``aggregation=`` that is no aggregation.

    Raises
    ------
    ParameterError
    """
    if value is not None and not isinstance(value, Aggregation):
        raise ParameterError(f"aggregation={value!r}: give a fedtrees.Aggregation, or None for plain sums.")


class PlainSum(Aggregation, frozen=True, eq=False):
    """The sum of vectors that travel as they are.

    A vector of which a silo's few rows can touch but a part travels as that part: places and integers, filled up to as
    many as so many rows could touch. Lengths depend on the query and on a silo's number of rows, never on its values.
    """

    plain = True
    shows_vectors = True
    sparse: ClassVar[bool] = True  # whether zeros may stay at home

    def protect(self, query: Query, vector: Vector, sender: Sender, place: int) -> bytes:
        """See `Aggregation`: ``integers``, or ``places | integers`` where that is shorter."""
        entries, size = self._entries(query, sender.rows), query.size()
        if entries == size:
            return pack(vector, query.width())
        (hit,) = np.nonzero(vector)
        if len(hit) > entries:
            given = int(query.rows_among(sender.rows))
            raise ProtocolError(f"{query.kind}: {given} rows touch {len(hit)} integers, more than stated: {entries}")
        places = np.full(entries, _NOWHERE, _PLACE)
        places[: len(hit)] = hit
        return places.tobytes() + pack(np.append(vector[hit], np.zeros(entries - len(hit), np.int64)), query.width())

    def size(self, query: Query, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Bytes that silos with so many rows, int64 (tables, silos), answer with: int64 (silos,)."""
        dense = query.size() * query.width()
        if not self.sparse:
            return np.full(rows.shape[1:], dense, np.int64)
        size: NDArray[np.int64] = np.minimum(query.reach(rows) * (_PLACE.itemsize + query.width()), dense)
        return size

    def collector(self, query: Query) -> Collector:
        """See `Aggregation`."""
        return _Sum(query)

    def vector(self, query: Query, silo: str, body: bytes) -> Vector:
        """See `Aggregation`."""
        alone = _Sum(query)
        alone.add(silo, body)
        return alone.total()

    def _entries(self, query: Query, rows: NDArray[np.int64]) -> int:
        """The number of integers that travel: all, unless those that the rows can touch take fewer bytes."""
        reach, width = int(query.reach(rows)), query.width()
        fewer = self.sparse and reach * (_PLACE.itemsize + width) < query.size() * width
        return reach if fewer else query.size()


PLAIN_SUM = PlainSum()


class _Sum:
    """The running sum of what `PlainSum.protect` wrote, silo after silo."""

    def __init__(self, query: Query):
        self.query, self._size, self._width = query, query.size(), query.width()
        self._total = np.zeros(self._size, np.int64)

    def add(self, silo: str, body: bytes) -> None:
        """See `Collector`."""
        size, width, query = self._size, self._width, self.query
        if len(body) == size * width:
            self._total[:] = self._sum(self._total, self._read(body, silo), silo)
            return
        entries, rest = divmod(len(body), _PLACE.itemsize + width)
        if rest or entries >= size:
            raise ProtocolError(f"silo {silo!r}: an answer of {len(body)} bytes is not one to {query.kind}")
        integers = self._read(body[entries * _PLACE.itemsize :], silo)
        places = np.frombuffer(body, _PLACE, entries)
        used = np.count_nonzero(places != _NOWHERE)
        rising = (places[1:used] > places[: max(used - 1, 0)]).all()
        if not rising or (places[:used] >= size).any() or integers[used:].any():
            raise ProtocolError(f"silo {silo!r}: an answer to {query.kind} with places that there are not")
        self._total[places[:used]] = self._sum(self._total[places[:used]], integers[:used], silo)

    def total(self) -> Vector:
        """See `Collector`."""
        return self._total

    def _read(self, data: bytes, silo: str) -> Vector:
        integers = unpack(data, self._width)
        if not within(self.query, integers):
            raise ProtocolError(
                f"silo {silo!r}: an integer beyond the bound of {self.query.kind}, {self.query.bound()}"
            )
        return integers

    def _sum(self, total: Vector, more: Vector, silo: str) -> Vector:
        """Add a silo's integers, which are within the bound; so is the sum, where silos answer as they were asked."""
        both = total + more  # int64 wraps silently: a sum whose sign neither term has is one that did
        wrapped = ((total ^ both) & (more ^ both)) < 0
        if wrapped.any() or not within(self.query, both):
            raise ProtocolError(
                f"silo {silo!r}: its answer takes the sum beyond the bound of {self.query.kind}, {self.query.bound()}"
            )
        return both


def within(query: Query, vector: Vector) -> bool:
    """Return whether no integer is beyond the bounds that a query states."""
    return not len(vector) or (int(vector.max()) <= query.bound() and int(vector.min()) >= query.lowest())


def protected(
    aggregation: Aggregation, queries: Sequence[Query], vectors: Sequence[Vector], sender: Sender
) -> list[bytes]:
    """Return what a silo sends in answer to the queries of a request.

    Raises
    ------
    ProtocolError
        If a vector breaks the size or the bounds that its query states: it is not sent.
    """
    bodies = []
    for place, (query, vector) in enumerate(zip(queries, vectors, strict=True)):
        if len(vector) != query.size():
            raise ProtocolError(f"{query.kind}: {len(vector)} integers where {query.size()} were asked for")
        if not within(query, vector):
            raise ProtocolError(f"{query.kind}: an integer beyond the stated bound of {query.bound()}")
        bodies.append(aggregation.protect(query, vector, sender, place))
    return bodies
