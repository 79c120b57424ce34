"""Cohorts to which large silos are drawn more often than small ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fedtrees.core.numeric.rng import stream
from fedtrees.core.sampling.by_silo import BySilo
from fedtrees.core.sampling.samplers import Cohort, FixedFraction, FixedNumber, as_sampler
from fedtrees.errors import ParameterError

__all__ = ["BySize"]


@dataclass(frozen=True, init=False)
class BySize:
    """A fixed number or fraction of silos a round, each drawn with a chance in proportion to its size.

    Drawn one after the other without replacement, of those that are left by their sizes: the silos of the smallest
    ``E_k / n_k`` are drawn, with E_k standard exponential (Efraimidis and Spirakis 2006). Draw one, and silo k comes
    with probability ``n_k / sum n``. A silo of size 0 never comes. Sizes bring large silos in more often, so weigh
    silos equally then (``weighting="equal"``), or rows count twice (Li et al. 2020, scheme I).

    Law: the draw depends on (seed, round, the sizes in the order of the silos) alone.

    Parameters
    ----------
    sizes : dict of str to number, or array-like (silos,)
        Rows, or any other size: by silo name, or in the order of the federation's silos, which for ``fit(X, y,
        silos=...)`` is that of the sorted ids.
    sampling : float or int, default 0.1
        The fraction of all silos, or the number. Where fewer have a size above 0, all of these.

    Raises
    ------
    ParameterError
        For sizes that are negative, not finite or all 0, naming the silo.

    Examples
    --------
    >>> BySize([600, 300, 100, 0], sampling=2).draw(n_silos=4, seed=0, round=0)
    array([0, 1])
    """

    sizes: BySilo
    sampling: FixedFraction | FixedNumber

    def __init__(
        self, sizes: Mapping[str, float] | ArrayLike | BySilo, sampling: float | FixedFraction | FixedNumber = 0.1
    ):
        read = sizes if isinstance(sizes, BySilo) else BySilo.read(sizes, "sizes")
        if not any(read.numbers):
            raise ParameterError("sampling: all sizes are 0; some silo must have rows.")
        sampler = as_sampler(sampling)
        if not isinstance(sampler, FixedFraction | FixedNumber):
            raise ParameterError(f"sampling: by size, a fraction or a number of silos is drawn, not {sampling!r}.")
        object.__setattr__(self, "sizes", read)
        object.__setattr__(self, "sampling", sampler)

    def in_order(self, names: Sequence[str]) -> BySize:
        """See `NamingSampler`."""
        return BySize(self.sizes.in_order(names), self.sampling)

    def draw(self, n_silos: int, seed: int, round: int) -> Cohort:
        """See `Sampler`."""
        sizes = self.sizes.array(n_silos)
        waits = stream(seed, "cohort", round).standard_exponential(n_silos)
        arrival = np.divide(waits, sizes, out=np.full(n_silos, np.inf), where=sizes > 0)
        drawn = min(self.sampling.count(n_silos), np.count_nonzero(sizes))
        first = np.argsort(arrival, kind="stable")[:drawn]
        return np.sort(first)
