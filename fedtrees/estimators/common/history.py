"""Scores of a training's rounds, by evaluation set and metric."""

from __future__ import annotations

from fedtrees.queries.evaluation import Scored

Scores = dict[str, dict[str, list[float]]]  # by evaluation set and metric, round by round


class History:
    """Scores of every round.

    Parameters
    ----------
    scores, uncertainty : dict of str to dict of str to list of float, optional
        Those of rounds before, which are copied.

    Attributes
    ----------
    scores : dict of str to dict of str to list of float
        Each evaluation set's metrics, round by round.
    uncertainty : dict of str to dict of str to list of float
        The most that each of them may be off by.
    """

    def __init__(self, scores: Scores | None = None, uncertainty: Scores | None = None):
        self.scores, self.uncertainty = _copied(scores or {}), _copied(uncertainty or {})

    def add(self, scored: Scored) -> None:
        """Add a round."""
        for name, metrics in scored.items():
            for metric, score in metrics.items():
                self.scores.setdefault(name, {}).setdefault(metric, []).append(score.value)
                self.uncertainty.setdefault(name, {}).setdefault(metric, []).append(score.uncertainty)


def last_score(scored: Scored) -> tuple[float, str]:
    """Return the last metric of the last evaluation set, and the set's name."""
    name, metrics = list(scored.items())[-1]
    return list(metrics.values())[-1].value, name


def _copied(scores: Scores) -> Scores:
    return {name: {metric: list(values) for metric, values in metrics.items()} for name, metrics in scores.items()}
