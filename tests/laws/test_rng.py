"""Keyed streams: pinned for ever, independent of each other, and blind to what was drawn elsewhere."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrees.core.numeric.rng import stream

Key = tuple[int, str, int, str]

# These may never change: cohorts, splits and so models that people have published depend on them.
PINNED: dict[Key, tuple[list[int], float]] = {
    (0, "cohort", 0, ""): ([7515799594263276315, 3522550987891096575], 0.7419434603135082),
    (0, "cohort", 1, ""): ([7201572258149614381, 7500786563948845443], 0.3297676669060361),
    (-1, "cohort", 0, ""): ([9122735525298570128, 2928010857941878423], 0.6657854746499987),
    (2**70, "split", 12, "mayo"): ([4836553297940442572, 6469089345356156310], 0.4135864397072624),
    (7, "weights", 3, "Zürich"): ([3791117496359695537, 2034328409637270817], 0.11367236495795774),
}


@pytest.mark.parametrize("key", PINNED, ids=str)
def test_the_first_draws_are_what_they_always_were(key: Key) -> None:
    integers, number = PINNED[key]
    generator = stream(*key)
    assert generator.integers(2**63, size=2).tolist() == integers
    assert generator.random() == number


# law: stream
@given(st.integers(), st.text(), st.integers(), st.text())
def test_equal_keys_draw_the_same_whatever_was_drawn_elsewhere(seed: int, purpose: str, round: int, silo: str) -> None:
    first = stream(seed, purpose, round, silo).integers(2**63, size=3)
    other = stream(seed + 1, purpose, round, silo)
    other.random(100)
    np.random.default_rng().random()
    np.testing.assert_array_equal(stream(seed, purpose, round, silo).integers(2**63, size=3), first)
    np.testing.assert_array_equal(
        stream(np.int64(seed % 2**60), purpose).random(2), stream(seed % 2**60, purpose).random(2)
    )


# law: stream
@given(*[st.tuples(st.integers(), st.text(), st.integers(), st.text())] * 2)
def test_different_keys_draw_differently(a: Key, b: Key) -> None:
    same = stream(*a).integers(2**63, size=2).tolist() == stream(*b).integers(2**63, size=2).tolist()
    assert same == (a == b)


def test_no_two_keys_spell_the_same_text() -> None:
    # written one after the other without their lengths, each of these would read "11a1b"
    keys = [(1, "1a", 1, "b"), (11, "a", 1, "b"), (1, "1a1b", 0, ""), (11, "a1b", 0, ""), (1, "1a", 1, "b0")]
    draws = {stream(*key).integers(2**63) for key in keys}
    assert len(draws) == len(keys)


@pytest.mark.parametrize("sign", [1, -1])
def test_rounds_and_seeds_any_power_of_two_apart_draw_differently(sign: int) -> None:
    far = [0, *(sign * 2**power for power in range(0, 130, 3))]
    for keys in ([(seed, "a", 3) for seed in far], [(3, "a", round) for round in far]):
        assert len({int(stream(*key).integers(2**63)) for key in keys}) == len(far)


# law: stream
def test_neighbouring_streams_do_not_resemble_each_other() -> None:
    n = 4000
    keys = [(seed, purpose, round, silo) for seed, purpose, round, silo in itertools.product(
        (0, 1), ("cohort", "split"), (0, 1, 2), ("", "a")
    )]  # fmt: skip
    draws = np.array([stream(*key).standard_normal(n) for key in keys])
    correlations = np.corrcoef(draws)[np.triu_indices(len(keys), 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(n)
    assert abs(float(draws.mean())) < 5 / np.sqrt(draws.size)


def test_streams_do_not_touch_the_global_generator() -> None:
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - that it is left alone is what is tested
    stream(0, "cohort").random(10)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002
