"""The earlier model that training goes on from: silos add its trees to their margins, row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedtrees.core.protocol.query import Fact
from fedtrees.trees.model.value_trees import ValueTrees

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows


class EarlierModel(Fact, ValueTrees, frozen=True, eq=False):
    """The trees of an earlier model; see `ValueTrees`."""

    def apply(self, silo: SiloRows) -> None:
        """See `Fact`."""
        self.check(silo.table.n_features)
        silo.states.keep(self, ValueTrees)
