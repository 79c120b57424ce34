"""Tables: what is read from frames and arrays, and what two silos must have in common."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fedtrees import DataError, LocalFederation, SchemaError, Silo
from fedtrees.core.data.features import read_features
from fedtrees.core.data.record import decode, encode
from fedtrees.core.data.table import Schema, Table, agree, read_weight
from fedtrees.core.data.table_targets import labels_of, numbers_of, places_of

COLOURS = pd.CategoricalDtype(["red", "green", "blue"])


def frame(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame(columns or {"age": [37.0, np.nan], "colour": pd.Series(["blue", None], dtype=COLOURS)})


# -- what is read -----------------------------------------------------------------------------------------


@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=2), elements=st.floats(width=32, allow_infinity=False)))
def test_float32_is_read_as_it_is(X: np.ndarray) -> None:
    for given_ in (X, np.asfortranarray(X), X.astype(np.float64), pd.DataFrame(X)):
        values, schema = read_features(given_)
        assert values.dtype == np.float32
        np.testing.assert_array_equal(values, X)
        letter = "" if isinstance(given_, pd.DataFrame) else "f"  # pandas counts columns where none are named
        assert schema.names == [f"{letter}{i}" for i in range(X.shape[1])]
        assert schema.named == (not letter) and not schema.labelled


def test_a_float32_array_is_not_copied() -> None:
    X = np.zeros((3, 2), np.float32)
    assert read_features(X)[0] is X


def test_a_frame_s_names_and_categories_are_its_schema() -> None:
    values, schema = read_features(frame())
    np.testing.assert_array_equal(values, np.float32([[37, 2], [np.nan, np.nan]]))
    assert schema.names == ["age", "colour"] and schema.named
    assert schema.kinds == ["number", "category"]
    assert schema.categories == {"colour": ["red", "green", "blue"]}


@pytest.mark.parametrize(
    ("column", "read"),
    [
        ([True, False], [1, 0]),
        (np.array([1, -2], np.int8), [1, -2]),
        (np.array([2**40, 1]), [2**40, 1]),
        (pd.array([1, None], dtype="Int64"), [1, np.nan]),
        (pd.array([0.5, None], dtype="Float64"), [0.5, np.nan]),
        (pd.array([True, None], dtype="boolean"), [1, np.nan]),
        (pd.arrays.SparseArray([0.0, 3.0]), [0, 3]),
        (pd.Categorical([10, 20], categories=[20, 10, 30]), [1, 0]),
        (pd.Categorical([None, pd.Timestamp("2020-01-01")]), [np.nan, 0]),
    ],
    ids=str,
)
def test_columns_of_each_kind(column: Any, read: list[float]) -> None:
    values, schema = read_features(pd.DataFrame({"a": column}))
    np.testing.assert_array_equal(values[:, 0], np.float32(read))
    back = decode(encode(schema), Schema)  # whatever it is, it travels
    assert back.categories == schema.categories


@pytest.mark.parametrize(
    "X", [[[1, 2], [3, 4]], np.array([[1, 2], [3, 4]], object), np.array([[1.0, 2], [3, 4]], np.float16)], ids=str
)
def test_lists_and_arrays_of_other_numbers(X: Any) -> None:
    np.testing.assert_array_equal(read_features(X)[0], np.float32([[1, 2], [3, 4]]))


def test_what_is_masked_is_missing() -> None:
    for dtype in (np.float32, np.int64):
        X = np.ma.array([[1, 2], [3, 4]], mask=[[False, True], [False, False]], dtype=dtype)
        np.testing.assert_array_equal(read_features(X)[0], np.float32([[1, np.nan], [3, 4]]))


def test_none_in_an_array_of_objects_is_missing() -> None:
    np.testing.assert_array_equal(read_features(np.array([[1.0, None]], object))[0], np.float32([[1, np.nan]]))


# -- against a known schema -------------------------------------------------------------------------------


def test_categories_are_read_by_the_codes_of_training() -> None:
    _, known = read_features(frame())
    other = frame(age=[1.0, 2.0, 3.0], colour=pd.Categorical(["blue", "red", None], categories=["blue", "red"]))
    values, schema = read_features(other, known=known)
    assert schema is known
    np.testing.assert_array_equal(values[:, 1], np.float32([2, 0, np.nan]))


def test_categories_that_are_not_used_need_not_be_known() -> None:
    _, known = read_features(frame())
    other = frame(age=[1.0], colour=pd.Categorical(["red"], categories=["violet", "red"]))
    np.testing.assert_array_equal(read_features(other, known=known)[0], np.float32([[1, 0]]))


@pytest.mark.parametrize(
    ("X", "text"),
    [
        (frame(age=[1.0], colour=pd.Categorical(["violet"])), "column 'colour': category 'violet' was not there in"),
        (frame(age=[1.0], colour=[2.0]), "column 'colour' is a number and was a category in training"),
        (frame(age=pd.Categorical([1.0]), colour=pd.Categorical(["red"])), "column 'age' is a category and was a numb"),
        (frame(age=[1.0]), "column 'colour' is missing"),
        (frame(age=[1.0], colour=[1.0], weight=[1.0]), "column 'weight' is one too many"),
        (frame(colour=[1.0], age=[1.0]), "another order, from 'age' on"),
        (np.zeros((1, 3)), "X has 3 features, but fedtrees is expecting 2 features as input"),
        (np.zeros((1, 1)), "X has 1 features, but fedtrees is expecting 2 features as input"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_other_columns_than_those_of_training_are_refused(X: Any, text: str) -> None:
    _, known = read_features(frame())
    with pytest.raises(SchemaError, match=re.escape(text)):
        read_features(X, known=known)


@pytest.mark.parametrize("n", [1, 3])
def test_a_frame_of_another_width_is_refused_where_training_had_no_names(n: int) -> None:
    _, known = read_features(np.zeros((1, 2)))
    with pytest.raises(SchemaError, match=f"X has {n} features, but fedtrees is expecting 2"):
        read_features(pd.DataFrame(np.zeros((1, n)), columns=list("abc")[:n]), known=known)
    assert read_features(pd.DataFrame({"a": [1.0], "b": [2.0]}), known=known)[0].tolist() == [[1, 2]]


# -- weights ----------------------------------------------------------------------------------------------


def test_weights_are_read_as_float32() -> None:
    assert read_weight(None, 3) is None
    for weight in ([1, 2, 3], (1.0, 2.0, 3.0), pd.Series([1, 2, 3]), np.array([1, 2, 3], object)):
        values = read_weight(weight, 3)
        assert values is not None and values.dtype == np.float32 and values.tolist() == [1, 2, 3]
    assert read_weight(2.5, 2).tolist() == [2.5, 2.5]  # type: ignore[union-attr]


# -- tables -----------------------------------------------------------------------------------------------


def test_a_row_s_silo_is_found_also_beside_empty_silos() -> None:
    schema = Schema(["f0"], ["number"], {}, False)
    starts = np.array([0, 0, 2, 2, 3, 3])
    table = Table(schema, np.zeros((3, 1), np.float32), np.zeros(3), None, list("abcde"), starts)
    assert [table.silo_of(row) for row in range(3)] == ["b", "b", "d"]
    assert (table.n_rows, table.n_features) == (3, 1)


@pytest.mark.parametrize(
    "parts",
    [
        ([1.0, 1e60], [np.nan, 1.0]), ([0, 10**60], [1.0, None]), ([0, 1], [object(), 1]), ([0, 1], [1, (1, 2)]),
        ([1.0, 0.0], [1.0, (0,)], [None, 1.0]), ([0.0, 1.0], [0.5, 1.0], [np.inf, 0.0]),
    ],
    ids=["large and NaN", "whole and None", "an object", "a tuple", "three silos", "infinite"],
)  # fmt: skip
@pytest.mark.parametrize("read", ["numbers", "places", "labels"])
def test_of_several_silos_with_wrong_targets_the_first_one_is_named_as_if_alone(parts: Any, read: str) -> None:
    """In the one table of the fused mode: silos that are asked one by one say no other."""
    of: Any = {"numbers": numbers_of, "places": partial(places_of, labels=[0.0, 1.0]), "labels": labels_of}[read]
    ys = [np.array([*y, None], object)[:-1] for y in parts]
    ys = [y.astype(float) if all(isinstance(value, float) for value in y) else y for y in ys]
    silos = [Silo(name, np.zeros((2, 1)), y, n_jobs=1) for name, y in zip("abc", ys, strict=False)]
    errors = []
    for table in (*(silo.table for silo in silos), LocalFederation(silos, n_jobs=1).table):
        try:
            of(table)
        except DataError as error:
            errors.append(str(error))
    assert errors and errors[-1] == errors[0]


@pytest.mark.parametrize(
    ("queries", "starts"),
    [(None, [0, 2, 3]), ([4, 4, 4], [0, 2, 3]), ([7, 8, 8], [0, 1, 2, 3]), ([1, 1, 2], [0, 2, 3])],
)
def test_a_group_starts_where_another_row_s_ended_and_with_its_silo(queries: list[int] | None, starts: Any) -> None:
    """Silos without rows have none."""
    ids = None if queries is None else np.array(queries, np.uint64)
    borders = np.array([0, 0, 2, 2, 3, 3])
    table = Table(schema(), np.zeros((3, 2), np.float32), np.zeros(3), None, list("abcde"), borders, groups=ids)
    assert table.group_starts().tolist() == starts
    none = Table(schema(), np.zeros((0, 2), np.float32), np.zeros(0), None, ["a", "b"], np.zeros(3, np.int64))
    assert none.group_starts().tolist() == [0]


# -- agreement --------------------------------------------------------------------------------------------


def schema(names: str = "ab", labels: list[Any] | None = None, named: bool = True, **other: Any) -> Schema:
    kinds = ["category" if name in other else "number" for name in names]
    return Schema(list(names), kinds, other, named, labels)


def test_equal_schemas_agree() -> None:
    agreed = agree([("mayo", schema(b=["x"])), ("ucla", schema(b=["x"]))])
    assert (agreed.names, agreed.kinds, agreed.categories) == (["a", "b"], ["number", "category"], {"b": ["x"]})
    assert agreed.labels is None


@pytest.mark.parametrize(
    ("labels", "agreed"),
    [
        ([[0, 1], [1, 2]], [0, 1, 2]),
        ([["b"], [], ["a"]], ["a", "b"]),
        ([[], [False, True]], [False, True]),
        ([[0, 1], [1.0, 2.0]], [0.0, 1.0, 2.0]),
        ([[1.0, 2.0], [0, 1]], [0.0, 1.0, 2.0]),
        ([[False], [2]], [0, 2]),
        ([[], []], []),
        ([[-(2**60), 2**60], [0]], [-(2**60), 0, 2**60]),
    ],
    ids=str,
)
def test_labels_of_all_silos_are_merged_in_one_kind(labels: list[list[Any]], agreed: list[Any]) -> None:
    merged = agree([(str(k), schema(labels=own)) for k, own in enumerate(labels)]).labels
    assert merged == agreed
    assert [type(label) for label in merged] == [type(label) for label in agreed]


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (schema("a"), "column 'b' is missing"),
        (schema("abc"), "column 'c' is one too many"),
        (schema("ba"), "the columns stand in another order, from 'a' on"),
        (schema("ac"), "column 'b' is missing"),
        (schema(named=False), "columns without names"),
        (schema("abc", named=False), "3 columns, not 2"),
        (schema(b=["x"]), "column 'b' is a category, not a number"),
        (schema(labels=["x"]), "y holds texts, not numbers"),
    ],
)
def test_what_differs_is_named_with_the_silo(other: Schema, text: str) -> None:
    same = schema(labels=[0])
    with pytest.raises(SchemaError, match=f"^silo 'ucla', unlike silo 'mayo': {text}"):
        agree([("mayo", same), ("nyu", same), ("ucla", other)])


@pytest.mark.parametrize("other", [["x", "y"], ["y", "x", "z"], ["x", "y", "z", "w"], []], ids=str)
def test_other_categories_are_joined(other: list[Any]) -> None:
    told = [("mayo", schema(b=["x", "y", "z"])), ("ucla", schema(b=other))]
    agreed = agree(told)
    assert sorted(agreed.categories["b"]) == sorted({"x", "y", "z", *other})
    assert agree(told[::-1]).categories == agreed.categories


def test_categories_of_another_kind_are_refused() -> None:
    text = r"^silo 'ucla', unlike silo 'mayo': column 'b' has categories that are numbers, not texts"
    for other in ([1, 2, 3], [1]):
        told = [("mayo", schema(b=["x", "y"])), ("nyu", schema(b=[])), ("ucla", schema(b=other))]
        with pytest.raises(SchemaError, match=text):
            agree(told)
        with pytest.raises(SchemaError, match=text):
            agree(told[::-1])


def test_infinities_are_named_by_the_silo_of_their_row() -> None:
    X = np.zeros((70_000, 2), np.float32)
    X[66_000, 1] = np.inf
    ids = np.where(np.arange(len(X)) < 65_000, "mayo", "ucla")
    with pytest.raises(
        DataError, match=r"^silo 'ucla': column 'f1' is infinity \(or too large for float32\) in row 66000"
    ):
        read_features(X, silos=ids)
