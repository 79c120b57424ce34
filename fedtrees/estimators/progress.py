"""A progress bar, a step a round."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(verbose: int, rounds: int, task: str = "boosting", unit: str = "trees") -> Iterator[Callable[[int], None]]:
    """Yield a function to be called with each finished round; it draws nothing where ``verbose`` is 0."""
    if not verbose:
        yield lambda round: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns) as bar:
        step = bar.add_task(task, total=rounds)
        yield lambda round: bar.update(step, completed=round + 1)
