"""Settings of a training of networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from fedtrees.neural.compression import AnyCompression, Exact
from fedtrees.neural.local import Work
from fedtrees.neural.methods import AnyMethod, FedAvg
from fedtrees.neural.model import AnyModel
from fedtrees.neural.optimisers import Averaging, ServerOptimiser
from fedtrees.neural.schedules import Constant, Schedule
from fedtrees.training.settings import TrainingSettings


@dataclass(frozen=True)
class NetworkSettings(TrainingSettings):
    """The network to train, and the settings of its training.

    Attributes
    ----------
    model : Perceptron or another
    features : int
    targets : int
        Columns of y that are numbers; 0 where they are class labels.
    work : Work
        Of a silo in a round.
    method, compression, optimiser, schedule
        Of updates, of their messages, of the server, and of the learning rate.
    standardize : bool
    class_weight : sequence of float or "balanced", optional
    more_classes : bool
        Whether rows of classes that these rows lack may follow in a later call.
    """

    model: AnyModel
    features: int
    targets: int = 1
    work: Work = field(default_factory=Work)
    method: AnyMethod = field(default_factory=FedAvg)
    compression: AnyCompression = field(default_factory=Exact)
    optimiser: ServerOptimiser = field(default_factory=Averaging)
    schedule: Schedule = field(default_factory=Constant)
    standardize: bool = True
    class_weight: Sequence[float] | Literal["balanced"] | None = None
    more_classes: bool = False
