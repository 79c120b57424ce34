"""Cohorts of one silo after the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedtrees.core.numeric.rng import stream
from fedtrees.core.sampling.samplers import Cohort, Sampler


@dataclass(frozen=True)
class OneAfterAnother:
    """The silos of a cohort one by one, in an order drawn anew for each cohort: the model passes from silo to silo.

    Parameters
    ----------
    sampler : Sampler
        Draws the silos that take part in a pass.
    """

    sampler: Sampler

    def draw(self, n_silos: int, seed: int, round: int) -> Cohort:
        """See `Sampler`."""
        before = 0  # turns of earlier cohorts, which may be of different sizes, and empty
        for turn in range(round + 1):
            cohort = self.sampler.draw(n_silos, seed, turn)
            if round < before + len(cohort):
                order = stream(seed, "who comes next", turn).permutation(cohort)
                return order[round - before :][:1]
            before += len(cohort)
        return np.zeros(0, np.int64)
