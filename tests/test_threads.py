"""Threads: how many, in which order results come, and what is raised."""

from __future__ import annotations

import pickle
import threading
import time
from typing import Any

import pytest

from fedtrees import ParameterError
from fedtrees.core.numeric import threads as module
from fedtrees.core.numeric.threads import Threads, n_threads


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
