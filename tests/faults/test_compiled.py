"""Kernels that are compiled on first use: told of, kept where that can be, and usable where it cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from strategies import JIT

import fedtrees
from fedtrees import FedGBTRegressor
from fedtrees.trees.losses import LOSSES
from fedtrees.warmup import steps

pytestmark = pytest.mark.skipif(not JIT, reason="nothing is compiled")

TWICE = """
import sys
from fedtrees.core.numeric.compiled import njit

@njit(cache=True)
def twice(x):
    return 2 * x
"""


def run(code: str, cache: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """A fresh process with a cache of its own."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    return subprocess.run(
        [sys.executable, *flags, "-c", code], capture_output=True, text=True, timeout=600, check=True, env=environment
    )


def test_a_compilation_is_told_of_once_and_only_the_first_time(tmp_path: Path) -> None:
    (tmp_path / "kernels_of_a_test.py").write_text(TWICE)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from kernels_of_a_test import twice\n"
        "from fedtrees.estimators.common.progress import progress\n"
        "with progress(0, 1):\n"
        "    assert twice(2) == 4 and twice(2.0) == 4.0\n"
    )
    first, later = (run(code, tmp_path / "cache").stderr for _ in range(2))
    assert first.count("fedtrees compiles its kernels on their first use") == 1
    assert first.count("\n") == 1 and "fedtrees warmup" in first
    assert later == ""


NOWHERE = "from numba.core.caching import CacheImpl\nCacheImpl._locator_classes = []\n"


def test_without_a_writable_folder_kernels_are_compiled_in_memory_with_one_warning(tmp_path: Path) -> None:
    (tmp_path / "kernels_of_a_test.py").write_text(TWICE)
    code = (
        NOWHERE + f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import fedtrees.trees.kernels.histogram, fedtrees.queries.kernels\n"
        "from kernels_of_a_test import twice\n"
        "assert twice(2) == 4\n"
    )
    done = run(code, tmp_path / "cache", "-W", "always")
    assert done.stderr.count("UserWarning") == 1
    assert "set NUMBA_CACHE_DIR to a folder that can be written to" in done.stderr


def test_numbas_other_errors_stay_errors(tmp_path: Path) -> None:
    code = (
        "from fedtrees.core.numeric import compiled\n"
        "def broken(**options): raise RuntimeError('something else')\n"
        "compiled.numba.njit = broken\n"
        "try: compiled.njit(cache=True)(abs)\n"
        "except RuntimeError as error: print(error)\n"
    )
    assert run(code, tmp_path).stdout == "something else\n"


FIRST_FITS = """
import numpy as np
import fedtrees
from fedtrees.core.numeric.compiled import listening
compiled = []
with listening(compiled.append):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 5)).astype(np.float32)
    y, z = (X[:, 0] > 0).astype(int), rng.integers(0, 4, 300)
    silos = np.arange(300) % 3
    fedtrees.FedGBTClassifier(3).fit(X, y, silos=silos)
    fedtrees.FedGBTClassifier(3, eval_metric="auc").fit(X, y, sample_weight=rng.random(300), eval_set=[(X, y)])
    fedtrees.FedGBTClassifier(3).fit(X, z, silos=silos)
    fedtrees.FedGBTRegressor(3).fit(X, X[:, 1], silos=silos)
    fedtrees.FedGBTRegressor(3, objective="count:poisson").fit(X, z, silos=silos)
    fedtrees.FedGBTRanker(3).fit(X, z, qid=np.arange(300) // 10)
    fedtrees.FedTreeClassifier().fit(X, z, silos=silos)
    fedtrees.FedForestClassifier(20, max_depth=8, oob_score=True).fit(X, y, silos=silos)
    fedtrees.FedExtraTreesRegressor(5, max_depth=8).fit(X, X[:, 1], silos=silos)
    fedtrees.FedAdaBoostClassifier(5).fit(X, z, silos=silos)
print(len(compiled))
"""


def test_a_warm_up_trains_every_family_and_every_loss() -> None:
    trained = [step.func.__self__ for step in steps()]
    families = {name for name in fedtrees.__all__ if name.endswith(("Classifier", "Regressor", "Ranker"))}
    assert {type(own).__name__ for own in trained} == {name for name in families if not name.startswith("FedAvg")}
    losses = {own.objective for own in trained if isinstance(own, FedGBTRegressor)}
    assert losses == {name for name in LOSSES if name.startswith(("reg:", "count:", "survival:"))}


def test_nothing_is_left_to_compile_after_a_warm_up(tmp_path: Path) -> None:
    run("from fedtrees.warmup import warm_up; warm_up()", tmp_path)
    assert run(FIRST_FITS, tmp_path).stdout == "0\n"
