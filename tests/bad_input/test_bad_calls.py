"""Calls that mean nothing: one clear error for each, before anything is sent or before any tree."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from refused import AGE, GOOD, INF, NAN, NUMBERS, TREES, Part, at, clear, column, frame, two_silos, watch
from scipy.sparse import csr_array

from fedtrees import (
    DataError,
    DataTypeError,
    FedGBTClassifier,
    FedGBTRegressor,
    FedTreesError,
    LocalFederation,
    ParameterError,
    SchemaError,
    Silo,
)
from fedtrees.estimators.boosting.parameters import check_parameters
from fedtrees.estimators.common.defaults import filled

Call = tuple[Callable[[], Any], type[Exception], str]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    kinds = watch(monkeypatch)
    yield kinds
    assert not TREES & set(kinds)


def fit(silos: Any = None, weight: Any = None, part: Part = GOOD, n_jobs: Any = 1, **options: Any) -> Any:
    return FedGBTClassifier(n_jobs=n_jobs, **options).fit(part.X, part.y, silos=silos, sample_weight=weight)


def regress(weight: Any = None, part: Part = NUMBERS, n_jobs: Any = 1, **options: Any) -> Any:
    return FedGBTRegressor(n_jobs=n_jobs, **options).fit(part.X, part.y, sample_weight=weight)


# -- parameters -------------------------------------------------------------------------------------------

# name: what the error says after the name and the value, and the values it is raised for
OUT_OF_RANGE: dict[str, tuple[str, list[Any]]] = {
    "max_bin": ("give a whole number from 2 to 65535", [1, 0, -1, 65536, 16.5, 256.0, "256", NAN, True]),
    "n_estimators": ("give a whole number from 1", [0, -5, 1.5, "10", INF, True]),
    "max_depth": ("give a whole number from 0 to 30", [-1, 31, 2.5]),
    "min_bin_rows": ("give a whole number from 1 to 2147483648", [0, -1, 2.5, "2", 2**31 + 1]),
    "max_cat_to_onehot": ("give a whole number from 1", [0, -1, 2.5, "4"]),
    "max_cat_threshold": ("give a whole number from 1", [0, -1, 2.5, "4"]),
    "enable_categorical": ("give True or False", [1, "yes"]),
    "max_leaves": ("give a whole number from 0 to 1073741824", [-1, 2.5, "31", 2**30 + 1]),
    "max_delta_step": ("give a number from 0", [-1e-9, NAN, INF, "1"]),
    "num_parallel_tree": ("give a whole number from 1 to 10000", [0, -1, 2.5, 10_001]),
    **{
        name: ("give a number above 0 to 1", [0, -0.1, 1.01, NAN, "1"])
        for name in ("subsample", "colsample_bytree", "colsample_bylevel", "colsample_bynode")
    },
    "learning_rate": ("give a number above 0", [0, -0.1, NAN, INF, 1e300, "0.3"]),
    "reg_lambda": ("give a number from 0", [-1e-9, NAN, INF, "1"]),
    "reg_alpha": ("give a number from 0", [-1e-9, NAN, INF, "1"]),
    "gamma": ("give a number from 0", [-1e-9, NAN, INF, "1"]),
    "min_child_weight": ("give a number from 0", [-1e-9, NAN, INF, "1"]),
    "verbose": ("give a whole number from 0", [-1, 0.5, "yes"]),
    "n_jobs": ("give a number of threads, -1 for all cores, or None", [0, 1.5, "all", True]),
    "random_state": ("give a whole number, a numpy generator, or None", ["a", 1.5, True]),
    "base_score": ("give a finite number, or one an output, or None", [NAN, INF, 1e300, "0.5"]),
}
PROBABILITY = "give a probability above 0 and below 1, or None"
# name: the value and the whole beginning of the error
MEANINGLESS: list[tuple[dict[str, Any], str]] = [
    *(({"base_score": value}, f"base_score={value}: {PROBABILITY}") for value in (0, 1, -0.5, 2)),
    ({"sampling": 0}, "sampling: a round needs at least 1 silo, not 0"),
    ({"sampling": -3}, "sampling: a round needs at least 1 silo, not -3"),
    ({"sampling": 0.0}, r"sampling: a fraction lies above 0 and up to 1, not at 0\.0"),
    ({"sampling": 1.5}, r"sampling: a fraction lies above 0 and up to 1, not at 1\.5"),
    ({"sampling": NAN}, "sampling: a fraction lies above 0 and up to 1, not at nan"),
    ({"sampling": "abc"}, "sampling='abc': give a fraction"),
    ({"weighting": "row"}, "weighting='row' is not known: did you mean 'rows'"),
    ({"weighting": {"mayo": -1, "ucla": 1}}, "weighting: silo 'mayo' has weight -1"),
    ({"weighting": {"mayo": NAN, "ucla": 1}}, "weighting: silo 'mayo' has weight nan"),
    ({"weighting": {"mayo": "1"}}, "weighting: silo 'mayo' has weight '1'"),
    ({"weighting": {"mayo": 0, "ucla": 0.0}}, "weighting: all weights are zero"),
    ({"objective": "binary:logistics"}, "objective='binary:logistics' is not known: did you mean 'binary:logistic'"),
    ({"objective": "reg:squarederror"}, "objective='reg:squarederror' is not known"),
    ({"importance_type": "gains"}, "importance_type='gains' is not known: did you mean 'gain'"),
    ({"importance_type": "total_covers"}, "importance_type='total_covers' is not known: did you mean 'total_cover'"),
    ({"importance_type": 7}, "importance_type=7 is not known. Known: 'cover', 'gain'"),
    ({"missing": "?"}, r"missing='\?': give the number that stands for a missing value, or NaN"),
    ({"missing": True}, "missing=True: give the number that stands for a missing value, or NaN"),
    ({"eval_metric": "loglos"}, "eval_metric='loglos' is not known: did you mean 'logloss'"),
    ({"eval_metric": ["auc", "rsme"]}, "eval_metric='rsme' is not known: did you mean 'rmse'"),
    ({"early_stopping_rounds": 0}, "early_stopping_rounds=0: give a whole number from 1, or None"),
    ({"early_stopping_rounds": 2.5}, r"early_stopping_rounds=2\.5: give a whole number from 1, or None"),
    ({"callbacks": [print]}, "callbacks: <built-in function print> is no xgboost.callback.TrainingCallback"),
    ({"callbacks": print}, "callbacks=<built-in function print>: give a list of xgboost.callback"),
    ({"eval_metric": 7}, "eval_metric=7: give the name of a metric, or several"),
    ({"validation_fraction": 0}, "validation_fraction=0: give a number above 0 and below 1"),
    ({"validation_fraction": 1.0}, "validation_fraction=1.0: give a number above 0"),
    ({"validation_fraction": "a tenth"}, "validation_fraction='a tenth': give a number above 0"),
]


@pytest.mark.parametrize("kind", [fit, regress])
@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, (_, values) in OUT_OF_RANGE.items() for value in values]
)
def test_a_parameter_out_of_range_is_named(name: str, value: Any, kind: Callable[..., Any], sent: list[str]) -> None:
    with pytest.raises(ParameterError, match=f"^{name}={re.escape(repr(value))}: {OUT_OF_RANGE[name][0]}") as caught:
        kind(part=Part(None, None), **{name: value})  # whatever the table is: parameters are looked at first
    clear(str(caught.value))
    assert not sent


LARGEST = float(np.finfo(np.float32).max)
ENDS: dict[str, list[Any]] = {
    "max_bin": [2, 65535, np.int64(65535)], "n_estimators": [1, 2**40], "max_depth": [0, 30], "max_leaves": [0, 2**30],
    "max_cat_to_onehot": [1, 2**40], "max_cat_threshold": [1, 2**40], "num_parallel_tree": [1, 10_000],
    "min_bin_rows": [1, 2**31], "learning_rate": [1e-300, LARGEST], "verbose": [0, 1, True, 7],
    "random_state": [0, -(2**63), 2**63 - 1], "early_stopping_rounds": [1], "validation_fraction": [1e-9, 1 - 1e-9],
    **{name: [0, LARGEST] for name in ("reg_lambda", "reg_alpha", "gamma", "min_child_weight", "max_delta_step")},
    **{name: [1e-9, 1, 1.0] for name in ("subsample", "colsample_bytree", "colsample_bylevel", "colsample_bynode")},
}  # fmt: skip


@pytest.mark.parametrize("kind", [FedGBTClassifier, FedGBTRegressor])
@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in ENDS.items() for value in values])
def test_a_parameter_at_the_end_of_its_range_is_fine(name: str, value: Any, kind: Any) -> None:
    check_parameters(filled(kind(**{"grow_policy": "lossguide", "max_leaves": 4} | {name: value})))


@pytest.mark.parametrize(("options", "text"), MEANINGLESS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_parameter_that_means_nothing_is_named(options: dict[str, Any], text: str, sent: list[str]) -> None:
    with pytest.raises(ParameterError, match=f"^{text}") as caught:
        fit(part=Part(None, 0), **options)
    clear(str(caught.value))
    assert not sent


# -- fitting ----------------------------------------------------------------------------------------------


def silo(name: str = "a", **options: Any) -> Silo:
    return Silo(name, [[1.0]], [0], **options)


def over_two(mode: str, estimator: Any = None, part: Part = GOOD) -> Callable[[], Any]:
    return lambda: two_silos(mode, estimator or FedGBTClassifier(weighting={"mayo": 1}, n_jobs=1), part, part)


THREE = replace(GOOD, y=list("abcabc"))
NOBODY = Part(frame(0), [])

PAIR = (GOOD.X, GOOD.y)


def held_out(*sets: Any, **options: Any) -> Callable[[], Any]:
    return lambda: FedGBTClassifier(n_jobs=1).fit(GOOD.X, GOOD.y, eval_set=list(sets), **options)


SILENT: dict[str, Call] = {
    "an evaluation set that is no pair": (held_out(GOOD.X), ParameterError, r"eval_set 0: give \(X, y\) or"),
    "an evaluation set of one": (held_out(PAIR, (GOOD.X,)), ParameterError, r"eval_set 1: give \(X, y\) or"),
    "an evaluation set without a list": (
        lambda: FedGBTClassifier().fit(GOOD.X, GOOD.y, eval_set=PAIR),
        ParameterError,
        r"eval_set 0: give .*; eval_set is a list of those: \[\(X, y\)\]",
    ),
    "a table a silo": (
        lambda: FedGBTClassifier().fit({"mayo": GOOD.X}, {"mayo": GOOD.y}),
        DataError,
        "X is a dict: give one table with a silo id a row, or Silos to fit_federation",
    ),
    "an evaluation set of other columns": (
        held_out((GOOD.X.drop(columns="sex"), GOOD.y)),
        SchemaError,
        "eval_set 0: .* column 'sex' is missing",
    ),
    "an evaluation set of fewer labels": (
        held_out((GOOD.X, GOOD.y[:5])),
        DataError,
        "eval_set 0: y has the shape",
    ),
    "weights of another number of sets": (
        held_out(PAIR, sample_weight_eval_set=[None, None]),
        ParameterError,
        "sample_weight_eval_set has 2 entries for 1 in eval_set",
    ),
    "margins of another number of sets": (
        held_out(PAIR, base_margin_eval_set=[]),
        ParameterError,
        "base_margin_eval_set has 0 entries for 1 in eval_set",
    ),
    "silos of another number of sets": (
        held_out(PAIR, eval_silos=[None, None]),
        ParameterError,
        "eval_silos has 2 entries for 1 evaluation sets",
    ),
    "silos of a set without silos to train": (
        held_out(PAIR, eval_silos=[["mars"] * 6]),
        DataError,
        "eval_set 0: silo 'mars' holds no rows to train on",
    ),
    "patience without a set": (
        lambda: fit(early_stopping_rounds=3),
        ParameterError,
        "early_stopping_rounds needs an eval_set",
    ),
    "margins too few": (
        lambda: FedGBTClassifier().fit(GOOD.X, GOOD.y, base_margin=[0.0] * 5),
        DataError,
        r"base_margin has the shape \(5,\) and X has 6 rows",
    ),
    "margins NaN": (
        lambda: FedGBTClassifier().fit(GOOD.X, GOOD.y, base_margin=at([0.0] * 6, 2, NAN)),
        DataError,
        "base_margin is NaN or infinite in row 2",
    ),
    "margins of texts": (
        lambda: FedGBTClassifier().fit(GOOD.X, GOOD.y, base_margin=["a"] * 6),
        DataError,
        "base_margin holds <U1; give numbers",
    ),
    "a model to go on from that is none": (
        lambda: FedGBTClassifier().fit(GOOD.X, GOOD.y, xgb_model=object()),
        ParameterError,
        "xgb_model: give a Booster, a fitted estimator or a path, not object",
    ),
    "a file to go on from that is not there": (
        lambda: FedGBTClassifier().fit(GOOD.X, GOOD.y, xgb_model="nowhere.json"),
        FileNotFoundError,
        r"nowhere\.json: there is no such file",
    ),
    "a loss of two for three": (
        lambda: fit(part=THREE, objective="binary:hinge"),
        ParameterError,
        "objective='binary:hinge' is for two classes and y holds 3",
    ),
    "a loss of regressors": (
        lambda: regress(objective="reg:squarederorr"),
        ParameterError,
        "objective='reg:squarederorr' is not known: did you mean 'reg:squarederror'",
    ),
    "a loss that is no name": (lambda: regress(objective=7), ParameterError, "objective=7: give a name"),
    "no y": (lambda: FedGBTClassifier().fit(frame(), None), DataError, "requires y to be passed"),
    "sparse labels": (
        lambda: FedGBTClassifier().fit(frame(), csr_array(np.eye(6, 1))),
        DataTypeError,
        r"y is a sparse matrix; give an array, such as y\.toarray\(\)",
    ),
    "a silo NaN": (
        lambda: fit(["a", "a", NAN, "b", "b", "b"]),
        DataError,
        r"silos is missing \(NaN or None\) in row 2",
    ),
    "a silo NaN of numbers": (lambda: fit([1, 1, 2, NAN, 2, 2]), DataError, r"silos is missing .* in row 3"),
    "a silo None": (lambda: fit(["a", "a", "a", "b", "b", None]), DataError, r"silos is missing .* in row 5"),
    "a silo NA": (lambda: fit(pd.Series([1, None] * 3, dtype="Int64")), DataError, r"silos is missing .* in row 1"),
    "too few silos": (lambda: fit(["a"] * 5), DataError, r"silos has the shape \(5,\) and X has 6 rows; give one id"),
    "too many silos": (lambda: fit(["a"] * 7), DataError, r"silos has the shape \(7,\) and X has 6 rows"),
    "silos in two columns": (lambda: fit([["a", "b"]] * 6), DataError, r"silos has the shape \(6, 2\); give one id a"),
    "one silo for all": (lambda: fit("a"), DataError, r"silos='a': give one id a row, .*, X\['a'\]"),
    "ragged silos": (lambda: fit([["a"], ["b", "c"]]), DataError, "silos is not an array"),
    "too few silos, and infinity": (
        lambda: fit(["a"], part=column("age", at(AGE, 4, INF))),
        DataError,
        r"silos has the shape \(1,\) and X has 6 rows",
    ),
    "no silos": (lambda: LocalFederation([]), ParameterError, "a federation needs at least one silo"),
    "two silos of one name": (
        lambda: LocalFederation([silo("a"), silo("b"), silo("a")]),
        ParameterError,
        "two silos are named 'a'; give each its own name",
    ),
    "tables for silos": (lambda: LocalFederation([frame()]), ParameterError, "silos: give a list of fedtrees.Silo"),
    "a mode": (
        lambda: LocalFederation([silo()], mode="faitful"),
        ParameterError,
        "mode='faitful' is not known: did you mean 'faithful'",
    ),
    "n_jobs of a federation": (lambda: LocalFederation([silo()], n_jobs=0), ParameterError, "n_jobs=0: give a number"),
    "n_jobs of a silo": (lambda: silo(n_jobs=0), ParameterError, "n_jobs=0: give a number of threads"),
    "weights all zero": (lambda: fit(weight=[0.0] * 6), DataError, "sample_weight is zero in every row of every silo"),
    "silos for a federation": (
        lambda: FedGBTClassifier().fit_federation([silo()]),
        ParameterError,
        r"federation: give one, such as fedtrees\.LocalFederation\(silos\), and not a list",
    ),
    "a weight for nobody": (
        lambda: fit(["mayo", "ucla"] * 3, weighting={"mayo": 1, "ucla": 1, "maio": 1}),
        ParameterError,
        "weighting: there is no silo 'maio'; did you mean 'mayo'",
    ),
}

COUNTED: dict[str, Call] = {
    "no rows": (lambda: regress(part=NOBODY), DataError, r"Found array with 0 sample\(s\)"),
    "no rows in any silo": (
        over_two("faithful", FedGBTRegressor(n_jobs=1), NOBODY),
        DataError,
        r"Found array with 0 sample\(s\) .* no silo holds any row",
    ),
    "labels in two columns of numbers": (
        lambda: FedGBTClassifier().fit(GOOD.X, np.full((6, 2), 2.0)),
        DataError,
        "silo 'all': y, row 0: 2 is neither 0 nor 1; of several labels a row, each is a column of 0 and 1",
    ),
    "no weight, fused": (over_two("fused"), ParameterError, "weighting: no weight for silo 'ucla'; give one for every"),
    "no weight, faithful": (over_two("faithful"), ParameterError, "weighting: no weight for silo 'ucla'; give one for"),
    "weights times a silo's weight": (
        lambda: fit(["a"] * 5 + ["b"], [3e38] * 6, weighting="equal"),
        DataError,
        "silo 'b': sample_weight times the silo's own is too large for float32",
    ),
    "targets times weights": (
        lambda: regress(weight=[1e30] * 6, part=replace(NUMBERS, y=[1e30] * 6)),
        FedTreesError,
        r"a target or gradient, times its sample weight, is beyond 2\*\*128; scale y or weights down",
    ),
}


@pytest.mark.parametrize("case", [*SILENT, *COUNTED])
def test_a_training_that_means_nothing_is_refused(case: str, sent: list[str]) -> None:
    call, error, text = {**SILENT, **COUNTED}[case]
    with pytest.raises(error, match=f"^{text}") as caught:
        call()
    clear(str(caught.value))
    assert bool(sent) == (case in COUNTED)
