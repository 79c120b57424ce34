"""Warnings point at the line that called, of their own category, whatever the family."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import DataConversionWarning

import fedtrees
from fedtrees import FedForestClassifier, FedGBTClassifier, FedGBTRanker, FedGBTRegressor, LocalFederation

N = 40
X = np.random.default_rng(0).normal(size=(N, 2))
Y = (X[:, 0] > 0).astype(int)
QID = np.arange(N) // 5

FAMILIES: dict[str, Any] = {
    "FedGBTClassifier": FedGBTClassifier(1, n_jobs=1),
    "FedGBTRegressor": FedGBTRegressor(1, n_jobs=1),
    "FedGBTRanker": FedGBTRanker(1, n_jobs=1),
    "FedTreeClassifier": fedtrees.FedTreeClassifier(max_depth=1, n_jobs=1),
    "FedForestRegressor": fedtrees.FedForestRegressor(2, max_depth=1, n_jobs=1),
    "FedAdaBoostClassifier": fedtrees.FedAdaBoostClassifier(1, n_jobs=1),
    "FedAvgClassifier": fedtrees.FedAvgClassifier((), n_rounds=1, n_jobs=1),
    "FedAvgRegressor": fedtrees.FedAvgRegressor((), n_rounds=1, n_jobs=1),
}


def warned(call: Any, category: type[Warning] = UserWarning) -> str:
    """The text of the one warning that a call issues, which points here."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    (one,) = caught
    assert one.category is category and one.filename == __file__, (one.category, one.filename)
    return str(one.message)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_column_for_y(family: str) -> None:
    model, more = FAMILIES[family], {"qid": QID} if family == "FedGBTRanker" else {}
    assert "A column-vector y was passed" in warned(lambda: model.fit(X, Y[:, None], **more), DataConversionWarning)
    if hasattr(model, "partial_fit"):
        assert "column-vector" in warned(lambda: model.partial_fit(X, Y[:, None]), DataConversionWarning)


@pytest.mark.parametrize("way", ["fit", "fit_federation", "score"])
def test_a_parameter_of_another_objective(way: str) -> None:
    federation = LocalFederation.from_table(X, Y, silos=np.arange(N) % 2)
    model = FedGBTRegressor(1, huber_slope=2.0, n_jobs=1)
    if way == "score":
        ranker = FedGBTRanker(1, n_jobs=1).fit(X, Y, qid=QID).set_params(huber_slope=2.0)
        text = warned(lambda: ranker.score(X, Y, qid=QID))
    else:
        text = warned(lambda: model.fit(X, Y) if way == "fit" else model.fit_federation(federation))
    assert "huber_slope is not used by r" in text
    FedGBTRegressor(1, max_delta_step=0.7, n_jobs=1).fit(X, Y)  # every objective has a use for it


def test_categories_that_xgboost_cannot_tell_apart() -> None:
    frame = pd.DataFrame({"ward": pd.Categorical(np.resize(["é", "è", "ê"], N))})
    for call in (FedGBTRegressor(1, n_jobs=1).fit, FedGBTClassifier(1, n_jobs=1).fit):
        assert "column 'ward': of its categories beyond ASCII" in warned(lambda call=call: call(frame, Y))


def test_forests() -> None:
    model = FedForestClassifier(2, warm_start=True, n_jobs=1).fit(X, Y)
    assert "does not fit new trees" in warned(lambda: model.fit(X, Y))
    balanced = FedForestClassifier(2, warm_start=True, class_weight="balanced_subsample", n_jobs=1)
    assert "class_weight='balanced_subsample' with warm_start" in warned(lambda: balanced.fit(X, Y))
    assert "do not have OOB scores" in warned(lambda: FedForestClassifier(1, oob_score=True, n_jobs=1).fit(X, Y))


def test_one_class() -> None:
    for family in ("FedTreeClassifier", "FedAdaBoostClassifier"):
        text = warned(lambda family=family: FAMILIES[family].fit(X, ["ill"] * N), fedtrees.OneClassWarning)
        assert text.startswith("y holds one class only, 'ill'")
