"""Texts that are names, and must come through arrays, messages and models as they are."""

from __future__ import annotations


def odd_text(text: str) -> str | None:
    r"""The part of a text that does not come through, or None: NumPy and C drop NUL, UTF-8 has no lone surrogates.

    Examples
    --------
    >>> odd_text("St. Mary's \U0001f3e5"), odd_text("a\x00")
    (None, 'a NUL character')
    """
    if "\0" in text:
        return "a NUL character"
    if text.isascii():
        return None
    return "half a character (a lone surrogate)" if any("\ud800" <= char <= "\udfff" for char in text) else None
