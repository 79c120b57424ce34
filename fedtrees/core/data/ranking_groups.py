"""Groups that rows are ranked in, the queries of a ranking: rows of one side by side, in one silo, of one weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.data.row_ids import RowIds
from fedtrees.core.data.table import kept_rows
from fedtrees.core.data.target import plain_array
from fedtrees.errors import DataError, ParameterError


def refuse_ids_twice(qid: ArrayLike | None, names: Sequence[str], where: str = "") -> None:
    """Refuse ids of groups that are given beside a column ``"qid"``, which would be a feature.

    Raises
    ------
    ParameterError
    """
    if qid is not None and "qid" in names:
        raise ParameterError(f"{where}qid: X has a column 'qid', too; give the ids in one place.")


def refuse_ids_missing(held_out: RowIds | None, trained_on: RowIds | None, n_rows: int, where: str) -> None:
    """Refuse an evaluation set without ids of groups where the rows to train on have them: it would be one group.

    Raises
    ------
    DataError
    """
    if held_out is None and trained_on is not None and n_rows:
        raise DataError(f"{where}qid is not given, and that of X is; give it as the fifth entry, behind base_margin.")


def weights_of_rows(sample_weight: ArrayLike | None, groups: RowIds | None, where: str = "") -> ArrayLike | None:
    """Weights of rows: as they are, or from one per group, in the order in which groups appear.

    Raises
    ------
    DataError
        For another number of weights.

    Examples
    --------
    >>> weights_of_rows([2.0, 3.0], np.uint64([7, 7, 1])).tolist()
    [2.0, 2.0, 3.0]
    """
    if sample_weight is None or groups is None:
        return sample_weight
    import pandas as pd

    codes, names = pd.factorize(groups)
    given = plain_array(sample_weight, f"{where}sample_weight")
    if given.shape != (len(names),):
        raise DataError(
            f"{where}sample_weight has the shape {given.shape}; give one a query, of which there are {len(names)}."
        )
    return given[codes]


def ids_of_groups(group: ArrayLike, n_rows: int, what: str = "group") -> NDArray[np.int64]:
    """The ids of groups whose rows stand side by side, from the number of rows of each, XGBoost's ``group``.

    Raises
    ------
    DataError
        If these are no whole numbers from 1, or those of another number of rows.

    Examples
    --------
    >>> ids_of_groups([2, 1], 3).tolist()
    [0, 0, 1]
    """
    sizes: NDArray[Any] = plain_array(group, what)  # of numbers, if it is compared
    whole = sizes.ndim == 1 and sizes.dtype.kind in "iuf" and (np.floor(sizes) == sizes).all() and (sizes >= 1).all()
    if not whole:
        raise DataError(f"{what}: give how many rows each query has, whole numbers from 1.")
    if sizes.sum() != n_rows:
        raise DataError(f"{what} is of {sizes.sum():.0f} rows and X has {n_rows}.")
    return np.repeat(np.arange(len(sizes)), sizes.astype(np.int64))


def rows_to_keep(
    weight: NDArray[np.float32] | None, groups: RowIds | None, silos: NDArray[np.integer] | None = None
) -> NDArray[np.uint32] | None:
    """The rows that have a weight, those of a group side by side, silo by silo; None where all rows stand so."""
    kept = kept_rows(weight)
    if groups is None:
        return kept
    rows = np.arange(len(groups), dtype=np.uint32) if kept is None else kept
    order = np.lexsort((groups[rows], np.zeros(len(rows)) if silos is None else silos[rows]))  # stable
    return rows[order]


def side_by_side(groups: RowIds) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """An order in which rows of a group stand side by side, int64 (rows,), and where each starts, (groups + 1,)."""
    order = np.argsort(groups, kind="stable")
    borders = np.flatnonzero(groups[order][1:] != groups[order][:-1]) + 1
    return order, np.concatenate(([0], borders, [len(groups)])).astype(np.int64)


def refuse_shared(
    groups: RowIds, qid: ArrayLike, silos: NDArray[np.integer], names: Sequence[str], where: str = ""
) -> None:
    """Refuse a group whose rows are in two silos: no silo could rank it.

    Raises
    ------
    DataError
        Naming the first such group and both silos.
    """
    order = np.lexsort((silos, groups))
    same, apart = groups[order][1:] == groups[order][:-1], silos[order][1:] != silos[order][:-1]
    if (same & apart).any():
        first = int(np.argmax(same & apart))
        one, two = (names[int(silos[order[place]])] for place in (first, first + 1))
        shared = plain_array(qid, "qid")[order[first]]
        shared = shared.item() if isinstance(shared, np.generic) else shared
        raise DataError(
            f"{where}qid {shared!r} has rows in silo {one!r} and in silo {two!r}; a query lives inside one silo."
        )
