"""What a network is given: dense tables that float32 can hold, and the classes that it goes on with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.multiclass import unique_labels

from fedtrees.core.frames import as_pandas, is_frame
from fedtrees.core.target import plain_array
from fedtrees.errors import DataError, ParameterError

MOST_LOST = 0.05  # of a column's spread, by reading it as float32
FEWEST = 8


def dense(own: Any) -> Any:
    """A table, or the table of an evaluation set, that is not sparse: what was not held is 0, as in scikit-learn."""
    if isinstance(own, tuple | list) and len(own) and hasattr(own[0], "tocsr"):
        return (own[0].toarray(), *own[1:])
    return own.toarray() if hasattr(own, "tocsr") else own


def refuse_lost(X: Any, names: Sequence[str]) -> None:
    """Refuse columns whose values float32, which all tables are read as, does not tell apart.

    Raises
    ------
    DataError
        Naming the first.
    """
    for name, column in zip(names, _columns(X), strict=False):
        if column.dtype.kind not in "iuf" or len(column) < FEWEST:
            continue  # nothing to lose, or rows that might be alike by chance
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused elsewhere
            lost = (column - column.astype(np.float32)).astype(np.float64)
            spread = float((column - column[0]).std(dtype=np.float64)) if lost.any() else 0.0
        if 0 < spread < math.inf:
            scale = np.abs(lost).max()  # whose square might be too small for float64
            if scale * math.sqrt(np.mean((lost / scale) ** 2)) > MOST_LOST * spread:
                raise DataError(
                    f"{name}: its numbers differ by {spread:g} around {column.mean():g}, which float32 is too coarse "
                    "for; take their mean away and scale them, as sklearn.preprocessing.StandardScaler does."
                )


def _columns(X: Any) -> Iterator[NDArray[Any]]:
    if is_frame(X):
        frame = as_pandas(X, "")
        return (np.asarray(frame.iloc[:, place]) for place in range(frame.shape[1]))
    return iter(np.asarray(X).T)


def known_classes(given: ArrayLike, known: list[Any] | None) -> list[Any]:
    """The classes of a call, sorted; those of the first one, if there was one.

    Raises
    ------
    ParameterError
        If they are no classes, or others than those of the first call.
    """
    array = plain_array(given, "classes")
    if array.ndim != 1 or (array.dtype.kind == "f" and not np.isfinite(array).all()):
        raise ParameterError(f"classes={given!r}: give a list of labels, none of which is missing.")
    try:
        classes = unique_labels(array).tolist()
    except (ValueError, TypeError) as error:
        raise ParameterError(f"classes={given!r}: {error}") from error
    if known is not None and classes != known:
        raise ParameterError(f"classes={given!r}: they are not those of the earlier calls, {known}; fit anew.")
    if not classes:
        raise ParameterError(f"classes={given!r}: name at least one class.")
    return classes if known is None else known


def within(labels: list[Any], known: list[Any]) -> list[Any]:
    """The known labels, where those that are there are among them.

    Raises
    ------
    DataError
        Naming the first that is not.
    """
    unknown = [label for label in labels if label not in known]
    if unknown:
        raise DataError(f"y: label {unknown[0]!r} was not among the classes of the first call, {known}.")
    return known
