"""Memory that is used again."""

from __future__ import annotations

from fedtrees.core.numeric.buffer import Reused


def test_memory_that_nobody_holds_is_given_again() -> None:
    memory = Reused()
    first = memory.take(1000)
    where = first.ctypes.data
    del first
    assert memory.take(10).ctypes.data == where


def test_memory_that_somebody_holds_is_not() -> None:
    memory = Reused()
    held = memory.take(1000).reshape(10, 100)[:, 3]
    held[:] = 7
    memory.take(1000)[:] = 0
    assert (held == 7).all()


def test_more_memory_is_taken_where_there_is_too_little() -> None:
    memory = Reused()
    assert [len(memory.take(size)) for size in (3, 7, 5)] == [3, 7, 5]
