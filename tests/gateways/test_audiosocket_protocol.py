from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pytest
from gatewayfuzz import anything, takes_anything
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.gateways.audiosocket import FAREWELL, GATEWAYS, RATES, AudioSocketProtocol, call_uuid, frame
from agent.gateways.base import (
    AudioIn,
    CallEnded,
    CallStarted,
    Clear,
    Command,
    Dtmf,
    Fault,
    Hangup,
    Mark,
    Play,
    Refuse,
    SendDtmf,
    Transfer,
)
from agent.gateways.gateway import Opening
from agent.gateways.messages import MALFORMED_LIMIT
from agent.lab.callers.audiosocket import AudioSocketCaller
from agent.lab.line import Heard, Left, Wrong

(GATEWAY,) = GATEWAYS
CALL = "40325ec2-5efd-4bd3-805f-53576e581d13"
NAMED = frame(0x01, uuid.UUID(CALL).bytes)
SOUND = bytes(range(160)) * 2


def started(rate: int = 8000) -> AudioSocketProtocol:
    protocol = AudioSocketProtocol(rate)
    [call] = protocol.receive(NAMED)
    assert call == CallStarted(CALL, CALL)
    return protocol


def fault(events: Any) -> tuple[str, int | None]:
    [only] = events
    assert isinstance(only, Fault)
    return only.code, only.close


@pytest.mark.parametrize("name", ["audiosocket_call", "audiosocket_dropped"])
def test_recorded_conversations(name: str, golden: Any) -> None:
    golden(name, AudioSocketProtocol())


def test_a_frame_is_kind_length_and_payload() -> None:
    assert frame(0x10, b"\1\2") == b"\x10\0\2\1\2"
    assert frame(0x10, bytes(0xFFFF))[:3] == b"\x10\xff\xff"
    assert call_uuid(NAMED) == CALL
    for other in (b"", NAMED[:-1], NAMED + b"\0", frame(0x01, b""), frame(0x10, bytes(16))):
        assert call_uuid(other) is None


@pytest.mark.parametrize(("kind", "rate"), RATES.items())
def test_the_kind_of_audio_is_the_rate(kind: int, rate: int) -> None:
    protocol = started(rate)
    assert protocol.capabilities.encoding.rate == rate
    assert protocol.receive(frame(kind, SOUND)) == (AudioIn(SOUND),)
    assert protocol.send(Play(SOUND)) == (frame(kind, SOUND),)
    other = 0x10 if kind != 0x10 else 0x12
    assert fault(protocol.receive(frame(other, SOUND))) == ("wrong_rate", None)


@pytest.mark.parametrize("rate", [0, 44100, 96000])
def test_a_rate_without_a_kind_is_refused(rate: int) -> None:
    with pytest.raises(ValueError, match=str(rate)):
        AudioSocketProtocol(rate)


def test_what_was_announced_of_the_call_comes_with_its_start() -> None:
    query = {"rate": "16000", "caller": "+15550100", "called": "+15550101"}
    protocol = GATEWAY.new(Opening("c-1", query=query))
    assert protocol.receive(NAMED) == (CallStarted(CALL, CALL, "+15550100", "+15550101"),)
    assert protocol.capabilities.encoding.rate == 16000


@pytest.mark.parametrize("digit", "0123456789*#ABCD")
def test_keys(digit: str) -> None:
    assert started().receive(frame(0x03, digit.encode())) == (Dtmf(digit),)


@pytest.mark.parametrize(
    "first", [frame(0x10, SOUND), frame(0x01, b"\0" * 15), frame(0x01, b""), frame(0x00, b""), frame(0x47, b"ET")]
)
def test_a_connection_that_does_not_name_its_call_is_over(first: bytes) -> None:
    protocol = AudioSocketProtocol()
    assert fault(protocol.receive(first)) == ("no_uuid", 1008)
    assert protocol.receive(NAMED) == ()


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"", "bad_frame"),
        (b"\x10", "bad_frame"),
        (b"\x10\0", "bad_frame"),
        (b"\x10\0\2\0", "bad_frame"),
        (b"\x10\0\0\0", "bad_frame"),
        ("\x10\0\0", "text_message"),
        (NAMED, "second_start"),
        (frame(0x10, bytes(319)), "odd_audio"),
        (frame(0x12, SOUND), "wrong_rate"),
        (frame(0x17, SOUND), "wrong_rate"),
        (frame(0x03, b""), "bad_field"),
        (frame(0x03, b"55"), "bad_field"),
        (frame(0x03, b"E"), "bad_field"),
        (frame(0x03, b"\xff"), "bad_field"),
        (frame(0x02, b""), "unknown_event"),
        (frame(0x19, SOUND), "unknown_event"),
        (frame(0xFE, b""), "unknown_event"),
    ],
)
def test_one_bad_frame_is_dropped_and_the_call_goes_on(message: str | bytes, code: str) -> None:
    protocol = started()
    assert fault(protocol.receive(message)) == (code, None)
    assert protocol.receive(frame(0x10, SOUND)) == (AudioIn(SOUND),)


def test_an_empty_piece_of_audio_is_ignored() -> None:
    assert started().receive(frame(0x10, b"")) == ()


def test_too_many_wrong_frames_and_too_large_ones_end_the_call() -> None:
    protocol = started()
    for _ in range(MALFORMED_LIMIT - 1):
        protocol.receive(frame(0x12, SOUND))
    assert [item.close for item in protocol.receive(frame(0x12, SOUND)) if isinstance(item, Fault)] == [None, 1007]
    assert fault(started().receive(frame(0x10, bytes(16_386)))) == ("message_too_big", 1009)


@pytest.mark.parametrize("payload", [b"", b"\0"])
def test_asterisk_hangs_up_or_fails(payload: bytes) -> None:
    protocol = started()
    assert protocol.receive(frame(0x00, payload)) == (CallEnded("hangup"),)
    assert fault(protocol.receive(frame(0x10, SOUND))) == ("after_stop", None)
    assert protocol.send(Play(SOUND)) == ()
    protocol = started()
    assert protocol.receive(frame(0xFF, b"\1")) == (CallEnded("hangup"),)
    for code in (b"", b"\2", b"\4"):
        reported, ended = started().receive(frame(0xFF, code))
        assert isinstance(reported, Fault)
        assert (reported.code, reported.close, ended) == ("gateway_error", None, CallEnded("failed"))


def test_only_audio_and_the_hang_up_are_ever_sent() -> None:
    protocol = started()
    assert not protocol.capabilities.clear
    nothing: list[Command] = [Play(b""), Mark("a"), Clear(), SendDtmf("1"), Transfer("200"), Refuse("busy")]
    assert [protocol.send(command) for command in nothing] == [()] * len(nothing)
    sent = protocol.send(Play(bytes(100_000)))
    assert [int.from_bytes(message[1:3], "big") for message in sent] == [65_534, 34_466]
    assert protocol.send(Hangup("goodbye")) == (FAREWELL,)
    assert protocol.send(Hangup("goodbye")) == ()
    assert AudioSocketProtocol().send(Play(SOUND)) == ()


frames = st.builds(frame, st.integers(0, 255) | st.sampled_from([0, 1, 3, 16, 18, 255]), st.binary(max_size=40))


@settings(max_examples=100, deadline=None)
@given(st.lists(anything | frames | st.just(NAMED), max_size=25))
def test_any_input_is_survived(messages: list[str | bytes]) -> None:
    takes_anything(AudioSocketProtocol(), messages)


@settings(max_examples=60, deadline=None)
@given(st.lists(frames, max_size=25))
def test_any_frames_after_the_start_are_survived(messages: list[bytes]) -> None:
    takes_anything(AudioSocketProtocol(), [NAMED, *messages])


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_the_protocol_and_asterisks_half_understand_each_other(rate: int) -> None:
    caller = AudioSocketCaller(rate=rate)
    protocol = AudioSocketProtocol(rate)
    [call] = [event for message in caller.opening() for event in protocol.receive(message)]
    assert isinstance(call, CallStarted)
    assert call.gateway_call_id == caller.call
    tone = (8000 * np.sin(np.arange(rate // 50) / 3)).astype(np.int16)
    [heard] = [event for message in caller.voice(tone) for event in protocol.receive(message)]
    assert isinstance(heard, AudioIn)
    [back] = [event for message in protocol.send(Play(heard.audio)) for event in caller.receive(message)]
    assert isinstance(back, Heard)
    assert np.array_equal(back.samples, tone)
    assert [e for m in caller.key("7") for e in protocol.receive(m)] == [Dtmf("7")]
    assert [*caller.played("a"), *caller.cleared("a"), *caller.closing(), *caller.text("hi")] == []
    assert [e for m in protocol.send(Hangup("bye")) for e in caller.receive(m)] == [Left("hangup")]


@pytest.mark.parametrize(
    "message", ["text", b"", b"\x10", frame(0x10, b""), frame(0x10, b"\0"), frame(0x03, b"1"), frame(0x12, SOUND)]
)
def test_asterisks_half_rejects_what_asterisk_would(message: str | bytes) -> None:
    assert isinstance(AudioSocketCaller().receive(message)[0], Wrong)


def test_the_record() -> None:
    assert (GATEWAY.name, GATEWAY.ways, GATEWAY.capabilities.silence) == ("audiosocket", (), True)
    assert GATEWAY.hook is not None
    assert GATEWAY.hook.after("200") == "200"
