"""How much a silo counts: the factors, how they travel, and what they do to a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrees import FedGBTRegressor, LocalFederation, ParameterError, RowWeights, Silo, SiloWeights
from fedtrees.core.protocol.start_messages import Weigh
from fedtrees.core.sampling.weighting import as_weighting

ROWS = np.array([4, 0, 1, 5])
NAMES = ["a", "b", "c", "d"]
each_silo = st.lists(st.integers(0, 1000), min_size=1, max_size=6).filter(any)


def silos(rows: list[int], scale: bool = False) -> list[Silo]:
    rng = np.random.default_rng(0)
    return [
        Silo(
            chr(97 + k),
            rng.normal(size=(n, 2)),
            rng.normal(size=n),
            sample_weight=np.full(n, 1.0 + k) if scale else None,
        )
        for k, n in enumerate(rows)
    ]


# -- factors ----------------------------------------------------------------------------------------------


# law: RowWeights
@given(each_silo)
def test_by_rows_every_factor_is_one(rows: list[int]) -> None:
    weighting = as_weighting("rows").settled(sum(rows), np.count_nonzero(rows))
    np.testing.assert_array_equal(weighting.row_factors(NAMES, np.array(rows)), np.ones(len(rows)))


@given(each_silo)
def test_equal_silos_share_the_rows_alike(rows: list[int]) -> None:
    n = np.array(rows)
    factors = as_weighting("equal").settled(n.sum(), np.count_nonzero(n)).row_factors(NAMES, n)
    assert factors.dtype == np.float32
    shares = (factors * n)[n > 0]
    np.testing.assert_allclose(shares, n.sum() / np.count_nonzero(n), rtol=1e-6)


@given(each_silo, st.data())
def test_given_weights_are_the_shares_of_the_silos(rows: list[int], data: st.DataObject) -> None:
    n = np.array(rows)
    names = [str(k) for k in range(len(n))]
    weights = {name: data.draw(st.floats(0.01, 100)) for name in names}
    factors = as_weighting(weights).settled(n.sum(), np.count_nonzero(n)).row_factors(names, n)
    wished = np.array(list(weights.values())) / sum(weights.values()) * n.sum()
    np.testing.assert_allclose((factors * n)[n > 0], wished[n > 0], rtol=1e-5)


def test_the_largest_weights_there_are_have_a_sum() -> None:
    factors = as_weighting({"a": 1.7e308, "b": 1.7e308}).settled(4, 2).row_factors(["a", "b"], np.array([1, 3]))
    np.testing.assert_allclose(factors, [2, 2 / 3], rtol=1e-6)


def test_a_silo_computes_its_factor_from_its_own_rows_alone() -> None:
    for weighting in (SiloWeights(), SiloWeights({"a": 1.0, "c": 2.0, "d": 3.0})):
        settled = weighting.settled(10, 3)
        together = settled.row_factors(NAMES, ROWS)
        alone = [settled.row_factors([name], ROWS[k : k + 1])[0] for k, name in enumerate(NAMES)]
        np.testing.assert_array_equal(together, alone)


def test_a_silo_without_rows_needs_no_weight_and_one_with_rows_does() -> None:
    settled = SiloWeights({"a": 1.0, "c": 2.0}).settled(10, 3)
    assert settled.row_factors(NAMES[:3], ROWS[:3]).tolist() == pytest.approx([10 / 3 / 4, 0, 20 / 3])
    with pytest.raises(ParameterError, match=r"^weighting: no weight for silo 'd'; give one for every silo"):
        settled.row_factors(NAMES, ROWS)


# -- on a silo --------------------------------------------------------------------------------------------


def test_factors_multiply_sample_weights_and_leave_them_as_they_were() -> None:
    (silo,) = silos([3], scale=True)
    silo.table.weight[:] = [1, 2, 3]
    Weigh(SiloWeights({"a": 1.0, "b": 3.0}).settled(12, 2)).apply(silo)
    np.testing.assert_array_equal(silo.weights(), np.float32([1, 2, 3]))  # a quarter of 12 rows, over 3
    Weigh(SiloWeights().settled(12, 2)).apply(silo)
    np.testing.assert_array_equal(silo.weights(), np.float32([2, 4, 6]))  # half of 12 over 3; not of the last weights
    silo.forget()
    np.testing.assert_array_equal(silo.weights(), np.float32([1, 2, 3]))


def test_where_all_factors_are_one_no_weights_are_made() -> None:
    (silo,) = silos([3])
    Weigh(RowWeights()).apply(silo)
    assert silo.weights() is None


# -- on a model -------------------------------------------------------------------------------------------


def model(weighting: Any, rows: list[int], **other: Any) -> bytes:
    estimator = FedGBTRegressor(n_estimators=2, max_depth=2, weighting=weighting, n_jobs=1, reg_lambda=0.0)
    return bytes(estimator.fit_federation(LocalFederation(silos(rows, **other), n_jobs=1)).booster_.save_raw("json"))


def test_silos_of_one_size_that_count_the_same_are_rows_that_do() -> None:
    assert model("equal", [8, 8, 8]) == model("rows", [8, 8, 8])
    assert model({"a": 7, "b": 7, "c": 7}, [8, 8, 8]) == model("rows", [8, 8, 8])


def test_sizes_as_weights_are_rows_that_count_the_same() -> None:
    assert model({"a": 4, "b": 8, "c": 12}, [4, 8, 12]) == model("rows", [4, 8, 12])
    assert model("equal", [4, 8, 12]) != model("rows", [4, 8, 12])


def test_a_silo_of_weight_zero_does_not_count() -> None:
    X, y = np.arange(8.0).reshape(8, 1), np.arange(8.0)
    federation = [LocalFederation([Silo("a", X, y), Silo("b", X, other)], n_jobs=1) for other in (y, y + 1000)]
    first, second = (
        FedGBTRegressor(n_estimators=3, weighting={"a": 1, "b": 0}, n_jobs=1).fit_federation(f).predict(X)
        for f in federation
    )
    np.testing.assert_array_equal(first, second)


# -- the parameter ----------------------------------------------------------------------------------------


def test_what_a_parameter_means() -> None:
    assert as_weighting("rows") == RowWeights()
    assert as_weighting("equal") == SiloWeights()
    assert (
        as_weighting({"a": 1, 2: 0.5})
        == as_weighting(SiloWeights({"a": 1.0, "2": 0.5}))
        == SiloWeights({"a": 1.0, "2": 0.5})
    )
    assert as_weighting(SiloWeights()) == SiloWeights()


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), "1", None, [1]], ids=repr)
def test_a_weight_that_means_nothing_is_refused(weight: Any) -> None:
    for value in ({"a": 1.0, "b": weight}, SiloWeights({"a": 1.0, "b": weight})):
        with pytest.raises(ParameterError, match=r"^weighting: silo 'b' has weight .*; give a finite one, 0 or above"):
            as_weighting(value)


def test_somebody_has_to_count() -> None:
    for weights in ({}, {"a": 0}, {"a": 0.0, "b": 0}):
        with pytest.raises(ParameterError, match=r"^weighting: all weights are zero; at least one silo must count"):
            as_weighting(weights)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("row", "did you mean 'rows'"),
        ("equl", "did you mean 'equal'"),
        (5, "Known"),
        (None, "Known"),
        (np.ones(3), "Known"),
    ],
)
def test_an_unknown_weighting_is_refused_with_the_nearest(value: Any, hint: str) -> None:
    with pytest.raises(ParameterError, match=rf"(?s)^weighting=.* is not known.*{hint}.*'equal', 'rows'"):
        as_weighting(value)
