"""Checkpoints by XGBoost's callback: a training that goes on from one ends with the bytes of one that never stopped."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from strategies import model_bytes
from xgboost.callback import TrainingCallback, TrainingCheckPoint

from fedtrees import FedGBTClassifier, FedGBTRanker, FedGBTRegressor, LocalFederation, Silo

RNG = np.random.default_rng(0)
X = RNG.normal(size=(240, 4))
Y = X[:, 0] + RNG.normal(size=240) / 3
QUERY, SILOS = np.arange(240) // 10, np.arange(240) // 10 % 3
OPTIONS: dict[str, Any] = {"n_estimators": 6, "max_depth": 3, "n_jobs": 1, "random_state": 5}
DRAWN: dict[str, Any] = {"subsample": 0.6, "colsample_bynode": 0.7, "sampling": 2}
CASES: list[Any] = [
    pytest.param(FedGBTClassifier, Y > 0, {}, {}, id="two classes"),
    pytest.param(FedGBTClassifier, np.digitize(Y, [-0.5, 0.5]), DRAWN, {}, id="three classes, drawn"),
    pytest.param(FedGBTRegressor, Y, DRAWN, {}, id="numbers, drawn"),
    pytest.param(FedGBTRegressor, np.exp(Y), {"objective": "reg:gamma"}, {}, id="gamma"),
    pytest.param(FedGBTRanker, np.digitize(Y, [0.0]), {}, {"qid": QUERY}, id="a ranking"),
]


class Lost(TrainingCallback):  # type: ignore[misc]
    """The machine that trains is lost after some rounds."""

    def __init__(self, rounds: int):
        self.rounds = rounds

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        if epoch + 1 == self.rounds:
            raise KeyboardInterrupt
        return False


@pytest.mark.parametrize("as_pickle", [False, True], ids=["file", "pickle"])
@pytest.mark.parametrize(("kind", "y", "params", "more"), CASES)
def test_a_training_that_goes_on_from_a_checkpoint_ends_the_same(
    kind: Any, y: Any, params: dict[str, Any], more: dict[str, Any], as_pickle: bool, tmp_path: Path
) -> None:
    more = {**more, "silos": SILOS, "row_id": np.arange(240)}
    whole = kind(**OPTIONS, **params).fit(X, y, **more)
    saved = TrainingCheckPoint(tmp_path, name="model", interval=1, as_pickle=as_pickle)
    with pytest.raises(KeyboardInterrupt):
        kind(**OPTIONS, **params, callbacks=[saved, Lost(5)]).fit(X, y, **more)
    last = max(tmp_path.iterdir(), key=lambda path: int(path.stem.removeprefix("model_")))
    start: Any = pickle.loads(last.read_bytes()) if as_pickle else last
    done = start.num_boosted_rounds() if as_pickle else xgboost.Booster(model_file=last).num_boosted_rounds()
    assert 0 < done < 6 and (not as_pickle or type(start) is xgboost.Booster)
    rest = kind(**{**OPTIONS, "n_estimators": 6 - done}, **params).fit(X, y, xgb_model=start, **more)
    assert model_bytes(rest) == model_bytes(whole)


def test_checkpoints_of_real_silos_go_on_too(tmp_path: Path) -> None:
    def federation() -> LocalFederation:
        silos = [Silo(f"{k}", X[k == SILOS], Y[k == SILOS], n_jobs=1) for k in range(3)]
        return LocalFederation(silos, mode="faithful", n_jobs=1)

    whole = FedGBTRegressor(**OPTIONS).fit_federation(federation())
    model = FedGBTRegressor(**OPTIONS, callbacks=[TrainingCheckPoint(tmp_path, interval=2), Lost(5)])
    with pytest.raises(KeyboardInterrupt):
        model.fit_federation(federation())
    file = max(tmp_path.iterdir())
    done = xgboost.Booster(model_file=file).num_boosted_rounds()
    rest = FedGBTRegressor(**{**OPTIONS, "n_estimators": 6 - done}).fit_federation(federation(), xgb_model=file)
    assert model_bytes(rest) == model_bytes(whole)
