"""What features are read from: sparse matrices, nullable and Arrow columns, tables of other libraries, markers."""

from __future__ import annotations

import sys
import tracemalloc
import types
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import xgboost
from numpy.typing import NDArray

from fedtrees import (
    DataError,
    DataTypeError,
    FedGBTClassifier,
    FedGBTRegressor,
    LocalFederation,
    MissingExtraError,
    Silo,
)
from fedtrees.core.data.features import read_features

NAN = np.nan

# -- sparse -------------------------------------------------------------------------------------------------

STORED = np.float32([[NAN, 2, NAN], [0, NAN, -1.5], [NAN, NAN, NAN]])  # a zero that is held is a zero


def sparse(kind: str) -> Any:
    rows, columns = [0, 1, 1], [1, 0, 2]
    held = scipy.sparse.coo_array(([2.0, 0.0, -1.5], (rows, columns)), shape=(3, 3))
    return held.asformat(kind)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil", "dok", "bsr"])
def test_what_a_sparse_matrix_does_not_hold_is_missing(kind: str) -> None:
    values, schema = read_features(sparse(kind))
    if kind in ("lil", "dok", "bsr"):  # which hold no zeros, or too many
        assert np.isnan(values[2]).all() or kind == "bsr"
        assert values[0, 1] == 2 and values[1, 2] == -1.5
    else:
        np.testing.assert_array_equal(values, STORED)
    assert values.dtype == np.float32 and schema.names == ["f0", "f1", "f2"] and not schema.named


def test_entries_that_stand_twice_are_summed() -> None:
    twice = scipy.sparse.coo_array(([1.0, 2.0, 5.0], ([0, 0, 1], [1, 1, 0])), shape=(2, 2))
    np.testing.assert_array_equal(read_features(twice)[0], np.float32([[NAN, 3], [5, NAN]]))
    unsorted = scipy.sparse.csr_array((np.array([1.0, 2.0, 5.0]), np.array([1, 0, 1]), np.array([0, 3])), shape=(1, 2))
    before = unsorted.data.copy()
    np.testing.assert_array_equal(read_features(unsorted)[0], np.float32([[2, 6]]))
    assert unsorted.data.tolist() == before.tolist()  # what was given is not touched


def test_a_sparse_matrix_is_read_as_xgboost_reads_it() -> None:
    rng = np.random.default_rng(0)
    X = scipy.sparse.random_array((400, 6), density=0.3, format="csr", rng=rng)
    X.data = np.round(X.data, 1) + 0.1  # none of those held is a zero
    y = np.asarray(X.sum(axis=1)).ravel()
    ours = FedGBTRegressor(5, max_depth=3).fit(X, y, silos=np.arange(400) % 3)
    theirs = xgboost.XGBRegressor(n_estimators=5, max_depth=3, tree_method="hist").fit(X, y)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-5)
    dense = X.toarray()
    dense[dense == 0] = NAN
    assert ours.predict(X).tobytes() == ours.predict(dense).tobytes()


def test_no_float64_table_is_made_of_a_sparse_one() -> None:
    X = scipy.sparse.random_array((20_000, 50), density=0.01, format="csr", rng=np.random.default_rng(0))
    tracemalloc.start()
    read_features(X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.6 * 20_000 * 50 * 4


def test_a_silo_reads_sparse_tables_too() -> None:
    X, y = sparse("csr"), [0, 1, 0]
    pooled = FedGBTClassifier(1, min_child_weight=0).fit(X, y)
    silos = [Silo("a", X[:2], y[:2]), Silo("b", X[2:], y[2:])]
    apart = FedGBTClassifier(1, min_child_weight=0).fit_federation(LocalFederation(silos))
    assert apart.booster_.save_raw("ubj") == pooled.booster_.save_raw("ubj")


def test_sparse_tables_are_checked() -> None:
    with pytest.raises(DataError, match=r"column 'f1' is infinity .* in row 0"):
        read_features(scipy.sparse.csr_array([[0, np.inf]]))
    with pytest.raises(DataError, match="Complex data not supported"):
        read_features(scipy.sparse.eye_array(3, dtype=complex))
    with pytest.raises(DataError, match="X has 2 features, but fedtrees is expecting 3"):
        read_features(sparse("csr")[:, :2], known=read_features(sparse("csr"))[1])


# -- pandas -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["Int8", "UInt16", "Int64", "Float32", "Float64", "boolean"])
def test_nullable_columns_are_numbers_and_missing_ones_nan(dtype: str) -> None:
    frame = pd.DataFrame({"a": pd.array([1, None, 0], dtype=dtype), "b": [0.5, 1.5, 2.5]})
    values, schema = read_features(frame)
    np.testing.assert_array_equal(values, np.float32([[1, 0.5], [NAN, 1.5], [0, 2.5]]))
    assert schema.kinds == ["number", "number"]


def test_nullable_and_plain_columns_give_the_same_model() -> None:
    rng = np.random.default_rng(0)
    plain = pd.DataFrame({"a": rng.integers(0, 9, 200).astype(float), "b": rng.normal(size=200)})
    plain.loc[::7, "a"] = NAN
    nullable = plain.convert_dtypes()
    y = pd.array(rng.integers(0, 2, 200), dtype="Int64")
    models = [FedGBTClassifier(3).fit(frame, y) for frame in (plain, nullable)]
    assert nullable.dtypes["a"].name == "Int64"
    assert models[0].booster_.save_raw("ubj") == models[1].booster_.save_raw("ubj")
    assert models[0].predict(nullable).tolist() == models[0].predict(plain).tolist()


def test_cells_that_are_no_numbers_are_errors_of_type_too() -> None:
    with pytest.raises(DataTypeError, match=r"column 'f0' holds objects such as {.*not 'dict'\), not numbers"):
        read_features(np.array([[{}]], object))
    assert issubclass(DataTypeError, TypeError) and issubclass(DataTypeError, DataError)


# -- tables of other libraries ------------------------------------------------------------------------------


class Elsewhere:
    """A table that speaks Arrow, as those of polars do."""

    columns: tuple[str, ...] = ()
    dtypes: tuple[Any, ...] = ()

    def __init__(self, frame: pd.DataFrame):
        self.frame = frame

    def to_arrow(self) -> Elsewhere:
        return self

    def to_pandas(self, types_mapper: Any) -> pd.DataFrame:
        assert types_mapper("dictionary") is None
        return self.frame


@pytest.fixture
def arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = types.ModuleType("pyarrow")
    stand_in.types = types.SimpleNamespace(is_dictionary=lambda own: own == "dictionary")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyarrow", stand_in)


class Lazy:
    """A table that is not there yet."""

    def collect(self) -> Elsewhere:
        raise AssertionError

    @property
    def columns(self) -> list[str]:
        raise AssertionError

    dtypes = columns


def test_a_lazy_table_is_not_computed_unasked() -> None:
    with pytest.raises(DataError, match="X is a lazy table; collect it first"):
        read_features(Lazy())


@pytest.mark.usefixtures("arrow")
def test_a_table_that_speaks_arrow_is_read_with_its_names_and_categories() -> None:
    frame = pd.DataFrame({"age": [1.0, NAN], "sex": pd.Categorical(["f", "m"])})
    values, schema = read_features(Elsewhere(frame))
    np.testing.assert_array_equal(values, np.float32([[1, 0], [NAN, 1]]))
    assert schema.names == ["age", "sex"] and schema.named and schema.categories == {"sex": ["f", "m"]}


def test_without_pyarrow_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"needs pyarrow; pip install '\.\[arrow\]'"):
        read_features(Elsewhere(pd.DataFrame({"age": [1.0]})))


# -- a number that stands for a missing value ---------------------------------------------------------------


def marked(missing: float) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    X = np.round(rng.normal(size=(300, 3)), 1).astype(np.float32)
    gone = rng.random(X.shape) < 0.2
    y = (np.where(gone[:, 0], 1, X[:, 1]) > 0.2).astype(int)
    return np.where(gone, NAN, X).astype(np.float32), np.where(gone, missing, X).astype(np.float32), y


@pytest.mark.parametrize("missing", [-999.0, 1e30, np.inf])
def test_a_marker_is_missing_in_training_scoring_and_prediction(missing: float) -> None:
    plain, given, y = marked(missing)
    expected = FedGBTClassifier(4).fit(plain, y, eval_set=[(plain, y)])
    model = FedGBTClassifier(4, missing=missing).fit(given, y, silos=np.arange(300) % 3, eval_set=[(given, y)])
    assert model.booster_.save_raw("ubj") == expected.booster_.save_raw("ubj")
    assert model.evals_result() == expected.evals_result()
    assert model.predict_proba(given).tobytes() == expected.predict_proba(plain).tobytes()
    theirs = xgboost.XGBClassifier(n_estimators=4, missing=missing).fit(given, y)
    np.testing.assert_allclose(model.predict_proba(given), theirs.predict_proba(given), rtol=1e-4)


def test_a_silo_has_a_marker_of_its_own() -> None:
    plain, given, y = marked(-1.0)
    silos = [Silo("a", plain[:100], y[:100]), Silo("b", given[100:], y[100:], missing=-1.0)]
    plain[100:][plain[100:] == -1] = NAN
    apart = FedGBTClassifier(4).fit_federation(LocalFederation(silos))
    assert apart.booster_.save_raw("ubj") == FedGBTClassifier(4).fit(plain, y).booster_.save_raw("ubj")


def test_a_code_of_a_category_is_no_marker() -> None:
    frame = pd.DataFrame({"sex": pd.Categorical(["f", "m"]), "n": [0.0, 1.0]})
    np.testing.assert_array_equal(read_features(frame, missing=0)[0], np.float32([[0, NAN], [1, 1]]))


@pytest.mark.parametrize("name", ["", "a[1]", "age<30", "b]"])
def test_a_name_that_xgboost_does_not_take_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="XGBoost takes no feature name"):
        read_features(pd.DataFrame({"age": [1.0], name: [2.0]}))
