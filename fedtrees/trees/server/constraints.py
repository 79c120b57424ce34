"""Constraints of trees: monotone features, and features that may meet on a path."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtrees.errors import ParameterError

Monotone = str | Sequence[int] | Mapping[str, int] | None
Interactions = str | Sequence[Sequence[str | int]] | None


@dataclass(frozen=True, eq=False)
class Constraints:
    """Features that are monotone, and features that may meet on a path from the root; meanings are XGBoost's.

    Attributes
    ----------
    direction : int8 (features,)
        1 where predictions must not fall with a feature, -1 where they must not rise, else 0.
    groups : tuple of frozenset of int, optional
        Features that may meet; None where all may.
    """

    direction: NDArray[np.int8]
    groups: tuple[frozenset[int], ...] | None = None

    @staticmethod
    def of(monotone: Monotone, interactions: Interactions, names: Sequence[str]) -> Constraints:
        """Read XGBoost's ``monotone_constraints`` and ``interaction_constraints``.

        Parameters
        ----------
        monotone : sequence of int, str or dict of str to int, optional
            A direction for each feature, such as ``(1, -1)`` or ``"(1,-1)"``; features that are left out have none.
        interactions : list of lists of feature names or places, or their JSON, optional
        names : sequence of str
            The features.

        Raises
        ------
        ParameterError
            For a direction other than -1, 0 and 1, and for a feature that there is not.

        Examples
        --------
        >>> constraints = Constraints.of({"age": 1}, [["age", "sex"], [1, 2]], ["age", "sex", "dose"])
        >>> constraints.direction.tolist(), [sorted(group) for group in constraints.groups]
        ([1, 0, 0], [[0, 1], [1, 2]])
        """
        return Constraints(directions(monotone, names), _groups(interactions, names))

    def params(self) -> dict[str, str]:
        """Return the parameters by XGBoost's names and features' places, for XGBoost's training."""
        given = {"monotone_constraints": f"({','.join(map(str, self.direction.tolist()))})"}
        if self.groups is not None:
            given["interaction_constraints"] = json.dumps([sorted(group) for group in self.groups])
        return given

    @cached_property
    def is_monotone(self) -> bool:
        """Return whether any feature has a direction."""
        return bool(self.direction.any())

    def allowed(self, used: frozenset[int]) -> NDArray[np.bool_]:
        """The features that a node may ask for below these: the used ones, and those of groups with all of them."""
        if not used:
            return np.ones(len(self.direction), bool)
        may = np.zeros(len(self.direction), bool)
        for group in (used, *(group for group in self.groups or () if used <= group)):
            may[list(group)] = True
        return may


def directions(monotone: Monotone, names: Sequence[str]) -> NDArray[np.int8]:
    """Read XGBoost's ``monotone_constraints``: int8 (features,); see `Constraints.of`."""
    given: Any = monotone  # or what a text of it has, which may be anything
    if isinstance(given, str):
        try:
            given = json.loads(f"[{given.strip().strip('()').rstrip(',')}]")
        except ValueError:
            raise ParameterError(f"monotone_constraints={monotone!r}: write it like '(1,0,-1)'.") from None
    if isinstance(given, Mapping):
        unknown = [name for name in given if name not in names]
        if unknown:
            raise ParameterError(f"monotone_constraints: {unknown[0]!r} is none of the features.")
        given = [given.get(name, 0) for name in names]
    if given is not None and (not hasattr(given, "__len__") or len(given) > len(names)):
        raise ParameterError(f"monotone_constraints={monotone!r}: give a direction for each of {len(names)} features.")
    direction = np.zeros(len(names), np.int8)
    for place, sign in enumerate(() if given is None else given):
        if not isinstance(sign, Integral) or sign not in (-1, 0, 1):
            raise ParameterError(f"monotone_constraints: a direction is 1, 0 or -1, not {sign!r}.")
        direction[place] = sign
    return direction


def _groups(interactions: Interactions, names: Sequence[str]) -> tuple[frozenset[int], ...] | None:
    """Read XGBoost's ``interaction_constraints``; see `Constraints.of`."""
    given: Any = interactions  # see above
    if isinstance(given, str):
        try:
            given = json.loads(given) if given.strip() else None
        except ValueError:
            raise ParameterError(f"interaction_constraints={interactions!r}: write it like '[[0, 1], [2]]'.") from None
    if given is None:
        return None
    if isinstance(given, Mapping) or not hasattr(given, "__len__"):
        raise ParameterError("interaction_constraints: give a list of lists of features.")
    known = {name: place for place, name in enumerate(names)}
    groups = []
    for features in given:
        if isinstance(features, str) or not hasattr(features, "__len__"):
            raise ParameterError("interaction_constraints: give a list of lists of features.")
        places = [known.get(each, -1) if isinstance(each, str) else each for each in features]
        for each, place in zip(features, places, strict=True):
            if not isinstance(place, Integral) or not 0 <= int(place) < len(names):
                raise ParameterError(f"interaction_constraints: {each!r} is none of the features.")
        groups.append(frozenset(int(place) for place in places))
    return tuple(groups)
