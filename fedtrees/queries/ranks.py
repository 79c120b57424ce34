"""Exact ranks by counting: the number of values in each bucket of an order-preserving key, refined in rounds.

Counts are integers, so the buckets, their counts and the cut points made of them are the same for every partition of
the rows. No value is sent; a cut is a decimal between buckets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.bits import Bits
from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.numeric.float_keys import KEY_BITS, shift_of
from fedtrees.core.numeric.row_ranges import pieces
from fedtrees.core.protocol.query import Query
from fedtrees.errors import ProtocolError
from fedtrees.queries import kernels
from fedtrees.queries.even_bins import divide_evenly

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows

BUDGET = 16384  # children of a feature, about, in the rounds that follow
FIRST_BITS = 12  # children of the first round: sign, exponent and three bits of the fraction
LARGEST_KEY = 0xFF7FFFFF  # of the largest finite float


class Ranks(Query, frozen=True, eq=False):
    """The number of values of each feature in each child of some intervals of keys; by weight, where rows have one.

    Parameters
    ----------
    rows : int
        Rows of the federation, each as often as it counts at the most.
    first : int64 (features + 1,)
        The intervals of feature ``f`` are ``first[f]`` to ``first[f + 1]``: ascending and disjoint.
    low : uint32 (intervals,)
        First key of an interval.
    log_keys, log_child : uint8 (intervals,)
        An interval has ``2 ** log_keys`` keys, a child ``2 ** log_child``.
    weighted : bool, default True
        Whether rows count by weight, where they have one; else each counts 1.
    """

    rows: int
    first: NDArray[np.int64]
    low: NDArray[np.uint32]
    log_keys: NDArray[np.uint8]
    log_child: NDArray[np.uint8]
    weighted: bool = True

    def base(self) -> Vector:
        """The place in the answer at which each interval's children start; one more entry for the end."""
        children = np.int64(1) << (self.log_keys.astype(np.int64) - self.log_child)
        return np.concatenate(([0], np.cumsum(children))).astype(np.int64)

    def size(self) -> int:
        """See `Query`."""
        return int(self.base()[-1])

    def touches(self) -> int:
        """See `Query`."""
        return len(self.first) - 1

    def bound(self) -> int:
        """See `Query`."""
        return self.rows

    def lowest(self) -> int:
        """See `Query`."""
        return 0

    def ask(self, silo: SiloRows) -> Vector:
        """See `Query`."""
        self._check(silo.table.n_features)
        weights = silo.counts() if self.weighted else None
        bits, base = Bits.of(silo.table, ordered=silo.cohort is not None or weights is not None), self.base()
        slot_shift = shift_of(silo.n_asked)
        before, steps = self._slots(slot_shift)
        low = np.append(self.low, np.full(1 << int(steps.max(initial=0)), 0xFFFFFFFF, np.uint32))

        def count(piece: NDArray[np.int64]) -> NDArray[np.integer]:
            out = np.zeros(base[-1], np.int32 if weights is None else np.int64)
            for start, stop in piece:
                kernels.count_ranks(
                    bits.flat, bits.row_stride, bits.column_stride, bits.order, start, stop,
                    self.first, low, self.log_keys, self.log_child, base, slot_shift, before, steps, weights, out,
                )  # fmt: skip
            return out

        counts = silo.threads.map(count, pieces(silo.ranges, silo.threads.n))
        return sum((part.astype(np.int64) for part in counts), np.zeros(base[-1], np.int64))

    def _check(self, n_features: int) -> None:
        """Refuse intervals that would lead the kernel, which does not check them, out of its arrays."""
        whole = len(self.first) == n_features + 1 and self.first[0] == 0 and self.first[-1] == len(self.low)
        if not (
            whole and (np.diff(self.first) >= 0).all() and len(self.low) == len(self.log_keys) == len(self.log_child)
        ):
            raise ProtocolError("ranks were asked for intervals of other features")
        if (self.log_keys > KEY_BITS).any() or (self.log_child > self.log_keys).any():
            raise ProtocolError("ranks were asked for intervals that no key falls in")

    def _slots(self, shift: np.uint32) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
        """The last interval of every feature that starts before each slot of upper bits, and halvings within one.

        A lookup by a key's upper bits replaces most of a binary search over intervals; see `kernels.count_ranks`.
        """
        n_features, n_slots = len(self.first) - 1, 1 << (KEY_BITS - int(shift))
        before = np.zeros((n_features, n_slots), np.int32)
        steps = np.zeros(n_features, np.uint8)
        for f in range(n_features):
            a, b = self.first[f], self.first[f + 1]
            here = np.bincount(self.low[a:b] >> shift, minlength=n_slots)
            before[f] = a + np.maximum(np.cumsum(here) - here - 1, 0)
            steps[f] = int(here.max()).bit_length()
        return before, steps

    def read(self, total: Vector) -> Vector:
        """See `Query`."""
        return total


@dataclass(frozen=True, eq=False)
class Buckets:
    """The buckets of all features that hold values: state in, state out.

    Law: the buckets of one feature are disjoint, ascending, and hold all its values.

    Attributes
    ----------
    rows : int
        Rows of the federation.
    most : int64 (features,)
        Bins wanted of each feature.
    feature, low, width, count, n_rows : int64 (buckets,)
        A bucket's feature, first key, logarithm of its number of keys, the count of its values, and the number of
        rows that have them: the same, unless rows count by weight.
    least : int, default 1
        Rows that a bin holds at the least, if its feature has as many. A bucket of fewer than two bins' rows is not
        refined: no count shows where in it a row lies.
    """

    rows: int
    most: NDArray[np.int64]
    feature: NDArray[np.int64]
    low: NDArray[np.int64]
    width: NDArray[np.int64]
    count: NDArray[np.int64]
    n_rows: NDArray[np.int64]
    least: int = 1

    @staticmethod
    def start(rows: int, present: NDArray[np.int64], most: NDArray[np.int64], least: int = 1) -> Buckets:
        """One bucket for each feature that has values: all keys."""
        feature = np.flatnonzero(present)
        zero = np.zeros(len(feature), np.int64)
        return Buckets(rows, most, feature, zero, zero + KEY_BITS, present[feature], present[feature], least)

    def to_refine(self) -> NDArray[np.bool_]:
        """Return which buckets are too coarse, bool (buckets,).

        Where a feature has fewer buckets than it may have bins, every bucket that could hold two values; else the
        ones with more than a sixteenth of a bin's share. Of these not those of one row, and with ``least``, only
        buckets of two bins' rows.
        """
        n_features = len(self.most)
        held = np.bincount(self.feature, minlength=n_features)
        values = np.bincount(self.feature, weights=self.count, minlength=n_features)
        share = np.where(held <= self.most, 1, np.maximum(1, values / (16 * np.maximum(self.most, 1))))
        coarse: NDArray[np.bool_] = (self.width > 0) & (self.count > share[self.feature]) & (self.n_rows > 1)
        coarse |= self.width == KEY_BITS  # one look at least, so that a lone value's cuts lie near it
        if self.least > 1:
            coarse &= self.n_rows >= 2 * self.least
        return coarse

    def query(self, coarse: NDArray[np.bool_]) -> Ranks:
        """The question that refines these buckets: about as many children a feature, dealt out by need."""
        feature, width, count = self.feature[coarse], self.width[coarse], self.count[coarse]
        n_features = len(self.most)
        many = np.bincount(feature, minlength=n_features)
        budget = np.maximum(BUDGET, 4 * self.most)
        held = np.bincount(self.feature, minlength=n_features)
        total = np.bincount(feature, weights=count, minlength=n_features)
        # few buckets: every value is wanted by itself, so all get the same; many: by their values
        part = np.where(
            (held <= self.most)[feature], 1 / np.maximum(many, 1)[feature], count / np.maximum(total, 1)[feature]
        )
        bits = np.log2(np.maximum(budget[feature] * part, 2)).astype(np.int64)
        bits = np.where(width == KEY_BITS, FIRST_BITS, np.minimum(bits, width))
        if self.least > 1:  # few enough children that they hold a bin's rows in the mean: lone rows stay in wide ones
            bits = np.minimum(bits, np.log2(self.n_rows[coarse] // self.least).astype(np.int64))
        first = np.concatenate(([0], np.cumsum(many)))
        return Ranks(
            self.rows,
            first.astype(np.int64),
            self.low[coarse].astype(np.uint32),
            width.astype(np.uint8),
            (width - bits).astype(np.uint8),
        )

    def refined(self, coarse: NDArray[np.bool_], query: Ranks, counts: Vector, n_rows: Vector | None = None) -> Buckets:
        """The buckets with their children in the coarse ones' places; empty children are let go.

        ``n_rows`` is how many rows each child has, where that is not what they count.
        """
        base, (hit,) = query.base(), np.nonzero(counts)
        parent = np.repeat(np.arange(len(query.low)), np.diff(base))[hit]
        shift = query.log_child[parent].astype(np.int64)
        # a child comes after all that were born before it, and after the buckets kept that stand before its parent
        fine, (at,) = np.cumsum(~coarse), np.nonzero(coarse)
        child = np.arange(len(hit)) + fine[at][parent]
        kept = np.ones(len(hit) + fine[-1], bool)
        kept[child] = False

        def placed(old: NDArray[np.int64], new: NDArray[np.int64]) -> NDArray[np.int64]:
            out = np.empty(len(kept), np.int64)
            out[kept], out[child] = old[~coarse], new
            return out

        low = query.low[parent].astype(np.int64) + ((hit - base[parent]) << shift)
        return Buckets(
            self.rows,
            self.most,
            placed(self.feature, self.feature[at][parent]),
            placed(self.low, low),
            placed(self.width, shift),
            placed(self.count, counts[hit]),
            placed(self.n_rows, (counts if n_rows is None else n_rows)[hit]),
            self.least,
        )

    def bins(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Feature, last key and next bin's first key of every bin: a cut belongs between the two keys.

        A bin for each bucket where there are few, else bins of about equal mass; where they must hold ``least`` rows,
        those of fewer join their neighbours. The last bin of a feature has no next one; its third entry is -1.
        """
        features, lasts, nexts = [], [], []
        bounds = np.searchsorted(self.feature, np.arange(len(self.most) + 1))
        for f in np.unique(self.feature):
            buckets = slice(bounds[f], bounds[f + 1])
            low, width, count = self.low[buckets], self.width[buckets], self.count[buckets]
            ends = np.arange(len(low))
            if len(low) > self.most[f]:
                ends = divide_evenly(count, int(self.most[f]))
            if self.least > 1:
                ends = with_least(ends, self.n_rows[buckets], self.least)
            features.append(np.full(len(ends), f))
            lasts.append(np.minimum(low[ends] + (np.int64(1) << width[ends]) - 1, LARGEST_KEY))
            nexts.append(np.append(low[ends[:-1] + 1], -1))
        if not features:
            return (np.zeros(0, np.int64),) * 3
        return np.concatenate(features), np.concatenate(lasts), np.concatenate(nexts)

    def firsts(self, feature: NDArray[np.int64], following: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first key of every bin, given what `bins` returns of them."""
        starts = np.flatnonzero(np.diff(feature, prepend=-1))
        firsts = np.roll(following, 1)
        firsts[starts] = self.low[np.searchsorted(self.feature, feature[starts])]
        return firsts


def with_least(ends: NDArray[np.int64], n_rows: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    """The ends of bins that hold so many rows: each bin of fewer joins the next, and the last one that before it.

    Parameters
    ----------
    ends : int64 (bins,)
        The last bucket of each bin, ascending.
    n_rows : int64 (buckets,)
    least : int

    Examples
    --------
    >>> with_least(np.array([0, 1, 2, 3]), np.array([1, 4, 5, 2]), least=5)
    array([1, 3])
    """
    below = np.cumsum(n_rows)[ends]
    kept, before = [], 0
    for bin, rows in enumerate(below.tolist()):
        if rows - before >= least:
            kept.append(bin)
            before = rows
    joined = ends[kept] if kept else ends[-1:].copy()
    joined[-1] = ends[-1]
    return joined


def shortest_between(low: NDArray[np.float32], high: NDArray[np.float32]) -> NDArray[np.float32]:
    """The shortest decimals above ``low`` and below ``high``, near their middle; ``high`` where there are none.

    Parameters
    ----------
    low, high : float32 (cuts,)
        ``low < high``, finite.

    Returns
    -------
    float32 (cuts,)
        With ``low < result <= high``.

    Examples
    --------
    >>> shortest_between(np.float32([37, 37, 0.12]), np.float32([38, 40, 0.9]))
    array([37.5, 38. ,  0.5], dtype=float32)
    """
    span = high.astype(np.float64) - low
    middle = low + span / 2
    result, left = high.copy(), np.arange(len(low))
    # from the coarsest power of ten that can fall between the two; of the third, a twentieth of the span lies between
    # the middle and the nearest one: if float32 has none there, it has none at all
    coarsest = np.ceil(np.log10(np.maximum(span, 1e-45))).astype(np.int64)
    for finer in range(3):
        digits = finer - coarsest[left]
        with np.errstate(over="ignore", invalid="ignore"):
            unit = 10.0 ** np.abs(digits)
            near = np.where(digits >= 0, np.rint(middle[left] * unit) / unit, np.rint(middle[left] / unit) * unit)
            candidate = near.astype(np.float32)
        good = (candidate > low[left]) & (candidate < high[left])
        result[left[good]] = candidate[good]
        left = left[~good]
    return result
