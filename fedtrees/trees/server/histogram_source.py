"""Where the sums come from that trees grow by."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.protocol.channel import Channel
from fedtrees.core.protocol.query import Query
from fedtrees.core.sampling.samplers import Cohort


class HistogramSource(Protocol):
    """What answers the questions of growing trees.

    Law: the trees are a function of the totals, whoever they come from.
    """

    @property
    def exact(self) -> bool:
        """Whether totals are sums, so that one child's is its parent's less its sibling's."""
        ...

    def totals(self, queries: Sequence[Query]) -> list[Any]:
        """Return what each of several queries reads, asked in one round."""
        ...

    def parts(self, query: Query) -> Generator[Vector]:
        """Yield the total of one query, part after part; close it."""
        ...


@dataclass(frozen=True)
class CohortHistograms:
    """The totals of a round's cohort of silos."""

    channel: Channel
    cohort: Cohort

    @property
    def exact(self) -> bool:
        """See `HistogramSource`."""
        return self.channel.exact

    def totals(self, queries: Sequence[Query]) -> list[Any]:
        """See `HistogramSource`."""
        return self.channel.totals(queries, self.cohort)

    def parts(self, query: Query) -> Generator[Vector]:
        """See `HistogramSource`."""
        return self.channel.parts(query, self.cohort)
