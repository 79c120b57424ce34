"""A progress bar, a step a round."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(verbose: int, rounds: int) -> Iterator[Callable[[int], None]]:
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
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("trees"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns) as bar:
        task = bar.add_task("boosting", total=rounds)
        yield lambda round: bar.update(task, completed=round + 1)
