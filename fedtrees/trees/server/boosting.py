"""Gradient boosting over a channel: the main loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fedtrees.errors import DataError
from fedtrees.queries.evaluation import Scored
from fedtrees.queries.score_edges import Frequencies
from fedtrees.trees.messages.training import Grown
from fedtrees.trees.model.tree import LEAF, Tree
from fedtrees.trees.server.boosting_settings import Settings
from fedtrees.trees.server.ensemble import Ensemble
from fedtrees.trees.server.grow import grow
from fedtrees.trees.server.histogram_cache import HistogramCache
from fedtrees.trees.server.histogram_source import CohortHistograms
from fedtrees.trees.server.impurity import Impurity
from fedtrees.trees.server.quantile_leaves import with_quantiles
from fedtrees.trees.server.split import Rule, SplitRule
from fedtrees.trees.server.start import prepare

if TYPE_CHECKING:
    from fedtrees.core.numeric.threads import Threads
    from fedtrees.core.protocol.channel import Channel


class Observer(Protocol):
    """Who is told of rounds."""

    def before(self, round: int, rule: SplitRule) -> SplitRule | None:
        """The rule of the coming round; None ends the training."""
        ...

    def after(self, round: int, scores: Scored, ensemble: Ensemble) -> bool:
        """Told of a finished round and its scores, of each evaluation set by metric; True ends the training."""
        ...


def boost(
    channel: Channel,
    n_silos: int,
    n_features: int,
    labels: list[Any] | None,
    settings: Settings,
    threads: Threads,
    storable: Callable[[NDArray[np.float64]], NDArray[np.float32]],
    observer: Observer | None = None,
) -> Ensemble:
    """Boost trees over a channel.

    Law: the ensemble is the same for every partition of the same rows, as all that is asked for is integer sums.

    Parameters
    ----------
    channel : Channel
    n_silos, n_features : int
    labels : list, optional
        The class labels, sorted; None for a regression.
    settings : Settings
    threads : Threads
        For finding splits.
    storable : callable
        The margin nearest to a wished one that the exported model can start from; training starts from its bits.
    observer : Observer, optional
        Told of every round, and free to end the training.
    """
    everyone = np.arange(n_silos)
    start = prepare(channel, everyone, n_features, labels, settings, threads, storable)
    plan, grids, trees = start.plan, start.grids, list[Tree]()
    ensemble = Ensemble(trees, plan.cuts, start.base_margin, settings.parallel, start.rare, draws=start.draws)
    ensemble = replace(ensemble, counts_apart=isinstance(start.rule, Impurity) and start.rule.counts_apart)
    cache = HistogramCache(plan.cuts.total_bins, plan.rule.statistics)
    for round in range(settings.n_estimators):
        rule = _rule_of(start.rule, observer, round)
        if rule is None:
            break
        plan = replace(plan, rule=rule.shared(settings.parallel))
        number = settings.rounds_before + round  # of all rounds of the model: draws are named by it
        cohort = settings.sampler.draw(n_silos, settings.seed, number)
        grid = grids.exponents(channel, cohort)
        riders = grids.riders() + ([] if start.biases is None else [start.biases.question()])
        grown, answers = grow(plan, CohortHistograms(channel, cohort), grid, riders, number, cache)
        if start.quantile is not None:
            constraints = settings.constraints
            grown = with_quantiles(
                channel, cohort, grown, start.quantile, grid, start.weights.most_counted, plan.newton,
                None if constraints is None else constraints.direction,
            )  # fmt: skip
        grids.learn(answers, grown, len(cohort) / n_silos, plan.outputs)
        refuse_infinite_leaves(grown, round)
        channel.tell(Grown.of(grown))
        trees += grown
        ensemble = replace(ensemble, grid=grids.next)
        if start.biases is not None:
            start.biases.learn(channel, answers[-1])
            ensemble = replace(ensemble, bias=start.biases.bias)
        moves = _moves(grown, settings.parallel) if start.evaluation.curves else None
        scores = start.evaluation.score(channel, everyone, steps=moves)
        if observer and observer.after(round, scores, ensemble):
            break
    return ensemble


def refuse_infinite_leaves(trees: Sequence[Tree], round: int) -> None:
    """Refuse trees whose leaves no float32 holds.

    Raises
    ------
    DataError
    """
    if not all(np.isfinite(tree.value).all() for tree in trees):
        raise DataError(f"round {round}: a leaf is beyond float32; lower learning_rate, or scale y down.")


def _moves(grown: Sequence[Tree], parallel: int) -> list[list[Frequencies]]:
    """By what a round's trees move the margins of each output: their leaves' values, and the shares of rows there."""
    moves = []
    for tree in grown:
        leaf = tree.feature == LEAF
        mass = float(tree.cover[leaf].sum())
        shares = tree.cover[leaf] / mass if 0 < mass < np.inf else np.full(np.count_nonzero(leaf), 1.0)
        moves.append(Frequencies(tree.value[leaf].astype(np.float32), shares))
    return [moves[first : first + parallel] for first in range(0, len(moves), parallel)]


def _rule_of(rule: Rule, observer: Observer | None, round: int) -> Rule | None:
    """The rule of a coming round; None where the training is to end."""
    return observer.before(round, rule) if observer and isinstance(rule, SplitRule) else rule
