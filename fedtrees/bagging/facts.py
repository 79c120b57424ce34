"""Facts of silos that grow trees by themselves: the start, and each round's joined trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.bagging.growing_alone import AloneTerms, GrowingAlone
from fedtrees.core.protocol.query import Fact
from fedtrees.errors import ProtocolError
from fedtrees.trees.messages.earlier_model import EarlierModel

if TYPE_CHECKING:
    from fedtrees.bagging.local_tree import LocalTree
    from fedtrees.core.protocol.silo_rows import SiloRows


class GrowAlone(Fact, AloneTerms, frozen=True, eq=False):
    """The start, on these terms: from now on, silos grow trees by themselves."""

    def apply(self, silo: SiloRows) -> None:
        """See `Fact`."""
        silo.states.keep(GrowingAlone(silo, self))


class Joined(EarlierModel, frozen=True, eq=False):
    """The end of a round: the trees of its silos, joined."""

    @staticmethod
    def of(outputs: list[list[LocalTree]], features: int, base_margin: NDArray[np.float32]) -> Joined:
        """Put the trees of each output end to end."""
        trees = [tree for grown in outputs for tree in grown]
        left = np.concatenate([tree.left for tree in trees])
        return Joined(
            features=features,
            base_margin=base_margin,
            ends=np.cumsum([len(tree.left) for tree in trees]).astype(np.int64),
            output=np.repeat(np.arange(len(outputs)), [len(grown) for grown in outputs]).astype(np.int32),
            feature=np.concatenate([tree.feature for tree in trees]),
            value=np.concatenate([tree.value for tree in trees]),
            default_left=np.concatenate([tree.default_left for tree in trees]),
            left=left,
            right=left + 1,  # of a leaf, which has no child, nobody reads it
        )

    def apply(self, silo: SiloRows) -> None:
        """See `Fact`."""
        self.check(silo.table.n_features)
        state = silo.state_of(GrowingAlone, "joined trees were told")
        if self.outputs != len(state.margin):
            raise ProtocolError("joined trees of other outputs than silos grow them for")
        state.join(silo, self)
