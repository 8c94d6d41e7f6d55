from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from gatewayfuzz import anything, near_miss, takes_anything
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.gateways.base import (
    AudioIn,
    CallStarted,
    Clear,
    Fault,
    Hangup,
    Mark,
    MarkReached,
    Play,
    SendDtmf,
    ShowState,
    Transfer,
)
from agent.gateways.gateway import Account, HookRequest, Opening
from agent.gateways.messages import EARLY_LIMIT
from agent.gateways.rest import RestRequest
from agent.gateways.vonage import GATEWAYS, VonageControl, VonageHook, VonageProtocol
from agent.gateways.ways import Admitted, Asking, Keys, Nonces, Refused
from agent.lab.callers.catalogue import Who
from agent.lab.callers.vonage import VonageCaller
from agent.lab.line import Cleared, Heard, Marked, Respond, Wrong

OPENING = Opening("call-1")
FRAME = bytes(640)
SECRET = "signature-secret-of-the-account"
NOW = 1_800_000_000.0
[GATEWAY] = GATEWAYS


def connected(**fields: Any) -> str:
    message = {"event": "websocket:connected", "content-type": "audio/l16;rate=16000", **fields}
    return json.dumps({name: value for name, value in message.items() if value is not None})


def started() -> VonageProtocol:
    protocol = VonageProtocol(OPENING)
    [event] = protocol.receive(connected())
    assert isinstance(event, CallStarted)
    return protocol


def segment(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def token(key: str = SECRET, **claims: Any) -> str:
    body = {"iat": int(NOW), "jti": "5c1e8a2a", "iss": "Vonage", "api_key": "a1b2c3d4", **claims}
    signed = ".".join(segment(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, body))
    return f"{signed}.{segment(hmac.new(key.encode(), signed.encode(), hashlib.sha256).digest())}"


@pytest.mark.parametrize("name", ["vonage_call", "vonage_dropped"])
def test_recorded_conversations(name: str, golden: Any) -> None:
    golden(name, VonageProtocol(OPENING))


@pytest.mark.parametrize("rate", [8000, 16000, 24000])
def test_the_media_type_sets_the_rate(rate: int) -> None:
    protocol = VonageProtocol(OPENING)
    [event] = protocol.receive(connected(**{"content-type": f"audio/l16;rate={rate}"}))
    assert isinstance(event, CallStarted)
    assert event.gateway_call_id == "call-1"  # no uuid among the headers
    capabilities = protocol.capabilities
    assert (capabilities.encoding.rate, capabilities.exact, capabilities.frame_ms) == (rate, True, 20)


@pytest.mark.parametrize(
    ("fields", "code", "close"),
    [
        ({"content-type": "audio/l16;rate=44100"}, "unsupported_media", 1003),
        ({"content-type": "audio/pcmu;rate=8000"}, "unsupported_media", 1003),
        ({"content-type": "audio/l16"}, "unsupported_media", 1003),
        ({"content-type": None}, "bad_field", 1007),
        ({"content-type": 16000}, "bad_field", 1007),
        ({"caller": "x" * 65}, "bad_field", 1007),
        ({"uuid": "a\0b"}, "bad_field", 1007),
    ],
)
def test_a_start_that_cannot_be_used_ends_the_call(fields: dict[str, Any], code: str, close: int) -> None:
    protocol = VonageProtocol(OPENING)
    [fault] = protocol.receive(connected(**fields))
    assert isinstance(fault, Fault)
    assert (fault.code, fault.close) == (code, close)
    assert protocol.receive(connected()) == ()
    assert protocol.send(Play(FRAME)) == ()


def test_commands() -> None:
    protocol = started()
    assert protocol.send(Play(FRAME)) == (FRAME,)
    assert protocol.send(Mark("g1.0.1")) == ('{"action":"notify","payload":{"name":"g1.0.1"}}',)
    assert protocol.send(Clear()) == ('{"action":"clear"}',)
    for nothing in (Play(b""), SendDtmf("1"), Transfer("+15550111"), Hangup("done"), ShowState("x")):
        assert protocol.send(nothing) == ()


def test_nothing_is_sent_before_the_start_or_after_the_end() -> None:
    protocol = VonageProtocol(OPENING)
    assert protocol.send(Play(FRAME)) == ()
    protocol.receive(connected())
    protocol.receive('{"event":"websocket:disconnected"}')
    assert protocol.send(Play(FRAME)) == ()


def test_audio_before_the_start_ends_the_call_in_the_end() -> None:
    protocol = VonageProtocol(OPENING)
    faults = [fault for _ in range(EARLY_LIMIT) for fault in protocol.receive(FRAME)]
    assert [fault.close for fault in faults if isinstance(fault, Fault)][-1] == 1008


def test_the_simulated_leg_and_we_understand_each_other() -> None:
    caller = VonageCaller(Who("+15550100", "+15550199", {"language": "en"}))
    protocol = VonageProtocol(OPENING)
    [opening] = caller.opening()
    [event] = protocol.receive(opening)
    assert isinstance(event, CallStarted)
    assert (event.gateway_call_id, event.caller, event.parameters["language"]) == (caller.call, "+15550100", "en")
    kinds = [
        type(event)
        for command in (Play(FRAME), Mark("m"), Clear())
        for message in protocol.send(command)
        for event in caller.receive(message)
    ]
    assert kinds == [Heard, Marked, Cleared, Respond]
    assert protocol.receive(caller.played("m")[0]) == (MarkReached("m"),)
    assert caller.cleared("m") == []
    bad: tuple[str | bytes, ...] = (bytes(320), b"", "?", "[]", "{}", '{"action":"notify","payload":{}}')
    for message in bad:
        [wrong] = caller.receive(message)
        assert isinstance(wrong, Wrong)


def test_headers_over_512_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="512"):
        VonageCaller(Who(parameters={"note": "x" * 520}))
    with pytest.raises(ValueError, match="512"):
        VonageHook().connect(request(), "wss://calls.example.com/x", "", {"note": "x" * 520})


@pytest.mark.parametrize(
    ("header", "key", "verdict"),
    [
        (f"Bearer {token()}", SECRET, Admitted("vonage:jwt")),
        (f"Bearer {token(exp=int(NOW) + 60)}", SECRET, Admitted("vonage:jwt")),
        (f"Bearer {SECRET}", SECRET, Admitted("vonage:bearer")),
        (f"Bearer {token('other')}", SECRET, Refused("bad_signature")),
        (f"Bearer {token(iat=int(NOW) - 600)}", SECRET, Refused("expired")),
        (f"Bearer {token(iat=int(NOW) + 600)}", SECRET, Refused("malformed")),
        ("Bearer nonsense", SECRET, Refused("bad_credentials")),
        (f"Bearer {token()}", None, Refused("no_key")),
        (None, SECRET, None),
    ],
)
def test_ways(header: str | None, key: str | None, verdict: Any) -> None:
    asking = Asking("vonage", "/gateways/vonage", {} if header is None else {"authorization": header})
    keys = Keys(key, NOW, Nonces())
    assert next((said for way in GATEWAY.ways if (said := way.check(asking, keys)) is not None), None) == verdict


def test_a_token_is_good_once() -> None:
    asking, keys = (
        Asking("vonage", "/gateways/vonage", {"authorization": f"Bearer {token()}"}),
        Keys(SECRET, NOW, Nonces()),
    )
    assert GATEWAY.ways[0].check(asking, keys) == Admitted("vonage:jwt")
    assert GATEWAY.ways[0].check(asking, keys) == Refused("replayed")


def control(secret: str = "ready-token", number: str | None = None, url: str | None = None) -> VonageControl:
    return VonageControl(Account("app-1", secret, url, number, lambda: NOW))


def test_rest_requests() -> None:
    headers = {"Authorization": "Bearer ready-token"}
    assert control().hang_up("u/1") == RestRequest(
        "PUT", "https://api.nexmo.com/v1/calls/u%2F1", json={"action": "hangup"}, headers=headers
    )
    phone = {"action": "connect", "from": "15550122", "endpoint": [{"type": "phone", "number": "15550111"}]}
    assert control(number="+15550122", url="https://api-us.nexmo.com/").transfer("u-1", "+15550111") == RestRequest(
        "PUT",
        "https://api-us.nexmo.com/v1/calls/u-1",
        json={"action": "transfer", "destination": {"type": "ncco", "ncco": [phone]}},
        headers=headers,
    )
    sip = control().transfer("u-1", "sip:desk@pbx.example.com").json
    assert sip is not None
    assert sip["destination"]["ncco"] == [
        {
            "action": "connect",
            "randomFromNumber": True,
            "endpoint": [{"type": "sip", "uri": "sip:desk@pbx.example.com"}],
        }
    ]
    for target in ("", "desk", "0123", "sip:desk"):
        with pytest.raises(ValueError, match=r"E\.164"):
            control().transfer("u-1", target)
    assert [control().ended(status, {}) for status in (404, 400, 401, 500)] == [True, False, False, False]


def test_a_private_key_signs_a_token_for_each_request() -> None:
    key = rsa.generate_private_key(65537, 1024)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    signer = control(pem)
    tokens = [signer.hang_up("u-1").headers["Authorization"].removeprefix("Bearer ") for _ in range(2)]
    assert tokens[0] != tokens[1]
    signed, _, signature = tokens[0].rpartition(".")
    padded = base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4))
    key.public_key().verify(padded, signed.encode(), PKCS1v15(), SHA256())
    head, claims = (json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in signed.split("."))
    assert head == {"alg": "RS256", "typ": "JWT"}
    assert (claims["application_id"], claims["iat"], claims["exp"]) == ("app-1", int(NOW), int(NOW) + 300)


def test_a_key_that_cannot_sign_is_refused_at_once() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    for secret in (pem, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"):
        with pytest.raises(ValueError, match="private key") as raised:
            control(secret)
        assert "AAAA" not in str(raised.value)


def request(body: bytes = b"", header: str = "") -> HookRequest:
    headers = {"authorization": header} if header else {}
    return HookRequest("https://calls.example.com/gateways/vonage/voice", "POST", headers, {}, body)


def test_the_answer_webhook_is_checked() -> None:
    hook, body = VonageHook(), b'{"from":"15550100"}'
    digest = hashlib.sha256(body).hexdigest()
    assert hook.signed(request(body, f"Bearer {token(payload_hash=digest)}"), SECRET, NOW)
    assert hook.signed(request(b"", f"Bearer {token()}"), SECRET, NOW)
    for header in (
        "",
        "Bearer x",
        f"Bearer {token()}",
        f"Bearer {token(payload_hash=7)}",
        f"Bearer {token('other', payload_hash=digest)}",
    ):
        assert not hook.signed(request(body, header), SECRET, NOW)
    assert not hook.signed(request(body + b" ", f"Bearer {token(payload_hash=digest)}"), SECRET, NOW)
    assert not hook.signed(request(body, f"Bearer {token(payload_hash=digest)}"), SECRET, NOW + 1000)


def test_nccos() -> None:
    hook = VonageHook()
    form = {"uuid": "u-1", "from": "15550100", "to": "15550199"}
    asked = HookRequest("https://calls.example.com/gateways/vonage/voice", "POST", {}, form)
    assert hook.call_id(asked) == "u-1"
    assert hook.call_id(request()) is None
    ncco = hook.connect(
        asked, "wss://calls.example.com/gateways/vonage/t", "https://x", {"language": "en", "uuid": "z"}
    )
    assert json.loads(ncco) == [
        {
            "action": "connect",
            "from": "15550199",
            "endpoint": [
                {
                    "type": "websocket",
                    "uri": "wss://calls.example.com/gateways/vonage/t",
                    "content-type": "audio/l16;rate=16000",
                    "headers": {"language": "en", "uuid": "u-1", "caller": "15550100", "called": "15550199"},
                    "authorization": {"type": "vonage"},
                }
            ],
        }
    ]
    assert hook.busy() == hook.after(None) == "[]"
    assert json.loads(hook.after("+15550111"))[0]["endpoint"] == [{"type": "phone", "number": "15550111"}]
    assert hook.media_type == "application/json"


def test_pcm_is_passed_on_as_it_is() -> None:
    assert started().receive(b"\1\0\2\0") == (AudioIn(b"\1\0\2\0"),)


messages = anything | near_miss(
    "event",
    ["websocket:connected", "websocket:dtmf", "websocket:notify", "websocket:cleared", "websocket:disconnected", "x"],
    ["event", "content-type", "uuid", "caller", "digit", "dtmf", "payload", "name"],
    [connected(), FRAME],
)


@settings(max_examples=60, deadline=None)
@given(st.lists(messages, max_size=10))
def test_vonage_takes_anything(received: list[str | bytes]) -> None:
    takes_anything(VonageProtocol(OPENING), received)
