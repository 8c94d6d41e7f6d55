"""What a telephone line and a caller's surroundings do to a voice, tick by tick, each with a level and from a seed.

In this order: the room of a speakerphone, the agent's own voice coming back, other people and noise; then the line's
gain, another codec, and packets that are lost or late.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from audio import g711
from audio.noises import BEDS, bed, limited, other_talker
from audio.resample import to_float, to_pcm16
from audio.room import Convolution, speakerphone

Pcm16 = npt.NDArray[np.int16]
_Float = npt.NDArray[np.float32]

TICK_MS = 20
BURST_PACKETS = 2.5
"""Mean length of a loss; losses on IP networks come in short bursts (Gilbert's two-state model)."""
_STALLS_PER_S = 2.5
"""How often late packets begin under jitter."""
_SPEAKERPHONE_ECHO_DB = (-32.0, -14.0)
"""Loudspeaker to microphone at level 0 and 1: what is left after a good echo canceller, and after a poor one."""
_SPEAKERPHONE_DELAY_MS = 60.0
"""Buffers of the telephone between its socket and its loudspeaker, and back."""


@dataclass(frozen=True, slots=True)
class NoiseSpec:
    """Noise around the caller. kind: one of `audio.noises.BEDS` or a WAV file; snr_db below -23 dBFS speech."""

    kind: str
    snr_db: float


@dataclass(frozen=True, slots=True)
class EchoSpec:
    """The agent's voice that comes back: `level_db` over what the caller heard (below 0), after `delay_ms`."""

    level_db: float
    delay_ms: float


@dataclass(frozen=True, slots=True)
class SecondTalkerSpec:
    """Somebody else in the room who talks now and then, `level_db` over -23 dBFS speech."""

    level_db: float


@dataclass(frozen=True, slots=True)
class LineDamageSpec:
    """Damage of one line; the default is none.

    codec: an extra transcoding, `mulaw` or `alaw`. gain_db: of all that leaves the phone. loss_percent: 20 ms packets
    lost, in bursts. jitter_ms: the longest that a packet is late. speakerphone: 0 (none) to 1 (far from a poor one).

    Raises:
        ValueError: a value is out of its range; the message says which.
    """

    codec: str | None = None
    gain_db: float = 0.0
    loss_percent: float = 0.0
    jitter_ms: float = 0.0
    noise: NoiseSpec | None = None
    echo: EchoSpec | None = None
    speakerphone: float = 0.0
    second_talker: SecondTalkerSpec | None = None

    def __post_init__(self) -> None:
        if self.codec not in (None, "none", "mulaw", "alaw"):
            raise ValueError(f"codec must be mulaw, alaw or none, got {self.codec!r}")
        _between("gain_db", self.gain_db, -60.0, 30.0)
        _between("loss_percent", self.loss_percent, 0.0, 60.0)
        _between("jitter_ms", self.jitter_ms, 0.0, 1000.0)
        _between("speakerphone", self.speakerphone, 0.0, 1.0)
        if self.noise is not None:
            _between("noise.snr_db", self.noise.snr_db, -20.0, 80.0)
            if self.noise.kind not in BEDS and not self.noise.kind.lower().endswith(".wav"):
                raise ValueError(f"noise.kind must be one of {', '.join(BEDS)}, or a WAV file, got {self.noise.kind!r}")
        if self.echo is not None:
            _between("echo.level_db", self.echo.level_db, -80.0, 6.0)
            _between("echo.delay_ms", self.echo.delay_ms, 0.0, 2000.0)
        if self.second_talker is not None:
            _between("second_talker.level_db", self.second_talker.level_db, -60.0, 12.0)


class LineDamage:
    """The damage of one call; the same for the same spec, rate and seed."""

    def __init__(self, spec: LineDamageSpec, rate: int, seed: int = 0) -> None:
        """`rate` in Hz, 8000 or 16000. Making a first bed of noise takes up to a second: do it in a thread.

        Raises:
            OSError: the noise's WAV file cannot be read.
            ValueError: it is no WAV file, or is silent.
        """
        self.spec = spec
        self._size = rate * TICK_MS // 1000
        self._codec = None if spec.codec in (None, "none") else spec.codec
        self._gain = np.float32(10 ** (spec.gain_db / 20))
        self._packets = _Packets(spec.loss_percent, spec.jitter_ms, np.random.default_rng([seed, 1]))
        self._beds: list[_Loop] = []
        if spec.noise is not None:
            level = np.float32(10 ** (-spec.noise.snr_db / 20))
            self._beds.append(_Loop(bed(spec.noise.kind, rate, seed) * level))
        if spec.second_talker is not None:
            level = np.float32(10 ** (spec.second_talker.level_db / 20))
            self._beds.append(_Loop(other_talker(rate, seed) * level))
        self._echo: _Delay | None = None
        if spec.echo is not None:
            self._echo = _Delay(round(spec.echo.delay_ms * rate / 1000), 10 ** (spec.echo.level_db / 20))
        self._room: Convolution | None = None
        self._loudspeaker: Convolution | None = None
        if spec.speakerphone > 0.0:
            rng = np.random.default_rng([seed, 3])
            self._room = Convolution(speakerphone(spec.speakerphone, rate, rng), self._size)
            low, high = _SPEAKERPHONE_ECHO_DB
            level_db = low + (high - low) * spec.speakerphone
            back = speakerphone(spec.speakerphone, rate, rng) * np.float32(10 ** (level_db / 20))
            self._loudspeaker = Convolution(back, self._size)
            self._return = _Delay(round(_SPEAKERPHONE_DELAY_MS * rate / 1000), 1.0)
        self._clean = not (self._beds or self._echo or self._room) and spec.gain_db == 0.0

    def frame(self, caller: Pcm16, agent: Pcm16) -> list[Pcm16 | None]:
        """One tick of 20 ms: what leaves the caller's phone, in order; None is a lost packet, [] is that all are late.

        caller: int16[n], what the caller says. agent: int16[n], what the caller hears in this tick.

        Raises:
            ValueError: a frame is not 20 ms long.
        """
        for name, samples in (("caller", caller), ("agent", agent)):
            if samples.shape != (self._size,):
                raise ValueError(f"{name} must be int16[{self._size}], one tick of {TICK_MS} ms, got {samples.shape}")
        return self._packets.step(self._transcoded(caller if self._clean else self._sound(caller, agent)))

    def _sound(self, caller: Pcm16, agent: Pcm16) -> Pcm16:
        voice = to_float(caller)
        if self._room is not None:
            voice = self._room.process(voice)
        if self._loudspeaker is not None:
            voice = voice + self._loudspeaker.process(self._return.process(to_float(agent)))
        if self._echo is not None:
            voice = voice + self._echo.process(to_float(agent))
        for loop in self._beds:
            voice = voice + loop.take(self._size)
        return to_pcm16(limited(voice * self._gain))

    def _transcoded(self, samples: Pcm16) -> Pcm16:
        match self._codec:
            case "mulaw":
                return g711.decode_mulaw(g711.encode_mulaw(samples))
            case "alaw":
                return g711.decode_alaw(g711.encode_alaw(samples))
        return samples


class _Packets:
    """Loss by Gilbert's model, and stalls: while the line stalls nothing arrives, then all that waited at once."""

    def __init__(self, loss_percent: float, jitter_ms: float, rng: np.random.Generator) -> None:
        loss = loss_percent / 100.0
        self._recover = 1.0 / BURST_PACKETS
        self._fail = loss * self._recover / (1.0 - loss)
        self._jitter = jitter_ms / TICK_MS
        self._stall = _STALLS_PER_S * TICK_MS / 1000.0
        self._rng = rng
        self._losing = False
        self._stalled = 0
        self._waiting: deque[Pcm16 | None] = deque()

    def step(self, packet: Pcm16) -> list[Pcm16 | None]:
        """One packet in, what arrives in this tick out."""
        if self._fail > 0.0:
            self._losing = self._rng.random() < (1.0 - self._recover if self._losing else self._fail)
        self._waiting.append(None if self._losing else packet)
        if self._jitter > 0.0:
            if self._stalled > 0:
                self._stalled -= 1
            elif self._rng.random() < self._stall:
                late = self._rng.random() * self._jitter
                self._stalled = min(math.floor(late + self._rng.random()), math.ceil(self._jitter))
            if self._stalled > 0:
                return []
        arrived = list(self._waiting)
        self._waiting.clear()
        return arrived


class _Loop:
    """Samples played round and round."""

    def __init__(self, samples: _Float) -> None:
        self._samples = samples
        self._at = 0

    def take(self, count: int) -> _Float:
        taken = self._samples.take(np.arange(self._at, self._at + count), mode="wrap")
        self._at = (self._at + count) % len(self._samples)
        return taken


class _Delay:
    """Samples that come out `count` samples later, times `gain`."""

    def __init__(self, count: int, gain: float) -> None:
        self._kept: _Float = np.zeros(count, dtype=np.float32)
        self._gain = np.float32(gain)

    def process(self, samples: _Float) -> _Float:
        held = np.concatenate((self._kept, samples))
        self._kept = held[len(samples) :]
        out: _Float = held[: len(samples)] * self._gain
        return out


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{name} must lie between {low:g} and {high:g}, got {value:g}")
