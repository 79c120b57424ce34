"""The base of the averaged estimators: their parameters, and running a training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Self

import msgspec
from numpy.typing import ArrayLike

from fedtrees.core.arguments import EvalSet, Features, by_name
from fedtrees.core.data.rounding import as_float32
from fedtrees.core.data.table import SPARSE, Schema
from fedtrees.core.numeric.number_checks import is_whole
from fedtrees.core.protocol.aggregation import Aggregation
from fedtrees.core.protocol.channel import Channel
from fedtrees.core.protocol.checkpoint import Store
from fedtrees.core.protocol.federation import Federation
from fedtrees.core.protocol.start_messages import AbsentIsZero
from fedtrees.errors import DataError, ParameterError
from fedtrees.estimators.common.columns import (
    channel_to,
    column_of,
    per_set,
    refuse_other_columns,
    schema_of,
    with_columns,
)
from fedtrees.estimators.common.history import History
from fedtrees.estimators.common.progress import progress
from fedtrees.estimators.network.history import Watch
from fedtrees.estimators.network.model import FittedNetwork
from fedtrees.estimators.network.parameters import check_parameters, settings_of
from fedtrees.estimators.network.table_input import dense, known_classes, refuse_lost, within
from fedtrees.neural.fedavg import average
from fedtrees.neural.network import Network
from fedtrees.neural.settings import NetworkSettings
from fedtrees.runtime.local import LocalFederation

if TYPE_CHECKING:
    from fedtrees.estimators.common.parameter_types import (
        ClassWeight,
        EvalMetric,
        Sampling,
        Seed,
        SiloWeighting,
    )
    from fedtrees.neural.compression import Rounded, TopK
    from fedtrees.neural.methods import AnyMethod
    from fedtrees.neural.optimisers import ServerOptimiser
    from fedtrees.neural.torch_model import TorchModel


class FedAvgEstimator(FittedNetwork):
    """The common part of `FedAvgClassifier` and `FedAvgRegressor`."""

    def __init__(
        self,
        hidden_layer_sizes: Sequence[int] = (100,),
        activation: str = "relu",
        *,
        n_rounds: int = 100,
        local_epochs: int = 1,
        batch_size: int | None = 32,
        learning_rate: float = 0.1,
        schedule: str | Callable[[int], float] = "constant",
        decay: float = 0.01,
        alpha: float = 0.0,
        method: str | AnyMethod = "fedavg",
        server: str | ServerOptimiser = "fedavg",
        upload: str = "weights",
        compression: Rounded | TopK | None = None,
        stragglers: float = 0.0,
        standardize: bool = True,
        model: TorchModel | None = None,
        eval_metric: EvalMetric = None,
        target_score: float | None = None,
        patience: int | None = None,
        validation_fraction: float | None = None,
        sampling: Sampling = 1.0,
        weighting: SiloWeighting = "rows",
        aggregation: Aggregation | None = None,
        warm_start: bool = False,
        random_state: Seed = None,
        n_jobs: int | None = None,
        verbose: int = 0,
        loss: str = "squared_error",
        class_weight: ClassWeight = None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.n_rounds = n_rounds
        self.local_epochs = local_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.decay = decay
        self.alpha = alpha
        self.method = method
        self.server = server
        self.upload = upload
        self.compression = compression
        self.stragglers = stragglers
        self.standardize = standardize
        self.model = model
        self.eval_metric = eval_metric
        self.target_score = target_score
        self.patience = patience
        self.validation_fraction = validation_fraction
        self.sampling = sampling
        self.weighting = weighting
        self.aggregation = aggregation
        self.warm_start = warm_start
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.loss = loss
        self.class_weight = class_weight

    def _check(self, schema: Schema) -> None:
        """Refuse labels that there is nothing to learn from."""
        raise NotImplementedError

    # -- fitting --------------------------------------------------------------------------------------------

    @by_name
    def fit(
        self,
        X: Features,
        y: ArrayLike,
        *,
        silos: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        eval_set: Sequence[EvalSet] | None = None,
        eval_silos: Sequence[ArrayLike | None] | None = None,
        sample_weight_eval_set: Sequence[ArrayLike | None] | None = None,
    ) -> Self:
        """Train over the silos of one table, in this process.

        Parameters
        ----------
        X : DataFrame, sparse matrix or array-like (rows, features)
            Numbers, none of them missing. What a sparse matrix does not hold is 0; a copy is made that is not sparse.
        y : array-like (rows,) or, of a regression, (rows, targets)
        silos : array-like (rows,), optional
            Whose each row is; None is one silo that holds all.
        sample_weight : array-like (rows,), optional
            At least 0. A row of weight k counts like k equal rows: in means and deviations, in the loss, and in what
            its silo counts. It is met once in an epoch all the same, with a gradient of k times the size; where
            ``batch_size=None``, training is that of k rows but for float32's rounding. A row of weight 0 is as good as
            absent.
        eval_set : sequence of (X, y), optional
            Rows to score on after every round, called ``validation_0`` and so on.
        eval_silos : sequence of array-like, optional
            The silo ids of their rows.
        sample_weight_eval_set : sequence of array-like, optional
            The weights of their rows.

        Returns
        -------
        self

        Raises
        ------
        DataError
            Naming silo and column, before any training.
        ParameterError
            Naming the parameter, before anything is read.
        DivergenceError
            Naming silo and round; what was learnt before it is kept, and predicts.
        """
        check_parameters(self)
        sets = [] if eval_set is None else list(eval_set)
        weights = per_set("sample_weight_eval_set", sample_weight_eval_set, len(sets))
        sets = [
            with_columns(dense(pair), *([weight] * (weight is not None)))
            for pair, weight in zip(sets, weights, strict=True)
        ]
        federation = self._federation(X, y, silos, sample_weight, sets, eval_silos)
        try:
            return self.fit_federation(federation)
        finally:
            federation.close()

    def fit_federation(self, federation: Federation) -> Self:
        """Train over the silos of a federation, wherever they are. See `fit`."""
        return self._fit_federation(federation)

    def _fit_federation(self, federation: Federation, store: Store | None = None) -> Self:
        """Train over a federation, from the checkpoint in a store on where there is one."""
        check_parameters(self)
        channel, schema, eval_sets = self._begin(federation, store)
        earlier = getattr(self, "_network", None) if self.warm_start else None
        self._train(channel, schema, eval_sets, self.n_rounds, earlier)
        return self

    def _begin(self, federation: Federation, store: Store | None = None) -> tuple[Channel, Schema, int]:
        channel = channel_to(federation, self.aggregation, store)
        return channel, *schema_of(channel, labels=self._classifies, absent=0)

    def _federation(
        self,
        X: Features,
        y: ArrayLike,
        silos: ArrayLike | None,
        sample_weight: ArrayLike | None,
        eval_set: Sequence[EvalSet] = (),
        eval_silos: Sequence[ArrayLike | None] | None = None,
    ) -> LocalFederation:
        X, target = dense(X), column_of(y)
        federation = LocalFederation.from_table(
            X,
            target,
            silos=silos,
            sample_weight=sample_weight,
            eval_set=eval_set,
            eval_silos=eval_silos,
            n_jobs=self.n_jobs,
        )
        try:
            refuse_lost(X, federation.table.X, federation.table.schema.names, silos)
            if not self._classifies and target.dtype.kind in "iuf" and len(target):
                numbers = target.reshape(len(target), -1)
                refuse_lost(numbers, as_float32(numbers), ["y"] * numbers.shape[1], silos)
        except DataError:
            federation.close()
            raise
        return federation

    def _go_on(
        self,
        X: Features,
        y: ArrayLike,
        silos: ArrayLike | None,
        sample_weight: ArrayLike | None,
        classes: ArrayLike | None,
        rounds: int,
    ) -> None:
        check_parameters(self)
        if not is_whole(rounds, least=0):
            raise ParameterError(f"n_rounds={rounds!r}: give a whole number from 0.")
        earlier = getattr(self, "_network", None)
        known = None if earlier is None else self._schema.labels
        if classes is not None:
            known = known_classes(classes, known)
        more = known is not None and len(known) > 1
        federation = self._federation(X, y, silos, sample_weight)
        try:
            channel, schema, eval_sets = self._begin(federation)
            if known is not None:
                schema = msgspec.structs.replace(schema, labels=within(schema.labels or [], known))
            self._train(channel, schema, eval_sets, rounds, earlier, more)
        finally:
            federation.close()

    def _train(
        self, channel: Channel, schema: Schema, eval_sets: int, rounds: int, earlier: Network | None,
        more_classes: bool = False,
    ) -> None:  # fmt: skip
        self._check(schema)
        if earlier is not None:
            refuse_other_columns(schema, self._schema, type(self).__name__)
        names = channel.ledger.names
        seed = self._settings.seed if earlier is not None else None  # its streams go on
        settings = settings_of(self, schema, names, eval_sets, rounds, seed, more_classes)
        if earlier is not None:
            self._refuse_other_settings(settings)
        settings.weighting.check(names)
        if SPARSE in schema.formats:
            channel.tell(AbsentIsZero())
        with progress(self.verbose, rounds, "averaging", "rounds") as shown:
            losses: list[float] = []
            history = History()
            if earlier is not None:
                losses = self.loss_curve_
                history = History(getattr(self, "evals_result_", None), getattr(self, "evals_uncertainty_", None))
            constant = len(schema.labels or ()) == 1
            watch = Watch(settings, self.patience, self.target_score, shown, losses, history, constant=constant)
            try:
                average(channel, len(names), schema.labels, settings, watch, earlier)
            finally:
                if watch.state is not None:  # of a training that diverged, what was learnt before stays
                    self._hold(watch, watch.state, settings, schema)
                    self.ledger_ = channel.ledger

    def _refuse_other_settings(self, settings: NetworkSettings) -> None:
        """Refuse what the network that is gone on from was not trained with."""
        before = self._settings
        if settings.model != before.model:
            raise ParameterError("warm_start: the network has other layers than before; set warm_start=False.")
        for what, one, other in (
            ("method", settings.method, before.method),
            ("server", settings.optimiser, before.optimiser),
        ):
            if type(one) is not type(other):
                given = f"{what}: {type(one).__name__}, and the earlier training had {type(other).__name__}"
                raise ParameterError(f"{given}; set warm_start=False, or fit anew.")
