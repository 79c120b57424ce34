"""Fitted ensembles as sequences of their trees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fedtrees.estimators.cart.base import FedCart


class FedEnsemble(FedCart):
    """An estimator of several trees: those of ``estimators_`` have a number, an order and places."""

    @property
    def estimators_(self) -> list[Any]:
        """The trees, each scikit-learn's."""
        trees: list[Any] = self._trained.estimators_
        return trees

    @property
    def estimator_(self) -> Any:
        """A tree that is not fitted, with the parameters of all trees."""
        return self._trained.estimator_

    def __len__(self) -> int:
        return len(self.estimators_)

    def __getitem__(self, index: Any) -> Any:
        return self.estimators_[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.estimators_)
