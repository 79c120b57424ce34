"""Every public name of scikit-learn's trees, forests and AdaBoost is here with the same meaning, or has a reason."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
from families import BECOME, BY_IMPURITY
from sklearn.base import clone

BAG: dict[str, Any] = {"n_estimators": 30, "max_depth": 3, "oob_score": True, "bootstrap": True}
GIVEN: dict[str, dict[str, Any]] = {
    "tree": {"max_depth": 3}, "forest": BAG, "extra": BAG, "boost": {"n_estimators": 4},
}  # fmt: skip
PAIRS: list[tuple[Any, Any]] = [
    (ours(**given), BECOME[ours](**given)) for name, given in GIVEN.items() for ours in BY_IMPURITY[name]
]
# names of scikit-learn's that are not here, and why
REASONS = {
    "estimator": "silos grow trees by impurity and nothing else: criterion, max_depth and their like say which",
    "estimator_params": "see estimator: the trees' parameters are the ensemble's own",
    "splitter": "a tree of random thresholds is a FedExtraTrees of one tree",
    "class_weight": "regressors of scikit-learn have it as an attribute, and no parameter that it could come from",
}
# of these the defaults differ, and why
DEFAULTS = {"max_depth": "None sends 20 times as much, and leaves of single rows show them; see FedTreeClassifier"}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4)).astype(np.float32)
NUMBERS = X[:, 0] + X[:, 1] ** 2
LABELS = np.array(["ill", "so-so", "well"])[np.digitize(NUMBERS, [0.3, 1.5])]
REGRESSORS = tuple(type(own) for own, _ in PAIRS if not own._classifies)


def named(pair: Any) -> str:
    return type(pair).__name__


def public(model: Any) -> set[str]:
    return {name for name in {*dir(model), *vars(model)} if not name.startswith("_")}


def fitted(ours: Any, theirs: Any) -> tuple[Any, Any]:
    y = LABELS if ours._classifies else NUMBERS
    return clone(ours).fit(X, y, silos=np.arange(120) % 3), clone(theirs).fit(X, y)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=named)
def test_every_name_is_here_or_has_a_reason(ours: Any, theirs: Any) -> None:
    own, other = fitted(ours, theirs)
    lost = {name for name in public(other) - public(own) if hasattr(other, name)}
    assert lost <= set(REASONS), sorted(lost - set(REASONS))
    before = {name for name in public(theirs) - public(ours) if not hasattr(type(ours), name)}
    assert before <= set(REASONS)
    if lost and "class_weight" in lost:
        assert isinstance(own, REGRESSORS)
    for name in ("__len__", "__getitem__", "__iter__"):
        assert hasattr(own, name) == hasattr(other, name)


def test_no_reason_is_given_in_vain() -> None:
    lost: set[str] = set()
    for pair in PAIRS:
        own, other = fitted(*pair)
        lost |= public(other) - public(own)
    assert set(REASONS) == lost


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=named)
def test_parameters_are_here_with_the_same_defaults_or_have_a_reason(ours: Any, theirs: Any) -> None:
    own, other = (type(model)().get_params() for model in (ours, theirs))
    assert set(other) - set(own) <= set(REASONS)
    differ = {name for name in set(own) & set(other) if own[name] != other[name]}
    assert differ <= set(DEFAULTS)


ROWS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "apply", "decision_path")
STAGED = ("staged_predict", "staged_predict_proba", "staged_decision_function")


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=named)
def test_what_has_the_same_name_is_of_the_same_kind(ours: Any, theirs: Any) -> None:
    own, other = fitted(ours, theirs)
    for name in sorted(public(own) & public(other)):
        one, two = getattr(own, name), getattr(other, name)
        assert callable(one) == callable(two), name
        if isinstance(two, np.ndarray) and name != "estimator_weights_" and name != "estimator_errors_":
            assert one.shape == two.shape and one.dtype.kind == two.dtype.kind, name
        elif isinstance(two, list) and name != "estimators_samples_":
            assert isinstance(one, list) and type(one[0]) is type(two[0]), name
        elif isinstance(two, int | float | np.number) and not isinstance(two, bool):
            assert isinstance(one, int | float | np.number), name
        if callable(two) and not name.startswith(("set_", "get_metadata", "fit")):
            wanted = set(inspect.signature(two).parameters) - {"check_input"}
            assert wanted <= set(inspect.signature(one).parameters), name
    for name in ROWS:
        if hasattr(other, name):
            with np.errstate(divide="ignore"):  # of a class without a chance, the logarithm is infinite
                one, two = getattr(own, name)(X), getattr(other, name)(X)
            pairs = [(one, two)] if not isinstance(two, tuple) else list(zip(one, two, strict=True))
            for left, right in pairs[: 1 if name == "decision_path" else None]:
                assert type(left) is type(right) and left.shape[0] == right.shape[0], name
                assert left.dtype.kind == right.dtype.kind, name
                assert left.shape == right.shape or name == "decision_path", name
    for name in STAGED:
        if hasattr(other, name):
            one, two = next(iter(getattr(own, name)(X))), next(iter(getattr(other, name)(X)))
            assert one.shape == two.shape and one.dtype.kind == two.dtype.kind, name
    if hasattr(other, "staged_score"):
        y = LABELS if ours._classifies else NUMBERS
        assert isinstance(next(iter(own.staged_score(X, y))), float)


@pytest.mark.parametrize(("ours", "theirs"), PAIRS[2:6], ids=named)
def test_importances_are_the_means_of_trees_and_spread_as_theirs_do(ours: Any, theirs: Any) -> None:
    own, other = fitted(ours, theirs)
    for model in (own, other):
        each = np.array([tree.feature_importances_ for tree in model.estimators_ if tree.tree_.node_count > 1])
        mean = each.mean(axis=0)
        np.testing.assert_allclose(model.feature_importances_, mean / mean.sum())
        assert np.std(each, axis=0).shape == (4,) and (np.std(each, axis=0) > 0).all()
    bare = clone(ours).set_params(min_samples_split=1000).fit(X, LABELS if ours._classifies else NUMBERS)
    assert bare.feature_importances_.tolist() == [0.0] * 4  # as of a forest of roots there
