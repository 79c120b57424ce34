"""The Booster of a training: its trees in XGBoost's format, with columns and parameters to read it back by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fedtrees.core.data.table import Schema
from fedtrees.estimators.boosting.model_file import describe
from fedtrees.export.continued import Continued
from fedtrees.export.xgboost import storable_base_margin, to_booster
from fedtrees.trees.losses import Loss
from fedtrees.trees.server.ensemble import Ensemble

if TYPE_CHECKING:
    import xgboost


def exported(
    ensemble: Ensemble, schema: Schema, loss: Loss, earlier: Continued | None, split_on_silo: bool
) -> xgboost.Booster:
    """Return the Booster of an ensemble.

    Parameters
    ----------
    ensemble : Ensemble
    schema : Schema
        Of the columns that it was trained on.
    loss : Loss
    earlier : Continued, optional
        The model whose trees stand before.
    split_on_silo : bool
    """
    objective, categorical = loss.exported_as(len(ensemble.base_margin)), ensemble.cuts.categorical
    booster: xgboost.Booster = to_booster(
        ensemble.apart(),
        ensemble.cuts,
        objective=objective,
        # an earlier model's own base score, which comes back as it is, will take this one's place
        base_margin=storable_base_margin(objective, ensemble.base_margin),
        n_classes=loss.outputs(len(schema.labels or ()), schema.targets),
        n_targets=1 if schema.labels else len(ensemble.base_margin),
        params=loss.params(),
        parallel=ensemble.parallel,
        feature_names=schema.names if schema.named else None,
        feature_types=["c" if split else "float" for split in categorical] if categorical.any() else None,
        categories=[schema.categories.get(name) for name in schema.names],
        widths=[schema.widths.get(name, 64) for name in schema.names],
        position_bias=ensemble.bias,
    )
    if earlier is not None:
        booster = earlier.with_new(booster)
    describe(booster, schema, loss.name, loss.params(), split_on_silo, ensemble.grid)
    return booster
