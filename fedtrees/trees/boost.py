"""Gradient boosting over a channel: the main loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.cohort import Cohort, FixedFraction, Sampler
from fedtrees.core.ring import step_bits
from fedtrees.core.weighting import CountWeights, RowWeights, Weigh, Weighting
from fedtrees.errors import DataError
from fedtrees.queries.counts import Counts, LabelExponents, LabelSums, Summary, WholeWeights
from fedtrees.trees.binning import global_cuts
from fedtrees.trees.boosting import Begin, Grown
from fedtrees.trees.columns import Columns
from fedtrees.trees.constraints import Constraints
from fedtrees.trees.evaluation import Evaluation, Scored
from fedtrees.trees.grids import Grids
from fedtrees.trees.grower import Plan, grow
from fedtrees.trees.losses import Loss
from fedtrees.trees.shelf import Shelf
from fedtrees.trees.split import SplitRule
from fedtrees.trees.tree import Cuts, Tree

if TYPE_CHECKING:
    from fedtrees.core.channel import Channel
    from fedtrees.core.threads import Threads


@dataclass(frozen=True)
class Settings:
    """What to boost. Names, meanings and defaults are XGBoost's where it has them."""

    loss: Loss
    n_estimators: int = 100
    max_depth: int = 6
    max_bin: int = 256
    rule: SplitRule = field(default_factory=SplitRule)
    base_score: float | None = None
    sampler: Sampler = field(default_factory=FixedFraction)
    weighting: Weighting = field(default_factory=RowWeights)
    seed: int = 0
    constraints: Constraints | None = None
    columns: Columns | None = None
    max_leaves: int = 0
    best_first: bool = False
    parallel: int = 1
    subsample: float = 1.0
    eval_names: Sequence[str] = ()
    eval_metrics: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Ensemble:
    """What boosting returns: the trees, round after round and output after output, and where margins start.

    Attributes
    ----------
    trees : list of Tree
    cuts : Cuts
    base_margin : float32 (outputs,)
    parallel : int
        Trees a round of each output, side by side.
    """

    trees: list[Tree]
    cuts: Cuts
    base_margin: NDArray[np.float32]
    parallel: int = 1

    @property
    def rounds(self) -> int:
        """Rounds of boosting."""
        return len(self.trees) // (len(self.base_margin) * self.parallel)


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
    summary = _summary(channel, everyone, n_features)
    weights = _weights(channel, everyone, summary, labels, settings)
    cuts = global_cuts(channel, everyone, summary, settings.max_bin, weights.most)
    evaluation = Evaluation.prepare(channel, everyone, settings.eval_names, settings.eval_metrics, labels)
    base_margin = storable(_intercept(channel, everyone, weights, labels, settings))
    objective = settings.loss.name
    channel.tell(
        Begin(
            objective, labels, base_margin, cuts.values, cuts.offsets, cuts.missing, settings.parallel,
            settings.subsample, settings.seed,
        )
    )  # fmt: skip
    plan = Plan(
        cuts, settings.rule, settings.max_depth, len(base_margin), weights.rows, threads, Shelf(cuts.total_bins),
        settings.parallel, settings.max_leaves, settings.best_first, settings.constraints, settings.columns,
    )  # fmt: skip
    grids = Grids(settings.loss, weights.exponents[0], summary.rows * plan.outputs)
    trees: list[Tree] = []
    ensemble = Ensemble(trees, cuts, base_margin, settings.parallel)
    for round in range(settings.n_estimators):
        rule = observer.before(round, settings.rule) if observer else settings.rule
        if rule is None:
            break
        # as in XGBoost, the trees of a forest share the learning rate
        plan = replace(plan, rule=replace(rule, learning_rate=rule.learning_rate / settings.parallel))
        cohort = settings.sampler.draw(n_silos, settings.seed, round)
        exponents = grids.exponents(channel, cohort)
        grown, answers = grow(plan, channel, cohort, exponents, grids.riders(), round)
        grids.learn(answers, grown, complete=len(cohort) == n_silos)
        channel.tell(Grown.of(grown))
        trees += grown
        scores = evaluation.score(channel, everyone)
        if observer and observer.after(round, scores, ensemble):
            break
    return ensemble


def _summary(channel: Channel, everyone: Cohort, n_features: int) -> Summary:
    summary: Summary = channel.total(Counts(n_features), everyone)
    if summary.rows == 0:
        raise DataError(
            "Found array with 0 sample(s) while a minimum of 1 is required: no silo holds any row that counts."
        )
    return summary


@dataclass(frozen=True)
class _Weights:
    """How rows weigh: rows, each as often as it counts; what bounds its weight and its product with its target."""

    rows: int
    exponents: tuple[int, int]
    most: int


def _weights(
    channel: Channel, everyone: Cohort, summary: Summary, labels: list[Any] | None, settings: Settings
) -> _Weights:
    """Learn how rows weigh, in one round, and tell the silos what that means for counts."""
    channel.tell(Weigh(settings.weighting.settled(summary.rows, summary.silos)))
    questions = [LabelExponents(summary.rows, labels), WholeWeights(summary.rows, labels)]
    exponents, repeats = channel.totals(questions, everyone)
    if not repeats.whole:
        counting = CountWeights(exponents[0], whole=False)
        channel.tell(counting)
        return _Weights(summary.rows, exponents, counting.most)
    if repeats.rows == summary.rows:
        return _Weights(summary.rows, exponents, 1)
    counting = CountWeights(exponents[0], whole=True)
    channel.tell(counting)
    return _Weights(repeats.rows, (0, repeats.target_exponent), counting.most)


def _intercept(
    channel: Channel, everyone: Cohort, weights: _Weights, labels: list[Any] | None, settings: Settings
) -> NDArray[np.float64]:
    """The margins to start from, given or estimated."""
    question = LabelSums(weights.rows, labels, weights.exponents, step_bits(weights.rows))
    sums = channel.total(question, everyone)
    mass = sums.sum() if labels is not None else sums[0]
    if mass == 0:
        raise DataError("sample_weight is zero in every row of every silo; some row must count.")
    outputs = settings.loss.outputs(len(labels or ()))
    if settings.base_score is not None:
        return np.full(outputs, settings.loss.link(settings.base_score))
    if labels is not None and np.count_nonzero(sums) < 2:
        only = labels[int(np.argmax(sums))]
        raise DataError(f"y holds one class only, {only!r}, where sample weights count; a classifier needs two.")
    return settings.loss.intercept(sums)
