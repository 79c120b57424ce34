"""Weights of classes of several outputs: a row weighs the product of the factors of its classes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.protocol.query import Fact, Query
from fedtrees.errors import ProtocolError
from fedtrees.queries.long_sums import N_DIGITS, bound_of_long_sums, long_sums, restore_long
from fedtrees.trees.impurity import Impurity
from fedtrees.trees.losses.outputs import OutputClasses, WeighedOutputs

if TYPE_CHECKING:
    from fedtrees.core.protocol.channel import Channel
    from fedtrees.core.protocol.silo import Silo
    from fedtrees.core.sampling.samplers import Cohort
    from fedtrees.trees.boosting import Boosting
    from fedtrees.trees.plan import Plan

Factors = NDArray[np.float64]


class OutputClassSums(Query, frozen=True, eq=False):
    """The weight of the rows of each class of each output, or of those of them that each growing tree draws.

    Parameters
    ----------
    rows : int
        Rows of the federation, each as often as a tree draws it at the most.
    outputs : int
    classes : int
        That each has room for.
    trees : int, default 0
        Of the coming round, that draw rows; 0 asks for all rows.
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

    def ask(self, silo: Silo) -> Vector:
        """See `Query`."""
        rows, given = silo.rows_asked(), silo.weights()
        y = silo.targets(None)
        if not len(y):
            return np.zeros(self.size(), np.int64)
        if y.ndim != 2 or y.shape[1] != self.outputs:
            raise ProtocolError(f"classes of {self.outputs} outputs were asked for, and y is of {y.shape}")
        weight = np.ones(len(y)) if given is None else given.astype(np.float64)
        each = [weight] if not self.trees else [weight * own for own in _state(silo).draws_of_trees(silo, self.trees)]
        sums = [
            long_sums(own[rows][y[rows, output] == place])
            for own in each
            for output in range(self.outputs)
            for place in range(self.classes)
        ]
        return np.concatenate(sums)

    def read(self, total: Vector) -> Factors:
        """The weights in one unit, each rounded once: float64 (trees or 1, outputs, classes)."""
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

    def apply(self, silo: Silo) -> None:
        """See `Fact`."""
        _state(silo).weigh_trees(self.factors)


def _state(silo: Silo) -> Boosting:
    if silo.state is None:
        raise ProtocolError("rows were weighed or counted by trees before there are any")
    state: Boosting = silo.state
    return state


def balanced(sums: Factors) -> Factors:
    """The factors that make all classes of an output weigh the same, and all rows as much as before.

    As scikit-learn's: the weight of all rows, by the number of classes that there are, by that of the class.

    Parameters
    ----------
    sums : float64 (.., classes)

    Examples
    --------
    >>> balanced(np.array([1.0, 3.0, 0.0])).round(3).tolist()
    [2.0, 0.667, 1.0]
    """
    there = sums > 0
    n = np.maximum(1, there.sum(axis=-1, keepdims=True))
    return np.where(there, sums.sum(axis=-1, keepdims=True) / (n * np.where(there, sums, 1.0)), 1.0)


def weigh_outputs(
    channel: Channel, everyone: Cohort, loss: OutputClasses, rule: Impurity,
    given: list[tuple[float, ...]] | str | None, rows: int,
) -> tuple[OutputClasses, Impurity, Factors]:  # fmt: skip
    """The loss and the rule of classes that weigh so, and the weights of each output's: float64 (outputs, classes)."""
    outputs, classes = len(loss.classes), loss.statistics_a_bin(0)
    sums = channel.total(OutputClassSums(rows, outputs, classes), everyone)[0]
    if given is None:
        return loss, rule, sums
    factors = np.ones_like(sums)
    if given == "balanced":
        factors = balanced(sums)
    elif not isinstance(given, str):
        for own, weights in zip(factors, given, strict=True):
            own[: len(weights)] = weights
    alone = np.eye(1, classes)  # of what counts rows, all are in one class
    return _spanned(loss, factors), replace(rule, counts_apart=True), np.concatenate([sums * factors, alone])


def weigh_trees(channel: Channel, cohort: Cohort, loss: WeighedOutputs, plan: Plan) -> WeighedOutputs:
    """Let the classes of each tree that grows next weigh the same, by the rows that it draws, and tell the silos."""
    outputs, classes = len(loss.classes), loss.statistics_a_bin(0)
    factors = balanced(channel.total(OutputClassSums(plan.rows, outputs, classes, plan.parallel), cohort))
    channel.tell(TreeFactors(factors))
    return _spanned(loss, factors)


def _spanned(loss: OutputClasses, factors: Factors) -> WeighedOutputs:
    """The loss of rows that weigh these factors, (.., outputs, classes), or as much at the most and at the least."""
    least, most = factors.min(axis=-1).prod(axis=-1).min(), factors.max(axis=-1).prod(axis=-1).max()
    each = tuple(factors.ravel().tolist()) if factors.ndim == 2 else getattr(loss, "factors", ())
    return WeighedOutputs(loss.classes, each, float(least), float(most))
