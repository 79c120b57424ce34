"""Objectives as XGBoost writes them, and the space it keeps ``base_score`` in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from fedtrees.errors import unknown_value
from fedtrees.export.links import LOG, LOGIT, Link
from fedtrees.trees.losses import Params

Json = dict[str, Any]  # an object of XGBoost's JSON, of XGBoost's schema
XGBoostParameters = dict[str, Any]  # of XGBoost's own training: texts, numbers, and lists of them


@dataclass(frozen=True)
class Objective:
    """An objective as XGBoost writes it.

    Attributes
    ----------
    section : str, optional
        The name of its parameters' section; None where it has none.
    parameters : dict of str to float, list of float or str
        Its parameters, and their usual values.
    link : Link, optional
        Between margins and ``base_score``, where that is in the units of predictions.
    multiclass : bool
        Whether every class has a margin and a tree a round.
    """

    section: str | None = None
    parameters: Params = field(default_factory=dict)
    link: Link | None = None
    multiclass: bool = False

    def as_json(self, name: str, n_classes: int, params: Params) -> dict[str, object]:
        """The entry ``objective`` of a model."""
        if self.section is None:
            return {"name": name}
        counts = {"num_class": str(n_classes)} if self.multiclass else {}
        given = {key: params.get(key, usual) for key, usual in self.parameters.items()}
        written = {
            key: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
            for key, value in given.items()
        }
        return {"name": name, self.section: {**written, **counts}}


_WEIGHT: Params = {"scale_pos_weight": 1.0}
_NOISE: Params = {"aft_loss_distribution": "normal", "aft_loss_distribution_scale": 1.0}
_PAIRS: Params = {
    "lambdarank_pair_method": "topk",
    "lambdarank_num_pair_per_sample": 2**32 - 1,  # not set
    "lambdarank_normalization": True,
    "lambdarank_score_normalization": True,
    "lambdarank_unbiased": False,
    "lambdarank_bias_norm": 1.0,
    "ndcg_exp_gain": True,
}
OBJECTIVES = {
    "binary:hinge": Objective(),
    "binary:logistic": Objective("reg_loss_param", _WEIGHT, LOGIT),
    "binary:logitraw": Objective("reg_loss_param", _WEIGHT),
    "count:poisson": Objective("poisson_regression_param", {"max_delta_step": 0.7}, LOG),
    "multi:softmax": Objective("softmax_multiclass_param", multiclass=True),
    "multi:softprob": Objective("softmax_multiclass_param", multiclass=True),
    "reg:absoluteerror": Objective(),
    "reg:gamma": Objective("reg_loss_param", _WEIGHT, LOG),
    "reg:logistic": Objective("reg_loss_param", _WEIGHT, LOGIT),
    "reg:pseudohubererror": Objective("pseudo_huber_param", {"huber_slope": 1.0}),
    "reg:quantileerror": Objective("quantile_loss_param", {"quantile_alpha": [0.5]}),
    "reg:squarederror": Objective("reg_loss_param", _WEIGHT),
    "reg:squaredlogerror": Objective(),
    "rank:map": Objective("lambdarank_param", _PAIRS),
    "rank:ndcg": Objective("lambdarank_param", _PAIRS),
    "rank:pairwise": Objective("lambdarank_param", _PAIRS),
    "survival:cox": Objective(link=LOG),
    "survival:aft": Objective("aft_loss_param", _NOISE, LOG),
    "reg:tweedie": Objective("tweedie_regression_param", {"tweedie_variance_power": 1.5}, LOG),
}


def objective_named(objective: str) -> Objective:
    """The objective of a name, as XGBoost writes it.

    Raises
    ------
    ParameterError
        If there is none; it names the nearest.
    """
    if objective not in OBJECTIVES:
        raise unknown_value("objective", objective, OBJECTIVES)
    return OBJECTIVES[objective]
