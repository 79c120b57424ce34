"""XGBoost itself as a twin: the same parameters and the same bins must give the same trees, node for node."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from numpy.typing import NDArray

from fedtrees import FedGBTClassifier, FedGBTRegressor

VALUES = 24  # the whole numbers below, of each feature


def few_values(
    n: int = 2000, features: int = 5, seed: int = 0, missing: float = 0.1
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float32]]:
    """Whole numbers, few of each feature, so that both make a bin of each; targets and weights that tie no gains."""
    rng = np.random.default_rng(seed)
    X = rng.integers(0, VALUES, (n, features)).astype(np.float32)
    y = np.sin(X[:, 0] / 4) + 0.1 * X[:, 1] - 0.02 * X[:, 2] * (X[:, 3] > 11) + 0.4 * rng.normal(size=n)
    X[rng.random(X.shape) < missing] = np.nan
    return X, y, rng.uniform(0.5, 1.5, n).astype(np.float32)


def searches(
    n: int, queries: int, seed: int = 0, objective: str = "rank:ndcg"
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int64]]:
    """Whole numbers, few of each column, relevances that follow one of them, and ascending query ids."""
    rng = np.random.default_rng(seed)
    qid = np.sort(rng.integers(0, queries, n))
    X = rng.integers(0, 24, (n, 4)).astype(np.float32)
    relevance = np.clip(np.round(X[:, 0] / 6 + 0.7 * rng.normal(size=n)), 0, 4)
    return X, (relevance > 1).astype(float) if objective == "rank:map" else relevance, qid


def with_categories(
    n: int = 2000, seed: int = 0, missing: float = 0.1
) -> tuple[pd.DataFrame, NDArray[np.float64], NDArray[np.float32]]:
    """Numbers and categories, of texts and of numbers, in no order; few, some and many of them."""
    X, y, weight = few_values(n, seed=seed, missing=missing)
    rng = np.random.default_rng(seed + 1)
    frame = pd.DataFrame(X, columns=list("abcde"))
    for name, size in (("few", 3), ("some", 12), ("many", 150)):
        codes = rng.integers(0, size, n)
        y = y + 0.5 * rng.normal(size=size)[codes]
        frame[name] = pd.Categorical.from_codes(codes, [f"{name} {k}" for k in rng.permutation(size)])
        frame.loc[rng.random(n) < missing, name] = None
    frame["dose"] = pd.Categorical(rng.choice([30, 10, 20, 7, 5, 3], n))
    return frame, y, weight


def trained(
    X: Any, y: NDArray[Any], weight: NDArray[np.float32] | None, rounds: int, **params: Any
) -> tuple[xgboost.Booster, xgboost.Booster]:
    """Our Booster and XGBoost's, of the same parameters."""
    classifies = params.get("objective", "reg:squarederror").split(":")[0] in ("binary", "multi")
    params = {"base_score": 0.5} | params
    if params.get("objective") == "multi:softprob":
        del params["base_score"]
    model = (FedGBTClassifier if classifies else FedGBTRegressor)(rounds, max_bin=512, n_jobs=1, **params)
    silos = np.arange(len(y)) % 3
    ours = model.fit(X, y, silos=silos, sample_weight=weight).booster_
    categorical = params.pop("enable_categorical", False)
    matrix = xgboost.QuantileDMatrix(X, y, weight=weight, max_bin=512, enable_categorical=categorical)
    if params.get("objective") == "multi:softprob":
        params["num_class"] = len(np.unique(y))
    params = {"objective": "reg:squarederror"} | params
    theirs = xgboost.train(params | {"tree_method": "hist", "max_bin": 512, "nthread": 1}, matrix, rounds)
    return ours, theirs


def trees_of(booster: xgboost.Booster) -> list[dict[str, Any]]:
    """Its trees, as XGBoost writes them."""
    model = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]
    trees: list[dict[str, Any]] = model["trees"]
    return trees


def tables_of(booster: xgboost.Booster) -> pd.DataFrame:
    """All nodes of all trees: what they ask, where the missing go, their children and values."""
    frames = []
    for number, tree in enumerate(trees_of(booster)):
        inner = np.array(tree["left_children"]) >= 0
        condition = np.array(tree["split_conditions"], np.float64)
        sets = ["" for _ in inner]
        starts, sizes = tree["categories_segments"], tree["categories_sizes"]
        for node, start, size in zip(tree["categories_nodes"], starts, sizes, strict=True):
            sets[node] = str(tree["categories"][start : start + size])
        frame = pd.DataFrame(
            {
                "tree": number,
                "feature": np.where(inner, tree["split_indices"], -1),
                # how many whole numbers lie below the threshold
                "below": np.where(inner & (np.array(sets) == ""), np.clip(np.ceil(condition), 0, VALUES), 0),
                "categories": sets,
                "default_left": np.array(tree["default_left"], bool) & inner,
                "left": tree["left_children"],
                "right": tree["right_children"],
                "leaf": np.where(inner, 0, condition),
                "gain": np.where(inner, tree["loss_changes"], 0),
                "cover": tree["sum_hessian"],
            }
        )
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def same_trees(ours: xgboost.Booster, theirs: xgboost.Booster, values: NDArray[np.float32] | None = None) -> int:
    """Assert that both have the same trees, node for node; returns how many nodes there are."""
    own, other = tables_of(ours), tables_of(theirs)
    asked = ["tree", "feature", "below", "categories", "default_left", "left", "right"]
    differs = (own[asked].values[: len(other)] != other[asked].values[: len(own)]).any(axis=1)
    place = int(np.argmax(differs)) if differs.any() else min(len(own), len(other)) - 1
    assert len(own) == len(other) and not differs.any(), (
        f"{differs.sum()} nodes differ of {len(own)} and {len(other)}:\n{own.iloc[max(0, place - 1) : place + 2]}\n"
        f"{other.iloc[max(0, place - 1) : place + 2]}"
    )
    for name, rel, tolerance in (("leaf", 2e-3, 2e-5), ("gain", 2e-3, 2e-2), ("cover", 1e-4, 1e-2)):
        assert own[name].to_numpy() == pytest.approx(other[name].to_numpy(), rel=rel, abs=tolerance), name
    return len(own)


def by_xgboost(
    margin: NDArray[np.float32], y: NDArray[Any], name: str, weight: Any = None, objective: str = "", **more: Any
) -> float:
    """XGBoost's metric of these margins."""
    outputs = 1 if margin.ndim == 1 else margin.shape[1]
    # of raw margins: probabilities near 1 are equal in float32
    params = {"objective": objective or ("binary:logitraw" if outputs == 1 else "multi:softprob"), "eval_metric": name}
    params |= {"base_score": 0.5, "disable_default_eval_metric": 1} | ({"num_class": outputs} if outputs > 1 else {})
    data = xgboost.DMatrix(np.zeros((len(y), 1)), y, weight=weight, base_margin=margin, **more)
    return float(re.findall(r":(\S+)", xgboost.train(params, data, 0).eval(data))[-1])
