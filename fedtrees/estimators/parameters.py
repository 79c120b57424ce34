"""The boosted estimators' parameters: what each may be, and one clear error for what it may not."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

import numpy as np

from fedtrees.core.cohort import as_sampler
from fedtrees.core.threads import Threads
from fedtrees.core.weighting import as_weighting
from fedtrees.errors import ParameterError, unknown_value
from fedtrees.estimators.callbacks import check_callbacks
from fedtrees.estimators.model import IMPORTANCES
from fedtrees.queries.metrics import metric_named
from fedtrees.trees.losses import LOSSES
from fedtrees.trees.losses.custom import custom_named

_LARGEST = float(np.finfo(np.float32).max)  # margins and leaves are float32

# name: (whole numbers only, lowest, highest, whether the lowest itself is allowed)
_RANGES: dict[str, tuple[bool, float, float, bool]] = {
    "n_estimators": (True, 1, math.inf, True),
    "max_depth": (True, 0, 30, True),
    "max_leaves": (True, 0, 2**30, True),
    "learning_rate": (False, 0, _LARGEST, False),
    "reg_lambda": (False, 0, _LARGEST, True),
    "reg_alpha": (False, 0, _LARGEST, True),
    "gamma": (False, 0, _LARGEST, True),
    "min_child_weight": (False, 0, _LARGEST, True),
    "subsample": (False, 0, 1, False),
    "colsample_bytree": (False, 0, 1, False),
    "colsample_bylevel": (False, 0, 1, False),
    "colsample_bynode": (False, 0, 1, False),
    "num_parallel_tree": (True, 1, 10_000, True),
    "max_bin": (True, 2, 65535, True),
    "max_cat_to_onehot": (True, 1, math.inf, True),
    "max_cat_threshold": (True, 1, math.inf, True),
    "verbose": (True, 0, math.inf, True),
}
_OF_SHARES = ("binary:logistic", "reg:logistic")
_ABOVE_ZERO = ("count:poisson", "reg:gamma", "reg:tweedie")
GROW_POLICIES = ("depthwise", "lossguide")

# parameters of some objectives; None leaves them to the objective
OF_LOSSES = ("scale_pos_weight", "max_delta_step", "huber_slope", "tweedie_variance_power", "quantile_alpha")


def check_parameters(estimator: Any) -> None:
    """Refuse the first parameter of a `FedGBT` that is wrong, before anything is read.

    Raises
    ------
    ParameterError
        Naming it, and what it may be.
    """
    _check_ranges(estimator)
    _check_choices(estimator)
    for name in OF_LOSSES:
        own = getattr(estimator, name)
        if own is not None and not (isinstance(own, Real) and 0 <= float(own) < math.inf):
            raise ParameterError(f"{name}={own!r}: give a number from 0, or None.")
    missing: Any = estimator.missing
    patience: Any = estimator.early_stopping_rounds
    if not isinstance(estimator.enable_categorical, bool | np.bool_):
        raise ParameterError(f"enable_categorical={estimator.enable_categorical!r}: give True or False.")
    if isinstance(missing, bool) or not isinstance(missing, Real):
        raise ParameterError(f"missing={missing!r}: give the number that stands for a missing value, or NaN.")
    if patience is not None and not (isinstance(patience, Integral) and int(patience) > 0):
        raise ParameterError(f"early_stopping_rounds={patience!r}: give a whole number from 1, or None.")
    _check_base_score(estimator)
    as_sampler(estimator.sampling), as_weighting(estimator.weighting), Threads(estimator.n_jobs)
    check_callbacks(estimator.callbacks)
    if not _is_seed(estimator.random_state):
        given = f"random_state={estimator.random_state!r}"
        raise ParameterError(f"{given}: give a whole number, a numpy generator, or None.")


def _check_base_score(estimator: Any) -> None:
    """It is in the units of a prediction."""
    score, objective = estimator.base_score, estimator.objective
    if objective is None:
        objective = "binary:logistic" if estimator._classifies else "reg:squarederror"
    if score is None:
        return
    if not isinstance(score, Real) or not abs(float(score)) <= _LARGEST:
        raise ParameterError(f"base_score={score!r}: give a finite number, or None to estimate it.")
    if objective in _OF_SHARES and not 0 < float(score) < 1:
        raise ParameterError(f"base_score={score!r}: give a probability above 0 and below 1, or None.")
    if objective in _ABOVE_ZERO and not float(score) > 0:
        raise ParameterError(f"base_score={score!r}: give a number above 0, or None.")


def _check_ranges(estimator: Any) -> None:
    for name, (whole, low, high, closed) in _RANGES.items():
        value = getattr(estimator, name)
        kind: Any = Integral if whole else Real
        fine = isinstance(value, kind) and (not isinstance(value, bool) or name == "verbose")
        if not fine or not (low <= value <= high if closed else low < value <= high) or value == math.inf:
            span = f"{'from' if closed else 'above'} {low}" + ("" if high >= _LARGEST else f" to {high}")
            raise ParameterError(f"{name}={value!r}: give {'a whole number' if whole else 'a number'} {span}.")


def _check_choices(estimator: Any) -> None:
    classifies, given = estimator._classifies, estimator.objective
    known = [name for name, loss in LOSSES.items() if loss.classification == classifies]
    if isinstance(given, str) and given not in known and custom_named(given, classifies) is None:
        raise unknown_value("objective", given, known)
    if given is not None and not isinstance(given, str) and not callable(given):
        raise ParameterError(f"objective={given!r}: give a name, or a function of y and margins.")
    if estimator.importance_type is not None and estimator.importance_type not in IMPORTANCES:
        raise unknown_value("importance_type", estimator.importance_type, IMPORTANCES)
    if estimator.grow_policy not in GROW_POLICIES:
        raise unknown_value("grow_policy", estimator.grow_policy, GROW_POLICIES)
    for metric in metric_names(estimator.eval_metric):
        metric_named(metric)


def metric_names(given: Any) -> list[str]:
    """The metrics of an ``eval_metric``; of None none."""
    if given is None:
        return []
    return [given] if isinstance(given, str) else list(given) if isinstance(given, list | tuple) else [str(given)]


def seed_of(random_state: Any) -> int:
    """The run's seed; a generator is drawn from, so ask once a run."""
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31 - 1))
    return 0 if random_state is None else int(random_state)


def _is_seed(random_state: Any) -> bool:
    whole = isinstance(random_state, Integral) and not isinstance(random_state, bool)
    return whole or random_state is None or isinstance(random_state, np.random.RandomState | np.random.Generator)
