"""Bins: cut points from exact federated ranks, and a silo's values as the numbers of their bins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.errors import ProtocolError
from fedtrees.queries.categories import CategoryCounts
from fedtrees.queries.counts import Bits, Summary, pieces
from fedtrees.queries.kernels import SIGN
from fedtrees.queries.ranks import KEY_BITS, Buckets, Ranks, float_of, shift_of, shortest_between
from fedtrees.trees import kernels
from fedtrees.trees.rare_categories import RareCategories
from fedtrees.trees.tree import Cuts

if TYPE_CHECKING:
    from fedtrees.core.data.table import Table
    from fedtrees.core.numeric.threads import Threads
    from fedtrees.core.protocol.channel import Channel
    from fedtrees.core.sampling.samplers import Cohort

GROUP = 8  # features a group at the most; see `kernels`


def global_cuts(
    channel: Channel,
    cohort: Cohort,
    summary: Summary,
    max_bin: int,
    most: int = 1,
    categories: NDArray[np.int64] | None = None,
    least: int = 1,
    whole: bool = True,
) -> Cuts:
    """Find cut points from the ranks of all the cohort's values, in two to six rounds of counting; more with ``least``.

    Law: the cuts are the same for every partition of the same rows, and whatever unit weights that are no counts have.

    Parameters
    ----------
    channel, cohort
        Whom to ask.
    summary : Summary
        The cohort's rows and missing values.
    max_bin : int
        Bins of a feature at the most, the missing bin included.
    most : int, default 1
        The most that a row counts, where rows count by weight; see `core.sampling.weighting.CountWeights`.
    categories : int64 (features,), optional
        Agreed categories of each feature that is split by them, which get no cuts here; 0 of others.
    least : int, default 1
        Rows that a bin holds at the least. The missing of a feature that are fewer go with its highest values.
    whole : bool, default True
        Whether rows of weight k count as k rows. Of others a bucket of one row is told from one of several by counting
        rows, too: the size of its weight does not tell.
    """
    present = summary.rows - summary.missing
    few = (summary.missing < least) | (present < least)  # on either side: all share the bins of values
    missing = (summary.missing > 0) & ~(few & (present > 0))
    if categories is not None:
        present = np.where(categories > 0, 0, present)
    buckets = Buckets.start(summary.rows * most, present, max_bin - missing, least)
    by_rows = most > 1 and (least > 1 or not whole)
    while (coarse := buckets.to_refine()).any():
        query = buckets.query(coarse)
        buckets = buckets.refined(coarse, query, *_counts(channel, cohort, query, by_rows))
    return replace(cuts_of(buckets, missing), missing_high=few & (present > 0) & (summary.missing > 0))


def category_cuts(
    channel: Channel, cohort: Cohort, cuts: Cuts, summary: Summary, categories: NDArray[np.int64], least: int = 1
) -> tuple[Cuts, RareCategories | None]:
    """Give each category a bin, up to the last that any row has: as XGBoost has them, whatever ``max_bin`` says.

    Those of fewer rows than ``least`` share one, which the silos are told of.

    Parameters
    ----------
    channel, cohort
        Whom to ask.
    cuts : Cuts
        Of the features that are numbers.
    summary : Summary
    categories : int64 (features,)
        Agreed categories of each feature that is split by them; 0 of others.
    least : int, default 1

    Returns
    -------
    Cuts, RareCategories or None
    """
    counts = channel.total(CategoryCounts(summary.rows, categories), cohort)
    rare = RareCategories.of(counts, summary.missing, least)
    if not rare.features:
        return with_categories(cuts, counts), None
    channel.tell(rare)
    return with_categories(cuts, rare.merged(counts)), rare


def _counts(channel: Channel, cohort: Cohort, query: Ranks, by_rows: bool) -> list[Vector]:
    """The counts of each interval's values; where rows count by weight, also of how many rows they are."""
    queries = [query, msgspec.structs.replace(query, weighted=False)] if by_rows else [query]
    return channel.totals(queries, cohort)


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
    first, largest = float_of(buckets.firsts(feature, following)), np.finfo(np.float32).max
    # a bucket may reach beyond the largest float, where no value is
    middles = (np.clip(first, -largest, largest).astype(np.float64) + np.clip(low, -largest, largest)) / 2
    return Cuts(values.astype(np.float32), offsets.astype(np.int64), missing, middles=middles)


def keys_of(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """The order-preserving keys of floats; see `queries.kernels`."""
    bits = values.view(np.uint32)
    return np.where(bits & SIGN, -bits, bits | SIGN).astype(np.uint32)


def bin_table(
    table: Table, cuts: Cuts, threads: Threads, trained: bool = True
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Put every value of a table in its bin; the missing with the highest values, where they have no bin of theirs.

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
    # where training has too few missing for a bin, they go with the highest values, to the right of every split
    lost = np.where(cuts.missing | (cuts.n_values == 0) | (not trained), cuts.n_values, cuts.n_values - 1)
    bits = Bits.of(table)
    out = np.zeros((groups, table.n_rows, a_group), np.uint8 if largest <= 256 else np.uint16)

    def fill(piece: NDArray[np.int64]) -> NDArray[np.int64]:
        found = np.zeros(cuts.n_features, np.int64)
        for start, stop in piece:
            kernels.bin_rows(
                bits.flat, bits.row_stride, bits.column_stride, bits.order, start, stop,
                keys, slot_shift, below, steps, cuts.n_values, lost, a_group, found, out,
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
