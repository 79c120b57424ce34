"""Evaluation sets: rows that silos hold back, scored by sums while a model is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.labels import Label
from fedtrees.errors import DataError
from fedtrees.queries.areas import AreaRead
from fedtrees.queries.score_edges import BUCKETS, Frequencies, edges_like, finer_edges, first_edges, ties_of
from fedtrees.queries.score_histogram import ScoreHistogram
from fedtrees.queries.scores import HeldOut, Scores

if TYPE_CHECKING:
    from fedtrees.core.protocol.channel import Channel
    from fedtrees.core.sampling.samplers import Cohort

Steps = Sequence[
    Sequence[Frequencies]
]  # of each output, the numbers that its margins moved by: in one step after the other

MOST_UNCERTAIN = 1e-4  # that an area may be
EXACT_ROWS = 4096  # of sets so large, areas are exact
ROOM = 1 << 14  # new edges of a question that refines, or four times as many of a small set, whose answers are short


class Score(NamedTuple):
    """A metric, and a bound of its error: 0 but for areas of large sets."""

    value: float
    uncertainty: float = 0.0


Scored = dict[str, dict[str, Score]]  # metric by name, of each evaluation set by name


Known = list[list[ScoreHistogram] | None]  # of each set, its scores' histograms; None before the first round


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The sets to score after each round, and the metrics.

    Attributes
    ----------
    names : sequence of str
        Of the evaluation sets.
    metrics : list of str
    questions : sequence of Scores
        One a set.
    curves : int
        Histograms of scores that areas are read from, of each set.
    start : Frequencies, optional
        Where most rows' margins start.
    """

    names: Sequence[str]
    metrics: list[str]
    questions: Sequence[Scores]
    curves: int = 0
    start: Frequencies | None = None

    @staticmethod
    def prepare(
        channel: Channel,
        all_silos: Cohort,
        names: Sequence[str],
        metrics: Sequence[str],
        labels: list[Label] | None,
        outputs: int = 1,
        kind: type[Scores] = Scores,
        objective: str = "",
    ) -> Evaluation:
        """Ask for the sizes of the sets, in one round; silos refuse sets of other targets than those trained for."""
        sizes = channel.total(HeldOut(len(names), labels), all_silos) if names else []
        for name, size in zip(names, sizes, strict=True):
            if not size.rows:
                raise DataError(f"{name}: the evaluation set holds no row in any silo; there is nothing to score on.")
        by_class = objective.startswith("multi:")  # of which a row's metric is one number, and an area a curve each
        questions = [
            kind(
                place, len(names), list(metrics), size.rows * outputs, size.weight_exponent,
                size.weight_bits(size.rows * outputs), objective, 1 if by_class else outputs,
            )
            for place, size in enumerate(sizes)
        ]  # fmt: skip
        ranked = bool(questions) and bool(questions[0].areas())
        return Evaluation(names, list(metrics), questions, (outputs if by_class else 1) if ranked else 0)

    def score(
        self,
        channel: Channel,
        all_silos: Cohort,
        known: Known,
        of: Callable[[Scores], Scores] = lambda question: question,
        steps: Steps | None = None,
    ) -> tuple[Scored, Known]:
        """Score the model so far: in one round, and more where areas are not certain enough.

        Parameters
        ----------
        channel : Channel
        all_silos : cohort
        known : list of (list of ScoreHistogram or None)
            The last round's histograms of scores, of each set; none before the first.
        of : callable, optional
            May write the model into a question.
        steps : sequence of sequences of Frequencies, optional
            The numbers that the last round moved margins by, of each output; None where they are not known.

        Returns
        -------
        Each metric of each set, and this round's histograms.
        """
        if not self.questions:
            return {}, []
        known = known or [None] * len(self.questions)
        foreseen = [self._foreseen(before, steps) for before in known]
        edges = self._edges(known, foreseen)
        asked = [of(question.over(wanted)) for question, wanted in zip(self.questions, edges, strict=True)]
        answers = channel.totals(asked, all_silos)
        known = [histograms or None for _, histograms in answers]
        areas: list[dict[str, AreaRead]] = [{} for _ in answers]
        if self.curves:
            areas, known = self._certain_areas(channel, all_silos, known, foreseen, of)
        scored: Scored = {}
        for name, (values, _), read in zip(self.names, answers, areas, strict=True):
            scores = {metric: Score(value) for metric, value in values.items()}
            scores |= {metric: Score(area.value, area.uncertainty) for metric, area in read.items()}
            scored[name] = {metric: scores[metric] for metric in self.metrics}
        return scored, known

    def _foreseen(self, known: list[ScoreHistogram] | None, steps: Steps | None) -> Frequencies | None:
        """The scores that a set's rows are likely to have this round."""
        before = self.start if known is None else ties_of(known[0])
        if steps is None or before is None or self.curves != 1:  # probabilities of classes do not move by leaves
            return None
        return before.moved(steps[0])

    def _edges(self, known: Known, foreseen: Sequence[Frequencies | None]) -> list[list[NDArray[np.int64]]]:
        """The edges to ask with, of each histogram of each set."""
        buckets = max(BUCKETS // 8, 2 * BUCKETS // max(2, self.curves))  # of many classes, each counts the less
        edges: list[list[NDArray[np.int64]]] = []
        for question, histograms, likely in zip(self.questions, known, foreseen, strict=True):
            if histograms is None:
                edges.append([first_edges(likely)] * self.curves)
                continue
            most, top_heavy = min(buckets, 16 * question.rows), "aucpr" in self.metrics
            edges.append([edges_like(histogram, most, likely, top_heavy) for histogram in histograms])
        return edges

    def _certain_areas(
        self,
        channel: Channel,
        all_silos: Cohort,
        known: Known,
        foreseen: Sequence[Frequencies | None],
        of: Callable[[Scores], Scores],
    ) -> tuple[list[dict[str, AreaRead]], Known]:
        """The areas of each set, after as many rounds as make them certain enough, and their histograms."""
        while True:
            read = [self._read(place, known) for place in range(len(self.questions))]
            doubtful = [place for place, areas in enumerate(read) if not self._certain(place, areas)]
            if not doubtful:
                return read, known
            cuts = [self._cuts(place, known, foreseen[place], read[place]) for place in doubtful]
            questions = [
                of(msgspec.structs.replace(self.questions[place], metrics=list(read[place])).over(edges))
                for place, (_, edges) in zip(doubtful, cuts, strict=True)
            ]
            answers, known = channel.totals(questions, all_silos), list(known)
            for place, (which, _), (_, finer) in zip(doubtful, cuts, answers, strict=True):
                coarse = known[place]
                assert coarse is not None
                known[place] = [old.refined(*how) for old, *how in zip(coarse, which, finer, strict=True)]

    def _read(self, place: int, known: Known) -> dict[str, AreaRead]:
        histograms = known[place]
        assert histograms is not None
        return {name: area.read_histograms(histograms) for name, area in self.questions[place].areas().items()}

    def _limit(self, place: int) -> float:
        return 0.0 if self.questions[place].rows <= EXACT_ROWS * self.curves else MOST_UNCERTAIN

    def _certain(self, place: int, areas: dict[str, AreaRead]) -> bool:
        return all(area.uncertainty <= self._limit(place) for area in areas.values())

    def _cuts(
        self, place: int, known: Known, foreseen: Frequencies | None, areas: dict[str, AreaRead]
    ) -> tuple[list[NDArray[np.bool_]], list[NDArray[np.int64]]]:
        """The buckets of each histogram of a set to refine, and the edges to do so."""
        histograms = known[place]
        assert histograms is not None
        doubts = [np.max([area.doubts[k] for area in areas.values()], axis=0) for k in range(len(histograms))]
        flat, limit = np.concatenate(doubts), self._limit(place)
        room = (ROOM if limit else 4 * ROOM) * max(1, self.curves // 2)
        order = np.argsort(-flat, kind="stable")
        rest = flat.sum() - np.cumsum(flat[order])
        n = 1 + int(np.count_nonzero(rest > limit / 2))
        n = min(n, int(np.count_nonzero(flat)), room // 2)
        chosen = np.zeros(len(flat), bool)
        chosen[order[:n]] = True
        need = np.sqrt(flat[chosen]).sum()
        which = np.split(chosen, np.cumsum([len(doubt) for doubt in doubts])[:-1])
        edges = [
            finer_edges(histogram, doubt, refined, int(room * np.sqrt(doubt[refined]).sum() / need), foreseen)
            for histogram, doubt, refined in zip(histograms, doubts, which, strict=True)
        ]
        return which, edges
