"""Settings of a training of trees."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.labels import Label
from fedtrees.core.protocol.start_messages import Vocabulary
from fedtrees.training.settings import TrainingSettings
from fedtrees.trees.losses import RowStatistics
from fedtrees.trees.messages.earlier_model import EarlierModel
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.moments import MomentPlan
from fedtrees.trees.server.constraints import Constraints
from fedtrees.trees.server.feature_sampling import FeatureSampling, NodeDraws
from fedtrees.trees.server.growth_plan import GrowthPlan
from fedtrees.trees.server.split import Rule, SplitRule

if TYPE_CHECKING:
    from fedtrees.core.numeric.threads import Threads


@dataclass(frozen=True)
class TreeSettings(TrainingSettings):
    """The trees to grow. Names, meanings and defaults are XGBoost's where it has them."""

    loss: RowStatistics
    targets: int = 1  # columns of y
    labels_by_column: list[list[Label]] | None = None  # of several columns of classes
    class_weight: list[tuple[float, ...]] | str | None = None  # of their classes, in the order of labels
    max_depth: int = 6
    max_bin: int = 256
    rule: Rule = field(default_factory=SplitRule)
    base_score: tuple[float, ...] | None = None  # of each output
    constraints: Constraints | None = None
    columns: FeatureSampling | None = None
    max_leaves: int = 0
    best_first: bool = False
    parallel: int = 1
    subsample: float | int = 1.0  # a share of the rows, or how many
    bootstrap: bool = False
    thresholds: NodeDraws | None = None
    features_per_node: int = 0  # see `GrowthPlan`
    earlier: EarlierModel | None = None  # what the training goes on from
    rounds_before: int = 0  # of that: draws go on from there
    trees_before: int = 0  # of a forest that these trees join, likewise
    scale_before: GradientScale | None = None  # that its next round would have had
    bias_before: NDArray[np.float32] | None = None  # of positions, of a ranking without it
    vocabulary: Vocabulary | None = None  # that silos agreed on; None where there are no categories
    categories: NDArray[np.int64] | None = None  # of each feature that is split by them, else 0; None where none is
    min_bin_rows: int = 1

    def plan(
        self, cuts: Cuts, outputs: int, rows: int, threads: Threads, moments: MomentPlan | None = None,
        row_counts: int = 1,
    ) -> GrowthPlan:  # fmt: skip
        """The plan by which trees grow."""
        return GrowthPlan(
            cuts, self.rule, self.max_depth, outputs, rows, threads,
            self.parallel, self.max_leaves, self.best_first,
            self.constraints, self.columns, self.thresholds, self.features_per_node,
            self.trees_before, moments, row_counts,
        )  # fmt: skip
