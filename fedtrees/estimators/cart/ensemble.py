"""Fitted ensembles as sequences of their trees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import SupportsIndex

from fedtrees.estimators.cart.base import FedCart
from fedtrees.export.sklearn import DecisionTree


class FedEnsemble(FedCart):
    """An estimator of several trees: a sequence of ``estimators_``."""

    @property
    def estimators_(self) -> list[DecisionTree]:
        """The trees, each scikit-learn's."""
        trees: list[DecisionTree] = self._trained.estimators_
        return trees

    @property
    def estimator_(self) -> DecisionTree:
        """A tree that is not fitted, with the parameters of all trees."""
        return self._trained.estimator_

    def __len__(self) -> int:
        return len(self.estimators_)

    def __getitem__(self, index: SupportsIndex) -> DecisionTree:
        return self.estimators_[index]

    def __iter__(self) -> Iterator[DecisionTree]:
        return iter(self.estimators_)
