"""Samplers: each draws a round's cohort from all silos by a keyed stream."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.number_checks import is_number, is_whole
from fedtrees.core.numeric.rng import stream
from fedtrees.errors import ParameterError

__all__ = ["Cohort", "FixedFraction", "FixedNumber", "NamingSampler", "Poisson", "Sampler", "as_sampler"]

Cohort = NDArray[np.int64]  # the places of the drawn silos in the federation's list, ascending


@runtime_checkable
class Sampler(Protocol):
    """The draw of a round's cohort.

    Law: the draw depends on (seed, round, number of silos) alone.
    """

    def draw(self, n_silos: int, seed: int, round: int) -> Cohort:
        """Return the places of the silos drawn, ascending, each once."""
        ...


@runtime_checkable
class NamingSampler(Sampler, Protocol):
    """A sampler that treats silos differently, by names that its user may have given."""

    def in_order(self, names: Sequence[str]) -> Sampler:
        """Return the sampler for a federation whose silos stand in this order; refuse names that do not fit it."""
        ...


def _refuse_share(what: str, share: object) -> None:
    if not is_number(share, 0, 1) or share == 0:
        raise ParameterError(f"sampling: a {what} lies above 0 and up to 1, not at {share!r}.")


def _choose(n_silos: int, n_drawn: int, seed: int, round: int) -> Cohort:
    """Draw so many silos, each as likely as any other; all where there are fewer."""
    if n_drawn >= n_silos:
        return np.arange(n_silos)
    return np.sort(stream(seed, "cohort", round).choice(n_silos, n_drawn, replace=False))


@dataclass(frozen=True)
class FixedFraction:
    """``max(1, round(fraction * silos))`` silos a round, uniformly: the C of McMahan et al. (2016), Algorithm 1.

    Parameters
    ----------
    fraction : float, default 1.0
        In (0, 1].

    Examples
    --------
    >>> FixedFraction(0.25).draw(n_silos=8, seed=0, round=0).size
    2
    """

    fraction: float = 1.0

    def __post_init__(self) -> None:
        _refuse_share("fraction", self.fraction)

    def count(self, n_silos: int) -> int:
        """Return the number of silos to draw of so many."""
        return max(1, math.floor(self.fraction * n_silos + 0.5))

    def draw(self, n_silos: int, seed: int, round: int) -> Cohort:
        """See `Sampler`."""
        return _choose(n_silos, self.count(n_silos), seed, round)


@dataclass(frozen=True)
class FixedNumber:
    """The same number of silos every round, uniformly; all of them where there are fewer.

    Examples
    --------
    >>> FixedNumber(3).draw(n_silos=8, seed=0, round=0).size
    3
    """

    number: int

    def __post_init__(self) -> None:
        if not is_whole(self.number):
            raise ParameterError(f"sampling: a round needs at least 1 silo, not {self.number!r}.")

    def count(self, n_silos: int) -> int:
        """Return the number of silos to draw of so many."""
        return min(self.number, n_silos)

    def draw(self, n_silos: int, seed: int, round: int) -> Cohort:
        """See `Sampler`."""
        return _choose(n_silos, self.count(n_silos), seed, round)


@dataclass(frozen=True)
class Poisson:
    """A draw of each silo by itself with probability ``rate``, as privacy accounting assumes; a round may draw none.

    Examples
    --------
    >>> Poisson(0.5).draw(n_silos=1000, seed=0, round=0).size
    457
    """

    rate: float

    def __post_init__(self) -> None:
        _refuse_share("rate", self.rate)

    def draw(self, n_silos: int, seed: int, round: int) -> Cohort:
        """See `Sampler`."""
        return np.flatnonzero(stream(seed, "cohort", round).random(n_silos) < self.rate)


def as_sampler(value: object, names: Sequence[str] | None = None) -> Sampler:
    """Read a ``sampling=`` parameter: a fraction (float), a number of silos (int), or a sampler.

    Parameters
    ----------
    value : object
    names : sequence of str, optional
        The federation's silos, for samplers that name some.

    Raises
    ------
    ParameterError
        Also for a sampler that names silos which there are not, or leaves some out.

    Examples
    --------
    >>> as_sampler(10), as_sampler(0.1)
    (FixedNumber(number=10), FixedFraction(fraction=0.1))
    """
    if isinstance(value, Sampler) and not isinstance(value, type):
        return value.in_order(names) if names is not None and isinstance(value, NamingSampler) else value
    if isinstance(value, Integral) and not isinstance(value, bool):
        if names is not None and int(value) > len(names):
            raise ParameterError(f"sampling={value}: the federation has {len(names)} silos; ask for no more.")
        return FixedNumber(int(value))
    if isinstance(value, Real) and not isinstance(value, bool):
        return FixedFraction(float(value))
    raise ParameterError(f"sampling={value!r}: give a fraction (0.1), a number of silos (10) or a sampler.")
