"""A silo's side of boosting: whatever order questions come in, and whatever they hold, answers are right or refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from flat import changed, of_trees
from hypothesis import given
from hypothesis import strategies as st

from fedtrees import ProtocolError, Silo
from fedtrees.core.protocol.query import Fact
from fedtrees.trees.messages.histograms import GradientExponents, Histograms
from fedtrees.trees.messages.training import Begin, Grown
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.tree import LEAF

ROWS, FEATURES = 40, 3
VALUES = np.tile(np.arange(1, 5, dtype=np.float32), FEATURES)
BEGIN = Begin(
    objective="binary:logistic",
    labels=[0.0, 1.0],
    base_margin=np.zeros(1, np.float32),
    values=VALUES,
    offsets=np.arange(0, 4 * FEATURES + 1, 4),
    missing=np.array([True, False, True]),
    params={},
)
BINS = 4 * FEATURES + 2


def a_silo() -> Silo:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 4, (ROWS, FEATURES)).astype(np.float32)
    X[rng.random(ROWS) < 0.3, 0] = np.nan
    X[rng.random(ROWS) < 0.3, 2] = np.nan
    return Silo("a", X, rng.integers(0, 2, ROWS), n_jobs=1)


@dataclass
class Growing:
    """A tree that a server grows."""

    feature: list[int]
    bin: list[int]
    default_left: list[bool]
    left: list[int]

    def question(self, build: list[int]) -> Histograms:
        return of_trees(
            Histograms, rows=ROWS, features=FEATURES, bins=BINS, exponents=GradientScale(0, -2), **self.arrays(),
            build=np.array(build, np.int32), build_ends=np.array([len(build)], np.int32),
        )  # fmt: skip

    def fact(self) -> Grown:
        value = np.arange(len(self.feature), dtype=np.float32) / 8
        return of_trees(Grown, **self.arrays(), value=value)

    def arrays(self) -> dict[str, Any]:
        names = {"feature": np.int32, "bin": np.int32, "default_left": np.bool_, "left": np.int32}
        return {name: np.array(getattr(self, name), dtype) for name, dtype in names.items()}


@st.composite
def growing(draw: st.DrawFn) -> Growing:
    feature, bins, default_left, left = [LEAF], [0], [False], [LEAF]
    for _ in range(draw(st.integers(0, 4))):
        node = draw(st.sampled_from([at for at in range(len(feature)) if feature[at] == LEAF]))
        feature[node], bins[node] = draw(st.integers(0, FEATURES - 1)), draw(st.integers(0, 3))
        default_left[node], left[node] = draw(st.booleans()), len(feature)
        feature += [LEAF] * 2
        bins += [0] * 2
        default_left += [False] * 2
        left += [LEAF] * 2
    return Growing(feature, bins, default_left, left)


def told(*facts: Fact) -> Silo:
    silo = a_silo()
    silo.learn(b"a run of 16 byte", 0, facts)
    return silo


# law: GradientWords, Positions, TreeState
@given(st.lists(st.tuples(growing(), st.data()), min_size=1, max_size=5), st.lists(growing(), max_size=2))
def test_an_answer_does_not_depend_on_what_was_asked_before(
    asked: list[tuple[Growing, st.DataObject]], finished: list[Growing]
) -> None:
    """Trees that extend one another, that do not, and finished ones that nobody asked about."""
    silo, facts = told(BEGIN), [BEGIN]
    for number, (tree, data) in enumerate(asked):
        build = data.draw(st.lists(st.integers(0, len(tree.feature) - 1), min_size=1, unique=True))
        for query in (tree.question(build), GradientExponents(ROWS)):
            assert query.ask(silo).tolist() == query.ask(told(*facts)).tolist()
        if number < len(finished):
            fact = data.draw(st.sampled_from([tree, finished[number]])).fact()
            facts.append(fact)
            silo.learn(b"a run of 16 byte", len(facts) - 1, [fact])


STUMP = Growing([1, LEAF, LEAF], [2, 0, 0], [False] * 3, [1, LEAF, LEAF])


@pytest.mark.parametrize(
    "wrong",
    [
        {"offsets": np.arange(0, 4 * FEATURES, 4)},
        {"offsets": np.array([0, 4, 8, 11])},
        {"offsets": np.array([1, 4, 8, 12])},
        {"offsets": np.array([0, 8, 4, 12])},
        {"offsets": np.array([0, 4, 4, 12])},  # a feature without any bin
        {"missing": np.array([True, False])},
        {"values": VALUES[::-1].copy()},
        {"values": np.full(4 * FEATURES, np.nan, np.float32)},
        {"base_margin": np.zeros(2, np.float32)},
        {"objective": "multi:softprob", "base_margin": np.zeros(3, np.float32)},
    ],
)
def test_cuts_that_are_none_of_this_table_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        told(changed(BEGIN, **wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        {"feature": [FEATURES, LEAF, LEAF]},
        {"left": [0, LEAF, LEAF]},
        {"left": [2, LEAF, LEAF]},
        {"left": [-5, LEAF, LEAF]},
        {"bin": [4, 0, 0]},
        {"bin": [-2, 0, 0]},
        {"bin": [2, 0]},
        {"default_left": [False]},
    ],
)
def test_trees_that_lead_elsewhere_are_refused(wrong: dict[str, Any]) -> None:
    tree = replace(STUMP, **wrong)
    with pytest.raises(ProtocolError):
        tree.question([0]).ask(told(BEGIN))
    with pytest.raises(ProtocolError):
        told(BEGIN, tree.fact())


CATEGORICAL = np.array([False, True, False])  # the stump asks for feature 1


def by_category(right: list[int], ends: list[int] | None = None) -> dict[str, Any]:
    ends = [len(right)] if ends is None else ends
    return {"categories": np.array(right, np.int32), "category_ends": np.array(ends, np.int32)}


# law: Positions
def test_a_tree_that_asks_for_other_categories_is_walked_anew() -> None:
    begin = changed(BEGIN, categorical=CATEGORICAL)
    silo, answers = told(begin), []
    for right in ([0], [1, 3], [1, 3], [], [0, 1, 2, 3]):
        question = changed(STUMP.question([1, 2]), **by_category(right))
        answers.append(question.ask(silo))
        assert answers[-1].tolist() == question.ask(told(begin)).tolist()
        codes = a_silo().table.X[:, 1]
        left, right_h = question.read(answers[-1])[:, 1, 5:9].astype(bool)
        assert set(np.flatnonzero(right_h)) <= set(right) and not left[right].any()
        assert set(np.flatnonzero(left | right_h)) == set(codes.astype(int))


@pytest.mark.parametrize(
    "wrong", [{}, by_category([4]), by_category([-1]), by_category([0, 1], [1]), by_category([], [])]
)
def test_sets_that_are_none_of_this_tree_are_refused(wrong: dict[str, Any]) -> None:
    begin = changed(BEGIN, categorical=CATEGORICAL)
    with pytest.raises(ProtocolError, match=r"sets of categories|a category that there is not"):
        changed(STUMP.question([0]), **wrong).ask(told(begin))
    with pytest.raises(ProtocolError, match=r"sets of categories|a category that there is not"):
        told(begin, changed(STUMP.fact(), **wrong))
    with pytest.raises(ProtocolError, match="sets of categories"):
        changed(STUMP.question([0]), **by_category([0])).ask(told(BEGIN))
    with pytest.raises(ProtocolError, match="kinds of 1 features, or of 3"):
        told(changed(BEGIN, categorical=CATEGORICAL[:1]))


def test_facts_and_questions_out_of_turn_are_refused() -> None:
    with pytest.raises(ProtocolError, match="trees were sent before the cut points"):
        told(STUMP.fact())
    with pytest.raises(ProtocolError, match="histograms were asked for before the cut points"):
        STUMP.question([0]).ask(told())
    with pytest.raises(ProtocolError, match="gradients were asked for before the cut points"):
        GradientExponents(ROWS).ask(told())
    with pytest.raises(ProtocolError, match="of other bins than"):
        changed(STUMP.question([0]), bins=BINS + 1).ask(told(BEGIN))
    for build in ([3], [-1], [0, 0]):
        with pytest.raises(ProtocolError, match="nodes that there are not"):
            STUMP.question(build).ask(told(BEGIN))
