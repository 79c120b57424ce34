"""Evaluation sets: rows that silos hold back, scored by sums while trees are boosted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.query import Query
from fedtrees.core.ring import N_EXPONENTS, Vector, exponent_counts, largest_exponent
from fedtrees.core.table import Table
from fedtrees.core.target import numbers_of, places_of
from fedtrees.errors import DataError, ProtocolError
from fedtrees.queries.metric import Metric, Rows
from fedtrees.queries.metrics import metric_named
from fedtrees.trees.risk import bins_of

if TYPE_CHECKING:
    from fedtrees.core.channel import Channel
    from fedtrees.core.cohort import Cohort
    from fedtrees.core.silo import Silo
    from fedtrees.trees.boosting import Boosting


Scored = dict[str, dict[str, float]]  # metric by name, of each evaluation set by name


class HeldOut(Query, frozen=True, eq=False):
    """How many rows each evaluation set has, and the exponents that bound their weights.

    Parameters
    ----------
    sets : int
    labels : list, optional
        The class labels; None for targets that are numbers.
    most_rows : int
        More rows than any federation has.
    """

    sets: int
    labels: list[Any] | None
    most_rows: int = 2**40

    def size(self) -> int:
        """See `Query`."""
        return self.sets * (1 + N_EXPONENTS)

    def bound(self) -> int:
        """See `Query`."""
        return self.most_rows

    def lowest(self) -> int:
        """See `Query`."""
        return 0

    def ask(self, silo: Silo) -> Vector:
        """See `Query`."""
        tables = _held_out(silo, self.sets)
        parts = []
        for table in tables:
            # others are refused
            numbers_of(table, silo.open_above) if self.labels is None else places_of(table, self.labels)
            rows = _asked(silo, table)
            weight = np.ones(1, np.float32) if table.weight is None else table.weight[rows]
            counts = exponent_counts(weight) * (len(rows) if table.weight is None else 1)
            parts += [np.array([len(rows)]), counts]
        return np.concatenate([np.zeros(0, np.int64), *parts])

    def read(self, total: Vector) -> list[tuple[int, int]]:
        """Rows and weight exponent of each set."""
        return [(int(own[0]), largest_exponent(own[1:])) for own in total.reshape(self.sets, -1)]


class Scores(Query, frozen=True, eq=False):
    """Metrics of the trees so far on one evaluation set.

    Parameters
    ----------
    place : int
        Which set.
    sets : int
        How many there are.
    metrics : list of str
    rows : int
        Of the set, in all silos.
    weight_exponent : int
    """

    place: int
    sets: int
    metrics: list[str]
    rows: int
    weight_exponent: int

    def _metrics(self) -> list[Metric]:
        return [metric_named(name) for name in self.metrics]

    def size(self) -> int:
        """See `Query`."""
        return sum(metric.size() for metric in self._metrics())

    def touches(self) -> int:
        """See `Query`."""
        return sum(metric.touches() for metric in self._metrics())

    def bound(self) -> int:
        """See `Query`."""
        return max(metric.bound(self.rows) for metric in self._metrics())

    def ask(self, silo: Silo) -> Vector:
        """See `Query`."""
        state: Boosting | None = silo.state
        tables = _held_out(silo, self.sets)
        if state is None or not 0 <= self.place < self.sets:
            raise ProtocolError("scores were asked for before the cut points, or of a set that there is not")
        if not all(metric.fits(state.begin.objective) for metric in self._metrics()):
            raise ProtocolError(f"{self.metrics} are not all metrics of {state.begin.objective}")
        own = state.evaluated(silo, self.place, tables[self.place])
        own.catch_up(silo, state.forest)
        asked = _asked(silo, own.table)
        weight = None if own.table.weight is None else own.table.weight[asked]
        margin, target = own.margin[:, asked], own.target[asked]
        if target.ndim == 2 and not silo.open_above:  # every target of a row is a row of its own, as XGBoost has it
            weight = None if weight is None else np.tile(weight, len(margin))
            margin, target = margin.reshape(1, -1), target.T.ravel()
        queries = _queries_asked(own.table, asked) if state.loss.ranks else None
        bins = bins_of(target, state.times) if len(state.times) else None
        rows = Rows(own.objective, margin, target, weight, self.weight_exponent, state.begin.params, queries, bins)
        return np.concatenate([metric.ask(rows) for metric in self._metrics()])

    def read(self, total: Vector) -> list[float]:
        """Each metric."""
        metrics = self._metrics()
        ends = np.cumsum([metric.size() for metric in metrics])
        return [metric.read(own) for metric, own in zip(metrics, np.split(total, ends[:-1]), strict=True)]


def _held_out(silo: Silo, sets: int) -> Sequence[Table]:
    if len(silo.held_out) != sets:
        raise ProtocolError(f"silo {silo.name!r} holds {len(silo.held_out)} evaluation sets, and {sets} were asked for")
    return silo.held_out


def _queries_asked(table: Table, asked: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each query starts among the rows that are asked; silos are asked whole, and queries with them."""
    starts = table.query_starts()[:-1]
    return np.append(np.flatnonzero(np.isin(asked, starts)), len(asked)).astype(np.int64)


def _asked(silo: Silo, table: Table) -> NDArray[np.int64]:
    """The rows of a table that belong to the silos that are asked."""
    starts, silos = table.starts, silo.silos_asked
    if len(silos) == len(table.names):
        return np.arange(table.n_rows)
    return np.concatenate([np.arange(starts[k], starts[k + 1]) for k in silos] or [np.zeros(0, np.int64)])


@dataclass(frozen=True)
class Evaluation:
    """What to score after each round, and by which metrics.

    Attributes
    ----------
    names : sequence of str
        Of the evaluation sets.
    metrics : list of str
    questions : sequence of Scores
        One a set.
    """

    names: Sequence[str]
    metrics: list[str]
    questions: Sequence[Scores]

    @staticmethod
    def prepare(
        channel: Channel,
        everyone: Cohort,
        names: Sequence[str],
        metrics: Sequence[str],
        labels: list[Any] | None,
        outputs: int = 1,
    ) -> Evaluation:
        """Learn how large the sets are, in one round, and whether their targets are what is trained for."""
        sizes = channel.total(HeldOut(len(names), labels), everyone) if names else []
        for name, (rows, _) in zip(names, sizes, strict=True):
            if not rows:
                raise DataError(f"{name}: the evaluation set holds no row in any silo; there is nothing to score on.")
        questions = [
            Scores(place, len(names), list(metrics), rows * outputs, exponent)
            for place, (rows, exponent) in enumerate(sizes)
        ]
        return Evaluation(names, list(metrics), questions)

    def score(self, channel: Channel, everyone: Cohort) -> Scored:
        """Each metric of each set, of the trees so far, in one round."""
        if not self.questions:
            return {}
        answers = channel.totals(self.questions, everyone)
        return {
            name: dict(zip(self.metrics, scores, strict=True)) for name, scores in zip(self.names, answers, strict=True)
        }
