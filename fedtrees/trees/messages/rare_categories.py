"""Categories of few rows: one bin for several of them, so that no bin holds fewer rows than it should."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.table import Table
from fedtrees.core.protocol.query import Fact
from fedtrees.errors import ProtocolError
from fedtrees.trees.model.tree import Tree

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows


class RareCategories(Fact, frozen=True, eq=False):
    """Categories that count as one of them, the first, while trees grow: a split sends all of them the same way.

    Parameters
    ----------
    features : list of int
    groups : list of list of int
        Of each of these features, the codes that count as one, ascending.
    missing : list of bool
        Whether the missing of each of these features count as that category, too.

    Examples
    --------
    >>> rare = RareCategories.of([np.array([90, 2, 1, 40])], np.array([0]), least=3)
    >>> rare.groups, rare.merged([np.array([90, 2, 1, 40])])[0].tolist()
    ([[1, 2]], [90, 3, 0, 40])
    """

    features: list[int]
    groups: list[list[int]]
    missing: list[bool]

    @staticmethod
    def of(counts: Sequence[NDArray[np.int64]], missing: NDArray[np.int64], least: int) -> RareCategories:
        """Group what has fewer rows than ``least``, together with the next rarest where that is still too few.

        Parameters
        ----------
        counts : sequence of int64 (categories,)
            Rows of each category of each feature; empty of numbers.
        missing : int64 (features,)
        least : int
        """
        rare = RareCategories([], [], [])
        for feature, rows in enumerate(counts):
            lost = rows.any() and missing[feature] > 0 and min(missing[feature], rows.sum()) < least
            by_size = np.argsort(rows, kind="stable")
            by_size = by_size[rows[by_size] > 0]
            together = np.cumsum(rows[by_size]) + (missing[feature] if lost else 0)
            n = int(np.count_nonzero(rows[by_size] < least))
            if n or lost:
                n = max(n, int(np.searchsorted(together, least)) + 1)  # as many as make a bin's rows
                rare.features.append(feature)
                rare.groups.append(sorted(by_size[:n].tolist()))
                rare.missing.append(bool(lost))
        return rare

    def merged(self, counts: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
        """Return the rows of each category where those of a group count as its first."""
        merged = [rows.copy() for rows in counts]
        for feature, group in zip(self.features, self.groups, strict=True):
            rows = merged[feature]
            rows[group[0]], rows[group[1:]] = rows[group].sum(), 0
        return merged

    def apply(self, silo: SiloRows) -> None:
        """See `Fact`."""
        if not len(self.features) == len(self.groups) == len(self.missing) or not all(self.groups):
            raise ProtocolError("rare categories of other features, or of none")
        if any(not 0 <= feature < silo.table.n_features for feature in self.features):
            raise ProtocolError(f"rare categories of a feature beyond the {silo.table.n_features} that there are")
        silo.table, *silo.held_out = (self._merge(table) for table in (silo.table, *silo.held_out))

    def _merge(self, table: Table) -> Table:
        """Return a table whose rows of a group have the group's first category."""
        X = table.X.copy(order="K")
        for feature, group, missing in zip(self.features, self.groups, self.missing, strict=True):
            column = X[:, feature]
            column[np.isin(column, group)] = group[0]
            if missing:
                column[np.isnan(column)] = group[0]
        return replace(table, X=X)

    def expanded(self, tree: Tree) -> Tree:
        """Return the tree for rows that keep their categories: the whole group goes where its first goes."""
        categories, default_left = dict(tree.categories), tree.default_left.copy()
        for node, right in tree.categories.items():
            if tree.feature[node] in self.features:
                place = self.features.index(int(tree.feature[node]))
                group = self.groups[place]
                if group[0] in right:
                    categories[node] = np.union1d(right, group).astype(np.int32)
                if self.missing[place]:
                    default_left[node] = group[0] not in right
        return replace(tree, categories=categories, default_left=default_left)
