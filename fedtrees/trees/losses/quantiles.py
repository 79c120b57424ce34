"""Losses whose leaves are quantiles of what their rows miss the target by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedtrees.errors import ParameterError
from fedtrees.trees import loss_kernels
from fedtrees.trees.losses.base import Loss


@dataclass(frozen=True)
class AbsoluteError(Loss):
    """``reg:absoluteerror``: margins start from the median, and leaves say medians."""

    name = "reg:absoluteerror"
    code = loss_kernels.ABSOLUTE

    def bound(self) -> tuple[float, float] | None:
        """See `Loss`."""
        return 1.0, 1.0

    def leaf_quantile(self) -> float | None:
        """See `Loss`."""
        return 0.5


@dataclass(frozen=True)
class QuantileError(Loss):
    """``reg:quantileerror``: the pinball loss; margins start from the quantile, and leaves say quantiles.

    Parameters
    ----------
    quantile_alpha : float
        Above 0 and below 1.
    """

    name = "reg:quantileerror"
    code = loss_kernels.QUANTILE
    quantile_alpha: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.quantile_alpha < 1:
            raise ParameterError(f"quantile_alpha={self.quantile_alpha!r}: give a number above 0 and below 1.")

    def parameter(self, output: int) -> float:
        """See `Loss`."""
        return float(np.float32(self.quantile_alpha))  # as XGBoost keeps it

    def bound(self) -> tuple[float, float] | None:
        """See `Loss`."""
        return 1.0, 1.0

    def leaf_quantile(self) -> float | None:
        """See `Loss`."""
        return self.quantile_alpha
