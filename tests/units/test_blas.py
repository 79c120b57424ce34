"""Linear algebra on one thread while a network computes, and on as many as before when it is done, or failed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from fedtrees import DivergenceError, FedAvgClassifier, FedAvgRegressor, Silo
from fedtrees.core.numeric.blas import OneBlasThread
from fedtrees.neural.perceptron import Perceptron

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


def in_use() -> set[int]:
    """Threads of each library of linear algebra, PyTorch's own included."""
    return {own["num_threads"] for own in threadpool_info() if own["user_api"] == "blas"} | {torch.get_num_threads()}


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    with threadpool_limits(2, "blas"):
        torch.set_num_threads(2)
        assert in_use() == {2}
        yield
        assert in_use() == {2}  # whatever a test did
    torch.set_num_threads(before)


def test_blocks_may_be_nested_and_fail() -> None:
    with OneBlasThread():
        assert in_use() == {1}
        with pytest.raises(ZeroDivisionError), OneBlasThread():
            raise ZeroDivisionError
        assert in_use() == {1}
    assert in_use() == {2}
    with pytest.raises(ZeroDivisionError), OneBlasThread():
        raise ZeroDivisionError


def test_the_last_one_out_lifts_the_limit() -> None:
    inside, leave = threading.Event(), threading.Event()

    def overlap() -> None:
        with OneBlasThread():
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=overlap)
    with OneBlasThread():
        thread.start()
        assert inside.wait(30)
    assert in_use() == {1}
    leave.set()
    thread.join()
    assert 2 in in_use()
    torch.set_num_threads(2)  # PyTorch's number is each thread's, and the last one out was another


def test_every_thread_may_set_the_limit_whoever_did_before() -> None:
    """Else a network would be trained on as many threads as there are, and other bits come of it."""
    seen: list[set[int]] = []

    def compute() -> None:
        torch.set_num_threads(2)
        with OneBlasThread():
            seen.append(in_use())
        seen.append(in_use())

    with OneBlasThread():
        pass
    for _ in range(2):
        thread = threading.Thread(target=compute)
        thread.start()
        thread.join()
    compute()
    assert seen == [{1}, {2}] * 3


CALLS: dict[str, Any] = {
    "training": lambda model: model.fit(X, Y),
    "scoring": lambda model: model.fit(X, Y, eval_set=[(X, Y)]),
    "predictions": lambda model: model.fit(X, Y).predict(X),
    "a silo's own": lambda model: model.fit(X, Y).personalize(Silo("a", X, Y)),
    "the largest loss": lambda model: model.set_params(method="qfedavg").fit(X, Y),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_network_computes_on_one_thread_and_lets_go(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[set[int]] = []
    for method in ("gradient", "margins", "losses"):
        computed = getattr(Perceptron, method)

        def noted(self: Any, *given: Any, computed: Any = computed) -> Any:
            seen.append(in_use())
            return computed(self, *given)

        monkeypatch.setattr(Perceptron, method, noted)
    CALLS[name](FedAvgClassifier((2,), n_rounds=1, n_jobs=1, standardize=False))
    assert seen and all(own == {1} for own in seen)


def test_a_training_that_fails_lets_go() -> None:
    with pytest.raises(DivergenceError):
        FedAvgRegressor((2,), n_rounds=3, n_jobs=2, learning_rate=1e3).fit(X, 100.0 * Y)
