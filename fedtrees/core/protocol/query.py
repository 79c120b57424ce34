"""The one primitive: a query that each silo answers with integers, and that reads their sum.

A `Query` is a plain record, and most of them change nothing. A `Fact` is a plain record that a silo keeps: the log of a
run's facts is all that a silo remembers, so the log restores one that lost its memory; `Query.remembered` are the rest.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.record import Record
from fedtrees.core.numeric.fixed_point import Vector, headroom_bits

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows

__all__ = ["Fact", "Query", "Question", "Repeat"]


QueryResult = Any  # read from a total: the `read` of each class states its type


class Question(Record, frozen=True, eq=False):
    """A record that a request may hold."""


class Repeat(Question, frozen=True, eq=False):
    """A question that a silo has answered in an earlier round, for one that has lost its memory since.

    Parameters
    ----------
    asked : bytes
        The query, encoded.
    """

    asked: bytes


class Query(Question, frozen=True, eq=False):
    """A question that every silo of a cohort answers with a vector of integers; the vectors are summed.

    Law: ``ask`` of the union of silos is the sum of ``ask`` of each, so ``read`` gets the pooled total.
    """

    partial: ClassVar[bool] = False  # whether a total over fewer silos than were asked still has its meaning
    tolerates_noise: ClassVar[bool] = False  # whether a total that is a little off still has it

    @property
    def remembered(self) -> bool:
        """Return whether silos keep something of having answered, on which later answers depend.

        A silo that has lost its memory is given all facts and then these questions again, in their order; so neither
        they nor the facts may depend on which of the two came first.
        """
        return False

    def size(self) -> int:
        """The number of integers that a silo answers with; the same for every silo."""
        raise NotImplementedError

    def touches(self) -> int:
        """The number of coordinates that one row can make other than zero, at the most; all of them by default."""
        return self.size()

    def rows_among(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Pick the rows that the answer is made of from those of a silo's tables: the ones it trains on come first."""
        trained_on: NDArray[np.int64] = rows[0]
        return trained_on

    def reach(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many coordinates silos with so many rows can make other than zero, at the most.

        Parameters
        ----------
        rows : int64 (tables, ...)
            Of the table that a silo trains on, and of each of its evaluation sets.

        Returns
        -------
        int64 (...,)
        """
        size, touches, among = self.size(), self.touches(), self.rows_among(rows)
        return np.minimum(among * touches, size) if touches < size else np.full(among.shape, size)

    def bound(self) -> int:
        """The largest magnitude that any coordinate of the total, and so of one silo's vector, can have."""
        raise NotImplementedError

    def row_bound(self) -> int:
        """The most by which one row more or less can change any coordinate; by default the bound."""
        return self.bound()

    def lowest(self) -> int:
        """The lowest value of any coordinate; counts have no negative ones."""
        return -self.bound()

    def ask(self, silo: SiloRows) -> Vector:
        """One silo's vector, int64 (size,)."""
        raise NotImplementedError

    def ask_in_parts(self, silo: SiloRows) -> Iterator[Vector]:
        """The answer of `ask` in parts, for a query whose answer is more than a cache holds.

        Law: the parts in a row are what `ask` returns. A part that is still referenced keeps its memory.
        """
        yield self.ask(silo)

    def read(self, total: Vector) -> QueryResult:
        """Read the total: a query's result from its integers."""
        raise NotImplementedError

    def width(self) -> int:
        """Bytes that an integer takes in a message: enough for the total, sign included.

        Raises
        ------
        HeadroomError
            If the total might not fit 64 bits. Asked before anything is sent.
        """
        return -(-headroom_bits(self.bound(), 1, self.kind) // 8)


class Fact(Record, frozen=True, eq=False):
    """A message that silos keep until the run is over, such as the cut points or a finished tree."""

    def apply(self, silo: SiloRows) -> None:
        """Change the silo's state."""
        raise NotImplementedError
