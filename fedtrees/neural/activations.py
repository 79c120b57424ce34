"""Activation functions of hidden layers and their derivatives, both in place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Activation:
    """A function and its derivative, which is computed from what the function returned.

    Attributes
    ----------
    squash : callable
        Replaces sums by the function of them.
    slope : callable
        Multiplies errors, the second argument, by the derivative where the function returned the first.
    """

    squash: Callable[[Floats], object]
    slope: Callable[[Floats, Floats], object]


def _relu(z: Floats) -> None:
    np.maximum(z, 0, out=z)


def _relu_slope(value: Floats, error: Floats) -> None:
    error *= value > 0


def _tanh(z: Floats) -> None:
    np.tanh(z, out=z)


def _tanh_slope(value: Floats, error: Floats) -> None:
    error *= 1 - value * value


def _logistic(z: Floats) -> None:
    # by the tangent: nothing overflows
    np.tanh(z / 2, out=z)
    z += 1
    z /= 2


def _logistic_slope(value: Floats, error: Floats) -> None:
    error *= value * (1 - value)


ACTIVATIONS = {
    "relu": Activation(_relu, _relu_slope),
    "tanh": Activation(_tanh, _tanh_slope),
    "logistic": Activation(_logistic, _logistic_slope),
    "identity": Activation(lambda z: None, lambda value, error: None),
}
