"""Columns of categories in the codes of another vocabulary, such as the one that all silos agree on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec

from fedtrees.core.data.categories import translated
from fedtrees.core.data.labels import Label
from fedtrees.core.data.table import Table


def recoded(table: Table, categories: Mapping[str, list[Label]]) -> Table:
    """The same rows by codes that count these categories; nothing is copied where they do already."""
    schema, vocabularies = table.schema, table.schema.categories
    if vocabularies == categories:
        return table
    X = table.X.copy(order="K")
    for place, name in enumerate(schema.names):
        if name in vocabularies and vocabularies[name] != categories.get(name):
            X[:, place] = translated(X[:, place], vocabularies[name], categories.get(name, []))
    return replace(table, X=X, schema=msgspec.structs.replace(schema, categories=dict(categories)))
