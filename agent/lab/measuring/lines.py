"""Conditions under which speech is recognized: as it was recorded, and over telephone lines with noise and loss."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from agent.lab.cues import RATE as LINE_RATE
from agent.lab.measuring.machine import MeasureFailed
from agent.lab.measuring.recordings import RATE
from audio import g711
from audio.codec import Pcm16
from audio.damage import TICK_MS, LineDamage, LineDamageSpec
from audio.noises import BEDS, SPEECH_DBFS, bed, limited
from audio.resample import resample, to_float, to_pcm16
from audio.talker import active_rms
from models.contracts import Samples

Line = Callable[[Samples, int], Samples]
"""What a line makes of samples[n] at 16 kHz, by a seed."""

DEFAULT = ("clean", "mulaw")
_NOISE = re.compile(r"([a-z]+)-(-?\d+(?:\.\d+)?)")
_LOSS = "loss"
_PLAIN_NOISE = "noise"
FORMS = (
    f"clean, mulaw, alaw, noise-DB (pink), {'-DB, '.join(BEDS)}-DB (noise that many dB below the speech) "
    "or loss-PERCENT (of packets)"
)


def line_of(condition: str) -> Line:
    """The line that a condition names; see `FORMS`. All but `clean` end in 8 kHz mu-law (`alaw`: A-law).

    Raises:
        MeasureFailed: there is no such condition.
    """
    if condition == "clean":
        return lambda samples, seed: samples
    if condition in ("mulaw", "alaw"):
        return lambda samples, seed: _wide(_coded(to_pcm16(resample(samples, RATE, LINE_RATE)), condition))
    found = _NOISE.fullmatch(condition)
    kind, level = (found[1], float(found[2])) if found else ("", 0.0)
    if kind == _LOSS and 0 < level <= 60:
        return lambda samples, seed: _lossy(samples, level, seed)
    if kind in (_PLAIN_NOISE, *BEDS) and -20 <= level <= 80:
        return lambda samples, seed: _noisy(samples, "pink" if kind == _PLAIN_NOISE else kind, level, seed)
    raise MeasureFailed(f"--condition is {condition!r}; give {FORMS}, such as noise-20 or loss-3")


def _coded(narrow: Pcm16, codec: str) -> Pcm16:
    if codec == "alaw":
        return g711.decode_alaw(g711.encode_alaw(narrow))
    return g711.decode_mulaw(g711.encode_mulaw(narrow))


def _wide(narrow: Pcm16) -> Samples:
    return resample(to_float(narrow), LINE_RATE, RATE)


def _noisy(samples: Samples, kind: str, snr_db: float, seed: int) -> Samples:
    """Noise `snr_db` below the active level of the speech, before the codec."""
    narrow = resample(samples, RATE, LINE_RATE)
    noise = np.resize(bed(kind, LINE_RATE, seed), len(narrow))
    gain = active_rms(narrow, LINE_RATE) * 10 ** (-(SPEECH_DBFS + snr_db) / 20)
    return _wide(_coded(to_pcm16(limited((narrow + np.float32(gain) * noise).astype(np.float32))), "mulaw"))


def _lossy(samples: Samples, percent: float, seed: int) -> Samples:
    """Packets of 20 ms lost in bursts; silence stands for them, as without any concealment."""
    narrow = _coded(to_pcm16(resample(samples, RATE, LINE_RATE)), "mulaw")
    size = LINE_RATE * TICK_MS // 1000
    damage = LineDamage(LineDamageSpec(loss_percent=percent), LINE_RATE, seed)
    ticks = np.pad(narrow, (0, -len(narrow) % size)).reshape(-1, size)
    nothing = np.zeros(size, dtype=np.int16)
    heard = [packet for tick in ticks for packet in damage.frame(tick, nothing)]
    parts = [nothing if packet is None else packet for packet in heard]
    return _wide(np.concatenate(parts)[: len(narrow)]) if parts else _wide(narrow)
