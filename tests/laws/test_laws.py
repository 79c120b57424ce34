"""The laws that training keeps whatever the data: partition, order, threads, XGBoost, restart, exported margins.

"The same model" always means the same bytes of the model's JSON.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
import reference_data
import xgboost
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pandas.testing import assert_frame_equal
from sklearn.metrics import log_loss, roc_auc_score, root_mean_squared_error
from strategies import (
    CLASSES,
    LARGEST,
    BadPost,
    Problem,
    Watched,
    assert_booster_s_margins,
    bring_up_to_date,
    examples,
    margins,
    model_bytes,
    problems,
    rows_of,
)

from fedtrees import FedGBTClassifier, LocalFederation, Poisson, Postman, Silo
from fedtrees.trees.kernels.histogram import STATISTIC_BITS_G
from fedtrees.trees.messages.training import Begin
from fedtrees.trees.model.cuts import Cuts
from fedtrees.trees.server import gradient_scales
from fedtrees.trees.silo.state import TreeState

seeds = st.integers(0, 2**32 - 1)


def begin_of(federation: Watched) -> Begin:
    """The fact that told the silos of cuts and base margins."""
    assert federation.log is not None
    (begin,) = (fact for fact in federation.log.facts if isinstance(fact, Begin))
    return begin


def problem_of(X: Any, y: Any, objective: str = "binary:logistic", n_silos: int = 3, **params: Any) -> Problem:
    """A problem with rows dealt out to silos one by one."""
    values, target = np.asarray(X, np.float32), np.asarray(y)
    return Problem(values, target, None, np.arange(len(target)) % n_silos, n_silos, objective, {"n_jobs": 1} | params)


# -- law 1: partition ---------------------------------------------------------------------------------------


# law: Query, FedGBT.fit, Boosting, GradientScales
@examples(80)
@given(problem=problems(categories=True))
def test_any_partition_of_the_rows_gives_the_pooled_model(problem: Problem) -> None:
    assert problem.federated() == problem.pooled()


# law: FedGBT.fit
@examples(30)
@given(problem=problems(categories=True))
def test_silo_ids_beside_the_rows_give_the_pooled_model(problem: Problem) -> None:
    model = problem.estimator().fit(problem.table(), problem.y, silos=problem.silo, sample_weight=problem.weight)
    assert model_bytes(model) == problem.pooled()


@examples(25)
@given(problem=problems(most_silos=6, categories=True))
def test_messages_of_real_bytes_give_the_pooled_model(problem: Problem) -> None:
    assert problem.federated(LocalFederation(problem.silos(), mode="faithful", n_jobs=1)) == problem.pooled()


def test_fifty_silos_of_real_bytes_give_the_pooled_model() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    problem = problem_of(X, X[:, 0] > X[:, 1], n_silos=50, n_estimators=2, max_depth=2)
    assert problem.federated(LocalFederation(problem.silos(), mode="faithful")) == problem.pooled()


@pytest.mark.parametrize("mode", ["fused", "faithful"])
@pytest.mark.parametrize("labels", [[0, 1], ["ill", "well"], [False, True]])
def test_an_empty_silo_without_a_type_leaves_no_trace(mode: str, labels: list[Any]) -> None:
    X, y = np.arange(40.0)[:, None], np.array(labels)[np.arange(40) // 20]
    full, empty = Silo("full", X, y), Silo("empty", np.zeros((0, 1)), [])
    pooled = FedGBTClassifier(2, max_depth=1).fit(X, y)
    for silos in ([full, empty], [empty, full]):
        model = FedGBTClassifier(2, max_depth=1).fit_federation(LocalFederation(silos, mode))
        assert model_bytes(model) == model_bytes(pooled)
        assert model.classes_.tolist() == labels


def test_a_silo_that_gives_no_weights_counts_each_row_as_one() -> None:
    rng = np.random.default_rng(0)
    X, y, weight = rng.normal(size=(60, 2)), rng.integers(0, 2, 60), np.repeat([1.0, 2.0], 30)
    pooled = FedGBTClassifier(3, max_depth=3).fit(X, y, sample_weight=weight)
    silos = Silo("plain", X[:30], y[:30]), Silo("weighted", X[30:], y[30:], sample_weight=weight[30:])
    for mode in ("fused", "faithful"):
        model = FedGBTClassifier(3, max_depth=3).fit_federation(LocalFederation(silos, mode))
        assert model_bytes(model) == model_bytes(pooled)


# -- law 2: order and threads -------------------------------------------------------------------------------


# law: Channel
@examples(40)
@given(problem=problems(categories=True), seed=seeds)
def test_the_order_of_rows_and_silos_and_the_number_of_threads_change_nothing(problem: Problem, seed: int) -> None:
    rng = np.random.default_rng(seed)
    expected = problem.federated()
    moved = problem.shuffled(rng)
    assert moved.pooled(n_jobs=1) == expected
    for n_jobs in (1, 2, 3):
        silos = moved.silos(order=rng.permutation(problem.n_silos).tolist())
        assert moved.federated(LocalFederation(silos, n_jobs=n_jobs), n_jobs=n_jobs) == expected


@pytest.mark.slow_without_jit
def test_threads_change_nothing_where_each_has_many_rows() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100_000, 3)).astype(np.float32)
    problem = problem_of(X, X.sum(axis=1), "reg:squarederror", n_silos=7, n_estimators=2)
    expected = problem.pooled(n_jobs=1)
    for n_jobs in (2, 3):
        assert problem.federated(n_jobs=n_jobs) == problem.pooled(n_jobs=n_jobs) == expected


# -- laws 2 and 5: order of arrival, restart ----------------------------------------------------------------


# law: Channel
@examples(25)
@given(problem=problems(most_silos=6, categories=True), seed=seeds)
def test_replies_that_come_in_any_order_or_twice_or_get_lost_and_silos_that_forget_change_nothing(
    problem: Problem, seed: int
) -> None:
    silos = problem.silos()
    federation = Postman(BadPost(silos, np.random.default_rng(seed)), [silo.name for silo in silos])
    assert problem.federated(federation) == problem.federated()


SAMPLINGS = [1.0, 0.3, 2, Poisson(0.4)]


def at_most(n_silos: int, sampling: Any) -> Any:
    """A sampling that a federation of so many silos takes."""
    return min(sampling, n_silos) if isinstance(sampling, int) else sampling


# law: Silo, TreeState
@examples(25)
@given(problem=problems(most_silos=6, categories=True), sampling=st.sampled_from(SAMPLINGS), seed=seeds)
def test_silos_that_forget_between_rounds_answer_the_same_bits(problem: Problem, sampling: Any, seed: int) -> None:
    rng, silos = np.random.default_rng(seed), problem.silos()
    sampling = at_most(problem.n_silos, sampling)

    def some_forget(round: int) -> None:
        for silo in silos:
            if rng.random() < 0.3:
                silo.forget()

    forgetful = Watched(LocalFederation(silos, mode="faithful"), some_forget)
    lasting = Watched(LocalFederation(problem.silos(), mode="faithful"))
    assert problem.federated(forgetful, sampling=sampling) == problem.federated(lasting, sampling=sampling)
    assert len(forgetful.calls) == len(lasting.calls)
    for (_, cohort), (_, same_cohort) in zip(forgetful.calls, lasting.calls, strict=True):
        assert cohort.tolist() == same_cohort.tolist()
    assert forgetful.replies == lasting.replies and len(forgetful.replies) == len(forgetful.calls)


@examples(25)
@given(
    problem=problems(most_silos=8, categories=True),
    sampling=st.sampled_from(SAMPLINGS),
    weighting=st.sampled_from(["rows", "equal"]),
)
def test_sampled_cohorts_give_the_same_model_and_bill_fused_and_faithful(
    problem: Problem, sampling: Any, weighting: str
) -> None:
    sampling = at_most(problem.n_silos, sampling)
    models = [
        problem.estimator(sampling=sampling, weighting=weighting, random_state=1).fit_federation(
            LocalFederation(problem.silos(), mode)
        )
        for mode in ("fused", "faithful")
    ]
    assert model_bytes(models[0]) == model_bytes(models[1])
    fused, faithful = (model.ledger_ for model in models)
    assert_frame_equal(fused.per_round(), faithful.per_round())
    assert_frame_equal(fused.per_silo(), faithful.per_silo())


# -- law 4: equality with XGBoost ---------------------------------------------------------------------------

MEASURES = {
    "binary:logistic": [roc_auc_score, log_loss],
    "multi:softprob": [partial(roc_auc_score, multi_class="ovr"), log_loss],
    "reg:squarederror": [root_mean_squared_error],
}


class Scored(NamedTuple):
    """Rows to train on and rows to score."""

    X: NDArray[np.float32]
    y: NDArray[Any]
    weight: NDArray[np.float32] | None
    train: NDArray[np.bool_]


def generated(objective: str, seed: int = 1) -> Scored:
    """Continuous columns, an integer one and one of few values, a tenth of it all missing; half is for scoring.

    Rows weigh differently: otherwise the first trees' gradients take few values, and many gains tie.
    """
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(20_000, 6)).astype(np.float32)
    X[:, 4], X[:, 5] = rng.integers(0, 40, len(X)), rng.choice([0.1, 0.2, 7.0], len(X))
    signal = X[:, 0] * X[:, 1] + X[:, 2] + 0.05 * X[:, 4] + rng.normal(size=len(X))
    X[rng.random(X.shape) < 0.1] = np.nan
    shares = [0.27, 0.55, 0.93][: CLASSES[objective] - 1]
    y = np.searchsorted(np.quantile(signal, shares), signal) if CLASSES[objective] else signal
    return Scored(X, y, rng.uniform(0.5, 1.5, len(X)).astype(np.float32), np.arange(len(X)) % 2 == 0)


def codes_of(X: NDArray[np.float32], cuts: Cuts) -> NDArray[np.float32]:
    """The number of each value's bin, NaN where it is missing."""
    codes = np.full(X.shape, np.nan, np.float32)
    for f, column in enumerate(X.T):
        there = ~np.isnan(column)
        codes[there, f] = np.searchsorted(cuts.of(f)[:-1], column[there], side="right")
    return codes


def with_the_same_bins(data: Scored, objective: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What we predict for every row after 30 trees, and what XGBoost's hist does that was given our bins."""
    X, y, weight, train = data
    weight = None if weight is None else weight[train]
    params = {"max_depth": 6, "learning_rate": 0.1}
    silo = np.arange(train.sum()) % 5
    problem = Problem(X[train], y[train], weight, silo, 5, objective, {**params, "n_estimators": 30, "n_jobs": 2})
    federation = Watched(LocalFederation(problem.silos()))
    model = problem.estimator().fit_federation(federation)
    begin = begin_of(federation)
    codes = codes_of(X, Cuts(begin.values, begin.offsets, begin.missing))
    margin = np.tile(begin.base_margin, (len(X), 1))
    # codes are few, so XGBoost makes a bin of each
    matrix = xgboost.QuantileDMatrix(codes[train], y[train], weight=weight, max_bin=512)
    matrix.set_base_margin(margin[train])
    theirs: dict[str, Any] = {**params, "objective": objective, "tree_method": "hist", "max_bin": 512, "nthread": 1}
    if objective == "multi:softprob":
        theirs["num_class"] = len(begin.base_margin)
    same = xgboost.train(theirs, matrix, 30).predict(xgboost.DMatrix(codes, base_margin=margin))
    own = model.predict(X) if objective == "reg:squarederror" else model.predict_proba(X)
    return own[:, 1] if objective == "binary:logistic" else own, same


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("objective", sorted(MEASURES))  # the others: see test_objectives
def test_with_the_same_bins_we_score_as_xgboost_does_on_generated_data(objective: str) -> None:
    scores_agree(generated(objective), objective)


@pytest.mark.slow_without_jit
@pytest.mark.parametrize("seed", [0, 3])
def test_gains_that_nearly_tie_are_told_apart_by_further_digits(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two gains of these tables are within a millionth, where the rounding of gradients to 20 bits picks either."""
    monkeypatch.setattr(
        gradient_scales.GradientScales, "_extra_for", lambda self, spread: min(STATISTIC_BITS_G, self._room)
    )
    ours, theirs = with_the_same_bins(generated("multi:softprob", seed), "multi:softprob")
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=5e-7)


@pytest.mark.slow_without_jit
def test_with_the_same_bins_we_score_as_xgboost_does_on_higgs() -> None:
    X, y, _, train = reference_data.higgs_lightgbm_7k()
    scores_agree(Scored(X.to_numpy(), y, None, train), "binary:logistic")


def scores_agree(data: Scored, objective: str) -> None:
    own, same = with_the_same_bins(data, objective)
    # every row, seen in training or not, stands in the very same leaves
    np.testing.assert_allclose(own, same, rtol=1e-4, atol=1e-5)
    for measure in MEASURES[objective]:
        for rows in (data.train, ~data.train):
            assert measure(data.y[rows], own[rows]) == pytest.approx(measure(data.y[rows], same[rows]), abs=1e-5)


# -- law 6: the exported margins ----------------------------------------------------------------------------

AT_THE_END = np.float32([[np.nan], [LARGEST], [-LARGEST], [0.0], [-0.0], [1e-45], [-1e-45], [3.0]] * 5)


@examples(80)
@given(problem=problems(categories=True))
@example(problem=problem_of(AT_THE_END, np.isnan(AT_THE_END[:, 0]), n_estimators=2, max_depth=3))
@example(problem=problem_of(AT_THE_END, AT_THE_END[:, 0] == LARGEST, n_estimators=2, max_depth=3))
@example(problem=problem_of(AT_THE_END, np.abs(AT_THE_END[:, 0]) == 1e-45, n_estimators=2, max_depth=3))
def test_the_boosters_margins_are_the_training_margins_bit_for_bit(problem: Problem) -> None:
    federation = Watched(LocalFederation(problem.silos(), n_jobs=problem.params["n_jobs"]))
    model = problem.estimator().fit_federation(federation)
    silo = federation.inner._fused
    assert federation.log is not None
    bring_up_to_date(silo, federation.log)
    assert silo.states.find(TreeState).margin.tobytes() == margins(model, rows_of(silo.table)).tobytes()


# law: Margins
@examples(20)
@given(problem=problems(most_silos=6, categories=True), sampling=st.sampled_from(SAMPLINGS))
def test_so_are_those_of_every_silo_by_itself_when_it_hears_of_the_trees_it_missed(
    problem: Problem, sampling: Any
) -> None:
    silos = problem.silos()
    federation = Watched(LocalFederation(silos, mode="faithful"))
    model = problem.estimator(sampling=at_most(problem.n_silos, sampling)).fit_federation(federation)
    assert federation.log is not None
    for silo in silos:
        assert_booster_s_margins(silo, federation.log, model)


@pytest.mark.slow_without_jit
def test_all_laws_hold_with_the_most_bins_there_are() -> None:
    rng = np.random.default_rng(0)
    X = np.stack([rng.normal(size=80_000), rng.integers(0, 50, 80_000)], axis=1)
    X[rng.random(X.shape) < 0.05] = np.nan
    problem = problem_of(X, np.nan_to_num(X).sum(axis=1), "reg:squarederror", 4, n_estimators=2, max_bin=65535)
    federation = Watched(LocalFederation(problem.silos()))
    model = problem.estimator(max_depth=3).fit_federation(federation)
    silo = federation.inner._fused
    assert federation.log is not None
    bring_up_to_date(silo, federation.log)
    assert silo.states.find(TreeState).cuts.n_bins.tolist() == [65535, 51]
    assert silo.states.find(TreeState).margin.tobytes() == margins(model, rows_of(silo.table)).tobytes()
    assert model_bytes(model) == problem.pooled(max_depth=3)


# -- machines -----------------------------------------------------------------------------------------------

PLAIN_OR_COMPILED = """
import hashlib
import numpy as np
from fedtrees import FedGBTClassifier, FedGBTRegressor
rng = np.random.default_rng(0)
X = np.round(rng.normal(size=(80, 4)), 2)
X[rng.random(X.shape) < 0.1] = np.nan
label, silos = rng.integers(0, 3, 80), np.arange(80) % 3
params = {"n_estimators": 3, "max_depth": 3, "max_bin": 20}
for y in (label, label > 0, label + X[:, 0]):
    kind = FedGBTRegressor if y.dtype.kind == "f" else FedGBTClassifier
    kept = ~np.isnan(y)
    model = kind(**params).fit(X[kept], y[kept], silos=silos[kept])
    print(hashlib.sha256(model.booster_.save_raw("json")).hexdigest())
"""


def test_compiled_kernels_and_plain_python_give_the_same_model() -> None:
    def said(disable: str) -> str:
        environment = os.environ | {"NUMBA_DISABLE_JIT": disable}
        command = [sys.executable, "-W", "error::RuntimeWarning", "-c", PLAIN_OR_COMPILED]
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout

    compiled = said("0")
    assert compiled.count("\n") == 3
    assert said("1") == compiled
