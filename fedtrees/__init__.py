"""Federated learning on tables: silos send integer histograms, and grow one shared XGBoost model, the pooled one.

Names are imported when they are first used, so that ``import fedtrees`` takes no time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedtrees.core.channel import PlainChannel
    from fedtrees.core.cohort import FixedFraction, FixedNumber, Poisson
    from fedtrees.core.ledger import Ledger
    from fedtrees.core.silo import Silo
    from fedtrees.core.weighting import RowWeights, SiloWeights
    from fedtrees.errors import (
        DataError,
        DataTypeError,
        FedTreesError,
        HeadroomError,
        MissingExtraError,
        ParameterError,
        ProtocolError,
        SchemaError,
        SiloLostError,
    )
    from fedtrees.estimators.adaboost import FedAdaBoostClassifier, FedAdaBoostRegressor
    from fedtrees.estimators.forest import (
        FedExtraTreesClassifier,
        FedExtraTreesRegressor,
        FedForestClassifier,
        FedForestRegressor,
    )
    from fedtrees.estimators.gbt import FedGBTClassifier, FedGBTRegressor
    from fedtrees.estimators.ranker import FedGBTRanker
    from fedtrees.estimators.tree import FedTreeClassifier, FedTreeRegressor
    from fedtrees.runtime.local import LocalFederation

_HOME = {
    "DataError": "fedtrees.errors",
    "DataTypeError": "fedtrees.errors",
    "FedAdaBoostClassifier": "fedtrees.estimators.adaboost",
    "FedAdaBoostRegressor": "fedtrees.estimators.adaboost",
    "FedExtraTreesClassifier": "fedtrees.estimators.forest",
    "FedExtraTreesRegressor": "fedtrees.estimators.forest",
    "FedForestClassifier": "fedtrees.estimators.forest",
    "FedForestRegressor": "fedtrees.estimators.forest",
    "FedGBTClassifier": "fedtrees.estimators.gbt",
    "FedGBTRanker": "fedtrees.estimators.ranker",
    "FedGBTRegressor": "fedtrees.estimators.gbt",
    "FedTreeClassifier": "fedtrees.estimators.tree",
    "FedTreeRegressor": "fedtrees.estimators.tree",
    "FedTreesError": "fedtrees.errors",
    "FixedFraction": "fedtrees.core.cohort",
    "FixedNumber": "fedtrees.core.cohort",
    "HeadroomError": "fedtrees.errors",
    "Ledger": "fedtrees.core.ledger",
    "LocalFederation": "fedtrees.runtime.local",
    "MissingExtraError": "fedtrees.errors",
    "ParameterError": "fedtrees.errors",
    "PlainChannel": "fedtrees.core.channel",
    "Poisson": "fedtrees.core.cohort",
    "ProtocolError": "fedtrees.errors",
    "RowWeights": "fedtrees.core.weighting",
    "SchemaError": "fedtrees.errors",
    "Silo": "fedtrees.core.silo",
    "SiloLostError": "fedtrees.errors",
    "SiloWeights": "fedtrees.core.weighting",
}

__all__ = [
    "DataError",
    "DataTypeError",
    "FedAdaBoostClassifier",
    "FedAdaBoostRegressor",
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
    "FixedFraction",
    "FixedNumber",
    "HeadroomError",
    "Ledger",
    "LocalFederation",
    "MissingExtraError",
    "ParameterError",
    "PlainChannel",
    "Poisson",
    "ProtocolError",
    "RowWeights",
    "SchemaError",
    "Silo",
    "SiloLostError",
    "SiloWeights",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("fedtrees")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'fedtrees' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
