"""What a family of trees costs and what it is worth, on silos that are alike, and as they are.

pip install '.[bench,plot]'
python examples/benchmarks/families.py [--figure families.svg]

The adult table of incomes, whose silos are fifteen occupations, or fifteen drawn by lot; without it beside the
checkout, scikit-learn's tumours. All are scored on the same held-out rows. The figure draws scores over what was sent.
The second table is how long a forest takes beside scikit-learn's on the pooled rows: the two take turns, and a ratio
compares two fits of one turn.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import reference_data as data
from numpy.typing import NDArray
from reference_data import Absent, Reference
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

from fedtrees import FedAdaBoostClassifier, FedForestClassifier, FedGBTClassifier
from fedtrees.core.numeric.rng import stream
from fedtrees.datasets import partition_iid

Array = NDArray[Any]


@dataclass(frozen=True)
class Family:
    """A way to train; ``sizes`` are numbers of rounds, from few to many."""

    name: str
    make: Callable[[int], Any]
    sizes: tuple[int, ...] = (5, 20, 100)


FAMILIES = [
    Family("histogram", lambda n: FedGBTClassifier(n, learning_rate=0.1)),
    Family("bagging", lambda n: FedGBTClassifier(n, learning_rate=0.1, mode="bagging")),
    Family("cyclic", lambda n: FedGBTClassifier(n, learning_rate=0.1, mode="cyclic")),
    Family("forest", lambda n: FedForestClassifier(n, max_depth=10)),
    Family("AdaBoost", lambda n: FedAdaBoostClassifier(n, max_depth=2)),
]


def table() -> Reference:
    """Incomes where they are, tumours elsewhere."""
    try:
        return data.adult_income()
    except Absent:
        import pandas as pd

        X, y = load_breast_cancer(return_X_y=True)
        rng = stream(0, "clinics")
        frame = pd.DataFrame(X.astype(np.float32)).rename(columns="f{}".format)
        return Reference(frame, y, rng.integers(5, size=len(y)).astype(str), rng.random(len(y)) < 0.75)


def measure(family: Family, size: int, of: Reference, silos: Array) -> dict[str, float]:
    """Train and score."""
    X, y, _, train = of
    started = perf_counter()
    model = family.make(size).fit(X[train], y[train], silos=silos[train], row_id=np.flatnonzero(train))
    seconds = perf_counter() - started
    p = model.predict_proba(X[~train])[:, 1]
    ledger = model.ledger_
    return {
        "AUC": roc_auc_score(y[~train], p), "accuracy": float(np.mean((p > 0.5) == y[~train])),
        "rounds": ledger.rounds, "MB": (ledger.bytes_up + ledger.bytes_down) / 1e6, "seconds": seconds,
    }  # fmt: skip


def main() -> None:
    """Print the table, and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="5 rounds of everything: only to see that it runs")
    parser.add_argument("--figure", help="a file to draw to")
    parser.add_argument("--rows", type=int, default=100_000, help="of the second table (default: %(default)s)")
    parser.add_argument("--trees", type=int, default=100, help="of its forests (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="its turns (default: %(default)s)")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.trees, options.repeats = 2_000, 4, 1
    print_scores(options.quick, options.figure)
    print_seconds(options.rows, options.trees, options.repeats)


def print_scores(quick: bool, figure: str | None) -> None:
    """Print what each family scores and costs, and draw it."""
    of = table()
    splits = {"as they are": of.silos, "by lot": partition_iid(len(of.y), len(np.unique(of.silos)))}
    print("| silos | family | size | AUC | accuracy | rounds | MB | seconds |\n" + "|---" * 8 + "|")
    lines: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    for split, silos in splits.items():
        for family in FAMILIES:
            for size in family.sizes[: 1 if quick else None]:
                own = measure(family, size, of, silos)
                lines.setdefault((split, family.name), []).append((own["MB"], own["AUC"], own["accuracy"]))
                cells = [split, family.name, str(size), f"{own['AUC']:.4f}", f"{own['accuracy']:.2%}"]
                cells += [f"{own['rounds']:.0f}", f"{own['MB']:,.1f}", f"{own['seconds']:.1f}"]
                print("| " + " | ".join(cells) + " |", flush=True)
    if figure:
        draw(lines, figure)


def draw(lines: dict[tuple[str, str], list[tuple[float, float, float]]], path: str) -> None:
    """Draw the AUC and the accuracy over megabytes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    colours = {family.name: f"C{place}" for place, family in enumerate(FAMILIES)}
    for (split, family), points in lines.items():
        sent, *scores = zip(*points, strict=True)
        style = "-" if split == "as they are" else "--"
        for axes, score in zip(panels, scores, strict=True):
            axes.plot(sent, score, style, marker="o", color=colours[family], label=f"{family}, silos {split}")
    for axes, what in zip(panels, ("AUC", "accuracy"), strict=True):
        axes.set(xlabel="MB to and from all silos", ylabel=what, xscale="log")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize="small")
    figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None)


def collisions(rows: int) -> tuple[Array, Array]:
    """28 columns, two classes."""
    rng = stream(0, "collisions")
    X = rng.normal(size=(rows, 28)).astype(np.float32)
    signal = X[:, :5].sum(axis=1) + X[:, 5] * X[:, 6] + 2 * rng.normal(size=rows)
    return X, (signal > 0).astype(np.int64)


def print_seconds(rows: int, trees: int, repeats: int) -> None:
    """How long forests take on two threads: of the depth that is ours by default, and of any."""
    X, y = collisions(rows)
    silos = np.arange(rows) % 10
    FedForestClassifier(2, max_depth=2, n_jobs=2).fit(X[:500], y[:500], silos=silos[:500])  # compile
    print(f"\nForests of {trees} trees, {rows:,} rows x 28, two threads; medians of {repeats} turn(s).\n")
    print("| max_depth | fedtrees, ten silos: s | scikit-learn, pooled: s | ratio |\n|---|---|---|---|")
    for depth in (10, None):
        turns = []
        for _ in range(repeats):
            own = seconds(lambda d=depth: FedForestClassifier(trees, max_depth=d, n_jobs=2).fit(X, y, silos=silos))
            pooled = RandomForestClassifier(trees, max_depth=depth, n_jobs=2, random_state=0)
            turns.append((own, seconds(lambda pooled=pooled: pooled.fit(X, y))))
        own, theirs = (median(part) for part in zip(*turns, strict=True))
        ratio = median(one / other for one, other in turns)
        print(f"| {depth} | {own:.2f} | {theirs:.2f} | {ratio:.2f} |", flush=True)


def seconds(act: Callable[[], Any]) -> float:
    """How long something takes."""
    started = perf_counter()
    act()
    return perf_counter() - started


if __name__ == "__main__":
    main()
