"""Compile the kernels of every family ahead of their first use, as when an image is built."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedtrees.core.arguments import Features
from fedtrees.estimators.boosting.gbt import FedGBTClassifier, FedGBTRegressor
from fedtrees.estimators.boosting.ranker import FedGBTRanker
from fedtrees.estimators.cart.adaboost import FedAdaBoostClassifier, FedAdaBoostRegressor
from fedtrees.estimators.cart.forest import (
    FedExtraTreesClassifier,
    FedExtraTreesRegressor,
    FedForestClassifier,
    FedForestRegressor,
)
from fedtrees.estimators.cart.tree import FedTreeClassifier, FedTreeRegressor
from fedtrees.trees.losses import LOSSES

if TYPE_CHECKING:
    from fedtrees.estimators.boosting.base import FedGBT
    from fedtrees.estimators.cart.base import FedCart

__all__ = ["steps", "warm_up"]

_ROWS = 400  # more than bins, so that values share them


def warm_up(shown: Callable[[int], None] = lambda step: None) -> None:
    """Train every family on a few rows, so that its kernels are compiled and kept.

    Parameters
    ----------
    shown : callable, optional
        Called with the number of each finished step, from 0.
    """
    for number, step in enumerate(steps()):
        step()
        shown(number)


def steps() -> list[Callable[[], object]]:
    """The trainings that use every kernel."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(_ROWS, 3)).astype(np.float32)
    X[::7, 1] = np.nan
    frame = pd.DataFrame(X, columns=list("abc")).assign(d=pd.Categorical(np.arange(_ROWS) % 6))
    weight, groups, silos = rng.uniform(0.5, 2.0, _ROWS), np.arange(_ROWS) // 8, np.arange(_ROWS) % 2
    classes, shares = np.arange(_ROWS) % 3, rng.uniform(0.1, 0.9, _ROWS)
    two, times = classes > 0, np.stack([shares, shares + 1], axis=1)
    # of any type, as constructors unpack them among parameters of many types
    few: dict[str, Any] = {"n_estimators": 2, "max_depth": 3}
    deep: dict[str, Any] = {"n_estimators": 16, "max_depth": 8}

    def fit(estimator: FedGBT | FedCart, y: NDArray[np.generic], X: Features = X, **more: Any) -> Callable[[], object]:
        return partial(estimator.fit, X, y, silos=silos, **more)

    curves = ["logloss", "error", "auc", "aucpr"]
    return [
        fit(FedGBTClassifier(**few, eval_metric=curves), two, eval_set=[(X, two)]),
        fit(FedGBTClassifier(**few, max_bin=300, subsample=0.5), two, sample_weight=weight),
        fit(FedGBTClassifier(**few, enable_categorical=True, grow_policy="lossguide"), two, frame),
        fit(FedGBTClassifier(**few, eval_metric=["mlogloss", "merror"]), classes, eval_set=[(X, classes)]),
        *(
            fit(FedGBTRegressor(**few, objective=name), shares, eval_set=[(X, shares)])
            for name in LOSSES
            if name.startswith(("reg:", "count:"))
        ),
        fit(FedGBTRegressor(**few, objective="survival:cox"), shares, eval_set=[(X, shares)]),
        fit(FedGBTRegressor(**few, objective="survival:aft"), times, eval_set=[(X, times)]),
        partial(FedGBTRanker(**few).fit, X, classes, qid=groups, eval_set=[(X, classes)], eval_qid=[groups]),
        fit(FedTreeClassifier(max_depth=3), classes),
        fit(FedTreeRegressor(max_depth=3), shares, sample_weight=weight),
        fit(FedForestClassifier(**deep, oob_score=True), classes),
        fit(FedForestRegressor(**deep, oob_score=True), shares),
        fit(FedExtraTreesClassifier(**deep), classes),
        fit(FedExtraTreesRegressor(**deep), shares),
        fit(FedAdaBoostClassifier(2), classes),
        fit(FedAdaBoostRegressor(2, max_depth=2), shares),
    ]
