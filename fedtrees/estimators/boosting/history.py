"""The observer of a boosted training: scores, early stopping and callbacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import msgspec

from fedtrees.bagging.bag import BaggingState
from fedtrees.estimators.boosting.callbacks import Callbacks, GrowingModel
from fedtrees.estimators.common.early_stopping import Best
from fedtrees.estimators.common.history import History, last_score
from fedtrees.queries.evaluation import Scored
from fedtrees.queries.metrics import metric_named
from fedtrees.training.loop import Observer, Training
from fedtrees.trees.server.boosting import BoostingState
from fedtrees.trees.server.ensemble import Ensemble

S = TypeVar("S", BoostingState, BaggingState)


class GrowingTraining(Training[S], Protocol[S]):
    """A training whose state is an ensemble so far."""

    def ensemble(self, state: S) -> Ensemble:
        """Return the trees so far."""
        ...


class Monitor(Observer[S], Generic[S]):
    """Keeps the scores of every round, and stops a training that no longer gets better, as XGBoost does.

    What counts is the last metric of the last evaluation set.

    Parameters
    ----------
    metrics : sequence of str
    patience : int, optional
        Rounds without a better score after which training ends; None never ends it.
    shown : callable
        Called with the number of every finished round.
    callbacks : sequence of xgboost.callback.TrainingCallback
    model : GrowingModel
        The model that they see.
    constant : bool, default False
        See `Best`.

    Attributes
    ----------
    history : History
    """

    def __init__(
        self,
        metrics: Sequence[str],
        patience: int | None,
        shown: Callable[[int], object],
        callbacks: Sequence[object],
        model: GrowingModel,
        constant: bool = False,
    ):
        self.history, self.model = History(), model
        self.callbacks = Callbacks(callbacks, model, self.history.scores)
        self._shown = shown
        self._best = Best(patience, bool(metrics) and metric_named(metrics[-1]).maximise, constant)

    def begin(self, training: GrowingTraining[S], state: S) -> None:  # type: ignore[override]
        """See `Observer`."""
        self._ensemble: Callable[[S], Ensemble] = training.ensemble
        for round, scored in enumerate(state.scores):
            self.history.add(scored)
            self._is_past(round, scored)
        if state.round and state.learning_rate is not None:
            self.model.learning_rate = state.learning_rate
            self.model.grown(state.round, lambda: training.ensemble(state))

    def before(self, state: S) -> S:
        """See `Observer`."""
        ended = self.callbacks.before(state.round)
        return msgspec.structs.replace(state, ended=ended, learning_rate=self.model.learning_rate)

    def after(self, state: S) -> S:
        """See `Observer`."""
        round, scored = state.round - 1, state.scores[-1]
        self._shown(round)
        self.history.add(scored)
        self.model.grown(state.round, lambda: self._ensemble(state))
        ended = self.callbacks.after(round)
        return msgspec.structs.replace(state, ended=self._is_past(round, scored) or ended)

    def _is_past(self, round: int, scored: Scored) -> bool:
        return bool(scored) and self._best.is_past(round, *last_score(scored))

    @property
    def best_iteration(self) -> int | None:
        """The round with the best score; None without evaluation sets."""
        return self._best.round

    @property
    def best_score(self) -> float:
        """The best score; NaN without evaluation sets."""
        return self._best.score
