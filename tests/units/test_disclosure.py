"""Names of categories: those that no row has stay in the silo, and rare ones where the owner says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost

from fedtrees import FedGBTClassifier, LocalFederation, ParameterError, SchemaError, Silo
from fedtrees.core.data.categories import agreed_vocabulary

N = 120
WARDS = ["w", "never", "b", "z", "a", "nobody"]  # an order of the owner's own, and two that no row has


def rows(seed: int = 0) -> tuple[pd.DataFrame, Any]:
    rng = np.random.default_rng(seed)
    ward = rng.choice(["w", "b", "z", "a"], N, p=[0.5, 0.3, 0.17, 0.03])
    frame = pd.DataFrame({"x": rng.normal(size=N), "ward": pd.Categorical(ward, categories=WARDS)})
    y = (frame["x"] + (frame["ward"] == "b") + rng.normal(size=N) > 0.3).to_numpy(int)
    return frame, y


def silos(n: int, **options: Any) -> list[Silo]:
    frame, y = rows()
    return [Silo(f"s{k}", frame[np.arange(N) % n == k], y[np.arange(N) % n == k], **options) for k in range(n)]


@pytest.mark.parametrize("mode", ["fused", "faithful"])
@pytest.mark.parametrize("n", [1, 2, 30])
def test_unused_names_leave_no_silo_and_codes_keep_the_order_of_the_type(n: int, mode: str) -> None:
    given = silos(n)
    for silo in given:
        shown = silo.schema(labels=False).categories["ward"]
        held = set(silo.table.X[:, 1].astype(int))
        assert shown == [name if code in held else None for code, name in enumerate(WARDS)]
    codes = ["w", "(unused 1)", "b", "z", "a", "(unused 5)"]
    model = FedGBTClassifier(5, enable_categorical=True).fit_federation(LocalFederation(given, mode=mode))
    assert model._schema.categories["ward"] == codes
    one = FedGBTClassifier(5, enable_categorical=True).fit_federation(LocalFederation(silos(1)))
    assert bytes(model.booster_.save_raw("json")) == bytes(one.booster_.save_raw("json"))
    frame, _ = rows()
    assert (model.predict_proba(frame) == one.predict_proba(frame)).all()


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_rare_names_stay_in_the_silo_and_their_rows_count_as_missing(mode: str) -> None:
    frame, y = rows()
    rare = frame["ward"] == "a"
    assert 0 < rare.sum() < 8
    kept = LocalFederation([Silo("s", frame, y, min_category_rows=8)], mode=mode)
    model = FedGBTClassifier(5, enable_categorical=True).fit_federation(kept)
    assert model._schema.categories["ward"] == ["w", "(unused 1)", "b", "z", "(unused 4)", "(unused 5)"]
    without = frame.assign(ward=frame["ward"].where(~rare))
    other = FedGBTClassifier(5, enable_categorical=True).fit_federation(LocalFederation([Silo("s", without, y)]))
    assert bytes(model.booster_.save_raw("json")) == bytes(other.booster_.save_raw("json"))


def test_names_of_evaluation_rows_count_too() -> None:
    frame, y = rows()
    train, rest = frame["ward"] != "a", frame["ward"] == "a"
    silo = Silo("s", frame[train], y[train], eval_set=[(frame[rest], y[rest])])
    model = FedGBTClassifier(3, enable_categorical=True).fit_federation(LocalFederation([silo]))
    assert model._schema.categories["ward"] == ["w", "(unused 1)", "b", "z", "a", "(unused 5)"]


def test_one_table_is_split_by_somebody_who_knows_its_categories() -> None:
    frame, y = rows()
    model = FedGBTClassifier(5, enable_categorical=True).fit(frame, y, silos=np.arange(N) % 3)
    assert model._schema.categories["ward"] == WARDS
    over = FedGBTClassifier(5, enable_categorical=True).fit_federation(LocalFederation(silos(3)))
    assert (model.predict_proba(frame) == over.predict_proba(frame)).all()
    never = frame.assign(ward=pd.Categorical(["never"] * N, categories=WARDS))
    model.predict(never)
    with pytest.raises(SchemaError, match="category 'never' was not there in training"):
        over.predict(never)


def test_whole_numbers_that_stand_for_none_fit_the_type() -> None:
    kind = pd.Categorical(np.int8([5, 7, 0]), categories=np.int8([5, -1, 0, 3, 7]))
    X = pd.DataFrame({"k": kind.repeat(10), "x": np.arange(30.0)})
    silo = Silo("s", X, np.arange(30) % 2)
    model = FedGBTClassifier(2, enable_categorical=True).fit_federation(LocalFederation([silo]))
    assert model._schema.categories["k"] == [5, -1, 0, 1, 7]
    assert (model.predict(X) == model.booster_.predict(xgboost.DMatrix(X, enable_categorical=True)).round()).all()


def test_vocabularies_of_several_types_are_joined_without_what_is_kept_back() -> None:
    assert agreed_vocabulary("ward", [("s", ["b", None, "a"]), ("t", ["b", "c"])]) == ["a", "b", "c"]
    assert agreed_vocabulary("ward", [("s", [None, None]), ("t", [None, None])]) == []
    assert agreed_vocabulary("ward", [("s", ["a", "b"]), ("t", ["b", "a"])]) == ["a", "b"]


@pytest.mark.parametrize("wrong", [0, -1, 2.5, True, "5", None])
def test_what_is_no_number_of_rows_is_refused(wrong: Any) -> None:
    with pytest.raises(ParameterError, match=r"silo 's': min_category_rows=.*: give a whole number from 1"):
        Silo("s", [[1.0], [2.0]], [0, 1], min_category_rows=wrong)
