"""Modes of training: by histograms, for the pooled model; or by each silo's XGBoost, joined or passed on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedtrees.bagging.bag import bag
from fedtrees.core.data.table import Schema
from fedtrees.core.numeric.threads import Threads
from fedtrees.core.protocol.channel import Channel
from fedtrees.core.sampling.by_turns import OneAfterAnother
from fedtrees.errors import ParameterError
from fedtrees.training.loop import Observer
from fedtrees.trees.losses import Loss
from fedtrees.trees.server.boosting import boost
from fedtrees.trees.server.ensemble import Ensemble
from fedtrees.trees.server.settings import TreeSettings
from fedtrees.trees.server.split import SplitRule

if TYPE_CHECKING:
    from fedtrees.estimators.boosting.parameter_types import BoostingParameters
    from fedtrees.export.objectives import XGBoostParameters

MOST_NODES = 1 << 16  # of a tree that a silo sends
TASKS = {"histogram": "boosting", "bagging": "bagging", "cyclic": "cyclic boosting"}  # as progress names them
# whose gradients come from more than a silo's rows, or whose targets XGBoost's plain training does not take
_POOLED_ONLY = ("survival:", "rank:")

Storable = Callable[[NDArray[np.float64]], NDArray[np.float32]]


def grow_by(
    mode: str, channel: Channel, names: list[str], schema: Schema, settings: TreeSettings, threads: Threads,
    storable: Storable, observer: Observer[Any],  # of the state that the mode has
) -> Ensemble | None:  # fmt: skip
    """Grow an ensemble in one of the modes; None of one that ended before its first round."""
    n_silos, n_features = len(names), len(schema.names)
    if mode == "histogram":
        return boost(channel, n_silos, n_features, schema.labels, settings, threads, storable, observer)
    if mode == "cyclic":
        settings = replace(settings, sampler=OneAfterAnother(settings.sampler))
    return bag(
        channel, n_silos, n_features, schema.labels, settings, _params_of(settings, schema), _most_nodes(settings),
        storable, observer,
    )  # fmt: skip


def check_mode(estimator: BoostingParameters, objective: str, goes_on: bool, schema: Schema) -> None:
    """Refuse parameters that a mode does not have.

    Raises
    ------
    ParameterError
    """
    mode = estimator.mode
    if mode == "histogram":
        return
    refused = {
        "xgb_model": goes_on,
        "columns of categories": bool(schema.categories),
        "split_on_silo": bool(estimator.split_on_silo),
        "feature_weights": estimator.feature_weights is not None,
        "min_bin_rows": estimator.min_bin_rows > 1,
        f"objective={objective!r}": objective.startswith(_POOLED_ONLY) or callable(estimator.objective),
        "max_depth=0 without max_leaves": not estimator.max_depth and not estimator.max_leaves,
    }
    for what, wrong in refused.items():
        if wrong:
            raise ParameterError(f"mode={mode!r} does not go with {what}; mode='histogram' does.")


def _params_of(settings: TreeSettings, schema: Schema) -> XGBoostParameters:
    """The parameters of each silo's XGBoost."""
    rule, columns, constraints, loss = settings.rule, settings.columns, settings.constraints, settings.loss
    assert isinstance(rule, SplitRule) and isinstance(loss, Loss)
    params: XGBoostParameters = {
        **loss.params(),
        "objective": loss.exported_as(loss.outputs(len(schema.labels or ()), settings.targets)),
        "tree_method": "hist",
        "max_depth": settings.max_depth,
        "max_leaves": settings.max_leaves,
        "grow_policy": "lossguide" if settings.best_first else "depthwise",
        "max_bin": settings.max_bin,
        "num_parallel_tree": settings.parallel,
        "subsample": settings.subsample,
        **{name: getattr(rule, name) for name in ("reg_lambda", "reg_alpha", "gamma", "min_child_weight")},
    }
    if rule.max_delta_step:
        params["max_delta_step"] = rule.max_delta_step
    if columns is not None:
        params |= {f"colsample_{kind}": getattr(columns, kind) for kind in ("bytree", "bylevel", "bynode")}
    if params["objective"].startswith("multi:"):
        params["num_class"] = loss.outputs(len(schema.labels or ()), settings.targets)
    if constraints is not None:
        params |= constraints.params()
    return params


def _most_nodes(settings: TreeSettings) -> int:
    """Nodes of a tree at the most.

    Raises
    ------
    ParameterError
        If that is more than a message has room for.
    """
    by_depth = 2 ** (settings.max_depth + 1) - 1 if settings.max_depth else MOST_NODES + 1
    most = min(by_depth, 2 * settings.max_leaves - 1 if settings.max_leaves else MOST_NODES + 1)
    if most > MOST_NODES:
        raise ParameterError(
            f"max_depth={settings.max_depth}: silos' own trees have up to {MOST_NODES} nodes; set max_leaves."
        )
    return most
