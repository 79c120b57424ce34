"""Weights of classes of several outputs: a row weighs the product of the factors of its classes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fedtrees.trees.losses.outputs import OutputClasses, WeighedOutputs
from fedtrees.trees.messages.class_factors import Factors, OutputClassSums, TreeFactors
from fedtrees.trees.server.impurity import Impurity

if TYPE_CHECKING:
    from fedtrees.core.protocol.channel import Channel
    from fedtrees.core.sampling.samplers import Cohort
    from fedtrees.trees.server.growth_plan import GrowthPlan


def balanced(sums: Factors) -> Factors:
    """Return the factors by which all classes of an output weigh the same, and all rows as much as before.

    As scikit-learn's: the weight of all rows, by the number of classes that there are, by that of the class.

    Parameters
    ----------
    sums : float64 (.., classes)

    Examples
    --------
    >>> balanced(np.array([1.0, 3.0, 0.0])).round(3).tolist()
    [2.0, 0.667, 1.0]
    """
    there = sums > 0
    n = np.maximum(1, there.sum(axis=-1, keepdims=True))
    return np.where(there, sums.sum(axis=-1, keepdims=True) / (n * np.where(there, sums, 1.0)), 1.0)


def weigh_outputs(
    channel: Channel, all_silos: Cohort, loss: OutputClasses, rule: Impurity,
    given: list[tuple[float, ...]] | str | None, rows: int,
) -> tuple[OutputClasses, Impurity, Factors]:  # fmt: skip
    """Return the loss and the rule of classes that weigh so, and their weights: float64 (outputs, classes)."""
    outputs, classes = len(loss.classes), loss.statistics_per_bin(0)
    sums = channel.total(OutputClassSums(rows, outputs, classes), all_silos)[0]
    if given is None:
        return loss, rule, sums
    factors = np.ones_like(sums)
    if given == "balanced":
        factors = balanced(sums)
    elif not isinstance(given, str):
        for row, weights in zip(factors, given, strict=True):
            row[: len(weights)] = weights
    alone = np.eye(1, classes)  # of the output that counts rows: all are in one class
    return _spanned(loss, factors), replace(rule, counts_apart=True), np.concatenate([sums * factors, alone])


def weigh_trees(channel: Channel, cohort: Cohort, loss: WeighedOutputs, plan: GrowthPlan) -> WeighedOutputs:
    """Let the classes of each coming tree weigh the same, by the rows that it draws, and send silos the factors."""
    outputs, classes = len(loss.classes), loss.statistics_per_bin(0)
    factors = balanced(channel.total(OutputClassSums(plan.rows, outputs, classes, plan.parallel), cohort))
    channel.tell(TreeFactors(factors))
    return _spanned(loss, factors)


def _spanned(loss: OutputClasses, factors: Factors) -> WeighedOutputs:
    """Return the loss of rows with these factors, (.., outputs, classes), or with the least and the most of them."""
    least, most = factors.min(axis=-1).prod(axis=-1).min(), factors.max(axis=-1).prod(axis=-1).max()
    each = tuple(factors.ravel().tolist()) if factors.ndim == 2 else getattr(loss, "factors", ())
    return WeighedOutputs(loss.classes, each, float(least), float(most))
