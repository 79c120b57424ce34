"""Federated averaging over a channel: the main loop."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec
import numpy as np

from fedtrees.core.data.one_class import warn_of_one_class
from fedtrees.core.numeric.rng import stream
from fedtrees.core.protocol.holdout import HoldOut
from fedtrees.core.protocol.start_messages import Weigh
from fedtrees.core.sampling.samplers import Cohort, FixedFraction, Sampler
from fedtrees.core.sampling.weighting import RowWeights, Weighting
from fedtrees.errors import DataError, ParameterError
from fedtrees.neural.class_weights import ClassSums, WeighClasses, balanced
from fedtrees.neural.compression import AnyCompression, Exact
from fedtrees.neural.largest_loss import LargestLoss
from fedtrees.neural.local import Work
from fedtrees.neural.methods import AnyMethod, FedAvg, Round
from fedtrees.neural.model import AnyModel, Floats
from fedtrees.neural.one_class import ClassRows, margins_of_one_class
from fedtrees.neural.optimisers import Averaging, Memory, ServerOptimiser
from fedtrees.neural.schedules import Constant, Schedule
from fedtrees.neural.scores import NetworkScores
from fedtrees.neural.training import RefuseMissing, StartTraining, WeightUnit
from fedtrees.neural.update import LocalUpdate, TotalWeight, Update
from fedtrees.queries.evaluation import Evaluation, Scored
from fedtrees.queries.moments import Moments, learn_moments
from fedtrees.queries.row_weights import summarise

if TYPE_CHECKING:
    from fedtrees.core.protocol.channel import Channel


LOGARITHM_OF_0 = -200.0  # in float32, its power is 0


@dataclass(frozen=True)
class Settings:
    """What to train, and how."""

    model: AnyModel
    features: int
    targets: int = 1  # columns of y that are numbers; 0 where they are class labels
    rounds: int = 100
    work: Work = field(default_factory=Work)
    method: AnyMethod = field(default_factory=FedAvg)
    compression: AnyCompression = field(default_factory=Exact)
    optimiser: ServerOptimiser = field(default_factory=Averaging)
    schedule: Schedule = field(default_factory=Constant)
    standardize: bool = True
    sampler: Sampler = field(default_factory=FixedFraction)
    weighting: Weighting = field(default_factory=RowWeights)
    seed: int = 0
    eval_names: Sequence[str] = ()
    eval_metrics: Sequence[str] = ()
    validation_share: float = 0.0
    class_weight: Sequence[float] | Literal["balanced"] | None = None
    more_classes: bool = False  # whether rows of classes that these rows lack may follow in a later call


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network, and all that further rounds start from.

    Attributes
    ----------
    params : float32 (n_params,)
    moments : Moments
        What features and targets are scaled by.
    shared : float32 (any,)
        What the server says besides; see `methods.Method`.
    memory : sequence of float64 (n_params,)
        What the server's optimiser remembers.
    round : int
        Rounds so far.
    exponent : int or None
        What bounds the last round's updates, where the compression follows them.
    """

    params: Floats
    moments: Moments
    shared: Floats
    memory: Memory
    round: int = 0
    exponent: int | None = None


class Observer(Protocol):
    """Who is told of rounds."""

    def begin(self, network: Network) -> None:
        """Told of what the first round starts from."""
        ...

    def after(self, network: Network, loss: float, scores: Scored) -> bool:
        """Told of a finished round: its network, mean training loss and scores. True ends the training."""
        ...


def average(
    channel: Channel,
    n_silos: int,
    labels: list[Any] | None,
    settings: Settings,
    observer: Observer,
    earlier: Network | None = None,
) -> Network:
    """Train a network over a channel: McMahan et al. (2016), Algorithm 1, FederatedAveraging.

    Law: the network depends on neither the order of silos nor of arrival, nor on how many threads there are.

    Parameters
    ----------
    channel : Channel
    n_silos : int
    labels : list, optional
        The class labels, sorted; None for a regression.
    settings : Settings
    observer : Observer
        Told of every round, and free to end the training.
    earlier : Network, optional
        What to go on from.

    Raises
    ------
    DivergenceError
        Naming silo and round; the observer was told of the last network that was well.
    ParameterError
        If nobody took part in any round.
    """
    everyone = np.arange(n_silos)
    start = _start(channel, everyone, labels, settings, earlier)
    network, trained = start.network, start.constant
    observer.begin(network)
    for round in range(network.round, network.round + settings.rounds):
        cohort = settings.sampler.draw(n_silos, settings.seed, round)
        update = None
        if len(cohort) and not start.constant:
            network = start.bounded(channel, cohort, settings, network)
            update = channel.total(start.question(settings, network), cohort)
        trained |= update is not None and update.mass > 0
        network = _next(network, update, settings, start.mass)
        scores = start.evaluation.score(channel, everyone, partial(msgspec.structs.replace, params=network.params))
        loss = update.loss if update and update.mass else start.loss
        if observer.after(network, loss, scores):
            break
    if settings.rounds and not trained:
        raise ParameterError(f"sampling={settings.sampler!r} drew no silo that holds rows in any round; draw more.")
    return network


def _next(network: Network, update: Update | None, settings: Settings, mass: int) -> Network:
    """The network after a round; a round that nobody took part in changes nothing."""
    if update is None or not update.mass:
        return replace(network, round=network.round + 1)
    rate = settings.work.learning_rate * settings.schedule(network.round)
    over = Round(update.mean, update.loss, network.shared, update.mass / mass, rate)
    mean, shared = settings.method.combine(over)
    # of layers that stay in the silos, nothing is known
    mean = np.append(mean, np.zeros(len(network.params) - len(mean)))
    change, memory = settings.optimiser.step(mean, network.memory)
    params = (network.params + change).astype(np.float32)
    return Network(params, network.moments, shared, memory, network.round + 1, update.exponent)


@dataclass(frozen=True, eq=False)
class _Start:
    """What is known before the first round."""

    network: Network
    evaluation: Evaluation
    silos: int
    mass: int  # of all silos
    most: int  # that they can have: the bound of sums
    constant: bool = False  # whether the network is what it is to be, as rows are of one class only
    loss: float = math.nan  # of rounds that silos are not asked in

    def bounded(self, channel: Channel, cohort: Cohort, settings: Settings, network: Network) -> Network:
        """The network with what bounds the cohort's losses, where the method asks for it."""
        if not settings.method.relative or not len(cohort):
            return network
        bound = channel.total(LargestLoss(self.silos, network.params), cohort)
        return replace(network, shared=np.array([bound], np.float32))

    def question(self, settings: Settings, network: Network) -> LocalUpdate:
        """What the next round's cohort is asked."""
        rate = settings.work.learning_rate * settings.schedule(network.round)
        work = msgspec.structs.replace(settings.work, learning_rate=rate)
        return LocalUpdate(
            network.round, network.params, network.shared, settings.method, work,
            settings.compression.grid(self.most, network.exponent), settings.method.length(settings.model),
            settings.method.extras, self.most, settings.compression,
        )  # fmt: skip


def _start(
    channel: Channel, everyone: Cohort, labels: list[Any] | None, settings: Settings, earlier: Network | None
) -> _Start:
    """Learn how many rows there are, how they weigh and how they are scaled, and tell the silos."""
    channel.tell(RefuseMissing())
    if settings.validation_share:
        channel.tell(HoldOut(settings.validation_share, settings.seed))
    summary = summarise(channel, everyone, settings.features)
    channel.tell(Weigh(settings.weighting.settled(summary.rows, summary.silos)))
    if settings.class_weight is not None:
        assert labels is not None
        factors = settings.class_weight
        if factors == "balanced":
            factors = balanced(channel.total(ClassSums(summary.rows, labels), everyone))
        channel.tell(WeighClasses(labels, np.array(factors, np.float64)))
    network = _first(channel, everyone, summary.rows, settings) if earlier is None else earlier
    # silos remember nothing of an earlier run: what the server says must not outlive what they keep
    network = replace(network, shared=settings.method.start(settings.model))
    moments = network.moments
    channel.tell(StartTraining(settings.model, labels, settings.seed, moments.mean, moments.deviation))
    objective = settings.model.objective
    outputs = max(2, len(labels or ())) if objective.startswith("multi:") else max(1, settings.targets)
    evaluation = Evaluation.prepare(
        channel, everyone, settings.eval_names, settings.eval_metrics, labels, outputs, NetworkScores, objective
    )
    unit, only = _unit(channel, everyone, summary.rows, labels, settings)
    channel.tell(unit)
    start = _Start(network, evaluation, len(everyone), unit.mass(unit.total), unit.most(len(everyone)))
    if labels is None or only is None or (len(labels) > 1 and (earlier is not None or settings.more_classes)):
        return start
    warn_of_one_class(labels[only], labels)
    return _of_one_class(start, only, settings, earlier)


def _of_one_class(start: _Start, only: int, settings: Settings, earlier: Network | None) -> _Start:
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
    channel: Channel, everyone: Cohort, rows: int, labels: list[Any] | None, settings: Settings
) -> tuple[WeightUnit, int | None]:
    """The unit of silos' weights, and the only class that there is.

    Rows are counted where all weigh 1 and their number leaves a grid that is fine enough.

    Raises
    ------
    DataError
        If no row weighs anything.
    """
    classes = [] if labels is None else [ClassRows(rows, labels)]
    (plain, total), *only = channel.totals([TotalWeight(rows), *classes], everyone)
    if not total:
        raise DataError("sample_weight, class_weight and weighting leave no weight to any row of any silo.")
    fine = settings.method.fine and not settings.compression.adapts
    unit = WeightUnit(total, 0 if plain and not fine else settings.compression.mass_bits)
    return unit, only[0] if only else None


def _first(channel: Channel, everyone: Cohort, rows: int, settings: Settings) -> Network:
    n = settings.features
    columns = n + settings.targets
    moments = Moments(np.zeros(columns), np.ones(columns), constant=np.zeros(columns, bool))
    if settings.standardize:
        moments = learn_moments(channel, everyone, rows, n, settings.targets)
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
