"""Rows of one class only, as where a fold lacks the others: the sums that losses take then, and the warning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.labels import ClassLabels, Label
from fedtrees.core.data.one_class import FOLLOWS, OneClassWarning, warn_of_one_class
from fedtrees.core.notices import warn_caller
from fedtrees.trees.losses import BY_COLUMN, Loss, RowStatistics

MOST_NAMED = 5  # columns of labels


def with_second_class(sums: NDArray[np.float64], loss: RowStatistics) -> NDArray[np.float64]:
    """Return classes' weights as a loss of two takes them: of one class only, the second's is 0."""
    return np.append(sums, 0.0) if isinstance(loss, Loss) and len(sums) == 1 else sums


def warn_if_constant(sums: NDArray[np.float64], labels: ClassLabels | None, loss: RowStatistics) -> None:
    """Warn where the rows that count are of one class only, or those of a column of labels.

    Parameters
    ----------
    sums : float64 (any,)
        The sums that `queries.counts.LabelSums` reads.
    labels : list, optional
        The class labels; None where y is numbers, or columns of labels.
    loss : RowStatistics
    """
    if labels is None:
        if isinstance(loss, tuple(BY_COLUMN.values())):
            _warn_of_columns(sums)
    elif np.count_nonzero(sums) == 1:
        warn_of_one_class(labels[int(np.argmax(sums))], labels)


def warn_of_constant_columns(sums: NDArray[np.float64], labels: Sequence[Sequence[Label]]) -> None:
    """Warn where the rows that count are of one class only in some of several columns of classes.

    Parameters
    ----------
    sums : float64 (columns, classes)
        The weight of each class's rows.
    labels : sequence of sequence
        The labels of each column.
    """
    there = [
        (int(np.count_nonzero(mass)), known[int(np.argmax(mass))]) for mass, known in zip(sums, labels, strict=False)
    ]
    _warn_of({column: label for column, (n, label) in enumerate(there) if n == 1})


def _warn_of_columns(sums: NDArray[np.float64]) -> None:
    """Warn of columns of labels whose sum is 0 or that of all weights."""
    constant = np.flatnonzero((sums[1:] == 0) | (sums[1:] == sums[0]))
    _warn_of({column: int(sums[1 + column] > 0) for column in constant.tolist()})


def _warn_of(constant: dict[int, Label]) -> None:
    """Warn of columns by their only labels."""
    if constant:
        each = [f"{label!r} in column {column}" for column, label in list(constant.items())[:MOST_NAMED]]
        more = "" if len(constant) <= MOST_NAMED else f" and {len(constant) - MOST_NAMED} more"
        warn_caller(f"y holds one class only, {', '.join(each)}{more}: {FOLLOWS}.", OneClassWarning)
