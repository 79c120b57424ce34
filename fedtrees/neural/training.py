"""What a silo knows of a network's training: the model, and how its rows are scaled."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.query import Fact
from fedtrees.core.table import Table
from fedtrees.core.target import numbers_of, places_of
from fedtrees.errors import DataError, ProtocolError
from fedtrees.neural.local import Rows
from fedtrees.neural.memory import Memory
from fedtrees.neural.model import AnyModel, Floats

if TYPE_CHECKING:
    from fedtrees.core.silo import Silo


CHUNK = 1 << 14  # rows that are looked at together


class RefuseMissing(Fact, frozen=True, eq=False):
    """A network is going to be trained: told first of all, so that the silo that cannot take part says so by name."""

    def apply(self, silo: Silo) -> None:
        """See `Fact`."""
        for table in (silo.table, *silo.held_out):
            refuse_missing(table)


class StartTraining(Fact, frozen=True, eq=False):
    """Training begins: a model, the agreed labels, and what features and targets are to be scaled by.

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

    def apply(self, silo: Silo) -> None:
        """See `Fact`."""
        features, n = silo.table.n_features, len(self.mean)
        if n < features or len(self.deviation) != n:
            raise ProtocolError(f"scales of {n} columns, and there are {features} features")
        silo.state = Training(silo, self)


class Scaling:
    """How columns are scaled, and how predictions are scaled back.

    Parameters
    ----------
    mean, deviation : float64 (features + targets,)
    features : int
    """

    def __init__(self, mean: NDArray[np.float64], deviation: NDArray[np.float64], features: int):
        self._mean, self._deviation, self._features = mean, deviation, features

    def features(self, X: Floats) -> Floats:
        """Scaled features, float32 (rows, features)."""
        mean, factor = self._mean[: self._features], 1 / self._deviation[: self._features]
        if not mean.any() and (factor == 1).all():
            return X
        return (X - mean.astype(np.float32)) * factor.astype(np.float32)

    def targets(self, y: Floats) -> Floats:
        """Scaled targets, float32 (rows, targets)."""
        return ((y - self._mean[self._features :]) / self._deviation[self._features :]).astype(np.float32)

    def predictions(self, margin: Floats) -> Floats:
        """Predictions in the units of y, float32 (rows, outputs); margins of classes are what they are."""
        if len(self._mean) == self._features:
            return margin
        return (margin * self._deviation[self._features :] + self._mean[self._features :]).astype(np.float32)


class Training:
    """A silo's state; of several silos, that of each.

    Law: but for what methods keep in `memory`, a function of the table and the run's facts; see `core.silo.Silo`.
    """

    def __init__(self, silo: Silo, begin: StartTraining):
        self.begin, self.model = begin, begin.model
        self.scaling = Scaling(begin.mean, begin.deviation, silo.table.n_features)
        self.y = self.scaled_targets(silo, silo.table)
        self.weights = silo.weights()
        self._memory: dict[tuple[int, str], Memory] = defaultdict(Memory)

    def memory(self, place: int, round: int, purpose: str) -> Memory:
        """What the silo at a place of the table remembers for a purpose."""
        return self._memory[place, purpose].enter(round)

    def rows(self, table: Table, place: int) -> Rows:
        """The rows of a silo, scaled."""
        own = slice(*table.starts[place : place + 2])
        weight = None
        if self.weights is not None:  # 1 in the mean, so that a batch's rows count what they weigh in the silo
            given = self.weights[own].astype(np.float64)
            weight = (given / (given.mean() or 1.0)).astype(np.float32)
        return Rows(self.features(table, own), self.y[own], weight)

    def features(self, table: Table, rows: Any) -> Floats:
        """Scaled features of some of a table's rows, float32 (rows, features), by rows."""
        X = table.X[rows] if table.order is None else table.X[table.order[rows]]
        return np.ascontiguousarray(self.scaling.features(X))

    def scaled_targets(self, silo: Silo, table: Table) -> NDArray[Any]:
        """What margins are to be: int64 (rows,) of classes, or float32 (rows, targets)."""
        if self.begin.labels is not None:
            return places_of(table, self.begin.labels).astype(np.int64)
        return self.scaling.targets(numbers_of(table).reshape(table.n_rows, -1))


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
