"""A federation whose silos vanish, for trials in one process of its effect on a training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.number_checks import is_number
from fedtrees.core.numeric.rng import stream
from fedtrees.core.protocol.describe import Describe
from fedtrees.core.protocol.federation import Answer, Described, Federation, PartedReply, Reply, Simulating
from fedtrees.core.protocol.ledger import Amount, Grouped
from fedtrees.core.protocol.log import Call
from fedtrees.core.sampling.samplers import Cohort
from fedtrees.errors import ParameterError


class UnreliableFederation:
    """A federation that loses silos by lot, wherever a mean over the others will do; see `Query.partial`.

    A silo that vanishes receives nothing and sends nothing. Queries that need all silos, as those before training,
    are asked until all have answered. A round that loses its whole cohort changes nothing.

    Parameters
    ----------
    federation : Federation
    rate : float
        The share of a cohort that is lost, 0 to below 1; each silo by itself.
    seed : int, default 0

    Raises
    ------
    ParameterError
        For another rate.

    Examples
    --------
    >>> from fedtrees import FedAvgClassifier, LocalFederation, Silo
    >>> silos = [Silo(name, [[0.0], [1.0]], [0, 1]) for name in "abcd"]
    >>> federation = UnreliableFederation(LocalFederation(silos), rate=0.5)
    >>> model = FedAvgClassifier((), n_rounds=3).fit_federation(federation)
    >>> sorted({int(n) for n in model.ledger_.per_round()["answers"]})
    [2, 4]
    """

    def __init__(self, federation: Federation, rate: float, seed: int = 0):
        if not is_number(rate, 0, 1) or rate == 1:
            raise ParameterError(f"rate={rate!r}: give a number from 0 to below 1.")
        self.federation, self.rate, self.seed = federation, rate, seed

    @property
    def names(self) -> Sequence[str]:
        """See `Federation`."""
        return self.federation.names

    def describe(self, call: Call, question: Describe) -> Described:
        """See `Simulating`."""
        return self._simulating.describe(call, question)

    def ask(self, call: Call, cohort: Cohort) -> Iterable[Answer]:
        """See `Federation`."""
        return self.federation.ask(call, cohort[self._there(call, cohort)])

    @property
    def fused(self) -> bool:
        """See `Simulating`."""
        return isinstance(self.federation, Simulating) and self.federation.fused

    def sum(self, call: Call, cohort: Cohort) -> Reply:
        """See `Simulating`."""
        there = self._there(call, cohort)
        reply = self._simulating.sum(call, cohort[there])
        return Reply(reply.vector, _where(there, reply.down), _where(there, reply.up))

    def parts(self, call: Call, cohort: Cohort) -> PartedReply:
        """See `Simulating`."""
        there = self._there(call, cohort)
        reply = self._simulating.parts(call, cohort[there])
        return PartedReply(reply.parts, _where(there, reply.down), _where(there, reply.up))

    @property
    def _simulating(self) -> Simulating:
        assert isinstance(self.federation, Simulating)
        return self.federation

    def _there(self, call: Call, cohort: Cohort) -> NDArray[np.bool_]:
        if not call.partial:
            return np.ones(len(cohort), bool)
        lots = [stream(self.seed, "vanished", call.round, self.names[silo]).random() for silo in cohort]
        there: NDArray[np.bool_] = np.array(lots) >= self.rate
        return there

    def __repr__(self) -> str:
        return f"UnreliableFederation({self.federation!r}, rate={self.rate})"


def _where(there: NDArray[np.bool_], amount: Amount) -> Amount:
    """Amounts of the silos that are there as amounts of all: 0 of the others."""
    if there.all():
        return amount
    each = np.zeros(len(there), np.int64)
    each[there] = amount.each() if isinstance(amount, Grouped) else amount
    return each
