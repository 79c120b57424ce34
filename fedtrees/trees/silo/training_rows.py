"""A silo's rows as trees are grown on them: bins, targets, weights; nothing here changes during a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.trees.losses import RowStatistics
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.silo.binning import bin_table
from fedtrees.trees.silo.terms import Terms

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """Rows as trees are grown on them.

    Attributes
    ----------
    terms : Terms
    loss : RowStatistics
    cuts : Cuts
    bins : uint8 or uint16 (groups, rows, features per group)
        A group of a row's features stands side by side, and rows of a group one after the other; see
        `kernels.histogram`.
    target : float32 (rows,) or (rows, targets)
    weight : float32 (rows,), or (1,) for one of all; with a loss that weighs rows twice, (2, rows)
    repeats : int64 (rows,), optional
        The number of times that each row counts, where rows of weight k count as k rows of weight 1.
    most_repeats : int
    statistics : int
        Sums of a bin.
    pair : uint8 (rows,), (outputs, rows) or (0,)
        The pair of a bin's sums that a row adds to. Where rows are drawn several times it is there for one pair, too:
        rows whose word is 0 are then passed over.
    """

    terms: Terms
    loss: RowStatistics
    cuts: Cuts
    bins: NDArray[np.uint8] | NDArray[np.uint16]
    target: NDArray[np.float32]
    weight: NDArray[np.float32]
    repeats: Vector | None
    most_repeats: int
    statistics: int
    pair: NDArray[np.uint8]

    @staticmethod
    def of(silo: SiloRows, loss: RowStatistics, terms: Terms, cuts: Cuts) -> TrainingRows:
        """Read the rows of a silo on these terms."""
        rows, outputs = silo.table.n_rows, len(terms.base_margin)
        target = silo.targets(terms.labels)
        if terms.labels is None and not rows:
            # without rows, y has no columns, and other silos' are not known here
            target = np.zeros((0, 2) if loss.open_above else (0, outputs)[: 1 + (outputs > 1)], np.float32)
        target = loss.moved(target, terms.base_margin)
        counting = silo.counting if silo.counting is not None and silo.counting.whole else None
        weight = None if counting is not None else silo.weights()
        statistics = loss.statistics_per_bin(len(terms.labels or ()))
        return TrainingRows(
            terms,
            loss,
            cuts,
            bin_table(silo.table, cuts, silo.threads),
            target,
            loss.weighted(np.ones(1, np.float32) if weight is None else weight, target),
            None if counting is None else silo.counts(),
            1 if counting is None else counting.most,
            statistics,
            _pairs(target, statistics, outputs, terms.bootstrap),
        )


def _pairs(target: NDArray[np.float32], statistics: int, outputs: int, bootstrap: bool) -> NDArray[np.uint8]:
    """Return the pair of sums that each row adds to: that of its class, two of which share a word."""
    if statistics <= 2:
        return np.zeros(len(target) if bootstrap else 0, np.uint8)
    if target.ndim == 1:
        return (target // 2).astype(np.uint8)
    pair = np.zeros((outputs, len(target)), np.uint8)
    pair[: target.shape[1]] = target.T // 2
    return pair
