"""Partitions and their descriptions at ties, ends of ranges and places of errors, against counts by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedtrees import DataError, ParameterError
from fedtrees.datasets import (
    describe_partition,
    flights,
    held_out,
    load_breast_cancer_clinics,
    partition_by,
    partition_classes,
    partition_dirichlet,
    partition_iid,
    partition_shards,
    shift_features,
)


@pytest.mark.parametrize(("rows", "kept"), [(1, 0), (2, 1), (3, 1), (5, 1), (6, 2), (7, 2), (10, 3), (14, 4)])
def test_half_a_row_is_held_out(rows: int, kept: int) -> None:
    assert held_out(["a"] * rows).sum() == held_out(["a"] * rows, 0.25).sum() == kept


def test_a_silo_keeps_a_row_of_any_share() -> None:
    assert held_out(["a", "b", "b"], 0.999).tolist().count(False) == 2


@pytest.mark.parametrize(
    ("column", "groups", "names"),
    [
        ([0, 1, 1, 2], 2, ["0", "1 to 2", "1 to 2", "1 to 2"]),  # cuts after 1 and 3 rows: of two, the lower
        ([3, 1, 2, 2], 2, ["2 to 3", "1", "2 to 3", "2 to 3"]),
        ([0.123456, 2.0, 123456.5, 7.0], 2, ["0.123456 to 2", "0.123456 to 2", "7 to 123456", "7 to 123456"]),
        ([True, True], None, None),
    ],
)
def test_groups_are_cut_where_they_are_most_even(column: Any, groups: int | None, names: list[str] | None) -> None:
    found = partition_by(column, groups).tolist()
    if names is not None:
        assert [name.split(": ")[1] for name in found] == names
    else:
        assert found == ["True", "True"]


def test_only_numbers_fall_into_groups() -> None:
    for column in ([True, False], ["a", "b"], pd.Series(["u", "v"], dtype="category")):
        with pytest.raises(ParameterError, match=r"^groups=2: the column holds no numbers"):
            partition_by(column, 2)


def test_a_silo_for_each_class_and_all_classes_in_a_silo_are_fine() -> None:
    y = np.repeat([0, 1, 2], 4)
    alone = partition_classes(y, 3, 1)
    assert sorted(len(set(y[alone == name].tolist())) for name in set(alone.tolist())) == [1, 1, 1]
    assert set(partition_classes(y, 1, 3).tolist()) == {"silo 0"}
    assert len(set(partition_shards(y, 6).tolist())) == 6  # as many shards as rows
    assert len(set(partition_iid(3, 3).tolist())) == 3


def test_too_few_silos_for_all_classes_are_told_how_many_will_do() -> None:
    y = np.repeat(np.arange(7), 3)
    with pytest.raises(ParameterError, match=r"^silos=2, classes=3: .* give 3 silos or more, or 4 classes a silo"):
        partition_classes(y, 2, 3)


def test_errors_name_their_row() -> None:
    with pytest.raises(DataError, match=r"^y, row 2: infinity; give finite numbers"):
        partition_dirichlet([0.0, 1.0, np.inf], 1, 1.0)
    with pytest.raises(DataError, match=r"^y, row 1: 'b' beside 1"):
        partition_dirichlet(np.array([1, "b", 2], object), 1, 1.0)
    with pytest.raises(DataError, match=r"^y: class c has 1 rows, for 2 silos"):
        partition_classes(list("aaaabbbbc"), 6, 1)


def test_what_leaves_float32_is_named_by_column() -> None:
    X = pd.DataFrame({"small": [0.0, 1.0, 2.0, 3.0], "large": [0.0, 1e38, 2e38, 3e38]})
    with pytest.raises(ParameterError, match=r"offset=99, .*: column 'large' would leave float32"):
        shift_features(X, silos=list("aabb"), offset=99.0)


# -- descriptions -------------------------------------------------------------------------------------------


def test_the_summary_weighs_silos_by_their_rows() -> None:
    y = np.array([0] * 6 + [1] * 6 + [0] * 3 + [1] + [1])
    silos = np.array(["a"] * 12 + ["b"] * 4 + ["c"])
    X = np.arange(17.0)[:, None]
    described = describe_partition(y, silos=silos, X=X)
    table, summary = described.table, described.summary
    assert (summary.smallest, summary["median"], summary.largest, summary.silos, summary.rows) == (1, 4, 12, 3, 17)
    assert table["share"].tolist() == [12 / 17, 4 / 17, 1 / 17]
    for name in ("label_divergence", "feature_drift"):
        assert summary[name] == pytest.approx((table[name] * table["rows"]).sum() / 17)
        assert summary[name] != pytest.approx(table[name].mean())


def test_what_chance_would_do_is_weighed_by_rows_too() -> None:
    """One row by itself differs from all by the same, whichever it is: of two silos, the other hardly differs."""
    n = 400
    y, silos = np.arange(n) % 2, np.array(["rest"] * (n - 1) + ["one"])
    summary = describe_partition(y, silos=silos).summary
    alone = describe_partition(y, silos=silos).table.loc["one", "label_divergence"]
    assert summary.label_divergence_by_chance == pytest.approx(alone / n, abs=2e-3) and alone > 0.5


@pytest.mark.parametrize(("silos", "cut"), [(20, False), (21, True)])
def test_tables_of_more_than_twenty_silos_are_cut(silos: int, cut: bool) -> None:
    described = describe_partition(np.arange(210) % 2, silos=partition_iid(210, silos))
    assert (".." in str(described).split("\n\n")[1]) == ("..." in described._repr_html_()) == cut


@pytest.mark.parametrize(("labels", "drawn"), [(20, 20), (21, 20), (40, 20)])
def test_twenty_labels_have_a_colour_each(labels: int, drawn: int) -> None:
    import matplotlib.pyplot as plt

    y = np.arange(8 * labels) % labels
    ax = describe_partition(y, silos=partition_iid(len(y), 3)).plot()
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(ax.patches) == len(names) == drawn and ("others" in names) == (labels > 20)
    assert ax.get_legend().get_title().get_text() == "class"
    plt.close("all")


@pytest.mark.parametrize(("silos", "named"), [(40, True), (41, False)])
def test_forty_silos_are_named_below_their_bars(silos: int, named: bool) -> None:
    import matplotlib.pyplot as plt

    for shares, label in ((False, "rows"), (True, "share of the silo's rows")):
        ax = describe_partition(np.arange(820) % 2, silos=partition_iid(820, silos)).plot(shares=shares)
        assert ax.get_ylabel() == label and len(ax.get_xticks()) == (40 if named else 0)
        assert ax.get_xlabel() == ("" if named else "41 silos, silo 00 to silo 40")
        for bars in ax.patches:  # with a gap on both sides of each, or, where they are narrow, with none
            ends = np.asarray(bars.get_data().edges).reshape(-1, 2)
            np.testing.assert_allclose(ends - np.arange(silos)[:, None], [[0.1, 0.9] if named else [0, 1]] * silos)
        plt.close("all")


def test_the_title_of_a_plot_is_the_summary() -> None:
    """Of two silos of one class each: as far apart as can be, and as even as 1 / (0.75 ** 2 + 0.25 ** 2) equal ones."""
    import matplotlib.pyplot as plt

    y = np.array([0] * 30 + [1] * 10)
    described = describe_partition(y, silos=y)
    chance = described.summary.label_divergence_by_chance
    assert described.plot().get_title(loc="left") == (
        f"Label divergence {described.summary.label_divergence:.2f}, {chance:.2f} by chance. "
        "Sizes of 2 silos as even as of 1.6 equal ones."
    )
    plt.close("all")


def test_an_example_keeps_what_is_known_of_it() -> None:
    example = load_breast_cancer_clinics()
    few = example.take(np.arange(569) % 7 == 3)
    for name in ("name", "description", "source", "licence"):
        assert getattr(few, name) == getattr(example, name) != ""
    np.testing.assert_array_equal(few.X, example.X[3::7])
    np.testing.assert_array_equal(few.y, example.y[3::7])


def test_clocks_go_round_at_midnight() -> None:
    given = {"year": [2013] * 4, "month": [1] * 4, "day": [1, 2, 5, 6]}
    clocks = {"sched_dep_time": [2359, 1745, 5, 1200], "sched_arr_time": [340, 1745, 2359, 1159]}
    found = flights._schedule(pd.DataFrame(given | clocks))
    assert found["scheduled_departure"].tolist() == [23 * 60 + 59, 17 * 60 + 45, 5, 720]
    assert found["scheduled_clock_difference"].tolist() == [221, 0, 23 * 60 + 54, 1439]
    assert found["weekday"].tolist() == [1, 2, 5, 6]  # the first of January 2013 was a Tuesday
