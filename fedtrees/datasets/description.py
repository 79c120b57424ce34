"""Description of a partition: the sizes, labels and features of its silos, in figures and as a plot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fedtrees.core.arguments import Features, by_name
from fedtrees.core.data.features import read_features
from fedtrees.core.numeric.rng import stream
from fedtrees.datasets.dealing import codes_of, has_fractions, read_column
from fedtrees.datasets.groups import quantile_groups
from fedtrees.datasets.skew import effective_silos, feature_drift, gini, label_divergence
from fedtrees.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PartitionDescription", "describe_partition"]

_TARGET_GROUPS = 10  # that numbers are counted in
_MOST_ROWS = 20  # of the table that are printed


@dataclass(frozen=True, eq=False)
class PartitionDescription:
    """Differences of a partition's silos; see `describe_partition`.

    Attributes
    ----------
    table : DataFrame (silos, measures)
        A row a silo, in the order of the names.
    counts : DataFrame (silos, labels)
        Rows of each label, or of each quantile group of numbers.
    summary : Series
        The partition as a whole.
    numeric : bool
        Whether the target is numbers, and no classes.
    """

    table: pd.DataFrame
    counts: pd.DataFrame
    summary: pd.Series
    numeric: bool

    def plot(self, ax: Axes | None = None, shares: bool = False) -> Axes:
        """Draw the labels of each silo as stacked bars.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            By default those of a new figure.
        shares : bool, default False
            Whether each bar shows shares, all bars being of one height, and not rows.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed: ``pip install '.[plot]'`` in a checkout.
        """
        from fedtrees.datasets.partition_plot import plot_labels

        return plot_labels(self, ax, shares)

    def sentences(self) -> list[str]:
        """The summary, a sentence a measure."""
        s = self.summary
        lines = [
            f"{s.silos:.0f} silos, {s.rows:.0f} rows: {s.smallest:.0f} to {s.largest:.0f} a silo, the median "
            f"{s['median']:g}; Gini {s.gini:.3f}, as even as {s.effective_silos:.1f} equal silos.",
            f"Label divergence {s.label_divergence:.3f}, and {s.label_divergence_by_chance:.3f} by chance "
            "(Jensen-Shannon distance from all rows, 0 to 1).",
        ]
        if "feature_drift" in s:
            lines.append(
                f"Feature drift {s.feature_drift:.3f}, and {s.feature_drift_by_chance:.3f} by chance "
                "(mean Kolmogorov distance from all rows, 0 to 1)."
            )
        return lines

    def __str__(self) -> str:
        table = self.table.to_string(max_rows=_MOST_ROWS, float_format="{:.3f}".format)
        return "\n".join([*self.sentences(), "", *map(str.rstrip, table.splitlines())])

    def _repr_html_(self) -> str:
        table = self.table.to_html(max_rows=_MOST_ROWS, float_format="{:.3f}".format)
        return "<p>" + "<br>".join(self.sentences()) + "</p>\n" + table


@by_name
def describe_partition(y: ArrayLike, *, silos: ArrayLike, X: Features = None) -> PartitionDescription:
    """Measure how unlike the silos of a partition are.

    The table has, for each silo:

    - ``rows``, and their ``share`` of all rows;
    - ``classes``, how many it holds; of numbers, ``target_mean``;
    - ``label_divergence``, the Jensen-Shannon distance of its labels from those of all rows: 0 where the shares are the
      same, 1 where it has no label in common with them; of numbers, of their ten quantile groups over all rows;
    - ``feature_drift``, if X is given: the mean over features of Kolmogorov's distance of its values from those of all
      rows, 0 to 1; of categories, of the total variation distance.

    The summary has the number of silos and rows, the smallest, median and largest silo, Gini's coefficient of the
    sizes, ``effective_silos = (sum n)^2 / sum n^2``, and the two distances, as means weighted by rows. Small silos
    differ by chance, so beside each stands what it is ``by_chance``: with the same rows dealt at random to silos of
    the same sizes.

    Parameters
    ----------
    y : array-like (rows,)
        Classes, or numbers: those with a fraction somewhere.
    silos : array-like (rows,)
        The silo of each row.
    X : DataFrame or array-like (rows, features), optional

    Returns
    -------
    PartitionDescription
        With ``table``, ``counts``, ``summary`` and ``plot()``; it prints, and shows itself in notebooks.

    Raises
    ------
    DataError
        If lengths differ, or values are missing or no values; it names the row.

    Examples
    --------
    >>> import numpy as np
    >>> from fedtrees.datasets import partition_classes
    >>> y = np.repeat(["cat", "dog", "owl"], 200)
    >>> print(describe_partition(y, silos=partition_classes(y, silos=3, classes=2)))
    3 silos, 600 rows: 200 to 200 a silo, the median 200; Gini 0.000, as even as 3.0 equal silos.
    Label divergence 0.437, and 0.023 by chance (Jensen-Shannon distance from all rows, 0 to 1).
    <BLANKLINE>
            rows  share  classes  label_divergence
    silo
    silo 0   200  0.333        2             0.437
    silo 1   200  0.333        2             0.437
    silo 2   200  0.333        2             0.437
    """
    ids, target = read_column(silos, "silos"), read_column(y, "y")
    if len(ids) != len(target):
        raise DataError(f"silos has {len(ids)} ids and y has {len(target)} rows; give one id a row.")
    codes, names = codes_of(ids)
    index = pd.Index([str(name) for name in names], name="silo")
    numeric = has_fractions(target)
    classes, labels = quantile_groups(target, _TARGET_GROUPS) if numeric else codes_of(target)
    counts = _counted(codes, classes, len(names), len(labels))
    rows = counts.sum(axis=1)
    table = pd.DataFrame({"rows": rows, "share": rows / rows.sum()}, index=index)
    if numeric:
        table["target_mean"] = np.bincount(codes, target) / rows
    else:
        table["classes"] = np.count_nonzero(counts, axis=1)
    shuffled = stream(0, "partition by chance").permutation(codes)
    chance = {"label_divergence": label_divergence(_counted(shuffled, classes, len(names), len(labels)))}
    table["label_divergence"] = label_divergence(counts)
    if X is not None:
        values, schema = read_features(X, silos=ids)
        categorical = np.array(schema.kinds) == "category"
        table["feature_drift"], chance["feature_drift"] = feature_drift(values, categorical, [codes, shuffled])
    columns = pd.Index([str(label) for label in labels], name="label")
    return PartitionDescription(table, pd.DataFrame(counts, index, columns), _summary(table, chance), numeric)


def _counted(codes: NDArray[np.int64], classes: NDArray[np.int64], silos: int, labels: int) -> NDArray[np.int64]:
    """Rows of each (silo, label)."""
    return np.bincount(codes * labels + classes, minlength=silos * labels).reshape(silos, labels)


def _summary(table: pd.DataFrame, chance: dict[str, NDArray[np.float64]]) -> pd.Series:
    rows = table["rows"].to_numpy()
    summary = {
        "silos": len(rows),
        "rows": rows.sum(),
        "smallest": rows.min(),
        "median": np.median(rows),
        "largest": rows.max(),
        "gini": gini(rows),
        "effective_silos": effective_silos(rows),
    }
    for name, by_chance in chance.items():
        summary[name] = np.average(table[name].to_numpy(), weights=rows)
        summary[f"{name}_by_chance"] = np.average(by_chance, weights=rows)
    return pd.Series(summary, dtype=np.float64, name="summary")
