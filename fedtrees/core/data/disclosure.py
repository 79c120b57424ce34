"""Names of categories that a silo keeps to itself: those that none of its rows has, or too few."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.labels import Label
from fedtrees.core.data.table import Schema, Table


def withhold_rare(tables: Sequence[Table], least: int) -> None:
    """Make values missing whose category fewer rows of a silo have than ``least``; changes the tables' rows."""
    counts: dict[tuple[str, Label], int] = {}
    for name, categories, codes in _columns(tables):
        rows = np.bincount(codes[~np.isnan(codes)].astype(np.int64), minlength=len(categories)).tolist()
        for category, n in zip(categories, rows, strict=True):
            counts[name, category] = counts.get((name, category), 0) + n
    for table in tables:
        for name, categories in table.schema.categories.items():
            column = table.X[:, table.schema.names.index(name)]
            rare = [code for code, category in enumerate(categories) if counts[name, category] < least]
            column[np.isin(column, rare)] = np.nan


def _columns(tables: Sequence[Table]) -> Iterator[tuple[str, list[Label], NDArray[np.float32]]]:
    """The category columns of tables: their names, categories, and the rows' codes."""
    for table in tables:
        for name, categories in table.schema.categories.items():
            column = table.X[:, table.schema.names.index(name)]
            yield name, categories, column if table.order is None else column[table.order]


def disclosed(schema: Schema, tables: Sequence[Table]) -> Schema:
    """The schema as others see it: None in the place of each category that no row of these tables has.

    Places stay, so that silos whose columns are of one type agree on codes without its unused names.

    Parameters
    ----------
    schema : Schema
    tables : sequence of Table
        All that the silo holds, evaluation sets included.
    """
    used: set[tuple[str, Label]] = set()
    for table in tables:
        for name, categories in table.schema.categories.items():
            codes = np.unique(table.X[:, table.schema.names.index(name)])  # of rows that weigh nothing, too
            used.update((name, categories[int(code)]) for code in codes[~np.isnan(codes)])
    shown = {
        name: [category if (name, category) in used else None for category in categories]
        for name, categories in schema.categories.items()
    }
    return msgspec.structs.replace(schema, categories=shown)
