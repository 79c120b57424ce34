"""Labels, targets and ids of every type that a column may have, and the containers that they come in: for laws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow
from hypothesis import strategies as st

Wrap = Callable[[list[Any]], Any]


def objects(values: list[Any]) -> Any:
    """An array of the very objects."""
    array = np.empty(len(values), object)
    array[:] = values
    return array


PLAIN: dict[str, Wrap] = {
    "list": list,
    "objects": objects,
    "tuple": tuple,
    "Series": lambda v: pd.Series(objects(v), dtype=object),
}


def whole(dtype: str) -> dict[str, Wrap]:
    """The containers of whole numbers of a width."""
    own = {
        "array": lambda v: np.array(v, dtype),
        "Series": lambda v: pd.Series(np.array(v, dtype)),
        "nullable": lambda v: pd.array(v, dtype=np.dtype(dtype).name.replace("u", "U").replace("int", "Int")),
        "arrow": lambda v: pd.Series(v, dtype=pd.ArrowDtype(pyarrow.from_numpy_dtype(np.dtype(dtype)))),
        "polars": lambda v: pl.Series(np.array(v, dtype)),
        "categories": lambda v: pd.Categorical(np.array(v, dtype)),
    }
    return PLAIN | own


TEXT: dict[str, Wrap] = PLAIN | {
    "array": np.array,
    "strings": lambda v: np.array(v, np.dtypes.StringDType()),
    "nullable": lambda v: pd.array(v, dtype="string"),
    "polars": pl.Series,
    "categories": pd.Categorical,
}
BOOLEANS: dict[str, Wrap] = PLAIN | {
    "array": np.array, "nullable": lambda v: pd.array(v, dtype="boolean"), "categories": pd.Categorical,
}  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """Values of one type.

    Attributes
    ----------
    pool : sequence
        Values that are not equal.
    wraps : dict of str to callable
        What they may come in.
    """

    pool: Sequence[Any]
    wraps: dict[str, Wrap]


def _ends(dtype: str) -> Kind:
    info = np.iinfo(dtype)
    return Kind(list(dict.fromkeys([info.min, info.max, info.max - 1, 0, 1, info.min + 1])), whole(dtype))


def _floats(dtype: str, *pool: float) -> Kind:
    return Kind(
        pool, PLAIN | {"array": lambda v: np.array(v, dtype), "Series": lambda v: pd.Series(np.array(v, dtype))}
    )


KINDS: dict[str, Kind] = {
    **{f"{sign}{width}": _ends(f"{sign}{width}") for sign in "iu" for width in (1, 2, 4, 8)},
    "around 2**53": Kind([2**53 - 1, 2**53, 2**53 + 1, 2**53 + 2, -(2**53) - 1, -(2**53)], whole("i8")),
    "mixed sign": Kind([-1, 2**63, 2**64 - 1, -(2**63), 0, 1], PLAIN),
    "beyond 64 bits": Kind([2**64, -(2**63) - 1, 0, 1, 2**70], PLAIN),
    "half floats": _floats("f2", 0.0, 1.0, -1.0, 2.0),
    "single floats": _floats("f4", 0.0, -1.0, 2.0**24, -(2.0**24)),
    "floats": _floats("f8", 0.0, 1.0, -3.0, 1e300, 2.0**53),
    "long floats": _floats("g", 0.0, 1.0, 2.0, 3.0),
    "booleans": Kind([False, True], BOOLEANS),
    "texts": Kind(["ill", "well", "", " ", "a\nb", "\U0001f3e5", "x" * 300, "1"], TEXT),
    "NUL": Kind(["a", "a\0", "a\0b"], PLAIN),
    "surrogates": Kind(["a", "a\ud800", "\udfff"], PLAIN),
    "bytes": Kind([b"a", b"b", b"\xff"], PLAIN | {"array": np.array}),
    "decimals": Kind([Decimal(1), Decimal(2), Decimal("0.5")], PLAIN),
    "fractions": Kind([Fraction(1), Fraction(2), Fraction(5)], PLAIN),
    "equal numbers": Kind([1, 1.0, True, 0, Decimal("1"), Decimal("1.0")], PLAIN),
    "numbers and texts": Kind([1, "1", 2.0, "a"], {"objects": objects}),
    "whole numbers and floats": Kind([2**53 + 1, 0.0, 1, 2.0], PLAIN),
    "dates": Kind([np.datetime64("2020-01-01"), np.datetime64("2021-01-01")], PLAIN | {"array": np.array}),
    "tuples": Kind([(1, 2), (3, 4)], {"objects": objects}),
}


@dataclass(frozen=True)
class Drawn:
    """A column of a kind, whose rows several owners may give in containers of their own."""

    kind: str
    pool: list[Any]
    codes: list[int]
    wraps: list[str]

    def of(self, rows: Any = slice(None), owner: int = 0) -> Any:
        """Some of the rows, in an owner's container."""
        values = [self.pool[code] for code in np.array(self.codes)[rows]]
        return KINDS[self.kind].wraps[self.wraps[owner % len(self.wraps)]](values)


@st.composite
def columns(draw: st.DrawFn, n: int, most: int = 3, kinds: Sequence[str] = tuple(KINDS), owners: int = 3) -> Drawn:
    """A column of ``n`` rows in which two values or more occur, in any order."""
    kind = draw(st.sampled_from(sorted(kinds)), label="kind")
    pool = KINDS[kind].pool
    take = min(most, len(pool))
    values = draw(st.lists(st.sampled_from(range(len(pool))), min_size=2, max_size=take, unique=True), label="values")
    first = draw(st.permutations(range(len(values))))
    rest = draw(st.lists(st.sampled_from(range(len(values))), min_size=n - len(values), max_size=n - len(values)))
    wraps = draw(st.lists(st.sampled_from(sorted(KINDS[kind].wraps)), min_size=owners, max_size=owners), label="in")
    return Drawn(kind, [pool[place] for place in values], [*first, *rest], wraps)
