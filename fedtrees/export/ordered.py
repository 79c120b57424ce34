"""A Booster whose leaves keep to monotone constraints, where those that XGBoost refits do not."""

from __future__ import annotations

import json

import numpy as np
import xgboost
from numpy.typing import NDArray

from fedtrees.export.objectives import Json
from fedtrees.trees.server import monotone


def in_order(booster: xgboost.Booster, direction: NDArray[np.int8]) -> xgboost.Booster:
    """The model with leaves as `server.monotone.in_order` puts them; the model itself where they already stand so.

    Parameters
    ----------
    booster : xgboost.Booster
    direction : int8 (features,)
        See `trees.server.constraints.Constraints`.
    """
    if not direction.any():
        return booster
    model: Json = json.loads(booster.save_raw("json"))
    moved = [_put_in_order(tree, direction) for tree in model["learner"]["gradient_booster"]["model"]["trees"]]
    if not any(moved):
        return booster
    ordered = xgboost.Booster(model_file=bytearray(json.dumps(model).encode()))
    ordered.load_config(booster.save_config())  # the settings of its training, which a loaded model lacks
    return ordered


def _put_in_order(tree: Json, direction: NDArray[np.int8]) -> bool:
    """Move a tree's leaves; returns whether any had to be."""
    left, right = (np.array(tree[f"{side}_children"], np.int64) for side in ("left", "right"))
    feature = np.where(left >= 0, np.array(tree["split_indices"], np.int64), -1)
    value, weight = np.array(tree["split_conditions"], np.float32), np.array(tree["sum_hessian"], np.float64)
    moved = monotone.in_order(feature, left, right, value, weight, direction)
    changed = np.flatnonzero(moved != value)
    for node in changed.tolist():
        tree["split_conditions"][node] = tree["base_weights"][node] = float(moved[node])
    return len(changed) > 0
