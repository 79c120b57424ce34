"""What XGBoost's documentation shows, trained with the import changed: same calls, same shapes, as good a model.

Each test names the page that it follows; data and calls are written anew. Both libraries run the same recipe.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xgboost
from sklearn.datasets import load_breast_cancer, make_regression
from sklearn.metrics import mean_pinball_loss, mean_squared_log_error, roc_auc_score, root_mean_squared_error
from sklearn.model_selection import train_test_split

import fedtrees

OURS = SimpleNamespace(Classifier=fedtrees.FedGBTClassifier, Regressor=fedtrees.FedGBTRegressor)
THEIRS = SimpleNamespace(Classifier=xgboost.XGBClassifier, Regressor=xgboost.XGBRegressor)
LIBRARIES: tuple[Any, Any] = (OURS, THEIRS)


def own(library: Any, n: int) -> dict[str, Any]:
    """What our fit takes besides: whose each row is."""
    return {"silos": np.arange(n) % 5} if library is OURS else {"verbose": False}


def test_monotonic_constraints() -> None:
    """Tutorials, Monotonic Constraints: waves upon a rising and a falling trend."""
    rng = np.random.default_rng(0)
    X = rng.random((1000, 2))
    y = 5 * X[:, 0] + np.sin(10 * np.pi * X[:, 0]) - 5 * X[:, 1] - np.cos(10 * np.pi * X[:, 1])
    y += rng.normal(scale=0.1, size=len(y))
    line = np.linspace(0, 1, 100)
    scores = []
    for library in LIBRARIES:
        model = library.Regressor(n_estimators=50, max_depth=3, monotone_constraints="(1,-1)")
        model.fit(X, y, **own(library, len(y)))
        for other in (0.1, 0.5, 0.9):
            assert (np.diff(model.predict(np.stack([line, np.full(100, other)], axis=1))) >= 0).all()
            assert (np.diff(model.predict(np.stack([np.full(100, other), line], axis=1))) <= 0).all()
        scores.append(root_mean_squared_error(y, model.predict(X)))
    assert scores[0] <= 1.01 * scores[1]


@pytest.mark.slow_without_jit
def test_feature_interaction_constraints() -> None:
    """Tutorials, Feature Interaction Constraints: three groups, as a text."""
    X, y = make_regression(600, 7, noise=5, random_state=0)
    train, test = slice(0, 450), slice(450, 600)
    scores = []
    for library in LIBRARIES:
        model = library.Regressor(
            n_estimators=200, max_depth=4, learning_rate=0.1, early_stopping_rounds=10,
            interaction_constraints="[[0, 2], [1, 3, 4], [5, 6]]",
        )  # fmt: skip
        model.fit(X[train], y[train], eval_set=[(X[test], y[test])], **own(library, 450))
        scores.append(root_mean_squared_error(y[test], model.predict(X[test])))
        booster = model.booster_ if library is OURS else model.get_booster()
        together = [set(own) for own in paths(booster)]
        assert all(any(own <= group for group in ({0, 2}, {1, 3, 4}, {5, 6})) for own in together)
    assert scores[0] <= 1.1 * scores[1]


def paths(booster: Any) -> list[list[int]]:
    """The features asked on the way to each node."""
    found = []
    table = booster.trees_to_dataframe()
    for _, tree in table.groupby("Tree"):
        nodes = tree.set_index("ID")
        todo = [(nodes.index[0], [])]
        while todo:
            at, before = todo.pop()
            node = nodes.loc[at]
            if node.Feature == "Leaf":
                found.append(before)
                continue
            asked = [*before, int(str(node.Feature).lstrip("f"))]
            todo += [(node.Yes, asked), (node.No, asked)]
    return found


def test_quantile_regression() -> None:
    """Python examples, Quantile Regression: three quantiles at once, stopped by the test rows."""
    rng = np.random.RandomState(1994)
    X = np.atleast_2d(rng.uniform(0, 10.0, size=1000)).T
    sigma = 0.5 + X.ravel() / 10.0
    y = X.ravel() * np.sin(X.ravel()) + rng.lognormal(sigma=sigma) - np.exp(sigma**2.0 / 2.0)
    alpha = np.array([0.05, 0.5, 0.95])
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=rng)
    losses = []
    for library in LIBRARIES:
        model = library.Regressor(
            n_estimators=32, objective="reg:quantileerror", quantile_alpha=alpha, learning_rate=0.04, max_depth=5,
            early_stopping_rounds=2,
        )  # fmt: skip
        given: dict[str, Any] = {"eval_set": [(X_train, y_train), (X_test, y_test)]}
        model.fit(X_train, y_train, **given, **own(library, len(y_train)))
        predicted = model.predict(np.linspace(0, 10, 1000)[:, None])
        assert predicted.shape == (1000, 3)
        assert (predicted[:, 0] < predicted[:, 2]).mean() > 0.99
        quantiles = zip(alpha, model.predict(X_test).T, strict=True)
        losses.append([mean_pinball_loss(y_test, predicted, alpha=own) for own, predicted in quantiles])
    assert (np.array(losses[0]) <= 1.02 * np.array(losses[1])).all()


def test_custom_objective_and_metric() -> None:
    """Tutorials, Custom Objective and Evaluation Metric: the squared log error, written by hand."""

    def squared_log(y_true: Any, y_pred: Any) -> Any:
        p = np.maximum(y_pred, -1 + 1e-6)
        over = np.log1p(p) - np.log1p(y_true)
        return over / (p + 1), np.maximum((1 - over) / (p + 1) ** 2, 1e-6)

    rng = np.random.default_rng(0)
    X = rng.normal(size=(800, 4))
    y = np.exp(X[:, 0] + 0.3 * rng.normal(size=800))
    losses = []
    for library in LIBRARIES:
        model = library.Regressor(n_estimators=40, objective=squared_log, max_depth=3)
        predicted = model.fit(X, y, **own(library, len(y))).predict(X)
        losses.append(mean_squared_log_error(y, np.maximum(predicted, 0)))
    assert losses[0] <= 1.02 * losses[1]


def test_boosting_from_predictions_and_continuation() -> None:
    """Python examples, boosting from an existing prediction, and training continuation: both go on from round five."""
    X, y = load_breast_cancer(return_X_y=True)
    margins = []
    for library in LIBRARIES:
        options = own(library, len(y))
        first = library.Classifier(n_estimators=5, max_depth=2).fit(X, y, **options)
        start = first.predict(X, output_margin=True)
        on = library.Classifier(n_estimators=5, max_depth=2).fit(X, y, base_margin=start, **options)
        more = library.Classifier(n_estimators=5, max_depth=2)
        more.fit(X, y, xgb_model=first.booster_ if library is OURS else first.get_booster(), **options)
        whole = library.Classifier(n_estimators=10, max_depth=2).fit(X, y, **options)
        margins.append([whole.predict(X, output_margin=True), more.predict(X, output_margin=True)])
        np.testing.assert_allclose(margins[-1][1], margins[-1][0], rtol=1e-5)
        scores = [roc_auc_score(y, model.predict_proba(X)[:, 1]) for model in (more, whole)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-6)
        assert on.predict(X, base_margin=start).shape == (len(y),)
    assert np.corrcoef(margins[0][0], margins[1][0])[0, 1] > 0.99


@pytest.mark.slow_without_jit
def test_random_forests() -> None:
    """Tutorials, Random Forests: one round of a hundred trees, each of some rows and features."""
    X, y = load_breast_cancer(return_X_y=True)
    train, test = slice(0, 400), slice(400, None)
    scores = []
    for library in LIBRARIES:
        model = library.Classifier(
            n_estimators=1, num_parallel_tree=100, subsample=0.8, colsample_bynode=0.8, learning_rate=1, max_depth=5,
            random_state=0,
        )  # fmt: skip
        model.fit(X[train], y[train], **own(library, 400))
        booster = model.booster_ if library is OURS else model.get_booster()
        assert len(booster.get_dump()) == 100 and booster.num_boosted_rounds() == 1
        scores.append(roc_auc_score(y[test], model.predict_proba(X[test])[:, 1]))
    assert scores[0] > scores[1] - 0.01


def test_several_outputs() -> None:
    """Tutorials, Multiple Outputs: a circle's points, two numbers each."""
    rng = np.random.RandomState(1994)
    X = np.sort(200 * rng.rand(100, 1) - 100, axis=0)
    y = np.array([np.pi * np.sin(X).ravel(), np.pi * np.cos(X).ravel()]).T
    y[::5, :] += 0.5 - rng.rand(20, 2)
    y = (y - y.min()) / (y.max() - y.min())
    errors = []
    for library in LIBRARIES:
        model = library.Regressor(n_estimators=128, early_stopping_rounds=None)
        predicted = model.fit(X, y, **own(library, len(y)), eval_set=[(X, y)]).predict(X)
        assert predicted.shape == y.shape
        errors.append(root_mean_squared_error(y, predicted))
    assert errors[0] <= errors[1] + 0.005


def test_intercept() -> None:
    """Tutorials, Intercept: ``base_score`` as given, and as it is found."""
    X, y = load_breast_cancer(return_X_y=True)
    for base_score in (None, 0.25):
        found = []
        for library in LIBRARIES:
            model = library.Classifier(n_estimators=1, base_score=base_score).fit(X, y, **own(library, len(y)))
            found.append(model.intercept_)
        np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
