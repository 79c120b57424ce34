"""All silos in this process: fused into one kernel, or faithful to every byte."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.arguments import EvalSet, Features, by_name
from fedtrees.core.data.record import encode
from fedtrees.core.data.table import Table, refuse_mixed_formats, with_kinds_of
from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.numeric.threads import Threads, Turns
from fedtrees.core.protocol.aggregation import Sender, protected
from fedtrees.core.protocol.describe import Describe, agreed_eval_sets
from fedtrees.core.protocol.federation import Answer, Described, PartedReply, Reply
from fedtrees.core.protocol.ledger import Amount, grouped, groups_of, plus
from fedtrees.core.protocol.log import Call
from fedtrees.core.protocol.message import REPLY_HEAD, ReplyKind, answers, reply
from fedtrees.core.protocol.silo import Silo
from fedtrees.core.sampling.samplers import Cohort
from fedtrees.errors import ParameterError, unknown_value
from fedtrees.runtime.schema_sizes import sizes_by_silo, sizes_of
from fedtrees.runtime.tables import join_tables, part_table, split_held_out, split_table
from fedtrees.runtime.transport import InProcess, Postman


class LocalFederation:
    """Silos in one process.

    Integer sums do not depend on the partition, so the default mode keeps the silos' rows side by side and runs one
    kernel over the cohort's rows: a hundred thousand silos cost what one does. The faithful mode builds, sends and
    reads every message of every silo as bytes.

    Law: both modes give the same totals and the same ledger.

    Parameters
    ----------
    silos : sequence of Silo
        With different names, and columns that agree.
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
        names = [silo.name for silo in silos]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ParameterError(f"two silos are named {twice!r}; give each its own name.")
        read = {silo.name: silo.read for silo in silos}  # not as a training that goes on has changed them
        eval_sets = agreed_eval_sets({name: len(held_out) for name, (_, held_out) in read.items()})
        held_out = [join_tables([sets[place] for _, sets in read.values()]) for place in range(eval_sets)]
        for place, joined in enumerate(held_out):
            refuse_mixed_formats(joined.schema, f"eval_set {place}: ")
        table = join_tables(
            [trained_on for trained_on, _ in read.values()], [silo.schema(labels=False) for silo in silos]
        )
        self._open(table, held_out, mode, n_jobs, silos)

    @classmethod
    @by_name
    def from_table(
        cls,
        X: Features,
        y: ArrayLike,
        *,
        silos: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        eval_set: Sequence[EvalSet] = (),
        eval_silos: Sequence[ArrayLike | None] | None = None,
        base_margin: ArrayLike | None = None,
        missing: float = math.nan,
        row_id: ArrayLike | None = None,
        qid: ArrayLike | None = None,
        mode: str = "fused",
        n_jobs: int | None = None,
    ) -> LocalFederation:
        """Split one table by a silo id a row; None is one silo, called ``all``. Nothing of X is copied.

        Silos stand in the order of their ids. Evaluation sets are (X, y) or (X, y, sample_weight), with the silo ids of
        their rows in ``eval_silos``; without, the first silo holds them. See `Silo` for ``base_margin``, ``missing``,
        ``row_id`` and ``qid``, and `LocalFederation` for errors.
        """
        federation = cls.__new__(cls)
        table = split_table(X, y, silos, sample_weight, base_margin, missing, row_id, qid)
        ids = [None] * len(eval_set) if eval_silos is None else list(eval_silos)
        if len(ids) != len(eval_set):
            raise ParameterError(f"eval_silos has {len(ids)} entries for {len(eval_set)} evaluation sets.")
        pairs = enumerate(zip(eval_set, ids, strict=True))
        held_out = [split_held_out(table, given, whose, place, missing) for place, (given, whose) in pairs]
        table = replace(table, schema=with_kinds_of(table.schema, [held.schema for held in held_out]))
        federation._open(table, held_out, mode, n_jobs, None)
        return federation

    def _open(
        self, table: Table, held_out: list[Table], mode: str, n_jobs: int | None, silos: list[Silo] | None
    ) -> None:
        if mode not in ("fused", "faithful"):
            raise unknown_value("mode", mode, ["fused", "faithful"])
        self.mode = mode
        self._turns = Turns()
        self.threads = Threads(n_jobs)
        self.names: Sequence[str] = table.names
        self.table = table
        self._run = b""
        # facts that each silo has, for the ledger: one number while all have as many, which 100,000 silos mostly do
        self._received: NDArray[np.int64] | int = 0
        self._sizes, self._size_of = rows_by_kind([table, *held_out])  # silos of as many rows send as many bytes
        self._owners = silos  # None where one table was split
        if mode == "fused":
            self._fused = Silo.of_table(table, self.threads, held_out)
            self._fused.lost = [lost for silo in silos or () for lost in silo.lost]
            return
        if silos is None:
            apart = zip(part_table(table), *(part_table(held) for held in held_out), strict=True)
            silos = [Silo.of_table(part, self.threads, list(sets)) for part, *sets in apart]
        self.silos = {silo.name: silo for silo in silos}
        self._postman = Postman(InProcess({silo.name: silo.answer for silo in silos}), self.names)

    def describe(self, call: Call, question: Describe) -> Described:
        """See `Simulating`."""
        with self._turns:
            down = self._bill(call, np.arange(len(self.names)))
            description = self._fused.description(question)
            if self._owners is None:
                sizes = sizes_by_silo(description.schema, self._fused.read[0])
            else:
                sizes = sizes_of([silo.schema(question.labels) for silo in self._owners])
            more = REPLY_HEAD + len(encode(description)) - len(encode(description.schema))  # whatever the schema
            first = self.names[int(np.argmax(np.diff(self.table.starts) > 0))]  # that holds rows, if there is one
            return Described([(first, description)], down, plus(sizes, more))

    def ask(self, call: Call, cohort: Cohort) -> Iterator[Answer]:
        """See `Federation`; until the last answer is read, others wait."""
        with self._turns:
            if self.mode == "faithful":
                yield from self._postman.ask(call, cohort)
                return
            down = np.broadcast_to(self._bill(call, cohort), len(cohort)).tolist()
            for place, silo in enumerate(cohort.tolist()):
                vectors = self._ask_each(call, cohort[place : place + 1])
                sender = Sender(self.names[silo], self._rows_of(silo), call.run, call.round, call.attempt)
                body = answers(protected(call.aggregation, call.queries, vectors, sender))
                yield Answer(silo, reply(call, ReplyKind.ANSWER, body), down[place])

    def _rows_of(self, silo: int) -> NDArray[np.int64]:
        """Rows of each table that a silo has, int64 (tables,)."""
        rows: NDArray[np.int64] = self._sizes[:, self._size_of[silo]]
        return rows

    @property
    def fused(self) -> bool:
        """See `Simulating`."""
        return self.mode == "fused"

    def sum(self, call: Call, cohort: Cohort) -> Reply:
        """See `Simulating`."""
        with self._turns:  # silos remember one run at a time: another one that goes on meanwhile waits for its turn
            down = self._bill(call, cohort)
            return Reply(self._ask(call, cohort), down, self._bytes_up(call, cohort))

    def parts(self, call: Call, cohort: Cohort) -> PartedReply:
        """See `Simulating`."""
        with self._turns:
            down = self._bill(call, cohort)
        return PartedReply(self._ask_in_parts(call, cohort), down, self._bytes_up(call, cohort))

    def _ask_in_parts(self, call: Call, cohort: Cohort) -> Generator[Vector]:
        with self._turns:
            self._bring_up_to_date(call, cohort)
            for query in call.queries:
                yield from query.ask_in_parts(self._fused)

    def _bring_up_to_date(self, call: Call, cohort: Cohort) -> None:
        """Set the silos that the call asks, and hand over the facts that they do not have yet."""
        if self._fused.version > len(call.log):  # of another run, or of this one before it went back to a checkpoint
            self._fused.forget()
        known = self._fused.version if self._fused.run == call.log.run else 0
        self._fused.learn(call.log.run, known, call.log.facts[known:])
        for kept in call.log.kept if not known else ():
            self._ask_only(kept.silos)
            kept.query.ask(self._fused)
        self._ask_only(cohort)

    def _ask_only(self, cohort: Cohort) -> None:
        self._fused.ask_only(None if len(cohort) == len(self.names) else cohort)

    def _ask_each(self, call: Call, cohort: Cohort) -> list[Vector]:
        self._bring_up_to_date(call, cohort)
        return [query.ask(self._fused) for query in call.queries]

    def _ask(self, call: Call, cohort: Cohort) -> Vector:
        vectors = self._ask_each(call, cohort)
        return vectors[0] if len(vectors) == 1 else np.concatenate(vectors)

    def _bill(self, call: Call, cohort: Cohort) -> NDArray[np.int64] | int:
        """Count the bytes of the messages to the cohort, and note that it has all facts. No message is built twice."""
        if call.log.run != self._run:
            self._run, self._received = call.log.run, 0
        sizes, now, received = call.log.sizes, len(call.log), self._received
        if np.max(received) > now:  # the run went back to a checkpoint: silos that are ahead of it begin anew
            received = self._received = np.where(received > now, 0, received) if np.ndim(received) else 0
        bare, all_asked = len(call.request(now).encode()), len(cohort) == len(self.names)
        if isinstance(received, int) and all_asked and (received or not call.log.kept):
            self._received = now
            return bare + sizes[now] - sizes[received]
        known = np.full(len(cohort), received) if isinstance(received, int) else received[cohort]
        each = bare + sizes[now] - np.array(sizes, np.int64)[known]
        if call.log.kept:
            each[known == 0] += call.log.repeat_sizes(cohort[known == 0])
        if all_asked:
            self._received = now
        else:
            self._received = np.full(len(self.names), received) if isinstance(received, int) else received
            self._received[cohort] = now
        return int(each[0]) if len(each) and (each == each[0]).all() else each

    def _bytes_up(self, call: Call, cohort: Cohort) -> Amount:
        """Bytes that the cohort's answers would take: equal for silos whose tables have as many rows."""
        group = self._size_of if len(cohort) == len(self.names) else self._size_of[cohort]
        return grouped(call.answer_size(self._sizes), group)

    @property
    def together(self) -> Silo | None:
        """The silo that answers for all at once; None in the faithful mode, where each does for itself."""
        return self._fused if self.mode == "fused" else None

    def close(self) -> None:
        """Let the threads go."""
        self.threads.close()

    def __repr__(self) -> str:
        return f"LocalFederation({len(self.names)} silos, {self.table.n_rows} rows, mode={self.mode!r})"


def rows_by_kind(tables: Sequence[Table]) -> tuple[NDArray[np.int64], NDArray[np.unsignedinteger]]:
    """Find silos with as many rows in each table: int64 (tables, kinds) of rows, and the kind of each silo."""
    if len(tables) == 1:  # numbers are sorted sooner than columns of them
        different, group = groups_of(np.diff(tables[0].starts))
        return different[None], group
    kinds, kind = np.unique(np.stack([np.diff(table.starts) for table in tables]), axis=1, return_inverse=True)
    return kinds, kind.ravel().astype(np.min_scalar_type(kinds.shape[1]))
