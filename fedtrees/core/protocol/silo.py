"""A silo's side of the protocol: one object that takes bytes and answers bytes."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from fedtrees.core.arguments import EvalSet, Features, by_name
from fedtrees.core.data.disclosure import disclosed, withhold_rare
from fedtrees.core.data.features import read_features
from fedtrees.core.data.held_out import read_held_out
from fedtrees.core.data.lost_digits import lost_digits
from fedtrees.core.data.ranking_groups import refuse_ids_twice, rows_to_keep, weights_of_rows
from fedtrees.core.data.record import decode, encode
from fedtrees.core.data.rounding import as_float32
from fedtrees.core.data.row_ids import read_row_ids
from fedtrees.core.data.table import Labels, Schema, Table, of_rows, read_weight, with_kinds_of
from fedtrees.core.data.table_targets import labels_of, labels_of_columns
from fedtrees.core.data.target import read_margin, read_target
from fedtrees.core.data.texts import odd_text
from fedtrees.core.numeric.fixed_point import Vector
from fedtrees.core.numeric.number_checks import is_whole
from fedtrees.core.numeric.threads import Threads, Turns
from fedtrees.core.protocol.aggregation import PLAIN_SUM, Aggregation, Sender, protected
from fedtrees.core.protocol.describe import Describe, Description
from fedtrees.core.protocol.message import ReplyKind, Request, answers, reply
from fedtrees.core.protocol.query import Fact, Query, Repeat
from fedtrees.core.protocol.silo_rows import SiloRows
from fedtrees.errors import FedTreesError, ParameterError, ProtocolError

_logger = logging.getLogger(__name__)


class Silo(SiloRows):
    """A data owner: a table, the state of the present run, and `answer`.

    Law: an answer is a function of the table, the run's facts and the query, and of the questions that it answered and
    remembers; a silo that lost its memory gives the same bits once it has received facts and questions again.

    Parameters
    ----------
    name : str
    X : DataFrame or array-like (rows, features)
        Numbers, booleans, or pandas categories, whose names the server learns. Missing is NaN.
    y : array-like (rows,) or (rows, targets)
        Class labels, or numbers; several columns are several targets, each with its own labels where they are classes.
    sample_weight : array-like (rows,), optional
        At least 0; None counts every row as 1. A row of weight 0 is as good as absent.
    n_jobs : int, optional
        Threads to answer with; None takes every core.
    eval_set : sequence of (X, y) or (X, y, sample_weight), optional
        Rows to score on and not to train on. Every silo of a federation has as many sets, empty ones where need be.
        A fourth entry is the set's ``base_margin``, a fifth its ``qid``.
    base_margin : array-like (rows,) or (rows, outputs), optional
        The margin that each row starts from, in place of the model's intercept. It never leaves the silo.
    missing : float, default NaN
        The number that stands for a missing value.
    row_id : array-like (rows,), optional
        Whole numbers or texts that name rows wherever they lie, for ``subsample``; without, a row is named by the silo
        and its place there, and what is drawn depends on who holds it.

    qid : array-like (rows,), optional
        Whole numbers or texts that name the group a row is ranked in, its query; ``sample_weight`` is then one per
        group, in the order in which they appear.
    min_category_rows : int, default 1
        Rows of this silo, evaluation sets included, that a category needs; others count as missing, and their names
        stay here. The names of categories that no row has stay here in any case.

    Raises
    ------
    DataError
        Naming the silo and the column.
    ParameterError
        For a name that is no text.

    Examples
    --------
    >>> silo = Silo("mayo", [[37.0, 1.0], [62.0, 0.0]], ["well", "ill"])
    >>> silo.table.schema.names
    ['f0', 'f1']
    """

    most_integers = 1 << 28  # an answer of more is refused: a question of a few bytes must not take all memory

    @by_name
    def __init__(
        self,
        name: str,
        X: Features,
        y: ArrayLike,
        *,
        sample_weight: ArrayLike | None = None,
        n_jobs: int | None = None,
        eval_set: Sequence[EvalSet] = (),
        base_margin: ArrayLike | None = None,
        missing: float = math.nan,
        row_id: ArrayLike | None = None,
        qid: ArrayLike | None = None,
        min_category_rows: int = 1,
    ):
        where = f"silo {name!r}: "
        if not isinstance(name, str) or not name:
            raise ParameterError(f"a silo's name is a text, not {name!r}.")
        odd = odd_text(name)
        if odd is not None:
            raise ParameterError(f"a silo's name, {name!r}, has {odd} in it, which does not come through; rename it.")
        name = str(name)  # and not a subclass of numpy's, which does not travel
        values, schema = read_features(X, where, missing=missing)
        refuse_ids_twice(qid, schema.names, where)
        target = read_target(y, len(values), where)
        groups = read_row_ids(qid, len(values), where, "qid")
        weight = read_weight(weights_of_rows(sample_weight, groups, where), len(values), where)
        margin, ids = read_margin(base_margin, len(values), where), read_row_ids(row_id, len(values), where)
        kept = rows_to_keep(weight, groups)
        columns = (target, weight, margin, ids, groups)
        target, weight, margin, ids, groups = (of_rows(column, kept) for column in columns)
        starts = np.array([0, len(target)], np.int64)
        sets = enumerate(eval_set)
        held_out = [read_held_out(given, schema, name, place, missing, groups) for place, given in sets]
        schema = with_kinds_of(schema, [held.schema for held in held_out])
        table = Table(schema, values, target, weight, [name], starts, kept, margin=margin, ids=ids, groups=groups)
        if not is_whole(min_category_rows):
            raise ParameterError(f"{where}min_category_rows={min_category_rows!r}: give a whole number from 1.")
        if min_category_rows > 1:
            withhold_rare([table, *held_out], int(min_category_rows))
        self._hold(table, Threads(n_jobs), held_out, one_owner=True)
        self.lost = lost_digits(X, values, schema.names, name)
        if target.dtype.kind in "iuf" and len(target):
            numbers = target.reshape(len(target), -1)
            self.lost += lost_digits(numbers, as_float32(numbers), ["y"] * numbers.shape[1], name, len(schema.names))

    @classmethod
    def of_table(cls, table: Table, threads: Threads, held_out: Sequence[Table] = ()) -> Silo:
        """One object that answers for all silos of a table, and of its evaluation sets, at once."""
        silo = cls.__new__(cls)
        silo._hold(table, threads, held_out)
        return silo

    def _hold(self, table: Table, threads: Threads, held_out: Sequence[Table], one_owner: bool = False) -> None:
        super().__init__(table, threads, held_out)
        self._turns = Turns()
        self.rows = np.array([each.n_rows for each in (table, *held_out)], np.int64)
        self._one_owner = one_owner  # else they were one table, whose categories were never apart
        self.run = b""
        self.version = 0  # the number of facts received

    @property
    def aggregation(self) -> Aggregation:
        """The aggregation that protects what leaves."""
        return self.states.find(Aggregation) or PLAIN_SUM

    def as_read(self) -> tuple[Table, list[Table]]:
        """The tables as they were read, for what is no run: a run that made other numbers of them starts again."""
        with self._turns:
            if self.absent_is_zero:
                self.forget()
            return self.read

    def schema(self, labels: Labels) -> Schema:
        """The schema that this silo sends: of its columns, and of its class labels where they are asked for."""
        schema = self.read[0].schema  # rows that a run held out are this silo's, too
        if self._one_owner and schema.categories:
            schema = disclosed(schema, [self.read[0], *self.read[1]])
        if labels and schema.labels is not None:
            return schema
        present = schema.labels
        if labels and self.read[0].y.ndim == 1:
            present = labels_of(self.read[0])
        elif labels == "by column":  # else several columns are labels of 0 and 1, which are numbers
            present = labels_of_columns(self.read[0])
        return msgspec.structs.replace(schema, labels=present, targets=self.read[0].n_targets)

    def description(self, question: Describe) -> Description:
        """The answer to `Describe`."""
        question.check()
        return Description(self.schema(question.labels), len(self.read[1]))

    # -- the protocol ---------------------------------------------------------------------------------------

    def learn(self, run: bytes, since: int, facts: Sequence[Fact | bytes]) -> None:
        """Take in the facts of a run from number ``since`` on; those that it has already are passed over."""
        if run != self.run:
            self.forget()
            self.run = run
        for fact in facts[self.version - since :]:
            (decode(fact, Fact) if isinstance(fact, bytes) else fact).apply(self)
            self.version += 1

    def forget(self) -> None:
        """Lose all memory of the run, as a restart does."""
        self.run, self.version = b"", 0
        self.start_anew()

    def answer(self, message: bytes) -> bytes:
        """Answer one request; the same request gets the same answer however often it comes, and from many threads.

        Raises
        ------
        ProtocolError
            For bytes that are no request, as there is nobody to reply to; all else is answered, refusals included.
        """
        request = Request.decode(message)
        with self._turns:
            return self._answer(request)

    def _answer(self, request: Request) -> bytes:
        try:
            if request.run == self.run and self.version > request.since + len(request.facts):
                self.forget()  # the server went back to a checkpoint: what came after it has not happened
            known = self.version if request.run == self.run else 0
            if request.since > known:
                return reply(request, ReplyKind.BEHIND, known.to_bytes(4, "little"))
            self.learn(request.run, request.since, request.facts)
            for question in request.queries:
                if isinstance(question, Describe):
                    return reply(request, ReplyKind.RECORD, encode(self.description(question)))
            if not known:
                self.repeat([question for question in request.queries if isinstance(question, Repeat)])
            queries = [query for query in request.queries if isinstance(query, Query)]
            vectors = self._vectors(queries)
            sender = Sender(self.name, self.rows, request.run, request.round, request.attempt)
            return reply(request, ReplyKind.ANSWER, answers(protected(self.aggregation, queries, vectors, sender)))
        except Exception as error:  # whatever it is: the server would take a silo without a reply for lost
            if not isinstance(error, FedTreesError):
                self.forget()  # it may have stopped half way: the facts will be sent again
            return self._refuse(request, error)

    def _vectors(self, queries: Sequence[Query]) -> list[Vector]:
        """The answers, once it is clear that they are not too long."""
        size = sum(query.size() for query in queries)
        if size > self.most_integers:
            raise ProtocolError(f"{size} integers were asked for; this silo answers with {self.most_integers}")
        return [query.ask(self) for query in queries]

    def repeat(self, questions: Sequence[Repeat]) -> None:
        """Answer questions once more that this silo answered before it lost its memory, for what it keeps of them."""
        try:
            for question in questions:
                self._vectors([decode(question.asked, Query)])
        except FedTreesError:
            self.forget()  # with all facts but not all questions, it would not be sent these again
            raise

    def __repr__(self) -> str:
        rows, features = self.read[0].n_rows, self.read[0].n_features
        sets = f", {len(self.read[1])} evaluation sets" if self.read[1] else ""
        return f"Silo({self.name!r}, {rows} rows, {features} features{sets})"

    def _refuse(self, request: Request, error: Exception) -> bytes:
        kind, text = type(error).__name__, str(error)
        if not isinstance(error, FedTreesError):
            asked = "+".join(query.kind for query in request.queries)
            _logger.error("silo %r: %s in answer to %s", self.name, kind, asked, exc_info=error)
            kind, text = ProtocolError.__name__, f"no answer to {asked}: {kind}: {error}"
        return reply(request, ReplyKind.REFUSAL, f"{kind}:{text}".encode())
