"""The ledger: the queries of each round, the silos asked, and the bytes and integers that it took."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.files import write_whole
from fedtrees.core.sampling.samplers import Cohort
from fedtrees.errors import unknown_value

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Grouped:
    """An amount for each silo, the same within a group: what a hundred thousand silos sent takes little memory.

    Attributes
    ----------
    amounts : int64 (groups,)
    group : unsigned int (silos,)
    """

    amounts: NDArray[np.int64]
    group: NDArray[np.unsignedinteger]

    def sum(self) -> int:
        """The sum over all silos."""
        return int(np.bincount(self.group, minlength=len(self.amounts)) @ self.amounts)

    def each(self) -> NDArray[np.int64]:
        """The amounts by silo, int64 (silos,)."""
        each: NDArray[np.int64] = self.amounts[self.group]
        return each


Amount = int | NDArray[np.int64] | Grouped  # one number for all silos, or one for each


def groups_of(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.unsignedinteger]]:
    """Different values, int64 (groups,), and each one's group, unsigned int (values,) of as few bytes as will do."""
    different, group = np.unique(values, return_inverse=True)
    return different, group.astype(np.min_scalar_type(len(different)))


def grouped(amounts: NDArray[np.int64], group: NDArray[np.unsignedinteger]) -> Amount:
    """An amount for each silo of some groups: one number where all groups have the same."""
    return int(amounts[0]) if (amounts == amounts[0]).all() else Grouped(amounts, group)


def plus(amount: Amount, more: int) -> Amount:
    """An amount for each silo, and the same for all on top."""
    return Grouped(amount.amounts + more, amount.group) if isinstance(amount, Grouped) else amount + more


@dataclass(frozen=True, eq=False)
class Entry:
    """One round.

    Attributes
    ----------
    round : int
    kind : str
        The queries' kinds, joined by ``+``.
    cohort : int64 (silos asked,)
    down, up : Amount
        Bytes to and from each silo.
    integers : int
        Length of the vector that each silo answers with, zeros that need not travel included.
    """

    round: int
    kind: str
    cohort: Cohort
    down: Amount
    up: Amount
    integers: int

    def over_all(self, amount: Amount) -> int:
        """``down`` or ``up``, summed over the silos asked."""
        return amount * len(self.cohort) if isinstance(amount, int) else int(amount.sum())

    def of_each(self, amount: Amount) -> NDArray[np.int64]:
        """``down`` or ``up``, int64 (silos asked,)."""
        return amount.each() if isinstance(amount, Grouped) else np.broadcast_to(np.int64(amount), len(self.cohort))

    @property
    def answers(self) -> int:
        """The number of the silos asked that have answered; the others were lost."""
        return int(np.count_nonzero(self.of_each(self.up)))


class Ledger:
    """Counts of bytes and integers by silo, round and kind of query.

    All that leaves a silo is in it: a training begins with the silos' schemas, which hold the names of columns, of
    categories and of classes; every later round is sums of integers. Message lengths depend on a silo's number of rows
    but not on its values, so the counts are exact in every mode of a federation.

    Parameters
    ----------
    names : sequence of str
        The federation's silos.
    """

    def __init__(self, names: Sequence[str]):
        self.names = names
        self._all_silos = np.arange(len(names))
        self.entries: list[Entry] = []
        self._watching: Callable[[int], None] | None = None

    def record(self, entry: Entry) -> None:
        """Add a round."""
        if len(entry.cohort) == len(self.names):  # cohorts of all are one array: a large federation has many rounds
            entry = replace(entry, cohort=self._all_silos)
        self.entries.append(entry)
        if self._watching is not None:
            self._watching(len(self.entries) - 1)

    @contextmanager
    def watched(self, by: Callable[[int], None]) -> Iterator[None]:
        """Call ``by`` with the number of each round that is added meanwhile, from 0."""
        self._watching = by
        try:
            yield
        finally:
            self._watching = None

    @property
    def rounds(self) -> int:
        """The number of rounds so far."""
        return len(self.entries)

    @property
    def bytes_up(self) -> int:
        """Bytes that all silos have sent."""
        return sum(entry.over_all(entry.up) for entry in self.entries)

    @property
    def bytes_down(self) -> int:
        """Bytes that the server has sent to all silos."""
        return sum(entry.over_all(entry.down) for entry in self.entries)

    def per_round(self) -> pd.DataFrame:
        """A row a round: kind, silos asked and answers, bytes down and up over all of them, integers from each."""
        import pandas as pd

        rows = [
            (e.round, e.kind, len(e.cohort), e.answers, e.over_all(e.down), e.over_all(e.up), e.integers)
            for e in self.entries
        ]
        columns = ["round", "kind", "silos", "answers", "bytes_down", "bytes_up", "integers"]
        return pd.DataFrame(rows, columns=columns).set_index("round")

    def per_silo(self, kind: str | None = None) -> pd.DataFrame:
        """A row a silo: rounds, bytes down and up, integers; of one kind of query, or of all."""
        import pandas as pd

        counts = np.zeros((4, len(self.names)), np.int64)
        for e in self.entries:
            if kind is None or e.kind == kind:
                counts[0, e.cohort] += 1
                counts[1, e.cohort] += e.of_each(e.down)
                counts[2, e.cohort] += e.of_each(e.up)
                counts[3, e.cohort] += e.integers
        columns = dict(zip(["rounds", "bytes_down", "bytes_up", "integers"], counts, strict=True))
        return pd.DataFrame(columns, index=pd.Index(list(self.names), name="silo"))

    def detail(self, silo: str) -> pd.DataFrame:
        """A row a round that this silo took part in: kind, bytes down and up, integers.

        Raises
        ------
        KeyError
            For a name that is not a silo's.
        """
        import pandas as pd

        if silo not in self.names:
            raise KeyError(silo)
        place = list(self.names).index(silo)
        rows = []
        for e in self.entries:
            at = int(np.searchsorted(e.cohort, place))
            if at < len(e.cohort) and e.cohort[at] == place:
                down, up = (int(e.of_each(amount)[at]) for amount in (e.down, e.up))
                rows.append((e.round, e.kind, down, up, e.integers))
        return pd.DataFrame(rows, columns=["round", "kind", "bytes_down", "bytes_up", "integers"]).set_index("round")

    def to_csv(self, path: str | Path | None = None, by: str = "round") -> str | None:
        """Write `per_round`, or `per_silo`, as a table of comma-separated values.

        Parameters
        ----------
        path : str or Path, optional
            Without, the text is returned.
        by : {"round", "silo"}, default "round"

        Raises
        ------
        ParameterError
            For another ``by``.
        FileNotFoundError, PermissionError
            If the path's folder does not exist, or cannot be written to.
        """
        if by not in ("round", "silo"):
            raise unknown_value("by", by, ["round", "silo"])
        table = self.per_round() if by == "round" else self.per_silo()
        text: str = table.to_csv(lineterminator="\n")
        return _written(text, path)

    def to_json(self, path: str | Path | None = None) -> str | None:
        """Write the totals, `per_silo` and `per_round` as one JSON document; without a path, return it."""
        document = {
            "bytes_down": self.bytes_down,
            "bytes_up": self.bytes_up,
            "silos": self.per_silo().reset_index().to_dict("records"),
            "rounds": self.per_round().reset_index().to_dict("records"),
        }
        return _written(json.dumps(document, indent=1), path)

    def __repr__(self) -> str:
        return (
            f"Ledger({len(self.names)} silos, {self.rounds} rounds, "
            f"{self.bytes_down} bytes down, {self.bytes_up} bytes up)"
        )


def _written(text: str, path: str | Path | None) -> str | None:
    """Write a text to a path; return it where there is none."""
    if path is None:
        return text
    write_whole(path, text.encode())
    return None
