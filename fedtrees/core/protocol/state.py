"""State that the facts of a run have built in a silo, by its kind."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from fedtrees.errors import ProtocolError

T = TypeVar("T")
S = TypeVar("S", bound="State")


class State:
    """State that facts build and messages ask: a function of the silo's table and of the facts."""

    begins: ClassVar[str]  # the fact that builds it, for the error of a message that comes before


class States:
    """The states that a silo has at present, no more than one of each kind."""

    def __init__(self) -> None:
        self._by_kind: dict[type, Any] = {}  # each of its key's type

    def keep(self, state: object, kind: type | None = None) -> None:
        """Keep a state until the run is over, in place of an earlier one of its kind."""
        self._by_kind[kind or type(state)] = state

    def find(self, kind: type[T]) -> T | None:
        """Return the state of a kind; None where there is none."""
        return self._by_kind.get(kind)

    def of(self, kind: type[S], asked: str) -> S:
        """Return the state of a kind, for a message that needs it.

        Parameters
        ----------
        kind : type
        asked : str
            What the message asks for, which the error names.

        Raises
        ------
        ProtocolError
            If no fact of this run has built it: as where the message is one of another kind of training.
        """
        found = self.find(kind)
        if found is None:
            raise ProtocolError(f"{asked} before {kind.begins}")
        return found
