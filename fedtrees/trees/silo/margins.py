"""What margins start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.errors import DataError

if TYPE_CHECKING:
    from fedtrees.core.data.table import Table


def first_margin(table: Table, base: NDArray[np.float32]) -> NDArray[np.float32]:
    """What margins start from, float32 (outputs, rows): each row's own where it has one.

    Raises
    ------
    DataError
        If rows start from other outputs than there are.
    """
    margin = np.repeat(base[:, None].astype(np.float32), table.n_rows, axis=1)
    if table.margin is None or not table.n_rows:
        return margin
    if table.margin.shape[1] != len(base):
        given = table.margin.shape[1]
        raise DataError(f"silo {table.names[0]!r}: base_margin has {given} columns for {len(base)} outputs.")
    return np.ascontiguousarray(np.where(np.isnan(table.margin.T), margin, table.margin.T))
