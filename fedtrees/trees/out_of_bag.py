"""What a forest says of the rows that its trees did not draw: a score without a held-out set, by sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.query import Query
from fedtrees.core.ring import Vector, quantise, restore, step_bits
from fedtrees.errors import ProtocolError
from fedtrees.queries.counts import pieces
from fedtrees.trees import kernels

if TYPE_CHECKING:
    from fedtrees.core.silo import Silo
    from fedtrees.trees.boosting import Boosting

Ranges = NDArray[np.int64]


class OutOfBag(Query, frozen=True, eq=False):
    """How well the trees of the last round say the targets of the rows that they did not draw.

    Each row is said the mean of what those trees say that did not draw it; rows that all trees drew are left out.

    Parameters
    ----------
    rows : int
        Rows of the federation.
    labels : list, optional
        None for a regression.
    values : float32 (nodes, classes) or (nodes, 1)
        What nodes say, tree after tree: shares of classes, or a number.
    exponent : int
        Of a regression, no target and no value is above ``2 ** exponent``.
    """

    dimensions: ClassVar[dict[str, int | None]] = {"values": 2}

    rows: int
    labels: list[Any] | None
    values: NDArray[np.float32]
    exponent: int = 0

    @property
    def _grid(self) -> tuple[int, int]:
        return 2 * self.exponent + 2, step_bits(self.rows)

    def size(self) -> int:
        """See `Query`."""
        return 2 if self.labels is not None else 4

    def bound(self) -> int:
        """See `Query`."""
        return self.rows if self.labels is not None else self.rows << self._grid[1]

    def ask(self, silo: Silo) -> Vector:
        """See `Query`."""
        state: Boosting | None = silo.state
        if state is None or not state.forest or not state.begin.bootstrap:
            raise ProtocolError("rows out of the bag were asked for of no forest that draws rows")
        said, times = self._said(silo, state)
        left_out = times > 0
        rows = silo.rows_asked()
        there = np.zeros(len(times), bool)
        there[rows] = left_out[rows]
        said, y = said[there] / times[there, None], state.target[there].astype(np.float64)
        if self.labels is not None:
            return np.array([len(y), np.count_nonzero(said.argmax(axis=1) == y)], np.int64)
        halves = np.ldexp(y, self.exponent + 2)  # a target on the grid of squares
        parts = (halves, y * y, (y - said[:, 0]) ** 2)
        return np.array([len(y), *(quantise(part, *self._grid).sum() for part in parts)], np.int64)

    def _said(self, silo: Silo, state: Boosting) -> tuple[NDArray[np.float64], Vector]:
        """The sums of what trees say of rows that they did not draw, and how many these are."""
        shapes, _ = state.forest[-1]
        rows, ends = len(state.target), np.cumsum([len(shape.feature) for shape in shapes])
        if len(self.values) != ends[-1]:
            raise ProtocolError("values of other trees than were grown")
        said, times = np.zeros((rows, self.values.shape[1])), np.zeros(rows, np.int64)
        cut = pieces(silo.ranges, silo.threads.n)
        for tree, (shape, values) in enumerate(zip(shapes, np.split(self.values, ends[:-1]), strict=True)):
            drawn = state.draw_rows(silo, tree, np.ones(rows, np.int64), len(state.forest) - 1)
            node, sink = np.zeros(rows, np.uint32), np.zeros(rows, np.float32)
            walk, levels, nothing = shape.walk(state.bins), shape.levels_below(None), np.zeros(len(values), np.float32)

            def reach(
                piece: Ranges, node: Any = node, walk: Any = walk, levels: int = levels, nothing: Any = nothing,
                sink: Any = sink,
            ) -> None:  # fmt: skip
                kernels.add_leaves(state.bins, node, piece, levels, walk, nothing, sink)

            silo.threads.map(reach, cut)
            (out,) = np.nonzero(drawn == 0)
            said[out] += values[node[out]]
            times[out] += 1
        return said, times

    def read(self, total: Vector) -> float | None:
        """The accuracy, or the coefficient of determination; None where every tree drew every row."""
        n = int(total[0])
        if not n:
            return None
        if self.labels is not None:
            return int(total[1]) / n
        sums, squares, errors = (restore(own, *self._grid) for own in total[1:])
        spread = squares - (sums / 2.0 ** (self.exponent + 2)) ** 2 / n
        return 1 - errors / spread if spread > 0 else None
