"""The state of a training between two rounds: all that the server has besides the log of facts."""

from __future__ import annotations

import msgspec

from fedtrees.core.data.record import Record
from fedtrees.queries.evaluation import Known, Scored


class TrainingState(Record, frozen=True, eq=False, kw_only=True):
    """The state of a training between two rounds.

    With the channel's run it is all that the rounds to come depend on, so its bytes are a checkpoint.

    Attributes
    ----------
    round : int
        Rounds that are over.
    ended : bool
        Whether no round is to follow.
    scores : list of dict
        Of each round, each metric of each evaluation set.
    histograms : list
        Of each evaluation set, the last round's histograms of scores; see `Evaluation.score`.
    """

    round: int = 0
    ended: bool = False
    scores: list[Scored] = msgspec.field(default_factory=list)
    histograms: Known = msgspec.field(default_factory=list)
