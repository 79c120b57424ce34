"""Split finding over summed histograms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.trees.kernels import split as split_kernels
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.gradient_scale import GradientScale

if TYPE_CHECKING:
    from fedtrees.core.numeric.threads import Threads

SMALLEST_GAIN = 1e-6  # XGBoost's kRtEps: a smaller gain is noise
LEAST_NOISE = 2.0**-96  # of numbers of 53 bits, squared, with some to spare


class Rule(Protocol):
    """A criterion of splits, as growers ask it: gains of gradients are one, impurities are others."""

    gains: ClassVar[type[np.floating]]  # of gains, and of monotone children's values, as they are compared and kept
    bounded_as_parents: ClassVar[bool]  # whether leaves keep to their parents' bounds only

    @property
    def statistics(self) -> int:
        """The number of sums of a bin."""
        ...

    @property
    def learning_rate(self) -> float:
        """The factor of leaves' values."""
        ...

    def shared(self, trees: int) -> Self:
        """The rule for so many trees side by side."""
        ...

    def of_output(self, output: int) -> Self:
        """The rule that values the trees of one of several outputs."""
        ...

    def of_outputs(self, outputs: int) -> Self:
        """The rule for the sums of several outputs side by side, whose trees are split alike."""
        ...

    def knowing(self, sums: NDArray[np.float64]) -> Self:
        """The rule for targets of these sums: of classes, the weight of each; float64 (any,).

        Of several outputs, each has a row: float64 (outputs, classes).
        """
        ...

    def drawing(self, share: float, sums: NDArray[np.float64]) -> tuple[Self, NDArray[np.float64]]:
        """The rule where trees draw a share of the rows, and the factor of each class's draws: float64 (any,)."""
        ...

    def mass(self, sums: Vector, units: Units) -> NDArray[np.float64]:
        """The mass of nodes of these sums, float64 (nodes,)."""
        ...

    def divisible(self, mass: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return whether nodes are heavy enough for two children."""
        ...

    def splits(self, histograms: Vector, places: NDArray[np.int64], totals: Vector, plain: Grounds) -> Splits:
        """The best split of each node; see `best_splits`."""
        ...

    def values(self, sums: Vector, units: Units, bounds: NDArray[np.floating] | None) -> NDArray[np.float32]:
        """The values of nodes of these sums as leaves."""
        ...

    def predicted(self, sums: Vector, root: Vector, units: Units, bounds: NDArray[np.floating]) -> NDArray[np.floating]:
        """Predictions of nodes of these sums, and of one tree, as monotone constraints compare it: (nodes,)."""
        ...

    def kept(self, sums: Vector, units: Units) -> NDArray[np.float64]:
        """The nodes' sums that a finished tree keeps, in real numbers: float64 (nodes, any)."""
        ...


@dataclass(frozen=True, eq=False)
class Grounds:
    """Everything that splits are found over besides the sums.

    Attributes
    ----------
    cuts : Cuts
    units : Units
    threads : Threads
    limits : Limits
    """

    cuts: Cuts
    units: Units
    threads: Threads
    limits: Limits


@dataclass(frozen=True)
class SplitRule:
    """The conditions of splits and the values of leaves by gradients; names and meanings are XGBoost's."""

    reg_lambda: float = 1.0
    reg_alpha: float = 0.0
    gamma: float = 0.0
    min_child_weight: float = 1.0
    learning_rate: float = 0.3
    max_delta_step: float = 0.0  # none
    max_cat_to_onehot: int = 4
    max_cat_threshold: int = 64

    gains: ClassVar[type[np.floating]] = np.float32  # XGBoost's, as is what follows
    bounded_as_parents: ClassVar[bool] = True
    statistics: ClassVar[int] = 2

    def shared(self, trees: int) -> Self:
        """The rule for parallel trees: as in XGBoost, they share the learning rate."""
        return replace(self, learning_rate=self.learning_rate / trees)

    def of_outputs(self, outputs: int) -> Self:
        """The same rule: each output has trees of its own."""
        return self

    def of_output(self, output: int) -> Self:
        """The same rule for all."""
        return self

    def knowing(self, sums: NDArray[np.float64]) -> Self:
        """The same rule: the initial margin takes care of targets' sums."""
        return self

    def drawing(self, share: float, sums: NDArray[np.float64]) -> tuple[Self, NDArray[np.float64]]:
        """The same rule, and no class oftener than another."""
        return self, np.zeros(0)

    def mass(self, sums: Vector, units: Units) -> NDArray[np.float64]:
        """The sums of hessians."""
        mass: NDArray[np.float64] = np.asarray(sums[:, 1] * units.h, np.float64)
        return mass

    def divisible(self, mass: NDArray[np.float64]) -> NDArray[np.bool_]:
        """See `Rule`."""
        enough: NDArray[np.bool_] = mass >= 2 * self.min_child_weight
        return enough

    def splits(self, histograms: Vector, places: NDArray[np.int64], totals: Vector, plain: Grounds) -> Splits:
        """See `best_splits`."""
        return best_splits(
            histograms, places, totals, plain.cuts, self, plain.units, plain.threads, plain.limits
        )  # fmt: skip

    def values(self, sums: Vector, units: Units, bounds: NDArray[np.floating] | None) -> NDArray[np.float32]:
        """See `leaf`."""
        return self.leaf(sums[:, 0] * units.g, sums[:, 1] * units.h, bounds)

    def predicted(self, sums: Vector, root: Vector, units: Units, bounds: NDArray[np.floating]) -> NDArray[np.float32]:
        """Nodes' weights within bounds."""
        return self.weight(sums[:, 0] * units.g, sums[:, 1] * units.h, bounds).astype(np.float32)

    def kept(self, sums: Vector, units: Units) -> NDArray[np.float64]:
        """No sums: trees have values and covers."""
        return np.zeros((0, 2))

    @property
    def largest_weight(self) -> float:
        """The largest magnitude of a leaf before the learning rate."""
        return self.max_delta_step or math.inf

    def weight(
        self, g: NDArray[np.floating], h: NDArray[np.floating], bounds: NDArray[np.floating] | None = None
    ) -> NDArray[np.float64]:
        """The best leaf of these sums before the learning rate, 0 where h is too small.

        Equation 5 of Chen and Guestrin (2016), with the soft threshold of an L1 penalty, not above ``max_delta_step``,
        and within ``bounds``, (leaves, 2), where they are given.
        """
        soft = np.sign(g) * np.maximum(np.abs(g) - self.reg_alpha, 0)
        enough = (h > 0) & (h >= self.min_child_weight)
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = np.where(enough, -soft / (h + self.reg_lambda), 0.0)
        weight = np.clip(weight, -self.largest_weight, self.largest_weight)
        return weight if bounds is None else np.clip(weight, bounds[:, 0], bounds[:, 1])

    def leaf(
        self, g: NDArray[np.floating], h: NDArray[np.floating], bounds: NDArray[np.floating] | None = None
    ) -> NDArray[np.float32]:
        """The numbers that leaves of these sums add to margins: `weight` times the learning rate, within float32."""
        largest = np.finfo(np.float32).max
        return np.clip(self.weight(g, h, bounds) * self.learning_rate, -largest, largest).astype(np.float32)

    def objective(
        self, g: NDArray[np.floating], h: NDArray[np.floating], bounds: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """The loss that leaves of bounded weights save, twice: -(2 g w + (h + lambda) w ** 2), without the L1 penalty.

        XGBoost leaves that out where weights are bounded; so do we, to choose the same splits.
        """
        weight = self.weight(g, h, bounds).astype(np.float32).astype(np.float64)
        return np.where(h > 0, -(2 * g * weight + (h + self.reg_lambda) * weight * weight), 0.0)


@dataclass(frozen=True, eq=False)
class Limits:
    """Limits of nodes' splits beyond the rule's conditions.

    Attributes
    ----------
    bounds : float64 (nodes, 2), optional
        The least and the most of their children's weights; None where these may be any.
    before : float64 (nodes,), optional
        The loss that nodes save as leaves, see `SplitRule.objective`; there where bounds are.
    direction : int8 (features,), optional
        1 where weights must not fall with a feature, -1 where they must not rise.
    allowed : bool (nodes, features), optional
        The features a node may ask for; None is all.
    roots : int64 (nodes, statistics), optional
        The sums of the root of each node's tree, for rules that ask for them.
    chance : float64 (nodes, features), optional
        From 0 to 1: the place of the one threshold of each feature that a node may try, where it may try one only.
    columns : int64 (nodes, any), optional
        The features whose bins a node's histogram has, ascending, for rules that draw them by node: histograms are flat
        then, and a node's place is where its histogram starts. None is all.
    """

    bounds: NDArray[np.float64] | None = None
    before: NDArray[np.float64] | None = None
    direction: NDArray[np.int8] | None = None
    allowed: NDArray[np.bool_] | None = None
    roots: Vector | None = None
    chance: NDArray[np.float64] | None = None
    columns: NDArray[np.int64] | None = None

    def of(self, nodes: slice | NDArray[np.int64]) -> Limits:
        """Return the limits of some of the nodes."""
        by_node = ("bounds", "before", "allowed", "roots", "chance", "columns")
        whole = {name: getattr(self, name) for name in by_node}
        return replace(self, **{name: array[nodes] for name, array in whole.items() if array is not None})


@dataclass(frozen=True, eq=False)
class Splits:
    """The best split of each node; ``feature`` is -1 where none is good enough.

    ``left`` and ``right`` are the children's exact sums of (G, H), int64 (nodes, 2). ``categories`` are those that go
    right, int32 (any,), by the places of the nodes that ask for categories.
    """

    feature: NDArray[np.int32]
    bin: NDArray[np.int32]
    default_left: NDArray[np.bool_]
    gain: NDArray[np.float64]
    left: Vector
    right: Vector
    categories: dict[int, NDArray[np.int32]]

    def take(self, which: NDArray[np.int64]) -> Splits:
        """Return the splits of some nodes."""
        categories = {}
        if self.categories:
            categories = {new: self.categories[old] for new, old in enumerate(which.tolist()) if old in self.categories}
        return Splits(
            self.feature[which], self.bin[which], self.default_left[which], self.gain[which], self.left[which],
            self.right[which], categories,
        )  # fmt: skip

    def put(self, which: NDArray[np.int64], others: Splits) -> None:
        """Replace the splits of some nodes by others, which have no categories."""
        for name in ("feature", "bin", "default_left", "gain", "left", "right"):
            getattr(self, name)[which] = getattr(others, name)

    @staticmethod
    def joined(parts: Sequence[Splits]) -> Splits:
        """Join splits, in order."""
        names = ("feature", "bin", "default_left", "gain", "left", "right")
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        categories: dict[int, NDArray[np.int32]] = {}
        first = 0
        for part in parts:
            categories |= {first + place: codes for place, codes in part.categories.items()}
            first += len(part.feature)
        return Splits(**arrays, categories=categories)


@dataclass(frozen=True)
class Units:
    """The values of one step of the quantised gradient and hessian.

    Attributes
    ----------
    g, h : float
    noise : float
        The distance by which roundings part two equal means or shares, as a part of them, squared.
    """

    g: float
    h: float
    noise: float = LEAST_NOISE

    @staticmethod
    def of(scale: GradientScale) -> Units:
        """Return the units of a gradient scale."""
        per_g, per_h = scale.scales()
        noise = LEAST_NOISE if scale.extra < 0 else max(math.ldexp(1.0, -2 * scale.bits()), LEAST_NOISE)
        return Units(1 / per_g, 1 / per_h, noise)  # powers of two


def best_splits(
    histograms: Vector,
    places: NDArray[np.int64],
    totals: Vector,
    cuts: Cuts,
    rule: SplitRule,
    units: Units,
    threads: Threads,
    limits: Limits | None = None,
) -> Splits:
    """Find each node's best split.

    Law: a function of the integer sums alone. Ties go to the lowest feature, then where XGBoost's
    go: missing right in the lowest bin, before missing left in the highest.

    Parameters
    ----------
    histograms : int64 (places, 2, bins)
    places : int64 (nodes,)
        Where among them each node's histogram stands.
    totals : int64 (nodes, 2)
        The nodes' sums.
    limits : Limits, optional
    """
    limits = limits or Limits()
    nodes = len(totals)
    gain = np.zeros(nodes)
    feature, split = np.full(nodes, -1, np.int32), np.zeros(nodes, np.int32)
    default_left, left = np.zeros(nodes, bool), np.zeros((nodes, 2), np.int64)

    goes_right = np.zeros((nodes, cuts.n_values[cuts.categorical].max(initial=0)), bool)
    categories = cuts.categorical, rule.max_cat_to_onehot, rule.max_cat_threshold
    layout = cuts.bin_offsets, cuts.n_values, cuts.missing
    penalties = rule.reg_alpha, rule.reg_lambda, rule.min_child_weight
    empty = np.zeros((0, 2))
    direction = np.zeros(cuts.n_features, np.int8) if limits.direction is None else limits.direction
    bounds, before = (empty, empty[:, 0]) if limits.bounds is None else (limits.bounds, limits.before)
    limited = rule.largest_weight, bounds, direction, before
    allowed = np.zeros((0, 0), bool) if limits.allowed is None else limits.allowed

    def search(first: int) -> None:
        split_kernels.best_splits(
            histograms, places, totals, first, min(first + step, nodes), layout, categories, (units.g, units.h),
            penalties, limited, allowed, gain, feature, split, default_left, left, goes_right,
        )  # fmt: skip

    step = max(1, -(-nodes // threads.n))
    threads.map(search, range(0, nodes, step))
    feature[(gain <= SMALLEST_GAIN) | (gain < rule.gamma)] = -1
    sets: dict[int, NDArray[np.int32]] = {}
    if cuts.any_categorical:
        by_category = np.flatnonzero((feature >= 0) & cuts.categorical[feature])
        sets = {node: np.flatnonzero(goes_right[node]).astype(np.int32) for node in by_category.tolist()}
        split[by_category] = 0
    return Splits(feature, split, default_left, gain, left, totals - left, sets)
