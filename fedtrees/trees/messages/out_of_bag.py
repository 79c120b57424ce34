"""Out-of-bag scores: predictions of rows that a forest's trees did not draw, scored without a held-out set, by sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.labels import ClassLabels
from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.numeric.row_ranges import pieces
from fedtrees.core.protocol.query import Query
from fedtrees.errors import ProtocolError
from fedtrees.queries.custom_metric import function_named, numbers_of_rows
from fedtrees.queries.sums import N_PLACES, bound_of_sums, restore_sum, sums_by_power
from fedtrees.trees.kernels import sampling as sampling_kernels
from fedtrees.trees.model.row_draws import RowDraws

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows

Doubles = NDArray[np.float64]


class OutOfBag(Query, frozen=True, eq=False):
    """The score of trees on the rows that they did not draw.

    Each row is predicted by the mean of those trees that did not draw it, as scikit-learn has it: added up in the order
    of the trees, and the first of classes that share the largest. Rows that all trees drew are left out.

    Parameters
    ----------
    rows : int
        Rows of the federation.
    labels : list, optional
        None for a regression.
    draws : list of RowDraws
        Of the trees, in their order.
    ends : int64 (trees,)
        Where each tree's nodes end; their arrays stand end to end.
    feature : int32 (nodes,)
        The feature that a node asks for, below 0 at a leaf.
    threshold : float64 (nodes,)
        Rows up to it go left.
    missing_left : bool (nodes,)
    left, right : int32 (nodes,)
        Children, numbered within their tree.
    values : float64 (nodes, classes) or (nodes, targets)
        What nodes predict: shares of classes, or numbers.
    centre, exponent
        Of a regression, targets are measured from ``centre``, float64 (targets,), in units of ``2 ** exponent``.
    classes : list of int
        Of several outputs, whose y holds places: the classes of each. Values have room for as many as the largest.
    metric : str, default ""
        The name of a function that returns a number for each row, in place of accuracy or R2; see
        `queries.custom_metric.register_metric`.
    """

    dimensions: ClassVar[dict[str, int | None]] = {"values": 2}

    rows: int
    labels: ClassLabels | None
    draws: list[RowDraws]
    ends: NDArray[np.int64]
    feature: NDArray[np.int32]
    threshold: Doubles
    missing_left: NDArray[np.bool_]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    values: Doubles
    centre: Doubles
    exponent: int = 0
    metric: str = ""
    classes: list[int] = msgspec.field(default_factory=list)

    @property
    def _of_numbers(self) -> bool:
        return self.labels is None and not self.classes

    @property
    def _sums(self) -> int:
        """The number of exact sums of float32 numbers that are asked for."""
        return 1 if self.metric else 3 * len(self.centre) if self._of_numbers else 0

    def size(self) -> int:
        """See `Query`."""
        return 1 + (not self._of_numbers and not self.metric) + self._sums * N_PLACES

    def bound(self) -> int:
        """See `Query`."""
        return bound_of_sums(self.rows) if self._sums else self.rows

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        predicted, times = self.predictions(silo)
        there = np.zeros(len(times), bool)
        rows = silo.rows_asked()
        there[rows] = times[rows] > 0
        predicted, y = predicted[there], silo.targets(self.labels)[there]
        n = len(y)
        if self.classes:
            predicted = predicted.reshape(n, len(self.classes), max(self.classes))
        guess = predicted.reshape(y.shape) if self._of_numbers else predicted.argmax(axis=-1)
        if self.metric:
            function = function_named(self.metric)
            given = (y if self._of_numbers else y.astype(int), guess)
            numbers = numbers_of_rows("oob_score", self.metric, function, *given) if n else np.zeros(0, np.float32)
            return np.append(np.int64(n), sums_by_power(numbers))
        if not self._of_numbers:
            right = guess == y
            return np.array([n, np.count_nonzero(right.all(axis=1) if self.classes else right)], np.int64)
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and the score none
            far = np.ldexp(y.reshape(n, len(self.centre)).astype(np.float64) - self.centre, -self.exponent)
            off = np.ldexp(y.reshape(n, len(self.centre)) - predicted, -self.exponent)
            parts = [values.T.astype(np.float32) for values in (far, far * far, off * off)]
        return np.concatenate([[n], *(sums_by_power(values) for part in parts for values in part)]).astype(np.int64)

    def predictions(self, silo: SiloRows) -> tuple[Doubles, Vector]:
        """Return rows' mean predictions by trees that did not draw them, 0 without any, and the number of such trees.

        float64 (rows, classes or targets), int64 (rows,).
        """
        table, outputs = silo.table, self.values.shape[1]
        self._check(table.n_features)
        rows = table.n_rows
        sums, times = np.zeros((rows, outputs)), np.zeros(rows, np.int64)
        if not rows:
            return sums, times
        ids, order = table.row_ids(), np.zeros(0, np.uint32) if table.order is None else table.order
        keys = np.stack([draws.keys(tree) for draws in self.draws for tree in range(draws.trees)])
        kinds = len(self.labels or ()) or 1
        kind = silo.targets(self.labels).astype(np.uint16) if kinds > 1 else np.zeros(rows, np.uint16)
        drawn = [np.broadcast_to(draws.shares()[:, 0], kinds) for draws in self.draws for _ in range(draws.trees)]
        starts = np.append(0, self.ends[:-1]).astype(np.int64)

        def add(piece: NDArray[np.int64]) -> None:
            sampling_kernels.add_left_out(
                table.X, order, ids, kind, keys, np.stack(drawn), piece, starts, self.feature, self.threshold,
                self.missing_left, self.left, self.right, self.values, sums, times,
            )  # fmt: skip

        silo.threads.map(add, pieces(silo.ranges, silo.threads.n))
        return sums / np.maximum(times, 1)[:, None], times

    def _check(self, n_features: int) -> None:
        """Refuse what are no trees over so many features, or none that drew their rows: kernels trust them."""
        arrays = (self.threshold, self.missing_left, self.left, self.right, self.values)
        sizes = np.diff(self.ends, prepend=0)
        nodes = len(self.feature)
        whole = (sizes > 0).all() and int(sizes.sum()) == nodes and all(len(array) == nodes for array in arrays)
        classes = self.labels is None or self.values.shape[1] == len(self.labels)
        classes &= not self.classes or self.values.shape[1] == len(self.classes) * max(self.classes)
        if not whole or not classes or sum(draws.trees for draws in self.draws) != len(self.ends) or not len(self.ends):
            raise ProtocolError("rows out of the bag were asked for of trees whose arrays have other lengths")
        for draws in self.draws:
            draws.check(len(self.labels or ()))
        inner = self.feature >= 0
        here, end = np.arange(nodes) - np.repeat(self.ends - sizes, sizes), np.repeat(sizes, sizes)
        lost = any(
            ((child <= here) | (child >= end))[inner].any() for child in (self.left, self.right)
        )  # nor any circle
        if lost or (self.feature >= n_features).any():
            raise ProtocolError("rows out of the bag were asked for of trees with a feature or child that there is not")

    def read(self, total: Vector) -> tuple[float | None, int]:
        """Return the score, None without any row or spread, and how many rows some tree left out."""
        n = int(total[0])
        if not n:
            return None, 0
        sums = [restore_sum(places) for places in total[len(total) - self._sums * N_PLACES :].reshape(-1, N_PLACES)]
        if self.metric:
            return sums[0] / n, n
        if not self._of_numbers:
            return int(total[1]) / n, n
        far, squares, errors = np.array(sums).reshape(3, -1)
        spread = squares - far**2 / n
        return (float(np.mean(1 - errors / spread)) if (spread > 0).all() else None), n
