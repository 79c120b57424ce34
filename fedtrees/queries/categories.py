"""The number of rows of each category of a column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.protocol.query import Query
from fedtrees.errors import ProtocolError

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows


class CategoryCounts(Query, frozen=True, eq=False):
    """Rows of each category of each column that has any.

    Parameters
    ----------
    rows : int
        Rows of the federation.
    sizes : int64 (features,)
        Categories of each column that all silos agreed on; 0 of numbers.
    """

    rows: int
    sizes: NDArray[np.int64]

    def size(self) -> int:
        """See `Query`."""
        return int(self.sizes.sum())

    def touches(self) -> int:
        """See `Query`."""
        return int(np.count_nonzero(self.sizes))

    def bound(self) -> int:
        """See `Query`."""
        return self.rows

    def lowest(self) -> int:
        """See `Query`."""
        return 0

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        table, rows = silo.table, silo.rows_asked()
        if len(self.sizes) != table.n_features or (self.sizes < 0).any():
            raise ProtocolError(f"categories were asked for of {len(self.sizes)} columns of {table.n_features}")
        parts = [np.zeros(0, np.int64)]
        for place in np.flatnonzero(self.sizes):
            column = table.X[:, place] if table.order is None else table.X[table.order, place]
            codes = column[rows]
            counts = np.bincount(codes[~np.isnan(codes)].astype(np.int64), minlength=self.sizes[place])
            if len(counts) > self.sizes[place]:
                raise ProtocolError(f"column {table.schema.names[place]!r} has categories that were not agreed on")
            parts.append(counts)
        return np.concatenate(parts)

    def read(self, total: Vector) -> list[NDArray[np.int64]]:
        """The counts of each column, int64 (categories,); empty of numbers."""
        return np.split(total, np.cumsum(self.sizes)[:-1])
