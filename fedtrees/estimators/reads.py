"""What every estimator of tables has: the columns it was trained on, and rows read as those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from fedtrees.core.features import read_features
from fedtrees.core.table import Schema
from fedtrees.errors import DataError

if TYPE_CHECKING:
    from sklearn.utils import Tags


class ReadsRows(BaseEstimator):
    """An estimator that knows the columns of its rows."""

    n_features_in_: int
    feature_names_in_: NDArray[np.object_]

    missing: float  # a parameter of the constructor

    # -- what a subclass says -------------------------------------------------------------------------------

    _classifies: bool
    _fitted: str  # the attribute that a fitted one has

    def _hold_schema(self, schema: Schema) -> None:
        self._schema = schema
        self.n_features_in_ = len(schema.names)
        if schema.named:
            self.feature_names_in_ = np.array(schema.names, dtype=object)
        elif hasattr(self, "feature_names_in_"):
            del self.feature_names_in_

    def _read(self, X: Any, validate_features: bool = True) -> NDArray[np.float32]:
        check_is_fitted(self, self._fitted)
        known = self._schema
        if not validate_features:
            known = msgspec.structs.replace(known, named=False)
        values, _ = read_features(X, known=known, missing=self.missing)
        if len(values) == 0:
            raise DataError(f"Found array with 0 sample(s) (shape={values.shape}) while a minimum of 1 is required.")
        return values

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.sparse = True
        return tags


def check_labels(labels: list[Any] | None) -> list[Any]:
    """The class labels of a classifier.

    Raises
    ------
    DataError
        If there are fewer than two.
    """
    if not labels:
        raise DataError("Found array with 0 sample(s) while a minimum of 1 is required: no silo holds any row.")
    if len(labels) < 2:
        raise DataError(f"y holds one class only, {labels[0]!r}; a classifier needs at least two.")
    return labels
