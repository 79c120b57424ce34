"""How much a silo counts: by its rows, the same as any other, or as somebody decided."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from numbers import Real
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.query import Fact
from fedtrees.core.ring import WORD_BITS
from fedtrees.errors import ParameterError, ProtocolError, unknown_value

if TYPE_CHECKING:
    from fedtrees.core.silo import Silo

__all__ = ["MOST_REPEATS", "CountWeights", "RowWeights", "SiloWeights", "Weigh", "Weighting", "as_weighting"]

MOST_REPEATS = 16  # the largest whole weight that is taken as that many equal rows: accumulators hold as many fewer
COUNT_BITS, MOST_COUNT_BITS = 16, 52  # fineness of other weights where they are counted, and where they span more
LIGHT_BITS = 10  # that the lightest should keep


def count_bits(rows: int, span: int) -> int:
    """The binary digits to count weights with, of which the lightest is so many binary digits below the heaviest.

    Examples
    --------
    >>> count_bits(1000, 3), count_bits(1000, 30), count_bits(1_000_000, 60)
    (16, 40, 42)
    """
    room = WORD_BITS - 1 - max(rows, 1).bit_length()
    return max(COUNT_BITS, min(span + LIGHT_BITS, room, MOST_COUNT_BITS))


class RowWeights(msgspec.Struct, frozen=True, tag="rows"):
    """Every row counts the same, so a silo counts by its rows; this is what equals the pooled model.

    Law: the factors are 1 under every partition.
    """

    def check(self, names: Sequence[str]) -> None:
        """Nothing to check: no silo is named."""

    def settled(self, rows: int, silos: int) -> RowWeights:
        """Nothing to settle: no factor depends on the federation's size."""
        return self

    def row_factors(self, names: Sequence[str], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """What every row of each of these silos is multiplied by: 1."""
        return np.ones(len(rows), np.float32)


class SiloWeights(msgspec.Struct, frozen=True, tag="silos"):
    """A silo counts by a weight of its own, whatever its rows; by default all silos count the same.

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
        """The same weighting, told how many rows the federation has and how many silos hold any."""
        return SiloWeights(self.weights, rows, silos)

    def row_factors(self, names: Sequence[str], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """What every row of each of these silos is multiplied by, float32 (silos,).

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


class Weigh(Fact, frozen=True, eq=False):
    """From now on, rows weigh their sample weight times their silo's factor."""

    weighting: Weighting

    def apply(self, silo: Silo) -> None:
        """See `Fact`."""
        rows = np.diff(silo.table.starts)
        silo.weigh(self.weighting.row_factors(silo.table.names, rows), rows)


class CountWeights(Fact, frozen=True, eq=False):
    """From now on, rows count by their weights: as whole numbers, so that the sums are those of every partition.

    Law: where all weights are whole, a row of weight k counts and trains like k rows of weight 1.

    Parameters
    ----------
    exponent : int
        No weight is above ``2 ** exponent``.
    whole : bool
        Whether all weights of all silos are whole, 1 to `MOST_REPEATS`.
    bits : int
        Where they are not, the heaviest counts ``2 ** bits`` at the most.
    """

    exponent: int
    whole: bool
    bits: int = COUNT_BITS

    def apply(self, silo: Silo) -> None:
        """See `Fact`."""
        if not COUNT_BITS <= self.bits <= MOST_COUNT_BITS:
            raise ProtocolError(f"weights were to be counted on a grid of {self.bits} digits")
        silo.counting = self

    def counts(self, weight: NDArray[np.float32]) -> NDArray[np.int64]:
        """What rows of these weights count, int64 (rows,): at least 1, as each has a bin.

        Raises
        ------
        ProtocolError
            If the weights are not what the fact says.
        """
        if self.whole:
            counts = weight.astype(np.int64)
            if (counts != weight).any() or (counts < 1).any() or (counts > MOST_REPEATS).any():
                raise ProtocolError(f"weights that are not whole, 1 to {MOST_REPEATS}, were said to be")
            return counts
        units = np.ldexp(weight.astype(np.float64), self.bits - self.exponent)
        return np.clip(np.rint(units), 1, 1 << self.bits).astype(np.int64)

    def mass(self, weight: NDArray[np.float32]) -> int:
        """What rows of these weights count together where no row counts by itself; 0 where none weighs anything."""
        if self.whole:
            return int(weight.astype(np.int64).sum())
        return round(math.ldexp(math.fsum(weight.tolist()), self.bits - self.exponent))

    @property
    def most(self) -> int:
        """The most that a row counts."""
        return 1 << self.exponent if self.whole else 1 << self.bits


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
