"""Kernels: compiled when they are first called, kept on disk for later processes, and no secret while that goes on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numba
from numba.core import event

ADVICE = (
    "fedtrees compiles its kernels on their first use, about half a minute; later runs find them on disk. "
    "In an image: run 'fedtrees warmup' while it is built."
)
_UNCACHED = (
    "fedtrees finds no folder to keep compiled kernels in, so every process compiles them anew, about half a minute; "
    "set NUMBA_CACHE_DIR to a folder that can be written to."
)
_warned = False


# kernels have no types: see mypy's settings in pyproject.toml
def njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a kernel as `numba.njit` does; without ``cache`` where no folder can be written to, which warns once."""

    def compiled(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(**options)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
        _warn_uncached()
        return numba.njit(**options | {"cache": False})(function)

    return compiled


def _warn_uncached() -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(_UNCACHED, UserWarning, stacklevel=3)


def is_kept() -> bool:
    """Return whether kernels that are compiled now are there for later processes."""
    return not _warned


class _Listener(event.Listener):
    """A count of kernels as they are compiled; those that are parts of others do not count."""

    def __init__(self, begun: Callable[[int], None], ended: Callable[[], None]):
        self._begun, self._ended = begun, ended
        self._depth, self._n = 0, 0  # compilations that are open: a kernel's begins those of its parts

    def on_start(self, event: event.Event) -> None:
        """See `numba.core.event.Listener`."""
        if self._depth == 0:
            self._n += 1
            self._begun(self._n)
        self._depth += 1

    def on_end(self, event: event.Event) -> None:
        """See `numba.core.event.Listener`."""
        self._depth -= 1
        if self._depth == 0:
            self._ended()


@contextmanager
def listening(begun: Callable[[int], None], ended: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Call ``begun`` with a running number when a kernel begins to be compiled, and ``ended`` when it is.

    One is compiled at a time, in whatever thread.
    """
    listener = _Listener(begun, ended)
    event.register("numba:compile", listener)  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        event.unregister("numba:compile", listener)  # type: ignore[no-untyped-call]
