"""How many rows there are and how each weighs, learnt in two rounds before any training, and told to the silos."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedtrees.core.weighting import CountWeights, Weigh, Weighting
from fedtrees.errors import DataError
from fedtrees.queries.counts import Counts, LabelExponents, Summary, WholeWeights

if TYPE_CHECKING:
    from fedtrees.core.channel import Channel
    from fedtrees.core.cohort import Cohort


@dataclass(frozen=True)
class Weights:
    """How rows weigh: rows, each as often as it counts; what bounds its weight and its product with its target."""

    rows: int
    exponents: tuple[int, int]
    most: int
    whole: bool = True

    @property
    def all_one(self) -> bool:
        """Whether no row weighs more than another."""
        return self.whole and self.most == 1

    @property
    def largest(self) -> float:
        """What bounds the weight of a row; 1 where rows count several times instead."""
        return math.ldexp(1.0, self.exponents[0])

    @property
    def most_counted(self) -> int:
        """What all rows count together, at the most."""
        return self.rows * (1 if self.whole else self.most)


def summarise(channel: Channel, everyone: Cohort, n_features: int) -> Summary:
    """How many rows and silos there are, and what is missing, in one round.

    Raises
    ------
    DataError
        If no silo holds a row that counts.
    """
    summary: Summary = channel.total(Counts(n_features), everyone)
    if summary.rows == 0:
        raise DataError(
            "Found array with 0 sample(s) while a minimum of 1 is required: no silo holds any row, or sample_weight is "
            "zero in every row."
        )
    return summary


def learn_weights(
    channel: Channel, everyone: Cohort, summary: Summary, labels: list[Any] | None, targets: int, weighting: Weighting
) -> Weights:
    """Tell the silos how they are weighed, learn what that means for rows, in one round, and tell it to them."""
    channel.tell(Weigh(weighting.settled(summary.rows, summary.silos)))
    most = summary.rows * targets
    questions = [LabelExponents(most, labels), WholeWeights(most, labels)]
    exponents, repeats = channel.totals(questions, everyone)
    if not repeats.whole:
        counting = CountWeights(exponents[0], whole=False)
        channel.tell(counting)
        return Weights(summary.rows, exponents, counting.most, whole=False)
    if repeats.rows == summary.rows:
        return Weights(summary.rows, exponents, 1)
    counting = CountWeights(exponents[0], whole=True)
    channel.tell(counting)
    return Weights(repeats.rows, (0, repeats.target_exponent), counting.most)
