"""Rows of one class only: the network that predicts it, and no other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.labels import ClassLabels
from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.protocol.query import Query

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows

LEAST_SHARE = 1e-6  # XGBoost's, of classes that no row is of


class ClassRows(Query, frozen=True, eq=False):
    """The number of rows of each class that weigh more than 0.

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
        return len(self.labels)

    def touches(self) -> int:
        """See `Query`."""
        return 1

    def bound(self) -> int:
        """See `Query`."""
        return self.rows

    def lowest(self) -> int:
        """See `Query`."""
        return 0

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        asked, weight = silo.rows_asked(), silo.weights()
        places = silo.targets(self.labels)[asked].astype(np.int64)
        counted = places if weight is None else places[weight[asked] > 0]
        return np.bincount(counted, minlength=len(self.labels)).astype(np.int64)

    def read(self, total: Vector) -> int | None:
        """The place of the only class that there is; None of several, and of none."""
        (there,) = np.nonzero(total)
        return int(there[0]) if len(there) == 1 else None


def margins_of_one_class(place: int, objective: str, outputs: int) -> NDArray[np.float32]:
    """The output of a network for every row where all are of one class: float32 (outputs,).

    Examples
    --------
    >>> margins_of_one_class(0, "binary:logistic", 1).tolist()
    [-13.81550...]
    >>> margins_of_one_class(1, "multi:softprob", 3).round(2).tolist()
    [-4.61..., 9.21..., -4.61...]
    """
    if objective == "binary:logistic":
        odds = math.log(LEAST_SHARE / (1 - LEAST_SHARE))
        return np.full(1, -odds if place else odds, np.float32)
    logs = np.full(outputs, math.log(LEAST_SHARE))
    logs[place] = math.log(1 + LEAST_SHARE)
    centred: NDArray[np.float64] = logs - logs.mean()
    return centred.astype(np.float32)
