"""Threads for kernels that release the interpreter lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from types import TracebackType
from typing import TypeVar

from fedtrees.errors import ParameterError

Task = TypeVar("Task")
Result = TypeVar("Result")


def n_threads(n_jobs: int | None) -> int:
    """The number of threads that ``n_jobs`` means here.

    ``None`` takes every core this process may use, or ``OMP_NUM_THREADS`` where that is fewer (as joblib does in
    its workers, so that nesting does not multiply). ``-1`` takes every core, ``-2`` leaves one free, and so on.

    Raises
    ------
    ParameterError
        For 0, or anything that is not an integer.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    if n_jobs is None:
        limit = os.environ.get("OMP_NUM_THREADS", "")
        return min(cores, int(limit)) if limit.isdigit() and int(limit) > 0 else cores
    if isinstance(n_jobs, bool) or not hasattr(n_jobs, "__index__") or int(n_jobs) == 0:
        raise ParameterError(f"n_jobs={n_jobs!r}: give a number of threads, -1 for all cores, or None.")
    n_jobs = int(n_jobs)
    return n_jobs if n_jobs > 0 else max(1, cores + 1 + n_jobs)


class Turns:
    """A lock, for ``with`` blocks that must take turns; a copy or a pickle of its owner gets a new one."""

    def __init__(self) -> None:
        self._lock = Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type[Turns], tuple[()]]:
        return Turns, ()


class Threads:
    """A few threads that live as long as the ``with`` block they serve; one thread is the caller's.

    Examples
    --------
    >>> with Threads(2) as threads:
    ...     threads.map(abs, [-1, -2])
    [1, 2]
    """

    def __init__(self, n_jobs: int | None = None):
        self.n = n_threads(n_jobs)
        self._pool: ThreadPoolExecutor | None = None

    def map(self, task: Callable[[Task], Result], over: Iterable[Task]) -> list[Result]:
        """Apply ``task`` to each item and return the results in order; the first error raised is raised here."""
        items = list(over)
        if self.n == 1 or len(items) <= 1:
            return [task(item) for item in items]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.n, thread_name_prefix="fedtrees")
        # the caller works too: one hand-over less, and its cache is warm
        rest = [self._pool.submit(task, item) for item in items[1:]]
        return [task(items[0]), *(future.result() for future in rest)]

    def close(self) -> None:
        """Let the threads go; the next ``map`` starts new ones."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def __enter__(self) -> Threads:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, object]:
        return {"n": self.n, "_pool": None}
