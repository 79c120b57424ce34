"""Forests with scikit-learn's face."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.utils.validation import check_is_fitted

from fedtrees.core.arguments import Features
from fedtrees.core.data.table import Schema
from fedtrees.core.notices import warn_caller
from fedtrees.core.numeric.threads import Threads
from fedtrees.core.protocol.aggregation import Aggregation
from fedtrees.core.protocol.channel import Channel
from fedtrees.core.sampling.samplers import as_sampler
from fedtrees.estimators.cart.base import CartClassifier, CartRegressor, Classes
from fedtrees.estimators.cart.ensemble import FedEnsemble
from fedtrees.estimators.cart.parameters import labels_of_one
from fedtrees.estimators.cart.rows_left_out import NO_ROWS_HERE, RowsHere, Stage, out_of_bag, places_in
from fedtrees.estimators.common.after_fit import AfterFit
from fedtrees.estimators.common.columns import refuse_other_columns
from fedtrees.estimators.common.defaults import with_defaults
from fedtrees.queries.counts import Counts
from fedtrees.queries.custom_metric import Function, register_metric
from fedtrees.runtime.local import LocalFederation
from fedtrees.trees.server.ensemble import Ensemble
from fedtrees.trees.server.settings import TreeSettings
from fedtrees.trees.server.start import tell_tables

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from fedtrees.estimators.common.parameter_types import (
        CartClassWeight,
        Directions,
        MaxFeatures,
        Sampling,
        Seed,
        SiloWeighting,
    )
    from fedtrees.export.sklearn import DecisionTree


class _Forest(FedEnsemble):
    """The common part of forests: many trees in one round, averaged."""

    _task = "forest"
    oob_score_ = AfterFit[float | None]()

    def __init__(
        self,
        n_estimators: int = 100,
        *,
        criterion: str = "gini",
        max_depth: int | None = 10,
        min_samples_split: float = 2,
        min_samples_leaf: float = 1,
        min_weight_fraction_leaf: float = 0.0,
        max_features: MaxFeatures = "sqrt",
        max_leaf_nodes: int | None = None,
        min_impurity_decrease: float = 0.0,
        bootstrap: bool = True,
        oob_score: bool | Function = False,
        warm_start: bool = False,
        max_samples: float | None = None,
        class_weight: CartClassWeight = None,
        ccp_alpha: float = 0.0,
        monotonic_cst: Directions = None,
        max_bin: int = 128,
        min_bin_rows: int = 1,
        missing: float = math.nan,
        sampling: Sampling = 1.0,
        weighting: SiloWeighting = "rows",
        aggregation: Aggregation | None = None,
        random_state: Seed = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ):
        self.n_estimators = n_estimators
        self.criterion = criterion
        self.max_depth = max_depth
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.min_weight_fraction_leaf = min_weight_fraction_leaf
        self.max_features = max_features
        self.max_leaf_nodes = max_leaf_nodes
        self.min_impurity_decrease = min_impurity_decrease
        self.bootstrap = bootstrap
        self.oob_score = oob_score
        self.max_samples = max_samples
        self.class_weight = class_weight
        self.ccp_alpha = ccp_alpha
        self.warm_start = warm_start
        self.monotonic_cst = monotonic_cst
        super().__init__(
            max_bin=max_bin, min_bin_rows=min_bin_rows, missing=missing, sampling=sampling, weighting=weighting,
            aggregation=aggregation,
            random_state=random_state, n_jobs=n_jobs, verbose=verbose,
        )  # fmt: skip

    _rows_of: dict[int, RowsHere]  # of the stages that grew from rows in this process
    _stages: list[Stage]

    # -- fitting --------------------------------------------------------------------------------------------

    @property
    def _earlier(self) -> tuple[list[DecisionTree], list[Stage]]:
        """The trees that stay, and the stages that they grew in."""
        stay = self.warm_start and hasattr(self, "model_")
        return (list(self.model_.estimators_), self._stages) if stay else ([], [])

    def _go_on(self, schema: Schema) -> None:
        if self._earlier[0]:
            refuse_other_columns(schema, self._schema, type(self).__name__)
        if self.warm_start and getattr(self, "class_weight", None) in ("balanced", "balanced_subsample"):
            warn_caller(
                f"class_weight={self.class_weight!r} with warm_start weighs classes by the rows of each fit; where "
                "these are not all there are, give the weights as a dict."
            )

    def _settings(self, schema: Schema, seed: int, **others: Any) -> TreeSettings:  # see `cart_settings`
        before = len(self._earlier[0])
        more = int(self.n_estimators) - before
        return super()._settings(schema, seed, parallel=more, trees_before=before, **others)

    def _grow(self, channel: Channel, n_silos: int, schema: Schema, seed: int, threads: Threads) -> None:
        self.__dict__.pop("_cohort", None)
        if int(self.n_estimators) > len(self._earlier[0]):
            sampler = as_sampler(self.sampling, channel.ledger.names)
            self._cohort = sampler.draw(n_silos, seed, 0)  # of all trees, whenever they grow
            super()._grow(channel, n_silos, schema, seed, threads)
            self.__dict__.pop("oob_score_", None)
        else:
            warn_caller("Warm-start fitting without increasing n_estimators does not fit new trees.")
            tell_tables(channel, self._settings(schema, seed))
        if not self.oob_score:
            self.__dict__.pop("oob_score_", None)
        elif not hasattr(self, "oob_score_"):
            self._score_left_out(channel, n_silos, schema)

    def _hold(self, ensemble: Ensemble, schema: Schema) -> None:
        classifies = isinstance(self, CartClassifier)
        places: Classes | None = None
        if isinstance(self, CartClassifier):
            n = self.n_classes_
            each = [np.arange(count, dtype=np.float64) for count in (n if isinstance(n, list) else [n])]
            places = each if isinstance(n, list) else each[0]
        new = [self._decision_tree(tree, ensemble, places, names=False) for tree in ensemble.of_all_outputs()]
        kept, stages = self._earlier
        trees = kept + new
        if self._random_thresholds:
            kind = ExtraTreesClassifier if classifies else ExtraTreesRegressor
        else:
            kind = RandomForestClassifier if classifies else RandomForestRegressor
        theirs = kind().get_params()
        model = kind(**{name: value for name, value in self.get_params(deep=False).items() if name in theirs})
        # threads add up in the order that they end in: predictions would not be the same bytes twice
        model.set_params(verbose=0, random_state=None, n_jobs=None)
        model.estimator_, model.estimators_ = clone(trees[0]), trees
        model.n_features_in_, model.n_outputs_ = self.n_features_in_, trees[0].n_outputs_
        if isinstance(self, CartClassifier):
            model.classes_, model.n_classes_ = self.classes_, self.n_classes_
        if schema.labelled:
            model.feature_names_in_ = self.feature_names_in_
        self.model_, self._stages = model, [*stages, Stage(len(new), ensemble.draws)]
        self._rows_of = {place: rows for place, rows in getattr(self, "_rows_of", {}).items() if place < len(stages)}
        self.__dict__.pop("_left_out", None)

    # -- rows left out --------------------------------------------------------------------------------------

    def _score_left_out(self, channel: Channel, n_silos: int, schema: Schema) -> None:
        """Learn the score of rows that trees left out, in two rounds."""
        all_silos = np.arange(n_silos)
        rows = channel.total(Counts(len(schema.names)), all_silos).rows
        metric = register_metric(self.oob_score) if callable(self.oob_score) else ""
        question = out_of_bag(self.model_.estimators_, self._stages, rows, schema.labels, metric)
        self.oob_score_, scored = (None, 0) if question is None else channel.total(question, all_silos)
        if scored < rows:
            warn_caller(
                "Some inputs do not have OOB scores. This probably means too few trees were used to compute any "
                "reliable OOB estimates."
            )

    def _keep_rows(self, federation: LocalFederation) -> None:
        silo, labels, last = federation.together, labels_of_one(self._schema), len(self._stages) - 1
        if silo is None:
            return
        silo.ask_only(None)
        cohort = self.__dict__.pop("_cohort", None)
        if cohort is not None:  # else no tree grew
            self._rows_of[last] = RowsHere.of(silo.table, silo.targets(labels), cohort, self._stages[last])
        question = out_of_bag(self.model_.estimators_, self._stages, silo.table.n_rows, self._schema.labels, "")
        if self.oob_score and question is not None:
            predicted, _ = question.predictions(silo)
            self._left_out: NDArray[np.float64] = np.zeros((len(silo.table.X), predicted.shape[1]))
            self._left_out[places_in(silo.table)] = predicted

    @property
    def estimators_samples_(self) -> list[NDArray[np.int64]]:
        """The places in X of the rows that each tree drew, as often as it drew them, ascending: int64 (draws,).

        Raises
        ------
        AttributeError
            Where the trees grew in a federation, and after a model was read from a file.
        """
        check_is_fitted(self, "model_")
        rows = getattr(self, "_rows_of", {})
        if len(rows) < len(self._stages):
            raise AttributeError(f"estimators_samples_ {NO_ROWS_HERE}")
        return [drawn for place, stage in enumerate(self._stages) for drawn in rows[place].drawn(stage)]

    def _of_rows_left_out(self, name: str) -> NDArray[np.float64]:
        check_is_fitted(self, "model_")
        if not self.oob_score:
            raise AttributeError(f"{name} is there after oob_score=True.")
        if not hasattr(self, "_left_out"):
            raise AttributeError(f"{name} {NO_ROWS_HERE}")
        return self._left_out

    def __getstate__(self) -> dict[str, object]:
        state: dict[str, object] = super().__getstate__()
        return {name: value for name, value in state.items() if name not in ("_rows_of", "_left_out", "_cohort")}

    # -- the fitted object ----------------------------------------------------------------------------------

    @property
    def n_outputs_(self) -> int:
        """Columns of y."""
        return int(self._trained.n_outputs_)

    def apply(self, X: Features) -> NDArray[np.int64]:
        """The number of the node that each row ends in, in each tree: int64 (rows, trees)."""
        rows = self._rows(X)
        nodes: NDArray[np.int64] = self.model_.apply(rows)
        return nodes

    def decision_path(self, X: Features) -> tuple[csr_matrix, NDArray[np.int64]]:
        """The nodes that each row passes: a sparse matrix (rows, nodes of all trees), and where each tree's start."""
        rows = self._rows(X)
        passed: tuple[csr_matrix, NDArray[np.int64]] = self.model_.decision_path(rows)
        return passed


class _ForestClassifier(CartClassifier, _Forest):
    """The base of forests of classes."""

    @property
    def oob_decision_function_(self) -> NDArray[np.float64]:
        """Each class's probability by the trees that left a row out, 0 where none did: float64 (rows, classes).

        Of several outputs it is (rows, classes, outputs), as scikit-learn has it.

        Raises
        ------
        AttributeError
            See ``estimators_samples_``.
        """
        shares = self._of_rows_left_out("oob_decision_function_")
        if self.n_outputs_ == 1:
            return shares
        return shares.reshape(len(shares), self.n_outputs_, -1).transpose(0, 2, 1)


class _ForestRegressor(CartRegressor, _Forest):
    """The base of forests of numbers."""

    @property
    def oob_prediction_(self) -> NDArray[np.float64]:
        """Predictions of the trees that left a row out, 0 where none did: float64 (rows,).

        Raises
        ------
        AttributeError
            See ``estimators_samples_``.
        """
        numbers = self._of_rows_left_out("oob_prediction_")
        return numbers[:, 0] if self.n_outputs_ == 1 else numbers


class FedForestClassifier(_ForestClassifier):
    """A random forest grown over silos that send only the classes' weights in bins.

    All trees grow together, level by level: a forest takes as many messages as its deepest tree has levels, and a few
    more where nodes draw features that are constant there. Each node asks for a few features of its own, and silos send
    no others. ``model_`` is a fitted `sklearn.ensemble.RandomForestClassifier`. Breiman (2001).

    A row is drawn as often as a Poisson variable of mean 1, or of the share that ``max_samples`` is, comes out: drawing
    with replacement is the same where rows are many, but for it silos would need the number of each other's rows. Each
    draw follows from the row's id, the tree and ``random_state``.

    Parameters
    ----------
    n_estimators : int, default 100
        Trees.
    criterion, max_depth, min_samples_split, min_samples_leaf, min_weight_fraction_leaf, max_leaf_nodes, \
    min_impurity_decrease, ccp_alpha, monotonic_cst, missing, sampling, weighting, aggregation, random_state, n_jobs, \
    verbose
        See `FedTreeClassifier`.
    max_features : int, float, {"sqrt", "log2"} or None, default "sqrt"
        Features that a node may ask for.
    bootstrap : bool, default True
        Whether trees draw rows; else all have all of them.
    oob_score : bool or callable, default False
        Whether to score the forest on the rows that its trees left out, in two messages more. A function of y_true and
        y_pred, as scikit-learn calls it (of classes, their places in ``classes_``), returns a number for each row,
        and the score is their mean: rows stay in their silos, so no function can see all of them at once.
    warm_start : bool, default False
        Whether another fit keeps the trees and adds those that ``n_estimators`` is more; it may be of other rows. Of
        the same, some trees and then others are the same forest as all of them at once.
    max_samples : float or int, optional
        The share of the rows that a tree draws, above 0 and up to 16, or their number; None is as many as there are.
    class_weight : dict of label to float, "balanced", "balanced_subsample", list of dict or None, default None
        "balanced_subsample" makes all classes as heavy in each tree, by the rows that it drew. Of the others: where
        trees draw rows, as many as without weights, those of a class are drawn oftener or less often than others
        in the ratio of the weights, up to 4 times in the mean; beyond that, they weigh more. Where trees have all
        rows, and of several outputs, see `FedTreeClassifier`.
    max_bin : int, default 128
        See `FedTreeClassifier`; trees that are averaged need fewer.
    min_bin_rows : int, default 1
        See `FedTreeClassifier`.

    Attributes
    ----------
    model_ : sklearn.ensemble.RandomForestClassifier
    estimators_ : list of sklearn.tree.DecisionTreeClassifier
    oob_score_ : float
        The accuracy on rows left out, where ``oob_score`` asks for it; None where there were none. A row that no tree
        left out is passed over, with scikit-learn's warning. Of several outputs, which must have two classes each at
        the most, the share of rows with all of them right.
    oob_decision_function_ : float64 (rows, classes), or (rows, classes, outputs)
    estimators_samples_ : list of int64 (draws,)
        Where ``fit`` had all rows; neither is written into files.
    classes_, feature_importances_, ledger_
        See `FedTreeClassifier`.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = FedForestClassifier(20, max_depth=5, oob_score=True).fit(X, y, silos=np.arange(len(y)) % 3)
    >>> model.oob_score_ > 0.9, len(model.estimators_)
    (True, 20)
    """


class FedForestRegressor(_ForestRegressor):
    """A random forest of regression trees; see `FedForestClassifier`, whose parameters and attributes it has.

    ``max_features`` is all of them by default, as scikit-learn has it, and ``oob_score_`` is the coefficient of
    determination. One message more asks for the moments of all leaves, see `FedTreeRegressor`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = FedForestRegressor(20, max_depth=4, max_features=3).fit(X, y, silos=X[:, 1] > 0)
    >>> model.score(X, y) > 0.5
    True
    """

    __init__ = with_defaults(_Forest.__init__, without=("class_weight",), criterion="squared_error", max_features=1.0)


class FedExtraTreesClassifier(_ForestClassifier):
    """Extremely randomised trees: a node tries one threshold of each of its features; Geurts et al. (2006).

    The threshold is the end of the bin in which a number falls that is drawn between the node's values. See
    `FedForestClassifier` for parameters and attributes; trees have all rows by default, and ``model_`` is a fitted
    `sklearn.ensemble.ExtraTreesClassifier`.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> FedExtraTreesClassifier(20, max_depth=6).fit(X, y, silos=np.arange(len(y)) % 3).score(X, y) > 0.9
    True
    """

    _task = "extra trees"
    _random_thresholds = True

    __init__ = with_defaults(_Forest.__init__, bootstrap=False)


class FedExtraTreesRegressor(_ForestRegressor):
    """Extremely randomised regression trees; see `FedExtraTreesClassifier` and `FedForestRegressor`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> FedExtraTreesRegressor(20, max_depth=5).fit(X, y, silos=X[:, 1] > 0).score(X, y) > 0.5
    True
    """

    _task = "extra trees"
    _random_thresholds = True

    __init__ = with_defaults(
        _Forest.__init__, without=("class_weight",), criterion="squared_error", max_features=1.0, bootstrap=False
    )
