"""One class only, as where a fold lacks the others: trees by impurity are constants, as scikit-learn's are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import AdaBoostClassifier, ExtraTreesClassifier, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from fedtrees import (
    FedAdaBoostClassifier,
    FedExtraTreesClassifier,
    FedForestClassifier,
    FedTreeClassifier,
    LocalFederation,
    Silo,
)

KINDS: dict[Any, Any] = {
    FedTreeClassifier(criterion="entropy", ccp_alpha=0.1): DecisionTreeClassifier(),
    FedTreeClassifier(max_leaf_nodes=3, class_weight="balanced"): DecisionTreeClassifier(),
    FedForestClassifier(3, class_weight="balanced_subsample"): RandomForestClassifier(3),
    FedExtraTreesClassifier(3): ExtraTreesClassifier(3),
    FedAdaBoostClassifier(3): AdaBoostClassifier(n_estimators=3),
}
X = np.arange(12.0).reshape(6, 2)
SILOS = np.array(["mayo", "mayo", "ucla", "ucla", "ohio", "ohio"])


@pytest.mark.parametrize("label", ["ill", 1, -3])
@pytest.mark.parametrize("ours", KINDS, ids=lambda kind: type(kind).__name__)
def test_one_class_is_said_of_every_row(ours: Any, label: Any) -> None:
    y = np.array([label] * 6)
    with pytest.warns(UserWarning, match=f"y holds one class only, {label!r}"):
        model = clone(ours).fit(X, y, silos=SILOS)
    theirs = KINDS[ours].fit(X, y)
    for each in (model, model.model_):
        assert each.classes_.tolist() == theirs.classes_.tolist() == [label]
        assert each.predict(X).tolist() == theirs.predict(X).tolist()
        assert each.predict_proba(X).tolist() == theirs.predict_proba(X).tolist() == [[1.0]] * 6
    assert model.score(X, y) == 1 and (model.feature_importances_ == 0).all()
    places = {name: np.flatnonzero(np.equal(SILOS, name)) for name in ("mayo", "ucla", "ohio")}
    parts = [Silo(name, X[rows], y[rows]) for name, rows in places.items()]
    with pytest.warns(UserWarning, match="y holds one class only"):
        apart = clone(ours).fit_federation(LocalFederation(parts, mode="faithful"))
    assert apart.predict_proba(X).tolist() == [[1.0]] * 6


@pytest.mark.parametrize("ours", KINDS, ids=lambda kind: type(kind).__name__)
def test_a_class_of_silos_without_weight_is_never_said(ours: Any) -> None:
    y, weighting = np.array([0, 0, 1, 1, 0, 0]), {"mayo": 1.0, "ucla": 0.0, "ohio": 2.0}
    model = clone(ours).set_params(weighting=weighting).fit(X, y, silos=SILOS)
    theirs = DecisionTreeClassifier().fit(X, y, sample_weight=1 - y)
    assert model.classes_.tolist() == theirs.classes_.tolist() == [0, 1]
    assert model.predict(X).tolist() == theirs.predict(X).tolist() == [0] * 6
    if not isinstance(ours, FedAdaBoostClassifier):  # whose probabilities are a softmax of votes
        assert model.predict_proba(X).tolist() == theirs.predict_proba(X).tolist() == [[1.0, 0.0]] * 6
