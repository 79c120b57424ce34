"""A table of several columns of classes, and trees and forests of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import make_multilabel_classification

from fedtrees import (
    FedExtraTreesClassifier,
    FedForestClassifier,
    FedTreeClassifier,
    Silo,
)

Table = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float64]]
ONE_EACH = "ignore:y holds one class only"


def table(seed: int, classes: tuple[int, ...] = (2, 4, 3), missing: float = 0.0, rows: int = 300) -> Table:
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 15, (rows, 4)).astype(np.float32)
    score = [X[:, k % 4] * (k + 1) + X[:, 0] + rng.normal(size=rows) * 4 for k in range(len(classes))]
    y = [np.digitize(own, np.quantile(own, np.arange(1, n) / n)) for own, n in zip(score, classes, strict=True)]
    X[rng.random(X.shape) < missing] = np.nan
    return X, np.stack(y, axis=1), rng.uniform(0.5, 2, rows)


X, Y, WEIGHT = table(0)
SILOS = np.random.default_rng(1).integers(0, 4, len(X))
IDS = np.arange(len(X))
ESTIMATORS: list[Any] = [
    FedTreeClassifier(max_depth=4),
    FedTreeClassifier(max_depth=None, max_leaf_nodes=9, criterion="entropy", class_weight="balanced"),
    FedTreeClassifier(max_depth=5, max_features=2, class_weight=[{0: 3.0}, {1: 0.5, 3: 4.0}, {}], min_samples_leaf=5),
    FedForestClassifier(3, max_depth=4, max_samples=0.6),
    FedForestClassifier(3, max_depth=4, class_weight="balanced_subsample", min_samples_split=9),
    FedExtraTreesClassifier(3, max_depth=5, class_weight="balanced", bootstrap=True),
    FedExtraTreesClassifier(3, max_depth=5),
]
MANY_X, MANY_Y = make_multilabel_classification(250, 6, n_classes=4, random_state=0)
MANY_X = MANY_X.astype(np.float32)


def nodes(model: Any) -> list[bytes]:
    states = [own.tree_.__getstate__() for own in getattr(model, "estimators_", [model.model_])]
    return [state["nodes"].tobytes() + state["values"].tobytes() for state in states]


def apart(y: Any = Y, X: Any = X, **given: Any) -> list[Silo]:
    rows = [np.flatnonzero(k == SILOS) for k in range(5)]  # the last holds none
    silos = []
    for k, own in enumerate(rows):
        columns = {name: values[own] for name, values in given.items() if values is not None}
        silos.append(Silo(str(k), X[own], y[own] if len(own) else [], n_jobs=1, **columns))
    return silos
