"""Columns that lose their differences where they are read as float32: how much, and the text of an error."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.arguments import Features, has_method
from fedtrees.core.data.frames import as_pandas, is_frame

MOST_LOST = 0.05  # of a column's spread
HALF_A_STEP, LEAST_NORMAL = 2.0**-24, 2.0**-120  # of float32: rounding by size, and numbers that lose more


@dataclass(frozen=True)
class LostDigits:
    """The loss of one column of one silo by float32.

    Attributes
    ----------
    silo, name : str
    place : int
        Of the column; of targets, counted from the features on.
    error : float
        The root of the mean squared rounding error.
    spread, mean : float
        The standard deviation of the column as it was given, and its mean.
    held : float
        The one number that float32 makes of it; NaN where it makes several.
    row : int
        Where the error is largest.
    """

    silo: str
    name: str
    place: int
    error: float
    spread: float
    mean: float
    held: float
    row: int

    def beyond(self, spread: float) -> bool:
        """Return whether more is lost than a column of this spread may lose."""
        return self.spread > 0 and self.error > MOST_LOST * spread

    def __str__(self) -> str:
        what = "y" if self.name == "y" else f"column {self.name!r}"
        return (
            f"silo {self.silo!r}: {what}: its numbers differ by {self.spread:g} around {self.mean:g}, which float32 is "
            "too coarse for; take their mean away and scale them, as sklearn.preprocessing.StandardScaler does."
        )


def lost_digits(
    X: Features, values: NDArray[np.float32], names: Sequence[str], silo: str, first: int = 0
) -> list[LostDigits]:
    """The losses of those columns of a table that lose anything that counts.

    Parameters
    ----------
    X : DataFrame, sparse matrix or array-like (rows, columns)
        As it was given.
    values : float32 (rows, columns)
        As it was read.
    names : sequence of str
    silo : str
    first : int, default 0
        The place of the first column.
    """
    if not values.size or (isinstance(X, np.ndarray) and X.dtype == np.float32):
        return []
    found: list[LostDigits] = []
    doubtful = _doubtful(values)
    if not doubtful:
        return found
    column_of = _columns(X)
    for place in doubtful:
        column = np.asarray(column_of(place))
        if column.dtype.kind not in "iuf":
            continue
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused elsewhere, or missing
            there = column[np.isfinite(column)]
            lost = np.abs((there - there.astype(np.float32)).astype(np.float64))
            scale = float(lost.max(initial=0))
            if not scale or not math.isfinite(scale):
                continue
            spread = float((there - there[:1]).std(dtype=np.float64))
        error = scale * math.sqrt(np.mean((lost / scale) ** 2))  # whose square might be too small for float64
        kept = values[:, place]
        held = float(kept[0]) if (kept == kept[0]).all() else math.nan
        row = int(np.flatnonzero(np.isfinite(column))[int(np.argmax(lost))])
        found.append(LostDigits(silo, names[place], first + place, error, spread, float(there.mean()), held, row))
    return [loss for loss in found if math.isfinite(loss.spread) and math.isfinite(loss.error)]


def _doubtful(values: NDArray[np.float32]) -> list[int]:
    """The columns whose numbers are so close together, or so small, that float32 may be too coarse for them."""
    with np.errstate(invalid="ignore"):  # of signalling NaNs
        low, high = (extreme.reduce(values, axis=0).astype(np.float64) for extreme in (np.minimum, np.maximum))
        for place in np.flatnonzero(np.isnan(low)):  # which takes longer
            low[place], high[place] = np.fmin.reduce(values[:, place]), np.fmax.reduce(values[:, place])
        size = np.maximum(abs(low), abs(high))
        # one row may be far from all others, and a spread is no smaller than what that makes it
        sure = (high - low) * MOST_LOST > HALF_A_STEP * size * math.sqrt(2 * len(values))
    doubtful: list[int] = np.flatnonzero(~sure | (size < LEAST_NORMAL)).tolist()
    return doubtful


def _columns(X: Features) -> Callable[[int], ArrayLike]:
    """A function that returns a column of a table as it was given."""
    if is_frame(X):
        frame = as_pandas(X, "")
        return lambda place: frame.iloc[:, place]
    if has_method(X, "tocsc"):
        sparse = X.tocsc()
        return lambda place: sparse[:, [place]].toarray().ravel()
    table = np.asarray(X)
    return lambda place: table[:, place]
