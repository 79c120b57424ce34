"""The base of trees by impurity, forests and AdaBoost: a training, and a fitted object of scikit-learn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_is_fitted

from fedtrees.core.arguments import Features, by_name
from fedtrees.core.data.labels import LabelArray, columns_of_labels, labels_array
from fedtrees.core.data.rounding import as_float32
from fedtrees.core.data.table import SPARSE, Labels, Schema
from fedtrees.core.numeric.threads import Threads
from fedtrees.core.protocol.aggregation import Aggregation
from fedtrees.core.protocol.channel import Channel
from fedtrees.core.protocol.checkpoint import Store
from fedtrees.core.protocol.federation import Federation
from fedtrees.core.protocol.ledger import Ledger
from fedtrees.core.protocol.start_messages import AbsentIsZero
from fedtrees.core.sampling.samplers import as_sampler
from fedtrees.estimators.cart.history import TreesShown
from fedtrees.estimators.cart.parameters import cart_settings, check_cart_parameters, features_per_node, labels_of_one
from fedtrees.estimators.common.after_fit import AfterFit
from fedtrees.estimators.common.columns import Classifies, channel_to, column_of, schema_of
from fedtrees.estimators.common.parameter_checks import seed_of
from fedtrees.estimators.common.progress import progress
from fedtrees.estimators.common.table_input import ReadsRows, check_labels
from fedtrees.export.pruning import pruned
from fedtrees.export.sklearn import to_decision_tree
from fedtrees.runtime.local import LocalFederation
from fedtrees.trees.losses import Target
from fedtrees.trees.losses.outputs import OutputClasses
from fedtrees.trees.losses.tables import ClassWeights, Squares, Totals
from fedtrees.trees.model.tree import Tree
from fedtrees.trees.server.boosting import BoostingState, boost
from fedtrees.trees.server.ensemble import Ensemble
from fedtrees.trees.server.settings import TreeSettings

if TYPE_CHECKING:
    import xgboost
    from sklearn.utils import Tags

    from fedtrees.estimators.common.parameter_types import Sampling, Seed, SiloWeighting
    from fedtrees.export.sklearn import DecisionTree


Classes = LabelArray | list[LabelArray]  # those of several outputs
Shares = NDArray[np.float64] | list[NDArray[np.float64]]


class FedCart(ReadsRows):
    """The common part of trees by impurity, forests and AdaBoost.

    A subclass grows trees in ``_grow``, and makes an object of scikit-learn of them in ``_hold``.
    """

    model_ = AfterFit[Any]()  # of scikit-learn, which has no types

    def __init__(
        self,
        *,
        max_bin: int,
        min_bin_rows: int,
        missing: float,
        sampling: Sampling,
        weighting: SiloWeighting,
        aggregation: Aggregation | None,
        random_state: Seed,
        n_jobs: int | None,
        verbose: int,
    ):
        self.max_bin = max_bin
        self.min_bin_rows = min_bin_rows
        self.missing = missing
        self.sampling = sampling
        self.weighting = weighting
        self.aggregation = aggregation
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    _fitted = "model_"
    _task: ClassVar[str]  # as progress names it
    _absent = 0.0
    _random_thresholds: ClassVar[bool] = False
    _takes_several: ClassVar[bool] = True  # columns of y

    @by_name
    def fit(
        self,
        X: Features,
        y: ArrayLike,
        *,
        silos: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        row_id: ArrayLike | None = None,
    ) -> Self:
        """Train over the silos of one table, in this process.

        Law: with the default sampling and weighting, the model is the same bytes whatever ``silos`` says; where rows
        are drawn, with a ``row_id``.

        Parameters
        ----------
        X : DataFrame, sparse matrix or array-like (rows, features)
            Numbers, booleans or categories, which are split by their codes' order. Missing is NaN; what a sparse matrix
            does not hold is 0, as in scikit-learn. Rows are kept as a float32 table, whatever form they come in.
        y : array-like (rows,) or, of trees and forests, (rows, outputs)
            Labels, or numbers, which are read as float32. Several outputs share the splits of each tree; of classes,
            each column has its own.
        silos : array-like (rows,), optional
            Whose each row is; None is one silo that holds all.
        sample_weight : array-like (rows,), optional
            At least 0. A row of a small whole weight k trains like k rows, one of weight 0 like none.
        row_id : array-like (rows,), optional
            Whole numbers or texts that name the rows wherever they lie, for ``bootstrap``.

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
        federation = self._federation(X, y, silos, sample_weight, row_id)
        try:
            self.fit_federation(federation)
            self._keep_rows(federation)
            return self
        finally:
            federation.close()

    def _federation(
        self,
        X: Features,
        y: ArrayLike,
        silos: ArrayLike | None,
        sample_weight: ArrayLike | None,
        row_id: ArrayLike | None,
    ) -> LocalFederation:
        """The silos of one table, once parameters are right."""
        check_cart_parameters(self)
        return LocalFederation.from_table(
            X,
            column_of(y),
            silos=silos,
            sample_weight=sample_weight,
            missing=self.missing,
            n_jobs=self.n_jobs,
            row_id=row_id,
        )

    def fit_federation(self, federation: Federation) -> Self:
        """Train over the silos of a federation, wherever they are.

        Parameters
        ----------
        federation : Federation

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
        return self._fit_federation(federation)

    def _fit_federation(self, federation: Federation, store: Store | None = None) -> Self:
        """Train over a federation, from the checkpoint in a store on where there is one."""
        check_cart_parameters(self)
        asked: Labels = "by column" if self._classifies else False
        seed = seed_of(self.random_state)
        channel = channel_to(federation, self.aggregation, store)
        schema, _ = schema_of(channel, labels=asked, absent=self._absent)
        if self._classifies:
            for labels in schema.labels or [] if schema.targets > 1 else [schema.labels]:
                check_labels(labels)
        if SPARSE in schema.formats:
            channel.tell(AbsentIsZero())
        with Threads(self.n_jobs) as threads:
            self._go_on(schema)
            self._know(schema)
            self._grow(channel, len(federation.names), schema, seed, threads)
        self.ledger_ = channel.ledger
        return self

    # -- what a subclass fills in -------------------------------------------------------------------------------

    def _loss(self, schema: Schema) -> Target:
        if self._classifies and schema.targets > 1:
            return OutputClasses(tuple(len(labels) for labels in schema.labels or ()))
        if self._classifies:
            return ClassWeights()
        return Totals() if self.get_params(deep=False).get("criterion") == "poisson" else Squares()

    def _settings(self, schema: Schema, seed: int, **others: Any) -> TreeSettings:  # fields of `TreeSettings`
        return cart_settings(self, self._loss(schema), schema, seed, **others)

    def _settings_over(self, channel: Channel, schema: Schema, seed: int) -> TreeSettings:
        """Return the settings of a training over a channel's silos, which samplers and weights may name."""
        settings = self._settings(schema, seed, sampler=as_sampler(self.sampling, channel.ledger.names))
        settings.weighting.check(channel.ledger.names)
        return settings

    def _grow(self, channel: Channel, n_silos: int, schema: Schema, seed: int, threads: Threads) -> None:
        settings = self._settings_over(channel, schema, seed)
        with self._progress(channel.ledger, settings) as observer:
            ensemble = boost(
                channel, n_silos, len(schema.names), labels_of_one(schema), settings, threads, as_float32, observer
            )
        self._hold(ensemble, schema)

    @contextmanager
    def _progress(self, ledger: Ledger, settings: TreeSettings) -> Iterator[TreesShown[BoostingState] | None]:
        """Show trees that grow one after the other; of those that grow at once, the rounds of messages."""
        if settings.rounds > 1:
            with progress(self.verbose, settings.rounds, self._task) as shown:
                yield TreesShown(shown)
        else:
            with progress(self.verbose, None, self._task, "rounds") as shown, ledger.watched(shown):
                yield None

    def _go_on(self, schema: Schema) -> None:
        """Refuse columns and labels that are not those of trees that stay."""

    def _keep_rows(self, federation: LocalFederation) -> None:
        """Keep the draws of rows, where all rows are in this process."""

    def _hold(self, ensemble: Ensemble, schema: Schema) -> None:
        raise NotImplementedError

    # -- the fitted object ----------------------------------------------------------------------------------

    def _decision_tree(
        self, tree: Tree, ensemble: Ensemble, classes: Classes | None, names: bool = True
    ) -> DecisionTree:
        """One grown tree as scikit-learn's, pruned where that was asked for."""
        given = self.get_params(deep=False)
        theirs = ("criterion", "max_depth", "min_samples_split", "min_samples_leaf", "min_weight_fraction_leaf",
                  "max_features", "max_leaf_nodes", "min_impurity_decrease", "class_weight", "ccp_alpha",
                  "monotonic_cst")  # fmt: skip

        def made(grown: Tree) -> DecisionTree:
            return to_decision_tree(
                grown,
                ensemble.cuts,
                classes,
                None if self._classifies else ensemble.base_margin.astype(np.float64),
                self.feature_names_in_ if names and self._schema.labelled else None,
                self._random_thresholds,
                **{name: given[name] for name in theirs if name in given},
            )

        model = made(tree)
        if given.get("ccp_alpha"):
            model = made(pruned(tree, model.tree_, float(given["ccp_alpha"])))
        model.max_features_ = features_per_node(given.get("max_features"), self.n_features_in_)
        return model

    def _rows(self, X: Features) -> pd.DataFrame | NDArray[np.float32]:
        """Rows as the fitted object takes them: with its names."""
        values = self._read(X)
        return pd.DataFrame(values, columns=self.feature_names_in_) if self._schema.labelled else values

    @property
    def _trained(self) -> Any:  # see `model_`
        """The fitted object.

        Raises
        ------
        NotFittedError
        """
        check_is_fitted(self, self._fitted)
        return self.model_

    @property
    def _predictor(self) -> Any:  # see `model_`
        """The object that predicts: the fitted one."""
        return self.model_

    def to_booster(self) -> xgboost.Booster:
        """The model in XGBoost's format, which predicts the same up to float32.

        It predicts the number of a regression, the probability of the second of two classes, or that of each of more;
        of several outputs, of one after the other.

        Raises
        ------
        ParameterError
            For AdaBoost of numbers, which is a weighted median of trees and not a sum of them.

        Examples
        --------
        >>> from fedtrees import FedForestClassifier
        >>> X, y = np.arange(20.0)[:, None], np.repeat(["ill", "well"], 10)
        >>> forest = FedForestClassifier(10).fit(X, y, silos=np.arange(20) % 3)
        >>> forest.to_booster().inplace_predict([[2.0], [18.0]]).round(3).tolist()
        [0.0, 1.0]
        """
        from fedtrees.export.forest import to_xgboost

        return to_xgboost(self._trained, self._schema.names if self._schema.named else None)

    @property
    def feature_importances_(self) -> NDArray[np.float64]:
        """The impurity that each feature's splits save, as shares: float64 (features,)."""
        importances: NDArray[np.float64] = self._trained.feature_importances_
        return importances


class CartClassifier(Classifies, FedCart):
    """The base of classifiers."""

    _classifies = True

    @property
    def classes_(self) -> Classes:
        """The class labels, sorted; of several outputs, a list of each one's."""
        check_is_fitted(self, "_schema")
        labels = self._schema.labels or []
        return labels_array(labels) if self._schema.targets <= 1 else columns_of_labels(labels)

    @property
    def n_classes_(self) -> int | list[int]:
        """The number of classes; of several outputs, a list of each one's."""
        classes = self.classes_
        return [len(labels) for labels in classes] if isinstance(classes, list) else len(classes)

    def predict_proba(self, X: Features) -> Shares:
        """Each class's probability, float64 (rows, classes); of several outputs, a list of each one's."""
        rows = self._rows(X)
        shares: Shares = self._predictor.predict_proba(rows)
        return shares

    def predict_log_proba(self, X: Features) -> Shares:
        """The logarithm of each class's probability, as `predict_proba` has it."""
        shares = self.predict_proba(X)
        with np.errstate(divide="ignore"):  # of a class that is nowhere, minus infinity
            return [np.log(part) for part in shares] if isinstance(shares, list) else np.log(shares)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = tags.classifier_tags.multi_label = self._takes_several
        return tags

    def predict(self, X: Features) -> LabelArray:
        """The likeliest class of each row; of several outputs, of each one: (rows, outputs)."""
        rows = self._rows(X)
        labels: LabelArray = self._predictor.predict(rows)
        return labels


class CartRegressor(RegressorMixin, FedCart):
    """The base of regressors."""

    _classifies = False

    def predict(self, X: Features) -> NDArray[np.float64]:
        """The predicted number of each row, float64 (rows,); of several outputs, (rows, outputs)."""
        rows = self._rows(X)
        numbers: NDArray[np.float64] = self._predictor.predict(rows)
        return numbers

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = self._takes_several
        return tags
