"""Bytes that silos' schemas take, for the ledger: names of columns, of categories and of classes leave a silo, too."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedtrees.core.ledger import Amount, Grouped
from fedtrees.core.record import encode
from fedtrees.core.table import Schema, Table
from fedtrees.core.target import places_of


def sizes_of(schemas: Sequence[Schema]) -> Amount:
    """Bytes of each of these schemas."""
    return grouped(np.array([len(encode(schema)) for schema in schemas], np.int64))


def sizes_by_silo(schema: Schema, table: Table) -> Amount:
    """Bytes of the schema of each of a table's silos, with those of the labels that its rows have.

    Law: what `sizes_of` says of the schemas that the silos would give one by one.

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
        return grouped(sizes)
    n_labels = len(schema.labels)
    pairs = np.repeat(np.arange(len(rows)) * n_labels, rows) + places_of(table, schema.labels).astype(np.int64)
    silo, label = np.divmod(np.unique(pairs), n_labels)
    of_label = np.array([len(msgspec.msgpack.encode(name)) for name in schema.labels], np.int64)
    np.add.at(sizes, silo, of_label[label])
    return grouped(sizes - 1 + _head_sizes(np.bincount(silo, minlength=len(rows))))  # in place of the one byte of None


def _head_sizes(n: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bytes that msgpack takes to say how many entries a list has."""
    return np.where(n < 16, 1, np.where(n < 2**16, 3, 5))


def grouped(sizes: NDArray[np.int64]) -> Amount:
    """An amount for each silo: one number where all are the same."""
    different, group = np.unique(sizes, return_inverse=True)
    if len(different) == 1:
        return int(different[0])
    return Grouped(different, group.astype(np.min_scalar_type(len(different))))
