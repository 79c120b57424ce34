"""The settings of a training by an estimator's parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.silo_column import COLUMN, schema_without_silos
from fedtrees.core.data.table import Schema
from fedtrees.core.protocol.start_messages import Vocabulary
from fedtrees.errors import DataError, ParameterError
from fedtrees.estimators.boosting.parameters import check_feature_weights, scores_of
from fedtrees.estimators.common.parameter_checks import metric_names, seed_of
from fedtrees.estimators.common.settings import common_settings
from fedtrees.export.categories import check_categories
from fedtrees.queries.metrics import METRICS, metric_named
from fedtrees.trees.losses import Loss
from fedtrees.trees.server.constraints import Constraints
from fedtrees.trees.server.feature_sampling import FeatureSampling
from fedtrees.trees.server.settings import TreeSettings
from fedtrees.trees.server.split import SplitRule

if TYPE_CHECKING:
    from fedtrees.estimators.boosting.parameter_types import BoostingParameters
    from fedtrees.export.continued import Continued


def settings_of(
    estimator: BoostingParameters,
    loss: Loss,
    schema: Schema,
    names: Sequence[str],
    eval_sets: int,
    earlier: Continued | None,
) -> TreeSettings:
    """The settings of a training on these columns by an estimator's parameters.

    Parameters
    ----------
    estimator : FedGBT
    loss : Loss
    schema : Schema
    names : sequence of str
        The silos.
    eval_sets : int
        Evaluation sets that silos hold.
    earlier : Continued, optional
        The model that the training goes on from.

    Raises
    ------
    ParameterError
        Naming the parameter that does not fit the columns, or others.
    """
    eval_sets += estimator.validation_fraction is not None
    if estimator.early_stopping_rounds is not None and not eval_sets:
        raise ParameterError(
            "early_stopping_rounds needs an eval_set, in fit or in each Silo, or a validation_fraction, to look at."
        )
    seed, constraints = seed_of(estimator.random_state), None
    if estimator.monotone_constraints is not None or estimator.interaction_constraints is not None:
        constraints = Constraints.of(estimator.monotone_constraints, estimator.interaction_constraints, schema.names)
    categories = _categories(estimator, schema, constraints)
    shares = {name: float(getattr(estimator, f"colsample_{name}")) for name in ("bytree", "bylevel", "bynode")}
    columns = FeatureSampling(len(schema.names), seed, **shares, weights=_feature_weights(estimator, schema))
    return TreeSettings(
        loss=loss,
        targets=1 if schema.labels else schema.targets,
        rounds=int(estimator.n_estimators),
        max_depth=int(estimator.max_depth),
        max_bin=int(estimator.max_bin),
        min_bin_rows=int(estimator.min_bin_rows),
        rule=SplitRule(
            reg_lambda=float(estimator.reg_lambda),
            reg_alpha=float(estimator.reg_alpha),
            gamma=float(estimator.gamma),
            min_child_weight=float(estimator.min_child_weight),
            learning_rate=float(estimator.learning_rate),
            max_delta_step=float(getattr(loss, "max_delta_step", estimator.max_delta_step or 0.0)),
            max_cat_to_onehot=int(estimator.max_cat_to_onehot),
            max_cat_threshold=int(estimator.max_cat_threshold),
        ),
        constraints=constraints,
        columns=None if columns.all else columns,
        max_leaves=int(estimator.max_leaves),
        best_first=estimator.grow_policy == "lossguide",
        parallel=int(estimator.num_parallel_tree),
        subsample=float(estimator.subsample),
        base_score=_base_score(estimator, loss, schema),
        seed=seed,
        earlier=None if earlier is None else earlier.trees,
        rounds_before=0 if earlier is None else earlier.rounds,
        scale_before=None if earlier is None else earlier.gradient_scale,
        bias_before=None if earlier is None else earlier.position_bias,
        vocabulary=_vocabulary(estimator, schema),
        categories=categories,
        **common_settings(estimator, names, eval_sets, _metrics_of(estimator, loss, schema.targets)),
    )


def _base_score(estimator: BoostingParameters, loss: Loss, schema: Schema) -> tuple[float, ...] | None:
    """The base score of each output; None where it is estimated."""
    if estimator.base_score is None:
        return None
    scores = [float(score) for score in scores_of(estimator.base_score)]
    outputs = loss.outputs(len(schema.labels or ()), 1 if schema.labels else schema.targets)
    if len(scores) not in (1, outputs):
        raise ParameterError(f"base_score has {len(scores)} numbers for {outputs} outputs; give one, or one of each.")
    return tuple(scores if len(scores) == outputs else scores * outputs)


def _feature_weights(estimator: BoostingParameters, schema: Schema) -> tuple[float, ...] | None:
    """Weights of features in draws; the silo's column, which users do not see, as the others in the mean."""
    hidden = int(estimator.split_on_silo)
    weights = check_feature_weights(estimator.feature_weights, len(schema.names) - hidden)
    return None if weights is None else weights + (sum(weights) / len(weights),) * hidden


def _categories(
    estimator: BoostingParameters, schema: Schema, constraints: Constraints | None
) -> NDArray[np.int64] | None:
    """The categories of each feature that is split by them, 0 of others; None where none is."""
    split = schema.categories
    if not split:
        return None
    check_categories(split)
    numbers = np.array([len(split.get(name, ())) for name in schema.names], np.int64)
    directed = np.zeros(len(numbers), bool) if constraints is None else constraints.direction != 0
    if (directed & (numbers > 0)).any():
        name = schema.names[int(np.argmax(directed & (numbers > 0)))]
        raise ParameterError(f"monotone_constraints: {name!r} is a category, which does not rise or fall.")
    return numbers


def refuse_categories(schema: Schema) -> None:
    """Refuse columns of categories, where they are not to be split by.

    Raises
    ------
    DataError
        Naming all of them.
    """
    if schema.categories:
        names = list(schema.categories)
        are = f"columns {', '.join(map(repr, names))} are" if len(names) > 1 else f"column {names[0]!r} is"
        raise DataError(
            f"{are} of categories, and enable_categorical=False takes none: leave it True, or make numbers of them, "
            f"such as X[{names[0]!r}].cat.codes."
        )


def _vocabulary(estimator: BoostingParameters, schema: Schema) -> Vocabulary | None:
    """The names of categories for all silos, and of the silos where trees may split by them."""
    if not schema.categories:
        return None
    if not estimator.split_on_silo:
        return Vocabulary(schema.categories)
    return Vocabulary(schema_without_silos(schema).categories, schema.categories[COLUMN])


def _metrics_of(estimator: BoostingParameters, loss: Loss, targets: int) -> list[str]:
    names = metric_names(estimator.eval_metric) or [loss.metric()]
    several = loss.outputs(0, targets) > targets and not estimator._classifies
    areas = [name for name in names if name.startswith("auc")] if estimator._classifies and targets > 1 else []
    if areas:
        raise ParameterError(f"eval_metric={areas[0]!r} is for one label a row; of several, score by logloss or error.")
    for name in names:
        # of several quantiles, one means little by itself
        if not metric_named(name, loss.name).fits(loss.name) or (several and name in METRICS and name != loss.metric()):
            raise ParameterError(f"eval_metric={name!r} says nothing of what {loss.name} predicts.")
    return names
