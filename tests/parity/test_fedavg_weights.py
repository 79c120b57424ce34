"""FedAvg's weights of rows and of classes, its losses, and what scikit-learn's networks have besides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

from fedtrees import DataError, FedAvgClassifier, FedAvgRegressor, LocalFederation, ParameterError, Silo
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
