"""The sums of nodes' own features: kernels against naive twins, and answers that come in parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
import twins
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import Watched, bring_up_to_date, examples
from test_cart_questions import a_silo_of, classes, forest_question

from fedtrees import FedForestClassifier, LocalFederation
from fedtrees.core.protocol.channel import Channel
from fedtrees.queries.counts import Counts
from fedtrees.trees.kernels import node_histogram as node_histogram_kernels
from fedtrees.trees.kernels import sampling as sampling_kernels
from fedtrees.trees.messages.node_histograms import NodeHistograms
from fedtrees.trees.model.cuts import NO_BIN
from fedtrees.trees.server import node_grower
from fedtrees.trees.silo import node_sums
from fedtrees.trees.silo.node_sums import Layout

seeds = st.integers(0, 2**32 - 1)


@examples(60, plain=60)
@given(
    seed=seeds, rows=st.integers(1, 100), n_features=st.sampled_from([1, 5, 9]), classes=st.integers(2, 7),
    draws=st.booleans(), shift=st.sampled_from([0, 3]),
)  # fmt: skip
def test_sums_are_those_of_the_twin(
    seed: int, rows: int, n_features: int, classes: int, draws: bool, shift: int
) -> None:
    rng = np.random.default_rng(seed)
    codes, y, weight = rng.integers(0, 11, (rows, n_features)), rng.integers(0, classes, rows), rng.integers(0, 9, rows)
    low = rng.integers(0, 2**shift, rows)
    bins = twins.in_groups(codes, 8, np.uint8)
    n_nodes = int(rng.integers(1, 5))
    node = rng.integers(0, n_nodes, rows).astype(np.uint32)
    node_before = node.copy()
    built = np.sort(rng.permutation(n_nodes)[: int(rng.integers(1, n_nodes + 1))])
    slot_of = np.full(n_nodes, -1, np.int32)
    slot_of[built] = np.arange(len(built))
    times = rng.poisson(1.0, rows).astype(np.uint8) if draws else np.zeros(0, np.uint8)
    plane = (y // 2).astype(np.uint8) if classes > 2 else np.zeros(0, np.uint8)
    middle = int(rng.integers(0, rows + 1))
    ranges = np.array([[0, middle // 2], [middle, rows]])
    inside = np.r_[0 : middle // 2, middle:rows]

    starts, order = np.zeros(len(built) + 1, np.int64), np.zeros(len(inside), np.uint32)
    node_histogram_kernels.list_rows(bins, times, node, ranges, 1, leaves(n_nodes), slot_of, starts, order)
    counts = times if draws else np.ones(rows, np.uint8)
    assert node.tolist() == node_before.tolist()
    for slot, at in enumerate(built):
        expected = [row for row in inside if node[row] == at and counts[row]]
        assert order[starts[slot] : starts[slot + 1]].tolist() == expected

    columns = np.sort(np.stack([rng.permutation(n_features)[:1] for _ in built]), axis=1)
    where = (columns // 8 * rows * 8 + columns % 8).astype(np.uint64)
    words, second = (np.where(y % 2 == 0, own << 32, own) for own in (weight, low))
    sizes, first_bins = np.full(len(built), 11), np.zeros((len(built), 1), np.int64)
    out = np.full(len(built) * classes * 11, 3, np.int64)
    for own, digits in ((words, 0), (second, shift)) if shift else ((words, 0),):
        node_histogram_kernels.sum_nodes(
            bins.reshape(-1), np.uint64(8), own, digits, times, plane, order, starts, where, first_bins, sizes, classes,
            out,
        )  # fmt: skip
    found, whole = out.reshape(len(built), classes, 11), (weight << shift) + low
    for slot, at in enumerate(built):
        for k in range(classes):
            own = np.array([row for row in inside if node[row] == at and y[row] == k], np.int64)
            f = int(columns[slot, 0])
            expected = np.bincount(codes[own, f], whole[own] * counts[own], minlength=11)
            assert found[slot, k].tolist() == expected.tolist()


def leaves(nodes: int) -> tuple[NDArray[Any], ...]:
    """A tree of leaves, as kernels walk it: rows stay where they are."""
    question = (np.arange(nodes) << 33 | NO_BIN << 16 | NO_BIN).astype(np.uint64)
    return np.zeros(nodes, np.uint64), question, np.zeros(0, np.int64), np.zeros((0, 0), bool)


@examples(100, plain=100)
@given(seed=seeds, features=st.integers(1, 12))
def test_the_features_of_the_lowest_chances_are_drawn_and_those_tried_last(seed: int, features: int) -> None:
    rng = np.random.default_rng(seed)
    nodes, most = 5, int(rng.integers(1, features + 1))
    chance, tried = rng.random((nodes, features)), rng.random((nodes, features)) < 0.3
    expected = np.sort(np.argsort(chance + tried, axis=1)[:, :most], axis=1)
    after = tried.copy()
    np.put_along_axis(after, expected, True, axis=1)
    drawn = np.zeros((nodes, most), np.int64)
    sampling_kernels.draw_columns(chance, tried, drawn)
    assert drawn.tolist() == expected.tolist() and tried.tolist() == after.tolist()


@examples(100, plain=100)
@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=20), most=st.integers(1, 30), n=st.integers(1, 5))
def test_parts_and_shares_have_every_node_once(sizes: list[int], most: int, n: int) -> None:
    nothing = np.zeros((0, 0), np.int64)
    layout = Layout(nothing.astype(np.uint64), nothing, np.array(sizes), np.append(0, np.cumsum(sizes)))
    nodes = len(sizes) // 3, len(sizes)
    for ranges in (list(layout.cut(nodes, most)), layout.shares(nodes, n)):
        assert [node for own in ranges for node in range(*own)] == list(range(*nodes))
    assert all(layout.size(own) <= most or own[1] - own[0] == 1 for own in layout.cut(nodes, most))
    assert len(layout.shares(nodes, n)) <= n


# law: Query.ask_in_parts
@pytest.mark.parametrize("most", [1, 30, 1 << 20])
def test_the_parts_in_a_row_are_the_answer(monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    monkeypatch.setattr(node_sums, "MOST_INTEGERS", most)
    silo, question = a_silo_of(classes()), forest_question()
    parts = [part.copy() for part in question.ask_in_parts(silo)]
    assert np.concatenate(parts).tolist() == question.ask(silo).tolist() and len(parts) == (1 if most > 30 else 2)


# -- federations ----------------------------------------------------------------------------------------------


def table() -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 6))
    return X, (X[:, 0] * X[:, 1] + rng.normal(size=300) > 0).astype(np.int64), np.arange(300) % 3


@pytest.mark.parametrize("most", [1, 700, 1 << 20])
@pytest.mark.parametrize("n_jobs", [1, 3])
def test_forests_do_not_depend_on_parts_or_threads(monkeypatch: pytest.MonkeyPatch, most: int, n_jobs: int) -> None:
    X, y, silos = table()
    expected = FedForestClassifier(5, n_jobs=2, random_state=0).fit(X, y, silos=silos)
    monkeypatch.setattr(node_sums, "MOST_INTEGERS", most)
    monkeypatch.setattr(node_grower, "NODES_PER_DRAW", 1 + most % 699)
    model = FedForestClassifier(5, n_jobs=n_jobs, random_state=0).fit(X, y, silos=silos)
    assert model.predict_proba(X).tobytes() == expected.predict_proba(X).tobytes()
    assert model.ledger_.bytes_up == expected.ledger_.bytes_up
    assert model.ledger_.bytes_down == expected.ledger_.bytes_down


@pytest.mark.parametrize(
    ("given", "by_node"),
    [
        ({"max_features": 3}, True), ({"max_features": 4}, False), ({"max_features": 1}, True),
        ({"max_features": None}, False), ({"max_features": 1, "max_leaf_nodes": 5}, False),
    ],
    ids=str,
)  # fmt: skip
def test_nodes_send_their_own_features_where_that_is_less(given: dict[str, Any], by_node: bool) -> None:
    """Both siblings are summed then, and else one of all features: half of these, or fewer, are no more."""
    X, y, silos = table()
    model = FedForestClassifier(2, max_depth=3, n_jobs=1, **given).fit(X, y, silos=silos)
    kinds = set(model.ledger_.per_round()["kind"])
    assert ("NodeHistograms" in kinds, "Histograms" in kinds) == (by_node, not by_node)


def test_silos_of_one_table_may_be_asked_apart_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row is drawn as often, whichever silos were asked before: of all the answer is the sum."""
    X, y, silos = table()
    asked: list[NodeHistograms] = []
    plain = NodeHistograms.ask

    def recorded(self: NodeHistograms, silo: Any) -> Any:
        asked.append(self)
        return plain(self, silo)

    federation = Watched(LocalFederation.from_table(X, y, silos=silos, row_id=np.arange(300)))
    with monkeypatch.context() as patch:
        patch.setattr(NodeHistograms, "ask", recorded)
        FedForestClassifier(2, max_features=1, max_depth=3, n_jobs=1).fit_federation(federation)
    assert federation.log is not None
    silo, answers = federation.inner.together, []
    for cohort in ("forget", None, "forget", [0], [1, 2], None, [2], [0, 1]):
        if cohort == "forget":  # what the first one asked draws is not all that there is
            silo.forget()
            bring_up_to_date(silo, federation.log)
            continue
        silo.ask_only(None if cohort is None else np.array(cohort))
        answers.append(asked[0].ask(silo).copy())
    assert answers[0].sum() > 300 and (answers[0] == answers[3]).all()
    for one, other in ((1, 2), (4, 5)):
        assert (answers[one] + answers[other] == answers[0]).all()


def test_a_training_that_breaks_off_leaves_its_federation_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y, silos = table()
    federation = LocalFederation.from_table(X, y, silos=silos)
    find = node_grower.NodeGrower._find

    def broken(self: node_grower.NodeGrower, parts: Any) -> Any:
        if isinstance(parts, Iterator):
            next(parts)
            raise KeyboardInterrupt
        return find(self, parts)

    with monkeypatch.context() as patch:
        patch.setattr(node_grower.NodeGrower, "_find", broken)
        with pytest.raises(KeyboardInterrupt) as interrupted:
            FedForestClassifier(5, random_state=0).fit_federation(federation)
    assert interrupted.tb is not None  # which holds on to all that the training had
    assert FedForestClassifier(5, random_state=0).fit_federation(federation).score(*table()[:2]) > 0.7


def test_silos_elsewhere_answer_in_one_part() -> None:
    X, y, silos = table()
    answers = []
    for mode in ("fused", "faithful"):
        channel = Channel(LocalFederation.from_table(X, y, silos=silos, mode=mode))
        with closing(channel.parts(Counts(6), np.arange(3))) as parts:
            (only,) = parts
        answers.append((only.tolist(), channel.ledger.bytes_up, channel.ledger.bytes_down, channel.ledger.rounds))
    assert answers[0] == answers[1] and answers[0][-1] == 1
