"""Checks of parameters that estimators of all families have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.number_checks import is_number
from fedtrees.core.numeric.threads import Threads
from fedtrees.core.protocol.aggregation import check_aggregation
from fedtrees.core.sampling.samplers import as_sampler
from fedtrees.core.sampling.weighting import as_weighting
from fedtrees.errors import ParameterError
from fedtrees.queries.custom_metric import register_metric
from fedtrees.queries.metrics import metric_named

if TYPE_CHECKING:
    from fedtrees.estimators.common.parameter_types import ScoredParameters, Seed

LARGEST = float(np.finfo(np.float32).max)  # margins and leaves are float32


def check_federated(estimator: ScoredParameters) -> None:
    """Refuse the first parameter that is wrong of those that every federated estimator has.

    Raises
    ------
    ParameterError
    """
    share = estimator.validation_fraction
    if share is not None and (not is_number(share, 0, 1) or share in (0, 1)):
        raise ParameterError(f"validation_fraction={share!r}: give a number above 0 and below 1, or None.")
    for metric in metric_names(estimator.eval_metric):
        metric_named(metric)
    as_sampler(estimator.sampling), as_weighting(estimator.weighting), Threads(estimator.n_jobs)
    check_aggregation(estimator.aggregation)
    check_seed(estimator.random_state)


def check_ranges(estimator: object, ranges: Mapping[str, tuple[bool, float, float, bool]]) -> None:
    """Refuse the first parameter that is no number, or out of its range.

    ranges: of each, whether it is whole, lowest, highest, and whether the lowest itself is allowed.

    Raises
    ------
    ParameterError
    """
    for name, (whole, low, high, closed) in ranges.items():
        value = getattr(estimator, name)
        kind: type = Integral if whole else Real
        fine = isinstance(value, kind) and (not isinstance(value, bool) or name == "verbose")
        if not fine or not (low <= value <= high if closed else low < value <= high) or value == math.inf:
            span = f"{'from' if closed else 'above'} {low}" + ("" if high >= LARGEST else f" to {high}")
            raise ParameterError(f"{name}={value!r}: give {'a whole number' if whole else 'a number'} {span}.")


# of any type: `metric_named` refuses all but metrics
def metric_names(given: Any) -> list[str]:
    """The metrics of an ``eval_metric``, none of None; functions are registered in this process."""
    if given is None:
        return []
    metrics = given if isinstance(given, list | tuple) else [given]
    return [register_metric(metric) if callable(metric) else metric for metric in metrics]


def as_plain(value: float | str | list[float] | tuple[float, ...] | NDArray[np.generic]) -> float | list[float] | str:
    """A parameter as plain numbers, or the text or switch that it is."""
    if isinstance(value, str | bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    return [float(one) for one in value] if isinstance(value, list | tuple | np.ndarray) else float(value)


def seed_of(random_state: Seed) -> int:
    """The run's seed; a generator is drawn from, so ask once a run."""
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31 - 1))
    return 0 if random_state is None else int(random_state)


def check_missing(missing: object) -> None:
    """Refuse anything but a number, which could stand for a missing value.

    Raises
    ------
    ParameterError
    """
    endless = isinstance(missing, Real) and not isinstance(missing, Integral) and not math.isfinite(missing)
    if not is_number(missing) and not endless:
        raise ParameterError(f"missing={missing!r}: give the number that stands for a missing value, or NaN.")


def check_seed(random_state: object) -> None:
    """Refuse anything but a seed.

    Raises
    ------
    ParameterError
    """
    whole = isinstance(random_state, Integral) and not isinstance(random_state, bool)
    if not (whole or random_state is None or isinstance(random_state, np.random.RandomState | np.random.Generator)):
        raise ParameterError(f"random_state={random_state!r}: give a whole number, a numpy generator, or None.")
    if isinstance(random_state, Integral) and not -(2**63) <= int(random_state) < 2**63:
        raise ParameterError(f"random_state={random_state!r}: give a whole number of 64 bits at the most.")
