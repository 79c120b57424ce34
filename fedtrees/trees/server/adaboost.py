"""AdaBoost: rows' weights live in the silos, and only sums of the weights of errors leave them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.errors import DataError
from fedtrees.trees.messages.tree_errors import LOSS_KINDS, TreeErrors
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.tree import LEAF, Tree

if TYPE_CHECKING:
    from fedtrees.core.protocol.channel import Channel
    from fedtrees.core.sampling.samplers import Cohort

Steps = NDArray[np.float32]

ROUNDING = 1e-9  # what an error may be off by fixed point


@dataclass
class Reweigher:
    """What follows from a tree's error: its vote, and what rows' weights are multiplied by.

    Attributes
    ----------
    learning_rate : float
    votes, errors : list of float
        Of each tree that was kept.
    done : bool
        Whether the last tree that was kept is the last of all.
    """

    learning_rate: float
    votes: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    done: bool = False

    def steps(self, channel: Channel, cohort: Cohort, tree: Tree, grid: GradientScale, rows: int) -> Steps | None:
        """What silos are to do with their weights; None where the tree is not worth keeping.

        Raises
        ------
        DataError
            If it is the first and says no more than chance.
        """
        raise NotImplementedError

    def _kept(self, vote: float, error: float, done: bool = False) -> None:
        self.votes.append(vote)
        self.errors.append(error)
        self.done = done


@dataclass
class SammeReweigher(Reweigher):
    """SAMME: Zhu, Zou, Rosset and Hastie (2009), algorithm 2.

    The error is read off the tree's own leaves, so that it costs no message.
    """

    n_classes: int = 2

    def steps(self, channel: Channel, cohort: Cohort, tree: Tree, grid: GradientScale, rows: int) -> Steps | None:
        """See `Reweigher`."""
        leaves = tree.sums[tree.feature == LEAF]
        others = leaves.copy()  # nothing is subtracted: heavy rows beside light ones would leave nothing of these
        others[np.arange(len(others)), others.argmax(axis=1)] = 0.0
        error = float(others.sum() / leaves.sum())
        if error <= 0.0:
            self._kept(1.0, 0.0, done=True)
            return np.zeros(2, np.float32)
        if error >= 1 - 1 / self.n_classes - ROUNDING:
            if not self.votes:
                raise DataError("the first tree says the classes no better than chance; AdaBoost has nothing to go on.")
            return None
        vote = self.learning_rate * (math.log((1 - error) / error) + math.log(self.n_classes - 1))
        self._kept(vote, error)
        # so that the sum of all weights stays as it is
        shift = math.log(1 - error + error * math.exp(vote)) if vote < 700 else vote + math.log(error)
        return np.array([-shift, vote - shift], np.float32)


@dataclass
class R2Reweigher(Reweigher):
    """AdaBoost.R2: Drucker (1997).

    Three messages a tree, besides those that grow it: how large errors are, the largest, and their weighted sum.
    """

    loss: str = "linear"
    first: int | None = None  # the exponent that bounds rows' weights at first

    def steps(self, channel: Channel, cohort: Cohort, tree: Tree, grid: GradientScale, rows: int) -> Steps | None:
        """See `Reweigher`."""
        exponent = channel.total(TreeErrors.of(tree, grid, rows, "exponents"), cohort)
        largest = channel.total(TreeErrors.of(tree, grid, rows, "buckets", exponent=exponent), cohort)
        asked = TreeErrors.of(tree, grid, rows, "losses", largest=largest, loss=LOSS_KINDS[self.loss])
        weight = tree.cover[0] if tree.moments is None else tree.moments.weight[0]
        error = channel.total(asked, cohort) / float(weight)
        if error <= 0.0:
            self._kept(1.0, 0.0, done=True)
            return np.zeros(4, np.float32)
        if error >= 0.5 and self.votes:
            return None
        if error >= 0.5:  # a single tree is better than none
            self._kept(1.0, error, done=True)
            return np.zeros(4, np.float32)
        step = self.learning_rate * math.log(error / (1 - error))
        self._kept(-step, error)
        # whom the tree misses most keeps its weight: the largest can but fall, and is brought back a round later
        self.first = grid.h if self.first is None else self.first
        return np.array([largest, LOSS_KINDS[self.loss], step, (self.first - grid.h) * math.log(2)], np.float32)
