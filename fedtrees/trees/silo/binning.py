"""Bins of a silo's values: each value as the number of its bin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.bits import Bits
from fedtrees.core.numeric.float_keys import KEY_BITS, SIGN, shift_of
from fedtrees.core.numeric.row_ranges import pieces
from fedtrees.errors import ProtocolError
from fedtrees.trees.kernels import histogram as histogram_kernels
from fedtrees.trees.model.cuts import Cuts

if TYPE_CHECKING:
    from fedtrees.core.data.table import Table
    from fedtrees.core.numeric.threads import Threads


GROUP = 8  # features of a group at the most: accumulators of so many stay in the cache; see `kernels.histogram`


def keys_of(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Return the order-preserving keys of floats; see `core.numeric.float_keys`."""
    bits = values.view(np.uint32)
    return np.where(bits & SIGN, -bits, bits | SIGN).astype(np.uint32)


def bin_table(
    table: Table, cuts: Cuts, threads: Threads, trained: bool = True
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Put every value of a table in its bin; missing values with the highest ones, where they have no bin.

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
    uint8 or uint16 (groups, rows, features per group)
        In the table's order; see `kernels.histogram`.
    """
    groups = -(-cuts.n_features // GROUP)
    per_group = -(-cuts.n_features // groups)
    largest = int(cuts.n_bins.max()) if trained else min(int(cuts.n_values.max()) + 2, 1 << 16)
    slot_shift = shift_of(table.n_rows)
    keys, below, steps = _lookup(cuts, slot_shift, trained)
    # where training has too few missing for a bin, they go with the highest values, to the right of every split
    lost = np.where(cuts.missing | (cuts.n_values == 0) | (not trained), cuts.n_values, cuts.n_values - 1)
    bits = Bits.of(table)
    out = np.zeros((groups, table.n_rows, per_group), np.uint8 if largest <= 256 else np.uint16)

    def fill(piece: NDArray[np.int64]) -> NDArray[np.int64]:
        found = np.zeros(cuts.n_features, np.int64)
        for start, stop in piece:
            histogram_kernels.bin_rows(
                bits.flat, bits.row_stride, bits.column_stride, bits.order, start, stop,
                keys, slot_shift, below, steps, cuts.n_values, lost, per_group, found, out,
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
    """Return each feature's cuts as keys, how many lie below each slot of upper bits, and the halvings within one.

    The upper bits of a key are its slot. A value is looked for among the cuts of its slot alone, by as many halvings
    for every slot of a feature, so that no branch of the kernel depends on the data.
    """
    used = slice(None, -1 if trained else None)  # the last cut lies above all that was seen in training
    inner = [keys_of(cuts.of(f)[used]) for f in range(cuts.n_features)]
    n_slots = 1 << (KEY_BITS - int(shift))
    below = np.zeros((cuts.n_features, n_slots), np.uint16)
    steps = np.zeros(cuts.n_features, np.uint8)
    for f, cut_keys in enumerate(inner):
        here = np.bincount(cut_keys >> shift, minlength=n_slots)
        below[f] = np.cumsum(here) - here
        steps[f] = int(here.max()).bit_length()
    longest = max(len(cut_keys) for cut_keys in inner)
    # filled up with the largest key, which no value has: halvings may reach beyond the last cut, and find nothing
    keys = np.full((cuts.n_features, longest + (1 << int(steps.max()))), 0xFFFFFFFF, np.uint32)
    for f, cut_keys in enumerate(inner):
        keys[f, : len(cut_keys)] = cut_keys
    return keys, below, steps
