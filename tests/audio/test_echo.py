"""The agent's echo is explained by what was played; a caller's voice is not."""

import numpy as np
import numpy.typing as npt
import pytest

from audio import g711
from audio.echo import RATE, EchoDetector
from audio.resample import resample, to_float, to_pcm16

Float = npt.NDArray[np.float32]
FRAME_MS = 32


def talk(seconds: float, seed: int) -> Float:
    """Noise with a voice's slope and syllables of 150 to 300 ms."""
    chance = np.random.default_rng(seed)
    white = chance.normal(0, 1, round(seconds * RATE))
    sloped = np.convolve(white, 0.9 ** np.arange(40))[: len(white)]
    loud = np.concatenate([np.full(round(chance.uniform(0.15, 0.3) * RATE), chance.uniform(0.1, 1)) for _ in range(60)])
    sound = sloped * np.resize(loud, len(white))
    return np.asarray(sound / np.abs(sound).max() * 0.5, dtype=np.float32)


def echo(played: Float, delay_ms: float, db: float, taps: int = 40) -> Float:
    """A delayed, attenuated copy through a small room."""
    room = np.random.default_rng(9).normal(0, 0.3, taps) * 0.85 ** np.arange(taps)
    room[0] = 1
    back = np.convolve(played, room)[: len(played)] * 10 ** (db / 20)
    return np.concatenate([np.zeros(round(delay_ms * RATE / 1000)), back])[: len(played)].astype(np.float32)


def mulaw(samples: Float) -> Float:
    return to_float(g711.decode_mulaw(g711.encode_mulaw(to_pcm16(samples))))


def readings(
    played: Float, received: Float, rate: int = RATE, start_ms: float = 5000.0, jitter_ms: float = 0.0
) -> tuple[npt.NDArray[np.float64], EchoDetector]:
    """What is explained of each frame of `received`, told in frames of 32 ms with times that jitter."""
    detector = EchoDetector(rate)
    chance = np.random.default_rng(1)
    size = rate * FRAME_MS // 1000
    out = []
    for n in range(len(received) // size):
        span = slice(n * size, (n + 1) * size)
        at = start_ms + n * FRAME_MS
        detector.played(played[span], at + chance.uniform(-jitter_ms, jitter_ms))
        out.append(detector.explains(received[span], at + chance.uniform(-jitter_ms, jitter_ms)))
    assert all(0 <= value <= 1 for value in out)
    return np.array(out), detector


def during(values: npt.NDArray[np.float64], begin_s: float, end_s: float) -> npt.NDArray[np.float64]:
    return values[round(begin_s * 1000 / FRAME_MS) : round(end_s * 1000 / FRAME_MS)]


@pytest.mark.parametrize("delay_ms", [0, 40, 170, 333, 590])
@pytest.mark.parametrize("db", [-10, -25])
def test_an_echo_is_explained_whatever_its_delay(delay_ms: float, db: float) -> None:
    played = talk(4, 1)
    found, detector = readings(played, mulaw(echo(played, delay_ms, db)))
    assert detector.delay == pytest.approx(delay_ms * RATE / 1000, abs=4)
    assert np.median(during(found, 1.5, 4)) > 0.8
    assert np.mean(during(found, 1.5, 4) > 0.5) > 0.9


def test_a_caller_is_not_explained_by_what_was_played_meanwhile() -> None:
    found, _ = readings(talk(4, 1), mulaw(talk(4, 2)))
    assert np.median(found) < 0.1
    assert found.max() < 0.5


@pytest.mark.parametrize(("db", "most"), [(6, 0.3), (12, 0.15)])
def test_a_caller_over_the_echo_is_not_explained(db: float, most: float) -> None:
    played = talk(6, 1)
    back = echo(played, 120, -20)
    caller = talk(6, 2) * (np.sqrt(np.mean(back**2)) / np.sqrt(np.mean(talk(6, 2) ** 2)) * 10 ** (db / 20))
    caller[: 3 * RATE] = 0
    found, _ = readings(played, mulaw(back + caller.astype(np.float32)))
    assert np.median(during(found, 1.5, 2.9)) > 0.8
    assert np.median(during(found, 3.2, 6)) < most


def test_a_delay_that_changes_is_found_again() -> None:
    played = talk(9, 1)
    received = np.concatenate([echo(played, 80, -20)[: 4 * RATE], echo(played, 300, -20)[4 * RATE :]])
    found, detector = readings(played, received)
    assert detector.delay == pytest.approx(0.3 * RATE, abs=4)
    assert np.median(during(found, 2, 4)) > 0.8
    assert np.median(during(found, 7, 9)) > 0.8


def test_nothing_is_explained_where_nothing_was_played() -> None:
    heard = talk(2, 2)
    found, detector = readings(np.zeros_like(heard), heard)
    assert not found.any()
    assert detector.delay is None
    assert EchoDetector(RATE).explains(heard[:256], 0.0) == 0.0


def test_silence_is_not_explained() -> None:
    played = talk(2, 1)
    found, _ = readings(played, np.zeros_like(played))
    assert not found.any()


def test_the_agents_voice_stops_explaining_when_it_has_stopped() -> None:
    played = talk(6, 1)
    played[3 * RATE :] = 0
    caller = talk(6, 2)
    caller[: 3 * RATE] = 0
    found, _ = readings(played, echo(played, 100, -15) + caller)
    assert np.median(during(found, 1.5, 3)) > 0.8
    assert not during(found, 4, 6).any()


def test_times_that_jitter_and_wide_audio_are_taken() -> None:
    played = talk(4, 1)
    received = mulaw(echo(played, 210, -20))
    found, _ = readings(resample(played, RATE, 16_000), resample(received, RATE, 16_000), 16_000, jitter_ms=15)
    assert np.median(during(found, 1.5, 4)) > 0.7


def test_a_pause_in_what_is_played_keeps_its_time() -> None:
    played = talk(6, 1)
    received = echo(played, 150, -20)
    detector = EchoDetector(RATE)
    found = []
    for n in range(len(played) // 256):
        span = slice(n * 256, (n + 1) * 256)
        quiet = 2000 <= n * FRAME_MS < 3500  # not told while silent, as a call's playout does
        if not quiet:
            detector.played(played[span], float(n * FRAME_MS))
        found.append(detector.explains(received[span] if not quiet else np.zeros(256, np.float32), float(n * FRAME_MS)))
    assert np.median(found[round(4000 / FRAME_MS) :]) > 0.8
