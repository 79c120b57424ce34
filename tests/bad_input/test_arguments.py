"""Arrays that must not be mixed up go by name, and what goes by place is the same everywhere."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.base import clone

import fedtrees
from fedtrees import ArgumentError, FedAvgClassifier, FedGBTClassifier, LocalFederation, ParameterError, Silo
from fedtrees.datasets import describe_partition, shift_features

X = np.arange(600.0)[:, None]
Y = np.arange(600) % 2
WEIGHT = np.full(600, 2.0)
ESTIMATORS = [
    getattr(fedtrees, name) for name in fedtrees.__all__ if hasattr(getattr(fedtrees, name), "fit_federation")
]


@pytest.mark.parametrize("kind", ESTIMATORS, ids=lambda kind: kind.__name__)
def test_fit_takes_two_arrays_by_place(kind: type) -> None:
    parameters = inspect.signature(kind.fit).parameters.values()
    assert [own.name for own in parameters if own.kind is own.POSITIONAL_OR_KEYWORD] == ["self", "X", "y"]
    # weights would have been silos, 600 of them
    with pytest.raises(
        ArgumentError, match=rf"^{kind.__name__}\.fit takes X and y by place and all else by name: silos="
    ):
        kind().fit(X, Y, WEIGHT)


def test_fit_has_the_places_of_xgboosts() -> None:
    for theirs in (xgboost.XGBClassifier, xgboost.XGBRegressor):
        parameters = inspect.signature(theirs.fit).parameters.values()
        assert [own.name for own in parameters if own.kind is own.POSITIONAL_OR_KEYWORD] == ["self", "X", "y"]


CALLS: dict[str, tuple[Callable[[], Any], str]] = {
    "partial_fit": (
        lambda: FedAvgClassifier().partial_fit(X, Y, WEIGHT),
        "FedAvgClassifier.partial_fit takes X and y by place and all else by name: silos=",
    ),
    "Silo": (lambda: Silo("a", X, Y, WEIGHT), "Silo takes name, X and y by place and all else by name: sample_weight="),
    "from_table": (
        lambda: LocalFederation.from_table(X, Y, WEIGHT),
        "LocalFederation.from_table takes X and y by place and all else by name: silos=",
    ),
    "describe": (
        lambda: describe_partition(Y, Y),
        "describe_partition takes y by place and all else by name: silos=..., X=...",
    ),
    "shift": (lambda: shift_features(X, Y), "shift_features takes X by place and all else by name: silos="),
    "a subclass": (
        lambda: type("Mine", (FedGBTClassifier,), {})().fit(X, Y, WEIGHT),
        "Mine.fit takes X and y by place",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_what_follows_goes_by_name(name: str) -> None:
    call, message = CALLS[name]
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}"):
        call()


MISSPELT: dict[str, tuple[Callable[[], Any], str]] = {
    "fit": (
        lambda: FedGBTClassifier().fit(X, Y, sample_weights=WEIGHT),
        "FedGBTClassifier.fit has no 'sample_weights': did you mean 'sample_weight'?",
    ),
    "silo": (lambda: FedGBTClassifier().fit(X, Y, silo=Y), "FedGBTClassifier.fit has no 'silo': did you mean 'silos'?"),
    "Silo": (lambda: Silo("a", X, Y, rowid=Y), "Silo has no 'rowid': did you mean 'row_id'?"),
    "nothing near": (
        lambda: shift_features(X, silos=Y, wobble=1),
        "shift_features has no 'wobble'. Known: X, noise, offset, rotation, scale, seed, silos.",
    ),
}


@pytest.mark.parametrize("name", MISSPELT)
def test_a_misspelt_argument_is_answered_with_the_nearest(name: str) -> None:
    call, message = MISSPELT[name]
    with pytest.raises(ArgumentError, match=f"^{re.escape(message)}$"):
        call()


def test_the_error_is_python_s_and_ours() -> None:
    assert issubclass(ArgumentError, TypeError) and issubclass(ArgumentError, ParameterError)


def test_columns_that_are_called_as_a_silos_methods_are_columns() -> None:
    names = (
        "ask answer table names dtype tocsr tocsc nnz collect to_arrow num_row get_label toarray column_names schema"
    )
    table, y = pd.DataFrame({name: np.arange(20.0) for name in names.split()}), np.arange(20) > 9
    plain = table.set_axis([f"column {k}" for k in range(15)], axis=1)
    for model in (
        fedtrees.FedTreeClassifier(),
        fedtrees.FedGBTClassifier(2),
        fedtrees.FedAvgClassifier((), n_rounds=2),
    ):
        one, other = (clone(model).fit(own, y, silos=np.arange(20) % 2).predict(own) for own in (table, plain))
        np.testing.assert_array_equal(one, other)
    assert fedtrees.Silo("a", table, y).table.n_features == 15
    assert fedtrees.FedTreeClassifier().fit(table, y).score(table, y) == 1
    with pytest.raises(fedtrees.ArgumentError) as caught:
        fedtrees.FedTreeClassifier().fit(table)
    assert "silos" not in str(caught.value)


@pytest.mark.parametrize("kind", [fedtrees.FedGBTClassifier, fedtrees.FedTreeRegressor, fedtrees.FedAvgClassifier])
def test_silos_in_place_of_a_table_are_led_to_fit_federation(kind: Any) -> None:
    silos = [fedtrees.Silo("a", [[1.0], [2.0]], [0, 1])]
    for given in (silos, fedtrees.LocalFederation(silos)):
        with pytest.raises(fedtrees.ArgumentError, match=r"\.fit needs y; train over silos by fit_federation"):
            kind().fit(given)
    with pytest.raises(fedtrees.ArgumentError, match=rf"^{kind.__name__}\.fit needs y\.$"):
        kind().fit([[1.0], [2.0]])
