"""Shifted features: what each parameter does to them, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedtrees.datasets import shift_features
from fedtrees.errors import DataError, ParameterError

ALL = {"rotation": 40.0, "scale": 0.2, "offset": 0.5, "noise": 0.3}


def table(seed: int = 0, n: int = 400, features: int = 6) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(n, features)) * 10.0 ** np.arange(features) + 3).astype(np.float32)
    return X, np.array(["a", "b", "c", "d"])[rng.integers(0, 4, n)]


def units(X: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Values in standard deviations of X."""
    return (values.astype(np.float64) - X.mean(axis=0, dtype=np.float64)) / X.std(axis=0, dtype=np.float64)


# law: shift_features
@given(st.integers(0, 99), st.integers(), st.dictionaries(st.sampled_from(list(ALL)), st.floats(0, 2)))
def test_a_shift_depends_on_its_arguments_alone(problem: int, seed: int, sizes: dict[str, float]) -> None:
    X, silos = table(problem, 40)
    given_before = X.copy()
    shifted = shift_features(X, silos=silos, **sizes, seed=seed)
    assert shifted.dtype == np.float32 and shifted.shape == X.shape
    np.testing.assert_array_equal(X, given_before)
    np.testing.assert_array_equal(shift_features(X, silos=silos, **sizes, seed=seed), shifted)
    if not any(sizes.values()):
        np.testing.assert_array_equal(shifted, X)


def test_seeds_and_silos_have_maps_of_their_own() -> None:
    X, _ = table()
    maps = [shift_features(X, silos=np.full(len(X), silo), **ALL, seed=seed) for silo in "ab" for seed in range(3)]
    assert len({shifted.tobytes() for shifted in maps}) == 6


# law: shift_features
@pytest.mark.parametrize("sizes", [{"rotation": 40.0}, {"scale": 0.2}, {"offset": 0.5}, ALL | {"noise": 0}], ids=str)
def test_the_order_of_rows_and_what_silos_are_called_besides_play_no_part(sizes: dict[str, float]) -> None:
    X, silos = table()
    order = np.random.default_rng(1).permutation(len(X))
    shifted = shift_features(X, silos=silos, **sizes)
    np.testing.assert_allclose(
        shift_features(X[order], silos=silos[order], **sizes), shifted[order], rtol=2e-6, atol=1e-5
    )
    other = np.where(silos == "d", "aa", silos)
    kept = silos != "d"
    np.testing.assert_array_equal(shift_features(X, silos=other, **sizes)[kept], shifted[kept])


def test_rotation_keeps_lengths_and_turns_pairs_by_so_many_degrees() -> None:
    X, silos = table()
    z, turned = units(X, X), units(X, shift_features(X, silos=silos, rotation=30))
    np.testing.assert_allclose((turned**2).sum(axis=1), (z**2).sum(axis=1), rtol=1e-4)
    cosines = []
    for silo in "abcd":
        own = silos == silo
        R = np.linalg.lstsq(z[own], turned[own], rcond=None)[0]
        np.testing.assert_allclose(R @ R.T, np.eye(6), atol=1e-5)
        assert (np.count_nonzero(np.abs(R) > 1e-5, axis=0) == 2).all()
        cosines += np.diag(R).tolist()
    assert min(cosines) > np.cos(np.deg2rad(30)) - 1e-6 and max(cosines) < 1 and min(cosines) < 0.95


def test_scale_and_offset_are_of_the_size_asked() -> None:
    X, _ = table(n=4000, features=3)
    silos = np.array([f"silo {k:03d}" for k in np.arange(4000) % 400])
    for sizes, slope, shift in (({"scale": 0.2}, 0.2, 0.0), ({"offset": 0.5}, 0.0, 0.5)):
        moved = units(X, shift_features(X, silos=silos, **sizes))
        z = units(X, X)
        fits = [np.polyfit(z[silos == name, 0], moved[silos == name, 0], 1) for name in sorted(set(silos))]
        factors, offsets = np.array(fits).T
        assert np.log(factors).std() == pytest.approx(slope, rel=0.1, abs=1e-5)
        assert offsets.std() == pytest.approx(shift, rel=0.1, abs=1e-4)


def test_noise_grows_in_variance_from_silo_to_silo() -> None:
    X, _ = table(n=40_000)
    silos = np.arange(40_000) % 4
    blur = units(X, shift_features(X, silos=silos, noise=0.8)) - units(X, X)
    variance = [blur[silos == place].var() for place in range(4)]
    np.testing.assert_allclose(variance, 0.64 * np.arange(1, 5) / 4, rtol=0.03)
    assert np.abs(np.corrcoef(blur.T)[np.triu_indices(6, 1)]).max() < 0.03
    of_silos = np.corrcoef([blur[silos == place].ravel() for place in range(4)])
    assert np.abs(of_silos[np.triu_indices(4, 1)]).max() < 0.03  # each its own, as rows and features have


@pytest.mark.parametrize("size", ALL)
def test_silos_of_the_same_rows_are_shifted_each_by_draws_of_its_own(size: str) -> None:
    X, _ = table(n=50)
    both, silos = np.concatenate([X, X]), np.repeat(["a", "b"], 50)
    moved = units(both, shift_features(both, silos=silos, **{size: 0.5})) - units(both, both)
    first, second = moved[:50], moved[50:]
    if size == "noise":  # a silo's noise grows with its place
        first = first * np.sqrt(2)
    assert np.abs(first).max() > 1e-3 and np.abs(first - second).max() > 0.3 * np.abs(first).max()


def test_one_parameter_changes_no_draw_of_another() -> None:
    X, silos = table()
    both = shift_features(X, silos=silos, offset=0.5, noise=0.3)
    blurred = shift_features(X, silos=silos, noise=0.3)
    moved = shift_features(X, silos=silos, offset=0.5)
    np.testing.assert_allclose(units(X, both) - units(X, blurred), units(X, moved) - units(X, X), atol=1e-5)


def test_missing_values_and_features_of_one_value_stay() -> None:
    X, silos = table()
    X[::3, 0], X[:, 1], X[:, 2] = np.nan, 7.1, np.nan
    shifted = shift_features(X, silos=silos, **ALL)
    np.testing.assert_array_equal(np.isnan(shifted), np.isnan(X))
    np.testing.assert_array_equal(shifted[:, 1:3], X[:, 1:3])
    assert (shifted[:, 3] != X[:, 3]).all()
    alone = shift_features(X[:, :3], silos=silos, rotation=90)  # no pair to turn
    np.testing.assert_array_equal(alone, X[:, :3])


def test_a_frame_stays_a_frame_and_categories_stay() -> None:
    X, silos = table(features=2)
    frame = pd.DataFrame(X, columns=["x", "y"], index=np.arange(len(X))[::-1])
    frame.insert(1, "place", pd.Categorical(np.where(X[:, 0] > 3, "up", "down")))
    frame["count"] = np.arange(len(X))
    shifted = shift_features(frame, silos=silos, **ALL)
    assert list(shifted.columns) == list(frame.columns) and (shifted.index == frame.index).all()
    pd.testing.assert_series_equal(shifted["place"], frame["place"])
    assert shifted["x"].dtype == shifted["count"].dtype == np.float32
    numbers = shift_features(frame[["x", "y", "count"]].to_numpy(), silos=silos, **ALL)
    np.testing.assert_array_equal(shifted[["x", "y", "count"]].to_numpy(), numbers)
    assert frame["count"].dtype == np.int64
    unnamed = shift_features(pd.DataFrame(X), silos=silos, **ALL)
    np.testing.assert_array_equal(unnamed.to_numpy(), shift_features(X, silos=silos, **ALL))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"rotation": -1}, "^rotation=-1: give a finite number from 0 on"),
        ({"scale": float("inf")}, "^scale=inf"),
        ({"noise": "much"}, "^noise='much'"),
        ({"scale": 300.0}, r"^scale=300, offset=0, noise=0: column 'f\d' would leave float32; give smaller ones"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(sizes: dict[str, Any], message: str) -> None:
    X, silos = table()
    with pytest.raises(ParameterError, match=message):
        shift_features(X, silos=silos, **sizes)


def test_tables_that_cannot_be_shifted_are_refused() -> None:
    X, silos = table(n=10)
    X[4, 2] = np.inf
    with pytest.raises(DataError, match=f"^silo '{silos[4]}': column 'f2' is infinity .* in row 4"):
        shift_features(X, silos=silos, offset=1)
    with pytest.raises(DataError, match=r"^column 'name' holds .* not numbers"):
        shift_features(pd.DataFrame({"name": ["a", "b"]}), silos=["x", "y"], offset=1)
    with pytest.raises(DataError, match=r"^silos has the shape"):
        shift_features(X[:, :2], silos=silos[:5], offset=1)
    with pytest.raises(DataError, match=r"^silos, row 1: no value"):
        shift_features(X[:2, :2], silos=["x", None], offset=1)
