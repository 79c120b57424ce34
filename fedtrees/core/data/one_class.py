"""The warning that rows are of one class only, as where a fold lacks the others."""

from __future__ import annotations

from fedtrees.core.data.labels import Label
from fedtrees.core.notices import warn_caller


class OneClassWarning(UserWarning):
    """The rows that a classifier is trained on are of one class only, which it then predicts for every row."""


FOLLOWS = "the model predicts it for every row"


def warn_of_one_class(label: Label, labels: list[Label]) -> None:
    """Warn that all rows that are trained on are of one class.

    Parameters
    ----------
    label : object
    labels : list
        All class labels: rows of the others may be held out, or weigh nothing.
    """
    where = "" if len(labels) == 1 else " among the rows that are trained on and weigh more than 0"
    warn_caller(f"y holds one class only{where}, {label!r}: {FOLLOWS}.", OneClassWarning)
