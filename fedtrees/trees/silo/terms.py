"""Terms of a training of trees, as the server sent them when it began."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.labels import ClassLabels
from fedtrees.core.data.record import Record
from fedtrees.trees.losses import Params
from fedtrees.trees.model.row_draws import RowDraws


class Terms(Record, frozen=True, eq=False):
    """Terms that trees are boosted on: the loss, the agreed labels, the cut points, and the initial margin.

    Parameters
    ----------
    objective : str
    labels : list, optional
    base_margin : float32 (outputs,)
    values, offsets, missing, categorical
        The cut points; see `trees.model.cuts.Cuts`.
    params : dict of str to float, or to list of float
        The objective's parameters; see `losses.loss_named`.
    parallel : int, default 1
        Trees per round of each output.
    subsample : float, default 1.0
        The share of rows that a tree draws.
    seed : int, default 0
        Of these draws.
    bootstrap : bool, default False
        Whether a tree draws each row as many times as a Poisson variable of mean ``subsample`` is large, in place of
        once or never.
    class_draws : float64 (classes,) or (0,)
        Where rows are drawn so, factors of that mean for the rows of each class; 1 where empty.
    rounds_before : int, default 0
        Of the model that training goes on from: the next draw is that of the round after.
    trees_before : int, default 0
        Of a forest that the trees join, likewise.
    """

    objective: str
    labels: ClassLabels | None
    base_margin: NDArray[np.float32]
    values: NDArray[np.float32]
    offsets: NDArray[np.int64]
    missing: NDArray[np.bool_]
    params: Params = msgspec.field(default_factory=dict)
    parallel: int = 1
    subsample: float = 1.0
    seed: int = 0
    categorical: NDArray[np.bool_] = msgspec.field(default_factory=lambda: np.zeros(0, bool))
    bootstrap: bool = False
    class_draws: NDArray[np.float64] = msgspec.field(default_factory=lambda: np.zeros(0))
    rounds_before: int = 0
    trees_before: int = 0

    def output(self, tree: int) -> int:
        """Return the output that a round's tree belongs to."""
        return tree // self.parallel

    def draws(self) -> RowDraws:
        """Return the draws of rows of the first round's trees, with ``bootstrap``."""
        return RowDraws(
            self.parallel, self.seed, self.rounds_before, self.subsample, self.class_draws, self.trees_before
        )  # fmt: skip

    def shares(self) -> NDArray[np.uint64]:
        """Return the thresholds that rows are drawn by, uint64 (classes or 1, times); see `kernels.sampling.draw`."""
        if self.bootstrap:
            return self.draws().shares()
        return np.array([[self.subsample * 2.0**53] if self.subsample < 1 else []], np.uint64)
