"""Checks of the boosted estimators' parameters, with one clear error for each."""

from __future__ import annotations

import math
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fedtrees.core.numeric.distributions import DISTRIBUTIONS
from fedtrees.core.numeric.number_checks import is_whole
from fedtrees.errors import ParameterError, unknown_value
from fedtrees.estimators.boosting.callbacks import check_callbacks
from fedtrees.estimators.common.parameter_checks import LARGEST, check_federated, check_missing, check_ranges
from fedtrees.trees.losses import LOSSES
from fedtrees.trees.losses.custom import custom_named
from fedtrees.trees.losses.ranking import PAIR_METHODS

if TYPE_CHECKING:
    from fedtrees.estimators.boosting.parameter_types import BoostingParameters

# name: (whole numbers only, lowest, highest, whether the lowest itself is allowed)
_RANGES: dict[str, tuple[bool, float, float, bool]] = {
    "n_estimators": (True, 1, math.inf, True),
    "max_depth": (True, 0, 30, True),
    "max_leaves": (True, 0, 2**30, True),
    "learning_rate": (False, 0, LARGEST, False),
    "reg_lambda": (False, 0, LARGEST, True),
    "reg_alpha": (False, 0, LARGEST, True),
    "gamma": (False, 0, LARGEST, True),
    "min_child_weight": (False, 0, LARGEST, True),
    "subsample": (False, 0, 1, False),
    "colsample_bytree": (False, 0, 1, False),
    "colsample_bylevel": (False, 0, 1, False),
    "colsample_bynode": (False, 0, 1, False),
    "num_parallel_tree": (True, 1, 10_000, True),
    "max_bin": (True, 2, 65535, True),
    "min_bin_rows": (True, 1, 2**31, True),
    "max_cat_to_onehot": (True, 1, math.inf, True),
    "max_cat_threshold": (True, 1, math.inf, True),
    "verbose": (True, 0, math.inf, True),
}
_OF_SHARES = ("binary:logistic", "reg:logistic")
_ABOVE_ZERO = ("count:poisson", "reg:gamma", "reg:tweedie", "survival:aft")
IMPORTANCES = ("gain", "weight", "cover", "total_gain", "total_cover")
MODES = ("histogram", "bagging", "cyclic")
GROW_POLICIES = ("depthwise", "lossguide")

# parameters of some objectives; None leaves them to the objective
OF_LOSSES = (
    "scale_pos_weight", "max_delta_step", "huber_slope", "tweedie_variance_power", "quantile_alpha",
    "aft_loss_distribution", "aft_loss_distribution_scale", "lambdarank_pair_method", "lambdarank_num_pair_per_sample",
    "lambdarank_normalization", "lambdarank_score_normalization", "lambdarank_unbiased", "lambdarank_bias_norm",
    "ndcg_exp_gain",
)  # fmt: skip
_WORDS = {"aft_loss_distribution": tuple(DISTRIBUTIONS), "lambdarank_pair_method": PAIR_METHODS}
_SWITCHES = ("lambdarank_normalization", "lambdarank_score_normalization", "lambdarank_unbiased", "ndcg_exp_gain")


def check_parameters(estimator: BoostingParameters) -> None:
    """Refuse the first parameter of a `FedGBT` that is wrong, before anything is read.

    Raises
    ------
    ParameterError
        Naming it, and the values that it may have.
    """
    check_ranges(estimator, _RANGES)
    _check_choices(estimator)
    _check_of_losses(estimator)
    patience = estimator.early_stopping_rounds
    for name in ("enable_categorical", "split_on_silo"):
        if not isinstance(getattr(estimator, name), bool | np.bool_):
            raise ParameterError(f"{name}={getattr(estimator, name)!r}: give True or False.")
    check_missing(estimator.missing)
    if patience is not None and not is_whole(patience):
        raise ParameterError(f"early_stopping_rounds={patience!r}: give a whole number from 1, or None.")
    _check_base_score(estimator)
    check_callbacks(estimator.callbacks)
    check_federated(estimator)


def _check_of_losses(estimator: BoostingParameters) -> None:
    for name in OF_LOSSES:
        value = getattr(estimator, name)
        if name in _WORDS:
            if value is not None and value not in _WORDS[name]:
                raise unknown_value(name, value, _WORDS[name])
            continue
        if name in _SWITCHES:
            if value is not None and not isinstance(value, bool | np.bool_):
                raise ParameterError(f"{name}={value!r}: give True or False, or None.")
            continue
        each = value if name == "quantile_alpha" and isinstance(value, list | tuple | np.ndarray) else [value]
        if value is not None and not all(isinstance(one, Real) and 0 <= float(one) < math.inf for one in each):
            raise ParameterError(f"{name}={value!r}: give a number from 0, or None.")


def _check_base_score(estimator: BoostingParameters) -> None:
    """Refuse a base score that no prediction of the objective can be."""
    score, objective = estimator.base_score, estimator.objective
    if objective is None:
        objective = "binary:logistic" if estimator._classifies else "reg:squarederror"
    if score is None:
        return
    scores = scores_of(score)
    if not scores or not all(isinstance(number, Real) and abs(float(number)) <= LARGEST for number in scores):
        raise ParameterError(f"base_score={score!r}: give a finite number, or one an output, or None to estimate it.")
    if objective in _OF_SHARES and not all(0 < float(number) < 1 for number in scores):
        raise ParameterError(f"base_score={score!r}: give a probability above 0 and below 1, or None.")
    if objective in _ABOVE_ZERO and not all(float(number) > 0 for number in scores):
        raise ParameterError(f"base_score={score!r}: give a number above 0, or None.")


def scores_of(base_score: Any) -> list[Any]:  # of anything, for the check of the numbers
    """The numbers of a ``base_score``: one for all outputs, or one for each."""
    return list(base_score) if isinstance(base_score, list | tuple | np.ndarray) else [base_score]


def check_feature_weights(given: ArrayLike | None, n_features: int) -> tuple[float, ...] | None:
    """Read ``feature_weights``, one a feature; None stays None.

    Raises
    ------
    ParameterError
        For other than finite numbers above 0, or of another number of features.
    """
    if given is None:
        return None
    try:
        weights = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        weights = np.zeros(0)
    if weights.shape != (n_features,) or not (np.isfinite(weights) & (weights > 0)).all():
        raise ParameterError(f"feature_weights={given!r}: give a number above 0 for each of {n_features} features.")
    return tuple(weights.tolist())


def _check_choices(estimator: BoostingParameters) -> None:
    classifies, given = estimator._classifies, estimator.objective
    known = [name for name in LOSSES if name.startswith(estimator._loads)]
    if isinstance(given, str) and given not in known and custom_named(given, classifies) is None:
        raise unknown_value("objective", given, known)
    if given is not None and not isinstance(given, str) and not (callable(given) and estimator._takes_functions):
        what = ", or a function of y and margins" if estimator._takes_functions else f", such as {known[0]!r}"
        raise ParameterError(f"objective={given!r}: give a name{what}.")
    if estimator.importance_type is not None and estimator.importance_type not in IMPORTANCES:
        raise unknown_value("importance_type", estimator.importance_type, IMPORTANCES)
    if estimator.mode not in MODES:
        raise unknown_value("mode", estimator.mode, MODES)
    if estimator.grow_policy not in GROW_POLICIES:
        raise unknown_value("grow_policy", estimator.grow_policy, GROW_POLICIES)
