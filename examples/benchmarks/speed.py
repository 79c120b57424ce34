"""How long fedtrees, XGBoost and LightGBM take over the same rows, and how much memory.

pip install '.[bench]'
python examples/benchmarks/speed.py --growth --startup

Every fit has a fresh process of its own, in which a small fit goes first, so that nothing is compiled or imported while
the clock runs. The contenders take turns, so that a machine's moods meet all of them; a ratio compares two fits of the
same turn, and all figures are medians over the turns. The tables are printed as Markdown.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from contenders import Contender, Figures, Task, measure, memory_of_data, write_table

FEATURES = 28
GROWTH = ((100_000, 28), (1_000_000, 28), (4_000_000, 28), (100_000, 280))  # rows, features
REFERENCE = Contender("XGBoost hist")

Turns = dict[Contender, list[Figures]]  # of each contender, its figures turn by turn
Result = TypeVar("Result")


def main() -> None:
    """Print the tables."""
    options = _options()
    task = Task(options.trees, options.threads)
    versions = ", ".join(f"{name} {version(name)}" for name in ("xgboost", "lightgbm", "numba", "numpy"))
    print(
        f"{_cores()} cores, {task.threads} threads; Python {sys.version.split()[0]}, {versions}.\n"
        f"{task.trees} trees of depth 6, 256 bins, learning rate 0.1; medians over {options.repeats} turn(s).\n",
        flush=True,
    )
    silos = [1, options.rows // 10] if options.quick else [1, 10, 100, options.rows // 10]
    compare(options.rows, silos, task, options.repeats, options.missing)
    if options.growth:
        grow(task, options.repeats, options.missing)
    if options.startup:
        start_up(task.threads)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="to train on (default: %(default)s)")
    parser.add_argument("--trees", type=int, default=100, help="2 or more (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="turns (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of every contender (default: %(default)s)")
    parser.add_argument("--missing", type=float, default=0.0, help="share of values (default: %(default)s)")
    parser.add_argument("--growth", action="store_true", help="also: how time grows with rows and features")
    parser.add_argument("--startup", action="store_true", help="also: seconds from a fresh process to a first model")
    parser.add_argument("--quick", action="store_true", help="20,000 rows, 5 trees, 1 turn: only to see that it runs")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.trees, options.repeats, options.growth = 20_000, 5, 1, False
    if options.rows < 2_000 or options.trees < 2 or min(options.repeats, options.threads) < 1:
        parser.error("give 2,000 rows, 2 trees, 1 turn and 1 thread at the least.")
    if find_spec("lightgbm") is None:
        parser.error("LightGBM is not installed: pip install '.[bench]'.")
    return options


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# -- the contenders beside each other -----------------------------------------------------------------------


def compare(rows: int, silos: Sequence[int], task: Task, repeats: int, missing: float) -> None:
    """Print the main table: every contender over the same rows, fedtrees over so many silos each."""
    contenders = [
        REFERENCE,
        *(Contender("fedtrees", n_silos) for n_silos in silos),
        Contender("LightGBM"),
        Contender("LightGBM, quantised"),
    ]
    with TemporaryDirectory() as name:
        folder = Path(name)
        _apart(write_table, folder, rows, FEATURES, missing)
        alone = _apart(memory_of_data, folder)
        turns = _take_turns(contenders, folder, task, repeats)
    print(f"## {rows:,} rows of {FEATURES} features\n")
    _print_table(
        "trained by; prepare, s; train, s; a tree, ms; whole fit, s; whole ÷ XGBoost's; a tree ÷ XGBoost's; "
        "peak, MB; the fit adds, MB; AUC",
        [
            *(_row(contender, turns) for contender in contenders),
            ["(the data alone)", *[""] * 6, f"{alone:,.0f}", "", ""],
        ],
    )
    _print_notes(turns)


def _print_notes(turns: Turns) -> None:
    ours = [contender for contender in turns if contender.library == "fedtrees"]
    if len({figures.digest for contender in ours for figures in turns[contender]}) > 1:
        sys.exit("The models of fedtrees differ from partition to partition; they must not.")
    print("The models of fedtrees are the same bytes, whatever the silos.")
    spans = []
    for contender in (REFERENCE, ours[0]):
        seconds = [figures.whole for figures in turns[contender]]
        spans.append(f"{contender}, {min(seconds):.2f} to {max(seconds):.2f} s")
    print(f"Whole fits, from the quickest turn to the slowest: {'; '.join(spans)}.")
    firsts: dict[str, float] = {}
    for contender, figures in turns.items():
        firsts.setdefault(contender.library, figures[0].first_use)  # later processes read compiled kernels from disk
    listed = "; ".join(f"{library}, {seconds:.1f} s" for library, seconds in firsts.items())
    print(f"Not in the table, a process's first use (imports, kernels, a fit of 2,000 rows): {listed}.\n", flush=True)


def _row(contender: Contender, turns: Turns) -> list[str]:
    def middle(figure: Callable[[Figures], float]) -> float:
        return median(figure(turn) for turn in turns[contender])

    return [
        str(contender),
        f"{middle(lambda turn: turn.preparation):.2f}",
        f"{middle(lambda turn: turn.training):.2f}",
        f"{middle(lambda turn: turn.tree) * 1000:.1f}",
        f"{middle(lambda turn: turn.whole):.2f}",
        f"{_ratio(contender, turns, lambda turn: turn.whole):.2f}",
        f"{_ratio(contender, turns, lambda turn: turn.tree):.2f}",
        f"{middle(lambda turn: turn.peak):,.0f}",
        f"{middle(lambda turn: turn.added):,.0f}",
        f"{middle(lambda turn: turn.auc):.5f}",
    ]


def _ratio(contender: Contender, turns: Turns, figure: Callable[[Figures], float]) -> float:
    """The median over the turns of a figure, divided by XGBoost's of the same turn."""
    pairs = zip(turns[contender], turns[REFERENCE], strict=True)
    return median(figure(own) / figure(reference) for own, reference in pairs)


def _take_turns(contenders: Sequence[Contender], folder: Path, task: Task, repeats: int) -> Turns:
    """Measure all contenders, then all again, there and back, so that none is always the first or the last."""
    turns: Turns = {contender: [] for contender in contenders}
    for turn in range(repeats):
        for contender in contenders[:: -1 if turn % 2 else 1]:
            figures = _apart(measure, contender, folder, task)
            turns[contender].append(figures)
            print(f"turn {turn + 1} of {repeats}: {contender}, {figures.whole:.2f} s", file=sys.stderr, flush=True)
    return turns


def _apart(task: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function in a fresh process.

    Its peak memory starts at what this one holds, as the system counts it: this one holds no table and stays small.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(task, *arguments).result()


# -- growth -------------------------------------------------------------------------------------------------


def grow(task: Task, repeats: int, missing: float) -> None:
    """Print how time grows with rows and features, fedtrees beside XGBoost."""
    ours = Contender("fedtrees")
    lines = []
    for rows, features in GROWTH:
        with TemporaryDirectory() as name:
            _apart(write_table, Path(name), rows, features, missing)
            turns = _take_turns([REFERENCE, ours], Path(name), task, repeats)
        lines.append([f"{rows:,}", f"{features}"])
        for contender in (ours, REFERENCE):
            prepare = median(turn.preparation for turn in turns[contender]) / rows
            tree = median(turn.tree for turn in turns[contender]) / rows
            lines[-1] += [f"{prepare * 1e9:,.0f}", f"{tree * 1e9:.1f}"]
        lines[-1] += [f"{_ratio(ours, turns, lambda turn: turn.whole):.2f}"]
        lines[-1] += [f"{_ratio(ours, turns, lambda turn: turn.tree):.2f}"]
    print("## How it grows: nanoseconds a row\n")
    _print_table(
        "rows; features; fedtrees: prepare; fedtrees: a tree; XGBoost: prepare; XGBoost: a tree; "
        "whole ÷ XGBoost's; a tree ÷ XGBoost's",
        lines,
    )


# -- starting up --------------------------------------------------------------------------------------------

STARTS = {  # library: what is imported first, how the estimator is got, and how it is made
    "fedtrees": ("import fedtrees", "from fedtrees import FedGBTClassifier as Classifier"),
    "XGBoost": ("import xgboost", "from xgboost import XGBClassifier as Classifier"),
}
SCRIPT = """
from time import perf_counter
marks = [perf_counter()]
{package}
marks.append(perf_counter())
{estimator}
marks.append(perf_counter())
import numpy as np
X = np.random.default_rng(0).standard_normal((10_000, 28), dtype=np.float32)
y = (X[:, 0] * X[:, 1] > X[:, 2]).astype(int)
marks.append(perf_counter())
Classifier(n_estimators=10, max_depth=6, n_jobs={threads}).fit(X, y)
marks.append(perf_counter())
print(marks[1] - marks[0], marks[2] - marks[1], marks[4] - marks[3])
"""


def start_up(threads: int) -> None:
    """Print the seconds of imports and of a process's first fit: on a new machine, and once kernels are on disk."""
    lines = []
    with TemporaryDirectory() as empty:
        for library, what in (
            ("fedtrees", "fedtrees, kernels to be compiled"),
            ("fedtrees", "fedtrees, kernels on disk"),
            ("XGBoost", "XGBoost"),
        ):
            package, estimator = STARTS[library]
            script = SCRIPT.format(package=package, estimator=estimator, threads=threads)
            done = subprocess.run(
                [sys.executable, "-P", "-c", script],  # -P: no file of the present folder is taken for a package
                env=os.environ | {"NUMBA_CACHE_DIR": empty},
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            lines.append([what, *(f"{float(seconds):.2f}" for seconds in done.stdout.split())])
    print("## Starting up: seconds of a fresh process\n")
    _print_table("process; import the package; import the estimator; first fit, of 10,000 rows and 10 trees", lines)


# -- printing -----------------------------------------------------------------------------------------------


def _print_table(header: str, rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table: the header's cells apart by semicolons, text to the left, numbers to the right."""
    cells = [header.split("; "), *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    first, *others = widths
    lines = [
        [row[0].ljust(first), *(cell.rjust(width) for cell, width in zip(row[1:], others, strict=True))]
        for row in cells
    ]
    lines.insert(1, ["-" * first, *("-" * (width - 1) + ":" for width in others)])
    for line in lines:
        print(f"| {' | '.join(line)} |")
    print(flush=True)


if __name__ == "__main__":
    main()
