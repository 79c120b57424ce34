"""Losses that are functions of the user's. A function does not travel: its registered name does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from fedtrees.errors import ParameterError
from fedtrees.trees.losses.base import Doubles, Floats, Loss, Ranges

Function = Callable[..., tuple[ArrayLike, ArrayLike]]  # of labels, margins and, if it takes them, weights

_KNOWN: dict[tuple[str, bool], type[CustomLoss]] = {}


@dataclass(frozen=True)
class CustomLoss(Loss):
    """A loss whose gradients and hessians a function computes; see `register_objective`."""

    function: ClassVar[Function]

    def outputs(self, n_labels: int, targets: int = 1) -> int:
        """See `Loss`."""
        return n_labels if n_labels > 2 else targets

    def intercept(self, sums: Doubles) -> Doubles:
        """See `Loss`; XGBoost estimates nothing for a function, either."""
        outputs = self.outputs(len(sums)) if self.classification else len(sums) - 1
        return np.full(outputs, 0.0 if self.classification and outputs == 1 else 0.5)

    def exported_as(self, outputs: int) -> str:
        """See `Loss`."""
        return ("multi:softprob" if outputs > 1 else "binary:logistic") if self.classification else "reg:squarederror"

    def statistics(self, margin: Floats, y: Floats, weight: Floats, ranges: Ranges, g: Doubles, h: Doubles) -> None:
        """See `Loss`."""
        rows = np.concatenate([np.arange(start, stop) for start, stop in ranges] or [np.zeros(0, np.int64)])
        given = margin[0, rows] if len(margin) == 1 else np.ascontiguousarray(margin[:, rows].T)
        weights = {} if len(weight) == 1 else {"sample_weight": weight[rows]}
        parts = type(self).function(y[rows], given, **weights)
        for name, part, out in zip(("gradient", "hessian"), parts, (g, h), strict=True):
            values = np.asarray(part, np.float64)
            if values.size != given.size:
                raise ParameterError(f"objective: {self.name} gave {values.size} {name}s for {given.size} margins.")
            wrong = not np.isfinite(values).all() or (name == "hessian" and (values < 0).any())
            if wrong:
                raise ParameterError(f"objective: {self.name} gave a {name} that is not finite, or a hessian below 0.")
            out[:, rows] = values.reshape(given.shape).T


def register_objective(function: Function, name: str | None = None, classification: bool = False) -> str:
    """Register a function as an objective in this process.

    A federation's other processes train for it when they have registered theirs under the same name, and refuse
    otherwise. It is called with some rows at a time and has to treat each row by itself, or partitions would matter.

    Parameters
    ----------
    function : callable
        As XGBoost has it: ``function(y_true, y_pred)`` returns gradients and hessians, which are at least 0;
        ``y_pred`` are margins, (rows,) or (rows, classes). Where rows have weights it also gets ``sample_weight``, and
        has to use it.
    name : str, optional
        By default, where the function was defined; another function of that name gets a number.
    classification : bool, default False
        Whether targets are classes.

    Returns
    -------
    str
        The name.

    Examples
    --------
    >>> def squared(y, margin):
    ...     return margin - y, np.ones(len(y))
    >>> register_objective(squared, "my squared error")
    'my squared error'
    """
    called = name or f"{function.__module__}.{getattr(function, '__qualname__', type(function).__name__)}"
    unique, number = called, 1
    while (
        name is None and (unique, classification) in _KNOWN and _KNOWN[unique, classification].function is not function
    ):
        number += 1
        unique = f"{called} {number}"
    members = {"name": unique, "classification": classification, "function": staticmethod(function)}
    _KNOWN[unique, classification] = type("CustomLoss", (CustomLoss,), members)
    return unique


def custom_named(name: str, classification: bool) -> CustomLoss | None:
    """Return the registered loss of a name; None where there is none."""
    kind = _KNOWN.get((name, classification))
    return None if kind is None else kind()
