"""A silo's table, and the schema that describes it, which silos must share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.data.categories import agreed_vocabulary
from fedtrees.core.data.column_names import are_numbers_from_0, difference
from fedtrees.core.data.labels import ClassLabels, Label, joined_labels
from fedtrees.core.data.record import Record
from fedtrees.core.data.rounding import as_float32
from fedtrees.core.data.row_ids import RowIds, placed_row_ids
from fedtrees.core.data.target import plain_array, refuse_mixed_targets
from fedtrees.errors import DataError, SchemaError

MISSING = "missing"  # the kind of a column without any value
SPARSE, DENSE = "sparse", "dense"
Labels = bool | Literal["by column"]  # whether class labels are asked for, and those of several columns of y, too


class Schema(Record, frozen=True, eq=False):
    """Names and kinds of the columns: no value of any row.

    Parameters
    ----------
    names : list of str
    kinds : list of str
        ``"number"`` or ``"category"``, by column, or ``"missing"`` where no row has a value: such a column is of
        whatever kind others have it.
    categories : dict of str to list
        The vocabulary of each category column, in the order of its codes. The server learns it.
    named : bool
        Whether the names are the table's own labels; an array's columns are called f0, f1, ...
    labels : list, optional
        The class labels that occur, sorted; asked for when training a classifier only. Where y has several columns, a
        list of each column's, or None where those are not asked for.
    targets : int
        Columns of y; 0 where there is no row.
    widths : dict of str to int
        Bits of the whole numbers that are a column's categories, where these are not 64: XGBoost keeps types apart.
    formats : dict of str to str
        Whether rows came as a ``"sparse"`` matrix that does not hold all entries or as a ``"dense"`` one, and the first
        silo whose did, the name of which is empty until silos are compared. Tables of both have both.
    """

    names: list[str]
    kinds: list[str]
    categories: dict[str, list[Any]]  # `Label`s, and None in place of those that a silo keeps to itself
    named: bool
    labels: ClassLabels | None = None
    targets: int = 1
    widths: dict[str, int] = msgspec.field(default_factory=dict)
    formats: dict[str, str] = msgspec.field(default_factory=lambda: {DENSE: ""})

    @property
    def labelled(self) -> bool:
        """Return whether columns have labels other than the places that pandas counts where none are given."""
        return self.named and not are_numbers_from_0(self.names)


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of one silo, or of several standing one after the other.

    Row ``i`` has the features ``X[order[i]]``; everything else stands in the table's own order.

    Attributes
    ----------
    schema : Schema
    X : float32 (rows, features)
        Missing is NaN.
    y : (rows,) or (rows, targets)
        Labels or numbers, as they were given.
    weight : float32 (rows,) or None
    names : sequence of str (silos,)
    starts : int64 (silos + 1,)
        Where each silo's rows start.
    order : uint32 (rows,) or None
        None where the rows stand in X as they are.
    origins : int64 (silos,) or None
        Where each silo's rows start in X if silos were read by themselves: their owners count rows from 0 each.
    margin : float32 (rows, outputs) or None
        The base margin of each row; NaN, or None for all, where the training sets it.
    ids : uint64 (rows,) or None
        The name of a row wherever it lies; None where its place in its silo is its name.
    groups : uint64 (rows,) or None
        The id of the group, a ranking's query, that a row is ranked in; rows of one stand side by side.
    given : whole numbers (rows,) or None
        The place of each row in its owner's table, for errors; None where ``order`` and ``origins`` give it.
    """

    schema: Schema
    X: NDArray[np.float32]
    y: NDArray[np.generic]
    weight: NDArray[np.float32] | None
    names: Sequence[str]
    starts: NDArray[np.int64]
    order: NDArray[np.uint32] | None = None
    origins: NDArray[np.int64] | None = None
    margin: NDArray[np.float32] | None = None
    ids: RowIds | None = None
    groups: RowIds | None = None
    given: NDArray[np.integer] | None = None

    def group_starts(self) -> NDArray[np.int64]:
        """First rows of groups, and the end of the last, int64 (groups + 1,); without groups, a silo is one."""
        borders = np.unique(self.starts)
        if self.groups is None:
            return borders
        changes = np.flatnonzero(self.groups[1:] != self.groups[:-1]) + 1
        return np.union1d(borders, changes)

    def row_ids(self) -> RowIds:
        """Names of all rows, uint64 (rows,): given ids, or made of the silo and the place there."""
        return placed_row_ids(self.names, self.starts) if self.ids is None else self.ids

    def part(self, which: NDArray[np.bool_]) -> Table:
        """The table of some of the rows, of the same silos; X stays where it is."""
        rows = np.flatnonzero(which)
        starts = np.concatenate(([0], np.cumsum(which)))[self.starts]
        order = rows.astype(np.uint32) if self.order is None else self.order[rows]
        weight, margin = of_rows(self.weight, rows), of_rows(self.margin, rows)
        # a row keeps its name: its place among the others is no longer the one it had
        return replace(
            self, y=self.y[rows], weight=weight, starts=starts, order=order, margin=margin, ids=self.row_ids()[rows],
            groups=of_rows(self.groups, rows), given=of_rows(self.given, rows),
        )  # fmt: skip

    @property
    def n_rows(self) -> int:
        """The number of rows of all its silos."""
        return int(self.starts[-1])

    @property
    def n_features(self) -> int:
        """The number of columns."""
        return int(self.X.shape[1])

    @property
    def n_targets(self) -> int:
        """Columns of y; 0 where there is no row."""
        return int(self.y.shape[1]) if self.y.ndim == 2 else min(1, len(self.y))

    def row_as_given(self, row: int) -> int:
        """The place of a row in the table that its owner gave."""
        if self.given is not None:
            return int(self.given[row])
        given = row if self.order is None else int(self.order[row])
        if self.origins is not None:
            given -= int(self.origins[np.searchsorted(self.starts, row, side="right") - 1])
        return given

    def rows_as_given(self, place: int) -> NDArray[np.int64]:
        """The places of a silo's rows in the table that its owner gave, int64 (rows of the silo,)."""
        rows = np.arange(self.starts[place], self.starts[place + 1])
        if self.given is not None:
            return self.given[rows].astype(np.int64)
        return (rows if self.order is None else self.order[rows].astype(np.int64)) - (
            0 if self.origins is None else self.origins[place]
        )

    def of_silo(self, place: int) -> Table:
        """The targets of one of its silos, for reading these by themselves; X stays where it is."""
        rows = slice(int(self.starts[place]), int(self.starts[place + 1]))
        starts = np.array([0, rows.stop - rows.start], np.int64)
        order = np.arange(rows.start, rows.stop, dtype=np.uint32) if self.order is None else self.order[rows]
        return Table(
            self.schema, self.X, self.y[rows], None, [self.names[place]], starts, order,
            given=self.rows_as_given(place),
        )  # fmt: skip

    def silo_of(self, row: int) -> str:
        """The silo that holds a row."""
        return self.names[int(np.searchsorted(self.starts, row, side="right")) - 1]


def read_weight(
    weight: ArrayLike | None, n_rows: int, where: str = "", silos: NDArray[np.generic] | None = None
) -> NDArray[np.float32] | None:
    """Read sample weights, float32 (rows,); None stays None, every row counting 1.

    Raises
    ------
    DataError
        If they are no numbers, of another length, negative or not finite.
    """
    if weight is None:
        return None
    given = plain_array(weight, f"{where}sample_weight")
    try:
        if given.dtype.kind not in "buifO":
            raise TypeError(f"an array of {given.dtype}")
        values = as_float32(given)
    except (TypeError, ValueError) as error:
        raise DataError(f"{where}sample_weight is not numbers: {error}.") from error
    if values.ndim == 0:
        values = np.full(n_rows, values, np.float32)
    if values.shape != (n_rows,):
        raise DataError(f"{where}sample_weight has the shape {values.shape} and X has {n_rows} rows.")
    lost = (values == 0) & (given != 0)  # which would leave rows out that are to count
    wrongs = (
        (~np.isfinite(values), "NaN, infinite or too large for float32"),
        (values < 0, "negative"),
        (lost, "too small for float32"),
    )
    for wrong, what in wrongs:
        if wrong.any():
            row = int(np.argmax(wrong))
            where = where if silos is None else f"silo {str(silos[row])!r}: "
            raise DataError(f"{where}sample_weight is {what} in row {row}; give finite numbers, 0 or above.")
    return values


def kept_rows(weight: NDArray[np.float32] | None) -> NDArray[np.uint32] | None:
    """The rows that have a weight, for `Table.order`; None where all have.

    No cut point, no count of missing values and no label may come from a row that does not count.
    """
    return None if weight is None or weight.all() else np.flatnonzero(weight).astype(np.uint32)


# an array or None, as is the result: overloads would be longer than the function
def of_rows(values: Any, rows: NDArray[np.integer] | None) -> Any:
    """A column of some rows; of all where ``rows`` is None. No column stays none."""
    return values if values is None or rows is None else values[rows]


def agree(schemas: Sequence[tuple[str, Schema]]) -> Schema:
    """The schema that all silos share; of categories, those that any has.

    Raises
    ------
    SchemaError
        Naming the silo and the first column that differs from the first silo's, or the silo whose labels do.
    """
    first_silo, first = schemas[0]
    for silo, schema in schemas:
        where = f"silo {silo!r}, unlike silo {first_silo!r}: "
        other = difference(schema.names, first.names) if schema.named and first.named else None
        if len(schema.names) != len(first.names) and other is None:
            raise SchemaError(f"{where}{len(schema.names)} columns, not {len(first.names)}.")
        if schema.labelled != first.labelled and not (schema.named and first.named):
            raise SchemaError(f"{where}columns {'with' if schema.named else 'without'} names.")
        if other is not None:
            raise SchemaError(f"{where}{other}.")
    first = next((schema for _, schema in schemas if schema.named), first)
    kinds = _all_kinds(first.names, schemas)
    split = [name for name, kind in zip(first.names, kinds, strict=True) if kind == "category"]
    categories = {
        name: agreed_vocabulary(name, [(silo, schema.categories.get(name, [])) for silo, schema in schemas])
        for name in split
    }
    targets = _all_targets(schemas)
    by_column = _all_labels_by_column(schemas, targets) if targets > 1 else None
    labels = by_column if targets > 1 or first.labels is None else _all_labels(schemas)
    widths, formats = _all_widths([schema for _, schema in schemas], split), _all_formats(schemas)
    return Schema(first.names, kinds, categories, first.named, labels, targets, widths, formats)


def _all_kinds(names: Sequence[str], schemas: Sequence[tuple[str, Schema]]) -> list[str]:
    """The kinds of columns; one that no silo has a value of is a number."""
    kinds = []
    for place, name in enumerate(names):
        having = [(silo, schema.kinds[place]) for silo, schema in schemas if schema.kinds[place] != MISSING]
        for silo, kind in having:
            if kind != having[0][1]:
                where = f"silo {silo!r}, unlike silo {having[0][0]!r}: "
                raise SchemaError(f"{where}column {name!r} is a {kind}, not a {having[0][1]}.")
        kinds.append(having[0][1] if having else "number")
    return kinds


def with_kinds_of(schema: Schema, others: Sequence[Schema]) -> Schema:
    """The same schema, where columns without a value are of the kind that evaluation sets have them of."""
    kinds = list(schema.kinds)
    for place, kind in enumerate(kinds):
        if kind == MISSING:
            kinds[place] = next((other.kinds[place] for other in others if other.kinds[place] != MISSING), MISSING)
    return schema if kinds == schema.kinds else msgspec.structs.replace(schema, kinds=kinds)


def _all_widths(schemas: Sequence[Schema], split: Sequence[str]) -> dict[str, int]:
    """The widths that silos share; 64 bits, of which none is written, where they differ."""
    by_name = {
        name: {schema.widths.get(name, 64) for schema in schemas if schema.categories.get(name)} for name in split
    }
    return {name: widths.pop() for name, widths in by_name.items() if len(widths) == 1 and widths != {64}}


def _all_formats(schemas: Sequence[tuple[str, Schema]]) -> dict[str, str]:
    """The formats of silos that hold rows, and the first silo of each."""
    formats: dict[str, str] = {}
    for silo, schema in schemas:
        for kind, holder in schema.formats.items() if schema.targets else ():
            formats.setdefault(kind, holder or silo)
    return formats or {DENSE: ""}


def refuse_mixed_formats(schema: Schema, where: str = "") -> None:
    """Refuse the rows of sparse and of dense silos together, for whom absent entries are missing.

    Raises
    ------
    SchemaError
    """
    if len(schema.formats) > 1:
        raise SchemaError(
            f"{where}silo {schema.formats[SPARSE]!r}, unlike silo {schema.formats[DENSE]!r}: rows are a sparse matrix, "
            "and what it does not hold is missing, not 0. Give all rows in one form: X.toarray() where it is 0."
        )


def _all_targets(schemas: Sequence[tuple[str, Schema]]) -> int:
    having = [(silo, schema.targets) for silo, schema in schemas if schema.targets] or [("", 1)]
    for silo, targets in having:
        if targets != having[0][1]:
            raise SchemaError(
                f"silo {silo!r}, unlike silo {having[0][0]!r}: y has {targets} columns, not {having[0][1]}."
            )
    return having[0][1]


def _all_labels_by_column(schemas: Sequence[tuple[str, Schema]], targets: int) -> list[list[Label]] | None:
    """The labels of each of several columns, of all silos that hold rows; None where none were asked for."""
    of_silos = [(silo, schema.labels) for silo, schema in schemas if schema.targets > 1]
    if any(labels is None for _, labels in of_silos):
        return None
    columns = [[(silo, labels[column]) for silo, labels in of_silos if labels] for column in range(targets)]
    for place, column in enumerate(columns):
        refuse_mixed_targets(column, f"column {place} of y")
    return [joined_labels(column) for column in columns]


def _all_labels(schemas: Sequence[tuple[str, Schema]]) -> list[Label]:
    of_silos = [(silo, schema.labels) for silo, schema in schemas if schema.labels]
    refuse_mixed_targets(of_silos)
    return joined_labels(of_silos)
