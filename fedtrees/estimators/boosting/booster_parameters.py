"""The parameters and metrics of its training that an exported Booster has, as XGBoost's own does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedtrees.export.objectives import OBJECTIVES
from fedtrees.queries.metrics import CUSTOM
from fedtrees.trees.server.settings import TreeSettings
from fedtrees.trees.server.split import SplitRule

if TYPE_CHECKING:
    import xgboost


def keep_parameters(booster: xgboost.Booster, settings: TreeSettings, with_metrics: bool, learning_rate: float) -> None:
    """Set a Booster's parameters to those it was trained with, for ``save_config``, ``eval`` and pickles.

    The saved model is the same bytes: XGBoost's files hold none of them.

    Parameters
    ----------
    booster : xgboost.Booster
    settings : TreeSettings
    with_metrics : bool
        Whether metrics were asked for; XGBoost finds the objective's own without.
    learning_rate : float
        The last round's.
    """
    rule, columns = settings.rule, settings.columns
    assert isinstance(rule, SplitRule)
    params: dict[str, object] = {
        "tree_method": "hist",
        "seed": settings.seed,
        "learning_rate": learning_rate,
        "max_depth": settings.max_depth,
        "max_leaves": settings.max_leaves,
        "max_bin": settings.max_bin,
        "grow_policy": "lossguide" if settings.best_first else "depthwise",
        "reg_lambda": rule.reg_lambda,
        "reg_alpha": rule.reg_alpha,
        "gamma": rule.gamma,
        "min_child_weight": rule.min_child_weight,
        "max_delta_step": rule.max_delta_step,
        "max_cat_to_onehot": rule.max_cat_to_onehot,
        "max_cat_threshold": rule.max_cat_threshold,
        "subsample": settings.subsample,
    }
    if columns is not None:
        params |= {f"colsample_{kind}": getattr(columns, kind) for kind in ("bytree", "bylevel", "bynode")}
    if settings.constraints is not None:
        params |= settings.constraints.params()
    objective = settings.loss.name
    if objective in OBJECTIVES:  # metrics have its parameters, too
        params |= {
            name: value
            for name, value in settings.loss.params().items()
            if name in OBJECTIVES[objective].parameters and value is not None
        }
    written = list(params.items())
    if with_metrics:
        written += [("eval_metric", name) for name in settings.eval_metrics if name not in CUSTOM]
    booster.set_param(written)
