"""Bins that hold a least number of rows: nobody is singled out by edges or histograms, and the laws hold as ever."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pandas.testing import assert_frame_equal
from strategies import JIT, Watched, examples, tables

import fedtrees
from fedtrees import (
    DataError,
    FedAdaBoostClassifier,
    FedExtraTreesClassifier,
    FedForestRegressor,
    FedGBTClassifier,
    FedGBTRanker,
    FedGBTRegressor,
    FedTreeClassifier,
    LocalFederation,
    ParameterError,
    Silo,
)
from fedtrees.queries.counts import Counts, Summary
from fedtrees.queries.ranks import Buckets, Ranks
from fedtrees.trees.messages.training import Begin
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.server.cut_points import global_cuts
from fedtrees.trees.silo.binning import bin_table

seeds = st.integers(0, 2**32 - 1)
N = 300 if JIT else 90
LEAST = 7


class Listening(fedtrees.Channel):
    """A channel that keeps what bin edges were asked and answered."""

    def __init__(self, federation: LocalFederation):
        super().__init__(federation)
        self.heard: list[tuple[Ranks, NDArray[np.int64]]] = []

    def totals(self, queries: Any, cohort: Any) -> list[Any]:
        answers = super().totals(queries, cohort)
        self.heard += [(q, a) for q, a in zip(queries, answers, strict=True) if isinstance(q, Ranks) and not q.weighted]
        if len(queries) == 1 and isinstance(queries[0], Ranks):
            self.heard.append((queries[0], answers[0]))
        return answers


def begin_of(federation: Watched) -> Begin:
    """The message that told the silos of the cut points."""
    assert federation.log is not None
    (begin,) = (fact for fact in federation.log.facts if isinstance(fact, Begin))
    return begin


def cuts_over(X: NDArray[np.float32], least: int, silos: Any = None, max_bin: int = 256) -> tuple[Cuts, Listening]:
    federation = LocalFederation.from_table(X, np.zeros(len(X)), silos=silos)
    channel, everyone = Listening(federation), np.arange(len(federation.names))
    summary: Summary = channel.total(Counts(X.shape[1]), everyone)
    return global_cuts(channel, everyone, summary, max_bin, least=least), channel


def rows_by_bin(X: NDArray[np.float32], cuts: Cuts) -> list[NDArray[np.int64]]:
    """How many rows each bin of each feature holds."""
    federation = LocalFederation.from_table(X, np.zeros(len(X)))
    bins = bin_table(federation.table, cuts, federation.threads)
    width = bins.shape[2]
    return [
        np.bincount(bins[f // width, :, f % width], minlength=int(cuts.n_bins[f])) for f in range(X.shape[1])
    ]  # fmt: skip


@pytest.mark.parametrize("least", [1, 2, 3, 5])
def test_a_bucket_is_refined_where_two_bins_would_hold_enough_rows(least: int) -> None:
    """Its children would hold a bin's rows each, in the mean; asked of the buckets by themselves, no round follows."""
    many = np.arange(1, 30)
    buckets = Buckets.start(1000, many, np.full(len(many), 8), least)
    coarse = buckets.to_refine()
    assert coarse.tolist() == [True if least == 1 else own >= 2 * least for own in many]
    children = np.diff(replace(buckets, width=buckets.width - 1).query(coarse).base())
    if least > 1:
        assert children.tolist() == [2 ** int(np.log2(own // least)) for own in many[coarse]]
    small = Buckets(
        1000, np.array([5]), *(np.array(own) for own in ([0] * 5, range(0, 50, 10), [0] * 5, *[[1] * 5] * 2)), least
    )
    assert small.bins()[1].tolist() == {1: [0, 10, 20, 30, 40], 2: [10, 40], 3: [40], 5: [40]}[least]


@examples(60)
@given(X=tables(), least=st.sampled_from([2, 3, 5, 20]), max_bin=st.sampled_from([2, 3, 16, 256]))
def test_no_bin_holds_fewer_rows(X: NDArray[np.float32], least: int, max_bin: int) -> None:
    cuts, _ = cuts_over(X, least, max_bin=max_bin)
    for rows in rows_by_bin(X, cuts):
        assert rows.sum() == len(X)
        assert len(rows) == 1 or rows.min() >= least
        assert len(rows) <= max_bin


@examples(60)
@given(X=tables(), least=st.sampled_from([2, 5, 20]))
def test_no_interval_of_fewer_rows_than_two_bins_is_looked_into(X: NDArray[np.float32], least: int) -> None:
    _, channel = cuts_over(X, least)
    for query, counts in channel.heard:
        parents = np.add.reduceat(counts, query.base()[:-1])
        assert parents.min() >= 2 * least
        # and its children would hold a bin's rows each, if rows lay evenly
        assert (np.diff(query.base()) <= np.maximum(parents / least, 1)).all()


@examples(40)
@given(X=tables(), least=st.sampled_from([2, 5, 20]), seed=seeds, n_silos=st.integers(1, 20))
def test_cuts_do_not_depend_on_the_partition(X: NDArray[np.float32], least: int, seed: int, n_silos: int) -> None:
    rng = np.random.default_rng(seed)
    pooled, _ = cuts_over(X, least)
    order = rng.permutation(len(X))
    parted, _ = cuts_over(X[order], least, silos=rng.integers(n_silos, size=len(X)))
    for name in ("values", "offsets", "missing"):
        assert getattr(pooled, name).tobytes() == getattr(parted, name).tobytes()


@pytest.mark.parametrize(
    ("rows", "least", "bins"),
    [(2, 2, 1), (3, 2, 1), (4, 2, 2), (5, 2, 2), (9, 5, 1), (10, 5, 2), (11, 5, 2), (14, 5, 2), (2, 1, 2)],
)
def test_rows_of_two_bins_are_told_apart_and_one_fewer_are_not(rows: int, least: int, bins: int) -> None:
    X = np.sort(np.arange(rows) % 2 + np.float32(1))[:, None].astype(np.float32)
    cuts, channel = cuts_over(X, least)
    assert rows_by_bin(X, cuts)[0].tolist() == ([rows] if bins == 1 else [rows - rows // 2, rows // 2])
    assert (len(channel.heard) > 0) == (bins == 2)


def test_bins_of_continuous_values_are_not_much_larger_than_asked() -> None:
    X = np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32)
    for rows in rows_by_bin(X, cuts_over(X, 10)[0]):
        assert rows.min() >= 10 and np.median(rows) <= 20


def table(seed: int = 0) -> tuple[pd.DataFrame, NDArray[np.int64], NDArray[np.float32]]:
    """Numbers, rare extremes, few missing ones and rare categories; labels; and weights."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"x": rng.normal(size=N), "age": rng.integers(20, 60, N).astype(float)})
    frame["few missing"] = np.where(np.arange(N) % (N // 3) == 1, np.nan, rng.normal(size=N))
    frame["many missing"] = np.where(rng.random(N) < 0.3, np.nan, rng.normal(size=N))
    frame["few there"] = np.where(np.arange(N) % (N // 3) == 1, rng.normal(size=N), np.nan)
    shares = [0.4, 0.3, 0.2, 0.07, 0.02, 0.01]
    frame["ward"] = pd.Categorical(rng.choice(list("uvwxyz"), N, p=shares), categories=list("uvwxyz"))
    frame.loc[[5, 6], "ward"] = np.nan
    frame.loc[7, "age"] = 1e6
    y = frame["x"] + (frame["ward"] == "v") + 0.5 * frame["many missing"].fillna(1) + rng.normal(size=N) > 0.3
    return frame, y.to_numpy(np.int64), rng.integers(1, 4, N).astype(np.float32)


FAMILIES = {
    "boosting": lambda: FedGBTClassifier(5, max_depth=4, min_bin_rows=LEAST, enable_categorical=True),
    "numbers": lambda: FedGBTRegressor(5, max_depth=4, min_bin_rows=LEAST, enable_categorical=True),
    "tree": lambda: FedTreeClassifier(max_depth=4, min_bin_rows=LEAST),
    "forest": lambda: FedForestRegressor(3, max_depth=4, min_bin_rows=LEAST),
    "extra trees": lambda: FedExtraTreesClassifier(3, max_depth=4, min_bin_rows=LEAST),
    "adaboost": lambda: FedAdaBoostClassifier(3, max_depth=2, min_bin_rows=LEAST),
}


def saved(model: Any) -> bytes:
    booster = model.booster_ if hasattr(model, "booster_") else model.to_booster()
    return bytes(booster.save_raw("json"))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_models_are_the_same_bytes_for_any_partition(family: str, weighted: bool) -> None:
    X, y, weight = table()
    w, ids = weight if weighted else None, np.arange(N)
    if family not in ("boosting", "numbers"):
        X = X.assign(ward=X["ward"].cat.codes.astype(float))
    fit = FAMILIES[family]
    pooled = fit().fit(X, y, sample_weight=w, row_id=ids)
    silo = np.arange(N) % 4
    parted = fit().fit(X, y, silos=silo, sample_weight=w, row_id=ids)
    rows = [np.flatnonzero(silo == k) for k in range(4)]
    silos = [
        Silo(f"s{k}", X.iloc[r], y[r], sample_weight=None if w is None else w[r], row_id=ids[r])
        for k, r in enumerate(rows)
    ]  # fmt: skip
    faithful = fit().fit_federation(LocalFederation(silos, mode="faithful"))
    assert saved(pooled) == saved(parted) == saved(faithful)
    # but for the schemas: a table that is split knows its categories, those without rows included
    assert_frame_equal(parted.ledger_.per_round()[1:], faithful.ledger_.per_round()[1:])


@pytest.mark.parametrize("grow_policy", ["depthwise", "lossguide"])
@pytest.mark.parametrize("onehot", [2, 100])
def test_rare_categories_and_few_missing_go_the_same_way_in_training_and_in_the_booster(
    onehot: int, grow_policy: str
) -> None:
    X, y, _ = table()
    model = FedGBTClassifier(
        10, min_bin_rows=LEAST, enable_categorical=True, max_cat_to_onehot=onehot, min_child_weight=0,
        grow_policy=grow_policy, colsample_bynode=0.5, eval_metric="logloss",
    ).fit(X, y, silos=np.arange(N) % 3, eval_set=[(X, y)])  # fmt: skip
    p = model.predict_proba(X)[np.arange(N), y]
    # the silos' own margins are those of bins; the file's, those of values
    assert model.evals_result_["validation_0"]["logloss"][-1] == pytest.approx(-np.log(p).mean(), rel=1e-6)


@pytest.mark.parametrize("family", ["tree", "forest", "extra trees", "adaboost"])
def test_few_missing_go_right_in_trees_by_impurity(family: str) -> None:
    X, y, _ = table()
    X = X[["few missing", "x"]]
    model = FAMILIES[family]().fit(X, y, row_id=np.arange(N))
    lost = X["few missing"].isna().to_numpy()
    assert lost.sum() == 3
    highest = X[lost].assign(**{"few missing": X["few missing"].max() + 1})
    assert (model.predict(X[lost]) == model.predict(highest)).all()


def test_a_rare_extreme_is_told_apart_from_nobody() -> None:
    X, y, _ = table()
    federation = Watched(LocalFederation.from_table(X[["age"]], y))
    FedGBTClassifier(1, min_bin_rows=LEAST).fit_federation(federation)
    assert begin_of(federation).values[:-1].max() < 60  # the one of a million shares the bin of the oldest


def test_rows_count_and_not_their_weights() -> None:
    X = np.r_[np.zeros(50), np.ones(50), 2.0].astype(np.float32)[:, None]
    y, weight = (np.arange(101) % 2), np.ones(101, np.float32)
    weight[-1] = 1000
    for silos in (None, np.arange(101) % 2):
        federation = Watched(LocalFederation.from_table(X, y, silos=silos, sample_weight=weight))
        FedGBTClassifier(1, min_bin_rows=5).fit_federation(federation)
        assert len(begin_of(federation).values) == 2  # 0, and 1 together with 2


def test_rankings_take_it_too() -> None:
    rng = np.random.default_rng(0)
    X, y, qid = rng.normal(size=(N, 2)), rng.integers(0, 3, N), np.arange(N) // 10
    pooled = FedGBTRanker(3, min_bin_rows=LEAST).fit(X, y, qid=qid)
    parted = FedGBTRanker(3, min_bin_rows=LEAST).fit(X, y, qid=qid, silos=qid % 3)
    assert saved(pooled) == saved(parted)


@pytest.mark.parametrize("cls", [FedGBTClassifier, FedTreeClassifier, FedForestRegressor, FedAdaBoostClassifier])
@pytest.mark.parametrize("wrong", [0, -1, 2.5, True, "5", None])
def test_what_is_no_number_of_rows_is_refused(cls: Any, wrong: Any) -> None:
    if wrong is None and cls is FedGBTClassifier:
        pytest.skip("None may stand for a default there")
    with pytest.raises(ParameterError, match=r"min_bin_rows=.*: give a whole number from 1"):
        cls(min_bin_rows=wrong).fit([[1.0], [2.0]], [0, 1])


def test_more_rows_than_there_are_is_refused() -> None:
    with pytest.raises(DataError, match=r"min_bin_rows=3: all silos together hold 2 rows"):
        FedTreeClassifier(min_bin_rows=3).fit([[1.0], [2.0]], [0, 1])


@pytest.mark.parametrize("mode", ["bagging", "cyclic"])
def test_trees_that_silos_grow_by_themselves_do_not_take_it(mode: str) -> None:
    with pytest.raises(ParameterError, match="min_bin_rows"):
        FedGBTClassifier(2, mode=mode, min_bin_rows=3).fit(np.arange(20.0)[:, None], np.arange(20) % 2)
