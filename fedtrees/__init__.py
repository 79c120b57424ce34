"""Federated learning on tables: silos send integer histograms, and grow one shared XGBoost model, the pooled one.

Names are imported when they are first used, so that ``import fedtrees`` takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedtrees.core.data.one_class import OneClassWarning
    from fedtrees.core.protocol.aggregation import Aggregation, PlainSum
    from fedtrees.core.protocol.channel import Channel
    from fedtrees.core.protocol.federation import Answer, Federation
    from fedtrees.core.protocol.ledger import Ledger
    from fedtrees.core.protocol.silo import Silo
    from fedtrees.core.sampling.availability import Availability, Period
    from fedtrees.core.sampling.by_size import BySize
    from fedtrees.core.sampling.samplers import FixedFraction, FixedNumber, Poisson
    from fedtrees.core.sampling.weighting import RowWeights, SiloWeights
    from fedtrees.errors import (
        ArgumentError,
        DataError,
        DataTypeError,
        DivergenceError,
        FedTreesError,
        HeadroomError,
        MissingExtraError,
        ParameterError,
        ProtocolError,
        SchemaError,
        SiloLostError,
    )
    from fedtrees.estimators.boosting.gbt import FedGBTClassifier, FedGBTRegressor
    from fedtrees.estimators.boosting.personal_trees import MoreTrees, OwnLeaves
    from fedtrees.estimators.boosting.ranker import FedGBTRanker
    from fedtrees.estimators.cart.adaboost import FedAdaBoostClassifier, FedAdaBoostRegressor
    from fedtrees.estimators.cart.forest import (
        FedExtraTreesClassifier,
        FedExtraTreesRegressor,
        FedForestClassifier,
        FedForestRegressor,
    )
    from fedtrees.estimators.cart.tree import FedTreeClassifier, FedTreeRegressor
    from fedtrees.estimators.common.expected_failures import expected_failed_checks
    from fedtrees.estimators.network.fedavg import FedAvgClassifier, FedAvgRegressor
    from fedtrees.neural.compression import Rounded, TopK
    from fedtrees.neural.personal import Ditto, FineTuning, OwnHead
    from fedtrees.neural.torch_model import TorchModel
    from fedtrees.runtime.local import LocalFederation
    from fedtrees.runtime.transport import Postman, Transport
    from fedtrees.runtime.unreliable import UnreliableFederation

_HOME = {
    "Aggregation": "fedtrees.core.protocol.aggregation",
    "Answer": "fedtrees.core.protocol.federation",
    "ArgumentError": "fedtrees.errors",
    "Availability": "fedtrees.core.sampling.availability",
    "BySize": "fedtrees.core.sampling.by_size",
    "Channel": "fedtrees.core.protocol.channel",
    "DataError": "fedtrees.errors",
    "DataTypeError": "fedtrees.errors",
    "Ditto": "fedtrees.neural.personal",
    "DivergenceError": "fedtrees.errors",
    "FedAdaBoostClassifier": "fedtrees.estimators.cart.adaboost",
    "FedAdaBoostRegressor": "fedtrees.estimators.cart.adaboost",
    "FedAvgClassifier": "fedtrees.estimators.network.fedavg",
    "FedAvgRegressor": "fedtrees.estimators.network.fedavg",
    "FedExtraTreesClassifier": "fedtrees.estimators.cart.forest",
    "FedExtraTreesRegressor": "fedtrees.estimators.cart.forest",
    "FedForestClassifier": "fedtrees.estimators.cart.forest",
    "FedForestRegressor": "fedtrees.estimators.cart.forest",
    "FedGBTClassifier": "fedtrees.estimators.boosting.gbt",
    "FedGBTRanker": "fedtrees.estimators.boosting.ranker",
    "FedGBTRegressor": "fedtrees.estimators.boosting.gbt",
    "FedTreeClassifier": "fedtrees.estimators.cart.tree",
    "FedTreeRegressor": "fedtrees.estimators.cart.tree",
    "FedTreesError": "fedtrees.errors",
    "Federation": "fedtrees.core.protocol.federation",
    "FineTuning": "fedtrees.neural.personal",
    "FixedFraction": "fedtrees.core.sampling.samplers",
    "FixedNumber": "fedtrees.core.sampling.samplers",
    "HeadroomError": "fedtrees.errors",
    "Ledger": "fedtrees.core.protocol.ledger",
    "LocalFederation": "fedtrees.runtime.local",
    "MissingExtraError": "fedtrees.errors",
    "MoreTrees": "fedtrees.estimators.boosting.personal_trees",
    "OneClassWarning": "fedtrees.core.data.one_class",
    "OwnHead": "fedtrees.neural.personal",
    "OwnLeaves": "fedtrees.estimators.boosting.personal_trees",
    "ParameterError": "fedtrees.errors",
    "Period": "fedtrees.core.sampling.availability",
    "PlainSum": "fedtrees.core.protocol.aggregation",
    "Poisson": "fedtrees.core.sampling.samplers",
    "Postman": "fedtrees.runtime.transport",
    "ProtocolError": "fedtrees.errors",
    "Rounded": "fedtrees.neural.compression",
    "RowWeights": "fedtrees.core.sampling.weighting",
    "SchemaError": "fedtrees.errors",
    "Silo": "fedtrees.core.protocol.silo",
    "SiloLostError": "fedtrees.errors",
    "SiloWeights": "fedtrees.core.sampling.weighting",
    "TopK": "fedtrees.neural.compression",
    "TorchModel": "fedtrees.neural.torch_model",
    "Transport": "fedtrees.runtime.transport",
    "UnreliableFederation": "fedtrees.runtime.unreliable",
    "expected_failed_checks": "fedtrees.estimators.common.expected_failures",
}

__all__ = [
    "Aggregation",
    "Answer",
    "ArgumentError",
    "Availability",
    "BySize",
    "Channel",
    "DataError",
    "DataTypeError",
    "Ditto",
    "DivergenceError",
    "FedAdaBoostClassifier",
    "FedAdaBoostRegressor",
    "FedAvgClassifier",
    "FedAvgRegressor",
    "FedExtraTreesClassifier",
    "FedExtraTreesRegressor",
    "FedForestClassifier",
    "FedForestRegressor",
    "FedGBTClassifier",
    "FedGBTRanker",
    "FedGBTRegressor",
    "FedTreeClassifier",
    "FedTreeRegressor",
    "FedTreesError",
    "Federation",
    "FineTuning",
    "FixedFraction",
    "FixedNumber",
    "HeadroomError",
    "Ledger",
    "LocalFederation",
    "MissingExtraError",
    "MoreTrees",
    "OneClassWarning",
    "OwnHead",
    "OwnLeaves",
    "ParameterError",
    "Period",
    "PlainSum",
    "Poisson",
    "Postman",
    "ProtocolError",
    "Rounded",
    "RowWeights",
    "SchemaError",
    "Silo",
    "SiloLostError",
    "SiloWeights",
    "TopK",
    "TorchModel",
    "Transport",
    "UnreliableFederation",
    "expected_failed_checks",
]


def __getattr__(name: str) -> Any:  # of any public name
    if name == "__version__":
        from importlib.metadata import version

        return version("fedtrees")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'fedtrees' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
