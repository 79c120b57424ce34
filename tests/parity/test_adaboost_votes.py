"""AdaBoost's votes and steps of weights, tree by tree, against the papers' equations: at each of their boundaries."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from strategies import Watched

from fedtrees import DataError, FedAdaBoostClassifier, FedAdaBoostRegressor, LocalFederation
from fedtrees.trees.messages.training import Grown
from fedtrees.trees.messages.tree_errors import BUCKETS, TreeErrors
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.tree import Tree
from fedtrees.trees.server.adaboost import R2Votes, SammeVotes, Vote

STUMP: dict[str, Any] = {
    "feature": np.int32([0, -1, -1]), "bin": np.int32([0, 0, 0]), "default_left": np.zeros(3, bool),
    "left": np.int32([1, -1, -1]), "value": np.float32([0, 0, 1]), "gain": np.zeros(3), "cover": np.ones(3, np.float32),
}  # fmt: skip
GRID = GradientScale(3, 2)


class Told:
    """A channel on which the questions of a tree's errors are answered with what is given."""

    def __init__(self, weighted_losses: float):
        self.asked: list[TreeErrors] = []
        self.answers = {"exponents": 5, "buckets": 24.0, "losses": weighted_losses}

    def total(self, query: TreeErrors, cohort: Any) -> float:
        self.asked.append(query)
        return self.answers[query.what]


def leaves(*sums: list[float]) -> Tree:
    """A tree of two leaves that weigh so much of each class."""
    return Tree(**STUMP, sums=np.array([np.sum(sums, axis=0), *sums], np.float64))


FIRST = GradientScale(3, 2)


def samme(tree: Tree, rate: float = 1.0, first: GradientScale | None = None) -> Vote | None:
    rule = SammeVotes(rate, n_classes=tree.sums.shape[1])
    return rule.vote(Told(0.0), np.arange(1), tree, GRID, 10, first)  # type: ignore[arg-type]


def r2(error: float, rate: float = 1.0, loss: str = "square", first: GradientScale | None = None) -> Any:
    channel, tree = Told(error * 8.0), Tree(**STUMP | {"cover": np.float32([8, 5, 3])})
    vote = R2Votes(rate, loss=loss).vote(channel, np.arange(1), tree, GRID, 10, first)  # type: ignore[arg-type]
    return vote, channel


# -- classes: Zhu, Zou, Rosset and Hastie (2009), algorithm 2 --------------------------------------------------


@pytest.mark.parametrize("rate", [1.0, 0.3, 5.0])
@pytest.mark.parametrize("sums", [([6.0, 1], [1, 2]), ([5.0, 1, 1], [0, 3, 0]), ([9.0, 0, 1e-9, 0], [0, 2, 1, 0])])
def test_votes_and_weights_of_classes(sums: Any, rate: float) -> None:
    vote = samme(leaves(*sums), rate)
    assert vote is not None
    total, classes = np.sum(sums), len(sums[0])
    error = (total - np.max(sums, axis=1).sum()) / total
    weight = rate * (math.log((1 - error) / error) + math.log(classes - 1))
    assert vote.weight == pytest.approx(weight) and vote.error == pytest.approx(error) and not vote.last
    # a row that was missed weighs e to the vote as much as one that was not, and all weigh together what they did
    assert vote.steps[1] - vote.steps[0] == pytest.approx(weight, rel=1e-6)
    assert (1 - error) * math.exp(vote.steps[0]) + error * math.exp(vote.steps[1]) == pytest.approx(1, rel=1e-5)


def test_a_vote_that_no_float_can_exponentiate_leaves_finite_steps() -> None:
    vote = samme(leaves([9.0, 1], [1, 9]), rate=1000.0)
    assert vote is not None and vote.weight == pytest.approx(1000 * math.log(9)) and np.isfinite(vote.steps).all()
    assert vote.steps[1] == pytest.approx(math.log(10), rel=1e-5)  # all weight is that of the rows that were missed


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_trees_that_say_no_more_than_chance_are_not_kept(classes: int) -> None:
    chance = leaves([1.0] * classes, [1.0] * classes)  # an error of exactly 1 - 1 / K
    better = samme(leaves([1.0] * classes, [1.001] + [1.0] * (classes - 1)))
    assert better is not None and better.weight > 0
    assert samme(chance, first=FIRST) is None
    with pytest.raises(DataError, match="the first tree says the classes no better than chance"):
        samme(chance)


def test_a_tree_without_errors_is_the_last_with_a_vote_of_1() -> None:
    vote = samme(leaves([4.0, 0], [0, 3]), first=FIRST)
    assert vote is not None and vote.steps.tolist() == [0, 0]
    assert (vote.weight, vote.error, vote.last) == (1.0, 0.0, True)
    X, y = np.arange(8.0)[:, None], np.arange(8) // 4
    model = FedAdaBoostClassifier(5).fit(X, y)
    assert len(model.estimators_) == 1 and model.estimator_weights_.tolist() == [1.0]


# -- numbers: Drucker (1997) -----------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [1.0, 0.5])
@pytest.mark.parametrize("error", [0.1, 0.499])
def test_votes_and_weights_of_numbers(error: float, rate: float) -> None:
    vote, channel = r2(error, rate)
    beta = error / (1 - error)
    assert vote.weight == pytest.approx(rate * math.log(1 / beta)) and vote.error == pytest.approx(error)
    assert vote.steps.tolist() == pytest.approx([24.0, 1, rate * math.log(beta), 0.0], rel=1e-6) and not vote.last
    assert [(own.what, own.exponent, own.largest, own.loss) for own in channel.asked] == [
        ("exponents", 0, 1.0, 0), ("buckets", 5, 1.0, 0), ("losses", 0, 24.0, 1)
    ]  # fmt: skip


def test_weights_that_fall_are_brought_back_to_where_they_began() -> None:
    """A power of two for all rows alike: the grid bounds the heaviest, which is then as heavy as in the first round."""
    for first in (2, 4, -3):
        vote, _ = r2(0.2, first=GradientScale(3, first))
        assert vote.steps[3] == pytest.approx((first - GRID.h) * math.log(2))


def test_the_first_tree_s_scale_is_that_of_all_later_ones() -> None:
    """Weights fall from tree to tree, and each of the later ones is brought back to the first's."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 2))
    y = X[:, 0] ** 3 + rng.normal(size=80)
    federation = Watched(LocalFederation.from_table(X, y, silos=np.arange(80) % 3))
    FedAdaBoostRegressor(6, max_depth=2, random_state=0).fit_federation(federation)
    scales = [q.grid.h for call, _ in federation.calls for q in call.queries if isinstance(q, TreeErrors)][::3]
    steps = [fact.steps[3] for fact in federation.log.facts if isinstance(fact, Grown)]
    assert len(set(scales)) > 1
    assert steps == pytest.approx([(scales[0] - own) * math.log(2) for own in scales[: len(steps)]])


def test_a_tree_whose_error_is_a_half_is_kept_if_it_is_alone() -> None:
    for error in (0.5, 0.75):
        vote, _ = r2(error)
        assert vote.steps.tolist() == [0] * 4 and (vote.weight, vote.error, vote.last) == (1.0, error, True)
        assert r2(error, first=FIRST)[0] is None
    assert r2(math.nextafter(0.5, 0), first=FIRST)[0] is not None


def test_numbers_without_errors_end_the_boosting() -> None:
    vote, _ = r2(0.0, first=FIRST)
    assert vote.steps.tolist() == [0] * 4 and (vote.weight, vote.error, vote.last) == (1.0, 0.0, True)
    X = np.arange(8.0)[:, None]
    assert len(FedAdaBoostRegressor(5, max_depth=3).fit(X, np.arange(8) // 4).estimators_) == 1


def of_counts(places: Any, exponent: int) -> float:
    total: NDArray[np.int64] = np.bincount(places, minlength=BUCKETS)
    tree = Tree(**STUMP, sums=np.zeros((3, 2)))
    return TreeErrors.of(tree, GRID, 10, "buckets", exponent=exponent).read(total)


@pytest.mark.parametrize("largest", [1e-9, 0.3, 1.0, 1.0000001, 7.9999, 8.0, 3e30])
def test_the_largest_error_is_bounded_within_a_thousandth(largest: float) -> None:
    exponent = math.ceil(math.log2(largest))
    places = np.minimum(np.floor(np.ldexp(np.array([largest / 3, largest]), -exponent) * BUCKETS), BUCKETS - 1)
    assert largest <= of_counts(places.astype(int), exponent) * (1 + 1e-7) <= largest * (1 + 1 / 1000)
