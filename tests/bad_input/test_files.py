"""Paths that nothing can be written to: refused before any work, by folder, and nothing is left half-written."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xgboost
from xgboost.callback import TrainingCheckPoint

from fedtrees import FedGBTClassifier
from fedtrees.core import files
from fedtrees.core.files import check_folder, write_whole

X, Y = np.arange(24.0).reshape(12, 2), np.array([0, 1] * 6)
MODEL = FedGBTClassifier(2).fit(X, Y)
WRITERS: dict[str, Callable[[Path], Any]] = {
    "json": lambda folder: MODEL.ledger_.to_json(folder / "ledger.json"),
    "csv": lambda folder: MODEL.ledger_.to_csv(str(folder / "ledger.csv"), by="silo"),
    "model": lambda folder: MODEL.save_model(folder / "model.json"),
    "ubj": lambda folder: MODEL.save_model(folder / "model.ubj"),
    "checkpoints": lambda folder: FedGBTClassifier(5, callbacks=[Never(folder)]).fit(X, Y),
}


class Never(TrainingCheckPoint):  # type: ignore[misc]
    """A checkpoint whose training must not begin."""

    def before_training(self, model: Any) -> Any:
        raise AssertionError("the training began")


def sealed(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let no file be made in a folder, not even by a user who may write anywhere."""

    def refuse(dir: Any = None, **_: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "TemporaryFile", refuse)


@pytest.mark.parametrize("case", WRITERS)
def test_a_folder_that_does_not_exist_is_named(case: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere: there is no such folder; make it first, as"):
        WRITERS[case](tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError, match="file: there is no such folder"):
        WRITERS[case](tmp_path / "file")
    assert [own.name for own in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("case", WRITERS)
def test_a_folder_that_cannot_be_written_to_is_named(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed(monkeypatch, tmp_path)
    with pytest.raises(PermissionError, match=r"no file can be made in this folder \(Permission denied\)"):
        WRITERS[case](tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_one(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="no file can be made in this folder"):
        check_folder(tmp_path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "own.json").mkdir()
    for write in (MODEL.ledger_.to_json, MODEL.ledger_.to_csv, MODEL.save_model):
        with pytest.raises(IsADirectoryError, match=r"own\.json: this is a folder; give the name of a file in it"):
            write(tmp_path / "own.json")


def test_what_was_there_stays_where_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.json"
    path.write_bytes(b"before")
    path.chmod(0o640)

    def full(self: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            MODEL.save_model(path)
    assert path.read_bytes() == b"before" and len(list(tmp_path.iterdir())) == 1
    MODEL.save_model(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640 and len(list(tmp_path.iterdir())) == 1
    link = tmp_path / "link.ubj"
    link.symlink_to(tmp_path / "real.ubj")
    MODEL.save_model(link)
    assert link.is_symlink()
    for saved in (path, link):
        assert xgboost.Booster(model_file=saved).get_dump() == MODEL.booster_.get_dump()


def test_files_are_what_xgboost_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for ending in ("json", "ubj"):
        MODEL.save_model(f"ours.{ending}")
        MODEL.booster_.save_model(f"theirs.{ending}")
        assert Path(f"ours.{ending}").read_bytes() == Path(f"theirs.{ending}").read_bytes()
    write_whole("plain", b"text")
    assert stat.S_IMODE(Path("plain").stat().st_mode) == stat.S_IMODE(Path("theirs.ubj").stat().st_mode)
