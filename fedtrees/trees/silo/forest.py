"""The finished trees of a training, as a silo keeps them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedtrees.trees.model.shape import Shape


class FinishedRound(NamedTuple):
    """A round's finished trees: shapes, leaves' values, and the steps by which a loss that reweighs moves weights."""

    shapes: list[Shape]
    values: list[NDArray[np.float32]]
    steps: NDArray[np.float32]
