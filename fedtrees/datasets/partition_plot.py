"""The plot of a partition: the labels of each silo, as stacked bars."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fedtrees.errors import MissingExtraError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.typing import ColorType


_MOST_LABELS = 20  # that have a colour of their own
_MOST_NAMES = 40  # of silos that are written below their bars
_GAP = 0.1  # left and right of a bar, of its width


class Described(Protocol):
    """A partition to plot; see `PartitionDescription`."""

    @property
    def counts(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def summary(self) -> pd.Series: ...  # noqa: D102
    @property
    def numeric(self) -> bool: ...  # noqa: D102


def plot_labels(description: Described, ax: Axes | None, shares: bool) -> Axes:
    """See `PartitionDescription.plot`."""
    try:
        import matplotlib.pyplot as plt
        from matplotlib.patches import StepPatch
    except ImportError as error:
        raise MissingExtraError("plots need matplotlib: pip install '.[plot]' in a checkout") from error
    if ax is None:
        _, ax = plt.subplots(figsize=(8, 4), layout="constrained")
    counts, labels, colours = _coloured(description, plt)
    heights = counts / counts.sum(axis=1, keepdims=True) if shares else counts
    silos = len(heights)
    # one outline a label, whatever the number of silos; bars of many silos touch, or the gaps would be all one sees
    edges = np.arange(silos)[:, None] + ([_GAP, 1 - _GAP] if silos <= _MOST_NAMES else [0.0, 1.0])
    tops = np.cumsum(heights, axis=1)
    outline: Any = StepPatch  # its stub takes no array as the baseline
    for label, colour, top, height in zip(labels, colours, tops.T, heights.T, strict=True):
        bars = outline(
            _with_gaps(top), edges.ravel(), baseline=_with_gaps(top - height), fill=True, color=colour, label=label,
            linewidth=0,
        )  # fmt: skip
        ax.add_artist(bars)  # and not `stairs`, which looks for limits corner by corner: seconds for many silos
    ax.set(xlim=(0, silos), ylim=(0, tops[:, -1].max() * (1 if shares else 1.03)))
    ax.set_ylabel("share of the silo's rows" if shares else "rows")
    _name_silos(ax, description)
    handles, names = ax.get_legend_handles_labels()
    ax.legend(
        handles[::-1], names[::-1], title="target" if description.numeric else "class", loc="upper left",
        bbox_to_anchor=(1, 1), frameon=False, fontsize="small", ncols=1 + (len(names) > 12),
    )  # fmt: skip
    s = description.summary
    ax.set_title(
        f"Label divergence {s.label_divergence:.2f}, {s.label_divergence_by_chance:.2f} by chance. "
        f"Sizes of {s.silos:.0f} silos as even as of {s.effective_silos:.1f} equal ones.",
        fontsize="medium",
        loc="left",
    )
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _coloured(description: Described, plt: ModuleType) -> tuple[NDArray[np.int64], list[str], list[ColorType]]:
    """Rows by silo and label, of the most frequent labels and all others together; their names and colours."""
    counts, labels = description.counts.to_numpy(), list(description.counts.columns)
    if description.numeric:
        return counts, labels, list(plt.get_cmap("viridis")(np.linspace(0.05, 0.95, len(labels))))
    grey = (0.8, 0.8, 0.8)
    if len(labels) > _MOST_LABELS:
        kept = np.sort(np.argsort(-counts.sum(axis=0), kind="stable")[: _MOST_LABELS - 1])
        others = counts.sum(axis=1) - counts[:, kept].sum(axis=1)
        names = [labels[place] for place in kept]
        return (
            np.column_stack((counts[:, kept], others)),
            [*names, "others"],
            [*plt.get_cmap("tab20").colors[:19], grey],
        )
    palette = plt.get_cmap("tab10" if len(labels) <= 10 else "tab20").colors
    return counts, labels, list(palette[: len(labels)])


def _with_gaps(heights: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Heights of bars with nothing in between."""
    spread = np.full(2 * len(heights) - 1, np.nan)
    spread[::2] = heights
    return spread


def _name_silos(ax: Axes, description: Described) -> None:
    names = list(description.counts.index)
    if len(names) > _MOST_NAMES:
        ax.set_xlabel(f"{len(names)} silos, {names[0]} to {names[-1]}")
        ax.set_xticks([])
        return
    long = len(names) * max(map(len, names)) > 80
    ax.set_xticks(np.arange(len(names)) + 0.5, names, rotation=60 if long else 0, ha="right" if long else "center")
    ax.tick_params(axis="x", length=0)
