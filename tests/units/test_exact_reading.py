"""Rows, labels and ids read at the ends of what types hold, and errors that name the right row: by definition."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from fedtrees import DataError, FedGBTClassifier, FedGBTRegressor, FedTreeClassifier, LocalFederation, SchemaError, Silo
from fedtrees.core.data.column_names import difference
from fedtrees.core.data.features import read_features
from fedtrees.core.data.labels import label_array, places_among
from fedtrees.core.data.rounding import as_float32
from fedtrees.core.data.row_ids import poisson_shares, read_row_ids
from fedtrees.core.data.table import DENSE, SPARSE, agree, read_weight
from fedtrees.core.data.target import plain_array, read_margin, read_target
from fedtrees.core.numeric.rng import stream
from fedtrees.core.protocol.holdout import HoldOut

MOST = 2**63 - 1


# -- numbers --------------------------------------------------------------------------------------------------


@given(st.integers(-(2**70), 2**70) | st.integers(2**53 - 4, 2**54 + 4))
def test_whole_numbers_of_any_size_are_rounded_once(number: int) -> None:
    """To the float32 that is nearest, of two as near the even one: found among its neighbours."""
    found = float(as_float32(np.array([number], object))[0])
    near = np.float32(number)
    candidates = [float(np.nextafter(near, np.float32(side))) for side in (-np.inf, np.inf)] + [float(near)]
    least = min(abs(int(own) - number) for own in candidates)
    assert abs(int(found) - number) == least
    ties = {own for own in candidates if abs(int(own) - number) == least}
    if len(ties) > 1:
        assert np.float32(found).view(np.uint32) % 2 == 0


@pytest.mark.parametrize("exponent", [54, 60, 90, 126])
@pytest.mark.parametrize("kind", [Fraction, Decimal])
@pytest.mark.parametrize("sign", [1, -1])
def test_fractions_of_large_numbers_decide_between_two_neighbours(exponent: int, kind: Any, sign: int) -> None:
    """In the middle between two the even one is taken; a half beyond it, the one on that side."""
    step, part = 2 ** (exponent - 23), Fraction(1, 2)
    for below in (2**exponent, 2**exponent + step):  # an even one, and an odd one
        middle = Fraction(below) + Fraction(step, 2)
        above = below + step
        for number, expected in (
            (middle - part, below), (middle + part, above), (middle, below if below == 2**exponent else above),
        ):  # fmt: skip
            with localcontext() as context:
                context.prec = 60
                given = sign * (number if kind is Fraction else Decimal(int(2 * number)) / 2)
            assert as_float32(np.array([given], object)).tolist() == [sign * float(expected)]


@pytest.mark.parametrize("weight", [-1e-30, -1.0, np.float32(-1e-45)])
def test_weights_below_zero_are_refused_however_small(weight: float) -> None:
    with pytest.raises(DataError, match="sample_weight is negative in row 1"):
        read_weight(np.array([1.0, weight, 0.0]), 3)
    assert read_weight([1.0, -0.0, 0.0], 3).tolist() == [1, 0, 0]


def test_weights_that_float32_takes_for_zero_are_refused() -> None:
    assert read_weight([1.0, 1.5e-45], 2)[1] > 0
    with pytest.raises(DataError, match="sample_weight is too small for float32 in row 1"):
        read_weight([1.0, 1e-46], 2)
    assert read_weight(2, 3).tolist() == [2, 2, 2]


def test_margins_name_the_row_any_of_whose_numbers_is_wrong() -> None:
    for wrong in ([1, np.nan], [np.inf, np.inf], [np.nan, np.nan]):
        with pytest.raises(DataError, match="base_margin is NaN or infinite in row 2"):
            read_margin(np.array([[1, 2], [3, 4], wrong, [np.nan, 1]]), 4)


def test_whole_numbers_that_floats_do_not_tell_apart_stay_whole_beside_floats() -> None:
    for large in (2**53 + 1, -(2**53) - 1, 2**54 - 1):
        assert plain_array([large, 0.5], "y").tolist() == [large, 0.5]
    assert plain_array([2**53, 0.5], "y").dtype == np.float64


def test_targets_wider_than_float64_are_read_as_such() -> None:
    assert read_target(np.array([1, 2], np.longdouble), 2).dtype == np.float64
    assert read_target(np.array([1, 2], np.float16), 2).dtype == np.float16


# -- texts and labels -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [["a", "a\0"], ["a\0", "b"], ["a\0b\0", "c"], ["\0", ""]])
def test_texts_that_end_in_nul_are_not_cut_off(given: list[str]) -> None:
    array = plain_array(given, "y")
    assert array.tolist() == given
    with pytest.raises(DataError, match=r"label .* has a NUL character"):
        Silo("a", np.zeros((2, 1)), given).schema(labels=True)
    with pytest.raises(DataError, match=r"has a NUL character in row \d"):
        read_row_ids(given, 2)


def test_a_nul_inside_a_numpy_text_is_refused_as_an_id() -> None:
    assert len(read_row_ids(np.array(["a", "long", ""]), 3)) == 3  # which NumPy fills up with NUL
    for texts, row in ((["a\0b", "c"], 0), (["c", "\0a"], 1)):
        with pytest.raises(DataError, match=f"has a NUL character in row {row}"):
            read_row_ids(np.array(texts), 2)


def test_the_label_minus_zero_is_zero() -> None:
    for dtype in ("f4", "f8"):
        assert not np.signbit(label_array(np.array([-0.0, 1.0], dtype))).any()
    X = np.arange(4.0).reshape(-1, 1)
    for silos in (None, ["a", "b", "a", "b"], ["b", "b", "a", "a"]):
        classes = FedGBTClassifier(1).fit(X, np.array([-0.0, 1.0, 0.0, 1.0]), silos=silos).classes_
        assert classes.tobytes() == np.array([0.0, 1.0]).tobytes()


@pytest.mark.parametrize("dtype", ["i8", "u8", "f8", "?"])
@pytest.mark.parametrize(
    "labels",
    [
        [0, 1], [-1, 0, 1], [False, True], [0, MOST], [0, MOST + 1], [-MOST - 1, MOST], [0, 2**64 - 1],
        [-1.0, 0.0, 1.0], [-float(2**53), 0.0, float(2**53)], [0, 2**53, 2**53 + 1], [-(2**53) - 1, -(2**53)],
    ],
    ids=str,
)  # fmt: skip
def test_labels_are_found_where_they_are_equal_and_nowhere_else(labels: list[Any], dtype: str) -> None:
    """Whatever the silo's own type: numbers are compared as Python does, exactly."""
    pools = {
        "i8": [-MOST - 1, -(2**53) - 1, -(2**53), -1, 0, 1, 2, 2**53, 2**53 + 1, MOST],
        "u8": [0, 1, 2, 2**53, 2**53 + 1, MOST, MOST + 1, 2**64 - 1],
        "f8": [-float(2**53), -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, float(2**53), float(2**53 - 1)],
        "?": [False, True],
    }
    y = label_array(np.array(pools[dtype], dtype))
    found = places_among(labels, y).tolist()
    exact = [labels.index(own) if own in labels else -1 for own in pools[dtype]]
    assert found == exact


@pytest.mark.parametrize("ids", [[2.0**53, 1.0], [-(2.0**53), 0.0]])
def test_ids_are_whole_numbers_of_floats_as_far_as_these_tell_them_apart(ids: list[float]) -> None:
    for what in ("row_id", "qid"):
        assert read_row_ids(np.array(ids), 2, what=what).view(np.int64).tolist() == [int(own) for own in ids]
        for wrong in ([ids[0] * 2, ids[1]], [0.5, 1.0], [np.nan, 1.0], [np.inf, 1.0]):
            with pytest.raises(DataError, match=f"{what} holds float64; give whole numbers or texts"):
                read_row_ids(np.array(wrong), 2, what=what)


def test_ids_of_any_whole_type_are_the_same_bits() -> None:
    for dtype in ("i1", "u1", ">i4", ">u8", "f2", "f4", object):
        assert read_row_ids(np.array([7, 5], dtype), 2).tolist() == [7, 5]
    large = 2**64 - 1
    for dtype in ("<u8", ">u8"):
        assert read_row_ids(np.array([large, 0], dtype), 2).tolist() == [large, 0]
    assert (
        read_row_ids(np.array([-1, MOST], object), 2).tolist() == read_row_ids([-1, MOST], 2).tolist() == [large, MOST]
    )


@pytest.mark.parametrize(
    "ids", [[MOST + 1, 0], [-MOST - 2, 0], [2**64, 1], [3**63, 1], [None, 1], [True, 2], [1.5, "a"]]
)
def test_ids_that_no_word_holds_are_refused(ids: list[Any]) -> None:
    with pytest.raises(DataError, match=r"^silo 'a': row_id holds object; give whole numbers or texts, one a row"):
        read_row_ids(np.array(ids, object), 2, "silo 'a': ")
    assert read_row_ids(np.array([-MOST - 1, 1], object), 2).tolist() == [MOST + 1, 1]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([2**53, 0.5], "f"), ([-(2**53), 0.5], "f"), ([2**53 + 1, 0.5], "O"), ([-(2**53) - 1, 0.5], "O"),
        ([2**53 + 1, 1], "i"), ([2**64 - 1, 1], "O"), ([1.5, 2.0], "f"), (["a", "b"], "U"), (["a", 1], "O"),
        (["a", "b\0"], "O"), ([np.nan, "a"], "O"), ([None, 1.0], "O"), ([True, False], "b"),
    ],
    ids=str,
)  # fmt: skip
def test_lists_are_objects_where_no_type_holds_them_as_they_are(values: list[Any], kind: str) -> None:
    found = plain_array(values, "y")
    assert found.dtype.kind == kind and list(map(repr, found.tolist())) == [
        repr(float(own) if kind == "f" else own) for own in values
    ]


def test_numbers_beyond_all_floats_are_infinite_of_their_sign() -> None:
    assert as_float32(np.array([10**400, -(10**400), 1], object)).tolist() == [np.inf, -np.inf, 1]


@pytest.mark.parametrize("text", ["a\0\x01", "\0\x01", "a\0b"])
def test_texts_with_nul_inside_are_refused_whatever_follows(text: str) -> None:
    with pytest.raises(DataError, match="row_id has a NUL character in row 1"):
        read_row_ids(np.array(["plain", text]), 2)


def test_texts_are_the_same_ids_however_long_the_others_are() -> None:
    short, long = read_row_ids(["a", "b", ""], 3), read_row_ids(["a", "b", "", "x" * 40], 4)
    assert short.tolist() == long[:3].tolist() and len(set(long.tolist())) == 4
    assert read_row_ids(np.array(["a", "b"], object), 2).tolist() == short[:2].tolist()


# law: poisson_shares
def test_chances_of_a_poisson_variable_are_those_of_its_series() -> None:
    for mean, most in ((1.0, 8), (0.25, 3), (4.0, 20)):
        shares = poisson_shares(mean, most)
        assert len(shares) == most and (np.diff(shares.astype(np.int64)) < 0).all()
        term, below = np.exp(-mean), 0.0
        for times in range(most):
            below += term
            term *= mean / (times + 1)
            assert int(shares[times]) / 2**53 == pytest.approx(1 - below, abs=1e-14)


# -- sparse rows ----------------------------------------------------------------------------------------------


def test_entries_that_are_held_stay_what_they_are_in_runs_of_either_reading() -> None:
    """A held -0 is no absent entry, nor a held NaN: absent ones alone are 0 in some runs and missing in others."""
    matrix = scipy.sparse.csr_matrix(np.ones((3, 2)))
    matrix.data[:] = [-0.0, 5, np.nan, -0.0, 0.0, np.inf]
    matrix.data[5] = 7
    matrix = scipy.sparse.vstack([matrix, scipy.sparse.csr_matrix((1, 2))]).tocsr()
    silo = Silo("a", matrix, [0, 1, 0, 1])
    for _ in range(2):
        np.testing.assert_array_equal(silo.table.X, [[0, 5], [np.nan, 0], [0, 7], [np.nan, np.nan]])
        silo.take_absent_as(zero=True)
        np.testing.assert_array_equal(silo.table.X, [[0, 5], [np.nan, 0], [0, 7], [0, 0]])
        silo.forget()


def test_entries_that_are_not_held_stay_missing_where_0_stands_for_missing() -> None:
    """Whatever a training takes absent entries as: their owner said that there is no value."""
    matrix = scipy.sparse.csr_array((np.array([1.0, 0, 2]), np.array([0, 1, 1]), np.array([0, 2, 3])))  # a held 0, too
    silo = Silo("a", matrix, [0, 1], missing=0)
    for zero in (True, False, True):
        silo.take_absent_as(zero=zero)
        np.testing.assert_array_equal(silo.table.X, [[1, np.nan], [np.nan, 2]])


@pytest.mark.parametrize("missing", [0, 1, -1])
def test_a_number_that_stands_for_missing_is_no_code_of_a_category(missing: int) -> None:
    frame = pd.DataFrame({"x": [0.0, 1.0, -1.0], "kind": pd.Categorical(["a", "b", None])})
    found, _ = read_features(frame, missing=missing)
    assert np.isnan(found[:, 0]).tolist() == [own == missing for own in (0, 1, -1)]
    np.testing.assert_array_equal(found[:, 1], [0, 1, np.nan])


def test_a_sparse_matrix_that_holds_all_entries_is_as_good_as_a_dense_one() -> None:
    full, gaps = scipy.sparse.csr_matrix(np.ones((2, 2))), scipy.sparse.csr_matrix(np.eye(2))
    assert [set(read_features(own)[1].formats) for own in (full, gaps, np.eye(2))] == [{DENSE}, {SPARSE}, {DENSE}]
    y = [0, 1]
    both = LocalFederation([Silo("a", full, y), Silo("b", np.eye(2), y)])
    FedGBTClassifier(1, n_jobs=1).fit_federation(both)
    with pytest.raises(SchemaError, match=r"silo 'a', unlike silo 'b': rows are a sparse matrix"):
        FedGBTClassifier(1, n_jobs=1).fit_federation(LocalFederation([Silo("a", gaps, y), Silo("b", np.eye(2), y)]))


@pytest.mark.parametrize("kind", [FedGBTClassifier, FedTreeClassifier])
def test_a_silo_without_rows_has_no_format_that_others_must_share(kind: Any) -> None:
    gaps, none = scipy.sparse.csr_matrix(np.eye(2)), scipy.sparse.csr_matrix((0, 2))
    for first, empty in ((gaps, np.zeros((0, 2))), (np.eye(2), none)):
        silos = [Silo("a", first, [0, 1]), Silo("b", empty, []), Silo("c", first, [1, 0])]
        schema = agree([(own.name, own.schema(True)) for own in silos])
        assert schema.formats == {SPARSE if first is gaps else DENSE: "a"}
        kind(max_depth=1).fit_federation(LocalFederation(silos))


# -- columns and categories -----------------------------------------------------------------------------------


def test_columns_in_another_order_are_named_from_the_first_that_differs() -> None:
    known = ["age", "sex", "dose", "ward"]
    assert difference(["age", "dose", "sex", "ward"], known) == "the columns stand in another order, from 'sex' on"
    assert difference(["age", "sex", "ward", "dose"], known) == "the columns stand in another order, from 'dose' on"
    assert difference(["ward", "sex", "dose", "age"], known) == "the columns stand in another order, from 'age' on"
    assert difference(["age", "sex", "dose"], known) == "column 'ward' is missing"
    assert difference([*known, "unit"], known) == "column 'unit' is one too many"
    assert difference(list(known), known) is None


def test_rows_of_training_and_of_evaluation_count_together_for_a_category() -> None:
    def frame(kinds: list[str | None]) -> pd.DataFrame:
        return pd.DataFrame({"kind": pd.Categorical(kinds, ["a", "b", "c"])})

    train, score = frame(["a", "a", "a", "b", None]), frame(["b", "c", "a"])
    silo = Silo("s", train, np.arange(5), eval_set=[(score, np.arange(3)), (frame(["b"]), [0])], min_category_rows=3)
    assert silo.schema(labels=False).categories["kind"] == ["a", "b", None]
    np.testing.assert_array_equal(silo.table.X[:, 0], [0, 0, 0, 1, np.nan])
    np.testing.assert_array_equal(silo.held_out[0].X[:, 0], [1, np.nan, 0])
    weightless = Silo("s", train, np.arange(5), sample_weight=[1, 1, 0, 1, 1], min_category_rows=3)
    assert np.isnan(
        weightless.table.X[weightless.table.order, 0]
    ).all()  # a row that weighs nothing is as good as absent


def test_a_column_whose_first_value_is_missing_has_a_kind() -> None:
    later = pd.DataFrame({"a": [np.nan, 1.0, 2.0]})
    assert Silo("s", later, [0, 1, 0]).schema(labels=False).kinds == ["number"]
    assert Silo("s", later[:1], [0]).schema(labels=False).kinds == ["missing"]
    kinds = Silo("t", pd.DataFrame({"a": pd.Categorical(["x", "y"])}), [0, 1])
    with pytest.raises(SchemaError, match=r"^silo 't', unlike silo 's': column 'a' is a category, not a number"):
        LocalFederation([Silo("s", later, [0, 1, 0]), kinds])
    LocalFederation([Silo("s", later[:1], [0]), kinds])


@pytest.mark.parametrize("mode", ["fused", "faithful"])
@pytest.mark.parametrize("silo", ["a", "b", "c"])
@pytest.mark.parametrize("row", [0, 2])
def test_errors_name_the_row_that_its_owner_gave(row: int, silo: str, mode: str) -> None:
    """The first and the last of each silo's, counted with those that weigh nothing, which are left out."""
    plain = {name: np.array([0.5, 1.5, 2.5]) for name in "abc"}
    plain[silo][row] = np.nan
    silos = [Silo(name, np.zeros((3, 1)), own, n_jobs=1) for name, own in plain.items()]
    with pytest.raises(DataError, match=rf"^silo {silo!r}: y, row {row}: NaN, infinity or None"):
        FedGBTRegressor(1, n_jobs=1).fit_federation(LocalFederation(silos, mode=mode, n_jobs=1))
    plain[silo][row] = -1.0  # which a loss refuses, of all silos at once
    silos = [Silo(name, np.zeros((3, 1)), own, n_jobs=1) for name, own in plain.items()]
    with pytest.raises(DataError, match=rf"^silo {silo!r}: y, row {row}: a negative number"):
        FedGBTRegressor(1, objective="count:poisson", n_jobs=1).fit_federation(LocalFederation(silos, mode=mode))
    y = {name: np.array([0.5, 1.5, 2.5, 3.5]) for name in "abc"}
    y[silo][row + 1] = np.inf
    silos = [
        Silo(name, np.zeros((4, 1)), own, sample_weight=[0, 1, 1, 1], n_jobs=1) for name, own in y.items()
    ]  # fmt: skip
    with pytest.raises(DataError, match=rf"^silo {silo!r}: y, row {row + 1}: NaN, infinity or None"):
        FedGBTRegressor(1, n_jobs=1).fit_federation(LocalFederation(silos, mode=mode, n_jobs=1))
    together, whose = np.concatenate([y[name] for name in "abc"]), np.repeat(list("abc"), 4)
    order = np.random.default_rng(0).permutation(12)  # interleaved: the rows of one table are its owner's
    at = int(np.flatnonzero(np.isinf(together[order]))[0])
    with pytest.raises(DataError, match=rf"^silo {silo!r}: y, row {at}: NaN, infinity or None"):
        FedGBTRegressor(1, n_jobs=1).fit(np.zeros((12, 1)), together[order], silos=whose[order])


# -- rows held out --------------------------------------------------------------------------------------------


# law: HoldOut
@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_rows_are_held_out_by_the_seed_and_their_ids(seed: int) -> None:
    """By a lot a row, see `core.data.row_ids.drawn`, here in whole numbers of any size."""
    mask = 2**64 - 1

    def mixed(word: int) -> int:
        word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & mask
        word = (word ^ (word >> 27)) * 0x94D049BB133111EB & mask
        return word ^ (word >> 31)

    first, second = (int(own) for own in stream(seed, "held-out rows").integers(2**64, size=2, dtype=np.uint64))
    ids, share = np.arange(200) * 7, 0.3
    lots = [mixed((mixed(int(own) ^ first) + second) & mask) >> 11 for own in ids]
    which = np.array(lots) < share * 2**53
    silo = Silo("a", np.zeros((200, 1)), np.arange(200), row_id=ids)
    HoldOut(share, seed).apply(silo)
    assert silo.held_out[0].y.tolist() == np.flatnonzero(which).tolist()
    assert silo.table.y.tolist() == np.flatnonzero(~which).tolist()


def test_rows_without_ids_are_named_by_their_silo_and_place() -> None:
    for others in (3, 100):
        silos = [Silo(name, np.zeros((n, 1)), np.arange(n)) for name, n in (("a", others), ("b", 50), ("c", 50))]
        federation = LocalFederation(silos, n_jobs=1)
        ids = federation.table.row_ids()
        assert len(set(ids.tolist())) == others + 100
        alone = silos[1].table.row_ids()
        np.testing.assert_array_equal(ids[others : others + 50], alone)
        HoldOut(0.5, 3).apply(federation._fused)
        HoldOut(0.5, 3).apply(silos[1])
        kept = federation._fused.table
        np.testing.assert_array_equal(kept.y[kept.starts[1] : kept.starts[2]], silos[1].table.y)
        np.testing.assert_array_equal(kept.row_ids(), ids[kept.order])  # a row keeps its name where others are gone
        np.testing.assert_array_equal(kept.part(np.arange(kept.n_rows) % 3 == 1).row_ids(), ids[kept.order][1::3])


def test_queries_are_held_out_whole_and_rows_keep_what_they_were_given_as() -> None:
    qid = np.arange(120) // 4
    silo = Silo("a", np.zeros((120, 1)), np.arange(120), qid=qid)
    HoldOut(0.4, 1).apply(silo)
    kept, out = set(qid[silo.table.y.astype(int)].tolist()), set(qid[silo.held_out[0].y.astype(int)].tolist())
    assert not kept & out and len(kept) > 5 and len(out) > 5
    silos = [Silo(name, np.zeros((9, 1)), np.arange(9), sample_weight=np.arange(9) % 3) for name in ("a", "b")]
    whole = LocalFederation(silos, n_jobs=1)._fused
    HoldOut(0.5, 4).apply(whole)
    for table in (whole.table, whole.held_out[0]):
        assert table.n_rows > 2
        # y is what each row was given as
        assert [table.row_as_given(row) for row in range(table.n_rows)] == table.y.tolist()
        for place in range(2):
            rows = slice(*table.starts[place : place + 2])
            assert table.rows_as_given(place).tolist() == table.y[rows].tolist()
            assert table.of_silo(place).row_as_given(0) == table.y[rows][0]
