"""Exotel: sizes of pieces, rates, and how it proves itself."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from agent.gateways.base import AudioIn, CallStarted, Play
from agent.gateways.exotel import EXOTEL
from agent.gateways.gateway import Opening
from agent.gateways.ways import Admitted, Asking, Keys, Nonces, Refused
from agent.lab.callers.media_streams import ExotelCaller
from agent.lab.line import Heard, Wrong
from audio.codec import Encoding


def called(caller: ExotelCaller) -> Any:
    server = EXOTEL.new(Opening("call-1"))
    [started] = [event for message in caller.opening() for event in server.receive(message)]
    assert isinstance(started, CallStarted)
    return server


@pytest.mark.parametrize(("rate", "frame_ms", "size"), [(8000, 200, 3200), (16000, 100, 3200), (24000, 100, 4800)])
def test_pieces_are_as_long_as_exotel_takes_them(rate: int, frame_ms: int, size: int) -> None:
    caller = ExotelCaller(rate=rate)
    server = called(caller)
    can = server.capabilities
    assert (can.encoding, can.frame_ms, can.exact) == (Encoding("pcm16", rate), frame_ms, True)
    assert can.lead_ms == 2 * frame_ms
    assert rate * can.frame_ms // 500 == size
    [message] = server.send(Play(bytes(size)))
    [heard] = caller.receive(message)
    assert isinstance(heard, Heard)
    assert len(heard.samples) * 2 == size


@pytest.mark.parametrize(("size", "wire"), [(2, 3200), (3198, 3200), (3202, 3520), (4000, 4160)])
def test_shorter_pieces_are_filled_with_silence(size: int, wire: int) -> None:
    caller = ExotelCaller()
    [message] = called(caller).send(Play(b"\x01\x02" * (size // 2)))
    audio = base64.b64decode(json.loads(message)["media"]["payload"])
    assert audio == b"\x01\x02" * (size // 2) + bytes(wire - size)
    assert isinstance(caller.receive(message)[0], Heard)


@pytest.mark.parametrize("size", [320, 3190, 3300, 100_160])
def test_the_simulated_carrier_is_as_strict(size: int) -> None:
    caller = ExotelCaller()
    payload = base64.b64encode(bytes(size)).decode()
    [wrong] = caller.receive(json.dumps({"event": "media", "stream_sid": caller.stream, "media": {"payload": payload}}))
    assert isinstance(wrong, Wrong)


def test_audio_comes_100_ms_at_a_time() -> None:
    caller = ExotelCaller()
    server = called(caller)
    frames = [np.full(160, number, np.int16) for number in range(10)]
    sent = [list(caller.voice(frame)) for frame in frames]
    assert [len(messages) for messages in sent] == [0, 0, 0, 0, 1] * 2
    events = [event for messages in sent for message in messages for event in server.receive(message)]
    assert events == [
        AudioIn(np.concatenate(frames[:5]).astype("<i2").tobytes(), 0),
        AudioIn(np.concatenate(frames[5:]).astype("<i2").tobytes(), 100),
    ]


@pytest.mark.parametrize(
    ("authorization", "key", "verdict"),
    [
        ("acme:word", "acme:word", Admitted("exotel:acme")),
        ("acme:other", "acme:word", Refused("bad_credentials")),
        ("acme:word", None, Refused("no_key")),
        (None, "acme:word", None),
    ],
)
def test_it_proves_itself_by_basic(authorization: str | None, key: str | None, verdict: Any) -> None:
    headers = {}
    if authorization is not None:
        headers["authorization"] = "Basic " + base64.b64encode(authorization.encode()).decode()
    [way] = EXOTEL.ways
    assert way.check(Asking("exotel", "/gateways/exotel", headers), Keys(key, 1.9e9, Nonces())) == verdict
