"""Naive twins of the kernels, and of training itself: a few lines of plain Python each, as slow as they are plain.

A twin shares no code with what it is held against. Rows stand in ``codes: int (rows, features)``, each value as the
number of its bin; gradients and hessians are whole numbers.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]


# -- keys and ranks -----------------------------------------------------------------------------------------


def key(x: float) -> int:
    """The key of one float: 2**31, plus its magnitude's bits, or minus them where it is negative."""
    magnitude = int(np.abs(np.float32(x)).view(np.uint32))
    return 2**31 + (-magnitude if x < 0 else magnitude)


def count_missing(X: NDArray[np.float32]) -> list[int]:
    return [sum(math.isnan(x) for x in column) for column in X.T.tolist()]


def count_ranks(X: NDArray[np.float32], intervals: Sequence[Sequence[tuple[int, int, int]]]) -> list[int]:
    """Each feature's intervals are (first key, logarithm of its keys, logarithm of a child's keys)."""
    counts: list[int] = []
    for column, own in zip(X.T.tolist(), intervals, strict=True):
        keys = [key(x) for x in column if not math.isnan(x)]
        for low, width, shift in own:
            children = range(low, low + 2**width, 2**shift)
            counts += [sum(child <= k < child + 2**shift for k in keys) for child in children]
    return counts


def shortest_between(low: float, high: float) -> list[np.float32]:
    """The one or two nearest to the middle of the coarsest decimals that are between two floats as floats."""
    a, b = Fraction(float(low)), Fraction(float(high))
    for exponent in range(39, -60, -1):
        unit = Fraction(10) ** exponent
        below = math.floor((a + b) / 2 / unit)
        distance = {k: abs((a + b) / 2 - k * unit) for k in (below, below + 1)}
        nearest = [k for k in distance if distance[k] == min(distance.values())]
        with np.errstate(over="ignore"):
            found = [np.float32(f"{k}e{exponent}") for k in nearest]
        found = [t for t in found if low < t < high]
        if found:
            return found
    return [np.float32(high)]


# -- bins and trees -----------------------------------------------------------------------------------------


def codes(X: NDArray[np.float32], cuts: Any) -> Codes:
    """The bin of every value: the first whose cut lies above it, the last of all for what is missing."""
    out = np.empty(X.shape, np.int64)
    for f, column in enumerate(X.T):
        inner = cuts.of(f)[:-1].tolist()
        for row, x in enumerate(column.tolist()):
            out[row, f] = cuts.n_values[f] if math.isnan(x) else bisect_right(inner, x)
    return out


def from_groups(bins: NDArray[Any], n_features: int) -> Codes:
    """Undo the layout (groups, rows, features a group)."""
    return np.concatenate(list(bins), axis=1)[:, :n_features].astype(np.int64)


def in_groups(codes: Codes, a_group: int, dtype: type) -> NDArray[Any]:
    """The layout (groups, rows, features a group) that the kernels walk."""
    rows, features = codes.shape
    groups = -(-features // a_group)
    out = np.zeros((rows, groups * a_group), dtype)
    out[:, :features] = codes
    return np.ascontiguousarray(out.reshape(rows, groups, a_group).transpose(1, 0, 2))


class Node(NamedTuple):
    """What a node asks: ``feature`` is -1 at a leaf, ``missing`` the bin for the missing or one beyond all.

    Where ``right`` are categories, those go right, and ``bin`` says nothing.
    """

    feature: int
    bin: int
    missing: int
    default_left: bool
    left: int
    right: frozenset[int] | None = None


def reached(row: Sequence[int], tree: Sequence[Node], node: int = 0) -> int:
    """The leaf that a row's bins lead to."""
    while tree[node].feature >= 0:
        asked = tree[node]
        b = row[asked.feature]
        goes_left = b <= asked.bin if asked.right is None else b not in asked.right
        goes_left = asked.default_left if b == asked.missing else goes_left
        node = asked.left if goes_left else asked.left + 1
    return node


def histogram(
    codes: Codes, g: NDArray[np.int64], h: NDArray[np.int64], rows: Sequence[int], offsets: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The sums of g and of h in every bin: int64 (2, bins)."""
    sums = np.zeros((2, offsets[-1]), np.int64)
    for f in range(codes.shape[1]):
        for own, statistic in zip(sums, (g, h), strict=True):
            np.add.at(own, offsets[f] + codes[rows, f], statistic[rows])
    return sums


# -- splits -------------------------------------------------------------------------------------------------


class Candidate(NamedTuple):
    """A split, and the integer sums of what it sends left."""

    feature: int
    bin: int
    default_left: bool
    g: int
    h: int
    right: frozenset[int] | None = None


def candidates(sums: Sequence[Sequence[int]], cuts: Any, rule: Any = None, units: Any = None) -> list[Candidate]:
    """Every split of a node, in the order in which ties are broken.

    A bin that is empty in the node makes no split of its own, nor do the missing where there are none.
    """
    found = []
    for f in range(cuts.n_features):
        first, n = int(cuts.bin_offsets[f]), int(cuts.n_values[f])
        missing = (sums[0][first + n], sums[1][first + n]) if cuts.missing[f] else (0, 0)
        if cuts.categorical[f]:
            own = [(sums[0][b], sums[1][b]) for b in range(first, first + n)]
            found += category_candidates(f, own, missing, rule, units)
            continue
        for b in range(n):
            if (sums[0][first + b], sums[1][first + b]) == (0, 0):
                continue
            g, h = (sum(own[first : first + b + 1]) for own in sums)
            if b < n - 1 or missing != (0, 0):
                found.append(Candidate(f, b, False, g, h))
        for b in reversed(range(1, n)):  # as XGBoost does: missing left from the highest bin down
            if missing != (0, 0) and (sums[0][first + b], sums[1][first + b]) != (0, 0):
                g, h = (sum(own[first : first + b]) for own in sums)
                found.append(Candidate(f, b - 1, True, g + missing[0], h + missing[1]))
    return found


def category_candidates(
    f: int, sums: Sequence[tuple[int, int]], missing: tuple[int, int], rule: Any, units: Any
) -> list[Candidate]:
    """Of few categories, each from all others; of many, the first of those sorted by their leaves from the last."""

    def candidate(right: Sequence[int], default_left: bool) -> Candidate:
        left = [own for category, own in enumerate(sums) if category not in right] + [missing] * default_left
        return Candidate(f, 0, default_left, sum(g for g, _ in left), sum(h for _, h in left), frozenset(right))

    def weight(category: int) -> np.float32:
        plain = replace(rule, learning_rate=1.0)
        return leaf(*sums[category], plain, units)

    n = len(sums)
    if n < rule.max_cat_to_onehot:
        return [candidate([category], to_left) for category in range(n) for to_left in (True, False)]
    ordered, tried = sorted(range(n), key=weight), range(1, min(rule.max_cat_threshold, n))
    return [candidate(ordered[:k], True) for k in tried] + [candidate(ordered[: n - k], False) for k in tried]


def gain(
    candidate: Candidate, total: tuple[int, int], rule: Any, units: Any, number: Callable[[Any], Any] = float
) -> Any:
    """Equation 7 of Chen and Guestrin (2016), twice: what a split saves; None where a child is too small."""
    alpha, lam, least = number(rule.reg_alpha), number(rule.reg_lambda), number(rule.min_child_weight)
    unit_g, unit_h = number(units.g), number(units.h)
    children = [(candidate.g, candidate.h), (total[0] - candidate.g, total[1] - candidate.h)]
    soft = [max(abs(g * unit_g) - alpha, number(0)) for g, _ in children]
    h = [child * unit_h for _, child in children]
    if min(h) < least or min(h) <= 0:
        return None
    if rule.max_delta_step:
        left, right = (saved(*child, rule, units) for child in children)
        return left + right - saved(*total, rule, units)
    gl, gr, hl, hr = *soft, h[0] + lam, h[1] + lam
    mother = max(abs(total[0] * unit_g) - alpha, number(0))
    before = mother * mother / (total[1] * unit_h + lam)
    return (gl * gl * hr + gr * gr * hl) / (hl * hr) - before


def bounded_weight(g: float, h: float, rule: Any, bounds: Sequence[float] = (-math.inf, math.inf)) -> float:
    """A leaf's weight, no larger than ``max_delta_step`` and within bounds; XGBoost's has 32 bits."""
    soft = max(g - rule.reg_alpha, 0.0) + min(g + rule.reg_alpha, 0.0)
    most = rule.max_delta_step or math.inf
    weight = max(min(-soft / (h + rule.reg_lambda), most), -most)
    return float(np.float32(max(min(weight, bounds[1]), bounds[0])))


def bounded_gain(
    own: Candidate,
    total: tuple[int, int],
    rule: Any,
    units: Any,
    bounds: Sequence[float] = (-math.inf, math.inf),
    direction: int = 0,
) -> float | None:
    """What a split saves where weights are bounded, before the node's own is taken off; None where it is none."""
    saved, weights = 0.0, []
    for g, h in ((own.g, own.h), (total[0] - own.g, total[1] - own.h)):
        real_g, real_h = g * units.g, h * units.h
        if real_h <= 0 or real_h < rule.min_child_weight:
            return None
        weight = bounded_weight(real_g, real_h, rule, bounds)
        saved = saved - (2 * real_g * weight + (real_h + rule.reg_lambda) * weight * weight)
        weights.append(weight)
    return saved if direction * (weights[1] - weights[0]) >= 0 else None


def saved(g: int, h: int, rule: Any, units: Any) -> float:
    """What a leaf saves, twice, where weights are bounded: XGBoost leaves the L1 penalty out there."""
    weight = float(leaf(g, h, replace(rule, learning_rate=1.0), units))
    return -(2 * g * units.g * weight + (h * units.h + rule.reg_lambda) * weight * weight)


def best_split(
    sums: Sequence[Sequence[int]], total: tuple[int, int], cuts: Any, rule: Any, units: Any
) -> tuple[float, Candidate | None]:
    """The first of the splits that gain most, and its gain; 0 and None where none gains."""
    best, chosen = 0.0, None
    for candidate in candidates(sums, cuts, rule, units):
        saved = gain(candidate, total, rule, units)
        if saved is not None and saved > best:
            best, chosen = saved, candidate
    return best, chosen


def leaf(g: int, h: int, rule: Any, units: Any) -> np.float32:
    """Equation 5 of Chen and Guestrin (2016), times the learning rate."""
    real_g, real_h = g * units.g, h * units.h
    if real_h <= 0 or real_h < rule.min_child_weight:
        return np.float32(0)
    soft = math.copysign(max(abs(real_g) - rule.reg_alpha, 0.0), real_g)
    most = rule.max_delta_step or math.inf
    return np.float32(max(-most, min(-soft / (real_h + rule.reg_lambda), most)) * rule.learning_rate)


# -- training -----------------------------------------------------------------------------------------------


class Grown(NamedTuple):
    """A tree in the order of its levels, and the node that each row reached."""

    nodes: list[Node]
    value: list[np.float32]
    leaf_of: list[int]


def grow(
    codes: Codes, g: NDArray[np.int64], h: NDArray[np.int64], cuts: Any, rule: Any, units: Any, max_depth: int
) -> Grown:
    """Grow one tree: every node's histogram is built from its own rows, none by subtraction."""
    nodes, rows_of, sums_of = [Node(-1, 0, -1, False, -1)], [list(range(len(g)))], [(int(g.sum()), int(h.sum()))]
    level = [0]
    for _ in range(max_depth):
        below: list[int] = []
        for node in level:
            sums = histogram(codes, g, h, rows_of[node], cuts.bin_offsets).tolist()
            saved, best = best_split(sums, sums_of[node], cuts, rule, units)
            if best is None or saved <= 1e-6 or saved < rule.gamma:
                continue
            missing = int(cuts.n_values[best.feature]) if cuts.missing[best.feature] else -1
            left = len(nodes)
            nodes[node] = Node(best.feature, best.bin, missing, best.default_left, left, best.right)
            nodes += [Node(-1, 0, -1, False, -1)] * 2
            sums_of += [(best.g, best.h), (sums_of[node][0] - best.g, sums_of[node][1] - best.h)]
            to = [reached(codes[row], nodes, node) for row in rows_of[node]]
            both = list(zip(rows_of[node], to, strict=True))
            rows_of += [[row for row, at in both if at == child] for child in (left, left + 1)]
            below += [left, left + 1]
        level = below
    value = [leaf(*own, rule, units) for own in sums_of]
    return Grown(nodes, value, [reached(row, nodes) for row in codes])


def quantile(values: Sequence[float], alpha: float) -> float:
    """Between two of the sorted values, at ``alpha * (n + 1)``."""
    n, ordered = len(values), sorted(values)
    at = min(max(alpha * (n + 1), 1), n)
    k = min(int(at), n - 1)
    return ordered[k - 1] + (at - k) * (ordered[min(k, n - 1)] - ordered[k - 1])


def weighted_quantile(values: Sequence[float], weights: Sequence[int], alpha: float) -> float:
    """The first of the sorted values up to which lies a share of ``alpha`` of the weight."""
    upto = 0
    for value, weight in sorted(zip(values, weights, strict=True)):
        upto += weight
        if upto >= alpha * sum(weights):
            return value
    raise AssertionError("no weight at all")


def quantised(values: NDArray[np.float64], exponent: int, bits: int) -> NDArray[np.int64]:
    """Each value on the grid of 2 ** (exponent - bits), ties to even."""
    return np.array([round(math.ldexp(value, bits - exponent)) for value in values.tolist()], np.int64)


def boost(
    codes: Codes,
    gradients: Callable[[NDArray[np.float32]], tuple[NDArray[np.float64], NDArray[np.float64]]],
    base_margin: NDArray[np.float32],
    grids: Sequence[tuple[int, int, int]],
    cuts: Any,
    rule: Any,
    units_of: Callable[[Any], Any],
    max_depth: int,
    quantile: Callable[[NDArray[np.float32], list[int]], float] | None = None,
    keeps_hessians: bool = False,
) -> tuple[list[Grown], NDArray[np.float32]]:
    """All trees, a round for each grid, and the margins they end at: (outputs, rows).

    A grid is the exponents that bound g and h, and how many digits it has more than the usual 19 and 20. Where a
    ``quantile`` of margins and rows is given, it is what the leaf of those rows says, times the learning rate. With
    ``keeps_hessians``, one above 0 is a step of a fine grid at the least.
    """
    margin = np.tile(base_margin[:, None], len(codes))
    trees = []
    for grid in grids:
        exponents, bits = grid[:2], (19 + grid[2], 20 + grid[2])
        g, h = gradients(margin)
        assert (np.abs(g) <= 2.0 ** exponents[0]).all() and (h <= 2.0 ** exponents[1]).all()
        for k in range(len(margin)):
            words_g, words_h = (quantised(part[k], e, n) for part, e, n in zip((g, h), exponents, bits, strict=True))
            if keeps_hessians and grid[2] > 0:
                words_h = np.where(h[k] > 0, np.maximum(words_h, 1), words_h)
            trees.append(grow(codes, words_g, words_h, cuts, rule, units_of(grid), max_depth))
            tree = trees[-1]
            for node in set(tree.leaf_of) if quantile else ():
                own = [row for row, at in enumerate(tree.leaf_of) if at == node]
                tree.value[node] = np.float32(quantile(margin[k], own)) * np.float32(rule.learning_rate)
            for row, node in enumerate(trees[-1].leaf_of):
                margin[k, row] += trees[-1].value[node]
    return trees, margin
