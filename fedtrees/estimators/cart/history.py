"""The observer of trees that grow one after the other: a progress bar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from fedtrees.training.loop import Observer
from fedtrees.trees.server.adaboost import AdaBoostState
from fedtrees.trees.server.boosting import BoostingState

S = TypeVar("S", BoostingState, AdaBoostState)


class TreesShown(Observer[S], Generic[S]):
    """An observer that moves a progress bar to the number of trees.

    Parameters
    ----------
    bar : callable
        Called with the number of the last tree, from 0.
    """

    def __init__(self, bar: Callable[[int], None]):
        self._bar = bar

    def after(self, state: S) -> S:
        """See `Observer`."""
        self._bar(len(state.trees) - 1)
        return state
