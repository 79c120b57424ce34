"""How hypothesis draws, in every test, and what becomes of a test without its table.

The same examples every time, so that a red run is red again; no deadline, since the first call of a kernel compiles it;
and a failure prints the blob that replays it. ``--hypothesis-profile`` on the command line wins over the choice here.
"""

from __future__ import annotations

import os
from collections.abc import Generator

# scikit-learn leaves one of its checks out without this, which SciPy reads once, when it is first imported
os.environ.setdefault("SCIPY_ARRAY_API", "1")

import pytest
from hypothesis import settings
from numba import config
from reference_data import Absent

settings.register_profile("default", deadline=None, derandomize=True, print_blob=True)
# plain Python walks through the kernels: a hundred times slower, so it walks through fewer examples
settings.register_profile("without_jit", settings.get_profile("default"), max_examples=10)

settings.load_profile("without_jit" if config.DISABLE_JIT else "default")


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Skip a test whose table is not there."""
    try:
        return (yield)
    except Absent as error:
        pytest.skip(str(error))
