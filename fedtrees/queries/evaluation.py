"""Evaluation sets: rows that silos hold back, scored by sums while a model is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

if TYPE_CHECKING:
    from fedtrees.core.channel import Channel
    from fedtrees.core.cohort import Cohort
    from fedtrees.core.silo import Silo


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
        tables = held_out(silo, self.sets)
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
    """Metrics of the model so far on one evaluation set; a kind of model says what its rows are.

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

    def rows_of(self, silo: Silo, table: Table, asked: NDArray[np.int64]) -> Rows:
        """The rows of the silos that are asked, with the model's margins.

        Parameters
        ----------
        silo : Silo
        table : Table
            The evaluation set.
        asked : int64 (rows,)
            Its rows that are asked for.

        Raises
        ------
        ProtocolError
            If there is no model yet, or the metrics say nothing of it.
        """
        raise NotImplementedError

    def check_metrics(self, objective: str) -> None:
        """Raise a `ProtocolError` where a metric says nothing of what the objective predicts."""
        if not all(metric.fits(objective) for metric in self._metrics()):
            raise ProtocolError(f"{self.metrics} are not all metrics of {objective}")

    def ask(self, silo: Silo) -> Vector:
        """See `Query`."""
        tables = held_out(silo, self.sets)
        if not 0 <= self.place < self.sets:
            raise ProtocolError("scores were asked for of a set that there is not")
        table = tables[self.place]
        rows = self.rows_of(silo, table, _asked(silo, table))
        return np.concatenate([metric.ask(rows) for metric in self._metrics()])

    def read(self, total: Vector) -> list[float]:
        """Each metric."""
        metrics = self._metrics()
        ends = np.cumsum([metric.size() for metric in metrics])
        return [metric.read(own) for metric, own in zip(metrics, np.split(total, ends[:-1]), strict=True)]


def held_out(silo: Silo, sets: int) -> Sequence[Table]:
    """A silo's evaluation sets, which must be as many as are asked for."""
    if len(silo.held_out) != sets:
        raise ProtocolError(f"silo {silo.name!r} holds {len(silo.held_out)} evaluation sets, and {sets} were asked for")
    return silo.held_out


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
        kind: type[Scores] = Scores,
    ) -> Evaluation:
        """Learn how large the sets are, in one round, and whether their targets are what is trained for."""
        sizes = channel.total(HeldOut(len(names), labels), everyone) if names else []
        for name, (rows, _) in zip(names, sizes, strict=True):
            if not rows:
                raise DataError(f"{name}: the evaluation set holds no row in any silo; there is nothing to score on.")
        questions = [
            kind(place, len(names), list(metrics), rows * outputs, exponent)
            for place, (rows, exponent) in enumerate(sizes)
        ]
        return Evaluation(names, list(metrics), questions)

    def score(
        self, channel: Channel, everyone: Cohort, of: Callable[[Scores], Scores] = lambda question: question
    ) -> Scored:
        """Each metric of each set, of the model so far, in one round; ``of`` may write the model into a question."""
        if not self.questions:
            return {}
        answers = channel.totals([of(question) for question in self.questions], everyone)
        return {
            name: dict(zip(self.metrics, scores, strict=True)) for name, scores in zip(self.names, answers, strict=True)
        }
