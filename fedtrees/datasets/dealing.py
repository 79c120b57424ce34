"""Dealing rows to silos: names of the silos, numbers of rows, and the rows themselves."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.data.target import plain_array
from fedtrees.core.numeric.number_checks import is_number, is_whole
from fedtrees.errors import DataError, ParameterError

Codes = NDArray[np.int64]  # of each row, the place of its silo or of its class
SiloIds = NDArray[np.str_]


def silo_names(silos: int) -> list[str]:
    """Names that sort in the order of their numbers.

    Examples
    --------
    >>> silo_names(11)[-2:]
    ['silo 09', 'silo 10']
    """
    digits = len(str(silos - 1))
    return [f"silo {k:0{digits}d}" for k in range(silos)]


def ids_of(codes: Codes, silos: int) -> SiloIds:
    """The silo id of each row, from the place of its silo."""
    return np.array(silo_names(silos))[codes]


def whole(value: object, what: str, least: int) -> int:
    """Read a whole number.

    Raises
    ------
    ParameterError
        If it is none, or below ``least``.
    """
    if not is_whole(value, least):
        raise ParameterError(f"{what}={value!r}: give a whole number, {least} or above.")
    return int(value)


def number(value: object, what: str, least: float = 0.0, above: bool = False) -> float:
    """Read a finite number.

    Raises
    ------
    ParameterError
        If it is none, below ``least``, or just that where it has to lie ``above``.
    """
    if is_number(value, least) and (value > least or not above):
        return float(value)
    wanted = f"above {least:g}" if above else f"from {least:g} on"
    raise ParameterError(f"{what}={value!r}: give a finite number {wanted}.")


def enough_rows(n_rows: int, silos: object, min_rows: object = 1) -> tuple[int, int]:
    """Read a number of silos, and how many rows each must have at least.

    Raises
    ------
    ParameterError
        If they are no whole numbers, or ask for more rows than there are.
    """
    silos, min_rows = whole(silos, "silos", 1), whole(min_rows, "min_rows", 0)
    if silos * min_rows > n_rows:
        raise ParameterError(
            f"silos={silos}: {n_rows} rows are too few for silos of {min_rows} or more; ask for "
            f"{max(n_rows // min_rows, 1)} silos or fewer."
        )
    return silos, min_rows


def apportioned(total: int, weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Whole numbers in proportion to weights: int64 of the sum ``total``, by the largest remainder.

    Of equal remainders, the first gets the row.

    Examples
    --------
    >>> apportioned(10, np.array([1.0, 1.0, 2.0]))
    array([3, 2, 5])
    """
    quota = total * (weights / weights.sum())
    counts: NDArray[np.int64] = np.floor(quota).astype(np.int64)
    left = total - int(counts.sum())
    counts[np.argsort(counts - quota, kind="stable")[:left]] += 1
    return counts


def dealt(classes: Codes, counts: NDArray[np.int64], rng: np.random.Generator) -> Codes:
    """Deal the rows of each class, shuffled, to silos that get so many of them.

    Parameters
    ----------
    classes : int64 (rows,)
    counts : int64 (silos, classes)
        A column sums to the rows of its class.
    rng : Generator

    Returns
    -------
    int64 (rows,)
        The place of each row's silo.
    """
    codes = np.empty(len(classes), np.int64)
    order = np.argsort(classes, kind="stable")
    silos = np.arange(len(counts))
    for rows, counts_of_class in zip(np.split(order, np.cumsum(counts.sum(axis=0))[:-1]), counts.T, strict=True):
        codes[rows] = rng.permutation(np.repeat(silos, counts_of_class))
    return codes


def read_classes(y: ArrayLike) -> tuple[Codes, NDArray[np.generic]]:
    """Read class labels: the place of each row's label, and the labels, sorted.

    Raises
    ------
    DataError
        If y is not one label a row, or labels are missing, fractions, or of mixed kinds; it names the row.
    """
    labels = read_column(y, "y")
    if has_fractions(labels):
        row = int(np.argmax(labels != np.floor(labels)))
        raise DataError(
            f"y, row {row}: {labels[row]} is a fraction, not a class; give classes, such as groups of quantiles: "
            "partition_by(y, 10)."
        )
    return codes_of(labels)


def has_fractions(column: NDArray[np.generic]) -> bool:
    """Return whether a column holds numbers that are not whole, and so no classes."""
    return column.dtype.kind == "f" and bool((column != np.floor(column)).any())


def codes_of(column: NDArray[np.generic]) -> tuple[Codes, NDArray[np.generic]]:
    """Return the place of each row's value among the different ones, which are sorted, and these."""
    codes, found = pd.factorize(column, sort=True)  # by hashing, faster than sorting all rows
    return codes.astype(np.int64), np.asarray(found)


def read_column(values: ArrayLike, what: str) -> NDArray[np.generic]:
    """Read a column: finite numbers, booleans or texts, one a row, none missing.

    Raises
    ------
    DataError
        Naming the row.
    """
    column = plain_array(values, what)
    if column.ndim != 1 or not len(column):
        raise DataError(f"{what} has the shape {column.shape}; give one value a row, and a row at least.")
    missing = np.asarray(pd.isna(column))
    if missing.any():
        raise DataError(f"{what}, row {int(np.argmax(missing))}: no value; name what is missing, or leave the row out.")
    if column.dtype.kind == "O":
        text = np.array([isinstance(value, str) for value in column], bool)
        if not text.all() and text.any():
            row = int(np.argmax(text != text[0]))
            raise DataError(f"{what}, row {row}: {column[row]!r} beside {column[0]!r}; make all texts, or all numbers.")
        column = column.astype(str) if text.all() else np.array(column.tolist())
    if column.dtype.kind not in "biufU":
        raise DataError(f"{what} holds {column.dtype}; make it texts, numbers or booleans.")
    if column.dtype.kind == "f" and np.isinf(column).any():
        raise DataError(f"{what}, row {int(np.argmax(np.isinf(column)))}: infinity; give finite numbers.")
    return column
