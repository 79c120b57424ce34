"""Settings that every training has, whatever it trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fedtrees.core.sampling.samplers import FixedFraction, Sampler
from fedtrees.core.sampling.weighting import RowWeights, Weighting


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """Settings that every training has.

    Attributes
    ----------
    rounds : int
        Rounds at the most.
    sampler : Sampler
        Draws the cohort of each round.
    weighting : Weighting
    seed : int
        Of all random draws.
    eval_names, eval_metrics : sequence of str
        The evaluation sets, and the metrics that each is scored by after every round.
    validation_share : float
        Of the rows, held out as the last evaluation set; 0 for none.
    """

    rounds: int = 100
    sampler: Sampler = field(default_factory=FixedFraction)
    weighting: Weighting = field(default_factory=RowWeights)
    seed: int = 0
    eval_names: Sequence[str] = ()
    eval_metrics: Sequence[str] = ()
    validation_share: float = 0.0
