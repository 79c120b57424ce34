"""AdaBoost with scikit-learn's face."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor
from sklearn.metrics import accuracy_score, r2_score

from fedtrees.core.arguments import Features
from fedtrees.core.data.labels import LabelArray
from fedtrees.core.data.table import Schema
from fedtrees.core.numeric.threads import Threads
from fedtrees.core.protocol.aggregation import Aggregation
from fedtrees.core.protocol.channel import Channel
from fedtrees.errors import unknown_value
from fedtrees.estimators.cart.base import CartClassifier, CartRegressor, Classes
from fedtrees.estimators.cart.ensemble import FedEnsemble
from fedtrees.estimators.cart.history import TreesShown
from fedtrees.estimators.cart.parameters import check_several, labels_of_one
from fedtrees.estimators.common.columns import refuse_unlike
from fedtrees.estimators.common.progress import progress
from fedtrees.export.sklearn import taking_missing
from fedtrees.trees.losses import Target
from fedtrees.trees.losses.tables import AdaBoostR2, Samme
from fedtrees.trees.messages.tree_errors import LOSS_KINDS
from fedtrees.trees.server.adaboost import AdaBoostState, R2Votes, SammeVotes, Vote, VoteRule, adaboost
from fedtrees.trees.server.ensemble import Ensemble
from fedtrees.trees.server.settings import TreeSettings

if TYPE_CHECKING:
    from fedtrees.estimators.common.parameter_types import Sampling, Seed, SiloWeighting

AdaBoost: TypeAlias = AdaBoostClassifier | AdaBoostRegressor


class _AdaBoost(FedEnsemble):
    """The common part of `FedAdaBoostClassifier` and `FedAdaBoostRegressor`."""

    _task = "AdaBoost"

    n_estimators: int
    learning_rate: float
    _takes_several = False

    def _settings(self, schema: Schema, seed: int, **others: Any) -> TreeSettings:  # see `cart_settings`
        check_several(self, schema)
        return super()._settings(schema, seed, rounds=int(self.n_estimators), **others)

    def _vote_rule(self, schema: Schema) -> VoteRule:
        raise NotImplementedError

    def _grow(self, channel: Channel, n_silos: int, schema: Schema, seed: int, threads: Threads) -> None:
        rule, settings = self._vote_rule(schema), self._settings_over(channel, schema, seed)
        with progress(self.verbose, settings.rounds, self._task) as shown:
            n_features, labels = len(schema.names), labels_of_one(schema)
            observer = TreesShown[AdaBoostState](shown)
            ensemble, votes = adaboost(channel, n_silos, n_features, labels, settings, rule, threads, observer)
        self._hold_votes(ensemble, votes, schema)

    def _hold_votes(self, ensemble: Ensemble, votes: list[Vote], schema: Schema) -> None:
        raise NotImplementedError

    def _hold_trees(self, model: AdaBoost, ensemble: Ensemble, votes: list[Vote], classes: Classes | None) -> None:
        """Fill a fitted AdaBoost of scikit-learn."""
        model.estimators_ = [self._decision_tree(tree, ensemble, classes, names=False) for tree in ensemble.trees]
        model.estimator = model.estimator_ = clone(model.estimators_[0])
        model.estimator_weights_ = np.array([vote.weight for vote in votes])
        model.estimator_errors_ = np.array([vote.error for vote in votes])
        model.n_features_in_ = self.n_features_in_
        if self._schema.labelled:
            model.feature_names_in_ = self.feature_names_in_
        self.model_ = model

    @property
    def _predictor(self) -> AdaBoost:
        return taking_missing(self.model_)

    @property
    def estimator_weights_(self) -> NDArray[np.float64]:
        """The weight of each tree's vote, float64 (trees,)."""
        votes: NDArray[np.float64] = self._trained.estimator_weights_
        return votes

    @property
    def estimator_errors_(self) -> NDArray[np.float64]:
        """Each tree's weighted error, float64 (trees,)."""
        errors: NDArray[np.float64] = self._trained.estimator_errors_
        return errors

    def staged_predict(self, X: Features) -> Iterator[LabelArray]:
        """The prediction of each row after one tree, after two, and so on."""
        rows = self._rows(X)
        yield from self._predictor.staged_predict(rows)

    def staged_score(self, X: Features, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Iterator[float]:
        """The score after one tree, after two, and so on: the accuracy, or the coefficient of determination."""
        if isinstance(self, CartClassifier):
            refuse_unlike(y, self.classes_)
        metric = accuracy_score if isinstance(self, CartClassifier) else r2_score
        for predicted in self.staged_predict(X):
            yield float(metric(y, predicted, sample_weight=sample_weight))


class FedAdaBoostClassifier(CartClassifier, _AdaBoost):
    """AdaBoost of classification trees over silos: SAMME of Zhu, Zou, Rosset and Hastie (2009).

    The weights of rows live in their silos, which learn of each tree and multiply them themselves; a tree's error is
    read off its own leaves. ``model_`` is a fitted `sklearn.ensemble.AdaBoostClassifier`. It refuses missing values,
    which its trees have a way for, and which this estimator takes.

    Parameters
    ----------
    n_estimators : int, default 50
        Trees at the most; a tree without error is the last.
    learning_rate : float, default 1.0
        The factor of votes, up to 100.
    criterion : {"gini", "entropy", "log_loss"}, default "gini"
    max_depth : int, optional, default 1
        Of each tree.
    max_bin, min_bin_rows, missing, sampling, weighting, aggregation, random_state, n_jobs, verbose
        See `FedTreeClassifier`.

    Attributes
    ----------
    model_ : sklearn.ensemble.AdaBoostClassifier
    estimators_ : list of sklearn.tree.DecisionTreeClassifier
    estimator_weights_, estimator_errors_ : float64 (trees,)
    classes_, feature_importances_, ledger_
        See `FedTreeClassifier`.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = FedAdaBoostClassifier(20).fit(X, y, silos=np.arange(len(y)) % 3)
    >>> model.score(X, y) > 0.95
    True
    """

    def __init__(
        self,
        n_estimators: int = 50,
        *,
        learning_rate: float = 1.0,
        criterion: str = "gini",
        max_depth: int | None = 1,
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
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.criterion = criterion
        self.max_depth = max_depth
        super().__init__(
            max_bin=max_bin, min_bin_rows=min_bin_rows, missing=missing, sampling=sampling, weighting=weighting,
            aggregation=aggregation,
            random_state=random_state, n_jobs=n_jobs, verbose=verbose,
        )  # fmt: skip

    def decision_function(self, X: Features) -> NDArray[np.float64]:
        """The votes for each class, float64 (rows, classes); of two, (rows,): those for the second less the other's."""
        rows = self._rows(X)
        votes: NDArray[np.float64] = self._predictor.decision_function(rows)
        return votes

    def staged_decision_function(self, X: Features) -> Iterator[NDArray[np.float64]]:
        """The votes after one tree, after two, and so on; see `decision_function`."""
        rows = self._rows(X)
        yield from self._predictor.staged_decision_function(rows)

    def staged_predict_proba(self, X: Features) -> Iterator[NDArray[np.float64]]:
        """Each class's probability after one tree, after two, and so on: float64 (rows, classes)."""
        rows = self._rows(X)
        if len(self.classes_) == 1:  # scikit-learn's divides by the number of the others
            yield from (np.ones((len(rows), 1)) for _ in self.model_.estimators_)
        else:
            yield from self._predictor.staged_predict_proba(rows)

    def _loss(self, schema: Schema) -> Target:
        return Samme()

    def _vote_rule(self, schema: Schema) -> VoteRule:
        return SammeVotes(float(self.learning_rate), n_classes=len(schema.labels or ()))

    def _hold_votes(self, ensemble: Ensemble, votes: list[Vote], schema: Schema) -> None:
        model = AdaBoostClassifier(n_estimators=self.n_estimators, learning_rate=self.learning_rate)
        model.classes_, model.n_classes_ = self.classes_, self.n_classes_
        self._hold_trees(model, ensemble, votes, self.classes_)


class FedAdaBoostRegressor(CartRegressor, _AdaBoost):
    """AdaBoost of regression trees over silos: R2 of Drucker (1997).

    Trees are grown from weighted rows, where scikit-learn draws rows by their weights. The largest error, which others
    are divided by, is found to one part in 2048. See `FedAdaBoostClassifier` for the other parameters and attributes.

    Parameters
    ----------
    max_depth : int, optional, default 3
    loss : {"linear", "square", "exponential"}, default "linear"
        The function of an error's share of the largest.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> FedAdaBoostRegressor(20).fit(X, y, silos=X[:, 1] > 0).score(X, y) > 0.5
    True
    """

    def __init__(
        self,
        n_estimators: int = 50,
        *,
        learning_rate: float = 1.0,
        loss: str = "linear",
        max_depth: int | None = 3,
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
        self.n_estimators = n_estimators
        self.learning_rate = learning_rate
        self.loss = loss
        self.max_depth = max_depth
        super().__init__(
            max_bin=max_bin, min_bin_rows=min_bin_rows, missing=missing, sampling=sampling, weighting=weighting,
            aggregation=aggregation,
            random_state=random_state, n_jobs=n_jobs, verbose=verbose,
        )  # fmt: skip

    def _loss(self, schema: Schema) -> Target:
        return AdaBoostR2()

    def _vote_rule(self, schema: Schema) -> VoteRule:
        if self.loss not in tuple(LOSS_KINDS):
            raise unknown_value("loss", self.loss, LOSS_KINDS)
        return R2Votes(float(self.learning_rate), loss=self.loss)

    def _hold_votes(self, ensemble: Ensemble, votes: list[Vote], schema: Schema) -> None:
        model = AdaBoostRegressor(n_estimators=self.n_estimators, learning_rate=self.learning_rate, loss=self.loss)
        self._hold_trees(model, ensemble, votes, None)
