"""A tree as arrays, and the cut points its bins stand for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtrees.errors import ProtocolError
from fedtrees.trees.model.moments import Moments

NO_BIN = 0xFFFF  # above every bin
LEAF = -1  # the feature, and the left child, of a node that is not split


@dataclass(frozen=True, eq=False)
class Cuts:
    """Where every feature's bins end: one flat array, ragged by feature.

    Feature ``f`` owns ``values[offsets[f]:offsets[f + 1]]``, ascending. A value ``x`` falls in the first bin
    whose cut lies above it, so ``bin <= b`` means the same as ``x < cuts[b]``, XGBoost's rule. The last cut lies
    above everything seen: only a split of the present from the missing uses it. A feature that is missing
    somewhere has one more bin, its last, for the missing. A feature that is missing everywhere has no cuts.

    Attributes
    ----------
    values : float32 (cuts,)
    offsets : int64 (features + 1,)
    missing : bool (features,)
        Whether the feature has a bin for the missing.
    categorical : bool (features,), default none
        Whether its bins are categories, each of one code, so that any of them may go either way.
    middles : float64 (cuts,), default their places
        The middle of what each bin holds, which thresholds between some rows' bins go by; the server alone has them.
    missing_high : bool (features,), default none
        Whether a few missing values share the bin of the highest values, and so go right; the server alone has it.
    """

    values: NDArray[np.float32]
    offsets: NDArray[np.int64]
    missing: NDArray[np.bool_]
    categorical: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    middles: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    missing_high: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    any_categorical: bool = field(init=False)
    n_values: NDArray[np.int64] = field(init=False)  # value bins a feature
    n_bins: NDArray[np.int64] = field(init=False)  # value bins plus the missing bin
    bin_offsets: NDArray[np.int64] = field(init=False)  # where a feature's bins start in a histogram

    def __post_init__(self) -> None:
        if len(self.offsets) != len(self.missing) + 1:
            raise ProtocolError(f"cut points of {len(self.offsets) - 1} features, or of {len(self.missing)}?")
        if not len(self.categorical):
            object.__setattr__(self, "categorical", np.zeros(len(self.missing), bool))
        if len(self.categorical) != len(self.missing):
            raise ProtocolError(f"kinds of {len(self.categorical)} features, or of {len(self.missing)}?")
        if not len(self.missing_high):
            object.__setattr__(self, "missing_high", np.zeros(len(self.missing), bool))
        if len(self.middles) != len(self.values):
            object.__setattr__(self, "middles", np.arange(len(self.values), dtype=np.float64))
        object.__setattr__(self, "any_categorical", bool(self.categorical.any()))
        n_values = np.diff(self.offsets)
        n_bins = n_values + self.missing
        object.__setattr__(self, "n_values", n_values)
        object.__setattr__(self, "n_bins", n_bins)
        object.__setattr__(self, "bin_offsets", np.concatenate(([0], np.cumsum(n_bins))).astype(np.int64))

    @property
    def n_features(self) -> int:
        """Features, those without cuts included."""
        return len(self.missing)

    @property
    def total_bins(self) -> int:
        """Bins of all features together."""
        return int(self.bin_offsets[-1])

    def bins_of(self, features: NDArray[np.integer]) -> NDArray[np.int64]:
        """Where the bins of some features stand in a histogram of all, int64 (bins,)."""
        starts, n_bins = self.bin_offsets[features], self.n_bins[features]
        within = np.arange(n_bins.sum()) - np.repeat(np.cumsum(n_bins) - n_bins, n_bins)
        bins: NDArray[np.int64] = np.repeat(starts, n_bins) + within
        return bins

    def check(self, n_features: int) -> None:
        """Refuse cuts that are none for a table of so many features: kernels trust them.

        Raises
        ------
        ProtocolError
        """
        if (
            self.n_features != n_features
            or self.offsets[0] != 0
            or self.offsets[-1] != len(self.values)
            or (self.n_values < 0).any()
            or (self.n_bins < 1).any()
        ):
            raise ProtocolError(f"cut points that are not those of {n_features} features")
        inside = np.ones(max(len(self.values) - 1, 0), bool)
        starts = self.offsets[1:-1]
        inside[starts[(starts > 0) & (starts < len(self.values))] - 1] = False
        if not (self.values[1:] > self.values[:-1])[inside].all() or self.n_bins.max() > NO_BIN:
            raise ProtocolError("cut points that do not rise, or more of a feature than its bins can be numbered")

    def of(self, feature: int) -> NDArray[np.float32]:
        """The cuts of one feature, ascending; the last is the upper end."""
        return self.values[self.offsets[feature] : self.offsets[feature + 1]]


Categories = dict[int, NDArray[np.int32]]  # by node, those that go right


@dataclass(frozen=True, eq=False)
class Tree:
    """A grown tree. Node 0 is the root; the right child stands beside the left, at ``left + 1``.

    Attributes
    ----------
    feature : int32 (nodes,)
        The feature a node asks for, ``LEAF`` where it asks none.
    bin : int32 (nodes,)
        Rows of this bin or a lower one go left; at -1, only those that miss the feature do. 0 where categories are.
    default_left : bool (nodes,)
        Whether rows that miss the feature go left.
    left : int32 (nodes,)
        The left child, ``LEAF`` at a leaf.
    value : float32 (nodes,)
        What a leaf adds to the margin, learning rate included; at an inner node, what it would add as a leaf.
    gain : float32 (nodes,)
        Loss reduction of the split, 0 at a leaf; float64 where impurities are compared.
    cover : float32 (nodes,)
        The sum of hessians.
    categories : dict of int to int32 (any,)
        Of the nodes that ask for a categorical feature, the categories that go right.
    sums : float64 (nodes, statistics)
        Of a tree that is not boosted, the weight of each class; see `trees.server.impurity`.
    bounds : float64 (nodes, 2) or (0, 2)
        Where constraints are monotone, what each node may predict; see `split.Rule.predicted`.
    moments : Moments, optional
        Of a tree of numbers that is not boosted: means and impurities.
    """

    feature: NDArray[np.int32]
    bin: NDArray[np.int32]
    default_left: NDArray[np.bool_]
    left: NDArray[np.int32]
    value: NDArray[np.float32]
    gain: NDArray[np.floating]
    cover: NDArray[np.float32]
    categories: Categories = field(default_factory=dict)
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    bounds: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    moments: Moments | None = None

    @property
    def n_nodes(self) -> int:
        """Inner nodes and leaves."""
        return len(self.feature)


@dataclass(frozen=True, eq=False)
class Shape:
    """How a tree asks its questions, without what its leaves say: what rows need to find their nodes.

    ``missing`` is the bin that stands for the missing of the node's feature, `NO_BIN` where it has none.
    """

    feature: NDArray[np.int32]
    split: NDArray[np.int32]
    missing: NDArray[np.int32]
    default_left: NDArray[np.bool_]
    left: NDArray[np.int32]
    categories: Categories
    most_bins: int  # of any feature that the tree asks categories of, the missing and the unknown included

    @staticmethod
    def apart(
        ends: NDArray[np.int32],
        feature: NDArray[np.int32],
        bin: NDArray[np.int32],
        default_left: NDArray[np.bool_],
        left: NDArray[np.int32],
        cuts: Cuts,
        categories: NDArray[np.int32],
        category_ends: NDArray[np.int32],
    ) -> list[Shape]:
        """Take trees apart whose arrays stand end to end, and look their missing bins up.

        Raises
        ------
        ProtocolError
            If they are no trees over these cuts: rows that walked them could leave the memory they may read.
        """
        start, shapes = 0, []
        lengths = {len(feature), len(bin), len(default_left), len(left)}
        if len(lengths) > 1 or not cuts_up(ends, len(ends), len(feature)):
            raise ProtocolError("trees whose arrays have other lengths than they say")
        sets = _sets(feature, cuts, categories, category_ends)
        for end in ends.tolist():
            own = slice(start, end)
            inside = {node - start: those for node, those in sets.items() if start <= node < end}
            shapes.append(_shape(feature[own], bin[own], default_left[own], left[own], cuts, inside))
            start = end
        return shapes

    def walk(self, bins: NDArray[np.uint8] | NDArray[np.uint16]) -> tuple[NDArray[Any], ...]:
        """What the kernels take to walk rows of such bins: (column, question, of, goes_right).

        ``column`` is where the feature's bin of row 0 stands in the flat bins. ``question`` is one word: the left child
        from bit 33 on, whether the missing go right at bit 32, the bin for the missing at 16, the lowest to go right
        at 0. A leaf asks a question that every bin answers with the leaf itself, so that rows may ask it without harm.
        Both are uint64 (nodes,). ``of`` is int64 (nodes,), -1 or the row of ``goes_right``, bool (any, bins), that says
        which bins go right; both are empty where no node asks for categories.
        """
        _, rows, a_group = bins.shape
        leaf = self.feature < 0
        most = int(self.feature.max(initial=0)) + 1
        group, place = np.divmod(np.arange(most), a_group)  # by feature: nodes are many
        left = np.where(leaf, np.arange(len(leaf)), self.left).astype(np.int64)
        right, missing = np.where(leaf, NO_BIN, self.split + 1), np.where(leaf, NO_BIN, self.missing)
        lost = np.where(leaf, 0, 1 - self.default_left.astype(np.int64))  # whether they go right; a leaf has none
        question = (left << 33) | (lost << 32) | (missing.astype(np.int64) << 16) | right
        column = (group * rows * a_group + place).astype(np.uint64)[np.where(leaf, 0, self.feature)]
        return column, question.astype(np.uint64), *self._tables()

    def _tables(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        goes_right = np.zeros((len(self.categories), self.most_bins), bool)
        of = np.full(len(self.feature) if len(self.categories) else 0, -1, np.int64)
        for row, (node, categories) in enumerate(self.categories.items()):
            of[node] = row
            goes_right[row, categories] = True
            # `missing` is there for rows of an evaluation set even where training has none
            goes_right[row, self.missing[node]] = not self.default_left[node]
        return of, goes_right

    def leaf_slots(self) -> NDArray[np.int32]:
        """Return the place of each node among the leaves, -1 for one that is split: int32 (nodes,)."""
        is_leaf = self.feature == LEAF
        return np.where(is_leaf, np.cumsum(is_leaf) - 1, -1).astype(np.int32)

    def levels_below(self, walked: Shape | None) -> int:
        """Levels that rows may have to go down from the leaves of ``walked``, a younger state of this tree."""
        leaves = np.zeros(1, np.int32) if walked is None else np.flatnonzero(walked.feature < 0)
        levels, at = 0, leaves[self.feature[leaves] >= 0]
        while len(at):
            is_below = np.zeros(len(self.feature), bool)  # each node once, even where two share a child
            is_below[self.left[at]] = is_below[self.left[at] + 1] = True
            levels, at = levels + 1, np.flatnonzero(is_below & (self.feature >= 0))
        return levels

    def extends(self, walked: Shape) -> bool:
        """Return whether this tree asks all that ``walked`` asks, and asks it first."""
        n, leaf = len(walked.feature), walked.feature < 0
        return (
            n <= len(self.feature)
            and all(
                ((getattr(self, name)[:n] == getattr(walked, name)) | leaf).all()
                for name in ("feature", "split", "default_left", "left")
            )
            and all(np.array_equal(self.categories[node], own) for node, own in walked.categories.items())
        )


def _shape(
    feature: NDArray[np.int32],
    bin: NDArray[np.int32],
    default_left: NDArray[np.bool_],
    left: NDArray[np.int32],
    cuts: Cuts,
    categories: Categories,
) -> Shape:
    leaf = feature < 0
    asked = np.where(leaf, 0, feature)
    below = leaf | (left > np.arange(len(left)))  # a child stands further on: no walk goes in circles
    if not len(feature) or (feature >= cuts.n_features).any() or not below.all() or (left >= len(feature) - 1).any():
        raise ProtocolError("a tree with a feature, or a child, that there is not")
    if not (leaf | ((bin >= -1) & (bin < cuts.n_bins[asked]))).all():
        raise ProtocolError("a tree that splits at a bin that there is not")
    has_missing = ~leaf & (cuts.missing | cuts.categorical)[asked]
    missing = np.where(has_missing, cuts.n_values[asked], NO_BIN).astype(np.int32)
    most_bins = int(cuts.n_values[feature[list(categories)]].max()) + 2 if categories else 0
    return Shape(feature, bin, missing, default_left, left, categories, most_bins)


def cuts_up(ends: NDArray[np.integer], parts: int, length: int) -> bool:
    """Return whether an array of this length, cut where ``ends`` says, has so many parts and nothing left."""
    last = int(ends[-1]) if len(ends) else 0
    return len(ends) == parts and last == length and not (np.diff(ends, prepend=0) < 0).any()


def flat_categories(trees: Iterable[Categories]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The sets of trees end to end, node after node, and where each ends: int32 (any,) each."""
    sets = [own[node] for own in trees for node in sorted(own)]
    empty = np.zeros(0, np.int32)
    if not sets:
        return empty, empty
    return np.concatenate([empty, *sets]), np.cumsum([len(own) for own in sets], dtype=np.int32)


def _sets(feature: NDArray[np.int32], cuts: Cuts, categories: NDArray[np.int32], ends: NDArray[np.int32]) -> Categories:
    """What `flat_categories` put end to end, by the nodes of all trees."""
    if not cuts.any_categorical and not len(ends):
        return {}
    inside = (feature >= 0) & (feature < cuts.n_features)
    nodes = np.flatnonzero(inside & cuts.categorical[np.where(inside, feature, 0)])
    if not cuts_up(ends, len(nodes), len(categories)):
        raise ProtocolError("trees with other sets of categories than nodes that ask for them")
    sets = dict(zip(nodes.tolist(), np.split(categories, ends[:-1]), strict=True)) if len(nodes) else {}
    for node, own in sets.items():
        if (own < 0).any() or (own >= cuts.n_values[feature[node]]).any():
            raise ProtocolError("a tree that asks for a category that there is not")
    return sets
