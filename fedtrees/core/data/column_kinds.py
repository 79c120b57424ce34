"""Columns that hold no numbers: the kind of their values, and advice on how to convert them."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping
from decimal import Decimal
from itertools import islice
from numbers import Number
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

MOST_NAMED = 8  # columns in one error
_LOOKED_AT = 1000  # values of a column
_LABEL_SHOWN = 60  # characters

# what to do with a column of a frame, {} being the column, and with one of an array
_FRAME = {
    "dates": "take a part of it, such as {}.dt.year, or the days since a day, ({} - t0).dt.days",
    "objects of dates": "after pd.to_datetime({}), take a part of it, such as .dt.year, or the days since a day",
    "periods": "take a part of it, such as {}.dt.year",
    "durations": "take {}.dt.days, or {}.dt.total_seconds()",
    "objects of durations": "take pd.to_timedelta({}).dt.days, or .dt.total_seconds()",
    "numbers": "make it numbers by pd.to_numeric({})",
    "texts": "make it category ({} = {}.astype('category')) or number",
    "bytes": "make it texts by {}.str.decode('utf-8'), and those category",
    "complex": "take {}.abs(), or its real and its imaginary part as two columns",
    "nested": "give each of their entries a column",
    "others": "make it category, of texts, or number",
}
_ARRAY = dict.fromkeys(_FRAME, "make it category, in a DataFrame, or number") | {
    "objects of dates": "take its year, or the days since a day",
    "objects of durations": "make it days, or seconds",
    "nested": _FRAME["nested"],
}


class NoNumbers(NamedTuple):
    """The kind of values that a column holds instead of numbers.

    Attributes
    ----------
    kind : str
    shown : str
        Its type, or a value of it.
    how : str
        What to do, ``{}`` being the column.
    """

    kind: str
    shown: str
    how: str


def no_numbers(column: pd.Series) -> NoNumbers | None:
    """The kind of values that a column of a frame holds instead of numbers; None of numbers, or of nothing at all.

    Examples
    --------
    >>> import pandas as pd
    >>> no_numbers(pd.Series([1.5, None], dtype=object))
    NoNumbers(kind='numbers', shown='objects such as 1.5', how='make it numbers by pd.to_numeric({})')
    """
    dtype = str(column.dtype)
    kind = str(getattr(column.dtype, "kind", "O"))
    if kind in "buif":
        return None
    typed = {"M": "dates", "m": "durations", "c": "complex"}.get(kind)
    if typed is None and dtype.startswith("period"):
        typed = "periods"
    present = column[~column.isna()]
    if not len(present) and typed is None:
        return None
    if typed is not None:
        return NoNumbers(typed, dtype, _FRAME[typed])
    return _found(present.iloc[:_LOOKED_AT].tolist(), _FRAME)


def no_numbers_in(values: Iterable[Any]) -> NoNumbers | None:  # objects of the user's
    """`no_numbers` of a column of an array of objects, where numbers are read as such."""
    present = list(islice((value for value in values if not is_missing(value)), _LOOKED_AT))
    if not present:
        return None
    found = _found(present, _ARRAY)
    if found.kind == "numbers" and not any(isinstance(value, str) for value in present):
        return None
    try:
        float(next(value for value in present if not isinstance(value, Number | np.bool_)))
    except TypeError as error:  # with Python's text, which scikit-learn's checks look for
        found = found._replace(shown=f"{found.shown} ({error})")
    except ValueError:
        pass
    return found


def _found(values: list[object], how: Mapping[str, str]) -> NoNumbers:
    kind, value = _kind(values)
    plain = value.item() if isinstance(value, np.generic) else value
    shown = repr(plain) if len(repr(plain)) < _LABEL_SHOWN else f"{repr(plain)[:_LABEL_SHOWN]}..."
    what = "texts" if isinstance(value, str) else "objects"
    return NoNumbers(kind, f"{what} such as {shown}", how[kind])


def _kind(values: list[object]) -> tuple[str, object]:
    """The kind of values, by the first that is no number, and that one."""
    odd = next((value for value in values if not isinstance(value, Number | np.bool_)), values[0])
    if all(_is_number(value) for value in values):
        return "numbers", odd
    match odd:
        case str():
            return "texts", odd
        case bytes():
            return "bytes", odd
        case datetime.timedelta() | np.timedelta64():
            return "objects of durations", odd
        case datetime.date() | np.datetime64():
            return "objects of dates", odd
        case list() | tuple() | set() | Mapping() | np.ndarray():
            return "nested", odd
        case complex() | np.complexfloating():
            return "complex", odd
    return "others", odd


def _is_number(value: Any) -> bool:  # an object of the user's, which float may take or not
    """Return whether this is a number, or a text that reads as one."""
    try:
        float(value)
    except (TypeError, ValueError, OverflowError):
        return isinstance(value, int | Decimal)
    return isinstance(value, Number | np.bool_ | str)


def is_missing(value: object) -> bool:
    """Return whether a value of an array of objects stands for none."""
    import pandas as pd

    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)


def all_of(wrong: Mapping[str, NoNumbers], labels: Mapping[str, object]) -> str:
    """One text about all columns that hold no numbers; those that need the same are named together.

    Parameters
    ----------
    wrong : mapping of str to NoNumbers
    labels : mapping of str to label
        What each column is called in X.

    Examples
    --------
    >>> dates = NoNumbers("dates", "datetime64[us]", "take {}.dt.year")
    >>> all_of({"a": dates, "b": dates}, {"a": "a", "b": "b"})
    "columns 'a', 'b' hold datetime64[us], not numbers: take X['a'].dt.year."
    """
    alike: dict[str, list[str]] = {}
    for name, what in wrong.items():
        alike.setdefault(what.how, []).append(name)
    texts = []
    for how, names in alike.items():
        rest = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        hold = (
            f"columns {', '.join(map(repr, names[:MOST_NAMED]))}{rest} hold"
            if len(names) > 1
            else (f"column {names[0]!r} holds")
        )
        advice = how.replace("{}", f"X[{labels.get(names[0])!r}]")
        texts.append(f"{hold} {wrong[names[0]].shown}, not numbers: {advice}")
    return "; ".join(texts) + "."
