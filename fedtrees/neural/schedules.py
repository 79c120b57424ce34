"""How the silos' learning rate falls from round to round, as a multiple of the first one's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol


class Schedule(Protocol):
    """The factor of a round."""

    def __call__(self, round: int) -> float:
        """See `Schedule`."""
        ...


@dataclass(frozen=True)
class Constant:
    """It does not fall."""

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
    """Half a cosine, down to 0 after so many rounds; Loshchilov and Hutter (2017), equation 5."""

    rounds: int = 100

    def __call__(self, round: int) -> float:
        """See `Schedule`."""
        return (1 + math.cos(math.pi * min(round / self.rounds, 1))) / 2
