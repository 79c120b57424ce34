"""Categories as an XGBoost model keeps them, so that a Booster finds its codes in any frame by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import xgboost
from numpy.typing import NDArray

from fedtrees.core.data.labels import Label
from fedtrees.core.notices import warn_caller
from fedtrees.errors import DataError
from fedtrees.export.objectives import Json

MOST_CATEGORIES = 65_533  # bins are numbered in 16 bits, with one for the missing and one for the unknown
_KIND_OF_ARRAY = {8: 9, 16: 11, 32: 13, 64: 15}  # XGBoost's numbers for arrays of integers, by their bits
_LARGEST = np.iinfo(np.int64).max


def check_categories(categories: Mapping[str, Sequence[Label]]) -> None:
    """Refuse categories that no XGBoost model can keep.

    Raises
    ------
    DataError
        Naming the column: for categories that are neither texts nor whole numbers, or some the one and some the other,
        or too many.
    """
    for name, names in categories.items():
        odd = [each for each in names if not isinstance(each, str) and (type(each) is not int or abs(each) > _LARGEST)]
        if odd:
            raise DataError(
                f"column {name!r} has the category {odd[0]!r}, which an XGBoost model cannot keep; make its categories "
                "texts or whole numbers."
            )
        if len({type(each) for each in names}) > 1:
            raise DataError(f"column {name!r} has texts and numbers for categories; make them all texts, or numbers.")
        written = _written(names)
        if len(set(written)) < len(written):
            warn_caller(
                f"column {name!r}: of its categories beyond ASCII, XGBoost's frames tell some not apart; this package "
                "predicts them right, and plain XGBoost their codes."
            )
        if len(names) > MOST_CATEGORIES:
            raise DataError(
                f"column {name!r} has {len(names)} categories; {MOST_CATEGORIES} are the most. Join rare ones, or make "
                "it a number."
            )


def encoded(vocabularies: Sequence[Sequence[Label] | None], widths: Sequence[int] | None = None) -> dict[str, object]:
    """The vocabulary of each feature, None of numbers, as XGBoost 3.2 writes them; nothing where none has any.

    Parameters
    ----------
    vocabularies : sequence of (sequence or None)
    widths : sequence of int, optional
        Of each feature, the bits of its categories where they are whole numbers; without, 64.
    """
    if not any(vocabularies):
        return {"enc": [], "feature_segments": [], "sorted_idx": []}
    each = [_written(vocabulary or ()) for vocabulary in vocabularies]
    return {
        "enc": [_column(names, bits) for names, bits in zip(each, widths or [64] * len(each), strict=True)],
        "feature_segments": np.cumsum([0, *map(len, each)]).astype(">i4"),
        "sorted_idx": np.concatenate([_order(names) for names in each]).astype(">i4"),
    }


# of texts only, or of numbers only, which no type of a list's entries is
def _written(vocabulary: Sequence[Any]) -> list[Label | bytes]:
    """Numbers, or the bytes of texts as XGBoost cuts them out of a pandas frame: it counts characters, not bytes.

    For texts beyond ASCII the pieces are not the names, but a frame is cut in the same way when it predicts.
    """
    if not vocabulary or not isinstance(vocabulary[0], str):
        return list(vocabulary)
    data, ends = "".join(vocabulary).encode(), np.cumsum([0, *map(len, vocabulary)]).tolist()
    return [data[start:end] for start, end in pairwise(ends)]


def _column(names: list[Any], bits: int) -> dict[str, object]:  # as `_written` has them
    if names and not isinstance(names[0], bytes):
        return {"type": _KIND_OF_ARRAY[bits], "values": np.array(names, f">i{bits // 8}")}
    offsets = np.cumsum([0, *map(len, names)]) if names else np.zeros(0)
    return {"offsets": offsets.astype(">i4"), "values": np.frombuffer(b"".join(names), "i1")}


def _order(names: list[Label | bytes]) -> list[int]:
    """The codes in the order of their categories; to XGBoost, bytes are signed."""
    keys = [np.frombuffer(each, np.int8).tolist() if isinstance(each, bytes) else each for each in names]
    return sorted(range(len(names)), key=keys.__getitem__)


def vocabularies_of(booster: xgboost.Booster) -> list[list[Label]]:
    """The vocabulary of each feature of a model; empty of numbers, and of codes that came without one.

    Raises
    ------
    DataError
        For names that are not as they were: see `_written`.
    """
    model = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]
    written = model.get("model", {}).get("cats", {}).get("enc", [])
    return [_names(column) for column in written] or [[] for _ in range(booster.num_features())]


def _names(column: Json) -> list[Label]:
    if "offsets" not in column:
        return list(column["values"])
    text: NDArray[np.int8] = np.array(column["values"], np.int8)
    data, ends = text.tobytes(), column["offsets"]
    try:
        return [data[start:end].decode() for start, end in pairwise(ends)]
    except UnicodeDecodeError as error:
        raise DataError("a model of categories beyond ASCII, whose names XGBoost did not keep; use XGBoost.") from error
