"""Sparse rows: what they do not hold is 0 to trees by impurity, as in scikit-learn, and missing to boosted ones.

Whatever it is, it is the same in every silo, and in predictions.
"""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from families import BY_IMPURITY, small, small_ones
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.preprocessing import OneHotEncoder
from strategies import examples

from fedtrees import (
    FedAvgClassifier,
    FedForestClassifier,
    FedGBTClassifier,
    FedTreeClassifier,
    LocalFederation,
    SchemaError,
    Silo,
)
from fedtrees.core.data.absent_entries import all_absent, apart_from_absent, take_absent_as
from fedtrees.core.data.features import read_features

ESTIMATORS: list[Any] = small_ones(BY_IMPURITY, 4, max_depth=5)
ESTIMATORS[2] = small(FedForestClassifier, 16, max_depth=5, oob_score=True)
BOOSTED = FedGBTClassifier(3, max_depth=3, n_jobs=1)


def name_of(estimator: Any) -> str:
    return type(estimator).__name__


def table(rows: int = 200, gaps: float = 0.0) -> tuple[Any, NDArray[np.float64], NDArray[np.int64]]:
    """Sparse rows, the same ones with 0 in place of what is absent, and targets; some entries that are held are 0."""
    rng = np.random.default_rng(0)
    dense = np.round(rng.normal(size=(rows, 6)), 1) * (rng.random((rows, 6)) < 0.4)
    dense[rng.random(dense.shape) < gaps] = np.nan
    sparse = scipy.sparse.csr_matrix(dense)
    sparse.data[rng.random(sparse.nnz) < 0.1] = -0.0
    y = (np.nan_to_num(dense[:, 0]) - (dense[:, 1] == 0) + rng.normal(size=rows) / 4 > -0.4).astype(int)
    return sparse, sparse.toarray(), y


def with_missing(sparse: Any) -> NDArray[np.float64]:
    """Dense rows, NaN in place of what is absent."""
    dense = np.full(sparse.shape, np.nan)
    held = sparse.tocoo()
    dense[held.row, held.col] = held.data
    return dense


def trees_of(model: Any) -> list[bytes]:
    states = [own.tree_.__getstate__() for own in getattr(model, "estimators_", [model.model_])]
    return [state["nodes"].tobytes() + state["values"].tobytes() for state in states]


def new(estimator: Any) -> Any:
    return type(estimator)(**estimator.get_params())


def silos_of(sparse: Any, y: NDArray[np.int64], which: str = "sd") -> list[Silo]:
    """Silos that hold the rows in turn, sparse or dense."""
    parts = []
    for place, kind in enumerate(which):
        rows = sparse[place :: len(which)]
        parts.append(Silo(f"{place}", rows if kind == "s" else rows.toarray(), y[place :: len(which)]))
    return parts


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("form", ["csr", "csc", "coo", "twice"])
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=name_of)
def test_sparse_and_dense_rows_give_the_same_trees_and_predictions(estimator: Any, form: str) -> None:
    sparse, dense, y = table()
    if form == "twice":  # entries that stand twice are summed
        held = sparse.tocoo()
        both = np.concatenate([held.row, held.row]), np.concatenate([held.col, held.col])
        rows: Any = scipy.sparse.csr_matrix((np.concatenate([held.data, 3 * held.data]) / 4, both), sparse.shape)
        rows.has_canonical_format = False
    else:
        rows = sparse.asformat(form)
    silos = np.arange(len(y)) % 3
    models = [new(estimator).fit(own, y, silos=silos, row_id=np.arange(len(y))) for own in (rows, dense)]
    assert trees_of(models[0]) == trees_of(models[1])
    assert models[0]._schema.formats == models[1]._schema.formats
    predictions = {own.tobytes() for model in models for own in (model.predict(rows), model.predict(dense))}
    predictions |= {model.model_.predict(own).tobytes() for model in models for own in (sparse, dense)}
    assert len(predictions) == 1


def test_one_hot_columns_are_told_as_well_from_sparse_rows() -> None:
    levels = np.random.default_rng(0).integers(0, 5, (600, 3))
    y = (levels[:, 0] == 2) ^ (levels[:, 1] == 3)
    rows = OneHotEncoder().fit_transform(levels)
    model = FedTreeClassifier().fit(rows, y, silos=np.arange(600) % 3)
    assert model.score(rows, y) == model.score(rows.toarray(), y) == model.model_.score(rows, y) == 1


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("mode", ["fused", "faithful"])
@pytest.mark.parametrize("estimator", ESTIMATORS[::2], ids=name_of)
def test_sparse_and_dense_silos_together_mean_one_thing(estimator: Any, mode: str) -> None:
    sparse, dense, y = table(gaps=0.05)
    dense[dense == 0] = -0.0  # which is 0, too, wherever it stands
    pooled = new(estimator)
    if "oob_score" in pooled.get_params():  # rows have no ids
        pooled.set_params(bootstrap=False, oob_score=False)
    trees = trees_of(new(pooled).fit(dense, y))
    for which in ("ss", "sd", "dsd"):
        federation = LocalFederation(silos_of(sparse, y, which), mode=mode)
        assert trees_of(new(pooled).fit_federation(federation)) == trees


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_a_silo_reads_absent_entries_anew_for_every_training(mode: str) -> None:
    sparse, dense, y = table()
    silo = silos_of(sparse, y, "s")[0]
    bits, federation = silo.table.X.tobytes(), LocalFederation([silo], mode=mode)
    boosted, tree = new(BOOSTED).fit(sparse, y), FedTreeClassifier(max_depth=4).fit(dense, y)
    raw = boosted.get_booster().save_raw()
    assert raw == new(BOOSTED).fit(with_missing(sparse), y).get_booster().save_raw()
    for _ in range(2):
        assert new(BOOSTED).fit_federation(federation).get_booster().save_raw() == raw
        assert trees_of(FedTreeClassifier(max_depth=4).fit_federation(federation)) == trees_of(tree)
        # whoever reads the silo between two trainings reads what was given
        own = boosted.personalize(silo).predict_proba(sparse).tolist()
        assert own == boosted.personalize(Silo("0", with_missing(sparse), y)).predict_proba(sparse).tolist()
        assert new(BOOSTED).fit_federation(LocalFederation([silo])).get_booster().save_raw() == raw
    assert silo.as_read()[0].X.tobytes() == bits


def test_boosting_refuses_sparse_silos_beside_dense_ones() -> None:
    sparse, dense, y = table()
    said = "silo '1', unlike silo '0': rows are a sparse matrix, and what it does not hold is missing, not 0"
    for mode in ("fused", "faithful"):
        with pytest.raises(SchemaError, match=said):
            new(BOOSTED).fit_federation(LocalFederation(silos_of(sparse, y, "ds"), mode=mode))
    held_out = [Silo(name, sparse, y, eval_set=[(rows, y)]) for name, rows in zip("01", (sparse, dense), strict=True)]
    with pytest.raises(SchemaError, match=r"eval_set 0: silo '0', unlike silo '1': rows are a sparse matrix"):
        LocalFederation(held_out)
    # a silo without rows, and a matrix that holds all of them, are of no form
    full = scipy.sparse.csr_matrix(np.random.default_rng(0).normal(size=(50, 6)))
    silos = [*silos_of(sparse, y, "s"), Silo("none", np.zeros((0, 6)), np.zeros(0, int))]
    new(BOOSTED).fit_federation(LocalFederation(silos))
    new(BOOSTED).fit_federation(LocalFederation([Silo("full", full, y[:50]), Silo("dense", full.toarray(), y[:50])]))


def test_networks_take_sparse_and_dense_silos_together() -> None:
    sparse, dense, y = table()
    plain = FedAvgClassifier([4], n_rounds=2, random_state=0).fit_federation(LocalFederation(silos_of(sparse, y, "dd")))
    for which in ("ss", "sd"):
        silos = silos_of(sparse, y, which)
        bits = silos[0].table.X.tobytes()
        for mode in ("fused", "faithful"):
            model = FedAvgClassifier([4], n_rounds=2, random_state=0).fit_federation(LocalFederation(silos, mode=mode))
            assert model.predict_proba(dense).tolist() == plain.predict_proba(dense).tolist()
        own = model.personalize(silos[0]).predict_proba(dense)
        assert own.tolist() == plain.personalize(silos_of(sparse, y, "dd")[0]).predict_proba(dense).tolist()
        assert silos[0].as_read()[0].X.tobytes() == bits


def test_where_zero_is_missing_absent_entries_are() -> None:
    sparse, dense, y = table()
    models = [FedTreeClassifier(max_depth=4, missing=0).fit(rows, y) for rows in (sparse, dense)]
    assert trees_of(models[0]) == trees_of(models[1])
    assert models[0].predict(sparse).tolist() == models[0].predict(dense).tolist()


def test_sparse_rows_take_the_memory_of_the_table_and_no_more() -> None:
    rows = scipy.sparse.random(200_000, 20, 0.01, "csr", random_state=0)
    whole = 4 * rows.shape[0] * rows.shape[1]

    def peak(work: Any) -> int:
        tracemalloc.start()
        work()
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    for form in ("csr", "csc"):
        assert peak(lambda form=form: read_features(rows.asformat(form))) < 1.4 * whole
    X, _ = read_features(rows)
    assert peak(lambda: take_absent_as(X, zero=True)) < 0.2 * whole
    assert np.abs(X).sum() == pytest.approx(rows.sum())


# law: take_absent_as
@examples(60)
@given(seed=st.integers(0, 2**16), order=st.sampled_from("CF"), rows=st.integers(0, 50))
def test_absent_entries_are_told_from_all_others_either_way(seed: int, order: str, rows: int) -> None:
    rng = np.random.default_rng(seed)
    X, held = all_absent((rows, 4), order), rng.random((rows, 4)) < 0.5
    assert X.shape == (rows, 4) and X.flags[f"{order}_CONTIGUOUS"] and np.isnan(X).all()
    values = rng.choice(np.float32([0.0, -0.0, np.nan, 1.5, -1e-45]), X.shape)
    X[held] = apart_from_absent(values)[held]
    before = X.tobytes()
    for _ in range(2):
        take_absent_as(X, zero=True)
        assert np.array_equal(X, np.where(held, values, 0), equal_nan=True)
    take_absent_as(X[: rows // 2], zero=False)
    take_absent_as(X, zero=False)
    assert X.tobytes() == before and np.array_equal(X, np.where(held, values, np.nan), equal_nan=True)
