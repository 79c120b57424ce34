"""Joining the trees that silos grow by themselves: bagging, and passing a model around, round by round.

A message a round instead of one a level, but not the pooled model: every silo puts its own cut points where its own
rows are, and its trees have no others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.bagging.facts import GrowAlone, Joined
from fedtrees.bagging.local_tree import LocalTree, of_integers, thresholds
from fedtrees.bagging.questions import JoinedScores, LocalTrees
from fedtrees.core.data.labels import Label
from fedtrees.core.numeric.fixed_point import Vector, step_bits
from fedtrees.queries.evaluation import Evaluation
from fedtrees.training.loop import Observer, train
from fedtrees.training.preamble import count_rows, prepare_evaluation
from fedtrees.training.state import TrainingState
from fedtrees.training.weights import weigh_rows
from fedtrees.trees.messages.training import Aim
from fedtrees.trees.server.ensemble import Ensemble
from fedtrees.trees.server.settings import TreeSettings
from fedtrees.trees.server.split import SplitRule
from fedtrees.trees.server.start import start_margin

if TYPE_CHECKING:
    from fedtrees.core.protocol.channel import Channel
    from fedtrees.export.objectives import XGBoostParameters


class BaggingState(TrainingState, frozen=True, eq=False, kw_only=True):
    """The state of bagging between two rounds; see `TrainingState`.

    Attributes
    ----------
    joined : list of list of list of LocalTree
        Of each round, the trees by output.
    learning_rate : float
        Of the coming round.
    """

    joined: list[list[list[LocalTree]]] = msgspec.field(default_factory=list)
    learning_rate: float


@dataclass(frozen=True, eq=False)
class Bagging:
    """Trees of silos by themselves, joined; bagging in Ma et al. (2023).

    The leaves of a silo's trees are multiplied by its share of the cohort's weight, so a round moves margins by the
    weighted mean of what silos would. A cohort of one silo passes the model on as it is.

    Law: every tree of every silo, output and place side by side is in the ensemble.

    Attributes
    ----------
    channel : Channel
        Silos' trees are gathered, which a channel that hides them refuses.
    n_silos, n_features : int
    settings : TreeSettings
    most_nodes : int
        Nodes of a tree at the most.
    most_counted : int
        See `training.weights.Weights`.
    base_margin : float32 (outputs,)
    evaluation : Evaluation
    """

    channel: Channel
    n_silos: int
    n_features: int
    settings: TreeSettings
    most_nodes: int
    most_counted: int
    base_margin: NDArray[np.float32]
    evaluation: Evaluation

    @property
    def rounds(self) -> int:
        """See `Training`."""
        return self.settings.rounds

    def first(self) -> BaggingState:
        """See `Training`."""
        rule = self.settings.rule
        assert isinstance(rule, SplitRule)
        return BaggingState(learning_rate=rule.learning_rate)

    def step(self, state: BaggingState) -> BaggingState:
        """Have a cohort grow trees, join them and send them to all; see `Training`."""
        settings, outputs = self.settings, len(self.base_margin)
        cohort = settings.sampler.draw(self.n_silos, settings.seed, state.round)
        trees = outputs * settings.parallel
        question = LocalTrees(state.round, state.learning_rate, trees, self.most_nodes, self.most_counted)
        joined = _join(self.channel.gather(question, cohort), trees, outputs, self.n_features)
        self.channel.tell(Joined.of(joined, self.n_features, self.base_margin))
        scores, histograms = self.evaluation.score(self.channel, np.arange(self.n_silos), state.histograms)
        return msgspec.structs.replace(
            state,
            round=state.round + 1,
            joined=[*state.joined, joined],
            scores=[*state.scores, scores],
            histograms=histograms,
        )

    def ensemble(self, state: BaggingState) -> Ensemble:
        """Return the trees over bins, each threshold a cut point; rounds have as many as the largest one."""
        parallel = max(len(grown) for joined in state.joined for grown in joined)
        trees = [
            tree
            for joined in state.joined
            for grown in joined
            for tree in [*grown, *(LocalTree.stump() for _ in range(parallel - len(grown)))]
        ]
        cuts = thresholds(trees, self.n_features)
        return Ensemble([tree.binned(cuts) for tree in trees], cuts, self.base_margin, parallel)


def bag(
    channel: Channel,
    n_silos: int,
    n_features: int,
    labels: list[Label] | None,
    settings: TreeSettings,
    params: XGBoostParameters,
    most_nodes: int,
    storable: Callable[[NDArray[np.float64]], NDArray[np.float32]],
    observer: Observer[BaggingState],
) -> Ensemble | None:
    """Grow trees in silos, join those of a round, and send them to all; see `Bagging`.

    Parameters
    ----------
    channel : Channel
    n_silos, n_features : int
    labels : list, optional
        The class labels, sorted; None for a regression.
    settings : TreeSettings
    params : dict
        Of each silo's XGBoost.
    most_nodes : int
        Nodes of a tree at the most.
    storable : callable
        See `trees.server.boosting.boost`.
    observer : Observer

    Returns
    -------
    The trees; None where the observer has ended the training before its first round.
    """
    all_silos, loss = np.arange(n_silos), settings.loss
    summary = count_rows(channel, all_silos, settings, n_features)
    channel.tell(Aim(loss.name, loss.params(), labels))
    targets = 1 if loss.open_above else settings.targets
    weights = weigh_rows(channel, all_silos, summary, labels, targets, settings.weighting)
    weights.check_span(step_bits(weights.rows), loss.weight_span())
    base_margin = storable(start_margin(channel, all_silos, weights, labels, settings)[0])
    objective = str(params["objective"])
    evaluation = prepare_evaluation(channel, all_silos, settings, labels, len(base_margin), JoinedScores, objective)
    channel.tell(GrowAlone(labels, base_margin, params, settings.seed))
    bagging = Bagging(channel, n_silos, n_features, settings, most_nodes, weights.most_counted, base_margin, evaluation)
    state = train(bagging, observer)
    return bagging.ensemble(state) if state.joined else None


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
