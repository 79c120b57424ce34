"""Metrics by sums: XGBoost's own numbers, whatever the partition; exact sums; logarithms that are right."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from fedtrees import ParameterError
from fedtrees.core.numeric import elementary
from fedtrees.core.numeric.fixed_point import exponent_of
from fedtrees.core.numeric.rng import stream
from fedtrees.queries.areas import Area
from fedtrees.queries.hazards import bound_of_limbs
from fedtrees.queries.metric import Rows
from fedtrees.queries.metrics import METRICS, metric_named, metric_of
from fedtrees.queries.sums import N_PLACES, bound_of_sums, restore_sum, sums_by_power, sums_by_power_of

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


# -- exact sums -------------------------------------------------------------------------------------------


# law: sums_by_power
@given(st.lists(finite, max_size=30), st.data())
def test_a_sum_is_exact_and_does_not_depend_on_the_parts(values: list[float], data: st.DataObject) -> None:
    array = np.array(values, np.float32)
    total = sums_by_power(array)
    assert restore_sum(total) == float(sum(map(Fraction, values)))  # rounded once, at the end
    assert total.shape == (N_PLACES,) and np.abs(total).max() <= bound_of_sums(len(values))
    cut = data.draw(st.integers(0, len(values)))
    assert (sums_by_power(array[:cut]) + sums_by_power(array[cut:])).tolist() == total.tolist()


def test_the_largest_and_the_smallest_floats_add_up() -> None:
    info = np.finfo(np.float32)
    values = np.array([info.max, -info.max, info.smallest_subnormal, info.tiny, 0, -0.0], np.float32)
    assert restore_sum(sums_by_power(values)) == float(info.smallest_subnormal) + float(info.tiny)


@pytest.mark.parametrize("rows", [127, 129, 300, 70_000])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("power", [-149, -126, 0, 104])
def test_sums_of_many_full_mantissas_are_exact_in_groups_as_well(rows: int, sign: int, power: int) -> None:
    """Such as no 32 bits hold: from 129 rows on."""
    largest = sign * math.ldexp(2**24 - 1, power)
    values = np.full(rows, largest, np.float32)
    values[0] = largest / (2**24 - 1)
    group = np.repeat([2, 0], [rows - 3, 3])
    assert restore_sum(sums_by_power(values)) == sign * math.ldexp((rows - 1) * (2**24 - 1) + 1, power)
    found = sums_by_power_of(values, group, 4)
    each = [sums_by_power(values[group == own]).tolist() for own in range(4)]
    assert found.tolist() == each and sum(found).tolist() == sums_by_power(values).tolist()
    most = int(np.abs(found).max())
    assert bound_of_sums(rows - 5) < most <= bound_of_sums(rows)


# -- elementary functions ---------------------------------------------------------------------------------


@given(st.floats(1e-300, 1e300))
def test_log_is_right_to_the_last_places(x: float) -> None:
    assert elementary.log(x) == pytest.approx(math.log(x), rel=4e-16, abs=2e-16)


@given(st.floats(-700, 700))
def test_exp_is_right_to_the_last_places(x: float) -> None:
    assert elementary.exp(x) == pytest.approx(math.exp(x), rel=5e-16, abs=0)


@pytest.mark.parametrize("x", [-700.0, -699.5, -300.0, -70.5, -1e-300, 0.0, 1e-300, 70.5, 300.0, 699.5, 700.0])
def test_exp_is_right_far_out(x: float) -> None:
    assert elementary.exp(x) == pytest.approx(math.exp(x), rel=5e-16, abs=0)


def test_exp_is_clipped_at_700() -> None:
    for x in (700.5, 1400.0, 1e300, np.inf):
        assert elementary.exp(x) == elementary.exp(700.0) and elementary.exp(-x) == elementary.exp(-700.0)


@given(st.floats(1.0, 1e6))
def test_log_gamma_is_that_of_the_library(x: float) -> None:
    assert elementary.log_gamma(x) == pytest.approx(math.lgamma(x), rel=1e-9, abs=1e-11)


# -- against XGBoost --------------------------------------------------------------------------------------

OF_ONE_MARGIN = {
    "binary:logistic": ["logloss", "error", "error@0.3", "rmse"],
    "reg:squarederror": ["rmse", "mae", "mape", "rmsle"],
    "count:poisson": ["poisson-nloglik", "rmse"],
    "reg:gamma": ["gamma-nloglik", "gamma-deviance"],
    "reg:tweedie": ["tweedie-nloglik@1.5", "tweedie-nloglik@1.1"],
    "multi:softprob": ["mlogloss", "merror"],
}


def some_rows(objective: str, weighted: bool, n: int = 700) -> Rows:
    rng = stream(1, objective)
    outputs = 3 if objective.startswith("multi") else 1
    margin = rng.normal(size=(outputs, n)).astype(np.float32)
    score = margin[0] + rng.normal(size=n)
    y = {
        "binary:logistic": score > 0,
        "reg:squarederror": np.abs(score) + 0.1,
        "count:poisson": rng.poisson(np.exp(score)),
        "reg:gamma": np.exp(score),
        "reg:tweedie": np.maximum(score, 0),
        "multi:softprob": rng.integers(0, 3, n),
    }[objective].astype(np.float32)
    if objective == "reg:squarederror":
        margin = np.abs(margin)
    weight = rng.random(n).astype(np.float32) * 3 if weighted else None
    return Rows(objective, margin, y, weight, exponent_of(3.0) if weighted else 0)


def by_xgboost(rows: Rows, name: str) -> float:
    params = {"objective": rows.objective, "eval_metric": name, "base_score": 0.5, "disable_default_eval_metric": 1}
    if rows.objective == "multi:softprob":
        params["num_class"] = len(rows.margin)
    margin = rows.margin.T if len(rows.margin) > 1 else rows.margin[0]
    data = xgboost.DMatrix(np.zeros((len(rows.y), 1)), rows.y, weight=rows.weight, base_margin=margin)
    said = xgboost.train(params, data, 0).eval(data)
    return float(re.findall(r":(\S+)", said)[-1])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("objective", "name"), [(o, name) for o, names in OF_ONE_MARGIN.items() for name in names])
def test_a_metric_is_xgboost_s(objective: str, name: str, weighted: bool) -> None:
    rows, metric = some_rows(objective, weighted), metric_named(name)
    total = metric.ask(rows)
    assert total.shape == (metric.size(),)
    assert np.abs(total).max() <= metric.bound(len(rows.y))
    assert metric.read(total) == pytest.approx(by_xgboost(rows, name), rel=3e-6)


@examples(20)
@given(st.sampled_from([(o, name) for o, names in OF_ONE_MARGIN.items() for name in names]), st.booleans(), st.data())
def test_a_metric_is_the_same_for_every_partition(which: tuple[str, str], weighted: bool, data: st.DataObject) -> None:
    whole, metric = some_rows(which[0], weighted, 60), metric_named(which[1])
    silo_of = np.array(data.draw(st.lists(st.integers(0, 3), min_size=60, max_size=60)))
    parts = [
        Rows(
            whole.objective, whole.margin[:, own], whole.y[own],
            None if whole.weight is None else whole.weight[own], whole.weight_exponent,
        )
        for own in (silo_of == k for k in range(4))
    ]  # fmt: skip
    total = sum((metric.ask(part) for part in parts), np.zeros(metric.size(), np.int64))
    assert total.tolist() == metric.ask(whole).tolist()


def test_no_rows_have_no_metric() -> None:
    for name, metric in METRICS.items():
        if not isinstance(metric, Area):
            assert math.isnan(metric.read(np.zeros(metric.size(), np.int64))), name


def test_names_are_xgboost_s() -> None:
    assert metric_of("binary:logistic") == "logloss" and metric_of("reg:squarederror") == "rmse"
    with pytest.raises(ParameterError, match="eval_metric='logloss2' is not known: did you mean 'logloss'"):
        metric_named("logloss2")
    with pytest.raises(ParameterError, match="eval_metric='error@half': what follows the @ is a number"):
        metric_named("error@half")


# -- what metrics look at -----------------------------------------------------------------------------------


def logistic(margin: Any) -> Any:
    return 1 / (1 + np.exp(-margin))


def itself(margin: Any) -> Any:
    return margin


PREDICTED: dict[str, Callable[[Any], Any]] = {  # of a margin
    **dict.fromkeys(["binary:logistic", "binary:logitraw", "reg:logistic"], logistic),
    **dict.fromkeys(["count:poisson", "reg:gamma", "reg:tweedie", "survival:aft", "survival:cox"], np.exp),
    **dict.fromkeys(["reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:squaredlogerror"], itself),
    **dict.fromkeys(["reg:quantileerror", "rank:ndcg", "rank:pairwise", "rank:map"], itself),
    "binary:hinge": lambda margin: np.where(margin > 0, 1.0, 0.0),
}


@pytest.mark.parametrize("objective", PREDICTED)
def test_predictions_are_what_the_objective_makes_of_margins(objective: str) -> None:
    margin = np.float32([[-3, -0.5, 0, 0.25, 2]])
    found = Rows(objective, margin, np.zeros(5, np.float32), None, 0).prediction()
    assert found == pytest.approx(PREDICTED[objective](margin[0].astype(np.float64)), rel=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 100, 10**6, 10**9])
def test_a_likelihood_of_hazards_has_room_for_both_of_its_sums(rows: int) -> None:
    bound = metric_named("cox-nloglik", "survival:cox").bound(rows)
    assert bound >= bound_of_limbs(rows) and bound >= bound_of_sums(rows)
