"""Names of columns: a frame's labels as texts, and how they differ from those of the training."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from fedtrees.core.data.texts import odd_text
from fedtrees.errors import DataError


def column_names(columns: Iterable[Hashable], where: str = "") -> list[str]:
    """The labels of a frame's columns as texts, whatever they are, as XGBoost writes them.

    Raises
    ------
    DataError
        For labels some of which are texts and others not, that are equal as texts, or that XGBoost takes for no name.

    Examples
    --------
    >>> import pandas as pd
    >>> column_names(pd.RangeIndex(3)), column_names(pd.MultiIndex.from_tuples([("bp", "high"), ("bp", "low")]))
    (['0', '1', '2'], ['bp high', 'bp low'])
    """
    labels: list[Hashable] = list(columns)
    kinds = {type(label).__name__ if not isinstance(label, str) else "str" for label in labels}
    if "str" in kinds and len(kinds) > 1:
        raise DataError(
            f"{where}Feature names are only supported if all input features have string names, but your input has "
            f"{sorted(kinds)} as feature name / column name types. Convert them all to strings, such as "
            "X.columns = X.columns.astype(str)."
        )
    several = getattr(columns, "nlevels", 1) > 1
    names = [" ".join(map(str, label)) if several else str(label) for label in labels]  # type: ignore[call-overload]
    twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    if twice:
        raise DataError(f"{where}column {min(twice)!r} stands twice; give every column its own name.")
    for name in names:
        refuse_name(name, where)
    return names


def refuse_name(name: str, where: str = "") -> None:
    """Refuse a name that no XGBoost model can keep.

    Raises
    ------
    DataError
    """
    if not name or set(name) & set("[]<"):
        raise DataError(f"{where}column {name!r}: XGBoost takes no feature name that is empty or has [, ] or < in it.")
    odd = odd_text(name)
    if odd is not None:
        raise DataError(f"{where}column {name!r} has {odd} in its name, which no model can keep; rename it.")


def are_numbers_from_0(names: Sequence[str]) -> bool:
    """Return whether names are the places of columns, which is what a frame has where none were given.

    Examples
    --------
    >>> are_numbers_from_0(["0", "1"]), are_numbers_from_0(["1", "0"])
    (True, False)
    """
    return all(name == str(place) for place, name in enumerate(names))


def difference(names: Sequence[str], known: Sequence[str]) -> str | None:
    """The first difference between names and the known ones; None without any."""
    if list(names) == list(known):
        return None
    given, expected = set(names), set(known)
    lost = next((name for name in known if name not in given), None)
    if lost is not None:
        return f"column {lost!r} is missing"
    more = next((name for name in names if name not in expected), None)
    if more is not None:
        return f"column {more!r} is one too many"
    first = next(a for a, b in zip(known, names, strict=True) if a != b)
    return f"the columns stand in another order, from {first!r} on"
