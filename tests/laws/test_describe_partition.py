"""The measures of a partition against naive twins and SciPy's, and what a description says and draws."""

from __future__ import annotations

import sys
from collections.abc import Generator
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp

from fedtrees.datasets import (
    describe_partition,
    load_breast_cancer_clinics,
    partition_dirichlet,
    partition_iid,
    partition_shards,
    partition_sizes,
    shift_features,
)
from fedtrees.datasets.skew import effective_silos, feature_drift, gini, label_divergence
from fedtrees.errors import DataError, MissingExtraError

matplotlib.use("Agg")

sizes = st.lists(st.integers(1, 1000), min_size=1, max_size=30).map(np.array)


# -- sizes ------------------------------------------------------------------------------------------------


@given(sizes)
def test_gini_is_half_the_mean_difference_over_the_mean(rows: NDArray[np.int64]) -> None:
    difference = np.mean([abs(int(a) - int(b)) for a in rows for b in rows])
    assert gini(rows) == pytest.approx(difference / (2 * rows.mean()), abs=1e-12)


@given(sizes, st.integers(1, 5))
def test_as_many_silos_of_one_size_weigh_as_evenly(rows: NDArray[np.int64], times: int) -> None:
    assert 1 - 1e-9 <= effective_silos(rows) <= len(rows) + 1e-9
    assert effective_silos(np.repeat(rows, times)) == pytest.approx(times * effective_silos(rows))
    assert effective_silos(np.full(len(rows), 7)) == pytest.approx(len(rows))


# -- labels -----------------------------------------------------------------------------------------------


@given(st.integers(1, 8), st.integers(1, 6), st.integers(0, 999))
def test_label_divergence_is_scipys(silos: int, labels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 20, (silos, labels)) * rng.integers(0, 2, (silos, labels))
    counts[:, 0] += counts.sum(axis=1) == 0
    found = label_divergence(counts)
    assert ((found >= 0) & (found <= 1)).all()
    expected = [jensenshannon(own / own.sum(), counts.sum(axis=0) / counts.sum(), base=2) for own in counts]
    np.testing.assert_allclose(found, np.nan_to_num(expected), atol=1e-7)


# -- features ---------------------------------------------------------------------------------------------


def naive_drift(X: NDArray[np.float32], categorical: NDArray[np.bool_], codes: NDArray[np.int64]) -> list[float]:
    """The largest difference over all half-lines; of categories, half the sum of the differences of shares."""
    drifts = []
    for silo in range(codes.max() + 1):
        apart = []
        for column, discrete in zip(np.where(np.isnan(X), np.inf, X).T, categorical, strict=True):
            own = column[codes == silo]
            if discrete:
                apart.append(sum(abs((own == v).mean() - (column == v).mean()) for v in set(column.tolist())) / 2)
            else:
                apart.append(max(abs((own <= v).mean() - (column <= v).mean()) for v in set(column.tolist())))
        drifts.append(float(np.mean(apart)))
    return drifts


@given(st.integers(1, 60), st.integers(1, 5), st.sampled_from([2, 5, 1000]), st.integers(0, 999))
def test_feature_drift_is_that_of_the_twin(n: int, silos: int, values: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = (rng.integers(-values, values, (n, 3)) / 4).astype(np.float32)
    X[rng.random((n, 3)) < 0.2] = np.nan
    X[rng.random((n, 3)) < 0.1] = -0.0
    X[:, 2] = np.abs(np.floor(X[:, 2]))
    categorical = np.array([False, False, True])
    silos = min(silos, n)
    partitions = [rng.permutation(np.arange(n) % silos), np.arange(n) % silos]
    for found, codes in zip(feature_drift(X, categorical, partitions), partitions, strict=True):
        np.testing.assert_allclose(found, naive_drift(X, categorical, codes), atol=1e-12)


def test_feature_drift_of_numbers_is_scipys() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 1)).astype(np.float32)
    codes = np.arange(500) % 3
    expected = [ks_2samp(X[codes == silo, 0], X[:, 0]).statistic for silo in range(3)]
    np.testing.assert_allclose(feature_drift(X, np.array([False]), [codes])[0], expected)


def test_silos_that_have_nothing_in_common_with_half_of_the_rows() -> None:
    X = np.repeat(np.float32([[0], [5]]), 100, axis=0)
    y = np.repeat(["x", "y"], 100)
    described = describe_partition(y, silos=np.repeat(["a", "b"], 100), X=X)
    assert (described.table["feature_drift"] == 0.5).all()
    np.testing.assert_allclose(described.table["label_divergence"], jensenshannon([1, 0], [0.5, 0.5], base=2))


# -- the description --------------------------------------------------------------------------------------


def test_the_table_of_the_clinics() -> None:
    example = load_breast_cancer_clinics()
    described = describe_partition(example.y, silos=example.silos, X=example.X)
    table = described.table
    assert table.index.tolist() == ["general", "oncology", "screening"] and table.index.name == "silo"
    assert table.columns.tolist() == ["rows", "share", "classes", "label_divergence", "feature_drift"]
    assert table["rows"].tolist() == [171, 113, 285] and table["share"].sum() == pytest.approx(1)
    assert described.counts.to_numpy().tolist() == pd.crosstab(example.silos, example.y).to_numpy().tolist()
    s = described.summary
    assert [s.silos, s.rows, s.smallest, s["median"], s.largest] == [3, 569, 113, 171, 285]
    assert s.label_divergence == pytest.approx(np.average(table["label_divergence"], weights=table["rows"]))
    assert s.label_divergence > 5 * s.label_divergence_by_chance  # the clinics differ in their cases
    assert s.feature_drift > 3 * s.feature_drift_by_chance


@given(st.integers(0, 9))
def test_a_partition_by_chance_is_as_skewed_as_chance(seed: int) -> None:
    y = np.arange(3000) % 5
    X = np.random.default_rng(seed).normal(size=(3000, 3))
    s = describe_partition(y, silos=partition_iid(3000, 30, seed), X=X).summary
    assert s.label_divergence == pytest.approx(s.label_divergence_by_chance, rel=0.25)
    assert s.feature_drift == pytest.approx(s.feature_drift_by_chance, rel=0.25)


def test_the_measures_order_partitions_as_one_would() -> None:
    y = np.repeat(np.arange(10), 600)
    ids = [partition_dirichlet(y, 20, alpha) for alpha in (100, 1, 0.1)]
    labels = [describe_partition(y, silos=own).summary.label_divergence for own in [*ids, partition_shards(y, 20, 1)]]
    assert (np.diff(labels) > 0.05).all()
    sizes = [describe_partition(y, silos=partition_sizes(6000, 20, power)).summary for power in (0, 0.5, 1, 2)]
    assert (np.diff([s.gini for s in sizes]) > 0.1).all() and (np.diff([s.effective_silos for s in sizes]) < 0).all()
    X, silos = np.random.default_rng(0).normal(size=(6000, 4)), partition_iid(6000, 20)
    drifts = [
        describe_partition(y, silos=silos, X=shift_features(X, silos=silos, offset=offset)).summary.feature_drift
        for offset in (0, 0.2, 0.6, 2)
    ]
    assert (np.diff(drifts) > 0.03).all()


def test_numbers_are_described_by_mean_and_quantile_groups() -> None:
    y = np.linspace(0, 1, 1000)
    described = describe_partition(y, silos=np.where(y < 0.25, "low", "rest"))
    assert described.numeric and described.counts.shape == (2, 10)
    assert described.counts.loc["low"].tolist() == [100, 100, 50] + [0] * 7
    assert described.table["target_mean"].tolist() == pytest.approx([0.125, 0.625], abs=0.002)
    assert "classes" not in described.table
    tied = describe_partition([0.0] * 95 + [0.5, 1, 2, 3, 4], silos=["a"] * 100)  # most of ten groups would be empty
    assert tied.counts.columns.tolist() == ["0", "0.5 to 4"]


def test_silos_may_be_named_by_numbers_and_y_be_anything_that_is_a_class() -> None:
    described = describe_partition([True, False, True], silos=[2, 10, 2])
    assert described.table.index.tolist() == ["2", "10"]
    assert described.counts.columns.tolist() == ["False", "True"]
    assert not describe_partition([1.0, 2.0], silos=["a", "b"]).numeric


def test_categories_and_missing_values_are_compared() -> None:
    X = pd.DataFrame({"kind": pd.Categorical(["u", "u", "v", None]), "size": [1.0, np.nan, 1.0, 1.0]})
    drift = describe_partition([0, 1, 0, 1], silos=["a", "a", "b", "b"], X=X).table["feature_drift"]
    assert drift.tolist() == [(0.5 + 0.25) / 2] * 2


def test_it_prints_and_shows_itself() -> None:
    y = np.arange(600) % 3
    described = describe_partition(y, silos=partition_iid(600, 50), X=y[:, None])
    text, html = str(described), described._repr_html_()
    assert text.startswith("50 silos, 600 rows: 12 to 12 a silo, the median 12; Gini 0.000, as even as 50.0 equal")
    assert "by chance" in text and "Feature drift" in text and text.count("\n") < 30
    assert html.startswith("<p>50 silos") and html.count("<tr") < 25 and "</table>" in html
    assert "Feature drift" not in str(describe_partition(["x"], silos=["a"]))


# -- the plot ---------------------------------------------------------------------------------------------


@pytest.fixture
def axes() -> Generator[Any, None, None]:
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(layout="constrained")
    yield ax
    figure.canvas.draw()  # whatever is wrong with a drawing shows when it is drawn
    plt.close("all")


def heights(ax: Any) -> NDArray[np.float64]:
    """Of each label's outline, the heights by silo."""
    patches = [patch.get_data() for patch in ax.patches]
    return np.array([(data.values - data.baseline)[::2] for data in patches]).T


@pytest.mark.parametrize(("silos", "labels"), [(1, 1), (3, 2), (12, 10), (60, 15), (200, 3)])
def test_bars_are_as_high_as_counts(axes: Any, silos: int, labels: int) -> None:
    y = np.arange(max(3 * silos, 4 * labels)) % labels
    described = describe_partition(y, silos=partition_dirichlet(y, silos, 0.5))
    assert described.plot(axes) is axes
    np.testing.assert_allclose(heights(axes), described.counts.to_numpy())
    assert [text.get_text() for text in axes.get_legend().get_texts()] == described.counts.columns.tolist()[::-1]
    names = [text.get_text() for text in axes.get_xticklabels()]
    assert names == (described.counts.index.tolist() if silos <= 40 else [])


def test_shares_are_bars_of_one_height(axes: Any) -> None:
    y = np.arange(300) % 4
    described = describe_partition(y, silos=partition_sizes(300, 5, 1.0))
    described.plot(axes, shares=True)
    np.testing.assert_allclose(heights(axes).sum(axis=1), 1)


def test_rare_labels_are_drawn_together(axes: Any) -> None:
    y = np.minimum(np.arange(3000) // 30, 60)
    described = describe_partition(y, silos=partition_iid(3000, 5))
    described.plot(axes)
    assert len(axes.patches) == 20
    names = [text.get_text() for text in axes.get_legend().get_texts()]
    assert names[0] == "others" and names[1] == "60"  # the most frequent keeps its own
    np.testing.assert_allclose(heights(axes).sum(axis=1), 600)


def test_numbers_are_drawn_by_group_in_a_figure_of_their_own(axes: Any) -> None:
    y = np.random.default_rng(0).normal(size=100)
    ax = describe_partition(y, silos=partition_iid(100, 4)).plot()
    assert ax is not axes and len(ax.patches) == 10 and ax.get_legend().get_title().get_text() == "target"
    ax.figure.canvas.draw()


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[plot\]'"):
        describe_partition(["x"], silos=["a"]).plot()


# -- bad input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["a", "b"], [1]), r"^silos has 2 ids and y has 1 rows; give one id a row"),
        ((["a", None], [1, 2]), r"^silos, row 1: no value"),
        ((["a", "b"], [1, np.nan]), r"^y, row 1: no value"),
        (([], []), r"^silos has the shape \(0,\)"),
        ((["a", "b"], [1, 2], [[1.0], [np.inf]]), r"^silo 'b': column 'f0' is infinity .* in row 1"),
        ((["a", "b"], [1, 2], [[1.0]]), r"^silos has the shape \(2,\) and X has 1 rows"),
        ((["a", "b"], [1.5, np.inf]), r"^y, row 1: infinity; give finite numbers"),
    ],
)
def test_what_cannot_be_described_is_refused(arguments: Any, message: str) -> None:
    silos, y, *X = arguments
    with pytest.raises(DataError, match=message):
        describe_partition(y, silos=silos, X=X[0] if X else None)
