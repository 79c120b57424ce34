"""Input of networks: dense tables that float32 can hold, and the classes that a training goes on with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.multiclass import unique_labels

from fedtrees.core.arguments import Features, has_method
from fedtrees.core.data.labels import ClassLabels
from fedtrees.core.data.lost_digits import lost_digits
from fedtrees.core.data.target import plain_array
from fedtrees.errors import DataError, ParameterError

FEWEST = 8


def dense(given: Features) -> Features:
    """A table, or an evaluation set with its table, that is not sparse: absent entries are 0, as in scikit-learn."""
    if isinstance(given, tuple | list) and len(given) and has_method(given[0], "tocsr"):
        return (given[0].toarray(), *given[1:])
    return given.toarray() if has_method(given, "tocsr") else given


def refuse_lost(X: Features, values: NDArray[np.float32], names: Sequence[str], silos: ArrayLike | None) -> None:
    """Refuse a table with columns whose values float32, which all tables are read as, does not tell apart.

    Raises
    ------
    DataError
        Naming the first, and the silo of the row that loses the most.
    """
    if len(values) < FEWEST:
        return  # rows that might be alike by chance
    for lost in lost_digits(X, values, names, "all"):
        if lost.beyond(lost.spread):
            silo = lost.silo if silos is None else str(plain_array(silos, "silos")[lost.row])
            raise DataError(str(replace(lost, silo=silo)))


def known_classes(given: ArrayLike, known: ClassLabels | None) -> ClassLabels:
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


def within(labels: ClassLabels, known: ClassLabels) -> ClassLabels:
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
