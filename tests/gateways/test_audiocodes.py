from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from gatewayfuzz import anything, near_miss, takes_anything
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.gateways.audiocodes import GATEWAYS, AudioCodesProtocol
from agent.gateways.base import (
    Answer,
    AudioIn,
    CallEnded,
    CallStarted,
    Clear,
    Command,
    Fault,
    Hangup,
    Mark,
    Play,
    Refuse,
    SendDtmf,
    ShowReply,
    ShowSpeech,
    ShowState,
    ShowTranscript,
    Transfer,
)
from agent.gateways.gateway import Opening
from agent.gateways.ways import Admitted, Asking, Keys, Nonces, Refused
from agent.lab.callers.audiocodes import AudioCodesCaller
from agent.lab.callers.catalogue import Who
from agent.lab.line import Cleared, Heard, Left, Respond, Told, Wrong

OPENING = Opening("call-1")
FRAME = bytes(640)
[GATEWAY] = GATEWAYS


def initiate(**fields: Any) -> str:
    message = {
        "type": "session.initiate",
        "conversationId": "conv-1",
        "expectAudioMessages": True,
        "botName": "agent",
        "caller": "+15550100",
        "supportedMediaFormats": ["raw/lpcm16"],
        **fields,
    }
    return json.dumps({name: value for name, value in message.items() if value is not None})


def started() -> AudioCodesProtocol:
    protocol = AudioCodesProtocol(OPENING)
    _, event = protocol.receive(initiate())
    assert isinstance(event, CallStarted)
    return protocol


def sent(protocol: AudioCodesProtocol, *commands: Command) -> list[Any]:
    return [json.loads(message) for command in commands for message in protocol.send(command)]


@pytest.mark.parametrize("name", ["call", "validate", "resumed", "dropped"])
def test_recorded_conversations(name: str, golden: Any) -> None:
    golden(f"audiocodes_{name}", AudioCodesProtocol(OPENING))


@pytest.mark.parametrize(
    ("offered", "chosen", "codec", "rate"),
    [
        (["raw/mulaw", "wav/lpcm16", "raw/lpcm16"], "raw/lpcm16", "pcm16", 16000),
        (["raw/lpcm16_24", "raw/mulaw"], "raw/lpcm16_24", "pcm16", 24000),
        (["raw/mulaw", "raw/lpcm16_8"], "raw/lpcm16_8", "pcm16", 8000),
        (["wav/mulaw", "raw/mulaw", 7], "raw/mulaw", "mulaw", 8000),
    ],
)
def test_the_best_media_format_on_offer_is_taken(offered: list[str], chosen: str, codec: str, rate: int) -> None:
    protocol = AudioCodesProtocol(OPENING)
    answer, _ = protocol.receive(initiate(supportedMediaFormats=offered))
    assert answer == Answer(f'{{"type":"session.accepted","mediaFormat":"{chosen}"}}')
    assert (protocol.capabilities.encoding.codec, protocol.capabilities.encoding.rate) == (codec, rate)
    assert sent(protocol, Play(b"\0\0"))[0]["mediaFormat"] == chosen


@pytest.mark.parametrize(
    "fields",
    [
        {"supportedMediaFormats": ["wav/lpcm16"]},
        {"supportedMediaFormats": []},
        {"expectAudioMessages": False},
        {"expectAudioMessages": "yes"},
    ],
)
def test_a_session_without_sound_that_we_know_is_declined(fields: dict[str, Any]) -> None:
    protocol = AudioCodesProtocol(OPENING)
    answer, fault = protocol.receive(initiate(**fields))
    assert isinstance(answer, Answer)
    assert json.loads(answer.message)["type"] == "session.error"
    assert isinstance(fault, Fault)
    assert (fault.code, fault.close) == ("unsupported_media", 1003)
    assert protocol.receive(initiate()) == ()
    assert protocol.send(Play(FRAME)) == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"conversationId": None},
        {"conversationId": 7},
        {"conversationId": ""},
        {"caller": 5},
        {"botName": "a\0b"},
        {"supportedMediaFormats": None},
        {"supportedMediaFormats": "raw/lpcm16"},
    ],
)
def test_a_session_that_cannot_be_read_ends_the_call(fields: dict[str, Any]) -> None:
    [fault] = AudioCodesProtocol(OPENING).receive(initiate(**fields))
    assert isinstance(fault, Fault)
    assert (fault.code, fault.close) == ("bad_field", 1007)


@pytest.mark.parametrize(("code", "reason"), [("busy", "Busy"), ("draining", "Service unavailable"), ("x", "Refused")])
def test_a_refusal_answers_the_session(code: str, reason: str) -> None:
    protocol = AudioCodesProtocol(OPENING)
    assert protocol.send(Refuse(code)) == ()
    error = f'{{"type":"session.error","reason":"{reason}"}}'
    assert protocol.receive(initiate()) == (Answer(error), CallEnded("refused"))
    assert protocol.send(Play(FRAME)) == ()
    late = started()
    assert late.send(Refuse(code)) == (error,)
    assert late.send(Play(FRAME)) == ()


def test_a_reply_is_one_play_stream() -> None:
    protocol = started()
    first = sent(protocol, Play(b"\0\0"), Mark("m"), Play(b"\1\0"), ShowReply(1, "done", 40.0))
    assert first == [
        {"type": "playStream.start", "streamId": "1", "mediaFormat": "raw/lpcm16"},
        {"type": "playStream.chunk", "streamId": "1", "audioChunk": "AAA="},
        {"type": "playStream.chunk", "streamId": "1", "audioChunk": "AQA="},
        {"type": "playStream.stop", "streamId": "1"},
    ]
    second = sent(protocol, Play(b"\0\0"), Clear(), ShowReply(2, "interrupted"), Clear())
    assert [message["type"] for message in second] == ["playStream.start", "playStream.chunk", "playStream.stop"]
    assert {message["streamId"] for message in second} == {"2"}


def test_speech_is_told_as_it_is_heard() -> None:
    assert sent(
        started(),
        ShowSpeech(True, 20.0),
        ShowTranscript("caller", "How are", False, 1),
        ShowSpeech(False, 900.0),
        ShowTranscript("caller", "How are you?", True, 1, confidence=0.9),
        ShowTranscript("caller", "Fine.", True, 2),
        ShowTranscript("caller", "", True, 2),
        ShowTranscript("agent", "Well.", True, 2),
        ShowState("x"),
        SendDtmf("1"),
        Play(b""),
    ) == [
        {"type": "userStream.speech.started"},
        {"type": "userStream.speech.hypothesis", "alternatives": [{"text": "How are"}]},
        {"type": "userStream.speech.stopped"},
        {"type": "userStream.speech.recognition", "alternatives": [{"text": "How are you?", "confidence": 0.9}]},
        {"type": "userStream.speech.recognition", "alternatives": [{"text": "Fine."}]},
    ]


def test_transfer_and_hang_up_are_activities() -> None:
    context = {"handoff_id": "h1", "reason": "anger", "summary": "Two\r\nlines " + "x" * 300}
    protocol = started()
    stop, transfer = sent(protocol, Play(b"\0\0"), Transfer("+15550111", context))[2:]
    assert stop == {"type": "playStream.stop", "streamId": "1"}
    [activity] = transfer["activities"]
    assert (transfer["type"], activity["type"], activity["name"]) == ("activities", "event", "transfer")
    assert activity["activityParams"] == {
        "transferTarget": "tel:+15550111",
        "handoverReason": "anger",
        "transferSipHeaders": [
            {"name": "X-Handoff-Id", "value": "h1"},
            {"name": "X-Reason", "value": "anger"},
            {"name": "X-Summary", "value": ("Two lines " + "x" * 300)[:200]},
        ],
    }
    [bare] = sent(started(), Transfer("sip:desk@pbx.example.com"))
    assert bare["activities"][0]["activityParams"] == {"transferTarget": "sip:desk@pbx.example.com"}
    assert sent(started(), Hangup("completed")) == [
        {
            "type": "activities",
            "activities": [{"type": "event", "name": "hangup", "activityParams": {"hangupReason": "completed"}}],
        }
    ]


def test_nothing_is_sent_before_the_session_or_after_its_end() -> None:
    protocol = AudioCodesProtocol(OPENING)
    assert protocol.send(Play(FRAME)) == ()
    protocol.receive(initiate())
    assert protocol.receive('{"type":"session.end","reasonCode":"It was over"}') == (CallEnded("session_end"),)
    assert protocol.send(Play(FRAME)) == ()


def test_the_simulated_platform_and_we_understand_each_other() -> None:
    caller, protocol = AudioCodesCaller(Who("+15550100")), AudioCodesProtocol(OPENING)
    silence = np.zeros(320, dtype=np.int16)
    assert caller.voice(silence) == []
    answer, event = protocol.receive(caller.opening()[0])
    assert isinstance(answer, Answer)
    assert isinstance(event, CallStarted)
    assert (event.gateway_call_id, event.caller) == (caller.call, "+15550100")
    [respond] = caller.receive(answer.message)
    assert isinstance(respond, Respond)
    for message in respond.messages:
        for event in protocol.receive(message):
            assert isinstance(event, Answer)
            assert caller.receive(event.message) == []
    assert protocol.receive(caller.voice(silence)[0]) == (AudioIn(FRAME),)
    kinds = [
        type(event)
        for command in (
            Play(FRAME),
            ShowTranscript("caller", "Hi", False, 1),
            Clear(),
            Transfer("+15550111"),
            Hangup("x"),
        )
        for message in protocol.send(command)
        for event in caller.receive(message)
    ]
    assert kinds == [Heard, Told, Cleared, Told, Left, Told, Left]


def test_the_simulated_platform_is_strict() -> None:
    caller = AudioCodesCaller(Who())
    early = '{"type":"playStream.start","streamId":"1","mediaFormat":"raw/lpcm16"}'
    bad: tuple[str | bytes, ...] = (b"\0\0", "?", "[]", '{"type":"userStream.started"}', early)
    for message in (*bad, '{"type":"session.accepted","mediaFormat":"raw/mulaw"}'):
        assert isinstance(caller.receive(message)[0], Wrong), message
    assert caller.receive('{"type":"session.error","reason":"Busy"}') == [Left("refused:Busy")]
    caller.receive('{"type":"session.accepted","mediaFormat":"raw/lpcm16"}')
    assert caller.receive(early) == []
    for message in (
        '{"type":"session.accepted","mediaFormat":"raw/lpcm16"}',
        early,
        '{"type":"playStream.chunk","streamId":"2","audioChunk":"AAA="}',
        '{"type":"playStream.chunk","streamId":"1","audioChunk":"?"}',
        '{"type":"playStream.chunk","streamId":"1","audioChunk":"AA=="}',
        '{"type":"playStream.chunk","streamId":"1"}',
        '{"type":"playStream.stop"}',
        '{"type":"activities"}',
        '{"type":"activities","activities":[{"type":"event","name":"dance"}]}',
        '{"type":"dance"}',
    ):
        assert isinstance(caller.receive(message)[0], Wrong), message
    caller.receive('{"type":"playStream.stop","streamId":"1"}')
    assert isinstance(caller.receive(early)[0], Wrong)  # a stream's name is used once


@pytest.mark.parametrize(
    ("header", "key", "verdict"),
    [
        ("Bearer secret", "secret", Admitted("audiocodes:bearer")),
        ("Bearer other", "secret", Refused("bad_credentials")),
        ("Bearer secret", None, Refused("no_key")),
        (None, "secret", None),
    ],
)
def test_ways(header: str | None, key: str | None, verdict: Any) -> None:
    headers = {} if header is None else {"authorization": header}
    [way] = GATEWAY.ways
    assert way.check(Asking("audiocodes", "/gateways/audiocodes", headers), Keys(key, 0.0, Nonces())) == verdict
    assert GATEWAY.refuses == "message"


messages = anything | near_miss(
    "type",
    [
        "session.initiate",
        "session.resume",
        "userStream.start",
        "userStream.chunk",
        "userStream.stop",
        "activities",
        "x",
    ],
    ["type", "conversationId", "caller", "supportedMediaFormats", "expectAudioMessages", "audioChunk", "activities"],
    [initiate(), '{"type":"userStream.start"}', '{"type":"session.end"}', '{"type":"connection.validate"}'],
)


@settings(max_examples=60, deadline=None)
@given(st.lists(messages, max_size=10), st.booleans())
def test_audiocodes_takes_anything(received: list[str | bytes], refused: bool) -> None:
    protocol = AudioCodesProtocol(OPENING)
    if refused:
        protocol.send(Refuse("busy"))
    takes_anything(protocol, received)
