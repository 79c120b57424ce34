"""Matrix products that do not depend on how many threads there are."""

from __future__ import annotations

import sys
from functools import lru_cache
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


class OneBlasThread:
    """A block within which the linear algebra of this process runs on the thread that calls it.

    A product of matrices that several threads share is added up in another order than by one, and so differs in its
    last bits. Threads may nest it and overlap: the first one in sets the limit, and the last one out lifts it.
    """

    # of the process, not of an object: the libraries' numbers of threads are the process's, too
    _lock = Lock()
    _inside = 0  # blocks that are open
    _limit: Any = None  # of threadpoolctl, which has no types
    _torch_threads = 0  # to be restored; 0 without torch

    def __enter__(self) -> None:
        with self._lock:
            if OneBlasThread._inside == 0:
                _take_control()
                OneBlasThread._limit = _controller().limit(limits=1, user_api="blas")
                torch = sys.modules.get("torch")  # which has threads of its own
                if torch is not None:
                    OneBlasThread._torch_threads = torch.get_num_threads()
                    torch.set_num_threads(1)
            OneBlasThread._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            OneBlasThread._inside -= 1
            if OneBlasThread._inside == 0:
                _take_control()
                OneBlasThread._limit.restore_original_limits()
                _take_control()  # and leave it to whoever comes next
                if OneBlasThread._torch_threads:
                    sys.modules["torch"].set_num_threads(OneBlasThread._torch_threads)
                    OneBlasThread._torch_threads = 0


def _take_control() -> None:
    """Let this thread set limits: threadpoolctl from 3.8 on heeds the first that did, and silently no other."""
    import threadpoolctl

    openblas: Any = getattr(threadpoolctl, "OpenBLASController", None)  # from 3.8 on
    if hasattr(openblas, "clear_controlling_thread"):
        openblas.clear_controlling_thread(force=True)


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
