"""The check of a silo that a personal model is made for."""

from __future__ import annotations

import msgspec

from fedtrees.core.data.table import Schema, agree
from fedtrees.core.protocol.silo import Silo
from fedtrees.errors import ParameterError


def check_personal(schema: Schema, silo: Silo) -> None:
    """Refuse anything but a silo with the model's columns.

    Raises
    ------
    ParameterError, SchemaError
    """
    if not isinstance(silo, Silo):
        raise ParameterError(f"silo: give a fedtrees.Silo, and not a {type(silo).__name__}.")
    agree([("training", msgspec.structs.replace(schema, labels=None)), (silo.name, silo.schema(False))])
