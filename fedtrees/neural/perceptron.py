"""The multilayer perceptron; without hidden layers it is linear or logistic regression. NumPy only."""

from __future__ import annotations

import math
from itertools import pairwise

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.neural.activations import ACTIVATIONS
from fedtrees.neural.losses import loss_of

Floats = NDArray[np.float32]


class Perceptron(msgspec.Struct, frozen=True, tag="perceptron"):
    """Layers of weights and biases, and a loss.

    Parameters stand in one vector, layer after layer: weights (inputs, outputs) by rows, then biases (outputs,).

    Parameters
    ----------
    sizes : list of int
        Features, the units of each hidden layer, and outputs.
    objective : {"binary:logistic", "multi:softprob", "reg:squarederror"}
    activation : {"relu", "tanh", "logistic", "identity"}, default "relu"

    Examples
    --------
    >>> Perceptron([784, 200, 200, 10], "multi:softprob").n_params
    199210
    """

    sizes: list[int]
    objective: str
    activation: str = "relu"

    @property
    def n_params(self) -> int:
        """Length of the vector of parameters."""
        return sum(a * b + b for a, b in pairwise(self.sizes))

    def tail(self, layers: int) -> int:
        """The number of parameters of the last layers; of all, where there are no more."""
        return sum(a * b + b for a, b in list(pairwise(self.sizes))[max(0, len(self.sizes) - 1 - layers) :])

    def layers(self, params: Floats) -> list[tuple[Floats, Floats]]:
        """Each layer's weights and biases: views of the vector."""
        views, at = [], 0
        for a, b in pairwise(self.sizes):
            views.append((params[at : at + a * b].reshape(a, b), params[at + a * b : at + a * b + b]))
            at += a * b + b
        return views

    def initial(self, rng: np.random.Generator) -> Floats:
        """Parameters to start from, uniform as Glorot and Bengio (2010), equation 16, have them; biases are 0."""
        params = np.zeros(self.n_params, np.float32)
        gain = 2.0 if self.activation == "logistic" else 6.0
        for weights, _ in self.layers(params):
            bound = math.sqrt(gain / sum(weights.shape))
            weights[:] = rng.uniform(-bound, bound, weights.shape)
        return params

    def constant(self, params: Floats, margins: Floats) -> Floats:
        """See `neural.model.Model`."""
        constant = params.copy()
        weights, biases = self.layers(constant)[-1]
        held = ~np.isnan(margins)
        weights[:, held], biases[held] = 0, margins[held]
        return constant

    def margins(self, params: Floats, X: Floats) -> Floats:
        """The last layer's output, float32 (rows, outputs)."""
        return self._forward(self.layers(params), X)[-1]

    def gradient(self, params: Floats, X: Floats, y: NDArray[np.generic], weight: Floats | None, out: Floats) -> float:
        """Write the gradient of the mean of some rows' losses, each times its weight, into ``out``; return that mean.

        Parameters
        ----------
        params, out : float32 (n_params,)
        X : float32 (rows, features)
        y : int64 (rows,) of classes, or float32 (rows, outputs)
        weight : float32 (rows,), optional
            1 in the mean over a silo's rows, if not over these.
        """
        layers, gradients = self.layers(params), self.layers(out)
        values = self._forward(layers, X)
        share = np.full(len(X), 1 / len(X), X.dtype) if weight is None else weight / weight.dtype.type(len(X))
        losses, error = loss_of(self.objective)(values[-1], y)
        slope = ACTIVATIONS[self.activation].slope
        error *= share[:, None]
        for place in range(len(layers) - 1, -1, -1):
            np.matmul(values[place].T, error, out=gradients[place][0])
            error.sum(axis=0, out=gradients[place][1])
            if place:
                error = error @ layers[place][0].T
                slope(values[place], error)
        return float(losses @ share)

    def losses(self, params: Floats, X: Floats, y: NDArray[np.generic]) -> NDArray[np.float64]:
        """Each row's loss, float64 (rows,)."""
        return loss_of(self.objective)(self.margins(params, X), y)[0].astype(np.float64)

    def row_gradients(self, params: Floats, X: Floats, y: NDArray[np.generic]) -> Floats:
        """The gradient of each row's own loss, float32 (rows, n_params); for privacy, and attacks upon it."""
        layers = self.layers(params)
        values = self._forward(layers, X)
        _, error = loss_of(self.objective)(values[-1], y)
        parts: list[Floats] = []
        for place in range(len(layers) - 1, -1, -1):
            outer = values[place][:, :, None] * error[:, None, :]
            parts[:0] = [outer.reshape(len(X), -1), error]
            if place:
                error = error @ layers[place][0].T
                ACTIVATIONS[self.activation].slope(values[place], error)
        return np.concatenate(parts, axis=1)

    def _forward(self, layers: list[tuple[Floats, Floats]], X: Floats) -> list[Floats]:
        """The input of each layer, and after them the margins."""
        values = [X]
        squash = ACTIVATIONS[self.activation].squash
        for place, (weights, biases) in enumerate(layers):
            z = values[-1] @ weights
            z += biases
            if place < len(layers) - 1:
                squash(z)
            values.append(z)
        return values
