"""The protocol of McMahan et al. (2016) on MNIST: rounds to 97 %, other methods on skewed silos, and seconds a round.

pip install '.[torch]'
python examples/benchmarks/fedavg_mnist.py

A hundred silos of 600 images each, a tenth of them drawn a round, one epoch in batches of ten, a network of two hidden
layers of 200 units: the paper's 2NN. Silos are alike (IID), or hold two shards of 300 images of one digit each. Without
MNIST beside the checkout, the digits of scikit-learn stand in, of which a silo holds a dozen; without PyTorch, the
comparison with a plain loop of it is left out.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reference_data import Absent, path_of
from sklearn.datasets import load_digits

from fedtrees import FedAvgClassifier, FixedNumber
from fedtrees.core.numeric.rng import stream
from fedtrees.datasets import partition_classes, partition_dirichlet, partition_iid, partition_shards
from fedtrees.neural.methods import FedProx
from fedtrees.neural.optimisers import FedAdam

Array = NDArray[Any]
SILOS = 100
# Table 1 of the paper: rounds to 97 % of the 2NN with E = 1 and C = 0.1
PAPER = {("IID", "FedAvg"): 87, ("two shards", "FedAvg"): 664, ("IID", "FedSGD"): 1474, ("two shards", "FedSGD"): 1796}


@dataclass(frozen=True)
class Images:
    """Images to train on and to score on; pixels from 0 to 1."""

    name: str
    X: Array
    y: Array
    X_test: Array
    y_test: Array
    target: float  # accuracy to reach


def images() -> Images:
    """MNIST where it is, scikit-learn's digits elsewhere."""
    try:
        with np.load(path_of("mnist.npz")) as file:
            parts = {name: file[name] for name in file.files}
    except Absent:
        X, y = load_digits(return_X_y=True)
        test = stream(0, "test digits").random(len(y)) < 0.2
        X = (X / 16).astype(np.float32)
        return Images("digits", X[~test], y[~test], X[test], y[test], 0.95)
    X, X_test = ((parts[name].reshape(-1, 784) / 255).astype(np.float32) for name in ("x_train", "x_test"))
    return Images("MNIST", X, parts["y_train"].astype(int), X_test, parts["y_test"].astype(int), 0.97)


def estimator(rounds: int, **params: Any) -> FedAvgClassifier:
    """The paper's 2NN and its E = 1, B = 10, C = 0.1."""
    paper = {
        "hidden_layer_sizes": (200, 200), "batch_size": 10, "learning_rate": 0.1, "sampling": 0.1,
        "standardize": False, "eval_metric": "merror",
    }  # fmt: skip
    return FedAvgClassifier(n_rounds=rounds, **{**paper, **params})


def errors(data: Images, silos: Array, model: FedAvgClassifier) -> list[float]:
    """The share of test images that are mistaken, after each round."""
    model.fit(data.X, data.y, silos=silos, eval_set=[(data.X_test, data.y_test)])
    return model.evals_result_["validation_0"]["merror"]


# -- rounds to the target -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """One line of the first table."""

    split: str
    method: str
    rounds: int
    params: dict[str, Any] = field(default_factory=dict)

    def cells(self, data: Images, silos: Array) -> list[str]:
        """Train until the target is reached, or rounds are over."""
        model = estimator(self.rounds, target_score=1 - data.target, **self.params)
        started = perf_counter()
        last = errors(data, silos, model)[-1]
        seconds = perf_counter() - started
        reached = 1 - last >= data.target
        ledger = model.ledger_.per_round()
        up = ledger.bytes_up[ledger.kind == "LocalUpdate"].mean()
        needed = f"{model.n_rounds_}" if reached else f"more than {model.n_rounds_}"
        paper = PAPER.get((self.split, self.method))
        return [
            self.split, self.method, needed, "" if paper is None else str(paper), f"{1 - last:.2%}",
            f"{up / 1e6:.1f}", f"{seconds:.0f}",
        ]  # fmt: skip


def runs(rounds: int | None) -> Iterator[Run]:
    """What is compared; ``rounds`` caps all."""
    for split, most in (("IID", 87), ("two shards", 664)):
        yield Run(split, "FedAvg", rounds or most)
        yield Run(split, "FedSGD", rounds or 200, {"batch_size": None, "upload": "gradients", "learning_rate": 0.5})
        yield Run(split, "FedAvg, server FedAdam", rounds or most, {"server": FedAdam(0.01)})
        yield Run(split, "FedAvg, server FedAvgM", rounds or most, {"server": "fedavgm"})


# -- methods on skewed silos --------------------------------------------------------------------------------

METHODS: dict[str, dict[str, Any]] = {
    "FedAvg": {},
    "FedProx": {"method": FedProx(0.01)},
    "SCAFFOLD": {"method": "scaffold"},
    "FedNova": {"method": "fednova"},
    "FedAdam": {"server": FedAdam(0.01)},
}
SKEWS: dict[str, Callable[[Array], Array]] = {
    "Dirichlet(0.1)": lambda y: partition_dirichlet(y, SILOS, alpha=0.1, balanced=False),
    "one class a silo": lambda y: partition_classes(y, SILOS, 1),
    "two classes a silo": lambda y: partition_classes(y, SILOS, 2),
}


def skew_table(data: Images, rounds: int) -> None:
    """Print the accuracy of every method on every skew: the mean of the last five rounds."""
    print(f"\n### Accuracy after {rounds} rounds, mean of the last five\n")
    header(["silos", *METHODS])
    for name, split in SKEWS.items():
        silos, cells = split(data.y), [name]
        for params in METHODS.values():
            last = errors(data, silos, estimator(rounds, learning_rate=0.05, **params))[-5:]
            cells.append(f"{1 - statistics.fmean(last):.2%}")
        line(cells)


# -- seconds a round ----------------------------------------------------------------------------------------


def ours(data: Images, silos: Array, rounds: int, n_jobs: int | None, drawn: int = 10) -> float:
    """Seconds a round of ours, without scoring."""
    rates: dict[int, float] = {}

    def schedule(round: int) -> float:
        rates.setdefault(round, perf_counter())
        return 1.0

    model = estimator(rounds, schedule=schedule, sampling=FixedNumber(drawn), eval_metric=None, n_jobs=n_jobs)
    model.fit(data.X, data.y, silos=silos)
    return statistics.median(np.diff(list(rates.values()))[1:])


def theirs(data: Images, silos: Array, rounds: int, threads: int) -> float:
    """Seconds a round of the same loop in plain PyTorch."""
    import torch

    nn: Any = torch.nn
    torch.set_num_threads(threads)
    rng = stream(0, "a plain loop")
    own_rows = [silos == own for own in np.unique(silos)]
    parts = [(torch.from_numpy(data.X[rows]), torch.from_numpy(data.y[rows])) for rows in own_rows]
    n, classes = data.X.shape[1], len(np.unique(data.y))
    net = nn.Sequential(nn.Linear(n, 200), nn.ReLU(), nn.Linear(200, 200), nn.ReLU(), nn.Linear(200, classes))
    loss, seconds = nn.CrossEntropyLoss(), []
    for _ in range(rounds):
        started = perf_counter()
        start = {name: own.clone() for name, own in net.state_dict().items()}
        total, rows = {name: torch.zeros_like(own) for name, own in start.items()}, 0
        for place in rng.choice(len(parts), 10, replace=False):
            net.load_state_dict(start)
            optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
            X, y = parts[place]
            for batch in torch.from_numpy(rng.permutation(len(y))).split(10):
                optimiser.zero_grad()
                loss(net(X[batch]), y[batch]).backward()
                optimiser.step()
            for name, own in net.state_dict().items():
                total[name] += len(y) * own
            rows += len(y)
        net.load_state_dict({name: own / rows for name, own in total.items()})
        seconds.append(perf_counter() - started)
    return statistics.median(seconds[1:])


def speed_table(data: Images, rounds: int, turns: int) -> None:
    """Print seconds a round, ours and PyTorch's, in turn; and how they grow with the silos drawn of many tiny ones."""
    silos = partition_iid(len(data.y), SILOS)
    print(f"\n### Seconds a round: {SILOS} silos of {len(data.y) // SILOS} images, 10 drawn\n")
    header(["threads", "fedtrees", "plain PyTorch", "fedtrees ÷ PyTorch"])
    for threads in (1, 2):
        pairs = []
        for _ in range(turns):
            own = ours(data, silos, rounds, threads)
            try:
                pairs.append((own, theirs(data, silos, rounds, threads)))
            except ImportError:
                pairs.append((own, float("nan")))
        ratio = statistics.median(own / other for own, other in pairs)
        own, other = (statistics.median(column) for column in zip(*pairs, strict=True))
        line([str(threads), f"{own:.3f}", f"{other:.3f}", f"{ratio:.2f}"])
    many = 10_000 if len(data.y) >= 60_000 else 200
    silos = partition_iid(len(data.y), many)
    each = len(data.y) // many
    print(f"\n### Seconds a round: {many:,} silos of {each} images\n")
    header(["silos drawn", "images drawn", "seconds", "milliseconds an image"])
    for drawn in (many // 1000 or 1, many // 100, many // 10):
        seconds = ours(data, silos, rounds, None, drawn)
        line([f"{drawn:,}", f"{drawn * each:,}", f"{seconds:.3f}", f"{1000 * seconds / (drawn * each):.3f}"])


# -- printing -----------------------------------------------------------------------------------------------


def header(cells: list[str]) -> None:
    """Print the head of a table."""
    line(cells)
    print("|---" * len(cells) + "|")


def line(cells: list[str]) -> None:
    """Print a line of a table."""
    print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three rounds of everything: only to see that it runs")
    options = parser.parse_args()
    data = images()
    splits = {"IID": partition_iid(len(data.y), SILOS), "two shards": partition_shards(data.y, SILOS)}
    print(f"### {data.name}: rounds until {data.target:.0%} of {len(data.y_test):,} test images are right\n")
    header(["silos", "method", "rounds", "the paper's", "right at last", "MB up a round", "seconds"])
    for run in runs(3 if options.quick else None):
        line(run.cells(data, splits[run.split]))
    skew_table(data, 3 if options.quick else 60)
    speed_table(data, 3 if options.quick else 12, 1 if options.quick else 3)


if __name__ == "__main__":
    main()
