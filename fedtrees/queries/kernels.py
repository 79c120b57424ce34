"""Kernels over the order-preserving key of a float; see `core.numeric.float_keys`."""

from __future__ import annotations

import numpy as np

from fedtrees.core.numeric.compiled import njit
from fedtrees.core.numeric.float_keys import BLOCK, is_missing, key_of


@njit(nogil=True, cache=True)
def count_missing(bits, row_stride, column_stride, order, start, stop, out):
    """Count the missing values of every feature.

    bits: uint32 flat IN; a value stands at row * row_stride + feature * column_stride
    order: uint32 (rows,) or (0,) IN; where a row stands in bits, itself when empty
    start, stop: rows to walk IN
    out: int64 (features,) OUT, added to
    """
    for block in range(start, stop, BLOCK):
        end = min(block + BLOCK, stop)
        for f in range(out.shape[0]):
            n = 0
            for i in range(block, end):
                row = order[i] if order.shape[0] else i
                n += is_missing(bits[row * row_stride + f * column_stride])
            out[f] += n


@njit(nogil=True, cache=True)
def count_ranks(
    bits, row_stride, column_stride, order, start, stop, first, low, width, shift, base, slot_shift, before, steps,
    counts, out,
):  # fmt: skip
    """Count the values in each child of some intervals of keys.

    bits, row_stride, column_stride, order, start, stop: as in `count_missing` IN
    first: int64 (features + 1,) IN; the intervals of feature f are first[f] to first[f + 1], ascending, disjoint
    low: uint32 (intervals + spare,) IN; first keys; the largest key in what is spare
    width, shift: uint8 (intervals,) IN; an interval has 2**width keys, its children 2**shift
    base: int64 (intervals,) IN; where an interval's children start in out
    slot_shift: uint32 IN; a key's slot is what is left of it after this shift
    before: int32 (features, slots) IN; the last interval that starts before a slot, the first one where none does
    steps: uint8 (features,) IN; halvings that find a key among the intervals that start in any one slot
    counts: int64 (rows,) or None IN; what each row counts, 1 where None, which the compiler takes for a constant
    out: int32, or int64 where rows count differently, (children,) OUT, added to
    """
    one = np.uint64(1)
    for block in range(start, stop, BLOCK):
        end = min(block + BLOCK, stop)
        for f in range(first.shape[0] - 1):
            if first[f] == first[f + 1]:
                continue
            slots, ends = before[f], np.uint64(first[f + 1])
            for i in range(block, end):
                row = order[i] if order.shape[0] else i
                value = bits[row * row_stride + f * column_stride]
                key = key_of(value)
                at = np.uint64(slots[key >> slot_shift])
                # the last interval that starts at or below the key: a table of upper bits leads near it, and as many
                # halvings follow for every key, without a branch that the processor could mispredict
                for halving in range(steps[f]):
                    step = one << np.uint64(steps[f] - halving - 1)
                    at += step * np.uint64((at + step < ends) & (low[at + step] <= key))
                offset = np.int64(key) - np.int64(low[at])  # negative where the key lies before the interval
                if 0 <= offset < np.int64(1) << np.int64(width[at]) and not is_missing(value):
                    out[base[at] + (offset >> np.int64(shift[at]))] += 1 if counts is None else counts[i]
