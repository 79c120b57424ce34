"""Monotone constraints as scikit-learn's trees are given them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from fedtrees.core.data.table import Schema
from fedtrees.errors import ParameterError
from fedtrees.trees.server.constraints import Constraints

if TYPE_CHECKING:
    from fedtrees.estimators.common.parameter_types import Directions


def check_directions(given: Directions) -> None:
    """Refuse anything but directions, before anything is read.

    Raises
    ------
    ParameterError
    """
    if given is None:
        return
    each = list(given.values()) if isinstance(given, Mapping) else given
    if isinstance(each, str) or np.ndim(each) != 1:
        raise ParameterError(f"monotonic_cst={given!r}: give 1, 0 or -1 for each feature, or None.")
    wrong = [direction for direction in each if isinstance(direction, str) or direction not in (-1, 0, 1)]
    if wrong:
        raise ParameterError(f"monotonic_cst: a direction is 1, 0 or -1, not {wrong[0]!r}.")


def directions_of(given: Directions, schema: Schema) -> Constraints | None:
    """The constraints of directions by place or by name; names that are left out have none.

    Raises
    ------
    ParameterError
        For others than the features, and for more than two classes.

    Examples
    --------
    >>> schema = Schema(["age", "dose"], ["number"] * 2, {}, named=True)
    >>> directions_of({"dose": -1}, schema).direction.tolist()
    [0, -1]
    """
    if given is None:
        return None
    if len(schema.labels or ()) > 2:
        raise ParameterError(f"monotonic_cst: y holds {len(schema.labels or ())} classes; directions are for two.")
    if isinstance(given, Mapping):
        unknown = [name for name in given if name not in schema.names]
        if unknown:
            raise ParameterError(f"monotonic_cst: {unknown[0]!r} is none of the features.")
        given = [given.get(name, 0) for name in schema.names]
    directions = np.asarray(given, np.int8)
    if len(directions) != len(schema.names):
        raise ParameterError(f"monotonic_cst has {len(directions)} directions, and X has {len(schema.names)} features.")
    return Constraints(directions)
