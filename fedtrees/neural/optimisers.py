"""Server optimisers, which step by the mean change: Reddi et al. (2021), Adaptive Federated Optimization, Algorithm 2.

A server optimiser is a value: its memory is handed in and out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedtrees.errors import ParameterError

Change = NDArray[np.float64]
OptimiserState = Sequence[Change]


class ServerOptimiser(Protocol):
    """From the cohort's mean change to that of the shared parameters."""

    def check(self) -> None:
        """Refuse parameters that mean nothing, with a `ParameterError`."""
        ...

    def start(self, n_params: int) -> OptimiserState:
        """Return the memory before the first round."""
        ...

    def step(self, change: Change, memory: OptimiserState) -> tuple[Change, OptimiserState]:
        """Return the change of the parameters, and the memory after it."""
        ...


class _Checked:
    """The checks that all share: rates and scales are above 0, and shares from 0 to below 1."""

    def check(self) -> None:
        """See `ServerOptimiser`."""
        for name, value in vars(self).items():
            above = name in ("learning_rate", "tau")
            fine = isinstance(value, Real) and (0 < float(value) < math.inf if above else 0 <= float(value) < 1)
            if not fine:
                wanted = "a number above 0" if above else "a number from 0 to below 1"
                raise ParameterError(f"server: {type(self).__name__}({name}={value!r}): give {wanted}.")


@dataclass(frozen=True)
class Averaging(_Checked):
    """The mean change, times a rate: with 1, the parameters become the mean of the silos'; McMahan et al. (2016)."""

    learning_rate: float = 1.0

    def start(self, n_params: int) -> OptimiserState:
        """See `ServerOptimiser`."""
        return ()

    def step(self, change: Change, memory: OptimiserState) -> tuple[Change, OptimiserState]:
        """See `ServerOptimiser`."""
        return self.learning_rate * change, memory


@dataclass(frozen=True)
class Momentum(_Checked):
    """FedAvgM: changes pile up; Hsu, Qi and Brown (2019)."""

    learning_rate: float = 1.0
    momentum: float = 0.9

    def start(self, n_params: int) -> OptimiserState:
        """See `ServerOptimiser`."""
        return (np.zeros(n_params),)

    def step(self, change: Change, memory: OptimiserState) -> tuple[Change, OptimiserState]:
        """See `ServerOptimiser`."""
        velocity = self.momentum * memory[0] + change
        return self.learning_rate * velocity, (velocity,)


@dataclass(frozen=True)
class _Adaptive(_Checked):
    """The change over the root of its mean square: the base of the three of Algorithm 2."""

    learning_rate: float = 0.01
    beta_1: float = 0.9
    beta_2: float = 0.99
    tau: float = 1e-3

    def start(self, n_params: int) -> OptimiserState:
        """See `ServerOptimiser`."""
        return np.zeros(n_params), np.full(n_params, self.tau**2)

    def second(self, v: Change, square: Change) -> Change:
        """The next second moment."""
        raise NotImplementedError

    def step(self, change: Change, memory: OptimiserState) -> tuple[Change, OptimiserState]:
        """See `ServerOptimiser`."""
        m, v = memory
        m = self.beta_1 * m + (1 - self.beta_1) * change
        v = self.second(v, change * change)
        return self.learning_rate * m / (np.sqrt(v) + self.tau), (m, v)


@dataclass(frozen=True)
class FedAdagrad(_Adaptive):
    """Squares pile up; without momentum, as the paper runs it."""

    learning_rate: float = 0.1
    beta_1: float = 0.0

    def second(self, v: Change, square: Change) -> Change:
        """See `_Adaptive`."""
        return v + square


@dataclass(frozen=True)
class FedAdam(_Adaptive):
    """Squares are averaged."""

    def second(self, v: Change, square: Change) -> Change:
        """See `_Adaptive`."""
        return self.beta_2 * v + (1 - self.beta_2) * square


@dataclass(frozen=True)
class FedYogi(_Adaptive):
    """Squares move the average by no more than their size."""

    def second(self, v: Change, square: Change) -> Change:
        """See `_Adaptive`."""
        return v - (1 - self.beta_2) * square * np.sign(v - square)
