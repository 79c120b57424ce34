"""Gradient boosting over a channel, round by round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.labels import Label
from fedtrees.queries.score_edges import Frequencies
from fedtrees.training.loop import Observer, train
from fedtrees.training.state import TrainingState
from fedtrees.trees.messages.training import Grown
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.tree import LEAF, Tree
from fedtrees.trees.server.ensemble import Ensemble
from fedtrees.trees.server.growth_plan import GrowthPlan
from fedtrees.trees.server.impurity import Impurity
from fedtrees.trees.server.quantile_leaves import with_quantiles
from fedtrees.trees.server.rounds import GrownRound, TreeRounds, refuse_infinite_leaves
from fedtrees.trees.server.settings import TreeSettings
from fedtrees.trees.server.split import SplitRule
from fedtrees.trees.server.start import prepare

if TYPE_CHECKING:
    from fedtrees.core.numeric.threads import Threads
    from fedtrees.core.protocol.channel import Channel


class BoostingState(TrainingState, frozen=True, eq=False, kw_only=True):
    """The state of boosting between two rounds; see `TrainingState`.

    Attributes
    ----------
    trees : list of Tree
        Round after round and output after output.
    learning_rate : float, optional
        Of the coming round; None where there is none.
    scale : GradientScale, optional
        Of the coming round, where the rounds before bound its gradients.
    bias : float32 (2, positions), optional
        Of an unbiased ranking, the biases of positions.
    """

    dimensions: ClassVar[dict[str, int | None]] = {"bias": 2}

    trees: list[Tree] = msgspec.field(default_factory=list)
    learning_rate: float | None = None
    scale: GradientScale | None = None
    bias: NDArray[np.float32] | None = None


@dataclass(eq=False)
class Boosting(TreeRounds):
    """Boosting of trees over a channel.

    Law: the ensemble is the same for every partition of the same rows, as all that is asked for is integer sums.
    """

    def first(self) -> BoostingState:
        """See `Training`."""
        rule, biases = self.start.rule, self.start.biases
        return BoostingState(
            learning_rate=rule.learning_rate if isinstance(rule, SplitRule) else None,
            scale=self.start.scales.first(),
            bias=None if biases is None else biases.first,
        )

    def step(self, state: BoostingState) -> BoostingState:
        """Grow a round's trees, and send them to the silos; see `Training`.

        Raises
        ------
        DataError
            If a leaf is beyond float32.
        """
        start, biases = self.start, self.start.biases
        riders = [] if biases is None else [biases.question()]
        plan = self._plan(state)
        grown = self.grown(state.round, state.scale, plan, riders)
        trees = self._with_quantiles(grown, plan)
        refuse_infinite_leaves(trees, state.round)
        self.channel.tell(Grown.of(trees))
        bias = state.bias
        if biases is not None and bias is not None:
            bias = biases.after(self.channel, grown.answers[-1], bias)
        moves = _moves(trees, self.settings.parallel) if start.evaluation.curves else None
        all_silos = np.arange(self.n_silos)
        scores, histograms = start.evaluation.score(self.channel, all_silos, state.histograms, steps=moves)
        return msgspec.structs.replace(
            state,
            round=state.round + 1,
            trees=[*state.trees, *trees],
            scale=self.foreseen(grown, trees),
            bias=bias,
            scores=[*state.scores, scores],
            histograms=histograms,
        )

    def ensemble(self, state: BoostingState) -> Ensemble:
        """Return the trees so far as a model."""
        start = self.start
        apart = isinstance(start.rule, Impurity) and start.rule.counts_apart
        return Ensemble(
            state.trees, start.plan.cuts, start.base_margin, self.settings.parallel, start.rare, state.scale,
            start.draws, state.bias, apart,
        )  # fmt: skip

    def _plan(self, state: BoostingState) -> GrowthPlan:
        """The plan of the coming round, at its learning rate."""
        rule = self.start.rule
        if isinstance(rule, SplitRule) and state.learning_rate is not None:
            rule = replace(rule, learning_rate=state.learning_rate)
        return replace(self.start.plan, rule=rule.shared(self.settings.parallel))

    def _with_quantiles(self, grown: GrownRound, plan: GrowthPlan) -> list[Tree]:
        """The trees, with quantiles of residuals in their leaves where the loss has it so."""
        start, constraints = self.start, self.settings.constraints
        if start.quantile is None:
            return grown.trees
        return with_quantiles(
            self.channel, grown.cohort, grown.trees, start.quantile, grown.scale, start.weights.most_counted,
            plan.newton, None if constraints is None else constraints.direction,
        )  # fmt: skip


def boost(
    channel: Channel,
    n_silos: int,
    n_features: int,
    labels: list[Label] | None,
    settings: TreeSettings,
    threads: Threads,
    storable: Callable[[NDArray[np.float64]], NDArray[np.float32]],
    observer: Observer[BoostingState] | None = None,
) -> Ensemble:
    """Boost trees over a channel; see `Boosting`.

    Parameters
    ----------
    channel : Channel
    n_silos, n_features : int
    labels : list, optional
        The class labels, sorted; None for a regression.
    settings : TreeSettings
    threads : Threads
        For finding splits.
    storable : callable
        The margin nearest to a wished one that the exported model can start from; training starts from its bits.
    observer : Observer, optional
        It sees every round, and may end the training.
    """
    start = prepare(channel, np.arange(n_silos), n_features, labels, settings, threads, storable)
    boosting = Boosting(channel, n_silos, settings, start)
    return boosting.ensemble(train(boosting, observer or Observer[BoostingState]()))


def _moves(grown: Sequence[Tree], parallel: int) -> list[list[Frequencies]]:
    """By what a round's trees move the margins of each output: their leaves' values, and the shares of rows there."""
    moves = []
    for tree in grown:
        leaf = tree.feature == LEAF
        mass = float(tree.cover[leaf].sum())
        shares = tree.cover[leaf] / mass if 0 < mass < np.inf else np.full(np.count_nonzero(leaf), 1.0)
        moves.append(Frequencies(tree.value[leaf].astype(np.float32), shares))
    return [moves[first : first + parallel] for first in range(0, len(moves), parallel)]
