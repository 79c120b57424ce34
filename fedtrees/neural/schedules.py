"""Schedules of the silos' learning rate, as multiples of the first round's."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Protocol

from fedtrees.errors import ParameterError


class Schedule(Protocol):
    """The factor of a round."""

    def __call__(self, round: int) -> float:
        """See `Schedule`."""
        ...


@dataclass(frozen=True)
class Checked:
    """A function of the user's, whose factors have to be numbers above 0."""

    function: Callable[[int], float]

    def __call__(self, round: int) -> float:
        """See `Schedule`.

        Raises
        ------
        ParameterError
        """
        factor = self.function(round)
        if not isinstance(factor, Real) or not 0 < float(factor) < math.inf:
            raise ParameterError(f"schedule: it returned {factor!r} for round {round}; return a number above 0.")
        return float(factor)


@dataclass(frozen=True)
class Constant:
    """The same rate in all rounds."""

    def __call__(self, round: int) -> float:
        """See `Schedule`."""
        return 1.0


@dataclass(frozen=True)
class Exponential:
    """``decay ** round``, as McMahan et al. (2016), section 3, let it fall.

    Examples
    --------
    >>> Exponential(0.5)(3)
    0.125
    """

    decay: float = 0.99

    def __call__(self, round: int) -> float:
        """See `Schedule`."""
        return self.decay**round


@dataclass(frozen=True)
class Inverse:
    """``1 / (1 + decay * round)``: what convergence proofs ask for, as in Li et al. (2020), theorem 1."""

    decay: float = 0.01

    def __call__(self, round: int) -> float:
        """See `Schedule`."""
        return 1 / (1 + self.decay * round)


@dataclass(frozen=True)
class Cosine:
    """Half a cosine over so many rounds, whose last rate stays; Loshchilov and Hutter (2017), equation 5."""

    rounds: int = 100

    def __call__(self, round: int) -> float:
        """See `Schedule`."""
        return (1 + math.cos(math.pi * min(round, self.rounds - 1) / self.rounds)) / 2
