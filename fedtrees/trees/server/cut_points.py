"""Cut points from exact ranks over all silos, and bins of categories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.numeric.float_keys import float_of
from fedtrees.queries.categories import CategoryCounts
from fedtrees.queries.counts import Summary
from fedtrees.queries.ranks import Buckets, Ranks, shortest_between
from fedtrees.trees.messages.rare_categories import RareCategories
from fedtrees.trees.model.cuts import Cuts

if TYPE_CHECKING:
    from fedtrees.core.protocol.channel import Channel
    from fedtrees.core.sampling.samplers import Cohort


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
    channel : Channel
    cohort : Cohort
        The silos to ask.
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
        Whether rows of weight k count as k rows. Of others, rows are counted, too: a weight does not show whether a
        bucket has one row or several.
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
    """Give each category a bin, up to the last that any row has: as XGBoost has them, whatever ``max_bin`` is.

    Categories of fewer rows than ``least`` share one; silos receive them as a fact.

    Parameters
    ----------
    channel : Channel
    cohort : Cohort
        The silos to ask.
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
    """Ask for the counts of each interval's values; where rows count by weight, also for the numbers of rows."""
    queries = [query, msgspec.structs.replace(query, weighted=False)] if by_rows else [query]
    return channel.totals(queries, cohort)


def with_categories(cuts: Cuts, counts: Sequence[NDArray[np.int64]]) -> Cuts:
    """Return the cuts, and one above each category of the features whose categories are counted."""
    values = [cuts.of(f) for f in range(cuts.n_features)]
    categorical = np.array([len(rows) > 0 for rows in counts])
    for f in np.flatnonzero(categorical).tolist():
        used = np.flatnonzero(counts[f])
        values[f] = np.arange(used[-1] + 1 if len(used) else 0, dtype=np.float32) + np.float32(0.5)
    offsets = np.cumsum([0, *map(len, values)])
    return Cuts(np.concatenate(values), offsets.astype(np.int64), cuts.missing, categorical)


def cuts_of(buckets: Buckets, missing: NDArray[np.bool_]) -> Cuts:
    """Write a decimal between neighbouring bins, and one above the last (above the largest float, infinity)."""
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
