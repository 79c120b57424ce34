"""Losses whose leaves are quantiles of their rows' residuals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fedtrees.errors import ParameterError
from fedtrees.trees.kernels import gradients as gradients_kernels
from fedtrees.trees.losses.base import Doubles, Loss, Params


@dataclass(frozen=True)
class AbsoluteError(Loss):
    """``reg:absoluteerror``: the initial margin is the median, and leaves predict medians of residuals."""

    name = "reg:absoluteerror"
    code = gradients_kernels.ABSOLUTE

    def bound(self) -> tuple[float, float] | None:
        """See `Loss`."""
        return 1.0, 1.0

    def leaf_quantiles(self, outputs: int) -> tuple[float, ...]:
        """See `Loss`."""
        return (0.5,) * outputs


@dataclass(frozen=True)
class QuantileError(Loss):
    """``reg:quantileerror``: the pinball loss; the initial margin is the quantile, and leaves predict residuals'.

    Parameters
    ----------
    quantile_alpha : float or sequence of float
        Above 0 and below 1; of several, each has an output and a tree per round.
    """

    name = "reg:quantileerror"
    code = gradients_kernels.QUANTILE
    quantile_alpha: float | Sequence[float] = 0.5

    def __post_init__(self) -> None:
        if not self.alphas or not all(0 < alpha < 1 for alpha in self.alphas):
            given = f"quantile_alpha={self.quantile_alpha!r}"
            raise ParameterError(f"{given}: give a number above 0 and below 1, or several.")

    @property
    def alphas(self) -> tuple[float, ...]:
        """The quantile of each output, or one of all."""
        given = self.quantile_alpha
        return tuple(given) if isinstance(given, Sequence) else (given,)

    def params(self) -> Params:
        """See `Loss`."""
        return {"quantile_alpha": list(self.alphas)}

    def outputs(self, n_labels: int, targets: int = 1) -> int:
        """See `Loss`."""
        if targets > 1 and len(self.alphas) > 1:
            raise ParameterError(
                f"quantile_alpha: {len(self.alphas)} quantiles of {targets} targets; give one of them."
            )
        return max(targets, len(self.alphas))

    def parameter(self, output: int) -> float:
        """See `Loss`."""
        return float(np.float32(self.alphas[output % len(self.alphas)]))  # as XGBoost keeps it

    def bound(self) -> tuple[float, float] | None:
        """See `Loss`."""
        return 1.0, 1.0

    def least_share(self, sums: Doubles) -> float:
        """See `Loss`: above its quantile a row's gradient is this."""
        return min(min(alpha, 1 - alpha) for alpha in self.alphas)

    def leaf_quantiles(self, outputs: int) -> tuple[float, ...]:
        """See `Loss`."""
        return self.alphas * (outputs // len(self.alphas))
