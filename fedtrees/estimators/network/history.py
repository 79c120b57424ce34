"""The observer of a network's training: losses, scores, and when it ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from fedtrees.estimators.common.early_stopping import Best
from fedtrees.estimators.common.history import History, Scores, last_score
from fedtrees.neural.fedavg import AveragingState
from fedtrees.neural.settings import NetworkSettings
from fedtrees.queries.evaluation import Scored
from fedtrees.queries.metrics import metric_named
from fedtrees.training.loop import Observer, Training


class Watch(Observer[AveragingState]):
    """Keeps each round's loss and scores, and ends a training that is good enough or gets no better.

    Parameters
    ----------
    settings : NetworkSettings
    patience : int, optional
    target : float, optional
        The score to reach.
    shown : callable
        Called with the number of every finished round.
    losses : sequence of float
        Of rounds before this training.
    history : History
        Of these; NaN stands for rounds that a set or a metric was not there in.
    constant : bool, default False
        See `Best`.

    Attributes
    ----------
    state : AveragingState or None
        The last that was well; None before there is a network.
    losses : list of float
        The mean loss of each round, those before this training included.
    history : History
    """

    def __init__(
        self, settings: NetworkSettings, patience: int | None, target: float | None, shown: Callable[[int], object],
        losses: Sequence[float], history: History, constant: bool = False,
    ):  # fmt: skip
        self.state: AveragingState | None = None
        self.losses, self.history = list(losses), history
        wanted = {name: list(settings.eval_metrics) for name in settings.eval_names}
        for scores in (history.scores, history.uncertainty):
            _fill(scores, wanted, len(losses))
        self._maximise = metric_named(settings.eval_metrics[-1]).maximise and bool(settings.eval_names)
        self._patience, self._target, self._shown = patience, target, shown
        self._best, self._done = Best(patience, self._maximise, constant), 0

    def begin(self, training: Training[AveragingState], state: AveragingState) -> None:
        """See `Observer`."""
        self.state = state
        for loss, scored in zip(state.losses, state.scores, strict=True):
            self._note(loss, scored)
            self._ends(loss, scored)

    def after(self, state: AveragingState) -> AveragingState:
        """See `Observer`."""
        self.state = state
        self._shown(self._done)
        self._note(state.losses[-1], state.scores[-1])
        ended, best = self._ends(state.losses[-1], state.scores[-1])
        self.state = msgspec.structs.replace(state, ended=ended, best=state.network.params if best else state.best)
        return self.state

    def _note(self, loss: float, scored: Scored) -> None:
        """Keep a round's loss and scores."""
        self._done += 1
        self.losses.append(loss)
        self.history.add(scored)
        for known in (*self.history.scores.values(), *self.history.uncertainty.values()):
            for values in known.values():  # those of earlier calls that this one does not score
                values += [np.nan] * (len(self.losses) - len(values))

    def _ends(self, loss: float, scored: Scored) -> tuple[bool, bool]:
        """Return whether training ends with this round, and whether the round is the best so far."""
        score, name = last_score(scored) if scored else (loss, "training")
        if self._target is not None and (score >= self._target if self._maximise else score <= self._target):
            return True, True
        if self._patience is None or (math.isnan(score) and not scored):  # a round that no silo took part in
            return False, False
        past = self._best.is_past(self._done - 1, score, name)
        return past, self._best.round == self._done - 1


def _fill(scores: Scores, wanted: dict[str, list[str]], rounds: int) -> None:
    """Put NaN for each round before to sets and metrics that were not there."""
    for name, metrics in wanted.items():
        known = scores.setdefault(name, {})
        for metric in metrics:
            known.setdefault(metric, [np.nan] * rounds)
