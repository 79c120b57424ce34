"""Neural networks by federated averaging, with scikit-learn's face."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin

from fedtrees.core.arguments import Features, by_name
from fedtrees.core.data.labels import LabelArray, labels_array
from fedtrees.core.data.table import Schema
from fedtrees.errors import DataError
from fedtrees.estimators.common.after_fit import AfterFit
from fedtrees.estimators.common.columns import Classifies
from fedtrees.estimators.common.defaults import with_defaults
from fedtrees.estimators.network.base import FedAvgEstimator

if TYPE_CHECKING:
    from sklearn.utils import Tags


class FedAvgClassifier(Classifies, FedAvgEstimator):
    """A neural network that classifies, trained by federated averaging: McMahan et al. (2016).

    Every round, a cohort of silos gets the shared parameters; each trains on its own rows; the server averages the
    results, weighted by rows. Only integers that are summed leave a silo: its change of the parameters on a fixed
    grid, times its rows.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default (100,)
        Units of each hidden layer; none is logistic or linear regression.
    activation : {"relu", "tanh", "logistic", "identity"}, default "relu"
    n_rounds : int, default 100
        Rounds at the most.
    local_epochs : int, default 1
        Passes of a silo over its rows in a round: the paper's E.
    batch_size : int or None, default 32
        Rows of a step: the paper's B. None is all of a silo's.
    learning_rate : float, default 0.1
        Of the silos' steps.
    schedule : {"constant", "exponential", "inverse", "cosine"} or callable, default "constant"
        The fall of the rate from round to round; a function of the round returns its factor.
    decay : float, default 0.01
        The share by which an exponential schedule falls per round; the slope of an inverse one.
    alpha : float, default 0.0
        L2 penalty.
    method : {"fedavg", "fedprox", "scaffold", "fednova", "qfedavg", "fedper"} or method, default "fedavg"
        The training of silos, and the vectors that they send. A name stands for the defaults; for others, give an
        object of `fedtrees.neural.methods`: ``FedProx(mu=0.01)``, ``QFedAvg(q=1.0)``, ``FedPer(layers=1)``;
        ``FedAvg()``, ``Scaffold()`` and ``FedNova()`` have no parameters.
    server : {"fedavg", "fedavgm", "fedadagrad", "fedadam", "fedyogi"} or optimiser, default "fedavg"
        The server's step by the mean. A name stands for the defaults; for others, give an object of
        `fedtrees.neural.optimisers`: ``Averaging(learning_rate=1.0)``, ``Momentum(learning_rate=1.0, momentum=0.9)``,
        ``FedAdagrad(learning_rate=0.1, beta_1=0.0, beta_2=0.99, tau=0.001)``, ``FedAdam(learning_rate=0.01, beta_1=0.9,
        beta_2=0.99, tau=0.001)`` or ``FedYogi(learning_rate=0.01, beta_1=0.9, beta_2=0.99, tau=0.001)``.
    upload : {"weights", "gradients"}, default "weights"
        Whether silos train, or send one gradient of all their rows and the server steps: FedSGD.
    compression : Rounded or TopK, optional
        Updates in a few bits, ``Rounded(bits=8)``, or the largest only, ``TopK(share=0.01, bits=12)``. None sends them
        finely.
    stragglers : float, default 0.0
        The share of silos, drawn anew each round, that are slow and do a part of their epochs only: to try out the
        effect.
    standardize : bool, default True
        Whether features, and targets that are numbers, are scaled by the means and deviations of all silos' rows,
        which are learnt by sums. Without it columns are taken as they are, and one of 1e-25 moves nothing.
    model : TorchModel, optional
        Another network than the built-in perceptron.
    eval_metric : str, callable or sequence of these, optional
        The metrics of evaluation sets; see `FedGBTClassifier`.
    target_score : float, optional
        Training ends when the last metric of the last evaluation set is as good.
    patience : int, optional
        Training ends after so many rounds without a better score, or without evaluation sets, a smaller training
        loss; the best round's parameters stay.
    validation_fraction : float, optional
        A share of each silo's rows that is held out as the last evaluation set.
    sampling : float, int or sampler, default 1.0
        Silos that take part in a round: the paper's C, a number, or a sampler.
    weighting : {"rows", "equal"} or dict of str to float, default "rows"
        The weight of a silo's change.
    aggregation : Aggregation, optional
        The way from silos' answers to totals; None adds them up as they are. See `fedtrees.Aggregation`.
    warm_start : bool, default False
        Whether `fit` goes on from the last training.
    random_state : int, optional
        The run's seed; None is 0.
    n_jobs : int, optional
        Threads; None takes every core. The model does not depend on them.
    verbose : int, default 0
        1 draws a progress bar.
    class_weight : dict of label to float, "balanced" or None, default None
        Multiplies the weight of a class's rows, everywhere that ``sample_weight`` counts; "balanced" makes all classes
        weigh the same. 1 where a dict does not name a class.

    Attributes
    ----------
    classes_ : (classes,)
    params_ : float32 (n_params,)
        The shared parameters, layer after layer.
    coefs_, intercepts_ : list of float32 (inputs, outputs) and (outputs,)
        The same, by layer; of the built-in perceptron.
    n_rounds_, n_iter_ : int
        Rounds so far.
    n_layers_, n_outputs_ : int
        With the layer of features; units of the last. Of the built-in perceptron.
    out_activation_ : {"logistic", "softmax", "identity", "exp"}
        The function from margins to predictions.
    loss_, best_loss_ : float
        The last of ``loss_curve_``, and the smallest.
    loss_curve_ : list of float
        The mean training loss of each round, NaN where no silo took part; those of earlier calls come first where a
        training goes on.
    evals_result_ : dict of str to dict of str to list of float
        Each evaluation set's metrics, round by round, as long as ``loss_curve_``: those of earlier calls come first
        where a training goes on, NaN of sets and metrics that were not there.
    evals_uncertainty_ : dict of str to dict of str to list of float
        The most that each of these may be off by; see `FedGBTClassifier`.
    ledger_ : Ledger
        Bytes and integers by silo, round and kind of query, of the last call.
    n_features_in_, feature_names_in_

    Notes
    -----
    What scikit-learn's ``MLPClassifier`` and ``MLPRegressor`` have by the same name means the same, but for these.
    ``learning_rate`` is a number, theirs is a schedule: see ``schedule`` and ``decay`` for it, and for their
    ``power_t`` and ``learning_rate_init``. ``alpha`` is not divided by rows, as a silo must not be penalised by its
    size, and biases are penalised, too; it is 0 by default, and theirs is 1e-4. ``batch_size`` is 32 by default and
    not 200 at the most. ``max_iter`` is ``n_rounds`` times ``local_epochs``. ``early_stopping``, ``n_iter_no_change``
    and ``tol`` are ``patience`` and ``validation_fraction``, which is None by default; ``validation_scores_`` and
    ``best_validation_score_`` are in ``evals_result_``, by ``eval_metric``. Silos descend by plain steps (``solver``
    is "sgd" without ``momentum`` and ``nesterovs_momentum``); momentum, ``beta_1``, ``beta_2`` and ``epsilon`` are
    those of the ``server``. Rows are always shuffled (``shuffle``) before an epoch. ``max_fun`` is L-BFGS's, which
    there is none of. ``t_`` counts rows seen, which silos keep to themselves; ``n_iter_`` counts rounds. A
    classifier's ``loss`` is the cross entropy always, of one label a row. ``standardize=True`` scales columns, which
    is left to a pipeline there.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> clinics = np.arange(len(y)) % 3
    >>> model = FedAvgClassifier((16,), n_rounds=30, random_state=1).fit(X, y, silos=clinics)
    >>> model.score(X, y) > 0.97
    True
    """

    __init__ = with_defaults(FedAvgEstimator.__init__, without=("loss",))
    _classifies = True
    classes_ = AfterFit[LabelArray]()

    def _know(self, schema: Schema) -> None:
        super()._know(schema)
        self.classes_ = labels_array(schema.labels)

    def _check(self, schema: Schema) -> None:
        labels = schema.labels
        if not labels:
            raise DataError("Found array with 0 sample(s) while a minimum of 1 is required: no silo holds any row.")

    def decision_function(self, X: Features) -> NDArray[np.float32]:
        """The margins: of two classes the log odds of the second, float32 (rows,); else one a class (rows, classes)."""
        margin = self._margins(X)
        return margin[:, 0] if margin.shape[1] == 1 else margin

    def predict_log_proba(self, X: Features) -> NDArray[np.float32]:
        """The logarithm of each class's probability, float32 (rows, classes); finite where the probability is 0."""
        margin = self._margins(X)
        if len(self.classes_) == 1:
            return np.zeros((len(margin), 1), np.float32)
        if margin.shape[1] == 1:
            logarithms: NDArray[np.float32] = -np.logaddexp(0, np.concatenate([margin, -margin], axis=1))
            return logarithms
        margin = margin - margin.max(axis=1, keepdims=True)
        logarithms = margin - np.log(np.exp(margin).sum(axis=1, keepdims=True))
        return logarithms

    def predict_proba(self, X: Features) -> NDArray[np.float32]:
        """Each class's probability, float32 (rows, classes)."""
        margin = self._margins(X)
        if len(self.classes_) == 1:
            return np.ones((len(margin), 1), np.float32)
        if margin.shape[1] == 1:
            second = (1 + np.tanh(margin[:, 0] / 2)) / 2
            return np.stack([1 - second, second], axis=1)
        power = np.exp(margin - margin.max(axis=1, keepdims=True))
        shares: NDArray[np.float32] = power / power.sum(axis=1, keepdims=True)
        return shares

    def predict(self, X: Features) -> LabelArray:
        """The likeliest class of each row; the first of those that are equally likely."""
        margin = self.decision_function(X)
        likeliest = (margin > 0).astype(np.intp) if margin.ndim == 1 else margin.argmax(axis=1)
        if len(self.classes_) == 1:  # a second output stands for all that is not of it
            likeliest[:] = 0
        labels: LabelArray = self.classes_[likeliest]
        return labels

    @by_name
    def partial_fit(
        self,
        X: Features,
        y: ArrayLike,
        *,
        silos: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        classes: ArrayLike | None = None,
        n_rounds: int = 1,
    ) -> FedAvgClassifier:
        """Go on for some rounds from the last training.

        Features, and targets that are numbers, stay scaled as in the first call. ``class_weight="balanced"`` weighs
        classes by the rows of the call.

        Parameters
        ----------
        X : DataFrame, sparse matrix or array-like (rows, features)
        y : array-like (rows,)
        silos : array-like (rows,), optional
        classes : array-like (classes,), optional
            All classes, in any order, if the first call does not hold rows of each; later calls may repeat them.
        n_rounds : int, default 1
        sample_weight : array-like (rows,), optional
            See `fit`.

        Raises
        ------
        DataError
            For a label that is none of the first call's classes.
        ParameterError
            For other classes than those of the first call.
        """
        self._go_on(X, y, silos, sample_weight, classes, n_rounds)
        return self


class FedAvgRegressor(RegressorMixin, FedAvgEstimator):
    """A neural network that predicts numbers, trained by federated averaging.

    See `FedAvgClassifier` for the other parameters and attributes; ``class_weight`` is not among them.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}, default "squared_error"
        Half the squared error, or half the deviance of counts, whose logarithms are what the last layer predicts; of
        one target or several. Counts are in units of their mean while they are trained on (``standardize``).

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = FedAvgRegressor((), n_rounds=20, learning_rate=0.05).fit(X, y, silos=X[:, 1] > 0)
    >>> model.score(X, y) > 0.5
    True
    """

    __init__ = with_defaults(FedAvgEstimator.__init__, without=("class_weight",))
    _classifies = False

    def _check(self, schema: Schema) -> None:
        """Check nothing: any numbers are fine."""

    def predict(self, X: Features) -> NDArray[np.floating]:
        """The predicted number of each row, float32 (rows,); of several targets, float64 (rows, targets)."""
        margin = self._margins(X)
        if self.out_activation_ == "exp":
            with np.errstate(over="ignore"):
                margin = np.exp(margin)
            if not np.isfinite(margin).all():
                row = int(np.argmin(np.isfinite(margin).all(axis=1)))
                raise DataError(f"row {row}: the prediction is too large for float32, far from the rows trained on.")
        return margin[:, 0] if margin.shape[1] == 1 else margin.astype(np.float64)

    @by_name
    def partial_fit(
        self,
        X: Features,
        y: ArrayLike,
        *,
        silos: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        n_rounds: int = 1,
    ) -> FedAvgRegressor:
        """Go on for some rounds from the last training. See `FedAvgClassifier.partial_fit`."""
        self._go_on(X, y, silos, sample_weight, None, n_rounds)
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
