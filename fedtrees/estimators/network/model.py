"""A fitted network: its layers, its predictions, and its copies that fit one silo better."""

from __future__ import annotations

import math
from copy import copy
from typing import Self

import numpy as np
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from fedtrees.core.arguments import Features
from fedtrees.core.data.table import Schema
from fedtrees.core.numeric.blas import OneBlasThread
from fedtrees.core.numeric.rng import stream
from fedtrees.core.numeric.threads import Threads
from fedtrees.core.protocol.silo import Silo
from fedtrees.errors import DataError, ParameterError
from fedtrees.estimators.common.after_fit import AfterFit
from fedtrees.estimators.common.columns import (
    KnowsColumns,
)
from fedtrees.estimators.common.personal import check_personal
from fedtrees.estimators.network.history import Watch
from fedtrees.estimators.network.table_input import dense
from fedtrees.neural.class_weights import weigh_classes_alone
from fedtrees.neural.fedavg import AveragingState
from fedtrees.neural.methods import FedPer
from fedtrees.neural.model import AnyModel, Floats
from fedtrees.neural.network import Network
from fedtrees.neural.perceptron import Perceptron
from fedtrees.neural.personal import FineTuning, OwnHead, Personal
from fedtrees.neural.settings import NetworkSettings
from fedtrees.neural.state import NetworkState, Scaling, StartTraining, refuse_missing
from fedtrees.neural.torch_model import TorchModel, TorchNetwork

CHUNK = 8192  # rows that are predicted at a time
OUTPUTS = {
    "binary:logistic": "logistic", "multi:softprob": "softmax", "reg:squarederror": "identity", "count:poisson": "exp",
}  # fmt: skip


class FittedNetwork(KnowsColumns):
    """A network that is, or is to be, fitted: what a subclass trains, this one predicts by."""

    model: TorchModel | None
    n_jobs: int | None
    _classifies: bool
    _network: Network
    _settings: NetworkSettings

    params_ = AfterFit[Floats]()
    coefs_, intercepts_ = AfterFit[list[Floats]](), AfterFit[list[Floats]]()
    n_rounds_, n_iter_, n_layers_, n_outputs_ = (AfterFit[int]() for _ in range(4))
    loss_curve_ = AfterFit[list[float]]()
    loss_, best_loss_ = AfterFit[float](), AfterFit[float]()
    out_activation_ = AfterFit[str]()
    evals_result_, evals_uncertainty_ = (AfterFit[dict[str, dict[str, list[float]]]]() for _ in range(2))

    def _hold(self, watch: Watch, state: AveragingState, settings: NetworkSettings, schema: Schema) -> None:
        self._know(schema)
        self._network, self._settings = state.network, settings
        self.params_ = state.network.params if state.best is None else state.best
        self.n_rounds_ = self.n_iter_ = state.network.round
        self.loss_curve_ = watch.losses
        seen = [loss for loss in watch.losses if not math.isnan(loss)]
        self.loss_, self.best_loss_ = (seen[-1], min(seen)) if seen else (math.nan, math.nan)
        self.out_activation_ = OUTPUTS[settings.model.objective]
        for name in ("evals_result_", "evals_uncertainty_", "personal_"):
            self.__dict__.pop(name, None)
        if watch.history.scores:
            self.evals_result_, self.evals_uncertainty_ = watch.history.scores, watch.history.uncertainty
        self._show_layers(settings.model)

    def _show_layers(self, model: AnyModel) -> None:
        if isinstance(model, Perceptron):
            layers = model.layers(self.params_)
            self.n_layers_, self.n_outputs_ = len(model.sizes), model.sizes[-1]
            self.coefs_, self.intercepts_ = [weights for weights, _ in layers], [bias for _, bias in layers]

    # -- predicting -----------------------------------------------------------------------------------------

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _check_fitted(self) -> None:
        check_is_fitted(self, "params_")

    @property
    def _model(self) -> AnyModel:
        """The network; in a process that has unpickled it, its module is made anew by the factory."""
        model = self._settings.model
        if isinstance(model, TorchNetwork) and self.model is not None:
            model = self.model.for_task(model.features, model.outputs, model.objective)
        return model

    @property
    def _scaling(self) -> Scaling:
        moments = self._network.moments
        settings = self._settings
        return Scaling(moments.mean, moments.deviation, settings.features, settings.model.objective)

    def _margins(self, X: Features) -> Floats:
        self._check_fitted()
        if isinstance(self._settings.method, FedPer) and not getattr(self, "personal_", False):
            raise ParameterError(
                "method='fedper' leaves the last layers to the silos: predict with what personalize(silo) returns."
            )
        values, scaling, model = self._read_known(dense(X)), self._scaling, self._model
        wrong = np.isnan(values).any(axis=0)
        if wrong.any():
            name = self._schema.names[int(np.argmax(wrong))]
            raise DataError(f"column {name!r} holds NaN, of which a network says nothing; fill it in, as for training.")

        def predict(first: int) -> Floats:
            X = np.ascontiguousarray(scaling.features(values[first : first + CHUNK]))
            return scaling.predictions(model.margins(self.params_, X))

        with Threads(self.n_jobs) as threads, OneBlasThread(), np.errstate(over="ignore", invalid="ignore"):
            margin: Floats = np.concatenate(threads.map(predict, range(0, len(values), CHUNK)))
        if not np.isfinite(margin).all():
            row = int(np.argmin(np.isfinite(margin).all(axis=1)))
            raise DataError(f"row {row} holds numbers too large for the network, far from those it was trained on.")
        return margin

    # -- one silo's own model -------------------------------------------------------------------------------

    def personalize(self, silo: Silo, how: Personal | None = None) -> Self:
        """A copy of this model that fits one silo better; made in that silo, and nothing leaves it.

        Rows weigh what they weigh in the silo, times ``class_weight``, "balanced" by the silo's rows.

        Parameters
        ----------
        silo : Silo
        how : FineTuning, Ditto or OwnHead, optional
            See `fedtrees.neural.personal`. None is `FineTuning`, or `OwnHead` after ``method="fedper"``.

        Returns
        -------
        A fitted estimator.

        Raises
        ------
        SchemaError
            If the silo has other columns.
        DataError
            If it holds no row, or a label that was not there in training.
        """
        self._check_fitted()
        check_personal(self._schema, silo)
        method, settings = self._settings.method, self._settings
        how = how or (OwnHead(method.layers) if isinstance(method, FedPer) else FineTuning())
        if isinstance(how, type) or not hasattr(how, "own"):
            raise ParameterError(f"how={how!r}: give a FineTuning, Ditto or OwnHead.")
        if not silo.table.n_rows:
            raise DataError(f"silo {silo.name!r} holds no row to learn from.")
        model, moments = self._model, self._network.moments
        fresh = Silo.of_table(silo.as_read()[0], silo.threads)
        fresh.take_absent_as(zero=True)
        begin = StartTraining(model, self._schema.labels, settings.seed, moments.mean, moments.deviation)
        refuse_missing(fresh.table)
        if settings.class_weight is not None:
            weigh_classes_alone(fresh, self._schema.labels or [], settings.class_weight)
        rows = NetworkState(fresh, begin).rows(fresh.table, 0)
        with OneBlasThread():
            rng = stream(settings.seed, "personal batches", self.n_rounds_, silo.name)
            params = how.own(model, self.params_, rows, settings.work, rng)
        fresh.forget()
        personal = copy(self)
        personal.params_, personal.personal_ = params, True
        personal._show_layers(model)
        return personal
