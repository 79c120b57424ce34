"""The errors of fedtrees.

FedTreesError
├── DataError (ValueError)          a silo's table cannot be used as it is
│   ├── DataTypeError (TypeError)   a cell is neither a number nor something that stands for one
│   └── SchemaError                 two silos' tables do not fit together
├── ParameterError (ValueError)     a parameter's name, type or range
│   └── ArgumentError (TypeError)   an argument that there is not, or one by place that goes by name
├── DivergenceError (ArithmeticError) a network's loss or parameters are no longer finite
├── HeadroomError (OverflowError)   a sum could leave its integers; nothing was sent
├── ProtocolError                   a message that does not belong here
├── SiloLostError (ConnectionError) a silo did not answer
└── MissingExtraError (ImportError) an optional dependency is not installed
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "ArgumentError",
    "DataError",
    "DataTypeError",
    "DivergenceError",
    "FedTreesError",
    "HeadroomError",
    "MissingExtraError",
    "ParameterError",
    "ProtocolError",
    "SchemaError",
    "SiloLostError",
]


class FedTreesError(Exception):
    """The root of all errors raised here."""


class DataError(FedTreesError, ValueError):
    """A silo's table that cannot be used as it is."""


class DataTypeError(DataError, TypeError):
    """A cell, an array or a model of a type that does not serve here."""


class SchemaError(DataError):
    """Tables of two silos that do not fit together."""


class ParameterError(FedTreesError, ValueError):
    """A parameter with a value that means nothing."""


class ArgumentError(ParameterError, TypeError):
    """An argument that there is not, or one by place that goes by name."""


class DivergenceError(FedTreesError, ArithmeticError):
    """A network whose loss or parameters grew out of all bounds; the model of the round before is kept."""


class HeadroomError(FedTreesError, OverflowError):
    """A sum that could leave the integers that carry it. Raised before anything is sent."""


class ProtocolError(FedTreesError):
    """A message that does not belong to this run, or cannot be read."""


class SiloLostError(FedTreesError, ConnectionError):
    """A silo that did not answer."""


class MissingExtraError(FedTreesError, ImportError):
    """An optional dependency that is not installed."""


MOST_SHOWN = 16  # known words beside a guess


def unknown_value(what: str, value: object, known: Iterable[str]) -> ParameterError:
    """The error for a word that is not one of the known ones; it names the nearest.

    Examples
    --------
    >>> print(unknown_value("weighting", "row", ["rows", "equal"]))
    weighting='row' is not known: did you mean 'rows'? Known: 'equal', 'rows'.
    """
    names = sorted(known)
    near = get_close_matches(str(value), names, n=1)
    hint = f": did you mean {near[0]!r}?" if near else "."
    if near and len(names) > MOST_SHOWN:  # a list so long would hide it
        return ParameterError(f"{what}={value!r} is not known{hint}")
    return ParameterError(f"{what}={value!r} is not known{hint} Known: {', '.join(map(repr, names))}.")
