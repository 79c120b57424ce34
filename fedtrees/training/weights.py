"""The weights of rows, asked for in one round before any training, and sent to the silos."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fedtrees.core.data.labels import Label
from fedtrees.core.numeric.fixed_point import LOWEST_EXPONENT
from fedtrees.core.protocol.count_weights import CountWeights, count_bits
from fedtrees.core.protocol.start_messages import Weigh
from fedtrees.core.sampling.weighting import Weighting
from fedtrees.errors import DataError
from fedtrees.queries.counts import LabelExponents, Summary, WholeWeights

if TYPE_CHECKING:
    from fedtrees.core.protocol.channel import Channel
    from fedtrees.core.sampling.samplers import Cohort


@dataclass(frozen=True)
class Weights:
    """The weights of rows.

    Attributes
    ----------
    rows : int
        Rows, each as often as it counts.
    exponents : tuple of int
        Bounds of a row's weight, and of its product with its target.
    most : int
        The largest count of a row.
    whole : bool
        Whether rows of weight k count as k rows.
    span : int
        Binary digits between the lightest and the heaviest weight; 0 where rows count several times instead.
    target : int
        The exponent that bounds a target.
    middles : tuple of int
        Of each column of y, the exponent that bounds half of its targets.
    """

    rows: int
    exponents: tuple[int, int]
    most: int
    whole: bool = True
    span: int = 0
    middles: tuple[int, ...] = (LOWEST_EXPONENT,)
    target: int = LOWEST_EXPONENT

    @property
    def all_one(self) -> bool:
        """Return whether no row weighs more than another."""
        return self.whole and self.most == 1

    @property
    def largest(self) -> float:
        """The bound of a row's weight; 1 where rows count several times instead."""
        return math.ldexp(1.0, self.exponents[0])

    @property
    def most_counted(self) -> int:
        """The bound of the count of all rows together."""
        return self.rows * (1 if self.whole else self.most)

    def check_span(self, digits: int, more: int = 0) -> None:
        """Refuse weights of which the lightest would be lost beside the heaviest.

        Parameters
        ----------
        digits : int
            Binary digits between the two that sums have room for.
        more : int, default 0
            By how many digits the training itself spreads them.

        Raises
        ------
        DataError
        """
        if self.span + more > digits:
            spread = f" (and scale_pos_weight by a factor of 2**{more} more)" if more else ""
            ratio, most = (math.ldexp(1.0, exponent) for exponent in (self.span, max(digits, 0)))
            raise DataError(
                f"sample_weight: the heaviest row weighs about {ratio:.0e} times the lightest, its silo's weight "
                f"included{spread}, and sums over {self.rows} rows hold ratios of up to {most:.0e}. Lower the largest "
                "weights, or leave out the rows that weigh next to nothing."
            )


def weigh_rows(
    channel: Channel,
    all_silos: Cohort,
    summary: Summary,
    labels: list[Label] | None,
    targets: int,
    weighting: Weighting,
) -> Weights:
    """Send the silos their weighting, ask for the resulting weights of rows, in one round, and send their counts."""
    channel.tell(Weigh(weighting.settled(summary.rows, summary.silos)))
    most = summary.rows * targets
    questions = [LabelExponents(most, labels), WholeWeights(most, labels, targets if labels is None else 1)]
    sizes, repeats = channel.totals(questions, all_silos)
    heaviest, middles, largest = sizes.exponents[0], repeats.middle_exponents, repeats.target_exponent
    if not repeats.whole:
        counting = CountWeights(heaviest, whole=False, bits=count_bits(summary.rows, sizes.span))
        channel.tell(counting)
        return Weights(summary.rows, sizes.exponents, counting.most, False, sizes.span, middles, largest)
    if repeats.rows == summary.rows:
        return Weights(summary.rows, sizes.exponents, 1, middles=middles, target=largest)
    counting = CountWeights(heaviest, whole=True)
    channel.tell(counting)
    return Weights(repeats.rows, (0, largest), counting.most, middles=middles, target=largest)
