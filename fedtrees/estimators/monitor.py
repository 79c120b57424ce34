"""What is noted after each round, and whether training goes on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from fedtrees.errors import DataError
from fedtrees.estimators.callbacks import Callbacks, GrowingModel
from fedtrees.queries.metrics import metric_named
from fedtrees.trees.boost import Ensemble
from fedtrees.trees.evaluation import Scored
from fedtrees.trees.split import SplitRule


class Monitor:
    """Keeps the scores of every round, and stops a training that no longer gets better, as XGBoost does.

    What counts is the last metric of the last evaluation set. See `trees.boost.Observer`.

    Parameters
    ----------
    metrics : sequence of str
    patience : int, optional
        Rounds without a better score after which training ends; None never ends it.
    shown : callable
        Told of every finished round.
    callbacks : sequence of xgboost.callback.TrainingCallback
    model : GrowingModel
        What they see.

    Attributes
    ----------
    history : dict of str to dict of str to list of float
        Each set's metrics, round by round.
    best_iteration : int or None
        The round with the best score; None without evaluation sets.
    best_score : float
    """

    def __init__(
        self,
        metrics: Sequence[str],
        patience: int | None,
        shown: Callable[[int], object],
        callbacks: Sequence[object],
        model: GrowingModel,
    ):
        self.history: dict[str, dict[str, list[float]]] = {}
        self.best_iteration: int | None = None
        self.best_score = math.nan
        self.model = model
        self.callbacks = Callbacks(callbacks, model, self.history)
        self._patience, self._shown = patience, shown
        self._maximise = bool(metrics) and metric_named(metrics[-1]).maximise

    def before(self, round: int, rule: SplitRule) -> SplitRule | None:
        """See `trees.boost.Observer`."""
        if self.callbacks.before(round):
            return None
        return replace(rule, learning_rate=self.model.learning_rate)

    def after(self, round: int, scores: Scored, ensemble: Ensemble) -> bool:
        """See `trees.boost.Observer`."""
        self._shown(round)
        for name, metrics in scores.items():
            for metric, value in metrics.items():
                self.history.setdefault(name, {}).setdefault(metric, []).append(value)
        ended = self.callbacks.after(round, ensemble)
        return self._is_past_its_best(round, scores) or ended

    def _is_past_its_best(self, round: int, scores: Scored) -> bool:
        if not scores:
            return False
        value = list(list(scores.values())[-1].values())[-1]
        if self._patience is not None and math.isnan(value):
            name = list(scores)[-1]
            raise DataError(f"early stopping: the last metric of {name} is undefined (NaN) in round {round}.")
        if self.best_iteration is None or (value > self.best_score if self._maximise else value < self.best_score):
            self.best_iteration, self.best_score = round, value
        return self._patience is not None and round - self.best_iteration >= self._patience
