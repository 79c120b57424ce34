"""What the boosted estimators share: reading parameters, running a training, and holding an XGBoost model."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from fedtrees.core.channel import Federation, PlainChannel
from fedtrees.core.cohort import as_sampler
from fedtrees.core.ledger import Ledger
from fedtrees.core.table import Schema, agree, read_features
from fedtrees.core.target import plain_array
from fedtrees.core.threads import Threads
from fedtrees.core.weighting import as_weighting
from fedtrees.errors import DataError, ParameterError, unknown_value
from fedtrees.estimators.callbacks import GrowingModel, check_callbacks
from fedtrees.estimators.monitor import Monitor
from fedtrees.estimators.progress import progress
from fedtrees.export.xgboost import storable_base_margin, to_booster
from fedtrees.queries.metrics import metric_named, metric_of
from fedtrees.runtime.local import LocalFederation
from fedtrees.trees.boost import Ensemble, Settings, boost
from fedtrees.trees.columns import Columns
from fedtrees.trees.constraints import Constraints, Interactions, Monotone
from fedtrees.trees.losses import LOSSES, Loss
from fedtrees.trees.split import SplitRule

if TYPE_CHECKING:
    import xgboost
    from sklearn.utils import Tags

_LARGEST = float(np.finfo(np.float32).max)  # margins and leaves are float32

# name: (whole numbers only, lowest, highest, whether the lowest itself is allowed)
_RANGES: dict[str, tuple[bool, float, float, bool]] = {
    "n_estimators": (True, 1, math.inf, True),
    "max_depth": (True, 0, 30, True),
    "max_leaves": (True, 0, 2**30, True),
    "learning_rate": (False, 0, _LARGEST, False),
    "reg_lambda": (False, 0, _LARGEST, True),
    "reg_alpha": (False, 0, _LARGEST, True),
    "gamma": (False, 0, _LARGEST, True),
    "min_child_weight": (False, 0, _LARGEST, True),
    "max_delta_step": (False, 0, _LARGEST, True),
    "subsample": (False, 0, 1, False),
    "colsample_bytree": (False, 0, 1, False),
    "colsample_bylevel": (False, 0, 1, False),
    "colsample_bynode": (False, 0, 1, False),
    "num_parallel_tree": (True, 1, 10_000, True),
    "max_bin": (True, 2, 65535, True),
    "verbose": (True, 0, math.inf, True),
}

_ATTRIBUTE = "fedtrees"  # what a saved model says of itself beyond what XGBoost keeps


class FedGBT(BaseEstimator):
    """The common part of `FedGBTClassifier` and `FedGBTRegressor`."""

    booster_: xgboost.Booster
    ledger_: Ledger
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]

    def __init__(
        self,
        n_estimators: int = 100,
        *,
        max_depth: int = 6,
        learning_rate: float = 0.3,
        reg_lambda: float = 1.0,
        reg_alpha: float = 0.0,
        gamma: float = 0.0,
        min_child_weight: float = 1.0,
        max_delta_step: float = 0.0,
        max_leaves: int = 0,
        grow_policy: str = "depthwise",
        num_parallel_tree: int = 1,
        subsample: float = 1.0,
        colsample_bytree: float = 1.0,
        colsample_bylevel: float = 1.0,
        colsample_bynode: float = 1.0,
        monotone_constraints: Monotone = None,
        interaction_constraints: Interactions = None,
        max_bin: int = 256,
        base_score: float | None = None,
        objective: str | None = None,
        eval_metric: str | Sequence[str] | None = None,
        early_stopping_rounds: int | None = None,
        callbacks: Sequence[Any] | None = None,
        sampling: Any = 1.0,
        weighting: Any = "rows",
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ):
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.reg_lambda = reg_lambda
        self.reg_alpha = reg_alpha
        self.gamma = gamma
        self.min_child_weight = min_child_weight
        self.max_delta_step = max_delta_step
        self.max_leaves = max_leaves
        self.grow_policy = grow_policy
        self.num_parallel_tree = num_parallel_tree
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.colsample_bylevel = colsample_bylevel
        self.colsample_bynode = colsample_bynode
        self.monotone_constraints = monotone_constraints
        self.interaction_constraints = interaction_constraints
        self.max_bin = max_bin
        self.base_score = base_score
        self.objective = objective
        self.eval_metric = eval_metric
        self.early_stopping_rounds = early_stopping_rounds
        self.callbacks = callbacks
        self.sampling = sampling
        self.weighting = weighting
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    # -- what a subclass says -------------------------------------------------------------------------------

    _classifies: bool
    _loads: tuple[str, ...]  # objectives, or their beginnings, whose predictions mean what `predict` returns

    def _loss(self, labels: list[Any] | None) -> Loss:
        raise NotImplementedError

    # -- fitting --------------------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        silos: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        eval_set: Sequence[tuple[Any, Any]] = (),
        eval_silos: Sequence[ArrayLike | None] | None = None,
        sample_weight_eval_set: Sequence[ArrayLike | None] | None = None,
        row_id: ArrayLike | None = None,
    ) -> Self:
        """Train over the silos of one table, in this process.

        Law: with the default sampling and weighting, the model is the same bytes whatever ``silos`` says.

        Parameters
        ----------
        X : DataFrame or array-like (rows, features)
            Numbers, booleans or pandas categories (read as their codes). Missing is NaN.
        y : array-like (rows,)
        silos : array-like (rows,), optional
            Whose each row is; None is one silo that holds all.
        sample_weight : array-like (rows,), optional
            At least 0.
        eval_set : sequence of (X, y), optional
            Rows to score on after every round, called ``validation_0`` and so on.
        eval_silos : sequence of array-like, optional
            The silo ids of their rows; scores are the same sums whoever holds them.
        sample_weight_eval_set : sequence of array-like, optional
            The weights of their rows.
        row_id : array-like (rows,), optional
            Whole numbers or texts that name the rows, for ``subsample``: with them, the rows that a tree draws do not
            depend on ``silos``. Without, a row is named by its silo and its place there.

        Returns
        -------
        self

        Raises
        ------
        DataError
            Naming silo and column, before any training.
        ParameterError
            Naming the parameter, before anything is read.
        """
        self._check_parameters()
        if y is None:
            raise DataError("requires y to be passed, but the target y is None.")
        weights = [None] * len(eval_set) if sample_weight_eval_set is None else list(sample_weight_eval_set)
        if len(weights) != len(eval_set):
            raise ParameterError(f"sample_weight_eval_set has {len(weights)} entries for {len(eval_set)} in eval_set.")
        federation = LocalFederation.from_table(
            X, _column(y), silos, sample_weight,
            eval_set=[_with_weight(own, weight) for own, weight in zip(eval_set, weights, strict=True)],
            eval_silos=eval_silos, row_id=row_id, n_jobs=self.n_jobs,
        )  # fmt: skip
        try:
            return self.fit_federation(federation)
        finally:
            federation.close()

    def fit_federation(self, federation: Federation) -> Self:
        """Train over the silos of a federation, wherever they are.

        Returns
        -------
        self

        Raises
        ------
        SchemaError
            If the silos' columns differ, naming silo and column, before any training.
        DataError, ParameterError
            See `fit`.
        """
        self._check_parameters()
        if not hasattr(federation, "schemas"):
            given = type(federation).__name__
            raise ParameterError(f"federation: give one, such as fedtrees.LocalFederation(silos), and not a {given}.")
        schema = agree(federation.schemas(labels=self._classifies))
        loss = self._loss(schema.labels)
        settings = self._settings(loss, schema, getattr(federation, "eval_sets", 0))
        channel = PlainChannel(federation, settings.seed)
        with Threads(self.n_jobs) as threads, progress(self.verbose, settings.n_estimators) as shown:
            model = GrowingModel(lambda grown: self._export(grown, schema, loss), settings.rule.learning_rate)
            callbacks = check_callbacks(self.callbacks)
            monitor = Monitor(settings.eval_metrics, self.early_stopping_rounds, shown, callbacks, model)
            monitor.callbacks.start()
            ensemble = boost(
                channel, len(federation.names), len(schema.names), schema.labels, settings, threads,
                lambda margin: storable_base_margin(loss.name, margin), monitor,
            )  # fmt: skip
        monitor.callbacks.end()
        self.ledger_ = channel.ledger
        if not ensemble.trees:
            raise ParameterError("callbacks: one of them ended the training before its first round.")
        booster = self._export(ensemble, schema, loss)
        booster.set_attr(**model.attributes)
        self._hold(booster, schema)
        self._note(monitor)
        return self

    def _note(self, monitor: Monitor | None) -> None:
        """Keep what the evaluation sets said; as with XGBoost, predictions end with the best round if it was sought."""
        for name in ("evals_result_", "best_iteration", "best_score"):
            self.__dict__.pop(name, None)
        if monitor is not None and monitor.history:
            self.evals_result_ = monitor.history
        if monitor is not None and self.early_stopping_rounds is not None:
            best, score = monitor.best_iteration, monitor.best_score
            self.booster_.set_attr(best_iteration=str(best), best_score=str(score))
        noted = self.booster_.attr("best_iteration")
        if noted is not None:  # a callback may have sought it, too, or it came with a file
            self.best_iteration, self.best_score = int(noted), float(self.booster_.attr("best_score") or math.nan)

    def _settings(self, loss: Loss, schema: Schema, eval_sets: int) -> Settings:
        if self.early_stopping_rounds is not None and not eval_sets:
            raise ParameterError("early_stopping_rounds needs an eval_set, in fit or in each Silo, to look at.")
        seed, constraints = _seed(self.random_state), None
        if self.monotone_constraints is not None or self.interaction_constraints is not None:
            constraints = Constraints.of(self.monotone_constraints, self.interaction_constraints, schema.names)
        shares = (float(own) for own in (self.colsample_bytree, self.colsample_bylevel, self.colsample_bynode))
        columns = Columns(len(schema.names), seed, *shares)
        return Settings(
            loss=loss,
            n_estimators=int(self.n_estimators),
            max_depth=int(self.max_depth),
            max_bin=int(self.max_bin),
            rule=SplitRule(
                reg_lambda=float(self.reg_lambda),
                reg_alpha=float(self.reg_alpha),
                gamma=float(self.gamma),
                min_child_weight=float(self.min_child_weight),
                learning_rate=float(self.learning_rate),
                max_delta_step=float(self.max_delta_step),
            ),
            constraints=constraints,
            columns=None if columns.all else columns,
            max_leaves=int(self.max_leaves),
            best_first=self.grow_policy == "lossguide",
            parallel=int(self.num_parallel_tree),
            subsample=float(self.subsample),
            base_score=self.base_score if self.base_score is None else float(self.base_score),
            sampler=as_sampler(self.sampling),
            weighting=as_weighting(self.weighting),
            seed=seed,
            eval_names=[f"validation_{place}" for place in range(eval_sets)],
            eval_metrics=self._metrics() or [metric_of(loss.name)],
        )

    def _metrics(self) -> list[str]:
        given = self.eval_metric
        return [] if given is None else [given] if isinstance(given, str) else list(given)

    def _check_parameters(self) -> None:
        for name, (whole, low, high, closed) in _RANGES.items():
            value = getattr(self, name)
            kind = Integral if whole else Real
            fine = isinstance(value, kind) and (not isinstance(value, bool) or name == "verbose")
            if not fine or not (low <= value <= high if closed else low < value <= high) or value == math.inf:
                span = f"{'from' if closed else 'above'} {low}" + ("" if high >= _LARGEST else f" to {high}")
                raise ParameterError(f"{name}={value!r}: give {'a whole number' if whole else 'a number'} {span}.")
        known = [name for name, loss in LOSSES.items() if loss.classification == self._classifies]
        if self.objective is not None and self.objective not in known:
            raise unknown_value("objective", self.objective, known)
        if self.grow_policy not in ("depthwise", "lossguide"):
            raise unknown_value("grow_policy", self.grow_policy, ["depthwise", "lossguide"])
        for metric in self._metrics():
            metric_named(metric)
        patience = self.early_stopping_rounds
        if patience is not None and not (isinstance(patience, Integral) and patience > 0):
            raise ParameterError(f"early_stopping_rounds={patience!r}: give a whole number from 1, or None.")
        base_score = self.base_score
        if base_score is not None and not (isinstance(base_score, Real) and abs(base_score) <= _LARGEST):
            raise ParameterError(f"base_score={base_score!r}: give a finite number, or None to estimate it.")
        as_sampler(self.sampling), as_weighting(self.weighting), Threads(self.n_jobs), check_callbacks(self.callbacks)
        if not _is_seed(self.random_state):
            given = f"random_state={self.random_state!r}"
            raise ParameterError(f"{given}: give a whole number, a numpy generator, or None.")

    def _export(self, ensemble: Ensemble, schema: Schema, loss: Loss) -> xgboost.Booster:
        booster: xgboost.Booster = to_booster(
            ensemble.trees,
            ensemble.cuts,
            objective=loss.name,
            base_margin=ensemble.base_margin,
            n_classes=len(schema.labels or ()),
            parallel=ensemble.parallel,
            feature_names=schema.names if schema.named else None,
            feature_types=None,
        )
        about = {"schema": _describe(schema), "params": {"objective": loss.name}}
        booster.set_attr(**{_ATTRIBUTE: json.dumps(about)})
        return booster

    def _hold(self, booster: xgboost.Booster, schema: Schema) -> None:
        booster.set_param({"nthread": Threads(self.n_jobs).n})
        self.booster_, self._schema = booster, schema
        self.n_features_in_ = len(schema.names)
        if schema.named:
            self.feature_names_in_ = np.array(schema.names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    # -- predicting -----------------------------------------------------------------------------------------

    def _predict(self, X: Any) -> NDArray[np.float32]:
        check_is_fitted(self, "booster_")
        values, _ = read_features(X, known=self._schema)
        if len(values) == 0:
            raise DataError(f"Found array with 0 sample(s) (shape={values.shape}) while a minimum of 1 is required.")
        best = getattr(self, "best_iteration", None)
        rounds = (0, 0) if best is None else (0, best + 1)
        prediction: NDArray[np.float32] = self.booster_.inplace_predict(
            values, iteration_range=rounds, validate_features=False
        )
        return prediction

    @property
    def feature_importances_(self) -> NDArray[np.float32]:
        """Each feature's mean gain over the splits it makes, as shares of their sum: float32 (features,).

        As XGBoost's estimators have it for trees; `booster_.get_score` has the other kinds.
        """
        check_is_fitted(self, "booster_")
        gains = self.booster_.get_score(importance_type="gain")
        names = self.booster_.feature_names or [f"f{place}" for place in range(self.n_features_in_)]
        mean = np.array([gains.get(name, 0.0) for name in names], np.float64)
        return (mean / (mean.sum() or 1.0)).astype(np.float32)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    # -- files ----------------------------------------------------------------------------------------------

    def save_model(self, path: str | Path) -> None:
        """Write the model in XGBoost's format, JSON or UBJSON by the file's ending; plain XGBoost opens it.

        Raises
        ------
        FileNotFoundError
            If there is no such folder.
        """
        check_is_fitted(self, "booster_")
        if not Path(path).absolute().parent.is_dir():
            raise FileNotFoundError(f"{path}: there is no such folder.")
        self.booster_.save_model(path)

    def load_model(self, path: str | Path) -> Self:
        """Read a model that `save_model`, or XGBoost itself, wrote.

        Raises
        ------
        DataError
            If the file holds no model, one that is not of this estimator's kind, or one of categorical splits.
        FileNotFoundError
        """
        import xgboost

        if not Path(path).is_file():
            raise FileNotFoundError(f"{path}: there is no such file.")
        try:
            booster = xgboost.Booster(model_file=str(path))
        except (xgboost.core.XGBoostError, ValueError) as error:
            raise DataError(f"{path}: not a model that XGBoost can read.") from error
        about = json.loads(booster.attr(_ATTRIBUTE) or "{}")
        schema = _schema_of(booster, about, self._classifies)
        objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
        if not objective.startswith(self._loads):
            raise DataError(f"{path}: a model of {objective!r} is not for {type(self).__name__}.")
        if "c" in (booster.feature_types or ()):
            raise DataError(f"{path}: a model of categorical splits, which fedtrees does not make; use XGBoost for it.")
        if hasattr(self, "ledger_"):
            del self.ledger_  # of another model's training
        self._hold(booster, schema)
        self._note(None)
        return self


def _describe(schema: Schema) -> dict[str, Any]:
    return {name: getattr(schema, name) for name in ("names", "kinds", "categories", "named", "labels")}


def _schema_of(booster: xgboost.Booster, about: dict[str, Any], classifies: bool) -> Schema:
    if "schema" in about:
        return Schema(**about["schema"])
    n = booster.num_features()
    names = booster.feature_names or [f"f{i}" for i in range(n)]
    labels = None
    if classifies:
        config = json.loads(booster.save_config())["learner"]["learner_model_param"]
        labels = list(range(max(2, int(config["num_class"]))))
    return Schema(list(names), ["number"] * n, {}, booster.feature_names is not None, labels)


def _column(y: ArrayLike) -> NDArray[Any]:
    values = plain_array(y, "y")
    if values.ndim == 2 and values.shape[1] == 1:
        import warnings

        from sklearn.exceptions import DataConversionWarning

        message = "A column-vector y was passed when a 1d array was expected; it is read as y.ravel()."
        warnings.warn(message, DataConversionWarning, stacklevel=3)
        return values.ravel()
    return values


def _with_weight(own: tuple[Any, Any], weight: ArrayLike | None) -> tuple[Any, ...]:
    return tuple(own) if weight is None else (*own, weight)


def _is_seed(random_state: Any) -> bool:
    whole = isinstance(random_state, Integral) and not isinstance(random_state, bool)
    return whole or random_state is None or isinstance(random_state, np.random.RandomState | np.random.Generator)


def _seed(random_state: Any) -> int:
    """The run's seed; a generator is drawn from, so ask once a run."""
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31 - 1))
    return 0 if random_state is None else int(random_state)
