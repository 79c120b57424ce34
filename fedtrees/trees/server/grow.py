"""Growth of a round's trees, all together, the children of many nodes per message: the server's side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.tree import Tree
from fedtrees.trees.server.growth_plan import Candidates, GrowthPlan
from fedtrees.trees.server.histogram_cache import HistogramCache
from fedtrees.trees.server.histogram_source import HistogramSource
from fedtrees.trees.server.level_grower import LevelGrower
from fedtrees.trees.server.node_grower import NodeGrower
from fedtrees.trees.server.shared_grower import SharedGrower

if TYPE_CHECKING:
    from fedtrees.core.protocol.query import Query


def grow(
    plan: GrowthPlan,
    source: HistogramSource,
    gradient_scale: GradientScale,
    riders: Sequence[Query] = (),
    round: int = 0,
    cache: HistogramCache | None = None,
) -> tuple[list[Tree], list[object]]:
    """Grow the trees of a round, of each output one after the other; the first message also carries the riders.

    ``cache`` is memory that one round leaves to the next: fresh memory takes time.

    Returns
    -------
    The trees, and the riders' answers.
    """
    kind: type[LevelGrower] = LevelGrower
    if plan.shares_splits:
        kind = SharedGrower
    elif plan.n_features_per_node:
        kind = NodeGrower
    cache = HistogramCache(plan.cuts.total_bins, plan.rule.statistics) if cache is None else cache
    grower = kind(plan, cache, gradient_scale, round)
    question = grower.ask_for_roots()
    histograms, *answers = source.totals([question, *riders])
    candidates: Candidates | None = grower.begin(question, histograms)
    while candidates is not None:
        _split_on(grower, candidates, source)
        candidates = grower.settle(source)
    return grower.finished(), answers


def _split_on(grower: LevelGrower, candidates: Candidates, source: HistogramSource) -> None:
    """Split nodes and look at their children, until there is nothing more to split."""
    while len(candidates) or grower.unsettled:
        choice = grower.choose(candidates)
        if not len(choice.split) and not grower.unsettled:
            break
        parents, rest = candidates.take(choice.split), candidates.take(choice.keep)
        left = grower.split(parents)
        worth = choice.go_on & grower.can_be_split(parents.at.tree, left)
        if worth.any() or grower.unsettled:
            (which,) = np.nonzero(worth)
            pairs, candidates = grower.pairs(parents.at.take(which), left[which]), rest
            for some in grower.batches(pairs):
                fresh = grower.look_at(some, source, rest.at.places)
                candidates = Candidates.joined([candidates, fresh])
        else:
            candidates = rest
