"""Weights of classes of several outputs: a row weighs the product of the factors of its classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.protocol.query import Fact, Query
from fedtrees.errors import ProtocolError
from fedtrees.queries.long_sums import N_DIGITS, bound_of_long_sums, long_sums, restore_long
from fedtrees.trees.silo.state import TreeState

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows

Factors = NDArray[np.float64]

ASKED = "rows were weighed or counted by trees"


class OutputClassSums(Query, frozen=True, eq=False):
    """Weights of the rows of each class of each output: of all rows, or of those that each growing tree draws.

    Parameters
    ----------
    rows : int
        Rows of the federation, each as often as a tree draws it at the most.
    outputs : int
    classes : int
        Classes that each output has room for.
    trees : int, default 0
        Trees of the coming round that draw rows; 0 asks for all rows.
    """

    rows: int
    outputs: int
    classes: int
    trees: int = 0

    def size(self) -> int:
        """See `Query`."""
        return max(1, self.trees) * self.outputs * self.classes * N_DIGITS

    def touches(self) -> int:
        """See `Query`."""
        return 2 * max(1, self.trees) * self.outputs

    def bound(self) -> int:
        """See `Query`."""
        return bound_of_long_sums(self.rows)

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        rows, given = silo.rows_asked(), silo.weights()
        y = silo.targets(None)
        if not len(y):
            return np.zeros(self.size(), np.int64)
        if y.ndim != 2 or y.shape[1] != self.outputs:
            raise ProtocolError(f"classes of {self.outputs} outputs were asked for, and y is of {y.shape}")
        weight = np.ones(len(y)) if given is None else given.astype(np.float64)
        weights = [weight]
        if self.trees:
            state = silo.state_of(TreeState, ASKED)
            weights = [weight * times for times in state.sampler.times_of_trees(silo, self.trees)]
        sums = [
            long_sums(drawn[rows][y[rows, output] == place])
            for drawn in weights
            for output in range(self.outputs)
            for place in range(self.classes)
        ]
        return np.concatenate(sums)

    def read(self, total: Vector) -> Factors:
        """Return the weights as real numbers, each rounded once: float64 (trees or 1, outputs, classes)."""
        real = [float(restore_long(digits)) for digits in total.reshape(-1, N_DIGITS)]
        return np.array(real).reshape(-1, self.outputs, self.classes)


class TreeFactors(Fact, frozen=True, eq=False):
    """Factors by which classes multiply their rows' weights, in each of the trees that grow next.

    Parameters
    ----------
    factors : float64 (trees, outputs, classes)
    """

    dimensions: ClassVar[dict[str, int | None]] = {"factors": 3}

    factors: Factors

    def apply(self, silo: SiloRows) -> None:
        """See `Fact`."""
        state = silo.state_of(TreeState, ASKED)
        state.words.weigh_trees(self.factors)
