"""FedAvg beside scikit-learn's networks: classes of partial_fit, losses, outputs, sparse rows and names."""

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
from sklearn.linear_model import PoissonRegressor
from sklearn.metrics import mean_poisson_deviance
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fedtrees import DataError, FedAvgClassifier, FedAvgRegressor, ParameterError
from fedtrees.estimators.network.parameters import METHODS, OPTIMISERS
from fedtrees.neural.compression import Rounded, TopK
from fedtrees.neural.torch_model import TorchModel

X, Y = load_breast_cancer(return_X_y=True)
X = X[:, :6]
D, T = load_diabetes(return_X_y=True)
SILOS = np.arange(len(Y)) % 3


def module(features: int, outputs: int) -> Any:
    torch = pytest.importorskip("torch")
    return torch.nn.Sequential(torch.nn.Linear(features, 5), torch.nn.Tanh(), torch.nn.Linear(5, outputs))


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


@pytest.mark.parametrize("classes", [[], [[0, 1]], [0, np.nan], ["a", 1], [0.5, 1.5]], ids=str)
def test_a_first_call_needs_classes_that_are_some(classes: Any) -> None:
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
