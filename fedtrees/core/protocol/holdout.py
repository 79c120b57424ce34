"""A share of every silo's rows, held out to score on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fedtrees.core.data.row_ids import drawn
from fedtrees.core.numeric.rng import stream
from fedtrees.core.protocol.query import Fact
from fedtrees.errors import ProtocolError

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows


class HoldOut(Fact, frozen=True, eq=False):
    """The fact that each silo trains on its rows but for a share, and holds those as its last evaluation set.

    Law: a row is held out or not by its id and the seed alone; see `core.data.row_ids`.

    Parameters
    ----------
    share : float
        Above 0 and below 1; each row is drawn by itself, so silos hold about as many.
    seed : int
    """

    share: float
    seed: int

    def apply(self, silo: SiloRows) -> None:
        """See `Fact`."""
        if not 0 < self.share < 1:
            raise ProtocolError(f"a share of {self.share} of the rows was to be held out")
        keys = stream(self.seed, "held-out rows").integers(2**64, size=2, dtype=np.uint64)
        table = silo.table
        # a group is ranked as a whole
        silo.hold_out(drawn(table.row_ids() if table.groups is None else table.groups, keys, self.share))
