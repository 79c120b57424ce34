"""Who watches a network's training: what it keeps of each round, and when it ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fedtrees.estimators.common.early_stopping import Best
from fedtrees.neural.fedavg import Network, Settings
from fedtrees.queries.evaluation import Scored
from fedtrees.queries.metrics import metric_named

Scores = dict[str, dict[str, list[float]]]


class Watch:
    """Keeps each round's network, loss and scores, and ends a training that is good enough or gets no better.

    See `neural.fedavg.Observer`.

    Parameters
    ----------
    settings : Settings
    patience : int, optional
    target : float, optional
        The score to reach.
    shown : callable
        Told of every finished round.
    losses : list of float
        Of rounds before.
    scores : dict of str to dict of str to list of float
        Of rounds before; NaN stands for those that a set or a metric was not there in.
    uncertainty : dict of str to dict of str to list of float
        Of these.
    constant : bool, default False
        See `Best`.
    """

    def __init__(
        self, settings: Settings, patience: int | None, target: float | None, shown: Callable[[int], object],
        losses: list[float], scores: dict[str, dict[str, list[float]]],
        uncertainty: dict[str, dict[str, list[float]]], constant: bool = False,
    ):  # fmt: skip
        self.network: Network | None = None
        self.best_network: Network | None = None
        self.losses = list(losses)
        wanted = {name: list(settings.eval_metrics) for name in settings.eval_names}
        self.history, self.uncertainty = (_continued(before, wanted, len(losses)) for before in (scores, uncertainty))
        last = metric_named(settings.eval_metrics[-1])
        self._maximise = last.maximise and bool(settings.eval_names)
        self._patience, self._target, self._shown = patience, target, shown
        self._best, self._done = Best(patience, self._maximise, constant), 0

    def begin(self, network: Network) -> None:
        """See `neural.fedavg.Observer`."""
        self.network = network

    def after(self, network: Network, loss: float, scores: Scored) -> bool:
        """See `neural.fedavg.Observer`."""
        self.network = network
        self._shown(self._done)
        self._done += 1
        self.losses.append(loss)
        name, score = "training", loss
        for name, metrics in scores.items():
            for metric, (score, uncertainty) in metrics.items():
                self.history[name][metric].append(score)
                self.uncertainty[name][metric].append(uncertainty)
        for known in (*self.history.values(), *self.uncertainty.values()):
            for values in known.values():  # those of earlier calls that this one does not score
                values += [np.nan] * (len(self.losses) - len(values))
        if self._target is not None and (score >= self._target if self._maximise else score <= self._target):
            self.best_network = network
            return True
        if self._patience is None or (np.isnan(score) and not scores):  # a round that nobody took part in
            return False
        past = self._best.is_past(self._done - 1, score, name)
        if self._best.round == self._done - 1:
            self.best_network = network
        return past


def _continued(before: Scores, wanted: dict[str, list[str]], rounds: int) -> Scores:
    """Copies of the scores of earlier calls, and of sets and metrics that were not there, NaN for each round."""
    return {
        name: {
            metric: list(before.get(name, {}).get(metric, [np.nan] * rounds))
            for metric in {**before.get(name, {}), **dict.fromkeys(wanted.get(name, []))}
        }
        for name in {**before, **wanted}
    }
