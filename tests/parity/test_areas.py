"""Areas under curves: XGBoost's own numbers, as certain as they say, wherever scores lie and whoever holds them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from strategies import examples
from xgboost_twin import by_xgboost

from fedtrees import LocalFederation
from fedtrees.core.data.table import Table
from fedtrees.core.data.table_targets import places_of
from fedtrees.core.numeric.rng import stream
from fedtrees.core.numeric.threads import Threads
from fedtrees.core.protocol.channel import Channel
from fedtrees.errors import ProtocolError
from fedtrees.queries.areas import Area, area_under_precision, area_under_roc
from fedtrees.queries.evaluation import EXACT_ROWS, MOST_UNCERTAIN, Evaluation, Score
from fedtrees.queries.metric import Rows
from fedtrees.queries.score_edges import Frequencies, edges_like, finer_edges, first_edges, ties_of
from fedtrees.queries.score_histogram import KEYS, ScoreHistogram, count_scores, keys_of
from fedtrees.queries.scores import Scores

Floats = NDArray[np.float32]
OBJECTIVES = {1: "binary:logistic"} | dict.fromkeys((3, 4, 20), "multi:softprob")


class ColumnScores(Scores, frozen=True, eq=False):
    """Metrics of a model whose margins are the columns of X."""

    def rows_of(self, silo: Any, table: Table, asked: NDArray[np.int64]) -> Rows:
        self.check_metrics(self.objective)
        labels = [0, 1] if table.n_features == 1 else list(range(table.n_features))
        target, weight = places_of(table, labels)[asked], None if table.weight is None else table.weight[asked]
        order = asked if table.order is None else table.order[asked]
        margin = np.ascontiguousarray(np.asarray(table.X, np.float32)[order].T)
        return Rows(self.objective, margin, target, weight, self.weight_exponent)


def by_silos(
    margin: Floats, y: NDArray[Any], weight: Any = None, silos: Any = None, mode: str = "fused"
) -> tuple[dict[str, Score], Any]:
    """Both areas of rows that silos hold, and the ledger."""
    columns = margin[:, None] if margin.ndim == 1 else margin
    outputs = columns.shape[1]
    given = (columns, y) if weight is None else (columns, y, weight)
    silos = np.zeros(len(y), int) if silos is None else silos
    federation = LocalFederation.from_table(
        columns, y, silos=silos, eval_set=[given], eval_silos=[silos], n_jobs=1, mode=mode
    )
    channel, everyone = Channel(federation), np.arange(len(federation.names))
    labels = [0, 1] if outputs == 1 else list(range(outputs))
    evaluation = Evaluation.prepare(
        channel, everyone, ["set"], ["auc", "aucpr"], labels, outputs, ColumnScores, OBJECTIVES[outputs]
    )
    return evaluation.score(channel, everyone, [])[0]["set"], channel.ledger


def exactly(margin: Floats, y: NDArray[Any], weight: NDArray[np.int64] | None = None) -> ScoreHistogram:
    """The histogram with a bucket for each score."""
    keys = np.unique(keys_of(margin))
    edges = np.unique(np.concatenate([[0], keys, keys + 1]))
    each = np.ones(1, np.int64) if weight is None else weight
    total = count_scores(margin, y == 1, each, edges, Threads(1)).reshape(2, -1)
    return ScoreHistogram(edges, total[0], total[1])


def rows(n: int, seed: int = 0) -> tuple[Floats, NDArray[np.int64]]:
    rng = stream(seed, "scores")
    margin = rng.normal(size=n).astype(np.float32)
    return margin, (margin + 2 * rng.normal(size=n) > 0.5).astype(np.int64)


# -- histograms -------------------------------------------------------------------------------------------

scores = st.one_of(
    st.floats(width=32, allow_nan=False), st.sampled_from([0.0, -0.0, 1.5, -1.5, math.inf, -math.inf, 1e-45])
)


@pytest.mark.parametrize("curves", [1, 2, 3])
def test_scores_are_foreseen_of_one_margin_a_row_alone(curves: int) -> None:
    """Of several classes, what is ranked are probabilities, which no leaf's value is added to."""
    start, steps = Frequencies(np.float32([0.3]), np.ones(1)), [[Frequencies(np.float32([1, 2]), np.full(2, 0.5))]]
    question = ColumnScores(0, 1, ["auc"], 9, 0)
    evaluation = Evaluation(["set"], ["auc"], [question], curves, start)
    likely = keys_of(np.float32([0.3]) + np.float32([1, 2]))
    for moved in (steps, None):
        likely_scores = evaluation._foreseen(None, moved)
        (found,) = evaluation._edges([None], [likely_scores])
        foreseen = [] if moved is None or curves > 1 else [*likely, *likely + 1]
        wanted = np.union1d(np.arange(1 << 12, dtype=np.int64) << 20, np.array(foreseen, np.int64)).tolist()
        assert [edges.tolist() for edges in found] == [wanted] * curves
        assert (likely_scores is None) == (not foreseen)


@pytest.mark.parametrize(
    ("curves", "rows", "buckets"),
    [
        (1, 10**6, 1 << 14), (2, 10**6, 1 << 14), (3, 10**6, (1 << 15) // 3), (4, 10**6, 1 << 13),
        (16, 10**6, 1 << 11), (17, 10**6, 1 << 11), (100, 10**6, 1 << 11), (1, 1023, 16 * 1023), (1, 1025, 1 << 14),
        (100, 100, 1600), (100, 129, 1 << 11),
    ],
)  # fmt: skip
@pytest.mark.parametrize("metrics", [["auc"], ["auc", "aucpr"]])
def test_histograms_of_many_classes_or_of_few_rows_have_fewer_buckets(
    monkeypatch: pytest.MonkeyPatch, curves: int, rows: int, buckets: int, metrics: list[str]
) -> None:
    """Half of two curves' worth each from the third class on, an eighth at least, and 16 a row at the most."""
    asked: list[tuple[Any, ...]] = []

    def edges_like(*given: Any) -> NDArray[np.int64]:
        asked.append(given[1:])
        return np.zeros(1, np.int64)

    monkeypatch.setattr("fedtrees.queries.evaluation.edges_like", edges_like)
    known = ScoreHistogram(np.zeros(1, np.int64), np.ones(1, np.int64), np.ones(1, np.int64))
    question = ColumnScores(0, 1, metrics, rows, 0)
    Evaluation(["set"], metrics, [question], curves)._edges([[known] * curves], [None])
    assert asked == [(buckets, None, "aucpr" in metrics)] * curves


# law: ScoreHistogram
@given(st.lists(st.tuples(scores, st.booleans(), st.integers(0, 9)), max_size=40), st.lists(st.integers(1, KEYS - 1)))
def test_a_histogram_is_the_naive_one_whatever_the_parts(given: list[Any], more: list[int]) -> None:
    score = np.array([row[0] for row in given], np.float32)
    positive = np.array([row[1] for row in given], bool)
    weight = np.array([row[2] for row in given], np.int64)
    edges = np.unique(np.array([0, *more, *keys_of(score[::3])], np.int64))
    total = count_scores(score, positive, weight, edges, Threads(2)).reshape(2, -1)
    naive = np.zeros_like(total)
    for key, is_positive, count in zip(keys_of(score), positive, weight, strict=True):
        naive[0 if is_positive else 1, max(b for b, edge in enumerate(edges) if edge <= key)] += count
    assert total.tolist() == naive.tolist()
    parts = [count_scores(score[k::2], positive[k::2], weight[k::2], edges, Threads(1)) for k in range(2)]
    assert (parts[0] + parts[1]).tolist() == total.reshape(-1).tolist()


def test_keys_sort_as_scores_do_and_zeros_are_equal() -> None:
    ascending = np.array([-np.inf, -1e30, -1, -1e-45, 0, 1e-45, 1, 1e30, np.inf], np.float32)
    assert (np.diff(keys_of(ascending)) > 0).all()
    assert keys_of(np.array([-0.0], np.float32)) == keys_of(np.array([0.0], np.float32))


@pytest.mark.parametrize("room", [3, 8, 100])
def test_every_bucket_that_is_refined_is_cut_however_little_doubt_it_bears(room: int) -> None:
    """Or it would be asked for again, and again."""
    edges = np.array([0, 10, 12, 1000, 5000, 2**31], np.int64)
    coarse = ScoreHistogram(edges, np.ones(6, np.int64), np.ones(6, np.int64))
    which = np.array([False, True, True, True, False, True])
    doubts = np.array([0, 1e-12, 1e-3, 1e-9, 0, 1.0])
    finer = finer_edges(coarse, doubts, which, room, None)
    for low, high in zip(edges[which], coarse.ends[which], strict=True):
        assert ((finer > low) & (finer < high)).any()
    assert set(finer) >= set(edges[which]) and len(finer) <= 2 * max(room, 4) + 5


def test_finer_edges_are_within_the_buckets_that_they_cut() -> None:
    margin, y = rows(300)
    edges = first_edges(None)
    total = count_scores(margin, y == 1, np.ones(1, np.int64), edges, Threads(1)).reshape(2, -1)
    coarse = ScoreHistogram(edges, total[0], total[1])
    doubts = area_under_roc(coarse)[1]
    which = doubts > np.median(doubts[doubts > 0])
    finer = finer_edges(coarse, doubts, which, 500, None)
    total = count_scores(margin, y == 1, np.ones(1, np.int64), finer, Threads(1)).reshape(2, -1)
    refined = coarse.refined(which, ScoreHistogram(finer, total[0], total[1]))
    assert (np.diff(refined.edges) > 0).all() and refined.edges[0] == 0
    assert refined.positive.sum() == y.sum() and refined.negative.sum() == (1 - y).sum()
    assert set(edges) <= set(refined.edges) and len(refined.edges) > len(edges) + 400
    assert area_under_roc(refined)[1].sum() < doubts.sum() / 2


@pytest.mark.parametrize("top_heavy", [False, True])
def test_edges_follow_the_scores(top_heavy: bool) -> None:
    margin, y = rows(20_000)
    edges = edges_like(exactly(margin, y), 1024, None, top_heavy)
    total = count_scores(margin, y == 1, np.ones(1, np.int64), edges, Threads(1)).reshape(2, -1)
    histogram = ScoreHistogram(edges, total[0], total[1])
    assert 1024 <= len(edges) <= 1024 + 514
    assert histogram.shares().max() <= 2 / 1024 * (2.2 if top_heavy else 1.1)
    of_precision = area_under_precision(histogram)[1].sum()
    assert of_precision < (1.0e-3 if top_heavy else 2.5e-3)


@pytest.mark.parametrize("top_heavy", [False, True])
def test_frequent_scores_are_looked_for_again_unless_it_is_foreseen_where_they_go(top_heavy: bool) -> None:
    margin = np.float32([-2.5, 0.5, 0.5, 1.25, 2.0])
    before = exactly(margin, np.arange(5) % 2)
    regular = (np.arange(512, dtype=np.int64) << 23).tolist()
    again = edges_like(before, 64, None, top_heavy)
    assert again.tolist() == sorted({*regular, *keys_of(margin).tolist()})
    likely = Frequencies(np.float32([3.0, 9.0]), np.array([0.5, 1 / 256]))  # the other is too rare
    key = int(keys_of(np.float32([3.0]))[0])
    assert edges_like(before, 64, likely, top_heavy).tolist() == sorted({*regular, key, key + 1})


def test_scores_that_many_rows_will_have_get_a_bucket_by_themselves() -> None:
    margin = np.float32([0.5] * 6 + [1.25] * 3 + [2.0])
    ties = ties_of(exactly(margin, np.arange(10) % 2))
    assert sorted(ties.values.tolist()) == [0.5, 1.25, 2.0]
    step = Frequencies(np.float32([0.1, -0.3]), np.array([0.25, 0.75]))
    moved = ties.moved([step, step])
    once = np.float32(ties.values[:, None] + step.values).ravel()
    twice = np.float32(once[:, None] + step.values).ravel().tolist()
    assert set(moved.values.tolist()) == set(twice) and moved.shares.sum() == pytest.approx(1)
    edges = set(first_edges(moved).tolist())
    for key in keys_of(moved.values).tolist():
        assert {key, key + 1} <= edges


# -- areas ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_areas_of_two_classes_are_xgboost_s(weighted: bool, ties: bool) -> None:
    margin, y = rows(700)
    margin = margin.round(1) if ties else margin
    weight = stream(0, "weights").integers(0, 9, 700) if weighted else None
    histogram = exactly(margin, y, weight)
    for name, area_of in (("auc", area_under_roc), ("aucpr", area_under_precision)):
        area, doubts = area_of(histogram)
        assert area == pytest.approx(by_xgboost(margin, y, name, weight), rel=1e-6) and not doubts.any()


@examples(60)
@given(st.data())
def test_no_order_within_buckets_moves_an_area_by_more_than_it_says(data: st.DataObject) -> None:
    n, kinds = data.draw(st.integers(2, 40)), data.draw(st.integers(1, 40))
    margin = np.array(data.draw(st.lists(st.integers(0, kinds), min_size=n, max_size=n)), np.float32) + 1
    y = np.array(data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    y[:2] = 0, 1
    weight = np.array(data.draw(st.lists(st.integers(1, 1000), min_size=n, max_size=n)), np.int64)
    exact = exactly(margin, y, weight)
    inner = st.integers(1, int(exact.edges[-1]) + 1)
    edges = np.unique(
        np.array([0, *data.draw(st.lists(inner, max_size=8)), *data.draw(st.permutations(exact.edges))[:5]])
    )
    total = count_scores(margin, y == 1, weight, edges, Threads(1)).reshape(2, -1)
    coarse = ScoreHistogram(edges, total[0], total[1])
    for area_of in (area_under_roc, area_under_precision):
        (right, none), (area, doubts) = area_of(exact), area_of(coarse)
        assert abs(area - right) <= doubts.sum() + 1e-12 and not none.any() and (doubts >= 0).all()


@pytest.mark.parametrize("positive", [1, 2, 5])
@pytest.mark.parametrize("negative", [1, 4, 9])
@pytest.mark.parametrize("area_of", [area_under_roc, area_under_precision])
def test_a_bucket_is_as_uncertain_as_the_worse_of_its_two_extreme_orders(
    area_of: Any, positive: int, negative: int
) -> None:
    """Its positive rows may come first or last: each way lies within the doubt, and one lies at its end."""

    def area(*buckets: tuple[int, int]) -> float:
        """Of buckets of one score each, the highest first."""
        edges = np.arange(len(buckets) + 1, dtype=np.int64)
        counts = np.array([*buckets[::-1], (0, 0)], np.int64).T
        return float(area_of(ScoreHistogram(edges, counts[0], counts[1]))[0])

    top, low = (2, 1), (1, 3)
    edges = np.array([0, 1, 5, 6], np.int64)  # the second bucket holds four scores
    counts = np.array([low, (positive, negative), top, (0, 0)], np.int64).T
    middle, doubts = area_of(ScoreHistogram(edges, counts[0], counts[1]))
    first = area(top, (positive, 0), (0, negative), low)
    last = area(top, (0, negative), (positive, 0), low)
    assert last < middle < first
    assert max(first - middle, middle - last) == pytest.approx(doubts.sum())


def test_only_a_bucket_of_one_key_is_tied() -> None:
    counts = np.ones(4, np.int64)
    assert ScoreHistogram(np.array([0, 5, 7, 8]), counts, counts).tied.tolist() == [False, False, True, False]
    assert ScoreHistogram(np.array([0, 1, 2, KEYS - 1]), counts, counts).tied.tolist() == [True, True, False, True]


def test_nothing_is_certain_of_scores_in_one_bucket_whatever_the_classes() -> None:
    counts = [5, 2, 3]
    every = [ScoreHistogram(np.zeros(1, np.int64), np.array([n]), np.array([10 - n])) for n in counts]
    for histograms in (every[:1], every):
        roc = Area("auc").read_histograms(histograms)
        assert roc.value == pytest.approx(0.5) and roc.uncertainty == pytest.approx(0.5)
        precision, n = Area("aucpr").read_histograms(histograms), counts[: len(histograms)]
        assert precision.value == pytest.approx(np.mean(n) / 10)
        # all of them could come first, where precision is 1, or last
        least = [1 - (10 - k) / k * math.log(10 / (10 - k)) for k in n]
        assert precision.uncertainty == pytest.approx(
            np.mean([max(1 - k / 10, k / 10 - a) for k, a in zip(n, least, strict=True)])
        )


def test_one_class_has_no_area() -> None:
    for name in ("auc", "aucpr"):
        read = Area(name).read_histograms([exactly(np.float32([1, 2, 3]), np.ones(3))])
        assert math.isnan(read.value) and read.uncertainty == 0


# -- over silos -------------------------------------------------------------------------------------------

RANGES = {
    "as they are": lambda m: m,
    "close together": lambda m: m * np.float32(1e-30),
    "far apart": lambda m: m * np.float32(1e30),
    "subnormal": lambda m: m * np.float32(1e-39),
    "far below 0": lambda m: m - np.float32(9000),
    "far above 0": lambda m: m + np.float32(3e5),
    "of 33 values": lambda m: m.round(1).clip(-1.6, 1.6),
    "equal": lambda m: np.zeros_like(m),
    "zeros of either sign": lambda m: np.copysign(np.float32(0), m),
    "mostly one": lambda m: np.where(m > 1, m, np.float32(-7)),
}


@pytest.mark.parametrize("n", [400, EXACT_ROWS + 8000])
@pytest.mark.parametrize("kind", RANGES)
def test_areas_are_right_wherever_scores_lie(kind: str, n: int) -> None:
    margin, y = rows(n)
    margin = RANGES[kind](margin)
    found, _ = by_silos(margin, y, silos=np.arange(n) % 3)
    assert found["auc"].value == pytest.approx(roc_auc_score(y, margin), abs=found["auc"].uncertainty + 1e-12)
    if np.abs(margin).max() < 1e20:
        right = by_xgboost(margin, y, "aucpr")
        assert found["aucpr"].value == pytest.approx(right, abs=found["aucpr"].uncertainty + 1e-7)
    for score in found.values():
        assert score.uncertainty <= (MOST_UNCERTAIN if n > EXACT_ROWS else 0)


def test_areas_of_as_many_rows_as_the_documentation_says_are_exact() -> None:
    """Those of 4,096 rows; from one more on, they may be off by 1e-4."""
    margin, y = rows(4096)
    found, _ = by_silos(margin, y)
    assert found["auc"] == (pytest.approx(roc_auc_score(y, margin), abs=1e-12), 0.0)
    assert found["aucpr"].uncertainty == 0.0 and (EXACT_ROWS, MOST_UNCERTAIN) == (4096, 1e-4)
    margin, y = rows(4097)
    found, _ = by_silos(margin, y)
    assert 0 < max(score.uncertainty for score in found.values()) <= 1e-4


@pytest.mark.parametrize("exact", [True, False])
def test_areas_are_right_of_weights_that_span_orders(exact: bool) -> None:
    n = 900 if exact else EXACT_ROWS + 4000
    margin, y = rows(n)
    weight = (10.0 ** stream(3, "weights").uniform(-5, 4, n)).astype(np.float32)
    found, _ = by_silos(margin, y, weight)
    right = roc_auc_score(y, margin, sample_weight=weight.astype(np.float64))
    assert found["auc"].value == pytest.approx(right, abs=found["auc"].uncertainty + 1e-9)
    assert found["aucpr"].value == pytest.approx(
        by_xgboost(margin, y, "aucpr", weight), abs=found["aucpr"].uncertainty + 1e-6
    )


@pytest.mark.parametrize("positives", [1, 4])
def test_areas_of_rare_classes_are_right(positives: int) -> None:
    n, rng = 30_000, stream(positives, "rare")
    margin = (rng.normal(size=n) - 9.5).astype(np.float32)
    y = np.zeros(n, int)
    y[rng.choice(n, positives, replace=False)] = 1
    margin[y == 1] += 1
    found, _ = by_silos(margin, y)
    assert found["auc"].value == pytest.approx(roc_auc_score(y, margin), abs=found["auc"].uncertainty + 1e-12)
    assert found["aucpr"].value == pytest.approx(by_xgboost(margin, y, "aucpr"), abs=found["aucpr"].uncertainty + 1e-7)
    assert max(score.uncertainty for score in found.values()) <= MOST_UNCERTAIN


@pytest.mark.parametrize("outputs", [3, 4])
@pytest.mark.parametrize("n", [300, 4 * EXACT_ROWS])
@pytest.mark.parametrize("weighted", [False, True])
def test_areas_of_several_classes_are_xgboost_s(outputs: int, n: int, weighted: bool) -> None:
    rng = stream(outputs, "classes")
    y = np.minimum(rng.integers(0, 2 * outputs, n), outputs - 1)  # the last one is frequent
    margin = (rng.normal(size=(n, outputs)) + 0.7 * np.eye(outputs)[y]).astype(np.float32)
    weight = rng.integers(1, 5, n).astype(np.float32) if weighted else None
    found, _ = by_silos(margin, y, weight, np.arange(n) % 2)
    for name, score in found.items():
        right = by_xgboost(margin, y, name, weight)
        assert score.value == pytest.approx(right, abs=score.uncertainty + 3e-6)
        assert score.uncertainty <= (MOST_UNCERTAIN if n > EXACT_ROWS else 0)


def test_a_class_that_lacks_leaves_no_area_as_in_xgboost() -> None:
    margin, y = stream(0, "classes").normal(size=(50, 3)).astype(np.float32), np.arange(50) % 2
    found, _ = by_silos(margin, y)
    assert all(math.isnan(score.value) and not score.uncertainty for score in found.values())
    with xgboost.config_context(verbosity=0):
        assert math.isnan(by_xgboost(margin, y, "auc")) and math.isnan(by_xgboost(margin, y, "aucpr"))


def test_probabilities_that_float32_does_not_tell_apart_are_ranked() -> None:
    margin, y = rows(500)
    three = np.stack([margin + 30, np.zeros(500), np.zeros(500)], axis=1).astype(np.float32)
    three[:6, 1:] = np.array([[40, 0], [0, 40]] * 3)
    labels = np.where(y == 1, 0, 1 + np.arange(500) % 2)
    labels[:6] = 1 + np.arange(6) % 2
    first = Rows("multi:softprob", np.ascontiguousarray(three.T), labels.astype(np.float32), None, 0).scores()[0]
    assert (
        np.argsort(first, kind="stable").tolist()
        == np.argsort(three[:, 0].astype(np.float64) - np.logaddexp(three[:, 1], three[:, 2]), kind="stable").tolist()
    )


@examples(10)
@given(st.integers(0, 1000), st.booleans(), st.sampled_from([1, 3]))
def test_neither_silos_nor_mode_change_an_area_or_the_ledger(seed: int, weighted: bool, outputs: int) -> None:
    rng, n = stream(seed, "partition"), 250
    y = rng.integers(0, max(2, outputs), n)
    margin = rng.normal(size=(n, outputs)).astype(np.float32).round(rng.integers(1, 4))
    weight = rng.random(n).astype(np.float32) if weighted else None
    silos = rng.integers(0, 3, n)
    silos[:3] = range(3)
    pooled, _ = by_silos(margin, y, weight)
    fused, one = by_silos(margin, y, weight, silos)
    faithful, other = by_silos(margin, y, weight, silos, "faithful")
    assert str(pooled) == str(fused) == str(faithful)
    assert one.per_round().to_dict() == other.per_round().to_dict()
    assert one.per_silo().to_dict() == other.per_silo().to_dict()


@pytest.mark.parametrize(
    "edges", [[], [np.array([5, 9])], [np.array([0, 9, 9])], [np.array([0, 9, 4])], [np.array([0]), np.array([0])]]
)
def test_buckets_that_are_none_are_refused(edges: list[Any]) -> None:
    federation = LocalFederation.from_table(np.ones((4, 1)), [0, 1, 0, 1], eval_set=[(np.ones((2, 1)), [0, 1])])
    question = ColumnScores(0, 1, ["auc"], 2, 0, objective="binary:logistic").over(edges)
    with pytest.raises(ProtocolError, match="scores were asked for in buckets that are none"):
        Channel(federation).total(question, np.arange(1))
    other = ColumnScores(0, 1, ["auc"], 2, 0, objective="reg:squarederror")
    with pytest.raises(ProtocolError, match="not all metrics of reg:squarederror"):
        Channel(federation).total(other, np.arange(1))


@pytest.mark.slow_without_jit
def test_areas_of_many_classes_are_certain_after_a_few_messages() -> None:
    n, outputs = 2 * EXACT_ROWS, 20
    rng = stream(0, "many classes")
    y = rng.integers(0, outputs, n)
    margin = (rng.normal(size=(n, outputs)) + np.eye(outputs)[y]).astype(np.float32)
    found, ledger = by_silos(margin, y)
    p = np.exp(margin.astype(np.float64))
    right = roc_auc_score(y, p / p.sum(axis=1, keepdims=True), multi_class="ovr", average="weighted")
    assert found["auc"].value == pytest.approx(right, abs=found["auc"].uncertainty + 1e-6)
    assert max(score.uncertainty for score in found.values()) <= MOST_UNCERTAIN and ledger.rounds <= 5
