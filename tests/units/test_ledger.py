"""The ledger: bytes and integers by silo, round and kind, whoever took part."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrees import Channel, FedGBTClassifier, FedTreeClassifier, Ledger, LocalFederation, ParameterError, Silo
from fedtrees.core.data.record import encode
from fedtrees.core.protocol.describe import Describe
from fedtrees.core.protocol.ledger import Amount, Entry, Grouped
from fedtrees.core.protocol.message import REPLY_HEAD

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


def test_silos_that_were_lost_did_not_answer_and_kinds_are_whole_names() -> None:
    ledger = Ledger(NAMES)
    ledger.record(Entry(0, "Counts", np.arange(3), 100, np.array([30, 0, 31]), 5))
    ledger.record(Entry(1, "Counts+Ranks", np.arange(3), 10, Grouped(np.array([0, 7]), np.uint8([0, 1, 0])), 6))
    ledger.record(Entry(2, "Ranks", np.arange(2), 1, 2, 7))
    assert ledger.per_round()["answers"].tolist() == [2, 1, 2]
    assert ledger.per_silo("Counts")["integers"].tolist() == [5, 5, 5]
    assert ledger.per_silo("Ranks")["integers"].tolist() == [7, 7, 0]
    assert ledger.per_silo("Counts+Ranks")["bytes_up"].tolist() == [0, 7, 0]
    assert ledger.entries[2].cohort.tolist() == [0, 1] and ledger.detail("c").index.tolist() == [0, 1]


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


def test_files_hold_the_tables(tmp_path: Path) -> None:
    ledger = everyone()
    assert ledger.to_csv(tmp_path / "rounds.csv") is None
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "rounds.csv", index_col="round"), ledger.per_round())
    text = ledger.to_csv(by="silo")
    assert text is not None
    pd.testing.assert_frame_equal(pd.read_csv(StringIO(text), index_col="silo"), ledger.per_silo())
    ledger.to_json(tmp_path / "ledger.json")
    document = json.loads((tmp_path / "ledger.json").read_text())
    assert (document["bytes_down"], document["bytes_up"]) == (ledger.bytes_down, ledger.bytes_up)
    pd.testing.assert_frame_equal(pd.DataFrame(document["silos"]).set_index("silo"), ledger.per_silo())
    pd.testing.assert_frame_equal(pd.DataFrame(document["rounds"]).set_index("round"), ledger.per_round())
    with pytest.raises(ParameterError, match="by='silos' is not known: did you mean 'silo'"):
        ledger.to_csv(by="silos")


# -- schemas ------------------------------------------------------------------------------------------------

LABELS = {
    "texts": np.array(["well", "ill", "a label of more than thirty-one letters, which takes two bytes of head"]),
    "small": np.array([0, 1, 2]),
    "whole": np.array([-3, 200, 2**40]),
    "many": np.arange(40),
    "booleans": np.array([False, True]),
    "floats": np.array([1.0, 2.0, 5.0]),
}


# law: sizes_by_silo
@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("owners", [False, True])
def test_schemas_count_by_what_each_silo_has(kind: str, owners: bool) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(90, 2)), rng.choice(LABELS[kind], 90)
    y[: len(LABELS[kind])] = LABELS[kind]
    silo = np.sort(rng.integers(0, 12, 90))
    silo[-1] = 99  # of one row
    ledgers = []
    for mode in ("fused", "faithful"):
        if owners:
            silos = [Silo(str(k), X[silo == k], y[silo == k]) for k in np.unique(silo)]
            federation = LocalFederation([*silos, Silo("empty", X[:0], y[:0])], mode=mode)
        else:
            federation = LocalFederation.from_table(X, y, silos=silo, mode=mode)
        ledgers.append(FedTreeClassifier(max_depth=1).fit_federation(federation).ledger_)
        if mode == "faithful":
            told = [encode(own.description(Describe(labels=True))) for own in federation.silos.values()]
    fused, faithful = ledgers
    pd.testing.assert_frame_equal(fused.per_silo(), faithful.per_silo())
    assert fused.per_silo("Describe")["bytes_up"].tolist() == [REPLY_HEAD + len(own) for own in told]
    assert fused.per_round().loc[0, ["kind", "integers"]].tolist() == ["Describe", 0]


@pytest.mark.parametrize("n", [2, 15, 16, 17, 31, 32, 33, 255, 256, 65_535, 65_536])
def test_labels_of_any_number_count_as_they_are_written(n: int) -> None:
    """Of a list, msgpack writes how long it is in 1, 3 or 5 bytes."""
    y = np.concatenate([np.arange(n), [0, 1, 1]])
    sizes = []
    for mode in ("fused", "faithful"):
        X, silos = np.zeros((n + 3, 1), np.float32), np.arange(n + 3) >= n
        channel = Channel(LocalFederation.from_table(X, y, silos=silos, mode=mode))
        channel.describe(labels=True)
        sizes.append(channel.ledger.per_silo()["bytes_up"].tolist())
    assert sizes[0] == sizes[1]


def test_names_of_categories_and_columns_count() -> None:
    def bytes_up(column: str, ward: str) -> int:
        X = pd.DataFrame({column: [1.0, 2.0], "ward": pd.Categorical([ward, "b"])})
        model = FedGBTClassifier(1).fit_federation(LocalFederation([Silo("s", X, [0, 1])]))
        return int(model.ledger_.per_silo("Describe")["bytes_up"].iloc[0])

    assert bytes_up("age", "aaaa") - bytes_up("age", "a") == 3
    assert bytes_up("ages of all", "a") - bytes_up("age", "a") >= 8


def test_what_silos_and_federations_print() -> None:
    silo = Silo("mayo", [[1.0], [2.0]], [0, 1])
    assert repr(silo) == "Silo('mayo', 2 rows, 1 features)"
    scored = Silo("mayo", [[1.0], [2.0]], [0, 1], eval_set=[([[1.0]], [0])])
    assert repr(scored) == "Silo('mayo', 2 rows, 1 features, 1 evaluation sets)"
    assert repr(LocalFederation([silo])) == "LocalFederation(1 silos, 2 rows, mode='fused')"


def test_what_is_no_federation_is_named() -> None:
    class Partial:
        def ask(self, call: object, cohort: object) -> list[object]:
            return []

    with pytest.raises(ParameterError, match="a Partial lacks 'names'"):
        FedTreeClassifier().fit_federation(Partial())


def test_whoever_watches_a_ledger_hears_of_each_round_while_watching() -> None:
    ledger, heard = Ledger(["a", "b"]), list[int]()

    def round() -> None:
        ledger.record(Entry(ledger.rounds, "Counts", np.arange(2), 1, 1, 1))

    round()
    with ledger.watched(heard.append):
        round()
        round()
    round()
    assert heard == [1, 2]
    with pytest.raises(ZeroDivisionError), ledger.watched(heard.append):
        1 / 0  # noqa: B018
    round()
    assert heard == [1, 2]
