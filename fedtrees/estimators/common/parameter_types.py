"""Types of estimators' parameters as users give them; `parameter_checks` and its like refuse all other values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, Protocol

import numpy as np
import xgboost
from numpy.typing import ArrayLike

from fedtrees.core.data.labels import Label
from fedtrees.core.protocol.aggregation import Aggregation
from fedtrees.core.sampling.samplers import Sampler
from fedtrees.core.sampling.weighting import Weighting

Parameters = Mapping[str, Any]  # an estimator's, by name: of many types, and given before any check
Sampling = float | Sampler  # of silos: a fraction, a number, or a sampler
SiloWeighting = Literal["rows", "equal"] | Mapping[str, float] | Weighting
ModelToContinue = xgboost.Booster | xgboost.XGBModel | str | PathLike[str] | bytes | bytearray | None
Seed = int | np.random.RandomState | np.random.Generator | None
Metric = str | Callable[..., ArrayLike]
EvalMetric = Metric | Sequence[Metric] | None
ClassWeight = Literal["balanced"] | Mapping[Label, float] | None
CartClassWeight = ClassWeight | Literal["balanced_subsample"] | list[Mapping[Label, float]]  # a list is by column
MaxFeatures = float | Literal["sqrt", "log2"] | None
Directions = Mapping[str, int] | Sequence[int] | None  # 1, 0 or -1 by name or place


class FederatedParameters(Protocol):
    """Parameters that every federated estimator has."""

    sampling: Sampling
    weighting: SiloWeighting
    aggregation: Aggregation | None
    random_state: Seed
    n_jobs: int | None
    _classifies: bool


class ScoredParameters(FederatedParameters, Protocol):
    """Parameters of estimators that score rows while they train."""

    eval_metric: EvalMetric
    validation_fraction: float | None
