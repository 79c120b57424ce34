"""Settings that boosted and averaged estimators have in common, by their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypedDict

from fedtrees.core.sampling.samplers import Sampler, as_sampler
from fedtrees.core.sampling.weighting import Weighting, as_weighting

if TYPE_CHECKING:
    from fedtrees.estimators.common.parameter_types import ScoredParameters


class CommonSettings(TypedDict):
    """Fields of `TrainingSettings`."""

    sampler: Sampler
    weighting: Weighting
    eval_names: list[str]
    eval_metrics: Sequence[str]
    validation_share: float


def common_settings(
    estimator: ScoredParameters, names: Sequence[str], eval_sets: int, metrics: Sequence[str]
) -> CommonSettings:
    """Return what an estimator's parameters mean for any training.

    Parameters
    ----------
    estimator : ScoredParameters
    names : sequence of str
        The silos.
    eval_sets : int
        Evaluation sets, held out rows included.
    metrics : sequence of str

    Raises
    ------
    ParameterError
        For silos that there are not.
    """
    return CommonSettings(
        sampler=as_sampler(estimator.sampling, names),
        weighting=as_weighting(estimator.weighting),
        eval_names=[f"validation_{place}" for place in range(eval_sets)],
        eval_metrics=metrics,
        validation_share=float(estimator.validation_fraction or 0.0),
    )
