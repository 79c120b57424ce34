"""A silo's rows as the present run has them: what queries and facts are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.absent_entries import take_absent_as
from fedtrees.core.data.labels import Label
from fedtrees.core.data.lost_digits import LostDigits
from fedtrees.core.data.table import SPARSE, Table
from fedtrees.core.data.table_targets import numbers_of, places_of
from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.numeric.threads import Threads
from fedtrees.core.protocol.state import S, States
from fedtrees.core.sampling.samplers import Cohort
from fedtrees.errors import DataError


class Counting(Protocol):
    """A way to count rows by their weights; see `CountWeights`."""

    @property
    def whole(self) -> bool:
        """Return whether all weights are whole."""
        ...

    @property
    def most(self) -> int:
        """The most that a row counts."""
        ...

    def counts(self, weight: NDArray[np.float32]) -> Vector:
        """Return the count of each row."""
        ...

    def mass(self, weight: NDArray[np.float32]) -> int:
        """Return the count of rows together."""
        ...


class SiloRows:
    """The tables of a silo, or of several in one, and all that the facts of a run make of them.

    Attributes
    ----------
    read : Table, list of Table
        The rows and the evaluation sets as they were read; a run may recode or hold out rows.
    table, held_out : Table, list of Table
        The same as the run has them.
    states : States
        Built by the facts of the run.
    cohort : int64 (silos,), optional
        The table's silos that are asked; None for all.
    ranges : int64 (ranges, 2)
        Their rows, as kernels walk them.
    """

    def __init__(self, table: Table, threads: Threads, held_out: Sequence[Table] = ()):
        self.read = table, list(held_out)
        self.table = table
        self.held_out = list(held_out)
        self.threads = threads
        self.states = States()
        self.cohort: Cohort | None = None
        self.ranges = np.array([[0, table.n_rows]], np.int64)
        self._weights = table.weight  # times the factors of the run's weighting and classes
        self.counting: Counting | None = None  # None: every row counts 1
        self.absent_is_zero = False  # whether the tables have the absent entries of sparse rows as 0
        self.lost: list[LostDigits] = []  # by columns where they were read
        self.open_above = False  # whether two columns of y are bounds, the upper of which may be infinite
        # read once: the labels that they are places among, and the targets
        self._targets: tuple[list[Label] | None, NDArray[np.float32]] | None = None

    def start_anew(self) -> None:
        """Be as before the run's first fact."""
        self.states, self._targets = States(), None
        if self.absent_is_zero:
            self.take_absent_as(zero=False)
        if self.table is not self.read[0]:
            self.table, self.held_out = self.read[0], list(self.read[1])
            self._find_ranges()
        self._weights, self.counting, self.open_above = self.table.weight, None, False

    @property
    def name(self) -> str:
        """The silo's name; of a table of several, the first one's."""
        return self.table.names[0]

    def state_of(self, kind: type[S], asked: str) -> S:
        """The state of a kind, for a message that asks for it; see `States.of`."""
        return self.states.of(kind, asked)

    def ask_only(self, cohort: Cohort | None) -> None:
        """Answer for these of the table's silos from now on; None for all. ``ranges`` are their rows."""
        if cohort is not self.cohort:
            self.cohort = cohort
            self._find_ranges()

    def _find_ranges(self) -> None:
        cohort = self.cohort
        if cohort is None or len(cohort) == len(self.table.names):
            self.ranges = np.array([[0, self.table.n_rows]], np.int64)
            return
        starts, ends = self.table.starts[cohort], self.table.starts[cohort + 1]
        # silos that stand side by side are one range
        joins = starts[1:] == ends[:-1]
        first = np.concatenate(([True], ~joins)) if len(cohort) else np.zeros(0, bool)
        last = np.concatenate((~joins, [True])) if len(cohort) else np.zeros(0, bool)
        self.ranges = np.stack([starts[first], ends[last]], axis=1)

    def take_absent_as(self, *, zero: bool) -> None:
        """Take the entries that sparse rows do not hold as 0, or as missing, for the rest of the run."""
        self.absent_is_zero = zero
        for table in (self.read[0], *self.read[1]):
            if SPARSE in table.schema.formats:
                take_absent_as(table.X, zero=zero)

    def take_targets(self, table: Table) -> None:
        """Train on this table for the rest of the run: the same rows, and other targets."""
        self.table, self._targets = table, None

    def hold_out(self, which: NDArray[np.bool_]) -> None:
        """Score on these rows for the rest of the run, as the last evaluation set, and train on the others."""
        table = self.table
        self.table, self.held_out = table.part(~which), [*self.held_out, table.part(which)]
        self._weights, self._targets = self.table.weight, None
        self._find_ranges()

    @property
    def silos_asked(self) -> Cohort:
        """The places in the table of the silos that are asked."""
        return np.arange(len(self.table.names)) if self.cohort is None else self.cohort

    @property
    def n_asked(self) -> int:
        """The number of rows that are asked."""
        return int((self.ranges[:, 1] - self.ranges[:, 0]).sum())

    def rows_asked(self) -> slice | NDArray[np.int64]:
        """An index of the rows that are asked."""
        if len(self.ranges) == 1:
            return slice(int(self.ranges[0, 0]), int(self.ranges[0, 1]))
        return np.concatenate([np.arange(a, b) for a, b in self.ranges] or [np.zeros(0, np.int64)])

    def targets(self, labels: Sequence[Label] | None) -> NDArray[np.float32]:
        """The rows' targets: places in ``labels``, or the numbers themselves where ``labels`` is None.

        Raises
        ------
        DataError
            For labels that were not agreed on, and for numbers that are missing, infinite, or none at all.
        """
        key = list(labels) if labels is not None else None
        if self._targets is None or self._targets[0] != key:
            numbers = numbers_of(self.table, self.open_above) if key is None else places_of(self.table, key)
            self._targets = key, numbers
        return self._targets[1]

    def weigh(self, factors: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
        """Multiply the sample weights by a factor for each of the table's silos.

        Raises
        ------
        DataError
            If a product is too large for float32.
        """
        weight = self.table.weight
        if (factors == 1).all():
            self._weights = weight
        else:
            each = np.repeat(factors, rows)
            with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused as such
                self._weights = each if weight is None else weight * each
            if not np.isfinite(self._weights).all():
                silo = self.table.silo_of(int(np.argmax(~np.isfinite(self._weights))))
                raise DataError(f"silo {silo!r}: sample_weight times the silo's own is too large for float32.")

    def multiply_weights(self, factors: NDArray[np.float32]) -> None:
        """Multiply the rows' weights by a factor for each row, above 0.

        Raises
        ------
        DataError
            If a product is too large for float32, or too small.
        """
        with np.errstate(over="ignore", under="ignore"):
            weights = factors if self._weights is None else self._weights * factors
        lost = (weights == 0) & (True if self._weights is None else self._weights > 0)
        wrong = lost | ~np.isfinite(weights)
        if wrong.any():
            row = int(np.argmax(wrong))
            what = "small" if lost[row] else "large"
            raise DataError(
                f"silo {self.table.silo_of(row)!r}: sample_weight times class_weight is too {what} for float32."
            )
        self._weights = weights

    def weights(self) -> NDArray[np.float32] | None:
        """The rows' weights, the silo's own factor included; None where every row weighs 1."""
        return self._weights

    def counts(self) -> NDArray[np.int64] | None:
        """The count of each row, int64 (rows,); None where every row counts 1."""
        if self.counting is None:
            return None
        weight = self._weights
        return self.counting.counts(np.ones(self.table.n_rows, np.float32) if weight is None else weight)

    def mass(self, place: int) -> int:
        """The count of the rows of one of the table's silos together."""
        start, stop = (int(border) for border in self.table.starts[place : place + 2])
        if self.counting is None or start == stop:
            return stop - start
        weight = np.ones(stop - start, np.float32) if self._weights is None else self._weights[start:stop]
        return self.counting.mass(weight)
