"""Several columns of class labels: from when silos agree on them, rows carry places among them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fedtrees.core.query import Fact
from fedtrees.core.target import places_of_columns
from fedtrees.errors import ProtocolError

if TYPE_CHECKING:
    from fedtrees.core.silo import Silo


class LabelsByColumn(Fact, frozen=True, eq=False):
    """The class labels of each column of y that all silos agree on: from now on, y holds places among them.

    Parameters
    ----------
    labels : list of list
        Of each column, sorted.
    """

    labels: list[list[Any]]

    def apply(self, silo: Silo) -> None:
        """See `Fact`."""
        table = silo.table
        if table.n_rows and table.n_targets != len(self.labels):
            raise ProtocolError(f"labels of {len(self.labels)} columns, and y has {table.n_targets}")
        silo.take_targets(replace(table, y=places_of_columns(table, self.labels)))
