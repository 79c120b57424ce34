"""The first facts of a run: how a silo is to read its rows, as all silos agreed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from fedtrees.core.data.categories import first_unseen, unseen_category
from fedtrees.core.data.labels import ClassLabels
from fedtrees.core.data.recoding import recoded
from fedtrees.core.data.silo_column import with_silo_column
from fedtrees.core.data.table import Table
from fedtrees.core.data.table_targets import places_of_columns
from fedtrees.core.protocol.query import Fact
from fedtrees.core.sampling.weighting import Weighting
from fedtrees.errors import ProtocolError

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows


class AbsentIsZero(Fact, frozen=True, eq=False):
    """The fact that entries that sparse rows do not hold are 0; without it they are missing."""

    def apply(self, silo: SiloRows) -> None:
        """See `Fact`."""
        silo.take_absent_as(zero=True)


class LabelsByColumn(Fact, frozen=True, eq=False):
    """The class labels of each column of y that all silos agree on: from now on, y holds places among them.

    Parameters
    ----------
    labels : list of list
        Of each column, sorted.
    """

    labels: list[ClassLabels]

    def apply(self, silo: SiloRows) -> None:
        """See `Fact`."""
        table = silo.table
        if table.n_rows and table.n_targets != len(self.labels):
            raise ProtocolError(f"labels of {len(self.labels)} columns, and y has {table.n_targets}")
        silo.take_targets(replace(table, y=places_of_columns(table, self.labels)))


class Vocabulary(Fact, frozen=True, eq=False):
    """The categories that all silos agree on: from now on, codes count these.

    Parameters
    ----------
    categories : dict of str to list
        Of each category column, in the order of the codes.
    silos : list of str
        The names of all silos, where trees may split by them; see `silo_column`.
    """

    categories: dict[str, list[Any]]  # `Label`s, taken as they come
    silos: list[str] = msgspec.field(default_factory=list)

    def apply(self, silo: SiloRows) -> None:
        """See `Fact`."""
        table, held_out = silo.read
        self._refuse_unseen(table, "")
        for place, held in enumerate(held_out):
            self._refuse_unseen(held, f", eval_set {place}")
        silo.table, *silo.held_out = (self._by_agreed_codes(each) for each in (table, *held_out))

    def _by_agreed_codes(self, table: Table) -> Table:
        table = recoded(table, self.categories)
        return with_silo_column(table, self.silos) if self.silos else table

    def _refuse_unseen(self, table: Table, which: str) -> None:
        for place, name in enumerate(table.schema.names):
            used, agreed = table.schema.categories.get(name, []), self.categories.get(name, [])
            if used != agreed:
                codes = table.X[:, place] if table.order is None else table.X[table.order, place]
                row = first_unseen(codes, used, agreed)
                if row is not None:
                    raise unseen_category(f"silo {table.silo_of(row)!r}{which}: ", name, used[int(codes[row])])


class Weigh(Fact, frozen=True, eq=False):
    """The fact that rows weigh their sample weight times their silo's factor."""

    weighting: Weighting

    def apply(self, silo: SiloRows) -> None:
        """See `Fact`."""
        rows = np.diff(silo.table.starts)
        silo.weigh(self.weighting.row_factors(silo.table.names, rows), rows)
