"""Weights of classes, as scikit-learn's estimators are given them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from fedtrees.core.numeric.number_checks import is_number
from fedtrees.errors import ParameterError

if TYPE_CHECKING:
    from fedtrees.core.data.labels import Label
    from fedtrees.estimators.common.parameter_types import ClassWeight

MOST_CLASS_WEIGHT = 2.0**64


def check_class_weight(given: object, forest: bool = False, several: bool = False) -> None:
    """Refuse anything but weights of classes, with a `ParameterError`; ``several`` takes a list of them by column."""
    if several and isinstance(given, list) and given and all(isinstance(weights, Mapping) for weights in given):
        for weights in given:
            check_class_weight(weights)
        return
    words = ("balanced", "balanced_subsample") if forest else ("balanced",)
    if given is None or (isinstance(given, str) and given in words):
        return
    if not isinstance(given, Mapping):
        named = ", ".join(map(repr, words))
        raise ParameterError(f"class_weight={given!r}: give {named}, a weight for each label in a dict, or None.")
    for label, weight in given.items():
        if not is_number(weight, 1 / MOST_CLASS_WEIGHT, MOST_CLASS_WEIGHT):
            raise ParameterError(
                f"class_weight={given!r}: label {label!r} weighs {weight!r}; give a number from "
                f"{1 / MOST_CLASS_WEIGHT:g} to {MOST_CLASS_WEIGHT:g}, and leave rows out that are to weigh nothing."
            )


def class_weights(given: ClassWeight, labels: Sequence[Label]) -> tuple[float, ...] | Literal["balanced"] | None:
    """Return the weight of each label: 1 where a dict has none.

    Raises
    ------
    ParameterError
        For labels that y does not hold.
    """
    if given is None:
        return None
    if isinstance(given, str):
        return "balanced"
    refuse_unknown_labels(given, labels, "y")
    return weight_of_each(given, labels)


def refuse_unknown_labels(given: Mapping[Label, float], labels: Sequence[Label], what: str) -> None:
    """Refuse weights of labels that there are not.

    Raises
    ------
    ParameterError
    """
    unknown = [label for label in given if label not in labels]
    if unknown:
        raise ParameterError(f"class_weight names {unknown[0]!r}, which {what} does not hold. Labels: {list(labels)}.")


def weight_of_each(given: Mapping[Label, float], labels: Sequence[Label]) -> tuple[float, ...]:
    """Return the weight of each label, 1 where none is given."""
    return tuple(float(given.get(label, 1.0)) for label in labels)
