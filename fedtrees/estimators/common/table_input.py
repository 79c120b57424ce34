"""The base of all estimators of trees: rows are read as the columns of the training, missing values and all."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from fedtrees.core.arguments import Features
from fedtrees.core.data.labels import ClassLabels
from fedtrees.errors import DataError
from fedtrees.estimators.common.columns import KnowsColumns

if TYPE_CHECKING:
    from sklearn.utils import Tags


class ReadsRows(KnowsColumns):
    """An estimator that has the columns of its rows, and the number that stands for a missing value."""

    missing: float  # a parameter of the constructor

    # -- set by subclasses ---------------------------------------------------------------------------------

    _classifies: bool
    _fitted: str  # the attribute that a fitted one has

    def _read(self, X: Features, validate_features: bool = True) -> NDArray[np.float32]:
        check_is_fitted(self, self._fitted)
        return self._read_known(X, validate_features, math.nan if self.missing is None else self.missing)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags


def check_labels(labels: ClassLabels | None) -> ClassLabels:
    """The class labels of a classifier.

    Raises
    ------
    DataError
        If there are none.
    """
    if not labels:
        raise DataError("Found array with 0 sample(s) while a minimum of 1 is required: no silo holds any row.")
    return labels
