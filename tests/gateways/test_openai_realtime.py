from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pytest
from gatewayfuzz import anything, near_miss, takes_anything
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.realtime import (
    ConversationItemCreateEvent,
    ConversationItemTruncateEvent,
    InputAudioBufferAppendEvent,
    RealtimeServerEvent,
    ResponseCreateEvent,
    SessionUpdateEvent,
)

from agent.gateways.base import (
    Answer,
    AudioIn,
    CallEnded,
    CallStarted,
    CallTool,
    Clear,
    Event,
    Fault,
    Hangup,
    Mark,
    MediaPaused,
    Play,
    Refuse,
    SendDtmf,
    ShowReply,
    ShowSpeech,
    ShowState,
    ShowTranscript,
    TextIn,
    ToolResult,
    ToolsOffered,
    Transfer,
    Truncated,
)
from agent.gateways.gateway import Opening
from agent.gateways.messages import MALFORMED_LIMIT
from agent.gateways.openai_key import SubprotocolKey
from agent.gateways.openai_realtime import OPENAI, OpenAIRealtimeProtocol
from agent.gateways.ways import Admitted, Asking, Keys, Nonces, Refused
from agent.lab.callers.catalogue import Who
from agent.lab.callers.openai_realtime import OpenAICaller
from agent.lab.line import Cleared, Heard, Left, Respond, Told, Wrong
from audio.codec import Encoding

FRAME = bytes(960)
SERVER_EVENTS = {
    kind.model_fields["type"].annotation.__args__[0]: kind for kind in get_args(get_args(RealtimeServerEvent)[0])
}


def checked(message: str | bytes) -> dict[str, Any]:
    """What we send, as the official SDK's own type reads it, strictly."""
    event = json.loads(message)
    SERVER_EVENTS[event["type"]].model_validate_json(message, strict=True)
    return event


class Client:
    """A protocol under test with its client: every event it sends is checked by the SDK's types."""

    def __init__(self, **session: Any) -> None:
        self.protocol = OpenAIRealtimeProtocol("c-0123", "gpt-realtime")
        self.events: list[Event] = []
        self.sent: list[dict[str, Any]] = []
        for event in self.protocol.opening():
            assert isinstance(event, Answer)
            self.sent.append(checked(event.message))
        if session:
            self.give("session.update", session={"type": "realtime", **session})

    def give(self, kind: str, **fields: Any) -> list[Event]:
        """Send a client event; returns what it means for the call. Answers go to `sent`."""
        given = self.protocol.receive(json.dumps({"type": kind, **fields}))
        self.sent += [checked(event.message) for event in given if isinstance(event, Answer)]
        real = [event for event in given if not isinstance(event, Answer)]
        self.events += real
        return real

    def append(self, audio: bytes = FRAME) -> list[Event]:
        return self.give("input_audio_buffer.append", audio=base64.b64encode(audio).decode())

    def type(self, text: str) -> list[Event]:
        content = [{"type": "input_text", "text": text}]
        return self.give("conversation.item.create", item={"type": "message", "role": "user", "content": content})

    def tell(self, *commands: Any) -> list[dict[str, Any]]:
        told = [checked(message) for command in commands for message in self.protocol.send(command)]
        self.sent += told
        return told

    @property
    def error(self) -> dict[str, Any]:
        assert self.sent[-1]["type"] == "error"
        return self.sent[-1]["error"]

    def kinds(self) -> list[str]:
        """Types of everything sent since the last call."""
        kinds = [event["type"] for event in self.sent]
        self.sent.clear()
        return kinds


def in_call(**session: Any) -> Client:
    client = Client(**session)
    events = [event for event in client.append() if not isinstance(event, ToolsOffered)]
    assert [type(event) for event in events] == [CallStarted, MediaPaused, AudioIn]
    client.kinds()
    return client


def test_tools_are_offered_at_the_start_and_when_they_change() -> None:
    tools = [{"type": "function", "name": name} for name in ("end_call", "balance", "pay")]
    client = Client(tools=tools[:2])
    assert ToolsOffered(("balance",)) in client.append()
    changed = client.give("session.update", session={"type": "realtime", "tools": tools})
    assert [event for event in changed if isinstance(event, ToolsOffered)] == [ToolsOffered(("balance", "pay"))]
    again = client.give("session.update", session={"type": "realtime", "tools": tools})
    assert not [event for event in again if isinstance(event, ToolsOffered)]


def audio(**sides: str) -> dict[str, Any]:
    return {"audio": {side: {"format": {"type": f"audio/{kind}"}} for side, kind in sides.items()}}


PUSH_TO_TALK = {"audio": {"input": {"turn_detection": None}}}
TOOLS = {"tools": [{"type": "function", "name": name, "parameters": {}} for name in ("transfer_call", "end_call")]}
SPOKEN = [
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
    "response.output_audio.delta",
]
CLOSED = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "response.output_item.done",
    "conversation.item.done",
    "response.done",
]
CALLED = [
    "response.output_item.added",
    "conversation.item.added",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.output_item.done",
    "conversation.item.done",
    "response.done",
]


@pytest.mark.parametrize("name", ["openai_call", "openai_dropped"])
def test_recorded_conversations(name: str, golden: Any) -> None:
    golden(name, OpenAIRealtimeProtocol("c-0123", "gpt-realtime"))


def test_the_server_speaks_first_and_only_sound_starts_the_call() -> None:
    client = Client()
    [created] = client.sent
    assert created["type"] == "session.created"
    assert created["session"]["model"] == "gpt-realtime"
    assert created["session"]["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
    assert client.give("session.update", session={"type": "realtime", "instructions": "Be brief."}) == []
    assert client.sent[-1]["session"]["instructions"] == "Be brief."
    started, paused, heard = client.append()
    assert started == CallStarted("c-0123", "c-0123", parameters={"model": "gpt-realtime"})
    assert (paused, heard) == (MediaPaused(True), AudioIn(FRAME))
    assert client.append() == [AudioIn(FRAME)]


def test_a_reply_is_a_response() -> None:
    client = in_call()
    client.tell(ShowReply(1, "began"))
    said = ShowTranscript("agent", "Hello.", False, 1)
    client.tell(said, Play(FRAME), Play(FRAME), ShowReply(1, "audible"), ShowReply(1, "done", 40.0))
    last = client.sent[-1]["response"]
    assert client.kinds() == ["response.created", *SPOKEN, *CLOSED]
    assert (last["status"], last["output"][0]["status"]) == ("completed", "completed")
    assert last["output"][0]["content"] == [{"type": "output_audio", "transcript": "Hello."}]


def test_sentences_are_joined_and_ids_agree() -> None:
    client = in_call()
    client.tell(ShowReply(1, "began"), Play(b"\1\0" * 480))
    client.tell(*(ShowTranscript("agent", text, False, 1) for text in ("One.", "Two.", "三。", "四。")))
    client.tell(ShowReply(1, "done", 20.0))
    parts = [event for event in client.sent if "response_id" in event]
    assert len({event["response_id"] for event in parts}) == 1
    assert len({event["event_id"] for event in client.sent}) == len(client.sent)
    [delta] = [event for event in client.sent if event["type"] == "response.output_audio.delta"]
    assert base64.b64decode(delta["delta"]) == b"\1\0" * 480
    [whole] = [event for event in client.sent if event["type"] == "response.output_audio_transcript.done"]
    assert whole["transcript"] == "One. Two. 三。四。"
    deltas = [event["delta"] for event in client.sent if event["type"].endswith("transcript.delta")]
    assert "".join(deltas) == whole["transcript"]


def test_a_spoken_turn_becomes_an_item_before_its_answer() -> None:
    client = in_call(audio={"input": {"transcription": {"model": "any"}}})
    client.tell(ShowSpeech(True, 400.4), ShowTranscript("caller", "where is", False, 1))
    client.tell(ShowTranscript("caller", "where is my", False, 1), ShowTranscript("caller", "wears", False, 1))
    client.tell(ShowSpeech(False, 1400.6), ShowReply(1, "began"), ShowTranscript("caller", "where is my card", True, 1))
    sent = list(client.sent)
    assert client.kinds() == [
        "input_audio_buffer.speech_started",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.delta",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "conversation.item.input_audio_transcription.completed",
    ]
    assert (
        len({event.get("item_id") or event["item"]["id"] for event in sent if event["type"] != "response.created"}) == 1
    )
    assert sent[-1]["usage"] == {"type": "duration", "seconds": 1.0}
    client.give("conversation.item.retrieve", item_id=sent[0]["item_id"])
    assert client.sent[-1]["item"]["content"][0]["transcript"] == "where is my card"


def test_without_transcription_no_words_are_sent_and_a_noise_is_no_item() -> None:
    client = in_call()
    client.tell(ShowSpeech(True, 400.0), ShowTranscript("caller", "hm", False, 1), ShowSpeech(False, 500.0))
    client.tell(ShowState("listening"), ShowReply(1, "began"))
    assert client.kinds() == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "response.created",
    ]


def test_an_interruption_cancels_and_says_how_much_was_heard() -> None:
    client = in_call()
    client.tell(ShowReply(1, "began"), ShowTranscript("agent", "Hello there.", False, 1))
    client.tell(*[Play(FRAME)] * 10, ShowSpeech(True, 900.0), Clear(), ShowReply(1, "interrupted", 130.0))
    truncated, done = client.sent[-1], client.sent[-2]["response"]
    assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert done["output"][0]["status"] == "incomplete"
    assert (truncated["type"], truncated["audio_end_ms"]) == ("conversation.item.truncated", 130)
    client.tell(ShowTranscript("agent", "Hello", True, 1))
    client.give("conversation.item.retrieve", item_id=truncated["item_id"])
    assert client.sent[-1]["item"]["content"][0]["transcript"] == "Hello"
    assert client.tell(ShowReply(2, "began"))[0]["type"] == "response.created"


def test_a_client_that_plays_itself_says_what_was_heard() -> None:
    client = in_call()
    client.tell(ShowReply(1, "began"), *[Play(FRAME)] * 10)
    item = next(event["item_id"] for event in client.sent if event["type"] == "response.output_audio.delta")
    assert client.give("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=80) == [Truncated(80)]
    assert client.sent[-1]["type"] == "conversation.item.truncated"
    [fault] = client.give("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=201)
    assert isinstance(fault, Fault)
    assert "already shorter" in client.error["message"]
    client.tell(ShowReply(1, "interrupted", 80.0))
    assert client.give("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=80) == []


def test_a_client_cancels_a_response_and_the_next_reply_is_heard() -> None:
    client = in_call()
    client.tell(ShowReply(1, "began"), *[Play(FRAME)] * 10)
    assert client.give("response.cancel") == [Truncated(200.0)]
    assert client.sent[-1]["response"]["status_details"]["reason"] == "client_cancelled"
    assert client.tell(Play(FRAME), ShowTranscript("agent", "More.", False, 1)) == []
    assert client.tell(Clear(), ShowReply(1, "interrupted", 120.0)) == []
    client.give("response.cancel", event_id="mine")
    assert (client.error["code"], client.error["event_id"]) == ("response_cancel_not_active", "mine")
    assert len(client.tell(ShowReply(2, "began"), Play(FRAME))) == 5


def test_a_response_cancelled_before_its_reply_began_stays_unheard() -> None:
    client = in_call()
    client.type("hello")
    client.give("response.create")
    assert client.give("response.cancel") == [Truncated(0.0)]
    client.kinds()
    assert client.tell(ShowReply(1, "began"), Play(FRAME), ShowReply(1, "done", 20.0)) == []
    assert client.tell(ShowReply(2, "began"), Play(FRAME))


def test_the_output_buffer_can_be_cleared() -> None:
    client = in_call()
    client.give("output_audio_buffer.clear")
    assert client.error["code"] == "output_audio_buffer_empty"
    client.tell(ShowReply(1, "began"), Play(FRAME))
    assert client.give("output_audio_buffer.clear") == [Truncated(20.0)]
    assert client.kinds()[-2:] == ["response.done", "output_audio_buffer.cleared"]


def test_typed_words_wait_for_a_response_and_share_it_with_the_greeting() -> None:
    client = Client(output_modalities=["text"])
    assert client.type("Where is my card?") == []
    started, paused, text = client.give("response.create", response={"metadata": {"topic": "cards"}})
    assert isinstance(started, CallStarted)
    assert (paused, text) == (MediaPaused(True), TextIn("Where is my card?"))
    can = client.protocol.capabilities
    assert not can.audio_in
    assert not can.audio_out
    assert client.sent[-1]["response"]["metadata"] == {"topic": "cards"}
    client.tell(ShowReply(1, "began"), ShowTranscript("agent", "Hello.", False, 0), ShowReply(1, "interrupted"))
    client.tell(ShowReply(2, "began"), ShowTranscript("caller", "Where is my card?", True, 1))
    client.tell(ShowTranscript("agent", "On its way.", False, 1), ShowReply(2, "done"))
    done = client.sent[-1]["response"]
    assert (done["status"], done["metadata"]) == ("completed", {"topic": "cards"})
    assert done["output"][0]["content"] == [{"type": "output_text", "text": "Hello. On its way."}]
    assert client.kinds().count("response.done") == 1


def test_typed_words_interrupt_a_reply() -> None:
    client = in_call()
    client.tell(ShowReply(1, "began"), *[Play(FRAME)] * 5)
    client.type("one")
    client.type("two")
    assert client.give("response.create") == [TextIn("one two")]
    assert client.tell(Play(FRAME), ShowReply(1, "interrupted", 20.0)) == []  # the old reply's
    client.kinds()
    client.tell(ShowReply(2, "began"), ShowTranscript("agent", "Yes.", False, 1), Play(FRAME), ShowReply(2, "done"))
    assert client.kinds() == [*SPOKEN[:-1], *CLOSED]


def test_a_client_may_ask_to_be_greeted() -> None:
    client = Client()
    assert [type(event) for event in client.give("response.create")] == [CallStarted, MediaPaused]
    client.tell(ShowReply(1, "began"), Play(FRAME), ShowReply(1, "done", 20.0))
    assert client.kinds().count("response.created") == 1
    assert client.protocol.capabilities.audio_in


def test_a_response_nobody_asked_anything_for_fails_at_once() -> None:
    client = in_call()
    assert client.give("response.create") == []
    done = client.sent[-1]["response"]
    assert (done["status"], done["status_details"]["error"]["code"]) == ("failed", "nothing_to_answer")
    client.tell(ShowReply(1, "began"))
    client.give("response.create")
    assert client.error["code"] == "conversation_already_has_active_response"


def test_a_response_wanted_while_the_caller_is_answered_is_that_answer() -> None:
    client = in_call()
    client.tell(ShowSpeech(True, 0.0), ShowSpeech(False, 900.0))
    assert client.give("response.create") == []
    client.kinds()
    client.tell(ShowReply(1, "began"), Play(FRAME), ShowReply(1, "done", 20.0))
    assert client.kinds()[-1] == "response.done"


def test_push_to_talk_ends_the_turn_by_commit() -> None:
    client = Client(**PUSH_TO_TALK)
    for _ in range(4):
        assert client.append() == []
    client.give("input_audio_buffer.commit")
    assert client.error["code"] == "input_audio_buffer_commit_empty"
    client.append()
    assert client.give("input_audio_buffer.commit") == []
    assert [event["type"] for event in client.sent[-3:]] == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    started, _, *heard = client.give("response.create")
    assert isinstance(started, CallStarted)
    assert heard == [AudioIn(FRAME * 5), AudioIn(bytes(9600))]
    assert not client.protocol.capabilities.audio_in
    client.append()
    client.give("input_audio_buffer.clear")
    assert client.sent[-1]["type"] == "input_audio_buffer.cleared"
    client.give("input_audio_buffer.commit")
    assert client.error["code"] == "input_audio_buffer_commit_empty"


def test_what_a_client_that_pushes_to_talk_may_have_waiting_is_bounded() -> None:
    client = Client(**PUSH_TO_TALK)
    second = bytes(48_000)
    for _ in range(60):
        client.append(second)
    client.append(second)
    assert client.error["code"] == "input_audio_buffer_full"


def test_a_client_may_commit_where_turns_are_detected() -> None:
    client = in_call()
    for _ in range(10):
        client.append()
    client.give("input_audio_buffer.commit")
    assert "input_audio_buffer.committed" in client.kinds()


def test_large_pieces_of_audio_are_cut() -> None:
    client = in_call()
    pieces = client.append(bytes(48_000))
    assert [len(event.audio) for event in pieces if isinstance(event, AudioIn)] == [9600] * 5


@pytest.mark.parametrize(
    ("kind", "encoding"),
    [("pcmu", Encoding("mulaw", 8000)), ("pcma", Encoding("alaw", 8000)), ("pcm", Encoding("pcm16", 24000))],
)
def test_the_calls_encoding_is_the_clients(kind: str, encoding: Encoding) -> None:
    client = Client(**audio(input=kind, output=kind))
    client.append(encoding.silence(encoding.rate // 50))
    assert client.protocol.capabilities.encoding == encoding
    tone = encoding.encode((8000 * np.sin(np.arange(encoding.rate // 50) / 5)).astype(np.int16))
    assert client.append(tone) == [AudioIn(tone)]
    assert base64.b64decode(client.tell(Play(tone))[-1]["delta"]) == tone


def test_formats_may_differ_and_change() -> None:
    client = Client(**audio(input="pcmu", output="pcm"))
    mulaw, wide = Encoding("mulaw", 8000), Encoding("pcm16", 24000)
    wave = (8000 * np.sin(2 * np.pi * 440 * np.arange(1600) / 8000)).astype(np.int16)
    heard = [
        event.audio
        for at in range(0, 1600, 160)
        for event in client.append(mulaw.encode(wave[at : at + 160]))
        if isinstance(event, AudioIn)
    ]
    got = wide.decode(b"".join(heard)).astype(np.float64)
    expected = 8000 * np.sin(2 * np.pi * 440 * np.arange(len(got)) / 24000)
    assert 4700 < len(got) <= 4800
    assert np.abs(got - expected)[300:].max() < 600
    client.give("session.update", session={"type": "realtime", **audio(output="pcma")})
    assert client.protocol.capabilities.encoding == wide
    [*_, delta] = client.tell(ShowReply(1, "began"), *[Play(FRAME)] * 5)
    assert len(base64.b64decode(delta["delta"])) == 160


def test_modality_of_one_response() -> None:
    client = in_call()
    client.type("hello")
    client.give("response.create", response={"output_modalities": ["text"]})
    client.kinds()
    client.tell(ShowReply(1, "began"), ShowTranscript("agent", "Yes.", False, 1), Play(FRAME), ShowReply(1, "done"))
    assert client.kinds()[3:5] == ["response.output_text.delta", "response.output_text.done"]


def test_a_call_that_began_without_a_voice_gets_none() -> None:
    client = Client(output_modalities=["text"])
    client.type("hello")
    client.give("response.create")
    client.give("session.update", session={"type": "realtime", "output_modalities": ["audio"]})
    assert client.error["param"] == "session.output_modalities"
    client.give("response.create", response={"output_modalities": ["audio"]})
    assert client.error["param"] == "response.output_modalities"


@pytest.mark.parametrize(
    ("command", "name", "arguments"),
    [
        (Transfer("+15550100", {"reason": "asked"}), "transfer_call", {"reason": "asked", "target": "+15550100"}),
        (Hangup("goodbye", {"intent": "card"}), "end_call", {"intent": "card", "reason": "goodbye"}),
    ],
)
def test_what_happens_to_the_call_is_a_function_call(command: Any, name: str, arguments: dict[str, str]) -> None:
    client = in_call(**TOOLS)
    assert client.protocol.capabilities.transfer == "message"
    client.tell(command)
    item = client.sent[-1]["response"]["output"][0]
    assert client.kinds() == ["response.created", *CALLED]
    assert (item["name"], json.loads(item["arguments"])) == (name, arguments)
    output = {"type": "function_call_output", "call_id": item["call_id"], "output": "ok"}
    [ended] = client.give("conversation.item.create", item=output)
    assert isinstance(ended, CallEnded)
    assert client.protocol.receive("{}") == ()


@pytest.mark.parametrize(
    "command", [Transfer("+15550100"), Hangup("goodbye"), SendDtmf("1"), Mark("g1"), Clear(), Play(b"")]
)
def test_what_the_client_did_not_declare_or_the_api_lacks_sends_nothing(command: Any) -> None:
    client = in_call()
    assert client.protocol.capabilities.transfer == "none"
    assert client.tell(command) == []


def test_a_tool_is_called_in_the_response_under_way_and_the_reply_goes_on_in_another() -> None:
    client = in_call(tools=[{"type": "function", "name": "balance"}])
    client.tell(ShowReply(1, "began"), ShowTranscript("agent", "One moment.", False, 1), Play(FRAME))
    client.tell(CallTool("call_1", "balance", {"account": "7"}))
    call = client.sent[-1]["response"]["output"][1]
    assert (call["name"], call["call_id"], call["arguments"]) == ("balance", "call_1", '{"account": "7"}')
    item = {"type": "function_call_output", "call_id": "call_1", "output": "12"}
    assert client.give("conversation.item.create", item=item) == [ToolResult("call_1", "12")]
    client.kinds()
    client.tell(Play(FRAME))
    assert client.give("response.create") == []  # the answer to the tool is under way already
    client.tell(ShowReply(1, "done", 40.0))
    assert client.kinds().count("response.created") == 1


def test_items_are_kept_retrieved_and_deleted() -> None:
    client = Client()
    for role, kind in (("system", "input_text"), ("user", "input_text"), ("assistant", "output_text")):
        item = {"id": role, "type": "message", "role": role, "content": [{"type": kind, "text": "Hello."}]}
        client.give("conversation.item.create", item=item, previous_item_id=None)
    assert client.sent[-1]["previous_item_id"] == "user"
    client.give("conversation.item.retrieve", item_id="user")
    assert client.sent[-1]["item"]["content"] == [{"type": "input_text", "text": "Hello."}]
    client.give("conversation.item.delete", item_id="assistant")
    assert client.sent[-1]["item_id"] == "assistant"
    client.give("conversation.item.delete", item_id="assistant")
    assert client.error["code"] == "item_delete_invalid_item_id"
    # what the assistant has answered already is no question
    assert [type(event) for event in client.give("response.create")] == [CallStarted, MediaPaused]


def test_a_long_conversation_forgets_its_first_items() -> None:
    client = Client()
    call = {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}
    for number in range(600):
        client.give("conversation.item.create", item={"id": f"i{number}", **call})
    client.give("conversation.item.retrieve", item_id="i0")
    assert client.error["code"] == "item_retrieve_invalid_item_id"


USER = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        ({}, "missing_required_parameter", "type"),
        ({"type": 7}, "invalid_value", "type"),
        ({"type": "weather"}, "invalid_value", "type"),
        ({"type": "session.update"}, "missing_required_parameter", "session"),
        ({"type": "session.update", "session": 1}, "invalid_value", "session"),
        ({"type": "session.update", "session": {"type": "transcription"}}, "invalid_value", "session.type"),
        (
            {"type": "session.update", "session": {"input_audio_format": "g711_ulaw"}},
            "unknown_parameter",
            "session.input_audio_format",
        ),
        (
            {"type": "session.update", "session": {"output_modalities": ["text", "audio"]}},
            "invalid_value",
            "session.output_modalities",
        ),
        ({"type": "session.update", "session": {"instructions": 1}}, "invalid_value", "session.instructions"),
        ({"type": "session.update", "session": {"tools": {}}}, "invalid_value", "session.tools"),
        ({"type": "session.update", "session": {"tools": [{"type": "mcp"}]}}, "invalid_value", "session.tools[0].type"),
        (
            {"type": "session.update", "session": {"tools": [{"type": "function"}]}},
            "missing_required_parameter",
            "session.tools[0].name",
        ),
        ({"type": "session.update", "session": {"audio": []}}, "invalid_value", "session.audio"),
        (
            {"type": "session.update", "session": audio(input="opus")},
            "invalid_value",
            "session.audio.input.format.type",
        ),
        (
            {
                "type": "session.update",
                "session": {"audio": {"output": {"format": {"type": "audio/pcm", "rate": 16000}}}},
            },
            "invalid_value",
            "session.audio.output.format.rate",
        ),
        (
            {"type": "session.update", "session": {"audio": {"input": {"turn_detection": {"type": "x"}}}}},
            "invalid_value",
            "session.audio.input.turn_detection.type",
        ),
        (
            {"type": "session.update", "session": {"audio": {"input": {"transcription": 1}}}},
            "invalid_value",
            "session.audio.input.transcription",
        ),
        (
            {"type": "session.update", "session": {"audio": {"output": {"speed": "fast"}}}},
            "invalid_value",
            "session.audio.output.speed",
        ),
        (
            {"type": "session.update", "session": {"audio": {"output": {"voice": 1}}}},
            "invalid_value",
            "session.audio.output.voice",
        ),
        ({"type": "input_audio_buffer.append"}, "missing_required_parameter", "audio"),
        ({"type": "input_audio_buffer.append", "audio": 5}, "invalid_value", "audio"),
        ({"type": "input_audio_buffer.append", "audio": "?"}, "invalid_value", "audio"),
        ({"type": "input_audio_buffer.append", "audio": "AA=="}, "invalid_value", "audio"),
        ({"type": "conversation.item.create"}, "missing_required_parameter", "item"),
        ({"type": "conversation.item.create", "item": []}, "invalid_value", "item"),
        ({"type": "conversation.item.create", "item": {"type": "mcp_call"}}, "invalid_value", "item.type"),
        ({"type": "conversation.item.create", "item": USER | {"role": "bot"}}, "invalid_value", "item.role"),
        ({"type": "conversation.item.create", "item": USER | {"content": []}}, "invalid_value", "item.content"),
        (
            {"type": "conversation.item.create", "item": USER | {"content": [{"type": "input_image"}]}},
            "invalid_value",
            "item.content[0].type",
        ),
        (
            {
                "type": "conversation.item.create",
                "item": USER | {"content": [{"type": "input_text", "text": "\ud800"}]},
            },
            "invalid_value",
            "item.content[0].text",
        ),
        (
            {"type": "conversation.item.create", "item": USER | {"content": [{"type": "input_text", "text": " "}]}},
            "invalid_value",
            "item.content",
        ),
        (
            {
                "type": "conversation.item.create",
                "item": USER | {"content": [{"type": "input_text", "text": "x" * 2001}]},
            },
            "string_above_max_length",
            "item.content",
        ),
        ({"type": "conversation.item.create", "item": USER | {"id": "x" * 65}}, "invalid_value", "item.id"),
        (
            {"type": "conversation.item.create", "item": USER, "previous_item_id": "none"},
            "invalid_value",
            "previous_item_id",
        ),
        (
            {"type": "conversation.item.create", "item": {"type": "function_call_output"}},
            "missing_required_parameter",
            "item.call_id",
        ),
        (
            {"type": "conversation.item.create", "item": {"type": "function_call_output", "call_id": "c"}},
            "invalid_value",
            "item.output",
        ),
        (
            {"type": "conversation.item.create", "item": {"type": "function_call", "call_id": "c"}},
            "missing_required_parameter",
            "item.name",
        ),
        ({"type": "conversation.item.retrieve"}, "missing_required_parameter", "item_id"),
        ({"type": "conversation.item.truncate", "item_id": "no"}, "item_truncate_invalid_item_id", "item_id"),
        ({"type": "response.create", "response": 1}, "invalid_value", "response"),
        ({"type": "response.create", "response": {"conversation": "none"}}, "invalid_value", "response.conversation"),
        ({"type": "response.create", "response": {"input": []}}, "invalid_value", "response.input"),
        ({"type": "response.create", "response": {"metadata": {"a": 1}}}, "invalid_value", "response.metadata"),
        ({"type": "response.cancel"}, "response_cancel_not_active", None),
    ],
)
def test_a_bad_event_is_answered_by_an_error(message: dict[str, Any], code: str, param: str | None) -> None:
    client = Client()
    before = client.protocol.capabilities
    kind = message.pop("type", None)
    given = {"event_id": "e1", **({} if kind is None else {"type": kind}), **message}
    [fault, answer] = client.protocol.receive(json.dumps(given))
    assert isinstance(fault, Fault)
    assert (fault.code, fault.close) == (code, None)
    assert isinstance(answer, Answer)
    error = checked(answer.message)["error"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)
    assert error["event_id"] == "e1"
    assert client.protocol.capabilities == before
    assert client.append()


@pytest.mark.parametrize("audio_end_ms", [-1, 1.5, "1", True, None, 10**12])
def test_a_truncation_needs_a_time(audio_end_ms: Any) -> None:
    client = in_call()
    item = client.tell(ShowReply(1, "began"), Play(FRAME))[1]["item"]["id"]
    client.give("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=audio_end_ms)
    assert client.error["param"] == "audio_end_ms"
    client.give("conversation.item.truncate", item_id=item, content_index=1, audio_end_ms=0)
    assert client.error["param"] == "content_index"


def test_only_the_assistant_is_truncated() -> None:
    client = Client()
    client.type("hello")
    item = client.sent[-1]["item"]["id"]
    client.give("conversation.item.truncate", item_id=item, content_index=0, audio_end_ms=0)
    assert client.error["param"] == "item_id"


def test_what_is_not_json_or_not_text_is_answered_and_too_much_of_it_ends_the_call() -> None:
    client = in_call()
    for message, code in (("?", "not_json"), ("[]", "not_an_object"), (b"\0\0", "binary_message")):
        fault, answer = client.protocol.receive(message)
        assert isinstance(fault, Fault)
        assert isinstance(answer, Answer)
        assert (fault.code, checked(answer.message)["error"]["code"]) == (code, code)
    assert client.append() == [AudioIn(FRAME)]
    faults = [fault for _ in range(MALFORMED_LIMIT) for fault in client.protocol.receive("?")]
    assert [fault.close for fault in faults if isinstance(fault, Fault)][-1] == 1007
    assert client.protocol.receive('{"type":"response.create"}') == ()
    assert client.protocol.send(Play(FRAME)) == ()


def test_a_message_over_the_limit_closes() -> None:
    [fault] = Client().protocol.receive("A" * (262_144 + 1))
    assert isinstance(fault, Fault)
    assert fault.close == 1009


def test_silence_in_no_bytes_is_nothing() -> None:
    assert Client().append(b"") == []


def test_a_refusal_says_why() -> None:
    [message] = Client().protocol.send(Refuse("busy"))
    assert checked(message)["error"]["code"] == "busy"
    assert Client().protocol.send(Play(FRAME)) == ()


def test_events_of_the_official_types_are_understood() -> None:
    def dumped(event: Any) -> str:
        return event.model_dump_json(exclude_unset=True)

    protocol = OpenAIRealtimeProtocol("c-1")
    session = {"type": "realtime", "output_modalities": ["audio"], **audio(input="pcmu", output="pcmu")}
    update = SessionUpdateEvent.model_validate({"type": "session.update", "session": session})
    [answer] = protocol.receive(dumped(update))
    assert isinstance(answer, Answer)
    assert checked(answer.message)["type"] == "session.updated"
    append = InputAudioBufferAppendEvent(type="input_audio_buffer.append", audio=base64.b64encode(bytes(160)).decode())
    assert protocol.receive(dumped(append))[-1] == AudioIn(bytes(160))
    item = ConversationItemCreateEvent.model_validate({"type": "conversation.item.create", "item": USER})
    assert all(isinstance(event, Answer) for event in protocol.receive(dumped(item)))
    create = ResponseCreateEvent.model_validate({"type": "response.create", "response": {"metadata": {"a": "b"}}})
    assert protocol.receive(dumped(create))[-1] == TextIn("x")
    protocol.send(ShowReply(1, "began"))
    said = [json.loads(message) for message in protocol.send(Play(bytes(1600)))]
    cut = ConversationItemTruncateEvent(
        type="conversation.item.truncate", item_id=said[0]["item"]["id"], content_index=0, audio_end_ms=50
    )
    assert protocol.receive(dumped(cut))[0] == Truncated(50.0)


def test_a_new_reply_ends_one_that_was_not_finished_and_stale_ends_are_ignored() -> None:
    client = in_call()
    client.tell(ShowReply(1, "began"), Play(FRAME))
    client.kinds()
    client.tell(ShowReply(2, "began"), ShowReply(1, "interrupted", 9.0), ShowReply(1, "done", 9.0))
    assert client.kinds() == [*CLOSED, "response.created"]


def test_a_second_silence_says_nothing_and_a_call_can_be_refused_late() -> None:
    client = in_call()
    assert client.tell(ShowSpeech(False, 20.0)) == []
    assert client.tell(Refuse("mismatch"))[0]["error"]["code"] == "mismatch"


def test_the_item_before_the_last_one_comes_back() -> None:
    client = Client()
    client.type("one")
    first = client.sent[-1]["item"]["id"]
    client.type("two")
    client.give("conversation.item.delete", item_id=first)
    client.type("three")
    assert client.sent[-1]["previous_item_id"] not in (None, first)


# Ways ----------------------------------------------------------------------------------------------------------------


def verdict(headers: dict[str, str], key: str | None = "sk-right") -> Any:
    asking = Asking("openai", "/gateways/openai", headers)
    verdicts = [way.check(asking, Keys(key, 0.0, Nonces())) for way in OPENAI.ways]
    return next((one for one in verdicts if one is not None), None)


@pytest.mark.parametrize(
    ("headers", "key", "expected"),
    [
        ({"authorization": "Bearer sk-right"}, "sk-right", Admitted("openai:bearer")),
        ({"authorization": "Bearer sk-wrong"}, "sk-right", Refused("bad_credentials")),
        (
            {"sec-websocket-protocol": "realtime, openai-insecure-api-key.sk-right"},
            "sk-right",
            Admitted("openai:bearer"),
        ),
        (
            {"sec-websocket-protocol": "openai-insecure-api-key.sk-right,realtime"},
            "sk-right",
            Admitted("openai:bearer"),
        ),
        ({"sec-websocket-protocol": "realtime, openai-insecure-api-key.x"}, "sk-right", Refused("bad_credentials")),
        ({"sec-websocket-protocol": "openai-insecure-api-key."}, "sk-right", Refused("bad_credentials")),
        ({"sec-websocket-protocol": "openai-insecure-api-key.\udcff"}, "sk-right", Refused("bad_credentials")),
        ({"sec-websocket-protocol": "openai-insecure-api-key.x"}, None, Refused("no_key")),
        ({"sec-websocket-protocol": "realtime"}, "sk-right", None),
        ({}, "sk-right", None),
    ],
)
def test_how_a_client_proves_itself(headers: dict[str, str], key: str | None, expected: Any) -> None:
    assert verdict(headers, key) == expected
    assert SubprotocolKey().name


def test_the_query_names_model_and_numbers() -> None:
    query = {"model": "m" * 200, "caller": "+15550101", "called": "+15550102"}
    protocol = OPENAI.new(Opening("c-9", query=query))
    started = protocol.receive(json.dumps({"type": "response.create"}))[1]
    assert isinstance(started, CallStarted)
    assert (started.caller, started.called) == ("+15550101", "+15550102")
    assert started.parameters == {"model": "m" * 128}


# The client's half ---------------------------------------------------------------------------------------------------


def heard_by(caller: OpenAICaller, messages: Sequence[str | bytes]) -> list[Any]:
    return [event for message in messages for event in caller.receive(message)]


def test_both_halves_talk() -> None:
    protocol, caller = OpenAIRealtimeProtocol("c-1"), OpenAICaller(Who())
    answers = [event.message for event in protocol.opening() if isinstance(event, Answer)]
    for message in [*caller.opening(), *caller.voice(np.zeros(480, dtype=np.int16))]:
        answers += [event.message for event in protocol.receive(message) if isinstance(event, Answer)]
    assert [event.message["type"] for event in heard_by(caller, answers)] == ["session.created", "session.updated"]
    said = [ShowReply(1, "began"), ShowTranscript("agent", "Hello.", False, 0), *[Play(FRAME)] * 10]
    heard = heard_by(caller, [message for command in said for message in protocol.send(command)])
    assert sum(len(event.samples) for event in heard if isinstance(event, Heard)) == 4800
    caller.voice(np.zeros(480, dtype=np.int16))
    [told, cleared, respond] = heard_by(caller, protocol.send(ShowSpeech(True, 20.0)))
    assert isinstance(told, Told)
    assert isinstance(cleared, Cleared)
    assert isinstance(respond, Respond)
    assert protocol.receive(respond.messages[0])[0] == Truncated(20.0)
    assert not [event for event in heard_by(caller, protocol.send(ShowReply(1, "interrupted", 20.0))) if event is Wrong]
    [*_, respond, _, left, _, _, _] = heard_by(caller, protocol.send(Transfer("+15550100")))
    assert left == Left("transfer:+15550100")
    assert isinstance(respond, Respond)
    assert protocol.receive(respond.messages[0])[-1] == CallEnded("transferred")


def test_the_clients_half_is_strict() -> None:
    caller = OpenAICaller()
    bad: list[str | bytes] = [b"\0", "?", "[]", "{}", '{"type":"x"}', '{"type":"error"}']
    bad.append('{"type":"response.output_audio.done","event_id":"1","response_id":"r","item_id":"i"}')
    assert all(isinstance(event, Wrong) for event in heard_by(caller, bad))
    assert len(heard_by(caller, bad)) == len(bad)
    assert caller.key("1") == caller.played("m") == caller.cleared("m") == caller.closing() == []
    assert len(caller.text("hello")) == 2


def test_the_clients_half_knows_the_order_of_events() -> None:
    def event(kind: str, number: int, **fields: Any) -> str:
        return json.dumps({"type": kind, "event_id": str(number), **fields})

    where = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
    call = {"response_id": "r", "item_id": "i", "output_index": 0, "call_id": "c"}
    caller = OpenAICaller()
    assert isinstance(caller.receive(event("response.created", 1, response={"id": "r"}))[0], Told)
    for bad in (
        event("response.created", 2, response={"id": "s"}),
        event("response.done", 3, response={"id": "s"}),
        event("session.created", 3, session={}),
        event("response.output_audio.delta", 4, delta="?", **where),
        event("response.output_audio.delta", 5, delta="AA==", **where),
        event("response.function_call_arguments.done", 6, name="f", arguments="{}", **call),
        event("response.function_call_arguments.done", 7, name="end_call", arguments="{", **call),
        event("error", 8, error={"code": "invalid_value", "message": "no"}),
    ):
        assert isinstance(caller.receive(bad)[0], Wrong), bad
    ended = event("response.function_call_arguments.done", 9, name="end_call", arguments='{"reason":"bye"}', **call)
    assert caller.receive(ended)[-1] == Left("hangup:bye")
    assert caller.receive(event("error", 10, error={"code": "response_cancel_not_active"}))
    assert caller.receive(event("response.done", 11, response={"id": "r"}))
    assert len(caller.receive(event("input_audio_buffer.speech_started", 12, audio_start_ms=1, item_id="u"))) == 1
    caller.lost()


# Fuzzing -------------------------------------------------------------------------------------------------------------

KINDS = (
    "session.update",
    "input_audio_buffer.append",
    "input_audio_buffer.commit",
    "input_audio_buffer.clear",
    "conversation.item.create",
    "conversation.item.delete",
    "conversation.item.retrieve",
    "conversation.item.truncate",
    "response.create",
    "response.cancel",
    "output_audio_buffer.clear",
)
FIELDS = (
    "session",
    "audio",
    "item",
    "item_id",
    "previous_item_id",
    "response",
    "response_id",
    "event_id",
    "content_index",
)
STARTS = (
    {"type": "input_audio_buffer.append", "audio": "AAAA" * 320},
    {"type": "conversation.item.create", "item": USER},
    {"type": "response.create"},
    {"type": "session.update", "session": PUSH_TO_TALK},
    {"type": "session.update", "session": audio(input="pcma", output="pcmu")},
    {"type": "session.update", "session": TOOLS | {"output_modalities": ["text"]}},
    {"type": "input_audio_buffer.commit"},
    {"type": "response.cancel"},
)


@settings(max_examples=80, deadline=None)
@given(st.lists(anything | near_miss("type", KINDS, FIELDS, STARTS), max_size=12))
def test_it_takes_anything(messages: list[str | bytes]) -> None:
    takes_anything(OpenAIRealtimeProtocol("c-1"), messages)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(STARTS)
        | st.sampled_from(
            [
                ShowReply(1, "began"),
                ShowReply(1, "done"),
                ShowReply(1, "interrupted", 5.0),
                ShowReply(2, "began"),
                ShowReply(2, "interrupted", 0.0),
                ShowTranscript("agent", "Yes.", False, 1),
                ShowTranscript("agent", "Yes", True, 1),
                ShowTranscript("caller", "No", True, 1),
                ShowSpeech(True, 1.0),
                ShowSpeech(False, 2.0),
                CallTool("c", "f", {}),
                Transfer("x"),
                Play(bytes(960)),
                Clear(),
            ]
        ),
        max_size=25,
    )
)
def test_whatever_happens_responses_nest(steps: list[Any]) -> None:
    protocol = OpenAIRealtimeProtocol("c-1")
    sent = [event.message for event in protocol.opening() if isinstance(event, Answer)]
    for step in steps:
        if isinstance(step, dict):
            sent += [event.message for event in protocol.receive(json.dumps(step)) if isinstance(event, Answer)]
        else:
            sent += protocol.send(step)
    response = item = None
    for event in map(checked, sent):
        match event["type"]:
            case "response.created":
                assert response is None
                response = event["response"]["id"]
            case "response.done":
                assert (response, item) == (event["response"]["id"], None)
                response = None
            case "response.output_item.added":
                assert item is None
                item = event["item"]["id"]
            case "response.output_item.done":
                assert item == event["item"]["id"]
                item = None
            case kind if kind.startswith("response."):
                assert (event["response_id"], event["item_id"]) == (response, item)
