"""What `speed.py` measures: a table like HIGGS, and who trains on it. Every measurement has a process of its own."""

from __future__ import annotations

import hashlib
import resource
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.rng import stream

SEED = 20
BLOCK = 100_000  # rows drawn at once, so that the process that draws them stays small
KINDS = 7  # columns repeat after so many: see `_draw`
WARM_UP = 2_000  # rows

Array = NDArray[Any]


# -- the table ----------------------------------------------------------------------------------------------


def write_table(folder: Path, rows: int, features: int, missing: float) -> None:
    """Draw a table and as many rows again by a tenth (5,000 at the least) to score on; write them to a folder.

    Files: ``X.npy`` float32 (rows, features), ``y.npy`` int64 (rows,), and ``X_held_out.npy``, ``y_held_out.npy``.
    """
    for suffix, n in (("", rows), ("_held_out", max(5_000, rows // 10))):
        X = np.lib.format.open_memmap(folder / f"X{suffix}.npy", "w+", np.float32, (n, features))
        y = np.empty(n, np.int64)
        for block, start in enumerate(range(0, n, BLOCK)):
            part = slice(start, min(start + BLOCK, n))
            X[part], y[part] = _draw(part.stop - start, features, missing, block, f"rows{suffix}")
        np.save(folder / f"y{suffix}.npy", y)


def _draw(rows: int, features: int, missing: float, block: int, purpose: str) -> tuple[Array, Array]:
    """A block of collisions: groups of seven columns are particles, and their masses hint at the label.

    A particle has a momentum (heavy tail), an angle, a rapidity, a tag (three values), an energy (heavier tail), a
    count, and the invariant mass of the pair that it makes with the next particle of four. All is made up.
    """
    rng = stream(SEED, purpose, round=block)
    X = np.empty((rows, features), np.float32)
    for start in range(0, features, KINDS):
        X[:, start] = rng.lognormal(-0.2, 0.6, rows)
        X[:, start + 1] = rng.uniform(-1.75, 1.75, rows)
        X[:, start + 2] = rng.standard_normal(rows)
        X[:, start + 3] = np.array([0, 1.1, 2.2])[rng.choice(3, rows, p=[0.5, 0.2, 0.3])]
        X[:, start + 4] = rng.pareto(3, rows)
        X[:, start + 5] = rng.poisson(3, rows)
    momentum, angle, rapidity = (X[:, kind : 4 * KINDS : KINDS] for kind in range(3))
    pairs = [(first, (first + 1) % 4) for first in range(4)]
    for start in range(0, features, KINDS):
        a, b = pairs[start // KINDS % 4]
        opening = np.cosh(rapidity[:, a] - rapidity[:, b]) - np.cos(angle[:, a] - angle[:, b])
        X[:, start + 6] = np.sqrt(2 * momentum[:, a] * momentum[:, b] * opening) * rng.lognormal(0, 0.1, rows)
    y = (rng.random(rows) < 1 / (1 + np.exp(-_signal(X)))).astype(np.int64)
    if missing:
        X[rng.random(X.shape) < missing] = np.nan
    return X, y


def _signal(X: Array) -> Array:
    """Log odds (rows,): two resonances, an energy beyond a threshold, and angles that count for tagged particles."""
    first, second, third, fourth = (X[:, start : start + KINDS] for start in range(0, 4 * KINDS, KINDS))
    odds = 2.5 * np.exp(-((first[:, 6] - 1.2) ** 2) / 0.1) + 1.5 * np.exp(-((third[:, 6] - 2.0) ** 2) / 0.3)
    odds += np.where(second[:, 4] > 0.6, 1.0, -0.3) * np.where(fourth[:, 3] > 1, 1.5, 0.2)
    odds += np.sin(2 * second[:, 1]) * second[:, 3] * 0.8 - 0.5 * np.log(first[:, 0]) * third[:, 2]
    return odds + 0.2 * (fourth[:, 5] - 3) - 1.2


def silo_ids(rows: int, n_silos: int) -> Array | None:
    """A silo for every row, int64 (rows,), the silos equally large and their rows scattered; None for one silo."""
    if n_silos == 1:
        return None
    return stream(SEED, "silos").permutation(np.arange(rows) % n_silos)


# -- the contenders -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contender:
    """Who trains: a key of `FITS`, and over how many silos (1 where rows are pooled)."""

    library: str
    n_silos: int = 1

    def __str__(self) -> str:
        if self.library != "fedtrees":
            return f"{self.library}, pooled"
        return f"fedtrees, {self.n_silos:,} silo{'s' if self.n_silos > 1 else ''}"


@dataclass(frozen=True)
class Task:
    """What all contenders do: boosted trees of depth 6, of 256 bins, at a learning rate of 0.1."""

    trees: int
    threads: int


@dataclass
class Clock:
    """Notes when it was made, and when every round was finished."""

    start: float = field(default_factory=perf_counter)
    rounds: list[float] = field(default_factory=list)

    def finished(self, *_: object) -> None:
        """Call this with every finished round."""
        self.rounds.append(perf_counter())


@dataclass(frozen=True)
class Trained:
    """A model: its probabilities of class 1, (rows,), and its bytes."""

    predict: Callable[[Array], Array]
    dump: Callable[[], bytes]


def fit_fedtrees(X: Array, y: Array, silos: Array | None, task: Task, clock: Clock) -> Trained:
    """The estimator's `fit` as users call it; its progress bar gives way to the clock."""
    from fedtrees import FedGBTClassifier

    model = FedGBTClassifier(n_estimators=task.trees, max_depth=6, learning_rate=0.1, max_bin=256, n_jobs=task.threads)
    with patch("fedtrees.estimators.boosting.base.progress", lambda *given: nullcontext(clock.finished)):
        model.fit(X, y, silos=silos)
    return Trained(lambda rows: model.predict_proba(rows)[:, 1], lambda: bytes(model.booster_.save_raw()))


def fit_xgboost(X: Array, y: Array, silos: Array | None, task: Task, clock: Clock) -> Trained:
    """XGBoost's hist on a QuantileDMatrix, its leanest and quickest way in."""
    import xgboost

    class Watch(xgboost.callback.TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            clock.finished()
            return False  # do not stop

    matrix = xgboost.QuantileDMatrix(X, y, max_bin=256, nthread=task.threads)
    booster = xgboost.train(
        {
            "objective": "binary:logistic",
            "tree_method": "hist",
            "max_depth": 6,
            "learning_rate": 0.1,
            "max_bin": 256,
            "nthread": task.threads,
        },
        matrix,
        task.trees,
        callbacks=[Watch()],
    )
    return Trained(booster.inplace_predict, lambda: bytes(booster.save_raw()))


def fit_lightgbm(
    X: Array, y: Array, silos: Array | None, task: Task, clock: Clock, *, quantised: bool = False
) -> Trained:
    """LightGBM with as many leaves as depth 6 has, and XGBoost's defaults for what keeps them apart."""
    import lightgbm

    parameters = {
        "objective": "binary",
        "num_leaves": 64,
        "max_depth": 6,
        "learning_rate": 0.1,
        "max_bin": 255,  # its own default: 256 would not fit its byte
        "lambda_l2": 1.0,
        "min_data_in_leaf": 0,
        "min_sum_hessian_in_leaf": 1.0,
        "use_quantized_grad": quantised,
        "num_threads": task.threads,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(X, y, params=parameters)
    booster = lightgbm.train(parameters, data, task.trees, callbacks=[clock.finished])
    return Trained(lambda rows: np.asarray(booster.predict(rows)), lambda: booster.model_to_string().encode())


def fit_lightgbm_quantised(X: Array, y: Array, silos: Array | None, task: Task, clock: Clock) -> Trained:
    """LightGBM with gradients of few bits."""
    return fit_lightgbm(X, y, silos, task, clock, quantised=True)


FITS: dict[str, Callable[[Array, Array, Array | None, Task, Clock], Trained]] = {
    "fedtrees": fit_fedtrees,
    "XGBoost hist": fit_xgboost,
    "LightGBM": fit_lightgbm,
    "LightGBM, quantised": fit_lightgbm_quantised,
}


# -- a measurement ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Figures:
    """What one fit took.

    Attributes
    ----------
    first_use : float
        Seconds of the process's first fit, of few rows: importing, and compiling kernels or reading them from disk.
    whole, tree : float
        Seconds of the measured fit, and of a tree of it: the mean from the end of the first to the end of the last.
    trees : int
    peak, added : float
        MB that the process held at the most, and how much more that was than before the measured fit.
    auc : float
        On the held-out rows.
    digest : str
        Of the model's bytes.
    """

    first_use: float
    whole: float
    tree: float
    trees: int
    peak: float
    added: float
    auc: float
    digest: str

    @property
    def training(self) -> float:
        """Seconds of all trees."""
        return self.tree * self.trees

    @property
    def preparation(self) -> float:
        """Seconds of all but trees: reading the table, cut points, binning, writing the model."""
        return self.whole - self.training


def measure(contender: Contender, folder: Path, task: Task) -> Figures:
    """Fit a contender to a folder's table, after a small fit that nobody counts. Call it in a fresh process."""
    X, y = load(folder)
    silos = silo_ids(len(y), contender.n_silos)
    fit = FITS[contender.library]
    few = silo_ids(WARM_UP, min(contender.n_silos, WARM_UP // 10))
    clock = Clock()
    fit(X[:WARM_UP], y[:WARM_UP], few, Task(trees=2, threads=task.threads), clock)
    first_use, before = perf_counter() - clock.start, peak_memory()

    clock = Clock()
    trained = fit(X, y, silos, task, clock)
    whole, peak = perf_counter() - clock.start, peak_memory()

    from sklearn.metrics import roc_auc_score  # only now: a library that does not import it should not seem to

    tree = (clock.rounds[-1] - clock.rounds[0]) / (task.trees - 1)
    X_held_out, y_held_out = load(folder, "_held_out")
    auc = float(roc_auc_score(y_held_out, trained.predict(X_held_out)))
    digest = hashlib.sha256(trained.dump()).hexdigest()
    return Figures(first_use, whole, tree, task.trees, peak, peak - before, auc, digest)


def load(folder: Path, suffix: str = "") -> tuple[Array, Array]:
    """Read a folder's table into memory."""
    return np.load(folder / f"X{suffix}.npy"), np.load(folder / f"y{suffix}.npy")


def memory_of_data(folder: Path) -> float:
    """MB that a process holds at the most which loads the table and does no more. Call it in a fresh process."""
    load(folder)
    return peak_memory()


def peak_memory() -> float:
    """MB that this process has held at the most."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e6  # bytes there, kibibytes elsewhere
