"""Class weights: a factor for each class, given or balanced so that all classes weigh the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.labels import ClassLabels
from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.protocol.query import Fact, Query
from fedtrees.queries.long_sums import N_DIGITS, bound_of_long_sums, long_sums, restore_long

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows


class ClassSums(Query, frozen=True, eq=False):
    """The weight of the rows of each class.

    Parameters
    ----------
    rows : int
        Rows of the federation.
    labels : list
    """

    rows: int
    labels: ClassLabels

    def size(self) -> int:
        """See `Query`."""
        return len(self.labels) * N_DIGITS

    def touches(self) -> int:
        """See `Query`."""
        return 2

    def bound(self) -> int:
        """See `Query`."""
        return bound_of_long_sums(self.rows)

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        asked, given = silo.rows_asked(), silo.weights()
        classes = silo.targets(self.labels)[asked]
        weight = np.ones(len(classes)) if given is None else given[asked].astype(np.float64)
        sums = [long_sums(weight[classes == place]) for place in range(len(self.labels))]
        return np.concatenate(sums)

    def read(self, total: Vector) -> list[int]:
        """The weight of each class, exactly, in one unit."""
        return [restore_long(digits) for digits in total.reshape(-1, N_DIGITS)]


def balanced(sums: list[int]) -> list[float]:
    """The factors that make all classes weigh the same, and all rows as much as before.

    As scikit-learn's: the weight of all rows, by the number of classes that there are, by that of the class.

    Examples
    --------
    >>> balanced([1, 3, 0])
    [2.0, 0.6666666666666666, 1.0]
    """
    present = sum(weight > 0 for weight in sums)
    return [sum(sums) / (present * weight) if weight else 1.0 for weight in sums]


class WeighClasses(Fact, frozen=True, eq=False):
    """The fact that a row weighs, from now on, as much as before times the factor of its class.

    Parameters
    ----------
    labels : list
    factors : float64 (labels,)
    """

    labels: ClassLabels
    factors: NDArray[np.float64]

    def apply(self, silo: SiloRows) -> None:
        """See `Fact`."""
        places = silo.targets(self.labels).astype(np.int64)
        silo.multiply_weights(self.factors.astype(np.float32)[places])


def weigh_classes_alone(silo: SiloRows, labels: ClassLabels, given: Sequence[float] | Literal["balanced"]) -> None:
    """Multiply one silo's weights by factors of classes, which are balanced by its rows alone."""
    if given == "balanced":
        sums = ClassSums(silo.table.n_rows, labels)
        given = balanced(sums.read(sums.ask(silo)))
    WeighClasses(labels, np.array(given, np.float64)).apply(silo)
