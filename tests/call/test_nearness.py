"""The caller's own voice is near, valleys between syllables included; the same voice from farther away is not."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from agent.call.nearness import LEAST_FRAMES, Nearness
from audio.talker import talk

FRAME = 512
Float = npt.NDArray[np.float32]


def frames(seed: int, db: float = 0.0) -> list[Float]:
    """Frames of somebody talking in which there is something."""
    sound = talk(4.0, 16_000, seed, pause_s=(0.2, 0.5)) * np.float32(10 ** (db / 20))
    cut = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
    return [frame for frame in cut if float(np.square(frame).mean()) > 1e-3 * float(np.square(sound).mean())]


def known(seed: int = 1, db: float = 0.0) -> Nearness:
    near = Nearness()
    for frame in frames(seed, db):
        near.voiced(frame)
    near.answered()
    return near


def test_nobody_is_far_before_the_caller_was_heard() -> None:
    near = Nearness()
    assert not any(near.far(frame) for frame in frames(2, -30))


def test_a_turn_that_was_dropped_or_short_teaches_nothing() -> None:
    near = Nearness()
    for frame in frames(1):
        near.voiced(frame)
    near.dropped()
    for frame in frames(1)[: LEAST_FRAMES - 1]:
        near.voiced(frame)
    near.answered()
    assert not any(near.far(frame) for frame in frames(2, -30))


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_the_callers_own_valleys_are_near(seed: int) -> None:
    near = known()
    assert np.mean([near.far(frame) for frame in frames(seed)]) < 0.05


@pytest.mark.parametrize("db", [-15, -18])
def test_the_same_voice_from_farther_away_is_far(db: float) -> None:
    near = known()
    assert np.mean([near.far(frame) for frame in frames(2, db)]) > 0.9


def test_a_loud_sound_of_a_turn_that_ended_makes_no_later_voice_near() -> None:
    near = known()
    for frame in frames(2, 10):
        near.far(frame)
    near.dropped()
    assert near.far(frames(2, -18)[5])
