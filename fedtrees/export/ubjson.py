"""UBJSON (draft 12), as far as an XGBoost model needs it: every length is an int64, arrays of numbers are typed."""

from __future__ import annotations

import struct

import numpy as np

_MARKERS = {"f4": b"d", "i2": b"I", "i4": b"l", "i8": b"L", "i1": b"i", "u1": b"U"}


def write_ubjson(value: object) -> bytes:
    r"""A value as UBJSON.

    Parameters
    ----------
    value : dict, list, str, int or big-endian array, nested at will

    Examples
    --------
    >>> write_ubjson({"a": np.array([1], ">i4")})
    b'{L\x00\x00\x00\x00\x00\x00\x00\x01a[$l#L\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x01}'
    """
    parts: list[bytes] = []
    _write(value, parts)
    return b"".join(parts)


def _write(value: object, parts: list[bytes]) -> None:
    """Append a value."""
    if isinstance(value, np.ndarray):
        parts += (b"[$", _MARKERS[value.dtype.str[1:]], b"#", _int64(len(value)), value.tobytes())
    elif isinstance(value, dict):
        parts.append(b"{")
        for key, item in value.items():
            parts.append(_text(key))
            _write(item, parts)
        parts.append(b"}")
    elif isinstance(value, list):
        parts += (b"[#", _int64(len(value)))
        for item in value:
            _write(item, parts)
    elif isinstance(value, str):
        parts += (b"S", _text(value))
    elif isinstance(value, int):
        parts.append(_int64(value))
    else:
        raise TypeError(f"{type(value).__name__} has no place in an XGBoost model.")


def _int64(value: int) -> bytes:
    return struct.pack(">cq", b"L", value)


def _text(text: str) -> bytes:
    data = text.encode()
    return _int64(len(data)) + data
