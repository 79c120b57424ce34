"""Sources of the sums that trees grow by."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.protocol.channel import Channel
from fedtrees.core.protocol.query import Query, QueryResult
from fedtrees.core.sampling.samplers import Cohort


class HistogramSource(Protocol):
    """A source of answers to the questions of growing trees.

    Law: the trees are a function of the totals alone, not of their source.
    """

    @property
    def exact(self) -> bool:
        """Return whether totals are sums, so that one child's is its parent's less its sibling's."""
        ...

    def totals(self, queries: Sequence[Query]) -> list[QueryResult]:
        """Return the answers of several queries, as each reads its total; asked in one round."""
        ...

    def parts(self, query: Query) -> Generator[Vector]:
        """Yield the total of one query, part after part; callers close the generator."""
        ...


@dataclass(frozen=True)
class CohortHistograms:
    """Totals of a round's cohort of silos."""

    channel: Channel
    cohort: Cohort

    @property
    def exact(self) -> bool:
        """See `HistogramSource`."""
        return self.channel.exact

    def totals(self, queries: Sequence[Query]) -> list[QueryResult]:
        """See `HistogramSource`."""
        return self.channel.totals(queries, self.cohort)

    def parts(self, query: Query) -> Generator[Vector]:
        """See `HistogramSource`."""
        return self.channel.parts(query, self.cohort)
