"""Files that are written as a whole or not at all, and folders that can be written to."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryFile
from uuid import uuid4


def check_folder(folder: str | os.PathLike[str]) -> None:
    """Refuse a folder that no file can be made in.

    Raises
    ------
    FileNotFoundError
        If there is none.
    PermissionError
        If nothing can be written there.

    Examples
    --------
    >>> check_folder("nowhere")
    Traceback (most recent call last):
        ...
    FileNotFoundError: nowhere: there is no such folder; make it first, as os.makedirs does.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"{os.fspath(folder)}: there is no such folder; make it first, as os.makedirs does.")
    try:
        TemporaryFile(dir=folder).close()
    except OSError as error:
        why = error.strerror or error
        raise PermissionError(f"{os.fspath(folder)}: no file can be made in this folder ({why}).") from error


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file; where that fails, what was there before stays as it was.

    Raises
    ------
    FileNotFoundError, PermissionError
        See `check_folder`.
    IsADirectoryError
        If the path is a folder.
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"{target}: this is a folder; give the name of a file in it.")
    folder = target.absolute().parent
    check_folder(folder)
    if target.exists() and not target.is_file():  # a pipe or a device, which nothing may stand in for
        target.write_bytes(data)
        return
    part = folder / f".{target.name}.{uuid4().hex}"
    try:
        with part.open("xb") as written:
            written.write(data)
        if target.exists():
            part.chmod(target.stat().st_mode & 0o777)
        part.replace(target.resolve())
    finally:
        part.unlink(missing_ok=True)
