"""The result of a training of trees."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedtrees.trees.messages.rare_categories import RareCategories
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.moments import Moments
from fedtrees.trees.model.row_draws import RowDraws
from fedtrees.trees.model.tree import Tree


@dataclass(frozen=True, eq=False)
class Ensemble:
    """The trees, round after round and output after output, and the initial margins.

    Attributes
    ----------
    trees : list of Tree
    cuts : Cuts
    base_margin : float32 (outputs,)
    parallel : int
        Trees per round of each output, side by side.
    rare : RareCategories, optional
        Categories that counted as one while the trees grew.
    grid : GradientScale, optional
        The next round's gradient scale, by which a training that goes on equals one that did not end; see
        `gradient_scales.GradientScales`.
    draws : RowDraws, optional
        The draws of rows by the first round's trees, where they drew any several times.
    bias : float32 (2, positions), optional
        Of an unbiased ranking, the biases of positions; see `messages.position_bias`.
    counts_apart : bool
        Whether the last output counts rows; see `losses.outputs.WeighedOutputs`.
    """

    trees: list[Tree]
    cuts: Cuts
    base_margin: NDArray[np.float32]
    parallel: int = 1
    rare: RareCategories | None = None
    grid: GradientScale | None = None
    draws: RowDraws | None = None
    bias: NDArray[np.float32] | None = None
    counts_apart: bool = False

    def apart(self) -> list[Tree]:
        """Return the trees for rows that keep their rare categories."""
        return self.trees if self.rare is None else [self.rare.expanded(tree) for tree in self.trees]

    def of_all_outputs(self) -> list[Tree]:
        """Return one tree for all outputs that are split alike, with the outputs' moments, or sums, side by side."""
        if len(self.base_margin) == 1:
            return self.trees
        each = [self.trees[place :: self.parallel] for place in range(self.parallel)]
        moments = [[tree.moments for tree in alike if tree.moments is not None] for alike in each]
        if any(moments):
            return [
                replace(alike[0], moments=Moments.of_outputs(parts)) for alike, parts in zip(each, moments, strict=True)
            ]
        kept = -1 if self.counts_apart else None
        return [replace(alike[-1], sums=np.concatenate([tree.sums for tree in alike[:kept]], axis=1)) for alike in each]

    @property
    def rounds(self) -> int:
        """The number of rounds of boosting."""
        return len(self.trees) // (len(self.base_margin) * self.parallel)
