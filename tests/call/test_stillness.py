"""Line silence is held back from the model of voice activity, which misses nothing by it."""

from __future__ import annotations

import numpy as np
import pytest

from agent.call.stillness import MOST_HELD, SETTLED, Stillness
from agent.config import CONFIGS
from audio import g711
from audio.resample import StreamResampler, resample, to_float, to_pcm16
from audio.wav import read_mono
from models.contracts import Samples
from models.vad import FRAME, SileroVad, VadState

SILENCE = np.zeros(FRAME, dtype=np.float32)
LOUD = np.full(FRAME, 0.1, dtype=np.float32)


def test_silence_is_held_once_it_has_lasted() -> None:
    still = Stillness()
    assert [still.holds(SILENCE, True) for _ in range(SETTLED + 2)] == [False] * SETTLED + [True, True]
    assert not still.holds(LOUD, True)
    assert len(still.released()) == 2
    assert still.released() == []
    assert not still.holds(SILENCE, True)


def test_nothing_is_held_where_it_may_not_be() -> None:
    still = Stillness()
    assert not any(still.holds(SILENCE, False) for _ in range(50))
    assert still.holds(SILENCE, True)


def test_no_more_is_held_than_is_soon_made_up_for() -> None:
    still = Stillness()
    held = [still.holds(SILENCE, True) for _ in range(SETTLED + MOST_HELD + 1)]
    assert held == [False] * SETTLED + [True] * MOST_HELD + [False]
    assert len(still.released()) == MOST_HELD
    assert still.holds(SILENCE, True)


@pytest.fixture(scope="module")
def vad() -> SileroVad:
    return SileroVad()


def telephone(gain_db: float, noise_dbfs: float | None) -> list[Samples]:
    """The shipped caller over a mu-law line, with 3 s of nothing between pieces of 4 s; frames at 16 kHz."""
    voice = resample(read_mono(CONFIGS / "scenarios" / "lines.wav", 16_000), 16_000, 8000)[: 8000 * 40]
    pieces = np.split(voice * np.float32(10 ** (gain_db / 20)), range(32_000, len(voice), 32_000))
    line = np.concatenate([part for piece in pieces for part in (np.zeros(24_011, dtype=np.float32), piece)])
    if noise_dbfs is not None:
        line = line + np.random.default_rng(0).normal(0, 10 ** (noise_dbfs / 20), len(line)).astype(np.float32)
    heard = to_float(g711.decode_mulaw(g711.encode_mulaw(to_pcm16(line))))
    wide = StreamResampler(8000, 16_000).process(heard)
    return list(wide[: len(wide) // FRAME * FRAME].reshape(-1, FRAME))


@pytest.mark.parametrize("gain_db", [0.0, -20.0])
@pytest.mark.parametrize("noise_dbfs", [None, -65.0])
def test_every_voiced_frame_is_found_at_the_same_time(vad: SileroVad, gain_db: float, noise_dbfs: float | None) -> None:
    frames = telephone(gain_db, noise_dbfs)
    every, some = VadState(), VadState()
    plain = [vad.probabilities([(every, frame)])[0] for frame in frames]
    still, found, runs = Stillness(), list[float](), 0
    voiced = False
    for frame in frames:
        if still.holds(frame, not voiced):
            found.append(0.0)
            continue
        runs += 1
        found.append(vad.probabilities([(some, one) for one in (*still.released(), frame)])[-1])
        voiced = found[-1] >= 0.35
    judged = [n for n, chance in enumerate(found) if chance > 0.0]
    assert np.allclose([found[n] for n in judged], [plain[n] for n in judged], atol=1e-4)
    assert [chance >= 0.5 for chance in found] == [chance >= 0.5 for chance in plain]
    assert [chance >= 0.35 for chance in found] == [chance >= 0.35 for chance in plain]
    assert runs < 0.8 * len(frames)
