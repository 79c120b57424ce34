"""Federated averaging and its relatives: the vectors that silos send, and the server's use of their mean.

There is a class per paper, and each is a record, so that it travels with the question. A silo sends a vector whose
weighted mean over the cohort is all that the server learns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.number_checks import is_number, is_whole
from fedtrees.errors import ParameterError
from fedtrees.neural.local import Correction, Rows, Trained, Work, train
from fedtrees.neural.memory import Memory
from fedtrees.neural.model import Floats, Model

Mean = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Job:
    """One silo's part of a round.

    Attributes
    ----------
    model : Model
    params : float32 (n_params,)
        The shared ones.
    rows : Rows
    work : Work
    rng : numpy.random.Generator
    shared : float32 (any,)
        What the server sends besides; see `Method.combine`.
    memory : Memory
        What the silo keeps from round to round.
    """

    model: Model
    params: Floats
    rows: Rows
    work: Work
    rng: np.random.Generator
    shared: Floats
    memory: Memory

    def train(self, correct: Correction | None = None, params: Floats | None = None) -> Trained:
        """Train from the shared parameters, or from others."""
        return train(self.model, self.params if params is None else params, self.rows, self.work, self.rng, correct)


@dataclass(frozen=True, eq=False)
class Round:
    """The results of a round that is over.

    Attributes
    ----------
    mean : float64 (any,)
        The weighted mean of what silos sent.
    loss : float
        The weighted mean of their losses.
    shared : float32 (any,)
        What the server sent besides the parameters.
    part : float
        The share of all weight that the cohort holds.
    learning_rate : float
    """

    mean: Mean
    loss: float
    shared: Floats
    part: float
    learning_rate: float


class Method(Protocol):
    """A way of averaging: the vector that a silo sends, and the change that follows from the mean."""

    def length(self, model: Model) -> int:
        """Numbers that a silo sends."""
        ...

    @property
    def extras(self) -> int:
        """The number of entries at the end that are no updates of parameters, and are not to be compressed."""
        ...

    @property
    def fine(self) -> bool:
        """Return whether what is sent may be much smaller than parameters are, and needs a finer grid."""
        ...

    @property
    def remembers(self) -> bool:
        """Return whether silos keep something from round to round."""
        ...

    @property
    def relative(self) -> bool:
        """Return whether silos are to be given what bounds the cohort's losses, ``shared``."""
        ...

    def check(self) -> None:
        """Refuse parameters that mean nothing, with a `ParameterError`."""
        ...

    def start(self, model: Model) -> Floats:
        """The vector that the server sends in the first round, besides the parameters."""
        ...

    def update(self, job: Job) -> tuple[NDArray[np.floating], float]:
        """Train; return the vector that the silo sends, float (length,), and its loss."""
        ...

    def combine(self, round: Round) -> tuple[Mean, Floats]:
        """The change of the parameters, float64 (n_params,), and the vector that the server sends next."""
        ...


NOTHING = np.zeros(0, np.float32)


class _Checked:
    """The base of most of them: there is nothing to check, and nothing out of the ordinary."""

    fine = relative = remembers = False

    def check(self) -> None:
        """See `Method`."""


def _refuse(what: str, value: object, fine: bool) -> None:
    if type(value) not in (int, float) or not fine:
        raise ParameterError(f"method: {what}={value!r}: give a plain number from 0.")


class _Plain(_Checked):
    """The base of most of them: vectors are as long as the parameters, and the mean is the change."""

    extras = 0

    def length(self, model: Model) -> int:
        """See `Method`."""
        return model.n_params

    def start(self, model: Model) -> Floats:
        """See `Method`."""
        return NOTHING

    def combine(self, round: Round) -> tuple[Mean, Floats]:
        """See `Method`."""
        return round.mean, round.shared


class FedAvg(_Plain, msgspec.Struct, frozen=True, tag="fedavg"):
    """Train, and send by how much the parameters moved: McMahan et al. (2016), Algorithm 1."""

    def update(self, job: Job) -> tuple[NDArray[np.floating], float]:
        """See `Method`."""
        trained = job.train()
        return trained.params - job.params, trained.loss


class FedSGD(_Plain, msgspec.Struct, frozen=True, tag="fedsgd"):
    """Send the gradient of all rows; the server steps: McMahan et al. (2016), section 2."""

    def update(self, job: Job) -> tuple[NDArray[np.floating], float]:
        """See `Method`."""
        gradient = np.empty_like(job.params)
        loss = job.model.gradient(job.params, job.rows.X, job.rows.y, job.rows.weight, gradient)
        return -(gradient + np.float32(job.work.alpha) * job.params), loss

    def combine(self, round: Round) -> tuple[Mean, Floats]:
        """See `Method`."""
        return round.mean * round.learning_rate, round.shared


class FedProx(_Plain, msgspec.Struct, frozen=True, tag="fedprox"):
    """A silo that moves away from the shared parameters pays for it: Li et al. (2020), equation 2.

    Parameters
    ----------
    mu : float, default 0.01
        Half of it times the squared distance is added to a silo's loss.
    """

    mu: float = 0.01

    def check(self) -> None:
        """See `Method`."""
        _refuse("mu", self.mu, is_number(self.mu, least=0))

    def update(self, job: Job) -> tuple[NDArray[np.floating], float]:
        """See `Method`."""
        mu, anchor = np.float32(self.mu), job.params

        def pull(params: Floats, gradient: Floats) -> None:
            gradient += mu * (params - anchor)

        trained = job.train(pull)
        return trained.params - job.params, trained.loss


class Scaffold(_Checked, msgspec.Struct, frozen=True, tag="scaffold"):
    """Silos correct the drift of their gradients from those of all: Karimireddy et al. (2020), Algorithm 1, option II.

    A silo keeps its control variate from round to round, and a run begins with zeros. One that loses its memory in the
    middle of a run is sent the rounds that it took part in, and trains them again.
    """

    extras = 0
    remembers = True

    def length(self, model: Model) -> int:
        """See `Method`."""
        return 2 * model.n_params

    def start(self, model: Model) -> Floats:
        """See `Method`."""
        return np.zeros(model.n_params, np.float32)

    def update(self, job: Job) -> tuple[NDArray[np.floating], float]:
        """See `Method`."""
        variate = job.memory.recall(len(job.params))
        drift, gradients = job.shared - variate, np.zeros_like(job.params)

        def correct(params: Floats, gradient: Floats) -> None:
            np.add(gradients, gradient, out=gradients)
            gradient += drift

        trained = job.train(correct)
        moved = trained.params - job.params
        # option II's c_i - c + (x - y_i) / (K rate) is the mean of the gradients, which no rounding of y_i touches
        new = gradients / np.float32(trained.steps)
        change = new - variate
        job.memory.keep(new)
        return np.concatenate([moved, change]), trained.loss

    def combine(self, round: Round) -> tuple[Mean, Floats]:
        """See `Method`."""
        moved, change = np.split(round.mean, 2)
        return moved, (round.shared + round.part * change).astype(np.float32)


class FedNova(_Checked, msgspec.Struct, frozen=True, tag="fednova"):
    """Silos that take more steps count no more for it: Wang et al. (2020), equation 6."""

    extras = 1
    fine = True  # a step of many moves a parameter by little

    def length(self, model: Model) -> int:
        """See `Method`."""
        return model.n_params + 1

    def start(self, model: Model) -> Floats:
        """See `Method`."""
        return NOTHING

    def update(self, job: Job) -> tuple[NDArray[np.floating], float]:
        """See `Method`."""
        trained = job.train()
        each = (trained.params - job.params).astype(np.float64) / trained.steps
        return np.append(each, trained.steps * STEP), trained.loss

    def combine(self, round: Round) -> tuple[Mean, Floats]:
        """See `Method`."""
        return round.mean[:-1] * (round.mean[-1] / STEP), round.shared


STEP = 2.0**-12  # what a step is sent as: a number no larger than parameters are


class QFedAvg(msgspec.Struct, frozen=True, tag="qfedavg"):
    """Silos with a larger loss count more: Li et al. (2020), Fair Resource Allocation, Algorithm 2.

    Losses are taken as shares of the cohort's largest, which cancels out, so that no power of them leaves its range. A
    silo that was lost while losses were asked for, and is back, counts by no larger one.

    Parameters
    ----------
    q : float, default 1.0
        0 is `FedAvg`.
    """

    q: float = 1.0

    extras = 1
    fine = relative = True
    remembers = False

    def check(self) -> None:
        """See `Method`."""
        _refuse("q", self.q, is_number(self.q, least=0))

    def length(self, model: Model) -> int:
        """See `Method`."""
        return model.n_params + 1

    def start(self, model: Model) -> Floats:
        """See `Method`."""
        return np.ones(1, np.float32)

    def update(self, job: Job) -> tuple[NDArray[np.floating], float]:
        """See `Method`."""
        unit = float(job.shared[0])
        # not 0, as in the authors' own code; and a silo whose loss ``unit`` does not include must not leave the grid
        loss = min(max(job.rows.loss(job.model, job.params) / unit, 1e-10), 1.125)
        trained = job.train()
        moved = (trained.params - job.params).astype(np.float64)
        length = float(moved @ moved)  # the paper's squared gradient by its L is this, by the learning rate
        mass = loss**self.q
        if length:
            mass += self.q * loss ** (self.q - 1) * length / (job.work.learning_rate * unit)
        return np.append(moved * loss**self.q, mass), trained.loss

    def combine(self, round: Round) -> tuple[Mean, Floats]:
        """See `Method`."""
        return round.mean[:-1] / (round.mean[-1] or 1.0), round.shared


class FedPer(msgspec.Struct, frozen=True, tag="fedper"):
    """The last layers stay in the silo: Arivazhagan et al. (2019), Algorithms 1 and 2.

    They live as long as the run: a later call of ``partial_fit`` begins them anew. A silo that loses its memory in the
    middle of a run is sent the rounds that it took part in, and trains them again.

    Parameters
    ----------
    layers : int, default 1
        Layers of each silo's own.
    """

    layers: int = 1

    extras = 0
    fine = relative = False
    remembers = True

    def check(self) -> None:
        """See `Method`."""
        if not is_whole(self.layers):
            raise ParameterError(f"method: FedPer({self.layers!r}): give a whole number of layers from 1.")

    def length(self, model: Model) -> int:
        """See `Method`."""
        return model.n_params - model.tail(self.layers)

    def start(self, model: Model) -> Floats:
        """See `Method`."""
        return NOTHING

    def update(self, job: Job) -> tuple[NDArray[np.floating], float]:
        """See `Method`."""
        body = self.length(job.model)
        params = job.params.copy()
        params[body:] += job.memory.recall(len(params) - body)
        trained = job.train(params=params)
        job.memory.keep(trained.params[body:] - job.params[body:])
        return (trained.params - job.params)[:body], trained.loss

    def combine(self, round: Round) -> tuple[Mean, Floats]:
        """See `Method`."""
        return round.mean, round.shared


AnyMethod = FedAvg | FedSGD | FedProx | Scaffold | FedNova | QFedAvg | FedPer
