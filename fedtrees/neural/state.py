"""A silo's state of a network's training: the model, and its rows, scaled."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.table import Table
from fedtrees.core.data.table_targets import check_rows, numbers_of, places_of
from fedtrees.core.protocol.query import Fact
from fedtrees.core.protocol.state import State
from fedtrees.errors import DataError, ProtocolError
from fedtrees.neural.local import Rows
from fedtrees.neural.memory import Memory
from fedtrees.neural.model import AnyModel, Floats

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows


class WeightUnit(Fact, frozen=True, eq=False):
    """The unit of a silo's weight.

    Rows that all weigh 1 are counted. Otherwise a silo counts its share of all weight in units of ``2 ** -bits``.

    Parameters
    ----------
    total : float
        What all silos weigh together.
    bits : int
        0 where rows are counted.
    """

    total: float
    bits: int

    def mass(self, weight: float) -> int:
        """The units of a silo's weight."""
        return round(math.ldexp(weight / self.total, self.bits)) if self.bits else round(weight)

    def most(self, silos: int) -> int:
        """The units of all silos, at the most."""
        return (1 << self.bits) + silos if self.bits else round(self.total)

    def apply(self, silo: SiloRows) -> None:
        """See `Fact`; refuse a silo that its weight would leave too few units of."""
        state = silo.state_of(NetworkState, "silos were to be weighed")
        state.unit = self
        least = 1 << max(0, self.bits - MOST_RATIO_BITS)
        for place in range(len(silo.table.names)) if self.bits else ():
            weight = state.weight_of(silo.table, place)
            if weight and self.mass(weight) < least:
                raise DataError(
                    f"silo {silo.table.names[place]!r}: its rows weigh {weight:g} of {self.total:g} in all, too little "
                    "to be counted; bring sample_weight, class_weight and weighting closer together."
                )


MOST_RATIO_BITS = 44  # of all weight to a silo's: ten thousand heavy rows in one, and a light one of a billionth
CHUNK = 1 << 14  # rows that are looked at together


class RefuseMissing(Fact, frozen=True, eq=False):
    """The fact that a network is going to be trained, sent first: a silo with missing values refuses, by its name."""

    def apply(self, silo: SiloRows) -> None:
        """See `Fact`."""
        for table in (silo.table, *silo.held_out):
            refuse_missing(table)


class StartTraining(Fact, frozen=True, eq=False):
    """The beginning of training: a model, the agreed labels, and what features and targets are to be scaled by.

    Parameters
    ----------
    model : Perceptron or another
    labels : list, optional
        The class labels; None for targets that are numbers.
    seed : int
    mean, deviation : float64 (features + targets,)
        What is taken from each column, and what the rest is divided by.
    """

    model: AnyModel
    labels: list[Any] | None
    seed: int
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    def apply(self, silo: SiloRows) -> None:
        """See `Fact`."""
        features, n = silo.table.n_features, len(self.mean)
        if n < features or len(self.deviation) != n:
            raise ProtocolError(f"scales of {n} columns, and there are {features} features")
        self._refuse_lost(silo)
        silo.states.keep(NetworkState(silo, self))

    def _refuse_lost(self, silo: SiloRows) -> None:
        """Refuse columns whose differences float32 lost, as far as they differ in all silos together."""
        as_they_are = not self.mean.any() and bool((self.deviation == 1).all())
        for lost in silo.lost:
            if lost.place >= len(self.mean):  # labels
                continue
            mean, spread = float(self.mean[lost.place]), float(self.deviation[lost.place])
            constant = lost.held == mean and spread == 1  # in all silos, once it is float32
            if lost.beyond(lost.spread if constant or as_they_are else spread):
                raise DataError(str(lost))


class Scaling:
    """The scales of columns, by which rows are scaled, and predictions scaled back.

    All of it is float64 until the end: a deviation of 1e-40 has no reciprocal in float32, and a mean of 1e6 beside a
    spread of 0.1 is too coarse there.

    Parameters
    ----------
    mean, deviation : float64 (features + targets,)
    features : int
    objective : str
        Margins of counts are logarithms, which a scale is added to.
    """

    def __init__(self, mean: NDArray[np.float64], deviation: NDArray[np.float64], features: int, objective: str):
        self._mean, self._deviation = np.split(mean, [features]), np.split(deviation, [features])
        self._objective = objective
        self._plain = not self._mean[0].any() and bool((self._deviation[0] == 1).all())

    def features(self, X: Floats) -> Floats:
        """Scaled features, float32 (rows, features)."""
        if self._plain:
            return X
        with np.errstate(over="ignore"):  # rows far from those of the training: a margin is refused that is not finite
            return ((X.astype(np.float64) - self._mean[0]) / self._deviation[0]).astype(np.float32)

    def targets(self, y: Floats) -> Floats:
        """Scaled targets, float32 (rows, targets)."""
        return ((y - self._mean[1]) / self._deviation[1]).astype(np.float32)

    def predictions(self, margin: Floats) -> Floats:
        """Predictions in the units of y, float32 (rows, outputs); margins of classes are what they are."""
        if not len(self._mean[1]):
            return margin
        if self._objective == "count:poisson":
            return (margin + np.log(self._deviation[1])).astype(np.float32)
        with np.errstate(over="ignore"):
            return (margin * self._deviation[1] + self._mean[1]).astype(np.float32)


class NetworkState(State):
    """A silo's state; of several silos, that of each.

    Law: a function of the table, of the run's facts and of the questions that silos remember; see `Silo`.
    """

    begins = "training began"

    def __init__(self, silo: SiloRows, begin: StartTraining):
        self.begin, self.model = begin, begin.model
        self.scaling = Scaling(begin.mean, begin.deviation, silo.table.n_features, begin.model.objective)
        self.y = self.scaled_targets(silo, silo.table)
        self.weights = silo.weights()
        self.unit: WeightUnit | None = None  # until all silos are weighed
        self._weight_of: dict[int, float] = {}
        self._memory: dict[tuple[int, str], Memory] = defaultdict(Memory)

    def weight_of(self, table: Table, place: int) -> float:
        """The rows of a silo, or what they weigh together."""
        first, end = (int(border) for border in table.starts[place : place + 2])
        if self.weights is None:
            return float(end - first)
        if place not in self._weight_of:
            self._weight_of[place] = math.fsum(self.weights[first:end].tolist())
        return self._weight_of[place]

    def mass(self, table: Table, place: int) -> int:
        """The weight of a silo in the cohort's sums.

        Raises
        ------
        ProtocolError
            If that was not agreed on yet.
        """
        if self.unit is None:
            raise ProtocolError("an update was asked for before silos were weighed")
        return self.unit.mass(self.weight_of(table, place))

    def memory(self, place: int, round: int, purpose: str) -> Memory:
        """The memory of the silo at a place of the table, for a purpose."""
        return self._memory[place, purpose].enter(round)

    def rows(self, table: Table, place: int) -> Rows:
        """The rows of a silo, scaled."""
        rows = slice(*table.starts[place : place + 2])
        weight = None
        if self.weights is not None:  # 1 in the mean, so that a batch's rows count what they weigh in the silo
            given = self.weights[rows].astype(np.float64)
            weight = (given / (given.mean() or 1.0)).astype(np.float32)
        return Rows(self.features(table, rows), self.y[rows], weight)

    def features(self, table: Table, rows: Any) -> Floats:
        """Scaled features of some of a table's rows, float32 (rows, features), by rows."""
        X = table.X[rows] if table.order is None else table.X[table.order[rows]]
        return np.ascontiguousarray(self.scaling.features(X))

    def scaled_targets(self, silo: SiloRows, table: Table) -> NDArray[Any]:
        """The targets of margins: int64 (rows,) of classes, or float32 (rows, targets)."""
        if self.begin.labels is not None:
            return places_of(table, self.begin.labels).astype(np.int64)
        numbers = numbers_of(table)
        if self.model.objective == "count:poisson":
            check_rows(table, numbers < 0, "a negative number, which loss='poisson' has no likelihood for")
        return self.scaling.targets(numbers if numbers.ndim == 2 else numbers[:, None])


def refuse_missing(table: Table) -> None:
    """Refuse a table with missing values.

    Raises
    ------
    DataError
        Naming the silo and the column of the first.
    """
    if not any(np.isnan(table.X[first : first + CHUNK]).any() for first in range(0, len(table.X), CHUNK)):
        return
    X = table.X if table.order is None else table.X[table.order]  # rows of no weight do not count
    wrong = np.isnan(X).any(axis=0) if len(X) else np.zeros(0, bool)
    if wrong.any():
        column = int(np.argmax(wrong))
        row = int(np.argmax(np.isnan(X[:, column])))
        name = table.schema.names[column]
        raise DataError(
            f"silo {table.silo_of(row)!r}: column {name!r} holds NaN, which a network cannot learn from; fill it in, "
            "as sklearn.impute.SimpleImputer does, or train trees."
        )
