"""Weighting of silos: each counts by its rows, the same as any other, or by a given weight."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from numbers import Real

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.errors import ParameterError, unknown_value

__all__ = ["RowWeights", "SiloWeights", "Weighting", "as_weighting"]


class RowWeights(msgspec.Struct, frozen=True, tag="rows"):
    """Weights by which every row counts the same, so a silo counts by its rows; with them, the model is the pooled one.

    Law: the factors are 1 under every partition.
    """

    def check(self, names: Sequence[str]) -> None:
        """Check nothing: no silo is named."""

    def settled(self, rows: int, silos: int) -> RowWeights:
        """Return the weighting as it is: no factor depends on the federation's size."""
        return self

    def row_factors(self, names: Sequence[str], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The factors of the rows of each of these silos, float32 (silos,): 1."""
        return np.ones(len(rows), np.float32)


class SiloWeights(msgspec.Struct, frozen=True, tag="silos"):
    """Weights of silos, whatever their rows; by default all silos count the same.

    A row of silo ``k`` is multiplied by ``(w_k / sum of w) * (rows of all / rows of k)``, so that the weights of all
    rows still add up to their number. Each silo computes its own factor: its row count stays with it.

    Parameters
    ----------
    weights : dict of str to float, optional
        A weight for every silo that holds rows. None counts each as 1.
    """

    weights: dict[str, float] | None = None
    rows: int = 0
    silos: int = 0

    def check(self, names: Sequence[str]) -> None:
        """Refuse weights of silos that there are not.

        Raises
        ------
        ParameterError
            Naming the first of them, and the nearest silo that there is.
        """
        unknown = sorted(set(self.weights or ()) - set(names))
        if unknown:
            near = get_close_matches(unknown[0], names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise ParameterError(f"weighting: there is no silo {unknown[0]!r}{hint}")

    def settled(self, rows: int, silos: int) -> SiloWeights:
        """The same weighting with the federation's number of rows, and of silos that hold any."""
        return SiloWeights(self.weights, rows, silos)

    def row_factors(self, names: Sequence[str], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The factors of the rows of each of these silos, float32 (silos,).

        Raises
        ------
        ParameterError
            If a silo that holds rows has no weight.
        """
        if self.weights is None:
            shares = np.full(len(rows), 1 / max(self.silos, 1))
        else:
            lost = [name for name, n in zip(names, rows, strict=True) if n and name not in self.weights]
            if lost:
                raise ParameterError(f"weighting: no weight for silo {lost[0]!r}; give one for every silo.")
            largest = max(self.weights.values())  # taken out first: the sum of the largest floats is infinite
            total = math.fsum(weight / largest for weight in self.weights.values())
            shares = np.array([self.weights.get(name, 0.0) / largest for name in names]) / total
        return (shares * (self.rows / np.maximum(rows, 1))).astype(np.float32)


Weighting = RowWeights | SiloWeights


def as_weighting(value: object) -> Weighting:
    """Read a ``weighting=`` parameter: ``"rows"``, ``"equal"``, a weight by silo, or a weighting.

    Raises
    ------
    ParameterError
        For an unknown word, or weights that are negative, not finite or all zero.

    Examples
    --------
    >>> as_weighting("equal")
    SiloWeights(weights=None, rows=0, silos=0)
    """
    if isinstance(value, SiloWeights) and value.weights is not None:
        value = value.weights
    if isinstance(value, RowWeights | SiloWeights):
        return value
    if isinstance(value, Mapping):
        for name, weight in value.items():
            if not isinstance(weight, Real) or not math.isfinite(weight) or weight < 0:
                raise ParameterError(f"weighting: silo {name!r} has weight {weight!r}; give a finite one, 0 or above.")
        if not any(value.values()):
            raise ParameterError("weighting: all weights are zero; at least one silo must count.")
        return SiloWeights({str(name): float(weight) for name, weight in value.items()})
    if isinstance(value, str):
        match value:
            case "rows":
                return RowWeights()
            case "equal":
                return SiloWeights()
    raise unknown_value("weighting", value, ["rows", "equal"])
