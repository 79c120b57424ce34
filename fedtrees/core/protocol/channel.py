"""The channel of a training: it asks a cohort of a federation's silos, and makes totals of their answers.

`Channel.total` is the one primitive: a query's integers, summed over the cohort by an aggregation. `Channel.gather` is
the other door, each silo's integers by themselves; an aggregation that hides the silos' vectors shuts it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import TypeVar

import numpy as np

from fedtrees.core.data.record import Record, encode
from fedtrees.core.data.table import Labels
from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.protocol.aggregation import PLAIN_SUM, Aggregation, Collector
from fedtrees.core.protocol.checkpoint import Recorder, Store
from fedtrees.core.protocol.describe import Describe, Description
from fedtrees.core.protocol.federation import Answer, Federation, Simulating, silo_lost
from fedtrees.core.protocol.ledger import Amount, Entry, Ledger
from fedtrees.core.protocol.log import Call, Log, run_name
from fedtrees.core.protocol.query import Fact, Query, QueryResult
from fedtrees.core.sampling.samplers import Cohort
from fedtrees.errors import ParameterError, ProtocolError

S = TypeVar("S", bound=Record)


class Channel:
    """The way in which a training asks its federation.

    Law: a total does not depend on the order of silos or of arrival.

    Parameters
    ----------
    federation : Federation
    aggregation : Aggregation, optional
        How vectors become totals; plain sums by default.
    store : Store, optional
        Where the training is written down after each round, and goes on from where there is something.
    """

    def __init__(self, federation: Federation, aggregation: Aggregation | None = None, store: Store | None = None):
        self.federation = federation
        self.aggregation = PLAIN_SUM if aggregation is None else aggregation
        self.ledger = Ledger(federation.names)
        self._recorder = None if store is None else Recorder.of(store, federation.names)
        earlier = None if self._recorder is None else self._recorder.earlier
        self._log = Log(run_name() if earlier is None else earlier.run)
        if aggregation is not None:
            self.tell(aggregation)

    @property
    def exact(self) -> bool:
        """Return whether totals are sums of what the silos hold; see `Aggregation.exact`."""
        return self.aggregation.exact

    def describe(self, labels: Labels = False) -> list[tuple[str, Description]]:
        """Ask the silos for their columns, and for their class labels where those are needed.

        Returns
        -------
        list of (silo, Description)
            Of silos that are rows of one table, one for all.
        """
        ask = partial(self._described, Describe(labels))
        return ask() if self._recorder is None else self._recorder.descriptions(ask)

    def _described(self, question: Describe) -> list[tuple[str, Description]]:
        all_silos = np.arange(len(self.federation.names))
        call = Call(self._log, self.ledger.rounds, (), describe=question)
        if isinstance(self.federation, Simulating) and self.federation.fused:
            simulated = self.federation.describe(call, question)
            self._enter(call, all_silos, simulated.down, simulated.up)
            return list(simulated.by_silo)
        described: dict[int, tuple[str, Description]] = {}

        def keep(place: int, silo: str, data: bytes) -> None:
            described[place] = silo, call.description(data, silo)

        self._ask(call, all_silos, keep)
        return [described[place] for place in all_silos.tolist()]

    def tell(self, fact: Fact) -> None:
        """Add a fact to the run; it travels with the next request."""
        self._log.append(fact)
        if self._recorder is not None:
            self._recorder.check(self._log.frames[-1], len(self._log) - 1, fact.kind)

    def total(self, query: Query, cohort: Cohort) -> QueryResult:
        """The answer that a query reads from the total of the cohort's vectors."""
        return self.totals([query], cohort)[0]

    def totals(self, queries: Sequence[Query], cohort: Cohort) -> list[QueryResult]:
        """The answers that several queries read, all asked in one round."""
        ask = partial(self._vectors, queries, cohort)
        vectors = ask() if self._recorder is None else self._recorder.totals(queries, cohort, ask)
        return [query.read(vector) for query, vector in zip(queries, vectors, strict=True)]

    def begin_rounds(self, kind: type[S]) -> S | None:
        """Say that the first round follows; return the state that a run goes on from, where there is one.

        Raises
        ------
        ParameterError
            If it is the run of another training.
        """
        return None if self._recorder is None else self._recorder.begin_rounds(self._log, self.ledger, kind)

    def save(self, state: Record) -> None:
        """Write the run and its training's state down, where there is a store."""
        if self._recorder is not None:
            self._recorder.save(self._log, self.ledger, state)

    def _vectors(self, queries: Sequence[Query], cohort: Cohort) -> list[Vector]:
        call = self._call(queries)
        if self._simulated is None:
            return self._collect(call, cohort)
        reply = self._simulated.sum(call, cohort)
        self._enter(call, cohort, reply.down, reply.up)
        return np.split(reply.vector, np.cumsum([query.size() for query in queries])[:-1])

    def parts(self, query: Query, cohort: Cohort) -> Generator[Vector]:
        """The total of the cohort's vectors in parts, of any number. Close the generator."""
        call = self._call([query])
        if self._simulated is None:
            return (vector for vector in self._collect(call, cohort))
        parted = self._simulated.parts(call, cohort)
        self._enter(call, cohort, parted.down, parted.up)
        return parted.parts

    def gather(self, query: Query, cohort: Cohort) -> Vector:
        """Each silo's own integers, int64 (silos, size).

        Raises
        ------
        ParameterError
            If the aggregation hides them.
        """
        if not self.aggregation.shows_vectors:
            hidden = f"{self.aggregation.kind} hides what each silo answers, and it is needed"
            raise ParameterError(f"{query.kind}: {hidden}; leave the aggregation out.")
        call = self._call([query])
        vectors = np.zeros((len(cohort), query.size()), np.int64)

        def keep(place: int, silo: str, data: bytes) -> None:
            (body,) = call.bodies(data, silo)
            vectors[place] = self.aggregation.vector(query, silo, body)

        self._ask(call, cohort, keep)
        return vectors

    @property
    def _simulated(self) -> Simulating | None:
        """The federation, if one pass over its rows may stand in for its silos' answers."""
        federation = self.federation
        fused = self.aggregation.plain and isinstance(federation, Simulating) and federation.fused
        return federation if fused else None  # type: ignore[return-value]

    def _call(self, queries: Sequence[Query]) -> Call:
        for query in queries:
            query.width()  # raises where there is no headroom, before anything is sent
        return Call(self._log, self.ledger.rounds, queries, aggregation=self.aggregation)

    def _collect(self, call: Call, cohort: Cohort) -> list[Vector]:
        """Ask, and take in the silos' answers one by one."""
        collectors: list[Collector] = [self.aggregation.collector(query) for query in call.queries]

        def add(place: int, silo: str, data: bytes) -> None:
            for collector, body in zip(collectors, call.bodies(data, silo), strict=True):
                collector.add(silo, body)

        self._ask(call, cohort, add)
        return [collector.total() for collector in collectors]

    def _ask(self, call: Call, cohort: Cohort, take: Callable[[int, str, bytes], None]) -> None:
        """Hand on each reply, with the silo's place in the cohort; write the round down."""
        down, up, answered = (np.zeros(len(cohort), np.int64) for _ in range(3))
        for answer in self.federation.ask(call, cohort):
            if not isinstance(answer, Answer) or not 0 <= answer.silo < len(self.federation.names):
                given = f"{type(self.federation).__name__}.ask returned {answer!r:.80}"
                raise ProtocolError(f"{given}; give a fedtrees.Answer whose silo is a place among the names.")
            place = int(np.searchsorted(cohort, answer.silo))
            if place == len(cohort) or cohort[place] != answer.silo or answered[place]:
                raise ProtocolError(f"silo {self.federation.names[answer.silo]!r}: a reply where nothing was asked")
            down[place] = answer.down
            if answer.data is not None:
                silo = self.federation.names[answer.silo]
                take(place, silo, answer.data)
                answered[place] = 1
                up[place] = len(answer.data) if answer.up is None else answer.up
            elif answer.up is not None:
                up[place] = answer.up
        if not answered.all() and not call.partial:
            raise silo_lost(call, [self.federation.names[silo] for silo in cohort[answered == 0]])
        self._enter(call, cohort, down, up, cohort[answered == 1])

    def _enter(self, call: Call, cohort: Cohort, down: Amount, up: Amount, answered: Cohort | None = None) -> None:
        kind = "+".join(query.kind for query in ([call.describe] if call.describe is not None else call.queries))
        entry = Entry(call.round, kind, cohort, down, up, call.size())
        self.ledger.record(entry)
        for query in call.queries:
            if query.remembered:
                self._log.keep(encode(query), cohort[entry.of_each(up) > 0] if answered is None else answered)
