"""Progress of a training: a bar on a terminal, lines now and then elsewhere, and a notice while kernels compile."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, TextIO

from fedtrees.core.numeric.compiled import ADVICE, listening

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

EVERY = 3.0  # seconds between two lines
_advised = False


@contextmanager
def progress(
    verbose: int, total: int | None, task: str = "boosting", unit: str = "trees"
) -> Iterator[Callable[[int], None]]:
    """Yield a function to be called with each finished step, counted from 0.

    Where ``verbose`` is 0 nothing is shown, except that a first use of an installation compiles its kernels.

    Parameters
    ----------
    verbose : int
    total : int, optional
        Steps there will be; None where that is not known.
    task, unit : str
        The name of the task, and of its steps.
    """
    kind = _Bar if draws_bars(sys.stderr) else _Lines
    display = kind(task, unit, total, quiet=not verbose)
    with listening(display.compiling, display.compiled):
        try:
            yield display.finished
        finally:
            display.close()


def draws_bars(stream: TextIO) -> bool:
    """Return whether a stream can show a bar that moves: a terminal, or a notebook that has widgets."""
    from rich.console import Console

    console = Console(file=stream)
    if console.is_jupyter:
        return find_spec("ipywidgets") is not None
    return console.is_terminal and not console.is_dumb_terminal


def _advise() -> bool:
    """Return whether this process has not shown yet that kernels are compiled; from now on it has."""
    global _advised
    first, _advised = not _advised, True
    return first


class _Lines:
    """Lines of text, for logs and pipes."""

    def __init__(self, task: str, unit: str, total: int | None, quiet: bool):
        self._task, self._unit, self._quiet = task, unit, quiet
        self._of = "" if total is None else f" of {total}"
        self._start = self._last = time.monotonic()
        self._done = 0

    def finished(self, step: int) -> None:
        """Note a finished step; write a line if the last one is a while ago."""
        self._done = step + 1
        if not self._quiet and time.monotonic() - self._last >= EVERY:
            self._write_progress()

    def compiling(self, n: int) -> None:
        """Write once that kernels are compiled."""
        if _advise():
            _write(ADVICE)

    def compiled(self) -> None:
        """Write nothing: the next line does."""

    def close(self) -> None:
        """Write the last line."""
        if not self._quiet:
            self._write_progress()

    def _write_progress(self) -> None:
        self._last = time.monotonic()
        seconds = self._last - self._start
        _write(f"{self._task}: {self._done}{self._of} {self._unit}, {seconds:.0f} s")


def _write(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


class _Bar:
    """A bar that moves; a quiet one is there only while kernels are compiled."""

    _step: TaskID  # of the bar that is shown

    def __init__(self, task: str, unit: str, total: int | None, quiet: bool):
        from rich.console import Console

        self._console, self._quiet = Console(file=sys.stderr), quiet
        self._task, self._unit, self._total = task, unit, total
        self._shown: Progress | None = None
        if not quiet:
            self._open(task, unit, total)

    def _open(self, task: str, unit: str, total: int | None) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        counted = "{task.completed}" if total is None else "{task.completed}/{task.total}"
        left = [] if total is None else [TextColumn("left"), TimeRemainingColumn()]
        columns = TextColumn("{task.description}"), BarColumn(), TextColumn(f"{counted} {unit}"), TimeElapsedColumn()
        self._shown = Progress(*columns, *left, console=self._console, transient=self._quiet)
        self._step = self._shown.add_task(task, total=total)
        self._shown.start()

    def finished(self, step: int) -> None:
        """Move the bar."""
        if self._shown is not None:
            self._shown.update(self._step, completed=step + 1)

    def compiling(self, n: int) -> None:
        """Show that kernels are compiled, and once the reason and the advice."""
        if self._shown is None:
            self._open("compiling", "kernels", None)
        assert self._shown is not None
        if _advise():
            self._console.print(ADVICE, soft_wrap=True)
        if self._quiet:
            self._shown.update(self._step, completed=n, refresh=True)
        else:
            self._shown.update(self._step, description="compiling", refresh=True)

    def compiled(self) -> None:
        """Show again the bar that was there before."""
        if self._shown is not None and self._quiet:
            self.close()
        elif self._shown is not None:
            self._shown.update(self._step, description=self._task)

    def close(self) -> None:
        """Leave the bar as it is, or take away one that was only there while kernels were compiled."""
        if self._shown is not None:
            self._shown.stop()
            self._shown = None
