"""Schemas, calls, groups and samplers exactly where one more or one less would be another answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from fedtrees import DataError, FedGBTClassifier, LocalFederation, Period, SchemaError, Silo
from fedtrees.core.data.features import read_features
from fedtrees.core.data.labels import columns_of_labels, joined_labels, label_array, places_among
from fedtrees.core.data.ranking_groups import ids_of_groups, rows_to_keep
from fedtrees.core.data.table import agree
from fedtrees.core.data.table_targets import numbers_of
from fedtrees.core.data.target import read_margin, refuse_mixed_targets
from fedtrees.core.data.texts import odd_text
from fedtrees.core.protocol.log import Call, Log
from fedtrees.core.protocol.query import Query


class Whole(Query, frozen=True, eq=False):
    """Of which every silo is needed."""


class Part(Query, frozen=True, eq=False):
    """Of which some will do."""

    partial = True


def test_a_call_is_partial_if_all_its_questions_are() -> None:
    log = Log(bytes(16))
    said = [
        Call(log, 0, own).partial
        for own in ([Part()], [Part(), Part()], [Part(), Whole()], [Whole(), Part()], [Whole()])
    ]
    assert said == [True, True, False, False, False]


def test_days_begin_earlier_in_silos_that_stand_later() -> None:
    there = np.array([Period(length=6, present=2)(round, 3) for round in range(6)])
    # silo 0 in rounds 0 and 1, silo 1 two rounds earlier, silo 2 four
    assert there.T.astype(int).tolist() == [[1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1], [0, 0, 1, 1, 0, 0]]
    assert Period(3, 3)(1, 4).all() and Period(1, 1)(5, 2).all()


@pytest.mark.parametrize(
    ("group", "n", "fine"),
    [
        ([2, 1], 3, True),
        ([2, 0, 1], 3, False),
        ([2, 1], 4, False),
        ([2, 2], 3, False),
        ([2.5, 0.5], 3, False),
        ([-1, 4], 3, False),
        ([[3]], 3, False),
    ],
)
def test_groups_have_rows_and_theirs_are_all(group: Any, n: int, fine: bool) -> None:
    if fine:
        assert ids_of_groups(group, n).tolist() == [0, 0, 1]
    else:
        with pytest.raises(DataError, match=r"^group"):
            ids_of_groups(group, n)


def test_rows_of_a_query_stand_side_by_side_in_their_order_silo_by_silo() -> None:
    queries, silos = np.uint64([7, 1, 7, 1, 7, 1]), np.array([1, 1, 0, 0, 1, 1])
    assert rows_to_keep(None, queries, silos).tolist() == [3, 2, 1, 5, 0, 4]
    assert rows_to_keep(None, queries).tolist() == [1, 3, 5, 0, 2, 4]
    assert rows_to_keep(np.float32([1, 0, 1, 1, 1, 1]), queries).tolist() == [3, 5, 0, 2, 4]
    assert rows_to_keep(np.float32([1, 0, 1, 1, 1, 1]), None).tolist() == [0, 2, 3, 4, 5]
    assert rows_to_keep(np.ones(6, np.float32), None) is None


@pytest.mark.parametrize(
    ("one", "two", "fine"),
    [
        ([-1], [2**63 - 1], True),
        ([-1], [2**63], False),
        ([0], [2**63], True),
        ([0.0], [2**53], True),
        ([0.0], [2**53 + 1], False),
        ([0.0], [-(2**53)], True),
        ([0.0], [-(2**53) - 1], False),
        ([True], [2**64 - 1], True),
    ],
)
def test_labels_of_two_silos_that_one_type_holds(one: list[Any], two: list[Any], fine: bool) -> None:
    for parts in ([("a", one), ("b", two)], [("b", two), ("a", one)]):
        if fine:
            assert joined_labels(parts) == sorted([*one, *two])
        else:
            with pytest.raises(SchemaError, match=r"^silo 'a', unlike silo 'b': y holds "):
                joined_labels(parts)


KINDS: dict[str, list[Any]] = {  # at the ends of what each type holds, and of what floats tell apart
    "i8": [-(2**63), -(2**53) - 1, -(2**53), -1, 0, 1, 2, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1],
    "u8": [0, 1, 2, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1],
    "f8": [-(2.0**53), -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 2.0**53],
    "?": [False, True],
}


@pytest.mark.parametrize("theirs", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_found_among_those_of_any_other_type_by_what_they_are(kind: str, theirs: str) -> None:
    """Python compares whole numbers and floats exactly."""
    y, every = np.array(KINDS[kind], kind), KINDS[theirs]
    for labels in (every, every[1:], every[:-1], every[1:-1], every[::2]):
        found = places_among(labels, y).tolist()
        assert found == [labels.index(own) if own in labels else -1 for own in y.tolist()]
    assert places_among(["0", "1"], y).tolist() == [-1] * len(y)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([2**63 - 1, -(2**63)], "i8"), ([2**63 - 1, 0], "i8"), ([-(2**63), 0], "i8"), ([2**63, 0], "u8"),
        ([2**64 - 1, 0], "u8"), ([0.5, 2**53], "f8"), ([0.5, -(2**53)], "f8"), ([True, 2], "i8"),
        ([True, np.False_], "?"), ([True, 0.5], "f8"), (["a", "bc"], "U2"),
    ],
    ids=str,
)  # fmt: skip
def test_labels_of_objects_have_the_type_that_holds_them(values: list[Any], dtype: str) -> None:
    found = label_array(np.array(values, object))
    assert found.dtype == np.dtype(dtype) and found.tolist() == values


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([2**63, -1], "numbers below 0, and others beyond 63 bits"), ([2**64, 0], "whole numbers beyond 64 bits"),
        ([-(2**63) - 1, 0], "whole numbers beyond 64 bits"), ([2**64 - 1, -1], "numbers below 0, and others beyond 63"),
        ([0.5, 2**53 + 1], "floats, and whole numbers"), ([0.5, -(2**53) - 1], "floats, and whole numbers"),
    ],
    ids=str,
)  # fmt: skip
def test_labels_that_no_type_holds_are_refused(values: list[Any], text: str) -> None:
    with pytest.raises(DataError, match=f"y holds {text}"):
        label_array(np.array(values, object))


def test_labels_of_several_columns_are_of_one_type_where_one_holds_them_all() -> None:
    for columns, dtype in (
        ([[0, 1], [0.5]], "f8"), ([[2**53], [0.5]], "f8"), ([[-(2**53)], [0.5]], "f8"), ([[2**53 + 1], [0.5]], "O"),
        ([[-(2**53) - 1], [0.5]], "O"), ([[2**63], [1]], "O"), ([[2**63], [2**64 - 1]], "u8"), ([[True], [1]], "O"),
        ([[True], [False]], "?"), ([["a"], [1]], "O"), ([["a"], ["bc"]], "U2"), ([[0.5], [0.25]], "f8"),
        ([[1], []], "i8"),
    ):  # fmt: skip
        for given in (columns, columns[::-1]):
            found = columns_of_labels(given)
            assert [own.tolist() for own in found] == given
            assert {own.dtype.kind for own in found} == {np.dtype(dtype).kind}


@pytest.mark.parametrize("order", [1, -1])
def test_silos_of_texts_and_of_numbers_do_not_go_together(order: int) -> None:
    texts, numbers, nothing = ("a", np.array(["x"])), ("b", np.array([1.0])), ("c", np.array([], object))
    refuse_mixed_targets([texts, nothing, texts][::order])
    refuse_mixed_targets([nothing, numbers, numbers][::order])
    one, other = [texts, numbers][::order]
    what = {"a": "texts", "b": "numbers"}
    with pytest.raises(SchemaError, match=f"silo '{other[0]}', unlike silo '{one[0]}': y holds {what[other[0]]}, not"):
        refuse_mixed_targets([nothing, one, other])
    pairs = [(name, np.array([[1, own[0]]], object)) for name, own in (one, other)]
    with pytest.raises(SchemaError, match=f"silo '{other[0]}', unlike silo '{one[0]}': column 1 of y holds"):
        refuse_mixed_targets(pairs)


@pytest.mark.parametrize("row", [0, 1, 2])
@pytest.mark.parametrize("column", [0, 1])
def test_the_row_of_a_wrong_number_is_named_whatever_its_column(row: int, column: int) -> None:
    values = np.ones((3, 2))
    values[row, column] = np.nan
    values[2] = np.nan
    with pytest.raises(DataError, match=f"base_margin is NaN or infinite in row {row};"):
        read_margin(values, 3)
    with pytest.raises(DataError, match=f"silo 'a': y, row {row}: NaN, infinity or None"):
        Silo("a", np.zeros((3, 1)), values).targets(None)


@pytest.mark.parametrize(("column", "value"), [(0, np.inf), (1, -np.inf), (0, np.nan), (1, np.nan)])
def test_bounds_of_times_are_open_in_one_direction_each(column: int, value: float) -> None:
    fine = np.array([[-np.inf, 1], [0, np.inf], [2, 3]])
    table = Silo("a", np.zeros((3, 1)), fine).table
    assert numbers_of(table, open_above=True).tolist() == [[0, 1], [0, np.inf], [2, 3]]
    with pytest.raises(DataError, match="row 0: NaN, infinity or None"):
        numbers_of(table)
    fine[1, column] = value
    with pytest.raises(DataError, match="row 1: NaN, infinity or None"):
        numbers_of(Silo("a", np.zeros((3, 1)), fine).table, open_above=True)


@pytest.mark.parametrize("most", [2**53, 2**53 + 1, 2**54, -(2**53), -(2**53) - 1, 2**63 - 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("other", [[0.5, 1.0], [True, False], [-1, 2], [1.0]], ids=str)
def test_targets_of_silos_that_are_joined_stay_what_they_are(most: int, other: list[Any]) -> None:
    silos = [Silo("a", np.zeros((2, 1)), [most, 1]), Silo("b", np.zeros((len(other), 1)), other)]
    assert [int(own) for own in LocalFederation(silos).table.y[:2]] == [most, 1]
    assert LocalFederation(silos).table.y[2:].tolist() == other


@pytest.mark.parametrize(
    ("least", "most", "dtype"),
    [
        (0, 255, "u1"), (0, 256, "u2"), (1, 2**16 - 1, "u2"), (0, 2**16, "u4"), (0, 2**32 - 1, "u4"),
        (0, 2**32, "u8"), (0, 2**64 - 1, "u8"), (-1, 127, "i1"), (-128, 0, "i1"), (-1, 128, "i2"), (-129, 0, "i2"),
        (-(2**15), 2**15 - 1, "i2"), (-1, 2**15, "i4"), (-(2**31), 2**31 - 1, "i4"), (-1, 2**31, "i8"),
        (-(2**31) - 1, 0, "i8"), (-(2**63), 2**63 - 1, "i8"),
    ],
)  # fmt: skip
def test_whole_targets_that_are_put_in_order_take_few_bytes_and_stay_what_they_are(
    least: int, most: int, dtype: str
) -> None:
    given = np.array([most, least, most], np.uint64 if most > 2**63 - 1 else np.int64)
    table = LocalFederation.from_table(np.zeros((3, 1)), given, silos=list("bab")).table
    assert table.y.tolist() == [least, most, most] and table.y.dtype == np.dtype(dtype)


def test_silos_without_rows_have_no_number_of_targets() -> None:
    none, two = Silo("a", np.zeros((0, 1)), []), Silo("b", np.zeros((2, 1)), np.zeros((2, 2)))
    schemas = [(own.name, own.schema(False)) for own in (none, two)]
    assert [own.targets for _, own in schemas] == [0, 2]
    assert agree(schemas).targets == agree(schemas[::-1]).targets == 2 and agree(schemas[:1]).targets == 1
    one = Silo("c", np.zeros((2, 1)), np.zeros(2)).schema(False)
    with pytest.raises(SchemaError, match=r"^silo 'c', unlike silo 'b': y has 1 columns, not 2"):
        agree([*schemas, ("c", one)])
    with pytest.raises(SchemaError, match=r"^silo 'b', unlike silo 'c': y has 2 columns, not 1"):
        agree([("c", one), *schemas])


def test_widths_of_whole_categories_are_those_of_silos_that_have_some() -> None:
    def schema(dtype: Any) -> Any:
        column = (
            pd.Series([None, None], dtype="category")
            if dtype is None
            else pd.Series([1, 2], dtype=dtype).astype("category")
        )
        return Silo("s", pd.DataFrame({"a": column}), [0, 1]).schema(False)

    of = {
        name: (name, schema(dtype))
        for name, dtype in (("none", None), ("i1", "i1"), ("i4", "i4"), ("i8", "i8"), ("i1 too", "i1"))
    }
    assert schema("i4").widths == {"a": 32} and schema("i2").widths == {"a": 16} and schema("i8").widths == {}
    assert agree([of["i1"], of["none"]]).widths == agree([of["none"], of["i1"], of["i1 too"]]).widths == {"a": 8}
    for different in (["i1", "i4"], ["i1", "i8"], ["i8", "i8"]):
        assert agree([of[name] for name in different]).widths == {}


@pytest.mark.parametrize("row", [0, 65_535, 65_536, 65_537])
def test_infinities_are_found_and_placed_in_any_row(row: int) -> None:
    X = np.zeros((65_540, 2), np.float32)
    X[row, 1] = -np.inf
    silos = np.where(np.arange(len(X)) == row, "odd", "plain")
    with pytest.raises(DataError, match=rf"^column 'f1' is infinity .* in row {row}; make it a number"):
        read_features(X)
    with pytest.raises(DataError, match=rf"^silo 'odd': column 'f1' is infinity .* in row {row}"):
        read_features(X, silos=silos)


@pytest.mark.parametrize("form", ["csr_array", "csc_array", "coo_array", "bsr_array"])
def test_entries_that_stand_twice_are_summed_in_any_form(form: str) -> None:
    rows, columns, values = [0, 0, 2, 1, 1], [1, 1, 0, 2, 2], [1.0, 2, 5, 3, -3]
    matrix = getattr(scipy.sparse, form)(scipy.sparse.coo_array((values, (rows, columns)), shape=(3, 3)))
    if form == "csr_array":
        matrix = scipy.sparse.csr_array(
            (np.array([1.0, 2, 3, -3, 5]), np.array([1, 1, 2, 2, 0]), np.array([0, 2, 4, 5]))
        )
    for missing, gap in ((np.nan, np.nan), (0, np.nan)):
        found, _ = read_features(matrix, missing=missing)
        zero = 0 if np.isnan(missing) else gap  # held, as 3 less 3 is
        expected = np.array([[gap, 3, gap], [gap, gap, zero], [5, gap, gap]])
        np.testing.assert_array_equal(np.nan_to_num(found, nan=-9), np.nan_to_num(expected, nan=-9))
    found, _ = read_features(matrix, absent=0)
    np.testing.assert_array_equal(found, [[0, 3, 0], [0, 0, 0], [5, 0, 0]])


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_ledgers_begin_with_what_the_schemas_take(mode: str) -> None:
    silos = [Silo(name, np.eye(4), [0, 1, 0, 1], n_jobs=1) for name in ("a", "b")]
    model = FedGBTClassifier(1, n_jobs=1).fit_federation(LocalFederation(silos, mode=mode, n_jobs=1))
    first = model.ledger_.entries[0]
    assert first.kind == "Describe" and first.over_all(first.up) > 0 and first.over_all(first.down) > 0
    assert first.integers == 0 and first.cohort.tolist() == [0, 1]
    assert model.ledger_.bytes_up == sum(entry.over_all(entry.up) for entry in model.ledger_.entries)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_halves_of_surrogates_are_no_text_and_their_neighbours_are(place: int) -> None:
    for code in (0xD800, 0xDBFF, 0xDC00, 0xDFFF, 0xD7FF, 0xE000, 0x1F600):
        text = "ab"[:place] + chr(code) + "ab"[place:]
        assert (odd_text(text) is not None) == (0xD800 <= code <= 0xDFFF)
