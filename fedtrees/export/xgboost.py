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
probability and for ``count:poisson`` a mean, from which come ``-logf(1 / p - 1)`` and ``logf(p)`` in float32.
Most float32 margins are no such logarithm, and platforms disagree about the last bit of ``logf``. Training
starts from `storable_base_margin`, the nearest margin that XGBoost comes back to on every platform.

The encoding
------------
The model is XGBoost 3.2's own schema in UBJSON, whose typed arrays carry the bits of a float32 as they are.
Nothing is rounded or parsed, which also makes it several times faster than JSON.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xgboost
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.data.labels import Label
from fedtrees.errors import ParameterError
from fedtrees.export.categories import encoded
from fedtrees.export.objectives import objective_named
from fedtrees.export.ubjson import write_ubjson
from fedtrees.trees.losses import Params
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.tree import LEAF, Tree

__all__ = ["accumulate", "storable_base_margin", "to_booster"]

SCHEMA = [3, 2, 0]  # the XGBoost whose schema this is
LOWEST = np.finfo(np.float32).min  # no value lies below it
ROOT_PARENT = 2**31 - 1  # what XGBoost writes as the parent of a root


def to_booster(
    trees: Sequence[Tree],
    cuts: Cuts,
    *,
    objective: str,
    base_margin: ArrayLike,
    n_classes: int = 0,
    n_targets: int = 1,
    params: Params | None = None,
    parallel: int = 1,
    feature_names: Sequence[str] | None = None,
    feature_types: Sequence[str] | None = None,
    categories: Sequence[Sequence[Label] | None] | None = None,
    widths: Sequence[int] | None = None,
    position_bias: NDArray[np.float32] | None = None,
) -> xgboost.Booster:
    """Write trees as XGBoost's own model and load it.

    Parameters
    ----------
    trees : sequence of Tree
        In XGBoost's order: the trees of class 0 to K-1 of the first round, then those of the next; where rounds grow
        several trees a class, those stand side by side.
    cuts : Cuts
        The thresholds of the trees' bins.
    objective : str
        XGBoost's name.
    base_margin : float32 (K,)
        The margin before the first tree, as `storable_base_margin` gives it.
    n_classes : int
        K of ``multi:softprob`` and ``multi:softmax``. The other objectives have a K of ``n_targets``, and ignore it.
    n_targets : int
        Columns of y, or quantiles of it: a tree a round for each.
    params : dict of str to float, or to list of float, optional
        The objective's parameters, by XGBoost's names; XGBoost's defaults stand for others.
    parallel : int, default 1
        Trees a round and class.
    feature_names, feature_types : sequence of str, optional
        One a feature; the types are XGBoost's (``"float"``, ``"int"``, ``"q"``, ``"i"``, ``"c"``).
    categories : sequence of (sequence or None), optional
        Of each feature the categories that its codes count, texts or whole numbers; those that ``cuts`` calls
        categorical need them, if the Booster is to find the codes in a frame by itself.
    widths : sequence of int, optional
        Of each feature, the bits of categories that are whole numbers; without, 64.
    position_bias : float32 (2, positions), optional
        Of a ranking without the bias of positions, its estimate.

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
    known = objective_named(objective)
    margin = np.asarray(base_margin, dtype=np.float32)
    n_margins = n_classes if known.multiclass else n_targets
    if known.multiclass and n_classes < 2:
        raise ParameterError(f"{objective} needs n_classes of 2 or more, not {n_classes}.")
    if margin.shape != (n_margins,):
        raise ParameterError(f"base_margin has shape {margin.shape}; {objective} needs ({n_margins},).")
    if not len(trees) or parallel < 1 or len(trees) % (n_margins * parallel):
        # Without a tree XGBoost forgets to put base_score through its link.
        per_round = n_margins * parallel
        raise ParameterError(f"{len(trees)} trees are no whole number (1 or more) of rounds of {per_round}.")
    model = {
        "learner": {
            "attributes": {},
            "feature_names": _one_per_feature("feature_names", feature_names, cuts),
            "feature_types": _one_per_feature("feature_types", feature_types, cuts),
            "gradient_booster": {
                "model": _gbtree(trees, cuts, n_margins, parallel)
                | {"cats": encoded(_of_splits(categories, cuts), widths)},
                "name": "gbtree",
            },
            "learner_model_param": {
                "base_score": _base_score(objective, margin),
                "boost_from_average": "1",
                "num_class": str(n_classes if known.multiclass else 0),
                "num_feature": str(cuts.n_features),
                "num_target": str(1 if known.multiclass else n_targets),
            },
            "objective": known.as_json(objective, n_classes, params or {}) | _biases(position_bias),
        },
        "version": SCHEMA,
    }
    booster = xgboost.Booster()
    booster.load_model(bytearray(write_ubjson(model)))
    return booster


def accumulate(base_margin: ArrayLike, leaf_values_in_order: ArrayLike) -> NDArray[np.float32]:
    """Margins as XGBoost adds them up: the law above, for the reader and the tests.

    Parameters
    ----------
    base_margin : float32 (K,)
    leaf_values_in_order : float32 (trees, rows)
        The value of every tree for every row, the trees in XGBoost's order: tree ``t`` belongs to class ``t % K``.

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

    Where XGBoost keeps margins this is ``margin`` itself. Elsewhere it is a margin that comes back from a
    float32 prediction through XGBoost's own float32 arithmetic, without a doubtful rounding. With a logistic
    link it is within 1e-3 of the wish between -13.8 and 7, mostly far nearer, and within 0.3 up to 13, as
    float32 is coarse just below 1; with a logarithm within 1e-3 from -87 to 88; further out the last one
    stands for all. Law: what came out goes in unchanged.

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
    link = objective_named(objective).link
    if link is None:
        return wished
    reached = [link.nearest(value)[1] for value in wished.ravel()]
    return np.array(reached, dtype=np.float32).reshape(wished.shape)


def _biases(position_bias: NDArray[np.float32] | None) -> dict[str, object]:
    """The biases of positions by XGBoost's names, of the better rows' and of the others'."""
    if position_bias is None:
        return {}
    return {name: biases.astype(">f4") for name, biases in zip(("ti+", "tj-"), position_bias, strict=True)}


def _one_per_feature(what: str, words: Sequence[str] | None, cuts: Cuts) -> list[str]:
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
    link = objective_named(objective).link
    stored = margin if link is None else [link.nearest(value)[0] for value in margin]
    return "[" + ",".join(repr(float(value)) for value in stored) + "]"


def _of_splits(categories: Sequence[Sequence[Label] | None] | None, cuts: Cuts) -> list[Sequence[Label] | None]:
    """The categories of features that are split by them."""
    given = categories or [None] * cuts.n_features
    return [names if split else None for names, split in zip(given, cuts.categorical, strict=True)]


def _gbtree(trees: Sequence[Tree], cuts: Cuts, n_margins: int, parallel: int) -> dict[str, object]:
    return {
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
    sizes = {"num_deleted": "0", "num_feature": str(cuts.n_features), "size_leaf_vector": "1"}
    written: list[dict[str, object]] = []
    root = 0
    for number, tree in enumerate(trees):
        end = root + tree.n_nodes
        written.append(
            {name: column[root:end] for name, column in columns.items()}
            | _sets(tree)
            | {
                "id": number,  # XGBoost puts the tree at this place, whatever its place in the list
                "tree_param": sizes | {"num_nodes": str(tree.n_nodes)},
            }
        )
        root = end
    return written


def _sets(tree: Tree) -> dict[str, object]:
    """The categories that go right, of the nodes that ask for them."""
    nodes = sorted(tree.categories)
    sizes = np.array([len(tree.categories[node]) for node in nodes], np.int64)
    flat = [np.zeros(0, np.int32), *(np.sort(tree.categories[node]) for node in nodes)]
    return {
        "categories": np.concatenate(flat).astype(">i4"),
        "categories_nodes": np.array(nodes, ">i4"),
        "categories_segments": (np.cumsum(sizes) - sizes).astype(">i8"),
        "categories_sizes": sizes.astype(">i8"),
    }


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
    by_category = np.zeros(len(left), bool)
    by_category[inner] = cuts.categorical[feature[inner]]
    thresholds = np.append(cuts.values, np.float32(0))[at]  # of the missing alone, a split needs no cut
    conditions[inner] = np.where(bins[inner] < 0, LOWEST, np.where(by_category[inner], 0, thresholds))
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
        "split_type": by_category.astype(np.uint8),
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
