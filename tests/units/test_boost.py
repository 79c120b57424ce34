"""Boosting from end to end against its naive twin, the rounds it takes, and the grids it rounds to."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
import twins
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import CLASSES, Problem, Watched, bring_up_to_date, examples, model_bytes, numbers_for, problems

from fedtrees import (
    Channel,
    DataError,
    FedGBTClassifier,
    FedGBTRegressor,
    FixedNumber,
    LocalFederation,
    Poisson,
    Silo,
)
from fedtrees.core.numeric.fixed_point import exponent_of
from fedtrees.core.numeric.threads import Threads
from fedtrees.core.protocol.count_weights import MOST_REPEATS, CountWeights
from fedtrees.training.loop import Observer
from fedtrees.trees.kernels.histogram import STATISTIC_BITS_G, STATISTIC_BITS_H, WORD_ROWS
from fedtrees.trees.losses import gradients as gradients_of
from fedtrees.trees.losses import loss_named
from fedtrees.trees.messages.histograms import Histograms
from fedtrees.trees.messages.training import Begin, Grown
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.model.gradient_scale import GradientScale
from fedtrees.trees.model.tree import LEAF, Tree
from fedtrees.trees.server.boosting import BoostingState, _moves, boost
from fedtrees.trees.server.settings import TreeSettings
from fedtrees.trees.server.split import SplitRule, Units
from fedtrees.trees.silo.state import TreeState

seeds = st.integers(0, 2**32 - 1)

ADAPTIVE = ("reg:absoluteerror", "reg:quantileerror")
UNBOUNDED = ("count:poisson", "reg:gamma", "reg:pseudohubererror", "reg:squarederror", "reg:tweedie")


def simple(objective: str = "binary:logistic", rows: int = 200, **params: Any) -> Problem:
    """Rows from which trees of any depth can grow, in three silos."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(rows, 3)).astype(np.float32)
    classes = CLASSES[objective]
    signal = X.sum(axis=1) + rng.normal(size=rows)
    y = rng.permutation(np.arange(rows) % classes) if classes else signal
    if objective in ("count:poisson", "reg:gamma", "reg:logistic", "reg:squaredlogerror", "reg:tweedie"):
        y = numbers_for(objective, rng, 1 / (1 + np.exp(-signal)))
    return Problem(X, y, None, np.arange(rows) % 3, 3, objective, {"n_jobs": 1, "min_child_weight": 0} | params)


def train(problem: Problem, **other: Any) -> tuple[FedGBTClassifier | FedGBTRegressor, Watched]:
    federation = Watched(LocalFederation(problem.silos()))
    return problem.estimator(**other).fit_federation(federation), federation


def facts(federation: Watched, kind: type) -> list[Any]:
    assert federation.log is not None
    return [fact for fact in federation.log.facts if isinstance(fact, kind)]


def grids(federation: Watched) -> list[GradientScale]:
    """The exponents of each round's trees, from the questions for their roots."""
    questions = [query for call, _ in federation.calls for query in call.queries if isinstance(query, Histograms)]
    return [query.exponents for query in questions if len(query.trees.feature) == len(query.trees)]


# -- the twin -----------------------------------------------------------------------------------------------


# law: Boosting
@examples(40)
@given(problem=problems(most_rows=80))
def test_the_ensemble_is_that_of_the_twin(problem: Problem) -> None:
    model, federation = train(problem)
    (begin,) = facts(federation, Begin)
    cuts, loss = Cuts(begin.values, begin.offsets, begin.missing), loss_named(problem.objective)
    target = problem.y.astype(np.float32)
    weight = np.ones(len(target)) if problem.weight is None else problem.weight.astype(np.float64)
    whole = (weight == np.floor(weight)).all() and weight.max() <= MOST_REPEATS
    rows = np.repeat(np.arange(len(target)), weight.astype(int) if whole else weight > 0)
    target, weight = target[rows], np.ones(len(rows)) if whole else weight[rows]

    def gradients(margin: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        g, h = gradients_of(loss, margin, target)
        return g * weight, h * weight

    def quantile(margin: NDArray[np.float32], own: list[int]) -> float:
        (alpha,) = loss.leaf_quantiles(1)
        residual = (target - margin)[own]
        if whole:
            return twins.quantile(residual.tolist(), alpha)
        (counting,) = facts(federation, CountWeights)
        units = weight[own] * 2.0 ** (counting.bits - exponent_of(weight.max()))
        counts = np.maximum(1, np.rint(units)).astype(int)
        return twins.weighted_quantile(residual.tolist(), counts.tolist(), alpha)

    names = ("reg_lambda", "reg_alpha", "gamma", "min_child_weight", "learning_rate")
    most = loss.params().get("max_delta_step", 0.0)
    rule = SplitRule(*(problem.params[name] for name in names), max_delta_step=most)
    trees, _ = twins.boost(
        twins.codes(problem.X[rows], cuts), gradients, begin.base_margin, grids(federation),
        cuts, rule, Units.of, problem.params["max_depth"], quantile if loss.leaf_quantiles(1) else None,
        loss.keeps_hessians,
    )  # fmt: skip
    told = facts(federation, Grown)
    assert len(told) == problem.params["n_estimators"]
    for name, of_node in (("feature", "feature"), ("bin", "bin"), ("default_left", "default_left"), ("left", "left")):
        ours = np.concatenate([getattr(grown.trees, name) for grown in told])
        assert ours.tolist() == [getattr(node, of_node) for tree in trees for node in tree.nodes]
    values = np.concatenate([grown.value for grown in told])
    assert values.tobytes() == np.concatenate([tree.value for tree in trees]).tobytes()
    assert len(model.booster_.get_dump()) == len(trees)


# -- rounds -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", sorted(CLASSES))
@pytest.mark.parametrize("max_depth", [1, 3, 5])
def test_a_tree_costs_a_round_a_level_whatever_the_number_of_classes(objective: str, max_depth: int) -> None:
    model, _ = train(simple(objective, n_estimators=4, max_depth=max_depth))
    kinds = model.ledger_.per_round()["kind"].tolist()
    growing = [kind for kind in kinds if kind.startswith("Histograms")]
    assert len(growing) == 4 * max_depth
    first = kinds.index(growing[0])
    if objective in ADAPTIVE:  # quantiles of leaves take three rounds a tree, and so do those of the targets
        assert kinds.count("ResidualRanks") == 12 and kinds.count("TargetRanks") == 3
        return
    if objective == "reg:squaredlogerror":  # nothing bounds its gradients but a look at them
        assert kinds.count("GradientExponents") == 4
        return
    # before the first tree: schemas, counts, weights, some rounds of ranks, labels, what bounds gradients if need be
    assert kinds[:2] == ["Describe", "Counts"] and kinds[-len(growing) :] == growing
    setup = kinds[2:first]
    assert (setup[-1] == "GradientExponents") == (objective in UNBOUNDED)
    assert 3 <= setup.count("Ranks") <= 6
    sums = "LabelSums+InitialMarginSums" if objective == "reg:pseudohubererror" else "LabelSums"
    assert [kind for kind in setup if kind != "Ranks"][:2] == ["LabelExponents+WholeWeights", sums]


@pytest.mark.parametrize("n_classes", [2, 3, 9])
def test_classes_do_not_cost_rounds(n_classes: int) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 3)), rng.permutation(np.arange(400) % n_classes)
    model = FedGBTClassifier(3, max_depth=4, min_child_weight=0).fit(X, y, silos=np.arange(400) % 5)
    assert model.ledger_.per_round()["kind"].eq("Histograms").sum() == 12


def test_a_cohort_is_asked_for_the_size_of_its_gradients_only_when_it_was_drawn_anew() -> None:
    problem = simple("reg:squarederror", n_estimators=5, max_depth=2)
    for sampling, times in ((1.0, 1), (2, 5)):
        kinds = train(problem, sampling=sampling)[0].ledger_.per_round()["kind"].tolist()
        assert kinds.count("GradientExponents") == times
        assert kinds.count("Histograms+GradientExponents") == 5


def test_a_cohort_is_drawn_for_a_tree_and_stays_for_it() -> None:
    _, federation = train(simple(n_estimators=6, max_depth=3), sampling=FixedNumber(2), random_state=5)
    growing = [
        cohort.tolist() for call, cohort in federation.calls if any(isinstance(own, Histograms) for own in call.queries)
    ]
    assert len(growing) == 18
    drawn = [growing[k] for k in range(0, 18, 3)]
    assert growing == [cohort for cohort in drawn for _ in range(3)]
    assert all(len(cohort) == 2 for cohort in drawn) and len({tuple(cohort) for cohort in drawn}) > 1


def test_a_round_that_draws_nobody_grows_roots_that_say_nothing() -> None:
    problem = simple(n_estimators=12, max_depth=2)
    for mode in ("fused", "faithful"):
        federation = Watched(LocalFederation(problem.silos(), mode))
        problem.estimator(sampling=Poisson(0.2), random_state=3).fit_federation(federation)
        growing = [
            len(cohort) for call, cohort in federation.calls if any(isinstance(own, Histograms) for own in call.queries)
        ]
        assert 0 in growing
        told = facts(federation, Grown)
        alone = [grown for grown in told if len(grown.trees.feature) == 1]
        assert len(alone) == growing.count(0)
        assert all(grown.value.tolist() == [0.0] for grown in alone)


# -- grids --------------------------------------------------------------------------------------------------


@examples(60)
@given(problem=problems(), sampling=st.sampled_from([1.0, 2]), learning_rate=st.sampled_from([0.3, 1.0, 1.9]))
def test_no_statistic_leaves_its_grid(problem: Problem, sampling: Any, learning_rate: float) -> None:
    """What packed sums rely on, in every round, at every silo."""

    def look(round: int) -> None:
        state = federation.inner._fused.states.find(TreeState)
        if state is not None:
            most = WORD_ROWS // state.histograms.word_rows  # a word is so many rows', and as many fewer are packed
            assert np.abs(state.words.words[0] >> 32).max() <= most << STATISTIC_BITS_G
            assert (state.words.words[0] & 0xFFFFFFFF).max() <= most << STATISTIC_BITS_H
            last = federation.calls[-1][0].queries[0]
            if isinstance(last, Histograms) and not loss_named(problem.objective).bound():
                g, h = state.gradients.statistics[:, :, federation.inner._fused.rows_asked()]
                assert (np.abs(g) <= 2.0**last.exponents.g).all() and (h <= 2.0**last.exponents.h).all()

    federation = Watched(LocalFederation(problem.silos()), look)
    problem.estimator(sampling=sampling, learning_rate=learning_rate).fit_federation(federation)
    look(-1)


@pytest.mark.parametrize("exponent", [3, 20, 100])
def test_a_regression_does_not_depend_on_the_unit_of_y(exponent: int) -> None:
    problem = simple("reg:squarederror", n_estimators=8, max_depth=3)
    y = problem.y.astype(np.float32) * 1000
    plain, scaled = (problem.estimator().fit(problem.X, y * 2.0**e).predict(problem.X) for e in (0, exponent))
    assert scaled.tolist() == (plain * 2.0**exponent).tolist()  # powers of two change no digit


def test_what_gains_less_than_xgboosts_least_is_not_split() -> None:
    problem = simple("reg:squarederror", n_estimators=2)
    assert np.ptp(problem.estimator().fit(problem.X, problem.y * 1e-9).predict(problem.X)) == 0


# -- where margins start ------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("objective", sorted(CLASSES))
def test_margins_start_where_the_weighted_rows_say(objective: str, weighted: bool) -> None:
    problem = simple(objective, n_estimators=1)
    rng = np.random.default_rng(1)
    weight = rng.uniform(0, 2, len(problem.y)).astype(np.float32) if weighted else np.ones(len(problem.y), np.float32)
    federation = Watched(LocalFederation.from_table(problem.X, problem.y, silos=problem.silo, sample_weight=weight))
    problem.estimator().fit_federation(federation)
    (begin,) = facts(federation, Begin)
    shares = np.array([weight[problem.y == k].sum() for k in range(CLASSES[objective])]) / weight.sum()
    mean, y = np.average(problem.y, weights=weight), problem.y
    match objective:
        case "binary:logistic":
            expected = [np.log(shares[1] / shares[0])]
        case "binary:hinge":
            expected = [float(shares[1] > shares[0])]
        case "reg:logistic":
            expected = [np.log(mean / (1 - mean))]
        case "count:poisson" | "reg:gamma" | "reg:tweedie":
            expected = [np.log(mean)]
        case "multi:softprob" | "multi:softmax":
            expected = np.log(shares) - np.log(shares).mean()
        case "reg:squaredlogerror":
            expected = [(weight * np.log1p(y)).sum() / (weight * np.maximum(1 + np.log1p(y), 1e-6)).sum()]
        case "reg:pseudohubererror":
            root = np.sqrt(1 + y * y)
            expected = [(weight * y / root).sum() / (weight / root**3).sum()]
        case "reg:absoluteerror" | "reg:quantileerror":
            order = np.argsort(y)
            above = np.searchsorted(np.cumsum(weight[order]), weight.sum() / 2)
            expected = [y[order][above]] if weighted else [np.median(y)]
        case _:
            expected = [mean]
    np.testing.assert_allclose(begin.base_margin, expected, atol=1e-3, rtol=1e-3)


def test_a_base_score_replaces_the_estimate() -> None:
    log = {objective: (7.5, np.log(7.5)) for objective in ("count:poisson", "reg:gamma", "reg:tweedie")}
    logit = {objective: (0.25, np.log(1 / 3)) for objective in ("binary:logistic", "reg:logistic")}
    for objective, (score, margin) in (log | logit | {"reg:squarederror": (7.5, 7.5), "binary:hinge": (2, 2)}).items():
        _, federation = train(simple(objective, n_estimators=1), base_score=(score,))
        np.testing.assert_allclose(facts(federation, Begin)[0].base_margin, [margin], rtol=1e-6)


# -- what cannot be trained on ------------------------------------------------------------------------------


def test_no_rows_and_no_weight_are_refused() -> None:
    X, y = np.zeros((4, 1)), np.array([0, 1, 0, 1])
    nobody = [Silo("a", X[:0], y[:0].astype(float)), Silo("b", X[:0], y[:0].astype(float))]
    with pytest.raises(DataError, match="no silo holds any row"):
        FedGBTRegressor(1).fit_federation(LocalFederation(nobody))
    with pytest.raises(DataError, match="sample_weight is zero in every row"):
        FedGBTClassifier(1).fit(X, y, sample_weight=np.zeros(4))


def test_a_silo_of_a_single_class_is_no_obstacle() -> None:
    problem = simple(n_estimators=3)
    model = problem.estimator().fit(problem.X, problem.y, silos=problem.y)
    assert model_bytes(model) == problem.pooled()


# -- the loop -----------------------------------------------------------------------------------------------


class Stop(Observer[BoostingState]):
    """Ends a training before or after a round, and halves the learning rate every round."""

    def __init__(self, before: int, after: int):
        self._before, self._after = before, after
        self.seen: list[tuple[int, int]] = []

    def begin(self, training: Any, state: BoostingState) -> None:
        self._ensemble = training.ensemble

    def before(self, state: BoostingState) -> BoostingState:
        ended = state.round == self._before
        return msgspec.structs.replace(state, ended=ended, learning_rate=0.5**state.round)

    def after(self, state: BoostingState) -> BoostingState:
        assert state.scores[-1] == {}
        self.seen.append((state.round - 1, self._ensemble(state).rounds))
        return msgspec.structs.replace(state, ended=state.round - 1 == self._after)


@pytest.mark.parametrize(("before", "after", "rounds"), [(3, 9, 3), (9, 2, 3), (9, 9, 5)])
def test_every_finished_round_is_told_and_may_be_the_last(before: int, after: int, rounds: int) -> None:
    problem = simple()
    federation = LocalFederation(problem.silos())
    observer = Stop(before, after)
    settings = TreeSettings(loss_named("binary:logistic"), rounds=5, max_depth=2)
    ensemble = boost(
        Channel(federation), 3, 3, [0, 1], settings, Threads(1), lambda margin: margin.astype(np.float32), observer
    )
    assert observer.seen == [(round, round + 1) for round in range(rounds)] and ensemble.rounds == rounds
    largest = [float(np.abs(tree.value).max()) for tree in ensemble.trees]
    assert all(later < 0.7 * former for former, later in pairwise(largest))
    assert ensemble.base_margin.dtype == np.float32


def test_more_trees_begin_with_the_same_ones() -> None:
    problem = simple("multi:softprob", max_depth=3)
    few, many = (problem.estimator(n_estimators=n).fit(problem.X, problem.y).booster_ for n in (3, 6))
    assert many[:3].get_dump(with_stats=True) == few.get_dump(with_stats=True)


def test_two_trainings_over_one_federation_do_not_meet() -> None:
    problem = simple(n_estimators=2)
    for mode in ("fused", "faithful"):
        federation = LocalFederation(problem.silos(), mode)
        first = problem.federated(federation)
        other = problem.federated(federation, max_depth=2, sampling=2)
        assert problem.federated(federation) == first != other


def test_the_loss_falls_with_every_tree() -> None:
    problem = simple(rows=400, n_estimators=10, max_depth=3, learning_rate=0.1)
    losses = []

    def look(round: int) -> None:
        silo = federation.inner._fused
        state = silo.states.find(TreeState)
        if state is not None and federation.log is not None and len(state.forest) > len(losses):
            bring_up_to_date(silo, federation.log)
            margin, y = state.margin[0].astype(np.float64), state.rows.target
            losses.append(float((np.logaddexp(0, margin) - y * margin).mean()))

    federation = Watched(LocalFederation(problem.silos()), look)
    problem.estimator().fit_federation(federation)
    assert len(losses) >= 8 and (np.diff(losses) < 0).all()


def test_a_rounds_trees_move_each_share_of_rows_by_its_leafs_value() -> None:
    """By output and, within one, by tree: hessians tell how many rows a leaf has, and none are even ones."""
    feature, left = np.array([0, LEAF, LEAF], np.int32), np.array([1, LEAF, LEAF], np.int32)
    value, bins, sides = np.array([9, 1, -2], np.float32), np.zeros(3, np.int32), np.zeros(3, bool)
    trees = [
        Tree(feature, bins, sides, left, value * scale, np.zeros(3, np.float32), np.array([8, *covers], np.float32))
        for scale, covers in ((1, (6, 2)), (2, (4, 4)), (3, (0, 0)), (4, (1, 7)))
    ]
    moves = _moves(trees, parallel=2)
    assert [[each.values.tolist() for each in steps] for steps in moves] == [[[1, -2], [2, -4]], [[3, -6], [4, -8]]]
    assert [[each.shares.tolist() for each in steps] for steps in moves] == [
        [[0.75, 0.25], [0.5, 0.5]],
        [[1, 1], [0.125, 0.875]],
    ]
