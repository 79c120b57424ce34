"""A share of every silo's rows, held out to score on: who holds a row does not matter where rows have ids."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import Problem, Watched, examples, problems

from fedtrees import DataError, FedGBTClassifier, FedGBTRegressor, LocalFederation, ParameterError, Silo
from fedtrees.core.protocol.holdout import HoldOut

RNG = np.random.default_rng(0)
X = np.round(RNG.normal(size=(400, 4)), 2).astype(np.float32)
Y = (X[:, 0] + RNG.normal(size=400) > 0).astype(int)


# law: HoldOut
@examples(20)
@given(
    problem=problems(most_silos=6).filter(lambda problem: len(problem.y) > 3),
    seed=st.integers(0, 9),
    share=st.sampled_from([0.2, 0.5, 0.8]),
)
def test_every_partition_of_rows_with_ids_holds_out_the_same(problem: Problem, seed: int, share: float) -> None:
    problem = replace(problem, row_id=np.arange(len(problem.y)) * 7 - 3)
    options: dict[str, Any] = {"validation_fraction": share, "random_state": seed}
    try:
        pooled = problem.pooled(**options)
    except (DataError, ParameterError):  # of few rows, none may be left to train or to score on
        return
    for federation in (None, LocalFederation(problem.silos(), mode="faithful")):
        assert problem.federated(federation, **options) == pooled
    assert problem.shuffled(np.random.default_rng(seed)).pooled(**options) == pooled


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_the_model_is_that_of_the_other_rows_scored_on_these(mode: str) -> None:
    ids, silo = np.arange(len(Y)), np.arange(len(Y)) % 3
    which = held_out(Silo("all", X, Y, row_id=ids), share=0.25, seed=5)
    assert 0.15 < which.mean() < 0.35
    silos = [Silo(f"silo {k}", X[silo == k], Y[silo == k], row_id=ids[silo == k]) for k in range(3)]
    federation = LocalFederation(silos, mode=mode)
    options: dict[str, Any] = {"n_estimators": 60, "early_stopping_rounds": 3, "random_state": 5, "n_jobs": 1}
    for _ in range(2):  # a second run holds out of all rows, too
        model = FedGBTClassifier(validation_fraction=0.25, **options).fit_federation(federation)
        apart = FedGBTClassifier(**options).fit(X[~which], Y[~which], eval_set=[(X[which], Y[which])])
        assert model.booster_.save_raw() == apart.booster_.save_raw()
        assert model.evals_result_ == apart.evals_result_
        assert model.best_iteration == apart.best_iteration < 59


def held_out(silo: Silo, share: float, seed: int) -> np.ndarray[Any, Any]:
    HoldOut(share, seed).apply(silo)
    order = silo.held_out[-1].order
    assert order is not None
    which = np.zeros(len(Y), bool)
    which[order] = True
    return which


# law: EvaluationSet
def test_both_modes_send_the_same_bytes_and_a_silo_that_forgot_catches_up() -> None:
    sent, models = [], []
    for mode, forgets in (("fused", False), ("faithful", False), ("faithful", True)):
        silos = [Silo(f"silo {k}", X[k::3], Y[k::3], eval_set=[(X[:9], Y[:9])]) for k in range(3)]
        federation = Watched(LocalFederation(silos, mode=mode))
        if forgets:
            federation.before = lambda round, silos=silos: silos[round % 3].forget()  # type: ignore[misc]
        model = FedGBTClassifier(4, max_depth=3, validation_fraction=0.3, n_jobs=1).fit_federation(federation)
        assert list(model.evals_result_) == ["validation_0", "validation_1"]
        sent.append(model.ledger_.per_silo())
        models.append(model.booster_.save_raw())
    assert models[0] == models[1] == models[2]
    assert sent[0].equals(sent[1])


def test_silos_of_an_earlier_training_bring_all_their_rows_to_the_next() -> None:
    silos = [Silo(f"silo {k}", X[k::2], Y[k::2]) for k in range(2)]
    options: dict[str, Any] = {"n_estimators": 3, "validation_fraction": 0.4, "n_jobs": 1}
    first = FedGBTClassifier(**options).fit_federation(LocalFederation(silos, mode="faithful"))
    again = FedGBTClassifier(**options).fit_federation(LocalFederation(silos))
    assert first.booster_.save_raw() == again.booster_.save_raw()
    assert list(again.evals_result_) == ["validation_0"]


def test_labels_are_agreed_on_by_all_rows() -> None:
    """A class whose rows are all held out is one of the classes still."""
    y = Y.copy()
    y[:3] = 2
    model = FedGBTClassifier(2, validation_fraction=0.9, random_state=1).fit(X, y)
    assert model.classes_.tolist() == [0, 1, 2]


def test_errors_of_held_out_rows_name_the_owner_s_rows() -> None:
    y = Y.astype(float)
    y[200 + 11] = -1
    silos = [Silo("mayo", X[:200], y[:200]), Silo("ucla", X[200:], y[200:])]
    with pytest.raises(DataError, match="silo 'ucla': y, row 11: a negative number; count:poisson"):
        FedGBTRegressor(1, objective="count:poisson", validation_fraction=0.2).fit_federation(LocalFederation(silos))


def test_what_leaves_nothing_to_train_or_to_score_on_is_refused() -> None:
    with pytest.raises(DataError, match="validation_0: the evaluation set holds no row in any silo"):
        FedGBTClassifier(1, validation_fraction=0.001).fit(X[:20], Y[:20])
    with pytest.raises(DataError, match="no silo holds any row"):
        FedGBTClassifier(1, validation_fraction=0.9999).fit(X[:20], Y[:20])
    with pytest.raises(ParameterError, match=r"early_stopping_rounds needs an eval_set, .* or a validation_fraction"):
        FedGBTClassifier(1, early_stopping_rounds=2).fit(X, Y)
