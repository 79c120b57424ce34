"""Metrics that are a function of the user's. A function does not travel: its registered name does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.errors import ParameterError
from fedtrees.queries import metric_kernels as kernels
from fedtrees.queries.metric import Metric, Rows, mean_of_sums, weighted_sums
from fedtrees.queries.metrics import CUSTOM, METRICS

Function = Callable[[NDArray[Any], NDArray[Any]], ArrayLike]  # of targets and predictions, in the types of either


@dataclass(frozen=True)
class CustomMetric(Metric):
    """The weighted mean of a function's values for rows; see `register_metric`."""

    name: str
    function: Function

    def fits(self, objective: str) -> bool:
        """See `Metric`."""
        return True

    def ask(self, rows: Rows) -> Vector:
        """See `Metric`."""
        n = len(rows.y)
        if not n:
            return np.zeros(self.size(), np.int64)
        values = numbers_of_rows("eval_metric", self.name, self.function, rows.y, _predictions(rows))
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and the mean with it
            return weighted_sums(values, rows.weight)

    def read(self, total: Vector) -> float:
        """See `Metric`."""
        return mean_of_sums(total)


def numbers_of_rows(
    parameter: str, name: str, function: Function, y: NDArray[np.generic], predicted: NDArray[np.generic]
) -> NDArray[np.float32]:
    """The number that a function returns for each row, float32 (rows,).

    Raises
    ------
    ParameterError
        If it returns anything else.
    """
    values, n = np.asarray(function(y, predicted)), len(y)
    if values.shape != (n,):
        given = "one number" if values.ndim == 0 else f"an array of the shape {values.shape}"
        raise ParameterError(
            f"{parameter}: {name} gave {given} for {n} rows. Silos add up what rows come to: return a number "
            "for each row, and the score is their mean."
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and the mean with it
        return values.astype(np.float32)


def function_named(name: str) -> Function:
    """The function that is registered under a name in this process.

    Raises
    ------
    ParameterError
        If none is.
    """
    known = CUSTOM.get(name)
    if not isinstance(known, CustomMetric):
        raise ParameterError(f"{name!r} is no function that is registered here; see `register_metric`.")
    return known.function


def _predictions(rows: Rows) -> NDArray[np.float32]:
    if len(rows.margin) == 1:
        return rows.prediction()
    if not rows.objective.startswith("multi:"):
        return np.ascontiguousarray(rows.margin.T)
    out = np.empty_like(rows.margin)
    kernels.probabilities(rows.margin, out)
    return np.ascontiguousarray(out.T)


def register_metric(function: Function, name: str | None = None) -> str:
    """Register a function as a metric in this process.

    A federation's other processes score by it when they have registered theirs under the same name, and refuse
    otherwise.

    Parameters
    ----------
    function : callable
        ``function(y_true, y_pred)`` returns a number for each row, float (rows,), of which the metric is the weighted
        mean; less is better. ``y_true`` is float32 (rows,): numbers, or the places of labels among the sorted ones.
        ``y_pred`` is what XGBoost's callables get: predictions, float32 (rows,), or probabilities, (rows, classes).
    name : str, optional
        By default the function's `__name__`.

    Returns
    -------
    str
        The name.

    Examples
    --------
    >>> register_metric(lambda y, p: abs(y - p) > 10, "far off")
    'far off'
    """
    called: str = name or str(getattr(function, "__name__", type(function).__name__))
    unique, number = called, 1
    while name is None and (unique in METRICS or not _is_of(function, unique)):
        number += 1
        unique = f"{called} {number}"
    if unique in METRICS:
        raise ParameterError(f"{unique!r} is a metric of XGBoost's; give the function another name.")
    CUSTOM[unique] = CustomMetric(unique, function)
    return unique


def _is_of(function: Function, name: str) -> bool:
    """Return whether a name is this function's, or free."""
    known = CUSTOM.get(name)
    return known is None or (isinstance(known, CustomMetric) and known.function is function)
