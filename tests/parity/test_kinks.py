"""Gradients and hessians exactly at the kinks and limits of losses, where slopes do not tell: XGBoost's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xgboost

from fedtrees.trees.losses import gradients, loss_named

TINY = float(np.finfo(np.float32).tiny)  # what XGBoost takes as a hessian of nothing


@pytest.mark.parametrize(
    ("objective", "params", "margin", "y", "g", "h"),
    [
        ("binary:hinge", {}, 1.0, 1, 0.0, TINY),
        ("binary:hinge", {}, -1.0, 0, 0.0, TINY),
        ("binary:hinge", {}, np.nextafter(np.float32(1), np.float32(0)), 1, -1.0, 1.0),
        ("binary:hinge", {}, np.nextafter(np.float32(-1), np.float32(0)), 0, 1.0, 1.0),
        ("binary:hinge", {}, 2.0, 1, 0.0, TINY),
        ("reg:absoluteerror", {}, 2.0, 2, 0.0, 1.0),
        ("reg:absoluteerror", {}, 2.5, 2, 1.0, 1.0),
        ("reg:absoluteerror", {}, 1.5, 2, -1.0, 1.0),
        ("reg:quantileerror", {"quantile_alpha": [0.25]}, 2.0, 2, 0.75, 1.0),
        ("reg:quantileerror", {"quantile_alpha": [0.25]}, 1.5, 2, -0.25, 1.0),
        ("reg:quantileerror", {"quantile_alpha": [0.25]}, 2.5, 2, 0.75, 1.0),
        ("reg:squaredlogerror", {}, 10.0, 0, np.log(11) / 11, 1e-6),  # 1 - log(11) is below 0
        ("reg:squaredlogerror", {}, -5.0, 0, np.log(1e-6) / 1e-6, (1 - np.log(1e-6)) / 1e-12),  # as at -1 and 1e-6
        ("binary:logistic", {}, 100.0, 1, -np.exp(-100), 1e-16),
        ("binary:logistic", {}, -100.0, 1, -1.0, 1e-16),
        ("count:poisson", {"max_delta_step": 0.5}, 0.0, 0, 1.0, np.exp(0.5)),
        ("count:poisson", {"max_delta_step": 0.0}, 1.0, 3, np.e - 3, np.e),
        ("reg:gamma", {}, 100.0, 1, 1.0, 0.0),  # less than float32's least
    ],
    ids=str,
)
def test_rows_at_kinks(objective: str, params: Any, margin: float, y: float, g: float, h: float) -> None:
    loss = loss_named(objective, params)
    slope, bend = gradients(loss, np.float32([[margin]]), np.float32([y]))
    assert float(slope[0, 0]) == pytest.approx(g, rel=1e-4, abs=1e-12)
    assert float(bend[0, 0]) == pytest.approx(h, rel=1e-4, abs=0.0)


@pytest.mark.parametrize("margin", [-1.0, -0.5, 0.0, 0.5, 1.0])
@pytest.mark.parametrize("y", [0, 1])
def test_a_hinge_and_a_clipped_logarithm_step_as_in_xgboost(margin: float, y: int) -> None:
    """A leaf of a few equal rows, from margins of their own, is minus their gradients over their hessians and one."""
    for objective in ("binary:hinge", "reg:squaredlogerror"):
        data = xgboost.DMatrix(np.zeros((4, 1)), np.full(4, y), base_margin=np.full(4, margin))
        given = {
            "objective": objective,
            "max_depth": 1,
            "lambda": 1.0,
            "eta": 1.0,
            "min_child_weight": 0,
            "base_score": 0.5,
        }
        leaf = xgboost.train(given, data, 1).predict(data, output_margin=True)[0] - margin
        g, h = gradients(loss_named(objective), np.full((1, 1), margin, np.float32), np.float32([y]))
        assert leaf == pytest.approx(-4 * g[0, 0] / (4 * h[0, 0] + 1), rel=2e-3, abs=1e-5)
