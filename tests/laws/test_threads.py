"""Threads: how many, in which order results come, and what is raised."""

from __future__ import annotations

import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from fedtrees import (
    Channel,
    FedAdaBoostClassifier,
    FedAvgClassifier,
    FedAvgRegressor,
    FedForestClassifier,
    FedForestRegressor,
    FedGBTClassifier,
    FedGBTRanker,
    FedGBTRegressor,
    FedTreeClassifier,
    FedTreesError,
    LocalFederation,
    ParameterError,
)
from fedtrees.core.numeric import threads as module
from fedtrees.core.numeric.threads import Threads, n_threads
from fedtrees.queries.counts import Counts


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(("n_jobs", "n"), [(None, 8), (1, 1), (3, 3), (20, 20), (-1, 8), (-2, 7), (-8, 1), (-100, 1)])
def test_how_many_threads_a_number_of_jobs_is(n_jobs: int | None, n: int) -> None:
    assert n_threads(n_jobs) == n


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(("limit", "n"), [("2", 2), ("99", 8), ("0", 8), ("", 8), ("two", 8)])
def test_the_environment_bounds_the_default_alone(monkeypatch: pytest.MonkeyPatch, limit: str, n: int) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert n_threads(None) == n
    assert n_threads(-1) == 8


@pytest.mark.parametrize("n_jobs", [0, 1.5, "2", True, [1]], ids=repr)
def test_what_is_no_number_of_threads_is_refused(n_jobs: Any) -> None:
    with pytest.raises(ParameterError, match=r"^n_jobs=.*: give a number of threads, -1 for all cores, or None"):
        Threads(n_jobs)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_results_come_in_order_however_long_each_takes(n: int) -> None:
    with Threads(n) as threads:
        assert threads.map(lambda i: (time.sleep(0.002 * (5 - i)), i)[1], range(5)) == list(range(5))
        assert threads.map(lambda i: i, iter([])) == []


def test_one_thread_is_the_caller_s_own_and_more_work_at_once() -> None:
    with Threads(1) as threads:
        assert set(threads.map(lambda i: threading.get_ident(), range(4))) == {threading.get_ident()}
    meeting = threading.Barrier(2, timeout=30)
    with Threads(2) as threads:
        assert len(threads.map(lambda i: meeting.wait(), range(2))) == 2  # each waits for the other


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("where", [0, 2])
def test_what_a_task_raises_is_raised(n: int, where: int) -> None:
    def task(i: int) -> int:
        if i == where:
            raise ZeroDivisionError(f"task {i}")
        return i

    with Threads(n) as threads, pytest.raises(ZeroDivisionError, match=f"task {where}"):
        threads.map(task, range(3))


def test_threads_go_and_come_back_and_do_not_travel() -> None:
    threads = Threads(3)
    before = threading.active_count()
    threads.map(abs, [1, 2, 3])
    copy = pickle.loads(pickle.dumps(threads))
    threads.close()
    assert threading.active_count() == before
    assert threads.map(abs, [-1, -2]) == copy.map(abs, [-1, -2]) == [1, 2]
    assert copy.n == 3
    threads.close(), copy.close()


# -- trainings ----------------------------------------------------------------------------------------------

X = np.random.default_rng(0).normal(size=(80, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
QID = np.arange(80) // 8
CALLS: dict[str, Any] = {
    "boosting": lambda: FedGBTClassifier(2, max_depth=2, n_jobs=2).fit(X, Y),
    "bagging": lambda: FedGBTRegressor(2, max_depth=2, n_jobs=2, mode="bagging").fit(X, Y, silos=QID % 2),
    "ranking": lambda: FedGBTRanker(2, max_depth=2, n_jobs=2).fit(X, Y, qid=QID),
    "a tree": lambda: FedTreeClassifier(max_depth=2, n_jobs=2).fit(X, Y),
    "pruning": lambda: FedTreeClassifier(max_depth=2, n_jobs=2).cost_complexity_pruning_path(X, Y),
    "a forest": lambda: FedForestRegressor(2, max_depth=2, n_jobs=2).fit(X, Y),
    "AdaBoost": lambda: FedAdaBoostClassifier(2, n_jobs=2).fit(X, Y),
    "a network": lambda: FedAvgClassifier((2,), n_rounds=2, n_jobs=2).fit(X, Y),
    "a network that goes on": lambda: FedAvgClassifier((2,), n_jobs=2).partial_fit(X, Y, classes=[0, 1]),
    "a network that predicts": lambda: FedAvgRegressor((2,), n_rounds=1, n_jobs=2).fit(X, Y).predict(X.repeat(900, 0)),
    "a closed federation": lambda: ask_and_close(),
}  # fmt: skip


def ask_and_close() -> None:
    federation = LocalFederation.from_table(X, Y, n_jobs=2)
    Channel(federation).total(Counts(3), np.arange(1))
    federation.close()


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[ThreadPoolExecutor]:
    """All pools that were opened, which are kept: what nobody holds lets its threads go by itself."""
    opened: list[ThreadPoolExecutor] = []

    def kept(*given: Any, **more: Any) -> ThreadPoolExecutor:
        opened.append(ThreadPoolExecutor(*given, **more))
        return opened[-1]

    monkeypatch.setattr(module, "ThreadPoolExecutor", kept)
    return opened


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_is_done_lets_its_threads_go(name: str, pools: list[ThreadPoolExecutor]) -> None:
    CALLS[name]()
    assert pools and not [thread for pool in pools for thread in pool._threads if thread.is_alive()]


FAILING: dict[str, Any] = {
    "boosting": lambda: FedGBTRegressor(2, n_jobs=2, objective="reg:absoluteerror", learning_rate=1e38).fit(X, 1e9 * Y),
    "a network": lambda: FedAvgRegressor((2,), n_rounds=3, n_jobs=2, learning_rate=1e3).fit(X, Y),
    "a forest": lambda: FedForestClassifier(2, n_jobs=2, oob_score=lambda y, p: 1 / 0 * y).fit(X, Y),
}


@pytest.mark.parametrize("name", FAILING)
def test_a_call_that_fails_lets_its_threads_go(name: str, pools: list[ThreadPoolExecutor]) -> None:
    with pytest.raises((FedTreesError, ZeroDivisionError)):
        FAILING[name]()
    assert pools and not [thread for pool in pools for thread in pool._threads if thread.is_alive()]
