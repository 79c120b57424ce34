"""The start of a training of trees: rows, weights, cut points and initial margins, found by sums and sent to silos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.labels import ClassLabels
from fedtrees.core.numeric.fixed_point import step_bits
from fedtrees.core.protocol.start_messages import LabelsByColumn
from fedtrees.core.sampling.samplers import Cohort
from fedtrees.errors import DataError
from fedtrees.queries.counts import LabelSums
from fedtrees.queries.evaluation import Evaluation
from fedtrees.queries.query_weights import QueryWeights
from fedtrees.queries.score_edges import Frequencies
from fedtrees.queries.target_steps import TargetSteps
from fedtrees.training.preamble import count_rows, prepare_evaluation
from fedtrees.training.weights import Weights, weigh_rows
from fedtrees.trees.losses import Loss, NumberTarget, ProportionalHazards, RankingLoss, Reweighed, RowStatistics
from fedtrees.trees.losses.outputs import OutputClasses, WeighedOutputs
from fedtrees.trees.messages.evaluation import ForestScores
from fedtrees.trees.messages.initial_margin import InitialMarginSums
from fedtrees.trees.messages.rare_categories import RareCategories
from fedtrees.trees.messages.training import Aim, Begin
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.moments import MANTISSA, MomentPlan
from fedtrees.trees.model.row_draws import MOST_SHARE, RowDraws, most_draws
from fedtrees.trees.server.cut_points import category_cuts, global_cuts
from fedtrees.trees.server.gradient_scales import GradientScales, check_weights
from fedtrees.trees.server.growth_plan import GrowthPlan
from fedtrees.trees.server.hazards import Hazards
from fedtrees.trees.server.impurity import Impurity
from fedtrees.trees.server.one_class import warn_if_constant, warn_of_constant_columns, with_second_class
from fedtrees.trees.server.output_weights import weigh_outputs, weigh_trees
from fedtrees.trees.server.position_biases import PositionBiases
from fedtrees.trees.server.quantile_leaves import Quantile, quantile_of_targets
from fedtrees.trees.server.settings import TreeSettings
from fedtrees.trees.server.split import Rule

if TYPE_CHECKING:
    from fedtrees.core.numeric.threads import Threads
    from fedtrees.core.protocol.channel import Channel
    from fedtrees.core.protocol.query import Query
    from fedtrees.queries.counts import Summary


@dataclass(frozen=True, eq=False)
class Start:
    """All that is known before the first tree.

    Attributes
    ----------
    plan : GrowthPlan
    rule : SplitRule or Impurity
    scales : GradientScales
    weights : Weights
    quantile : Quantile, optional
        Of losses whose leaves are quantiles of residuals.
    evaluation : Evaluation
    base_margin : float32 (outputs,)
    rare : RareCategories, optional
    draws : RowDraws, optional
        The draws of rows, where trees draw any several times.
    biases : PositionBiases, optional
        Of unbiased rankings.
    """

    plan: GrowthPlan
    rule: Rule
    scales: GradientScales
    weights: Weights
    quantile: Quantile | None
    evaluation: Evaluation
    base_margin: NDArray[np.float32]
    rare: RareCategories | None
    draws: RowDraws | None
    biases: PositionBiases | None


def prepare(
    channel: Channel,
    all_silos: Cohort,
    n_features: int,
    labels: ClassLabels | None,
    settings: TreeSettings,
    threads: Threads,
    storable: Callable[[NDArray[np.float64]], NDArray[np.float32]],
) -> Start:
    """Find the number of rows, their weights, cut points and initial margins, and send what silos need of it."""
    loss = settings.loss
    tell_tables(channel, settings)
    summary = count_rows(channel, all_silos, settings, n_features)
    channel.tell(Aim(loss.name, loss.params(), labels))
    targets = 1 if loss.open_above else settings.targets  # of bounds, the lower one counts
    weights = weigh_rows(channel, all_silos, summary, labels, targets, settings.weighting)
    share = _share_drawn(settings.subsample, summary.rows)
    settings, class_sums = _weighed(channel, all_silos, settings, summary.rows, weights)
    loss = settings.loss
    check_weights(loss, weights, weights.rows * (most_draws(share) if settings.bootstrap else 1))
    cuts, rare = _cuts(channel, all_silos, summary, weights, settings)
    outputs = loss.outputs(len(labels or ()), settings.targets)
    evaluation = prepare_evaluation(channel, all_silos, settings, labels, outputs, ForestScores, loss.name)
    intercept, sums, step = start_margin(channel, all_silos, weights, labels, settings)
    base_margin = storable(intercept) if settings.earlier is None else settings.earlier.base_margin
    if settings.earlier is not None:
        channel.tell(settings.earlier)
    else:
        evaluation = replace(evaluation, start=Frequencies(base_margin[:1], np.ones(1)))
    rule, draws = settings.rule.knowing(sums if class_sums is None else class_sums), np.zeros(0)
    if settings.bootstrap:
        rule, draws = rule.drawing(share, sums)
    begin = Begin(
        loss.name, labels, base_margin, cuts.values, cuts.offsets, cuts.missing, loss.params(), settings.parallel,
        share, settings.seed, cuts.categorical, settings.bootstrap, draws, settings.rounds_before,
        settings.trees_before,
    )  # fmt: skip
    channel.tell(begin)
    draws_of_row = begin.shares().shape[1] if settings.bootstrap else 1
    most = weights.rows * draws_of_row
    moments = _moment_plan(settings, weights, step, base_margin.astype(np.float64), sums, most)
    row_counts = draws_of_row * (weights.most if weights.whole else 1)
    plan = settings.plan(cuts, len(base_margin), most, threads, moments, row_counts)
    if isinstance(loss, WeighedOutputs) and settings.class_weight == "balanced_subsample":
        cohort = settings.sampler.draw(len(all_silos), settings.seed, settings.rounds_before)
        loss = weigh_trees(channel, cohort, loss, plan)
        check_weights(loss, weights, most)
    hazards, biases = None, None
    if isinstance(loss, ProportionalHazards):
        hazards = Hazards.prepare(channel, all_silos, summary.rows, weights.rows, weights.largest)
    scales = GradientScales(
        loss, weights, weights.rows * plan.outputs, plan.rows, hazards, sums, share, settings.scale_before
    )
    quantile = _leaf_quantile(weights, loss, plan.outputs)
    drawn = begin.draws() if settings.bootstrap else None
    if isinstance(loss, RankingLoss) and loss.positions:
        biases = PositionBiases.prepare(channel, loss, summary.rows, settings.bias_before)
    return Start(plan, rule, scales, weights, quantile, evaluation, base_margin, rare, drawn, biases)


def _weighed(
    channel: Channel, all_silos: Cohort, settings: TreeSettings, rows: int, weights: Weights
) -> tuple[TreeSettings, NDArray[np.float64] | None]:
    """The settings, their loss with weights of groups or of several columns' classes; and the sums of these classes."""
    loss = settings.loss
    if isinstance(loss, RankingLoss) and not weights.all_one:
        return replace(settings, loss=replace(loss, weight_norm=channel.total(QueryWeights(rows), all_silos))), None
    if not (isinstance(loss, OutputClasses) and isinstance(settings.rule, Impurity)):
        return settings, None
    weighed, rule, sums = weigh_outputs(channel, all_silos, loss, settings.rule, settings.class_weight, rows)
    warn_of_constant_columns(sums, settings.labels_by_column or [])
    return replace(settings, loss=weighed, rule=rule), sums


def _cuts(
    channel: Channel, all_silos: Cohort, summary: Summary, weights: Weights, settings: TreeSettings
) -> tuple[Cuts, RareCategories | None]:
    """Find cut points, and the categories that are too rare to have a bin each.

    Raises
    ------
    DataError
        If there are fewer rows than a bin is to hold.
    """
    least, categories = settings.min_bin_rows, settings.categories
    if summary.rows < least:
        raise DataError(f"min_bin_rows={least}: all silos together hold {summary.rows} rows, fewer than one bin's.")
    cuts = global_cuts(channel, all_silos, summary, settings.max_bin, weights.most, categories, least, weights.whole)
    if categories is None:
        return cuts, None
    return category_cuts(channel, all_silos, cuts, summary, categories, least)


def _moment_plan(
    settings: TreeSettings, weights: Weights, step: int | None, base: NDArray[np.float64], sums: NDArray[np.float64],
    rows: int,
) -> MomentPlan | None:  # fmt: skip
    """The units of leaves' moments; None where trees are of classes, or boosted."""
    loss = settings.loss
    if not isinstance(loss, NumberTarget):
        return None
    low = min(weights.target if step is None else step, weights.target)
    heavy = weights.exponents[0]
    weight: tuple[int, int] | None = (0, 0) if weights.whole else (heavy - weights.span - MANTISSA, heavy)
    if isinstance(loss, Reweighed):  # each round's grid has it
        weight = None
    centre = sums[1:] / sums[0] if loss.deviance else np.zeros(0)
    return MomentPlan(rows, (low, weights.target), weight, weights.span, base, centre)


def tell_tables(channel: Channel, settings: TreeSettings) -> None:
    """Send silos the categories and the classes of several columns that they agreed on."""
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


def _leaf_quantile(weights: Weights, loss: RowStatistics, outputs: int) -> Quantile | None:
    """The quantiles of residuals that the loss's leaves are; None where they are none."""
    alphas = loss.leaf_quantiles(outputs)
    return Quantile(alphas, weighted=not weights.whole) if alphas else None


def start_margin(
    channel: Channel, all_silos: Cohort, weights: Weights, labels: ClassLabels | None, settings: TreeSettings
) -> tuple[NDArray[np.float64], NDArray[np.float64], int | None]:
    """The initial margins, the sums that `LabelSums` reads, and the power of two that `TargetSteps` reads."""
    loss = settings.loss
    outputs = loss.outputs(len(labels or ()), settings.targets)
    targets = 1 if loss.open_above else settings.targets  # of bounds, the lower one is summed
    question = LabelSums(weights.rows, labels, weights.exponents, step_bits(weights.rows), targets)
    more: list[Query] = []
    if isinstance(loss, NumberTarget):
        more = [TargetSteps(weights.rows * targets)]
    elif isinstance(loss, Loss) and loss.starts_by_newton:
        exponent = loss.newton_exponent(*weights.exponents)
        more = [
            InitialMarginSums(loss.name, loss.params(), labels, outputs, weights.rows, weights.exponents[0], exponent)
        ]
    sums, *start = channel.totals([question, *more], all_silos)
    mass = sums.sum() if labels is not None else sums[0]
    if mass == 0:
        raise DataError("sample_weight is zero in every row of every silo; some row must count.")
    if settings.earlier is None or (labels is not None and len(labels) == 1):
        warn_if_constant(sums, labels, loss)
    sums = sums if labels is None else with_second_class(sums, loss)
    if settings.base_score is not None and isinstance(loss, Loss):
        return np.array([loss.link(score) for score in settings.base_score]), sums, None
    quantile = _leaf_quantile(weights, loss, outputs)
    if quantile is not None:
        return quantile_of_targets(channel, all_silos, quantile, weights.most_counted), sums, None
    if isinstance(loss, Loss) and loss.starts_by_newton:
        return loss.newton(*start[0]), sums, None
    margin, step = loss.intercept(sums), None
    if isinstance(loss, NumberTarget):
        bounds = np.ldexp(1.0, np.array(weights.middles))
        margin, step = np.clip(margin, -bounds, bounds), start[0]
    if step is not None:  # residuals are whole numbers of what targets are, and often exact on the grid
        margin = np.ldexp(np.rint(np.ldexp(margin, -step)), step)
    return margin, sums, step
