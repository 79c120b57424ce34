"""Splitting off rows to score on."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.numeric.rng import stream
from fedtrees.errors import ParameterError

__all__ = ["held_out"]


def held_out(silos: ArrayLike, share: float = 0.25, seed: int = 0) -> NDArray[np.bool_]:
    """Mark the same share of every silo's rows as held out; a silo always keeps a row to train on.

    Law: whether a row is held out depends on (seed, its silo's id and number of rows, its place in the silo)
    alone, so adding, removing or reordering other silos moves no row from one side to the other.

    Parameters
    ----------
    silos : array-like of shape (rows,)
        The silo of each row.
    share : float, default 0.25
        In (0, 1). ``round(share * rows)`` rows of a silo are held out, but never all of them.
    seed : int, default 0

    Returns
    -------
    ndarray of bool, shape (rows,)
        True where a row is held out.

    Raises
    ------
    ParameterError
        If ``share`` is not in (0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> silos = np.repeat(["mayo", "ucla", "solo"], [8, 4, 1])
    >>> test = held_out(silos)
    >>> [int(test[silos == name].sum()) for name in ("mayo", "ucla", "solo")]
    [2, 1, 0]
    """
    if not 0 < share < 1:
        raise ParameterError(f"share={share}: give a number above 0 and below 1.")
    ids: NDArray[np.generic] = np.asarray(silos)
    mask = np.zeros(len(ids), dtype=np.bool_)
    names, place = np.unique(ids, return_inverse=True)
    order = np.argsort(place, kind="stable")  # each silo's rows together, in the order they came
    for name, rows in zip(names, np.split(order, np.cumsum(np.bincount(place))[:-1]), strict=True):
        n_held_out = min(math.floor(share * len(rows) + 0.5), len(rows) - 1)
        mask[stream(seed, "held out", silo=str(name)).permutation(rows)[:n_held_out]] = True
    return mask
