"""Trees that are wrong by one: every record that carries trees refuses them, and takes the largest legal values."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import xgboost
from flat import of_trees

from fedtrees import DataError, FedGBTRegressor, ProtocolError, Silo
from fedtrees.bagging.facts import Joined
from fedtrees.bagging.local_tree import FIELDS, LocalTree, of_integers, to_integers
from fedtrees.export.continued import Continued
from fedtrees.trees.messages.earlier_model import EarlierModel
from fedtrees.trees.messages.training import Begin, Grown
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.flat_trees import FlatTrees
from fedtrees.trees.model.shape import Shape
from fedtrees.trees.silo.state import TreeState

# two features of two cuts each, the second of which may be missing
CUTS = Cuts(np.float32([1, 2, 1, 2]), np.array([0, 2, 4]), np.array([False, True]))
FINE: dict[str, Any] = {
    "feature": np.int32([1, 0, -1, -1, -1]),
    "bin": np.int32([2, 1, 0, 0, 0]),  # the last bin of each
    "default_left": np.zeros(5, bool),
    "left": np.int32([1, 3, -1, -1, -1]),  # to the last node that has one beside it
}
WRONG: dict[str, dict[str, Any]] = {
    "a feature too many": {"feature": np.int32([2, 0, -1, -1, -1])},
    "its own child": {"left": np.int32([0, 3, -1, -1, -1])},
    "a node below that is its own child": {"left": np.int32([1, 1, -1, -1, -1])},
    "a child before it": {"left": np.int32([1, 0, -1, -1, -1])},
    "a right child too many": {"left": np.int32([1, 4, -1, -1, -1])},
    "a bin too many": {"bin": np.int32([3, 1, 0, 0, 0])},
    "a bin too many, without missing values": {"bin": np.int32([2, 2, 0, 0, 0])},
    "a bin before those of the missing": {"bin": np.int32([-2, 1, 0, 0, 0])},
    "a category that no feature has": {"categories": np.int32([0]), "category_ends": np.int32([1])},
}
OVER_VALUES = [name for name in WRONG if "bin" not in name and "category" not in name]


def shapes(**other: Any) -> list[Shape]:
    return FlatTrees(np.int32([5]), **FINE | other).shapes(CUTS)


def begun() -> Silo:
    silo = Silo("a", [[0.5, 1.5], [1.5, np.nan]], [0.0, 1.0])
    Begin("reg:squarederror", None, np.zeros(1, np.float32), CUTS.values, CUTS.offsets, CUTS.missing).apply(silo)
    return silo


@pytest.mark.parametrize("wrong", WRONG)
def test_shapes_and_grown_trees(wrong: str) -> None:
    assert len(shapes()) == 1
    with pytest.raises(ProtocolError):
        shapes(**WRONG[wrong])
    silo = begun()
    of_trees(Grown, value=np.zeros(5, np.float32), **FINE).apply(silo)
    with pytest.raises(ProtocolError):
        of_trees(Grown, value=np.zeros(5, np.float32), **FINE | WRONG[wrong]).apply(silo)
    assert len(silo.states.find(TreeState).forest) == 1


def test_categories_at_their_ends() -> None:
    cuts = Cuts(np.float32([1, 2, 3]), np.array([0, 3]), np.array([False]), np.array([True]))
    leaf = np.int32([0, -1, -1]), np.int32([0, 0, 0]), np.zeros(3, bool), np.int32([1, -1, -1])
    for category, fine in ((0, True), (2, True), (3, False), (-1, False)):
        given = FlatTrees(np.int32([3]), *leaf, np.int32([category]), np.int32([1]))
        if fine:
            assert given.shapes(cuts)[0].categories[0].tolist() == [category]
        else:
            with pytest.raises(ProtocolError, match="a category that there is not"):
                given.shapes(cuts)
    for feature in (1, -2, 2**31 - 1):  # the first that there is not, among features of categories
        beyond = FlatTrees(np.int32([3]), np.int32([feature, -1, -1]), *leaf[1:])
        if feature < 0:
            assert not beyond.shapes(cuts)[0].categories
        else:
            with pytest.raises(ProtocolError, match="a feature, or a child, that there is not"):
                beyond.shapes(cuts)


def over_values(kind: type[EarlierModel], **other: Any) -> EarlierModel:
    parts = FINE | other
    return kind(
        features=2, base_margin=np.zeros(1, np.float32), ends=np.array([5]), output=np.zeros(1, np.int32),
        feature=parts["feature"], value=np.zeros(5, np.float32), default_left=parts["default_left"],
        left=parts["left"], right=np.where(parts["left"] < 0, -1, parts["left"] + 1).astype(np.int32),
    )  # fmt: skip


@pytest.mark.parametrize("kind", [EarlierModel, Joined])
@pytest.mark.parametrize("wrong", OVER_VALUES)
def test_trees_over_values(wrong: str, kind: type[EarlierModel]) -> None:
    over_values(kind).check(2)
    with pytest.raises(ProtocolError, match="of an earlier model"):
        over_values(kind, **WRONG[wrong]).check(2)
    with pytest.raises(ProtocolError):
        over_values(kind, **WRONG[wrong]).apply(Silo("a", [[0.5, 1.5]], [0.0]))


@pytest.mark.parametrize("wrong", OVER_VALUES)
def test_trees_that_silos_send(wrong: str) -> None:
    nothing = np.zeros(5, np.float32)

    def sent(**other: Any) -> list[LocalTree]:
        parts = FINE | other
        tree = LocalTree(parts["feature"], nothing, parts["default_left"], parts["left"], nothing, nothing)
        return of_integers(to_integers([tree], 5), 1, 2)

    assert sent()[0].left.tolist() == FINE["left"].tolist()
    with pytest.raises(ProtocolError):
        sent(**WRONG[wrong])
    for nodes, fine in ((5, True), (6, False), (0, False)):
        integers = to_integers(
            [LocalTree(FINE["feature"], nothing, FINE["default_left"], FINE["left"], nothing, nothing)], 5
        )
        assert len(integers) == 1 + 5 * FIELDS
        integers[0] = nodes
        if fine:
            of_integers(integers, 1, 2)
        else:
            with pytest.raises(ProtocolError, match="a tree of"):
                of_integers(integers, 1, 2)


@pytest.mark.parametrize(
    ("column", "value"),
    [("split_indices", 3), ("left_children", 0), ("right_children", 0), ("right_children", 10**6)],
    ids=str,
)
def test_a_model_that_is_read(column: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(size=(60, 3))
    booster = FedGBTRegressor(1, max_depth=2, n_jobs=1).fit(X, X[:, 0]).booster_
    assert Continued.read(booster).rounds == 1
    model = json.loads(booster.save_raw("json"))
    model["learner"]["gradient_booster"]["model"]["trees"][0][column][0] = value
    # XGBoost itself may refuse to load it: what is read is what it would write
    monkeypatch.setattr(xgboost.Booster, "save_raw", lambda *_: json.dumps(model).encode())
    monkeypatch.setattr("fedtrees.export.continued._base_margin", lambda model: np.zeros(1, np.float32))
    with pytest.raises(DataError, match="xgb_model: a tree of an earlier model with a feature, child or output"):
        Continued.read(booster)


@pytest.mark.parametrize("size", ["0", "1", "2", "3", "4", "16"])
@pytest.mark.parametrize("place", [0, 1])
def test_leaves_of_more_than_one_number_are_refused(size: str, place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before XGBoost, which would end the process, is asked anything of them."""
    X = np.random.default_rng(0).normal(size=(60, 3))
    booster = FedGBTRegressor(2, max_depth=2, n_jobs=1).fit(X, X[:, 0]).booster_
    model = json.loads(booster.save_raw("json"))
    model["learner"]["gradient_booster"]["model"]["trees"][place]["tree_param"]["size_leaf_vector"] = size
    monkeypatch.setattr(xgboost.Booster, "save_raw", lambda *_: json.dumps(model).encode())
    monkeypatch.setattr("fedtrees.export.continued._base_margin", lambda model: np.zeros(1, np.float32))
    if size in ("0", "1"):
        assert Continued.read(booster).rounds == 2
    else:
        with pytest.raises(DataError, match="xgb_model: a model whose leaves hold vectors"):
            Continued.read(booster)
