"""Trees by impurity, forests and AdaBoost over silos, against scikit-learn's own on the pooled rows.

pip install fedtrees
python examples/benchmarks/forests.py [--rows 100000] [--trees 100] [--repeats 3]

The first table is how long a forest takes; the two take turns, and a ratio compares two fits of one turn. The second is
what each model scores on the same held-out rows: accuracy, or R2 of diamonds. Missing values are written as -1, for
scikit-learn's AdaBoost takes none. AdaBoost of ratings in five classes is scored, too, though neither has much to say.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import reference_data as data
from numpy.typing import NDArray
from reference_data import Absent, Reference
from sklearn.ensemble import (
    AdaBoostClassifier,
    AdaBoostRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from fedtrees import (
    FedAdaBoostClassifier,
    FedAdaBoostRegressor,
    FedExtraTreesClassifier,
    FedExtraTreesRegressor,
    FedForestClassifier,
    FedForestRegressor,
    FedTreeClassifier,
    FedTreeRegressor,
)
from fedtrees.core.rng import stream

Array = NDArray[Any]
Pair = tuple[Any, Any]

TABLES = ("adult_income", "heart_disease_4hospitals", "a9a", "diamonds", "insteval_depts")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="of the first table (default: %(default)s)")
    parser.add_argument("--trees", type=int, default=100, help="of a forest (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="turns (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="few rows and trees: only to see that it runs")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.trees, options.repeats = 2_000, 4, 1
    print_seconds(options.rows, options.trees, options.repeats)
    print_scores(TABLES[1:2] if options.quick else TABLES, options.trees)


def collisions(rows: int) -> tuple[Array, Array]:
    """28 columns, two classes."""
    rng = stream(0, "collisions")
    X = rng.normal(size=(rows, 28)).astype(np.float32)
    signal = X[:, :5].sum(axis=1) + X[:, 5] * X[:, 6] + 2 * rng.normal(size=rows)
    return X, (signal > 0).astype(np.int64)


def print_seconds(rows: int, trees: int, repeats: int) -> None:
    """How long forests of depth 10 take, on two threads."""
    X, y = collisions(rows)
    silos = np.arange(rows) % 10
    FedForestClassifier(2, max_depth=2, n_jobs=2).fit(X[:500], y[:500], silos[:500])  # compile
    turns = []
    for _ in range(repeats):
        own = seconds(lambda: FedForestClassifier(trees, max_depth=10, n_jobs=2).fit(X, y, silos))
        theirs = seconds(lambda: RandomForestClassifier(trees, max_depth=10, n_jobs=2, random_state=0).fit(X, y))
        turns.append((own, theirs))
    own, theirs = (median(part) for part in zip(*turns, strict=True))
    ratio = median(one / other for one, other in turns)
    print(f"A forest of {trees} trees, {rows:,} rows x 28, depth 10, two threads; medians of {repeats} turn(s).\n")
    print("| | seconds |\n|---|---|")
    print(f"| fedtrees, ten silos | {own:.2f} |\n| scikit-learn, pooled | {theirs:.2f} |\n| ratio | {ratio:.2f} |\n")


def seconds(act: Callable[[], Any]) -> float:
    """How long something takes."""
    started = perf_counter()
    act()
    return perf_counter() - started


def pairs(trees: int, classifies: bool) -> dict[str, Pair]:
    """Ours and scikit-learn's of the same parameters."""
    plain = DecisionTreeClassifier if classifies else DecisionTreeRegressor
    boost = AdaBoostClassifier if classifies else AdaBoostRegressor
    forest = RandomForestClassifier if classifies else RandomForestRegressor
    extra = ExtraTreesClassifier if classifies else ExtraTreesRegressor
    ours = (
        (FedTreeClassifier, FedForestClassifier, FedExtraTreesClassifier, FedAdaBoostClassifier)
        if classifies
        else (FedTreeRegressor, FedForestRegressor, FedExtraTreesRegressor, FedAdaBoostRegressor)
    )
    given = {"n_estimators": trees, "max_depth": 10, "max_features": "sqrt" if classifies else 0.5}
    stump = 1 if classifies else 6
    return {
        "tree": (ours[0](max_depth=6), plain(max_depth=6, random_state=0)),
        "forest": (ours[1](**given), forest(**given, random_state=0, n_jobs=2)),
        "extra trees": (ours[2](**given), extra(**given, random_state=0, n_jobs=2)),
        "AdaBoost": (
            ours[3](50, max_depth=stump),
            boost(plain(max_depth=stump), n_estimators=50, random_state=0),
        ),
    }


def print_scores(names: tuple[str, ...], trees: int) -> None:
    """What each scores."""
    print(
        "| table | model | fedtrees, its silos | scikit-learn, pooled | rounds | MB a silo |\n|---|---|---|---|---|---|"
    )
    for name in names:
        try:
            table = getattr(data, name)()
        except Absent as error:
            print(f"| {name} | not measured: {error} | | | | |")
            continue
        for kind, (own, theirs) in pairs(trees, table.y.dtype.kind == "i").items():
            score, reference = scores(table, own, theirs)
            megabytes = (own.ledger_.bytes_up + own.ledger_.bytes_down) / 1e6 / len(set(table.silos))
            print(
                f"| {name} | {kind} | {score:.4f} | {reference:.4f} | {own.ledger_.rounds} | {megabytes:.1f} |",
                flush=True,
            )


def scores(table: Reference, own: Any, theirs: Any) -> tuple[float, float]:
    """Both scores on the rows held out."""
    X, y, silos, train = table
    filled = X.fillna(-1)
    own.fit(filled[train], y[train], silos[train])
    theirs.fit(filled[train], y[train])
    return own.score(filled[~train], y[~train]), theirs.score(filled[~train], y[~train])


if __name__ == "__main__":
    main()
