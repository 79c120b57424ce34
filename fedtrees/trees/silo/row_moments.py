"""Moments of a silo's rows as digits, and their sums in the leaves of trees; see `kernels.moments`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.numeric.row_ranges import pieces
from fedtrees.errors import ProtocolError
from fedtrees.trees.kernels import moments as moments_kernels
from fedtrees.trees.losses import Reweighed, column_of
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.moments import MomentScale
from fedtrees.trees.model.shape import Shape
from fedtrees.trees.silo.forest import FinishedRound
from fedtrees.trees.silo.gradient_words import GradientWords
from fedtrees.trees.silo.gradients import Gradients
from fedtrees.trees.silo.margins import Margins
from fedtrees.trees.silo.positions import Positions
from fedtrees.trees.silo.row_sampling import RowSampler
from fedtrees.trees.silo.training_rows import TrainingRows

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows

Ranges = NDArray[np.int64]


class RowMoments:
    """Digits of rows' moments, kept while weights stay as they are: trees that grow side by side share them."""

    def __init__(
        self, rows: TrainingRows, margins: Margins, gradients: Gradients, words: GradientWords, positions: Positions,
        sampler: RowSampler, forest: list[FinishedRound],
    ):  # fmt: skip
        self._rows, self._margins, self._gradients, self._words = rows, margins, gradients, words
        self._positions, self._sampler, self._forest = positions, sampler, forest
        self._key: tuple[object, ...] = ()
        self._digits: list[Vector] = []  # of each output, int64 (rows, digits)

    def sum_leaves(
        self, silo: SiloRows, trees: list[int], shapes: list[Shape], scale: MomentScale,
        weights: GradientScale, centre: NDArray[np.float64],
    ) -> Vector:  # fmt: skip
        """Sum the digits of some trees' leaves, leaf after leaf, flat; see `kernels.moments.sum_leaves`."""
        digits = self._of_rows(silo, scale, weights, centre)
        # what needs the interpreter's lock comes before the threads
        levels = [self._positions.levels(tree, shape, silo.ranges) for tree, shape in zip(trees, shapes, strict=True)]
        walks, slots = [shape.walk(self._rows.bins) for shape in shapes], [shape.leaf_slots() for shape in shapes]
        times = [self._sampler.times(silo, tree) for tree in trees]

        def add(task: tuple[int, Ranges]) -> Vector:
            place, ranges = task
            tree = trees[place]
            out = np.zeros((int(slots[place].max()) + 1, sum(scale.digits)), np.int64)
            moments_kernels.sum_leaves(
                self._rows.bins, self._positions.node[tree], ranges, levels[place], walks[place], slots[place],
                times[place], digits[self._rows.terms.output(tree)], out,
            )  # fmt: skip
            return out

        if len(trees) > 1:  # each is one thread's: its leaves stay in the cache
            return np.concatenate(silo.threads.map(add, [(place, silo.ranges) for place in range(len(trees))]), None)
        nothing = np.zeros((int(slots[0].max()) + 1, sum(scale.digits)), np.int64)
        return sum(silo.threads.map(add, [(0, piece) for piece in self._words.pieces]), nothing).reshape(-1)

    def _of_rows(
        self, silo: SiloRows, scale: MomentScale, weights: GradientScale, centre: NDArray[np.float64]
    ) -> list[Vector]:
        """Return the moments of the rows asked, of each output: int64 (rows, digits)."""
        reweighs = isinstance(self._rows.loss, Reweighed)
        key = scale, silo.silos_asked.tobytes(), len(self._forest) if reweighs else 0, centre.tobytes()
        if key == self._key:
            return self._digits
        y, weight, rows = silo.targets(None), self._rows.weight.astype(np.float64), self._margins.values.shape[1]
        if reweighs:
            self._gradients.fill(silo)
            _, scale_h = weights.scales()
            steps = np.rint(self._gradients.statistics[1, 0] * scale_h)  # rounded as histograms have them
            with np.errstate(over="ignore"):  # rows that are not asked hold anything
                weight = (
                    steps.astype(np.float32).astype(np.float64) / scale_h
                )  # of 24 binary digits, as weights elsewhere
        counts = np.ones(1, np.int64) if self._rows.repeats is None else self._rows.repeats
        shape, self._key = (rows, sum(scale.digits)), ()
        if len(self._digits) != len(self._margins.values) or self._digits[0].shape != shape:  # fresh memory takes time
            self._digits = [np.zeros(shape, np.int64) for _ in range(len(self._margins.values))]
        digits = self._digits
        for output, out in enumerate(digits):
            target, middle = np.ascontiguousarray(column_of(y, output)), float(centre[output]) if len(centre) else 0.0

            def write(
                piece: Ranges, target: NDArray[np.float32] = target, middle: float = middle, out: Vector = out
            ) -> bool:
                return bool(
                    moments_kernels.row_digits(
                        target, weight, counts, piece, scale.lows, scale.bits, scale.ends, middle, out
                    )
                )

            if not all(silo.threads.map(write, pieces(silo.ranges, silo.threads.n))):
                raise ProtocolError("moments were asked for in digits that targets or weights are beyond")
        self._key = key
        return digits
