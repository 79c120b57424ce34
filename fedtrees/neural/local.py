"""A silo's training on its rows: some epochs of gradient descent in small batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np

from fedtrees.errors import DivergenceError
from fedtrees.neural.losses import Targets
from fedtrees.neural.model import Floats, Model

Correction = Callable[[Floats, Floats], object]  # changes a gradient, the second argument, at parameters


class Work(msgspec.Struct, frozen=True):
    """The amount and the rates of a silo's training in a round.

    Parameters
    ----------
    epochs : int
        E of McMahan et al. (2016), Algorithm 1.
    batch_size : int or None
        B of the same; None is all rows, in the order in which they stand.
    learning_rate : float
    alpha : float
        L2 penalty: half of it times the squared parameters is added to the loss.
    stragglers : float
        The share of silos that do a part of their epochs only, in a round, drawn by lot: as slow ones would.
    """

    epochs: int = 1
    batch_size: int | None = None
    learning_rate: float = 0.1
    alpha: float = 0.0
    stragglers: float = 0.0


@dataclass(frozen=True, eq=False)
class Rows:
    """A silo's rows as a model sees them.

    Attributes
    ----------
    X : float32 (rows, features)
    y : int64 (rows,) or float32 (rows, outputs)
    weight : float32 (rows,) or None
        1 in the mean.
    """

    X: Floats
    y: Targets
    weight: Floats | None

    def __len__(self) -> int:
        return len(self.X)

    def loss(self, model: Model, params: Floats) -> float:
        """The weighted mean loss."""
        losses = model.losses(params, self.X, self.y)
        return float(losses.mean() if self.weight is None else (losses * self.weight).mean())


@dataclass(frozen=True, eq=False)
class Trained:
    """The result of a silo's training: parameters, steps taken, and the mean loss of the batches as they were met."""

    params: Floats
    steps: int
    loss: float


def train(
    model: Model,
    params: Floats,
    rows: Rows,
    work: Work,
    rng: np.random.Generator,
    correct: Correction | None = None,
) -> Trained:
    """Descend from ``params``, which stay as they are.

    Parameters
    ----------
    model : Model
    params : float32 (n_params,)
    rows : Rows
        At least one.
    work : Work
    rng : numpy.random.Generator
        Shuffles the rows before each epoch.
    correct : callable, optional
        Given the parameters and a gradient, changes the gradient.

    Raises
    ------
    DivergenceError
        If a loss or a parameter is no longer finite.
    """
    params, gradient = params.copy(), np.empty_like(params)
    n, batch = len(rows), work.batch_size or len(rows)
    rate, alpha = np.float32(work.learning_rate), np.float32(work.alpha)
    total, steps = 0.0, 0
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
        for _ in range(work.epochs):
            order = rng.permutation(n) if batch < n else None
            for first in range(0, n, batch):
                batch_rows = slice(first, first + batch) if order is None else order[first : first + batch]
                weight = None if rows.weight is None else rows.weight[batch_rows]
                loss = model.gradient(params, rows.X[batch_rows], rows.y[batch_rows], weight, gradient)
                if alpha:
                    gradient += alpha * params
                if correct is not None:
                    correct(params, gradient)
                gradient *= rate
                params -= gradient
                total, steps = total + loss * len(rows.X[batch_rows]), steps + 1
    mean = total / (n * work.epochs)
    if not (np.isfinite(mean) and np.isfinite(params).all()):
        raise DivergenceError("the loss or a parameter is no longer finite; lower learning_rate.")
    return Trained(params, steps, mean)
