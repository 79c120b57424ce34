"""A silo's state while trees are boosted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.protocol.state import State
from fedtrees.trees.losses import Reweighed, loss_of
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.value_trees import ValueTrees
from fedtrees.trees.silo.evaluation_set import EvaluationSet
from fedtrees.trees.silo.forest import FinishedRound
from fedtrees.trees.silo.gradient_words import GradientWords
from fedtrees.trees.silo.gradients import Gradients
from fedtrees.trees.silo.histograms import HistogramSums
from fedtrees.trees.silo.margins import Margins, start_margin
from fedtrees.trees.silo.positions import Positions
from fedtrees.trees.silo.row_moments import RowMoments
from fedtrees.trees.silo.row_sampling import RowSampler
from fedtrees.trees.silo.terms import Terms
from fedtrees.trees.silo.training_rows import TrainingRows

if TYPE_CHECKING:
    from fedtrees.core.data.table import Table
    from fedtrees.core.protocol.silo_rows import SiloRows


class TreeState(State):
    """A silo's state of a training of trees, each part by its job.

    Law: everything here follows from the table and the facts, and may be lost; what is kept besides saves time alone.

    Attributes
    ----------
    terms : Terms
    cuts : Cuts
    loss : RowStatistics
    rows : TrainingRows
    forest : list of FinishedRound
    margins : Margins
    positions : Positions
    sampler : RowSampler
    gradients : Gradients
    words : GradientWords
    histograms : HistogramSums
    moments : RowMoments
    """

    begins = "the cut points"

    def __init__(self, silo: SiloRows, terms: Terms, cuts: Cuts):
        self.terms, self.cuts = terms, cuts
        self.loss = loss_of(terms.objective, terms.params, terms.labels)
        n_silos, forest = len(silo.table.names), list[FinishedRound]()
        self.forest = forest
        # each part has those that it builds on: none knows this state
        rows = self.rows = TrainingRows.of(silo, self.loss, terms, cuts)
        positions = self.positions = Positions(self.trees, silo.table.n_rows, n_silos)
        margins = self.margins = Margins(self.start_of(silo, silo.table), n_silos, rows, positions, forest)
        sampler = self.sampler = RowSampler(silo.table, rows, forest)
        gradients = self.gradients = Gradients(rows, margins, forest)
        words = self.words = GradientWords(rows, margins, gradients, positions, sampler, forest)
        self.histograms = HistogramSums(rows, positions, words, rows.most_repeats * sampler.most)
        self.moments = RowMoments(rows, margins, gradients, words, positions, sampler, forest)
        self._evaluation_sets: dict[int, EvaluationSet] = {}

    @property
    def trees(self) -> int:
        """The number of trees of a round."""
        return len(self.terms.base_margin) * self.terms.parallel

    @property
    def margin(self) -> NDArray[np.float32]:
        """The rows' margins, float32 (outputs, rows)."""
        return self.margins.values

    def start_of(self, silo: SiloRows, table: Table) -> NDArray[np.float32]:
        """Return the initial margins of a table, float32 (outputs, rows)."""
        base = self.terms.base_margin
        if isinstance(self.loss, Reweighed):  # margins are logarithms of factors, from 1 on
            base = np.zeros_like(base)
        return start_margin(table, base, silo.states.find(ValueTrees), silo.threads)

    def prepare(self, silo: SiloRows, scale: GradientScale) -> None:
        """Put the rows' gradients on a gradient scale, and rows at the roots, before a round's nodes are asked for."""
        self.words.prepare(silo, scale)

    def evaluation_set(self, silo: SiloRows, place: int, table: Table) -> EvaluationSet:
        """Return an evaluation set; a function of the facts, so it may be built late, and again."""
        if place not in self._evaluation_sets:
            self._evaluation_sets[place] = EvaluationSet(silo, table, self.terms, self.cuts, self.start_of(silo, table))
        return self._evaluation_sets[place]
