"""Keyed random streams: every draw has a key of its purpose, so that none depends on earlier draws."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np


def stream(seed: int, purpose: str, round: int = 0, silo: str = "") -> np.random.Generator:
    """Return the generator that belongs to one purpose, in one round, at one silo.

    Law: equal keys give equal draws and different keys independent ones, whatever was drawn elsewhere.

    Parameters
    ----------
    seed : int
        The run's seed, of any size and sign.
    purpose : str
        The purpose of the draw, for example ``"cohort"``.
    round : int, default 0
    silo : str, default ""
        Empty for the server's own draws.

    Examples
    --------
    >>> stream(7, "cohort", round=3).integers(100) == stream(7, "cohort", round=3).integers(100)
    np.True_
    """
    parts = (str(int(seed)), purpose, str(int(round)), silo)
    # each part carries its length, so that no two different keys can spell the same text
    text = "".join(f"{len(part)}:{part}" for part in parts)
    key = blake2b(text.encode(), digest_size=16, person=b"fedtrees").digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
