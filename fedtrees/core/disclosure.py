"""Names of categories that a silo keeps to itself: those that none of its rows has, or too few."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from fedtrees.core.table import Schema, Table


def rows_by_category(tables: Sequence[Table]) -> dict[str, dict[Any, int]]:
    """Count the rows of each category of each category column, over the tables of one silo."""
    counts: dict[str, dict[Any, int]] = {}
    for table in tables:
        for name, categories in table.schema.categories.items():
            column = table.X[:, table.schema.names.index(name)]
            codes = column if table.order is None else column[table.order]
            codes = codes[~np.isnan(codes)].astype(np.int64)
            rows = np.bincount(codes, minlength=len(categories))
            of_column = counts.setdefault(name, {})
            for category, n in zip(categories, rows.tolist(), strict=False):
                of_column[category] = of_column.get(category, 0) + n
    return counts


def withhold_rare(tables: Sequence[Table], least: int) -> None:
    """Make values missing whose category fewer rows of a silo have than ``least``; changes the tables' rows."""
    counts = rows_by_category(tables)
    for table in tables:
        for name, categories in table.schema.categories.items():
            column = table.X[:, table.schema.names.index(name)]
            rare = [code for code, category in enumerate(categories) if counts[name][category] < least]
            column[np.isin(column, rare)] = np.nan


def disclosed(schema: Schema, tables: Sequence[Table]) -> Schema:
    """The schema as others see it: None in the place of each category that no row of these tables has.

    Places stay, so that silos whose columns are of one type agree on codes without its unused names.

    Parameters
    ----------
    schema : Schema
    tables : sequence of Table
        All that the silo holds, evaluation sets included.
    """
    if not schema.categories:
        return schema
    counts = rows_by_category(tables)
    shown = {
        name: [category if counts[name].get(category) else None for category in categories]
        for name, categories in schema.categories.items()
    }
    return msgspec.structs.replace(schema, categories=shown)
