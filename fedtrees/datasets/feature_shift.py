"""Feature shift: the same rows as if every silo had measured them with instruments of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.arguments import Features, by_name
from fedtrees.core.data.features import read_features
from fedtrees.core.data.frames import as_pandas, is_frame
from fedtrees.core.data.rounding import as_float32
from fedtrees.core.data.table import Schema
from fedtrees.core.numeric.rng import stream
from fedtrees.datasets.dealing import codes_of, number, read_column
from fedtrees.errors import ParameterError

__all__ = ["shift_features"]


@by_name
def shift_features(
    X: Features,
    *,
    silos: ArrayLike,
    rotation: float = 0.0,
    scale: float = 0.0,
    offset: float = 0.0,
    noise: float = 0.0,
    seed: int = 0,
) -> Features:
    """Return OTHER values than X's: each silo's features turned, stretched, moved and blurred by a key of its own.

    Every silo gets one map, for all of its rows. It works on features in units of their standard deviation over all
    rows, z, and what is left at 0 is not done:

    1. ``z = R z``: features are paired at random, and each pair is turned by an angle uniform in ``+-rotation``;
    2. ``z = exp(scale * g) z + offset * h``, with g and h standard normal, one of each a feature;
    3. ``z = z + e``, with e normal of variance ``noise ** 2 * i / N`` in the i-th of N silos by name, drawn for every
       cell (Li et al. 2022, "noise-based feature imbalance").

    Labels stay as they are, so features and labels relate otherwise in each silo. Missing values stay missing, and
    neither categories nor features of one value change; a row that lacks one feature of a pair is not turned there.

    Law: a silo's map depends on (seed, the silo's id) alone, save for the units, and the i and N of its noise.

    Parameters
    ----------
    X : DataFrame or array-like (rows, features)
    silos : array-like (rows,)
        The silo of each row.
    rotation : float, default 0.0
        Degrees, 0 or above.
    scale : float, default 0.0
        0.1 stretches most features by up to a tenth, or shrinks them.
    offset : float, default 0.0
        Standard deviations.
    noise : float, default 0.0
        Standard deviations, in the last silo.
    seed : int, default 0

    Returns
    -------
    DataFrame or ndarray (rows, features)
        A DataFrame for a table with columns, else an array; numbers are float32. X itself is left alone.

    Raises
    ------
    DataError
        If a column holds no numbers, or infinite ones; it names the column, the row and the silo.
    ParameterError
        If a parameter is negative or not finite, or so large that values leave float32.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.arange(8.0).reshape(8, 1)
    >>> shift_features(X, silos=["a", "b"] * 4, offset=1.0).ravel().round(1)
    array([-0.9, -2. ,  1.1, -0. ,  3.1,  2. ,  5.1,  4. ], dtype=float32)
    """
    sizes = _Sizes(
        number(rotation, "rotation"), number(scale, "scale"), number(offset, "offset"), number(noise, "noise"), seed
    )
    ids = read_column(silos, "silos")
    frame = as_pandas(X, "") if is_frame(X) else None
    given, schema = read_features(X if frame is None else frame, silos=ids)
    values, columns = given.copy(), _varying(given, schema)
    mean, spread = _moments(given[:, columns])
    codes, names = codes_of(ids)
    parts = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
    for place, (name, rows) in enumerate(zip(names, parts, strict=True)):
        cells = np.ix_(rows, columns)
        x = given[cells].astype(np.float64)
        z = (x - mean) / spread
        with np.errstate(over="ignore"):  # what is too large is refused below
            moved = sizes.moved(z, str(name), (place + 1) / len(names))
            values[cells] = as_float32(x + spread * (moved - z))  # as a difference: what is not moved stays, to the bit
    _refuse_too_large(values, schema, sizes)
    if frame is None:
        return values
    shifted: pd.DataFrame = frame.copy()
    for at, column in enumerate(frame.columns):
        if schema.kinds[at] == "number":
            shifted[column] = values[:, at]
    return shifted


@dataclass(frozen=True)
class _Sizes:
    """Sizes of the shifts of features."""

    rotation: float
    scale: float
    offset: float
    noise: float
    seed: int

    def moved(self, z: NDArray[np.float64], silo: str, share: float) -> NDArray[np.float64]:
        """The features of a silo, in standard deviations, as it measures them; ``share`` is the i / N of its noise."""
        rows, features = z.shape
        z = z.copy()
        if self.rotation:
            rng = stream(self.seed, "feature rotation", silo=silo)
            pairs = rng.permutation(features)[: features // 2 * 2].reshape(2, -1)
            angle = np.deg2rad(rng.uniform(-self.rotation, self.rotation, features // 2))
            a, b = z[:, pairs[0]], z[:, pairs[1]]
            both = ~(np.isnan(a) | np.isnan(b))
            z[:, pairs[0]] = np.where(both, np.cos(angle) * a - np.sin(angle) * b, a)
            z[:, pairs[1]] = np.where(both, np.sin(angle) * a + np.cos(angle) * b, b)
        # a stream each: how far one thing goes changes no draw of another
        if self.scale:
            z *= np.exp(self.scale * stream(self.seed, "feature scale", silo=silo).standard_normal(features))
        if self.offset:
            z += self.offset * stream(self.seed, "feature offset", silo=silo).standard_normal(features)
        if self.noise:
            blur = stream(self.seed, "feature noise", silo=silo).standard_normal((rows, features))
            z += self.noise * np.sqrt(share) * blur
        return z


def _varying(values: NDArray[np.float32], schema: Schema) -> NDArray[np.int64]:
    """The features that are numbers, and not always the same one."""
    with np.errstate(invalid="ignore"):
        least, largest = np.fmin.reduce(values, axis=0), np.fmax.reduce(values, axis=0)
        varies = least < largest
    return np.flatnonzero(varies & (np.array(schema.kinds) == "number"))


def _moments(values: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each feature, over the rows that have it."""
    exact = values.astype(np.float64)
    n = np.count_nonzero(~np.isnan(exact), axis=0)
    mean = np.nansum(exact, axis=0) / n
    return mean, np.sqrt(np.nansum((exact - mean) ** 2, axis=0) / n)


def _refuse_too_large(values: NDArray[np.float32], schema: Schema, sizes: _Sizes) -> None:
    infinite = np.isinf(values)
    if infinite.any():
        column = schema.names[int(np.argwhere(infinite)[0][1])]
        raise ParameterError(
            f"scale={sizes.scale:g}, offset={sizes.offset:g}, noise={sizes.noise:g}: column {column!r} would leave "
            "float32; give smaller ones."
        )
