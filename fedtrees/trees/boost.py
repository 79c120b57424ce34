"""Gradient boosting over a channel: the main loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.cohort import Cohort, FixedFraction, Sampler
from fedtrees.core.column_labels import LabelsByColumn
from fedtrees.core.holdout import HoldOut
from fedtrees.core.ring import step_bits
from fedtrees.core.vocabulary import Vocabulary
from fedtrees.core.weighting import RowWeights, Weighting
from fedtrees.errors import DataError
from fedtrees.queries.counts import LabelSums
from fedtrees.queries.evaluation import Evaluation, Scored
from fedtrees.queries.query_weights import QueryWeights
from fedtrees.queries.row_weights import Weights, learn_weights, summarise
from fedtrees.queries.score_edges import Frequencies
from fedtrees.queries.target_steps import TargetSteps
from fedtrees.trees.adaboost import Reweigher
from fedtrees.trees.binning import category_cuts, global_cuts
from fedtrees.trees.columns import Columns, NodeDraws
from fedtrees.trees.constraints import Constraints
from fedtrees.trees.evaluation import ForestScores
from fedtrees.trees.facts import Aim, Begin, Grown
from fedtrees.trees.grid import Grid
from fedtrees.trees.grids import Grids, check_weights
from fedtrees.trees.grower import Plan, grow
from fedtrees.trees.impurity import Impurity
from fedtrees.trees.inherited import Inherited
from fedtrees.trees.leaves import Quantile, quantile_of_targets, with_quantiles
from fedtrees.trees.losses import Loss, ProportionalHazards, RankingLoss
from fedtrees.trees.losses.outputs import OutputClasses, WeighedOutputs
from fedtrees.trees.moments import MANTISSA, MomentPlan, Moments
from fedtrees.trees.newton import NewtonSums
from fedtrees.trees.one_class import warn_if_constant, warn_of_constant_columns, with_second_class
from fedtrees.trees.output_weights import weigh_outputs, weigh_trees
from fedtrees.trees.position_bias import PositionBiases
from fedtrees.trees.rare_categories import RareCategories
from fedtrees.trees.risk import Hazards
from fedtrees.trees.row_draws import MOST_SHARE, RowDraws, most_draws
from fedtrees.trees.shelf import Shelf
from fedtrees.trees.split import Rule, SplitRule
from fedtrees.trees.tree import LEAF, Cuts, Tree

if TYPE_CHECKING:
    from fedtrees.core.channel import Channel
    from fedtrees.core.query import Query
    from fedtrees.core.threads import Threads


@dataclass(frozen=True)
class Settings:
    """What to boost. Names, meanings and defaults are XGBoost's where it has them."""

    loss: Loss
    targets: int = 1  # columns of y
    labels_by_column: list[list[Any]] | None = None  # of several columns of classes
    class_weight: list[tuple[float, ...]] | str | None = None  # of their classes, in the order of labels
    n_estimators: int = 100
    max_depth: int = 6
    max_bin: int = 256
    rule: Rule = field(default_factory=SplitRule)
    base_score: tuple[float, ...] | None = None  # of each output
    sampler: Sampler = field(default_factory=FixedFraction)
    weighting: Weighting = field(default_factory=RowWeights)
    seed: int = 0
    constraints: Constraints | None = None
    columns: Columns | None = None
    max_leaves: int = 0
    best_first: bool = False
    parallel: int = 1
    subsample: float | int = 1.0  # a share of the rows, or how many
    bootstrap: bool = False
    thresholds: NodeDraws | None = None
    features_a_node: int = 0  # see `Plan`
    reweigher: Reweigher | None = None  # of a loss that reweighs
    eval_names: Sequence[str] = ()
    eval_metrics: Sequence[str] = ()
    validation_share: float = 0.0  # of the rows, held out as the last evaluation set
    inherited: Inherited | None = None  # what the training goes on from
    rounds_before: int = 0  # of that: draws go on from there
    trees_before: int = 0  # of a forest that these trees join, likewise
    grid_before: Grid | None = None  # that its next round would have had
    bias_before: NDArray[np.float32] | None = None  # of positions, of a ranking without it
    vocabulary: Vocabulary | None = None  # that silos agreed on; None where there are no categories
    categories: NDArray[np.int64] | None = None  # of each feature that is split by them, else 0; None where none is
    min_bin_rows: int = 1

    def plan(self, cuts: Cuts, outputs: int, rows: int, threads: Threads, moments: MomentPlan | None = None) -> Plan:
        """How its trees grow."""
        return Plan(
            cuts, self.rule, self.max_depth, outputs, rows, threads,
            Shelf(cuts.total_bins, self.rule.statistics), self.parallel, self.max_leaves, self.best_first,
            self.constraints, self.columns, self.thresholds, self.features_a_node,
            self.trees_before, moments,
        )  # fmt: skip


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
    rare : RareCategories, optional
        Categories that counted as one while the trees grew.
    grid : Grid, optional
        What a training that goes on needs to be the same as one that did not end; see `grids.Grids`.
    draws : RowDraws, optional
        How the first round's trees drew rows, where they drew any several times.
    bias : float32 (2, positions), optional
        Of positions, of a ranking without it; see `position_bias`.
    counts_apart : bool
        Whether the last output says how many rows there are; see `losses.outputs.WeighedOutputs`.
    """

    trees: list[Tree]
    cuts: Cuts
    base_margin: NDArray[np.float32]
    parallel: int = 1
    rare: RareCategories | None = None
    grid: Grid | None = None
    draws: RowDraws | None = None
    bias: NDArray[np.float32] | None = None
    counts_apart: bool = False

    def apart(self) -> list[Tree]:
        """The trees for rows whose categories are all told apart."""
        return self.trees if self.rare is None else [self.rare.expanded(tree) for tree in self.trees]

    def of_all_outputs(self) -> list[Tree]:
        """The trees of outputs that are split alike, the outputs' moments of each side by side."""
        if len(self.base_margin) == 1:
            return self.trees
        each = [self.trees[place :: self.parallel] for place in range(self.parallel)]
        moments = [[tree.moments for tree in own if tree.moments is not None] for own in each]
        if any(moments):
            return [
                replace(own[0], moments=Moments.of_outputs(parts)) for own, parts in zip(each, moments, strict=True)
            ]
        kept = -1 if self.counts_apart else None
        return [replace(own[-1], sums=np.concatenate([tree.sums for tree in own[:kept]], axis=1)) for own in each]

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
    start = _start(channel, everyone, n_features, labels, settings, threads, storable)
    plan, grids, trees = start.plan, start.grids, list[Tree]()
    ensemble = Ensemble(trees, plan.cuts, start.base_margin, settings.parallel, start.rare, draws=start.draws)
    ensemble = replace(ensemble, counts_apart=isinstance(start.rule, Impurity) and start.rule.counts_apart)
    for round in range(settings.n_estimators):
        rule = _rule_of(start.rule, observer, round)
        if rule is None:
            break
        plan = replace(plan, rule=rule.shared(settings.parallel))
        number = settings.rounds_before + round  # of all rounds of the model: draws are named by it
        cohort = settings.sampler.draw(n_silos, settings.seed, number)
        grid = grids.exponents(channel, cohort)
        riders = grids.riders() + ([] if start.biases is None else [start.biases.question()])
        grown, answers = grow(plan, channel, cohort, grid, riders, number)
        if settings.reweigher is not None and not grown[0].cover[0]:
            continue  # nobody was there whose errors could weigh
        if start.quantile is not None:
            constraints = settings.constraints
            grown = with_quantiles(
                channel, cohort, grown, start.quantile, grid, start.weights.most_counted, plan.newton,
                None if constraints is None else constraints.direction,
            )  # fmt: skip
        grids.learn(answers, grown, len(cohort) / n_silos, plan.outputs)
        if not all(np.isfinite(tree.value).all() for tree in grown):
            raise DataError(f"round {round}: a leaf is beyond float32; lower learning_rate, or scale y down.")
        steps = None
        if settings.reweigher is not None:
            steps = settings.reweigher.steps(channel, cohort, grown[0], grid, plan.rows)
            if steps is None:
                break
        channel.tell(Grown.of(grown, steps))
        trees += grown
        if settings.reweigher is not None and settings.reweigher.done:
            break
        ensemble = replace(ensemble, grid=grids.next)
        if start.biases is not None:
            start.biases.learn(channel, answers[-1])
            ensemble = replace(ensemble, bias=start.biases.bias)
        moves = _moves(grown, settings.parallel) if start.evaluation.curves else None
        scores = start.evaluation.score(channel, everyone, steps=moves)
        if observer and observer.after(round, scores, ensemble):
            break
    if settings.reweigher is not None and not trees:
        raise DataError("no silo that holds rows took part in any round; sample more of them, or more rounds.")
    return ensemble


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


@dataclass(frozen=True, eq=False)
class _Start:
    """What is known before the first tree."""

    plan: Plan
    rule: Rule
    grids: Grids
    weights: Weights
    quantile: Quantile | None
    evaluation: Evaluation
    base_margin: NDArray[np.float32]
    rare: RareCategories | None
    draws: RowDraws | None
    biases: PositionBiases | None


def _start(
    channel: Channel,
    everyone: Cohort,
    n_features: int,
    labels: list[Any] | None,
    settings: Settings,
    threads: Threads,
    storable: Callable[[NDArray[np.float64]], NDArray[np.float32]],
) -> _Start:
    """Learn how many rows there are, how they weigh, where to cut and where to start, and tell the silos."""
    loss = settings.loss
    tell_tables(channel, settings)
    if settings.validation_share:
        channel.tell(HoldOut(settings.validation_share, settings.seed))
    summary = summarise(channel, everyone, n_features)
    channel.tell(Aim(loss.name, loss.params(), labels))
    targets = 1 if loss.open_above else settings.targets  # of bounds, the lower one counts
    weights = learn_weights(channel, everyone, summary, labels, targets, settings.weighting)
    share = _share_drawn(settings.subsample, summary.rows)
    if isinstance(loss, RankingLoss) and not weights.all_one:
        loss = replace(loss, weight_norm=channel.total(QueryWeights(summary.rows), everyone))
        settings = replace(settings, loss=loss)
    least, categories, rare = settings.min_bin_rows, settings.categories, None
    if summary.rows < least:
        raise DataError(f"min_bin_rows={least}: all silos together hold {summary.rows} rows, fewer than one bin's.")
    class_sums = None
    if isinstance(loss, OutputClasses) and isinstance(settings.rule, Impurity):
        loss, own_rule, class_sums = weigh_outputs(
            channel, everyone, loss, settings.rule, settings.class_weight, summary.rows
        )
        warn_of_constant_columns(class_sums, settings.labels_by_column or [])
        settings = replace(settings, loss=loss, rule=own_rule)
    check_weights(loss, weights, weights.rows * (most_draws(share) if settings.bootstrap else 1))
    cuts = global_cuts(channel, everyone, summary, settings.max_bin, weights.most, categories, least, weights.whole)
    if categories is not None:
        cuts, rare = category_cuts(channel, everyone, cuts, summary, categories, least)
    outputs = loss.outputs(len(labels or ()), settings.targets)
    evaluation = Evaluation.prepare(
        channel, everyone, settings.eval_names, settings.eval_metrics, labels, outputs, ForestScores, loss.name
    )
    intercept, sums, step = start_margin(channel, everyone, weights, labels, settings)
    base_margin = storable(intercept) if settings.inherited is None else settings.inherited.base_margin
    if settings.inherited is not None:
        channel.tell(settings.inherited)
    else:
        evaluation.start = Frequencies(base_margin[:1], np.ones(1))
    rule, draws = settings.rule.knowing(sums if class_sums is None else class_sums), np.zeros(0)
    if settings.bootstrap:
        rule, draws = rule.drawing(share, sums)
    begin = Begin(
        loss.name, labels, base_margin, cuts.values, cuts.offsets, cuts.missing, loss.params(), settings.parallel,
        share, settings.seed, cuts.categorical, settings.bootstrap, draws, settings.rounds_before,
        settings.trees_before,
    )  # fmt: skip
    channel.tell(begin)
    most = weights.rows * (begin.shares().shape[1] if settings.bootstrap else 1)
    moments = _moment_plan(settings, weights, step, base_margin.astype(np.float64), sums, most)
    plan = settings.plan(cuts, len(base_margin), most, threads, moments)
    if isinstance(loss, WeighedOutputs) and settings.class_weight == "balanced_subsample":
        cohort = settings.sampler.draw(len(everyone), settings.seed, settings.rounds_before)
        loss = weigh_trees(channel, cohort, loss, plan)
        check_weights(loss, weights, most)
    hazards = None
    if isinstance(loss, ProportionalHazards):
        hazards = Hazards.prepare(channel, everyone, summary.rows, weights.rows, weights.largest)
    grids = Grids(loss, weights, weights.rows * plan.outputs, plan.rows, hazards, sums, share, settings.grid_before)
    quantile = _leaf_quantile(weights, loss, plan.outputs)
    drawn = begin.draws() if settings.bootstrap else None
    biases = None
    if isinstance(loss, RankingLoss) and loss.positions:
        biases = PositionBiases.prepare(channel, loss, summary.rows, settings.bias_before)
    return _Start(plan, rule, grids, weights, quantile, evaluation, base_margin, rare, drawn, biases)


def _moment_plan(
    settings: Settings, weights: Weights, step: int | None, base: NDArray[np.float64], sums: NDArray[np.float64],
    rows: int,
) -> MomentPlan | None:  # fmt: skip
    """How leaves' moments are asked for; None where trees are of classes, or boosted."""
    if not settings.loss.asks_moments:
        return None
    low = min(weights.target if step is None else step, weights.target)
    heavy = weights.exponents[0]
    weight = None if settings.loss.reweighs else (0, 0) if weights.whole else (heavy - weights.span - MANTISSA, heavy)
    centre = sums[1:] / sums[0] if settings.loss.asks_deviance else np.zeros(0)
    return MomentPlan(rows, (low, weights.target), weight, weights.span, base, centre)


def tell_tables(channel: Channel, settings: Settings) -> None:
    """Tell silos the categories and the classes of several columns that they agreed on."""
    if settings.vocabulary is not None:
        channel.tell(settings.vocabulary)
    if settings.labels_by_column is not None:
        channel.tell(LabelsByColumn(settings.labels_by_column))


def _share_drawn(subsample: float | int, rows: int) -> float:
    """The share of rows that a tree draws.

    Raises
    ------
    DataError
        If they are too many.
    """
    if not isinstance(subsample, int):
        return subsample
    if subsample > MOST_SHARE * rows:
        most = f"{MOST_SHARE} times the rows, of which there are {rows}"
        raise DataError(f"trees cannot draw {subsample} rows each: at the most {most}. Give fewer, or a share.")
    return subsample / rows


def _leaf_quantile(weights: Weights, loss: Loss, outputs: int) -> Quantile | None:
    """What the loss's leaves say; None where they say no quantile."""
    alphas = loss.leaf_quantiles(outputs)
    return Quantile(alphas, weighted=not weights.whole) if alphas else None


def start_margin(
    channel: Channel, everyone: Cohort, weights: Weights, labels: list[Any] | None, settings: Settings
) -> tuple[NDArray[np.float64], NDArray[np.float64], int | None]:
    """The margins to start from, given or estimated, the sums that `LabelSums` read, and what `TargetSteps` did."""
    loss = settings.loss
    outputs = loss.outputs(len(labels or ()), settings.targets)
    targets = 1 if loss.open_above else settings.targets  # of bounds, the lower one is summed
    question = LabelSums(weights.rows, labels, weights.exponents, step_bits(weights.rows), targets)
    newton = NewtonSums(
        loss.name, loss.params(), labels, outputs, weights.rows, weights.exponents[0],
        loss.newton_exponent(*weights.exponents),
    )  # fmt: skip
    steps = TargetSteps(weights.rows * targets)
    more: list[Query] = [newton] if loss.starts_by_newton else [steps] if loss.asks_moments else []
    sums, *start = channel.totals([question, *more], everyone)
    mass = sums.sum() if labels is not None else sums[0]
    if mass == 0:
        raise DataError("sample_weight is zero in every row of every silo; some row must count.")
    if settings.inherited is None or (labels is not None and len(labels) == 1):
        warn_if_constant(sums, labels, loss)
    sums = sums if labels is None else with_second_class(sums, loss)
    if settings.base_score is not None:
        return np.array([loss.link(own) for own in settings.base_score]), sums, None
    quantile = _leaf_quantile(weights, loss, outputs)
    if quantile is not None:
        return quantile_of_targets(channel, everyone, quantile, weights.most_counted), sums, None
    margin = loss.newton(*start[0]) if loss.starts_by_newton else loss.intercept(sums)
    if loss.starts_amid:
        bounds = np.ldexp(1.0, np.array(weights.middles))
        margin = np.clip(margin, -bounds, bounds)
    step = start[0] if loss.asks_moments else None
    if step is not None:  # residuals are whole numbers of what targets are, and often exact on the grid
        margin = np.ldexp(np.rint(np.ldexp(margin, -step)), step)
    return margin, sums, step
