"""A number for every silo, given by its name or by its place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtrees.core.data.labels import Label
from fedtrees.errors import ParameterError

__all__ = ["BySilo"]


@dataclass(frozen=True)
class BySilo:
    """A number for every silo of a federation.

    Attributes
    ----------
    numbers : tuple of float
        In the order of the federation's silos, or of ``names``.
    names : tuple of str, optional
        The silo of each; None where they were given by place.
    what : str
        Named in errors.
    """

    numbers: tuple[float, ...]
    names: tuple[str, ...] | None
    what: str

    @classmethod
    def read(cls, given: Any, what: str, least: float = 0.0, most: float = math.inf) -> BySilo:
        """Read a dict or a Series by silo name, or a sequence by place, of whatever a user gives.

        Names are sorted, as ``fit(X, y, silos=...)`` sorts silos; `in_order` brings them into any other order. A Series
        without an index of its own is a sequence.

        Raises
        ------
        ParameterError
            If they are no finite numbers from ``least`` to ``most``; it names the silo.

        Examples
        --------
        >>> BySilo.read({"ucla": 20, "mayo": 30}, "sizes").numbers
        (30.0, 20.0)
        """
        names: list[str] | None = None
        if hasattr(given, "to_dict") and type(getattr(given, "index", None)).__name__ != "RangeIndex":
            given = given.to_dict()
        if isinstance(given, Mapping):
            keys = _sorted(given)
            names, values = [str(key) for key in keys], [given[key] for key in keys]
        else:
            try:
                values = list(np.asarray(given).tolist() if hasattr(given, "dtype") else given)
            except TypeError:
                raise ParameterError(f"sampling: {what}={given!r}: give a number a silo, or a dict by name.") from None
        if not values:
            raise ParameterError(f"sampling: {what} name no silo; give a number for each.")
        for place, value in enumerate(values):
            if not isinstance(value, Real) or not math.isfinite(value) or not least <= float(value) <= most:
                silo = f"silo {place}" if names is None else f"silo {names[place]!r}"
                span = f"from {least:g} to {most:g}" if math.isfinite(most) else f"of {least:g} or above"
                raise ParameterError(f"sampling: {what}: {silo} has {value!r}; give a finite number {span}.")
        return cls(tuple(map(float, values)), None if names is None else tuple(names), what)

    def in_order(self, names: Sequence[str]) -> BySilo:
        """The same numbers in the order of a federation's silos; those given by place stay.

        Raises
        ------
        ParameterError
            If some silo has no number, or there is no silo of some name; it names the first, and the nearest known.
            Of numbers by place, if they are of another number of silos.
        """
        if self.names is None:
            self.array(len(names))
            return self
        place, known = {name: at for at, name in enumerate(self.names)}, set(names)
        for name in names:
            if name not in place:
                raise self._stranger(f"no number for silo {name!r}", name, self.names)
        for name in self.names:
            if name not in known:
                raise self._stranger(f"there is no silo {name!r}", name, names)
        return BySilo(tuple(self.numbers[place[name]] for name in names), tuple(names), self.what)

    def _stranger(self, what: str, name: str, known: Sequence[str]) -> ParameterError:
        near = get_close_matches(name, known, n=1)
        return ParameterError(f"sampling: {self.what}: {what}" + (f"; did you mean {near[0]!r}?" if near else "."))

    def array(self, n_silos: int) -> NDArray[np.float64]:
        """The numbers of so many silos, float64 (silos,).

        Raises
        ------
        ParameterError
            If they are of another number of silos.
        """
        if len(self.numbers) != n_silos:
            raise ParameterError(
                f"sampling: {self.what} are given for {len(self.numbers)} silos, and the federation has {n_silos}."
            )
        return self._array

    @cached_property
    def _array(self) -> NDArray[np.float64]:
        array = np.array(self.numbers)
        array.flags.writeable = False  # all draws share it
        return array

    def __repr__(self) -> str:
        return f"{len(self.numbers)} silos"


def _sorted(given: Mapping[Label, object]) -> list[Label]:
    try:
        return sorted(given)
    except TypeError:  # names of several types
        return sorted(given, key=str)
