"""Real tables, federated over their real silos, against XGBoost on the pooled rows at the same parameters.

The two differ in where they cut the features, and in nothing else: given our cuts XGBoost scores the same
(`test_laws`). A held-out set of a few hundred rows scores other cuts by luck: XGBoost's own score moves by 0.005 of AUC
a fold between 255 and 256 bins. So the small tables are scored by the mean over folds of cross-validation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import reference_data as data
import xgboost
from numpy.typing import NDArray
from reference_data import Reference
from sklearn.metrics import log_loss, roc_auc_score, root_mean_squared_error
from sklearn.model_selection import KFold, StratifiedKFold

from fedtrees import FedGBTClassifier, FedGBTRegressor

pytestmark = pytest.mark.slow_without_jit

Rows = tuple[Any, Any]  # of training and of scoring
AUC_LOST = 0.001
RATIO = 1.005


def own_split(reference: Reference) -> Iterator[Rows]:
    """The table's own rows for scoring."""
    yield np.flatnonzero(reference.train), np.flatnonzero(~reference.train)


def folds(repeats: int) -> Callable[[Reference], Iterator[Rows]]:
    """Five folds, shuffled anew every time."""

    def of(reference: Reference) -> Iterator[Rows]:
        kind = StratifiedKFold if reference.y.dtype.kind == "i" else KFold
        for repeat in range(repeats):
            yield from kind(5, shuffle=True, random_state=repeat).split(reference.X, reference.y)

    return of


CASES = {
    "adult_income": (data.adult_income, own_split, 100),
    "a9a": (data.a9a, own_split, 50),
    "heart_disease_4hospitals": (data.heart_disease_4hospitals, folds(2), 50),
    "higgs_lightgbm_7k": (data.higgs_lightgbm_7k, folds(4), 100),
    "communities_crime": (data.communities_crime, own_split, 50),
    "diamonds": (data.diamonds, own_split, 100),
    "lightgbm_multiclass5_7k": (data.lightgbm_multiclass5_7k, folds(2), 40),
}


def scores(y: NDArray[Any], prediction: NDArray[Any]) -> dict[str, float]:
    if y.dtype.kind == "f":
        return {"RMSE": root_mean_squared_error(y, prediction)}
    likely = prediction[:, 1] if prediction.shape[1] == 2 else prediction
    return {"AUC": roc_auc_score(y, likely, multi_class="ovr"), "log loss": log_loss(y, prediction)}


def fitted(X: Any, y: NDArray[Any], silos: NDArray[np.str_] | None, trees: int) -> Any:
    kind = FedGBTRegressor if y.dtype.kind == "f" else FedGBTClassifier
    return kind(n_estimators=trees, learning_rate=0.1).fit(X, y, silos=silos)


def theirs(X: Any, y: NDArray[Any], trees: int) -> Any:
    kind = xgboost.XGBRegressor if y.dtype.kind == "f" else xgboost.XGBClassifier
    return kind(n_estimators=trees, learning_rate=0.1, max_depth=6, tree_method="hist", n_jobs=2).fit(X, y)


def predicted(model: Any, X: Any) -> NDArray[Any]:
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


@pytest.mark.parametrize("name", CASES)
def test_federated_over_real_silos_we_score_as_pooled_xgboost(name: str) -> None:
    load, splits, trees = CASES[name]
    reference = load()
    X, y, silos, _ = reference
    ours, xgboosts = [], []
    for train, test in splits(reference):
        model = fitted(X.iloc[train], y[train], silos[train], trees)
        ours.append(scores(y[test], predicted(model, X.iloc[test])))
        xgboosts.append(scores(y[test], predicted(theirs(X.iloc[train], y[train], trees), X.iloc[test])))
    for what in ours[0]:
        own, other = (np.mean([score[what] for score in both]) for both in (ours, xgboosts))
        if what == "AUC":
            assert own >= other - AUC_LOST
        else:
            assert own <= other * RATIO


@pytest.mark.parametrize("name", CASES)
def test_real_silos_give_the_pooled_models_bytes(name: str) -> None:
    X, y, silos, train = CASES[name][0]()
    federated = fitted(X[train], y[train], silos[train], 20)
    pooled = fitted(X[train], y[train], None, 20)
    assert len(np.unique(silos[train])) > 1
    assert federated.booster_.save_raw("json") == pooled.booster_.save_raw("json")


def test_a9a_has_the_published_area_on_its_training_rows() -> None:
    """0.914 with 50 trees of depth 6, of XGBoost and FedTree (Li et al. 2023); both are 0.903 on the test file."""
    X, y, silos, train = data.a9a()
    model = fitted(X[train], y[train], silos[train], 50)
    own, other = (
        roc_auc_score(y[train], predicted(fit, X[train])[:, 1]) for fit in (model, theirs(X[train], y[train], 50))
    )
    assert own >= 0.914 and own >= other - AUC_LOST
