"""Counts that come before anything else: of rows, silos and labels, and of missing values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.bits import Bits
from fedtrees.core.data.labels import ClassLabels, Label
from fedtrees.core.numeric.fixed_point import (
    N_EXPONENTS,
    Vector,
    exponent_counts,
    largest_exponent,
    middle_exponent,
    quantise,
    restore,
    smallest_exponent,
)
from fedtrees.core.numeric.row_ranges import pieces
from fedtrees.core.protocol.count_weights import MOST_REPEATS
from fedtrees.core.protocol.query import Query
from fedtrees.errors import ProtocolError
from fedtrees.queries import kernels

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows


@dataclass(frozen=True)
class Summary:
    """Rows and silos of a federation, and the missing values of each feature."""

    rows: int
    silos: int
    missing: NDArray[np.int64]


class Counts(Query, frozen=True, eq=False):
    """The numbers of rows, of silos that hold any, and of missing values of every feature.

    Parameters
    ----------
    features : int
    most_rows : int
        More rows than any federation has: the bound of a count that is asked before the rows are known.
    """

    features: int
    most_rows: int = 2**40

    def size(self) -> int:
        """See `Query`."""
        return 2 + self.features

    def bound(self) -> int:
        """See `Query`."""
        return self.most_rows

    def row_bound(self) -> int:
        """See `Query`."""
        return 1

    def lowest(self) -> int:
        """See `Query`."""
        return 0

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        if self.features != silo.table.n_features:
            raise ProtocolError(f"counts were asked for {self.features} features of {silo.table.n_features}")
        bits = Bits.of(silo.table, ordered=silo.cohort is not None)

        def count(piece: NDArray[np.int64]) -> Vector:
            out = np.zeros(self.features, np.int64)
            for start, stop in piece:
                kernels.count_missing(bits.flat, bits.row_stride, bits.column_stride, bits.order, start, stop, out)
            return out

        missing = sum(silo.threads.map(count, pieces(silo.ranges, silo.threads.n)), np.zeros(self.features, np.int64))
        starts = silo.table.starts
        holds_rows = int(np.count_nonzero(np.diff(starts)[silo.silos_asked]))
        return np.concatenate([[silo.n_asked, holds_rows], missing]).astype(np.int64)

    def read(self, total: Vector) -> Summary:
        """See `Query`."""
        return Summary(int(total[0]), int(total[1]), total[2:])


ONE = np.ones(1, np.float32)  # the weight of each row, where weights are None


def _weights_and_targets(
    silo: SiloRows, labels: list[Label] | None
) -> tuple[NDArray[np.float32] | None, NDArray[np.float32]]:
    rows, weight, target = silo.rows_asked(), silo.weights(), silo.targets(labels)
    target = target[:, 0] if silo.open_above and target.ndim == 2 else target  # the lower bound, which is finite
    return None if weight is None else weight[rows], target[rows]


def _times(weight: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float32]:
    return weight * target if target.ndim == 1 else weight[:, None] * target


@dataclass(frozen=True)
class Repeats:
    """The number of times that rows count, by their weights.

    Attributes
    ----------
    whole : bool
        Whether all weights are whole, 1 to `MOST_REPEATS`.
    rows : int
        Rows, each counted as often as it weighs, where weights are whole.
    target_exponent : int
        The exponent that bounds a target.
    middle_exponents : tuple of int
        Of each column of y, the exponent that bounds half of its targets.
    """

    whole: bool
    rows: int
    target_exponent: int
    middle_exponents: tuple[int, ...]


@dataclass(frozen=True)
class Sizes:
    """The sizes of weights and targets.

    Attributes
    ----------
    exponents : tuple of int
        The exponents of the largest weight and of the largest product of a weight and its target.
    span : int
        Binary digits between the lightest row that weighs anything and the heaviest.
    """

    exponents: tuple[int, int]
    span: int


class WholeWeights(Query, frozen=True, eq=False):
    """The number of weights that are not whole, 1 to `MOST_REPEATS`, the sum of the others, and targets by exponent.

    Where all weights are whole, a target counts as often as its row.

    Parameters
    ----------
    rows : int
        Rows of the federation.
    labels : list, optional
        The class labels; None for targets that are numbers.
    targets : int, default 1
        Columns of y, where they are numbers.
    """

    rows: int
    labels: ClassLabels | None
    targets: int = 1

    def size(self) -> int:
        """See `Query`."""
        return 2 + N_EXPONENTS * self.targets

    def bound(self) -> int:
        """See `Query`."""
        return self.rows * MOST_REPEATS

    def row_bound(self) -> int:
        """See `Query`."""
        return MOST_REPEATS

    def lowest(self) -> int:
        """See `Query`."""
        return 0

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        weight, target = _weights_and_targets(silo, self.labels)
        columns = target.reshape(len(target), self.targets).T
        if weight is None:
            return np.concatenate([[0, len(target)], *(exponent_counts(column) for column in columns)]).astype(np.int64)
        whole = (weight == np.floor(weight)) & (weight >= 1) & (weight <= MOST_REPEATS)
        times = np.where(whole, weight, 1).astype(np.int64)
        sums = [len(weight) - np.count_nonzero(whole), times[whole].sum()]
        return np.concatenate([sums, *(exponent_counts(column, times) for column in columns)]).astype(np.int64)

    def read(self, total: Vector) -> Repeats:
        """See `Query`."""
        counts = total[2:].reshape(self.targets, N_EXPONENTS)
        middles = tuple(middle_exponent(counts_of_column) for counts_of_column in counts)
        return Repeats(bool(total[0] == 0), int(total[1]), largest_exponent(counts.sum(axis=0)), middles)


class LabelExponents(Query, frozen=True, eq=False):
    """The exponents of rows' weights, and of their weights times their targets, counted.

    Parameters
    ----------
    rows : int
        Rows of the federation.
    labels : list, optional
        The class labels; None for targets that are numbers.
    """

    rows: int
    labels: ClassLabels | None

    def size(self) -> int:
        """See `Query`."""
        return 2 * N_EXPONENTS

    def bound(self) -> int:
        """See `Query`."""
        return self.rows

    def row_bound(self) -> int:
        """See `Query`."""
        return 1

    def lowest(self) -> int:
        """See `Query`."""
        return 0

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        weight, target = _weights_and_targets(silo, self.labels)
        if weight is None:
            return np.concatenate([exponent_counts(ONE) * len(target), exponent_counts(target.ravel())])
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinite, and is refused as such
            product = _times(weight, target)
        return np.concatenate([exponent_counts(weight), exponent_counts(product.ravel())])

    def read(self, total: Vector) -> Sizes:
        """See `Sizes`."""
        weights, products = total[:N_EXPONENTS], total[N_EXPONENTS:]
        heaviest = largest_exponent(weights)
        return Sizes((heaviest, largest_exponent(products)), max(0, heaviest - smallest_exponent(weights)))


class LabelSums(Query, frozen=True, eq=False):
    """The sums of weights and of weights times targets; of classes, the weight of each.

    Parameters
    ----------
    rows : int
        Rows of the federation, each counted as often as it weighs where weights are whole.
    labels : list, optional
    exponents : tuple of int
        Of `Sizes`.
    bits : int
        Fineness of the grid; see `core.numeric.fixed_point.step_bits`.
    targets : int, default 1
        Columns of y, where they are numbers.
    """

    rows: int
    labels: ClassLabels | None
    exponents: tuple[int, int]
    bits: int
    targets: int = 1

    def size(self) -> int:
        """See `Query`."""
        return 1 + self.targets if self.labels is None else len(self.labels)

    def bound(self) -> int:
        """See `Query`."""
        return self.rows << self.bits

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        weight, target = _weights_and_targets(silo, self.labels)
        if weight is not None and silo.counting is not None and silo.counting.whole:
            return self._ask_repeated(silo.counting.counts(weight), target)
        mass = quantise(ONE if weight is None else weight, self.exponents[0], self.bits)
        if self.labels is not None:
            if weight is None:
                return np.bincount(target.astype(np.int64), minlength=len(self.labels)) * mass
            return np.array([mass[target == k].sum() for k in range(len(self.labels))])
        product = quantise(target if weight is None else _times(weight, target), self.exponents[1], self.bits)
        all_mass = mass[0] * len(target) if weight is None else mass.sum()
        return np.append(all_mass, product.reshape(len(target), self.targets).sum(axis=0)).astype(np.int64)

    def _ask_repeated(self, counts: NDArray[np.int64], target: NDArray[np.float32]) -> Vector:
        """The sums of rows that count so often: exactly those of as many equal rows."""
        one = quantise(ONE, self.exponents[0], self.bits)[0]
        if self.labels is not None:
            return np.array([counts[target == k].sum() * one for k in range(len(self.labels))])
        product = quantise(target, self.exponents[1], self.bits).reshape(len(target), self.targets) * counts[:, None]
        return np.append(counts.sum() * one, product.sum(axis=0)).astype(np.int64)

    def read(self, total: Vector) -> NDArray[np.float64]:
        """The sums as real numbers."""
        of_products = (self.exponents[1],) * self.targets
        exponents = (self.exponents[0], *of_products) if self.labels is None else self.exponents[:1] * len(self.labels)
        return np.array([restore(t, e, self.bits) for t, e in zip(total, exponents, strict=True)])
