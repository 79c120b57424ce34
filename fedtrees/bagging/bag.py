"""Joining the trees that silos grow by themselves: the main loop of bagging, and of passing a model around.

A message a round instead of one a level, but not the pooled model: every silo puts its own cut points where its own
rows are, and its trees have no others.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtrees.bagging.facts import GrowAlone, Joined
from fedtrees.bagging.local_tree import LocalTree, of_integers, thresholds
from fedtrees.bagging.questions import JoinedScores, LocalTrees
from fedtrees.core.data.labels import Label
from fedtrees.core.numeric.fixed_point import Vector, step_bits
from fedtrees.core.numeric.rng import stream
from fedtrees.core.protocol.channel import Channel
from fedtrees.core.protocol.holdout import HoldOut
from fedtrees.core.sampling.samplers import Cohort, Sampler
from fedtrees.queries.evaluation import Evaluation
from fedtrees.queries.row_weights import learn_weights, summarise
from fedtrees.trees.messages.training import Aim
from fedtrees.trees.server.boosting import Observer
from fedtrees.trees.server.boosting_settings import Settings
from fedtrees.trees.server.ensemble import Ensemble
from fedtrees.trees.server.split import SplitRule
from fedtrees.trees.server.start import start_margin


@dataclass  # not frozen: it keeps what it has counted
class OneAfterAnother:
    """The silos of a cohort one by one, in an order drawn anew for each cohort: the model passes from silo to silo.

    Parameters
    ----------
    sampler : Sampler
        Draws the silos that take part in a pass.
    """

    sampler: Sampler
    # of each (number of silos, seed): how many turns there were before each cohort, as far as that was asked
    _before: dict[tuple[int, int], list[int]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def draw(self, n_silos: int, seed: int, round: int) -> Cohort:
        """See `Sampler`."""
        before = self._before.setdefault((n_silos, seed), [0])
        while before[-1] <= round and len(before) <= round + 1:  # cohorts may be of different sizes, and empty
            before.append(before[-1] + len(self.sampler.draw(n_silos, seed, len(before) - 1)))
        turn = bisect_right(before, round) - 1
        if before[-1] <= round or turn > round:  # no silo takes part; the list may be longer for other calls
            return np.zeros(0, np.int64)
        order = stream(seed, "who comes next", turn).permutation(self.sampler.draw(n_silos, seed, turn))
        return order[round - before[turn] :][:1]


@dataclass(eq=False)
class Joining:
    """Rounds of joined trees, and what they are as an ensemble: rounds have as many trees as the largest one.

    Attributes
    ----------
    features : int
    base_margin : float32 (outputs,)
    rounds : list of list of list of LocalTree
        Of each round, the trees by output.
    """

    features: int
    base_margin: NDArray[np.float32]
    rounds: list[list[list[LocalTree]]] = field(default_factory=list)

    def ensemble(self) -> Ensemble:
        """The trees over bins, each threshold a cut point."""
        parallel = max(len(grown) for joined in self.rounds for grown in joined)
        trees = [
            tree
            for joined in self.rounds
            for grown in joined
            for tree in [*grown, *(LocalTree.stump() for _ in range(parallel - len(grown)))]
        ]
        cuts = thresholds(trees, self.features)
        return Ensemble([tree.binned(cuts) for tree in trees], cuts, self.base_margin, parallel)


class SoFar:
    """An ensemble that is made when it is first read: that takes time, and most observers do not read it."""

    def __init__(self, joining: Joining):
        self.rounds, self.base_margin, self._joining = len(joining.rounds), joining.base_margin, joining

    @cached_property
    def _made(self) -> Ensemble:
        return self._joining.ensemble()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)


def bag(
    channel: Channel,
    n_silos: int,
    n_features: int,
    labels: list[Label] | None,
    settings: Settings,
    params: dict[str, Any],
    most_nodes: int,
    storable: Callable[[NDArray[np.float64]], NDArray[np.float32]],
    observer: Observer,
) -> Ensemble:
    """Grow trees in silos, join those of a round, and send them to all; bagging in Ma et al. (2023).

    The leaves of a silo's trees are multiplied by its share of the cohort's weight, so a round moves margins by the
    weighted mean of what silos would. A cohort of one silo passes the model on as it is.

    Law: every tree of every silo, output and place side by side is in the ensemble.

    Parameters
    ----------
    channel : Channel
        Silos' trees are gathered, which a channel that hides them refuses.
    n_silos, n_features : int
    labels : list, optional
        The class labels, sorted; None for a regression.
    settings : Settings
    params : dict
        Of each silo's XGBoost.
    most_nodes : int
        Nodes of a tree at the most.
    storable : callable
        See `trees.server.boosting.boost`.
    observer : Observer
    """
    all_silos = np.arange(n_silos)
    if settings.validation_share:
        channel.tell(HoldOut(settings.validation_share, settings.seed))
    summary = summarise(channel, all_silos, n_features)
    channel.tell(Aim(settings.loss.name, settings.loss.params(), labels))
    targets = 1 if settings.loss.open_above else settings.targets
    weights = learn_weights(channel, all_silos, summary, labels, targets, settings.weighting)
    weights.check_span(step_bits(weights.rows), settings.loss.weight_span())
    base_margin = storable(start_margin(channel, all_silos, weights, labels, settings)[0])
    outputs = len(base_margin)
    evaluation = Evaluation.prepare(
        channel,
        all_silos,
        settings.eval_names,
        settings.eval_metrics,
        labels,
        outputs,
        JoinedScores,
        str(params["objective"]),
    )
    channel.tell(GrowAlone(labels, base_margin, params, settings.seed))
    joining = Joining(n_features, base_margin)
    assert isinstance(settings.rule, SplitRule)
    for round in range(settings.n_estimators):
        rule = observer.before(round, settings.rule)
        if rule is None:
            break
        cohort = settings.sampler.draw(n_silos, settings.seed, round)
        trees = outputs * settings.parallel
        question = LocalTrees(round, rule.learning_rate, trees, most_nodes, weights.most_counted)
        joined = _join(channel.gather(question, cohort), trees, outputs, n_features)
        joining.rounds.append(joined)
        channel.tell(Joined.of(joined, n_features, base_margin))
        scores = evaluation.score(channel, all_silos)
        if observer.after(round, scores, SoFar(joining)):  # type: ignore[arg-type]
            break
    return joining.ensemble()


def _join(vectors: Vector, trees: int, outputs: int, features: int) -> list[list[LocalTree]]:
    """The trees of all silos that sent any, by output; a round without any is a stump each."""
    masses = vectors[:, -1]
    joined: list[list[LocalTree]] = [[] for _ in range(outputs)]
    for vector, mass in zip(vectors, masses.tolist(), strict=True):
        if not mass:
            continue
        grown = of_integers(vector[:-1], trees, features)
        side_by_side = len(grown) // outputs
        for place, tree in enumerate(grown):
            joined[place // side_by_side].append(tree.scaled(mass / int(masses.sum())))
    return [by_output or [LocalTree.stump()] for by_output in joined]
