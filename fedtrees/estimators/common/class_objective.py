"""The objective of class labels where none is asked for."""

from __future__ import annotations

from collections.abc import Sequence

from fedtrees.queries.metrics import metric_named

TWO, MORE = "binary:logistic", "multi:softprob"


def objective_of_classes(n: int, metrics: Sequence[str]) -> str:
    """The objective of so many classes.

    Of one only, where a fold lacks the others, it is that which the metrics are of.

    Examples
    --------
    >>> objective_of_classes(2, ["logloss"]), objective_of_classes(1, ["merror"])
    ('binary:logistic', 'multi:softprob')
    """
    if n == 1 and metrics and all(metric_named(name, MORE).fits(MORE) for name in metrics):
        return TWO if all(metric_named(name, TWO).fits(TWO) for name in metrics) else MORE
    return TWO if n <= 2 else MORE
