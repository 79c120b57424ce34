"""FedAvg's weights of rows and of classes, its losses, and what scikit-learn's networks have besides."""

from __future__ import annotations

import inspect
import re
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import sklearn
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor
from sklearn.metrics import mean_poisson_deviance
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from fedtrees import DataError, FedAvgClassifier, FedAvgRegressor, LocalFederation, ParameterError, Silo
from fedtrees.estimators.network_parameters import METHODS, OPTIMISERS
from fedtrees.neural.compression import Rounded, TopK
from fedtrees.neural.torch_model import TorchModel

X, Y = load_breast_cancer(return_X_y=True)
X = X[:, :6]
D, T = load_diabetes(return_X_y=True)
SILOS = np.arange(len(Y)) % 3
FULL: dict[str, Any] = {"batch_size": None, "n_rounds": 6, "n_jobs": 1}


def module(features: int, outputs: int) -> Any:
    torch = pytest.importorskip("torch")
    return torch.nn.Sequential(torch.nn.Linear(features, 5), torch.nn.Tanh(), torch.nn.Linear(5, outputs))


# -- weights of rows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [None, TorchModel(module)], ids=["perceptron", "torch"])
@pytest.mark.parametrize("method", ["fedavg", "fedprox", "scaffold", "fednova", "qfedavg"])
def test_a_row_of_a_whole_weight_trains_like_as_many_rows(model: Any, method: str) -> None:
    repeats = np.random.default_rng(0).integers(0, 5, len(Y))
    common = {**FULL, "model": model, "method": method}
    weighted = FedAvgClassifier((5,), **common).fit(X, Y, silos=SILOS, sample_weight=repeats)
    rows = np.repeat(np.arange(len(Y)), repeats)
    repeated = FedAvgClassifier((5,), **common).fit(X[rows], Y[rows], silos=SILOS[rows])
    np.testing.assert_allclose(weighted.params_, repeated.params_, rtol=0, atol=2e-5)
    np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-5)
    assert np.abs(weighted.params_ - FedAvgClassifier((5,), **common).fit(X, Y, silos=SILOS).params_).max() > 1e-3


def test_weights_count_in_small_batches_and_in_partial_fit_as_well() -> None:
    """The mean of the steps is that of the weighted loss: it ends where scikit-learn's weighted regression does."""
    weight = np.random.default_rng(1).uniform(0, 3, len(T))
    table = D[:, :4]
    theirs, plain = (
        make_pipeline(StandardScaler(), LinearRegression()).fit(table, T, linearregression__sample_weight=own)
        for own in (weight, None)
    )
    model = FedAvgRegressor((), batch_size=64, schedule="inverse", decay=0.2, learning_rate=0.05, n_jobs=1)
    for _ in range(4):
        model.partial_fit(table, T, sample_weight=weight, n_rounds=60)
    gap, other = (np.abs(theirs.predict(table) - own.predict(table)).max() for own in (model, plain))
    assert gap < 4 < 10 < other


def test_weighted_logistic_regression_is_scikit_learns() -> None:
    weight = 10.0 ** np.random.default_rng(2).uniform(-4.5, 4.5, len(Y))  # they span a billion
    Z = StandardScaler().fit(X, sample_weight=weight).transform(X)
    model = FedAvgClassifier((), n_rounds=800, batch_size=None, learning_rate=1.0, upload="gradients", alpha=0.05)
    model.fit(X, Y, silos=SILOS, sample_weight=weight)
    theirs = LogisticRegression(C=1 / (0.05 * weight.sum()), tol=1e-8, max_iter=5000, fit_intercept=False)
    ones = np.column_stack([Z, np.ones(len(Y))])  # alpha penalises biases, too
    theirs.fit(ones, Y, sample_weight=weight)
    np.testing.assert_allclose(model.params_, theirs.coef_[0], rtol=0, atol=2e-3)


@pytest.mark.parametrize("compression", [None, Rounded(12), TopK(0.5)], ids=repr)
@pytest.mark.parametrize("weighting", ["rows", "equal", {"0": 1e9, "1": 1.0, "2": 0.0}])
def test_the_unit_of_weights_is_theirs_alone(weighting: Any, compression: Any) -> None:
    weight = np.random.default_rng(3).uniform(0.5, 2, len(Y)).astype(np.float32)
    found = [
        FedAvgClassifier((5,), n_rounds=3, n_jobs=1, weighting=weighting, compression=compression)
        .fit(X, Y, silos=SILOS, sample_weight=weight * np.float32(unit))
        .params_
        for unit in (1.0, 2.0**-80, 2.0**80)
    ]
    np.testing.assert_array_equal(found[1], found[0])
    np.testing.assert_array_equal(found[2], found[0])


def test_silos_count_by_the_weight_of_their_rows() -> None:
    """A naive mean of silos that are trained by themselves."""
    weight = np.random.default_rng(4).uniform(0.1, 9, len(Y)).astype(np.float32)
    common: dict[str, Any] = {**FULL, "n_rounds": 1, "standardize": False, "learning_rate": 1e-3}
    alone = [
        FedAvgClassifier((5,), **common).fit(X[own], Y[own], sample_weight=weight[own]).params_
        for own in (place == SILOS for place in range(3))
    ]
    shares = np.bincount(SILOS, weights=weight) / weight.sum(dtype=np.float64)
    together = FedAvgClassifier((5,), **common).fit(X, Y, silos=SILOS, sample_weight=weight).params_
    np.testing.assert_allclose(together, shares @ np.array(alone, np.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("weight", "match"),
    [
        (np.zeros(len(Y)), "sample_weight is zero in every row of every silo"),
        (np.full(len(Y), -1.0), "sample_weight"),
        (np.full(len(Y), np.nan), "sample_weight"),
        (np.ones(3), r"sample_weight.*\(3,\)"),
        (np.where(SILOS, 1.0, 1e30), "silo '1': its rows weigh .* too little to be counted"),
    ],
    ids=["zero", "negative", "nan", "short", "too far apart"],
)
def test_weights_that_cannot_be_are_refused(weight: Any, match: str) -> None:
    for fit in (FedAvgClassifier((4,), n_rounds=1).fit, FedAvgClassifier((4,)).partial_fit):
        with pytest.raises(DataError, match=match):
            fit(X, Y, silos=SILOS, sample_weight=weight)


def test_evaluation_sets_are_weighted_and_silos_bring_their_weights() -> None:
    weight = np.random.default_rng(5).uniform(0, 5, len(Y)).astype(np.float32)
    model = FedAvgClassifier((5,), n_rounds=3, eval_metric="error")
    model.fit(X, Y, silos=SILOS, sample_weight=weight, eval_set=[(X, Y)], sample_weight_eval_set=[weight])
    wrong = np.average(model.predict(X) != Y, weights=weight.astype(np.float64))
    assert model.evals_result_["validation_0"]["error"][-1] == pytest.approx(wrong, rel=1e-5)
    silos = [Silo(str(k), X[k == SILOS], Y[k == SILOS], sample_weight=weight[k == SILOS]) for k in range(3)]
    other = FedAvgClassifier((5,), n_rounds=3).fit_federation(LocalFederation(silos, mode="faithful"))
    assert other.params_.tobytes() == model.params_.tobytes()
    with pytest.raises(ParameterError, match="sample_weight_eval_set has 2 entries for 1 in eval_set"):
        model.fit(X, Y, eval_set=[(X, Y)], sample_weight_eval_set=[weight, weight])


# -- weights of classes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", ["balanced", {0: 1, 1: 7, 2: 1e-4}, {2: 1e9}], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_weights_of_classes_are_scikit_learns_weights_of_rows(given: Any, weighted: bool) -> None:
    table, y = load_iris(return_X_y=True)
    table, y = table[:120], y[:120]
    silos, weight = np.arange(120) % 4, np.random.default_rng(0).uniform(0.5, 2, 120) if weighted else None
    theirs = compute_sample_weight(given, y)
    if given == "balanced" and weight is not None:
        counts = np.bincount(y, weights=weight)
        theirs = (weight.sum() / (3 * counts))[y]
    elif isinstance(given, dict):
        theirs = np.array([given.get(label, 1.0) for label in y.tolist()])
    by_row = theirs if weight is None else theirs * weight
    common: dict[str, Any] = {"n_rounds": 4, "batch_size": 16, "n_jobs": 1}
    ours = FedAvgClassifier((6,), class_weight=given, **common).fit(table, y, silos=silos, sample_weight=weight)
    wanted = FedAvgClassifier((6,), **common).fit(table, y, silos=silos, sample_weight=by_row)
    np.testing.assert_allclose(ours.params_, wanted.params_, rtol=0, atol=2e-6)
    partial = FedAvgClassifier((6,), class_weight=given, **common)
    partial.partial_fit(table, y, silos=silos, sample_weight=weight, n_rounds=4)
    assert partial.params_.tobytes() == ours.params_.tobytes()


def test_classes_that_are_balanced_count_alike() -> None:
    rng = np.random.default_rng(0)
    table = np.concatenate([rng.normal(0, 1, (950, 1)), rng.normal(1.5, 1, (50, 1))])
    y = np.repeat(["common", "rare"], [950, 50])
    recall = [
        (
            FedAvgClassifier((), n_rounds=40, class_weight=given).fit(table, y).predict(table[y == "rare"]) == "rare"
        ).mean()
        for given in (None, "balanced", {"rare": 19.0})
    ]
    assert recall[0] < 0.3 < 0.7 < recall[1] and recall[2] == recall[1]


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ("heavy", "class_weight='heavy': give 'balanced', a weight for each label in a dict, or None"),
        ({0: -1.0}, "label 0 weighs -1.0"),
        ({0: np.inf}, "label 0 weighs inf"),
        ({7: 1.0}, "class_weight names 7"),
        ([1, 2], "class_weight="),
    ],
    ids=str,
)
def test_weights_of_classes_that_cannot_be_are_refused(given: Any, match: str) -> None:
    with pytest.raises(ParameterError, match=match):
        FedAvgClassifier((4,), class_weight=given).fit(X, Y)


@pytest.mark.parametrize("given", ["balanced", {0: 5.0}], ids=str)
def test_personal_models_weigh_classes_and_rows_as_well(given: Any) -> None:
    own, weight = SILOS == 1, np.random.default_rng(0).uniform(0.5, 2, len(Y))
    factor = 5.0 if given != "balanced" else weight[own & (Y == 1)].sum() / weight[own & (Y == 0)].sum()
    shared = FedAvgClassifier((4,), class_weight=given, n_rounds=2, batch_size=None).fit(X, Y, silos=SILOS)
    plain = FedAvgClassifier((4,), n_rounds=2, batch_size=None).fit(X, Y, silos=SILOS)
    plain.params_, plain._network, plain.n_rounds_ = shared.params_, shared._network, shared.n_rounds_
    ours = shared.personalize(Silo("1", X[own], Y[own], sample_weight=weight[own]))
    by_row = (weight * np.where(Y, 1, factor))[own]
    theirs = plain.personalize(Silo("1", X[own], Y[own], sample_weight=by_row))
    np.testing.assert_allclose(ours.params_, theirs.params_, rtol=0, atol=1e-5)
    assert np.abs(ours.params_ - plain.personalize(Silo("1", X[own], Y[own])).params_).max() > 1e-3


def test_weights_that_vanish_when_they_are_multiplied_are_refused() -> None:
    for weight, given, match in ((1e-38, {0: 1e-9}, "too small"), (1e30, {1: 1e9}, "too large")):
        with pytest.raises(DataError, match=rf"silo '.': sample_weight times class_weight is {match} for float32"):
            FedAvgClassifier((4,), class_weight=given).fit(X, Y, silos=SILOS, sample_weight=np.full(len(Y), weight))


def test_a_class_that_a_call_lacks_weighs_nothing_there() -> None:
    table, y = load_iris(return_X_y=True)
    model = FedAvgClassifier((4,), class_weight="balanced").partial_fit(table[:100], y[:100], classes=[2, 0, 1])
    wanted = FedAvgClassifier((4,)).partial_fit(table[:100], y[:100], classes=[0, 1, 2])
    assert model.params_.tobytes() == wanted.params_.tobytes()  # of two classes as large as each other


# -- classes of partial_fit ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "classes", [[1, 2], [0], [0, 1, 2], ["0", "1"], [0, 1.5], [False, 2], [[0, 1]], [0, None], [], [0, np.nan]], ids=str
)
def test_other_classes_than_the_first_calls_are_refused(classes: Any) -> None:
    for first in (
        FedAvgClassifier((4,)).partial_fit(X, Y, classes=[0, 1]), FedAvgClassifier((4,), n_rounds=1).fit(X, Y),
        FedAvgClassifier((4,)).partial_fit(X, Y),
    ):  # fmt: skip
        before = first.params_.tobytes()
        with pytest.raises(ParameterError, match="classes="):
            first.partial_fit(X, Y, classes=classes)
        assert first.params_.tobytes() == before and first.n_rounds_ == 1
    with pytest.raises(ValueError, match=r"`classes=.*` is not the same as on last call"):  # as scikit-learn has it
        MLPClassifier((4,)).partial_fit(X, Y, classes=[0, 1]).partial_fit(X, Y, classes=[1, 2])


@pytest.mark.parametrize("classes", [[1, 0], [0, 1, 1, 0], np.array([1.0, 0.0]), np.uint8([0, 1]), (0, 1)], ids=str)
def test_the_same_classes_in_any_order_and_type_go_on(classes: Any) -> None:
    model = FedAvgClassifier((4,)).partial_fit(X, Y, classes=[0, 1]).partial_fit(X, Y, classes=classes)
    wanted = FedAvgClassifier((4,)).partial_fit(X, Y, n_rounds=2)
    assert model.params_.tobytes() == wanted.params_.tobytes() and model.classes_.tolist() == [0, 1]
    again = FedAvgClassifier((4,)).partial_fit(X, Y, classes=classes)
    assert again.classes_.tolist() == [0, 1]
    np.testing.assert_array_equal(again.predict(X), FedAvgClassifier((4,)).partial_fit(X, Y).predict(X))


@pytest.mark.parametrize("classes", [[0], [], [[0, 1]], [0, np.nan], ["a", 1], [0.5, 1.5]], ids=str)
def test_a_first_call_needs_two_classes_that_are_some(classes: Any) -> None:
    with pytest.raises(ParameterError, match="classes="):
        FedAvgClassifier((4,)).partial_fit(X, Y, classes=classes)


def test_calls_of_other_columns_labels_and_targets_are_refused() -> None:
    model = FedAvgClassifier((4,)).partial_fit(X, Y)
    with pytest.raises(DataError, match="label 3 was not among the classes of the first call"):
        model.partial_fit(X, Y * 3)
    with pytest.raises(DataError, match="label 'a'"):
        model.partial_fit(X, np.where(Y, "a", "b"))
    with pytest.raises(DataError, match="X has 5 features, but FedAvgClassifier is expecting 6 features"):
        model.partial_fit(X[:, :5], Y)
    regressor = FedAvgRegressor((4,)).partial_fit(D, T)
    with pytest.raises(DataError, match="X has 9 features, but FedAvgRegressor is expecting 10 features"):
        regressor.partial_fit(D[:, :9], T)
    with pytest.raises(DataError, match="y has 2 targets, and the earlier training had 1"):
        regressor.partial_fit(D, np.column_stack([T, T]))
    with pytest.raises(TypeError, match="classes"):
        regressor.partial_fit(D, T, classes=[0, 1])  # type: ignore[call-arg]


# -- losses and outputs -------------------------------------------------------------------------------------


def counts() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(400, 3)) * [1, 100, 1e-20] + [0, 5000, 0]
    return table, rng.poisson(np.exp(table[:, 0] * 0.5 + (table[:, 1] - 5000) / 300 + 1)).astype(float)


@pytest.mark.parametrize("scale", [1.0, 1e-25, 1e25])
def test_poisson_regression_is_scikit_learns(scale: float) -> None:
    table, y = counts()
    weight = np.random.default_rng(1).uniform(0.5, 2, 400)
    model = FedAvgRegressor((), loss="poisson", n_rounds=300, batch_size=None, learning_rate=0.5, upload="gradients")
    model.fit(table, y * scale, silos=np.arange(400) % 5, sample_weight=weight)
    theirs = make_pipeline(StandardScaler(), PoissonRegressor(alpha=0, tol=1e-8, max_iter=1000))
    theirs.fit(table, y, poissonregressor__sample_weight=weight)
    np.testing.assert_allclose(model.predict(table), theirs.predict(table) * scale, rtol=2e-3)
    assert model.out_activation_ == "exp"


def test_the_poisson_loss_is_that_of_scikit_learns_network() -> None:
    table, y = counts()
    both = np.column_stack([y, y[::-1]])
    for target in (y, both):
        model = FedAvgRegressor((4,), loss="poisson", n_rounds=1, learning_rate=1e-12, standardize=False)
        model.fit(np.tanh(table), target, eval_set=[(np.tanh(table), target)])
        half = sum(
            mean_poisson_deviance(t, p) / 2
            for t, p in zip(target.reshape(400, -1).T, model.predict(np.tanh(table)).reshape(400, -1).T, strict=True)
        )
        assert model.loss_curve_[0] == pytest.approx(half, rel=1e-5)
    model = FedAvgRegressor((4,), loss="poisson", n_rounds=30).fit(table, both, eval_set=[(table, both)])
    said = model.predict(table)
    likelihood = (said - both * np.log(said) + scipy.special.gammaln(both + 1)).mean()
    assert model.evals_result_["validation_0"]["poisson-nloglik"][-1] == pytest.approx(likelihood, rel=1e-4)
    assert said.min() > 0 and mean_poisson_deviance(both.ravel(), said.ravel()) < 3
    pytest.importorskip("torch")
    torch_model = FedAvgRegressor(model=TorchModel(module), loss="poisson", n_rounds=30).fit(table, both)
    assert mean_poisson_deviance(both.ravel(), torch_model.predict(table).ravel()) < 3


def test_counts_below_zero_and_other_losses_are_refused() -> None:
    table, y = counts()
    y[7] = -1
    with pytest.raises(DataError, match="silo 'all': y, row 7: a negative number, which loss='poisson' has no"):
        FedAvgRegressor((), loss="poisson").fit(table, y)
    with pytest.raises(ParameterError, match=r"loss='poissom'.*'poisson'"):
        FedAvgRegressor((), loss="poissom").fit(table, y)
    FedAvgRegressor((), loss="poisson", n_rounds=2).fit(table, 0 * y)  # none of anything is a count


@pytest.mark.parametrize("classes", [2, 3])
def test_margins_probabilities_and_their_logarithms_agree(classes: int) -> None:
    table, y = load_iris(return_X_y=True)
    table, y = table[y < classes], y[y < classes]
    model = FedAvgClassifier((8,), n_rounds=20).fit(table, y)
    margin, p, logarithm = model.decision_function(table), model.predict_proba(table), model.predict_log_proba(table)
    softmax = scipy.special.softmax(np.column_stack([0 * margin, margin]) if classes == 2 else margin, axis=1)
    np.testing.assert_allclose(p, softmax, rtol=0, atol=1e-6)
    np.testing.assert_allclose(logarithm, np.log(softmax), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(model.predict(table), model.classes_[p.argmax(axis=1)])
    assert p.dtype == logarithm.dtype == margin.dtype == np.float32
    far = model.predict_log_proba(np.full((1, 4), 1e6))
    assert np.isfinite(far).all() and far.min() < -1000 and far.max() == 0


def test_of_classes_that_share_the_top_margin_the_first_is_predicted() -> None:
    """At equality: all margins are 0 where no step was taken from zero weights."""
    for classes in (2, 3):
        y = np.arange(30) % classes
        model = FedAvgClassifier(()).partial_fit(np.zeros((30, 1)), y, n_rounds=0)
        assert not model.decision_function(np.zeros((1, 1))).any()
        assert model.predict(np.zeros((1, 1))).tolist() == [0]
        np.testing.assert_allclose(model.predict_proba(np.zeros((1, 1))), np.full((1, classes), 1 / classes), rtol=1e-6)


# -- sparse rows --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csr_array", "csc_matrix", "coo_array", "bsr_array"])
def test_what_sparse_rows_do_not_hold_is_zero(kind: str) -> None:
    codes = np.random.default_rng(0).integers(0, 4, (300, 3))
    y = codes[:, 0] > codes[:, 1]
    rows = getattr(scipy.sparse, kind)(OneHotEncoder().fit_transform(codes))
    sparse, plain = FedAvgClassifier((8,), n_rounds=60), FedAvgClassifier((8,), n_rounds=60)
    sparse.fit(rows, y, silos=codes[:, 2], eval_set=[(rows, y)])
    plain.fit(rows.toarray(), y, silos=codes[:, 2], eval_set=[(rows.toarray(), y)])
    assert sparse.params_.tobytes() == plain.params_.tobytes() and sparse.evals_result_ == plain.evals_result_
    for model in (sparse, plain):
        np.testing.assert_array_equal(model.predict_proba(rows), model.predict_proba(rows.toarray()))
    assert sparse.score(rows, y) > 0.95
    assert sparse.partial_fit(rows, y).params_.tobytes() == plain.partial_fit(rows.toarray(), y).params_.tobytes()
    numbers = FedAvgRegressor((8,), n_rounds=2).fit(rows, codes[:, 0])
    np.testing.assert_array_equal(numbers.predict(rows), numbers.predict(rows.toarray()))


# -- what goes on, and what scikit-learn's networks have ----------------------------------------------------


def test_scores_of_earlier_calls_come_first_as_losses_do() -> None:
    model = FedAvgClassifier((4,), validation_fraction=0.3, eval_metric="logloss")
    whole = FedAvgClassifier((4,), validation_fraction=0.3, eval_metric="logloss", n_rounds=5).fit(X, Y, silos=SILOS)
    for rounds in (2, 1, 2):
        model.partial_fit(X, Y, silos=SILOS, n_rounds=rounds)
        assert len(model.evals_result_["validation_0"]["logloss"]) == len(model.loss_curve_) == model.n_iter_
    assert model.evals_result_ == whole.evals_result_ and model.loss_curve_ == whole.loss_curve_
    before = model.evals_result_["validation_0"]["logloss"]
    model.set_params(eval_metric=["error", "logloss"]).partial_fit(X, Y, silos=SILOS)
    scores = model.evals_result_["validation_0"]
    assert np.isnan(scores["error"][:5]).all() and scores["error"][5] >= 0 and scores["logloss"][:5] == before
    assert len(before) == 5  # what was handed out stays as it was
    model.set_params(eval_metric=None, validation_fraction=None).partial_fit(X, Y, silos=SILOS)
    assert {name: len(own) for name, own in model.evals_result_["validation_0"].items()} == {"error": 7, "logloss": 7}
    assert np.isnan(model.evals_result_["validation_0"]["logloss"][6]) and len(model.loss_curve_) == 7
    model.set_params(eval_metric="logloss", validation_fraction=0.3, n_rounds=2).fit(X, Y, silos=SILOS)
    assert len(model.evals_result_["validation_0"]["logloss"]) == 2


@pytest.mark.parametrize(
    ("ours", "theirs"), [(FedAvgClassifier, MLPClassifier), (FedAvgRegressor, MLPRegressor)], ids=["classes", "numbers"]
)
def test_each_name_of_scikit_learns_networks_is_there_or_has_a_reason(ours: Any, theirs: Any) -> None:
    """By introspection of parameters, methods, their arguments, and attributes of a fitted one."""
    y = Y if ours is FedAvgClassifier else T
    table = X if ours is FedAvgClassifier else D
    with pytest.warns(sklearn.exceptions.ConvergenceWarning):
        other = theirs(hidden_layer_sizes=(4,), max_iter=2).fit(table, y)
    model = ours((4,), n_rounds=2).fit(table, y)
    names = {name for name in dir(other) if not name.startswith("_")} | set(other.get_params())
    missing = {name for name in names if not hasattr(model, name)}
    different = {
        "learning_rate",
        "batch_size",
        "alpha",
        "validation_fraction",
    }  # there, with another meaning or default
    notes = FedAvgClassifier.__doc__.split("Notes")[1].split("Examples")[0]  # type: ignore[union-attr]
    unsaid = {name for name in missing | (different & names) if f"``{name}``" not in notes}
    assert not unsaid, unsaid
    assert missing <= {
        "solver", "power_t", "learning_rate_init", "max_iter", "shuffle", "tol", "momentum", "nesterovs_momentum",
        "early_stopping", "beta_1", "beta_2", "epsilon", "n_iter_no_change", "max_fun", "t_", "validation_scores_",
        "best_validation_score_", "loss",
    }  # fmt: skip
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_", "n_iter_"):
        assert getattr(model, name) == getattr(other, name), name
    assert [own.shape for own in model.coefs_] == [own.shape for own in other.coefs_]
    assert [own.shape for own in model.intercepts_] == [own.shape for own in other.intercepts_]
    assert model.loss_ == model.loss_curve_[-1] and model.best_loss_ == min(model.loss_curve_)
    for name in ("fit", "partial_fit", "predict", "score"):
        taken = inspect.signature(getattr(ours, name)).parameters
        assert set(inspect.signature(getattr(theirs, name)).parameters) <= set(taken), name


def test_the_docstring_names_each_method_and_optimiser_with_its_parameters_and_defaults() -> None:
    said = " ".join(FedAvgClassifier.__doc__.split())  # type: ignore[union-attr]
    for kind in {*METHODS.values(), *OPTIMISERS.values(), Rounded, TopK}:
        taken = inspect.signature(kind).parameters.values()
        call = f"{kind.__name__}({', '.join(f'{own.name}={own.default!r}' for own in taken)})"  # type: ignore[attr-defined]
        assert f"``{call}``" in said, call
    for name in inspect.signature(FedAvgClassifier).parameters:
        assert re.search(rf"\b{name}\b", said), name


def test_weighted_training_is_pytorchs() -> None:
    """Full-batch SGD on CrossEntropyLoss(weight=...), whose mean is over the weights, and rows' weights besides."""
    torch = pytest.importorskip("torch")
    table, y = load_iris(return_X_y=True)
    weight, factors = np.random.default_rng(0).uniform(0.2, 4, 150), {0: 0.5, 1: 3.0, 2: 1.0}
    model = FedAvgClassifier((5,), activation="tanh", class_weight=factors, n_rounds=10, batch_size=None, n_jobs=1)
    start = FedAvgClassifier((5,), activation="tanh").partial_fit(table, y, n_rounds=0)
    model.fit(table, y, sample_weight=weight)
    both = weight * np.array([factors[label] for label in y])
    Z = torch.tensor(StandardScaler().fit(table, sample_weight=both).transform(table), dtype=torch.float64)
    layers = torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3)).double()
    with torch.no_grad():
        for place, layer in enumerate((layers[0], layers[2])):
            layer.weight.copy_(torch.tensor(start.coefs_[place].T))
            layer.bias.copy_(torch.tensor(start.intercepts_[place]))
    descent, rows = torch.optim.SGD(layers.parameters(), lr=0.1), torch.tensor(weight)
    by_class = torch.nn.CrossEntropyLoss(weight=torch.tensor([0.5, 3.0, 1.0], dtype=torch.float64), reduction="none")
    for _ in range(10):
        descent.zero_grad()
        (rows * by_class(layers(Z), torch.tensor(y))).sum().div(both.sum()).backward()
        descent.step()
    for place, layer in enumerate((layers[0], layers[2])):
        np.testing.assert_allclose(model.coefs_[place], layer.weight.detach().numpy().T, rtol=0, atol=2e-5)
        np.testing.assert_allclose(model.intercepts_[place], layer.bias.detach().numpy(), rtol=0, atol=2e-5)
