from __future__ import annotations

import numpy as np
import pytest

from audio.room import Convolution, speakerphone


@pytest.mark.parametrize(("taps", "block"), [(1, 160), (160, 160), (161, 160), (1000, 160), (50, 7)])
def test_a_stream_is_convolved_as_in_one_piece(taps: int, block: int) -> None:
    rng = np.random.default_rng(taps)
    response = rng.standard_normal(taps).astype(np.float32)
    samples = rng.standard_normal(block * 12).astype(np.float32)
    stream = Convolution(response, block)
    out = np.concatenate([stream.process(piece) for piece in samples.reshape(-1, block)])
    np.testing.assert_allclose(out, np.convolve(samples, response)[: len(samples)], atol=2e-4)


@pytest.mark.parametrize("level", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("rate", [8000, 16_000])
def test_a_response_keeps_the_energy_and_begins_at_once(level: float, rate: int) -> None:
    response = speakerphone(level, rate, np.random.default_rng(1))
    assert np.sum(response.astype(np.float64) ** 2) == pytest.approx(1.0, abs=1e-3)
    assert np.argmax(np.abs(response)) < 0.03 * rate


def late_share(level: float) -> float:
    """Energy after 50 ms over all, dB, mean of some rooms: less clear, more of it."""
    rooms = [speakerphone(level, 8000, np.random.default_rng(seed)).astype(np.float64) ** 2 for seed in range(10)]
    return float(np.mean([10 * np.log10(room[400:].sum() / room.sum()) for room in rooms]))


def test_a_higher_level_is_a_more_echoing_room_in_a_narrower_band() -> None:
    assert late_share(0.2) < late_share(0.6) - 3.0 < late_share(1.0) - 4.0

    def at(level: float, hertz: float) -> float:
        room = speakerphone(level, 16_000, np.random.default_rng(0))
        gain = np.abs(np.fft.rfft(room))
        return 20 * float(np.log10(np.mean(gain[np.abs(np.fft.rfftfreq(len(room), 1 / 16_000) - hertz) < 100])))

    assert at(1.0, 3600.0) < at(0.1, 3600.0) - 6.0
    assert at(1.0, 150.0) < at(1.0, 1000.0) - 12.0


def test_reverberation_decays_as_fast_as_said() -> None:
    """Schroeder's backward integral between 80 and 240 ms against 60 dB in 0.7 s."""
    decays = []
    for seed in range(10):
        energy = speakerphone(1.0, 8000, np.random.default_rng(seed)).astype(np.float64) ** 2
        left = 10 * np.log10(np.cumsum(energy[::-1])[::-1][:2000])
        decays.append((left[640] - left[1920]) / 0.16)
    assert float(np.mean(decays)) == pytest.approx(60 / 0.7, rel=0.15)
