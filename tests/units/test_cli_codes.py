"""What the command line returns, where it writes, and that every word of it reaches the demo."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from fedtrees import DataError
from fedtrees.cli import main
from fedtrees.datasets import load_breast_cancer_clinics
from fedtrees.demo import Comparison, Scored, Settings, SiloRow, _load, compare, report


def asked(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    given: list[Settings] = []
    monkeypatch.setattr("fedtrees.demo.run", given.append)
    assert main(["demo", *words]) == 0
    return given[0]


def test_no_word_asks_for_the_defaults_that_the_help_names(monkeypatch: pytest.MonkeyPatch) -> None:
    expected: dict[str, Any] = {
        "data": None, "n_estimators": 100, "max_depth": 6, "learning_rate": 0.1, "silos_alone": True, "seed": 0,
        "n_jobs": None, "max_rows": None,
    }  # fmt: skip
    assert asdict(asked([], monkeypatch)) == expected == asdict(Settings())


def test_every_word_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--data", "clinics", "--trees", "7", "--depth", "3", "--learning-rate", "1", "--no-silos-alone"]
    heard = asked([*words, "--seed", "5", "--threads", "2", "--quick"], monkeypatch)
    assert heard == Settings("clinics", 7, 3, 1.0, False, 5, 2, 30_000)
    assert heard.parameters() == {
        "n_estimators": 7, "max_depth": 3, "learning_rate": 1.0, "max_bin": 256, "random_state": 5, "n_jobs": 2,
    }  # fmt: skip


@pytest.mark.parametrize("words", [["demo", "--learning-rate", "0"], ["demo", "--tree", "3"], ["--vers"]])
def test_ends_of_ranges_and_beginnings_of_words_are_not_understood(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith("fedtrees: error: ")


@pytest.mark.parametrize(
    ("raised", "code", "text"),
    [
        (DataError("no rows"), 1, "fedtrees: error: no rows\n"),
        (KeyboardInterrupt(), 130, "fedtrees: interrupted\n"),
    ],
)
def test_what_ends_a_command_is_told_by_its_code_and_on_the_error_stream(
    raised: BaseException, code: int, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(settings: Settings) -> None:
        raise raised

    monkeypatch.setattr("fedtrees.demo.run", fail)
    assert main(["demo"]) == code
    assert capsys.readouterr() == ("", text)


@pytest.mark.parametrize("kept", [True, False])
def test_a_warm_up_shows_its_steps_and_fails_where_nothing_is_kept(
    kept: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done: list[int] = []
    monkeypatch.setattr("fedtrees.warmup.steps", lambda: [lambda: done.append(1)] * 3)
    monkeypatch.setattr("fedtrees.core.numeric.compiled._warned", not kept)
    monkeypatch.setattr("fedtrees.estimators.common.progress.EVERY", 0.0)
    assert main(["warmup"]) == (0 if kept else 1)
    shown = capsys.readouterr()
    assert len(done) == 3 and shown.out == ""
    lines = shown.err.splitlines()
    assert [line.split(",")[0] for line in lines[:3]] == [f"warming up: {k} of 3 trainings" for k in (1, 2, 3)]
    assert ("the kernels could not be kept; set NUMBA_CACHE_DIR" in shown.err) == (not kept)


# -- the demo's report --------------------------------------------------------------------------------------


def test_the_report_gives_each_number_its_place() -> None:
    silos = (
        SiloRow("large", 3000, 12_345_678, 2_000_000, 0.75),
        SiloRow("middling", 200, 1_000_000, 2_500_000, 0.5),
        SiloRow("small", 10, 4_000, 1_500_000, None),
    )
    result = Comparison(
        Scored("fedtrees, federated", 3210, 0.81, 1.25), Scored("XGBoost hist, pooled rows", 3210, 0.82, 2.5), silos,
        1234, True, 1070,
    )  # fmt: skip
    console = Console(width=88, highlight=False, markup=False)
    with console.capture() as text:
        for part in report(load_breast_cancer_clinics(), Settings(n_estimators=9, max_depth=4), result):
            console.print(part)
    lines = [" ".join(line.split()) for line in text.get().splitlines()]
    for line in (
        "fedtrees, federated 3,210 0.81000 1.2",
        "XGBoost hist, pooled rows 3,210 0.82000 2.5",
        "XGBoost hist, best silo alone (large) 3,000 0.75000",
        "XGBoost hist, worst silo alone (middling) 200 0.50000",
        "rounds of messages: 1,234",
        "same bytes as trained on pooled rows: yes",
        "large 3,000 12.35 MB 2.00 MB 0.75000",
        "middling 200 1.00 MB 2.50 MB 0.50000",
        "small 10 0.00 MB 1.50 MB -",
    ):
        assert line in lines, line
    assert "All models have 9 trees of depth 4 at learning rate 0.1 and are scored on the same 1,070 rows" in " ".join(
        lines
    )


def test_bytes_rounds_and_rows_are_the_ledgers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained: list[Any] = []
    fit = __import__("fedtrees").FedGBTClassifier.fit

    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        trained.append(self)
        return fit(self, *args, **kwargs)

    monkeypatch.setattr("fedtrees.FedGBTClassifier.fit", noted)
    example = load_breast_cancer_clinics()
    result = compare(example, Settings(n_estimators=2, max_depth=2))
    model = next(own for own in trained if own.verbose)
    of_silos = model.ledger_.per_silo()
    assert result.rounds == model.ledger_.rounds and result.same_bytes
    for row in result.silos:
        held = (example.silos == row.name).sum()
        assert row.n_rows == held - round(held / 4 + 1e-9)
        assert (row.bytes_up, row.bytes_down) == tuple(of_silos.loc[row.name, ["bytes_up", "bytes_down"]])
    assert [row.name for row in result.silos] == ["screening", "general", "oncology"]
    shown = capsys.readouterr()
    assert shown.out == "" and "boosting" in shown.err


def test_another_model_than_the_pooled_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedtrees.demo._bytes_of", lambda model: bytes(model.n_estimators + model.verbose))
    assert not compare(
        load_breast_cancer_clinics(), Settings(n_estimators=1, max_depth=1, silos_alone=False)
    ).same_bytes


def test_as_many_rows_as_there_are_stay_as_they_stand() -> None:
    whole = load_breast_cancer_clinics()
    for most in (569, 570, None):
        np.testing.assert_array_equal(_load(Settings(data="clinics", max_rows=most)).X, whole.X)
    assert len(_load(Settings(data="clinics", max_rows=568)).y) == 568
