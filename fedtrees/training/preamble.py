"""The first questions of every training: how many rows there are, and what evaluation sets hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedtrees.core.data.labels import Label
from fedtrees.core.protocol.holdout import HoldOut
from fedtrees.errors import DataError
from fedtrees.queries.counts import Counts, Summary
from fedtrees.queries.evaluation import Evaluation
from fedtrees.queries.scores import Scores
from fedtrees.training.settings import TrainingSettings

if TYPE_CHECKING:
    from fedtrees.core.protocol.channel import Channel
    from fedtrees.core.sampling.samplers import Cohort


def count_rows(channel: Channel, all_silos: Cohort, settings: TrainingSettings, n_features: int) -> Summary:
    """Hold out the rows to score on, and ask for the numbers of rows, silos and missing values; in one round.

    Raises
    ------
    DataError
        If no silo holds a row that counts.
    """
    if settings.validation_share:
        channel.tell(HoldOut(settings.validation_share, settings.seed))
    summary: Summary = channel.total(Counts(n_features), all_silos)
    if summary.rows == 0:
        raise DataError(
            "Found array with 0 sample(s) while a minimum of 1 is required: no silo holds any row, or sample_weight is "
            "zero in every row."
        )
    return summary


def prepare_evaluation(
    channel: Channel,
    all_silos: Cohort,
    settings: TrainingSettings,
    labels: list[Label] | None,
    outputs: int,
    kind: type[Scores],
    objective: str,
) -> Evaluation:
    """Ask for the sizes of the evaluation sets; see `Evaluation.prepare`."""
    names, metrics = settings.eval_names, settings.eval_metrics
    return Evaluation.prepare(channel, all_silos, names, metrics, labels, outputs, kind, objective)
