"""Trees by impurity, forests and AdaBoost over silos, against scikit-learn's own on the pooled rows.

pip install .
python examples/benchmarks/forests.py [--trees 100] [--seeds 5]

What each model scores on the same held-out rows, accuracy, or R2 of diamonds: the mean over some seeds, and on heart,
whose rows are few, over five folds and five times as many seeds. Behind +- is the standard error of the difference by
what is drawn. Missing values are written as -1, for scikit-learn's AdaBoost takes none. AdaBoost
of ratings in five classes is scored, too, though neither has much to say.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import reference_data as data
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

Pair = tuple[Any, Any]

TABLES = ("adult_income", "heart_disease_4hospitals", "a9a", "diamonds", "insteval_depts")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trees", type=int, default=100, help="of a forest (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="of what is drawn (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="few trees of one table: only to see that it runs")
    options = parser.parse_args()
    if options.quick:
        options.trees, options.seeds = 4, 1
    print_scores(TABLES[1:2] if options.quick else TABLES, options.trees, options.seeds)


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


def print_scores(names: tuple[str, ...], trees: int, seeds: int) -> None:
    """What each scores."""
    print("| table | model | fedtrees, its silos | scikit-learn, pooled | difference | rounds | MB a silo |")
    print("|---" * 7 + "|")
    for name in names:
        try:
            tables = folds(name)
        except Absent as error:
            print(f"| {name} | not measured: {error} |" + " |" * 5)
            continue
        for kind, (own, theirs) in pairs(trees, tables[0].y.dtype.kind == "i").items():
            drawn = range(1 if kind == "tree" else seeds * len(tables))
            scores = np.array([[score(one, own, theirs, seed) for one in tables] for seed in drawn])
            score_own, reference = scores.mean(axis=(0, 1))
            by_seed = (scores[..., 0] - scores[..., 1]).mean(axis=1)
            spread = f" +- {by_seed.std(ddof=1) / np.sqrt(len(drawn)):.4f}" if len(drawn) > 1 else ""
            megabytes = (own.ledger_.bytes_up + own.ledger_.bytes_down) / 1e6 / len(set(tables[-1].silos))
            cells = [name, kind, f"{score_own:.4f}", f"{reference:.4f}", f"{score_own - reference:+.4f}{spread}"]
            print("| " + " | ".join([*cells, str(own.ledger_.rounds), f"{megabytes:.1f}"]) + " |", flush=True)


def folds(name: str) -> list[Reference]:
    """A table, by each of its ways to hold rows out."""
    if name == "heart_disease_4hospitals":
        return [data.heart_disease_4hospitals(fold) for fold in range(5)]
    return [getattr(data, name)()]


def score(table: Reference, own: Any, theirs: Any, seed: int) -> tuple[float, float]:
    """Both scores on the rows held out."""
    X, y, silos, train = table
    filled = X.fillna(-1)
    own.set_params(random_state=seed).fit(filled[train], y[train], silos=silos[train])
    theirs.set_params(random_state=seed).fit(filled[train], y[train])
    return own.score(filled[~train], y[~train]), theirs.score(filled[~train], y[~train])


if __name__ == "__main__":
    main()
