"""The ledger: bytes and integers by silo, round and kind, whoever took part."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrees import Ledger
from fedtrees.core.ledger import Amount, Entry, Grouped

NAMES = ["a", "b", "c"]


def everyone() -> Ledger:
    ledger = Ledger(NAMES)
    ledger.record(Entry(0, "Counts", np.arange(3), 100, 30, 5))  # as many bytes to and from all
    ledger.record(Entry(1, "Ranks", np.array([0, 2]), np.array([7, 9]), 11, 4))
    ledger.record(Entry(2, "Counts", np.array([1]), np.array([50]), np.array([60]), 6))  # b forgot, and was asked twice
    ledger.record(Entry(3, "Ranks", np.zeros(0, np.int64), np.zeros(0, np.int64), 13, 4))  # nobody was drawn
    return ledger


def test_totals_are_over_all_silos_and_rounds() -> None:
    ledger = everyone()
    assert ledger.rounds == 4
    assert ledger.bytes_down == 300 + 7 + 9 + 50
    assert ledger.bytes_up == 90 + 2 * 11 + 60
    assert type(ledger.bytes_down) is type(ledger.bytes_up) is int
    assert repr(ledger) == "Ledger(3 silos, 4 rounds, 366 bytes down, 172 bytes up)"


def test_a_row_a_silo() -> None:
    table = everyone().per_silo()
    assert table.index.tolist() == NAMES and table.index.name == "silo"
    assert table.to_dict("list") == {
        "rounds": [2, 2, 2],
        "bytes_down": [107, 150, 109],
        "bytes_up": [41, 90, 41],
        "integers": [9, 11, 9],
    }


def test_a_row_a_silo_of_one_kind() -> None:
    ledger = everyone()
    assert ledger.per_silo("Ranks").to_dict("list") == {
        "rounds": [1, 0, 1],
        "bytes_down": [7, 0, 9],
        "bytes_up": [11, 0, 11],
        "integers": [4, 0, 4],
    }
    pd.testing.assert_frame_equal(ledger.per_silo("Ranks") + ledger.per_silo("Counts"), ledger.per_silo())
    assert not ledger.per_silo("Nothing").to_numpy().any()


def test_a_row_a_round() -> None:
    table = everyone().per_round()
    assert table.index.tolist() == [0, 1, 2, 3] and table.index.name == "round"
    assert table.to_dict("list") == {
        "kind": ["Counts", "Ranks", "Counts", "Ranks"],
        "silos": [3, 2, 1, 0],
        "answers": [3, 2, 1, 0],
        "bytes_down": [300, 16, 50, 0],
        "bytes_up": [90, 22, 60, 0],
        "integers": [5, 4, 6, 4],
    }


def test_the_rounds_of_one_silo() -> None:
    table = everyone().detail("b")
    assert table.index.tolist() == [0, 2]
    assert table.to_dict("list") == {
        "kind": ["Counts", "Counts"],
        "bytes_down": [100, 50],
        "bytes_up": [30, 60],
        "integers": [5, 6],
    }
    assert everyone().detail("c")["bytes_down"].tolist() == [100, 9]


def test_a_silo_that_there_is_not() -> None:
    with pytest.raises(KeyError, match="nobody"):
        everyone().detail("nobody")


def test_a_ledger_starts_empty() -> None:
    ledger = Ledger(NAMES)
    assert (ledger.rounds, ledger.bytes_up, ledger.bytes_down) == (0, 0, 0)
    assert not ledger.per_silo().to_numpy().any() and ledger.per_silo().index.tolist() == NAMES
    assert len(ledger.per_round()) == len(ledger.detail("a")) == 0


def amounts(n: int) -> st.SearchStrategy[Amount]:
    def by(most: int) -> st.SearchStrategy[np.ndarray]:
        return st.lists(st.integers(0, most), min_size=n, max_size=n).map(np.array)

    grouped = st.builds(Grouped, st.just(np.array([7, 90])), by(1).map(lambda group: group.astype(np.uint8)))
    return st.one_of(st.integers(0, 99), by(99).map(lambda each: each.astype(np.int64)), grouped)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    cohort = np.array(sorted(draw(st.sets(st.integers(0, 2)))), np.int64)
    down, up = draw(amounts(len(cohort))), draw(amounts(len(cohort)))
    return Entry(0, draw(st.sampled_from(["Counts", "Ranks"])), cohort, down, up, draw(st.integers(0, 9)))


@given(st.lists(entries(), max_size=6))
def test_every_view_adds_up_to_the_totals(drawn: list[Entry]) -> None:
    ledger = Ledger(NAMES)
    for entry in drawn:
        ledger.record(entry)
    views = [ledger.per_round(), ledger.per_silo(), pd.concat([ledger.detail(name) for name in NAMES])]
    for view in views:
        assert view["bytes_down"].sum() == ledger.bytes_down
        assert view["bytes_up"].sum() == ledger.bytes_up
    assert ledger.per_silo()["rounds"].tolist() == [len(ledger.detail(name)) for name in NAMES]
