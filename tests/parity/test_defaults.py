"""Defaults below the estimators' own: XGBoost's, as it writes them, and those that documents state."""

from __future__ import annotations

import inspect
import json
from typing import Any

import numpy as np
import pytest
import xgboost

from fedtrees import Availability, BySize, FixedFraction, Silo
from fedtrees.core.protocol.count_weights import CountWeights
from fedtrees.core.protocol.holdout import HoldOut
from fedtrees.trees.losses import loss_named
from fedtrees.trees.server.feature_sampling import FeatureSampling
from fedtrees.trees.server.impurity import Impurity
from fedtrees.trees.server.settings import TreeSettings
from fedtrees.trees.server.split import SplitRule

X, Y = np.arange(12.0).reshape(6, 2), np.array([1.0, 0, 1, 0, 1, 1])


def config(**params: Any) -> dict[str, Any]:
    data = xgboost.DMatrix(X, Y, qid=np.zeros(6, int) if params.get("objective", "").startswith("rank") else None)
    if params.get("objective") == "survival:aft":
        data = xgboost.DMatrix(X, label_lower_bound=Y + 1, label_upper_bound=Y + 1)
    booster = xgboost.train({"tree_method": "hist"} | params, data, 1)
    found: dict[str, Any] = json.loads(booster.save_config())["learner"]
    return found


def test_a_rule_of_splits_is_that_of_xgboost() -> None:
    said = config()["gradient_booster"]["tree_train_param"]
    names = {
        "reg_lambda": "lambda", "reg_alpha": "alpha", "gamma": "gamma", "min_child_weight": "min_child_weight",
        "learning_rate": "learning_rate", "max_delta_step": "max_delta_step", "max_cat_to_onehot": "max_cat_to_onehot",
        "max_cat_threshold": "max_cat_threshold",
    }  # fmt: skip
    rule = SplitRule()
    for own, theirs in names.items():
        assert getattr(rule, own) == pytest.approx(float(said[theirs]), rel=1e-6), own
    settings = TreeSettings(loss_named("reg:squarederror"))
    assert settings.rule == rule and settings.sampler == FixedFraction(1.0)
    assert (settings.max_depth, settings.max_leaves, settings.max_bin) == (
        int(said["max_depth"]), int(said["max_leaves"]), int(said["max_bin"])
    )  # fmt: skip
    assert settings.subsample == float(said["subsample"]) and settings.parallel == 1
    assert FeatureSampling(3, 0).all and not settings.best_first and settings.min_bin_rows == 1


@pytest.mark.parametrize(
    ("objective", "params"),
    [
        ("count:poisson", {"max_delta_step": "poisson_regression_param"}),
        ("reg:tweedie", {"tweedie_variance_power": "tweedie_regression_param"}),
        ("reg:pseudohubererror", {"huber_slope": "pseudo_huber_param"}),
        ("binary:logistic", {"scale_pos_weight": "reg_loss_param"}),
        (
            "survival:aft",
            {"aft_loss_distribution": "aft_loss_param", "aft_loss_distribution_scale": "aft_loss_param"},
        ),
        (
            "rank:ndcg",
            {
                "lambdarank_pair_method": "lambdarank_param", "lambdarank_normalization": "lambdarank_param",
                "lambdarank_score_normalization": "lambdarank_param", "ndcg_exp_gain": "lambdarank_param",
                "lambdarank_unbiased": "lambdarank_param", "lambdarank_bias_norm": "lambdarank_param",
            },
        ),
    ],
)  # fmt: skip
def test_objectives_begin_with_xgboosts_parameters(objective: str, params: dict[str, str]) -> None:
    said, loss = config(objective=objective)["objective"], loss_named(objective)
    for name, group in params.items():
        own, theirs = getattr(loss, name), said[group][name]
        if isinstance(own, str):
            assert own == theirs, name
        else:
            assert float(own) == pytest.approx(float(theirs), rel=1e-6), name


def test_of_pairs_the_first_thirty_two_or_one_a_row() -> None:
    assert loss_named("rank:ndcg").pairs == 32 and loss_named("rank:ndcg").metric() == "ndcg@32"  # type: ignore[attr-defined]
    mean = loss_named("rank:ndcg", {"lambdarank_pair_method": "mean"})
    assert mean.pairs == 1 and mean.metric() == "ndcg"  # type: ignore[attr-defined]
    for method, positions in (("topk", 32), ("mean", 32)):
        given = {"lambdarank_pair_method": method, "lambdarank_unbiased": True}
        assert loss_named("rank:ndcg", given).positions == positions  # type: ignore[attr-defined]
    assert loss_named("rank:ndcg").positions == 0  # type: ignore[attr-defined]


def test_what_documents_state() -> None:
    def default(function: Any, name: str) -> Any:
        return inspect.signature(function).parameters[name].default

    assert FixedFraction().fraction == 1.0 and Availability(0.5).sampling == FixedFraction(1.0)
    assert BySize(
        [1, 2],
    ).sampling == FixedFraction(0.1)
    assert default(Silo, "min_category_rows") == 1 and np.isnan(default(Silo, "missing"))
    rule = Impurity("gini", 2)
    assert (rule.min_samples_split, rule.min_samples_leaf, rule.min_weight_fraction_leaf) == (2, 1, 0.0)
    assert rule.min_impurity_decrease == 0.0 and rule.class_weight is None and rule.learning_rate == 1.0
    assert CountWeights(0, True).bits == 16 and HoldOut(0.5, 1).seed == 1
