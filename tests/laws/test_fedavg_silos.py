"""Which silos count in a network's training, and what is drawn for each: held to the definitions, written out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_sample_weight

from fedtrees import FedAvgClassifier, FedAvgRegressor, LocalFederation, ProtocolError, Silo
from fedtrees.core.numeric.rng import stream
from fedtrees.neural.class_weights import weigh_classes_alone
from fedtrees.neural.compression import Exact, UpdateScale
from fedtrees.neural.largest_loss import LargestLoss
from fedtrees.neural.local import Rows, Work, train
from fedtrees.neural.methods import FedAvg, QFedAvg
from fedtrees.neural.one_class import ClassRows
from fedtrees.neural.perceptron import Perceptron
from fedtrees.neural.personal import Ditto, FineTuning, OwnHead
from fedtrees.neural.scores import NetworkScores
from fedtrees.neural.state import StartTraining, WeightUnit
from fedtrees.neural.update import LocalUpdate

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype(np.float32)
Y = X[:, 0] + np.float32(1)
WHOSE = np.repeat(["a", "b", "c"], 20)
COMMON: dict[str, Any] = {"batch_size": None, "learning_rate": 0.01, "standardize": False, "n_jobs": 1}


@pytest.mark.parametrize("mode", ["fused", "faithful"])
def test_the_largest_loss_is_that_of_silos_that_weigh_anything(mode: str) -> None:
    """Of c, whose loss is by far the largest, nothing is averaged; a silo without rows has none."""
    y = np.where(WHOSE == "c", 1000, Y)
    silos = [Silo(name, X[name == WHOSE], y[name == WHOSE], n_jobs=1) for name in "abc"] + [Silo("d", X[:0], y[:0])]
    weights = {"a": 1.0, "b": 2.0, "c": 0.0, "d": 5.0}
    given: dict[str, Any] = COMMON | {"method": QFedAvg(2.0), "n_rounds": 2}
    light = FedAvgRegressor((), weighting=weights, **given).fit_federation(LocalFederation(silos, mode=mode, n_jobs=1))
    without = FedAvgRegressor((), weighting={"a": 1.0, "b": 2.0}, **given).fit(X[:40], y[:40], silos=WHOSE[:40])
    np.testing.assert_allclose(light.params_, without.params_, rtol=1e-6)
    assert light.ledger_.per_round()["kind"].tolist().count("LargestLoss") == 2

    federation = LocalFederation(silos, n_jobs=1)
    silo = Silo.of_table(federation.table, federation.threads)
    params = np.float32([1, 0, 0, 0])  # which misses Y by 1
    StartTraining(Perceptron([3, 1], "reg:squarederror"), None, 0, np.zeros(4), np.ones(4)).apply(silo)
    WeightUnit(60.0, 0).apply(silo)
    query = LargestLoss(4, params)
    assert query.ask(silo).sum() == 3 and query.read(query.ask(silo)) >= 499**2
    silo.weigh(np.float32([1, 2, 0, 0]), np.array([20, 20, 20, 0]))
    StartTraining(Perceptron([3, 1], "reg:squarederror"), None, 0, np.zeros(4), np.ones(4)).apply(silo)
    WeightUnit(60.0, 0).apply(silo)
    assert query.ask(silo).sum() == 2
    assert 0.5 <= query.read(query.ask(silo)) * (1 + 1e-6) <= 0.5 * 2 ** (1 / 8)


@pytest.mark.parametrize(
    "how", [FineTuning(2), Ditto(lam=0.0, epochs=2), OwnHead(layers=1, epochs=2)], ids=lambda how: type(how).__name__
)
def test_personal_batches_are_drawn_by_seed_round_and_silo(how: Any) -> None:
    """A network of one layer is all head: each is descent from the shared parameters, by a stream of the silo's own."""
    labels = (X[:, 0] > 0).astype(np.int64)
    model = FedAvgClassifier((), n_rounds=3, batch_size=8, standardize=False, n_jobs=1, random_state=4)
    model.fit(X, labels, silos=WHOSE)
    found = {name: model.personalize(Silo(name, X[:20], labels[:20], n_jobs=1), how).params_ for name in "ab"}
    for name, own in found.items():
        expected = train(
            Perceptron([3, 1], "binary:logistic"), model.params_, Rows(X[:20], labels[:20], None), Work(2, 8, 0.1),
            stream(4, "personal batches", 3, name),
        )  # fmt: skip
        np.testing.assert_array_equal(own, expected.params)
    assert not np.array_equal(found["a"], found["b"])


@pytest.mark.parametrize("weight", [None, np.arange(1, 21, dtype=np.float32)], ids=["plain", "weighted"])
def test_classes_that_no_row_has_do_not_count_among_those_that_are_balanced(weight: Any) -> None:
    y = np.array([0] * 15 + [2] * 5)
    silo = Silo("a", X[:20], y, sample_weight=weight)
    weigh_classes_alone(silo, [0, 1, 2, 3], "balanced")
    if weight is None:
        np.testing.assert_allclose(silo.weights(), compute_sample_weight("balanced", y), rtol=1e-6)
    else:
        often = np.repeat(y, weight.astype(int))
        factor = compute_sample_weight("balanced", often)[np.cumsum(weight.astype(int)) - 1]
        np.testing.assert_allclose(silo.weights(), weight * factor, rtol=1e-6)
    assert math.isclose(silo.weights()[:15].sum(), silo.weights()[15:].sum(), rel_tol=1e-6)


def question(kind: str, n: int, length: int = 4) -> Any:
    """Of a network of so many parameters."""
    params = np.zeros(n, np.float32)
    if kind == "losses":
        return LargestLoss(1, params)
    if kind == "scores":
        return NetworkScores(0, 1, ["rmse"], 60, 0, params=params)
    return LocalUpdate(1, params, params[:0], FedAvg(), Work(1, None, 0.1), UpdateScale(20, 10), length, 0, 60, Exact())


@pytest.mark.parametrize("kind", ["losses", "scores", "update"])
def test_questions_of_another_network_or_before_there_is_one_are_refused(kind: str) -> None:
    silo = Silo("a", X, Y, n_jobs=1, eval_set=[(X, Y)])
    with pytest.raises(ProtocolError, match="before training began"):
        question(kind, 4).ask(silo)
    with pytest.raises(ProtocolError, match="silos were to be weighed before training began"):
        WeightUnit(60.0, 0).apply(silo)
    StartTraining(Perceptron([3, 1], "reg:squarederror"), None, 0, np.zeros(4), np.ones(4)).apply(silo)
    if kind != "scores":
        with pytest.raises(ProtocolError, match="an update was asked for before silos were weighed"):
            question(kind, 4).ask(silo)
    WeightUnit(60.0, 0).apply(silo)
    assert question(kind, 4).ask(silo).any()
    for n in (0, 3, 5, 8):
        with pytest.raises(ProtocolError, match=r"of another model|are not those of the model, 4"):
            question(kind, n).ask(silo)
    for length in (3, 5) if kind == "update" else ():
        with pytest.raises(ProtocolError, match="are not those of the model, 4"):
            question(kind, 4, length).ask(silo)


@pytest.mark.parametrize(("mean", "deviation", "fine"), [(2, 2, False), (4, 3, False), (3, 4, False), (4, 4, True)])
def test_scales_of_other_columns_are_refused(mean: int, deviation: int, fine: bool) -> None:
    fact = StartTraining(Perceptron([3, 1], "reg:squarederror"), None, 0, np.zeros(mean), np.ones(deviation))
    silo = Silo("a", X, Y, n_jobs=1)
    if fine:
        fact.apply(silo)
    else:
        with pytest.raises(ProtocolError, match=rf"^scales of {mean} columns, and there are 3 features"):
            fact.apply(silo)


def test_rows_of_classes_are_those_of_silos_that_weigh_anything() -> None:
    labels = np.where(WHOSE == "c", "rare", np.where(X[:, 0] > 0, "ill", "well"))
    federation = LocalFederation.from_table(X, labels, silos=WHOSE, n_jobs=1)
    silo, query = Silo.of_table(federation.table, federation.threads), ClassRows(60, ["ill", "rare", "well"])
    ill = int((X[:40, 0] > 0).sum())
    assert query.ask(silo).tolist() == [ill, 20, 40 - ill] and query.read(query.ask(silo)) is None
    silo.weigh(np.float32([1, 2, 0]), np.array([20, 20, 20]))
    assert query.ask(silo).tolist() == [ill, 0, 40 - ill] and query.read(query.ask(silo)) is None
    silo.weigh(np.float32([0, 0, 1]), np.array([20, 20, 20]))
    assert query.ask(silo).tolist() == [0, 20, 0] and query.read(query.ask(silo)) == 1
    silo.ask_only(np.array([0, 1]))
    assert not query.ask(silo).any() and query.read(query.ask(silo)) is None
