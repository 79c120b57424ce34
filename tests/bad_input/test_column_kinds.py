"""Columns that hold no numbers: all are named at once, each with what to make of it, and doing that works."""

from __future__ import annotations

import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow
import pytest
import xgboost

from fedtrees import DataError, FedGBTClassifier, FedTreeClassifier, LocalFederation, SchemaError, Silo
from fedtrees.core.data.features import read_features

DAY = datetime.date(2020, 2, 29)
NOON = datetime.datetime(2020, 2, 29, 12)
WEEK = datetime.timedelta(7)
t0 = pd.Timestamp("2020-01-01")

# a column, what is said of it, and that done
ADVICE: dict[str, tuple[Any, str, list[Any]]] = {
    "dates": (
        pd.to_datetime([NOON, None]),
        "take a part of it, such as X['a'].dt.year, or the days since a day, (X['a'] - t0).dt.days",
        [lambda X: X["a"].dt.year, lambda X: (X["a"] - t0).dt.days],
    ),
    "dates of a zone": (pd.to_datetime([NOON, None], utc=True), "X['a'].dt.year", [lambda X: X["a"].dt.year]),
    "dates as objects": (
        pd.Series([DAY, None], dtype=object),
        "after pd.to_datetime(X['a']), take a part",
        [lambda X: pd.to_datetime(X["a"]).dt.year],
    ),
    "dates of arrow": (
        pd.Series([DAY, None], dtype=pd.ArrowDtype(pyarrow.date32())), "X['a'].dt.year", [lambda X: X["a"].dt.year]
    ),
    "durations": (
        pd.to_timedelta([WEEK, None]),
        "take X['a'].dt.days, or X['a'].dt.total_seconds()",
        [lambda X: X["a"].dt.days, lambda X: X["a"].dt.total_seconds()],
    ),
    "durations as objects": (
        pd.Series([WEEK, None], dtype=object), "pd.to_timedelta(X['a']).dt.days",
        [lambda X: pd.to_timedelta(X["a"]).dt.days],
    ),
    "periods": (pd.period_range("2020-01", periods=2, freq="M"), "X['a'].dt.year", [lambda X: X["a"].dt.year]),
    "numbers and None": (
        pd.Series([1.5, None], dtype=object),
        "holds objects such as 1.5, not numbers: make it numbers by pd.to_numeric(X['a'])",
        [lambda X: pd.to_numeric(X["a"])],
    ),
    "whole numbers and None": (pd.Series([1, None], dtype=object), "to_numeric", [lambda X: pd.to_numeric(X["a"])]),
    "booleans and None": (pd.Series([True, None], dtype=object), "to_numeric", [lambda X: pd.to_numeric(X["a"])]),
    "decimals": (pd.Series([Decimal("1.5"), None]), "to_numeric", [lambda X: pd.to_numeric(X["a"])]),
    "numbers as texts": (pd.Series(["1.5", None]), "to_numeric", [lambda X: pd.to_numeric(X["a"])]),
    "texts": (
        pd.Series(["f", None]),
        "holds texts such as 'f', not numbers: make it category (X['a'] = X['a'].astype('category')) or number",
        [lambda X: X["a"].astype("category")],
    ),
    "texts as objects": (
        pd.Series(["f", 1], dtype=object), "make it category", [lambda X: X["a"].astype(str).astype("category")]
    ),
    "bytes": (
        pd.Series([b"f", None]), "make it texts by X['a'].str.decode('utf-8')",
        [lambda X: X["a"].str.decode("utf-8").astype("category")],
    ),
    "complex numbers": (pd.Series([1j, 2]), "take X['a'].abs()", [lambda X: X["a"].abs()]),
    "lists": (pd.Series([[1, 2], [3, 4]]), "give each of their entries a column", [lambda X: X["a"].str[0]]),
}  # fmt: skip


@pytest.mark.parametrize("kind", ADVICE)
def test_the_advice_for_a_column_works(kind: str) -> None:
    column, text, mends = ADVICE[kind]
    X = pd.DataFrame({"a": column, "b": [1.0, 2.0]})
    with pytest.raises(DataError) as caught:
        Silo("mayo", X, [0, 1])
    assert str(caught.value).startswith("silo 'mayo': column 'a' holds ") and text in str(caught.value)
    for mend in mends:
        values, _ = read_features(pd.DataFrame({"a": mend(X)}))
        assert np.isfinite(values[0]).all()


def test_all_columns_that_hold_no_numbers_are_named_at_once() -> None:
    X = pd.DataFrame({"in": [NOON], "n": [1.0], "out": [NOON], "sex": ["f"], "bp": pd.Series([3], dtype=object)})
    with pytest.raises(DataError) as caught:
        FedGBTClassifier().fit(X, [0])
    assert str(caught.value) == (
        "columns 'in', 'out' hold datetime64[us], not numbers: take a part of it, such as X['in'].dt.year, or the days "
        "since a day, (X['in'] - t0).dt.days; column 'sex' holds texts such as 'f', not numbers: make it category "
        "(X['sex'] = X['sex'].astype('category')) or number; column 'bp' holds objects such as 3, not numbers: make it "
        "numbers by pd.to_numeric(X['bp'])."
    )
    many = pd.DataFrame({f"day {k}": [NOON] for k in range(40)})
    with pytest.raises(DataError, match="'day 7' and 32 more hold"):
        Silo("a", many, [0])
    labels = pd.DataFrame({3: [NOON]})
    with pytest.raises(DataError, match=r"X\[3\]\.dt\.year"):
        Silo("a", labels, [0])


def test_all_columns_of_an_array_that_hold_no_numbers_are_named_at_once() -> None:
    X = np.array([["f", 1, DAY, WEEK, [1]]], object)
    with pytest.raises(DataError) as caught:
        read_features(X)
    text = str(caught.value)
    assert all(f"'f{place}'" in text for place in (0, 2, 3, 4)) and "'f1'" not in text
    for dtype, how in (("M8[D]", "days since"), ("m8[h]", "give days"), ("S1", "decode"), ("U1", "make it category")):
        with pytest.raises(DataError, match=how):
            read_features(np.zeros((2, 1), dtype))


# -- columns without any value --------------------------------------------------------------------------------

NEVER: dict[str, Any] = {
    "None": lambda n: pd.Series([None] * n, dtype=object),
    "NaN as objects": lambda n: pd.Series([np.nan] * n, dtype=object),
    "NA as objects": lambda n: pd.Series([pd.NA] * n, dtype=object),
    "NaN": lambda n: pd.Series([np.nan] * n),
    "nullable whole numbers": lambda n: pd.Series([None] * n, dtype="Int64"),
    "nullable booleans": lambda n: pd.Series([None] * n, dtype="boolean"),
    "texts": lambda n: pd.Series([None] * n, dtype="string"),
    "arrow's null": lambda n: pd.Series([None] * n, dtype=pd.ArrowDtype(pyarrow.null())),
    "arrow's texts": lambda n: pd.Series([None] * n, dtype=pd.ArrowDtype(pyarrow.string())),
    "no categories": lambda n: pd.Series(pd.Categorical([None] * n)),
}
rng = np.random.default_rng(0)
N = 90
FULL = pd.DataFrame({"age": rng.normal(size=N), "dose": rng.integers(0, 5, N)})
FULL["sex"] = pd.Categorical(rng.choice(["f", "m"], N))
Y = ((FULL["age"] > 0) ^ (FULL["sex"] == "f")).astype(int)
NEW = slice(60, None)


def silos(dose: Any, sex: Any) -> list[Silo]:
    """Two silos that measured all, and one that has these columns."""
    odd = FULL[NEW].reset_index(drop=True).assign(dose=dose, sex=sex)
    whole = [Silo(name, FULL[rows], Y[rows], n_jobs=1) for name, rows in (("a", slice(30)), ("b", slice(30, 60)))]
    return [*whole, Silo("c", odd, Y[NEW], n_jobs=1)]


@pytest.mark.parametrize("mode", ["fused", "faithful"])
@pytest.mark.parametrize("kind", NEVER)
def test_a_column_that_one_silo_never_measured_is_missing_there(kind: str, mode: str) -> None:
    table = FULL.copy()
    table["dose"] = table["dose"].astype(float)
    table.loc[NEW.start :, ["dose", "sex"]] = np.nan
    pooled = FedGBTClassifier(4, max_depth=3, n_jobs=1, enable_categorical=True).fit(table, Y)
    for order in (slice(None), slice(None, None, -1)):
        parts = silos(NEVER[kind](30), NEVER[kind](30))[order]
        model = FedGBTClassifier(4, max_depth=3, n_jobs=1, enable_categorical=True)
        model.fit_federation(LocalFederation(parts, mode=mode, n_jobs=1))
        assert model.booster_.save_raw() == pooled.booster_.save_raw()
    unknown = FULL.assign(dose=NEVER[kind](N), sex=NEVER[kind](N))
    blank = FULL.assign(dose=np.nan, sex=pd.Categorical([None] * N, categories=["f", "m"]))
    assert model.predict_proba(unknown).tobytes() == model.predict_proba(blank).tobytes()


@pytest.mark.parametrize("kind", NEVER)
def test_a_column_that_no_silo_measured_is_a_missing_number(kind: str) -> None:
    X = pd.DataFrame({"age": FULL["age"], "never": NEVER[kind](N)})
    theirs = xgboost.XGBClassifier(n_estimators=2, max_depth=2).fit(X.assign(never=np.nan), Y)
    model = FedGBTClassifier(2, max_depth=2, n_jobs=1).fit(X, Y, silos=np.arange(N) % 3)
    np.testing.assert_allclose(model.predict_proba(X), theirs.predict_proba(X.assign(never=np.nan)), rtol=1e-5)
    assert model.booster_.feature_types in (None, ["float", "float"])
    FedTreeClassifier(max_depth=2, n_jobs=1).fit(X, Y).predict(X)


def test_a_column_never_measured_of_polars_and_pyarrow() -> None:
    frame = pl.DataFrame({"age": FULL["age"].to_numpy(), "never": pl.Series([None] * N, dtype=pl.Null)})
    models = [FedGBTClassifier(2, n_jobs=1).fit(X, Y) for X in (frame, frame.to_arrow())]
    assert models[0].booster_.save_raw() == models[1].booster_.save_raw()


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_an_evaluation_set_may_have_what_its_silo_never_measured(mode: str) -> None:
    nothing = NEVER["None"](30)
    odd = FULL[NEW].reset_index(drop=True).assign(sex=nothing)

    def third(held_out: pd.DataFrame) -> list[Silo]:
        held = [(FULL[rows], Y[rows]) for rows in (slice(30), slice(30, 60))]
        parts = [Silo(name, *own, eval_set=[own], n_jobs=1) for name, own in zip("ab", held, strict=True)]
        return [*parts, Silo("c", odd, Y[NEW], eval_set=[(held_out, Y[NEW])], n_jobs=1)]

    scores = []
    for held_out in (FULL[NEW], odd):
        model = FedGBTClassifier(2, n_jobs=1, enable_categorical=True)
        model.fit_federation(LocalFederation(third(held_out), mode=mode, n_jobs=1))
        scores.append(model.evals_result()["validation_0"]["logloss"][-1])
    assert scores[0] != scores[1]
    with pytest.raises(SchemaError, match="column 'sex' is a number, not a category"):
        FedGBTClassifier(1, n_jobs=1).fit_federation(LocalFederation(third(odd.assign(sex=1.0)), mode=mode, n_jobs=1))


# -- numbers, rounded once -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
def test_numbers_beyond_float64_are_rounded_once(sign: int) -> None:
    rng = np.random.default_rng(0)
    large = [sign * int(v) for v in [2**54 + 2**30 + 1, 2**63 - 1, 2**62 + 2**38 + 1, *rng.integers(2**53, 2**63, 50)]]
    exact = [float(np.float32(np.int64(v))) for v in large]
    theirs = xgboost.DMatrix(np.array(large)[:, None]).get_data().toarray()[:, 0]
    assert theirs.tolist() == exact
    tables: dict[str, Any] = {
        "array": np.array(large)[:, None],
        "objects": np.array([[v] for v in large], object),
        "list": [[v] for v in large],
        "masked": np.ma.array(np.array(large)[:, None], mask=False),
        "frame": pd.DataFrame({"a": large}),
        "nullable": pd.DataFrame({"a": pd.array(large, dtype="Int64")}),
        "arrow": pd.DataFrame({"a": pd.array(large, dtype=pd.ArrowDtype(pyarrow.int64()))}),
        "polars": pl.DataFrame({"a": large}),
        "decimals": np.array([[Decimal(v)] for v in large], object),
        "fractions": np.array([[Fraction(v)] for v in large], object),
    }
    for name, table in tables.items():
        assert read_features(table)[0][:, 0].tolist() == exact, name
    missing = pd.DataFrame({"a": pd.array([*large, None], dtype="Int64")})
    assert read_features(missing)[0][:-1, 0].tolist() == exact
    unsigned = np.array([2**64 - 1, 2**63 + 2**39 + 1], np.uint64)
    for table in (unsigned[:, None], pd.DataFrame({"a": unsigned}), unsigned[:, None].astype(object)):
        assert read_features(table)[0][:, 0].tolist() == unsigned.astype(np.float32).tolist()
