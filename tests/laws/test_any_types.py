"""Labels, targets and silo ids of any type: the same model whoever holds which rows in what, or a clear refusal."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from any_types import KINDS, Drawn, columns, objects
from hypothesis import given
from hypothesis import strategies as st
from strategies import examples

from fedtrees import (
    DataError,
    FedGBTClassifier,
    FedGBTRegressor,
    FedTreeClassifier,
    FedTreesError,
    LocalFederation,
    Silo,
)

N = 18
X = np.random.default_rng(0).integers(0, 4, (N, 2)).astype(np.float32)
PARTS = {"none": np.zeros(N, int), "contiguous": np.arange(N) // 6, "interleaved": np.arange(N) % 3}
Outcome = tuple[Any, ...]


def outcome(train: Callable[[], Any]) -> Outcome:
    """What a training comes to: its classes with their types and the model, or what kind of refusal."""
    try:
        model = train()
    except FedTreesError as error:
        text = str(error)
        assert 10 < len(text) < 1200 and "\n" not in text
        text.encode()
        return ("refused",)
    classes = getattr(model, "classes_", np.zeros(0))
    labels = classes.tolist()
    return labels, [type(label) for label in labels], str(classes.dtype), bytes(model.booster_.save_raw())


def ways(estimator: Callable[[], Any], y: Drawn, part: str) -> list[Outcome]:
    """One table without silos, with them, and silos by themselves, each in its own container, in both modes."""
    ids = PARTS[part]
    order = np.random.default_rng(len(y.codes)).permutation(ids.max() + 1)

    def split(mode: str) -> LocalFederation:
        return LocalFederation.from_table(X, y.of(owner=2), silos=ids, mode=mode, n_jobs=1)

    def apart(mode: str) -> LocalFederation:
        silos = [Silo(f"silo {k}", X[ids == k], y.of(ids == k, k), n_jobs=1) for k in order]
        return LocalFederation(silos, mode=mode, n_jobs=1)

    found = [
        outcome(lambda: estimator().fit(X, y.of())),
        outcome(lambda: estimator().fit(X, y.of(owner=1), silos=ids)),
    ]
    for mode in ("fused", "faithful"):
        found.append(outcome(lambda mode=mode: estimator().fit_federation(split(mode))))
        found.append(outcome(lambda mode=mode: estimator().fit_federation(apart(mode))))
    return found


@pytest.mark.filterwarnings("ignore:y holds one class only")
@given(columns(N), st.sampled_from(sorted(PARTS)))
@examples(15)
def test_labels_of_any_type_give_one_model_or_none(y: Drawn, part: str) -> None:
    found = ways(lambda: FedGBTClassifier(1, max_depth=2, min_child_weight=0, n_jobs=1), y, part)
    assert all(one == found[0] for one in found), found
    if found[0] != ("refused",):
        assert found[0][0] == sorted(set(y.pool))


MIXED = {"mixed sign", "whole numbers and floats", "equal numbers"}
REFUSED = {"NUL", "surrogates", "bytes", "decimals", "dates", "tuples", "numbers and texts", "beyond 64 bits"}


@pytest.mark.parametrize("kind", sorted(set(KINDS) - REFUSED - MIXED))
def test_labels_are_learnt_as_they_are(kind: str) -> None:
    pool = list(KINDS[kind].pool)
    y = np.arange(N) % len(pool)
    for wrap in KINDS[kind].wraps.values():
        labels = wrap([pool[code] for code in y])
        for estimator in (FedGBTClassifier(1, max_depth=2, n_jobs=1), FedTreeClassifier(n_jobs=1)):
            model = estimator.fit(y[:, None] == np.arange(len(pool)), labels, silos=y)
            assert model.classes_.tolist() == sorted(pool)
        assert model.predict(y[:, None] == np.arange(len(pool))).tolist() == [pool[code] for code in y]


NUMBERS = sorted(set(KINDS) - REFUSED - {"texts"} | {"decimals", "beyond 64 bits"})


@given(columns(N, kinds=NUMBERS, most=6), st.sampled_from(sorted(PARTS)))
@examples(15)
def test_targets_of_any_type_give_one_model_or_none(y: Drawn, part: str) -> None:
    found = ways(lambda: FedGBTRegressor(1, max_depth=2, n_jobs=1), y, part)
    assert all(one == found[0] for one in found), found


@pytest.mark.parametrize("dtype", ["i8", "u8"])
def test_targets_are_rounded_once(dtype: str) -> None:
    y = np.random.default_rng(0).integers(2**53, 2**63, 40).astype(dtype)
    table, half = np.arange(40.0)[:, None], np.arange(40) < 20
    for other in (y.astype(object), [int(v) for v in y], [Fraction(int(v)) for v in y], pd.array(y)):
        one = FedGBTRegressor(2, n_jobs=1).fit(table, y)
        two = FedGBTRegressor(2, n_jobs=1).fit(table, other)
        assert one.booster_.save_raw() == two.booster_.save_raw()
    # beside a silo of floats, too
    few = Silo("floats", table[half], y[half].astype(float), n_jobs=1), Silo("whole", table[~half], y[~half], n_jobs=1)
    models = [FedGBTRegressor(2, n_jobs=1).fit_federation(LocalFederation(few, mode=m)) for m in ("fused", "faithful")]
    assert models[0].booster_.save_raw() == models[1].booster_.save_raw()


# -- ids ----------------------------------------------------------------------------------------------------


# law: read_silos
@given(columns(N, most=6))
@examples(15)
def test_ids_of_any_type_name_silos_or_are_refused(ids: Drawn) -> None:
    y = (X[:, 0] > 1).astype(int)
    pooled = FedGBTClassifier(1, max_depth=2, n_jobs=1).fit(X, y).booster_.save_raw()
    for mode in ("fused", "faithful"):
        try:
            federation = LocalFederation.from_table(
                X, y, silos=ids.of(), mode=mode, eval_set=[(X, y)], eval_silos=[ids.of(owner=1)], n_jobs=1
            )
        except DataError as error:
            str(error).encode()
            continue
        assert len(federation.names) == len(set(ids.pool))  # what is equal is one silo
        assert list(federation.table.starts) == list(
            federation._fused.held_out[0].starts if mode == "fused" else federation.table.starts
        )
        model = FedGBTClassifier(1, max_depth=2, n_jobs=1).fit_federation(federation)
        assert model.booster_.save_raw() == pooled


@pytest.mark.parametrize("wrap", ["array", "Series", "nullable", "arrow", "polars", "objects", "list", "categories"])
def test_ids_are_named_and_sorted_alike_in_any_container(wrap: str) -> None:
    ids = KINDS["i8"].wraps[wrap]([10, 9, -1, 10])
    federation = LocalFederation.from_table(np.zeros((4, 1)), [0, 1, 0, 1], silos=ids)
    assert list(federation.names) == ["-1", "9", "10"]
    assert np.diff(federation.table.starts).tolist() == [1, 1, 2]


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        ([1, 1.0], "silos holds ids that are equal and read differently"),
        ([True, 1], "silos holds ids that are equal and read differently"),
        (KINDS["equal numbers"].pool[4:], "silos holds ids that are equal and read differently"),
        ([1, 1.0, "1"], "silos holds ids that "),
        ([1, "1"], "silos holds ids that differ and read the same"),
        (["a", "a\0"], r"silos holds 'a.x00' in row 1, which has a NUL character in it"),
        (["a", "\ud800"], "silos holds '.ud800' in row 1, which has half a character"),
        ([b"a", b"b"], "silos holds b'a', of the type bytes"),
        ([("a", 1), ("b", 2)], r"silos holds \('a', 1\), which is no single id; join the parts .* 'a/1'"),
        (pd.MultiIndex.from_tuples([("a", 1), ("b", 2)]), r"silos holds \('a', 1\), which is no single id"),
        (pd.DataFrame({"h": [1, 2]}), r"silos is a table of the columns \['h'\]"),
        ("hospital", r"silos='hospital': give one id a row, such as those of a column, X\['hospital'\]"),
        (["a", None], "silos is missing .* in row 1"),
        ([Silo("a", X, X[:, 0])], r"a list of Silo goes into fit_federation"),
        (np.zeros((2, 2)), r"silos has the shape \(2, 2\)"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_ids_that_name_no_silo_are_refused(ids: Any, text: str) -> None:
    ids = objects(list(ids)) if isinstance(ids, list) and not isinstance(ids[0], Silo) else ids
    with pytest.raises(FedTreesError, match=text) as caught:
        FedGBTClassifier(1, n_jobs=1).fit(np.zeros((2, 1)), [0, 1], silos=ids)
    assert not re.search(r"np\.|object at 0x", str(caught.value))
