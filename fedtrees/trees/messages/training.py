"""Facts of boosting: the objective, the terms that training begins on, and each round's trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.labels import ClassLabels
from fedtrees.core.data.table_targets import numbers_of, of_set, refuse_other_targets
from fedtrees.core.protocol.query import Fact
from fedtrees.errors import DataError, ProtocolError
from fedtrees.trees.losses import Params, Reweighed, Target, loss_of
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.flat_trees import FlatTrees
from fedtrees.trees.model.tree import Tree
from fedtrees.trees.silo.forest import FinishedRound
from fedtrees.trees.silo.state import TreeState
from fedtrees.trees.silo.terms import Terms

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows


class Aim(Fact, frozen=True, eq=False):
    """The objective of the coming training, sent before any question about targets: a loss may refuse some.

    Parameters
    ----------
    objective : str
    params : dict of str to float, or to list of float
        The objective's parameters; see `losses.loss_named`.
    labels : list, optional
        The agreed class labels.
    """

    objective: str
    params: Params
    labels: ClassLabels | None

    def apply(self, silo: SiloRows) -> None:
        """See `Fact`."""
        loss = loss_of(self.objective, self.params, self.labels)
        silo.open_above = loss.open_above
        margin = silo.table.margin
        if margin is not None and isinstance(loss, Target) and not np.isnan(margin).all():
            name = silo.table.silo_of(int(np.argmin(np.isnan(margin).all(axis=1))))
            raise DataError(f"silo {name!r} has a base_margin, and trees by impurity start from none; leave it out.")
        loss.check(silo.table, silo.targets(self.labels))
        for place, table in enumerate(silo.held_out if loss.checks_sets else ()):
            with of_set(place):
                refuse_other_targets(table, silo.table)
                loss.check(table, numbers_of(table))


class Begin(Fact, Terms, frozen=True, eq=False):
    """The beginning of boosting, on these terms; see `Terms`."""

    def apply(self, silo: SiloRows) -> None:
        """See `Fact`."""
        cuts = Cuts(self.values, self.offsets, self.missing, self.categorical)
        cuts.check(silo.table.n_features)
        loss, n_labels = loss_of(self.objective, self.params, self.labels), len(self.labels or ())
        targets = max(1, silo.table.n_targets) if self.labels is None else 1
        if loss.classification != (self.labels is not None) or n_labels < loss.classification:
            raise ProtocolError(f"{n_labels} labels are not those of {self.objective}")
        too_many = self.objective.startswith("binary:") and n_labels > 2
        unlike = silo.table.n_rows and len(self.base_margin) != loss.outputs(
            n_labels, targets
        )  # without rows, columns are not known
        if too_many or unlike:
            given = f"{targets} targets" if self.labels is None else f"{n_labels} labels"
            raise ProtocolError(
                f"margins of {len(self.base_margin)} outputs are not those of {self.objective} of {given}"
            )
        self.draws().check(n_labels)
        if not self.bootstrap and (self.subsample > 1 or len(self.class_draws)):
            raise ProtocolError("rows are drawn several times, or by class, and without bootstrap")
        silo.states.keep(TreeState(silo, self, cuts))


class Grown(Fact, frozen=True, eq=False):
    """Finished trees of a round, those of an output side by side.

    Parameters
    ----------
    trees : FlatTrees
    value : float32 (nodes,)
        Values that leaves add to margins, tree after tree.
    steps : float32 (any,)
        Steps that a loss which reweighs rows moves their weights by; see `losses.Reweighed`.
    """

    trees: FlatTrees
    value: NDArray[np.float32]
    steps: NDArray[np.float32] = msgspec.field(default_factory=lambda: np.zeros(0, np.float32))

    @staticmethod
    def of(trees: list[Tree], steps: NDArray[np.float32] | None = None) -> Grown:
        """Put trees end to end."""
        steps = np.zeros(0, np.float32) if steps is None else steps
        return Grown(FlatTrees.of(trees), np.concatenate([tree.value for tree in trees]), steps)

    def apply(self, silo: SiloRows) -> None:
        """See `Fact`."""
        state = silo.state_of(TreeState, "trees were sent")
        if len(self.trees) != state.trees:
            raise ProtocolError("trees of other outputs than the cut points were for")
        shapes = self.trees.shapes(state.cuts)
        if len(self.value) != len(self.trees.feature):
            raise ProtocolError("trees whose arrays have other lengths than their nodes")
        n_steps = state.loss.n_steps if isinstance(state.loss, Reweighed) else 0
        if len(self.steps) != n_steps:
            raise ProtocolError(f"{len(self.steps)} steps of weights, for a loss that takes {n_steps}")
        state.forest.append(FinishedRound(shapes, np.split(self.value, self.trees.ends[:-1]), self.steps))
