"""What silos are told while trees are boosted: what for, how it begins, and each round's trees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.target import numbers_of, of_set, refuse_other_targets
from fedtrees.core.protocol.query import Fact
from fedtrees.errors import DataError, ProtocolError
from fedtrees.trees.boosting import Boosting
from fedtrees.trees.losses import Params, loss_of
from fedtrees.trees.row_draws import RowDraws
from fedtrees.trees.tree import Cuts, Shape, Tree, flat_categories

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo import Silo


class Aim(Fact, frozen=True, eq=False):
    """What rows will be trained for, told before anything is asked of their targets: a loss may refuse some.

    Parameters
    ----------
    objective : str
    params : dict of str to float, or to list of float
        The objective's own; see `losses.loss_named`.
    labels : list, optional
        The agreed class labels.
    """

    objective: str
    params: Params
    labels: list[Any] | None

    def apply(self, silo: Silo) -> None:
        """See `Fact`."""
        loss = loss_of(self.objective, self.params, self.labels)
        silo.open_above = loss.open_above
        margin = silo.table.margin
        if margin is not None and not loss.takes_margins and not np.isnan(margin).all():
            name = silo.table.silo_of(int(np.argmin(np.isnan(margin).all(axis=1))))
            raise DataError(f"silo {name!r} has a base_margin, and trees by impurity start from none; leave it out.")
        loss.check(silo.table, silo.targets(self.labels))
        for place, table in enumerate(silo.held_out if loss.checks_sets else ()):
            with of_set(place):
                refuse_other_targets(table, silo.table)
                loss.check(table, numbers_of(table))


class Begin(Fact, frozen=True, eq=False):
    """Boosting begins: the loss, the agreed labels, and what the margins start from.

    Parameters
    ----------
    objective : str
    labels : list, optional
    base_margin : float32 (outputs,)
    values, offsets, missing, categorical
        The cut points; see `trees.tree.Cuts`.
    params : dict of str to float, or to list of float
        The objective's own; see `losses.loss_named`.
    parallel : int, default 1
        Trees a round of each output.
    subsample : float, default 1.0
        The share of rows that a tree draws.
    seed : int, default 0
        Of these draws.
    bootstrap : bool, default False
        Whether a tree draws each row as often as a Poisson variable of mean ``subsample`` says, in place of once or
        never.
    class_draws : float64 (classes,) or (0,)
        Where rows are drawn so, what that mean is multiplied by for the rows of each class; 1 where empty.
    rounds_before : int, default 0
        Of the model that training goes on from: the next draw is that of the round after.
    trees_before : int, default 0
        Of a forest that the trees join, likewise.
    """

    objective: str
    labels: list[Any] | None
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

    def draws(self) -> RowDraws:
        """The draws of rows of the first round's trees, with ``bootstrap``."""
        return RowDraws(
            self.parallel, self.seed, self.rounds_before, self.subsample, self.class_draws, self.trees_before
        )  # fmt: skip

    def shares(self) -> NDArray[np.uint64]:
        """The thresholds that rows are drawn by, see `draw_kernels.draw`, uint64 (classes or 1, times)."""
        if self.bootstrap:
            return self.draws().shares()
        return np.array([[self.subsample * 2.0**53] if self.subsample < 1 else []], np.uint64)

    def apply(self, silo: Silo) -> None:
        """See `Fact`."""
        cuts = Cuts(self.values, self.offsets, self.missing, self.categorical)
        cuts.check(silo.table.n_features)
        loss, n_labels = loss_of(self.objective, self.params, self.labels), len(self.labels or ())
        targets = max(1, silo.table.n_targets) if self.labels is None else 1
        if loss.classification != (self.labels is not None) or n_labels < loss.classification:
            raise ProtocolError(f"{n_labels} labels are not those of {self.objective}")
        too_many = self.objective.startswith("binary:") and n_labels > 2
        unlike = silo.table.n_rows and len(self.base_margin) != loss.outputs(n_labels, targets)  # none tells no columns
        if too_many or unlike:
            given = f"{targets} targets" if self.labels is None else f"{n_labels} labels"
            raise ProtocolError(
                f"margins of {len(self.base_margin)} outputs are not those of {self.objective} of {given}"
            )
        self.draws().check(n_labels)
        if not self.bootstrap and (self.subsample > 1 or len(self.class_draws)):
            raise ProtocolError("rows are drawn several times, or by class, and without bootstrap")
        silo.state = Boosting(silo, self, cuts)


class Grown(Fact, frozen=True, eq=False):
    """A round's trees are finished, those of an output side by side; their arrays stand end to end.

    Parameters
    ----------
    ends : int32 (trees,)
        Where each tree's nodes end.
    feature, bin, default_left, left, value
        See `trees.tree.Tree`.
    categories, category_ends : int32 (any,)
        See `trees.tree.flat_categories`.
    steps : float32 (any,)
        Of a loss that reweighs rows, what by; see `losses.Loss.reweigh`.
    """

    ends: NDArray[np.int32]
    feature: NDArray[np.int32]
    bin: NDArray[np.int32]
    default_left: NDArray[np.bool_]
    left: NDArray[np.int32]
    value: NDArray[np.float32]
    categories: NDArray[np.int32] = msgspec.field(default_factory=lambda: np.zeros(0, np.int32))
    category_ends: NDArray[np.int32] = msgspec.field(default_factory=lambda: np.zeros(0, np.int32))
    steps: NDArray[np.float32] = msgspec.field(default_factory=lambda: np.zeros(0, np.float32))

    @staticmethod
    def of(trees: list[Tree], steps: NDArray[np.float32] | None = None) -> Grown:
        """Put trees end to end."""
        names = ("feature", "bin", "default_left", "left", "value")
        ends = np.cumsum([tree.n_nodes for tree in trees]).astype(np.int32)
        arrays = {name: np.concatenate([getattr(tree, name) for tree in trees]) for name in names}
        categories, category_ends = flat_categories(tree.categories for tree in trees)
        steps = np.zeros(0, np.float32) if steps is None else steps
        return Grown(ends=ends, **arrays, categories=categories, category_ends=category_ends, steps=steps)

    def apply(self, silo: Silo) -> None:
        """See `Fact`."""
        state: Boosting | None = silo.state
        if state is None or len(self.ends) != state.trees:
            raise ProtocolError("trees before the cut points, or of other outputs than they were for")
        shapes = Shape.apart(
            self.ends, self.feature, self.bin, self.default_left, self.left, state.cuts, self.categories,
            self.category_ends,
        )  # fmt: skip
        if len(self.value) != len(self.feature):
            raise ProtocolError("trees whose arrays have other lengths than they say")
        if len(self.steps) != state.loss.reweighs:
            raise ProtocolError(f"{len(self.steps)} steps of weights, for a loss that takes {state.loss.reweighs}")
        state.steps.append(self.steps)
        state.forest.append((shapes, np.split(self.value, self.ends[:-1])))
