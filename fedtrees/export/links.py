"""XGBoost's links: which margin its float32 arithmetic makes of a ``base_score``, on every platform."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LOG", "LOGIT", "Link"]

# How far around the wished prediction to look, in steps of its last bit. One in three will do, but where a
# step moves the logarithm by whole float32s neighbours round alike: the longest gap is 3,097 steps.
SEARCH_STEPS = 4096
# A logarithm this close to a float32, in units of its last bit, becomes that float32 in every logf whose
# error is below 0.82 units: glibc's, musl's and ARM's is 0.818 at worst.
CLEAR = 0.18

_ONE = np.float32(1)


@dataclass(frozen=True)
class Link:
    """A link between margins and predictions.

    Attributes
    ----------
    low, high : float32
        The least and the largest prediction that XGBoost keeps as it is.
    furthest : float
        Margins beyond it, either way, stand for `low` and `high`.
    predicted : callable
        The prediction of a margin.
    exact : callable
        The margin of float32 predictions in float64, before XGBoost's last rounding.
    """

    low: np.float32
    high: np.float32
    furthest: float
    predicted: Callable[[float], float]
    exact: Callable[[NDArray[np.float32]], NDArray[np.float64]]

    def nearest(self, wished: np.float32) -> tuple[np.float32, np.float32]:
        """The prediction, and its margin in XGBoost, whose margin is nearest to the one wished and beyond doubt."""
        target = min(max(float(wished), -self.furthest), self.furthest)
        centre = np.clip(np.float32(self.predicted(target)), self.low, self.high)
        steps = np.arange(-SEARCH_STEPS, SEARCH_STEPS + 1, dtype=np.int32)
        near = (centre.view(np.int32) + steps).view(np.float32)
        near = near[(near >= self.low) & (near <= self.high)]
        exact = self.exact(near)
        margin = exact.astype(np.float32)
        unit = np.spacing(np.nextafter(np.abs(margin), np.float32(0)))  # the finer one at a power of two
        clear = np.abs(exact - margin) <= CLEAR * unit
        best = np.argmin(np.where(clear, np.abs(margin.astype(np.float64) - target), np.inf))
        return near[best], margin[best]


# XGBoost clamps the probability of a logistic objective's base_score to 1e-6 from 0 and 1. The odds are IEEE
# arithmetic, the same everywhere; only the logarithm depends on the platform.
LOGIT = Link(
    low=np.float32(1e-6),
    high=_ONE - np.float32(1e-6),
    furthest=20.0,
    predicted=lambda margin: 1 / (1 + np.exp(-margin)),
    exact=lambda p: -np.log((_ONE / p - _ONE).astype(np.float64)),
)
LOG = Link(
    low=np.finfo(np.float32).tiny,
    high=np.finfo(np.float32).max,
    furthest=88.7,
    predicted=lambda margin: float(np.exp(margin)),
    exact=lambda p: np.log(p.astype(np.float64)),
)
