"""Compression of updates to integers: finely, in few bits, or only the largest of them.

Every silo of a cohort rounds to the same grid, so that sums mean something; a grid that has to be narrow follows the
largest update of the round before, which is learnt by a sum, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.numeric.fixed_point import WORD_BITS, Vector
from fedtrees.core.numeric.number_checks import is_number, is_whole
from fedtrees.errors import HeadroomError, ParameterError
from fedtrees.neural.memory import Memory

Lot = Callable[[], np.random.Generator]  # made where it is needed: ten thousand silos that draw nothing make none


class UpdateScale(msgspec.Struct, frozen=True):
    """The grid that numbers are rounded to: steps of ``2 ** -bits``, up to ``2 ** reach``.

    Parameters
    ----------
    bits, reach : int
    """

    bits: int = 24
    reach: int = 7

    @property
    def width(self) -> int:
        """Bits of the largest integer."""
        return self.bits + self.reach

    @staticmethod
    def for_mass(mass: int, bits: int = 24, reach: int = 7) -> UpdateScale:
        """The finest grid up to ``bits`` on which a sum of so much weight has room.

        Raises
        ------
        HeadroomError
            If that is too coarse to train on.
        """
        room = WORD_BITS - max(mass, 1).bit_length() - reach
        if room < 12:
            raise HeadroomError(f"updates of weight {mass} leave {room} bits for fractions; scale weights down.")
        return UpdateScale(min(bits, room), reach)

    def round(self, values: NDArray[np.floating], mass: int = 1) -> Vector:
        """Round to the nearest step, values times a weight.

        The product is rounded, and not the value: a small step of a heavy silo is not lost.

        Raises
        ------
        HeadroomError
            For a value beyond the reach: it is never wrapped.
        """
        largest = float(np.abs(values).max(initial=0.0))
        if not largest <= math.ldexp(1.0, self.reach):
            raise HeadroomError(
                f"an update of {largest:g} is beyond the {2**self.reach} that there is room for; lower "
                "learning_rate, or scale the data (standardize=True)."
            )
        return np.rint(self.steps(values) * mass).astype(np.int64)

    def steps(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Values in steps, not rounded yet."""
        return np.ldexp(values.astype(np.float64), self.bits)


class Compression(Protocol):
    """The way from a silo's update to integers.

    Attributes
    ----------
    adapts : bool
        Whether its grid follows the updates of the round before.
    mass_bits : int
        What all silos weigh together is ``2 ** mass_bits``, where it is not rows that count.
    remembers : bool
        Whether silos keep something from round to round.
    """

    adapts: bool
    mass_bits: int
    remembers: bool

    def check(self) -> None:
        """Refuse parameters that mean nothing, with a `ParameterError`."""
        ...

    def grid(self, mass: int, exponent: int | None) -> UpdateScale:
        """The grid of a round, where the last one's updates were at most ``2 ** exponent``; None is not known."""
        ...

    def entries(self, n: int) -> int:
        """The most of ``n`` integers that are other than zero."""
        ...

    def round(self, values: NDArray[np.floating], grid: UpdateScale, lot: Lot, memory: Memory, mass: int = 1) -> Vector:
        """Values times the silo's mass in integers, int64 like values; ``lot`` is of the silo and the round."""
        ...


class Exact(msgspec.Struct, frozen=True, tag="exact"):
    """Steps of 2**-24 and finer, finer than float32 where updates are: nothing is lost that a model would notice."""

    adapts = remembers = False
    mass_bits = 54

    def check(self) -> None:
        """See `Compression`."""

    def grid(self, mass: int, exponent: int | None) -> UpdateScale:
        """See `Compression`."""
        reach = 7
        return UpdateScale(max(0, min(24, WORD_BITS - max(mass, 1).bit_length() - reach)), reach)

    def entries(self, n: int) -> int:
        """See `Compression`."""
        return n

    def round(self, values: NDArray[np.floating], grid: UpdateScale, lot: Lot, memory: Memory, mass: int = 1) -> Vector:
        """See `Compression`."""
        return grid.round(values, mass)


class Rounded(msgspec.Struct, frozen=True, tag="rounded"):
    """A few bits, rounded up or down by lot so that the mean is right; Alistarh et al. (2017), section 3.

    The first round is sent finely, as the size of updates is not known yet. Updates that grow to more than double
    from one round to the next are cut off.

    Parameters
    ----------
    bits : int, default 8
        Of an integer, sign included; 2 to 24. On the wire those of the weight come on top.
    """

    bits: int = 8
    adapts, remembers = True, False
    mass_bits = 30

    def check(self) -> None:
        """See `Compression`."""
        if not is_whole(self.bits, 2, 24):
            raise ParameterError(f"compression: Rounded(bits={self.bits!r}): give a whole number from 2 to 24.")

    def grid(self, mass: int, exponent: int | None) -> UpdateScale:
        """See `Compression`."""
        return UpdateScale.for_mass(mass) if exponent is None else narrow(self.bits, exponent)

    def entries(self, n: int) -> int:
        """See `Compression`."""
        return n

    def round(self, values: NDArray[np.floating], grid: UpdateScale, lot: Lot, memory: Memory, mass: int = 1) -> Vector:
        """See `Compression`."""
        most = 1 << grid.width
        down = np.floor(grid.steps(values) + lot().random(len(values)))
        return np.clip(down, -most, most).astype(np.int64) * mass


class TopK(msgspec.Struct, frozen=True, tag="topk"):
    """The largest updates only; the rest waits, and is added to the silo's next: Stich et al. (2018), Algorithm 1.

    A silo that loses its memory is sent the rounds that it took part in, and trains them again for what waited.

    Parameters
    ----------
    share : float, default 0.01
        Of the parameters, above 0 and up to 1.
    bits : int, default 12
        See `Rounded`; here the nearest step is taken, and what is lost by it waits, too.
    """

    share: float = 0.01
    bits: int = 12
    adapts = remembers = True
    mass_bits = 30

    def check(self) -> None:
        """See `Compression`."""
        if not is_number(self.share, 0, 1) or self.share == 0:
            raise ParameterError(f"compression: TopK(share={self.share!r}): give a number above 0 and up to 1.")
        Rounded(self.bits).check()

    def grid(self, mass: int, exponent: int | None) -> UpdateScale:
        """See `Compression`."""
        return UpdateScale.for_mass(mass) if exponent is None else narrow(self.bits, exponent)

    def entries(self, n: int) -> int:
        """See `Compression`."""
        return math.ceil(self.share * n)

    def round(self, values: NDArray[np.floating], grid: UpdateScale, lot: Lot, memory: Memory, mass: int = 1) -> Vector:
        """See `Compression`."""
        waiting = values + memory.recall(len(values))
        k, most = self.entries(len(values)), 1 << grid.width
        chosen = np.argsort(-np.abs(waiting), kind="stable")[:k]
        steps = np.zeros(len(values), np.int64)
        steps[chosen] = np.clip(np.rint(grid.steps(waiting[chosen])), -most, most)
        memory.keep((waiting - np.ldexp(steps.astype(np.float64), -grid.bits)).astype(np.float32))
        return steps * mass


FINEST = -24  # a grid for smaller updates would not fit the larger ones that may follow

AnyCompression = Exact | Rounded | TopK


def narrow(bits: int, exponent: int) -> UpdateScale:
    """A grid of so many bits that reaches twice as far as ``2 ** exponent``."""
    reach = max(exponent, FINEST) + 1
    return UpdateScale(bits - 1 - reach, reach)


def to_digits(integers: Vector, width: int, n: int) -> Vector:
    """Write each integer as ``n`` digits of ``width`` bits, the lowest first; the last one bears the sign.

    Law: digits of a sum are sums of digits, carried or not.

    Examples
    --------
    >>> to_digits(np.array([1000, -1]), 7, 2)
    array([104,   7, 127,  -1])
    """
    lower = [(integers >> (width * place)) & ((1 << width) - 1) for place in range(n - 1)]
    return np.stack([*lower, integers >> (width * (n - 1))], axis=1).reshape(-1)


def of_digits(digits: Vector, width: int, n: int) -> NDArray[np.float64]:
    """Read sums of what `to_digits` wrote, float64 (integers,).

    Examples
    --------
    >>> of_digits(to_digits(np.array([1000, -1]), 7, 2), 7, 2)
    array([1000.,   -1.])
    """
    each = digits.reshape(-1, n).tolist()
    return np.array([float(sum(digit << (width * place) for place, digit in enumerate(one))) for one in each])
