"""Partitions that do not look at labels: equal silos, silos of a power law's sizes, and those of a natural column."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fedtrees.core.numeric.rng import stream
from fedtrees.datasets.dealing import SiloIds, apportioned, enough_rows, ids_of, number, read_column, whole
from fedtrees.datasets.groups import plain, quantile_groups
from fedtrees.errors import ParameterError

__all__ = ["partition_by", "partition_iid", "partition_sizes"]


def partition_iid(n_rows: int, silos: int, seed: int = 0) -> SiloIds:
    """Deal rows to silos at random, each silo as many as any other (one more or less).

    Law: the partition depends on (n_rows, silos, seed) alone.

    Parameters
    ----------
    n_rows : int
    silos : int
        At most as many as there are rows.
    seed : int, default 0

    Returns
    -------
    ndarray of str (rows,)
        The silo of each row; names sort in the order of their numbers.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> partition_iid(6, silos=3).tolist()
    ['silo 1', 'silo 1', 'silo 0', 'silo 0', 'silo 2', 'silo 2']
    """
    n_rows = whole(n_rows, "n_rows", 1)
    silos, _ = enough_rows(n_rows, silos)
    return ids_of(stream(seed, "partition iid").permutation(np.arange(n_rows) % silos), silos)


def partition_sizes(n_rows: int, silos: int, power: float = 1.0, min_rows: int = 1, seed: int = 0) -> SiloIds:
    """Quantity skew: deal rows at random to silos whose sizes fall by a power law, the first the largest.

    Each silo gets ``min_rows``; of the rest, silo k = 1, 2, ... gets a share in proportion to ``k ** -power`` (Zipf's
    law at power 1). What a row holds plays no part, so only the sizes differ.

    Law: the partition depends on the parameters alone, and the sizes do not depend on the seed.

    Parameters
    ----------
    n_rows : int
    silos : int
    power : float, default 1.0
        0 makes all silos equal; the larger, the more the first ones hold.
    min_rows : int, default 1
        The least that a silo holds.
    seed : int, default 0

    Returns
    -------
    ndarray of str (rows,)
        The silo of each row.

    Raises
    ------
    ParameterError
        If a parameter is out of range, or the rows are too few.

    Examples
    --------
    >>> import numpy as np
    >>> np.unique(partition_sizes(1000, silos=5, power=1.5), return_counts=True)[1].tolist()
    [566, 201, 110, 72, 51]
    """
    n_rows = whole(n_rows, "n_rows", 1)
    silos, min_rows = enough_rows(n_rows, silos, min_rows)
    power = number(power, "power")
    sizes = min_rows + apportioned(n_rows - silos * min_rows, np.arange(1.0, silos + 1) ** -power)
    return ids_of(stream(seed, "partition sizes").permutation(np.repeat(np.arange(silos), sizes)), silos)


def partition_by(column: ArrayLike, groups: int | None = None) -> SiloIds:
    """A natural partition: a silo for each value of a column, or for each of its quantile groups.

    Nothing is drawn. Rows of equal values are never parted.

    Parameters
    ----------
    column : array-like (rows,)
        Texts, booleans, categories or numbers, such as the carrier, the hospital or the age. It is no feature then.
    groups : int, optional
        Of numbers, into how many groups of about equal size; by default each value is a silo.

    Returns
    -------
    ndarray of str (rows,)
        The silo of each row: a text as it is; of numbers, the place among the silos, so that names sort as the
        numbers do, and the value, or the least and the largest.

    Raises
    ------
    DataError
        If a value is missing, naming its row, or the column mixes texts and numbers.
    ParameterError
        If texts shall be grouped, or so many values are equal that some group would hold none.

    Examples
    --------
    >>> partition_by(["UA", "AA", "UA"]).tolist()
    ['UA', 'AA', 'UA']
    >>> partition_by([31, 45, 67, 18], groups=2).tolist()
    ['silo 0: 18 to 31', 'silo 1: 45 to 67', 'silo 1: 45 to 67', 'silo 0: 18 to 31']
    """
    values = read_column(column, "column")
    if groups is not None:
        groups = whole(groups, "groups", 1)
        if values.dtype.kind not in "iuf":
            raise ParameterError(f"groups={groups}: the column holds no numbers; leave groups out.")
        codes, spans = quantile_groups(values, groups)
        if len(spans) < groups:
            raise ParameterError(
                f"groups={groups}: the column has {len(np.unique(values))} different values, and so many rows share "
                "one that some group would be empty; ask for fewer groups."
            )
        return _named(spans)[codes]
    found, codes = np.unique(values, return_inverse=True)
    if found.dtype.kind not in "iuf":
        texts: SiloIds = found.astype(np.str_)
        return texts[codes]
    return _named([plain(value) for value in found])[codes]


def _named(values: list[str]) -> SiloIds:
    digits = len(str(len(values) - 1))
    return np.array([f"silo {place:0{digits}d}: {value}" for place, value in enumerate(values)])
