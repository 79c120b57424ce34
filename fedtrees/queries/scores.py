"""Queries about evaluation sets: their sizes, and metrics of a model's predictions of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.labels import ClassLabels
from fedtrees.core.data.table import Table
from fedtrees.core.data.table_targets import check_rows, numbers_of, of_set, places_of, refuse_other_targets
from fedtrees.core.numeric.fixed_point import (
    N_EXPONENTS,
    WORD_BITS,
    Vector,
    exponent_counts,
    largest_exponent,
    quantise,
    step_bits,
)
from fedtrees.core.protocol.query import Query
from fedtrees.errors import ProtocolError
from fedtrees.queries.areas import Area
from fedtrees.queries.metric import Metric, Rows
from fedtrees.queries.metrics import metric_named
from fedtrees.queries.score_histogram import ScoreHistogram, count_scores

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows


class SetSize(NamedTuple):
    """The rows of an evaluation set, the exponent that bounds their weights, and whether these are whole numbers."""

    rows: int
    weight_exponent: int
    whole: bool

    def weight_bits(self, rows: int) -> int:
        """The bits of the grid on which so many weights are added up; whole numbers stay as they are where they can."""
        if self.whole and 0 <= self.weight_exponent <= WORD_BITS - rows.bit_length():
            return self.weight_exponent
        return step_bits(rows)


class HeldOut(Query, frozen=True, eq=False):
    """The numbers of rows, and of weights that are not whole, of each evaluation set, and exponents that bound weights.

    Parameters
    ----------
    sets : int
    labels : list, optional
        The class labels; None for targets that are numbers.
    most_rows : int
        More rows than any federation has.
    """

    sets: int
    labels: ClassLabels | None
    most_rows: int = 2**40

    def size(self) -> int:
        """See `Query`."""
        return self.sets * (2 + N_EXPONENTS)

    def bound(self) -> int:
        """See `Query`."""
        return self.most_rows

    def lowest(self) -> int:
        """See `Query`."""
        return 0

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        tables = held_out(silo, self.sets)
        parts = []
        for place, table in enumerate(tables):
            with of_set(place):  # others are refused
                if self.labels is None:
                    refuse_other_targets(table, silo.table)
                    numbers_of(table, silo.open_above)
                else:
                    places_of(table, self.labels)
            rows = _asked(silo, table)
            weight = np.ones(1, np.float32) if table.weight is None else table.weight[rows]
            counts = exponent_counts(weight) * (len(rows) if table.weight is None else 1)
            parts += [np.array([len(rows), np.count_nonzero(weight != np.rint(weight))]), counts]
        return np.concatenate([np.zeros(0, np.int64), *parts])

    def read(self, total: Vector) -> list[SetSize]:
        """The size of each set."""
        return [
            SetSize(int(of_set[0]), largest_exponent(of_set[2:]), not of_set[1])
            for of_set in total.reshape(self.sets, -1)
        ]


class Scores(Query, frozen=True, eq=False):
    """Metrics of the model so far on one evaluation set; each kind of model has a subclass, see `rows_of`.

    The sums of most metrics come first, then the histograms of scores that areas are read from.

    Parameters
    ----------
    place : int
        The set's place.
    sets : int
        The number of sets.
    metrics : list of str
    rows : int
        Of the set, in all silos.
    weight_exponent : int
    weight_bits : int
        Of the grid on which the weights in histograms are added up; see `core.numeric.fixed_point.quantise`.
    objective : str
        That the model was trained for.
    numbers : int
        That a row is scored by: of several targets or quantiles, each adds to the sums.
    edges : uint32 (buckets of all histograms,)
        See `score_histogram.ScoreHistogram`.
    first : int64 (histograms + 1,)
        Where each histogram's buckets start among them.
    """

    place: int
    sets: int
    metrics: list[str]
    rows: int
    weight_exponent: int
    weight_bits: int = 0
    objective: str = ""
    numbers: int = 1
    edges: NDArray[np.uint32] = np.zeros(0, np.uint32)
    first: NDArray[np.int64] = np.zeros(1, np.int64)

    def summed(self) -> dict[str, Metric]:
        """The metrics that are sums of what rows add."""
        known = {name: metric_named(name, self.objective) for name in self.metrics}
        return {name: metric for name, metric in known.items() if not isinstance(metric, Area)}

    def areas(self) -> dict[str, Area]:
        """The metrics that are read from histograms."""
        known = {name: metric_named(name, self.objective) for name in self.metrics}
        return {name: metric for name, metric in known.items() if isinstance(metric, Area)}

    def over(self, edges: Sequence[NDArray[np.int64]]) -> Self:
        """The question with other edges: int64 (buckets,) of each histogram."""
        first = np.cumsum([0, *map(len, edges)]).astype(np.int64)
        flat = np.concatenate([np.zeros(0, np.int64), *edges]).astype(np.uint32)
        return msgspec.structs.replace(self, edges=flat, first=first)

    def size(self) -> int:
        """See `Query`."""
        return sum(metric.size() for metric in self.summed().values()) + 2 * len(self.edges)

    def touches(self) -> int:
        """See `Query`."""
        return self.numbers * (sum(metric.touches() for metric in self.summed().values()) + len(self.first) - 1)

    def rows_among(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `Query`; a silo takes the set that it holds out of its own rows from those that it trains on."""
        of_set: NDArray[np.int64] = rows[self.place + 1 if self.place + 1 < len(rows) else 0]
        return of_set

    def bound(self) -> int:
        """See `Query`."""
        bounds = [metric.bound(self.rows) for metric in self.summed().values()]
        return max([*bounds, self.rows << self.weight_bits if len(self.edges) else 0, 1])

    def rows_of(self, silo: SiloRows, table: Table, asked: NDArray[np.int64]) -> Rows:
        """The rows of the silos that are asked, with the model's margins.

        Parameters
        ----------
        silo : SiloRows
        table : Table
            The evaluation set.
        asked : int64 (rows,)
            Its rows that are asked for.

        Raises
        ------
        ProtocolError
            If there is no model yet, or a metric is not defined for it.
        """
        raise NotImplementedError

    def check_metrics(self, objective: str) -> None:
        """Raise a `ProtocolError` where a metric is not defined for the objective's predictions."""
        if self.objective not in ("", objective):
            raise ProtocolError(f"scores were asked for of {self.objective}, and the model is of {objective}")
        known = [metric_named(name, objective) for name in self.metrics]
        if not all(metric.fits(objective) for metric in known):
            raise ProtocolError(f"{self.metrics} are not all metrics of {objective}")

    def _check_edges(self, histograms: int) -> None:
        """Refuse edges that would lead the kernel, which does not check them, out of its arrays."""
        first, edges = self.first, self.edges.astype(np.int64)
        rising = (
            len(first) == histograms + 1 and first[0] == 0 and first[-1] == len(edges) and (np.diff(first) > 0).all()
        )
        if not rising or any(part[0] or (np.diff(part) <= 0).any() for part in np.split(edges, first[1:-1])):
            raise ProtocolError("scores were asked for in buckets that are none")
        if not 0 <= self.weight_bits < WORD_BITS:
            raise ProtocolError(f"weights were asked for in {self.weight_bits} bits")

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        tables = held_out(silo, self.sets)
        if not 0 <= self.place < self.sets:
            raise ProtocolError("scores were asked for of a set that there is not")
        table = tables[self.place]
        asked = _asked(silo, table)
        rows = self.rows_of(silo, table, asked)
        for metric in self.summed().values():
            refused = metric.refused(rows.y)
            if refused is not None:
                wrong, why = np.zeros(table.n_rows, bool), refused[1]
                wrong[asked] = refused[0]
                check_rows(table, wrong, why)
        parts = [metric.ask(rows) for metric in self.summed().values()]
        if self.areas():
            scores = rows.scores()
            self._check_edges(len(scores))
            weight = np.ones(1, np.float32) if rows.weight is None else rows.weight
            each = quantise(weight, self.weight_exponent, self.weight_bits)
            for k, (score, edges) in enumerate(zip(scores, np.split(self.edges, self.first[1:-1]), strict=True)):
                positive = rows.y == (1 if len(scores) == 1 else k)
                parts.append(count_scores(score, positive, each, edges.astype(np.int64), silo.threads))
        return np.concatenate(parts)

    def read(self, total: Vector) -> tuple[dict[str, float], list[ScoreHistogram]]:
        """The metrics that are sums, by name, and the histograms."""
        summed, values, at = self.summed(), {}, 0
        for name, metric in summed.items():
            values[name] = metric.read(total[at : at + metric.size()])
            at += metric.size()
        histograms = []
        for edges in np.split(self.edges.astype(np.int64), self.first[1:-1]) if len(self.edges) else ():
            positive, negative = total[at : at + 2 * len(edges)].reshape(2, -1)
            histograms.append(ScoreHistogram(edges, positive, negative))
            at += 2 * len(edges)
        return values, histograms


def held_out(silo: SiloRows, sets: int) -> Sequence[Table]:
    """A silo's evaluation sets, which must be as many as are asked for."""
    if len(silo.held_out) != sets:
        raise ProtocolError(f"silo {silo.name!r} holds {len(silo.held_out)} evaluation sets, and {sets} were asked for")
    return silo.held_out


def _asked(silo: SiloRows, table: Table) -> NDArray[np.int64]:
    """The rows of a table that belong to the silos that are asked."""
    starts, silos = table.starts, silo.silos_asked
    if len(silos) == len(table.names):
        return np.arange(table.n_rows)
    return np.concatenate([np.arange(starts[k], starts[k + 1]) for k in silos] or [np.zeros(0, np.int64)])
