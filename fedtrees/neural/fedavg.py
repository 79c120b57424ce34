"""Federated averaging over a channel, round by round."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from fedtrees.core.data.labels import Label
from fedtrees.errors import ParameterError
from fedtrees.neural.largest_loss import LargestLoss
from fedtrees.neural.methods import Round
from fedtrees.neural.model import Floats
from fedtrees.neural.network import Network
from fedtrees.neural.settings import NetworkSettings
from fedtrees.neural.start import Start, prepare
from fedtrees.neural.update import LocalUpdate, Update
from fedtrees.training.loop import Observer, train
from fedtrees.training.state import TrainingState

if TYPE_CHECKING:
    from fedtrees.core.protocol.channel import Channel
    from fedtrees.core.sampling.samplers import Cohort


class AveragingState(TrainingState, frozen=True, eq=False, kw_only=True):
    """The state of federated averaging between two rounds; see `TrainingState`.

    Attributes
    ----------
    network : Network
    losses : list of float
        The mean loss of each round of this training; NaN of those that no silo with rows took part in.
    trained : bool
        Whether any round changed the network, or none has to.
    best : float32 (n_params,), optional
        The parameters of the best round, where one is looked for.
    """

    network: Network
    losses: list[float] = msgspec.field(default_factory=list)
    trained: bool = False
    best: Floats | None = None


@dataclass(frozen=True, eq=False)
class FederatedAveraging:
    """Federated averaging: McMahan et al. (2016), Algorithm 1.

    Law: the network depends on neither the order of silos nor of arrival, nor on how many threads there are.

    Attributes
    ----------
    channel : Channel
    n_silos : int
    settings : NetworkSettings
    start : Start
    """

    channel: Channel
    n_silos: int
    settings: NetworkSettings
    start: Start

    @property
    def rounds(self) -> int:
        """See `Training`."""
        return self.start.network.round + self.settings.rounds

    def first(self) -> AveragingState:
        """See `Training`."""
        network = self.start.network
        return AveragingState(round=network.round, network=network, trained=self.start.constant)

    def step(self, state: AveragingState) -> AveragingState:
        """Ask a cohort to train, and take in what comes of it; see `Training`.

        Raises
        ------
        DivergenceError
            Naming silo and round.
        """
        settings, network = self.settings, state.network
        cohort = settings.sampler.draw(self.n_silos, settings.seed, state.round)
        update = None
        if len(cohort) and not self.start.constant:
            network = self._bounded(network, cohort)
            update = self.channel.total(self._question(network), cohort)
        network = self._after(network, update)
        scores, histograms = self.start.evaluation.score(
            self.channel, np.arange(self.n_silos), state.histograms,
            partial(msgspec.structs.replace, params=network.params),
        )  # fmt: skip
        weighs = update is not None and update.mass > 0
        return msgspec.structs.replace(
            state,
            round=network.round,
            network=network,
            trained=state.trained or weighs,
            losses=[*state.losses, update.loss if update is not None and weighs else self.start.loss],
            scores=[*state.scores, scores],
            histograms=histograms,
        )

    def _bounded(self, network: Network, cohort: Cohort) -> Network:
        """The network with the bound of the cohort's losses, where the method asks for it."""
        if not self.settings.method.relative:
            return network
        bound = self.channel.total(LargestLoss(self.n_silos, network.params), cohort)
        return replace(network, shared=np.array([bound], np.float32))

    def _question(self, network: Network) -> LocalUpdate:
        """The question that the next round's cohort is asked."""
        settings, most = self.settings, self.start.most
        rate = settings.work.learning_rate * settings.schedule(network.round)
        work = msgspec.structs.replace(settings.work, learning_rate=rate)
        return LocalUpdate(
            network.round, network.params, network.shared, settings.method, work,
            settings.compression.grid(most, network.exponent), settings.method.length(settings.model),
            settings.method.extras, most, settings.compression,
        )  # fmt: skip

    def _after(self, network: Network, update: Update | None) -> Network:
        """The network after a round; a round that no silo took part in changes nothing."""
        if update is None or not update.mass:
            return replace(network, round=network.round + 1)
        settings = self.settings
        rate = settings.work.learning_rate * settings.schedule(network.round)
        over = Round(update.mean, update.loss, network.shared, update.mass / self.start.weight, rate)
        mean, shared = settings.method.combine(over)
        # of layers that stay in the silos, nothing is known
        mean = np.append(mean, np.zeros(len(network.params) - len(mean)))
        change, memory = settings.optimiser.step(mean, network.memory)
        params = (network.params + change).astype(np.float32)
        return Network(params, network.moments, shared, memory, network.round + 1, update.exponent)


def average(
    channel: Channel,
    n_silos: int,
    labels: list[Label] | None,
    settings: NetworkSettings,
    observer: Observer[AveragingState],
    earlier: Network | None = None,
) -> AveragingState:
    """Train a network over a channel; see `FederatedAveraging`.

    Parameters
    ----------
    channel : Channel
    n_silos : int
    labels : list, optional
        The class labels, sorted; None for a regression.
    settings : NetworkSettings
    observer : Observer
        It sees every round, and may end the training.
    earlier : Network, optional
        The network to go on from.

    Raises
    ------
    DivergenceError
        Naming silo and round; the observer has seen the last network that was well.
    ParameterError
        If no silo that holds rows took part in any round.
    """
    start = prepare(channel, np.arange(n_silos), labels, settings, earlier)
    state = train(FederatedAveraging(channel, n_silos, settings, start), observer)
    if settings.rounds and not state.trained:
        raise ParameterError(f"sampling={settings.sampler!r} drew no silo that holds rows in any round; draw more.")
    return state
