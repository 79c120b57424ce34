"""Every family of estimators, the classes of scikit-learn that some become, and small ones of each."""

from __future__ import annotations

import inspect
from typing import Any

from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from fedtrees import (
    FedAdaBoostClassifier,
    FedAdaBoostRegressor,
    FedAvgClassifier,
    FedAvgRegressor,
    FedExtraTreesClassifier,
    FedExtraTreesRegressor,
    FedForestClassifier,
    FedForestRegressor,
    FedGBTClassifier,
    FedGBTRegressor,
    FedTreeClassifier,
    FedTreeRegressor,
)

BY_IMPURITY: dict[str, tuple[Any, Any]] = {
    "tree": (FedTreeClassifier, FedTreeRegressor),
    "forest": (FedForestClassifier, FedForestRegressor),
    "extra": (FedExtraTreesClassifier, FedExtraTreesRegressor),
    "boost": (FedAdaBoostClassifier, FedAdaBoostRegressor),
}
FAMILIES: dict[str, tuple[Any, Any]] = BY_IMPURITY | {
    "gbt": (FedGBTClassifier, FedGBTRegressor),
    "network": (FedAvgClassifier, FedAvgRegressor),
}
BECOME: dict[Any, Any] = {
    FedTreeClassifier: DecisionTreeClassifier,
    FedTreeRegressor: DecisionTreeRegressor,
    FedForestClassifier: RandomForestClassifier,
    FedForestRegressor: RandomForestRegressor,
    FedExtraTreesClassifier: ExtraTreesClassifier,
    FedExtraTreesRegressor: ExtraTreesRegressor,
    FedAdaBoostClassifier: AdaBoostClassifier,
    FedAdaBoostRegressor: AdaBoostRegressor,
}


def small(kind: Any, size: int = 3, **more: Any) -> Any:
    """An estimator of so many trees or rounds, three levels deep, or of one hidden layer; by one thread."""
    given = {"n_estimators": size, "n_rounds": size, "max_depth": 3, "hidden_layer_sizes": (4,), "n_jobs": 1}
    takes = inspect.signature(kind).parameters
    return kind(**{name: value for name, value in given.items() if name in takes} | more)


def small_ones(families: dict[str, tuple[Any, Any]], size: int = 3, **more: Any) -> list[Any]:
    """One of each class of some families."""
    return [small(kind, size, **more) for kinds in families.values() for kind in kinds]
