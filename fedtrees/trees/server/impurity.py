"""Splits by impurity: classification and regression trees over the same histograms as boosting."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.row_ids import MOST_DRAWS
from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.errors import DataError
from fedtrees.trees.kernels import impurity as impurity_kernels
from fedtrees.trees.kernels.impurity import ENTROPY, GINI, POISSON, SQUARED
from fedtrees.trees.server.split import Grounds, Splits, Units

CRITERIA = {"gini": GINI, "entropy": ENTROPY, "log_loss": ENTROPY, "squared_error": SQUARED, "poisson": POISSON}
OF_NUMBERS = ("squared_error", "poisson")
ROUNDING = np.finfo(np.float64).eps  # that a split may save less than it must, as in scikit-learn


@dataclass(frozen=True)
class Impurity:
    """The conditions of splits by impurity; names and meanings are scikit-learn's, and rows count by their weights.

    Classes' weights are the server's alone: silos send the weight of each class, whatever it counts for.

    Sums are the classes' weights, or of a regression minus the sum of weighted targets and the sum of weights, which
    are the gradients and hessians of squares from a margin of 0.

    Attributes
    ----------
    criterion : {"gini", "entropy", "log_loss", "squared_error", "poisson"}
    statistics : int
        Sums of a bin: as many as classes, or 2 of each output.
    min_samples_split, min_samples_leaf : int or float
        A whole number is rows, a fraction a share of the tree's. 2 and 1 let anything be split.
    min_weight_fraction_leaf : float
        A share of the tree's weight.
    min_impurity_decrease : float
    class_weight : tuple of float, "balanced", "balanced_subsample" or None
        Factors of each class's weight where impurities are computed, but not where rows are counted. "balanced" gives
        all classes the same weight, once the rule is `knowing` their weights; "balanced_subsample" does in each tree,
        by the sums of its root; None is 1 of each.
    prior : tuple of float, optional
        Each class's share of all weight: the prediction of a tree that has no rows. Of several outputs, one after
        the other.
    outputs : int
        The number of outputs, whose sums stand side by side.
    counts_apart : bool
        Whether the last of them has all rows in its first class, where they weigh as they count and as in no other.
    """

    criterion: str
    statistics: int
    min_samples_split: float = 2
    min_samples_leaf: float = 1
    min_weight_fraction_leaf: float = 0.0
    min_impurity_decrease: float = 0.0
    class_weight: tuple[float, ...] | Literal["balanced", "balanced_subsample"] | None = None
    prior: tuple[float, ...] | None = None
    outputs: int = 1
    counts_apart: bool = False
    learning_rate: float = 1.0

    bounded_as_parents: ClassVar[bool] = False
    gains: ClassVar[type[np.floating]] = np.float64  # of numbers they are squares, which 32 bits may not hold

    def shared(self, trees: int) -> Self:
        """Return the same rule: trees side by side are averaged where they are read."""
        return self

    def of_outputs(self, outputs: int) -> Self:
        """See `Rule`; what a split saves is the mean of what it saves each."""
        return replace(self, statistics=outputs * self.statistics, outputs=outputs)

    def knowing(self, sums: NDArray[np.float64]) -> Self:
        """See `Rule`; King and Zeng (2001) weigh classes against their shares."""
        if self.criterion == "poisson" and not (sums[1:] > 0).all():
            raise DataError("y is 0 in every row; criterion='poisson' needs some row where it is more.")
        if self.criterion in OF_NUMBERS:
            return self
        if sums.ndim == 2:
            return replace(self, prior=tuple((sums / sums.sum(axis=1, keepdims=True)).ravel().tolist()))
        balanced = self._balanced(sums) if isinstance(self.class_weight, str) else self
        heavy = sums * balanced._class_weights()
        rule = self if self.class_weight == "balanced_subsample" else balanced
        return replace(rule, prior=tuple((heavy / heavy.sum()).tolist()))

    def _balanced(self, sums: NDArray[np.float64]) -> Self:
        """Return the rule whose weights make classes of these sums as heavy as each other."""
        there = sums > 0
        weights = np.where(there, sums.sum() / (max(1, there.sum()) * np.where(there, sums, 1.0)), 1.0)
        return replace(self, class_weight=tuple(weights.tolist()))

    def _of_tree(self, root: Vector, units: Units) -> Self:
        """Return the rule of one tree that has weights for it alone, given the sums of its root."""
        return self._balanced(root * self._units(units))

    def drawing(self, share: float, sums: NDArray[np.float64]) -> tuple[Self, NDArray[np.float64]]:
        """See `Rule`: rows of heavy classes are drawn oftener, up to `MOST_DRAWS` times; weights do the rest."""
        if self.class_weight in (None, "balanced_subsample"):
            return self, np.zeros(0)
        weights = self._class_weights()
        weights = weights * (sums.sum() / (sums @ weights))  # as many rows as without weights
        draws = np.minimum(weights, MOST_DRAWS * max(1.0, share) / share)
        rest = weights / draws
        return replace(self, class_weight=tuple(rest.tolist()) if (rest != 1).any() else None), draws

    def _units(self, units: Units) -> NDArray[np.float64]:
        """Return the value of one step of each sum: two sums share a word."""
        return np.where(np.arange(self.statistics) % self._classes % 2 == 0, units.g, units.h)

    @property
    def _classes(self) -> int:
        """The number of sums of each output."""
        return self.statistics // self.outputs

    def _class_weights(self) -> NDArray[np.float64]:
        """Return the factor of each sum."""
        if self.class_weight is None or isinstance(self.class_weight, str):  # weights that only the sums of nodes give
            return np.ones(self.statistics)
        return np.array(self.class_weight)

    def mass(self, sums: Vector, units: Units) -> NDArray[np.float64]:
        """The number of rows of the nodes, each as often as it weighs, float64 (nodes,)."""
        real = sums * self._units(units)
        if self.counts_apart:  # by the last output; of one output alone, by it
            return np.asarray(real[:, -self._classes :].sum(axis=1), np.float64)
        return self._together(real)

    def of_output(self, output: int) -> Self:
        """The rule of the trees of one of several outputs."""
        classes = slice(output * self.statistics, (output + 1) * self.statistics)
        return self if self.prior is None else replace(self, prior=self.prior[classes])

    def _together(self, real: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the mass of nodes, given their sums in real numbers."""
        mass: NDArray[np.float64] = real[:, 1] if self.criterion in OF_NUMBERS else real[:, : self._classes].sum(axis=1)
        return mass

    def divisible(self, mass: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return whether nodes are heavy enough for two children, as far as that is known without their tree."""
        return mass >= max(_rows(self.min_samples_split, 2), 2 * _rows(self.min_samples_leaf, 1))

    def splits(self, histograms: Vector, places: NDArray[np.int64], totals: Vector, plain: Grounds) -> Splits:
        """The best split of each node.

        Law: a function of the integer sums alone.
        """
        limits, cuts, nodes = plain.limits, plain.cuts, len(totals)
        roots = np.zeros_like(totals) if limits.roots is None else limits.roots
        if self.class_weight == "balanced_subsample" and nodes:
            return self._splits_by_tree(histograms, places, totals, plain, roots)
        rows, weight = self.mass(roots, plain.units), self._together(self.kept(roots, plain.units))
        units, least = self._units(plain.units) * self._class_weights(), self.min_weight_fraction_leaf * weight
        least_rows = _least(self.min_samples_leaf, 1, rows)
        if self.class_weight is None and not self.counts_apart:  # rows weigh as they count: one check does for both
            least, counted = np.maximum(least, least_rows), np.zeros(0)
        else:
            counted = self._units(plain.units)
            counted[: self.statistics - self._classes if self.counts_apart else 0] = 0
        gain, default_left = np.zeros(nodes), np.zeros(nodes, bool)
        feature, split = np.full(nodes, -1, np.int32), np.zeros(nodes, np.int32)
        left = np.zeros((nodes, self.statistics), np.int64)
        allowed = np.zeros((0, 0), bool) if limits.allowed is None else limits.allowed
        columns = np.zeros((0, 0), np.int64) if limits.columns is None else limits.columns
        starts = places * (self.statistics * cuts.total_bins) if limits.columns is None else places
        flat = histograms.reshape(-1)
        chance = np.zeros((0, 0)) if limits.chance is None else limits.chance
        layout = cuts.bin_offsets, cuts.n_values, cuts.missing, cuts.middles, cuts.offsets
        direction = np.zeros(0, np.int8) if limits.direction is None else limits.direction
        bounds = np.zeros((0, 2)) if limits.bounds is None else limits.bounds
        each = self.outputs - self.counts_apart, self._classes
        step = max(1, -(-nodes // plain.threads.n))

        def search(first: int) -> None:
            impurity_kernels.best_splits(
                CRITERIA[self.criterion], each, flat, starts, totals, first, min(first + step, nodes), layout, units,
                plain.units.noise, least, counted, least_rows, columns, allowed, chance, direction, bounds, gain,
                feature, split, default_left, left,
            )  # fmt: skip

        plain.threads.map(search, range(0, nodes, step))
        default_left &= ~cuts.missing_high[feature]  # where no feature is asked, this does not matter
        small = self.mass(totals, plain.units) < _least(self.min_samples_split, 2, rows)
        feature[small | (gain < (self.min_impurity_decrease - ROUNDING) * weight)] = -1
        return Splits(feature, split, default_left, gain, left, totals - left, {})

    def _splits_by_tree(
        self, histograms: Vector, places: NDArray[np.int64], totals: Vector, plain: Grounds, roots: Vector
    ) -> Splits:
        """Find the best splits of nodes, tree by tree, as trees have other weights: nodes of one stand side by side."""
        borders = np.flatnonzero((roots[1:] != roots[:-1]).any(axis=1)) + 1
        parts = []
        for first, last in zip([0, *borders], [*borders, len(totals)], strict=True):
            nodes = slice(int(first), int(last))
            rule, grounds = self._of_tree(roots[first], plain.units), replace(plain, limits=plain.limits.of(nodes))
            parts.append(rule.splits(histograms, places[nodes], totals[nodes], grounds))
        return Splits.joined(parts)

    def values(self, sums: Vector, units: Units, bounds: NDArray[np.floating] | None) -> NDArray[np.float32]:
        """The values of nodes: the place of the heaviest class, the first of equals; of numbers, see `Moments`."""
        heaviest: NDArray[np.float32] = self.kept(sums, units).argmax(axis=1).astype(np.float32)
        return heaviest

    def predicted(self, sums: Vector, root: Vector, units: Units, bounds: NDArray[np.floating]) -> NDArray[np.float64]:
        """The mean of the targets, or of two classes the share of the second."""
        return self._predicted(self.kept(np.concatenate([root[None], sums]), units))[1:]

    def _predicted(self, real: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return predictions of nodes, given their sums in real numbers."""
        mass = self._together(real)
        of = -real[:, 0] if self.criterion in OF_NUMBERS else real[:, 1]
        predicted: NDArray[np.float64] = of / np.where(mass > 0, mass, 1.0)
        return predicted

    def kept(self, sums: Vector, units: Units) -> NDArray[np.float64]:
        """The sums as real numbers, classes by their weights, float64 (nodes, statistics); of no rows, the prior.

        The nodes are of one tree, the root in front, where each tree has other weights.
        """
        rule = self._of_tree(sums[0], units) if self.class_weight == "balanced_subsample" else self
        real: NDArray[np.float64] = sums * (self._units(units) * rule._class_weights())
        return real if self.prior is None else np.where(sums.any(axis=1, keepdims=True), real, self.prior)


def _is_share(samples: float) -> bool:
    """Return whether a number of samples is a share, as scikit-learn has it: 1.0 is all of them, and 1 is one."""
    return isinstance(samples, float) and samples <= 1.0


def _rows(samples: float, anything: int) -> float:
    """Return the rows that a parameter asks for: 0 for a share, and for ``anything``, which asks for none."""
    return 0.0 if _is_share(samples) or samples == anything else float(samples)


def _least(samples: float, anything: int, whole: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the least weight of each node that a parameter asks for.

    A node of any weight has a row, so that ``anything`` asks for no weight, however little rows weigh.
    """
    if _is_share(samples):
        return samples * whole
    return np.full(len(whole), _rows(samples, anything))
