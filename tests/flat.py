"""Records that hold trees, by the trees' arrays as if they were the records' own: what tests bend one by one."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from fedtrees.trees.model.flat_trees import FlatTrees

ARRAYS = FlatTrees.__struct_fields__


def of_trees(kind: type, **fields: Any) -> Any:
    """A record of a kind; one tree ends with its nodes where nothing else is said."""
    trees = {name: fields.pop(name) for name in ARRAYS if name in fields}
    trees.setdefault("ends", np.int32([len(trees["feature"])]))
    return kind(trees=FlatTrees(**trees), **fields)


def changed(record: Any, **fields: Any) -> Any:
    """The record with other fields, or other arrays of its trees."""
    trees = {name: fields.pop(name) for name in ARRAYS if name in fields and hasattr(record, "trees")}
    if trees:
        fields["trees"] = msgspec.structs.replace(record.trees, **trees)
    return msgspec.structs.replace(record, **fields)
