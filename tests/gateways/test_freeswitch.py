from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from gatewayfuzz import anything, near_miss, takes_anything
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.gateways.base import (
    AudioIn,
    CallStarted,
    Clear,
    Command,
    Fault,
    Hangup,
    Mark,
    MarkReached,
    Play,
    SendDtmf,
    ShowState,
    ShowTranscript,
    Transfer,
)
from agent.gateways.freeswitch import GATEWAYS, MAX_MARKS, MAX_METADATA, ForkProtocol, Names, StreamProtocol
from agent.gateways.gateway import Opening
from agent.lab.callers.catalogue import Who
from agent.lab.callers.freeswitch import ForkCaller, StreamCaller
from agent.lab.line import Cleared, Heard, Left, Marked, Wrong

OPENING = Opening("call-1")
METADATA = '{"uuid":"u-1"}'
FRAME = np.arange(1, 641, dtype="<i2").tobytes()


def fork(metadata: str = METADATA, **query: str) -> ForkProtocol:
    protocol = ForkProtocol(Opening("call-1", query=query))
    [started] = protocol.receive(metadata)
    assert isinstance(started, CallStarted)
    return protocol


def stream(**query: str) -> StreamProtocol:
    protocol = StreamProtocol(Opening("call-1", query=query))
    [started] = protocol.receive(METADATA)
    assert isinstance(started, CallStarted)
    return protocol


def sent(protocol: ForkProtocol, *commands: Command) -> list[Any]:
    messages = [message for command in commands for message in protocol.send(command)]
    return [message if isinstance(message, bytes) else json.loads(message) for message in messages]


@pytest.mark.parametrize("name", ["freeswitch_fork_call", "freeswitch_fork_dropped"])
def test_recorded_conversations_of_mod_audio_fork(name: str, golden: Any) -> None:
    golden(name, ForkProtocol(OPENING))


def test_recorded_conversation_of_mod_audio_stream(golden: Any) -> None:
    golden("freeswitch_stream_call", StreamProtocol(Opening("call-1", query={"uuid": "u-1"})))


def test_the_url_says_rate_and_mix_where_the_metadata_does_not() -> None:
    protocol = fork(rate="16000", mix="stereo")
    assert protocol.capabilities.encoding.rate == 16000
    [event] = protocol.receive(np.array([1, -7, 2, -8], dtype="<i2").tobytes())
    assert event == AudioIn(np.array([1, 2], dtype="<i2").tobytes())
    [fault] = protocol.receive(b"\0\0")
    assert isinstance(fault, Fault)
    assert fault.code == "odd_audio"
    assert fork('{"uuid":"u-1","sampleRate":8000}', rate="16000").capabilities.encoding.rate == 8000


def test_the_url_names_a_call_whose_metadata_does_not() -> None:
    opening = Opening("call-1", query={"uuid": "u-1"})
    started, audio = ForkProtocol(opening).receive(FRAME)
    assert started == CallStarted("u-1", "call-1")
    assert audio == AudioIn(FRAME)
    assert ForkProtocol(opening).receive("of Bob") == (CallStarted("u-1", "call-1", parameters={"metadata": "of Bob"}),)
    [event] = ForkProtocol(opening).receive('{"uuid":"u-2"}')
    assert isinstance(event, CallStarted)
    assert event.gateway_call_id == "u-2"


def test_audio_of_a_call_without_a_name_ends_it() -> None:
    protocol = ForkProtocol(OPENING)
    [fault] = protocol.receive(FRAME)
    assert isinstance(fault, Fault)
    assert (fault.code, fault.close) == ("media_before_start", 1007)
    assert protocol.receive(METADATA) == ()


def test_other_names_can_be_given() -> None:
    protocol = ForkProtocol(OPENING, "other", names=Names(("id",), ("a",), ("b",)))
    [event] = protocol.receive('{"id":"c-9","a":"+15550100","b":"","caller":"x"}')
    assert isinstance(event, CallStarted)
    assert (event.gateway_call_id, event.caller, event.called) == ("c-9", "+15550100", None)
    assert protocol.name == "other"


@pytest.mark.parametrize(
    ("metadata", "query", "code", "close"),
    [
        ('{"uuid":"u-1","sampleRate":11025}', {}, "unsupported_media", 1003),
        ('{"uuid":"u-1","sampleRate":"wide"}', {}, "unsupported_media", 1003),
        ('{"uuid":"u-1","mixType":"quad"}', {}, "unsupported_media", 1003),
        (METADATA, {"rate": "44100"}, "unsupported_media", 1003),
        (METADATA, {"mix": "both"}, "unsupported_media", 1003),
        ('{"uuid":"u-1","caller":"a\\u0000b"}', {}, "bad_field", 1007),
        (json.dumps({"uuid": "x" * 300}), {}, "bad_field", 1007),
        ("x" * (MAX_METADATA + 1), {"uuid": "u-1"}, "bad_field", 1007),
        ("{}", {}, "bad_field", 1007),
        ("{}", {"uuid": ""}, "bad_field", 1007),
        ("of Bob", {}, "not_json", 1007),
        ("[]", {}, "not_an_object", 1007),
        ("", {}, "bad_field", 1007),
    ],
)
def test_metadata_that_cannot_be_used_ends_the_call(
    metadata: str, query: dict[str, str], code: str, close: int
) -> None:
    protocol = ForkProtocol(Opening("call-1", query=query))
    [fault] = protocol.receive(metadata)
    assert isinstance(fault, Fault)
    assert (fault.code, fault.close) == (code, close)
    assert protocol.receive(METADATA) == ()
    assert protocol.send(Play(FRAME)) == ()


def test_first_audio_of_half_a_sample_ends_the_call() -> None:
    [fault] = ForkProtocol(Opening("call-1", query={"uuid": "u-1"})).receive(b"\0")
    assert isinstance(fault, Fault)
    assert (fault.code, fault.close) == ("odd_audio", 1007)


@pytest.mark.parametrize(("rate", "frame_ms"), [(8000, 80), (16000, 40), (24000, 40), (48000, 40)])
def test_pieces_are_long_enough_to_be_played_at_once(rate: int, frame_ms: int) -> None:
    capabilities = fork(rate=str(rate)).capabilities
    assert capabilities.frame_ms == frame_ms
    assert capabilities.encoding.rate * capabilities.frame_ms >= 640 * 1000


def test_every_command_of_mod_audio_fork() -> None:
    commands: list[Command] = [
        Play(FRAME),
        Mark("g1.0.1"),
        Clear(),
        ShowTranscript("caller", "Hello.", True, 1),
        Transfer("+15550111", {"handoff_id": "h1", "target": "elsewhere"}),
        Hangup("completed", {"summary": "All done."}),
        Play(b""),
        SendDtmf("1"),
        ShowState("x"),
    ]
    assert sent(fork(), *commands) == [
        FRAME,
        {"type": "mark", "data": {"name": "g1.0.1"}},
        {"type": "killAudio"},
        {"type": "transcription", "data": {"speaker": "caller", "text": "Hello.", "final": True, "turn": 1}},
        {"type": "transfer", "data": {"handoff_id": "h1", "target": "+15550111"}},
        {"type": "disconnect", "data": {"summary": "All done.", "reason": "completed"}},
    ]


def test_samples_that_the_module_would_take_for_marks_become_silence() -> None:
    [audio] = fork().send(Play(np.array([-1, 5, -1, -2], dtype="<i2").tobytes()))
    assert audio == np.array([0, 5, 0, -2], dtype="<i2").tobytes()


def test_marks_that_were_cleared_are_made_up_for_before_the_next_audio() -> None:
    protocol = fork()
    sent(protocol, Play(FRAME), Mark("a"), Play(FRAME), Mark("b"), Clear())  # a is placed, b waits for audio
    for name in ("a", "b"):
        assert protocol.receive(json.dumps({"type": "mark", "data": {"name": name, "event": "cleared"}})) == ()
    assert sent(protocol, Play(FRAME), Play(FRAME)) == [b"\xff\xff" + FRAME, FRAME]


class Module:
    """How mod_audio_fork buffers, marks and clears, step by step as its source does (lws_glue.cpp @30f2189)."""

    def __init__(self) -> None:
        self.waiting: list[int] = []
        self.playing: list[int] = []
        self.threshold = 1280
        self.inventory: list[str] = []
        self.in_use: list[str] = []
        self.swallowing: list[str] = []
        self.clear = False
        self.heard: list[int] = []
        self.told: list[tuple[str, str, int]] = []

    def receive(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self.waiting += [-1] * len(self.inventory) + np.frombuffer(message, dtype="<i2").tolist()
            self.in_use += self.inventory
            self.inventory = []
            if len(self.waiting) >= self.threshold:
                self.threshold = 640
                self.playing += self.waiting
                self.waiting = []
            return
        data = json.loads(message)
        if data["type"] == "mark" and len(self.in_use) + len(self.inventory) < 30:
            self.inventory.append(data["data"]["name"])
        self.clear = self.clear or data["type"] == "killAudio"

    def frame(self, samples: int = 160) -> None:
        if self.clear:
            self.clear, self.playing = False, []
            self.told += [(name, "cleared", len(self.heard)) for name in self.in_use + self.inventory]
            self.swallowing += self.in_use
            self.in_use, self.inventory = [], []
            return
        piece, self.playing = self.playing[:samples], self.playing[samples:]
        if self.in_use or self.swallowing:
            for sample in piece:
                if sample != -1:
                    self.heard.append(sample)
                elif self.swallowing:
                    self.swallowing.pop(0)
                elif self.in_use:
                    self.told.append((self.in_use.pop(0), "playout", len(self.heard)))
        else:
            self.heard += piece
            if not piece and self.inventory:
                self.told.append((self.inventory.pop(0), "playout", len(self.heard)))


@pytest.mark.parametrize("made_up_for", [True, False])
def test_marks_stay_true_after_a_clear(made_up_for: bool) -> None:
    protocol, module = fork(), Module()
    loud = np.tile(np.array([-1, 7, -2, 3], dtype="<i2"), 160).tobytes()

    def play(*commands: Command) -> None:
        for message in [message for command in commands for message in protocol.send(command)]:
            plain = isinstance(message, str) or made_up_for
            module.receive(message if plain else message.removeprefix(b"\xff\xff"))

    def run(frames: int) -> list[tuple[str, str, int]]:
        for _ in range(frames):
            module.frame()
        told, module.told = module.told, []
        for name, event, _ in told:
            protocol.receive(json.dumps({"type": "mark", "data": {"name": name, "event": event}}))
        return told

    play(Play(loud), Play(loud), Mark("a"), Play(loud), Mark("b"), Play(loud), Mark("c"))
    assert run(9) == [("a", "playout", 1280)]
    play(Clear())
    assert run(1) == [("b", "cleared", 1439), ("c", "cleared", 1439)]
    before = len(module.heard)
    play(Play(loud), Play(loud), Mark("d"), Play(loud), Mark("e"))
    told = [(name, event, at - before) for name, event, at in run(16)]
    truth = [("d", "playout", 1280), ("e", "playout", 1920)]
    assert (told == truth) is made_up_for


def test_no_more_marks_are_sent_than_the_module_remembers() -> None:
    protocol = fork()
    assert len(sent(protocol, *[Mark(f"m{number}") for number in range(MAX_MARKS + 5)])) == MAX_MARKS
    assert protocol.receive('{"type":"mark","data":{"name":"m0","event":"playout"}}') == (MarkReached("m0"),)
    assert len(sent(protocol, Mark("one"), Mark("two"))) == 1


def test_nothing_is_sent_before_the_start_or_after_the_end() -> None:
    protocol = ForkProtocol(OPENING)
    assert protocol.send(Play(FRAME)) == ()
    protocol.receive(METADATA)
    protocol.receive(b"")
    assert protocol.send(Play(FRAME)) == ()


def test_mod_audio_stream_gets_files() -> None:
    protocol = stream(rate="16000")
    assert (protocol.capabilities.frame_ms, protocol.capabilities.marks) == (600, "none")
    assert sent(protocol, Play(FRAME), Mark("a"), Clear(), Play(b""), Transfer("+15550111", {"reason": "anger"})) == [
        {
            "type": "streamAudio",
            "data": {"audioDataType": "raw", "sampleRate": 16000, "audioData": base64.b64encode(FRAME).decode()},
        },
        {"type": "transfer", "data": {"reason": "anger", "target": "+15550111"}},
    ]


def test_what_a_script_or_the_commercial_edition_adds_is_asked_for_in_the_url() -> None:
    protocol = stream(playback="binary", clear="yes")
    assert protocol.capabilities.clear
    assert protocol.capabilities.frame_ms == 20
    assert sent(protocol, Play(FRAME), Clear()) == [FRAME, {"type": "killAudio"}]


def test_the_simulated_modules_accept_what_we_send() -> None:
    protocol, caller = fork(), ForkCaller(Who())
    loud = np.full(640, -1, dtype="<i2").tobytes()
    kinds = [
        type(event)
        for command in (Mark("a"), Play(loud), Mark("b"), Play(loud), Clear(), Hangup("done"))
        for message in protocol.send(command)
        for event in caller.receive(message)
    ]
    assert kinds[:5] == [Marked, Heard, Marked, Heard, Cleared]
    assert kinds[-1] is Left
    for name in ("a", "b"):
        for message in caller.cleared(name):
            protocol.receive(message)
    for command in (Play(loud), Mark("c")):
        for message in protocol.send(command):
            assert not [event for event in caller.receive(message) if isinstance(event, Wrong)]
    [message] = caller.played("c")
    assert protocol.receive(message) == (MarkReached("c"),)
    [event] = StreamCaller(Who()).receive(stream().send(Play(FRAME))[0])
    assert isinstance(event, Heard)
    assert len(event.samples) == 640


def test_the_simulated_modules_are_strict() -> None:
    caller = ForkCaller(Who())
    bad: list[str | bytes] = [b"", b"\0", "?", "[]", '{"type":"mark"}', '{"type":"mark","data":{"name":""}}']
    bad.append('{"type":"dance"}')
    for message in bad:
        [event] = caller.receive(message)
        assert isinstance(event, Wrong), message
    caller.receive('{"type":"mark","data":{"name":"a"}}')
    assert isinstance(caller.receive(b"\xff\xff\0\0")[1], Wrong)
    for number in range(MAX_MARKS):
        [event] = caller.receive(json.dumps({"type": "mark", "data": {"name": str(number)}}))
    assert isinstance(event, Wrong)
    other = StreamCaller(Who())
    for message in (b"\0\0", '{"type":"mark","data":{"name":"a"}}', '{"type":"streamAudio"}'):
        [event] = other.receive(message)
        assert isinstance(event, Wrong)
    for data in ({"audioDataType": "mp3"}, {"audioDataType": "raw", "sampleRate": 16000}):
        [event] = other.receive(json.dumps({"type": "streamAudio", "data": {**data, "audioData": "AAA="}}))
        assert isinstance(event, Wrong)
    for audio in ("?", "AA==", ""):
        raw = {"audioDataType": "raw", "sampleRate": 8000, "audioData": audio}
        [event] = other.receive(json.dumps({"type": "streamAudio", "data": raw}))
        assert isinstance(event, Wrong)


def test_the_records_name_what_they_are() -> None:
    assert [(gateway.name, gateway.subprotocols[:1]) for gateway in GATEWAYS] == [
        ("freeswitch-fork", ("audio.drachtio.org",)),
        ("freeswitch-stream", ()),
    ]
    assert {way.name for gateway in GATEWAYS for way in gateway.ways} == {"HTTP Basic", "bearer token"}


messages = anything | near_miss(
    "type",
    ["mark", "playDone", "x"],
    ["type", "event", "name", "data", "dtmf", "digit", "sampleRate", "mixType", "uuid"],
    [
        METADATA,
        b"",
        b"\0\0",
        {"event": "dtmf", "dtmf": "1"},
        {"type": "mark", "data": {"name": "m", "event": "cleared"}},
    ],
)


@settings(max_examples=60, deadline=None)
@given(st.lists(messages, max_size=10), st.booleans())
def test_freeswitch_takes_anything(received: list[str | bytes], files: bool) -> None:
    takes_anything(StreamProtocol(OPENING) if files else ForkProtocol(OPENING), received)
