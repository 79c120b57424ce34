"""The names of metrics in XGBoost's documentation: each is scored as XGBoost scores the same model, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xgboost

from fedtrees import FedGBTClassifier, FedGBTRanker, FedGBTRegressor, ParameterError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(240, 3)).astype(np.float32)
COUNTS = RNG.poisson(np.exp(X[:, 0] / 2)) + 1.0
CLASSES = (X[:, 0] + RNG.normal(size=240) > 0).astype(int)
QID = np.repeat(np.arange(24), 10)
TIMES = np.where(RNG.random(240) < 0.3, -1, 1) * COUNTS
SILOS = QID % 3
# of each objective: its targets, and the names that XGBoost 3.2 documents for it
HELD: dict[str, tuple[Any, str]] = {
    "binary:logistic": (CLASSES, "logloss error error@0.3 auc aucpr rmse rmsle mae mphe"),
    "multi:softprob": (np.minimum(COUNTS.astype(int), 3) - 1, "merror mlogloss auc aucpr"),
    "reg:squarederror": (COUNTS, "rmse rmsle mae mape mphe"),
    "count:poisson": (COUNTS, "poisson-nloglik rmse mae"),
    "reg:gamma": (COUNTS, "gamma-nloglik gamma-deviance"),
    "reg:tweedie": (COUNTS, "tweedie-nloglik@1.5 tweedie-nloglik@1.2"),
    "reg:quantileerror": (COUNTS, "quantile"),
    "survival:cox": (TIMES, "cox-nloglik"),
    "survival:aft": (np.stack([COUNTS, np.where(TIMES < 0, np.inf, COUNTS)], 1),
                     "aft-nloglik interval-regression-accuracy"),
    "rank:ndcg": (np.minimum(COUNTS, 3), "ndcg ndcg@3 ndcg- ndcg@3- auc"),
    "rank:map": (CLASSES, "map map@3 map- map@3- pre pre@3 aucpr"),
}  # fmt: skip
REFUSED = {
    "ams@0.15": "counts the first rows of all silos together.*Score by 'auc' or 'aucpr'",
    "ams": "counts the first rows of all silos together",
    "tweedie-nloglik": "name the power after an @, as in 'tweedie-nloglik@1.5'",
    "tweedie-nloglik@2": "lies between 1 and 2",
    "tweedie-nloglik@1": "lies between 1 and 2",
    "tweedie-nloglik@0.5": "lies between 1 and 2",
    "tweedie-nloglik@nan": "lies between 1 and 2",
    "error@inf": "lies between -inf and inf",
    "error@half": "what follows the @ is a number",
    "ndcg@0": "what follows the @ is a number of ranks, from 1",
    "expectile": "is not known",  # of a later XGBoost
    "aucp": "did you mean 'auc",
}


@pytest.mark.parametrize("objective", HELD)
def test_metrics_are_xgboosts(objective: str) -> None:
    y, names = HELD[objective]
    ranks = objective.startswith("rank:")
    kind = FedGBTRanker if ranks else FedGBTClassifier if objective.startswith(("binary", "multi")) else FedGBTRegressor
    params: dict[str, Any] = {"quantile_alpha": 0.7} if objective == "reg:quantileerror" else {}
    model = kind(3, objective=objective, eval_metric=names.split(), max_depth=3, **params)
    given: dict[str, Any] = {"qid": QID, "eval_qid": [QID]} if ranks else {}
    model.fit(X, y, silos=SILOS, eval_set=[(X, y)], eval_silos=[SILOS], **given)
    matrix = xgboost.DMatrix(X, None if objective == "survival:aft" else y, qid=QID if ranks else None)
    if objective == "survival:aft":
        matrix.set_float_info("label_lower_bound", y[:, 0])
        matrix.set_float_info("label_upper_bound", y[:, 1])
    for name in names.split():
        booster = model.booster_.copy()
        booster.set_param({"eval_metric": name, **params})
        theirs = dict(own.split(":") for own in booster.eval(matrix).split("\t")[1:])
        ours = model.evals_result_["validation_0"][name][-1]
        np.testing.assert_allclose(ours, float(theirs[f"eval-{name}"]), rtol=2e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("name", REFUSED)
def test_others_are_refused_by_name(name: str) -> None:
    with pytest.raises(ParameterError, match=f"^eval_metric={name!r}.*{REFUSED[name]}"):
        FedGBTClassifier(eval_metric=name).fit(X, CLASSES, eval_set=[(X, CLASSES)])
