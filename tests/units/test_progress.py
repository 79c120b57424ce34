"""What a training shows of itself: bars on terminals, lines elsewhere, each under its family's name."""

from __future__ import annotations

import sys
from io import StringIO
from typing import Any

import numpy as np
import pytest

import fedtrees
from fedtrees.estimators.common import progress as module
from fedtrees.estimators.common.progress import draws_bars, progress

X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] + np.random.default_rng(1).normal(size=60) > 0).astype(int)


class Terminal(StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EVERY", 0.0)


def test_lines_come_every_few_seconds_and_at_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(
        [0.0, 1.0, 3.5, 3.5, 4.0, 6.9, 6.9, 7.2]
    )  # start, then each step, and again where something is written
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with progress(1, 10, "boosting") as shown:
        for step in range(4):
            shown(step)
    assert capsys.readouterr().err.splitlines() == [
        "boosting: 2 of 10 trees, 4 s",
        "boosting: 4 of 10 trees, 7 s",
        "boosting: 4 of 10 trees, 7 s",
    ]  # fmt: skip


def test_nothing_is_written_where_nothing_was_asked_for(capsys: pytest.CaptureFixture[str], eager: None) -> None:
    with progress(0, 3) as shown:
        shown(0)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("total", [3, None])
def test_a_terminal_gets_a_bar(total: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with progress(1, total, "forest", "rounds") as shown:
        for step in range(3):
            shown(step)
    text = stream.getvalue()
    assert "forest" in text and ("3/3 rounds" if total else "3 rounds") in text


def test_a_bar_says_that_kernels_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for verbose in (0, 1):
        stream = Terminal()
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setattr(module, "_advised", False)
        bar = module._Bar("boosting", "trees", 3, quiet=not verbose)
        bar.compiling(1)
        assert (bar._shown is not None) and "fedtrees compiles its kernels" in stream.getvalue()
        bar.compiled()
        assert (bar._shown is None) == (not verbose)
        bar.close()
        assert "compiling" in stream.getvalue()


@pytest.mark.parametrize("kind", [module._Lines, module._Bar])
@pytest.mark.parametrize("quiet", [True, False])
def test_that_kernels_are_compiled_is_said_once_in_a_process(
    kind: Any, quiet: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(module, "_advised", False)
    for training in range(2):
        shown = kind("boosting", "trees", 3, quiet=quiet)
        shown.compiling(1), shown.compiling(2), shown.compiled(), shown.close()
        assert stream.getvalue().count("fedtrees compiles its kernels") == 1, training


@pytest.mark.parametrize("widgets", [False, True])
def test_a_notebook_gets_a_bar_if_it_has_widgets(widgets: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr(module, "find_spec", lambda name: object() if widgets else None)
    assert draws_bars(sys.stderr) == widgets


FAMILIES = {
    "boosting": (fedtrees.FedGBTClassifier, {"n_estimators": 3, "max_depth": 2}),
    "bagging": (fedtrees.FedGBTClassifier, {"n_estimators": 3, "max_depth": 2, "mode": "bagging"}),
    "cyclic boosting": (fedtrees.FedGBTClassifier, {"n_estimators": 3, "max_depth": 2, "mode": "cyclic"}),
    "tree": (fedtrees.FedTreeClassifier, {"max_depth": 2}),
    "forest": (fedtrees.FedForestClassifier, {"n_estimators": 3, "max_depth": 2}),
    "extra trees": (fedtrees.FedExtraTreesClassifier, {"n_estimators": 3, "max_depth": 2}),
    "AdaBoost": (fedtrees.FedAdaBoostClassifier, {"n_estimators": 3}),
    "averaging": (fedtrees.FedAvgClassifier, {"hidden_layer_sizes": (), "n_rounds": 3}),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_moves_under_its_own_name(name: str, capsys: pytest.CaptureFixture[str], eager: None) -> None:
    kind, params = FAMILIES[name]
    kind(**params, verbose=1).fit(X, Y, silos=np.arange(60) % 2)
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith(name + ": ")]
    done = [int(line.removeprefix(name + ": ").split()[0]) for line in lines]
    assert len(set(done)) >= 2 and done == sorted(done)
    if " of " in lines[0]:  # every round once, and all of them at the end
        assert list(dict.fromkeys(done)) == [1, 2, 3] and f"{name}: 3 of 3 " in lines[-1]
    kind(**params).fit(X, Y, silos=np.arange(60) % 2)
    assert name + ": " not in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["histogram", "bagging"])
@pytest.mark.parametrize("kind", [fedtrees.FedGBTClassifier, fedtrees.FedGBTRegressor, fedtrees.FedGBTRanker])
@pytest.mark.parametrize(
    ("made", "asked", "shown"),
    [(0, None, False), (1, None, True), (True, None, True), (1, 0, False), (1, False, False), (0, 1, True),
     (0, True, True), (2, 1, True)],
)  # fmt: skip
def test_a_call_that_says_so_is_verbose_or_quiet_whatever_the_model_is(
    kind: Any, mode: str, made: Any, asked: Any, shown: bool, capsys: pytest.CaptureFixture[str], eager: None
) -> None:
    if kind is fedtrees.FedGBTRanker and mode == "bagging":
        return
    model = kind(1, max_depth=1, verbose=made, mode=mode, n_jobs=1)
    own = {"qid": np.arange(60) // 4} if kind is fedtrees.FedGBTRanker else {}
    model.fit(X, Y, **own, verbose=asked)
    assert ("of 1 trees" in capsys.readouterr().err) == shown and model.verbose == made
    columns = {name: np.unique(value, return_inverse=True)[1] for name, value in own.items()}
    silo = fedtrees.Silo("a", X, Y, **columns)
    model.fit_federation(fedtrees.LocalFederation([silo]), verbose=asked)
    assert ("of 1 trees" in capsys.readouterr().err) == shown and model.verbose == made


@pytest.mark.parametrize(("total", "left"), [(3, True), (None, False)])
def test_a_bar_tells_what_is_left_where_that_is_known(
    total: int | None, left: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with progress(1, total, "forest", "rounds") as shown:
        shown(0)
    assert (" left " in stream.getvalue()) == left


def test_a_bar_goes_back_to_its_task_after_kernels_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(module, "_advised", True)
    bar = module._Bar("boosting", "trees", 3, quiet=False)
    assert bar._shown is not None
    seen = [bar._shown.tasks[0].description]
    for change in (lambda: bar.compiling(1), bar.compiled):
        change()
        seen.append(bar._shown.tasks[0].description)
    bar.close()
    assert seen == ["boosting", "compiling", "boosting"]


@pytest.mark.parametrize("quiet", [True, False])
def test_a_bar_of_compilation_alone_goes_away(quiet: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(module, "_advised", True)
    bar = module._Bar("boosting", "trees", 3, quiet=quiet)
    bar.compiling(1)
    assert bar._shown is not None and bar._shown.live.transient == quiet
    bar.close()
