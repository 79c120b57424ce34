"""What a family of trees costs and what it is worth, on silos that are alike, and as they are.

pip install 'fedtrees[bench,plot]'
python examples/benchmarks/families.py [--figure families.svg]

The adult table of incomes, whose silos are fifteen occupations, or fifteen drawn by lot; without it beside the
checkout, scikit-learn's tumours. All are scored on the same held-out rows. The figure draws scores over what was sent.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import reference_data as data
from numpy.typing import NDArray
from reference_data import Absent, Reference
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from fedtrees import FedAdaBoostClassifier, FedForestClassifier, FedGBTClassifier
from fedtrees.core.rng import stream
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
    model = family.make(size).fit(X[train], y[train], silos[train])
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
    options = parser.parse_args()
    of = table()
    splits = {"as they are": of.silos, "by lot": partition_iid(len(of.y), len(np.unique(of.silos)))}
    print("| silos | family | size | AUC | accuracy | rounds | MB | seconds |\n" + "|---" * 8 + "|")
    lines: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for split, silos in splits.items():
        for family in FAMILIES:
            for size in family.sizes[: 1 if options.quick else None]:
                own = measure(family, size, of, silos)
                lines.setdefault((split, family.name), []).append((own["MB"], own["AUC"]))
                cells = [split, family.name, str(size), f"{own['AUC']:.4f}", f"{own['accuracy']:.2%}"]
                cells += [f"{own['rounds']:.0f}", f"{own['MB']:,.1f}", f"{own['seconds']:.1f}"]
                print("| " + " | ".join(cells) + " |", flush=True)
    if options.figure:
        draw(lines, options.figure)


def draw(lines: dict[tuple[str, str], list[tuple[float, float]]], path: str) -> None:
    """Draw the AUC over megabytes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    colours = {family.name: f"C{place}" for place, family in enumerate(FAMILIES)}
    for (split, family), points in lines.items():
        sent, right = zip(*points, strict=True)
        style = "-" if split == "as they are" else "--"
        axes.plot(sent, right, style, marker="o", color=colours[family], label=f"{family}, silos {split}")
    axes.set(xlabel="MB to and from all silos", ylabel="AUC", xscale="log")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    main()
