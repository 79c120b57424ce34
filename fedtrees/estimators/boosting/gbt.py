"""Gradient-boosted trees with scikit-learn's face."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.validation import check_is_fitted

from fedtrees.core.arguments import Features
from fedtrees.core.data.labels import ClassLabels, LabelArray, labels_array
from fedtrees.core.data.table import Schema
from fedtrees.errors import DataError, ParameterError
from fedtrees.estimators.boosting.base import FedGBT
from fedtrees.estimators.boosting.staged import staged
from fedtrees.estimators.boosting.xgboost_bases import XGBClassifier, XGBRegressor
from fedtrees.estimators.common.class_objective import objective_of_classes
from fedtrees.estimators.common.columns import refuse_unlike
from fedtrees.estimators.common.parameter_checks import metric_names
from fedtrees.estimators.common.table_input import check_labels
from fedtrees.trees.losses import BY_COLUMN, Loss, loss_named

if TYPE_CHECKING:
    import xgboost
    from sklearn.utils import Tags


_BY_MARGIN = ("multi:softmax", "binary:logitraw")  # whose Boosters predict a class, and a margin


class FedGBTClassifier(FedGBT, XGBClassifier):
    """A classifier of gradient-boosted trees, trained over silos that send only integer histograms.

    The model is one ensemble that equals the one trained on the pooled rows, bit for bit, and it is an XGBoost model.
    Losses: ``binary:logistic`` of two classes, ``multi:softprob`` of more, as Chen and Guestrin (2016) have them;
    ``binary:logitraw``, ``binary:hinge`` and ``multi:softmax``, too. Where y has several columns of 0 and 1, each is a
    label that a row has or has not, with a tree a round, as in XGBoost.

    All parameters of XGBoost's estimators are taken, as in ``**XGBClassifier(...).get_params()``: None is the default,
    ``eta``, ``lambda``, ``alpha``, ``min_split_loss``, ``nthread`` and ``seed`` stand for ours, and of choices such as
    ``tree_method`` or ``device`` the one that is made here; others are refused with a reason. Whatever asks for an
    `xgboost.XGBClassifier`, such as `xgboost.plot_importance` and SHAP's ``TreeExplainer``, takes this.

    Parameters
    ----------
    n_estimators : int, default 100
        Rounds of boosting; a round grows one tree, or one a class of three and more.
    max_depth : int, default 6
        Levels of splits; each costs one message to a silo and back. 0 is no limit.
    max_leaves : int, default 0
        Leaves of a tree at the most; 0 is no limit.
    grow_policy : {"depthwise", "lossguide"}, default "depthwise"
        Whether the highest nodes are split first, or those that save the most; several of these share a message.
    learning_rate : float, default 0.3
    reg_lambda, reg_alpha : float, default 1.0 and 0.0
        L2 and L1 penalties on leaves.
    gamma : float, default 0.0
        Loss that a split must save at the least.
    min_child_weight : float, default 1.0
        Sum of hessians that a child must have at the least.
    num_parallel_tree : int, default 1
        Trees that a round grows of each output; with ``subsample`` and ``colsample_bynode`` they are a random forest.
    subsample : float, default 1.0
        The share of rows that a tree is grown from. Each row is drawn by its ``row_id``, see `fit`; without ids the
        model depends on the silo that holds a row. In the other modes, silos' XGBoosts draw rows by their places.
    colsample_bytree, colsample_bylevel, colsample_bynode : float, default 1.0
        The shares of features that a tree, a level and a node may ask for; histograms of others are not sent.
    feature_weights : array-like (features,), optional
        Numbers above 0, in whose ratio features are likely to be drawn; None takes all alike.
    monotone_constraints : sequence or dict by name, or str, optional
        1 where predictions must not fall as a feature rises, -1 where they must not rise.
    interaction_constraints : sequence of sequences, or str, optional
        Groups of features, by place or name, that may meet on a path.
    max_bin : int, default 256
        Bins of a feature at the most, 2 to 65535, the one for the missing included.
    min_bin_rows : int, default 1
        Rows of the federation that a bin holds at the least, so that neither bin edges nor histograms single out fewer:
        rare extremes join the bin beside them, rare categories each other, a few missing values the highest bin. At 1,
        the counts that find the edges also show the server nearly every value of a small table.
    enable_categorical : bool, default True
        Whether columns of a category type are taken, and split by sets of categories, as XGBoost has it. False refuses
        them, as XGBoost's default does. Silos need not have each other's categories: the server learns the names of
        those that rows have, and sends all to each.
    max_cat_to_onehot : int, default 4
        Features of fewer categories are split one category from all others.
    max_cat_threshold : int, default 64
        Categories that are tried on one side of other splits, which part them as their leaves would be sorted.
    missing : float, default NaN
        The number that stands for a missing value; NaN is missing in any case.
    base_score : float or sequence of float, optional
        What predictions start from, a probability of the second class of two; of several outputs one number, or one of
        each. None estimates it.
    objective : str or callable, optional
        XGBoost's name, or a function of targets and margins, as XGBoost has it, that returns gradients and hessians row
        by row (in this process only; see `fedtrees.trees.losses.register_objective`). None chooses by the number of
        classes.
    scale_pos_weight : float, optional
        What rows of the second class of two weigh more; None is 1.
    max_delta_step : float, optional
        The largest leaf before the learning rate; None is no limit, and 0.7 for ``count:poisson``.
    huber_slope, tweedie_variance_power, quantile_alpha : float, optional
        Parameters of ``reg:pseudohubererror``, ``reg:tweedie`` and ``reg:quantileerror``; None is 1, 1.5 and 0.5. Of
        several quantiles, each is a column of the predictions.
    aft_loss_distribution, aft_loss_distribution_scale : str and float, optional
        Parameters of ``survival:aft``: "normal", "logistic" or "extreme", and a scale; None is "normal" and 1.
    lambdarank_pair_method, lambdarank_num_pair_per_sample, lambdarank_normalization, lambdarank_score_normalization, \
    lambdarank_unbiased, lambdarank_bias_norm, ndcg_exp_gain : optional
        Parameters of rankings, see `FedGBTRanker`; None is XGBoost's default.
    eval_metric : str, callable or sequence of these, optional
        The metrics of the evaluation sets, by XGBoost's names; None is the one XGBoost reports for the objective. A
        function of targets and predictions that returns a number for each row is one, too; see
        `fedtrees.queries.custom_metric.register_metric`.
    early_stopping_rounds : int, optional
        Ends training after so many rounds in which the last metric of the last evaluation set got no better;
        predictions then end with the best round.
    validation_fraction : float, optional
        A share of each silo's rows that is held out as the last evaluation set. As with ``subsample``, rows are drawn
        by their ``row_id``.
    callbacks : sequence of xgboost.callback.TrainingCallback, optional
        Called where XGBoost calls them; between rounds they may change the learning rate.
    importance_type : {"gain", "weight", "cover", "total_gain", "total_cover"}, optional
        What `feature_importances_` are shares of; None is the mean gain.
    mode : {"histogram", "bagging", "cyclic"}, default "histogram"
        How trees come about. From histograms, they are those of the pooled rows. The others take a message a round
        instead of one a level, and are approximations: each silo's own XGBoost grows trees, which are joined, weighted
        by rows, or the model passes from silo to silo, one a round.
    split_on_silo : bool, default False
        Whether trees may also ask which silo a row is of, by a last column ``"silo"``, a category, so that silos may
        share some branches and have others of their own; see ``max_cat_to_onehot``. Silos and the model then learn all
        silos' names, and the model is one of the partition, too. An ``eval_set`` needs ``eval_silos``, and predictions
        take ``silos=``.
    sampling : float, int or sampler, default 1.0
        Silos that take part in a tree: a fraction, a number, or a `fedtrees.Poisson` and its like.
    weighting : {"rows", "equal"} or dict of str to float, default "rows"
        Whether each row counts the same, or each silo, or each silo by its weight in a dict.
    aggregation : Aggregation, optional
        How silos' answers become totals; None adds them up as they are. See `fedtrees.Aggregation`.
    random_state : int, optional
        The run's seed; None is 0.
    n_jobs : int, optional
        Threads; None takes every core.
    verbose : int, default 0
        1 draws a progress bar.

    Attributes
    ----------
    booster_ : xgboost.Booster
        The model; prediction, SHAP and plotting are XGBoost's.
    classes_ : (classes,)
    ledger_ : Ledger
        Bytes and integers by silo, round and kind of query.
    n_features_in_ : int
    feature_names_in_ : (features,)
        Where columns had names.
    feature_importances_ : float32 (features,)
        What each feature's splits come to, as shares; see ``importance_type``.
    intercept_ : float32 (1,) or (classes,)
        The model's ``base_score``.
    evals_result_ : dict of str to dict of str to list of float
        Each evaluation set's metrics, round by round, where there are any.
    evals_uncertainty_ : dict of str to dict of str to list of float
        The most that each of these may be off by. ``auc`` and ``aucpr`` of sets of more than 4096 rows are read from
        histograms of scores, and are certain to 1e-4 at least; smaller sets' are exact, and so are all other metrics.
    best_iteration, best_score : int and float
        The best round, where `early_stopping_rounds` sought it.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> clinics = np.arange(len(y)) % 3
    >>> model = FedGBTClassifier(n_estimators=5, max_depth=3).fit(X, y, silos=clinics)
    >>> pooled = FedGBTClassifier(n_estimators=5, max_depth=3).fit(X, y)
    >>> model.booster_.save_raw("json") == pooled.booster_.save_raw("json")
    True
    >>> model.ledger_.rounds
    23
    """

    _classifies = True
    _loads = ("binary:", "multi:")
    __metadata_request__predict_proba: ClassVar[dict[str, bool]] = {"silos": False}

    def _loss(self, labels: ClassLabels | None) -> Loss:
        if labels is None:  # several a row
            return self._loss_of_columns()
        labels = check_labels(labels)
        objective = self._objective_named(objective_of_classes(len(labels), metric_names(self.eval_metric)))
        if objective == "binary:logistic" and len(labels) > 2:
            objective = "multi:softprob"  # as in XGBoost, whose default it is
        if objective.startswith("binary:") and len(labels) > 2:
            raise ParameterError(f"objective={objective!r} is for two classes and y holds {len(labels)}.")
        return loss_named(objective, self._loss_params(objective), self._classifies)

    def _loss_of_columns(self) -> Loss:
        objective = self._objective_named("binary:logistic")
        if objective not in BY_COLUMN:
            raise ParameterError(f"objective={objective!r} is for one label a row, and y has several columns.")
        return loss_named(objective, self._loss_params(objective), by_column=True)

    @property
    def classes_(self) -> LabelArray:
        """The class labels, sorted; of several labels a row, 0 and 1."""
        check_is_fitted(self, "booster_")
        return labels_array(self._labels)

    def _hold(self, booster: xgboost.Booster, schema: Schema, split_on_silo: bool = False) -> None:
        super()._hold(booster, schema, split_on_silo)
        self._several = schema.labels is None  # labels a row
        self._labels = [0, 1] if schema.labels is None else schema.labels

    @property
    def n_classes_(self) -> int:
        """The number of classes."""
        return len(self.classes_)

    def predict_proba(
        self,
        X: Features,
        *,
        base_margin: ArrayLike | None = None,
        iteration_range: tuple[int, int] | None = None,
        validate_features: bool = True,
        silos: ArrayLike | None = None,
    ) -> NDArray[np.float32]:
        """Each class's probability, float32 (rows, classes). See `predict` for the parameters.

        Of ``binary:hinge``, 1 for the class it predicts. Of several labels a row, each label's: (rows, labels).
        """
        check_is_fitted(self, "booster_")
        margin = self._objective in _BY_MARGIN
        return self._shares(self._predict(X, base_margin, iteration_range, validate_features, margin, silos))

    def _shares(self, second: NDArray[np.float32]) -> NDArray[np.float32]:
        """Each class's probability, from what the Booster predicts."""
        if len(self._labels) == 1:  # the Booster's second class stands for all that is not of it
            return np.ones((len(second), 1), np.float32)
        if self._objective == "multi:softmax":
            power = np.exp(second - second.max(axis=1, keepdims=True))
            shares: NDArray[np.float32] = power / power.sum(axis=1, keepdims=True)
            return shares
        if self._objective == "binary:logitraw":
            second = (1 / (1 + np.exp(-second.astype(np.float64)))).astype(np.float32)
        return second if self._several or second.ndim == 2 else np.stack([1 - second, second], axis=1)

    def predict(
        self,
        X: Features,
        *,
        output_margin: bool = False,
        base_margin: ArrayLike | None = None,
        iteration_range: tuple[int, int] | None = None,
        validate_features: bool = True,
        silos: ArrayLike | None = None,
    ) -> LabelArray:
        """The likeliest class of each row; of several labels a row, whether each is likelier than not: (rows, labels).

        Parameters
        ----------
        X : DataFrame, sparse matrix or array-like (rows, features)
        output_margin : bool, default False
            Return margins instead: float32 (rows,), or (rows, classes) of three and more.
        base_margin : array-like (rows,) or (rows, classes), optional
            What each row's margin starts from, in place of the model's own.
        iteration_range : (int, int), optional
            The rounds whose trees count, the second not included; without, all, or those up to the best one.
        validate_features : bool, default True
            Whether columns must have the names they had in training.
        silos : str or array-like (rows,), optional
            Of a model with ``split_on_silo``, the silo of all rows, or of each. Rows without one, and those where it is
            None, go the default way of such splits.
        """
        if output_margin:
            return self._predict(X, base_margin, iteration_range, validate_features, True, silos)
        shares = self.predict_proba(
            X,
            base_margin=base_margin,
            iteration_range=iteration_range,
            validate_features=validate_features,
            silos=silos,
        )
        return self._likeliest(shares)

    def _likeliest(self, shares: NDArray[np.float32]) -> LabelArray:
        likeliest = (shares > 0.5).astype(np.int64) if self._several else shares.argmax(axis=1)
        labels: LabelArray = self.classes_[likeliest]
        return labels

    def staged_predict(self, X: Features, *, silos: ArrayLike | None = None) -> Iterator[LabelArray]:
        """The likeliest class of each row after each round; see `predict`."""
        for shares in self.staged_predict_proba(X, silos=silos):
            yield self._likeliest(shares)

    def staged_predict_proba(self, X: Features, *, silos: ArrayLike | None = None) -> Iterator[NDArray[np.float32]]:
        """Each class's probability after each round; see `predict_proba`.

        Examples
        --------
        >>> model = FedGBTClassifier(n_estimators=3, max_depth=1).fit([[0.0], [1.0]] * 9, [0, 1] * 9)
        >>> [round(float(shares[0, 0]), 2) for shares in model.staged_predict_proba([[0.0]])]
        [0.6, 0.68, 0.74]
        """
        check_is_fitted(self, "booster_")
        for second in staged(self, X, self._objective in _BY_MARGIN, silos):
            yield self._shares(second)

    def staged_decision_function(self, X: Features, *, silos: ArrayLike | None = None) -> Iterator[NDArray[np.float32]]:
        """The margins after each round: float32 (rows,), or (rows, classes) of three and more."""
        check_is_fitted(self, "booster_")
        yield from staged(self, X, True, silos)

    def score(
        self, X: Features, y: ArrayLike, sample_weight: ArrayLike | None = None, *, silos: ArrayLike | None = None
    ) -> float:
        """The accuracy, of several labels a row the share of rows with all of them right; see `predict` for ``silos``.

        Rows of a class that was not there in training are wrong.

        Raises
        ------
        DataError
            If y holds a label that is missing, or a text among numbers.
        """
        check_is_fitted(self, "booster_")
        refuse_unlike(y, self.classes_, others=not self._several)
        return float(accuracy_score(y, self.predict(X, silos=silos), sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class FedGBTRegressor(FedGBT, XGBRegressor):
    """A regressor of gradient-boosted trees, trained over silos that send only integer histograms.

    The loss is ``reg:squarederror``, or by ``objective`` one of ``reg:squaredlogerror``, ``reg:pseudohubererror``,
    ``reg:logistic``, ``reg:gamma``, ``reg:tweedie``, ``count:poisson``, ``reg:absoluteerror``, ``reg:quantileerror``
    and ``survival:aft``, whose y has two columns, the lower and the upper bound of a time (equal where it is known,
    an infinite upper one where it is not over yet), and ``survival:cox``, whose y is the time of an event, or minus the
    time until which there was none. See `FedGBTClassifier` for parameters and attributes;
    ``base_score`` is here in the units of y.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = FedGBTRegressor(n_estimators=20, learning_rate=0.1).fit(X, y, silos=X[:, 1] > 0)
    >>> model.score(X, y) > 0.6
    True
    """

    _classifies = False
    _loads = ("reg:", "count:", "survival:")

    def _loss(self, labels: ClassLabels | None) -> Loss:
        objective = self._objective_named("reg:squarederror")
        return loss_named(objective, self._loss_params(objective), self._classifies)

    def predict(
        self,
        X: Features,
        *,
        output_margin: bool = False,
        base_margin: ArrayLike | None = None,
        iteration_range: tuple[int, int] | None = None,
        validate_features: bool = True,
        silos: ArrayLike | None = None,
    ) -> NDArray[np.floating]:
        """The predicted number of each row, float32 (rows,); of several targets, float64 (rows, targets).

        See `FedGBTClassifier.predict` for the parameters.
        """
        numbers = self._predict(X, base_margin, iteration_range, validate_features, output_margin, silos)
        return numbers if numbers.ndim == 1 else numbers.astype(np.float64)  # which scikit-learn asks for

    def staged_predict(self, X: Features, *, silos: ArrayLike | None = None) -> Iterator[NDArray[np.floating]]:
        """The predicted number of each row after each round; see `predict`."""
        check_is_fitted(self, "booster_")
        for numbers in staged(self, X, silos=silos):
            yield numbers if numbers.ndim == 1 else numbers.astype(np.float64)

    def score(
        self, X: Features, y: ArrayLike, sample_weight: ArrayLike | None = None, *, silos: ArrayLike | None = None
    ) -> float:
        """The coefficient of determination; see `FedGBTClassifier.predict` for ``silos``.

        Raises
        ------
        DataError
            For models of times, which it has no meaning for, and of several quantiles.
        """
        check_is_fitted(self, "booster_")
        several = self._objective == "reg:quantileerror" and len(np.ravel(self.intercept_)) > 1
        if several or self._objective.startswith("survival:"):
            raise DataError(f"score: R2 says nothing of what {self._objective} predicts; score by an eval_metric.")
        return float(r2_score(y, self.predict(X, silos=silos), sample_weight=sample_weight))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
