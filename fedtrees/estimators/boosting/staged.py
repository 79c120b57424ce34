"""Predictions after each round of a boosted model."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.arguments import Features
from fedtrees.estimators.boosting.model import HoldsBooster


def staged(
    model: HoldsBooster, X: Features, margin: bool = False, silos: ArrayLike | None = None
) -> Iterator[NDArray[np.float32]]:
    """Predictions of the first round, of the first two, and so on; each tree is walked once or twice.

    Law: the k-th is what `predict` gives for ``iteration_range=(0, k)``, bit for bit: margins are added up in float32,
    round after round.

    Parameters
    ----------
    model : HoldsBooster
    X : DataFrame, sparse matrix or array-like (rows, features)
    margin : bool, default False
        Margins in place of predictions.
    silos : str or array-like (rows,), optional
        See `FedGBTClassifier.predict`.
    """
    values = model._read_all(X, silos=silos)
    booster, before = model.get_booster(), None
    for round in range(booster.num_boosted_rounds()):
        predict = partial(
            booster.inplace_predict, values, iteration_range=(round, round + 1), base_margin=before,
            validate_features=False,
        )  # fmt: skip
        now = predict(predict_type="margin")
        yield now if margin else predict(predict_type="value")
        before = now
