"""Early stopping: the best round so far, and whether it is out of patience."""

from __future__ import annotations

import math

from fedtrees.errors import DataError


class Best:
    """The best of a score's rounds.

    Parameters
    ----------
    patience : int, optional
        Rounds without a better score after which training should end; None never ends it.
    maximise : bool
    constant : bool, default False
        Whether every round's model is the same, so that an undefined score is no reason to wait for a better one.

    Attributes
    ----------
    round : int or None
        The round with the best score; None before the first.
    score : float
    """

    def __init__(self, patience: int | None, maximise: bool, constant: bool = False):
        self.round: int | None = None
        self.score = math.nan
        self._patience, self._maximise, self._constant = patience, maximise, constant

    def is_past(self, round: int, score: float, name: str) -> bool:
        """Note a round's score, of an evaluation set by this name; True where the best one is out of patience.

        Raises
        ------
        DataError
            For an undefined score, where training waits for a better one.
        """
        if self._patience is not None and math.isnan(score) and not self._constant:
            raise DataError(f"early stopping: the last metric of {name} is undefined (NaN) in round {round}.")
        if self.round is None or (score > self.score if self._maximise else score < self.score):
            self.round, self.score = round, score
        return self._patience is not None and round - self.round >= self._patience
