"""The agent's voice come back is nobody speaking; a caller over it is somebody."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from agent.call.own_voice import HEARD_RATE, OwnVoice
from audio.codec import Pcm16
from audio.echo import RATE
from audio.g711 import decode_mulaw, encode_mulaw
from audio.resample import resample, to_float, to_pcm16
from audio.talker import talk

FRAME_MS = 32.0
FRAME = 512


def line(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """8 kHz samples as they arrive after mu-law, at 16 kHz."""
    return resample(to_float(decode_mulaw(encode_mulaw(to_pcm16(samples)))), RATE, HEARD_RATE)


def judged(played: Pcm16, heard: npt.NDArray[np.float32], jitter_ms: float = 0.0, seed: int = 0) -> list[bool]:
    """What is said of each frame when both go on side by side."""
    own, rng = OwnVoice(), np.random.default_rng(seed)
    found = []
    step = round(FRAME_MS * RATE / 1000)
    for number in range(len(heard) // FRAME):
        own.played(played[number * step : (number + 1) * step], number * FRAME_MS)
        now = (number + 1) * FRAME_MS + rng.uniform(0.0, jitter_ms)
        frame = heard[number * FRAME : (number + 1) * FRAME]
        found.append(own.in_frame(frame, now, float(np.abs(frame).max()) > 0.003))
    return found


def loud(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    power: npt.NDArray[np.float64] = np.square(frames, dtype=np.float64).mean(axis=1)
    return np.asarray(power > 0.05 * power.max())


def delayed(samples: npt.NDArray[np.float32], ms: float, db: float) -> npt.NDArray[np.float32]:
    moved = np.concatenate([np.zeros(round(ms * RATE / 1000), dtype=np.float32), samples])[: len(samples)]
    return (moved * 10 ** (db / 20)).astype(np.float32)


@pytest.mark.parametrize(("delay_ms", "level_db"), [(60, -10), (180, -16), (420, -22)])
def test_an_echo_is_the_agents_own_voice(delay_ms: float, level_db: float) -> None:
    agent = talk(6.0, RATE, 3, pause_s=(0.2, 0.5))
    heard = line(delayed(agent, delay_ms, level_db))
    echo = np.array(judged(to_pcm16(agent), heard, jitter_ms=15.0))
    late = np.arange(len(echo)) > 1000 / FRAME_MS  # the delay is known by then
    assert echo[late & loud(heard)].mean() > 0.9


def test_a_caller_over_the_echo_is_heard() -> None:
    agent = talk(6.0, RATE, 3, pause_s=(0.2, 0.5))
    caller = talk(6.0, RATE, 8, pitch_hz=190.0, pause_s=(0.2, 0.4))
    caller[: 3 * RATE] = 0.0
    heard = line(delayed(agent, 180, -16) + caller)
    echo = np.array(judged(to_pcm16(agent), heard))
    spoken = loud(line(caller))
    assert echo[spoken].mean() < 0.1


def test_a_caller_without_any_echo_is_heard() -> None:
    agent = talk(4.0, RATE, 3, pause_s=(0.2, 0.5))
    caller = line(talk(4.0, RATE, 8, pitch_hz=190.0, pause_s=(0.2, 0.4)))
    assert np.mean(np.array(judged(to_pcm16(agent), caller))[loud(caller)]) < 0.05


def test_long_after_the_agent_spoke_nothing_is_compared() -> None:
    own = OwnVoice()
    agent = talk(2.0, RATE, 3, pause_s=(0.2, 0.5))
    own.played(to_pcm16(agent), 0.0)
    heard = line(agent)
    assert not any(own.in_frame(heard[n * FRAME : (n + 1) * FRAME], 20_000 + n * FRAME_MS, True) for n in range(60))


def test_a_later_reply_that_comes_back_sooner_is_still_the_agents_voice() -> None:
    """Phones buffer each stretch anew, in steps of 20 ms; barge-in takes 220 ms of voice, seven frames."""
    first, second = talk(3.0, RATE, 3, pause_s=(0.1, 0.3)), talk(3.0, RATE, 4, pause_s=(0.1, 0.3))
    gap = np.zeros(RATE // 2, dtype=np.float32)
    back = np.concatenate([delayed(np.concatenate([first, gap]), 180, -20), delayed(second, 140, -20)])
    heard = line(back)
    own, step = OwnVoice(), round(FRAME_MS * RATE / 1000)
    agent, silent = to_pcm16(np.concatenate([first, gap, second])), len(first)
    found = []
    for number in range(len(heard) // FRAME):
        at = number * step
        if not silent <= at < silent + len(gap) - step:
            own.played(agent[at : at + step], number * FRAME_MS)
        frame = heard[number * FRAME : (number + 1) * FRAME]
        found.append(own.in_frame(frame, (number + 1) * FRAME_MS, float(np.abs(frame).max()) > 0.003))
    begin = (len(first) + len(gap)) // step
    voiced = loud(heard)[begin:]
    echo = np.array(found)[begin:]
    missed = np.flatnonzero(voiced & ~echo)
    assert len(missed) <= 7
    assert echo[voiced].mean() > 0.85


@pytest.mark.parametrize("lost_ms", [128, 256, 512, 928])
@pytest.mark.parametrize("late", [False, True])
def test_an_echo_is_known_again_soon_after_audio_was_lost_or_held_up(lost_ms: int, late: bool) -> None:
    agent = talk(6.0, RATE, 3, pause_s=(0.2, 0.5))
    heard, played, own = line(delayed(agent, 60, -10)), to_pcm16(agent), OwnVoice()
    begin, end = 2016.0, 2016.0 + lost_ms
    waiting: list[npt.NDArray[np.float32]] = []
    echo: list[bool] = []
    for number in range(len(heard) // FRAME):
        now = (number + 1) * FRAME_MS
        own.played(played[number * 256 : (number + 1) * 256], number * FRAME_MS)
        waiting.append(heard[number * FRAME : (number + 1) * FRAME])
        if begin < now <= end:
            continue
        for frame in waiting if late else waiting[-1:]:
            voiced = float(np.abs(frame).max()) > 0.03
            found = own.in_frame(frame, now, voiced)
            if voiced and now > begin:
                echo.append(found)
        waiting.clear()
    missed = int(np.sum(~np.array(echo)[:15]))
    assert missed <= 5
    assert np.mean(echo) > 0.85


def test_an_echo_that_comes_later_within_a_sentence_is_known_again_before_it_stops_the_agent() -> None:
    agent = talk(6.0, RATE, 3, pause_s=(0.2, 0.5))
    cut = 3 * RATE
    heard = line(np.concatenate([delayed(agent, 100, -16)[:cut], delayed(agent, 220, -16)[cut:]]))
    echo = np.array(judged(to_pcm16(agent), heard))
    after = np.flatnonzero(loud(heard) & (np.arange(len(echo)) > 3000 / FRAME_MS))
    assert np.sum(~echo[after[:13]]) < 7
    assert echo[after].mean() > 0.85
