"""A table whose rows belong to silos, with its description and source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedtrees.errors import DataError

__all__ = ["Example"]


@dataclass(frozen=True, eq=False)
class Example:
    """Rows, targets and the silo of each row.

    Parameters
    ----------
    name : str
    X : DataFrame of shape (rows, features)
        float32 throughout; a missing value is NaN and a category is its place in the sorted list of names.
    y : ndarray of shape (rows,)
        The class, 0 or 1.
    silos : ndarray of str, shape (rows,)
        The silo of each row. It is never a feature.
    description : str
        What a row is, what is predicted, and how the silos came about.
    source : str
        Where the rows come from.
    licence : str

    Raises
    ------
    DataError
        If the lengths differ.

    Examples
    --------
    >>> from fedtrees.datasets import load_breast_cancer_clinics
    >>> example = load_breast_cancer_clinics()
    >>> example.X.shape, example.y.shape, example.silos.shape
    ((569, 30), (569,), (569,))
    """

    name: str
    X: pd.DataFrame
    y: NDArray[np.int64]
    silos: NDArray[np.str_]
    description: str
    source: str
    licence: str

    def __post_init__(self) -> None:
        if not len(self.X) == len(self.y) == len(self.silos):
            lengths = f"{len(self.X)} rows, {len(self.y)} targets, {len(self.silos)} silo ids"
            raise DataError(f"{self.name}: {lengths}.")

    def take(self, rows: NDArray[np.bool_]) -> Example:
        """Return the example with only the rows where the mask ``rows`` is true."""
        return Example(
            self.name,
            self.X[rows].reset_index(drop=True),
            self.y[rows],
            self.silos[rows],
            self.description,
            self.source,
            self.licence,
        )
