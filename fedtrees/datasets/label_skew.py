"""Label skew: partitions whose silos hold other shares of the classes than all rows do."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.numeric.rng import stream
from fedtrees.datasets.dealing import SiloIds, dealt, enough_rows, ids_of, number, read_classes, read_column, whole
from fedtrees.errors import DataError, ParameterError

__all__ = ["partition_classes", "partition_dirichlet", "partition_shards"]

_TURNS = 5  # in which a silo draws its rows: what is used up early is then used up for all


def partition_dirichlet(
    y: ArrayLike, silos: int, alpha: float, balanced: bool = True, min_rows: int = 1, seed: int = 0
) -> SiloIds:
    """Label skew by a Dirichlet distribution: the smaller ``alpha``, the fewer classes a silo holds.

    Two papers, two equations. With p the shares of the classes in all rows, K silos and C classes:

    - ``balanced``: every silo draws its own shares of the classes, ``q_k ~ Dir(alpha * p)``, and then rows by these,
      without replacement (Hsu, Qi and Brown 2019). All silos have as many rows, one more or less. Where a class is used
      up, the silo's others take its place; where all of its are, it draws shares anew, of the classes that are left.
    - otherwise: every class draws its own shares of the silos, ``p_c ~ Dir_K(alpha)``, and its rows are split by these
      (Yurochkin et al. 2019; Li et al. 2022, "Dir(0.5)"). So sizes differ, too. A silo of fewer than ``min_rows`` rows
      is given rows of the largest silo, at random.

    The same alpha is not the same skew: p sums to 1, so with ten equal classes Hsu's alpha = 1 gives each class a
    parameter of 0.1.

    Law: the partition depends on (y, the parameters, seed) alone.

    Parameters
    ----------
    y : array-like (rows,)
        Class labels: texts, booleans or whole numbers. For numbers, give their groups: ``partition_by(y, 10)``.
    silos : int
    alpha : float
        The concentration, above 0. Near 0 a silo holds one class; from about 100 on, all as they are in all rows.
    balanced : bool, default True
        Whether silos shall be of the same size.
    min_rows : int, default 1
        The least that a silo holds. With 0, a silo may get no row at all, and then its name does not occur.
    seed : int, default 0

    Returns
    -------
    ndarray of str (rows,)
        The silo of each row.

    Raises
    ------
    DataError
        If y is not one class a row; it names the row.
    ParameterError
        If a parameter is out of range, or the rows are too few.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat(["cat", "dog", "owl"], 200)
    >>> silos = partition_dirichlet(y, silos=4, alpha=0.5)
    >>> [[int((y[silos == name] == label).sum()) for label in ("cat", "dog", "owl")] for name in sorted(set(silos))]
    [[104, 2, 44], [0, 90, 60], [11, 108, 31], [85, 0, 65]]
    """
    classes, labels = read_classes(y)
    silos, min_rows = enough_rows(len(classes), silos, min_rows)
    alpha = number(alpha, "alpha", above=True)
    if not isinstance(balanced, bool | np.bool_):
        raise ParameterError(f"balanced={balanced!r}: give True or False.")
    rows, rng = np.bincount(classes, minlength=len(labels)), stream(seed, "partition dirichlet")
    counts = _mixed_silos(rows, silos, alpha, rng) if balanced else _split_classes(rows, silos, alpha, rng)
    return ids_of(dealt(classes, _filled_up(counts, min_rows, rng), rng), silos)


def partition_shards(y: ArrayLike, silos: int, shards: int = 2, seed: int = 0) -> SiloIds:
    """Pathological label skew: sort the rows by label, cut them into shards, give each silo some at random.

    McMahan et al. (2016), section 3, for MNIST: 200 shards of 300 rows, two for each of 100 silos, so that most silos
    hold two digits. Rows of one label are shuffled before the cut, so their order in the table plays no part.

    Law: the partition depends on (y, the parameters, seed) alone; sizes of shards differ by a row at the most.

    Parameters
    ----------
    y : array-like (rows,)
        Class labels, or numbers: sorted in either case.
    silos : int
    shards : int, default 2
        Shards a silo.
    seed : int, default 0

    Returns
    -------
    ndarray of str (rows,)
        The silo of each row.

    Raises
    ------
    DataError
        If a label is missing; it names the row.
    ParameterError
        If there are fewer rows than shards.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat(np.arange(10), 6000)  # as many as MNIST's
    >>> silos = partition_shards(y, silos=100)
    >>> [int(n) for n in np.unique(y[silos == "silo 42"], return_counts=True)[1]]
    [300, 300]
    """
    values = read_column(y, "y")
    silos, shards = whole(silos, "silos", 1), whole(shards, "shards", 1)
    n, n_shards = len(values), silos * shards
    if n < n_shards:
        raise ParameterError(f"silos={silos}, shards={shards}: {n} rows cannot be cut into {n_shards} shards.")
    rng = stream(seed, "partition shards")
    order = rng.permutation(n)
    order = order[np.argsort(values[order], kind="stable")]
    owner = rng.permutation(np.arange(n_shards) % silos)
    codes = np.empty(n, np.int64)
    codes[order] = owner[np.arange(n) * n_shards // n]
    return ids_of(codes, silos)


def partition_classes(y: ArrayLike, silos: int, classes: int, seed: int = 0) -> SiloIds:
    """Label skew by number: every silo holds rows of so many classes and of no other.

    Classes are dealt so that each is held by as many silos as any other (one more or less), and the rows of a class
    are split equally among those that hold it (Li et al. 2022, "#C = k"). With one class, silos are of one label each.

    Law: the partition depends on (y, the parameters, seed) alone.

    Parameters
    ----------
    y : array-like (rows,)
        Class labels.
    silos : int
    classes : int
        Classes a silo.
    seed : int, default 0

    Returns
    -------
    ndarray of str (rows,)
        The silo of each row.

    Raises
    ------
    DataError
        If y is not one class a row, or a class has fewer rows than silos that should hold it; it names the class.
    ParameterError
        If a silo shall hold more classes than there are, or all silos together fewer.

    Examples
    --------
    >>> import numpy as np
    >>> y = np.repeat(["cat", "dog", "owl"], 200)
    >>> silos = partition_classes(y, silos=3, classes=2)
    >>> [np.unique(y[silos == name]).tolist() for name in sorted(set(silos))]
    [['cat', 'dog'], ['cat', 'owl'], ['dog', 'owl']]
    """
    codes, labels = read_classes(y)
    silos, _ = enough_rows(len(codes), silos)
    classes = whole(classes, "classes", 1)
    if classes > len(labels):
        raise ParameterError(f"classes={classes}: y has {len(labels)} classes; a silo cannot hold more.")
    if silos * classes < len(labels):
        raise ParameterError(
            f"silos={silos}, classes={classes}: y has {len(labels)} classes, so some would belong to no silo; give "
            f"{-(-len(labels) // classes)} silos or more, or {-(-len(labels) // silos)} classes a silo."
        )
    rows, rng = np.bincount(codes, minlength=len(labels)), stream(seed, "partition classes")
    holds = _dealt_classes(len(labels), silos, classes, rng)
    holders = holds.sum(axis=0)
    if (rows < holders).any():
        worst = int(np.argmax(rows < holders))
        raise DataError(
            f"y: class {labels[worst]!s} has {rows[worst]} rows, for {holders[worst]} silos that should hold some; ask "
            "for fewer silos, or leave the class out."
        )
    counts = holds * (rows // holders)
    for place, extra in enumerate(rows % holders):
        counts[rng.permutation(np.flatnonzero(holds[:, place]))[:extra], place] += 1
    return ids_of(dealt(codes, counts, rng), silos)


def _mixed_silos(rows: NDArray[np.int64], silos: int, alpha: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows by (silo, class) where each silo draws its classes: Hsu, Qi and Brown."""
    mixes = rng.dirichlet(_concentrations(alpha, rows), size=silos)
    sizes = np.full(silos, rows.sum() // silos)
    sizes[: rows.sum() % silos] += 1
    counts, left = np.zeros((silos, len(rows)), np.int64), rows.copy()
    for turn in range(1, _TURNS + 1):
        wanted = sizes * turn // _TURNS - counts.sum(axis=1)
        for silo in rng.permutation(np.flatnonzero(wanted)):
            while wanted[silo]:
                odds = np.where(left > 0, mixes[silo], 0.0)
                if not odds.any():
                    odds[left > 0] = rng.dirichlet(_concentrations(alpha, left[left > 0]))
                    mixes[silo] = odds
                drawn = np.minimum(rng.multinomial(wanted[silo], odds / odds.sum()), left)
                counts[silo] += drawn
                left -= drawn
                wanted[silo] -= drawn.sum()
    return counts


def _concentrations(alpha: float, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    product: NDArray[np.float64] = alpha * (rows / rows.sum())
    return np.maximum(product, 1e-300)  # above 0, which a product of small numbers need not be


def _split_classes(rows: NDArray[np.int64], silos: int, alpha: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rows by (silo, class) where each class draws its silos: Yurochkin et al."""
    shares = rng.dirichlet(np.full(silos, alpha), size=len(rows))
    borders = np.rint(np.cumsum(shares, axis=1) * rows[:, None]).astype(np.int64)
    borders[:, -1] = rows
    return np.diff(borders, axis=1, prepend=0).T


def _filled_up(counts: NDArray[np.int64], min_rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Give silos of too few rows some of the largest silo's, until none has too few."""
    counts, sizes = counts.copy(), counts.sum(axis=1)
    for silo in np.flatnonzero(sizes < min_rows):
        while sizes[silo] < min_rows:
            largest = int(np.argmax(sizes))
            moved = int(min(min_rows - sizes[silo], sizes[largest] - min_rows))
            taken = rng.multivariate_hypergeometric(counts[largest], moved)
            counts[largest] -= taken
            counts[silo] += taken
            sizes[largest] -= moved
            sizes[silo] += moved
    return counts


def _dealt_classes(n_classes: int, silos: int, each: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The classes of silos, 0 or 1 (silos, classes): each silo takes those that the fewest hold so far."""
    holds, holders = np.zeros((silos, n_classes), np.int64), np.zeros(n_classes, np.int64)
    for silo in range(silos):
        # of those that equally many hold, some at random
        taken = np.lexsort((rng.random(n_classes), holders))[:each]
        holds[silo, taken] = 1
        holders[taken] += 1
    return holds
