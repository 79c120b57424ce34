"""Metrics by sums: what each silo adds, as integers, and what the total says.

Row losses are rounded to float32 and added up exactly (see `queries.sums`), so a metric is the same number for every
partition of the rows. The area under a curve is read off histograms of scores; its error has a bound, which is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.ring import Vector, quantise
from fedtrees.errors import ParameterError, unknown_value
from fedtrees.queries import metric_kernels as kernels
from fedtrees.queries.metric import Metric, Rows, mean_of_sums, weighted_sums
from fedtrees.queries.ranking_metrics import rank_metric_named
from fedtrees.queries.survival_metrics import FailureTimeLoss, IntervalAccuracy, PartialLikelihood


@dataclass(frozen=True)
class MeanOfRows(Metric):
    """A mean of what each row adds, weighted, and perhaps its root."""

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


@dataclass(frozen=True)
class Area(Metric):
    """``auc`` and ``aucpr`` of two classes, from histograms of the margin over both.

    The buckets are 1/4096 wide, from -8 to 8. Rows of both classes in one bucket count as ties: an area under the ROC
    curve is off by half their share of all pairs at the most, which `uncertainty` gives.
    """

    name: str
    maximise = True
    buckets = 1 << 16
    per_unit = 4096.0
    weight_bits = 20

    def fits(self, objective: str) -> bool:
        """See `Metric`."""
        return objective.startswith("binary:")

    def touches(self) -> int:
        """See `Metric`."""
        return 1

    def size(self) -> int:
        """See `Metric`."""
        return 2 * self.buckets

    def bound(self, rows: int) -> int:
        """See `Metric`."""
        return rows << self.weight_bits

    def ask(self, rows: Rows) -> Vector:
        """See `Metric`."""
        weight = np.ones(1, np.float32) if rows.weight is None else rows.weight
        out = np.zeros((2, self.buckets), np.int64)
        lowest = -self.buckets / self.per_unit / 2
        each = quantise(weight, rows.weight_exponent, self.weight_bits)
        kernels.add_scores(rows.margin[0], rows.y, each, lowest, self.per_unit, out)
        return out.reshape(-1)

    def read(self, total: Vector) -> float:
        """See `Metric`; NaN where there is one class only."""
        negative, positive = total.reshape(2, -1)[:, ::-1].astype(np.float64)  # from the highest score down
        if not negative.sum() or not positive.sum():
            return math.nan
        if self.name == "auc":
            above = np.cumsum(positive) - positive / 2
            return float(negative @ above / (negative.sum() * positive.sum()))
        return area_under_precision(np.cumsum(positive), np.cumsum(negative))

    def uncertainty(self, total: Vector) -> float:
        """By how much an ``auc`` can be off, as scores that share a bucket count as equal.

        Scores that are equal cannot be told from those that only share a bucket, so the bound counts them, too.
        """
        negative, positive = total.reshape(2, -1).astype(np.float64)
        return float(negative @ positive / (2 * negative.sum() * positive.sum()))


def area_under_precision(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """The area under precision over recall, by the interpolation of Davis and Goadrich (2006), as XGBoost has it.

    positive, negative: float64 (buckets,); how many score at least so high, ascending.
    """
    before_p, before_n = np.append(0, positive[:-1]), np.append(0, negative[:-1])
    gained, lost, whole = positive - before_p, negative - before_n, positive[-1]
    moved = gained > 0
    gained, lost, before_p, before_n = gained[moved], lost[moved], before_p[moved], before_n[moved]
    # between two points false positives grow by h for each true one: precision is x / (x + b + h (x - a))
    h = lost / gained
    a, b, c = before_p / whole, (before_p + gained) / whole, before_n - h * before_p
    with np.errstate(divide="ignore", invalid="ignore"):
        k = c / (whole * (1 + h))
        curved = (b - a - k * (np.log(b + k) - np.log(a + k))) / (1 + h)
    area = np.where(c == 0, (b - a) / (1 + h), curved)
    return float(area.sum())


_SIMPLE: tuple[Metric, ...] = (
    MeanOfRows("logloss", kernels.LOGLOSS),
    MeanOfRows("error", kernels.ERROR, 0.5),
    MeanOfRows("rmse", kernels.SQUARED, root=True),
    MeanOfRows("mse", kernels.SQUARED),
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
    "reg:gamma": "gamma-nloglik",
    "reg:tweedie": "tweedie-nloglik@1.5",
}


def metric_of(objective: str) -> str:
    """The metric that XGBoost reports for an objective where none is asked for."""
    return _OF_OBJECTIVE.get(objective, "rmse")


def metric_named(name: str) -> Metric:
    """The metric of an XGBoost name, ``error@0.3`` and ``tweedie-nloglik@1.2`` included.

    Raises
    ------
    ParameterError
        If there is none; it names the nearest.
    """
    if not isinstance(name, str):
        raise ParameterError(f"eval_metric={name!r}: give the name of a metric, or several.")
    if name in CUSTOM:
        return CUSTOM[name]
    if name in METRICS:
        return METRICS[name]
    ranking = rank_metric_named(name)
    if ranking is not None:
        return ranking
    kind, at, value = name.partition("@")
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
