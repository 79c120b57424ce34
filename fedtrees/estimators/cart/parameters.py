"""Parameters of trees by impurity: checks, and the settings of a training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fedtrees.core.data.table import Schema
from fedtrees.core.numeric.number_checks import is_number, is_whole
from fedtrees.core.numeric.threads import Threads
from fedtrees.core.protocol.aggregation import check_aggregation
from fedtrees.core.protocol.start_messages import Vocabulary
from fedtrees.core.sampling.samplers import as_sampler
from fedtrees.core.sampling.weighting import as_weighting
from fedtrees.errors import DataError, ParameterError, unknown_value
from fedtrees.estimators.cart.monotonic_cst import check_directions, directions_of
from fedtrees.estimators.common.class_weights import (
    check_class_weight,
    class_weights,
    refuse_unknown_labels,
    weight_of_each,
)
from fedtrees.estimators.common.parameter_checks import check_missing, check_ranges, check_seed
from fedtrees.queries.custom_metric import Function, numbers_of_rows
from fedtrees.trees.losses import Target
from fedtrees.trees.model.row_draws import MOST_SHARE
from fedtrees.trees.server.feature_sampling import FeatureSampling, NodeDraws
from fedtrees.trees.server.impurity import Impurity
from fedtrees.trees.server.settings import TreeSettings

if TYPE_CHECKING:
    from fedtrees.core.data.labels import ClassLabels, Label
    from fedtrees.estimators.cart.parameter_types import CartParameters
    from fedtrees.estimators.common.parameter_types import MaxFeatures, Parameters

_CLASSES, _NUMBERS = ("gini", "entropy", "log_loss"), ("squared_error", "poisson")
_WHY_NOT = {
    "absolute_error": "a median follows from rows, not from sums, which are all that silos send; give 'squared_error'.",
    "friedman_mse": "it chooses the splits of 'squared_error', and scikit-learn has deprecated it; give that.",
}
# name: (whole numbers only, lowest, highest, whether the lowest itself is allowed)
_RANGES: dict[str, tuple[bool, float, float, bool]] = {
    "max_bin": (True, 2, 65535, True),
    "min_bin_rows": (True, 1, 2**31, True),
    "verbose": (True, 0, math.inf, True),
    "n_estimators": (True, 1, 10_000, True),
    "learning_rate": (False, 0, 100, False),  # more moves weights beyond numbers that add up
    "min_weight_fraction_leaf": (False, 0, 0.5, True),
    "min_impurity_decrease": (False, 0, math.inf, True),
    "ccp_alpha": (False, 0, math.inf, True),
}
_LEAST = {"max_depth": 1, "max_leaf_nodes": 2}


def check_cart_parameters(estimator: CartParameters) -> None:
    """Refuse the first parameter that is wrong, before anything is read.

    Raises
    ------
    ParameterError
        Naming it, and the values that it may have.
    """
    given = estimator.get_params(deep=False)
    known = _CLASSES if estimator._classifies else _NUMBERS
    if "criterion" in given and estimator.criterion not in known:
        if not estimator._classifies and estimator.criterion in _WHY_NOT:
            raise ParameterError(f"criterion={estimator.criterion!r}: {_WHY_NOT[estimator.criterion]}")
        raise unknown_value("criterion", estimator.criterion, known)
    check_ranges(estimator, {name: span for name, span in _RANGES.items() if name in given})
    for name, least in _LEAST.items():
        value = given.get(name)
        if value is not None and not is_whole(value, least):
            raise ParameterError(f"{name}={value!r}: give a whole number from {least}, or None for no limit.")
    for name, least in {"min_samples_split": 2, "min_samples_leaf": 1}.items():
        if name in given:
            _check_rows(name, given[name], least)
    if "max_features" in given:
        features_per_node(given["max_features"], 1)
    for name in ("bootstrap", "warm_start"):
        if name in given and not isinstance(given[name], bool | np.bool_):
            raise ParameterError(f"{name}={given[name]!r}: give True or False.")
    check_directions(given.get("monotonic_cst"))
    check_class_weight(given.get("class_weight"), forest="bootstrap" in given, several=True)
    if "bootstrap" in given:
        _check_bag(given)
    grown = len(getattr(estimator, "model_", ())) if given.get("warm_start") else 0
    if grown and grown > given["n_estimators"]:
        raise ParameterError(
            f"n_estimators={given['n_estimators']} must be larger or equal to len(estimators_)={grown} when "
            "warm_start=True."
        )
    check_missing(estimator.missing)
    as_sampler(estimator.sampling), as_weighting(estimator.weighting), Threads(estimator.n_jobs)
    check_aggregation(estimator.aggregation)
    check_seed(estimator.random_state)


def _check_rows(name: str, value: object, least: int) -> None:
    if not is_whole(value, least) and not _is_share(value):
        raise ParameterError(f"{name}={value!r}: give a whole number from {least}, or a share above 0 and up to 1.")


def _check_bag(given: Parameters) -> None:
    """Refuse rows that trees of a forest cannot draw, and scores that they cannot have."""
    samples, score = given["max_samples"], given["oob_score"]
    if samples is not None and not (is_whole(samples, 1) or (is_number(samples, 0, MOST_SHARE) and samples > 0)):
        most = f"a share above 0 and up to {MOST_SHARE}"
        raise ParameterError(f"max_samples={samples!r}: give a whole number from 1, or {most}.")
    if samples is not None and not given["bootstrap"]:
        raise ParameterError(f"max_samples={samples!r}: no tree draws rows without bootstrap=True.")
    if not callable(score) and not isinstance(score, bool | np.bool_):
        raise ParameterError(f"oob_score={score!r}: give True, False, or a function of y_true and y_pred.")
    if score and not given["bootstrap"]:
        raise ParameterError(f"oob_score={score!r}: no tree leaves a row out without bootstrap=True.")
    if callable(score):
        _try_score(score)


def _try_score(score: Function) -> None:
    """Refuse a function of all rows together before anything is trained."""
    two = np.arange(2)
    try:
        given = np.shape(score(two, two))
    except Exception:  # it may well need more than two rows of nothing: then it is refused over rows that there are
        return
    if given != two.shape:
        numbers_of_rows("oob_score", getattr(score, "__name__", type(score).__name__), score, two, two)


def _weights_of_classes(
    given: Parameters, labels: Sequence[Label]
) -> tuple[float, ...] | Literal["balanced", "balanced_subsample"] | None:
    """The weight of each label in trees; where these have all rows, factors that balance a tree's rows balance all."""
    weights = given.get("class_weight")
    if isinstance(weights, list):
        raise ParameterError(f"class_weight={weights!r}: a list is for several columns of y; give a dict.")
    by_tree = given.get("bootstrap") and isinstance(weights, str) and weights == "balanced_subsample"
    return "balanced_subsample" if by_tree else class_weights(weights, labels)


def _is_share(value: object) -> bool:
    return is_number(value, 0, 1) and not isinstance(value, Integral) and value > 0


def features_per_node(given: MaxFeatures, n_features: int) -> int:
    """The number of features that a node may ask for: a number, a share, "sqrt", "log2", or None for all.

    Raises
    ------
    ParameterError
    """
    if given is None:
        return n_features
    if isinstance(given, str) and given == "sqrt":
        return max(1, int(math.sqrt(n_features)))
    if isinstance(given, str) and given == "log2":
        return max(1, int(math.log2(n_features)))
    if is_whole(given):
        return min(int(given), n_features)
    if _is_share(given):
        return max(1, int(float(given) * n_features))
    raise ParameterError(f"max_features={given!r}: give a number, a share, 'sqrt', 'log2', or None for all.")


def _drawn(max_samples: float | None) -> float | int:
    """The share of rows that a tree draws, or their number."""
    if max_samples is None:
        return 1.0
    return int(max_samples) if isinstance(max_samples, Integral) else float(max_samples)


def check_several(estimator: CartParameters, schema: Schema) -> None:
    """Refuse parameters that have no meaning for several columns of y.

    Raises
    ------
    DataError, ParameterError
    """
    targets = schema.targets
    if targets <= 1:
        return
    if not estimator._takes_several:
        raise DataError(f"y has {targets} columns; {type(estimator).__name__} is for one. Fit one a column.")
    given = getattr(estimator, "monotonic_cst", None)
    if given is not None:
        raise ParameterError(f"monotonic_cst={given!r}: y has {targets} columns, and it is for one.")
    if not estimator._classifies:
        return
    classes = [len(labels) for labels in schema.labels or ()]
    if getattr(estimator, "oob_score", False) and max(classes) > 2:
        raise DataError(
            f"oob_score: y has {targets} columns, and column {int(np.argmax(classes))} holds {max(classes)} classes; "
            "of several, rows left out are scored where each holds two at the most."
        )


def labels_of_one(schema: Schema) -> ClassLabels | None:
    """The class labels of a single column; None of numbers, and of several columns, whose rows carry places."""
    return None if schema.targets > 1 else schema.labels


def _weights_by_column(
    parameters: Parameters, labels: Sequence[Sequence[Label]]
) -> list[tuple[float, ...]] | str | None:
    """The weight of each label of several columns, None where all weigh 1: a row weighs their product.

    Raises
    ------
    ParameterError
        For weights of other columns, or of labels that there are not.
    """
    given = parameters.get("class_weight")
    if given is None:
        return None
    if isinstance(given, str):
        return given if parameters.get("bootstrap") else "balanced"  # where trees have all rows, theirs are these
    if isinstance(given, Mapping):
        raise ParameterError(f"class_weight={given!r}: y has {len(labels)} columns; give a list of a dict for each.")
    if len(given) != len(labels):
        raise ParameterError(f"class_weight={given!r}: {len(given)} entries for {len(labels)} columns of y.")
    for column, (weights, known) in enumerate(zip(given, labels, strict=True)):
        refuse_unknown_labels(weights, known, f"column {column} of y")
    return [weight_of_each(weights, known) for weights, known in zip(given, labels, strict=True)]


def cart_settings(estimator: CartParameters, loss: Target, schema: Schema, seed: int, **others: Any) -> TreeSettings:
    """The settings of a training on these columns by an estimator's parameters; others: fields of `TreeSettings`.

    Raises
    ------
    DataError
        For several targets, or too many classes.
    ParameterError
        For weights of labels that there are not.
    """
    check_several(estimator, schema)
    several, labels = schema.targets > 1, labels_of_one(schema)
    loss.outputs(len(labels or ()))  # refuses more classes than there is room for
    given, n = estimator.get_params(deep=False), len(schema.names)
    most = features_per_node(given.get("max_features"), n)
    # half a feature more, as the number of a share is rounded down
    columns = FeatureSampling(n, seed, bynode=min(1.0, (most + 0.5) / n)) if most < n else None
    # of any type, as `Impurity` takes them among fields of other types
    least: dict[str, Any] = {
        name: int(given[name]) if isinstance(given[name], Integral) else float(given[name])
        for name in ("min_samples_split", "min_samples_leaf", "min_weight_fraction_leaf", "min_impurity_decrease")
        if name in given
    }
    rule = Impurity(
        given.get("criterion", "gini" if estimator._classifies else "squared_error"),
        loss.statistics_per_bin(len(labels or ())),
        class_weight=None if several else _weights_of_classes(given, labels or ()),
        **least,
    )
    by_column = schema.labels if several and estimator._classifies else None
    leaves = int(given.get("max_leaf_nodes") or 0)
    return TreeSettings(
        loss=loss,
        targets=schema.targets,
        labels_by_column=by_column,
        class_weight=None if by_column is None else _weights_by_column(given, by_column),
        rounds=others.pop("rounds", 1),
        max_depth=int(given.get("max_depth") or 0),
        max_bin=int(estimator.max_bin),
        min_bin_rows=int(estimator.min_bin_rows),
        rule=rule,
        weighting=as_weighting(estimator.weighting),
        seed=seed,
        columns=columns,
        constraints=directions_of(given.get("monotonic_cst"), schema),
        max_leaves=leaves,
        best_first=leaves > 0,
        bootstrap=bool(given.get("bootstrap", False)),
        subsample=_drawn(given.get("max_samples")),
        features_per_node=most if columns is not None and leaves == 0 and 2 * most <= n and not several else 0,
        thresholds=NodeDraws(n, seed, "thresholds") if estimator._random_thresholds else None,
        vocabulary=Vocabulary(schema.categories) if schema.categories else None,
        **others,
    )  # fmt: skip
