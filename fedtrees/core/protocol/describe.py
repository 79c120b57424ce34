"""The first message of a training: silos describe their tables, in a version of the protocol that both sides speak."""

from __future__ import annotations

from fedtrees.core.data.record import Record
from fedtrees.core.data.table import Labels, Schema
from fedtrees.core.protocol.query import Question
from fedtrees.errors import ParameterError, ProtocolError

VERSION = 1  # of requests, replies and records; another one is refused by name before anything is read


class Describe(Question, frozen=True, eq=False):
    """The question for a silo's columns, evaluation sets and, where they are asked for, class labels.

    Parameters
    ----------
    labels : bool or "by column"
        Whether to describe the class labels, and those of each of several columns of y.
    version : int
        Of the protocol that the server speaks.
    """

    labels: Labels
    version: int = VERSION

    def check(self) -> None:
        """Refuse another version.

        Raises
        ------
        ProtocolError
        """
        if self.version != VERSION:
            raise ProtocolError(
                f"the server speaks version {self.version} of the protocol, and this silo version {VERSION}; "
                "install the same fedtrees on both sides."
            )


class Description(Record, frozen=True, eq=False):
    """A silo's answer to `Describe`.

    Attributes
    ----------
    schema : Schema
    eval_sets : int
        Evaluation sets that it holds, empty ones included.
    version : int
        Of the protocol.
    """

    schema: Schema
    eval_sets: int
    version: int = VERSION

    def check(self, silo: str) -> None:
        """Refuse another version, as `Describe.check` does."""
        if self.version != VERSION:
            raise ProtocolError(
                f"silo {silo!r} speaks version {self.version} of the protocol, and the server version {VERSION}; "
                "install the same fedtrees on both sides."
            )


def agreed_eval_sets(described: dict[str, int]) -> int:
    """The number of evaluation sets that every silo holds.

    Raises
    ------
    ParameterError
        If silos hold different numbers of them.
    """
    if len(set(described.values())) > 1:
        raise ParameterError(
            f"silos have different numbers of evaluation sets: {described}; give empty ones where need be."
        )
    return next(iter(described.values()), 0)
