"""The audio of OpenAI Realtime clients: three formats, from one to another, in base64."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from agent.gateways.openai_events import invalid
from audio.codec import Encoding
from audio.resample import StreamResampler, to_float, to_pcm16

FORMATS = {
    "audio/pcm": Encoding("pcm16", 24000),
    "audio/pcmu": Encoding("mulaw", 8000),
    "audio/pcma": Encoding("alaw", 8000),
}
"""By the API's names."""

Convert = Callable[[bytes], bytes]


def converter(given: Encoding, wanted: Encoding) -> Convert:
    """Converts one continuous stream of audio, piece by piece; resampling holds back 3 ms."""
    if given == wanted:
        return unchanged
    if given.rate == wanted.rate:
        return lambda audio: wanted.encode(given.decode(audio))
    resampler = StreamResampler(given.rate, wanted.rate)
    return lambda audio: wanted.encode(to_pcm16(resampler.process(to_float(given.decode(audio)))))


def unchanged(audio: bytes) -> bytes:
    """Where nothing is to be converted."""
    return audio


def bytes_per_ms(encoding: Encoding) -> float:
    """Bytes that a millisecond takes."""
    return encoding.rate * (2 if encoding.codec == "pcm16" else 1) / 1000.0


def decoded(payload: object, param: str, encoding: Encoding) -> bytes:
    """Read base64 audio.

    Raises:
        Rejected: it is no base64, or no whole samples.
    """
    if not isinstance(payload, str):
        raise invalid(param, "base64 text")
    try:
        audio = base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(param, "base64 text") from error
    if encoding.codec == "pcm16" and len(audio) % 2:
        raise invalid(param, "whole 16-bit samples")
    return audio
