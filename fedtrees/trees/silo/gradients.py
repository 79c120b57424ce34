"""Gradients and hessians of a silo's rows before they are rounded, where a loss needs them so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import LOWEST_EXPONENT, N_EXPONENTS, Vector, beyond_exponents
from fedtrees.core.numeric.rng import stream
from fedtrees.core.numeric.row_ranges import pieces
from fedtrees.errors import ProtocolError
from fedtrees.trees.kernels import gradients as gradients_kernels
from fedtrees.trees.kernels import survival as survival_kernels
from fedtrees.trees.losses import ProportionalHazards, RankingLoss
from fedtrees.trees.silo.forest import FinishedRound
from fedtrees.trees.silo.margins import Margins
from fedtrees.trees.silo.time_bins import bins_of
from fedtrees.trees.silo.training_rows import TrainingRows

if TYPE_CHECKING:
    from fedtrees.core.protocol.silo_rows import SiloRows

Floats = NDArray[np.float64]
Ranges = NDArray[np.int64]


class Gradients:
    """Gradients and hessians of a round's rows, computed once, whichever question needs them first.

    Law: a function of the silo's margins and targets and of the facts.

    Attributes
    ----------
    statistics : float64 (2, outputs, rows)
        Gradients and hessians; no rows before a question needs them.
    bias, costs : float64 (2, positions), float64 (2, rows)
        Of an unbiased ranking, the biases of positions, and what rows add to the next estimate.
    times, risks : uint32 (bins,), two of float64 (bins,)
        Of proportional hazards, where bins of time start, and the sums of `risk_sets.Risks`.
    """

    def __init__(self, rows: TrainingRows, margins: Margins, forest: list[FinishedRound]):
        self._rows, self._margins, self._forest = rows, margins, forest
        outputs, n_rows = margins.values.shape
        self.statistics = np.zeros((2, outputs, 0))
        positions = rows.loss.positions if isinstance(rows.loss, RankingLoss) else 0
        self.bias, self.costs = np.ones((2, positions)), np.zeros((2, n_rows if positions else 0))
        self.times, self.risks = np.zeros(0, np.uint32), (np.zeros(0), np.zeros(0))
        self._filled: tuple[object, ...] = ()

    def take_times(self, starts: NDArray[np.uint32]) -> None:
        """Take in where bins of time start."""
        self.times = starts

    def take_risks(self, rates: Floats, squares: Floats) -> None:
        """Take in the sums of `Risks`."""
        self.risks = rates, squares

    def take_bias(self, bias: NDArray[np.float32]) -> None:
        """Take in the bias of positions that the coming rounds divide by."""
        self.bias = bias.astype(np.float64)

    def fill(self, silo: SiloRows) -> None:
        """Compute the statistics of the rows asked, unless that was done for this tree."""
        loss = self._rows.loss
        # rows of silos that are not asked are left as they were: another cohort's are computed anew
        key = len(self._forest), silo.silos_asked.tobytes()
        if key == self._filled:
            return
        self._margins.catch_up(silo)
        if self.statistics.shape[1:] != self._margins.values.shape:
            self.statistics = np.zeros((2, *self._margins.values.shape))
        g, h = self.statistics

        def fill(piece: Ranges) -> None:
            loss.statistics(self._margins.values, self._rows.target, self._rows.weight, piece, g, h)

        if isinstance(loss, RankingLoss):
            self._rank(silo, loss, g[0], h[0])
        elif isinstance(loss, ProportionalHazards):
            self._hazard(silo, g[0], h[0])
        else:
            silo.threads.map(fill, pieces(silo.ranges, silo.threads.n))
        self._filled = key

    def _hazard(self, silo: SiloRows, g: Floats, h: Floats) -> None:
        """Compute gradients and hessians from the server's sums over risk sets."""
        rates, squares = self.risks
        if not len(rates):
            raise ProtocolError("gradients were asked for before the risks")
        bins = bins_of(self._rows.target, self.times)

        def fill(piece: Ranges) -> None:
            survival_kernels.cox_statistics(
                self._margins.values[0], self._rows.target, self._rows.weight, bins, rates, squares, piece, g, h
            )

        silo.threads.map(fill, pieces(silo.ranges, silo.threads.n))

    def _rank(self, silo: SiloRows, loss: RankingLoss, g: Floats, h: Floats) -> None:
        """Compute gradients and hessians by ranking groups, which no piece of rows cuts apart."""
        terms, starts = self._rows.terms, silo.table.group_starts()
        pairs = stream(terms.seed, "pairs", terms.rounds_before + len(self._forest))
        # with the groups' ids, so that the pairs drawn do not depend on where a group lies
        keys = pairs.integers(2**64, size=2, dtype=np.uint64)
        groups = silo.table.groups
        ids = np.zeros(len(starts), np.uint64) if groups is None else groups[starts[:-1]]

        def fill(some: Ranges) -> None:
            loss.lambdas(
                self._margins.values[0],
                self._rows.target,
                self._rows.weight,
                starts,
                ids,
                some,
                keys,
                self.bias,
                self.costs,
                g,
                h,
            )

        silo.threads.map(fill, pieces(np.searchsorted(starts, silo.ranges), silo.threads.n))

    def position_costs(self, silo: SiloRows) -> Floats:
        """Return the costs of positions that the rows asked add, float64 (2, rows); see `kernels.ranking.lambdas`."""
        self.fill(silo)
        return self.costs

    def exponent_counts(self, silo: SiloRows) -> Vector:
        """Count gradients and hessians of the rows asked by the exponents that bound them: int64 (2, exponents)."""
        self.fill(silo)
        times = np.ones(1, np.int64) if self._rows.repeats is None else self._rows.repeats

        def count(piece: Ranges) -> Vector:
            counts = np.zeros((2, N_EXPONENTS), np.int64)
            for row, part in zip(counts, self.statistics, strict=True):
                for output in part:
                    if not gradients_kernels.count_exponents(output, times, piece, LOWEST_EXPONENT, row):
                        raise beyond_exponents()
            return counts

        parts = silo.threads.map(count, pieces(silo.ranges, silo.threads.n))
        return sum(parts, np.zeros((2, N_EXPONENTS), np.int64))
