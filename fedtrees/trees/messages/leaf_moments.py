"""The query of leaves' moments: a tree of numbers predicts by them, and they show where its targets still differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.protocol.query import Query
from fedtrees.errors import ProtocolError
from fedtrees.trees.model.flat_trees import FlatTrees, cuts_up
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.moments import MOST_DIGIT, TERMS, MomentScale
from fedtrees.trees.model.tree import LEAF
from fedtrees.trees.silo.state import TreeState

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows

MOST_DIGITS = 64  # of a leaf
MOST_POWER = 1 << 10  # that a float64 has


class LeafMoments(Query, frozen=True, eq=False):
    """Sums of weights, of weighted targets and of their squares in the leaves of some of the growing trees.

    Parameters
    ----------
    rows : int
        Rows of the federation, as often as they count or may be drawn.
    exponents : GradientScale
        The gradient scale of the trees' histograms.
    weights : GradientScale
        The gradient scale of weights that change from round to round.
    scale : MomentScale
    centre : float64 (outputs,) or (0,)
        See `moments.MomentPlan`.
    places : int32 (trees,)
        The places of the trees in their round, ascending.
    trees : FlatTrees
    """

    rows: int
    exponents: GradientScale
    weights: GradientScale
    scale: MomentScale
    centre: NDArray[np.float64]
    places: NDArray[np.int32]
    trees: FlatTrees

    def size(self) -> int:
        """See `Query`."""
        return int(np.count_nonzero(self.trees.feature == LEAF)) * sum(self.scale.digits)

    def touches(self) -> int:
        """See `Query`."""
        return len(self.trees) * sum(self.scale.digits)  # a row is in one leaf of a tree

    def bound(self) -> int:
        """See `Query`."""
        return self.rows << (self.scale.bits + TERMS)

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        state = silo.state_of(TreeState, "leaves' moments were asked for")
        rising = len(self.places) == len(self.trees) > 0 and self.places[0] >= 0 and (np.diff(self.places) > 0).all()
        if not rising or self.places[-1] >= state.trees:
            raise ProtocolError("leaves' moments were asked for of trees that there are not")
        self._check(state)
        state.prepare(silo, self.exponents)
        shapes = self.trees.shapes(state.cuts)
        return state.moments.sum_leaves(silo, self.places.tolist(), shapes, self.scale, self.weights, self.centre)

    def _check(self, state: TreeState) -> None:
        """Refuse scales whose digits fit no word, centres of other outputs, and trees that are not of numbers."""
        scale, moments = self.scale, len(self.scale.digits)
        fine = 1 <= scale.bits <= MOST_DIGIT and all(digits > 0 for digits in scale.digits)
        fine = fine and sum(scale.digits) <= MOST_DIGITS and moments == (4 if len(self.centre) else 3)
        fine = fine and all(abs(power) < MOST_POWER for power in (scale.weight, scale.target, scale.deviance))
        centred = len(self.centre) in (0, len(state.terms.base_margin)) and (self.centre > 0).all()
        if (
            not fine
            or not centred
            or state.terms.labels is not None
            or not cuts_up(self.trees.ends, len(self.trees), len(self.trees.feature))
        ):
            raise ProtocolError("leaves' moments were asked for of no numbers, or in digits that are none")

    def read(self, total: Vector) -> Vector:
        """Return the digits of leaf after leaf, int64 (leaves, digits)."""
        return total.reshape(-1, sum(self.scale.digits))
