"""The ledger: what was asked of whom, and how many bytes and integers it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.cohort import Cohort

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Entry:
    """One round.

    Attributes
    ----------
    round : int
    kind : str
        The queries' kinds, joined by ``+``.
    cohort : int64 (silos asked,)
    down, up : int64 (silos asked,) or int
        Bytes to and from each silo; a single number where they are the same for all.
    integers : int
        Integers from each silo.
    """

    round: int
    kind: str
    cohort: Cohort
    down: NDArray[np.int64] | int
    up: NDArray[np.int64] | int
    integers: int

    def over_all(self, each: NDArray[np.int64] | int) -> int:
        """``down`` or ``up``, summed over the silos asked."""
        return each * len(self.cohort) if isinstance(each, int) else int(each.sum())


class Ledger:
    """Counts bytes and integers by silo, round and kind of query.

    Message lengths do not depend on data, so the counts are exact in every mode of a federation.

    Parameters
    ----------
    names : sequence of str
        The federation's silos.
    """

    def __init__(self, names: Sequence[str]):
        self.names = names
        self.entries: list[Entry] = []

    def record(self, entry: Entry) -> None:
        """Add a round."""
        self.entries.append(entry)

    @property
    def rounds(self) -> int:
        """Rounds so far."""
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
        """A row a round: kind, silos asked, bytes down and up over all of them, integers from each."""
        import pandas as pd

        rows = [
            (e.round, e.kind, len(e.cohort), e.over_all(e.down), e.over_all(e.up), e.integers) for e in self.entries
        ]
        columns = ["round", "kind", "silos", "bytes_down", "bytes_up", "integers"]
        return pd.DataFrame(rows, columns=columns).set_index("round")

    def per_silo(self, kind: str | None = None) -> pd.DataFrame:
        """A row a silo: rounds, bytes down and up, integers; of one kind of query, or of all."""
        import pandas as pd

        counts = np.zeros((4, len(self.names)), np.int64)
        for e in self.entries:
            if kind is None or e.kind == kind:
                counts[0, e.cohort] += 1
                counts[1, e.cohort] += e.down
                counts[2, e.cohort] += e.up
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
                down, up = (each if isinstance(each, int) else int(each[at]) for each in (e.down, e.up))
                rows.append((e.round, e.kind, down, up, e.integers))
        return pd.DataFrame(rows, columns=["round", "kind", "bytes_down", "bytes_up", "integers"]).set_index("round")

    def __repr__(self) -> str:
        return (
            f"Ledger({len(self.names)} silos, {self.rounds} rounds, "
            f"{self.bytes_down} bytes down, {self.bytes_up} bytes up)"
        )
