from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from gatewayfuzz import anything, near_miss, takes_anything
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.gateways.base import (
    Answer,
    AudioIn,
    CallEnded,
    CallStarted,
    CallTool,
    Clear,
    Dtmf,
    Fault,
    Hangup,
    Mark,
    MediaPaused,
    Play,
    Refuse,
    ShowReply,
    ShowSpeech,
    ShowState,
    ShowTranscript,
    TextIn,
    ToolResult,
    Transfer,
)
from agent.gateways.gateway import Opening
from agent.gateways.messages import EARLY_LIMIT, MALFORMED_LIMIT
from agent.gateways.rtvi import GATEWAYS, MAX_TEXT, RtviProtocol
from agent.gateways.rtvi_frames import (
    AudioFrame,
    FrameError,
    MessageFrame,
    OtherFrame,
    read_frame,
    write_audio,
    write_message,
)
from agent.gateways.ways import Admitted, Asking, Keys, Nonces, Refused
from agent.lab.callers.rtvi import RtviCaller
from agent.lab.line import Heard, Left, Told, Wrong

SOUND = np.arange(-160, 160, dtype="<i2").tobytes()
KINDS = (
    "client-ready",
    "raw-audio",
    "raw-audio-batch",
    "send-text",
    "dtmf",
    "client-message",
    "llm-function-call-result",
    "disconnect-bot",
)


def said(kind: str, data: object = None, identity: str | None = "1", **more: Any) -> str:
    message = {"label": "rtvi-ai", "type": kind, "id": identity, "data": data} | more
    return json.dumps({name: value for name, value in message.items() if value is not None})


READY = said("client-ready", {"version": "2.2.0", "about": {"library": "tests"}}, "r-1")


def opened(**query: str) -> RtviProtocol:
    return RtviProtocol(Opening("c-1", {}, query))


def started(binary: bool = False, **query: str) -> RtviProtocol:
    protocol = opened(**query)
    events = protocol.receive(write_message(READY) if binary else READY)
    assert [type(event) for event in events if not isinstance(event, MediaPaused)] == [CallStarted, Answer]
    return protocol


def read(messages: Any) -> list[dict[str, Any]]:
    return [json.loads(message) for message in messages]


def kinds(messages: Any) -> list[str]:
    return [message["type"] for message in read(messages)]


def fault(events: Any) -> Fault:
    (event,) = events
    assert isinstance(event, Fault)
    return event


@pytest.mark.parametrize("name", ["rtvi_call", "rtvi_dropped"])
def test_recorded_conversations(name: str, golden: Any) -> None:
    golden(name, opened())


def test_a_browsers_conversation(golden: Any) -> None:
    golden("rtvi_browser", started(binary=True))


def test_client_ready_begins_the_call_and_is_answered_with_its_id() -> None:
    protocol = opened(caller="+15550100", language="en", token="secret")
    call, paused, answer = protocol.receive(READY)
    assert paused == MediaPaused(True)  # a client that mutes its microphone sends nothing
    assert call == CallStarted("c-1", "c-1", caller="+15550100", parameters={"language": "en", "library": "tests"})
    named, *_ = opened(call_id="web-7").receive(READY)
    assert named == CallStarted("web-7", "c-1", parameters={"library": "tests"})
    assert isinstance(answer, Answer)
    ready = json.loads(answer.message)
    assert (ready["type"], ready["id"], ready["data"]["version"]) == ("bot-ready", "r-1", "2.2.0")
    assert ready["data"]["capabilities"]["audio_out"] is True
    assert protocol.capabilities.audio_in
    assert protocol.capabilities.encoding.rate == 16_000


@pytest.mark.parametrize(("version", "told"), [("1.4.0", 0), ("3.0.0", 1), ("two", 1), (None, 1)])
def test_a_client_of_another_version_is_told_and_served(version: str | None, told: int) -> None:
    events = opened().receive(said("client-ready", {"version": version} if version else {}))
    answers = [json.loads(event.message)["type"] for event in events if isinstance(event, Answer)]
    assert answers == ["error-response"] * told + ["bot-ready"]
    assert isinstance(events[0], CallStarted)


@pytest.mark.parametrize("how", ["query", "harness"])
def test_without_speech_nothing_sounds_either_way(how: str) -> None:
    protocol = opened(skip_tts="true") if how == "query" else opened()
    if how == "harness":
        assert protocol.receive(said("client-message", {"t": "eval-connect", "d": {"skip_tts": True}})) == ()
    protocol.receive(READY)
    assert not protocol.capabilities.audio_in
    assert not protocol.capabilities.audio_out
    assert protocol.send(Play(SOUND)) == ()
    data = {"base64Audio": base64.b64encode(SOUND).decode(), "sampleRate": 16_000, "numChannels": 1}
    assert fault(protocol.receive(said("raw-audio", data))).code == "audio_in_text_mode"
    protocol.send(ShowReply(1, "began"))
    output = read(protocol.send(ShowTranscript("agent", "Hello.", False, 1)))
    assert [message["type"] for message in output] == ["bot-llm-text", "bot-output"]
    assert output[1]["data"]["spoken"] is False
    assert protocol.send(ShowReply(1, "audible")) == ()
    assert kinds(protocol.send(ShowReply(1, "done"))) == ["bot-llm-stopped"]


def test_a_reply_is_told_from_its_beginning_to_its_end() -> None:
    protocol = started()
    assert kinds(protocol.send(ShowReply(4, "began"))) == ["bot-llm-started"]
    first = read(protocol.send(ShowTranscript("agent", "Hello.", False, 1)))
    assert [one["type"] for one in first] == ["bot-llm-text", "bot-tts-started", "bot-tts-text", "bot-output"]
    assert kinds(protocol.send(ShowReply(4, "audible"))) == ["bot-started-speaking"]
    second = read(protocol.send(ShowTranscript("agent", "How are you?", False, 1)))
    assert [one["data"]["text"] for one in second] == [" How are you?", "How are you?", "How are you?"]
    assert second[-1]["data"]["segment_id"] == 2
    assert protocol.send(ShowTranscript("agent", "Hello. How are you?", True, 1)) == ()
    assert protocol.send(ShowReply(3, "done")) == ()
    assert kinds(protocol.send(ShowReply(4, "done"))) == ["bot-tts-stopped", "bot-stopped-speaking", "bot-llm-stopped"]
    assert protocol.send(ShowReply(4, "done")) == ()


def test_an_interruption_is_told_once() -> None:
    protocol = started()
    assert protocol.send(Clear()) == ()
    protocol.send(ShowReply(1, "began"))
    protocol.send(ShowTranscript("agent", "你好。", False, 1))
    assert read(protocol.send(ShowTranscript("agent", "再见。", False, 1)))[0]["data"] == {"text": "再见。"}
    assert kinds(protocol.send(Clear())) == ["bot-interrupted"]
    assert kinds(protocol.send(ShowReply(1, "interrupted"))) == ["bot-tts-stopped", "bot-llm-stopped"]
    protocol.send(ShowReply(2, "began"))
    assert kinds(protocol.send(ShowReply(2, "interrupted"))) == ["bot-interrupted", "bot-llm-stopped"]
    protocol.send(ShowReply(3, "began"))
    assert kinds(protocol.send(ShowReply(4, "began"))) == ["bot-llm-stopped", "bot-llm-started"]


def test_what_the_caller_says_is_shown_as_speech_or_as_chat() -> None:
    protocol = started()
    assert kinds(protocol.send(ShowSpeech(True, 0))) == ["user-started-speaking"]
    assert kinds(protocol.send(ShowSpeech(False, 900))) == ["user-stopped-speaking"]
    partial = read(protocol.send(ShowTranscript("caller", "my ord", False, 1)))
    assert [one["data"]["final"] for one in partial] == [False, False]
    whole = read(protocol.send(ShowTranscript("caller", "my order", True, 1)))
    assert [one["type"] for one in whole] == ["user-transcription", "user-input", "user-llm-text"]
    assert whole[1]["data"]["input_type"] == "transcription"
    assert protocol.receive(said("send-text", {"content": " typed "}, "m-7")) == (TextIn("typed"),)
    chat = read(protocol.send(ShowTranscript("caller", "typed", True, 2)))
    assert [one["type"] for one in chat] == ["user-input", "user-llm-text"]
    assert (chat[0]["data"]["input_type"], chat[0]["data"]["msg_id"]) == ("chat", "m-7")


def test_text_that_may_wait_goes_with_the_next_that_may_not() -> None:
    protocol = started()
    waiting = {"content": "By the way,", "options": {"run_immediately": False, "audio_response": True}}
    assert protocol.receive(said("send-text", waiting)) == ()
    assert protocol.receive(said("send-text", {"content": "hello"})) == (TextIn("By the way, hello"),)
    for _ in range(2):
        events = protocol.receive(said("send-text", waiting | {"content": "x" * (MAX_TEXT - 10)}))
    assert fault(events).code == "bad_field"
    assert protocol.receive(said("send-text", {"content": "hello"})) == (TextIn("hello"),)


def test_an_answer_that_shall_not_sound_does_not() -> None:
    protocol = started()
    protocol.receive(said("send-text", {"content": "hush", "options": {"audio_response": False}}))
    protocol.send(ShowReply(1, "began"))
    assert protocol.send(Play(SOUND)) == ()
    assert protocol.send(ShowReply(1, "audible")) == ()
    assert kinds(protocol.send(ShowTranscript("agent", "Quiet.", False, 1))) == ["bot-llm-text", "bot-output"]
    protocol.send(ShowReply(1, "done"))
    protocol.send(ShowReply(2, "began"))
    assert kinds(protocol.send(Play(SOUND))) == ["bot-tts-audio"]


def test_the_other_commands_have_their_messages() -> None:
    protocol = started()
    asked = read(protocol.send(CallTool("t-1", "weather", {"city": "Oslo"})))
    assert [one["type"] for one in asked] == ["llm-function-call-started", "llm-function-call-in-progress"]
    assert asked[1]["data"] == {"tool_call_id": "t-1", "function_name": "weather", "arguments": {"city": "Oslo"}}
    (moved,) = read(protocol.send(Transfer("+15550199", {"reason": "caller asked"})))
    assert moved["data"] == {"type": "transfer", "target": "+15550199", "context": {"reason": "caller asked"}}
    assert protocol.send(Mark("g1")) == ()
    assert protocol.send(ShowState("listening")) == ()
    protocol.send(ShowReply(1, "began"))
    ended = read(protocol.send(Hangup("completed")))
    assert [one["type"] for one in ended] == ["bot-llm-stopped", "server-message"]
    assert ended[1]["data"] == {"type": "hangup", "reason": "completed", "context": {}}


@pytest.mark.parametrize(
    ("sent", "events"),
    [
        (said("dtmf", {"buttons": ["1", "#"]}), (Dtmf("1"), Dtmf("#"))),
        (said("dtmf", {"button": "5"}), (Dtmf("5"),)),
        (
            said("llm-function-call-result", {"tool_call_id": "t-1", "result": {"a": 1}, "arguments": {}}),
            (ToolResult("t-1", '{"a": 1}'),),
        ),
        (said("llm-function-call-result", {"tool_call_id": "t-1", "result": "rain"}), (ToolResult("t-1", "rain"),)),
        (said("disconnect-bot"), (CallEnded("disconnect_bot"),)),
        (said("client-message", {"t": "eval-cancel"}), (CallEnded("eval_cancel"),)),
        (said("client-message", {"t": "eval-context", "d": {"messages": []}}), ()),
    ],
)
def test_what_a_client_says_becomes_an_event(sent: str, events: tuple[object, ...]) -> None:
    assert tuple(started().receive(sent)) == events


@pytest.mark.parametrize(
    ("sent", "kind", "data"),
    [
        (said("client-message", {"t": "ping", "d": 3}, "m-2"), "server-response", {"t": "ping", "d": 3}),
        (said("client-message", {"t": "call"}, "m-2"), "server-response", {"t": "call", "d": {"id": "c-1"}}),
        (said("client-message", {"t": "dance"}, "m-2"), "error-response", {"error": "Unknown client-message dance"}),
        (said("send-file", {}, "m-2"), "error-response", {"error": "Unsupported type send-file"}),
    ],
)
def test_a_question_is_answered_with_its_id(sent: str, kind: str, data: object) -> None:
    (answer,) = started().receive(sent)
    assert isinstance(answer, Answer)
    message = json.loads(answer.message)
    assert (message["type"], message["id"], message["data"]) == (kind, "m-2", data)


def test_sound_is_read_at_any_rate_and_from_both_wires() -> None:
    protocol = started()
    text = base64.b64encode(SOUND).decode()
    assert protocol.receive(said("raw-audio", {"base64Audio": text, "sampleRate": 16_000, "numChannels": 1})) == (
        AudioIn(SOUND),
    )
    batch = {"base64AudioBatch": [text, text], "sampleRate": 16_000, "numChannels": 1}
    assert protocol.receive(said("raw-audio-batch", batch)) == (AudioIn(SOUND * 2),)
    assert protocol.receive(said("raw-audio", {"base64Audio": "", "sampleRate": 16_000})) == ()
    stereo = np.repeat(np.frombuffer(SOUND, dtype="<i2"), 2).tobytes()
    (event,) = protocol.receive(
        said("raw-audio", {"base64Audio": base64.b64encode(stereo).decode(), "sampleRate": 16_000, "numChannels": 2})
    )
    assert isinstance(event, AudioIn)
    assert len(event.audio) == len(SOUND)
    browser = started(binary=True)
    assert browser.receive(write_audio(SOUND, 16_000)) == (AudioIn(SOUND),)
    heard = b"".join(
        event.audio
        for _ in range(50)
        for event in browser.receive(write_audio(bytes(1920), 48_000))
        if isinstance(event, AudioIn)
    )
    assert abs(len(heard) - 50 * 640) < 200


def test_sound_is_played_at_the_rate_the_player_has() -> None:
    (json_audio,) = read(started().send(Play(SOUND)))
    assert json_audio["type"] == "bot-tts-audio"
    assert json_audio["data"] == {"audio": base64.b64encode(SOUND).decode(), "sample_rate": 16_000, "num_channels": 1}
    (captured,) = read(started(capture_bot_audio="true").send(Play(SOUND)))
    assert captured["type"] == "eval-bot-audio"
    assert captured["data"]["sampleRate"] == 16_000
    assert started(binary=True, rate="16000").send(Play(SOUND)) == (write_audio(SOUND, 16_000),)
    browser = started(binary=True)
    frames = [read_frame(bytes(message)) for _ in range(50) for message in browser.send(Play(SOUND))]  # type: ignore[arg-type]
    assert all(isinstance(frame, AudioFrame) and frame.rate == 24_000 and frame.channels == 1 for frame in frames)
    assert abs(sum(len(frame.audio) for frame in frames if isinstance(frame, AudioFrame)) - 50 * 960) < 200
    assert fault(opened(rate="11025").receive(READY)).close == 1003
    assert fault(opened(rate="\u0662").receive(READY)).close == 1003


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("{", "not_json"),
        ("[]", "not_an_object"),
        (json.dumps({"type": "send-text"}), "bad_field"),
        (said("send-text", {"content": "x"}, label="other"), "bad_field"),
        (json.dumps({"label": "rtvi-ai", "type": 3}), "bad_field"),
        (json.dumps({"label": "rtvi-ai"}), "bad_field"),
        (said("send-text", {"content": "x"}, identity=None, id=7), "bad_field"),
        (said("send-text"), "bad_field"),
        (said("send-text", {"content": 5}), "bad_field"),
        (said("send-text", {"content": "  "}), "bad_field"),
        (said("send-text", {"content": "x" * (MAX_TEXT + 1)}), "bad_field"),
        (said("send-text", {"content": "x", "options": {"run_immediately": "yes"}}), "bad_field"),
        (said("send-text", {"content": "x", "options": []}), "bad_field"),
        (said("dtmf", {"buttons": []}), "bad_field"),
        (said("dtmf", {"buttons": "12"}), "bad_field"),
        (said("dtmf", {"buttons": ["12"]}), "bad_field"),
        (said("dtmf", {"buttons": ["1"] * 33}), "bad_field"),
        (said("raw-audio", {"base64Audio": 3, "sampleRate": 16_000}), "bad_field"),
        (said("raw-audio", {"base64Audio": "!!", "sampleRate": 16_000}), "bad_base64"),
        (said("raw-audio", {"base64Audio": "AAAA", "sampleRate": 16_000}), "odd_audio"),
        (said("raw-audio", {"base64Audio": "AAA=", "sampleRate": 12_345}), "bad_field"),
        (said("raw-audio", {"base64Audio": "AAA=", "sampleRate": True}), "bad_field"),
        (said("raw-audio", {"base64Audio": "AAA=", "sampleRate": 16_000, "numChannels": 3}), "bad_field"),
        (said("raw-audio-batch", {"base64AudioBatch": ["AAA="] * 51, "sampleRate": 16_000}), "bad_field"),
        (said("client-message", {"d": 1}), "bad_field"),
        (said("client-message"), "bad_field"),
        (said("llm-function-call-result", {"result": 1}), "bad_field"),
        (said("llm-function-call-result", {"tool_call_id": "t"}), "bad_field"),
        (READY, "second_start"),
        (b"\x0a\x00", "binary_message"),
    ],
)
def test_a_wrong_message_is_dropped_and_the_call_goes_on(sent: str | bytes, code: str) -> None:
    protocol = started()
    wrong = fault(protocol.receive(sent))
    assert (wrong.code, wrong.close) == (code, None)
    assert protocol.receive(said("dtmf", {"buttons": ["1"]})) == (Dtmf("1"),)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (READY, "text_message"),
        (b"\xff", "bad_frame"),
        (b"\x12\x05abc", "bad_frame"),
        (b"", "unknown_event"),
        (b"\x0a\x03\x1a\x01x", "unknown_event"),
        (write_message("{"), "not_json"),
        (write_message("{}"), "bad_field"),
        (write_audio(b"\0", 16_000), "odd_audio"),
        (write_audio(b"\0\0", 0), "bad_field"),
    ],
)
def test_a_wrong_frame_is_dropped_and_the_call_goes_on(sent: str | bytes, code: str) -> None:
    protocol = started(binary=True)
    wrong = fault(protocol.receive(sent))
    assert (wrong.code, wrong.close) == (code, None)
    assert protocol.receive(write_audio(SOUND, 16_000)) == (AudioIn(SOUND),)


def test_what_comes_before_or_after_the_call_is_dropped() -> None:
    protocol = opened()
    assert fault(protocol.receive(said("send-text", {"content": "x"}))).code == "not_started"
    assert fault(protocol.receive(said("raw-audio", {}))).code == "media_before_start"
    assert fault(protocol.receive(said("client-message", {"t": "ping"}))).code == "not_started"
    assert protocol.send(ShowState("listening")) == ()
    assert protocol.send(Play(SOUND)) == ()
    protocol.receive(READY)
    protocol.receive(said("disconnect-bot"))
    assert fault(protocol.receive(said("disconnect-bot"))).code == "second_stop"
    assert fault(protocol.receive(said("raw-audio", {}))).code == "after_stop"
    assert protocol.send(Play(SOUND)) == ()


@pytest.mark.parametrize(
    "data", [3, {"version": 2}, {"version": "2.2.0", "about": "me"}, {"version": "x" * 33}, {"version": "\0"}]
)
def test_a_client_ready_that_cannot_be_read_ends_the_connection(data: object) -> None:
    protocol = opened()
    wrong = fault(protocol.receive(said("client-ready", data)))
    assert wrong.close == 1007
    assert protocol.receive(READY) == ()


def test_too_much_nonsense_ends_the_call() -> None:
    protocol = started()
    assert [protocol.receive("{")[-1] for _ in range(MALFORMED_LIMIT)][-1].close == 1007  # type: ignore[union-attr]
    early = opened()
    events = [early.receive(said("raw-audio", {}))[-1] for _ in range(EARLY_LIMIT)]
    assert events[-1].close == 1008  # type: ignore[union-attr]
    assert fault(started().receive("x" * 300_000)).close == 1009


def test_a_refusal_waits_until_it_is_known_how_to_say_it() -> None:
    protocol = opened()
    assert protocol.send(Refuse("busy")) == ()
    answer, ended = protocol.receive(READY)
    assert isinstance(answer, Answer)
    assert json.loads(answer.message)["data"] == {"error": "busy", "fatal": True}
    assert ended == CallEnded("refused")
    browser = opened()
    browser.send(Refuse("draining"))
    (answer, _) = browser.receive(write_message(READY))
    assert isinstance(answer, Answer)
    assert isinstance(read_frame(bytes(answer.message)), MessageFrame)  # type: ignore[arg-type]
    assert kinds(started().send(Refuse("busy"))) == ["error"]


@pytest.mark.parametrize(
    ("headers", "query", "verdict"),
    [
        ({"authorization": "Bearer the-key"}, {}, Admitted("rtvi:bearer")),
        ({}, {"token": "the-key"}, Admitted("rtvi:bearer")),
        ({"authorization": "Bearer other"}, {"token": "the-key"}, Refused("bad_credentials")),
        ({}, {"token": "other"}, Refused("bad_credentials")),
        ({}, {}, None),
    ],
)
def test_a_client_proves_itself_by_a_bearer_token(
    headers: Mapping[str, str], query: Mapping[str, str], verdict: object
) -> None:
    (gateway,) = GATEWAYS
    (way,) = gateway.ways
    asking = Asking("rtvi", "/gateways/rtvi", headers, query)
    assert way.check(asking, Keys("the-key", 0.0, Nonces())) == verdict
    if verdict is not None:
        assert way.check(asking, Keys(None, 0.0, Nonces())) == Refused("no_key")


def pipecats() -> Any:
    """The class of pipecat's `Frame`, built by protobuf's own library from the field numbers of frames.proto."""
    kinds = {"string": 9, "uint64": 4, "uint32": 13, "bytes": 12}
    named = {"id": ("uint64", 1), "name": ("string", 2)}
    messages = {
        "TextFrame": named | {"text": ("string", 3)},
        "AudioRawFrame": named
        | {"audio": ("bytes", 3), "sample_rate": ("uint32", 4), "num_channels": ("uint32", 5), "pts": ("uint64", 6)},
        "TranscriptionFrame": named | {"text": ("string", 3), "user_id": ("string", 4), "timestamp": ("string", 5)},
        "MessageFrame": {"data": ("string", 1)},
        "InterruptionFrame": named,
    }
    file = descriptor_pb2.FileDescriptorProto(name="pipecat_tests.proto", package="pipecat_tests", syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, (kind, number) in fields.items():
            message.field.add(name=field, number=number, type=kinds[kind], label=1)
    whole = file.message_type.add(name="Frame")
    whole.oneof_decl.add(name="frame")
    parts = ("text", "audio", "transcription", "message", "interruption")
    for number, (part, name) in enumerate(zip(parts, messages, strict=True), start=1):
        whole.field.add(name=part, number=number, type=11, label=1, type_name=f".pipecat_tests.{name}", oneof_index=0)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("pipecat_tests.Frame"))


FRAME = pipecats()


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.text(max_size=40))
def test_frames_are_read_and_written_as_protobufs_own_library_does(
    audio: bytes, rate: int, channels: int, text: str
) -> None:
    theirs = FRAME()
    theirs.audio.audio, theirs.audio.sample_rate, theirs.audio.num_channels = audio, rate, channels
    theirs.audio.id, theirs.audio.name, theirs.audio.pts = 2**63, text, 5
    assert read_frame(theirs.SerializeToString()) == AudioFrame(audio, rate, channels)
    ours = FRAME.FromString(write_audio(audio, rate))
    assert (ours.audio.audio, ours.audio.sample_rate, ours.audio.num_channels) == (audio, rate, 1)
    theirs = FRAME()
    theirs.message.data = text
    assert read_frame(theirs.SerializeToString()) == MessageFrame(text)
    assert FRAME.FromString(write_message(text)).message.data == text
    assert FRAME.FromString(write_message(text)).WhichOneof("frame") == "message"


def test_frames_of_other_kinds_are_told_apart() -> None:
    for kind in ("text", "transcription", "interruption"):
        theirs = FRAME()
        getattr(theirs, kind).name = "x"
        assert read_frame(theirs.SerializeToString()) == OtherFrame(kind)
    assert read_frame(b"") == OtherFrame("unknown")
    assert read_frame(b"\x9a\x06\x01x" + b"\xa0\x06\x05" + b"\xa5\x06abcd" + b"\xa1\x06abcdefgh") == OtherFrame(
        "unknown"
    )


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_a_frame_or_refused(data: bytes) -> None:
    with contextlib.suppress(FrameError):
        assert isinstance(read_frame(data), AudioFrame | MessageFrame | OtherFrame)


@pytest.mark.parametrize(
    "data", [b"\x12", b"\x12\x05ab", b"\x80" * 11, b"\x02\x00", b"\x13", b"\x10\x05", b"\x22\x03\x0a\x01\xff",
             b"\x12\x02\x20\x80", b"\x12\x03\x22\x01x", b"\x15ab"]
)  # fmt: skip
def test_broken_frames_are_refused(data: bytes) -> None:
    with pytest.raises(FrameError):
        read_frame(data)


FIELDS = ("label", "id", "data", "content", "options", "buttons", "base64Audio", "sampleRate", "numChannels", "t", "d")


@settings(max_examples=80, deadline=None)
@given(st.lists(anything | near_miss("type", KINDS, FIELDS, [READY, said("disconnect-bot")]), max_size=12))
def test_anything_may_come_as_text(messages: list[str | bytes]) -> None:
    takes_anything(opened(), messages)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.binary(max_size=60)
        | near_miss("type", KINDS, FIELDS, [READY]).map(lambda one: write_message(str(one)))
        | st.builds(write_audio, st.binary(max_size=40), st.integers(0, 50_000)),
        max_size=12,
    )
)
def test_anything_may_come_in_frames(messages: list[bytes]) -> None:
    takes_anything(opened(), [write_message(READY), *messages])


@pytest.mark.parametrize("wire", ["protobuf", "json"])
@pytest.mark.parametrize("typed", [False, True])
def test_client_and_server_understand_each_other(wire: Any, typed: bool) -> None:
    client, server = RtviCaller(wire, typed), opened(rate="16000", **({"skip_tts": "true"} if typed else {}))
    (ready,) = client.opening()
    *_, answer = server.receive(ready)
    assert isinstance(answer, Answer)
    got = list(client.receive(answer.message))
    for command in (
        ShowReply(1, "began"),
        ShowTranscript("agent", "Hello.", False, 1),
        ShowReply(1, "audible"),
        Play(SOUND),
        ShowSpeech(True, 100),
        Clear(),
        ShowReply(1, "interrupted"),
        ShowTranscript("caller", "Hi.", True, 1),
        CallTool("t-1", "weather", {}),
        Hangup("completed"),
    ):
        for message in server.send(command):
            got += client.receive(message)
    assert not [event for event in got if isinstance(event, Wrong)]
    assert len([event for event in got if isinstance(event, Heard)]) == (0 if typed else 1)
    assert got[-1] == Left("hangup:completed")
    assert any(isinstance(event, Told) for event in got)
    samples = np.arange(320, dtype=np.int16)
    events = [event for _ in range(8) for message in client.voice(samples) for event in server.receive(message)]
    assert b"".join(event.audio for event in events if isinstance(event, AudioIn)) == (
        b"" if typed else np.tile(samples, 8).tobytes()
    )
    (text,) = client.text("hello")
    assert server.receive(text) == (TextIn("hello"),)
    (key,) = client.key("#")
    assert server.receive(key) == (Dtmf("#"),)
    (bye,) = client.closing()
    assert server.receive(bye) == (CallEnded("disconnect_bot"),)


def test_the_client_tells_what_no_client_would_take() -> None:
    client = RtviCaller("json")
    client.opening()
    for wrong in (b"\0\0", "{", '{"label":"x"}', said("bot-llm-started"), said("bot-ready", {"version": "2.2.0"}, "?")):
        assert isinstance(client.receive(wrong)[0], Wrong)
    client.receive(said("bot-ready", {"version": "2.2.0", "capabilities": {"audio_out": True}}, client._ready_id))
    for wrong in (
        said("bot-llm-stopped"),
        said("bot-llm-text", {"text": "x"}),
        said("bot-dances"),
        said("user-transcription", {"text": "x"}),
        said("bot-tts-audio", {"audio": "!", "sample_rate": 16_000, "num_channels": 1}),
        said("bot-tts-audio", {"audio": "AAA=", "sample_rate": 24_000, "num_channels": 1}),
    ):
        assert isinstance(client.receive(wrong)[0], Wrong)
