from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.framing import Framer


@given(st.integers(1, 20), st.lists(st.integers(0, 50), max_size=12))
def test_frames_and_rest_are_the_stream(size: int, lengths: list[int]) -> None:
    framer: Framer[np.int16] = Framer(size)
    stream = np.arange(sum(lengths), dtype=np.int16)
    frames, at = [], 0
    for length in lengths:
        frames += framer.push(stream[at : at + length])
        at += length
        assert framer.waiting == at % size
    assert all(len(frame) == size and frame.dtype == np.int16 for frame in frames)
    rest = framer.flush()
    parts = frames if rest is None else [*frames, rest]
    np.testing.assert_array_equal(np.concatenate([stream[:0], *parts]), stream)
    assert framer.waiting == 0
    assert framer.flush() is None


def test_what_waits_is_a_copy() -> None:
    framer: Framer[np.float32] = Framer(4)
    chunk = np.ones(3, dtype=np.float32)
    framer.push(chunk)
    chunk[:] = 9
    [frame] = framer.push(np.zeros(1, dtype=np.float32))
    assert frame.tolist() == [1, 1, 1, 0]


def test_a_size_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="size must be at least 1"):
        Framer(0)
