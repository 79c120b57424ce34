"""Every objective on real tables, federated over their silos, beside XGBoost on the pooled rows.

pip install '.[bench]'
python examples/benchmarks/parity.py

Both train with the same parameters and are scored on the same held-out rows by the same function: the table's own, or
the mean of five folds where those are few, since a few hundred rows score other cut points by luck. Silos are the
table's own, too: occupations, hospitals, states, cuts of diamonds. "Same bytes" says whether the model is the same
file, byte for byte, over those silos, over five drawn by lot, and pooled. Tables that are not there are left out; two
of scikit-learn's always are. Of a row beyond its limit, it is printed what XGBoost makes of our cut points, and of a
few bins more or less: by how much a score of this table moves for no reason.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
import reference_data as data
import xgboost
from numpy.typing import NDArray
from reference_data import Absent, Reference
from scipy.stats import norm
from sklearn import datasets, metrics
from sklearn.model_selection import KFold, StratifiedKFold

from fedtrees import FedGBTClassifier, FedGBTRanker, FedGBTRegressor, LocalFederation
from fedtrees.core.numeric.rng import stream
from fedtrees.trees.losses import LOSSES
from fedtrees.trees.model.cuts import Cuts

Array = NDArray[Any]


# -- tables -------------------------------------------------------------------------------------------------


def breast_cancer() -> Reference:
    """569 tumours; whether one is benign; five clinics drawn by lot."""
    X, y = datasets.load_breast_cancer(return_X_y=True, as_frame=True)
    return _apart(X.astype(np.float32), y.to_numpy())


def diabetes() -> Reference:
    """442 patients; how a year went, a number; five clinics drawn by lot."""
    X, y = datasets.load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    return _apart(X.astype(np.float32), y.to_numpy())


def rare_events() -> Reference:
    """200,000 rows, drawn: an event in ten thousand; twelve branches."""
    rng = stream(0, "rare events")
    X = pd.DataFrame(rng.normal(size=(200_000, 3)).astype(np.float32), columns=list("abc"))
    y = rng.random(len(X)) < 1 / (1 + np.exp(-(np.log(1e-4) - 1 + 1.5 * X.a)))
    return Reference(X, y.to_numpy().astype(int), rng.integers(12, size=len(X)).astype(str), rng.random(len(X)) < 0.5)


def claims() -> Reference:
    """20,000 insurance claims, drawn: sizes from cents to millions, most of them small; twelve branches."""
    rng = stream(0, "claims")
    X = pd.DataFrame(rng.normal(size=(20_000, 6)).astype(np.float32), columns=list("abcdef"))
    size = np.exp(1.5 * X.a + X.b * (X.c > 0) - 0.5 * X.d + 2.0 * rng.normal(size=len(X)))
    branch = np.minimum(np.floor(rng.exponential(2.0, len(X))), 11).astype(int).astype(str)
    return Reference(X, size.to_numpy().astype(np.float64), branch, rng.random(len(X)) < 0.75)


def adult_categories() -> Reference:
    """The adult table, its text columns as pandas' categories."""
    table = data.adult_income()
    texts = [column for column in table.X if table.X[column].nunique() < 60 and column != "education-num"]
    names = {column: table.X[column].map("no. {:.0f}".format, na_action="ignore") for column in texts}
    X = table.X.assign(**{column: own.astype("category") for column, own in names.items()})
    return table._replace(X=X)


def delays() -> Reference:
    """The claims as times: those over 20 are known by that bound alone, and a tenth by a range."""
    table = claims()
    lower, upper = np.minimum(table.y, 20.0), np.where(table.y > 20.0, np.inf, table.y)
    some = stream(0, "ranges").random(len(lower)) < 0.1
    upper = np.where(some & np.isfinite(upper), 2 * upper, upper)
    return table._replace(y=np.stack([lower, upper], axis=1))


def _apart(X: Any, y: Array) -> Reference:
    rng = stream(0, "clinics")
    return Reference(X, y, rng.integers(5, size=len(y)).astype(str), rng.random(len(y)) < 0.75)


# -- scores: what they are called, how they are computed, whether more is better ----------------------------


@dataclass(frozen=True)
class Score:
    """A score of predictions; ``limit`` is what may be lost to XGBoost, as a share of it where ``relative``."""

    name: str
    of: Callable[[Array, Array], float]
    limit: float
    more_is_better: bool = False
    relative: bool = True

    def lost(self, ours: float, theirs: float) -> float:
        """By how much ours is worse; negative where it is better."""
        difference = theirs - ours if self.more_is_better else ours - theirs
        return difference / abs(theirs) if self.relative else difference


AUC = Score("AUC", metrics.roc_auc_score, 0.001, more_is_better=True, relative=False)
ACCURACY = Score("accuracy", lambda y, p: metrics.accuracy_score(y, p), 0.005, more_is_better=True, relative=False)
LOG_LOSS = Score("log loss", metrics.log_loss, 0.005)
RMSE = Score("RMSE", metrics.root_mean_squared_error, 0.005)
RMSLE = Score("RMSLE", metrics.root_mean_squared_log_error, 0.005)
MAE = Score("MAE", metrics.mean_absolute_error, 0.005)
POISSON = Score("Poisson deviance", metrics.mean_poisson_deviance, 0.005)
GAMMA = Score("gamma deviance", metrics.mean_gamma_deviance, 0.005)
PINBALL = Score("pinball loss at 0.9", lambda y, p: metrics.mean_pinball_loss(y, p, alpha=0.9), 0.005)
TWEEDIE = Score("Tweedie deviance", lambda y, p: metrics.mean_tweedie_deviance(y, p, power=1.5), 0.005)


def aft_likelihood(y: Array, predicted: Array) -> float:
    """Minus the mean logarithm of the likelihood of normal noise of scale 2: of times, or of bounds."""
    z = (np.log(np.maximum(y, 1e-300)) - np.log(predicted)[:, None]) / 2.0
    known = y[:, 0] == y[:, 1]
    density = norm.pdf(z[:, 0]) / (2.0 * np.maximum(y[:, 0], 1e-300))
    between = norm.cdf(z[:, 1]) - norm.cdf(z[:, 0])
    return float(-np.log(np.maximum(np.where(known, density, between), 1e-12)).mean())


def mean_ndcg(y: Array, predicted: Array) -> float:
    """The mean NDCG of ten ranks over queries, which stand beside the relevances."""
    relevance, query = y.T
    each = [
        metrics.ndcg_score([2 ** relevance[own] - 1], [predicted[own]], k=10)
        for own in (query == name for name in np.unique(query))
        if relevance[own].any()
    ]
    return float(np.mean(each))


LIKELIHOOD = Score("AFT log loss", aft_likelihood, 0.005)
NDCG = Score("NDCG@10", mean_ndcg, 0.005, more_is_better=True, relative=False)


# -- cases --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """An objective on a table."""

    objective: str
    table: Callable[[], Reference]
    score: Score
    target: Callable[[Array], Array] = lambda y: y
    params: dict[str, Any] = field(default_factory=dict)


CASES = [
    Case("binary:logistic", data.adult_income, AUC),
    Case("binary:logistic", data.a9a, AUC),
    Case("binary:logistic", breast_cancer, AUC),
    Case("binary:logitraw", data.adult_income, AUC),
    Case("binary:hinge", data.adult_income, ACCURACY),
    Case("multi:softprob", data.lightgbm_multiclass5_7k, LOG_LOSS),
    Case("multi:softmax", data.lightgbm_multiclass5_7k, ACCURACY),
    Case("reg:squarederror", data.diamonds, RMSE),
    Case("reg:squarederror", data.communities_crime, RMSE),
    Case("reg:squarederror", diabetes, RMSE),
    Case("reg:squaredlogerror", data.diamonds, RMSLE, params={"learning_rate": 0.3}),
    Case("reg:logistic", data.communities_crime, RMSE, target=lambda y: np.minimum(y / 5000, 1)),
    Case("reg:pseudohubererror", data.diamonds, MAE, target=lambda y: y / 1000),
    Case("reg:absoluteerror", data.diamonds, MAE),
    Case("reg:gamma", data.diamonds, GAMMA),
    Case("reg:tweedie", data.communities_crime, TWEEDIE),
    Case("count:poisson", data.communities_crime, POISSON, target=np.round),
    Case("reg:squarederror", claims, RMSE),
    Case("reg:gamma", claims, GAMMA),
    Case("reg:tweedie", claims, TWEEDIE, target=lambda y: np.where(y < 1, 0, y)),
    Case("count:poisson", claims, POISSON, target=np.round),
    Case("reg:quantileerror", data.diamonds, PINBALL, params={"quantile_alpha": 0.9}),
    Case("binary:logistic", adult_categories, AUC, params={"enable_categorical": True}),
    Case("survival:aft", delays, LIKELIHOOD, params={"aft_loss_distribution_scale": 2.0}),
    Case("rank:ndcg", data.lightgbm_lambdarank, NDCG),
    Case("rank:pairwise", data.lightgbm_lambdarank, NDCG),
]


@dataclass(frozen=True)
class Row:
    """What one case came to."""

    case: Case
    rows: int
    silos: int
    ours: float
    theirs: float
    same_bytes: bool
    why: str = ""

    @property
    def fine(self) -> bool:
        """Whether what is lost to XGBoost is within the limit."""
        return self.case.score.lost(self.ours, self.theirs) <= self.case.score.limit

    def cells(self) -> list[str]:
        """The line of the table."""
        lost = self.case.score.lost(self.ours, self.theirs)
        return [
            f"`{self.case.objective}`", self.case.table.__name__, f"{self.rows:,}", str(self.silos),
            self.case.score.name, f"{self.theirs:.5g}", f"{self.ours:.5g}", f"{-lost:+.2%}",
            "yes" if self.fine else "NO",
            "yes" if self.same_bytes else "NO",
        ]  # fmt: skip


HEADER = [
    "objective", "table", "rows", "silos", "score", "XGBoost pooled", "fedtrees federated", "better by", "within limit",
    "same bytes",
]  # fmt: skip


def run(case: Case, trees: int) -> Row:
    """Train both, score both, and train ours over two more partitions."""
    X, y, silos, own_rows = case.table()
    y = case.target(y)
    params = {"n_estimators": trees, "learning_rate": 0.1, "objective": case.objective, **case.params}
    kind, fit_theirs = _libraries(case.objective)
    whose = y[:, 1].astype(int) if case.objective.startswith("rank:") else np.arange(len(y))  # queries stay whole
    by_lot = stream(0, "lot").integers(5, size=whose.max() + 1)[whose]
    ours, pooled, bytes_of = [], [], set()
    for train, test in _splits(y, own_rows):
        model = _fit(kind(**params), X.iloc[train], y[train], silos[train])
        theirs = fit_theirs({**params, "tree_method": "hist", "max_depth": 6}, X.iloc[train], y[train])
        for scores, fitted in ((ours, model), (pooled, theirs)):
            scores.append(case.score.of(y[test], _predicted(fitted, X.iloc[test], case)))
        if not bytes_of:
            partitions = (by_lot[train], None)
            again = [_fit(kind(**params), X.iloc[train], y[train], partition) for partition in partitions]
            bytes_of = {bytes(one.booster_.save_raw()) for one in (model, *again)}
    n_silos = len(np.unique(silos))
    row = Row(case, len(y), n_silos, float(np.mean(ours)), float(np.mean(pooled)), len(bytes_of) == 1)
    return row if row.fine else replace(row, why=_why(case, X, y, silos, *next(_splits(y, own_rows)), params))


def _why(case: Case, X: Any, y: Array, silos: Array, train: Array, test: Array, params: dict[str, Any]) -> str:
    """What XGBoost scores with our cut points, and with more and fewer of its own."""
    federation = LocalFederation.from_table(X.iloc[train], y[train], silos=silos[train])
    FedGBTRegressor(**params).fit_federation(federation)
    begin = federation._fused.state.begin
    cuts, values = Cuts(begin.values, begin.offsets, begin.missing), X.to_numpy(np.float32)
    codes = [np.searchsorted(cuts.of(f)[:-1], column, side="right") for f, column in enumerate(values.T)]
    ours = np.where(np.isnan(values), np.nan, np.stack(codes, axis=1)).astype(np.float32)
    start = np.full(len(y), begin.base_margin[0], np.float32)
    own = {name: value for name, value in params.items() if name != "n_estimators"}

    def score(table: Array, bins: int, start: Array | None) -> float:
        matrix = xgboost.QuantileDMatrix(
            table[train], y[train], max_bin=bins, base_margin=None if start is None else start[train]
        )
        settings = {**own, "tree_method": "hist", "max_depth": 6, "max_bin": bins}
        model = xgboost.train(settings, matrix, params["n_estimators"])
        held_out = xgboost.DMatrix(table[test], base_margin=None if start is None else start[test])
        return case.score.of(y[test], model.predict(held_out))

    each = [score(values, bins, None) for bins in range(250, 263, 2)]
    return (
        f"`{case.objective}` on {case.table.__name__}: XGBoost given our cut points scores "
        f"{score(ours, 512, start):.5g}; given 250, 252, ... 262 bins of its own, {min(each):.5g} to {max(each):.5g}."
    )


def _fit(model: Any, X: Any, y: Array, silos: Array | None) -> Any:
    if isinstance(model, FedGBTRanker):
        return model.fit(X, y[:, 0], silos=silos, qid=y[:, 1].astype(int))
    return model.fit(X, y, silos=silos)


def _libraries(objective: str) -> tuple[Any, Callable[[dict[str, Any], Any, Array], Any]]:
    """Our estimator of an objective, and what fits XGBoost's model."""
    if objective.startswith(("binary:", "multi:")):
        return FedGBTClassifier, lambda params, X, y: xgboost.XGBClassifier(**params).fit(X, y)
    if objective.startswith("rank:"):
        return FedGBTRanker, lambda params, X, y: xgboost.XGBRanker(**params).fit(X, y[:, 0], qid=y[:, 1].astype(int))
    return FedGBTRegressor, _fit_bounds if objective == "survival:aft" else (
        lambda params, X, y: xgboost.XGBRegressor(**params).fit(X, y)
    )


def _fit_bounds(params: dict[str, Any], X: Any, y: Array) -> Any:
    """XGBoost takes bounds of a matrix only."""
    matrix = xgboost.QuantileDMatrix(X)
    matrix.set_float_info("label_lower_bound", y[:, 0])
    matrix.set_float_info("label_upper_bound", y[:, 1])
    rounds = params.pop("n_estimators")
    booster = xgboost.train(params, matrix, rounds)
    model = xgboost.XGBRegressor()
    model.load_model(bytearray(booster.save_raw()))
    return model


def _splits(y: Array, train: Array) -> Iterator[tuple[Array, Array]]:
    if np.count_nonzero(~train) >= 1000 or y.ndim == 2:  # searches stay whole
        yield np.flatnonzero(train), np.flatnonzero(~train)
        return
    kind = StratifiedKFold if y.dtype.kind == "i" and len(np.unique(y)) < 10 else KFold
    yield from kind(5, shuffle=True, random_state=0).split(y, y)


def _predicted(model: Any, X: Any, case: Case) -> Array:
    if case.score is ACCURACY or not hasattr(model, "predict_proba"):
        return np.asarray(model.predict(X))
    p = np.asarray(model.predict_proba(X), np.float64)
    return p[:, 1] if p.shape[1] == 2 else p / p.sum(axis=1, keepdims=True)


def rows(trees: int, quick: bool) -> Iterator[Row]:
    """Every case whose objective is known and whose table is there."""
    for case in CASES:
        if case.objective in LOSSES and (not quick or case.table in (breast_cancer, diabetes)):
            try:
                yield run(case, trees)
            except Absent as absent:
                print(f"left out: {absent}")


def areas() -> Iterator[str]:
    """How far areas under the curve from histograms of scores are from exact ones, and by how much they might be."""
    for table in (data.adult_income, data.a9a, rare_events, breast_cancer):
        try:
            X, y, silos, train = table()
        except Absent:
            continue
        model = FedGBTClassifier(50, learning_rate=0.1, eval_metric="auc")
        model.fit(X[train], y[train], silos=silos[train], eval_set=[(X[~train], y[~train])])
        exact = metrics.roc_auc_score(y[~train], model.predict(X[~train], output_margin=True))
        off = abs(model.evals_result_["validation_0"]["auc"][-1] - exact)
        rounds = model.ledger_.per_round()["kind"].str.contains("ForestScores").sum() / 50
        most = max(model.evals_uncertainty_["validation_0"]["auc"])
        yield f"{table.__name__}: off by {off:.1e}, bound {most:.1e}, {rounds:.2f} messages a round"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trees", type=int, default=100, help="rounds of boosting (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="5 rounds, two tables: only to see that it runs")
    options = parser.parse_args()
    trees = 5 if options.quick else options.trees
    print(f"XGBoost {xgboost.__version__}; {trees} rounds of depth 6, learning rate 0.1.\n")
    print("| " + " | ".join(HEADER) + " |\n" + "|---" * len(HEADER) + "|")
    reasons = []
    for row in rows(trees, options.quick):
        print("| " + " | ".join(row.cells()) + " |", flush=True)
        reasons += [row.why] if row.why else []
    print("\nRows beyond their limit:", *reasons or ["none."], sep="\n- " if reasons else " ")
    print("\nThe metric `auc` is read off histograms of scores: " + "; ".join(areas()) + ".")
    print("The histogram alone cannot tell scores that are equal from those that only share a bucket; the bound can.")


if __name__ == "__main__":
    main()
