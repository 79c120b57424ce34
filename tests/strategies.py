"""Random problems to train on, shared by the tests that hold for any data, any partition and any parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xgboost
from hypothesis import settings
from hypothesis import strategies as st
from numba import config
from numpy.typing import NDArray

from fedtrees import FedGBTClassifier, FedGBTRegressor, LocalFederation, Silo
from fedtrees.core.data.table import Table
from fedtrees.core.protocol.describe import Describe
from fedtrees.core.protocol.federation import Answer, Described, PartedReply, Reply
from fedtrees.core.protocol.log import Call, Log
from fedtrees.core.protocol.message import REPLY_HEAD, Request
from fedtrees.core.sampling.samplers import Cohort
from fedtrees.trees.silo.state import TreeState

JIT = not config.DISABLE_JIT
MOST_ROWS = 300 if JIT else 60
LARGEST = np.finfo(np.float32).max

# how many classes each objective is for, 0 for numbers
CLASSES = {
    "binary:hinge": 2,
    "binary:logistic": 2,
    "binary:logitraw": 2,
    "count:poisson": 0,
    "multi:softmax": 4,
    "multi:softprob": 4,
    "reg:absoluteerror": 0,
    "reg:gamma": 0,
    "reg:logistic": 0,
    "reg:pseudohubererror": 0,
    "reg:quantileerror": 0,
    "reg:squarederror": 0,
    "reg:squaredlogerror": 0,
    "reg:tweedie": 0,
}


def examples(n: int, plain: int = 15) -> settings:
    """So many examples, or a few where plain Python walks through the kernels: as many as take a second or two."""
    return settings(max_examples=n if JIT else min(n, plain))


# -- columns ----------------------------------------------------------------------------------------------

COLUMNS: dict[str, Callable[[np.random.Generator, int], Any]] = {
    "continuous": lambda rng, n: rng.normal(size=n),
    "integers": lambda rng, n: rng.integers(-30, 30, n),
    "ties": lambda rng, n: rng.choice([-1.5, 0.0, 0.1], n, p=[0.1, 0.8, 0.1]),
    "constant": lambda rng, n: np.full(n, rng.normal()),
    "subnormal": lambda rng, n: np.ldexp(rng.integers(-(2**23), 2**23, n).astype(np.float64), -149),
    "zeros": lambda rng, n: rng.choice([-0.0, 0.0, -1e-45, 1e-45], n),
    "huge": lambda rng, n: rng.choice([-1, 1], n) * 10.0 ** rng.uniform(20, 38.5, n),
    "extremes": lambda rng, n: rng.choice([-LARGEST, LARGEST, 0.0, np.nextafter(LARGEST, np.float32(0))], n),
    "any": lambda rng, n: rng.integers(0, 2**32, n, dtype=np.uint32).view(np.float32),
    "missing": lambda rng, n: np.full(n, np.nan),
}


def column(rng: np.random.Generator, kind: str, n: int, missing: float = 0.0) -> NDArray[np.float32]:
    """Finite values of one kind, a share of them missing: float32 (n,)."""
    values = np.clip(COLUMNS[kind](rng, n), -LARGEST, LARGEST).astype(np.float32)
    values[rng.random(n) < missing] = np.nan
    return values


@st.composite
def tables(draw: st.DrawFn, most_rows: int = MOST_ROWS, most_features: int = 5) -> NDArray[np.float32]:
    """Columns of all kinds side by side: float32 (rows, features), in either memory order."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    n = draw(st.integers(1, min(most_rows, MOST_ROWS)), label="rows")
    kinds = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=most_features), label="columns")
    missing = draw(st.sampled_from([0.0, 0.2, 0.9]), label="missing")
    some = rng.random(len(kinds)) < 0.5
    X = np.stack([column(rng, kind, n, missing * has) for kind, has in zip(kinds, some, strict=True)], axis=1)
    return X.copy(order=draw(st.sampled_from("CF"), label="order"))


# -- problems ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Problem:
    """A table, a partition of its rows, and what to train on it.

    Attributes
    ----------
    X, y, weight
        See `FedGBTClassifier.fit`.
    silo : int64 (rows,)
        Whose each row is; there are ``n_silos``, not all of which need hold any.
    row_id : int64 (rows,), optional
    categories : sequence of int
        Columns whose whole numbers are categories.
    """

    X: NDArray[np.float32]
    y: NDArray[Any]
    weight: NDArray[np.float32] | None
    silo: NDArray[np.int64]
    n_silos: int
    objective: str
    params: dict[str, Any]
    row_id: NDArray[np.int64] | None = None
    categories: Sequence[int] = ()

    def table(self, rows: Any = slice(None)) -> Any:
        """Some rows as they are given: a frame of the categories that they have, where there are any."""
        if not len(self.categories):
            return self.X[rows]
        frame = pd.DataFrame(self.X[rows], columns=[f"f{f}" for f in range(self.X.shape[1])])
        for f in self.categories:
            names = [None if np.isnan(code) else f"k{code:03.0f}" for code in self.X[rows, f].tolist()]
            frame[f"f{f}"] = pd.Categorical(names)
        return frame

    def estimator(self, **other: Any) -> FedGBTClassifier | FedGBTRegressor:
        """An estimator of these parameters, or with some in their place."""
        kind = FedGBTClassifier if CLASSES[self.objective] else FedGBTRegressor
        return kind(objective=self.objective, **{**self.params, **other})

    def silos(self, order: Sequence[int] | None = None) -> list[Silo]:
        """The silos, empty ones too, in any order."""
        return [self._silo(k) for k in (range(self.n_silos) if order is None else order)]

    def _silo(self, k: int) -> Silo:
        own = self.silo == k
        weight = None if self.weight is None else self.weight[own]
        ids = None if self.row_id is None else self.row_id[own]
        return Silo(f"silo {k}", self.table(own), self.y[own], sample_weight=weight, n_jobs=1, row_id=ids)

    def pooled(self, **other: Any) -> bytes:
        """The model trained on one silo that holds everything."""
        model = self.estimator(**other).fit(self.table(), self.y, sample_weight=self.weight, row_id=self.row_id)
        return model_bytes(model)

    def federated(self, federation: Any = None, **other: Any) -> bytes:
        """The model trained over a federation: by default all silos in this process, fused."""
        federation = federation or LocalFederation(self.silos(), n_jobs=self.params["n_jobs"])
        return model_bytes(self.estimator(**other).fit_federation(federation))

    def shuffled(self, rng: np.random.Generator) -> Problem:
        """The same rows in another order."""
        order = rng.permutation(len(self.y))
        weight = None if self.weight is None else self.weight[order]
        ids = None if self.row_id is None else self.row_id[order]
        return replace(self, X=self.X[order], y=self.y[order], weight=weight, silo=self.silo[order], row_id=ids)


def model_bytes(model: FedGBTClassifier | FedGBTRegressor) -> bytes:
    """What "the same model" means: every byte that XGBoost would write."""
    return bytes(model.booster_.save_raw("json"))


def _targets(rng: np.random.Generator, X: NDArray[np.float32], objective: str) -> NDArray[Any]:
    """Targets that depend on the columns, so that trees have something to find."""
    n, classes = len(X), CLASSES[objective]
    ranks = np.argsort(np.argsort(np.nan_to_num(X), axis=0), axis=0).sum(axis=1)
    signal = ranks / max(1, ranks.max()) + rng.normal(scale=0.2, size=n)
    if not classes:
        return numbers_for(objective, rng, signal)
    y = np.clip(np.floor(signal * classes), 0, classes - 1).astype(np.int64)
    y[:classes] = np.arange(classes)  # every class occurs
    return y


def numbers_for(objective: str, rng: np.random.Generator, signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numbers that follow a signal of about 0 to 1, of any magnitude that the objective allows."""
    # the first row always counts: some need a number above 0
    scale = 10.0 ** rng.integers(-6, 7)
    match objective:
        case "reg:logistic":
            return np.clip(signal, 0, 1)
        case "count:poisson":
            return np.append(1.0, rng.poisson(np.exp(3 * signal[1:])))
        case "reg:gamma":
            return scale * np.exp(3 * signal)
        case "reg:tweedie":
            return scale * np.append(1.0, np.exp(3 * signal[1:]) * rng.integers(0, 2, len(signal) - 1))
        case "reg:squaredlogerror":
            return np.exp(3 * signal) - 0.9
        case _:
            return signal * scale + rng.choice([0.0, 1.0, -1e5])


def _partition(rng: np.random.Generator, how: str, y: NDArray[Any], n_silos: int) -> NDArray[np.int64]:
    n = len(y)
    match how:
        case "by target":  # silos of a single class
            return np.argsort(np.argsort(y, kind="stable"), kind="stable") * n_silos // n
        case "few":  # most silos are empty
            return rng.choice(rng.choice(n_silos, size=min(3, n_silos)), n)
        case _:
            return rng.integers(n_silos, size=n)


def _weights(rng: np.random.Generator, how: str, n: int, first: int) -> NDArray[np.float32] | None:
    match how:
        case "none":
            return None
        case "zeros":
            weight = rng.integers(0, 3, n).astype(np.float32)
        case "wild":
            weight = np.exp2(rng.uniform(-20, 20, n)).astype(np.float32)
        case _:
            weight = rng.uniform(0, 3, n).astype(np.float32)
    weight[:first] = 1  # the rows that make every class occur count
    return weight


def parameters() -> st.SearchStrategy[dict[str, Any]]:
    """Parameters of an estimator that grows a few trees."""
    return st.fixed_dictionaries(
        {
            "n_estimators": st.integers(1, 4 if JIT else 2),
            "max_depth": st.sampled_from([1, 2, 3, 6, 10] if JIT else [1, 2, 4]),
            "max_bin": st.sampled_from([2, 3, 16, 256, 257, 1000]),
            "learning_rate": st.sampled_from([0.05, 0.3, 1.0]),
            "reg_lambda": st.sampled_from([0.0, 0.1, 1.0]),
            "reg_alpha": st.sampled_from([0.0, 0.0, 0.5]),
            "gamma": st.sampled_from([0.0, 0.0, 0.3]),
            "min_child_weight": st.sampled_from([0.0, 0.1, 1.0, 5.0]),
            "base_score": st.sampled_from([None, None, 0.3]),
            "n_jobs": st.sampled_from([1, 2, 3]),
        }
    )


@st.composite
def problems(
    draw: st.DrawFn,
    most_silos: int = 50,
    most_rows: int = MOST_ROWS,
    categories: bool = False,
    objectives: Sequence[str] = sorted(CLASSES),
) -> Problem:
    """Any table, any partition of its rows, any weights, any parameters, and each of some losses.

    With ``categories``, some tables have columns of them.
    """
    objective = draw(st.sampled_from(objectives), label="objective")
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    X = draw(tables(most_rows=most_rows), label="X")
    first = max(1, CLASSES[objective])
    if len(X) < first:
        X = np.resize(X, (first, X.shape[1]))
    columns = draw(st.integers(0, 3), label="columns of categories") if categories else 0
    if columns:
        X = np.append(X, np.stack([_categories(rng, len(X)) for _ in range(columns)], axis=1), axis=1)
    y = _targets(rng, X, objective)
    n_silos = draw(st.integers(1, most_silos), label="silos")
    silo = _partition(rng, draw(st.sampled_from(["any", "few", "by target"]), label="partition"), y, n_silos)
    if draw(st.booleans(), label="a column is missing in one silo"):
        X = X.copy(order="K")
        X[silo == silo[-1], 0] = np.nan
    weight = _weights(rng, draw(st.sampled_from(["none", "any", "zeros", "wild"]), label="weight"), len(y), first)
    params, own = draw(parameters(), label="params"), range(X.shape[1] - columns, X.shape[1])
    if objective == "reg:gamma":
        params["base_score"] = None  # one far above y has hessians so small that gradients leave float32: refused
    if columns:
        one, many = st.sampled_from([1, 4, 50]), st.sampled_from([1, 3, 64])
        params |= {"enable_categorical": True, "max_cat_to_onehot": draw(one), "max_cat_threshold": draw(many)}
    return Problem(X, y, weight, silo, n_silos, objective, params, categories=own)


def _categories(rng: np.random.Generator, n: int) -> NDArray[np.float32]:
    """Codes of categories, some of them rare, some missing: float32 (n,)."""
    codes = np.floor(rng.choice([2, 5, 60, 300]) * rng.random(n) ** 2).astype(np.float32)
    codes[rng.random(n) < rng.choice([0.0, 0.3])] = np.nan
    return codes


# -- federations that watch, and that fail ------------------------------------------------------------------


class Watched:
    """A federation that does what ``before`` says ahead of every round, and keeps the run's log.

    Parameters
    ----------
    inner : Federation
    before : callable
        Called with each round's number.
    """

    def __init__(self, inner: LocalFederation, before: Callable[[int], None] = lambda round: None):
        self.inner, self.before = inner, before
        self.log: Log | None = None
        self.calls: list[tuple[Call, Cohort]] = []
        self.replies: list[dict[int, bytes]] = []  # of real messages, by silo, but for what names the run

    @property
    def names(self) -> Sequence[str]:
        return self.inner.names

    def describe(self, call: Call, question: Describe) -> Described:
        return self.inner.describe(call, question)

    def sum(self, call: Call, cohort: Cohort) -> Reply:
        self._note(call, cohort)
        return self.inner.sum(call, cohort)

    def _note(self, call: Call, cohort: Cohort) -> None:
        self.log = call.log
        self.before(call.round)
        self.calls.append((call, cohort))

    def ask(self, call: Call, cohort: Cohort) -> Iterable[Answer]:
        self._note(call, cohort)
        answers = list(self.inner.ask(call, cohort))
        self.replies.append({own.silo: own.data[REPLY_HEAD:] for own in answers if own.data is not None})
        return answers

    def parts(self, call: Call, cohort: Cohort) -> PartedReply:
        self._note(call, cohort)
        return self.inner.parts(call, cohort)

    @property
    def fused(self) -> bool:
        return self.inner.fused


class BadPost:
    """A transport that delivers everything, but late, twice, and in any order.

    Once a round, a silo's reply may be lost on the way, or the silo may lose its memory before it answers.
    """

    def __init__(self, silos: Sequence[Silo], rng: np.random.Generator):
        self.silos, self.rng = {silo.name: silo for silo in silos}, rng
        self._troubled: set[tuple[str, int]] = set()

    def exchange(self, messages: Mapping[str, bytes], timeout: float) -> dict[str, bytes]:
        replies = {}
        for name in self.rng.permutation(sorted(messages)).tolist():
            silo, message = self.silos[name], messages[name]
            round = Request.decode(message).round
            trouble = self.rng.choice(["none", "lost", "twice", "forgets"])
            if (name, round) in self._troubled:
                trouble = "none"
            self._troubled.add((name, round))
            if trouble == "forgets":
                silo.forget()
            reply = silo.answer(message)
            if trouble == "twice":
                assert silo.answer(message) == reply
            if trouble != "lost":
                replies[name] = reply
        return replies


def bring_up_to_date(silo: Silo, log: Log) -> None:
    """Let a silo hear the last tree, which no round carried to it, and add all trees to its margins."""
    known = silo.version if silo.run == log.run else 0
    silo.learn(log.run, known, log.facts[known:])
    silo.ask_only(None)
    silo.states.find(TreeState).margins.catch_up(silo)


def assert_booster_s_margins(silo: Silo, log: Log, model: FedGBTClassifier | FedGBTRegressor) -> None:
    """Bring a silo up to date, whose margins are then those of the exported Booster, bit for bit."""
    bring_up_to_date(silo, log)
    if silo.table.n_rows:
        assert silo.states.find(TreeState).margin.tobytes() == margins(model, rows_of(silo.table)).tobytes()


def rows_of(table: Table) -> NDArray[np.float32]:
    """A table's features, in the order of all else that it holds."""
    return table.X if table.order is None else table.X[table.order]


def margins(model: FedGBTClassifier | FedGBTRegressor, X: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the exported Booster says before its link: float32 (outputs, rows)."""
    predicted = model.booster_.predict(xgboost.DMatrix(X), output_margin=True, validate_features=False)
    return predicted.reshape(len(X), -1).T
