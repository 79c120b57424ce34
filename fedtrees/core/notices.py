"""Warnings that point at the caller's own line."""

from __future__ import annotations

import sys
import warnings


def warn_caller(message: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning that points at the line outside fedtrees that led here."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "fedtrees":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
