"""Base classes of losses: a row's gradient and hessian, their bounds, and the initial margin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.table import Table
from fedtrees.core.data.table_targets import check_rows
from fedtrees.queries.metrics import metric_of
from fedtrees.trees.kernels import gradients as gradients_kernels

Kernel = Callable[..., None]
Margins = NDArray[np.floating]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ranges = NDArray[np.int64]

Params = dict[str, float | bool | list[float] | str]  # by XGBoost's names

SAFE = 1 + 2.0**-10  # margins and leaves are rounded to float32, and bounds are computed without that
ULP = 2.0**-23


@dataclass(frozen=True)
class Bounds:
    """Bounds that no row exceeds, sample weight included.

    Attributes
    ----------
    g, h : float
        |gradient| and hessian.
    weight, target : float
        The weight itself, and weight times |target|.
    """

    g: float
    h: float
    weight: float
    target: float


@dataclass(frozen=True, eq=False)
class Moves:
    """Moves of margins in a round: each leaf's value, and the sum of the hessians of its rows.

    Attributes
    ----------
    by, hessian : float64 (leaves,)
    """

    by: Doubles
    hessian: Doubles


@dataclass(frozen=True)
class RowStatistics:
    """Numbers that rows add to the bins of histograms: two each, called gradient and hessian whatever they are.

    Every method is a function of its arguments alone.
    """

    name: ClassVar[str]
    classification: ClassVar[bool] = False
    code: ClassVar[int] = -1  # of its row in `kernels.gradients`
    kernel: ClassVar[Kernel | None] = None  # fills packed words at once, where there is such a kernel
    open_above: ClassVar[bool] = False  # whether y is a lower and an upper bound, the latter perhaps infinite
    spans_orders: ClassVar[bool] = False  # whether gradients that `bound` bounds are mostly far below it
    keeps_hessians: ClassVar[bool] = (
        False  # whether a hessian, which has a floor, stays above 0 where the gradient scale is fine
    )
    keeps_gradients: ClassVar[bool] = False  # whether a gradient stays below 0 however small it is
    checks_sets: ClassVar[bool] = False  # whether evaluation sets hold labels, too, that `check` refuses others than

    def params(self) -> Params:
        """The parameters by XGBoost's names."""
        return asdict(self)

    def outputs(self, n_labels: int, targets: int = 1) -> int:
        """The number of trees per round: one for each column of y that is a number.

        Raises
        ------
        ParameterError
            If the loss is not for so many.
        """
        return targets

    def statistics_per_bin(self, n_labels: int) -> int:
        """Sums of a bin: of gradients and of hessians."""
        return 2

    def check(self, table: Table, y: Floats) -> None:
        """Refuse targets that the loss has no value for.

        Raises
        ------
        DataError
            Naming silo and row.
        """

    def weighted(self, weight: Floats, y: Floats) -> Floats:
        """The rows' weights, scaled as the loss has it for their targets: (rows,), or (1,) for one of all."""
        return weight

    def moved(self, y: Floats, base: Floats) -> Floats:
        """The targets as rows carry them, given the initial margin: (rows,) or (rows, targets)."""
        return y

    def intercept(self, sums: Doubles) -> Doubles:
        """The initial margin, float64 (outputs,), from the sums that `queries.counts.LabelSums` reads."""
        raise NotImplementedError

    def weight_span(self) -> int:
        """Binary digits by which `weighted` spreads rows' weights."""
        return 0

    def least_share(self, sums: Doubles) -> float:
        """The mean gradient of the rows that are most alike, as a part of the largest: of classes, the rarest's share.

        sums: the ones that `queries.counts.LabelSums` reads
        """
        return 1.0

    def largest_hessians(self, sums: Doubles) -> float:
        """The sum of hessians of rows that are not fitted at all, of all outputs; 0 where fitted rows' do not vanish.

        sums: the ones that `queries.counts.LabelSums` reads
        """
        return 0.0

    def bound(self) -> tuple[float, float] | None:
        """The largest |gradient| and hessian of a row of weight 1, before `weighted`; None where the margins decide."""
        return None

    def step(self, now: Bounds, moves: Moves) -> tuple[float, float] | None:
        """The largest |gradient| and hessian after a round, given those before it, where `bound` is None.

        None where no useful bound follows: the next round's are then asked for.
        """
        return None

    def leaf_quantiles(self, outputs: int) -> tuple[float, ...]:
        """The quantile of their rows' residuals that leaves predict, of each output; none for Newton steps."""
        return ()

    def statistics(self, margin: Floats, y: Floats, weight: Floats, ranges: Ranges, g: Doubles, h: Doubles) -> None:
        """Gradients and hessians of the rows in the ranges, weights included, before any rounding.

        margin: (outputs, rows); y: (rows,) or (rows, targets); weight: (rows,) or (1,) IN; g, h: (outputs, rows) OUT
        """
        for k in range(len(margin)):
            target = column_of(y, k)
            gradients_kernels.statistics(self.code, self.parameter(k), margin[k], target, weight, ranges, g[k], h[k])

    def parameter(self, output: int) -> float:
        """The number that the kernel in `kernels.gradients` depends on."""
        return 0.0


@dataclass(frozen=True)
class Loss(RowStatistics):
    """A loss that boosting minimises; fields are XGBoost's parameters."""

    starts_by_newton: ClassVar[bool] = False  # whether the initial margin is a step from 0, and not from label sums

    def metric(self) -> str:
        """The metric that XGBoost reports for the loss where none is asked for."""
        return metric_of(self.name)

    def exported_as(self, outputs: int) -> str:
        """The objective that an exported model names, by which predictions are made of margins."""
        return self.name

    def newton(self, g: Doubles, h: Doubles) -> Doubles:
        """The initial margin, from the sums of gradients and hessians at margins of 0: a Newton step, as XGBoost's."""
        return -g / np.maximum(h, 1e-6)

    def newton_exponent(self, weight: int, target: int) -> int:
        """An exponent that bounds gradients at margins of 0, weights included: of losses that start by a Newton step.

        weight, target: the exponents that bound weights, and weights times targets
        """
        return weight + 8  # |log(1 + y)| of float32 is below 2**8

    def link(self, base_score: float) -> float:
        """The margin of a base score, which is in the units of a prediction."""
        return base_score


def column_of(y: Floats, output: int) -> Floats:
    """The targets of an output: (rows,)."""
    return y if y.ndim == 1 else y[:, output]


def gradients(loss: RowStatistics, margin: Margins, y: Floats) -> tuple[Doubles, Doubles]:
    """Gradients and hessians of rows of weight 1: float64 (outputs, rows) each.

    Examples
    --------
    >>> from fedtrees.trees.losses import loss_named
    >>> gradients(loss_named("reg:squarederror"), np.float32([[3.0]]), np.float32([1.0]))
    (array([[2.]]), array([[1.]]))
    """
    g, h = np.empty(margin.shape), np.empty(margin.shape)
    everything = np.array([[0, len(y)]], np.int64)
    loss.statistics(np.asarray(margin), y, np.ones(1, np.float32), everything, g, h)
    return g, h


__all__ = ["SAFE", "ULP", "Bounds", "Loss", "Moves", "Params", "RowStatistics", "check_rows", "column_of", "gradients"]
