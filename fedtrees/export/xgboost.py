"""A grown ensemble as an ordinary `xgboost.Booster`.

The margin law
--------------
XGBoost's CPU predictor adds in float32, the base first and then one leaf a tree, in the trees' order, each to
the margin of the tree's class::

    margin[row, :] = base_margin
    for tree in trees:  # class 0 .. K-1 of the first round, then of the next
        margin[row, tree % K] += leaf of row  # one float32 addition

It sums nothing up by block, thread or round first, so the number of rows, of threads, missing values and the
kind of input (`DMatrix`, dense or sparse, or ``inplace_predict``) leave the bits alone. A training loop that
does as `accumulate` has the exported Booster's margins bit for bit, the sign of a zero included.

The base margin
---------------
XGBoost keeps ``base_score`` as a vector of decimals that read back exactly, in the objective's own space:
margins for ``reg:squarederror`` and ``multi:softprob`` (one a class), but for ``binary:logistic`` a
probability, from which comes ``-logf(1 / p - 1)`` in float32, ``p`` first clamped to [1e-6, 1 - 1e-6]. Most
float32 margins are no such logarithm, and platforms disagree about the last bit of ``logf``. Training starts
from `storable_base_margin`, the nearest margin that XGBoost comes back to on every platform.

The encoding
------------
The model is XGBoost 3.2's own schema in UBJSON, whose typed arrays carry the bits of a float32 as they are.
Nothing is rounded or parsed, which also makes it several times faster than JSON.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xgboost
from numpy.typing import ArrayLike, NDArray

from fedtrees.errors import ParameterError, unknown_value
from fedtrees.trees.tree import LEAF, Cuts, Tree

__all__ = ["accumulate", "storable_base_margin", "to_booster"]

SCHEMA = [3, 2, 0]  # the XGBoost whose schema this is
LOWEST = np.finfo(np.float32).min  # no value lies below it
ROOT_PARENT = 2**31 - 1  # what XGBoost writes as the parent of a root

# XGBoost clamps the probability of a logistic objective's base_score to this distance from 0 and 1.
LEAST_PROBABILITY = np.float32(1e-6)
# How far around the wished probability to look, in steps of its last bit. One in three will do, but where a
# step moves the logarithm by whole float32s neighbours round alike: the longest gap is 3,097 steps.
SEARCH_STEPS = 4096
# A logarithm this close to a float32, in units of its last bit, becomes that float32 in every logf whose
# error is below 0.82 units: glibc's, musl's and ARM's is 0.818 at worst.
CLEAR = 0.18


@dataclass(frozen=True)
class _Objective:
    """How XGBoost writes an objective, and the space it keeps ``base_score`` in."""

    section: str
    parameters: Mapping[str, str]
    logit: bool = False  # base_score is a probability
    multiclass: bool = False  # a margin and a tree a round for every class

    def as_json(self, name: str, n_classes: int) -> dict[str, object]:
        counts = {"num_class": str(n_classes)} if self.multiclass else {}
        return {"name": name, self.section: {**self.parameters, **counts}}


_OBJECTIVES = {
    "binary:logistic": _Objective("reg_loss_param", {"scale_pos_weight": "1"}, logit=True),
    "multi:softprob": _Objective("softmax_multiclass_param", {}, multiclass=True),
    "reg:squarederror": _Objective("reg_loss_param", {"scale_pos_weight": "1"}),
}


def to_booster(
    trees: Sequence[Tree],
    cuts: Cuts,
    *,
    objective: str,
    base_margin: ArrayLike,
    n_classes: int = 0,
    parallel: int = 1,
    feature_names: Sequence[str] | None = None,
    feature_types: Sequence[str] | None = None,
) -> xgboost.Booster:
    """Write trees as XGBoost's own model and load it.

    Parameters
    ----------
    trees : sequence of Tree
        In XGBoost's order: the trees of class 0 to K-1 of the first round, then those of the next; where rounds grow
        several trees a class, those stand side by side.
    cuts : Cuts
        What the trees' bins stand for.
    objective : {"binary:logistic", "multi:softprob", "reg:squarederror"}
    base_margin : float32 (K,)
        The margin before the first tree, as `storable_base_margin` gives it.
    n_classes : int
        K of ``multi:softprob``. The other objectives have a K of 1, whatever it says.
    parallel : int, default 1
        Trees a round and class.
    feature_names, feature_types : sequence of str, optional
        One a feature; the types are XGBoost's (``"float"``, ``"int"``, ``"q"``, ``"i"``).

    Returns
    -------
    xgboost.Booster
        Its margins are `accumulate`'s, bit for bit.

    Raises
    ------
    ParameterError
        If the objective is not known, the trees make no whole number of rounds or none at all, a length does
        not fit, a node refers to what is not there, or XGBoost cannot store ``base_margin``.

    Examples
    --------
    >>> cuts = Cuts(values=np.float32([37.5, 90]), offsets=np.array([0, 2]), missing=np.array([False]))
    >>> stump = Tree(
    ...     feature=np.int32([0, -1, -1]),
    ...     bin=np.int32([0, 0, 0]),
    ...     default_left=np.array([True, False, False]),
    ...     left=np.int32([1, -1, -1]),
    ...     value=np.float32([0, -1, 2]),
    ...     gain=np.float32([8, 0, 0]),
    ...     cover=np.float32([9, 6, 3]),
    ... )
    >>> booster = to_booster([stump], cuts, objective="reg:squarederror", base_margin=[10])
    >>> booster.inplace_predict(np.array([[20.0], [37.5], [np.nan]])).tolist()
    [9.0, 12.0, 9.0]
    >>> booster.get_dump()[0].split()[0]
    '0:[f0<37.5]'
    """
    known = _known(objective)
    margin = np.asarray(base_margin, dtype=np.float32)
    n_margins = n_classes if known.multiclass else 1
    if known.multiclass and n_classes < 2:
        raise ParameterError(f"{objective} needs n_classes of 2 or more, not {n_classes}.")
    if margin.shape != (n_margins,):
        raise ParameterError(f"base_margin has shape {margin.shape}; {objective} needs ({n_margins},).")
    if not len(trees) or parallel < 1 or len(trees) % (n_margins * parallel):
        # Without a tree XGBoost forgets to put base_score through its link.
        a_round = n_margins * parallel
        raise ParameterError(f"{len(trees)} trees are no whole number (1 or more) of rounds of {a_round}.")
    model = {
        "learner": {
            "attributes": {},
            "feature_names": _one_a_feature("feature_names", feature_names, cuts),
            "feature_types": _one_a_feature("feature_types", feature_types, cuts),
            "gradient_booster": {"model": _gbtree(trees, cuts, n_margins, parallel), "name": "gbtree"},
            "learner_model_param": {
                "base_score": _base_score(objective, margin),
                "boost_from_average": "1",
                "num_class": str(n_classes if known.multiclass else 0),
                "num_feature": str(cuts.n_features),
                "num_target": "1",
            },
            "objective": known.as_json(objective, n_classes),
        },
        "version": SCHEMA,
    }
    parts: list[bytes] = []
    _write_ubjson(model, parts)
    booster = xgboost.Booster()
    booster.load_model(bytearray(b"".join(parts)))
    return booster


def accumulate(base_margin: ArrayLike, leaf_values_in_order: ArrayLike) -> NDArray[np.float32]:
    """Margins as XGBoost adds them up: the law above, for the reader and the tests.

    Parameters
    ----------
    base_margin : float32 (K,)
    leaf_values_in_order : float32 (trees, rows)
        What every tree gives every row, the trees in XGBoost's order: tree ``t`` belongs to class ``t % K``.

    Returns
    -------
    float32 (rows, K)

    Examples
    --------
    >>> accumulate([1], [[1e8, 0.25], [-1e8, 0.5]]).ravel().tolist()  # 1 + 1e8 is 1e8 in float32
    [0.0, 1.75]
    """
    base = np.asarray(base_margin, dtype=np.float32)
    leaves = np.asarray(leaf_values_in_order, dtype=np.float32)
    margin = np.tile(base, (leaves.shape[1], 1))
    for tree, leaf in enumerate(leaves):
        margin[:, tree % len(base)] += leaf
    return margin


def storable_base_margin(objective: str, margin: ArrayLike) -> NDArray[np.float32]:
    """The nearest margin to start from that the exported Booster starts from too, on every platform.

    Where XGBoost keeps margins this is ``margin`` itself. For ``binary:logistic`` it is a margin that comes
    back from a float32 probability through XGBoost's own float32 arithmetic, without a doubtful rounding. It
    is within 1e-3 of the wish between -13.8 and 7, mostly far nearer, and within 0.3 up to 13, as float32 is
    coarse just below 1; further out the last one stands for all. Law: what came out goes in unchanged.

    Parameters
    ----------
    objective : str
    margin : float32 (K,)

    Returns
    -------
    float32 (K,)

    Raises
    ------
    ParameterError
        If the objective is not known or a margin is not finite.

    Examples
    --------
    >>> storable_base_margin("reg:squarederror", [0.1]) == np.float32(0.1)
    array([ True])
    >>> bool(abs(storable_base_margin("binary:logistic", [-2.0])[0] + 2) < 1e-6)
    True
    """
    wished = np.asarray(margin, dtype=np.float32)
    if not np.isfinite(wished).all():
        raise ParameterError(f"A base margin is finite, not {wished.tolist()}.")
    if not _known(objective).logit:
        return wished
    reached = [_nearest_logit(value)[1] for value in wished.ravel()]
    return np.array(reached, dtype=np.float32).reshape(wished.shape)


def _known(objective: str) -> _Objective:
    if objective not in _OBJECTIVES:
        raise unknown_value("objective", objective, _OBJECTIVES)
    return _OBJECTIVES[objective]


def _one_a_feature(what: str, words: Sequence[str] | None, cuts: Cuts) -> list[str]:
    if words is not None and len(words) != cuts.n_features:
        raise ParameterError(f"There are {len(words)} {what} for {cuts.n_features} features.")
    return [str(word) for word in words or ()]


def _base_score(objective: str, margin: NDArray[np.float32]) -> str:
    """``base_score`` as XGBoost writes it. A float32 as the decimal of its float64 reads back exactly."""
    reached = storable_base_margin(objective, margin)
    if reached.tobytes() != margin.tobytes():
        raise ParameterError(
            f"XGBoost cannot store base_margin={margin.tolist()} for {objective}: "
            f"train from storable_base_margin(...), {reached.tolist()}."
        )
    stored = [_nearest_logit(value)[0] for value in margin] if _known(objective).logit else margin
    return "[" + ",".join(repr(float(value)) for value in stored) + "]"


def _nearest_logit(wished: np.float32) -> tuple[np.float32, np.float32]:
    """The probability, and its margin in XGBoost, whose margin is nearest to the one wished and beyond doubt.

    The odds are IEEE arithmetic, the same everywhere; only the logarithm depends on the platform.
    """
    one = np.float32(1)
    low, high = LEAST_PROBABILITY, one - LEAST_PROBABILITY
    target = min(max(float(wished), -20.0), 20.0)  # beyond what can be stored, and near enough to tell apart
    centre = np.clip(np.float32(1 / (1 + np.exp(-target))), low, high)
    steps = np.arange(-SEARCH_STEPS, SEARCH_STEPS + 1, dtype=np.int32)
    near = (centre.view(np.int32) + steps).view(np.float32)
    near = near[(near >= low) & (near <= high)]
    exact = -np.log((one / near - one).astype(np.float64))
    margin = exact.astype(np.float32)
    unit = np.spacing(np.nextafter(np.abs(margin), np.float32(0)))  # the finer one at a power of two
    clear = np.abs(exact - margin) <= CLEAR * unit
    best = np.argmin(np.where(clear, np.abs(margin.astype(np.float64) - target), np.inf))
    return near[best], margin[best]


def _gbtree(trees: Sequence[Tree], cuts: Cuts, n_margins: int, parallel: int) -> dict[str, object]:
    return {
        "cats": {"enc": [], "feature_segments": [], "sorted_idx": []},
        "gbtree_model_param": {"num_parallel_tree": str(parallel), "num_trees": str(len(trees))},
        "iteration_indptr": list(range(0, len(trees) + 1, n_margins * parallel)),
        "tree_info": [tree // parallel % n_margins for tree in range(len(trees))],
        "trees": _trees(trees, cuts),
    }


def _trees(trees: Sequence[Tree], cuts: Cuts) -> list[dict[str, object]]:
    """All trees in XGBoost's schema. The arrays are made for all nodes at once and cut at the roots."""
    columns = {
        # Big-endian is UBJSON's order; int32, int64, uint8 and float32 are the types that XGBoost insists on.
        name: column.astype(column.dtype.newbyteorder(">"))
        for name, column in _node_columns(trees, cuts).items()
    }
    no_categories = {
        "categories": np.empty(0, ">i4"),
        "categories_nodes": np.empty(0, ">i4"),
        "categories_segments": np.empty(0, ">i8"),
        "categories_sizes": np.empty(0, ">i8"),
    }
    sizes = {"num_deleted": "0", "num_feature": str(cuts.n_features), "size_leaf_vector": "1"}
    written: list[dict[str, object]] = []
    root = 0
    for number, tree in enumerate(trees):
        end = root + tree.n_nodes
        written.append(
            {name: column[root:end] for name, column in columns.items()}
            | no_categories
            | {
                "id": number,  # XGBoost puts the tree at this place, whatever its place in the list
                "tree_param": sizes | {"num_nodes": str(tree.n_nodes)},
            }
        )
        root = end
    return written


def _node_columns(trees: Sequence[Tree], cuts: Cuts) -> dict[str, NDArray[np.generic]]:
    """XGBoost's arrays over the nodes of all trees, one tree after the other."""
    sizes = np.array([tree.n_nodes for tree in trees])
    root = np.repeat(np.cumsum(sizes) - sizes, sizes)  # of a node's tree
    here = np.arange(sizes.sum()) - root  # a node's number in its tree
    feature = np.concatenate([tree.feature for tree in trees])
    bins = np.concatenate([tree.bin for tree in trees])
    left = np.concatenate([tree.left for tree in trees])
    value = np.concatenate([tree.value for tree in trees])
    inner = feature != LEAF
    _check_nodes(feature[inner], bins[inner], left[inner], here[inner], np.repeat(sizes, sizes)[inner], cuts)

    child = root[inner] + left[inner]
    parents = np.full(len(left), ROOT_PARENT)
    parents[child] = parents[child + 1] = here[inner]
    conditions = value.copy()  # XGBoost keeps a leaf's value where a split has its threshold
    at = cuts.offsets[feature[inner]] + np.maximum(bins[inner], 0)
    conditions[inner] = np.where(bins[inner] < 0, LOWEST, cuts.values[at])
    defaults = np.concatenate([tree.default_left for tree in trees])
    return {
        "base_weights": value.astype(np.float32),
        "default_left": (defaults & inner).astype(np.uint8),
        "left_children": np.where(inner, left, LEAF).astype(np.int32),
        "loss_changes": np.concatenate([tree.gain for tree in trees]).astype(np.float32),
        "parents": parents.astype(np.int32),
        "right_children": np.where(inner, left + 1, LEAF).astype(np.int32),
        "split_conditions": conditions.astype(np.float32),
        "split_indices": np.where(inner, feature, 0).astype(np.int32),
        "split_type": np.zeros(len(left), dtype=np.uint8),
        "sum_hessian": np.concatenate([tree.cover for tree in trees]).astype(np.float32),
    }


def _check_nodes(
    feature: NDArray[np.int32],
    bins: NDArray[np.int32],
    left: NDArray[np.int32],
    here: NDArray[np.int64],
    size: NDArray[np.int64],
    cuts: Cuts,
) -> None:
    """Refuse what XGBoost would follow blindly out of its arrays."""
    if ((feature < 0) | (feature >= cuts.n_features)).any():
        raise ParameterError(f"A node splits a feature outside of 0 .. {cuts.n_features - 1}.")
    if ((bins < -1) | (bins >= cuts.n_values[feature])).any():
        raise ParameterError("A node splits at a bin that has no cut.")
    if ((left <= here) | (left + 1 >= size)).any():
        raise ParameterError("A node's children are not further on in its tree.")


_MARKERS = {"f4": b"d", "i4": b"l", "i8": b"L", "u1": b"U"}


def _write_ubjson(value: object, parts: list[bytes]) -> None:
    """Append a value in UBJSON (draft 12): every length is an int64, arrays of numbers are typed."""
    if isinstance(value, np.ndarray):
        parts += (b"[$", _MARKERS[value.dtype.str[1:]], b"#", _int64(len(value)), value.tobytes())
    elif isinstance(value, dict):
        parts.append(b"{")
        for key, item in value.items():
            parts.append(_text(key))
            _write_ubjson(item, parts)
        parts.append(b"}")
    elif isinstance(value, list):
        parts += (b"[#", _int64(len(value)))
        for item in value:
            _write_ubjson(item, parts)
    elif isinstance(value, str):
        parts += (b"S", _text(value))
    elif isinstance(value, int):
        parts.append(_int64(value))
    else:
        raise TypeError(f"{type(value).__name__} has no place in an XGBoost model.")


def _int64(value: int) -> bytes:
    return struct.pack(">cq", b"L", value)


def _text(text: str) -> bytes:
    data = text.encode()
    return _int64(len(data)) + data
