from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audio.ring import Ring


def count(start: int, end: int) -> np.ndarray:
    return np.arange(start, end, dtype=np.float32)


@given(st.lists(st.integers(0, 25), max_size=12), st.data())
def test_it_reads_like_the_tail_of_the_whole_stream(sizes: list[int], data: st.DataObject) -> None:
    ring = Ring(1.0, 10)
    for size in sizes:
        ring.append(count(ring.end, ring.end + size))
    assert ring.end == sum(sizes)
    assert ring.start == max(0, ring.end - 10)
    start = data.draw(st.integers(0, ring.end))
    end = data.draw(st.integers(start, ring.end))
    np.testing.assert_array_equal(ring.slice(start, end), count(min(max(start, ring.start), max(end, ring.start)), end))


def test_a_slice_is_a_copy() -> None:
    ring = Ring(1.0, 4)
    ring.append(count(0, 4))
    kept = ring.slice(0, 4)
    ring.append(count(4, 8))
    np.testing.assert_array_equal(kept, count(0, 4))


@pytest.mark.parametrize(("start", "end"), [(0, 6), (-1, 2), (4, 3)])
def test_positions_outside_the_stream_are_refused(start: int, end: int) -> None:
    ring = Ring(1.0, 4)
    ring.append(count(0, 5))
    with pytest.raises(ValueError, match=rf"slice\({start}, {end}\).*0..5"):
        ring.slice(start, end)


def test_a_ring_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="holds no sample"):
        Ring(0.0, 16000)


def test_silence_is_like_zeros_however_long() -> None:
    ring, written = Ring(1.0, 100), Ring(1.0, 100)
    random = np.random.default_rng(0)
    for count in (30, 0, 250, 99, 100, 101, 7):
        loud = random.normal(size=13).astype(np.float32)
        for one in (ring, written):
            one.append(loud)
        ring.append_silence(count)
        written.append(np.zeros(count, dtype=np.float32))
        assert (ring.start, ring.end) == (written.start, written.end)
        assert np.array_equal(ring.slice(ring.start, ring.end), written.slice(written.start, written.end))
    ring.append_silence(10**9)
    assert not ring.slice(ring.start, ring.end).any()
