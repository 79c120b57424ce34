"""What a training of trees returns."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fedtrees.trees.messages.rare_categories import RareCategories
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.moments import Moments
from fedtrees.trees.model.tree import Tree
from fedtrees.trees.silo.row_sampling import RowDraws


@dataclass(frozen=True, eq=False)
class Ensemble:
    """The trees, round after round and output after output, and where margins start.

    Attributes
    ----------
    trees : list of Tree
    cuts : Cuts
    base_margin : float32 (outputs,)
    parallel : int
        Trees a round of each output, side by side.
    rare : RareCategories, optional
        Categories that counted as one while the trees grew.
    grid : GradientScale, optional
        What a training that goes on needs to be the same as one that did not end; see `grids.GradientScales`.
    draws : RowDraws, optional
        How the first round's trees drew rows, where they drew any several times.
    bias : float32 (2, positions), optional
        Of positions, of a ranking without it; see `position_bias`.
    counts_apart : bool
        Whether the last output says how many rows there are; see `losses.outputs.WeighedOutputs`.
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
        """The trees for rows whose categories are all told apart."""
        return self.trees if self.rare is None else [self.rare.expanded(tree) for tree in self.trees]

    def of_all_outputs(self) -> list[Tree]:
        """The trees of outputs that are split alike, the outputs' moments of each side by side."""
        if len(self.base_margin) == 1:
            return self.trees
        each = [self.trees[place :: self.parallel] for place in range(self.parallel)]
        moments = [[tree.moments for tree in own if tree.moments is not None] for own in each]
        if any(moments):
            return [
                replace(own[0], moments=Moments.of_outputs(parts)) for own, parts in zip(each, moments, strict=True)
            ]
        kept = -1 if self.counts_apart else None
        return [replace(own[-1], sums=np.concatenate([tree.sums for tree in own[:kept]], axis=1)) for own in each]

    @property
    def rounds(self) -> int:
        """Rounds of boosting."""
        return len(self.trees) // (len(self.base_margin) * self.parallel)
