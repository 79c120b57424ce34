"""A network's gradients: finite differences, the loop over rows, and margins against scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import mean_poisson_deviance
from sklearn.neural_network import MLPClassifier, MLPRegressor

from fedtrees.neural.activations import ACTIVATIONS
from fedtrees.neural.losses import LOSSES
from fedtrees.neural.perceptron import Perceptron

OUTPUTS = {"binary:logistic": 1, "multi:softprob": 3, "reg:squarederror": 2, "count:poisson": 2}


def problem(objective: str, activation: str, hidden: list[int], seed: int = 0) -> tuple[Perceptron, Any, Any, Any, Any]:
    """A network, float64 parameters, and rows: for derivatives that rounding does not drown."""
    rng = np.random.default_rng(seed)
    model = Perceptron([4, *hidden, OUTPUTS[objective]], objective, activation)
    params = model.initial(rng).astype(np.float64)
    params += rng.normal(scale=0.1, size=params.shape)  # biases, too
    X = rng.normal(size=(7, 4))
    y: Any = rng.normal(size=(7, 2)) if objective == "reg:squarederror" else rng.poisson(1, (7, 2)).astype(float)
    if objective in ("binary:logistic", "multi:softprob"):
        y = rng.integers(0, 2 if objective == "binary:logistic" else 3, 7)
    return model, params, X, y, rng.uniform(0.5, 2, 7)


@pytest.mark.parametrize("hidden", [[], [5], [5, 3]])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("objective", LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_are_finite_differences(objective: str, activation: str, hidden: list[int], weighted: bool) -> None:
    model, params, X, y, weight = problem(objective, activation, hidden)
    weight = weight if weighted else None

    def loss(params: Any) -> float:
        losses = model.losses(params, X, y)
        return float(losses.mean() if weight is None else (losses * weight).mean())

    gradient = np.full_like(params, np.nan)
    assert model.gradient(params, X, y, weight, gradient) == pytest.approx(loss(params), rel=1e-12)
    step = 1e-6
    for place in range(len(params)):
        ahead, behind = params.copy(), params.copy()
        ahead[place] += step
        behind[place] -= step
        assert gradient[place] == pytest.approx((loss(ahead) - loss(behind)) / (2 * step), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("hidden", [[], [5, 3]])
@pytest.mark.parametrize("objective", LOSSES)
def test_a_row_s_gradient_is_that_of_the_row_alone(objective: str, hidden: list[int]) -> None:
    model, params, X, y, weight = problem(objective, "tanh", hidden)
    each = model.row_gradients(params, X, y)
    assert each.shape == (7, model.n_params)
    alone = np.empty_like(params)
    for row in range(7):
        model.gradient(params, X[row : row + 1], y[row : row + 1], None, alone)
        np.testing.assert_allclose(each[row], alone, rtol=1e-12, atol=1e-15)
    model.gradient(params, X, y, weight, alone)
    np.testing.assert_allclose((each * weight[:, None]).mean(axis=0), alone, rtol=1e-12, atol=1e-15)


@given(scale=st.sampled_from([1e-30, 1.0, 50.0, 1e30]), objective=st.sampled_from(sorted(LOSSES)))
def test_losses_do_not_overflow_before_the_margins_do(scale: float, objective: str) -> None:
    if objective == "reg:squarederror" and scale > 1e15:
        return  # its square is no float32
    if objective == "count:poisson" and scale > 80:
        return  # nor is e to it
    margin = np.float32(np.linspace(-scale, scale, 6 * OUTPUTS[objective])).reshape(6, -1)
    y: Any = np.arange(6) % 2 if objective[0] in "bm" else np.zeros((6, 2), np.float32)
    losses, error = LOSSES[objective](margin, y)
    assert np.isfinite(losses).all() and np.isfinite(error).all() and losses.dtype == error.dtype == np.float32


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("classes", [2, 3, 0])
def test_margins_are_scikit_learn_s(activation: str, classes: int) -> None:
    """Outside reference: scikit-learn's network with the same weights."""
    rng = np.random.default_rng(classes)
    X = rng.normal(size=(60, 4))
    y = rng.integers(0, classes, 60) if classes else rng.normal(size=60)
    kind = MLPClassifier if classes else MLPRegressor
    theirs = kind(hidden_layer_sizes=(6, 5), activation=activation, max_iter=2, random_state=0)
    with pytest.warns(ConvergenceWarning):  # two epochs are few
        theirs.fit(X, y)
    objective = {2: "binary:logistic", 3: "multi:softprob", 0: "reg:squarederror"}[classes]
    model = Perceptron([4, 6, 5, max(1, classes if classes > 2 else 1)], objective, activation)
    pairs = zip(theirs.coefs_, theirs.intercepts_, strict=True)
    params = np.concatenate([part.ravel() for pair in pairs for part in pair])
    margin = model.margins(params, X)
    if not classes:
        np.testing.assert_allclose(margin[:, 0], theirs.predict(X), rtol=1e-10)
        return
    own = theirs.predict_log_proba(X)
    if classes == 2:
        np.testing.assert_allclose(margin[:, 0], own[:, 1] - own[:, 0], rtol=1e-8, atol=1e-8)
    else:
        np.testing.assert_allclose(margin - margin[:, :1], own - own[:, :1], rtol=1e-8, atol=1e-8)


@given(seed=st.integers(0, 2**32), activation=st.sampled_from(sorted(ACTIVATIONS)))
def test_parameters_start_within_glorot_s_bounds(seed: int, activation: str) -> None:
    model = Perceptron([20, 30, 3], "multi:softprob", activation)
    params = model.initial(np.random.default_rng(seed))
    gain = 2 if activation == "logistic" else 6
    for weights, biases in model.layers(params):
        bound = np.sqrt(gain / sum(weights.shape))
        assert np.abs(weights).max() <= bound and np.abs(weights).max() > 0.8 * bound and not biases.any()
    assert model.n_params == len(params) == 20 * 30 + 30 + 30 * 3 + 3
    assert model.tail(1) == 93 and model.tail(2) == model.n_params


# -- losses and layers at their ends ------------------------------------------------------------------------


@pytest.mark.parametrize("z", [0.0, 1e-4, 3.0, 20.0, 60.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_log_losses_are_right_where_they_are_small(z: float, sign: int) -> None:
    margin = np.float32([[sign * z]])
    small = np.exp(-float(z))
    for label, right in ((1, sign > 0), (0, sign < 0)):
        loss, slope = LOSSES["binary:logistic"](margin, np.array([label]))
        expected = np.log1p(small) + (0 if right else z)
        assert loss[0] == pytest.approx(expected, rel=1e-6)
        assert slope[0, 0] == pytest.approx((1 / (1 + np.exp(-sign * z))) - label, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("y", [0.0, 0.25, 0.5, 1.0, 1.5, 40.0])
def test_the_loss_of_counts_is_half_the_deviance_also_below_one(y: float) -> None:
    for mean in (0.1, 1.0, 3.0):
        loss, slope = LOSSES["count:poisson"](np.log(np.float32([[mean]])), np.float32([[y]]))
        assert loss[0] == pytest.approx(mean_poisson_deviance([y], [mean]) / 2, rel=1e-5, abs=1e-6)
        assert slope[0, 0] == pytest.approx(mean - y, rel=1e-5, abs=1e-6)


def test_the_last_layers_are_all_where_there_are_no_more() -> None:
    model = Perceptron([4, 6, 5, 1], "binary:logistic")
    assert [model.tail(layers) for layers in (1, 2, 3, 4, 5, 6, 99)] == [6, 41, *[model.n_params] * 5]
