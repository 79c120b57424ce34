"""A trained network, and all that further rounds start from."""

from __future__ import annotations

from dataclasses import dataclass

from fedtrees.neural.model import Floats
from fedtrees.neural.optimisers import OptimiserState
from fedtrees.queries.moments import Moments


@dataclass(frozen=True, eq=False)
class Network:
    """A trained network, and all that further rounds start from.

    Attributes
    ----------
    params : float32 (n_params,)
    moments : Moments
        The means and deviations that features and targets are scaled by.
    shared : float32 (any,)
        Numbers that the server sends besides; see `methods.Method`.
    memory : sequence of float64 (n_params,)
        The state of the server's optimiser.
    round : int
        Rounds so far.
    exponent : int or None
        The bound of the last round's updates, where the compression follows them.
    """

    params: Floats
    moments: Moments
    shared: Floats
    memory: OptimiserState
    round: int = 0
    exponent: int | None = None
