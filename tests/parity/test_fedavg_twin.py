"""Whole trainings against a twin of a few lines in float64 NumPy, which imports nothing of the networks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedtrees import FedAvgClassifier, FixedNumber
from fedtrees.core.numeric.rng import stream
from fedtrees.neural.methods import FedPer, FedProx, QFedAvg
from fedtrees.neural.optimisers import Averaging, FedAdagrad, FedAdam, FedYogi, Momentum

Vector = NDArray[np.float64]
FEATURES, HIDDEN, ROUNDS, SEED = 3, 4, 5, 11
BODY = FEATURES * HIDDEN + HIDDEN  # parameters of the first layer
SIZES = {"a": 7, "b": 30, "c": 12, "d": 21, "e": 1}


def table() -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[Any], NDArray[np.float32]]:
    rng = np.random.default_rng(3)
    whose = np.repeat(list(SIZES), list(SIZES.values()))
    X = rng.normal(size=(len(whose), FEATURES)).astype(np.float32)
    y = (X[:, 0] * np.where(whose < "c", 1, -1) + 0.3 * rng.normal(size=len(whose)) > 0).astype(np.int64)
    return X, y, whose, rng.uniform(0.2, 3, len(whose)).astype(np.float32)


def split(w: Vector) -> tuple[Vector, Vector, Vector, float]:
    first = w[: FEATURES * HIDDEN].reshape(FEATURES, HIDDEN)
    return first, w[FEATURES * HIDDEN : BODY], w[BODY : BODY + HIDDEN], w[BODY + HIDDEN]


def loss_and_gradient(w: Vector, X: Vector, y: Vector, weight: Vector) -> tuple[float, Vector]:
    """The mean of weights times log losses of tanh units under a logistic one, and its gradient."""
    W, b, v, c = split(w)
    h = np.tanh(X @ W + b)
    p = 1 / (1 + np.exp(-(h @ v + c)))
    loss = -(weight * (y * np.log(p) + (1 - y) * np.log(1 - p))).mean()
    d = weight * (p - y) / len(y)
    back = np.outer(d, v) * (1 - h**2)
    return loss, np.concatenate([(X.T @ back).ravel(), back.sum(0), h.T @ d, [d.sum()]])


@dataclass
class Twin:
    """Federated averaging of one network, all of whose settings are plain numbers."""

    method: str = "fedavg"
    parameter: float = 0.0  # mu, q, or layers that stay
    epochs: int = 2
    batch: int | None = 8
    rate: float = 0.3
    alpha: float = 0.0
    stragglers: float = 0.0
    weighted: bool = False
    cohort: int = 5
    server: Any = lambda change, memory: change
    schedule: Any = lambda round: 1.0
    kept: dict[str, Vector] = field(default_factory=dict)
    heads: dict[str, Vector] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)

    def rows(self, name: str) -> tuple[Vector, Vector, Vector]:
        X, y, whose, weight = table()
        own = whose == name
        w = weight[own].astype(np.float64) if self.weighted else np.ones(own.sum())
        return X[own].astype(np.float64), y[own].astype(np.float64), w / w.mean()

    def share(self, name: str) -> float:
        _, _, whose, weight = table()
        return float(weight[whose == name].sum(dtype=np.float64)) if self.weighted else float(SIZES[name])

    def local(
        self, name: str, round: int, w: Vector, correct: Any = lambda w: 0.0
    ) -> tuple[Vector, int, float, Vector]:
        """Parameters, steps, mean loss as met, and mean gradient."""
        X, y, weight = self.rows(name)
        lots, epochs = stream(SEED, "batches", round, name), self.epochs
        if self.stragglers:
            slow = stream(SEED, "straggler", round, name)
            if slow.random() < self.stragglers:
                epochs = int(slow.integers(1, self.epochs + 1))
        rate, steps, losses, gradients, n = self.rate * self.schedule(round), 0, 0.0, np.zeros_like(w), len(y)
        for _ in range(epochs):
            order = lots.permutation(n) if self.batch and self.batch < n else np.arange(n)
            for first in range(0, n, self.batch or n):
                own = order[first : first + (self.batch or n)]
                loss, gradient = loss_and_gradient(w, X[own], y[own], weight[own])
                gradient = gradient + self.alpha * w
                w = w - rate * (gradient + correct(w))
                steps, losses, gradients = steps + 1, losses + loss * len(own), gradients + gradient
        return w, steps, losses / (n * epochs), gradients / steps

    def train(self, w: Vector) -> list[Vector]:
        seen, memory, c = [w], [], np.zeros_like(w)
        whole = sum(self.share(name) for name in SIZES)
        for round in range(ROUNDS):
            names = [list(SIZES)[place] for place in FixedNumber(self.cohort).draw(5, SEED, round)]
            mass = sum(self.share(name) for name in names)
            p = {name: self.share(name) / mass for name in names}
            change, c_change, top = np.zeros((3, len(w)))
            steps = bottom = mean = 0.0
            for name in names:
                start, correct = w, lambda w: 0.0
                if self.method == "fedprox":
                    correct = lambda own, w=w: self.parameter * (own - w)  # noqa: E731
                if self.method == "scaffold":
                    own_c = self.kept.get(name, np.zeros_like(w))
                    correct = lambda _, d=c - own_c: d  # noqa: E731
                if self.method == "fedper":
                    start = np.append(w[:BODY], self.heads.get(name, w[BODY:]))
                done, n_steps, loss, gradient = self.local(name, round, start, correct)
                if self.method == "scaffold":  # option II
                    new = own_c - c + (start - done) / (n_steps * self.rate * self.schedule(round))
                    np.testing.assert_allclose(new, gradient, atol=1e-12)
                    c_change += p[name] * (new - own_c)
                    self.kept[name] = new
                if self.method == "fedper":
                    self.heads[name] = done[BODY:]
                    done = np.append(done[:BODY], w[BODY:])
                if self.method == "qfedavg":
                    rate, q = self.rate * self.schedule(round), self.parameter
                    X, y, weight = self.rows(name)
                    F, step = loss_and_gradient(w, X, y, weight)[0], (w - done) / rate
                    top += p[name] * F**q * step
                    bottom += p[name] * (q * F ** (q - 1) * step @ step + F**q / rate)
                change += p[name] * (done - w) / (n_steps if self.method == "fednova" else 1)
                steps, mean = steps + p[name] * n_steps, mean + p[name] * loss
            if self.method == "fednova":
                change = change * steps
            if self.method == "qfedavg":
                change = -top / bottom
            # Karimireddy et al., line 17: |S| / N of the mean change, here by weight
            c = c + mass / whole * c_change
            w = w + self.server(change, memory)
            seen.append(w)
            self.losses.append(mean)
        return seen


# -- the server's steps, of Reddi et al. (2021), Algorithm 2, and Hsu et al. (2019) --------------------------


def momentum(change: Vector, memory: list[Vector]) -> Vector:
    memory[:] = [0.9 * (memory[0] if memory else 0) + change]
    return 0.7 * memory[0]


def adaptive(kind: str) -> Any:
    def step(change: Vector, memory: list[Vector]) -> Vector:
        m, v = memory or (np.zeros_like(change), np.full_like(change, 1e-6))
        m, square = (0.0 if kind == "adagrad" else 0.9) * m, change**2
        m = m + (1.0 if kind == "adagrad" else 0.1) * change
        v = {"adagrad": v + square, "adam": 0.99 * v + 0.01 * square, "yogi": v - 0.01 * square * np.sign(v - square)}[
            kind
        ]
        memory[:] = [m, v]
        return 0.05 * m / (np.sqrt(v) + 1e-3)

    return step


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "fedavg": ({}, {}),
    "fedavg of all rows": ({"batch": None}, {"batch_size": None}),
    "gradients": (
        {"batch": None, "epochs": 1, "alpha": 0.1},
        {"batch_size": None, "local_epochs": 1, "alpha": 0.1, "upload": "gradients"},
    ),
    "a penalty": ({"alpha": 0.1}, {"alpha": 0.1}),
    "five epochs": ({"epochs": 5}, {"local_epochs": 5}),
    "stragglers": ({"epochs": 5, "stragglers": 0.6}, {"local_epochs": 5, "stragglers": 0.6}),
    "fedprox": ({"method": "fedprox", "parameter": 0.8}, {"method": FedProx(0.8)}),
    "fedprox by default": ({"method": "fedprox", "parameter": 0.01}, {"method": "fedprox"}),
    "scaffold": ({"method": "scaffold", "alpha": 0.05}, {"method": "scaffold", "alpha": 0.05}),
    "fednova": ({"method": "fednova"}, {"method": "fednova"}),
    "fednova with stragglers": (
        {"method": "fednova", "epochs": 5, "stragglers": 0.6},
        {"method": "fednova", "local_epochs": 5, "stragglers": 0.6},
    ),
    "qfedavg": ({"method": "qfedavg", "parameter": 1.0}, {"method": "qfedavg"}),
    "qfedavg of a half": ({"method": "qfedavg", "parameter": 0.5}, {"method": QFedAvg(0.5)}),
    "qfedavg of six": ({"method": "qfedavg", "parameter": 6.0}, {"method": QFedAvg(6.0)}),
    "fedper": ({"method": "fedper"}, {"method": FedPer(1)}),
    "momentum": ({"server": momentum}, {"server": Momentum(0.7, 0.9)}),
    "a server's rate": ({"server": lambda change, memory: 0.4 * change}, {"server": Averaging(0.4)}),
    "adagrad": ({"server": adaptive("adagrad")}, {"server": FedAdagrad(0.05)}),
    "adam": ({"server": adaptive("adam")}, {"server": FedAdam(0.05)}),
    "yogi": ({"server": adaptive("yogi")}, {"server": FedYogi(0.05)}),
}
SCHEDULES: dict[str, tuple[Any, dict[str, Any]]] = {
    "constant": (lambda round: 1.0, {}),
    "exponential": (lambda round: 0.8**round, {"schedule": "exponential", "decay": 0.2}),
    "inverse": (lambda round: 1 / (1 + 0.5 * round), {"schedule": "inverse", "decay": 0.5}),
    "cosine": (lambda round: (1 + math.cos(math.pi * round / ROUNDS)) / 2, {"schedule": "cosine"}),
}


@pytest.mark.parametrize("weighted", [False, True], ids=["rows", "weights"])
@pytest.mark.parametrize("cohort", [5, 2], ids=["all", "two"])
@pytest.mark.parametrize("case", CASES)
def test_a_training_is_its_twin_round_by_round(case: str, cohort: int, weighted: bool) -> None:
    settings, options = CASES[case]
    schedule, scheduled = SCHEDULES[list(SCHEDULES)[(list(CASES).index(case) + cohort + weighted) % len(SCHEDULES)]]
    compare(Twin(cohort=cohort, weighted=weighted, schedule=schedule, **settings), options | scheduled)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("method", ["fedavg", "scaffold", "qfedavg"])
def test_every_schedule_is_its_twin_with_methods_that_look_at_the_rate(name: str, method: str) -> None:
    schedule, scheduled = SCHEDULES[name]
    twin = Twin(method=method, parameter=1.0, cohort=3, schedule=schedule, server=momentum)
    compare(twin, {"method": method, "server": Momentum(0.7, 0.9)} | scheduled)


def compare(twin: Twin, options: dict[str, Any]) -> None:
    X, y, whose, weight = table()
    given = {
        "n_rounds": ROUNDS, "local_epochs": twin.epochs, "batch_size": twin.batch, "learning_rate": twin.rate,
        "activation": "tanh", "standardize": False, "random_state": SEED, "sampling": twin.cohort, "n_jobs": 1,
    } | options  # fmt: skip
    rows: dict[str, Any] = {"silos": whose, "sample_weight": weight if twin.weighted else None}
    model = FedAvgClassifier((HIDDEN,), **given)
    start = model.partial_fit(X, y, n_rounds=0, **rows).params_
    wanted = twin.train(start.astype(np.float64))
    for round in range(1, ROUNDS + 1):  # as many rounds as ROUNDS in one call, stopped after this one
        model = FedAvgClassifier((HIDDEN,), **given)
        model.partial_fit(X, y, n_rounds=round, **rows)
        np.testing.assert_allclose(model.params_, wanted[round], rtol=0, atol=2e-5)
    np.testing.assert_allclose(model.loss_curve_, twin.losses, rtol=2e-5, atol=2e-6)
    if twin.method == "fedper":
        assert model.params_[BODY:].tobytes() == start[BODY:].tobytes()  # nothing is known of heads
    assert model.params_.tobytes() == FedAvgClassifier((HIDDEN,), **given).fit(X, y, **rows).params_.tobytes()
