"""Silos that are not always there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.numeric.number_checks import is_whole
from fedtrees.core.numeric.rng import stream
from fedtrees.core.sampling.by_silo import BySilo
from fedtrees.core.sampling.samplers import Cohort, NamingSampler, Sampler, as_sampler
from fedtrees.errors import ParameterError

__all__ = ["Availability", "Period"]

Chances = Callable[[int, int], ArrayLike]  # of (round, number of silos): a chance for all silos, or one for each


@dataclass(frozen=True)
class Period:
    """Day and night: each silo is there for some rounds in a row, then away for the rest of the period.

    Silos' days start at places spread evenly over the period, as in time zones (Eichner et al. 2019, "Semi-Cyclic
    Stochastic Gradient Descent"). Give it to `Availability`.

    Parameters
    ----------
    length : int
        Rounds from one day to the next.
    present : int
        Rounds of each period in which a silo is there.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> [Period(length=4, present=1)(round, 4).tolist().index(True) for round in range(4)]
    [0, 3, 2, 1]
    """

    length: int
    present: int

    def __post_init__(self) -> None:
        if not is_whole(self.length) or not is_whole(self.present, most=self.length):
            raise ParameterError(
                f"sampling: silos cannot be there in {self.present!r} of {self.length!r} rounds; give whole numbers, "
                "the first from 1 up to the second."
            )

    def __call__(self, round: int, n_silos: int) -> NDArray[np.bool_]:
        """Return which of so many silos are there in a round, bool (silos,)."""
        starts = np.arange(n_silos) * self.length // n_silos
        there: NDArray[np.bool_] = (round + starts) % self.length < self.present
        return there


@dataclass(frozen=True, init=False)
class Availability:
    """A fixed number or fraction of the silos that are there in a round.

    Whether a silo is there is drawn for each by itself, anew in every round, by a stream of its own: which silos are
    there does not depend on how many are then drawn. None may be there; the round then draws none.

    Law: the draw depends on (seed, round, the chances in the order of the silos) alone.

    Parameters
    ----------
    present : float, dict of str to float, array-like (silos,) or callable
        The chance that a silo is there, 0 to 1: of every silo; by silo name; in the order of the federation's silos,
        which for ``fit(X, y, silos=...)`` is that of the sorted ids; or a function of (round, number of silos) that
        returns one for all, or one (or True and False) for each, such as a `Period`.
    sampling : float, int or sampler, default 1.0
        How many of those that are there are drawn, and how: a fraction, a number, or a sampler that treats all silos
        alike.

    Raises
    ------
    ParameterError
        For chances that are none, naming the silo; when it draws, too.

    Examples
    --------
    >>> Availability(0.5).draw(n_silos=8, seed=0, round=0)
    array([0, 1, 2, 4, 5, 6])
    >>> Availability(Period(length=24, present=8), sampling=10).draw(n_silos=100, seed=0, round=0).size
    10
    """

    present: float | BySilo | Chances
    sampling: Sampler

    def __init__(
        self, present: float | Mapping[str, float] | ArrayLike | BySilo | Chances, sampling: float | Sampler = 1.0
    ):
        sampler = as_sampler(sampling)
        if isinstance(sampler, NamingSampler):
            raise ParameterError(
                f"sampling: of those that are there, {sampling!r} cannot draw, as it tells silos apart; give a "
                "fraction, a number, FixedFraction, FixedNumber or Poisson."
            )
        object.__setattr__(self, "present", _read(present))
        object.__setattr__(self, "sampling", sampler)

    def in_order(self, names: Sequence[str]) -> Availability:
        """See `NamingSampler`."""
        return Availability(self.present.in_order(names), self.sampling) if isinstance(self.present, BySilo) else self

    def draw(self, n_silos: int, seed: int, round: int) -> Cohort:
        """See `Sampler`."""
        there = stream(seed, "availability", round).random(n_silos) < self._chances(n_silos, round)
        places = np.flatnonzero(there)
        return places[self.sampling.draw(len(places), seed, round)]

    def _chances(self, n_silos: int, round: int) -> float | NDArray[np.float64]:
        if isinstance(self.present, BySilo):
            return self.present.array(n_silos)
        if not callable(self.present):
            return self.present
        given = np.asarray(self.present(round, n_silos))
        if given.dtype.kind not in "buif" or given.shape not in ((), (n_silos,)):
            raise ParameterError(
                f"sampling: in round {round}, present returned {given.dtype} of shape {given.shape}; give a chance for "
                f"all silos, or {n_silos}."
            )
        chances = given.astype(np.float64)
        wrong = ~((chances >= 0) & (chances <= 1))
        if wrong.any():
            which = "all silos" if given.ndim == 0 else f"silo {int(np.argmax(wrong))}"
            raise ParameterError(
                f"sampling: in round {round}, present returned {chances[wrong][0]:g} for {which}; give chances from 0 "
                "to 1."
            )
        return chances


def _read(present: object) -> float | BySilo | Chances:
    if isinstance(present, Real) and not isinstance(present, bool):
        chance = float(present)
        if not 0 < chance <= 1:
            raise ParameterError(f"sampling: a chance lies above 0 and up to 1, not at {present!r}.")
        return chance
    if isinstance(present, str | bool) or present is None:
        raise ParameterError(f"sampling: present={present!r}; give a chance, one a silo, or a function of the round.")
    if isinstance(present, BySilo):
        return present
    if callable(present):
        chances: Chances = present
        return chances
    chance_of = BySilo.read(present, "chances", most=1.0)
    if not any(chance_of.numbers):
        raise ParameterError("sampling: all chances are 0; some silo must be there at times.")
    return chance_of
