"""What is noted after each round, and whether training goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from fedtrees.estimators.boosting.callbacks import Callbacks, GrowingModel
from fedtrees.estimators.common.early_stopping import Best
from fedtrees.queries.evaluation import Scored
from fedtrees.queries.metrics import metric_named
from fedtrees.trees.server.ensemble import Ensemble
from fedtrees.trees.server.split import SplitRule


class Monitor:
    """Keeps the scores of every round, and stops a training that no longer gets better, as XGBoost does.

    What counts is the last metric of the last evaluation set. See `trees.server.boosting.Observer`.

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
    constant : bool, default False
        See `Best`.

    Attributes
    ----------
    history : dict of str to dict of str to list of float
        Each set's metrics, round by round.
    uncertainty : dict of str to dict of str to list of float
        By how much each may be off.
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
        self.history: dict[str, dict[str, list[float]]] = {}
        self.uncertainty: dict[str, dict[str, list[float]]] = {}
        self.model = model
        self.callbacks = Callbacks(callbacks, model, self.history)
        self._shown = shown
        self._best = Best(patience, bool(metrics) and metric_named(metrics[-1]).maximise, constant)

    def before(self, round: int, rule: SplitRule) -> SplitRule | None:
        """See `trees.server.boosting.Observer`."""
        if self.callbacks.before(round):
            return None
        return replace(rule, learning_rate=self.model.learning_rate)

    def after(self, round: int, scores: Scored, ensemble: Ensemble) -> bool:
        """See `trees.server.boosting.Observer`."""
        self._shown(round)
        for name, metrics in scores.items():
            for metric, score in metrics.items():
                self.history.setdefault(name, {}).setdefault(metric, []).append(score.value)
                self.uncertainty.setdefault(name, {}).setdefault(metric, []).append(score.uncertainty)
        ended = self.callbacks.after(round, ensemble)
        return (bool(scores) and self._best.is_past(round, *_last(scores))) or ended

    @property
    def best_iteration(self) -> int | None:
        """The round with the best score; None without evaluation sets."""
        return self._best.round

    @property
    def best_score(self) -> float:
        """The best score; NaN without evaluation sets."""
        return self._best.score


def _last(scores: Scored) -> tuple[float, str]:
    """The last metric of the last evaluation set, and the set's name."""
    name, metrics = list(scores.items())[-1]
    return list(metrics.values())[-1].value, name
