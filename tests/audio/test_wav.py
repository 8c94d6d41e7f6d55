from __future__ import annotations

import struct
import wave
from pathlib import Path

import numpy as np
import pytest

from audio import g711
from audio.resample import to_float, to_pcm16
from audio.wav import StereoWavWriter, read_mono, read_wav, write_wav

RAMP = np.linspace(-0.9, 0.9, 400, dtype=np.float32)


def riff(fmt: bytes, data: bytes, extra: bytes = b"") -> bytes:
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(fmt)) + fmt + extra + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def form(kind: int, bits: int, channels: int = 1, rate: int = 8000) -> bytes:
    return struct.pack("<HHIIHH", kind, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)


def packed24(samples: np.ndarray) -> bytes:
    return b"".join(int(x * 8388607).to_bytes(3, "little", signed=True) for x in samples)


@pytest.mark.parametrize(
    ("fmt", "data", "tolerance"),
    [
        (form(1, 8), ((RAMP * 127) + 128).astype(np.uint8).tobytes(), 0.02),
        (form(1, 16), to_pcm16(RAMP).tobytes(), 1e-4),
        (form(1, 24), packed24(RAMP), 1e-5),
        (form(1, 32), (RAMP.astype(np.float64) * 2147483647).astype("<i4").tobytes(), 1e-6),
        (form(3, 32), RAMP.astype("<f4").tobytes(), 0),
        (form(3, 64), RAMP.astype("<f8").tobytes(), 1e-7),
        (form(6, 8), g711.encode_alaw(to_pcm16(RAMP)), 0.03),
        (form(7, 8), g711.encode_mulaw(to_pcm16(RAMP)), 0.03),
        (form(0xFFFE, 16) + struct.pack("<HHIH", 22, 16, 4, 1) + bytes(14), to_pcm16(RAMP).tobytes(), 1e-4),
    ],
    ids=["u8", "s16", "s24", "s32", "f32", "f64", "alaw", "mulaw", "extensible"],
)
def test_every_kind_reads_as_the_same_ramp(tmp_path: Path, fmt: bytes, data: bytes, tolerance: float) -> None:
    path = tmp_path / "in.wav"
    path.write_bytes(riff(fmt, data, extra=b"LIST" + struct.pack("<I", 3) + b"abc\0"))
    samples, rate, channels = read_wav(path)
    assert (rate, channels, samples.dtype) == (8000, 1, np.float32)
    np.testing.assert_allclose(samples, RAMP, atol=tolerance, rtol=0)


def test_what_is_written_is_what_others_read(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    both = np.stack((RAMP, -RAMP), axis=1)
    write_wav(path, both, 16000)
    with wave.open(str(path)) as other:
        assert (other.getnchannels(), other.getframerate(), other.getsampwidth()) == (2, 16000, 2)
        assert other.readframes(500) == to_pcm16(both).tobytes()
    samples, rate, channels = read_wav(path)
    assert (rate, channels, samples.shape) == (16000, 2, (400, 2))


def test_read_mono_averages_and_resamples(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    left = (0.8 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)).astype(np.float32)
    write_wav(path, np.stack((left, np.zeros_like(left)), axis=1), 16000)
    mono = read_mono(path, 8000)
    assert mono.shape == (8000,)
    assert np.abs(mono).max() == pytest.approx(0.4, abs=0.01)


def test_a_recording_is_valid_after_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    writer = StereoWavWriter(path, 8000, flush_s=0.02)
    left = to_pcm16(RAMP)
    writer.write(left, -left)  # 400 frames: past the flush interval of 160
    writer.write(left[:50], left[:50])  # after it: on disk, not yet in the header
    crashed = path.read_bytes()  # the writer was never closed
    (tmp_path / "crashed.wav").write_bytes(crashed)
    with wave.open(str(tmp_path / "crashed.wav")) as other:
        assert other.getnframes() == 400
    assert len(crashed) == 44 + 450 * 4
    writer.close()
    writer.close()
    samples, rate, channels = read_wav(path)
    assert (rate, channels, len(samples), writer.frames) == (8000, 2, 450, 450)
    np.testing.assert_array_equal(samples[:400, 0], to_float(left))
    np.testing.assert_array_equal(samples[:400, 1], to_float(-left))


def test_a_recording_that_never_flushed_still_reads(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    writer = StereoWavWriter(path, 8000)
    writer.write(RAMP, RAMP)
    assert len(read_wav(path).samples) == 400
    writer.close()


def test_a_recording_wants_channels_of_one_length(tmp_path: Path) -> None:
    with (
        StereoWavWriter(tmp_path / "call.wav", 8000) as writer,
        pytest.raises(ValueError, match="left has 400 samples and right 399"),
    ):
        writer.write(RAMP, RAMP[:-1])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a WAV file"),
        (b"ID3\x04" + bytes(100), "not a WAV file"),
        (b"RIFF\0\0\0\0WAVE", "no fmt chunk"),
        (riff(form(1, 16), b"")[:36], "no data chunk"),
        (riff(form(1, 16, channels=0), b"\0\0"), "0 channels"),
        (riff(form(0x0055, 0), b"\0\0"), "0x0055.*ffmpeg"),
        (riff(form(1, 12), b"\0\0\0"), "12 bits"),
    ],
)
def test_other_files_are_refused_with_a_remedy(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "bad.wav"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"bad.wav: .*{message}"):
        read_wav(path)


def test_odd_bytes_at_the_end_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "odd.wav"
    path.write_bytes(riff(form(1, 16), to_pcm16(RAMP).tobytes()[:-1]))
    assert len(read_wav(path).samples) == 399
