from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from gatewayfuzz import anything, near_miss, takes_anything
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.gateways.bandwidth import GATEWAYS, BandwidthHook, BandwidthProtocol
from agent.gateways.base import AudioIn, CallStarted, Clear, Fault, Hangup, Mark, Play, SendDtmf, ShowState, Transfer
from agent.gateways.gateway import HookRequest, Opening
from agent.gateways.ways import Admitted, Asking, Keys, Nonces, Refused
from agent.lab.callers.bandwidth import BandwidthCaller
from agent.lab.callers.catalogue import Who
from agent.lab.line import Cleared, Heard, Wrong

OPENING = Opening("call-1")
PCMU = {"encoding": "PCMU", "sampleRate": 8000}
METADATA = {"accountId": "5500000", "callId": "c-1", "streamId": "s-1", "tracks": [{"name": "inbound"}]}
KEY = "agent:one two three"
BASIC = "Basic " + base64.b64encode(KEY.encode()).decode()
[GATEWAY] = GATEWAYS


def start(parameters: Any = None, **metadata: Any) -> str:
    said = {name: value for name, value in {**METADATA, **metadata}.items() if value is not None}
    return json.dumps({"eventType": "start", "metadata": said, "streamParams": parameters})


def started() -> BandwidthProtocol:
    protocol = BandwidthProtocol(OPENING)
    [event] = protocol.receive(start())
    assert isinstance(event, CallStarted)
    return protocol


@pytest.mark.parametrize("name", ["bandwidth_call", "bandwidth_dropped"])
def test_recorded_conversations(name: str, golden: Any) -> None:
    golden(name, BandwidthProtocol(OPENING))


@pytest.mark.parametrize(
    ("message", "code", "close"),
    [
        (start(callId=None), "bad_field", 1007),
        (start(callId=7), "bad_field", 1007),
        (start(streamId=None), "bad_field", 1007),
        (start(streamId=""), "bad_field", 1007),
        (start(accountId=5), "bad_field", 1007),
        (start(tracks="inbound"), "bad_field", 1007),
        (start(tracks=["inbound"]), "bad_field", 1007),
        (start(tracks=[{"name": "inbound", "mediaFormat": "PCMU"}]), "bad_field", 1007),
        (start(tracks=[{"name": "inbound", "mediaFormat": PCMU | {"sampleRate": 16000}}]), "unsupported_media", 1003),
        (start(tracks=[{"mediaFormat": {"encoding": "PCMA"}}]), "unsupported_media", 1003),
        (start(["caller"]), "bad_field", 1007),
        (start({"caller": "x" * 65}), "bad_field", 1007),
        (start({"note": "a\0b"}), "bad_field", 1007),
        ('{"eventType":"start"}', "bad_field", 1007),
        ('{"eventType":"start","metadata":[]}', "bad_field", 1007),
    ],
)
def test_a_start_that_cannot_be_used_ends_the_call(message: str, code: str, close: int) -> None:
    protocol = BandwidthProtocol(OPENING)
    [fault] = protocol.receive(message)
    assert isinstance(fault, Fault)
    assert (fault.code, fault.close) == (code, close)
    assert protocol.receive(start()) == ()
    assert protocol.send(Play(b"\xff")) == ()


@pytest.mark.parametrize("tracks", [None, [], [{"name": "outbound", "mediaFormat": {"encoding": "OPUS"}}]])
def test_only_the_callers_track_has_to_be_ours(tracks: Any) -> None:
    [event] = BandwidthProtocol(OPENING).receive(start(tracks=tracks))
    assert isinstance(event, CallStarted)


def test_commands() -> None:
    protocol = started()
    [play] = protocol.send(Play(b"\x00\xff"))
    assert json.loads(play) == {"eventType": "playAudio", "media": {"contentType": "audio/pcmu", "payload": "AP8="}}
    assert protocol.send(Clear()) == ('{"eventType":"clear"}',)
    for nothing in (Play(b""), Mark("m"), SendDtmf("1"), Transfer("+15550111"), Hangup("done"), ShowState("x")):
        assert protocol.send(nothing) == ()


def test_nothing_is_sent_before_the_start_or_after_the_stop() -> None:
    protocol = BandwidthProtocol(OPENING)
    assert protocol.send(Play(b"\xff")) == ()
    protocol.receive(start())
    protocol.receive('{"eventType":"stop"}')
    assert protocol.send(Play(b"\xff")) == ()


def test_sequence_gaps_are_counted() -> None:
    protocol = started()
    for number in ("1", "2", "5", 6, None):
        event = {"eventType": "media", "track": "inbound", "payload": "AP8=", "sequenceNumber": number}
        assert protocol.receive(json.dumps(event)) == (AudioIn(b"\x00\xff"),)
    assert protocol.sequence_gaps == 1


def test_the_simulated_carrier_and_we_understand_each_other() -> None:
    caller, protocol = BandwidthCaller(Who("+15550100", "+15550199", {"language": "en"})), BandwidthProtocol(OPENING)
    [event] = protocol.receive(caller.opening()[0])
    assert isinstance(event, CallStarted)
    assert (event.gateway_call_id, event.stream_id, event.called) == (caller.call, caller.stream, "+15550199")
    silence = np.zeros(160, dtype=np.int16)
    caller.lost()
    assert protocol.receive(caller.voice(silence)[0]) == (AudioIn(b"\xff" * 160),)
    assert isinstance(caller.receive(protocol.send(Play(b"\xff" * 160))[0])[0], Heard)
    assert caller.receive(protocol.send(Clear())[0]) == [Cleared()]
    wave = '{"eventType":"playAudio","media":{"contentType":"audio/wav","payload":"AP8="}}'
    bad: tuple[str | bytes, ...] = (b"\xff", "?", "[]", "{}", '{"eventType":"mark"}', wave)
    bad += tuple(wave.replace("wav", "pcmu").replace("AP8=", payload) for payload in ("", "?"))
    for message in bad:
        assert isinstance(caller.receive(message)[0], Wrong), message


@pytest.mark.parametrize(
    ("header", "key", "verdict"),
    [
        (BASIC, KEY, Admitted("bandwidth:agent")),
        (BASIC, "agent:other", Refused("bad_credentials")),
        ("Basic ?", KEY, Refused("malformed")),
        (BASIC, None, Refused("no_key")),
        (None, KEY, None),
    ],
)
def test_ways(header: str | None, key: str | None, verdict: Any) -> None:
    headers = {} if header is None else {"authorization": header}
    [way] = GATEWAY.ways
    assert way.check(Asking("bandwidth", "/gateways/bandwidth", headers), Keys(key, 0.0, Nonces())) == verdict


def asked(header: str = BASIC, **form: str) -> HookRequest:
    return HookRequest("https://calls.example.com/gateways/bandwidth/voice", "POST", {"authorization": header}, form)


def test_webhooks_carry_our_credentials() -> None:
    hook = BandwidthHook()
    assert hook.signed(asked(), KEY, 0.0)
    assert not hook.signed(asked("Basic eDp5"), KEY, 0.0)
    assert not hook.signed(HookRequest("https://calls.example.com", "POST", {}, {}), KEY, 0.0)
    assert hook.call_id(asked(callId="c-1")) == "c-1"
    assert hook.call_id(asked()) is None


def test_bxml_is_what_the_vendors_package_writes() -> None:
    # the documents of bandwidth-sdk 23.3.1 for the same verbs
    hook = BandwidthHook()
    request = HookRequest("https://x", "POST", {}, {"from": "+15550100", "to": "+15550199"})
    stream, after = "wss://calls.example.com/gateways/bandwidth/t", "https://calls.example.com/gateways/bandwidth/after"
    assert hook.connect(request, stream, after, {"language": "en"}).partition("?>")[2] == (
        f'<Response><StartStream destination="{stream}" name="agent" mode="bidirectional" tracks="inbound">'
        '<StreamParam name="language" value="en" /><StreamParam name="caller" value="+15550100" />'
        '<StreamParam name="called" value="+15550199" /></StartStream><StopStream name="agent" wait="true" />'
        f'<Redirect redirectUrl="{after}" /></Response>'
    )
    assert hook.busy() == hook.after(None)
    assert hook.after(None).endswith("<Response><Hangup /></Response>")
    number = "<Response><Transfer><PhoneNumber>+15550111</PhoneNumber></Transfer></Response>"
    assert hook.after("+15550111").endswith(number)
    address = "<Response><Transfer><SipUri>sip:desk@pbx.example.com</SipUri></Transfer></Response>"
    assert hook.after("sip:desk@pbx.example.com").endswith(address)
    assert hook.media_type == "application/xml"


@pytest.mark.parametrize("parameters", [{str(n): "x" for n in range(13)}, {"note": "x" * 2049}, {"note": "\x01"}])
def test_parameters_that_bandwidth_would_refuse(parameters: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="parameter"):
        BandwidthHook().connect(asked(), "wss://calls.example.com/x", "https://calls.example.com/y", parameters)


@pytest.mark.parametrize("target", ["", "5550111", "sip:desk", "+1555 0111"])
def test_targets_that_bandwidth_would_refuse(target: str) -> None:
    with pytest.raises(ValueError, match="target"):
        BandwidthHook().after(target)


messages = anything | near_miss(
    "eventType",
    ["start", "media", "stop", "x"],
    ["eventType", "metadata", "callId", "streamId", "tracks", "streamParams", "track", "payload", "sequenceNumber"],
    [start(), {"eventType": "media", "payload": "AP8="}],
)


@settings(max_examples=60, deadline=None)
@given(st.lists(messages, max_size=10))
def test_bandwidth_takes_anything(received: list[str | bytes]) -> None:
    takes_anything(BandwidthProtocol(OPENING), received)
