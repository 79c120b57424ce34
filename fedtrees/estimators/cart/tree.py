"""Single trees with scikit-learn's face."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.tree._tree import ccp_pruning_path
from sklearn.utils import Bunch

from fedtrees.core.arguments import Features, by_name
from fedtrees.core.data.table import Schema
from fedtrees.core.protocol.aggregation import Aggregation
from fedtrees.core.protocol.federation import Federation
from fedtrees.estimators.cart.base import CartClassifier, CartRegressor, FedCart
from fedtrees.estimators.common.defaults import with_defaults
from fedtrees.trees.server.ensemble import Ensemble

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.tree._tree import Tree as NativeTree

    from fedtrees.estimators.common.parameter_types import (
        CartClassWeight,
        Directions,
        MaxFeatures,
        Sampling,
        Seed,
        SiloWeighting,
    )


class _OneTree(FedCart):
    """The common part of `FedTreeClassifier` and `FedTreeRegressor`."""

    _task = "tree"

    def __init__(
        self,
        *,
        criterion: str = "gini",
        max_depth: int | None = 10,
        min_samples_split: float = 2,
        min_samples_leaf: float = 1,
        min_weight_fraction_leaf: float = 0.0,
        max_features: MaxFeatures = None,
        max_leaf_nodes: int | None = None,
        min_impurity_decrease: float = 0.0,
        class_weight: CartClassWeight = None,
        ccp_alpha: float = 0.0,
        monotonic_cst: Directions = None,
        max_bin: int = 256,
        min_bin_rows: int = 1,
        missing: float = math.nan,
        sampling: Sampling = 1.0,
        weighting: SiloWeighting = "rows",
        aggregation: Aggregation | None = None,
        random_state: Seed = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ):
        self.criterion = criterion
        self.max_depth = max_depth
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.min_weight_fraction_leaf = min_weight_fraction_leaf
        self.max_features = max_features
        self.max_leaf_nodes = max_leaf_nodes
        self.min_impurity_decrease = min_impurity_decrease
        self.class_weight = class_weight
        self.ccp_alpha = ccp_alpha
        self.monotonic_cst = monotonic_cst
        super().__init__(
            max_bin=max_bin, min_bin_rows=min_bin_rows, missing=missing, sampling=sampling, weighting=weighting,
            aggregation=aggregation,
            random_state=random_state, n_jobs=n_jobs, verbose=verbose,
        )  # fmt: skip

    def _hold(self, ensemble: Ensemble, schema: Schema) -> None:
        classes = self.classes_ if isinstance(self, CartClassifier) else None
        self.model_ = self._decision_tree(ensemble.of_all_outputs()[0], ensemble, classes)

    @by_name
    def cost_complexity_pruning_path(
        self,
        X: Features,
        y: ArrayLike,
        *,
        silos: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        row_id: ArrayLike | None = None,
    ) -> Bunch:
        """The values of ``ccp_alpha`` at which splits are taken back, of a tree that is grown for it.

        See `FedTreeClassifier.fit` for the parameters.

        Returns
        -------
        Bunch
            ``ccp_alphas``, float64 (steps,), rising from 0, and ``impurities``, float64 (steps,): what is left in the
            leaves of the tree of each, weighted by their shares of the rows. scikit-learn's, of the same name.

        Examples
        --------
        >>> from fedtrees import FedTreeClassifier
        >>> X, y = [[0.0], [1.0], [2.0], [3.0]], ["ill", "ill", "well", "ill"]
        >>> path = FedTreeClassifier().cost_complexity_pruning_path(X, y, silos=["a", "b", "a", "b"])
        >>> path.ccp_alphas, path.impurities
        (array([0.    , 0.1875]), array([0.   , 0.375]))
        """
        federation = self._federation(X, y, silos, sample_weight, row_id)
        try:
            return self.cost_complexity_pruning_path_federation(federation)
        finally:
            federation.close()

    def cost_complexity_pruning_path_federation(self, federation: Federation) -> Bunch:
        """The values of ``ccp_alpha`` at which splits are taken back, over the silos of a federation.

        A tree is grown for it as in `fit_federation`. See `cost_complexity_pruning_path`.
        """
        free = clone(self).set_params(ccp_alpha=0.0).fit_federation(federation)
        return Bunch(**ccp_pruning_path(free.tree_))

    @property
    def tree_(self) -> NativeTree:
        """The nodes, as scikit-learn keeps them."""
        return self._trained.tree_

    @property
    def n_outputs_(self) -> int:
        """Columns of y."""
        return int(self._trained.n_outputs_)

    @property
    def max_features_(self) -> int:
        """The number of features that a node may ask for."""
        return int(self._trained.max_features_)

    def get_depth(self) -> int:
        """Levels of splits."""
        return int(self._trained.get_depth())

    def get_n_leaves(self) -> int:
        """The number of leaves."""
        return int(self._trained.get_n_leaves())

    def apply(self, X: Features) -> NDArray[np.int64]:
        """The number of the node that each row ends in, int64 (rows,)."""
        rows = self._rows(X)
        ends: NDArray[np.int64] = self.model_.apply(rows)
        return ends

    def decision_path(self, X: Features) -> csr_matrix:
        """The nodes that each row passes: a sparse matrix (rows, nodes) of 0 and 1."""
        rows = self._rows(X)
        return self.model_.decision_path(rows)


class FedTreeClassifier(CartClassifier, _OneTree):
    """A classification tree grown over silos that send only the classes' weights in each bin.

    The tree is the one that is grown from the pooled rows, bit for bit, and ``model_`` is a fitted
    `sklearn.tree.DecisionTreeClassifier`: prediction, plots and text are scikit-learn's. Breiman et al. (1984).

    Several columns of y are several outputs, each with its own classes, whose impurity is the mean over outputs; all
    share the splits. Then ``classes_``, ``n_classes_`` and `predict_proba` are lists, and `predict` is (rows, outputs).

    Rows count as often as they weigh, wherever a parameter speaks of rows. A row that misses what no row of a node
    missed in training follows the child with more rows, as in scikit-learn.

    Parameters
    ----------
    criterion : {"gini", "entropy", "log_loss"}, default "gini"
    max_depth : int, optional, default 10
        Levels of splits; each costs one message to a silo and back. None is no limit, scikit-learn's default, which is
        not ours: below level 10, nodes are many and hold few rows. Of 100,000 rows, a tree without a limit sends 21
        times as much and a forest 25 times, and leaves of a single row show it to whoever has the model.
    min_samples_split, min_samples_leaf : int or float, default 2 and 1
        Rows, or a share of them, that a node to be split, and a leaf, must have.
    min_weight_fraction_leaf : float, default 0.0
        The share of all weight that a leaf must have.
    max_features : int, float, {"sqrt", "log2"} or None, default None
        Features that a node may ask for.
    max_leaf_nodes : int, optional
        Leaves at the most; the splits that save most are made first.
    min_impurity_decrease : float, default 0.0
        The impurity, weighted by the share of rows, that a split must save.
    class_weight : dict of label to float, "balanced", list of dict or None, default None
        The weight of each class's rows in impurities, shares and ``min_weight_fraction_leaf``; rows stay one each where
        rows are counted. A label that a dict does not name counts 1. "balanced" makes all classes as
        heavy, by the rows' weights. It costs no message: silos tell classes apart in any case. Of several outputs,
        which take a list of a dict for each, a row counts for the product of its classes' weights.
    ccp_alpha : float, default 0.0
        What a leaf costs: splits that save less are taken back, see `fedtrees.export.pruning`.
    monotonic_cst : array-like of int (features,) or dict of str to int, optional
        1 where predictions must not fall with a feature, -1 where they must not rise, 0 where they may do either; of
        two classes, the probability of the second is meant, and more classes are refused. scikit-learn's meaning.
    max_bin : int, default 256
        Bins of a feature at the most, 2 to 65535, the one for the missing included.
    min_bin_rows : int, default 1
        Rows of the federation that a bin holds at the least; see `FedGBTClassifier`.
    missing : float, default NaN
        The number that stands for a missing value; NaN is missing in any case, and is all that is missing to
        ``model_``. A `Silo` has a ``missing`` of its own.
    sampling : float, int or sampler, default 1.0
        Silos that take part in a tree: a fraction, a number, or a `fedtrees.Poisson` and its like. The trees of a
        forest share one draw.
    weighting : {"rows", "equal"} or dict of str to float, default "rows"
        Whether each row counts the same, or each silo, or each silo by its weight in a dict.
    aggregation : Aggregation, optional
        The way from silos' answers to totals; None adds them up as they are. See `fedtrees.Aggregation`.
    random_state : int, optional
        The run's seed; None is 0.
    n_jobs : int, optional
        Threads of the training; None takes every core. Predictions are added up in one, as sums depend on their order.
    verbose : int, default 0
        1 draws a progress bar.

    Attributes
    ----------
    model_ : sklearn.tree.DecisionTreeClassifier
        The fitted tree, which needs nothing of this package.
    tree_ : sklearn.tree._tree.Tree
    classes_ : (classes,), or a list of them
    feature_importances_ : float64 (features,)
    ledger_ : Ledger
        Bytes and integers by silo, round and kind of query.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = FedTreeClassifier(max_depth=3).fit(X, y, silos=np.arange(150) % 4)
    >>> pooled = FedTreeClassifier(max_depth=3).fit(X, y)
    >>> model.score(X, y) > 0.95, bool((model.tree_.value == pooled.tree_.value).all())
    (True, True)
    """


class FedTreeRegressor(CartRegressor, _OneTree):
    """A regression tree grown over silos that send only sums of targets and of weights in each bin.

    ``model_`` is a fitted `sklearn.tree.DecisionTreeRegressor`. When nothing is gained any more, silos send the sums of
    the targets of each leaf and of their squares, exact to the last digit: leaves predict the means, nodes' impurities
    are the variances, and leaves whose targets still differ are split on, though nothing is gained yet. So it is beside
    a target that lies as far out as float32 reaches. Where scikit-learn takes a variance below 2.2e-16 for none, here
    the unit of y changes nothing. Several columns of y are several outputs, which share the splits. See
    `FedTreeClassifier` for parameters and attributes.

    Parameters
    ----------
    criterion : {"squared_error", "poisson"}, default "squared_error"
        What splits save: squared error, or half the Poisson deviance, for counts and rates from 0.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = FedTreeRegressor(max_depth=3).fit(X, y, silos=X[:, 1] > 0)
    >>> model.score(X, y) > 0.4
    True
    """

    __init__ = with_defaults(_OneTree.__init__, without=("class_weight",), criterion="squared_error")
