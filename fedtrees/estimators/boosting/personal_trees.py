"""One silo's own trees over the shared ensemble, made by its own XGBoost on its own rows; nothing is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fedtrees.core.data.table import Schema
from fedtrees.core.data.table_targets import numbers_of, places_of
from fedtrees.core.numeric.number_checks import is_whole
from fedtrees.core.protocol.silo import Silo
from fedtrees.errors import DataError, ParameterError
from fedtrees.estimators.common.personal import check_personal
from fedtrees.export.ordered import in_order
from fedtrees.trees.server.constraints import directions

if TYPE_CHECKING:
    import xgboost

    from fedtrees.export.objectives import XGBoostParameters


_BEST = ("best_iteration", "best_score")  # of the shared model's rounds


class PersonalTrees(Protocol):
    """From the shared model to a silo's own."""

    def own(self, shared: xgboost.Booster, matrix: xgboost.DMatrix, params: XGBoostParameters) -> xgboost.Booster:
        """Train on the silo's rows."""
        ...


@dataclass(frozen=True)
class MoreTrees:
    """Let some rounds of trees follow the shared ones.

    Parameters
    ----------
    n_estimators : int, default 10
    """

    n_estimators: int = 10

    def own(self, shared: xgboost.Booster, matrix: xgboost.DMatrix, params: XGBoostParameters) -> xgboost.Booster:
        """See `PersonalTrees`; the shared model is a copy to change."""
        import xgboost

        if not is_whole(self.n_estimators):
            raise ParameterError(f"MoreTrees({self.n_estimators!r}): give a whole number from 1.")
        # XGBoost seeds its draws where a model's seed changes: else they would go on from whatever was drawn before
        shared.set_param({"seed": params["seed"] ^ 1})
        return xgboost.train(params, matrix, self.n_estimators, xgb_model=shared)


@dataclass(frozen=True)
class OwnLeaves:
    """Keep the splits, and take the leaves from the silo's rows; XGBoost calls it a refresh."""

    def own(self, shared: xgboost.Booster, matrix: xgboost.DMatrix, params: XGBoostParameters) -> xgboost.Booster:
        """See `PersonalTrees`."""
        import xgboost

        update = {"process_type": "update", "updater": "refresh", "refresh_leaf": True}
        same = {name: value for name, value in params.items() if name != "tree_method"}
        with xgboost.config_context(verbosity=0):  # it would warn that an updater was named
            return xgboost.train({**same, **update}, matrix, shared.num_boosted_rounds(), xgb_model=shared)


def personal_booster(
    shared: xgboost.Booster, schema: Schema, silo: Silo, how: PersonalTrees, params: XGBoostParameters,
    feature_weights: tuple[float, ...] | None = None,
) -> xgboost.Booster:  # fmt: skip
    """A silo's own model.

    Parameters
    ----------
    shared : xgboost.Booster
        Which stays as it is.
    schema : Schema
        The columns that it was trained on.
    silo : Silo
    how : MoreTrees or OwnLeaves
    params : dict
        XGBoost's.
    feature_weights : tuple of float, optional

    Raises
    ------
    SchemaError
        If the silo has other columns.
    DataError
        If it holds no row, or a label that was not there in training.
    ParameterError
    """
    import xgboost

    check_personal(schema, silo)
    if not isinstance(how, MoreTrees | OwnLeaves):
        raise ParameterError(f"how={how!r}: give a MoreTrees or an OwnLeaves.")
    if schema.categories:
        raise DataError("personalize: models of categories are not made personal; train with numbers.")
    table = silo.as_read()[0]
    if not table.n_rows:
        raise DataError(f"silo {silo.name!r} holds no row to learn from.")
    y = numbers_of(table) if schema.labels is None else places_of(table, schema.labels)
    X = table.X if table.order is None else table.X[table.order]
    names = shared.feature_names
    matrix = xgboost.DMatrix(X, y, feature_names=names, feature_types=shared.feature_types)
    weight = table.weight
    if params["objective"].startswith("rank:"):
        starts = table.group_starts()
        matrix.set_group(np.diff(starts))
        weight = None if weight is None else weight[starts[:-1]]  # which all rows of a group share
    if weight is not None:
        matrix.set_weight(weight)
    if feature_weights is not None:
        matrix.set_info(feature_weights=np.array(feature_weights))
    if table.margin is not None:
        matrix.set_base_margin(table.margin)
    personal = in_order(
        how.own(_best_of(shared), matrix, params), directions(params.get("monotone_constraints"), schema.names)
    )
    personal.set_attr(**{name: None if name in _BEST else value for name, value in shared.attributes().items()})
    return personal


def _best_of(shared: xgboost.Booster) -> xgboost.Booster:
    """A copy of the rounds that predictions end with, where the best one was sought."""
    best = shared.attr("best_iteration")
    return shared.copy() if best is None else shared[: int(best) + 1]
