"""Bytes that silos' schemas take, for the ledger: names of columns, of categories and of classes leave a silo, too."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.labels import Label
from fedtrees.core.data.record import encode
from fedtrees.core.data.table import Schema, Table
from fedtrees.core.data.table_targets import places_of, places_of_columns
from fedtrees.core.protocol.ledger import Amount, grouped, groups_of


def sizes_of(schemas: Sequence[Schema]) -> Amount:
    """Bytes of each schema."""
    return grouped(*groups_of(np.array([len(encode(schema)) for schema in schemas], np.int64)))


def sizes_by_silo(schema: Schema, table: Table) -> Amount:
    """Bytes of the schema of each of a table's silos, with those of the labels that its rows have.

    Law: `sizes_of` the schemas that the silos would send one by one.

    Parameters
    ----------
    schema : Schema
        Of the table.
    table : Table
    """
    bare = msgspec.structs.replace(schema, labels=None)
    full, empty = (len(encode(msgspec.structs.replace(bare, targets=n))) for n in (table.n_targets, 0))
    rows = np.diff(table.starts)
    sizes = np.where(rows > 0, full, empty).astype(np.int64)
    if schema.labels is None:
        return grouped(*groups_of(sizes))
    sizes -= 1  # in place of the one byte of None
    if table.y.ndim == 1:
        sizes += _sizes_of_labels(schema.labels, places_of(table, schema.labels), rows)
        return grouped(*groups_of(sizes))
    sizes += _head_sizes(np.array([len(schema.labels)]))
    for labels, places in zip(schema.labels, places_of_columns(table, schema.labels).T, strict=True):
        sizes += _sizes_of_labels(labels, places, rows)
    return grouped(*groups_of(sizes))


def _sizes_of_labels(labels: list[Label], places: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes of the list of each silo's labels, int64 (silos,), given the places of those of its rows."""
    n_labels = len(labels)
    pairs = np.repeat(np.arange(len(rows)) * n_labels, rows) + places.astype(np.int64)
    silo, label = np.divmod(np.unique(pairs), n_labels)
    of_label = np.array([len(msgspec.msgpack.encode(name)) for name in labels], np.int64)
    sizes = _head_sizes(np.bincount(silo, minlength=len(rows)))
    np.add.at(sizes, silo, of_label[label])
    return sizes


def _head_sizes(n: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes of the head of a list in msgpack, which holds the number of its entries."""
    return np.where(n < 16, 1, np.where(n < 2**16, 3, 5))
