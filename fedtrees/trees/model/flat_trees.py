"""Several trees as one record, their arrays end to end: how trees travel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.record import Record
from fedtrees.errors import ProtocolError
from fedtrees.trees.model.cuts import NO_BIN, Cuts
from fedtrees.trees.model.shape import Shape
from fedtrees.trees.model.tree import Categories


class Splitting(Protocol):
    """A tree, grown or growing; see `Tree`."""

    @property
    def feature(self) -> NDArray[np.int32]: ...  # noqa: D102
    @property
    def bin(self) -> NDArray[np.int32]: ...  # noqa: D102
    @property
    def default_left(self) -> NDArray[np.bool_]: ...  # noqa: D102
    @property
    def left(self) -> NDArray[np.int32]: ...  # noqa: D102
    @property
    def categories(self) -> Categories: ...  # noqa: D102


def _none() -> NDArray[np.int32]:
    return np.zeros(0, np.int32)


class FlatTrees(Record, frozen=True, eq=False):
    """The splits of several trees, their arrays end to end.

    Parameters
    ----------
    ends : int32 (trees,)
        Where each tree's nodes end.
    feature, bin, default_left, left
        See `Tree`; nodes are numbered within their tree.
    categories : int32 (any,)
        The categories that go right, node after node of those that ask for any.
    category_ends : int32 (any,)
        Where each such node's end.
    """

    ends: NDArray[np.int32]
    feature: NDArray[np.int32]
    bin: NDArray[np.int32]
    default_left: NDArray[np.bool_]
    left: NDArray[np.int32]
    categories: NDArray[np.int32] = msgspec.field(default_factory=_none)
    category_ends: NDArray[np.int32] = msgspec.field(default_factory=_none)

    @staticmethod
    def of(trees: Sequence[Splitting]) -> FlatTrees:
        """Put trees end to end."""
        return FlatTrees(
            np.cumsum([len(tree.feature) for tree in trees], dtype=np.int32),
            np.concatenate([tree.feature for tree in trees]),
            np.concatenate([tree.bin for tree in trees]),
            np.concatenate([tree.default_left for tree in trees]),
            np.concatenate([tree.left for tree in trees]),
            *_flat_categories(tree.categories for tree in trees),
        )

    def __len__(self) -> int:
        return len(self.ends)

    def shapes(self, cuts: Cuts) -> list[Shape]:
        """Take the trees apart, and look their missing bins up.

        Raises
        ------
        ProtocolError
            If they are no trees over these cuts: rows that walked them could leave the memory they may read.
        """
        start, shapes = 0, []
        lengths = {len(self.feature), len(self.bin), len(self.default_left), len(self.left)}
        if len(lengths) > 1 or not cuts_up(self.ends, len(self.ends), len(self.feature)):
            raise ProtocolError("trees whose arrays have other lengths than their nodes")
        sets = self._sets(cuts)
        for end in self.ends.tolist():
            inside = {node - start: codes for node, codes in sets.items() if start <= node < end}
            shapes.append(self._shape(slice(start, end), cuts, inside))
            start = end
        return shapes

    def _shape(self, nodes: slice, cuts: Cuts, categories: Categories) -> Shape:
        """Return one tree, once it is checked: kernels walk it without looking at bounds."""
        feature, bin, left = self.feature[nodes], self.bin[nodes], self.left[nodes]
        leaf = feature < 0
        asked = np.where(leaf, 0, feature)
        below = leaf | (left > np.arange(len(left)))  # a child stands further on: no walk goes in circles
        if (
            not len(feature)
            or (feature >= cuts.n_features).any()
            or not below.all()
            or (left >= len(feature) - 1).any()
        ):
            raise ProtocolError("a tree with a feature, or a child, that there is not")
        if not (leaf | ((bin >= -1) & (bin < cuts.n_bins[asked]))).all():
            raise ProtocolError("a tree that splits at a bin that there is not")
        has_missing = ~leaf & (cuts.missing | cuts.categorical)[asked]
        missing = np.where(has_missing, cuts.n_values[asked], NO_BIN).astype(np.int32)
        most_bins = int(cuts.n_values[feature[list(categories)]].max()) + 2 if categories else 0
        return Shape(feature, bin, missing, self.default_left[nodes], left, categories, most_bins)

    def _sets(self, cuts: Cuts) -> Categories:
        """The sets of categories by the nodes of all trees, numbered throughout."""
        feature, categories, ends = self.feature, self.categories, self.category_ends
        if not cuts.any_categorical and not len(ends):
            return {}
        inside = (feature >= 0) & (feature < cuts.n_features)
        nodes = np.flatnonzero(inside & cuts.categorical[np.where(inside, feature, 0)])
        if not cuts_up(ends, len(nodes), len(categories)):
            raise ProtocolError("trees with other sets of categories than nodes that ask for them")
        sets = dict(zip(nodes.tolist(), np.split(categories, ends[:-1]), strict=True)) if len(nodes) else {}
        for node, codes in sets.items():
            if (codes < 0).any() or (codes >= cuts.n_values[feature[node]]).any():
                raise ProtocolError("a tree that asks for a category that there is not")
        return sets


def cuts_up(ends: NDArray[np.integer], parts: int, length: int) -> bool:
    """Return whether an array of this length, cut at ``ends``, has so many parts and nothing left."""
    last = int(ends[-1]) if len(ends) else 0
    return len(ends) == parts and last == length and not (np.diff(ends, prepend=0) < 0).any()


def _flat_categories(trees: Iterable[Categories]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The sets of trees end to end, node after node, and where each ends: int32 (any,) each."""
    sets = [of_tree[node] for of_tree in trees for node in sorted(of_tree)]
    if not sets:
        return _none(), _none()
    return np.concatenate([_none(), *sets]), np.cumsum([len(codes) for codes in sets], dtype=np.int32)
