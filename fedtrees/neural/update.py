"""A round's question: train on your rows, and send what came of it as integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.blas import OneBlasThread
from fedtrees.core.query import Query
from fedtrees.core.ring import WORD_BITS, Vector
from fedtrees.core.rng import stream
from fedtrees.errors import DivergenceError, HeadroomError, ProtocolError
from fedtrees.neural.local import Work
from fedtrees.neural.methods import AnyMethod, Job
from fedtrees.neural.model import Floats
from fedtrees.neural.training import Training

if TYPE_CHECKING:
    from fedtrees.core.silo import Silo


class Grid(msgspec.Struct, frozen=True):
    """The grid that numbers are rounded to: steps of ``2 ** -bits``, up to ``2 ** reach``.

    Parameters
    ----------
    bits : int
    reach : int
    """

    bits: int = 24
    reach: int = 7

    @staticmethod
    def for_mass(mass: int, bits: int = 24, reach: int = 7) -> Grid:
        """The finest grid up to ``bits`` on which a sum of so much weight has room.

        Raises
        ------
        HeadroomError
            If that is too coarse to train on.
        """
        room = WORD_BITS - max(mass, 1).bit_length() - reach
        if room < 12:
            raise HeadroomError(
                f"updates of weight {mass} in all leave {room} bits for fractions; use smaller weights."
            )
        return Grid(min(bits, room), reach)

    def round(self, values: NDArray[np.floating]) -> Vector:
        """Round to the nearest step.

        Raises
        ------
        HeadroomError
            For a value beyond the reach: it is never wrapped.
        """
        largest = float(np.abs(values).max(initial=0.0))
        if not largest <= 2.0**self.reach:
            raise HeadroomError(
                f"an update of {largest:g} is beyond the {2**self.reach} that there is room for; lower learning_rate."
            )
        return np.rint(np.ldexp(values.astype(np.float64), self.bits)).astype(np.int64)


class LocalUpdate(Query, frozen=True, eq=False):
    """Train, and send the weighted result; the last two integers are the weighted loss, and the weight.

    Law: the total is the same in whatever order silos train, on however many threads.

    Parameters
    ----------
    model_round : int
        Which round of training this is: it names the silo's random draws.
    params : float32 (n_params,)
        The shared parameters.
    shared : float32 (any,)
        What else the server says; see `methods.Method`.
    method : FedAvg or another
    work : Work
    grid : Grid
    length : int
        Numbers that the method sends.
    mass : int
        The weight of all silos.
    """

    model_round: int
    params: Floats
    shared: Floats
    method: AnyMethod
    work: Work
    grid: Grid
    length: int
    mass: int

    def size(self) -> int:
        """See `Query`."""
        return self.length + 2

    def bound(self) -> int:
        """See `Query`."""
        return self.mass << (self.grid.bits + self.grid.reach)

    def ask(self, silo: Silo) -> Vector:
        """See `Query`."""
        state: Training | None = silo.state
        if not isinstance(state, Training):
            raise ProtocolError("an update was asked for before training began")
        if len(self.params) != state.model.n_params or self.method.length(state.model) != self.length:
            raise ProtocolError(f"{len(self.params)} parameters are not those of the model, {state.model.n_params}")
        with OneBlasThread():
            parts = np.array_split(silo.silos_asked, min(silo.threads.n, max(1, len(silo.silos_asked))))
            sums = silo.threads.map(lambda places: self._sum(silo, state, places), parts)
        total = sums[0]
        for other in sums[1:]:
            total += other
        return total

    def _sum(self, silo: Silo, state: Training, places: NDArray[np.int64]) -> Vector:
        total = np.zeros(self.size(), np.int64)
        for place in places:
            mass = state.mass(silo.table, place)
            if mass:
                total += mass * self._of_one(silo, state, int(place))
        return total

    def _of_one(self, silo: Silo, state: Training, place: int) -> Vector:
        name, begin = silo.table.names[place], state.begin
        job = Job(
            state.model, self.params, state.rows(silo.table, place), self.work,
            stream(begin.seed, "batches", self.model_round, name), self.shared, state.memory(place, self.model_round),
        )  # fmt: skip
        try:
            sent, loss = self.method.update(job)
            vector = self.grid.round(np.append(sent, min(loss, 2.0**self.grid.reach)))
        except (DivergenceError, HeadroomError) as error:
            raise DivergenceError(f"silo {name!r}, round {self.model_round}: {error}") from error
        return np.append(vector, 1)

    def read(self, total: Vector) -> Update:
        """The means, and the weight that they are of."""
        mass = int(total[-1])
        means = np.ldexp(total[:-1].astype(np.float64), -self.grid.bits) / max(mass, 1)
        return Update(means[:-1], float(means[-1]), mass)


class Update(msgspec.Struct, frozen=True):
    """What a cohort sent: weighted means, and their weight.

    Attributes
    ----------
    mean : float64 (length,)
    loss : float
    mass : int
        0 where nobody that was asked has rows.
    """

    mean: NDArray[np.float64]
    loss: float
    mass: int
