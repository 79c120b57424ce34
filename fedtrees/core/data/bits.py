"""A table's features as bits, as kernels read them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.table import Table


@dataclass(frozen=True, eq=False)
class Bits:
    """A table's features as the bits of their floats, flat, with the steps from row to row and column to column."""

    flat: NDArray[np.uint32]
    row_stride: int
    column_stride: int
    order: NDArray[np.uint32]

    @staticmethod
    def of(table: Table, ordered: bool = True) -> Bits:
        """View a table, without a copy if X is contiguous; unordered, rows stand as in X: enough for sums over all."""
        X = table.X
        if not (X.flags.c_contiguous or X.flags.f_contiguous):
            X = np.ascontiguousarray(X)
        rows, columns = X.shape
        by_row = X.flags.c_contiguous
        flat = (X if by_row else X.T).reshape(-1).view(np.uint32)
        if table.order is None or (not ordered and len(X) == table.n_rows):
            return Bits(flat, columns if by_row else 1, 1 if by_row else rows, np.zeros(0, np.uint32))
        order = table.order
        return Bits(flat, columns if by_row else 1, 1 if by_row else rows, order)
