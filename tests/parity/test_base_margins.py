"""Base margins of exported Boosters: XGBoost starts from the very bits that training starts from."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from fedtrees.export.xgboost import storable_base_margin, to_booster
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.tree import LEAF, Tree

floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


def nothing_but(objective: str, margin: NDArray[np.float32]) -> xgboost.Booster:
    """A model of leaves of -0.0, which leave every float32 as it is, the sign of 0 too."""
    K = len(margin)
    cuts = Cuts(np.float32([np.inf]), np.array([0, 1]), np.array([True]))
    nothing = Tree(
        feature=np.int32([LEAF]), bin=np.int32([0]), default_left=np.array([False]), left=np.int32([LEAF]),
        value=np.float32([-0.0]), gain=np.float32([0]), cover=np.float32([1]),
    )  # fmt: skip
    booster = to_booster([nothing] * K, cuts, objective=objective, base_margin=margin, n_classes=K)
    booster.set_param({"nthread": 1})
    return booster


def started_from(objective: str, margin: NDArray[np.float32]) -> bytes:
    """The base margin that XGBoost comes to."""
    return nothing_but(objective, margin).inplace_predict(np.float32([[0]]), predict_type="margin").tobytes()


# law: storable_base_margin
def test_xgboost_starts_from_storable_base_margins() -> None:
    rng = np.random.default_rng(6)
    wished = np.concatenate([rng.normal(size=600), rng.uniform(-16, 16, 400), [0.0, -0.0, 1e-30, -1, 8, 500]])
    margin = storable_base_margin("binary:logistic", wished)
    assert storable_base_margin("binary:logistic", margin).tobytes() == margin.tobytes()
    assert b"".join(started_from("binary:logistic", one) for one in margin[:, None]) == margin.tobytes()


@pytest.mark.parametrize(("low", "high", "within"), [(-13.8, -7, 1e-5), (-7, 7, 1e-3), (7, 13, 0.3)])
def test_a_storable_base_margin_is_near_the_wish(low: float, high: float, within: float) -> None:
    wished = np.random.default_rng(7).uniform(low, high, 2000)
    assert np.abs(storable_base_margin("binary:logistic", wished) - wished).max() < within


def test_beyond_the_probabilities_that_xgboost_clamps_to_the_last_margin_stands_for_all() -> None:
    last = storable_base_margin("binary:logistic", [-3e38, -20, 20, 3e38])
    assert last[0] == last[1] == pytest.approx(-13.8, abs=0.1)
    assert last[2] == last[3] == pytest.approx(13.7, abs=0.1)


@pytest.mark.parametrize("objective", ["count:poisson", "reg:gamma", "reg:tweedie"])
def test_logarithms_start_from_all_that_float32_holds(objective: str) -> None:
    """From the smallest normal number to the largest of all; further out, the last one stands for all."""
    wished = np.linspace(-87, 88, 351)
    margin = storable_base_margin(objective, wished)
    assert np.abs(margin - wished).max() < 1e-3
    last = storable_base_margin(objective, [-3e38, -100, -88.7, 88.7, 100, 3e38])
    smallest, largest = np.log([float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)])
    assert (last[:3] == last[0]).all() and last[0] == pytest.approx(smallest, abs=1e-3)
    assert (last[3:] == last[3]).all() and last[3] == pytest.approx(largest, abs=0.03)
    for one in [*margin[::70], last[0], last[3]]:
        assert started_from(objective, np.array([one])) == one.tobytes()


def test_probabilities_people_give_are_stored_as_they_are() -> None:
    for p in (0.5, 0.25, 0.75, 0.2, 0.8, 0.1):
        booster = nothing_but("binary:logistic", storable_base_margin("binary:logistic", [np.log(p / (1 - p))]))
        stored = json.loads(booster.save_config())["learner"]["learner_model_param"]["base_score"]
        assert np.float32(json.loads(stored)) == np.float32([p])


@given(margin=hnp.arrays(np.float32, 3, elements=floats))
def test_other_objectives_start_from_any_float32(margin: NDArray[np.float32]) -> None:
    assert storable_base_margin("multi:softprob", margin).tobytes() == margin.tobytes()
    assert started_from("multi:softprob", margin) == margin.tobytes()
    assert started_from("reg:squarederror", margin[:1]) == margin[:1].tobytes()
