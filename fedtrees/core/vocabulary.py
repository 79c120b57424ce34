"""What silos are told of categories: the vocabulary that all agree on, which their codes count from then on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from fedtrees.core.categories import first_unseen, translated, unseen_category
from fedtrees.core.query import Fact
from fedtrees.core.silo_column import with_silo_column
from fedtrees.core.table import Table

if TYPE_CHECKING:
    from fedtrees.core.silo import Silo


class Vocabulary(Fact, frozen=True, eq=False):
    """The categories that all silos agree on: from now on, codes count these.

    Parameters
    ----------
    categories : dict of str to list
        Of each category column, in the order of the codes.
    silos : list of str
        The names of all silos, where trees may split by them; see `silo_column`.
    """

    categories: dict[str, list[Any]]
    silos: list[str] = msgspec.field(default_factory=list)

    def apply(self, silo: Silo) -> None:
        """See `Fact`."""
        table, held_out = silo.read
        self._refuse_unseen(table, "")
        for place, own in enumerate(held_out):
            self._refuse_unseen(own, f", eval_set {place}")
        silo.table, *silo.held_out = (self._told(own) for own in (table, *held_out))

    def _told(self, table: Table) -> Table:
        table = recoded(table, self.categories)
        return with_silo_column(table, self.silos) if self.silos else table

    def _refuse_unseen(self, table: Table, which: str) -> None:
        for place, name in enumerate(table.schema.names):
            own, known = table.schema.categories.get(name, []), self.categories.get(name, [])
            if own != known:
                codes = table.X[:, place] if table.order is None else table.X[table.order, place]
                row = first_unseen(codes, own, known)
                if row is not None:
                    raise unseen_category(f"silo {table.silo_of(row)!r}{which}: ", name, own[int(codes[row])])


def recoded(table: Table, categories: Mapping[str, list[Any]]) -> Table:
    """The same rows by codes that count these categories; nothing is copied where they do already."""
    schema, own = table.schema, table.schema.categories
    if own == categories:
        return table
    X = table.X.copy(order="K")
    for place, name in enumerate(schema.names):
        if name in own and own[name] != categories.get(name):
            X[:, place] = translated(X[:, place], own[name], categories.get(name, []))
    return replace(table, X=X, schema=msgspec.structs.replace(schema, categories=dict(categories)))
