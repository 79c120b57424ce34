"""Parameters of boosted estimators that checks and settings read, by their types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from numpy.typing import ArrayLike
from xgboost.callback import TrainingCallback

from fedtrees.estimators.common.parameter_types import ScoredParameters
from fedtrees.trees.losses.custom import Function
from fedtrees.trees.server.constraints import Interactions, Monotone


class BoostingParameters(ScoredParameters, Protocol):
    """The parameters of `FedGBT`."""

    n_estimators: int
    max_depth: int
    learning_rate: float
    reg_lambda: float
    reg_alpha: float
    gamma: float
    min_child_weight: float
    max_leaves: int
    grow_policy: str
    num_parallel_tree: int
    subsample: float
    feature_weights: ArrayLike | None
    monotone_constraints: Monotone
    interaction_constraints: Interactions
    max_bin: int
    min_bin_rows: int
    max_cat_to_onehot: int
    max_cat_threshold: int
    missing: float
    base_score: float | Sequence[float] | None
    objective: str | Function | None
    max_delta_step: float | None
    early_stopping_rounds: int | None
    callbacks: Sequence[TrainingCallback] | None
    importance_type: str | None
    mode: str
    split_on_silo: bool
    _takes_functions: bool
    _loads: tuple[str, ...]
