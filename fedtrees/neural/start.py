"""The start of a training of networks: the number of rows, their weights and their scales."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fedtrees.core.data.labels import Label
from fedtrees.core.data.one_class import warn_of_one_class
from fedtrees.core.numeric.rng import stream
from fedtrees.core.protocol.start_messages import Weigh
from fedtrees.core.sampling.samplers import Cohort
from fedtrees.errors import DataError
from fedtrees.neural.class_weights import ClassSums, WeighClasses, balanced
from fedtrees.neural.network import Network
from fedtrees.neural.one_class import ClassRows, margins_of_one_class
from fedtrees.neural.scores import NetworkScores
from fedtrees.neural.settings import NetworkSettings
from fedtrees.neural.state import RefuseMissing, StartTraining, WeightUnit
from fedtrees.neural.update import TotalWeight
from fedtrees.queries.evaluation import Evaluation
from fedtrees.queries.moments import Moments, learn_moments
from fedtrees.training.preamble import count_rows, prepare_evaluation

if TYPE_CHECKING:
    from fedtrees.core.protocol.channel import Channel

LOGARITHM_OF_0 = -200.0  # in float32, its power is 0


@dataclass(frozen=True, eq=False)
class Start:
    """All that is known before the first round.

    Attributes
    ----------
    network : Network
    evaluation : Evaluation
    weight : int
        Of all silos, in units of `WeightUnit`.
    most : int
        The bound of that: what sums have room for.
    constant : bool
        Whether the network is what it is to be, as rows are of one class only.
    loss : float
        Of rounds that silos are not asked in.
    """

    network: Network
    evaluation: Evaluation
    weight: int
    most: int
    constant: bool = False
    loss: float = math.nan


def prepare(
    channel: Channel, all_silos: Cohort, labels: list[Label] | None, settings: NetworkSettings, earlier: Network | None
) -> Start:
    """Learn the number of rows, their weights and their scales, and send these to the silos."""
    channel.tell(RefuseMissing())
    summary = count_rows(channel, all_silos, settings, settings.features)
    channel.tell(Weigh(settings.weighting.settled(summary.rows, summary.silos)))
    if settings.class_weight is not None:
        assert labels is not None
        factors = settings.class_weight
        if factors == "balanced":
            factors = balanced(channel.total(ClassSums(summary.rows, labels), all_silos))
        channel.tell(WeighClasses(labels, np.array(factors, np.float64)))
    network = _first(channel, all_silos, summary.rows, settings) if earlier is None else earlier
    # silos remember nothing of an earlier run: what the server sends must not outlive what they keep
    network = replace(network, shared=settings.method.start(settings.model))
    moments = network.moments
    channel.tell(StartTraining(settings.model, labels, settings.seed, moments.mean, moments.deviation))
    objective = settings.model.objective
    outputs = max(2, len(labels or ())) if objective.startswith("multi:") else max(1, settings.targets)
    evaluation = prepare_evaluation(channel, all_silos, settings, labels, outputs, NetworkScores, objective)
    unit, only = _unit(channel, all_silos, summary.rows, labels, settings)
    channel.tell(unit)
    start = Start(network, evaluation, unit.mass(unit.total), unit.most(len(all_silos)))
    if labels is None or only is None or (len(labels) > 1 and (earlier is not None or settings.more_classes)):
        return start
    warn_of_one_class(labels[only], labels)
    return _of_one_class(start, only, settings, earlier)


def _of_one_class(start: Start, only: int, settings: NetworkSettings, earlier: Network | None) -> Start:
    """A start from the network that predicts one class; a module that cannot be made constant is trained."""
    model, params = settings.model, start.network.params
    rows = np.linspace(-1, 1, 2 * settings.features, dtype=np.float32).reshape(2, -1)
    if earlier is None:
        margins = margins_of_one_class(only, model.objective, model.margins(params, rows).shape[1])
        constant = model.constant(params, margins)
        params = params if constant is None else constant
    first, second = model.margins(params, rows)
    if (first != second).any():
        return start
    loss = float(model.losses(params, rows, np.array([only, only]))[0])
    return replace(start, network=replace(start.network, params=params), constant=True, loss=loss)


def _unit(
    channel: Channel, all_silos: Cohort, rows: int, labels: list[Label] | None, settings: NetworkSettings
) -> tuple[WeightUnit, int | None]:
    """The unit of silos' weights, and the only class that there is.

    Rows are counted where all weigh 1 and their number leaves a grid that is fine enough.

    Raises
    ------
    DataError
        If no row weighs anything.
    """
    classes = [] if labels is None else [ClassRows(rows, labels)]
    (plain, total), *only = channel.totals([TotalWeight(rows), *classes], all_silos)
    if not total:
        raise DataError("sample_weight, class_weight and weighting leave no weight to any row of any silo.")
    fine = settings.method.fine and not settings.compression.adapts
    unit = WeightUnit(total, 0 if plain and not fine else settings.compression.mass_bits)
    return unit, only[0] if only else None


def _first(channel: Channel, all_silos: Cohort, rows: int, settings: NetworkSettings) -> Network:
    """The network before the first round: its initial weights, and the scales of columns."""
    n = settings.features
    columns = n + settings.targets
    moments = Moments(np.zeros(columns), np.ones(columns), constant=np.zeros(columns, bool))
    if settings.standardize:
        moments = learn_moments(channel, all_silos, rows, n, settings.targets)
    # what is predicted of targets that never change, as they are scaled: 0, the mean, however long is trained
    constant = np.where(moments.constant[n:], np.float32(0), np.float32(np.nan))
    if settings.model.objective == "count:poisson":  # a logarithm has no mean to take away: counts are in units of it
        scale = moments.mean[n:]
        constant[moments.constant[n:] & (scale == 0)] = LOGARITHM_OF_0
        scale = np.where(scale > 0, scale, 1.0)
        moments = Moments(np.append(moments.mean[:n], 0 * scale), np.append(moments.deviation[:n], scale))
    params = settings.model.initial(stream(settings.seed, "initial weights"))
    if np.isfinite(constant).any():
        held = settings.model.constant(params, constant)
        params = params if held is None else held
    return Network(params, moments, settings.method.start(settings.model), settings.optimiser.start(len(params)))
