"""The interface of metrics: integers that silos add up, and the number that is read from the total."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.queries import metric_kernels as kernels
from fedtrees.queries.sums import N_PLACES, bound_of_sums, restore_sum, sums_by_power

Floats = NDArray[np.float32]

_LOGISTIC = ("binary:logistic", "binary:logitraw", "reg:logistic")
_EXPONENTIAL = ("count:poisson", "reg:gamma", "reg:tweedie", "survival:aft", "survival:cox")


@dataclass(frozen=True)
class Rows:
    """Rows to score, as a silo holds them.

    Attributes
    ----------
    objective : str
    margin : float32 (outputs, rows)
    y : float32 (rows,)
    weight : float32 (rows,) or None
    weight_exponent : int
        With every weight at most ``2 ** weight_exponent``.
    params : dict of str to float, or to list of float
        The objective's parameters.
    groups : int64 (groups + 1,), optional
        Of a ranking, where the rows of each group start.
    bins : int64 (rows,), optional
        The bin of time that each row's target is in.
    """

    objective: str
    margin: Floats
    y: Floats
    weight: Floats | None
    weight_exponent: int
    params: Mapping[str, Any] = field(default_factory=dict)  # each of its parameter's type
    groups: NDArray[np.int64] | None = None
    bins: NDArray[np.int64] | None = None

    def prediction(self) -> Floats:
        """The predictions of XGBoost from the margins of one output, float32 (rows,)."""
        if self.objective == "binary:hinge":
            decided: Floats = (self.margin[0] > 0).astype(np.float32)
            return decided
        out: Floats = self.margin[0].copy()
        if self.objective not in _LOGISTIC + _EXPONENTIAL:
            return out
        transform = kernels.sigmoid if self.objective in _LOGISTIC else kernels.exponential
        transform(self.margin[0], out)
        return out

    def scores(self) -> Floats:
        """The scores that areas rank rows by: of several classes, of each; else of the second, float32 (.., rows).

        Margins rank as probabilities do, and differ where float32 probabilities are equal.
        """
        if self.objective == "binary:hinge":
            return self.prediction()[None]
        if not self.objective.startswith("multi:"):
            return self.margin[:1]
        out = np.empty_like(self.margin)
        kernels.odds_of_classes(self.margin, out)
        return out


class Metric:
    """A measure of how good predictions are."""

    name: str
    maximise = False

    def fits(self, objective: str) -> bool:
        """Return whether it is defined for the predictions of this objective."""
        raise NotImplementedError

    def refused(self, y: Floats) -> tuple[NDArray[np.bool_], str] | None:
        """Find rows whose targets the metric is not defined for, and why, if there are any."""
        return None

    def size(self) -> int:
        """The number of integers that a silo answers with."""
        return 2 * N_PLACES

    def touches(self) -> int:
        """The number of them that one row can make other than zero."""
        return 2

    def bound(self, rows: int) -> int:
        """The largest magnitude of one, over so many rows."""
        return bound_of_sums(rows)

    def ask(self, rows: Rows) -> Vector:
        """One silo's integers, int64 (size,)."""
        raise NotImplementedError

    def read(self, total: Vector) -> float:
        """The metric of a total."""
        raise NotImplementedError


def weighted_sums(values: Floats, weight: Floats | None) -> Vector:
    """Sums by power of what rows add, and of what they weigh."""
    if weight is None:
        counts = sums_by_power(np.ones(1, np.float32)) * len(values)
        return np.concatenate([sums_by_power(values), counts])
    return np.concatenate([sums_by_power(values * weight), sums_by_power(weight)])


def mean_of_sums(total: Vector) -> float:
    """The weighted mean that `weighted_sums` stand for; NaN where nothing weighs."""
    mass = restore_sum(total[N_PLACES:])
    return restore_sum(total[:N_PLACES]) / mass if mass else math.nan
