"""Two good silos, ways to train over them, and a watch on what is sent: for tests of what is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedtrees import Channel, LocalFederation, Silo

SEX = pd.CategoricalDtype(["f", "m"])
NAN, INF = float("nan"), float("inf")
PAST = 10.0**39  # finite, and beyond float32


def frame(n: int = 6) -> pd.DataFrame:
    return pd.DataFrame(
        {"age": np.arange(30.0, 30 + n), "sex": pd.Series(["f", "m"] * n, dtype=SEX)[:n], "bp": np.arange(n) % 3 == 0}
    )


@dataclass(frozen=True)
class Part:
    """What one silo gives."""

    X: Any
    y: Any
    weight: Any = None


AGE = list(frame()["age"])
GOOD = Part(frame(), ["ill", "well"] * 3)
NUMBERS = Part(frame(), np.arange(6.0))


TREES = {"Histograms", "GradientExponents"}


def watch(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of all queries that are sent from now on."""
    kinds: list[str] = []
    totals = Channel.totals

    def watched(self: Channel, queries: Any, cohort: Any) -> list[Any]:
        kinds.extend(query.kind for query in queries)
        return totals(self, queries, cohort)

    monkeypatch.setattr(Channel, "totals", watched)
    return kinds


def two_silos(mode: str, estimator: Any, ucla: Part, mayo: Part) -> None:
    """Train where the second silo is odd, over real silos."""
    parts = [("mayo", mayo), ("ucla", ucla)]
    silos = [Silo(name, part.X, part.y, sample_weight=part.weight, n_jobs=1) for name, part in parts]
    estimator.fit_federation(LocalFederation(silos, mode=mode, n_jobs=1))


def one_table(mode: str, estimator: Any, ucla: Part, mayo: Part) -> None:
    """Train where the second silo is odd, over one table with a silo id a row."""
    frames = all(isinstance(part.X, pd.DataFrame) for part in (mayo, ucla))
    X = pd.concat([mayo.X, ucla.X], ignore_index=True) if frames else np.concatenate([mayo.X, ucla.X])
    weight = None
    if ucla.weight is not None:
        weight = [*np.ones(len(mayo.X)), *ucla.weight]
    y = [*mayo.y, *ucla.y]
    estimator.fit(X, y, silos=["mayo"] * len(mayo.X) + ["ucla"] * len(ucla.X), sample_weight=weight)


HOW = {"fit": (one_table, ""), "fused": (two_silos, "fused"), "faithful": (two_silos, "faithful")}


def clear(text: str) -> None:
    """An error of one or two sentences, without a trace of how arrays are kept here."""
    assert "\n" not in text and 10 < len(text) < 330
    assert not re.search(r"numpy\.|msgspec|object at 0x|Traceback|KeyError", text)


def column(name: str, values: Any, part: Part = GOOD) -> Part:
    return replace(part, X=part.X.assign(**{name: values}))


def at(values: Any, row: int, value: Any) -> list[Any]:
    return [*list(values)[:row], value, *list(values)[row + 1 :]]
