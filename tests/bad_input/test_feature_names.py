"""Rows without names where names were learnt, or with names where none were: scikit-learn's warnings, word for word."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from families import FAMILIES, small_ones
from sklearn.ensemble import RandomForestClassifier

from fedtrees import (
    FedGBTClassifier,
)

SMALL: list[Any] = small_ones(FAMILIES)
X = np.random.default_rng(0).normal(size=(80, 3))
Y = (X[:, 0] > 0).astype(int)
FRAME = pd.DataFrame(X, columns=["age", "dose", "visits"])


def warned(model: Any, rows: Any) -> list[str]:
    """What each method that reads rows warns of."""
    said = []
    for name in ("predict", "predict_proba", "apply", "decision_function", "score"):
        if hasattr(model, name):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                getattr(model, name)(rows, *([Y] if name == "score" else []))
            said += [str(own.message) for own in caught]
            assert len(caught) == (1 if said else 0), name
    return said


@pytest.mark.parametrize("estimator", SMALL, ids=lambda own: type(own).__name__)
def test_names_on_one_side_only_are_warned_of_as_scikit_learn_does(estimator: Any) -> None:
    theirs, name = RandomForestClassifier(2), type(estimator).__name__
    for learnt, other in ((FRAME, X), (X, FRAME)):
        estimator.fit(learnt, Y)
        assert not warned(estimator, learnt)
        expected = warned(theirs.fit(learnt, Y), other)[0].replace("RandomForestClassifier", name)
        assert expected in {
            f"X does not have valid feature names, but {name} was fitted with feature names",
            f"X has feature names, but {name} was fitted without feature names",
        }
        assert set(warned(estimator, other)) == {expected}


def test_names_that_are_not_to_be_checked_are_not_warned_of() -> None:
    FedGBTClassifier(2).fit(FRAME, Y).predict(X, validate_features=False)
    FedGBTClassifier(2).fit(X, Y).predict(FRAME, validate_features=False)
