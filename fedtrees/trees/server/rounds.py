"""A training of trees over a channel, and the part of a round that all of them share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fedtrees.core.protocol.query import QueryResult
from fedtrees.errors import DataError
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.tree import Tree
from fedtrees.trees.server.grow import grow
from fedtrees.trees.server.growth_plan import GrowthPlan
from fedtrees.trees.server.histogram_cache import HistogramCache
from fedtrees.trees.server.histogram_source import CohortHistograms
from fedtrees.trees.server.settings import TreeSettings
from fedtrees.trees.server.start import Start

if TYPE_CHECKING:
    from fedtrees.core.protocol.channel import Channel
    from fedtrees.core.protocol.query import Query
    from fedtrees.core.sampling.samplers import Cohort


@dataclass(frozen=True, eq=False)
class GrownRound:
    """The trees that a round has grown.

    Attributes
    ----------
    cohort : Cohort
    scale : GradientScale
    trees : list of Tree
    answers : list
        Of the queries that were asked along.
    """

    cohort: Cohort
    scale: GradientScale
    trees: list[Tree]
    answers: Sequence[QueryResult]


@dataclass(eq=False)  # not frozen: it keeps the memory of histograms from round to round
class TreeRounds:
    """A training of trees that is prepared; see `training.loop.Training`.

    Attributes
    ----------
    channel : Channel
    n_silos : int
    settings : TreeSettings
    start : Start
    """

    channel: Channel
    n_silos: int
    settings: TreeSettings
    start: Start

    def __post_init__(self) -> None:
        plan = self.start.plan
        self._cache = HistogramCache(plan.cuts.total_bins, plan.rule.statistics)

    @property
    def rounds(self) -> int:
        """See `Training`."""
        return self.settings.rounds

    def grown(
        self, round: int, foreseen: GradientScale | None, plan: GrowthPlan, riders: Sequence[Query] = ()
    ) -> GrownRound:
        """Draw a cohort and grow a round's trees.

        Parameters
        ----------
        round : int
            Of this training, from 0.
        foreseen : GradientScale, optional
            The scale by the rounds before.
        plan : GrowthPlan
        riders : sequence of Query
            Asked along with the first histograms.
        """
        settings, scales = self.settings, self.start.scales
        number = settings.rounds_before + round  # of all rounds of the model: draws are named by it
        cohort = settings.sampler.draw(self.n_silos, settings.seed, number)
        scale = scales.of_round(self.channel, cohort, foreseen, first=round == 0)
        asked = [*scales.riders(), *riders]
        trees, answers = grow(plan, CohortHistograms(self.channel, cohort), scale, asked, number, self._cache)
        return GrownRound(cohort, scale, trees, answers)

    def foreseen(self, grown: GrownRound, trees: list[Tree]) -> GradientScale | None:
        """Return the scale that bounds the gradients of the round that follows these trees."""
        share = len(grown.cohort) / self.n_silos
        return self.start.scales.after(grown.answers, trees, share, self.start.plan.outputs)


def refuse_infinite_leaves(trees: Sequence[Tree], round: int) -> None:
    """Refuse trees whose leaves no float32 holds.

    Raises
    ------
    DataError
    """
    if not all(np.isfinite(tree.value).all() for tree in trees):
        raise DataError(f"round {round}: a leaf is beyond float32; lower learning_rate, or scale y down.")
