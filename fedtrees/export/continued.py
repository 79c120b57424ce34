"""An earlier XGBoost model that training goes on from, and the model that holds its trees and the new ones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import xgboost
from numpy.typing import NDArray

from fedtrees.errors import DataError, ProtocolError
from fedtrees.export.objectives import Json
from fedtrees.trees.messages.earlier_model import EarlierModel
from fedtrees.trees.model.gradient_scale import GradientScale

D = TypeVar("D", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Continued:
    """An earlier model: in XGBoost's JSON, and as the message that silos receive.

    Attributes
    ----------
    model : dict
        XGBoost's JSON.
    objective : str
    trees : EarlierModel
    rounds : int
    gradient_scale : GradientScale, optional
        That its next round would have had; see `trees.server.gradient_scales.GradientScales`.
    position_bias : float32 (2, positions), optional
        Of a ranking without the bias of positions, its estimate.
    """

    model: Json
    objective: str
    trees: EarlierModel
    rounds: int
    gradient_scale: GradientScale | None = None
    position_bias: NDArray[np.float32] | None = None

    @staticmethod
    def read(booster: xgboost.Booster) -> Continued:
        """Read a model.

        Raises
        ------
        DataError
            For a booster of other than plain trees, or of some that are none.
        """
        model: Json = json.loads(booster.save_raw("json"))
        learner = model["learner"]
        kind = learner["gradient_booster"]["name"]
        if kind != "gbtree":
            raise DataError(f"xgb_model: a model of {kind!r}; only one of 'gbtree' can be continued.")
        forest = learner["gradient_booster"]["model"]
        if any(tree["tree_param"]["size_leaf_vector"] not in ("0", "1") for tree in forest["trees"]):
            raise DataError("xgb_model: a model whose leaves hold vectors, which fedtrees does not make.")
        if not forest["trees"]:
            raise DataError("xgb_model: a model without trees.")
        base_margin = _base_margin(model)
        features = int(learner["learner_model_param"]["num_feature"])
        rounds = len(forest["iteration_indptr"]) - 1
        biases = [learner["objective"][name] for name in ("ti+", "tj-") if name in learner["objective"]]
        position_bias = np.array(biases, np.float32) if len(biases) == 2 else None
        trees = _earlier_model(forest, features, base_margin)
        try:
            trees.check(features)  # silos would refuse them, too
        except ProtocolError as error:
            raise DataError(f"xgb_model: {error}.") from error
        return Continued(model, learner["objective"]["name"], trees, rounds, position_bias=position_bias)

    def with_new(self, booster: xgboost.Booster) -> xgboost.Booster:
        """The model that holds the earlier trees, then those of ``booster``, whose names and attributes it takes.

        Law: its margins start from the earlier model's and add the trees in this order, each in float32.
        """
        merged: Json = json.loads(booster.save_raw("json"))
        learner, before = merged["learner"], self.model["learner"]
        new, old = learner["gradient_booster"]["model"], before["gradient_booster"]["model"]
        n_old = len(old["trees"])
        for tree in new["trees"]:
            tree["id"] += n_old
        new["trees"] = old["trees"] + new["trees"]
        new["tree_info"] = old["tree_info"] + new["tree_info"]
        new["iteration_indptr"] = old["iteration_indptr"] + [n_old + end for end in new["iteration_indptr"][1:]]
        new["gbtree_model_param"] = new["gbtree_model_param"] | {"num_trees": str(len(new["trees"]))}
        learner["learner_model_param"]["base_score"] = before["learner_model_param"]["base_score"]
        return _loaded(merged)


def _loaded(model: Json) -> xgboost.Booster:
    booster = xgboost.Booster()
    booster.load_model(bytearray(json.dumps(model).encode()))
    return booster


def _base_margin(model: Json) -> NDArray[np.float32]:
    """The margins that XGBoost starts from: those of the model with an empty leaf for each output."""
    learner = model["learner"]
    forest = learner["gradient_booster"]["model"]
    params = learner["learner_model_param"]
    outputs = max(1, int(params["num_class"]), int(params["num_target"]))
    leaf = _stump(forest["trees"][0])
    blank = {
        **forest,
        "trees": [{**leaf, "id": k} for k in range(outputs)],
        "tree_info": list(range(outputs)),
        "iteration_indptr": [0, outputs],
        "gbtree_model_param": {**forest["gbtree_model_param"], "num_trees": str(outputs), "num_parallel_tree": "1"},
    }
    bare = {**learner, "gradient_booster": {**learner["gradient_booster"], "model": blank}}
    booster = _loaded({**model, "learner": bare})
    nothing = np.full((1, int(params["num_feature"])), np.nan, np.float32)
    margin: NDArray[np.float32] = booster.inplace_predict(nothing, predict_type="margin", validate_features=False)
    return margin.reshape(-1).astype(np.float32)


def _stump(tree: Json) -> Json:
    """A tree of one leaf of value 0, in the form of another."""
    nodes = int(tree["tree_param"]["num_nodes"])
    blank: Json = {"left_children": [-1], "right_children": [-1], "parents": [2**31 - 1]}
    blank |= {name: [] for name in tree if name.startswith("categories")}
    for name, column in tree.items():
        if isinstance(column, list) and len(column) == nodes:
            blank.setdefault(name, [type(column[0])()])  # a float stays one: XGBoost insists
    return {**tree, **blank, "tree_param": {**tree["tree_param"], "num_nodes": "1"}}


def _earlier_model(forest: Json, features: int, base_margin: NDArray[np.float32]) -> EarlierModel:
    trees = forest["trees"]

    def column(name: str, dtype: type[D]) -> NDArray[D]:
        return np.concatenate([np.array(tree[name], dtype) for tree in trees])

    left = column("left_children", np.int32)
    feature = np.where(left < 0, -1, column("split_indices", np.int32)).astype(np.int32)
    by_category, categories, category_ends = _sets(trees)
    return EarlierModel(
        features=features,
        base_margin=base_margin,
        ends=np.cumsum([len(tree["left_children"]) for tree in trees]).astype(np.int64),
        output=np.array(forest["tree_info"], np.int32),
        feature=feature,
        value=column("split_conditions", np.float32),
        default_left=column("default_left", np.bool_),
        left=left,
        right=column("right_children", np.int32),
        by_category=by_category,
        categories=categories,
        category_ends=category_ends,
    )


def _sets(trees: list[Json]) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """The nodes of all trees that ask for categories, those that go right, and their ends; see `EarlierModel`."""
    nodes, sets, first = [np.zeros(0, np.int64)], [np.zeros(0, np.int32)], 0
    for tree in trees:
        nodes.append(first + np.array(tree["categories_nodes"], np.int64))
        for start, size in zip(tree["categories_segments"], tree["categories_sizes"], strict=True):
            sets.append(np.array(tree["categories"][start : start + size], np.int32))
        first += len(tree["left_children"])
    ends = np.cumsum([len(codes) for codes in sets[1:]], dtype=np.int64)
    return np.concatenate(nodes), np.concatenate(sets), ends
