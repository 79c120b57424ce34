"""What the counts that find bin edges tell a server of each silo's values, and what a least number of rows a bin costs.

pip install .
python examples/benchmarks/bin_edges.py

The attack keeps each silo's answers, as a curious server can that receives them in the plain: how many of its values
lie in each interval that was asked for. Of each of the finest intervals it guesses as many values, all of them the
shortest decimal inside. "exact" is the share of a silo's values that are guessed right, as a multiset: not whose they
are; "within 0.5 %" the share that are guessed as nearly. The sums of all silos are attacked the same way, and the guess
that knows each column's range and no more stands beside both. A value that many rows share is learnt in any case.
Scores are those of `FedGBTClassifier` and `FedGBTRegressor` with 100 trees and a learning rate of 0.1 on rows held out.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import reference_data as data
from numpy.typing import NDArray
from reference_data import Absent, Reference
from sklearn.metrics import roc_auc_score, root_mean_squared_error

from fedtrees import Channel, FedGBTClassifier, FedGBTRegressor, LocalFederation
from fedtrees.core.numeric.float_keys import KEY_BITS, float_of
from fedtrees.queries.counts import Counts
from fedtrees.queries.ranks import LARGEST_KEY, Ranks, shortest_between
from fedtrees.trees.server.cut_points import global_cuts

LEAST = (1, 5, 10, 20)
LARGEST = np.finfo(np.float32).max


class Curious(Channel):
    """A channel that keeps the finest intervals of each silo's values, and how many lie in each."""

    def __init__(self, federation: LocalFederation, n_features: int):
        super().__init__(federation)
        silos = len(federation.names)
        whole = (0, KEY_BITS)
        self.known = [[{whole: 0} for _ in range(n_features)] for _ in range(silos)]

    def totals(self, queries: Sequence[Any], cohort: NDArray[np.int64]) -> list[Any]:
        """See `Channel`; ranks are kept silo by silo."""
        for query in queries:
            if isinstance(query, Ranks):
                for silo, answer in zip(self.known, self.gather(query, cohort), strict=True):
                    note(silo, query, answer)
        return super().totals(queries, cohort)


def note(known: list[dict[tuple[int, int], int]], query: Ranks, answer: NDArray[np.int64]) -> None:
    """Put the children of the intervals that were asked for in their places."""
    base = query.base()
    for feature, intervals in enumerate(known):
        for i in range(query.first[feature], query.first[feature + 1]):
            low, child = int(query.low[i]), int(query.log_child[i])
            intervals.pop((low, int(query.log_keys[i])), None)
            for place in np.flatnonzero(answer[base[i] : base[i + 1]]):
                intervals[low + (int(place) << child), child] = int(answer[base[i] + place])


def guesses(intervals: dict[tuple[int, int], int]) -> NDArray[np.float32]:
    """As many values as lie in the intervals, ascending."""
    keys = np.array([key for key in intervals if intervals[key]], np.int64).reshape(-1, 2)
    counts = np.array([count for count in intervals.values() if count], np.int64)
    last = np.minimum(keys[:, 0] + (np.int64(1) << keys[:, 1]) - 1, LARGEST_KEY)
    low, high = float_of(keys[:, 0]), float_of(last)
    inside, open_ended = low.copy(), (low < high) & (np.abs(low) < LARGEST) & (np.abs(high) < LARGEST)
    ends = np.nextafter(low[open_ended], -LARGEST), np.nextafter(high[open_ended], LARGEST)  # the ends count as inside
    inside[open_ended] = shortest_between(*ends)
    return np.sort(np.repeat(inside, counts))


def ranged(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """As many values, evenly spread over their range: a guess that no count of an interval helped."""
    return np.linspace(values.min(), values.max(), len(values)).astype(np.float32)


def shares(guessed: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float64]:
    """The shares of values that are guessed right, and to within 0.5 %, float64 (2,)."""
    if len(guessed) != len(values):  # a silo's rows were never counted: nothing is known of them
        return np.zeros(2)
    either, again = np.unique(np.concatenate([guessed, values]), return_inverse=True)
    n = len(values)
    counts = [np.bincount(part, minlength=len(either)) for part in (again[:n], again[n:])]
    exact = np.minimum(*counts).sum() / n
    return np.array([exact, np.mean(np.abs(guessed - values) <= 0.005 * np.abs(values))])


def attack(X: NDArray[np.float32], silos: NDArray[Any], least: int) -> NDArray[np.float64]:
    """What is learnt of silos, of their sum, and by the range alone: float64 (3, 2), means over silos and columns."""
    federation = LocalFederation.from_table(X, np.zeros(len(X)), silos=silos)
    channel, everyone = Curious(federation, X.shape[1]), np.arange(len(federation.names))
    summary = channel.total(Counts(X.shape[1]), everyone)
    global_cuts(channel, everyone, summary, 256, least=least)
    alone = LocalFederation.from_table(X, np.zeros(len(X)))
    pooled = Curious(alone, X.shape[1])
    global_cuts(pooled, np.arange(1), summary, 256, least=least)
    found: list[list[NDArray[np.float64]]] = [[], [], []]
    for f in range(X.shape[1]):
        own = np.sort(X[~np.isnan(X[:, f]), f])
        if len(own):
            found[1].append(shares(guesses(pooled.known[0][f]), own))
        for place, name in enumerate(federation.names):
            own = X[silos == name, f]
            own = np.sort(own[~np.isnan(own)])
            if len(own):
                found[0].append(shares(guesses(channel.known[place][f]), own))
                found[2].append(shares(ranged(own), own))
    return np.array([np.mean(part, axis=0) for part in found])


def score(table: Reference, least: int) -> float:
    """The AUC, or the root mean squared error, on the rows held out."""
    X, y, silos, train = table
    kind = FedGBTClassifier if y.dtype.kind == "i" else FedGBTRegressor
    model = kind(100, learning_rate=0.1, min_bin_rows=least).fit(X[train], y[train], silos=silos[train])
    if kind is FedGBTRegressor:
        return float(root_mean_squared_error(y[~train], model.predict(X[~train])))
    return float(roc_auc_score(y[~train], model.predict_proba(X[~train])[:, 1]))


def tables(quick: bool) -> dict[str, list[Reference]]:
    """The tables, each by all its ways to hold rows out; those that are not here are left out."""
    loaders = {
        "heart, 4 hospitals": lambda: [data.heart_disease_4hospitals(fold) for fold in range(1 if quick else 5)],
        "pima, 3 silos": lambda: [data.pima_diabetes_3silos()],
        "adult, 15 occupations": lambda: [data.adult_income()],
        "communities, 46 states": lambda: [data.communities_crime()],
        "diamonds, 5 cuts": lambda: [data.diamonds()],
    }
    found = {}
    for name, load in list(loaders.items())[: 1 if quick else None]:
        try:
            found[name] = load()
        except Absent as error:
            print(f"{name}: not measured, {error}")
    return found


def print_row(*cells: object) -> None:
    """Print a row of a table."""
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one table and two settings: only to see that it runs")
    options = parser.parse_args()
    least, given = LEAST[:2] if options.quick else LEAST, tables(options.quick)
    rng = np.random.default_rng(0)
    attacked = {name: (folds[0].X.to_numpy(), folds[0].silos) for name, folds in list(given.items())[:2]}
    attacked["50 normal rows, 1 silo"] = rng.normal(size=(50, 5)).astype(np.float32), np.repeat("a", 50)
    print_row("table", "min_bin_rows", *(f"{who}: exact, within 0.5 %" for who in ("a silo's", "the sum's", "range")))
    print("|---" * 5 + "|")
    for name, (X, silos) in attacked.items():
        for rows in least:
            learnt = attack(X, silos, rows)
            print_row(name, rows, *(f"{100 * exact:.1f} %, {100 * near:.1f} %" for exact, near in learnt))
    print()
    print_row("score on held-out rows", *(f"min_bin_rows={rows}" for rows in least))
    print("|---" * (1 + len(least)) + "|")
    for name, folds in given.items():
        kind = "AUC" if folds[0].y.dtype.kind == "i" else "RMSE"
        scores = [np.mean([score(fold, rows) for fold in folds]) for rows in least]
        print_row(f"{name}, {kind}", *(f"{value:.4f}" if kind == "AUC" else f"{value:.1f}" for value in scores))


if __name__ == "__main__":
    main()
