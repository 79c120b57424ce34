"""A round's question: train on your rows, and send what came of it as integers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.blas import OneBlasThread
from fedtrees.core.numeric.fixed_point import N_EXPONENTS, Vector, exponent_counts, largest_exponent
from fedtrees.core.numeric.rng import stream
from fedtrees.core.protocol.query import Query
from fedtrees.errors import DivergenceError, HeadroomError, ProtocolError
from fedtrees.neural.compression import AnyCompression, UpdateScale, of_digits, to_digits
from fedtrees.neural.local import Work
from fedtrees.neural.methods import AnyMethod, Job
from fedtrees.neural.model import Floats
from fedtrees.neural.state import NetworkState
from fedtrees.queries.long_sums import LOWEST, N_DIGITS, bound_of_long_sums, long_sums, restore_long

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows


# of losses, and of the few numbers that a method sends besides updates: up to 1e12, in steps of a millionth
FINE = UpdateScale(bits=20, reach=40)


class LocalUpdate(Query, frozen=True, eq=False):
    """Train, and send the weighted result, the loss, and the weight.

    Law: the total is the same in whatever order silos train, on however many threads.

    Parameters
    ----------
    model_round : int
        Which round of training this is: it names the silo's random draws.
    params : float32 (n_params,)
        The shared parameters.
    shared : float32 (any,)
        Numbers that the server sends besides; see `methods.Method`.
    method : FedAvg or another
    work : Work
    grid : UpdateScale
    length : int
        Numbers that the method sends.
    extras : int
        How many of them, at the end, are sent finely whatever the compression.
    mass : int
        The weight of all silos at the most.
    compression : Exact or another
    """

    model_round: int
    params: Floats
    shared: Floats
    method: AnyMethod
    work: Work
    grid: UpdateScale
    length: int
    extras: int
    mass: int
    compression: AnyCompression

    partial = True  # the mean over those that answer

    @property
    def remembered(self) -> bool:
        """See `Query`."""
        return self.method.remembers or self.compression.remembers

    @property
    def _digits(self) -> int:
        """Integers that a number takes which is sent finely."""
        return -(-(FINE.width + 1) // self.grid.width)

    @property
    def _numbers(self) -> int:
        return self.length - self.extras

    def size(self) -> int:
        """See `Query`."""
        exponents = N_EXPONENTS if self.compression.adapts else 0
        return self._numbers + self._digits * (self.extras + 1) + exponents + 1

    def reach(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """See `Query`."""
        most = self.compression.entries(self._numbers) + self._digits * (self.extras + 1) + 2
        return np.full(rows.shape[1:], min(most, self.size()))

    def bound(self) -> int:
        """See `Query`."""
        return self.mass << self.grid.width

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        state = silo.state_of(NetworkState, "an update was asked for")
        if len(self.params) != state.model.n_params or self.method.length(state.model) != self.length:
            raise ProtocolError(f"{len(self.params)} parameters are not those of the model, {state.model.n_params}")
        with OneBlasThread():
            parts = np.array_split(silo.silos_asked, min(silo.threads.n, max(1, len(silo.silos_asked))))
            sums = silo.threads.map(lambda places: self._sum(silo, state, places), parts)
        total = sums[0]
        for other in sums[1:]:
            total += other
        return total

    def _sum(self, silo: SiloRows, state: NetworkState, places: NDArray[np.int64]) -> Vector:
        total = np.zeros(self.size(), np.int64)
        for place in places:
            mass = state.mass(silo.table, int(place))
            if mass:
                total += self._of_one(silo, state, int(place), mass)
        return total

    def _of_one(self, silo: SiloRows, state: NetworkState, place: int, mass: int) -> Vector:
        """The vector that a silo sends, times its weight."""
        name, begin, round = silo.table.names[place], state.begin, self.model_round
        job = Job(
            state.model, self.params, state.rows(silo.table, place), self._work(begin.seed, name),
            stream(begin.seed, "batches", round, name), self.shared, state.memory(place, round, "method"),
        )  # fmt: skip
        try:
            sent, loss = self.method.update(job)
            numbers, extras = np.split(sent, [self._numbers])
            fine = FINE.round(np.append(extras, loss))
            waiting = state.memory(place, round, "waiting")
            coarse = self.compression.round(
                numbers, self.grid, lambda: stream(begin.seed, "rounding", round, name), waiting, mass
            )
        except (DivergenceError, HeadroomError) as error:
            raise DivergenceError(f"silo {name!r}, round {round}: {error}") from error
        parts = [coarse, mass * to_digits(fine, self.grid.width, self._digits)]
        if self.compression.adapts:
            parts.append(exponent_counts(np.abs(numbers).max(initial=0.0, keepdims=True)))
        return np.concatenate([*parts, [mass]])

    def _work(self, seed: int, name: str) -> Work:
        """The work of a silo, some of which are stragglers."""
        work = self.work
        if work.stragglers:
            lot = stream(seed, "straggler", self.model_round, name)
            if lot.random() < work.stragglers:
                return msgspec.structs.replace(work, epochs=int(lot.integers(1, work.epochs + 1)))
        return work

    def read(self, total: Vector) -> Update:
        """The means, and the weight that they are of."""
        mass, n = int(total[-1]), self._numbers
        scale = 1 / max(mass, 1)
        end = n + self._digits * (self.extras + 1)
        coarse = np.ldexp(total[:n].astype(np.float64), -self.grid.bits) * scale
        fine = np.ldexp(of_digits(total[n:end], self.grid.width, self._digits), -FINE.bits) * scale
        exponent = largest_exponent(total[end:-1]) if self.compression.adapts and mass else None
        return Update(np.append(coarse, fine[:-1]), float(fine[-1]), mass, exponent)


class TotalWeight(Query, frozen=True, eq=False):
    """The number of rows that do not weigh 1, and the weight of all rows together.

    Parameters
    ----------
    rows : int
        Rows of the federation.
    """

    rows: int

    def size(self) -> int:
        """See `Query`."""
        return 1 + N_DIGITS

    def bound(self) -> int:
        """See `Query`."""
        return bound_of_long_sums(self.rows)

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        given = silo.weights()
        weight = np.ones(silo.n_asked, np.float32) if given is None else given[silo.rows_asked()]
        return np.concatenate([[np.count_nonzero(weight != 1)], long_sums(weight.astype(np.float64))]).astype(np.int64)

    def read(self, total: Vector) -> tuple[bool, float]:
        """Return whether all rows weigh 1, and their weight."""
        return not total[0], math.ldexp(float(restore_long(total[1:])), LOWEST)


class Update(msgspec.Struct, frozen=True):
    """A cohort's update: weighted means, and their weight.

    Attributes
    ----------
    mean : float64 (length,)
    loss : float
    mass : int
        0 where nobody that was asked has rows.
    exponent : int or None
        What bounds the largest number of each silo, where the compression asks for it.
    """

    mean: NDArray[np.float64]
    loss: float
    mass: int
    exponent: int | None = None
