"""AdaBoost over a channel: rows' weights live in the silos, and only sums of the weights of errors leave them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.labels import Label
from fedtrees.core.data.rounding import as_float32
from fedtrees.errors import DataError
from fedtrees.training.loop import Observer, train
from fedtrees.training.state import TrainingState
from fedtrees.trees.messages.training import Grown
from fedtrees.trees.messages.tree_errors import LOSS_KINDS, TreeErrors
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.tree import LEAF, Tree
from fedtrees.trees.server.ensemble import Ensemble
from fedtrees.trees.server.rounds import TreeRounds, refuse_infinite_leaves
from fedtrees.trees.server.settings import TreeSettings
from fedtrees.trees.server.start import prepare

if TYPE_CHECKING:
    from fedtrees.core.numeric.threads import Threads
    from fedtrees.core.protocol.channel import Channel
    from fedtrees.core.sampling.samplers import Cohort

Steps = NDArray[np.float32]

ROUNDING = 1e-9  # by which fixed point may move an error


class Vote(NamedTuple):
    """A tree's weight in the vote, and the steps of rows' weights that follow from its error.

    Attributes
    ----------
    weight, error : float
    steps : float32 (any,)
        By what silos multiply their rows' weights; see `losses.Reweighed`.
    last : bool
        Whether no tree may follow.
    """

    weight: float
    error: float
    steps: Steps
    last: bool = False


@dataclass(frozen=True)
class VoteRule:
    """A rule by which a tree's error becomes its vote.

    Attributes
    ----------
    learning_rate : float
    """

    learning_rate: float

    def vote(
        self, channel: Channel, cohort: Cohort, tree: Tree, scale: GradientScale, rows: int, first: GradientScale | None
    ) -> Vote | None:
        """Return the vote of a grown tree; None where it is not worth keeping.

        Parameters
        ----------
        channel, cohort
            The silos that the tree was grown by.
        tree : Tree
        scale : GradientScale
            Of the round.
        rows : int
        first : GradientScale, optional
            Of the first tree's round; None where this is the first.

        Raises
        ------
        DataError
            If it is the first and no better than chance.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class SammeVotes(VoteRule):
    """SAMME: Zhu, Zou, Rosset and Hastie (2009), algorithm 2.

    The error is read off the tree's own leaves, so that it costs no message.
    """

    n_classes: int = 2

    def vote(
        self, channel: Channel, cohort: Cohort, tree: Tree, scale: GradientScale, rows: int, first: GradientScale | None
    ) -> Vote | None:
        """See `VoteRule`."""
        leaves = tree.sums[tree.feature == LEAF]
        others = leaves.copy()  # nothing is subtracted: heavy rows beside light ones would leave nothing of these
        others[np.arange(len(others)), others.argmax(axis=1)] = 0.0
        error = float(others.sum() / leaves.sum())
        if error <= 0.0:
            return Vote(1.0, 0.0, np.zeros(2, np.float32), last=True)
        if error >= 1 - 1 / self.n_classes - ROUNDING:
            if first is None:
                raise DataError("the first tree says the classes no better than chance; AdaBoost has nothing to go on.")
            return None
        weight = self.learning_rate * (math.log((1 - error) / error) + math.log(self.n_classes - 1))
        # so that the sum of all weights stays as it is
        shift = math.log(1 - error + error * math.exp(weight)) if weight < 700 else weight + math.log(error)
        return Vote(weight, error, np.array([-shift, weight - shift], np.float32))


@dataclass(frozen=True)
class R2Votes(VoteRule):
    """AdaBoost.R2: Drucker (1997).

    Three messages a tree, besides those that grow it: how large errors are, the largest, and their weighted sum.
    """

    loss: str = "linear"

    def vote(
        self, channel: Channel, cohort: Cohort, tree: Tree, scale: GradientScale, rows: int, first: GradientScale | None
    ) -> Vote | None:
        """See `VoteRule`."""
        exponent = channel.total(TreeErrors.of(tree, scale, rows, "exponents"), cohort)
        largest = channel.total(TreeErrors.of(tree, scale, rows, "buckets", exponent=exponent), cohort)
        question = TreeErrors.of(tree, scale, rows, "losses", largest=largest, loss=LOSS_KINDS[self.loss])
        weight = tree.cover[0] if tree.moments is None else tree.moments.weight[0]
        error = channel.total(question, cohort) / float(weight)
        if error <= 0.0:
            return Vote(1.0, 0.0, np.zeros(4, np.float32), last=True)
        if error >= 0.5 and first is not None:
            return None
        if error >= 0.5:  # a single tree is better than none
            return Vote(1.0, error, np.zeros(4, np.float32), last=True)
        step = self.learning_rate * math.log(error / (1 - error))
        # whom the tree misses most keeps its weight: the largest can but fall, and is brought back a round later
        lost = 0 if first is None else first.h - scale.h
        return Vote(-step, error, np.array([largest, LOSS_KINDS[self.loss], step, lost * math.log(2)], np.float32))


class AdaBoostState(TrainingState, frozen=True, eq=False, kw_only=True):
    """The state of AdaBoost between two rounds; see `TrainingState`.

    Attributes
    ----------
    trees : list of Tree
    votes : list of Vote
        One a tree.
    scale : GradientScale, optional
        Of the coming round, where the rounds before bound it.
    first_scale : GradientScale, optional
        Of the first tree's round.
    """

    trees: list[Tree] = msgspec.field(default_factory=list)
    votes: list[Vote] = msgspec.field(default_factory=list)
    scale: GradientScale | None = None
    first_scale: GradientScale | None = None


@dataclass(eq=False)
class AdaBoost(TreeRounds):
    """Trees one after the other, each on rows that weigh more the worse the trees before it did.

    Law: as of `boosting.Boosting`.

    Attributes
    ----------
    rule : VoteRule
    """

    rule: VoteRule

    def first(self) -> AdaBoostState:
        """See `Training`."""
        return AdaBoostState(scale=self.start.scales.first())

    def step(self, state: AdaBoostState) -> AdaBoostState:
        """Grow a tree, and send it with its vote to the silos; see `Training`.

        Raises
        ------
        DataError
            If the first tree is no better than chance.
        """
        plan, over = self.start.plan, state.round + 1
        grown = self.grown(state.round, state.scale, plan)
        if not grown.trees[0].cover[0]:  # no row was there whose error could weigh
            return msgspec.structs.replace(state, round=over)
        refuse_infinite_leaves(grown.trees, state.round)
        foreseen = self.foreseen(grown, grown.trees)
        vote = self.rule.vote(self.channel, grown.cohort, grown.trees[0], grown.scale, plan.rows, state.first_scale)
        if vote is None:
            return msgspec.structs.replace(state, round=over, ended=True)
        self.channel.tell(Grown.of(grown.trees, vote.steps))
        return AdaBoostState(
            round=over,
            ended=vote.last,
            trees=[*state.trees, *grown.trees],
            votes=[*state.votes, vote],
            scale=foreseen,
            first_scale=grown.scale if state.first_scale is None else state.first_scale,
        )

    def ensemble(self, state: AdaBoostState) -> Ensemble:
        """Return the trees so far, without their votes."""
        start = self.start
        return Ensemble(state.trees, start.plan.cuts, start.base_margin, rare=start.rare, draws=start.draws)


def adaboost(
    channel: Channel,
    n_silos: int,
    n_features: int,
    labels: list[Label] | None,
    settings: TreeSettings,
    rule: VoteRule,
    threads: Threads,
    observer: Observer[AdaBoostState] | None = None,
) -> tuple[Ensemble, list[Vote]]:
    """Train AdaBoost over a channel; see `AdaBoost`.

    Parameters
    ----------
    channel, n_silos, n_features, labels, settings, threads, observer
        See `boosting.boost`.
    rule : VoteRule

    Returns
    -------
    The trees, and the vote of each.

    Raises
    ------
    DataError
        If no tree could be grown, or the first is no better than chance.
    """
    start = prepare(channel, np.arange(n_silos), n_features, labels, settings, threads, as_float32)
    training = AdaBoost(channel, n_silos, settings, start, rule)
    state = train(training, observer or Observer[AdaBoostState]())
    if not state.trees:
        raise DataError("no silo that holds rows took part in any round; sample more of them, or more rounds.")
    return training.ensemble(state), state.votes
