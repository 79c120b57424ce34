"""Labels of columns: whatever they are, they are names, and columns that are not those of the training are refused."""

from __future__ import annotations

import warnings
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from families import FAMILIES, small

from fedtrees import (
    DataError,
    FedGBTClassifier,
    LocalFederation,
    ParameterError,
    SchemaError,
    Silo,
)

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 3))
Y = (X[:, 0] > 0).astype(int)

LABELS: dict[str, Any] = {
    "places": pd.RangeIndex(3),
    "other places": pd.RangeIndex(1, 4),
    "whole numbers": [7, -1, 3],
    "fractions": [0.5, 2.0, 1e20],
    "tuples": [("bp", "high"), ("bp", "low"), ("age", "")],
    "levels": pd.MultiIndex.from_tuples([("bp", 1), ("bp", 2), ("age", 0)]),
    "days": pd.date_range("2020-01-01", periods=3),
    "days as objects": [date(2020, 1, 1), date(2020, 1, 2), date(2021, 1, 1)],
    "months": pd.period_range("2020-01", periods=3, freq="M"),
    "booleans": pd.Index([True, False, None], dtype=object),
    "categories": pd.CategoricalIndex(["a", "b", "c"]),
    "texts": ["age", "bp", "dose"],
    "odd texts": ["blood pressure", "a\nb", "\U0001f3e5 " * 2000],
}
ESTIMATORS: dict[str, Any] = {name: partial(small, kinds[0], 2) for name, kinds in FAMILIES.items()}


def frame(labels: Any, rows: Any = slice(None)) -> pd.DataFrame:
    table = pd.DataFrame(X[rows])
    table.columns = labels if isinstance(labels, pd.Index) else pd.Index(labels, dtype=object, tupleize_cols=False)
    return table


@pytest.mark.parametrize("kind", LABELS)
def test_labels_are_names_as_xgboost_writes_them(kind: str, tmp_path: Path) -> None:
    table = frame(LABELS[kind])
    model = FedGBTClassifier(2, max_depth=2, n_jobs=1).fit(table, Y)
    theirs = xgboost.DMatrix(table, Y)
    assert model.booster_.feature_names == theirs.feature_names == model.feature_names_in_.tolist()
    assert model.feature_importances_[0] > 0.5
    np.testing.assert_array_equal(model.booster_.predict(theirs), model.predict_proba(table)[:, 1])
    model.save_model(tmp_path / "model.json")
    again = FedGBTClassifier(n_jobs=1).load_model(tmp_path / "model.json")
    assert again.predict_proba(table).tobytes() == model.predict_proba(table).tobytes()


@pytest.mark.parametrize("family", ESTIMATORS)
@pytest.mark.parametrize("kind", ["places", "whole numbers", "tuples", "days", "texts"])
def test_columns_in_another_order_are_refused(kind: str, family: str) -> None:
    table, other = frame(LABELS[kind]), frame(LABELS[kind]).iloc[:, [2, 1, 0]]
    model = ESTIMATORS[family]().fit(table, Y)
    model.predict(table)
    with pytest.raises(SchemaError, match="the columns stand in another order"):
        model.predict(other)
    with pytest.raises(SchemaError, match="is missing"):
        model.predict(frame(["x", "y", "z"]))


@pytest.mark.parametrize("mode", ["fused", "faithful"])
@pytest.mark.parametrize("kind", LABELS)
def test_silos_whose_columns_stand_in_another_order_are_refused(kind: str, mode: str) -> None:
    table = frame(LABELS[kind])
    silos = [Silo("a", table[:60], Y[:60]), Silo("b", table[60:].iloc[:, [2, 1, 0]], Y[60:])]
    with pytest.raises(SchemaError, match=r"^silo 'b', unlike silo 'a': the columns stand in another order"):
        FedGBTClassifier(1, n_jobs=1).fit_federation(LocalFederation(silos, mode=mode, n_jobs=1))
    with pytest.raises(SchemaError, match=r"eval_set 0: .*the columns stand in another order"):
        FedGBTClassifier(1, n_jobs=1).fit(table, Y, eval_set=[(table.iloc[:, [2, 1, 0]], Y)])


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_a_frame_without_names_goes_with_an_array(mode: str) -> None:
    table = frame(LABELS["places"])
    for one, two in ((table, X), (X, table)):
        silos = [Silo("a", one[:60], Y[:60]), Silo("b", two[60:], Y[60:])]
        model = FedGBTClassifier(1, n_jobs=1).fit_federation(LocalFederation(silos, mode=mode, n_jobs=1))
        assert model.booster_.feature_names == ["0", "1", "2"]
    named = frame(LABELS["whole numbers"])
    with pytest.raises(SchemaError, match=r"^silo 'b', unlike silo 'a': columns without names"):
        LocalFederation([Silo("a", named, Y), Silo("b", X, Y)])
    with pytest.raises(SchemaError, match=r"^silo 'b', unlike silo 'a': columns with names"):
        LocalFederation([Silo("a", X, Y), Silo("b", named, Y)])
    with pytest.raises(SchemaError, match=r"^silo 'b', unlike silo 'a': 2 columns, not 3"):
        LocalFederation([Silo("a", X, Y), Silo("b", table[[0, 1]], Y)])


@pytest.mark.parametrize("family", ESTIMATORS)
def test_an_array_where_names_were_learnt_is_warned_of(family: str) -> None:
    model = ESTIMATORS[family]().fit(frame(LABELS["texts"]), Y)
    with pytest.warns(UserWarning, match=r"X does not have valid feature names, but Fed.* was fitted with") as caught:
        by_place = model.predict(X)
    assert len(caught) == 1 and caught[0].filename == __file__
    np.testing.assert_array_equal(by_place, model.predict(frame(LABELS["texts"])))


@pytest.mark.parametrize("family", ESTIMATORS)
def test_arrays_and_frames_without_names_are_taken_by_place_in_silence(family: str) -> None:
    table = frame(LABELS["places"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = ESTIMATORS[family]().fit(table, Y)
        np.testing.assert_array_equal(model.predict(X), model.predict(table))
        by_array = ESTIMATORS[family]().fit(X, Y)
        np.testing.assert_array_equal(by_array.predict(X), by_array.predict(table))
        if hasattr(model, "model_"):  # scikit-learn's, which gives no names to numbers either
            model.model_.predict(table.astype(np.float32))


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (
            [1, "1", 2],
            r"Feature names are only supported if all.*\['int', 'str'\].*, such as X.columns = X.columns.astype\(str\)",
        ),
        (["a\0", "b", "c"], "column 'a.x00' has a NUL character in its name"),
        (["a\ud800", "b", "c"], "column 'a.ud800' has half a character"),
        ([pd.Interval(0, 1), pd.Interval(1, 2), pd.Interval(2, 3)], "XGBoost takes no feature name"),
        ([None, np.nan, "a"], "Feature names are only supported if all"),
        (["", "b", "c"], "XGBoost takes no feature name that is empty"),
        (["b", "b", "c"], "column 'b' stands twice"),
        ([("a", 1), ("a", 1), ("b", 1)], "column .* stands twice"),
    ],
    ids=str,
)
def test_labels_that_are_no_names_are_refused(labels: Any, text: str) -> None:
    table = frame(labels)
    for call in (lambda: Silo("a", table, Y), lambda: FedGBTClassifier(1, n_jobs=1).fit(table, Y)):
        with pytest.raises(DataError, match=text) as caught:
            call()
        str(caught.value).encode()  # printable: nothing in it that no terminal takes


def test_odd_texts_come_through_or_are_refused_where_they_name_silos_and_categories() -> None:
    for name in ("a\0", "a\ud800"):
        with pytest.raises(ParameterError, match=r"a silo's name, .* does not come through; rename it"):
            Silo(name, X, Y)
    with pytest.raises(DataError, match=r"column 'ward' has the category .*; rename it"):
        Silo("mayo", pd.DataFrame({"ward": pd.Categorical(["a\0", "b"] * 60)}), Y)
    names = ["a b", "a\nb", "\U0001f3e5", "x" * 10_000]
    table = pd.DataFrame({"ward": pd.Categorical(np.take(names, np.arange(120) % 4))})
    for mode in ("fused", "faithful"):
        silos = [Silo(name, table[k::4], Y[k::4], n_jobs=1) for k, name in enumerate(names)]
        model = FedGBTClassifier(2, n_jobs=1).fit_federation(LocalFederation(silos, mode=mode, n_jobs=1))
        assert sorted(model._schema.categories["ward"]) == sorted(names)
        pooled = FedGBTClassifier(2, n_jobs=1).fit(table, Y)
        assert model.predict_proba(table).tobytes() == pooled.predict_proba(table).tobytes()


@pytest.mark.parametrize("family", ESTIMATORS)
def test_more_silos_than_there_are_cannot_be_drawn(family: str) -> None:
    estimator = ESTIMATORS[family]().set_params(sampling=99)
    with pytest.raises(ParameterError, match="sampling=99: the federation has 3 silos; ask for no more"):
        estimator.fit(X, Y, silos=np.arange(120) % 3)
