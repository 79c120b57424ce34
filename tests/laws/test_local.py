"""Silos in one process: fused and faithful are one federation, in answers, in errors and in bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedtrees import Channel, FedGBTClassifier, FedGBTRegressor, FixedNumber, LocalFederation, Poisson, Silo
from fedtrees.core.data.silo_ids import places_of_ids
from fedtrees.core.protocol.count_weights import CountWeights
from fedtrees.core.protocol.query import Fact, Query
from fedtrees.core.protocol.start_messages import Weigh
from fedtrees.core.sampling.weighting import SiloWeights
from fedtrees.neural.class_weights import ClassSums
from fedtrees.neural.one_class import ClassRows
from fedtrees.queries.categories import CategoryCounts
from fedtrees.queries.counts import Counts, LabelExponents, LabelSums, WholeWeights
from fedtrees.queries.moments import PowerSums
from fedtrees.queries.query_weights import QueryWeights
from fedtrees.queries.ranks import Buckets
from fedtrees.queries.scores import HeldOut
from fedtrees.queries.target_steps import TargetSteps
from fedtrees.trees.messages.risk_sets import TimeCounts
from fedtrees.trees.silo.time_bins import KEY_BITS

SIZES = [3, 0, 7, 1, 0, 4, 5]
N = len(SIZES)
ROWS = sum(SIZES)
EVERYONE = np.arange(N)
NOBODY = np.zeros(0, np.int64)


def silos(sizes: list[int] = SIZES, text: bool = True, seed: int = 0) -> list[Silo]:
    rng = np.random.default_rng(seed)
    parts = []
    for k, n in enumerate(sizes):
        X = rng.normal(size=(n, 3)).round(1)
        X[rng.random((n, 3)) < 0.2] = np.nan
        y = np.resize(["ill", "well"], n) if text else rng.normal(size=n)
        parts.append(Silo(f"silo {k}", X, y if n else [], sample_weight=rng.random(n) + 0.5, n_jobs=1))
    return parts


def both(parts: list[Silo] | None = None, **options: Any) -> tuple[LocalFederation, LocalFederation]:
    fused = LocalFederation(parts or silos(**options), n_jobs=1)
    return fused, LocalFederation(parts or silos(**options), mode="faithful", n_jobs=1)


def assert_same_ledgers(one: Any, other: Any) -> None:
    pd.testing.assert_frame_equal(one.per_silo(), other.per_silo())
    pd.testing.assert_frame_equal(one.per_round(), other.per_round())
    for name in one.names:
        pd.testing.assert_frame_equal(one.detail(name), other.detail(name))
    assert (one.bytes_up, one.bytes_down, one.rounds) == (other.bytes_up, other.bytes_down, other.rounds)


# -- one question -----------------------------------------------------------------------------------------

QUERIES: list[list[Query]] = [
    [Counts(3)],
    [LabelExponents(ROWS, ["ill", "well"])],
    [LabelSums(ROWS, ["ill", "well"], (1, 1), 30)],
    [Counts(3), LabelSums(ROWS, ["ill", "well"], (1, 1), 30)],
]
COHORTS = {
    "all": EVERYONE,
    "some": np.array([0, 2, 5]),
    "without rows": np.array([1, 4]),
    "one": np.array([3]),
    "nobody": NOBODY,
}


# law: Query, LocalFederation
@pytest.mark.parametrize("cohort", COHORTS.values(), ids=COHORTS)
@pytest.mark.parametrize("queries", QUERIES, ids=lambda queries: "+".join(query.kind for query in queries))
def test_sums_and_vectors_are_the_same_in_both_modes(queries: list[Query], cohort: np.ndarray) -> None:
    replies, ledgers = [], []
    for federation in both():
        channel = Channel(federation)
        channel.tell(Weigh(SiloWeights().settled(ROWS, 5)))
        summed = np.concatenate(channel._vectors(queries, cohort))
        each = np.concatenate([channel.gather(query, cohort) for query in queries], axis=1)
        np.testing.assert_array_equal(each.sum(axis=0), summed)
        assert each.shape == (len(cohort), sum(query.size() for query in queries))
        assert each.dtype == summed.dtype == np.int64
        replies.append((summed, each))
        ledgers.append(channel.ledger)
    for fused, faithful in zip(*replies, strict=True):
        np.testing.assert_array_equal(fused, faithful)
    assert_same_ledgers(*ledgers)


ALIKE = [3, 8, 0, 8, 5]  # rows of silos, of which some have as many


def ranked() -> list[Silo]:
    """Silos of queries of several rows, of categories, weights and evaluation sets, each of another size."""
    rng, parts = np.random.default_rng(3), []
    for k, n in enumerate(ALIKE):
        frame = pd.DataFrame(
            {"age": rng.normal(size=n).round(1), "ward": pd.Categorical.from_codes(rng.integers(0, 3, n), list("abc"))}
        )
        qid = 100 * k + np.arange(n) // 3
        held = [(frame[: 2 * k], rng.integers(0, 4, min(n, 2 * k)), None, None, qid[: 2 * k])]
        y = rng.integers(0, 4, n)
        weight = rng.uniform(0.5, 4, len(np.unique(qid)))
        parts.append(Silo(f"silo {k}", frame, y, sample_weight=weight, qid=qid, eval_set=held, n_jobs=1))
    return parts


IN_ALL = sum(ALIKE)
ASKED: dict[str, Query] = {
    "counts": Counts(2),
    "whole weights": WholeWeights(IN_ALL, None),
    "exponents of labels": LabelExponents(IN_ALL, [0, 1, 2, 3]),
    "sums of labels": LabelSums(IN_ALL, None, (3, 4), 30),
    "ranks": Buckets.start(IN_ALL << 16, np.array([IN_ALL] * 2), np.array([8] * 2)).query(np.ones(2, bool)),
    "moments": PowerSums(IN_ALL, 2, 1),
    "squared distances": PowerSums(IN_ALL, 2, 0, np.array([0.5, 1.0])),
    "weights of queries": QueryWeights(IN_ALL),
    "steps of targets": TargetSteps(IN_ALL),
    "categories": CategoryCounts(IN_ALL, np.array([0, 3])),
    "rows held out": HeldOut(1, None),
    "rows of classes": ClassRows(IN_ALL, [0, 1, 2, 3]),
    "weights of classes": ClassSums(IN_ALL, [0, 1, 2, 3]),
    "times": TimeCounts(IN_ALL, np.zeros(1, np.uint32), KEY_BITS, KEY_BITS - 10),
}


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("name", ASKED)
def test_any_silos_answer_for_their_rows_alone_and_in_as_many_bytes_as_they_would(name: str, weighed: bool) -> None:
    """Whatever cohort is asked: the first silos, the last, or some in between."""
    fused, faithful = (Channel(LocalFederation(ranked(), mode=mode, n_jobs=1)) for mode in ("fused", "faithful"))
    for channel in (fused, faithful):
        channel.tell(Weigh(SiloWeights({f"silo {k}": k + 1.0 for k in range(5)}).settled(IN_ALL, 4)))
        if weighed:
            channel.tell(CountWeights(5, whole=False))
    query = ASKED[name]
    each = faithful.gather(query, np.arange(5))
    assert each.any(axis=1).tolist() == [name != "rows held out", True, False, True, True]
    fused.gather(query, np.arange(5))
    for chosen in np.ndindex(2, 2, 2, 2, 2):
        cohort = np.flatnonzero(chosen)
        for channel in (fused, faithful):
            (total,) = channel._vectors([query], cohort)
            np.testing.assert_array_equal(total, each[cohort].sum(axis=0), err_msg=str(cohort))
    assert_same_ledgers(fused.ledger, faithful.ledger)


@pytest.mark.parametrize("name", ASKED)
def test_rows_that_lie_between_those_of_others_are_answered_for_as_if_they_lay_together(name: str) -> None:
    """One table whose silos' rows take turns, and the same silos apart."""
    rng, n = np.random.default_rng(5), 24
    whose = np.repeat([4, 1, 3, 0, 4, 1, 0, 3], 3)  # a ranking group stays together
    frame = pd.DataFrame(
        {"age": rng.normal(size=n).round(1), "ward": pd.Categorical.from_codes(rng.integers(0, 3, n), list("abc"))}
    )
    y, qid = rng.integers(0, 4, n), np.arange(n) // 3
    weight = rng.uniform(0.5, 4, n // 3)
    held_out = (frame, y, None, None, qid)
    table = LocalFederation.from_table(
        frame, y, silos=whose, sample_weight=weight, qid=qid, eval_set=[held_out], eval_silos=[whose], n_jobs=1
    )
    parts = []
    for silo in (0, 1, 3, 4):
        part = whose == silo
        sets = [(frame[part], y[part], None, None, qid[part])]
        more = {"sample_weight": weight[np.unique(qid[part])], "qid": qid[part], "eval_set": sets}
        parts.append(Silo(str(silo), frame[part], y[part], n_jobs=1, **more))
    answers = [
        Channel(federation).gather(ASKED[name], np.arange(4)).tolist()
        for federation in (table, LocalFederation(parts, n_jobs=1), LocalFederation(parts, mode="faithful", n_jobs=1))
    ]
    assert answers[0] == answers[1] == answers[2] and any(map(any, answers[0]))


@pytest.mark.parametrize("silos", [2**16, 2**16 + 1, 70_000])
def test_rows_of_more_silos_than_two_bytes_count_are_those_of_their_silos(silos: int) -> None:
    """Ids that stand in no order, each of one row."""
    ids = np.arange(silos)[::-1]
    federation = LocalFederation.from_table(ids[:, None].astype(np.float64), ids % 7, silos=ids, n_jobs=1)
    table = federation.table
    held = table.X[:, 0] if table.order is None else table.X[table.order, 0]
    assert [int(name) for name in (*table.names[:3], table.names[-1])] == [0, 1, 2, silos - 1]
    assert held.tolist() == list(range(silos)) and table.y.tolist() == [place % 7 for place in range(silos)]
    assert table.starts.tolist() == list(range(silos + 1))


class Note(Fact, frozen=True, eq=False):
    """So many bytes for every silo to hear of."""

    text: str

    def apply(self, silo: Silo) -> None:
        pass


# law: LocalFederation
@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.sets(st.integers(0, N - 1)), st.booleans(), st.booleans()), max_size=8)
)
def test_bytes_are_those_of_real_messages_whoever_heard_what(steps: list[tuple[int, set[int], bool, bool]]) -> None:
    ledgers = []
    for federation in both():
        channel = Channel(federation)
        for length, drawn, gather, another_run in steps:
            if another_run:
                ledgers.append(channel.ledger)
                channel = Channel(federation)
            channel.tell(Note("x" * length))
            cohort = np.array(sorted(drawn), np.int64)
            channel.gather(Counts(3), cohort) if gather else channel.total(Counts(3), cohort)
        ledgers.append(channel.ledger)
    half = len(ledgers) // 2
    for fused, faithful in zip(ledgers[:half], ledgers[half:], strict=True):
        assert_same_ledgers(fused, faithful)


# -- whole trainings --------------------------------------------------------------------------------------

SAMPLING = {
    "all": 1.0,
    "a fraction": 0.5,
    "two": FixedNumber(2),
    "often nobody": Poisson(0.15),
    "never anybody": Poisson(1e-9),
}


# law: LocalFederation
@pytest.mark.parametrize("sampling", SAMPLING.values(), ids=SAMPLING)
@pytest.mark.parametrize("kind", ["classifier", "regressor", "multiclass"])
def test_trainings_are_the_same_bytes_in_both_modes(kind: str, sampling: Any) -> None:
    options = {"n_estimators": 5, "max_depth": 3, "max_bin": 6, "min_child_weight": 0.0, "reg_lambda": 0.0, "n_jobs": 1}
    if kind == "regressor":
        model: Any = FedGBTRegressor(sampling=sampling, **options)
    else:
        objective = "multi:softprob" if kind == "multiclass" else None
        model = FedGBTClassifier(sampling=sampling, objective=objective, weighting="equal", **options)
    models, ledgers = [], []
    for federation in both(text=kind != "regressor"):
        model.fit_federation(federation)
        models.append(model.booster_.save_raw("json"))
        ledgers.append(model.ledger_)
        assert np.isfinite(model.booster_.inplace_predict(np.zeros((1, 3), np.float32))).all()
    assert models[0] == models[1]
    assert_same_ledgers(*ledgers)


def test_poisson_really_drew_nobody_and_somebody_above() -> None:
    drawn = [Poisson(0.15).draw(N, 0, round).size for round in range(5)]
    assert 0 in drawn and max(drawn) > 0


def test_a_tree_of_nobody_adds_nothing() -> None:
    model = FedGBTRegressor(n_estimators=3, sampling=Poisson(1e-9), n_jobs=1).fit_federation(both(text=False)[0])
    plain = FedGBTRegressor(n_estimators=1, max_depth=1, gamma=1e30, learning_rate=1e-30, n_jobs=1)
    plain.fit_federation(both(text=False)[0])
    X = np.zeros((2, 3))
    np.testing.assert_array_equal(model.predict(X), plain.predict(X))


def test_one_federation_serves_one_training_after_another() -> None:
    for federation in both():
        models = []
        for depth in (2, 3, 2):
            model = FedGBTClassifier(n_estimators=3, max_depth=depth, min_child_weight=0, n_jobs=1)
            models.append((model.fit_federation(federation).booster_.save_raw("json"), repr(model.ledger_)))
        assert models[0] == models[2] != models[1]
        federation.close()
        federation.close()  # twice does no harm
        model.fit_federation(federation)


def test_a_training_that_failed_leaves_no_trace() -> None:
    for federation in both():
        fine = FedGBTClassifier(n_estimators=2, max_depth=2, n_jobs=1)
        wanted = fine.fit_federation(federation).booster_.save_raw("json")
        with pytest.raises(ValueError, match="no weight for silo"):
            FedGBTClassifier(weighting={"silo 0": 1.0}, n_jobs=1).fit_federation(federation)
        assert fine.fit_federation(federation).booster_.save_raw("json") == wanted


# -- one table --------------------------------------------------------------------------------------------


def pooled(parts: list[Silo]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    X = np.concatenate([part.table.X for part in parts])
    y = np.concatenate([part.table.y for part in parts if part.table.n_rows])
    weight = np.concatenate([part.table.weight for part in parts if part.table.weight is not None])
    return X, y, weight, np.repeat([part.name for part in parts], [part.table.n_rows for part in parts])


@pytest.mark.parametrize("shuffle", [False, True], ids=["in order", "shuffled"])
@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_a_table_with_silo_ids_is_those_silos(shuffle: bool, mode: str) -> None:
    parts = [part for part in silos() if part.table.n_rows]
    X, y, weight, ids = pooled(parts)
    rows = np.random.default_rng(1).permutation(len(y)) if shuffle else np.arange(len(y))
    federation = LocalFederation.from_table(
        X[rows], y[rows], silos=ids[rows], sample_weight=weight[rows], mode=mode, n_jobs=1
    )
    assert list(federation.names) == [part.name for part in parts]
    channels = [Channel(f) for f in (federation, LocalFederation(parts, n_jobs=1))]
    for cohort in (np.arange(5), np.array([1, 3])):
        for query in (Counts(3), LabelSums(ROWS, ["ill", "well"], (1, 1), 30)):
            np.testing.assert_array_equal(*(channel.gather(query, cohort) for channel in channels))
    model = FedGBTClassifier(n_estimators=3, max_depth=3, min_child_weight=0, n_jobs=1)
    one, other = (model.fit_federation(c.federation).booster_.save_raw("json") for c in channels)
    assert one == other


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        ([3, 1, 3, 10], ["1", "3", "10"]),
        (["b", "a", "b", "B"], ["B", "a", "b"]),
        ([True, False, True, True], ["False", "True"]),
        (pd.Series(["x", "y", "x", "x"], dtype="category"), ["x", "y"]),
        (pd.Series(["x", "y", "x", "x"], dtype="string"), ["x", "y"]),
        (np.array([2.5, 1, 1, 1]), ["1.0", "2.5"]),
        *((np.array([-0.0, 0, 1, 1], kind), ["0.0", "1.0"]) for kind in ("f2", "f4", "f8", np.longdouble)),
        (np.array([0.1, 0.1, -1, 1], np.float32), ["-1.0", "0.1", "1.0"]),
        (None, ["all"]),
    ],
    ids=str,
)
def test_silo_ids_of_each_kind(ids: Any, names: list[str]) -> None:
    federation = LocalFederation.from_table(np.zeros((4, 1)), np.zeros(4), silos=ids)
    assert list(federation.names) == names
    assert federation.table.n_rows == 4


@pytest.mark.parametrize(
    ("ids", "names", "places"),
    [
        (np.array([2.0, 1.0, 3.0, 1.5]), ["1", "2"], [1, 0, -1, -1]),
        (np.array([2, 1, 3]), ["1.0", "2.0"], [1, 0, -1]),
        (np.array([2, 1, 3]), ["1", "2"], [1, 0, -1]),
        (np.array([2.0, 1.0, 3.0]), ["1.0", "2.0"], [1, 0, -1]),
        (np.array([True, False]), ["1", "0"], [-1, -1]),
        (np.array([True, False], object), ["1.0", "0.0"], [-1, -1]),
        (np.array([True, False]), ["False", "True"], [1, 0]),
        (np.array([2, 1.0, "2"], object), ["1", "2"], [1, 0, 1]),
        (np.array(["b", "a", "c", "1"]), ["a", "b", "1"], [1, 0, -1, 2]),
    ],
    ids=str,
)
def test_ids_of_rows_are_found_among_the_names_of_silos(ids: Any, names: list[str], places: list[int]) -> None:
    """Whole numbers are floats where some are missing, and the other way round; what is no number stays what it is."""
    assert places_of_ids(ids, names).tolist() == places


def test_a_table_in_order_is_not_copied() -> None:
    X = np.zeros((4, 2), np.float32)
    assert LocalFederation.from_table(X, np.zeros(4), silos=[1, 1, 2, 2]).table.order is None
    shuffled = LocalFederation.from_table(X, np.zeros(4), silos=[2, 1, 2, 1])
    assert shuffled.table.order is not None and shuffled.table.order.tolist() == [1, 3, 0, 2]
    assert shuffled.table.X is X


# -- what silos need not share ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "labels"),
    [
        (np.array([0, 1], np.uint8), np.array([1, 0], np.int64), [0, 1]),
        (np.array([0, 1], np.uint64), np.array([1, 0], np.int64), [0, 1]),
        (np.array([0, 1]), np.array([1.0, 2.0]), [0.0, 1.0, 2.0]),
        (np.array([False, True]), np.array([1, 2]), [0, 1, 2]),
        (np.array(["a", "b"], object), np.array(["a", "longer"]), ["a", "b", "longer"]),
        (np.array([]), np.array([3, 4]), [3, 4]),
    ],
    ids=str,
)
def test_labels_of_other_types_become_the_same_in_both_modes(first: Any, second: Any, labels: list[Any]) -> None:
    parts = [Silo("a", np.zeros((len(first), 1)), first, n_jobs=1), Silo("b", np.ones((2, 1)), second, n_jobs=1)]
    models = [FedGBTClassifier(n_estimators=2, n_jobs=1).fit_federation(federation) for federation in both(parts)]
    for model in models:
        assert model.classes_.tolist() == labels
        assert [type(label) for label in model.classes_.tolist()] == [type(label) for label in labels]
    assert models[0].booster_.save_raw("json") == models[1].booster_.save_raw("json")


def test_weights_of_some_silos_are_one_in_the_others() -> None:
    parts = [Silo("a", [[1.0], [2.0]], [0, 1], n_jobs=1), Silo("b", [[1.0]], [1], sample_weight=[3], n_jobs=1)]
    for federation in both(parts):
        total = Channel(federation).total(LabelSums(3, [0, 1], (2, 2), 30), np.arange(2))
        assert total.tolist() == [1, 4]


def test_a_federation_says_what_it_is() -> None:
    assert repr(both()[1]) == "LocalFederation(7 silos, 20 rows, mode='faithful')"
    some = LocalFederation.from_table(np.arange(4.0)[:, None], [0, 1, 0, 1], sample_weight=[1, 0, 2, 0], n_jobs=1)
    assert repr(some) == "LocalFederation(1 silos, 2 rows, mode='fused')"  # a row of weight 0 is as good as absent
