"""Losses of rows, and their gradients in the margins. Names are XGBoost's, as of the metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
# int64 (rows,), places of classes, or float32 (rows, outputs): which of them, the loss decides
Targets = NDArray[Any]
Loss = Callable[[Floats, Targets], tuple[Floats, Floats]]


def logistic(margin: Floats, y: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The log loss of two classes, with one margin: that of the second. y: int64 (rows,)."""
    z, second = margin[:, 0], y.astype(margin.dtype)
    small = np.exp(-np.abs(z))
    losses = np.maximum(z, 0) - z * second + np.log1p(small)
    p = np.where(z >= 0, 1, small) / (1 + small)
    return losses, (p - second)[:, None]


def softmax(margin: Floats, y: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """The cross entropy of several classes, a margin each. y: int64 (rows,)."""
    rows = np.arange(len(y))
    z = margin - margin.max(axis=1, keepdims=True)
    p = np.exp(z)
    mass = p.sum(axis=1, keepdims=True)
    losses = np.log(mass[:, 0]) - z[rows, y]
    p /= mass
    p[rows, y] -= 1
    return losses, p


def squared(margin: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Half the squared error, summed over targets. y: float32 (rows, outputs)."""
    error = margin - y
    return (error * error).sum(axis=1) / 2, error


def poisson(margin: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Half the deviance of counts, summed over targets; margins are logarithms. y: float32 (rows, outputs), from 0."""
    mean = np.exp(margin)
    positive = np.where(y > 0, y, 1)
    losses = mean - y * margin + (positive * np.log(positive) - positive) * (y > 0)
    return losses.sum(axis=1), mean - y


LOSSES: dict[str, Loss] = {
    "binary:logistic": logistic, "multi:softprob": softmax, "reg:squarederror": squared, "count:poisson": poisson,
}  # fmt: skip


def loss_of(objective: str) -> Loss:
    """The loss of a name.

    Raises
    ------
    KeyError
        If there is none.
    """
    return LOSSES[objective]
