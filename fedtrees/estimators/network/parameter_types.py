"""Parameters of averaged estimators that checks and settings read, by their types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from fedtrees.estimators.common.parameter_types import ScoredParameters
from fedtrees.neural.compression import Rounded, TopK
from fedtrees.neural.methods import AnyMethod
from fedtrees.neural.optimisers import ServerOptimiser
from fedtrees.neural.torch_model import TorchModel


class NetworkParameters(ScoredParameters, Protocol):
    """The parameters of `FedAvgEstimator`."""

    hidden_layer_sizes: Sequence[int]
    activation: str
    n_rounds: int
    local_epochs: int
    batch_size: int | None
    learning_rate: float
    schedule: str | Callable[[int], float]
    decay: float
    alpha: float
    method: str | AnyMethod
    server: str | ServerOptimiser
    upload: str
    compression: Rounded | TopK | None
    stragglers: float
    standardize: bool
    model: TorchModel | None
    target_score: float | None
    patience: int | None
    loss: str
