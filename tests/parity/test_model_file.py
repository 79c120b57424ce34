"""Models in files: what is read back of parameters, and bytes in place of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from strategies import model_bytes

from fedtrees import DataError, FedGBTClassifier, FedGBTRanker, FedGBTRegressor, ParameterError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 3))
Y = X[:, 0] + RNG.normal(size=150) / 5
QUERY = np.arange(150) // 10
SMALL: dict[str, Any] = {"n_estimators": 3, "max_depth": 3, "n_jobs": 1}

KINDS: list[tuple[type, type, dict[str, Any]]] = [
    (FedGBTRegressor, xgboost.XGBRegressor, {"objective": "reg:squarederror"}),
    (FedGBTRegressor, xgboost.XGBRegressor, {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.9]}),
    (FedGBTRegressor, xgboost.XGBRegressor, {"objective": "reg:tweedie", "tweedie_variance_power": 1.2}),
    (FedGBTRegressor, xgboost.XGBRegressor, {"objective": "reg:pseudohubererror", "huber_slope": 2.5}),
    (FedGBTRegressor, xgboost.XGBRegressor, {"objective": "count:poisson", "num_parallel_tree": 2, "subsample": 0.5}),
    (FedGBTClassifier, xgboost.XGBClassifier, {"objective": "binary:logistic", "scale_pos_weight": 3.0}),
    (FedGBTClassifier, xgboost.XGBClassifier, {"objective": "multi:softmax"}),
    (FedGBTRanker, xgboost.XGBRanker, {"objective": "rank:ndcg", "lambdarank_pair_method": "mean"}),
]


def target(kind: type, objective: str) -> Any:
    if kind is FedGBTRegressor:
        return np.exp(Y)
    return np.digitize(Y, [-0.5, 0.5]) if objective.startswith("multi:") else (Y > 0).astype(int)


@pytest.mark.parametrize("by", ["fedtrees", "xgboost"])
@pytest.mark.parametrize(
    ("ours", "theirs", "params"), KINDS, ids=lambda own: own["objective"] if isinstance(own, dict) else ""
)
def test_what_a_file_has_of_parameters_is_read_back(ours: Any, theirs: Any, params: dict[str, Any], by: str) -> None:
    y, more = target(ours, params["objective"]), {"qid": QUERY} if ours is FedGBTRanker else {}
    trained = (ours if by == "fedtrees" else theirs)(**SMALL, **params).fit(X, y, **more)
    # what another model had is gone, and what no file has stays
    other = {} if ours is not FedGBTRegressor or "tweedie_variance_power" in params else {"tweedie_variance_power": 1.9}
    read = ours(learning_rate=0.05, **other).load_model(trained.get_booster().save_raw("json"))
    in_file = {name: value for name, value in params.items() if name != "subsample"} | {"n_estimators": 3}
    assert {name: read.get_params()[name] for name in in_file} == in_file
    expected = {**ours().get_params(), "learning_rate": 0.05, **in_file}
    assert read.get_params() | {"missing": 0} == expected | {"missing": 0}
    assert read.get_num_boosting_rounds() == 3
    np.testing.assert_array_equal(read.predict(X), trained.predict(X))


def test_a_model_that_was_read_trains_as_the_one_that_was_written() -> None:
    y = np.exp(Y)
    params = {"objective": "reg:quantileerror", "quantile_alpha": [0.2, 0.7], "n_estimators": 4, "num_parallel_tree": 2}
    trained = FedGBTRegressor(**params).fit(X, y)
    read = FedGBTRegressor().load_model(trained.booster_.save_raw())
    assert model_bytes(read.fit(X, y)) == model_bytes(trained)


def test_categories_and_silos_to_split_by_are_read_back() -> None:
    frame = pd.DataFrame({"a": Y, "town": pd.Categorical(np.where(Y > 0, "oslo", "bergen"))})
    trained = FedGBTRegressor(**SMALL, enable_categorical=True).fit(frame, Y)
    read = FedGBTRegressor(enable_categorical=False).load_model(trained.booster_.save_raw())
    assert read.enable_categorical is True and not read.split_on_silo
    trained = FedGBTRegressor(**SMALL, split_on_silo=True).fit(X, Y, silos=QUERY % 3)
    assert FedGBTRegressor().load_model(trained.booster_.save_raw()).split_on_silo is True


def test_a_function_as_objective_is_not_in_a_file() -> None:
    trained = FedGBTRegressor(**SMALL, objective=lambda y, margin: (margin - y, np.ones(len(y)))).fit(X, Y)
    read = FedGBTRegressor().load_model(trained.booster_.save_raw())
    assert read.objective == "reg:squarederror"
    np.testing.assert_array_equal(read.predict(X), trained.predict(X))


@pytest.mark.parametrize("form", [bytes, bytearray])
@pytest.mark.parametrize("raw_format", ["json", "ubj"])
def test_bytes_are_read_as_a_file_is(form: Any, raw_format: str) -> None:
    trained = FedGBTRegressor(**SMALL).fit(X, Y)
    raw = form(trained.booster_.save_raw(raw_format))
    assert model_bytes(FedGBTRegressor().load_model(raw)) == model_bytes(trained)
    again = FedGBTRegressor(**SMALL).fit(X, Y, xgb_model=raw)
    assert model_bytes(again) == model_bytes(FedGBTRegressor(**SMALL).fit(X, Y, xgb_model=trained))
    for call in (FedGBTRegressor().load_model, lambda own: FedGBTRegressor().fit(X, Y, xgb_model=own)):
        with pytest.raises(DataError, match=r"^5 bytes: not a model that XGBoost can read\."):
            call(form(b"12345"))


def test_files_go_by_xgboosts_name_for_them(tmp_path: Path) -> None:
    trained, path = FedGBTRegressor(**SMALL).fit(X, Y), tmp_path / "model.json"
    trained.save_model(fname=path)
    assert model_bytes(FedGBTRegressor().load_model(fname=path)) == model_bytes(trained)
    trained.save_model(fname=str(path))
    with pytest.raises(ParameterError, match=r"ends in \.json or \.ubj"):
        trained.save_model(fname="model.bin")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        FedGBTRegressor().load_model(fname=tmp_path / "nowhere.json")


@pytest.mark.parametrize("labels", [2, 3])
def test_several_labels_a_row_are_read_from_a_file_of_xgboosts(labels: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(90, 3))
    y = (table[:, :labels] + 0.1 * rng.normal(size=(90, labels)) > 0).astype(int)
    theirs = xgboost.XGBClassifier(n_estimators=2, max_depth=2, tree_method="hist").fit(table, y)
    theirs.save_model(tmp_path / "model.json")
    ours = FedGBTClassifier().load_model(tmp_path / "model.json")
    np.testing.assert_array_equal(ours.predict(table), theirs.predict(table))
    np.testing.assert_allclose(ours.predict_proba(table), theirs.predict_proba(table), rtol=1e-6)
