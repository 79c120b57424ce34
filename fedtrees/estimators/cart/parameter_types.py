"""Parameters of trees by impurity that checks and settings read, by their types."""

from __future__ import annotations

from typing import Protocol

from fedtrees.estimators.common.parameter_types import FederatedParameters, Parameters


class CartParameters(FederatedParameters, Protocol):
    """The parameters of all trees by impurity; `get_params` has those of their kinds."""

    criterion: str
    max_bin: int
    min_bin_rows: int
    missing: float
    _random_thresholds: bool
    _takes_several: bool

    def get_params(self, deep: bool = True) -> Parameters: ...  # noqa: D102
