"""Metrics by sums: integers of each silo, and the number that is read from the total.

Row losses are rounded to float32 and added up exactly (see `queries.sums`), so a metric is the same number for every
partition of the rows. For areas under curves see `queries.areas`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.errors import ParameterError, unknown_value
from fedtrees.queries import metric_kernels as kernels
from fedtrees.queries.areas import Area
from fedtrees.queries.metric import Metric, Rows, mean_of_sums, weighted_sums
from fedtrees.queries.ranking_metrics import RANK_AREAS, rank_metric_named
from fedtrees.queries.survival_metrics import FailureTimeLoss, IntervalAccuracy, PartialLikelihood


@dataclass(frozen=True)
class MeanOfRows(Metric):
    """A weighted mean over rows, and perhaps its root."""

    name: str
    code: int
    parameter: float = 0.0
    root: bool = False

    def fits(self, objective: str) -> bool:
        """See `Metric`."""
        if self.code in (kernels.LOGLOSS, kernels.ERROR):
            return objective.startswith("binary:") or objective == "reg:logistic"
        return not objective.startswith(("multi:", "survival:", "rank:"))

    def ask(self, rows: Rows) -> Vector:
        """See `Metric`."""
        out = np.empty(len(rows.y), np.float32)
        kernels.add_rows(self.code, rows.prediction(), rows.y, self.parameter, out)
        return weighted_sums(out, rows.weight)

    def read(self, total: Vector) -> float:
        """See `Metric`."""
        mean = mean_of_sums(total)
        return math.sqrt(mean) if self.root else mean  # a mean of squares: never negative, and NaN stays NaN


@dataclass(frozen=True)
class PseudoHuberLoss(Metric):
    """``mphe``: by the objective's ``huber_slope``."""

    name = "mphe"

    def fits(self, objective: str) -> bool:
        """See `Metric`."""
        return not objective.startswith(("multi:", "survival:", "rank:"))

    def ask(self, rows: Rows) -> Vector:
        """See `Metric`."""
        out = np.empty(len(rows.y), np.float32)
        slope = float(rows.params.get("huber_slope", 1.0))
        kernels.add_rows(kernels.PSEUDO_HUBER, rows.prediction(), rows.y, slope, out)
        return weighted_sums(out, rows.weight)

    def read(self, total: Vector) -> float:
        """See `Metric`."""
        return mean_of_sums(total)


@dataclass(frozen=True)
class PinballLoss(Metric):
    """``quantile``: the mean over rows and over the objective's quantiles, each of which has an output."""

    name = "quantile"

    def fits(self, objective: str) -> bool:
        """See `Metric`."""
        return objective == "reg:quantileerror"

    def ask(self, rows: Rows) -> Vector:
        """See `Metric`."""
        alphas, out = rows.params["quantile_alpha"], np.empty(len(rows.y), np.float32)
        total = np.zeros(self.size(), np.int64)
        for margin, alpha in zip(rows.margin, alphas, strict=True):
            kernels.add_rows(kernels.PINBALL, margin, rows.y, alpha, out)
            total += weighted_sums(out, rows.weight)
        return total

    def read(self, total: Vector) -> float:
        """See `Metric`."""
        return mean_of_sums(total)


@dataclass(frozen=True)
class MeanOfClasses(Metric):
    """``mlogloss`` and ``merror``: of one margin for each class."""

    name: str

    def fits(self, objective: str) -> bool:
        """See `Metric`."""
        return objective.startswith("multi:")

    def ask(self, rows: Rows) -> Vector:
        """See `Metric`."""
        loss, wrong = np.empty(len(rows.y), np.float32), np.empty(len(rows.y), np.float32)
        kernels.add_classes(rows.margin, rows.y, loss, wrong)
        return weighted_sums(loss if self.name == "mlogloss" else wrong, rows.weight)

    def read(self, total: Vector) -> float:
        """See `Metric`."""
        return mean_of_sums(total)


_SIMPLE: tuple[Metric, ...] = (
    MeanOfRows("logloss", kernels.LOGLOSS),
    MeanOfRows("error", kernels.ERROR, 0.5),
    MeanOfRows("rmse", kernels.SQUARED, root=True),
    MeanOfRows("mae", kernels.ABSOLUTE),
    MeanOfRows("mape", kernels.PERCENTAGE),
    MeanOfRows("rmsle", kernels.SQUARED_LOG, root=True),
    MeanOfRows("poisson-nloglik", kernels.POISSON),
    MeanOfRows("gamma-nloglik", kernels.GAMMA),
    MeanOfRows("gamma-deviance", kernels.GAMMA_DEVIANCE),
    PseudoHuberLoss(),
    FailureTimeLoss(),
    IntervalAccuracy(),
    PartialLikelihood(),
    PinballLoss(),
    MeanOfClasses("mlogloss"),
    MeanOfClasses("merror"),
    Area("auc"),
    Area("aucpr"),
)
METRICS = {metric.name: metric for metric in _SIMPLE}
CUSTOM: dict[str, Metric] = {}  # functions of the user's, see `queries.custom_metric`
_WITH_PARAMETER: dict[str, tuple[float, float, Callable[[str, float], Metric]]] = {
    "error": (-math.inf, math.inf, lambda name, value: MeanOfRows(name, kernels.ERROR, value)),
    "tweedie-nloglik": (1, 2, lambda name, value: MeanOfRows(name, kernels.TWEEDIE, value)),
}
_OF_OBJECTIVE = {
    "binary:logistic": "logloss",
    "binary:logitraw": "logloss",
    "binary:hinge": "error",
    "multi:softprob": "mlogloss",
    "multi:softmax": "mlogloss",
    "reg:squaredlogerror": "rmsle",
    "reg:absoluteerror": "mae",
    "reg:pseudohubererror": "mphe",
    "survival:aft": "aft-nloglik",
    "survival:cox": "cox-nloglik",
    "reg:quantileerror": "quantile",
    "count:poisson": "poisson-nloglik",
    "reg:gamma": "gamma-deviance",
    "reg:tweedie": "tweedie-nloglik@1.5",
}


def metric_of(objective: str) -> str:
    """The metric that XGBoost reports for an objective where none is asked for."""
    return _OF_OBJECTIVE.get(objective, "rmse")


def metric_named(name: str, objective: str = "") -> Metric:
    """The metric of an XGBoost name, ``error@0.3`` and ``tweedie-nloglik@1.2`` included.

    Some names mean another thing for rankings.

    Raises
    ------
    ParameterError
        If there is none; it names the nearest.
    """
    if not isinstance(name, str):
        raise ParameterError(f"eval_metric={name!r}: give the name of a metric, or several.")
    if name in CUSTOM:
        return CUSTOM[name]
    if objective.startswith("rank:") and name in RANK_AREAS:
        return RANK_AREAS[name]
    if name in METRICS:
        return METRICS[name]
    ranking = rank_metric_named(name)
    if ranking is not None:
        return ranking
    kind, at, value = name.partition("@")
    if kind == "ams":
        raise ParameterError(
            f"eval_metric={name!r} counts the first rows of all silos together, and ties as they happen to stand; "
            "XGBoost, too, refuses it of rows that lie apart. Score by 'auc' or 'aucpr'."
        )
    if name == "tweedie-nloglik":
        raise ParameterError(f"eval_metric={name!r}: name the power after an @, as in 'tweedie-nloglik@1.5'.")
    if at and kind in _WITH_PARAMETER:
        try:
            parameter = float(value)
        except ValueError:
            raise ParameterError(f"eval_metric={name!r}: what follows the @ is a number.") from None
        low, high, make = _WITH_PARAMETER[kind]
        if not low < parameter < high:
            raise ParameterError(f"eval_metric={name!r}: what follows the @ lies between {low} and {high}.")
        return make(name, parameter)
    raise unknown_value("eval_metric", name, [*METRICS, "tweedie-nloglik@1.5", "ndcg", "map", "pre"])
