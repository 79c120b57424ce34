"""The base of the boosted estimators: their parameters, and running a training."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

import msgspec
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from fedtrees.core.arguments import EvalSet, Features, by_name
from fedtrees.core.data.labels import ClassLabels
from fedtrees.core.data.silo_column import schema_with_silos
from fedtrees.core.notices import warn_caller
from fedtrees.core.numeric.threads import Threads
from fedtrees.core.protocol.aggregation import Aggregation
from fedtrees.core.protocol.checkpoint import Store
from fedtrees.core.protocol.federation import Federation
from fedtrees.errors import ParameterError
from fedtrees.estimators.boosting.booster_parameters import keep_parameters
from fedtrees.estimators.boosting.callbacks import GrowingModel, check_callbacks
from fedtrees.estimators.boosting.earlier_model import earlier_booster, go_on_from, labels_to_go_on_with
from fedtrees.estimators.boosting.exporting import exported
from fedtrees.estimators.boosting.history import Monitor
from fedtrees.estimators.boosting.parameters import OF_LOSSES, check_parameters
from fedtrees.estimators.boosting.personalizing import Personalizes
from fedtrees.estimators.boosting.settings import refuse_categories, settings_of
from fedtrees.estimators.boosting.training_mode import TASKS, check_mode, grow_by
from fedtrees.estimators.boosting.xgboost_parameters import NAMES, by_xgboosts_names, in_our_names
from fedtrees.estimators.common.columns import channel_to, column_of, per_set, schema_of, with_columns
from fedtrees.estimators.common.defaults import filled
from fedtrees.estimators.common.parameter_checks import as_plain
from fedtrees.estimators.common.progress import progress
from fedtrees.export.xgboost import storable_base_margin
from fedtrees.runtime.local import LocalFederation
from fedtrees.trees.losses import LOSSES, Loss, Params, register_objective
from fedtrees.trees.losses.custom import Function
from fedtrees.trees.server.constraints import Interactions, Monotone
from fedtrees.trees.server.ensemble import Ensemble

if TYPE_CHECKING:
    import xgboost
    from sklearn.utils import Tags
    from xgboost.callback import TrainingCallback

    from fedtrees.estimators.common.parameter_types import (
        EvalMetric,
        ModelToContinue,
        Sampling,
        Seed,
        SiloWeighting,
    )


class FedGBT(Personalizes):
    """The common part of `FedGBTClassifier` and `FedGBTRegressor`."""

    @by_xgboosts_names
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
        max_leaves: int = 0,
        grow_policy: str = "depthwise",
        num_parallel_tree: int = 1,
        subsample: float = 1.0,
        colsample_bytree: float = 1.0,
        colsample_bylevel: float = 1.0,
        colsample_bynode: float = 1.0,
        feature_weights: ArrayLike | None = None,
        monotone_constraints: Monotone = None,
        interaction_constraints: Interactions = None,
        max_bin: int = 256,
        min_bin_rows: int = 1,
        enable_categorical: bool = True,
        max_cat_to_onehot: int = 4,
        max_cat_threshold: int = 64,
        missing: float = math.nan,
        base_score: float | Sequence[float] | None = None,
        objective: str | Function | None = None,
        scale_pos_weight: float | None = None,
        max_delta_step: float | None = None,
        huber_slope: float | None = None,
        tweedie_variance_power: float | None = None,
        quantile_alpha: float | Sequence[float] | None = None,
        aft_loss_distribution: str | None = None,
        aft_loss_distribution_scale: float | None = None,
        lambdarank_pair_method: str | None = None,
        lambdarank_num_pair_per_sample: int | None = None,
        lambdarank_normalization: bool | None = None,
        lambdarank_score_normalization: bool | None = None,
        lambdarank_unbiased: bool | None = None,
        lambdarank_bias_norm: float | None = None,
        ndcg_exp_gain: bool | None = None,
        eval_metric: EvalMetric = None,
        early_stopping_rounds: int | None = None,
        validation_fraction: float | None = None,
        callbacks: Sequence[TrainingCallback] | None = None,
        importance_type: str | None = None,
        mode: str = "histogram",
        split_on_silo: bool = False,
        sampling: Sampling = 1.0,
        weighting: SiloWeighting = "rows",
        aggregation: Aggregation | None = None,
        random_state: Seed = None,
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
        self.max_leaves = max_leaves
        self.grow_policy = grow_policy
        self.num_parallel_tree = num_parallel_tree
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.colsample_bylevel = colsample_bylevel
        self.colsample_bynode = colsample_bynode
        self.feature_weights = feature_weights
        self.monotone_constraints = monotone_constraints
        self.interaction_constraints = interaction_constraints
        self.max_bin = max_bin
        self.min_bin_rows = min_bin_rows
        self.enable_categorical = enable_categorical
        self.max_cat_to_onehot = max_cat_to_onehot
        self.max_cat_threshold = max_cat_threshold
        self.missing = missing
        self.base_score = base_score
        self.objective = objective
        self.scale_pos_weight = scale_pos_weight
        self.max_delta_step = max_delta_step
        self.huber_slope = huber_slope
        self.tweedie_variance_power = tweedie_variance_power
        self.quantile_alpha = quantile_alpha
        self.aft_loss_distribution = aft_loss_distribution
        self.aft_loss_distribution_scale = aft_loss_distribution_scale
        self.lambdarank_pair_method = lambdarank_pair_method
        self.lambdarank_num_pair_per_sample = lambdarank_num_pair_per_sample
        self.lambdarank_normalization = lambdarank_normalization
        self.lambdarank_score_normalization = lambdarank_score_normalization
        self.lambdarank_unbiased = lambdarank_unbiased
        self.lambdarank_bias_norm = lambdarank_bias_norm
        self.ndcg_exp_gain = ndcg_exp_gain
        self.eval_metric = eval_metric
        self.early_stopping_rounds = early_stopping_rounds
        self.validation_fraction = validation_fraction
        self.callbacks = callbacks
        self.importance_type = importance_type
        self.mode = mode
        self.split_on_silo = split_on_silo
        self.sampling = sampling
        self.weighting = weighting
        self.aggregation = aggregation
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    _other_names = NAMES
    _takes_functions = True  # for objectives
    # silos that are routed go to fit alone, until set_predict_request and its like ask for them elsewhere, too
    __metadata_request__predict: ClassVar[dict[str, bool]] = {"silos": False}
    __metadata_request__score: ClassVar[dict[str, bool]] = {"silos": False}

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # each of its parameter's type
        """Parameters by name."""
        params: dict[str, Any] = BaseEstimator.get_params(self, deep)  # and not XGBoost's, which adds its own
        return params

    def set_params(self, **params: object) -> Self:
        """Set parameters, by XGBoost's other names, too.

        Raises
        ------
        ArgumentError, ParameterError
            See `fedtrees.estimators.boosting.xgboost_parameters.in_our_names`.
        """
        return super().set_params(**in_our_names(params))

    # -- what a subclass fills in ---------------------------------------------------------------------------

    def _loss(self, labels: ClassLabels | None) -> Loss:
        raise NotImplementedError

    def _objective_named(self, usual: str) -> str:
        """The objective's name; a function is registered in this process."""
        if self.objective is None or isinstance(self.objective, str):
            return self.objective or usual
        return register_objective(self.objective, classification=self._classifies)

    def _loss_params(self, objective: str) -> Params:
        """The parameters of an objective that were set; XGBoost's defaults stand for others."""
        taken = [field.name for field in fields(LOSSES[objective])] if objective in LOSSES else []
        given = {name: getattr(self, name) for name in OF_LOSSES if getattr(self, name) is not None}
        unused = [name for name in given if name not in taken and name != "max_delta_step"]
        if unused:
            warn_caller(f"{unused[0]} is not used by {objective}.")
        return {name: as_plain(value) for name, value in given.items() if name in taken}

    # -- fitting --------------------------------------------------------------------------------------------

    @by_name
    def fit(
        self,
        X: Features,
        y: ArrayLike,
        *,
        silos: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        base_margin: ArrayLike | None = None,
        eval_set: Sequence[EvalSet] | None = None,
        eval_silos: Sequence[ArrayLike | None] | None = None,
        sample_weight_eval_set: Sequence[ArrayLike | None] | None = None,
        base_margin_eval_set: Sequence[ArrayLike | None] | None = None,
        xgb_model: ModelToContinue = None,
        row_id: ArrayLike | None = None,
        verbose: int | None = None,
    ) -> Self:
        """Train over the silos of one table, in this process.

        Law: with the default sampling and weighting, the model is the same bytes whatever ``silos`` says.

        Parameters
        ----------
        X : DataFrame, sparse matrix or array-like (rows, features)
            Numbers, booleans or categories. Missing is NaN; of a sparse matrix, what it
            does not hold, as XGBoost has it.
        y : array-like (rows,) or, of a regression, (rows, targets)
            Several targets grow a tree each in every round, XGBoost's ``multi_strategy="one_output_per_tree"``.
        silos : array-like (rows,), optional
            Whose each row is; None is one silo that holds all.
        sample_weight : array-like (rows,), optional
            At least 0. A row of a small whole weight k trains like k rows, one of weight 0 like none.
        base_margin : array-like (rows,) or (rows, outputs), optional
            What each row's margin starts from, in place of the model's intercept; it stays in the silo, as y does.
        eval_set : sequence of (X, y), optional
            Rows to score on after every round, called ``validation_0`` and so on.
        eval_silos : sequence of array-like, optional
            The silo ids of their rows; scores are the same sums whoever holds them.
        sample_weight_eval_set : sequence of array-like, optional
            The weights of their rows.
        base_margin_eval_set : sequence of array-like, optional
            What their rows' margins start from.
        xgb_model : xgboost.Booster, fitted estimator, path or bytes, optional
            A model to go on from: its trees stay, and ``n_estimators`` new rounds follow them.
        row_id : array-like (rows,), optional
            Whole numbers or texts that name the rows, for ``subsample``: with them, the rows that a tree draws do not
            depend on ``silos``. Without, a row is named by its silo and its place there.
        verbose : bool or int, optional
            In place of the constructor's.

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
        more = {
            "sample_weight_eval_set": sample_weight_eval_set, "base_margin_eval_set": base_margin_eval_set,
        }  # fmt: skip
        options = {"eval_silos": eval_silos, "base_margin": base_margin, "row_id": row_id}
        return self._fit_table(X, y, silos, sample_weight, eval_set, more, xgb_model, verbose, options)

    def _fit_table(
        self, X: Features, y: ArrayLike, silos: ArrayLike | None, sample_weight: ArrayLike | None,
        eval_set: Sequence[EvalSet] | None, more: Mapping[str, Sequence[ArrayLike | None] | None],
        xgb_model: ModelToContinue, verbose: int | None, options: dict[str, Any],  # of `LocalFederation.from_table`
    ) -> Self:  # fmt: skip
        """Train over one table; ``more`` is what evaluation sets have besides (X, y), in the order of `Silo`."""
        asked = self._asked(verbose)
        held_out = list(eval_set or ())
        if asked.split_on_silo and held_out and options["eval_silos"] is None:
            raise ParameterError("eval_silos: trees with split_on_silo ask whose the rows of eval_set are; say it.")
        columns = [per_set(what, given, len(held_out)) for what, given in more.items()]
        sets = [with_columns(*parts) for parts in zip(held_out, *columns, strict=True)]
        federation = LocalFederation.from_table(
            X, column_of(y), silos=silos, sample_weight=sample_weight, eval_set=sets,
            missing=asked.missing, n_jobs=self.n_jobs, **options,
        )  # fmt: skip
        try:
            return self.fit_federation(federation, xgb_model=xgb_model, verbose=verbose)
        finally:
            federation.close()

    def _asked(self, verbose: int | None) -> Self:
        """A copy with every parameter as it is meant, checked: defaults in place of None."""
        asked = filled(self)
        if verbose is not None:
            asked.verbose = verbose
        check_parameters(asked)
        return asked

    @by_name
    def fit_federation(
        self, federation: Federation, *, xgb_model: ModelToContinue = None, verbose: int | None = None
    ) -> Self:
        """Train over the silos of a federation, wherever they are.

        Besides integer sums, silos say what their columns are, their categories' names included; see `Schema`.

        Parameters
        ----------
        federation : Federation
        xgb_model : xgboost.Booster, fitted estimator or path, optional
            See `fit`; the silos hear of its trees.
        verbose : bool or int, optional
            In place of the constructor's.

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
        return self._fit_federation(federation, xgb_model, verbose)

    def _fit_federation(
        self,
        federation: Federation,
        xgb_model: ModelToContinue = None,
        verbose: int | None = None,
        store: Store | None = None,
    ) -> Self:
        """Train over a federation, from the checkpoint in a store on where there is one."""
        asked = self._asked(verbose)
        channel = channel_to(federation, asked.aggregation, store)
        schema, eval_sets = schema_of(channel, labels=self._classifies, several=True)
        if not asked.enable_categorical:
            refuse_categories(schema)
        before = None if xgb_model is None else earlier_booster(xgb_model)
        if before is not None:
            schema = msgspec.structs.replace(schema, labels=labels_to_go_on_with(before, schema.labels))
        loss = self._loss(schema.labels)
        check_mode(asked, loss.name, xgb_model is not None, schema)
        if asked.split_on_silo:
            schema = schema_with_silos(schema, sorted(federation.names))
        earlier = None
        if before is not None:
            earlier, schema = go_on_from(before, schema, loss)
        settings = settings_of(asked, loss, schema, federation.names, eval_sets, earlier)
        settings.weighting.check(federation.names)

        def export(grown: Ensemble) -> xgboost.Booster:
            booster = exported(grown, schema, loss, earlier, bool(self.split_on_silo))
            keep_parameters(booster, settings, self.eval_metric is not None, model.learning_rate)
            return booster

        task = TASKS[asked.mode]
        with Threads(self.n_jobs) as threads, progress(asked.verbose, settings.rounds, task) as shown:
            model = GrowingModel(
                export,
                settings.rule.learning_rate,
                0 if earlier is None else earlier.rounds,
            )
            callbacks = check_callbacks(self.callbacks)
            constant = len(schema.labels or ()) == 1  # an area is undefined then, in every round
            monitor = Monitor[Any](settings.eval_metrics, self.early_stopping_rounds, shown, callbacks, model, constant)
            monitor.callbacks.start()
            ensemble = grow_by(
                asked.mode, channel, list(federation.names), schema, settings, threads,
                lambda margin: storable_base_margin(loss.exported_as(len(margin)), margin), monitor,
            )  # fmt: skip
        if ensemble is None or not ensemble.trees:
            raise ParameterError("callbacks: one of them ended the training before its first round.")
        left = monitor.callbacks.end()
        self.ledger_ = channel.ledger
        booster: xgboost.Booster = export(ensemble) if left is model else left
        booster.set_attr(**model.attributes())
        self._hold(booster, schema, asked.split_on_silo)
        self._note(monitor)
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        # where XGBoost's estimators are a base, too, they have other tags
        tags.no_validation = tags.non_deterministic = False
        tags.input_tags.categorical = False
        return tags
