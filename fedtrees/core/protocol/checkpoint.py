"""Checkpoints of a run: what a server that starts again needs, to go on as if it had never stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.record import Record, decode, encode
from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.protocol.describe import Description
from fedtrees.core.protocol.ledger import Amount, Entry, Grouped
from fedtrees.core.protocol.log import KeptQuestion, Log
from fedtrees.errors import ParameterError

if TYPE_CHECKING:
    from fedtrees.core.protocol.ledger import Ledger
    from fedtrees.core.protocol.query import Query
    from fedtrees.core.sampling.samplers import Cohort

S = TypeVar("S", bound=Record)
Descriptions = list[tuple[str, Description]]  # of silos, by name


class Store(Protocol):
    """A place that keeps one checkpoint."""

    def load(self) -> bytes | None:
        """Return the checkpoint; None where there is none yet."""
        ...

    def save(self, data: bytes) -> None:
        """Keep a checkpoint in place of the one before."""
        ...


class KeptEntry(Record, frozen=True, eq=False):
    """A round of the ledger; see `ledger.Entry`.

    Parameters
    ----------
    round, kind, integers
        See `ledger.Entry`.
    cohort : int64 (silos asked,), optional
        None where all were.
    down, up : list of array
        One number for all, one for each silo, or amounts and the group of each silo.
    """

    round: int
    kind: str
    integers: int
    cohort: NDArray[np.int64] | None
    down: list[NDArray[np.integer]]
    up: list[NDArray[np.integer]]

    @staticmethod
    def of(entry: Entry, n_silos: int) -> KeptEntry:
        """Return an entry as it is kept."""
        cohort = None if len(entry.cohort) == n_silos else entry.cohort.astype(np.int64)  # of whatever a sampler draws
        return KeptEntry(entry.round, entry.kind, entry.integers, cohort, _kept(entry.down), _kept(entry.up))

    def entry(self, all_silos: NDArray[np.int64]) -> Entry:
        """Return the entry."""
        cohort = all_silos if self.cohort is None else self.cohort
        return Entry(self.round, self.kind, cohort, _amount(self.down), _amount(self.up), self.integers)


class KeptAnswer(Record, frozen=True, eq=False):
    """Totals of questions that were asked in one round.

    Parameters
    ----------
    asked : bytes
        The digest of the questions and their cohort.
    totals : list of int64 (any,)
        One a question.
    """

    asked: bytes
    totals: list[Vector]


class Checkpoint(Record, frozen=True, eq=False):
    """A run as far as it has come.

    Parameters
    ----------
    run : bytes
        Its name.
    names : list of str
        The silos.
    described : list of (str, Description)
        The silos' columns.
    answers : list of KeptAnswer
        Totals of the questions before the first round, from which all that came of them is computed again.
    start : int
        Facts before the first round.
    facts : list of bytes
        All facts, framed.
    questions : list of KeptQuestion
    entries : list of KeptEntry
        The ledger.
    state : bytes
        The training's state, encoded.
    """

    run: bytes
    names: list[str]
    described: Descriptions
    answers: list[KeptAnswer]
    start: int
    facts: list[bytes]
    questions: list[KeptQuestion]
    entries: list[KeptEntry]
    state: bytes


@dataclass(eq=False)
class Recorder:
    """The recorder of a run, which is written down round by round and may have begun in another process.

    Until the first round, an earlier run is repeated: its answers stand in for the silos', and the facts that follow
    must be those that silos have.

    Attributes
    ----------
    store : Store
    earlier : Checkpoint, optional
        What the store held.
    described, answers
        See `Checkpoint`.
    start : int or None
        Facts before the first round; None while it has not begun.
    """

    store: Store
    earlier: Checkpoint | None
    described: Descriptions
    answers: list[KeptAnswer]
    start: int | None = None

    @staticmethod
    def of(store: Store, names: Sequence[str]) -> Recorder:
        """Read a store, and refuse the checkpoint of other silos.

        Raises
        ------
        ParameterError
        ProtocolError
            If the bytes are damaged.
        """
        data = store.load()
        earlier = None if data is None else decode(data, Checkpoint)
        if earlier is not None and earlier.names != list(names):
            raise ParameterError(f"checkpoint: a training of the silos {earlier.names}, and these are {list(names)}.")
        return Recorder(store, earlier, [], [])

    @property
    def _repeating(self) -> Checkpoint | None:
        return self.earlier if self.start is None else None

    def descriptions(self, ask: Callable[[], Descriptions]) -> Descriptions:
        """Return the descriptions of the silos' columns: those of the earlier run, or what asking returns."""
        self.described = ask() if self._repeating is None else self._repeating.described
        return self.described

    def totals(self, queries: Sequence[Query], cohort: Cohort, ask: Callable[[], list[Vector]]) -> list[Vector]:
        """Return the totals of questions: those of the earlier run, or what asking returns.

        Raises
        ------
        ParameterError
            If the earlier run asked for less, or otherwise.
        """
        if self.start is not None:  # in the rounds, nothing is repeated
            return ask()
        asked, earlier = _digest(queries, cohort), self._repeating
        if earlier is None:
            kept = KeptAnswer(asked, ask())
        elif len(self.answers) == len(earlier.answers):
            raise ParameterError("checkpoint: of a training that asked silos for less; give the same parameters.")
        else:
            kept = earlier.answers[len(self.answers)]
            if kept.asked != asked:
                raise _of_another("+".join(query.kind for query in queries))
        self.answers.append(kept)
        return kept.totals

    def check(self, frame: bytes, number: int, kind: str) -> None:
        """Refuse a fact other than the one that the silos have under its number.

        Raises
        ------
        ParameterError
        """
        earlier = self._repeating
        if earlier is not None and (number >= earlier.start or earlier.facts[number] != frame):
            raise _of_another(kind)

    def begin_rounds(self, log: Log, ledger: Ledger, kind: type[S]) -> S | None:
        """End the repetition: bring log and ledger up to date, and return the state, where there is one."""
        self.start = len(log)
        earlier = self.earlier
        if earlier is None:
            return None
        if (len(self.answers), len(log)) != (len(earlier.answers), earlier.start):
            raise ParameterError("checkpoint: of a training that asked silos for more; give the same parameters.")
        for frame in earlier.facts[len(log) :]:
            log.append_frame(frame)
        log.kept += earlier.questions
        all_silos = np.arange(len(ledger.names))
        ledger.entries[:] = [entry.entry(all_silos) for entry in earlier.entries]
        return decode(earlier.state, kind)

    def save(self, log: Log, ledger: Ledger, state: Record) -> None:
        """Write the run down."""
        n_silos = len(ledger.names)
        entries = [KeptEntry.of(entry, n_silos) for entry in ledger.entries]
        checkpoint = Checkpoint(
            log.run, list(ledger.names), self.described, self.answers, self.start or 0, log.frames, log.kept, entries,
            encode(state),
        )  # fmt: skip
        self.store.save(encode(checkpoint))


def _of_another(kind: str) -> ParameterError:
    return ParameterError(
        f"checkpoint: of another training, whose {kind} is not this one's; give the same parameters and rows, or "
        "another place for checkpoints."
    )


def _digest(queries: Sequence[Query], cohort: Cohort) -> bytes:
    asked = hashlib.sha256(np.asarray(cohort, np.int64).tobytes())
    for query in queries:
        asked.update(encode(query))
    return asked.digest()


def _kept(amount: Amount) -> list[NDArray[np.integer]]:
    if isinstance(amount, Grouped):
        return [amount.amounts, amount.group]
    return [np.atleast_1d(np.asarray(amount, np.int64))]


def _amount(kept: list[NDArray[np.integer]]) -> Amount:
    if len(kept) == 2:
        return Grouped(kept[0].astype(np.int64), kept[1])  # type: ignore[arg-type]
    return int(kept[0][0]) if len(kept[0]) == 1 else kept[0].astype(np.int64)
