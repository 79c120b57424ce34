"""Tables that cannot be used: one clear error, naming silo and column, before any training."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from refused import AGE, GOOD, HOW, INF, NAN, NUMBERS, PAST, TREES, Part, at, clear, column, frame, two_silos, watch

from fedtrees import DataError, FedGBTClassifier, FedGBTRegressor, FedTreesError, SchemaError, Silo


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    kinds = watch(monkeypatch)
    yield kinds
    assert not TREES & set(kinds)


# -- a silo's table: named wherever it is found -------------------------------------------------------------


Case = tuple[Part, type[FedTreesError], str]

ROWS: dict[str, Case] = {
    "infinity": (column("age", at(AGE, 4, INF)), DataError, r"column 'age' is infinity .* in row @4;"),
    "minus infinity": (column("age", at(AGE, 0, -INF)), DataError, r"column 'age' is infinity .* in row @0;"),
    "too large for float32": (column("age", at(AGE, 2, PAST)), DataError, r"column 'age' is infinity \(or too large"),
    "NaN weight": (replace(GOOD, weight=at([1.0] * 6, 3, NAN)), DataError, "sample_weight is NaN.* in row @3;"),
    "infinite weight": (replace(GOOD, weight=at([1.0] * 6, 3, INF)), DataError, "sample_weight is NaN, infinite"),
    "tiny weight": (replace(GOOD, weight=at([1.0] * 6, 3, 1e-99)), DataError, "sample_weight is too small for float32"),
    "huge weight": (replace(GOOD, weight=at([1.0] * 6, 3, PAST)), DataError, "sample_weight is NaN, infinite or too"),
    "negative weight": (replace(GOOD, weight=at([1.0] * 6, 5, -0.5)), DataError, "sample_weight is negative in row @5"),
    "no label": (replace(GOOD, y=at(GOOD.y, 3, None)), DataError, "y, row @3: NaN, infinity or None"),
    "NaN label": (replace(GOOD, y=at(GOOD.y, 3, NAN)), DataError, "y, row @3: NaN, infinity or None"),
    "a number for a label": (replace(GOOD, y=at(GOOD.y, 1, 7)), DataError, "y, row @1: a label that is not a text"),
    "fractions for labels": (replace(GOOD, y=[0, 1, 0, 1.5, 1, 0]), DataError, "y, row @3: Unknown label type: y is c"),
}  # fmt: skip
TARGETS: dict[str, Case] = {
    "NaN target": (replace(NUMBERS, y=at(NUMBERS.y, 2, NAN)), DataError, "y, row @2: NaN, infinity or None"),
    "no target": (replace(NUMBERS, y=at(NUMBERS.y, 2, None)), DataError, "y, row @2: NaN, infinity or None"),
    "infinite target": (replace(NUMBERS, y=at(NUMBERS.y, 2, -INF)), DataError, "y, row @2: NaN, infinity or None"),
    "huge target": (replace(NUMBERS, y=at(NUMBERS.y, 2, PAST)), DataError, "y, row @2: too large for float32"),
    "a text for a target": (replace(NUMBERS, y=at(NUMBERS.y, 2, "3")), DataError, "y, row @2: a text; a regressor"),
}  # fmt: skip


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("case", [*ROWS, *TARGETS])
def test_a_row_that_cannot_be_used_is_named(case: str, how: str, sent: list[str]) -> None:
    ucla, error, text = {**ROWS, **TARGETS}[case]
    train, mode = HOW[how]
    # @3 is row 3 of the second silo: the ninth of one table that holds both
    text = re.sub(r"@(\d)", lambda row: str(int(row[1]) + (6 if how == "fit" else 0)), text)
    estimator = FedGBTClassifier(n_jobs=1) if case in ROWS else FedGBTRegressor(n_jobs=1)
    mayo = GOOD if case in ROWS else NUMBERS
    if case == "fractions for labels":
        mayo = replace(GOOD, y=[0, 1] * 3)
    with pytest.raises(error, match=f"^silo 'ucla': {text}") as caught:
        train(mode, estimator, ucla, mayo)
    clear(str(caught.value))
    assert not sent or case in TARGETS


ONE_SILO: dict[str, Case] = {
    "text column": (column("sex", ["f", "m"] * 3), DataError, r"column 'sex' holds .*: make it category .* or number"),
    "object column": (column("sex", pd.Series([{}] * 6)), DataError, "column 'sex' holds objects such as {}, n"),
    "date column": (column("age", pd.to_datetime(["2020-01-01"] * 6)), DataError, "column 'age' holds datetime.* numb"),
    "complex column": (column("age", [1j] * 6), DataError, "column 'age' holds complex128, not numbers"),
    "one name twice": (replace(GOOD, X=frame().set_axis(["age", "sex", "age"], axis=1)), DataError, "column 'age' sta"),
    "names and numbers": (replace(GOOD, X=frame().set_axis(["age", 0, 1], axis=1)), DataError, "Feature names are onl"),
    "no columns": (replace(GOOD, X=frame()[[]]), DataError, r"0 feature\(s\)"),
    "1-D": (replace(GOOD, X=AGE), DataError, r"Expected 2D array, got 1D array of shape \(6,\)"),
    "3-D": (replace(GOOD, X=np.zeros((6, 2, 2))), DataError, r"Expected 2D array, got 3D array of shape \(6, 2, 2\)"),
    "a Series": (replace(GOOD, X=frame()["age"]), DataError, r"Expected 2D array, got 1D array"),
    "nothing": (replace(GOOD, X=None), DataError, "Expected 2D array, got 0D array"),
    "ragged": (replace(GOOD, X=[[1.0, 2.0], [3.0]]), DataError, "X is not an array"),
    "complex": (replace(GOOD, X=np.full((6, 1), 1j)), DataError, "Complex data not supported: X is complex128"),
    "complex and sparse": (replace(GOOD, X=scipy.sparse.eye(6, dtype=complex)), DataError, "Complex data not supp"),
    "texts": (replace(GOOD, X=np.full((6, 1), "a")), DataError, "X is an array of <U1; make it category, .* or number"),
    "texts in a list": (replace(GOOD, X=[[1.0, "a"]] * 6), DataError, "column 'f1' holds texts such as 'a', not num"),
    "numbers as texts": (replace(GOOD, X=[["1"]] * 6), DataError, "X is an array of <U1; make it category"),
    "objects": (replace(GOOD, X=np.full((6, 1), [{}], object)), DataError, "column 'f0' holds objects such as {} .*:"),
    "dates": (replace(GOOD, X=np.zeros((6, 1), "M8[D]")), DataError, r"X is an array of datetime64\[D\]; give th"),
    "y too short": (replace(GOOD, y=["ill"] * 5), DataError, r"y has the shape \(5,\) and X has 6 rows"),
    "y in two columns": (replace(GOOD, y=[["ill", "ill"]] * 5), DataError, r"y has the shape \(5, 2\) and X has 6 row"),
    "y a single value": (replace(GOOD, y="ill"), DataError, r"y has the shape \(\) and X has 6 rows"),
    "y ragged": (replace(GOOD, y=[[1], [1, 2]]), DataError, "y is not an array"),
    "y complex": (replace(GOOD, y=np.full(6, 1j)), DataError, "y holds complex128; make it text, numbers or booleans"),
    "y of dates": (replace(GOOD, y=np.zeros(6, "M8[D]")), DataError, r"y holds datetime64\[D\]; make it text"),
    "weights too few": (replace(GOOD, weight=[1.0] * 5), DataError, r"sample_weight has the shape \(5,\) and X has 6"),
    "weights of two columns": (replace(GOOD, weight=[[1, 1]] * 6), DataError, r"sample_weight has the shape \(6, 2\)"),
    "weights of text": (replace(GOOD, weight=["a"] * 6), DataError, "sample_weight is not numbers: an array of <U1"),
    "weights of objects": (replace(GOOD, weight=[{}] * 6), DataError, "sample_weight is not numbers: "),
}  # fmt: skip


@pytest.mark.parametrize("case", ONE_SILO)
def test_a_table_that_cannot_be_used_is_named(case: str, sent: list[str]) -> None:
    part, error, text = ONE_SILO[case]
    with pytest.raises(error, match=f"^silo 'ucla': {text}") as caught:
        Silo("ucla", part.X, part.y, sample_weight=part.weight)
    clear(str(caught.value))
    with pytest.raises(error, match=f"^{text}") as caught:
        FedGBTClassifier(n_jobs=1).fit(part.X, part.y, sample_weight=part.weight)
    clear(str(caught.value))
    with pytest.raises(error, match=f"^{text}"):
        FedGBTClassifier(n_jobs=1).fit(part.X, part.y, silos=["a", "b"] * 3, sample_weight=part.weight)
    assert not sent


# -- two silos that do not fit together ---------------------------------------------------------------------

OTHER: dict[str, tuple[Part, str]] = {
    "a column missing": (replace(GOOD, X=frame().drop(columns="sex")), "column 'sex' is missing"),
    "a column more": (column("weight", 1.0), "column 'weight' is one too many"),
    "another order": (replace(GOOD, X=frame()[["age", "bp", "sex"]]), "the columns stand in another order, from 'sex'"),
    "a number for a category": (column("sex", 1.0), "column 'sex' is a number, not a category"),
    "a category for a number": (column("age", pd.Categorical(AGE)), "column 'age' is a category, not a number"),
    "categories of another kind": (column("sex", pd.Categorical([1, 2] * 3)), "column 'sex' has categories that"),
    "columns without names": (replace(GOOD, X=np.zeros((6, 3))), "columns without names"),
    "an array of another width": (replace(GOOD, X=np.zeros((6, 2))), "2 columns, not 3"),
    "labels of another kind": (replace(GOOD, y=[0, 1] * 3), "y holds numbers, not texts"),
}  # fmt: skip


@pytest.mark.parametrize("mode", ["fused", "faithful"])
@pytest.mark.parametrize("case", OTHER)
def test_silos_that_do_not_fit_together_are_named_with_the_column(case: str, mode: str, sent: list[str]) -> None:
    ucla, text = OTHER[case]
    with pytest.raises(SchemaError, match=f"^silo 'ucla', unlike silo 'mayo': {text}") as caught:
        two_silos(mode, FedGBTClassifier(n_jobs=1), ucla, GOOD)
    clear(str(caught.value))
    assert not sent
