"""Ids of silos, one a row: the silo of each row, and the silos' names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.arguments import has_method
from fedtrees.core.data.labels import MixedLabels, label_array
from fedtrees.core.data.target import plain_array
from fedtrees.core.data.texts import odd_text
from fedtrees.errors import DataError


def read_silos(silos: ArrayLike) -> NDArray[np.generic]:
    """Read silo ids, one a row, as something that sorts.

    Law: ids that are equal are one silo, and those that are not are two; or they are refused.

    Parameters
    ----------
    silos : array-like (rows,)

    Raises
    ------
    DataError

    Examples
    --------
    >>> read_silos(np.array([10, 9], object)), read_silos(["ucla", "mayo"])
    (array([10,  9]), array(['ucla', 'mayo'], dtype='<U4'))
    """
    ids, there = read_some_silos(silos)
    if not there.all():
        raise DataError(f"silos is missing (NaN or None) in row {int(np.argmin(there))}; every row needs a silo.")
    return ids


def read_some_silos(silos: ArrayLike) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Read silo ids, some of which may be missing: the present ones, and whether each row has one, bool (rows,)."""
    import pandas as pd

    ids = _as_given(silos)
    there = ~np.asarray(pd.isna(ids))
    return _sorting(ids if there.all() else ids[there]), there


def _as_given(silos: ArrayLike) -> NDArray[np.generic]:
    """Ids as an array of one dimension."""
    if isinstance(silos, str | bytes):
        raise DataError(f"silos={silos!r}: give one id a row, such as those of a column, X[{silos!r}].")
    if hasattr(silos, "columns") and len(getattr(silos, "shape", ())) == 2:
        columns = list(getattr(silos, "columns", ()))
        raise DataError(f"silos is a table of the columns {columns}; give one id a row, such as those of one column.")
    first = silos[0] if isinstance(silos, list | tuple) and silos else silos
    if has_method(first, "answer"):
        raise DataError("silos takes one id a row; a list of Silo goes into fit_federation(LocalFederation(silos)).")
    if isinstance(first, tuple):
        raise _of_tuples(first)
    ids = plain_array(silos, "silos")
    if ids.ndim != 1:
        raise DataError(f"silos has the shape {ids.shape}; give one id a row.")
    return ids


def _of_tuples(first: Iterable[object]) -> DataError:
    return DataError(
        f"silos holds {first!r}, which is no single id; join the parts into one text, such as "
        f"{'/'.join(map(str, first))!r}."
    )


def _sorting(ids: NDArray[np.generic]) -> NDArray[np.generic]:
    """Ids that are all there, in the type that they sort by."""
    if ids.dtype.kind == "f":  # by its width a float is written; minus 0 is 0
        return ids.astype(np.float64 if ids.dtype.itemsize > 8 else ids.dtype) + np.zeros(1, ids.dtype)
    if ids.dtype.kind in "biu":
        return label_array(ids)
    if ids.dtype.kind == "S":
        raise DataError("silos holds bytes; decode them, such as by np.char.decode(silos).")
    if ids.dtype.kind == "O":
        ids = _of_objects(ids)
    if ids.dtype.kind == "U":
        _refuse_odd(ids)
    return ids


def _of_objects(ids: NDArray[np.generic]) -> NDArray[np.generic]:
    """Objects of one type as an array of that, of several as texts."""
    import pandas as pd

    kinds = {type(each) for each in ids}
    odd = next((kind for kind in kinds if issubclass(kind, tuple | list | set | dict | bytes | np.ndarray)), None)
    if odd is not None:
        first = next(each for each in ids if type(each) is odd)
        if issubclass(odd, tuple | list):
            raise _of_tuples(first)
        raise DataError(f"silos holds {first!r}, of the type {odd.__name__}; give texts or whole numbers, one a row.")
    if kinds <= {str, np.str_}:
        _refuse_odd(ids)  # NUL at the end is lost in an array of texts
        return ids.astype(str)
    if all(issubclass(kind, bool | np.bool_) for kind in kinds) or all(
        issubclass(kind, int | np.integer) and kind is not bool for kind in kinds
    ):
        try:
            return label_array(ids)
        except MixedLabels:
            pass
    texts = ids.astype(str)
    by_value, by_text = pd.factorize(ids)[0], pd.factorize(texts)[0]
    pairs = len(pd.unique(by_value * (by_text.max(initial=0) + 1) + by_text))
    if pairs > by_text.max(initial=-1) + 1:
        raise DataError("silos holds ids that differ and read the same, such as 1 and '1'; make them all texts.")
    if pairs > by_value.max(initial=-1) + 1:
        raise DataError(
            "silos holds ids that are equal and read differently, such as 1, 1.0 and True; make them of one type."
        )
    return texts


def _refuse_odd(ids: NDArray[np.generic]) -> None:
    """Refuse texts that do not come through as they are."""
    import pandas as pd

    for each in pd.unique(ids.astype(object)):
        odd = odd_text(str(each))
        if odd is not None:
            row = ids.tolist().index(each)
            raise DataError(f"silos holds {str(each)!r} in row {row}, which has {odd} in it; rename that silo.")


def codes_of_ids(ids: NDArray[np.generic]) -> tuple[NDArray[np.int64], list[str]]:
    """Each row's place among the silos, int64 (rows,), and the silos' names, in the order of their ids."""
    import pandas as pd

    codes, found = pd.factorize(ids, sort=True)  # by hashing: ten times as fast as sorting names
    return codes.astype(np.int64, copy=False), [str(name) for name in found]


def places_of_ids(ids: NDArray[np.generic], names: Sequence[str]) -> NDArray[np.int64]:
    """Each row's place among silos of these names, int64 (rows,); -1 of others.

    Whole numbers are found as floats, too, and the other way round: pandas makes floats of them where some are missing.

    Examples
    --------
    >>> places_of_ids(np.array([2.0, 1.0, 3.0]), ["1", "2"])
    array([ 1,  0, -1])
    """
    import pandas as pd

    codes, found = pd.factorize(ids)
    known = {name: place for place, name in enumerate(names)}
    places = [_place(each, known) for each in found]
    each: NDArray[np.int64] = np.array(places, np.int64)[codes]
    return each


def _place(silo: object, known: dict[str, int]) -> int:
    place = known.get(str(silo))
    if place is None and isinstance(silo, float | np.floating) and float(silo).is_integer():
        place = known.get(str(int(silo)))
    if place is None and isinstance(silo, int | np.integer) and not isinstance(silo, bool):
        place = known.get(str(float(silo)))
    return -1 if place is None else place
