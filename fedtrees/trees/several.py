"""Several targets at once: the loss of each, one tree an output, XGBoost's ``one_output_per_tree``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedtrees.trees.losses import Loss, Margins


class PerTarget(Loss):
    """A loss for each column of y. Law: each output's margins are those that its column alone would have."""

    def __init__(self, loss: Loss, targets: int):
        self._loss, self._targets = loss, targets

    def outputs(self, n_labels: int) -> int:
        """See `Loss`."""
        return self._targets

    def intercept(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """See `Loss`; the sum of weights, then those of weights times each target."""
        return np.concatenate([self._loss.intercept(np.array([sums[0], own])) for own in sums[1:]])

    def link(self, base_score: float) -> float:
        """See `Loss`."""
        return self._loss.link(base_score)

    def bound(self) -> tuple[float, float] | None:
        """See `Loss`."""
        return self._loss.bound()

    def step(self, largest_leaf: float) -> float:
        """See `Loss`."""
        return self._loss.step(largest_leaf)

    def gradients(self, margin: Margins, y: NDArray[np.float32]) -> tuple[Margins, Margins]:
        """See `Loss`; y: (rows, targets)."""
        each = [self._loss.gradients(margin[k : k + 1], y[:, k]) for k in range(self._targets)]
        return np.concatenate([g for g, _ in each]), np.concatenate([h for _, h in each])

    def _fill(
        self,
        margin: NDArray[np.float32],
        y: NDArray[np.float32],
        weight: NDArray[np.float32],
        ranges: NDArray[np.int64],
        scale_g: float,
        scale_h: float,
        words: NDArray[np.int64],
    ) -> None:
        for k in range(self._targets):
            own = slice(k, k + 1)
            self._loss.kernel(margin[own], y[:, k], weight, ranges, scale_g, scale_h, words[own])


def per_target(loss: Loss, targets: int) -> Loss:
    """The loss of so many targets; of one, the loss itself."""
    if targets <= 1:
        return loss
    members = {"name": loss.name, "classification": loss.classification, "kernel": property(lambda self: self._fill)}
    several: Loss = type("PerTarget", (PerTarget,), members)(loss, targets)
    return several
