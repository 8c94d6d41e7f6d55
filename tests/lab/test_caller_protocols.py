"""The caller's half of each protocol, against the server's half, which was written independently."""

import json

import numpy as np
import pytest

from agent.gateways.base import (
    AudioIn,
    CallEnded,
    CallStarted,
    Clear,
    Dtmf,
    Hangup,
    Mark,
    MarkReached,
    Play,
    ShowState,
    ShowTranscript,
    TextIn,
)
from agent.gateways.plain import PlainProtocol
from agent.gateways.twilio import TwilioProtocol
from agent.lab.line import Cleared, Heard, Left, Marked, Told, Wrong
from agent.lab.plain_client import PlainClient
from agent.lab.twilio_caller import TwilioCaller
from audio import g711

VOICE = (3000 * np.sin(np.arange(160) / 5)).astype(np.int16)


def feed(server, messages):
    return [event for message in messages for event in server.receive(message)]


def test_twilio_server_understands_every_message_of_the_caller():
    caller = TwilioCaller("+15555550142", "+15555550100", {"tier": "gold"})
    server = TwilioProtocol()
    started = feed(server, caller.opening())
    assert started == [
        CallStarted(
            gateway_call_id=caller.call,
            stream_id=caller.stream,
            caller="+15555550142",
            called="+15555550100",
            account=caller.account,
            parameters=started[0].parameters,
        )
    ]
    assert started[0].parameters["tier"] == "gold"
    frames = feed(server, [*caller.voice(VOICE), *caller.voice(VOICE)])
    assert frames == [AudioIn(g711.encode_mulaw(VOICE), 0), AudioIn(g711.encode_mulaw(VOICE), 20)]
    assert feed(server, caller.key("#")) == [Dtmf("#")]
    assert feed(server, caller.played("m1")) == [MarkReached("m1")]
    assert isinstance(feed(server, caller.closing())[0], CallEnded)
    assert server.sequence_gaps == 0


def test_twilio_caller_understands_every_message_of_the_server():
    caller, server = TwilioCaller(), TwilioProtocol()
    feed(server, caller.opening())
    sound = g711.encode_mulaw(VOICE)
    messages = [m for command in (Play(sound), Mark("m1"), Clear()) for m in server.send(command)]
    heard, marked, cleared = (event for message in messages for event in caller.receive(message))
    assert isinstance(heard, Heard)
    assert np.array_equal(heard.samples, g711.decode_mulaw(sound))
    assert marked == Marked("m1")
    assert cleared == Cleared()


@pytest.mark.parametrize(
    ("message", "word"),
    [
        (b"\x00\x01", "binary"),
        ("{", "JSON"),
        ("[]", "event"),
        ('{"event": "clear"}', "streamSid"),
        ('{"event": "clear", "streamSid": "MZother"}', "streamSid"),
        ('{"event": "media", "streamSid": "STREAM", "media": {"payload": "%%%"}}', "base64"),
        ('{"event": "media", "streamSid": "STREAM", "media": {"payload": 7}}', "base64"),
        ('{"event": "media", "streamSid": "STREAM", "media": {}}', "empty"),
        ('{"event": "media", "streamSid": "STREAM", "media": []}', "empty"),
        ('{"event": "mark", "streamSid": "STREAM", "mark": {}}', "name"),
        ('{"event": "dance", "streamSid": "STREAM"}', "dance"),
    ],
)
def test_what_the_carrier_would_reject_is_reported(message, word):
    caller = TwilioCaller()
    if isinstance(message, str):
        message = message.replace("STREAM", caller.stream)
    (wrong,) = caller.receive(message)
    assert isinstance(wrong, Wrong)
    assert word in wrong.detail


def test_twilio_media_counts_chunks_and_milliseconds_as_strings():
    caller = TwilioCaller()
    caller.opening()
    caller.voice(VOICE)
    (second,) = (json.loads(m) for m in caller.voice(VOICE))
    assert (second["media"]["chunk"], second["media"]["timestamp"], second["sequenceNumber"]) == ("2", "20", "3")


@pytest.mark.parametrize("rate", [8000, 16000])
def test_plain_server_understands_every_message_of_the_client(rate):
    client, server = PlainClient(rate, caller="+15555550142"), PlainProtocol("s1")
    (started,) = feed(server, client.opening())
    assert isinstance(started, CallStarted)
    assert started.caller == "+15555550142"
    assert server.capabilities.encoding.rate == rate
    assert feed(server, client.voice(VOICE)) == [AudioIn(VOICE.astype("<i2").tobytes())]
    assert feed(server, client.key("5")) == [Dtmf("5")]
    assert feed(server, client.played("m")) == [MarkReached("m")]
    assert feed(server, client.closing()) == [CallEnded("hung_up")]


def test_plain_text_mode_sends_turns_and_asks_for_no_audio():
    client, server = PlainClient(mode="text", audio=False), PlainProtocol("s1")
    feed(server, client.opening())
    assert feed(server, client.text("where is my order")) == [TextIn("where is my order")]
    assert server.capabilities.marks == "none"


def test_plain_client_understands_every_message_of_the_server():
    client, server = PlainClient(), PlainProtocol("s1")
    feed(server, client.opening())
    commands = [
        ShowState("LISTENING"),
        Play(VOICE.tobytes()),
        Mark("m"),
        Clear(),
        ShowTranscript("agent", "Hello.", True, 0),
        Hangup("goodbye"),
    ]
    events = [event for command in commands for message in server.send(command) for event in client.receive(message)]
    assert [type(event) for event in events] == [Told, Told, Heard, Marked, Cleared, Told, Told, Left]
    assert np.array_equal(events[2].samples, VOICE)
    assert events[5].message["text"] == "Hello."
    assert events[7] == Left("hangup:goodbye")


@pytest.mark.parametrize("message", [b"\x00", "{", "3", '{"type": 3}', '{"type": "mark"}'])
def test_plain_client_reports_what_is_no_message(message):
    (wrong,) = PlainClient().receive(message)
    assert isinstance(wrong, Wrong)


def test_a_lost_frame_leaves_a_gap_in_the_carriers_count_and_nothing_in_the_plain_protocol():
    caller, server = TwilioCaller(), TwilioProtocol()
    feed(server, caller.opening())
    feed(server, caller.voice(VOICE))
    caller.lost()
    assert feed(server, caller.voice(VOICE)) == [AudioIn(g711.encode_mulaw(VOICE), 40)]
    client = PlainClient(8000)
    before = client.voice(VOICE)
    client.lost()
    assert client.voice(VOICE) == before


def test_the_plain_client_names_its_call():
    client, server = PlainClient(8000, caller="+15555550142", called="+15555550100", call="sim-1"), PlainProtocol("s1")
    (started,) = feed(server, client.opening())
    assert (started.gateway_call_id, started.caller, started.called) == ("sim-1", "+15555550142", "+15555550100")
