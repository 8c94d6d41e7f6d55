"""Telnyx: its start, its TeXML webhooks, its Call Control commands, against the official SDK where that has them."""

from __future__ import annotations

import base64
import json
from typing import Any, get_args
from xml.etree import ElementTree

import httpx
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.gateways.base import AudioIn, CallEnded, CallStarted, Play
from agent.gateways.gateway import Account, HookRequest, Opening
from agent.gateways.rest import RestRequest
from agent.gateways.telnyx import TELNYX, StreamToken, TelnyxControl, TexmlHook, split_key
from agent.gateways.ways import Admitted, Asking, Keys, Nonces, Refused
from agent.lab.callers.media_streams import TelnyxCaller
from agent.lab.line import Heard, Wrong
from audio.codec import Encoding

CALL = "v3:MdI91X4lWFEs7IgbBEOT9M4AigoY08M0WWZFISt1Yw2axZ_IiE4pqg"
HOST = "https://calls.example.com/gateways/telnyx"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = base64.b64encode(PRIVATE.public_key().public_bytes_raw()).decode()
NOW = 1_900_000_000.0
BODY = b"CallSid=v3%3Aabc&From=%2B15550100"


def called(caller: TelnyxCaller, query: dict[str, str] | None = None) -> Any:
    server = TELNYX.new(Opening("call-1", query=query or {}))
    [started] = [event for message in caller.opening() for event in server.receive(message)]
    assert isinstance(started, CallStarted)
    return server


@pytest.mark.parametrize(
    "encoding",
    [Encoding("mulaw", 8000), Encoding("alaw", 8000), *(Encoding("pcm16", rate) for rate in (8000, 16000, 24000))],
)
@pytest.mark.parametrize("order", ["big", "little"])
def test_every_codec_both_ways(encoding: Encoding, order: Any) -> None:
    caller = TelnyxCaller(encoding=encoding, order=order)
    server = called(caller)
    assert server.capabilities.encoding == encoding
    samples = (np.sin(np.arange(encoding.rate // 50) / 6) * 3000).astype(np.int16)
    for message in caller.voice(samples):
        assert server.receive(message) == [AudioIn(encoding.encode(samples), 0)]
    [message] = server.send(Play(encoding.encode(samples)))
    assert json.loads(message).keys() == {"event", "media"}
    [heard] = caller.receive(message)
    assert isinstance(heard, Heard)
    assert np.array_equal(heard.samples, encoding.decode(encoding.encode(samples)))


def test_older_starts_name_the_codec_as_twilio_does() -> None:
    caller = TelnyxCaller()
    start = json.loads(caller.opening()[1])
    start["start"]["media_format"]["encoding"] = "audio/x-mulaw"
    server = TELNYX.new(Opening("call-1"))
    assert isinstance(server.receive(json.dumps(start))[0], CallStarted)
    assert server.capabilities.encoding == Encoding("mulaw", 8000)


def test_the_byte_order_may_be_given_in_the_address() -> None:
    server = called(TelnyxCaller(encoding=Encoding("pcm16", 16000)), {"l16": "little"})
    [message] = server.send(Play(b"\x01\x02" * 320))
    assert base64.b64decode(json.loads(message)["media"]["payload"])[:2] == b"\x01\x02"


def test_overtaken_chunks_come_in_order_and_the_last_at_the_stop() -> None:
    caller = TelnyxCaller()
    server = called(caller)
    frame = np.zeros(160, np.int16)
    messages = [message for _ in range(40) for message in caller.voice(frame)]
    chunks = [json.loads(message)["media"]["chunk"] for message in messages]
    assert chunks != sorted(chunks, key=int)
    events = [event for message in (*messages, *caller.closing()) for event in server.receive(message)]
    assert [event.timestamp_ms for event in events[:-1]] == list(range(0, 800, 20))
    assert events[-1] == CallEnded("stop")


def test_a_lost_chunk_is_not_waited_for_longer_than_100_ms() -> None:
    caller = TelnyxCaller()
    server = called(caller)
    frame = np.zeros(160, np.int16)
    caller.voice(frame)
    caller.lost()
    counts = [len([e for message in caller.voice(frame) for e in server.receive(message)]) for _ in range(6)]
    assert counts[0] == 1
    caller.lost()
    counts = [len([e for message in caller.voice(frame) for e in server.receive(message)]) for _ in range(8)]
    assert max(counts[:6]) >= 5
    assert sum(counts) >= 6


def test_the_simulated_carrier_takes_20_ms_to_30_s() -> None:
    caller = TelnyxCaller()
    for size in (159, 160 * 1500 + 1):
        payload = base64.b64encode(bytes(size)).decode()
        [wrong] = caller.receive(json.dumps({"event": "media", "media": {"payload": payload}}))
        assert isinstance(wrong, Wrong)


def test_the_codecs_are_those_of_the_sdk() -> None:
    from telnyx.types.stream_bidirectional_codec import StreamBidirectionalCodec
    from telnyx.types.stream_bidirectional_sampling_rate import StreamBidirectionalSamplingRate
    from telnyx.types.stream_codec import StreamCodec

    ours = {name.upper() for name in ("pcmu", "pcma", "l16")}
    assert ours <= set(get_args(StreamCodec)) & set(get_args(StreamBidirectionalCodec))
    assert {8000, 16000, 24000} <= set(get_args(StreamBidirectionalSamplingRate))


def sdk_request(ask: Any) -> tuple[str, str, Any, str]:
    """What the official SDK sends."""
    import telnyx

    seen: list[Any] = []

    def answer(request: Any) -> Any:
        seen.append(request)
        return type_of.Response(200, json={"data": {"result": "ok"}})

    base: Any = telnyx.Telnyx.__init__.__globals__["httpx"]
    type_of = base
    client = telnyx.Telnyx(api_key="KEY1", http_client=base.Client(transport=base.MockTransport(answer)))
    ask(client.calls.actions)
    [request] = seen
    return request.method, str(request.url), json.loads(request.content or b"{}"), request.headers["authorization"]


def as_sent(request: RestRequest) -> tuple[str, str, Any, str]:
    url = str(httpx.Request(request.method, request.url).url)
    return request.method, url, dict(request.json or {}), request.headers["Authorization"]


def test_commands_are_what_the_official_sdk_sends() -> None:
    control = TelnyxControl(Account("", "KEY1", number="+15550199"))
    assert as_sent(control.hang_up(CALL)) == sdk_request(lambda calls: calls.hangup(CALL))
    assert as_sent(control.transfer(CALL, "+15550123")) == sdk_request(
        lambda calls: calls.transfer(CALL, to="+15550123", from_="+15550199")
    )
    assert control.transfer(CALL, "sip:desk@pbx.example.com").json == {
        "to": "sip:desk@pbx.example.com",
        "from": "+15550199",
    }
    with pytest.raises(ValueError, match=r"E\.164"):
        control.transfer(CALL, "the desk")
    elsewhere = TelnyxControl(Account("", "KEY1", "https://api.example.com/"))
    assert elsewhere.hang_up("v3:a/../b").url == "https://api.example.com/v2/calls/v3:a%2F..%2Fb/actions/hangup"


@pytest.mark.parametrize(
    ("status", "answer", "ended"),
    [
        (422, {"errors": [{"code": "90018", "title": "Call has already ended"}]}, True),
        (422, {"errors": [{"code": 90018}]}, True),
        (422, {"errors": [{"code": "90015"}]}, False),
        (404, {"errors": [{"code": "90018"}]}, False),
        (422, {"errors": "90018"}, False),
        (422, {}, False),
    ],
)
def test_an_ended_call_is_told_from_other_errors(status: int, answer: dict[str, Any], ended: bool) -> None:
    assert TelnyxControl(Account("", "KEY1")).ended(status, answer) is ended


def asking(headers: dict[str, str] | None = None, query: dict[str, str] | None = None) -> Asking:
    return Asking("telnyx", "/gateways/telnyx", headers or {}, query or {})


@pytest.mark.parametrize(
    ("headers", "query", "key", "verdict"),
    [
        ({"authorization": "Bearer word-1"}, {}, "word-1", Admitted("telnyx:bearer")),
        ({}, {"token": "word-1"}, f"word-1 ed25519:{PUBLIC}", Admitted("telnyx:bearer")),
        ({}, {}, "word-1", None),
        ({"authorization": "Bearer word-2"}, {}, "word-1", Refused("bad_credentials")),
        ({"authorization": "Bearer word-1"}, {}, None, Refused("no_key")),
        ({"authorization": f"Bearer ed25519:{PUBLIC}"}, {}, f"ed25519:{PUBLIC}", Refused("no_key")),
        ({"authorization": f"Bearer {PUBLIC}"}, {}, f"word-1 ed25519:{PUBLIC}", Refused("bad_credentials")),
    ],
)
def test_streams_prove_themselves_by_their_token(headers: Any, query: Any, key: Any, verdict: Any) -> None:
    assert StreamToken().check(asking(headers, query), Keys(key, NOW, Nonces())) == verdict


def hook(body: bytes = BODY, stamp: str = str(int(NOW)), signature: str | None = None, **form: str) -> HookRequest:
    made = base64.b64encode(PRIVATE.sign(stamp.encode() + b"|" + BODY)).decode()
    headers = {"telnyx-timestamp": stamp, "telnyx-signature-ed25519": made if signature is None else signature}
    return HookRequest(f"{HOST}/voice", "POST", headers, form, body)


@pytest.mark.parametrize(
    ("request_", "key", "good"),
    [
        (hook(), f"ed25519:{PUBLIC}", True),
        (hook(), f"word-1 ed25519:{PUBLIC}", True),
        (hook(stamp=str(int(NOW) - 299)), f"ed25519:{PUBLIC}", True),
        (hook(stamp=str(int(NOW) - 301)), f"ed25519:{PUBLIC}", False),
        (hook(stamp=str(int(NOW) + 301)), f"ed25519:{PUBLIC}", False),
        (hook(stamp=""), f"ed25519:{PUBLIC}", False),
        (hook(stamp="now"), f"ed25519:{PUBLIC}", False),
        (hook(stamp="9" * 5000), f"ed25519:{PUBLIC}", False),
        (hook(body=BODY + b"x"), f"ed25519:{PUBLIC}", False),
        (hook(signature=""), f"ed25519:{PUBLIC}", False),
        (hook(signature="???"), f"ed25519:{PUBLIC}", False),
        (hook(signature="\ud800"), f"ed25519:{PUBLIC}", False),
        (hook(signature=base64.b64encode(bytes(64)).decode()), f"ed25519:{PUBLIC}", False),
        (hook(), "word-1", False),
        (hook(), "ed25519:AAAA", False),
        (hook(), "ed25519:???", False),
    ],
)
def test_webhooks_are_signed_lately(request_: HookRequest, key: str, good: bool) -> None:
    assert TexmlHook().signed(request_, key, NOW) is good


def test_keys_are_split() -> None:
    assert split_key(" word  ed25519:abc ") == ("word", "abc")
    assert split_key("") == (None, None)


@pytest.mark.parametrize(("given", "call"), [(CALL, CALL), ("CA12", None), ("", None), ("v", None)])
def test_a_token_is_bound_to_call_control_ids_only(given: str, call: str | None) -> None:
    assert TexmlHook().call_id(hook(CallSid=given)) == call


def test_the_answer_streams_both_ways_and_asks_again() -> None:
    request = hook(CallSid=CALL, From="+15550100", To="+15550199")
    root = ElementTree.fromstring(
        TexmlHook().connect(request, "wss://calls.example.com/gateways/telnyx/t", f"{HOST}/after", {"tier": "gold"})
    )
    connect, redirect = root
    [stream] = connect
    assert stream.attrib == {
        "url": "wss://calls.example.com/gateways/telnyx/t",
        "track": "inbound_track",
        "codec": "PCMU",
        "bidirectionalMode": "rtp",
        "bidirectionalCodec": "PCMU",
    }
    assert {one.get("name"): one.get("value") for one in stream} == {
        "tier": "gold",
        "caller": "+15550100",
        "called": "+15550199",
    }
    assert (redirect.tag, redirect.text) == ("Redirect", f"{HOST}/after")
    assert "<Reject" in TexmlHook().busy()
    assert "<Number>+15550123</Number>" in TexmlHook().after("+15550123")
    assert "<Hangup" in TexmlHook().after(None)
    with pytest.raises(ValueError, match=r"E\.164"):
        TexmlHook().after("desk")
