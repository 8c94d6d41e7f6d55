from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from audio import g711
from audio.damage import (
    EchoSpec,
    LineDamage,
    LineDamageSpec,
    NoiseSpec,
    SecondTalkerSpec,
)
from audio.noises import BEDS
from audio.resample import to_float, to_pcm16
from audio.talker import SPEECH_DBFS, active_rms, talk
from audio.wav import write_wav

Frames = list[list["np.ndarray | None"]]


def run(
    spec: LineDamageSpec, caller: np.ndarray, agent: np.ndarray | None = None, rate: int = 8000, seed: int = 0
) -> Frames:
    size = rate // 50
    damage = LineDamage(spec, rate, seed)
    other = np.zeros_like(caller) if agent is None else agent
    return [
        damage.frame(caller[at : at + size], other[at : at + size]) for at in range(0, len(caller) - size + 1, size)
    ]


def joined(frames: Frames) -> np.ndarray:
    return np.concatenate([packet for tick in frames for packet in tick if packet is not None])


def speech(seconds: float, rate: int = 8000, seed: int = 1) -> np.ndarray:
    return to_pcm16(talk(seconds, rate, seed, pitch_hz=120.0, pause_s=(0.2, 0.5)))


def numbered(count: int) -> np.ndarray:
    """Frames that say which they are: every sample of frame n is n + 1."""
    return np.repeat(np.arange(1, count + 1, dtype=np.int16), 160)


def dbfs(samples: np.ndarray) -> float:
    return 20 * float(np.log10(np.sqrt(np.mean(to_float(samples).astype(np.float64) ** 2))))


def test_no_damage_changes_nothing() -> None:
    caller = speech(2.0)
    frames = run(LineDamageSpec(), caller, agent=speech(2.0, seed=2))
    assert all(len(tick) == 1 for tick in frames)
    np.testing.assert_array_equal(joined(frames), caller)


@pytest.mark.parametrize("rate", [8000, 16_000])
def test_everything_at_once_is_the_same_for_a_seed_and_another_for_another(rate: int) -> None:
    spec = LineDamageSpec(
        "alaw", -6.0, 5.0, 60.0, NoiseSpec("tv", 15.0), EchoSpec(-20.0, 160.0), 0.5, SecondTalkerSpec(-12.0)
    )
    caller, agent = speech(4.0, rate), speech(4.0, rate, seed=2)
    first, again, other = (run(spec, caller, agent, rate, seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(joined(first), joined(again))
    assert [[packet is None for packet in tick] for tick in first] == [[p is None for p in tick] for tick in again]
    assert not np.array_equal(joined(first)[:10_000], joined(other)[:10_000])


@pytest.mark.parametrize("kind", BEDS)
@pytest.mark.parametrize("snr_db", [5.0, 20.0])
@pytest.mark.parametrize("rate", [8000, 16_000])
def test_noise_has_the_ratio_to_speech_that_was_asked(kind: str, snr_db: float, rate: int) -> None:
    out = joined(run(LineDamageSpec(noise=NoiseSpec(kind, snr_db)), np.zeros(20 * rate, dtype=np.int16), rate=rate))
    level = 20 * np.log10(active_rms(to_float(out), rate))
    assert SPEECH_DBFS - level == pytest.approx(snr_db, abs=1.0)


def test_noise_is_added_to_the_voice() -> None:
    caller = speech(3.0)
    noisy = joined(run(LineDamageSpec(noise=NoiseSpec("white", 10.0)), caller))
    noise = joined(run(LineDamageSpec(noise=NoiseSpec("white", 10.0)), np.zeros_like(caller)))
    quiet = np.abs(to_float(caller) + to_float(noise)) < 0.45
    np.testing.assert_allclose((to_float(noisy) - to_float(noise))[quiet], to_float(caller)[quiet], atol=1e-4)


def test_a_file_of_noise(tmp_path: Path) -> None:
    write_wav(
        tmp_path / "street.wav", np.random.default_rng(0).standard_normal(16_000).astype(np.float32) * 0.02, 16_000
    )
    spec = LineDamageSpec(noise=NoiseSpec(str(tmp_path / "street.wav"), 12.0))
    assert dbfs(joined(run(spec, np.zeros(16_000, dtype=np.int16)))) == pytest.approx(SPEECH_DBFS - 12.0, abs=1.0)


def test_gain() -> None:
    caller = speech(2.0) // 4
    assert dbfs(joined(run(LineDamageSpec(gain_db=-12.0), caller))) == pytest.approx(dbfs(caller) - 12.0, abs=0.2)


@pytest.mark.parametrize(("codec", "low_db"), [("alaw", 30.0), ("mulaw", 30.0)])
def test_a_codec_adds_its_own_error_and_no_more(codec: str, low_db: float) -> None:
    caller = speech(3.0)
    out = joined(run(LineDamageSpec(codec=codec), caller))
    error = out.astype(np.float64) - caller
    assert np.mean(error**2) > 0
    assert 10 * np.log10(np.mean(caller.astype(np.float64) ** 2) / np.mean(error**2)) > low_db


def test_alaw_is_alaw() -> None:
    caller = speech(1.0)
    out = joined(run(LineDamageSpec(codec="alaw"), caller))
    np.testing.assert_array_equal(out, g711.decode_alaw(g711.encode_alaw(caller)))
    np.testing.assert_array_equal(joined(run(LineDamageSpec(codec="none"), caller)), caller)


@pytest.mark.parametrize("percent", [1.0, 5.0, 20.0])
def test_packets_are_lost_as_often_as_asked_and_in_bursts(percent: float) -> None:
    caller = np.ones(160 * 60_000, dtype=np.int16)
    lost = [tick[0] is None for tick in run(LineDamageSpec(loss_percent=percent), caller)]
    assert 100 * np.mean(lost) == pytest.approx(percent, rel=0.15)
    bursts = int(np.sum(np.diff(np.array(lost, dtype=np.int8), prepend=0) == 1))
    assert sum(lost) / bursts == pytest.approx(2.5, rel=0.1)


@pytest.mark.parametrize("jitter_ms", [10.0, 20.0, 60.0, 200.0])
def test_jitter_makes_packets_late_and_bunched_but_never_lost_or_out_of_order(jitter_ms: float) -> None:
    count = 20_000
    frames = run(LineDamageSpec(jitter_ms=jitter_ms), numbered(count))
    came = [
        (tick, int(packet[0]) - 1) for tick, packets in enumerate(frames) for packet in packets if packet is not None
    ]
    numbers = [number for _, number in came]
    assert numbers == list(range(len(numbers)))
    late = np.array([tick - number for tick, number in came]) * 20
    assert len(numbers) >= count - np.ceil(jitter_ms / 20)
    assert late.min() == 0
    assert late.max() == np.ceil(jitter_ms / 20) * 20
    assert max(map(len, frames)) == np.ceil(jitter_ms / 20) + 1


def test_a_packet_that_is_lost_and_late_stays_in_its_place() -> None:
    frames = run(LineDamageSpec(loss_percent=20.0, jitter_ms=100.0), numbered(5000))
    packets = [packet for tick in frames for packet in tick]
    for number, packet in enumerate(packets):
        assert packet is None or int(packet[0]) == number + 1
    assert 0.15 < sum(packet is None for packet in packets) / len(packets) < 0.25


@pytest.mark.parametrize(
    ("level_db", "delay_ms", "rate"), [(-20.0, 160.0, 8000), (-6.0, 0.0, 16_000), (-35.0, 505.0, 8000)]
)
def test_the_agent_comes_back_after_the_delay_at_the_level(level_db: float, delay_ms: float, rate: int) -> None:
    agent = to_pcm16(np.random.default_rng(0).standard_normal(3 * rate).astype(np.float32) * np.float32(0.1))
    out = joined(run(LineDamageSpec(echo=EchoSpec(level_db, delay_ms)), np.zeros_like(agent), agent, rate))
    returned, sent = to_float(out).astype(np.float64), to_float(agent).astype(np.float64)
    match = np.correlate(returned, sent[: 2 * rate], "full")[2 * rate - 1 :]
    lag = int(np.argmax(np.abs(match)))
    assert lag * 1000 / rate == pytest.approx(delay_ms, abs=0.2)
    gain = match[lag] / np.sum(sent[: 2 * rate] ** 2)
    assert 20 * np.log10(gain) == pytest.approx(level_db, abs=1.0)


def test_a_speakerphone_smears_the_voice_and_returns_the_agent() -> None:
    caller, agent = speech(3.0), speech(3.0, seed=2)
    still = np.zeros_like(caller)
    voice = joined(run(LineDamageSpec(speakerphone=0.8), caller))
    assert dbfs(voice) == pytest.approx(dbfs(caller), abs=4.0)
    assert not np.allclose(to_float(voice), to_float(caller), atol=0.01)
    levels = [
        dbfs(joined(run(LineDamageSpec(speakerphone=level), still, agent))) - dbfs(agent) for level in (0.2, 0.5, 1.0)
    ]
    np.testing.assert_allclose(levels, [-28.4, -23.0, -14.0], atol=3.0)
    assert levels == sorted(levels)
    assert not np.any(joined(run(LineDamageSpec(speakerphone=1.0), still, still)))


def test_a_second_talker_talks_now_and_then() -> None:
    out = joined(run(LineDamageSpec(second_talker=SecondTalkerSpec(-12.0)), np.zeros(8000 * 40, dtype=np.int16)))
    assert 20 * np.log10(active_rms(to_float(out), 8000)) == pytest.approx(SPEECH_DBFS - 12.0, abs=1.0)
    loud = np.sqrt(np.mean(to_float(out).reshape(-1, 800) ** 2, axis=1)) > 0.002
    assert 0.15 < loud.mean() < 0.75


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"codec": "gsm"}, "codec must be mulaw, alaw or none, got 'gsm'"),
        ({"loss_percent": 90.0}, "loss_percent must lie between 0 and 60, got 90"),
        ({"loss_percent": float("nan")}, "loss_percent"),
        ({"jitter_ms": -1.0}, "jitter_ms must lie between 0 and 1000, got -1"),
        ({"gain_db": 100.0}, "gain_db"),
        ({"speakerphone": 2.0}, "speakerphone must lie between 0 and 1, got 2"),
        ({"noise": NoiseSpec("brown", 10.0)}, "noise.kind must be one of white, pink, babble, tv"),
        ({"noise": NoiseSpec("pink", 100.0)}, "noise.snr_db"),
        ({"echo": EchoSpec(-20.0, -5.0)}, "echo.delay_ms must lie between 0 and 2000, got -5"),
        ({"echo": EchoSpec(20.0, 5.0)}, "echo.level_db"),
        ({"second_talker": SecondTalkerSpec(40.0)}, "second_talker.level_db"),
    ],
)
def test_a_value_out_of_range_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LineDamageSpec(**values)  # type: ignore[arg-type]


def test_a_frame_of_another_length_is_refused() -> None:
    damage = LineDamage(LineDamageSpec(), 8000)
    with pytest.raises(ValueError, match=r"agent must be int16\[160\], one tick of 20 ms, got \(80,\)"):
        damage.frame(np.zeros(160, dtype=np.int16), np.zeros(80, dtype=np.int16))
