"""Names of rows wherever they lie: given ids as 64 bits, or a row's place in its silo."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext
from hashlib import blake2b
from math import factorial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.data.target import plain_array
from fedtrees.core.numeric.number_checks import is_whole
from fedtrees.errors import DataError

RowIds = NDArray[np.uint64]

MOST_DRAWS = 4.0  # of a row by a tree, in the mean


def read_row_ids(row_id: ArrayLike | None, n_rows: int, where: str = "", what: str = "row_id") -> RowIds | None:
    """Read row ids, whole numbers or texts, as 64 bits each; None stays None.

    Parameters
    ----------
    row_id : array-like (rows,), optional
        Rows of the same id are drawn together, or not at all.
    n_rows : int
    where, what : str
        Named in errors.

    Returns
    -------
    uint64 (rows,)
        Of a text, a hash.

    Raises
    ------
    DataError
        If they are of another length, or neither whole numbers nor texts.

    Examples
    --------
    >>> read_row_ids([7, -1], 2)
    array([                   7, 18446744073709551615], dtype=uint64)
    """
    if row_id is None:
        return None
    given = plain_array(row_id, f"{where}{what}")
    if given.shape != (n_rows,):
        raise DataError(f"{where}{what} has the shape {given.shape} and X has {n_rows} rows.")
    if given.dtype.kind == "O" and all(isinstance(value, str) for value in given):
        _refuse_nul(np.array(["\0" in value for value in given], bool), where, what)
        given = given.astype(str)
    elif given.dtype.kind == "O" and all(is_whole(value, -(2**63), 2**63 - 1) for value in given):
        given = given.astype(np.int64)
    if given.dtype.kind == "f" and (np.abs(given) <= np.float64(2**53)).all() and (given == np.floor(given)).all():
        given = given.astype(np.int64)  # as files and pandas often have whole numbers
    if given.dtype.kind == "U":
        codes = _codes(given)
        _refuse_nul(((codes[:, :-1] == 0) & (codes[:, 1:] > 0)).any(axis=1), where, what)
    if given.dtype.kind == "U" or not n_rows:
        return _hash_texts(given.astype(str))
    if given.dtype.kind not in "iu":
        raise DataError(f"{where}{what} holds {given.dtype}; give whole numbers or texts, one a row.")
    return given.astype(np.int64).view(np.uint64)  # the bits of one from 2**63 on, too


def placed_row_ids(names: Sequence[str], starts: NDArray[np.int64]) -> RowIds:
    """The ids of rows without any, uint64 (rows,): of each, its silo's name and its place there."""
    rows = np.diff(starts)
    digests = (blake2b(name.encode(), digest_size=8, person=b"fedtrees").digest() for name in names)
    silos = np.array([int.from_bytes(digest, "little") for digest in digests], np.uint64)
    places = np.arange(starts[-1]) - np.repeat(starts[:-1], rows)
    ids: RowIds = mixed(np.repeat(silos, rows) + places.astype(np.uint64))
    return ids


def drawn(ids: RowIds, keys: NDArray[np.uint64], share: float) -> NDArray[np.bool_]:
    """Draw rows, bool (rows,): each with a chance of ``share``, by its id and the draw's keys alone."""
    chance = mixed(mixed(ids ^ keys[0]) + keys[1]) >> np.uint64(11)
    return chance < np.uint64(share * 2.0**53)


def poisson_shares(mean: float = 1.0, most: int = 8) -> NDArray[np.uint64]:
    """The chances that a Poisson variable is at least 1, 2 and so on up to ``most``, in units of ``2**-53``.

    Law: the same numbers on every machine, as they are decimals that are rounded once.

    Examples
    --------
    >>> (poisson_shares()[:3] / 2**53).round(4).tolist()
    [0.6321, 0.2642, 0.0803]
    >>> (poisson_shares(0.5)[:3] / 2**53).round(4).tolist()
    [0.3935, 0.0902, 0.0144]
    """
    with localcontext(prec=40):
        chances = [(-Decimal(mean)).exp() * Decimal(mean) ** n / factorial(n) for n in range(most)]
        return np.array([int((1 - sum(chances[:n])) * 2**53) for n in range(1, most + 1)], np.uint64)


def mixed(words: RowIds) -> RowIds:
    """Mix the bits of 64-bit words, one to one; the last step of Steele, Lea and Flood's SplitMix64 (2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def _codes(texts: NDArray[np.generic]) -> NDArray[np.uint32]:
    """The characters of texts, uint32 (texts, characters), filled up with zeros."""
    native = np.ascontiguousarray(texts.astype(texts.dtype.newbyteorder("=")))
    return native.view(np.uint32).reshape(len(texts), -1 if len(texts) and texts.dtype.itemsize else 0)


def _refuse_nul(wrong: NDArray[np.bool_], where: str, what: str) -> None:
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"{where}{what} has a NUL character in row {row}, which does not come through; rename it.")


def _hash_texts(texts: NDArray[np.generic]) -> RowIds:
    if not len(texts):
        return np.zeros(0, np.uint64)
    codes = _codes(texts)
    ids = np.full(len(texts), 0x9E3779B97F4A7C15, np.uint64)
    for column in codes.T:  # a text is filled up with zeros, which are passed over
        ids = np.where(column > 0, mixed(ids + column), ids)
    return ids
