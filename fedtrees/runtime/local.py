"""All silos in this process: fused into one kernel, or faithful to every byte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.channel import Call, Reply
from fedtrees.core.cohort import Cohort
from fedtrees.core.ledger import Amount, Grouped
from fedtrees.core.ring import Vector
from fedtrees.core.silo import Silo
from fedtrees.core.table import Schema, Table, agree, read_features, read_weight, refuse_mixed_targets
from fedtrees.core.target import plain_array, read_target
from fedtrees.core.threads import Threads
from fedtrees.errors import DataError, ParameterError, unknown_value
from fedtrees.runtime.transport import InProcess, Postman


class LocalFederation:
    """Silos in one process.

    Integer sums do not care about partition, so the default mode keeps the silos' rows side by side and runs one
    kernel over the cohort's rows: a hundred thousand silos cost what one does. The faithful mode builds, sends and
    reads every message of every silo as bytes.

    Law: both modes give the same totals and the same ledger.

    Parameters
    ----------
    silos : sequence of Silo
        With names of their own and columns that agree.
    mode : {"fused", "faithful"}, default "fused"
    n_jobs : int, optional
        Threads; None takes every core.

    Raises
    ------
    SchemaError, DataError, ParameterError
        If names occur twice or columns differ, before anything else.

    Examples
    --------
    >>> federation = LocalFederation([Silo("a", [[1.0], [2.0]], [0, 1]), Silo("b", [[3.0]], [1])])
    >>> federation
    LocalFederation(2 silos, 3 rows, mode='fused')
    """

    def __init__(self, silos: Sequence[Silo], mode: str = "fused", n_jobs: int | None = None):
        silos = list(silos)
        if not silos:
            raise ParameterError("a federation needs at least one silo.")
        if not all(isinstance(silo, Silo) for silo in silos):
            raise ParameterError("silos: give a list of fedtrees.Silo.")
        self._open(_join(silos), mode, n_jobs, silos)

    @classmethod
    def from_table(
        cls,
        X: Any,
        y: ArrayLike,
        silos: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        *,
        mode: str = "fused",
        n_jobs: int | None = None,
    ) -> LocalFederation:
        """Split one table by a silo id a row; None is one silo, called ``all``. Nothing of X is copied.

        Silos stand in the order of their ids. See `LocalFederation` for errors.
        """
        federation = cls.__new__(cls)
        federation._open(_split(X, y, silos, sample_weight), mode, n_jobs, None)
        return federation

    def _open(self, table: Table, mode: str, n_jobs: int | None, silos: list[Silo] | None) -> None:
        if mode not in ("fused", "faithful"):
            raise unknown_value("mode", mode, ["fused", "faithful"])
        self.mode = mode
        self.threads = Threads(n_jobs)
        self.names: Sequence[str] = table.names
        self.table = table
        self._run = b""
        self._heard: NDArray[np.int64] | int = 0
        self._sizes, size_of = np.unique(np.diff(table.starts), return_inverse=True)
        self._size_of = size_of.astype(np.min_scalar_type(len(self._sizes)))
        if mode == "fused":
            self._fused = Silo.of_table(table, self.threads)
            return
        parts = silos or [Silo.of_table(part, self.threads) for part in _parts(table)]
        self.silos = {silo.name: silo for silo in parts}
        self._postman = Postman(InProcess({s.name: s.answer for s in parts}), self.names)

    def schemas(self, labels: bool) -> Sequence[tuple[str, Schema]]:
        """See `Federation`."""
        if self.mode == "fused":
            return [(self.names[0], self._fused.schema(labels))]
        return [(name, silo.schema(labels)) for name, silo in self.silos.items()]

    def sum(self, call: Call, cohort: Cohort) -> Reply:
        """See `Federation`."""
        if self.mode == "faithful":
            return self._postman.sum(call, cohort)
        down = self._bill(call, cohort)
        return Reply(self._ask(call, cohort), down, self._bytes_up(call, cohort))

    def gather(self, call: Call, cohort: Cohort) -> Reply:
        """See `Federation`."""
        if self.mode == "faithful":
            return self._postman.gather(call, cohort)
        down = self._bill(call, cohort)
        vectors = [self._ask(call, cohort[place : place + 1]) for place in range(len(cohort))]
        shape = (len(cohort), call.size())
        return Reply(np.array(vectors, np.int64).reshape(shape), down, self._bytes_up(call, cohort))

    def _ask(self, call: Call, cohort: Cohort) -> Vector:
        self._fused.ask_only(None if len(cohort) == len(self.names) else cohort)
        known = self._fused.version if self._fused.run == call.log.run else 0
        self._fused.learn(call.log.run, known, call.log.facts[known:])
        vectors = [query.ask(self._fused) for query in call.queries]
        return vectors[0] if len(vectors) == 1 else np.concatenate(vectors)

    def _bill(self, call: Call, cohort: Cohort) -> NDArray[np.int64] | int:
        """Bytes that the messages to the cohort would take; notes what it has heard. No message is built twice."""
        if call.log.run != self._run:
            self._run, self._heard = call.log.run, 0
        sizes, now = call.log.sizes, len(call.log)
        bare = len(call.request(now).encode())
        if isinstance(self._heard, int):
            down = bare + sizes[now] - sizes[self._heard]
            if len(cohort) == len(self.names):
                self._heard = now
                return down
            self._heard = np.full(len(self.names), self._heard, np.int64)
        each = bare + sizes[now] - np.array(sizes, np.int64)[self._heard[cohort]]
        self._heard[cohort] = now
        if len(cohort) == len(self.names):
            self._heard = now
        return int(each[0]) if len(each) and (each == each[0]).all() else each

    def _bytes_up(self, call: Call, cohort: Cohort) -> Amount:
        """Bytes that the cohort's answers would take: silos of as many rows take as many."""
        sizes = call.answer_size(self._sizes)
        if (sizes == sizes[0]).all():
            return int(sizes[0])
        return Grouped(sizes, self._size_of if len(cohort) == len(self.names) else self._size_of[cohort])

    def close(self) -> None:
        """Let the threads go."""
        self.threads.close()

    def __repr__(self) -> str:
        return f"LocalFederation({len(self.names)} silos, {self.table.n_rows} rows, mode={self.mode!r})"


def _join(silos: Sequence[Silo]) -> Table:
    names = [silo.name for silo in silos]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ParameterError(f"two silos are named {twice!r}; give each its own name.")
    schema = agree([(silo.name, silo.table.schema) for silo in silos])
    tables = [silo.table for silo in silos]
    refuse_mixed_targets([(silo.name, silo.table.y) for silo in silos])
    weight = None
    if any(table.weight is not None for table in tables):
        weight = np.concatenate([np.ones(t.n_rows, np.float32) if t.weight is None else t.weight for t in tables])
    starts = np.concatenate(([0], np.cumsum([table.n_rows for table in tables])))
    # an empty silo's y has no type to speak of: it must not turn the others' labels into floats
    targets = [table.y for table in tables if table.n_rows] or [tables[0].y]
    whole = all(y.dtype.kind in "iu" for y in targets)  # int64 with uint64 would make floats, too
    y = np.concatenate(targets, dtype=np.int64, casting="unsafe") if whole else np.concatenate(targets)
    return Table(schema, np.concatenate([table.X for table in tables]), y, weight, names, starts, joined=True)


def _split(X: Any, y: ArrayLike, silos: ArrayLike | None, sample_weight: ArrayLike | None) -> Table:
    ids = None if silos is None else _read_ids(silos)
    values, schema = read_features(X, silos=ids)
    n = len(values)
    target, weight = read_target(y, n), read_weight(sample_weight, n, silos=ids)
    if ids is None:
        return Table(schema, values, target, weight, ["all"], np.array([0, n], np.int64))
    import pandas as pd

    codes, names = pd.factorize(ids, sort=True)  # by hashing: ten times as fast as sorting names
    starts = np.concatenate(([0], np.cumsum(np.bincount(codes, minlength=len(names)))))
    codes = codes.astype(np.uint16) if len(names) <= 2**16 else codes  # narrow codes sort by radix
    order = None
    if (codes[1:] < codes[:-1]).any():
        order = np.argsort(codes, kind="stable").astype(np.uint32)
        target, weight = _narrow(target)[order], None if weight is None else weight[order]
    return Table(schema, values, target, weight, [str(name) for name in names], starts, order)


def _narrow(y: NDArray[Any]) -> NDArray[Any]:
    """Whole numbers in as few bytes as they need."""
    if y.dtype.kind not in "iu" or not len(y):
        return y
    return y.astype(np.result_type(np.min_scalar_type(y.min()), np.min_scalar_type(y.max())))


def _read_ids(silos: ArrayLike) -> NDArray[Any]:
    """Silo ids as something that sorts; missing ones are refused."""
    import pandas as pd

    ids = plain_array(silos, "silos")
    if ids.ndim != 1:
        raise DataError(f"silos has the shape {ids.shape}; give one id a row.")
    missing = np.asarray(pd.isna(ids))
    if missing.any():
        raise DataError(f"silos is missing (NaN or None) in row {int(np.argmax(missing))}; every row needs a silo.")
    return ids.astype(str) if ids.dtype.kind == "O" else ids


def _parts(table: Table) -> list[Table]:
    """Each silo's own table."""
    parts = []
    for place, name in enumerate(table.names):
        rows = slice(int(table.starts[place]), int(table.starts[place + 1]))
        X = table.X[rows] if table.order is None else table.X[table.order[rows]]
        weight = None if table.weight is None else table.weight[rows]
        starts = np.array([0, len(X)], np.int64)
        parts.append(Table(table.schema, X, table.y[rows], weight, [name], starts))
    return parts
