"""The interface of a model that is averaged: a vector of parameters, and gradients of it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedtrees.neural.losses import Targets
from fedtrees.neural.perceptron import Perceptron
from fedtrees.neural.torch_model import TorchNetwork

Floats = NDArray[np.float32]


class Model(Protocol):
    """Parameters in and out as one vector; whatever else it is made of is its own affair.

    Law: equal arguments give equal bits, whatever thread asks.
    """

    @property
    def objective(self) -> str:
        """The meaning of margins by XGBoost's name: ``binary:logistic``, ``multi:softprob`` or ``reg:squarederror``."""
        ...

    @property
    def n_params(self) -> int:
        """Length of the vector of parameters."""
        ...

    def tail(self, layers: int) -> int:
        """The number of parameters of the last layers."""
        ...

    def initial(self, rng: np.random.Generator) -> Floats:
        """Parameters to start from, float32 (n_params,)."""
        ...

    def constant(self, params: Floats, margins: Floats) -> Floats | None:
        """The parameters, those of the last layer such that all rows get the same; None where it has no biases.

        params: float32 (n_params,), margins: float32 (outputs,), NaN where an output is left as it is
        """
        ...

    def margins(self, params: Floats, X: Floats) -> Floats:
        """Predictions before any link, float32 (rows, outputs)."""
        ...

    def losses(self, params: Floats, X: Floats, y: Targets) -> NDArray[np.float64]:
        """Each row's loss, float64 (rows,)."""
        ...

    def gradient(self, params: Floats, X: Floats, y: Targets, weight: Floats | None, out: Floats) -> float:
        """Write the gradient of the mean of the rows' losses, each times its weight, into ``out``; return that mean."""
        ...

    def row_gradients(self, params: Floats, X: Floats, y: Targets) -> Floats:
        """The gradient of each row's own loss, float32 (rows, n_params)."""
        ...


AnyModel = Perceptron | TorchNetwork  # of those that travel
