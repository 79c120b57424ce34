"""Cut points: the ends of every feature's bins."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedtrees.errors import ProtocolError

NO_BIN = 0xFFFF  # above every bin


@dataclass(frozen=True, eq=False)
class Cuts:
    """The ends of every feature's bins: one flat array, ragged by feature.

    Feature ``f`` has ``values[offsets[f]:offsets[f + 1]]``, ascending. A value ``x`` falls in the first bin
    whose cut lies above it, so ``bin <= b`` means the same as ``x < cuts[b]``, XGBoost's rule. The last cut lies
    above everything seen: only a split of the present from the missing uses it. A feature that is missing
    somewhere has one more bin, its last, for the missing. A feature that is missing everywhere has no cuts.

    Attributes
    ----------
    values : float32 (cuts,)
    offsets : int64 (features + 1,)
    missing : bool (features,)
        Whether the feature has a bin for the missing.
    categorical : bool (features,), default none
        Whether its bins are categories, each of one code, so that any of them may go either way.
    middles : float64 (cuts,), default their places
        The middle of what each bin holds, which thresholds between some rows' bins go by; the server alone has them.
    missing_high : bool (features,), default none
        Whether a few missing values share the bin of the highest values, and so go right; the server alone has it.
    """

    values: NDArray[np.float32]
    offsets: NDArray[np.int64]
    missing: NDArray[np.bool_]
    categorical: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    middles: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    missing_high: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    any_categorical: bool = field(init=False)
    n_values: NDArray[np.int64] = field(init=False)  # value bins of each feature
    n_bins: NDArray[np.int64] = field(init=False)  # value bins plus the missing bin
    bin_offsets: NDArray[np.int64] = field(init=False)  # where a feature's bins start in a histogram

    def __post_init__(self) -> None:
        if len(self.offsets) != len(self.missing) + 1:
            raise ProtocolError(f"cut points of {len(self.offsets) - 1} features, or of {len(self.missing)}?")
        if not len(self.categorical):
            object.__setattr__(self, "categorical", np.zeros(len(self.missing), bool))
        if len(self.categorical) != len(self.missing):
            raise ProtocolError(f"kinds of {len(self.categorical)} features, or of {len(self.missing)}?")
        if not len(self.missing_high):
            object.__setattr__(self, "missing_high", np.zeros(len(self.missing), bool))
        if len(self.middles) != len(self.values):
            object.__setattr__(self, "middles", np.arange(len(self.values), dtype=np.float64))
        object.__setattr__(self, "any_categorical", bool(self.categorical.any()))
        n_values = np.diff(self.offsets)
        n_bins = n_values + self.missing
        object.__setattr__(self, "n_values", n_values)
        object.__setattr__(self, "n_bins", n_bins)
        object.__setattr__(self, "bin_offsets", np.concatenate(([0], np.cumsum(n_bins))).astype(np.int64))

    @property
    def n_features(self) -> int:
        """Features, those without cuts included."""
        return len(self.missing)

    @property
    def total_bins(self) -> int:
        """Bins of all features together."""
        return int(self.bin_offsets[-1])

    def bins_of(self, features: NDArray[np.integer]) -> NDArray[np.int64]:
        """The positions of some features' bins in a histogram of all, int64 (bins,)."""
        starts, n_bins = self.bin_offsets[features], self.n_bins[features]
        within = np.arange(n_bins.sum()) - np.repeat(np.cumsum(n_bins) - n_bins, n_bins)
        bins: NDArray[np.int64] = np.repeat(starts, n_bins) + within
        return bins

    def check(self, n_features: int) -> None:
        """Refuse cuts that are none for a table of so many features: kernels trust them.

        Raises
        ------
        ProtocolError
        """
        if (
            self.n_features != n_features
            or self.offsets[0] != 0
            or self.offsets[-1] != len(self.values)
            or (self.n_values < 0).any()
            or (self.n_bins < 1).any()
        ):
            raise ProtocolError(f"cut points that are not those of {n_features} features")
        inside = np.ones(max(len(self.values) - 1, 0), bool)
        starts = self.offsets[1:-1]
        inside[starts[(starts > 0) & (starts < len(self.values))] - 1] = False
        if not (self.values[1:] > self.values[:-1])[inside].all() or self.n_bins.max() > NO_BIN:
            raise ProtocolError("cut points that do not rise, or more of a feature than its bins can be numbered")

    def of(self, feature: int) -> NDArray[np.float32]:
        """The cuts of one feature, ascending; the last is the upper end."""
        return self.values[self.offsets[feature] : self.offsets[feature + 1]]
