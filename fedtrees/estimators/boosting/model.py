"""The XGBoost model of a trained estimator: to predict with, to look into, to save and to read back."""

from __future__ import annotations

import json
from copy import deepcopy
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from fedtrees.core.arguments import Features
from fedtrees.core.data.silo_column import COLUMN, codes_of_silos, schema_without_silos
from fedtrees.core.data.table import Schema
from fedtrees.core.data.target import read_margin
from fedtrees.core.files import write_whole
from fedtrees.core.numeric.threads import Threads
from fedtrees.errors import DataError, DataTypeError, ParameterError, unknown_value
from fedtrees.estimators.boosting.history import Monitor
from fedtrees.estimators.boosting.model_file import (
    ATTRIBUTE,
    booster_kind,
    named,
    objective_of,
    parameters_of,
    read_booster,
    schema_of,
)
from fedtrees.estimators.boosting.parameters import IMPORTANCES
from fedtrees.estimators.common.after_fit import AfterFit
from fedtrees.estimators.common.defaults import filled
from fedtrees.estimators.common.parameter_checks import seed_of
from fedtrees.estimators.common.table_input import ReadsRows

if TYPE_CHECKING:
    import xgboost

    from fedtrees.export.objectives import XGBoostParameters

# parameters of the constructor that XGBoost's own training does not have
_OURS = {"n_estimators", "missing", "callbacks", "early_stopping_rounds", "importance_type", "validation_fraction"}
_OURS |= {
    "feature_weights",
    "min_bin_rows",
    "mode",
    "split_on_silo",
    "sampling",
    "weighting",
    "aggregation",
    "verbose",
    "enable_categorical",
}


class HoldsBooster(ReadsRows):
    """An estimator whose model is an `xgboost.Booster`."""

    _Booster: xgboost.Booster  # XGBoost's name
    evals_result_ = AfterFit[dict[str, dict[str, list[float]]]]()
    evals_uncertainty_ = AfterFit[dict[str, dict[str, list[float]]]]()

    # parameters of the constructor that are needed here
    n_estimators: int
    n_jobs: int | None
    importance_type: str | None
    early_stopping_rounds: int | None

    # -- set by subclasses ---------------------------------------------------------------------------------

    _fitted = "booster_"
    _loads: tuple[str, ...]  # objectives, or their beginnings, whose predictions mean what `predict` returns

    # -- holding --------------------------------------------------------------------------------------------

    def _hold(self, booster: xgboost.Booster, schema: Schema, split_on_silo: bool = False) -> None:
        """Hold a model of these columns, the last of which may be the silo's."""
        self._silos: list[str] | None = schema.categories[COLUMN] if split_on_silo else None
        self._own_silo: str | None = None  # of a personal model: the silo that all rows are of
        self._objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
        booster.set_param({"nthread": Threads(self.n_jobs).n})
        self._Booster = booster
        self._know(schema_without_silos(schema) if split_on_silo else schema)

    def _note(self, monitor: Monitor[Any] | None) -> None:  # of whatever state
        """Keep the evaluation sets' scores; as with XGBoost, predictions end with the best round if it was sought."""
        for name in ("evals_result_", "evals_uncertainty_"):
            self.__dict__.pop(name, None)
        if monitor is not None and monitor.history.scores:
            self.evals_result_, self.evals_uncertainty_ = monitor.history.scores, monitor.history.uncertainty
        if monitor is not None and self.early_stopping_rounds is not None:
            best, score = monitor.model.before + (monitor.best_iteration or 0), monitor.best_score
            self.booster_.set_attr(best_iteration=str(best), best_score=str(score))

    # -- predicting -----------------------------------------------------------------------------------------

    def _predict(
        self,
        X: Features,
        base_margin: ArrayLike | None = None,
        iteration_range: tuple[int, int] | None = None,
        validate_features: bool = True,
        margin: bool = False,
        silos: ArrayLike | None = None,
    ) -> NDArray[np.float32]:
        values = self._read_all(X, validate_features, silos)
        start = None if base_margin is None else read_margin(base_margin, len(values))
        prediction: NDArray[np.float32] = self.booster_.inplace_predict(
            values,
            iteration_range=self._rounds(iteration_range),
            predict_type="margin" if margin else "value",
            validate_features=False,
            base_margin=start,
        )
        return prediction

    def _read_all(
        self, X: Features, validate_features: bool = True, silos: ArrayLike | None = None
    ) -> NDArray[np.float32]:
        """All columns that trees may split by: those of X, and where it is one, the silo's."""
        values = self._read(X, validate_features)
        if self._silos is None:
            if silos is not None:
                raise ParameterError("silos: the model was trained without split_on_silo; leave them out.")
            return values
        codes = codes_of_silos(self._own_silo if silos is None else silos, self._silos, len(values))
        return np.column_stack([values, codes])

    def _rounds(self, given: tuple[int, int] | None) -> tuple[int, int]:
        """The first round and the end, as XGBoost has it: without a range, up to the best round where it was sought."""
        rounds = self.booster_.num_boosted_rounds()
        if given is None or (len(given) == 2 and given[1] == 0):
            best = getattr(self, "best_iteration", None)
            return (0, 0) if best is None else (0, best + 1)
        if len(given) != 2 or not 0 <= given[0] < given[1] <= rounds:
            raise ParameterError(f"iteration_range={given!r}: give (first, end) with 0 <= first < end <= {rounds}.")
        return int(given[0]), int(given[1])

    def apply(
        self, X: Features, iteration_range: tuple[int, int] | None = None, *, silos: ArrayLike | None = None
    ) -> NDArray[np.float32]:
        """The number of the leaf that each row reaches in each tree, float32 (rows, trees).

        Parameters
        ----------
        X : DataFrame, sparse matrix or array-like (rows, features)
        iteration_range : (int, int), optional
        silos : str or array-like (rows,), optional
            See `predict`.
        """
        import xgboost

        matrix = xgboost.DMatrix(self._read_all(X, silos=silos), nthread=Threads(self.n_jobs).n)
        first, end = self._rounds(iteration_range)
        model = self.booster_[first:end] if first else self.booster_  # XGBoost predicts leaves from the first tree on
        leaves: NDArray[np.float32] = model.predict(
            matrix, pred_leaf=True, iteration_range=(0, end - first), validate_features=False
        )
        return leaves.reshape(len(leaves), -1)

    # -- looking into the model -----------------------------------------------------------------------------

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_Booster")

    def get_booster(self) -> xgboost.Booster:
        """The model, as XGBoost's estimators have it.

        Raises
        ------
        NotFittedError
        """
        check_is_fitted(self)
        return self._Booster

    @property
    def booster_(self) -> xgboost.Booster:
        """The model; prediction, SHAP and plotting are XGBoost's."""
        return self.get_booster()

    @property
    def best_iteration(self) -> int:
        """The best round, where `early_stopping_rounds` or a callback sought it, or a file has it."""
        return int(self._best("best_iteration"))

    @property
    def best_score(self) -> float:
        """The score of the best round."""
        return float(self._best("best_score"))

    def _best(self, name: str) -> str:
        noted = self.get_booster().attr(name)
        if noted is None:
            raise AttributeError(f"{name}: nothing sought the best round; see early_stopping_rounds.")
        return noted

    @property
    def coef_(self) -> NDArray[np.float32]:
        """An attribute that linear models have, and trees have not: always an AttributeError, as in XGBoost."""
        raise AttributeError("coef_: trees have no coefficients; see feature_importances_.")

    def get_num_boosting_rounds(self) -> int:
        """Rounds that `fit` grows at the most."""
        return filled(self).n_estimators

    def get_xgb_params(self) -> XGBoostParameters:
        """The parameters of XGBoost's own training, by its names; without those that are None, and functions.

        A generator as ``random_state`` is the seed that the next `fit` draws from it.
        """
        params = self.get_params(deep=False)
        if params["random_state"] is not None:
            params["random_state"] = seed_of(deepcopy(params["random_state"]))
        return {
            name: value
            for name, value in params.items()
            if name not in _OURS and value is not None and not callable(value)
        }

    def evals_result(self) -> dict[str, dict[str, list[float]]]:
        """Each evaluation set's metrics, round by round.

        Raises
        ------
        ParameterError
            If there was no evaluation set.
        """
        check_is_fitted(self, "booster_")
        if not hasattr(self, "evals_result_"):
            raise ParameterError("No evaluation result: fit had no eval_set.")
        return self.evals_result_

    @property
    def intercept_(self) -> NDArray[np.float32]:
        """The model's ``base_score``, in the units that XGBoost keeps it in: float32 (outputs,)."""
        check_is_fitted(self, "booster_")
        params = json.loads(self.booster_.save_config())["learner"]["learner_model_param"]
        return np.atleast_1d(np.array(json.loads(params["base_score"]), np.float32))

    @property
    def feature_importances_(self) -> NDArray[np.float32]:
        """The sum of each feature's splits, as shares of all: float32 (features,).

        With ``split_on_silo``, the rest to 1 is the silo's.

        Raises
        ------
        ParameterError
            For an unknown ``importance_type``.
        """
        check_is_fitted(self, "booster_")
        kind = self.importance_type or "gain"
        if kind not in IMPORTANCES:
            raise unknown_value("importance_type", kind, IMPORTANCES)
        scores = self.booster_.get_score(importance_type=kind)
        names = self.booster_.feature_names or [f"f{place}" for place in range(self.booster_.num_features())]
        each = np.array([scores.get(name, 0.0) for name in names], np.float64)
        return (each / (each.sum() or 1.0)).astype(np.float32)[: self.n_features_in_]

    # -- files ----------------------------------------------------------------------------------------------

    def save_model(self, fname: str | PathLike[str]) -> None:
        """Write the model in XGBoost's format, JSON or UBJSON by the file's ending; plain XGBoost opens it.

        Raises
        ------
        ParameterError
            For another ending.
        FileNotFoundError, PermissionError
            If the path's folder does not exist, or cannot be written to.
        """
        booster, path = self.get_booster(), Path(fname)
        if path.suffix not in (".json", ".ubj"):
            raise ParameterError(f"{path}: give a name that ends in .json or .ubj; XGBoost tells the format by it.")
        write_whole(path, bytes(booster.save_raw(path.suffix[1:])))

    def load_model(self, fname: str | PathLike[str] | bytes | bytearray) -> Self:
        """Read a model that `save_model`, or XGBoost itself, wrote.

        What the file has of parameters is set here, too: the objective and its own parameters, ``n_estimators``,
        ``num_parallel_tree``, ``split_on_silo``, and ``enable_categorical`` where it has categories. Others stay.

        Parameters
        ----------
        fname : path, or bytes
            Bytes are those of `xgboost.Booster.save_raw`.

        Raises
        ------
        DataError
            If there is no model in it, or none of trees.
        DataTypeError
            If the model is not of this estimator's kind.
        FileNotFoundError
        """
        booster, name = read_booster(fname), named(fname)
        objective = objective_of(booster)
        if booster_kind(booster) != "gbtree":
            raise DataError(f"{name}: a model of {booster_kind(booster)!r}; fedtrees reads those of 'gbtree'.")
        if not objective.startswith(self._loads):
            raise DataTypeError(f"{name}: a model of {objective!r} is not for {type(self).__name__}.")
        try:
            about = json.loads(booster.attr(ATTRIBUTE) or "null")
            schema, params = schema_of(booster, about, self._classifies), parameters_of(booster, about)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"{name}: what fedtrees wrote into it of its columns is damaged: {error}") from error
        if hasattr(self, "ledger_"):
            del self.ledger_  # of another model's training
        self.set_params(**params)
        self._hold(booster, schema, params["split_on_silo"])
        self._own_silo = about.get("own_silo") if about else None
        self._note(None)
        return self
