"""Tables and files that a trained model cannot take: one clear error for each."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import xgboost
from refused import AGE, GOOD, INF, NAN, Part, at, clear, column, frame
from sklearn.exceptions import NotFittedError

from fedtrees import (
    DataError,
    FedGBTClassifier,
    FedGBTRegressor,
    ParameterError,
    SchemaError,
)


def fit(silos: Any = None, weight: Any = None, part: Part = GOOD, n_jobs: Any = 1, **options: Any) -> Any:
    return FedGBTClassifier(n_jobs=n_jobs, **options).fit(part.X, part.y, silos=silos, sample_weight=weight)


# -- predicting -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def named() -> FedGBTClassifier:
    return FedGBTClassifier(n_estimators=1, n_jobs=1).fit(GOOD.X, GOOD.y)


@pytest.fixture(scope="module")
def unnamed() -> FedGBTClassifier:
    return FedGBTClassifier(n_estimators=1, n_jobs=1).fit(np.zeros((6, 2)), [0, 1] * 3)


NAMED: dict[str, tuple[Any, type[Exception], str]] = {
    "a column missing": (
        frame()[["age", "bp"]],
        SchemaError,
        "The feature names should match .*: column 'sex' is miss",
    ),
    "a column more": (frame().assign(weight=1.0), SchemaError, "The feature names .*: column 'weight' is one too many"),
    "another name": (frame().rename(columns={"bp": "pb"}), SchemaError, "The feature names .*: column 'bp' is missing"),
    "another order": (
        frame()[["sex", "age", "bp"]],
        SchemaError,
        ".*: the columns stand in another order, from 'age' on",
    ),
    "an unseen category": (
        column("sex", pd.Categorical(["d"] * 6)).X,
        SchemaError,
        "column 'sex': category 'd' was not there in training",
    ),
    "a number for a category": (
        column("sex", 1.0).X,
        SchemaError,
        "column 'sex' is a number and was a category in trai",
    ),
    "a category for a number": (
        column("age", pd.Categorical(AGE)).X,
        SchemaError,
        "column 'age' is a category and was a number in training",
    ),
    "texts": (column("sex", ["f", "m"] * 3).X, DataError, "column 'sex' holds .*: make it category .* or number"),
    "infinity": (column("age", at(AGE, 4, INF)).X, DataError, "column 'age' is infinity .* in row 4"),
    "an array too wide": (np.zeros((6, 4)), SchemaError, "X has 4 features, but fedtrees is expecting 3 features"),
    "an array too narrow": (np.zeros((6, 2)), SchemaError, "X has 2 features, but fedtrees is expecting 3 features"),
    "1-D": (np.zeros(3), DataError, r"Expected 2D array, got 1D array of shape \(3,\)"),
    "sparse of another width": (scipy.sparse.eye(4), SchemaError, "X has 4 features, but fedtrees is expecting 3"),
    "no rows": (frame(0), DataError, r"Found array with 0 sample\(s\)"),
    "complex": (np.full((6, 3), 1j), DataError, "Complex data not supported"),
}


@pytest.mark.parametrize("case", NAMED)
@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_a_table_unlike_that_of_training_is_refused(case: str, method: str, named: FedGBTClassifier) -> None:
    X, error, text = NAMED[case]
    with pytest.raises(error, match=f"^{text}") as caught:
        getattr(named, method)(X)
    clear(str(caught.value))


@pytest.mark.parametrize("n", [1, 3])
def test_another_number_of_columns_is_refused_with_names_and_without(n: int, unnamed: FedGBTClassifier) -> None:
    for X in (
        np.zeros((2, n)),
        pd.DataFrame(np.zeros((2, n))),
        pd.DataFrame(np.zeros((2, n)), columns=list("abc")[:n]),
    ):
        with pytest.raises(SchemaError, match=f"^X has {n} features, but fedtrees is expecting 2 features as input"):
            unnamed.predict(X)


@pytest.mark.parametrize(
    ("y", "text"),
    [
        ([0, 1] * 3, "y: label 0 was not there in training"),
        (["ill", None] * 3, "y: label None was not there in training"),
        (["ill", NAN] * 3, "y: label nan was not there in training"),
        (["ill", 1] * 3, "y: label 1 was not there in training"),
    ],
    ids=str,
)
def test_labels_that_training_never_saw_are_refused(y: list[Any], text: str, named: FedGBTClassifier) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(text)}"):
        named.score(GOOD.X, y)


@pytest.mark.parametrize("call", ["predict", "predict_proba", "score", "save_model"])
def test_a_model_that_was_not_trained_says_so(call: str, tmp_path: Path) -> None:
    arguments = {"score": (GOOD.X, GOOD.y), "save_model": (tmp_path / "model.json",)}.get(call, (GOOD.X,))
    with pytest.raises(NotFittedError, match="This FedGBTClassifier instance is not fitted yet"):
        getattr(FedGBTClassifier(), call)(*arguments)


# -- files ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("objective", "kind"),
    [
        ("reg:squarederror", FedGBTClassifier),
        ("rank:pairwise", FedGBTClassifier),
        ("rank:pairwise", FedGBTRegressor),
        ("binary:logistic", FedGBTRegressor),
    ],
)
def test_a_model_of_another_kind_is_refused(objective: str, kind: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    table = xgboost.DMatrix(np.arange(6.0).reshape(6, 1), label=[0, 1] * 3)
    xgboost.train({"objective": objective}, table, 1).save_model(path)
    with pytest.raises(
        DataError, match=rf"model\.json: a model of '{objective}' is not for {kind.__name__}\.$"
    ) as caught:
        kind().load_model(path)
    clear(str(caught.value))


def test_a_model_that_is_not_of_trees_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    table = xgboost.DMatrix(np.arange(6.0).reshape(6, 1), label=[0, 1] * 3)
    xgboost.train({"objective": "binary:logistic", "booster": "gblinear"}, table, 1).save_model(path)
    with pytest.raises(DataError, match=r"model\.json: a model of 'gblinear'; fedtrees reads those of 'gbtree'"):
        FedGBTClassifier().load_model(path)


@pytest.mark.parametrize("damaged", ["{", '{"schema": 3}', '{"schema": {"names": ["a"]}}', "[]"])
def test_a_model_whose_notes_are_damaged_is_refused(damaged: str, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    model = fit(["a", "b"] * 3)
    (note,) = model.booster_.attributes()
    model.booster_.set_attr(**{note: damaged})
    model.save_model(path)
    with pytest.raises(DataError, match=r"model\.json: what fedtrees wrote into it of its columns is damaged"):
        FedGBTClassifier().load_model(path)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"names": ["f0"]}, "1 columns for 2 features"),
        ({"names": ["f0", "f1", "f2"]}, "3 columns for 2 features"),
        ({"kinds": ["number"]}, "2 columns for 2 features"),
        ({"kinds": ["number"] * 3}, "2 columns for 2 features"),
        ({"names": ["silo", "f1"]}, "no column 'silo' to split by"),
    ],
)
def test_a_model_with_notes_of_other_columns_is_refused(wrong: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    split = "to split by" in said
    X = np.arange(6.0).reshape(6, 1)
    if split:
        model = FedGBTClassifier(1, split_on_silo=True).fit(X, [0, 1] * 3, silos=["a", "b"] * 3)
    else:
        model = FedGBTClassifier(1).fit(np.column_stack([X, X]), [0, 1] * 3)
    (note,) = model.booster_.attributes()
    about = json.loads(model.booster_.attr(note))
    model.booster_.set_attr(**{note: json.dumps(about | {"schema": about["schema"] | wrong})})
    model.save_model(path)
    with pytest.raises(DataError, match="what fedtrees wrote into it of its columns is damaged") as caught:
        FedGBTClassifier().load_model(path)
    assert said in str(caught.value.__cause__)


@pytest.mark.parametrize("name", ["model.xgb", "model", "model.JSON", "model.model", "model.json.gz"])
def test_a_model_of_another_ending_is_not_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"give a name that ends in \.json or \.ubj"):
        fit(["a", "b"] * 3).save_model(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"{}", b"hello", b'{"learner": 3}', b"\x00" * 50], ids=str)
@pytest.mark.parametrize("ending", ["json", "ubj"])
def test_a_file_that_holds_no_model_is_refused(content: bytes, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"model.{ending}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"model\.{ending}: not a model that XGBoost can read") as caught:
        FedGBTClassifier().load_model(path)
    clear(str(caught.value))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(FileNotFoundError, match=re.escape(f"{path}: there is no such file")):
            FedGBTRegressor().load_model(path)
