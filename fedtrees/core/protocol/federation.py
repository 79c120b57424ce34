"""A federation of silos, which a training asks wherever they are."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.protocol.describe import Describe, Description
from fedtrees.core.protocol.ledger import Amount
from fedtrees.core.protocol.log import Call
from fedtrees.core.sampling.samplers import Cohort
from fedtrees.errors import SiloLostError


@dataclass(frozen=True)
class Answer:
    """A silo's reply to a call.

    Attributes
    ----------
    silo : int
        Its place among the federation's names.
    data : bytes or None
        None of a silo that was lost.
    down, up : int, optional
        Bytes that it took, attempts that failed included; without ``up``, those of the reply.
    """

    silo: int
    data: bytes | None
    down: int
    up: int | None = None


@dataclass(frozen=True)
class Reply:
    """The sum of a simulated cohort's vectors, and the bytes that its messages would take, ``down`` and ``up``."""

    vector: Vector
    down: Amount
    up: Amount


@dataclass(frozen=True)
class PartedReply:
    """A `Reply` whose vector comes part after part."""

    parts: Generator[Vector]
    down: Amount
    up: Amount


@dataclass(frozen=True)
class Described:
    """Descriptions of silos, by name, and the bytes that they took, ``down`` and ``up``, by silo."""

    by_silo: Sequence[tuple[str, Description]]
    down: Amount
    up: Amount


class Federation(Protocol):
    """Silos that can be asked, wherever they are."""

    @property
    def names(self) -> Sequence[str]:
        """The silos, in a fixed order; cohorts are places in it."""
        ...

    def ask(self, call: Call, cohort: Cohort) -> Iterable[Answer]:
        """Send the call to each silo of a cohort; return their replies in any order.

        A silo of which no reply comes back is lost: the training goes on without it where it can, see `Call.partial`.
        """
        ...


@runtime_checkable
class Simulating(Protocol):
    """A federation whose silos are rows of one process, so that one pass over them may stand in for their answers."""

    @property
    def fused(self) -> bool:
        """Return whether one pass stands in for the silos' answers."""
        ...

    def describe(self, call: Call, question: Describe) -> Described:
        """The answers to the one question of the call; silos that are rows of one table have one."""
        ...

    def sum(self, call: Call, cohort: Cohort) -> Reply:
        """The sum of the cohort's vectors."""
        ...

    def parts(self, call: Call, cohort: Cohort) -> PartedReply:
        """The same sum in parts, so that the whole is never in memory; others wait until the last is read."""
        ...


def silo_lost(call: Call, names: Sequence[str], attempts: int = 1) -> SiloLostError:
    """The error for silos that a round cannot do without."""
    lost = ", ".join(map(repr, sorted(names)))
    return SiloLostError(f"round {call.round}: no answer from silo {lost} in {attempts} attempts.")
