"""Bins: cut points from exact federated ranks, and a silo's values as the numbers of their bins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.errors import ProtocolError
from fedtrees.queries.categories import CategoryCounts
from fedtrees.queries.counts import Bits, Summary, pieces
from fedtrees.queries.kernels import SIGN
from fedtrees.queries.ranks import KEY_BITS, Buckets, float_of, shift_of, shortest_between
from fedtrees.trees import kernels
from fedtrees.trees.tree import Cuts

if TYPE_CHECKING:
    from fedtrees.core.channel import Channel
    from fedtrees.core.cohort import Cohort
    from fedtrees.core.table import Table
    from fedtrees.core.threads import Threads

GROUP = 8  # features a group at the most; see `kernels`


def global_cuts(
    channel: Channel,
    cohort: Cohort,
    summary: Summary,
    max_bin: int,
    most: int = 1,
    categories: NDArray[np.int64] | None = None,
) -> Cuts:
    """Find cut points from the ranks of all the cohort's values, in two to six rounds of counting.

    Of categories, each has a bin, up to the last that any row has: as XGBoost has them, whatever ``max_bin`` says.

    Law: the cuts are the same for every partition of the same rows.

    Parameters
    ----------
    channel, cohort
        Whom to ask.
    summary : Summary
        The cohort's rows and missing values.
    max_bin : int
        Bins of a feature at the most, the missing bin included.
    most : int, default 1
        The most that a row counts, where rows count by weight; see `core.weighting.CountWeights`.
    categories : int64 (features,), optional
        Agreed categories of each feature that is split by them; 0 of others.
    """
    missing, present = summary.missing > 0, summary.rows - summary.missing
    if categories is not None:
        present = np.where(categories > 0, 0, present)
    buckets = Buckets.start(summary.rows * most, present, max_bin - missing)
    while (coarse := buckets.to_refine()).any():
        query = buckets.query(coarse)
        buckets = buckets.refined(coarse, query, channel.total(query, cohort))
    cuts = cuts_of(buckets, missing)
    if categories is None:
        return cuts
    return with_categories(cuts, channel.total(CategoryCounts(summary.rows, categories), cohort))


def with_categories(cuts: Cuts, counts: Sequence[NDArray[np.int64]]) -> Cuts:
    """The cuts, and one above each category of the features whose categories are counted."""
    values = [cuts.of(f) for f in range(cuts.n_features)]
    categorical = np.array([len(own) > 0 for own in counts])
    for f in np.flatnonzero(categorical).tolist():
        used = np.flatnonzero(counts[f])
        values[f] = np.arange(used[-1] + 1 if len(used) else 0, dtype=np.float32) + np.float32(0.5)
    offsets = np.cumsum([0, *map(len, values)])
    return Cuts(np.concatenate(values), offsets.astype(np.int64), cuts.missing, categorical)


def cuts_of(buckets: Buckets, missing: NDArray[np.bool_]) -> Cuts:
    """Write a decimal between two neighbouring bins, and one above the last (above the largest float, infinity)."""
    feature, last, following = buckets.bins()
    low = float_of(last)
    beyond = np.minimum(low.astype(np.float64) + np.maximum(np.abs(low), 1.0), np.finfo(np.float32).max)
    high = np.where(following < 0, beyond.astype(np.float32), float_of(np.maximum(following, 0)))
    values = np.where(low < high, shortest_between(low, high), np.inf)
    offsets = np.searchsorted(feature, np.arange(len(missing) + 1))
    return Cuts(values.astype(np.float32), offsets.astype(np.int64), missing)


def keys_of(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """The order-preserving keys of floats; see `queries.kernels`."""
    bits = values.view(np.uint32)
    return np.where(bits & SIGN, -bits, bits | SIGN).astype(np.uint32)


def bin_table(
    table: Table, cuts: Cuts, threads: Threads, trained: bool = True
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Put every value of a table in its bin.

    Parameters
    ----------
    table : Table
    cuts : Cuts
    threads : Threads
    trained : bool, default True
        Whether the cuts were made for these rows. Others may miss what no row of training missed, and go beyond all
        cuts: that is the bin after the one for the missing.

    Returns
    -------
    uint8 or uint16 (groups, rows, features a group)
        In the table's order; see `kernels`.
    """
    groups = -(-cuts.n_features // GROUP)
    a_group = -(-cuts.n_features // groups)
    largest = int(cuts.n_bins.max()) if trained else min(int(cuts.n_values.max()) + 2, 1 << 16)
    slot_shift = shift_of(table.n_rows)
    keys, below, steps = _lookup(cuts, slot_shift, trained)
    bits = Bits.of(table)
    out = np.zeros((groups, table.n_rows, a_group), np.uint8 if largest <= 256 else np.uint16)

    def fill(piece: NDArray[np.int64]) -> NDArray[np.int64]:
        found = np.zeros(cuts.n_features, np.int64)
        for start, stop in piece:
            kernels.bin_rows(
                bits.flat, bits.row_stride, bits.column_stride, bits.order, start, stop,
                keys, slot_shift, below, steps, cuts.n_values, a_group, found, out,
            )  # fmt: skip
        return found

    found = threads.map(fill, pieces(np.array([[0, table.n_rows]], np.int64), threads.n))
    beyond = trained and [f for part in found for f in np.flatnonzero(part >= cuts.n_bins)]
    if beyond:
        name = table.schema.names[beyond[0]]
        raise ProtocolError(f"the cut points of column {name!r} leave no bin for some value, or for the missing")
    return out


def _lookup(
    cuts: Cuts, shift: np.uint32, trained: bool
) -> tuple[NDArray[np.uint32], NDArray[np.uint16], NDArray[np.uint8]]:
    """Each feature's cuts as keys, how many lie below each slot of upper bits, and the halvings within one."""
    used = slice(None, -1 if trained else None)  # the last cut lies above all that was seen in training
    inner = [keys_of(cuts.of(f)[used]) for f in range(cuts.n_features)]
    n_slots = 1 << (KEY_BITS - int(shift))
    below = np.zeros((cuts.n_features, n_slots), np.uint16)
    steps = np.zeros(cuts.n_features, np.uint8)
    for f, own in enumerate(inner):
        here = np.bincount(own >> shift, minlength=n_slots)
        below[f] = np.cumsum(here) - here
        steps[f] = int(here.max()).bit_length()
    longest = max(len(own) for own in inner)
    keys = np.full((cuts.n_features, longest + (1 << int(steps.max()))), 0xFFFFFFFF, np.uint32)
    for f, own in enumerate(inner):
        keys[f, : len(own)] = own
    return keys, below, steps
