"""Vocabularies: the categories of a column, which a code counts from 0 on.

The server learns the names of those that rows of a silo have, and of others how many there are. A name that must not
reach it needs a neutral one in the silo, or stays there by ``Silo(min_category_rows=)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.labels import Label
from fedtrees.errors import SchemaError


def translated(
    codes: NDArray[np.float32], vocabulary: Sequence[Label], categories: Sequence[Label]
) -> NDArray[np.float32]:
    """Codes of one vocabulary as those of another; unknown ones are the code after its last, NaN stays NaN.

    Examples
    --------
    >>> translated(np.float32([0, 1, 2, np.nan]), ["c", "a", "d"], ["a", "b", "c"])
    array([ 2.,  0.,  3., nan], dtype=float32)
    """
    place = {category: code for code, category in enumerate(categories)}
    new = np.array([place.get(category, len(place)) for category in vocabulary] + [len(place)], np.float32)
    missing = np.isnan(codes)
    old = np.minimum(np.where(missing, 0, codes), len(vocabulary)).astype(np.int64)
    return np.where(missing, np.float32(np.nan), new[old]).astype(np.float32)


def first_unseen(codes: NDArray[np.float32], vocabulary: Sequence[Label], known: Sequence[Label]) -> int | None:
    """The first row whose category is not among the known ones; None where there is none. The missing have none."""
    places = set(known)
    unseen = [code for code, category in enumerate(vocabulary) if category not in places] if vocabulary != known else []
    bad = np.isin(codes, unseen) if unseen else np.zeros(0, bool)
    return int(np.argmax(bad)) if bad.any() else None


def unseen_category(where: str, column: str, category: Label) -> SchemaError:
    """The error for a category that is not among the known ones."""
    return SchemaError(
        f"{where}column {column!r}: category {category!r} was not there in training; make it missing, or train with it."
    )


def agreed_vocabulary(name: str, vocabularies: Sequence[tuple[str, list[Label]]]) -> list[Label]:
    """The categories of a column that any silo has.

    Vocabularies of one type differ in what they leave out only, and keep its codes: a category that no silo has gets a
    name that stands for none. Else categories stand in the order of the longest vocabulary where that has all the
    others in their own order, or sorted: whatever order the silos come in.

    Parameters
    ----------
    name : str
    vocabularies : sequence of (str, list)
        Each silo's name and vocabulary, with None in the place of a category that the silo keeps to itself.

    Raises
    ------
    SchemaError
        If some categories are texts and others numbers, naming a silo of each.

    Examples
    --------
    >>> agreed_vocabulary("size", [("mayo", ["S", "L"]), ("ucla", ["S", "M", "L"])])
    ['S', 'M', 'L']
    >>> agreed_vocabulary("size", [("mayo", ["S", "L"]), ("ucla", ["M", "L"])])
    ['L', 'M', 'S']
    >>> agreed_vocabulary("size", [("mayo", ["S", None, "L", None]), ("ucla", [None, "M", "L", None])])
    ['S', 'M', 'L', '(unused 3)']
    """
    together = _laid_together([vocabulary for _, vocabulary in vocabularies])
    if together is not None:
        return together
    vocabularies = [(silo, [name for name in vocabulary if name is not None]) for silo, vocabulary in vocabularies]
    longest = max((vocabulary for _, vocabulary in vocabularies), key=len)
    if all(vocabulary == longest or _is_part(vocabulary, longest) for _, vocabulary in vocabularies):
        return longest
    texts = {isinstance(category, str): silo for silo, vocabulary in reversed(vocabularies) for category in vocabulary}
    if len(texts) > 1:
        raise SchemaError(
            f"silo {texts[False]!r}, unlike silo {texts[True]!r}: column {name!r} has categories that are numbers, not "
            "texts; make them texts, or numbers, in every silo."
        )
    return sorted({category for _, vocabulary in vocabularies for category in vocabulary})


def _laid_together(vocabularies: Sequence[list[Label]]) -> list[Label] | None:
    """The names that vocabularies of one type have in each place; None if of several types, or of no name at all."""
    if len({len(vocabulary) for vocabulary in vocabularies}) > 1:
        return None
    places = [{category for category in place if category is not None} for place in zip(*vocabularies, strict=True)]
    names = {category for place in places for category in place}
    if not names or any(len(place) > 1 for place in places) or sum(map(len, places)) > len(names):
        return None
    whole = all(type(name) is int for name in names)
    # a file keeps whole numbers in no more bits than the type has: the nearest to 0 that stand for none do for any
    free = (number for size in count(1) for number in (size - 1, -size) if number not in names)
    return [
        place.pop() if place else next(free) if whole else f"(unused {code})" for code, place in enumerate(places)
    ]  # fmt: skip


def _is_part(vocabulary: list[Label], longest: list[Label]) -> bool:
    """Return whether one list is in another, in its own order."""
    rest = iter(longest)
    return all(any(category == other for other in rest) for category in vocabulary)
