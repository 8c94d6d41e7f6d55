"""WAV files: read any common kind, write 16-bit ones, and stream a stereo recording to disk."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from audio import g711
from audio.resample import resample, to_float, to_pcm16

_Float = npt.NDArray[np.float32]
_Pcm16 = npt.NDArray[np.int16]

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_PCM, _EXTENSIBLE = 0x0001, 0xFFFE
_MAX_DATA = 0xFFFFFFFF - _HEADER.size  # RIFF sizes are 32 bit


class Wav(NamedTuple):
    """Samples in [-1, 1): float32[n] where channels is 1, else float32[n, channels]; rate in Hz."""

    samples: _Float
    rate: int
    channels: int


def read_wav(path: str | os.PathLike[str]) -> Wav:
    """Read a WAV file: PCM of 8, 16, 24 or 32 bits, float of 32 or 64 bits, mu-law or A-law; any rate and channels.

    A file cut short by a crash, or whose header was never completed, is read as far as its data goes.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no WAV file, or of a kind not named above; the message says the file and the remedy.
    """
    data = Path(path).read_bytes()
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError(f"{path}: not a WAV file; convert it first, for example: ffmpeg -i INPUT OUTPUT.wav")
    kind, channels, rate, bits, body = _chunks(path, data)
    if channels < 1 or rate < 1:
        raise ValueError(f"{path}: the WAV header says {channels} channels at {rate} Hz; the file is damaged")
    width = channels * bits // 8
    samples = _decode(path, kind, bits, body[: len(body) // width * width] if width else body)
    return Wav(samples if channels == 1 else samples.reshape(-1, channels), rate, channels)


def read_mono(path: str | os.PathLike[str], rate: int) -> _Float:
    """Read a WAV file as float32[n] at `rate` Hz, its channels averaged.

    Raises:
        OSError, ValueError: as `read_wav`.
    """
    wav = read_wav(path)
    mono = wav.samples if wav.channels == 1 else wav.samples.mean(axis=1, dtype=np.float32)
    return resample(mono, wav.rate, rate)


def write_wav(path: str | os.PathLike[str], samples: _Float | _Pcm16, rate: int) -> None:
    """Write samples[n] or [n, channels], int16 or float32 in [-1, 1], as a 16-bit WAV file at `rate` Hz.

    Raises:
        OSError: the file cannot be written.
    """
    pcm = _as_pcm16(samples)
    channels = 1 if pcm.ndim == 1 else pcm.shape[1]
    body = pcm.astype("<i2", copy=False).tobytes()
    with open(path, "wb") as file:
        file.write(_header(rate, channels, len(body)))
        file.write(body)


class StereoWavWriter:
    """Stream a 16-bit stereo WAV file to disk; after a crash it is valid up to the last flush.

    Every write goes to the operating system at once; the sizes in the header are brought up to date by `flush`, which
    also runs by itself after each `flush_s` seconds of audio. Blocks on the disk: call it from a thread. A context
    manager; `close` may be called twice.
    """

    def __init__(self, path: str | os.PathLike[str], rate: int, flush_s: float = 1.0) -> None:
        """Create (or replace) the file at `path`, `rate` in Hz.

        Raises:
            OSError: the file cannot be created.
        """
        self.path = Path(path)
        self.rate = rate
        self._flush_frames = max(1, int(flush_s * rate))
        self._frames = 0
        self._flushed = 0
        self._file = open(self.path, "wb", buffering=0)  # noqa: SIM115 - closed by close()
        self._file.write(_header(rate, 2, 0))

    @property
    def frames(self) -> int:
        """Samples per channel written so far."""
        return self._frames

    def write(self, left: _Float | _Pcm16, right: _Float | _Pcm16) -> None:
        """Append samples[n] of both channels.

        Raises:
            OSError: the disk is full or gone.
            ValueError: the channels differ in length, or the file would pass the 4 GiB a WAV file can hold.
        """
        if len(left) != len(right):
            raise ValueError(f"left has {len(left)} samples and right {len(right)}; pad the shorter one with silence")
        if (self._frames + len(left)) * 4 > _MAX_DATA:
            raise ValueError(f"{self.path}: a WAV file holds 4 GiB at most; close it and begin another")
        both = np.stack((_as_pcm16(left), _as_pcm16(right)), axis=1).astype("<i2", copy=False).tobytes()
        rest = memoryview(both)
        while rest:
            rest = rest[self._file.write(rest) :]
        self._frames += len(left)
        if self._frames - self._flushed >= self._flush_frames:
            self.flush()

    def silence(self, start: int, stop: int) -> None:
        """Overwrite both channels with silence from frame `start` up to `stop`, as far as they are written.

        Raises:
            OSError: the disk is gone.
        """
        start, stop = max(0, start), min(stop, self._frames)
        if start < stop:
            self._file.seek(_HEADER.size + start * 4)
            rest = memoryview(bytes((stop - start) * 4))
            while rest:
                rest = rest[self._file.write(rest) :]
            self._file.seek(0, os.SEEK_END)

    def flush(self) -> None:
        """Make the header say what is on disk."""
        self._file.seek(0)
        self._file.write(_header(self.rate, 2, self._frames * 4))
        self._file.seek(0, os.SEEK_END)
        self._flushed = self._frames

    def close(self) -> None:
        """Complete the header and close the file."""
        if not self._file.closed:
            self.flush()
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _header(rate: int, channels: int, size: int) -> bytes:
    return _HEADER.pack(
        b"RIFF",
        size + 36,
        b"WAVE",
        b"fmt ",
        16,
        _PCM,
        channels,
        rate,
        rate * channels * 2,
        channels * 2,
        16,
        b"data",
        size,
    )


def _as_pcm16(samples: _Float | _Pcm16) -> _Pcm16:
    if samples.dtype == np.int16:
        return samples  # type: ignore[return-value]
    return to_pcm16(samples)  # type: ignore[arg-type]


def _chunks(path: str | os.PathLike[str], data: bytes) -> tuple[int, int, int, int, bytes]:
    """Find the format and the samples: kind, channels, rate, bits, bytes."""
    form: tuple[int, int, int, int] | None = None
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body = data[at + 8 : at + 8 + size]
        if name == b"fmt " and len(body) >= 16:
            kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body[:16])
            if kind == _EXTENSIBLE and len(body) >= 26:
                kind = int.from_bytes(body[24:26], "little")
            form = kind, channels, rate, bits
        elif name == b"data" and form is not None:
            # A header never completed says 0 or the largest size: the samples then run to the end of the file.
            return *form, body if size else data[at + 8 :]
        at += 8 + size + size % 2
    raise ValueError(f"{path}: the WAV file has no {'fmt' if form is None else 'data'} chunk; it is damaged")


def _decode(path: str | os.PathLike[str], kind: int, bits: int, body: bytes) -> _Float:
    match kind, bits:
        case (1, 8):
            return (np.frombuffer(body, dtype=np.uint8).astype(np.float32) - 128.0) / np.float32(128.0)
        case (1, 16):
            return to_float(np.frombuffer(body, dtype="<i2").astype(np.int16, copy=False))
        case (1, 24):
            wide = np.zeros((len(body) // 3, 4), dtype=np.uint8)
            wide[:, 1:] = np.frombuffer(body, dtype=np.uint8).reshape(-1, 3)
            return (wide.view("<i4")[:, 0] / 2147483648.0).astype(np.float32)
        case (1, 32):
            return (np.frombuffer(body, dtype="<i4") / 2147483648.0).astype(np.float32)
        case (3, 32):
            return np.frombuffer(body, dtype="<f4").astype(np.float32)
        case (3, 64):
            return np.frombuffer(body, dtype="<f8").astype(np.float32)
        case (6, 8):
            return to_float(g711.decode_alaw(body))
        case (7, 8):
            return to_float(g711.decode_mulaw(body))
    raise ValueError(
        f"{path}: WAV format {kind:#06x} with {bits} bits is not supported; convert it to 16-bit PCM, for example: "
        "ffmpeg -i INPUT -c:a pcm_s16le OUTPUT.wav"
    )
