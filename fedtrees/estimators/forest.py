"""Forests with scikit-learn's face."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from fedtrees.core.channel import Channel
from fedtrees.core.table import Schema
from fedtrees.estimators.cart import CartClassifier, CartRegressor
from fedtrees.estimators.defaults import with_defaults
from fedtrees.estimators.ensemble import FedEnsemble
from fedtrees.queries.counts import Counts, WholeWeights
from fedtrees.trees.boost import Ensemble, Settings
from fedtrees.trees.out_of_bag import OutOfBag
from fedtrees.trees.pruning import said_by


class _Forest(FedEnsemble):
    """The common part of forests: many trees in one round, averaged."""

    def __init__(
        self,
        n_estimators: int = 100,
        *,
        criterion: str = "gini",
        max_depth: int | None = 10,
        min_samples_split: float = 2,
        min_samples_leaf: float = 1,
        min_weight_fraction_leaf: float = 0.0,
        max_features: Any = "sqrt",
        max_leaf_nodes: int | None = None,
        min_impurity_decrease: float = 0.0,
        bootstrap: bool = True,
        oob_score: bool = False,
        max_samples: float | None = None,
        class_weight: Any = None,
        ccp_alpha: float = 0.0,
        max_bin: int = 128,
        min_bin_rows: int = 1,
        missing: float = math.nan,
        sampling: Any = 1.0,
        weighting: Any = "rows",
        random_state: Any = None,
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
        super().__init__(
            max_bin=max_bin, min_bin_rows=min_bin_rows, missing=missing, sampling=sampling, weighting=weighting,
            random_state=random_state, n_jobs=n_jobs, verbose=verbose,
        )  # fmt: skip

    def _settings(self, schema: Schema, seed: int, **others: Any) -> Settings:
        return super()._settings(schema, seed, parallel=int(self.n_estimators), **others)

    def _hold(self, ensemble: Ensemble, schema: Schema) -> None:
        classifies = isinstance(self, CartClassifier)
        places = np.arange(len(schema.labels or ()), dtype=np.float64) if classifies else None
        trees = [self._decision_tree(tree, ensemble, places, names=False) for tree in ensemble.trees]
        if self._random_thresholds:
            kind = ExtraTreesClassifier if classifies else ExtraTreesRegressor
        else:
            kind = RandomForestClassifier if classifies else RandomForestRegressor
        theirs = kind().get_params()
        model = kind(**{name: own for name, own in self.get_params(deep=False).items() if name in theirs})
        # threads add up in the order that they end in: predictions would not be the same bytes twice
        model.set_params(verbose=0, random_state=None, n_jobs=None)
        model.estimator_, model.estimators_ = clone(trees[0]), trees
        model.n_features_in_, model.n_outputs_ = self.n_features_in_, 1
        if classifies:
            model.classes_, model.n_classes_ = np.asarray(schema.labels), len(schema.labels or ())
        if schema.labelled:
            model.feature_names_in_ = self.feature_names_in_
        self.model_ = model

    def _after(self, channel: Channel, n_silos: int, ensemble: Ensemble, schema: Schema) -> None:
        """Learn the score of rows that trees left out, in two rounds."""
        self.__dict__.pop("oob_score_", None)
        if not self.oob_score:
            return
        everyone = np.arange(n_silos)
        rows = channel.total(Counts(len(schema.names)), everyone).rows
        # the silos know the trees as they grew: below a split that was taken back, nodes say what it does
        values = np.concatenate(
            [
                own.tree_.value[said_by(tree, float(self.ccp_alpha), self._weight_of(tree)), 0, :]
                for tree, own in zip(ensemble.trees, self.model_.estimators_, strict=True)
            ]
        )
        exponent = 0
        if schema.labels is None:
            target = channel.total(WholeWeights(rows, None), everyone).target_exponent
            exponent = max(target, math.frexp(float(np.abs(values).max()))[1])
        question = OutOfBag(rows, schema.labels, values.astype(np.float32), exponent)
        self.oob_score_ = channel.total(question, everyone)

    @property
    def n_outputs_(self) -> int:
        """Columns of y."""
        return int(self._trained.n_outputs_)

    def apply(self, X: Any) -> NDArray[np.int64]:
        """The number of the node that each row ends in, in each tree: int64 (rows, trees)."""
        rows = self._rows(X)
        nodes: NDArray[np.int64] = self.model_.apply(rows)
        return nodes

    def decision_path(self, X: Any) -> Any:
        """Which nodes each row passes: a sparse matrix (rows, nodes of all trees), and where each tree's start."""
        rows = self._rows(X)
        return self.model_.decision_path(rows)


class FedForestClassifier(CartClassifier, _Forest):
    """A random forest grown over silos that send only the classes' weights in bins.

    All trees grow together, level by level: a forest takes as many messages as its deepest tree has levels, and a few
    more where nodes draw features that are constant there. Each node asks for a few features of its own, and silos send
    no others. ``model_`` is a fitted `sklearn.ensemble.RandomForestClassifier`. Breiman (2001).

    Rows are drawn as often as a Poisson variable of mean 1, or of the share that ``max_samples`` is, says: what drawing
    with replacement comes to where rows are many, and needs nobody to know how many others hold. Each draw follows from
    the row's id, the tree and ``random_state``.

    Parameters
    ----------
    n_estimators : int, default 100
        Trees.
    criterion, max_depth, min_samples_split, min_samples_leaf, min_weight_fraction_leaf, max_leaf_nodes, \
    min_impurity_decrease, ccp_alpha, missing, sampling, weighting, random_state, n_jobs, verbose
        See `FedTreeClassifier`.
    max_features : int, float, {"sqrt", "log2"} or None, default "sqrt"
        Features that a node may ask for.
    bootstrap : bool, default True
        Whether trees draw rows; else all have all of them.
    oob_score : bool, default False
        Whether to score the forest on the rows that its trees left out, in one or two messages more.
    max_samples : float or int, optional
        The share of the rows that a tree draws, above 0 and up to 1, or how many; None is as many as there are.
    class_weight : dict of label to float, "balanced" or None, default None
        Where trees draw rows, as many as without weights, those of a class are drawn oftener or less often than others
        in the ratio of the weights, up to 4 times in the mean; what is beyond that they weigh. Where trees have all
        rows, see `FedTreeClassifier`.
    max_bin : int, default 128
        See `FedTreeClassifier`; trees that are averaged need fewer.
    min_bin_rows : int, default 1
        See `FedTreeClassifier`.

    Attributes
    ----------
    model_ : sklearn.ensemble.RandomForestClassifier
    estimators_ : list of sklearn.tree.DecisionTreeClassifier
    oob_score_ : float
        The accuracy on rows left out, where ``oob_score`` asks for it; None where there were none.
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


class FedForestRegressor(CartRegressor, _Forest):
    """A random forest of regression trees; see `FedForestClassifier`, whose parameters and attributes it has.

    ``max_features`` is all of them by default, as scikit-learn has it, and ``oob_score_`` is the coefficient of
    determination.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = FedForestRegressor(20, max_depth=4, max_features=3).fit(X, y, silos=X[:, 1] > 0)
    >>> model.score(X, y) > 0.5
    True
    """

    __init__ = with_defaults(_Forest.__init__, without=("class_weight",), criterion="squared_error", max_features=1.0)


class FedExtraTreesClassifier(CartClassifier, _Forest):
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

    _random_thresholds = True

    __init__ = with_defaults(_Forest.__init__, bootstrap=False)


class FedExtraTreesRegressor(CartRegressor, _Forest):
    """Extremely randomised regression trees; see `FedExtraTreesClassifier` and `FedForestRegressor`.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> FedExtraTreesRegressor(20, max_depth=5).fit(X, y, silos=X[:, 1] > 0).score(X, y) > 0.5
    True
    """

    _random_thresholds = True

    __init__ = with_defaults(
        _Forest.__init__, without=("class_weight",), criterion="squared_error", max_features=1.0, bootstrap=False
    )
