"""Plivo and Vobiz: messages against the official stream SDK's types, signature and XML against the official library."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import numpy as np
import plivo
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plivo import plivoxml
from plivo.utils.signature_v3 import validate_v3_signature
from plivo_stream import types

from agent.gateways.base import CallStarted, Clear, Mark, Play
from agent.gateways.gateway import Account, HookRequest, Opening
from agent.gateways.plivo import PLIVO, VOBIZ, PlivoControl, PlivoHook, SignedUpgrade, VobizControl, signature
from agent.gateways.rest import RestRequest
from agent.gateways.ways import Admitted, Asking, Keys, Nonces, Refused
from agent.lab.callers.media_streams import PlivoCaller
from agent.lab.line import Wrong
from audio.codec import Encoding

HOST = "https://calls.example.com/gateways/plivo"
STREAM = "wss://calls.example.com/gateways/plivo/token-1"
AUTH = "MAXXXXXXXXXXXXXXXXXX"
FORM = {"CallUUID": "uuid-1", "From": "15550100", "To": "15550199", "Direction": "inbound"}


def called(caller: PlivoCaller, gateway: Any = PLIVO) -> Any:
    server = gateway.new(Opening("call-1"))
    [started] = [event for message in caller.opening() for event in server.receive(message)]
    assert isinstance(started, CallStarted)
    return server


@pytest.mark.parametrize("encoding", [Encoding("mulaw", 8000), Encoding("pcm16", 8000), Encoding("pcm16", 16000)])
def test_what_we_send_the_official_types_read(encoding: Encoding) -> None:
    caller = PlivoCaller(encoding=encoding)
    server = called(caller)
    audio = encoding.encode(np.arange(encoding.rate // 50, dtype=np.int16))
    play = types.PlayAudioEvent.model_validate_json(server.send(Play(audio))[0])
    assert (play.media.sample_rate, base64.b64decode(play.media.payload)) == (encoding.rate, audio)
    assert play.media.content_type == {"mulaw": "audio/x-mulaw", "pcm16": "audio/x-l16"}[encoding.codec]
    mark = types.CheckpointEvent.model_validate_json(server.send(Mark("g1.0.1"))[0])
    assert (mark.stream_id, mark.name) == (caller.stream, "g1.0.1")
    assert types.ClearAudioEvent.model_validate_json(server.send(Clear())[0]).stream_id == caller.stream


def test_what_the_simulated_carrier_sends_the_official_types_read() -> None:
    caller = PlivoCaller("+15550100", parameters={"tier": "gold"})
    [start] = caller.opening()
    assert types.StartEvent.model_validate_json(start, strict=True).start.call_id == caller.call
    [media] = caller.voice(np.zeros(160, np.int16))
    assert types.MediaEvent.model_validate_json(media, strict=True).media.chunk == 1
    assert types.DtmfEvent.model_validate_json(caller.key("5")[0], strict=True).dtmf.digit == "5"
    assert types.PlayedStreamEvent.model_validate_json(caller.played("m")[0], strict=True).name == "m"
    _, answer = caller.receive(json.dumps({"event": "clearAudio", "streamId": caller.stream}))
    assert types.ClearedAudioEvent.model_validate_json(answer.messages[0], strict=True)  # type: ignore[union-attr]


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=1, max_size=400), st.text(st.characters(codec="ascii"), min_size=1, max_size=30))
def test_what_the_official_types_write_we_read(audio: bytes, name: str) -> None:
    caller = PlivoCaller()
    server = called(caller)
    media = types.MediaEvent(
        sequenceNumber=2,
        streamId=caller.stream,
        event="media",
        media=types.MediaData(track="inbound", timestamp="20", chunk=1, payload=base64.b64encode(audio).decode()),
    )
    [heard] = server.receive(media.model_dump_json(by_alias=True))
    assert (heard.audio, heard.timestamp_ms) == (audio, 20)
    played = types.PlayedStreamEvent(event="playedStream", sequenceNumber=3, streamId=caller.stream, name=name)
    [event] = server.receive(played.model_dump_json(by_alias=True))
    assert event.name == name if "\0" not in name else event.code == "bad_field"


@pytest.mark.parametrize(
    ("extra", "parameters"),
    [
        ("caller=15550100;tier=gold", {"caller": "+15550100", "tier": "gold"}),
        ("caller=15550100,tier=gold", {"caller": "+15550100", "tier": "gold"}),
        ('{"X-PH-caller": "15550100", "tier": "gold"}', {"caller": "+15550100", "tier": "gold"}),
        ({"caller": "anonymous"}, {"caller": "anonymous"}),
        ("", {}),
        (None, {}),
        ("justaword", {"justaword": ""}),
    ],
)
@pytest.mark.parametrize("where", ["top", "start"])
def test_extra_headers_become_parameters(extra: object, parameters: dict[str, str], where: str) -> None:
    message = json.loads(PlivoCaller().opening()[0])
    (message if where == "top" else message["start"])["extra_headers"] = extra
    [started] = PLIVO.new(Opening("call-1")).receive(json.dumps(message))
    assert isinstance(started, CallStarted)
    assert started.parameters == parameters
    assert started.caller == parameters.get("caller")


def test_vobiz_streams_24_khz_and_plivo_does_not() -> None:
    encoding = Encoding("pcm16", 24000)
    assert called(PlivoCaller(encoding=encoding), VOBIZ).capabilities.encoding == encoding
    [fault] = PLIVO.new(Opening("call-1")).receive(PlivoCaller(encoding=encoding).opening()[0])
    assert fault.code == "unsupported_media"  # type: ignore[union-attr]


def test_the_simulated_carrier_rejects_another_format() -> None:
    caller = PlivoCaller()
    for media in ({"contentType": "audio/x-l16", "sampleRate": 8000, "payload": "AAAA"}, {"payload": "AAAA"}, []):
        [wrong] = caller.receive(json.dumps({"event": "playAudio", "streamId": caller.stream, "media": media}))
        assert isinstance(wrong, Wrong)


words = st.text(st.sampled_from("abAB01 +&=.\u00e9"), max_size=6)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(words.filter(bool), words, max_size=4),
    st.sampled_from(["", "?a=1", "?b=2&a=1&a=0", "?x=", "?a=%20z&a=b"]),
    st.sampled_from(["POST", "GET"]),
)
def test_signatures_are_those_of_the_official_library(form: dict[str, str], query: str, method: str) -> None:
    url = f"{HOST}/voice{query}"
    made = signature("plivo", "token", method, url, form, "12345")
    assert validate_v3_signature(method, url, "12345", "token", made, dict(form))
    headers = {"x-plivo-signature-v3": f"bad,{made}", "x-plivo-signature-v3-nonce": "12345"}
    request = HookRequest(url, method, headers, form)
    hook = PlivoHook("plivo")
    assert hook.signed(request, "token", 0.0)
    assert not hook.signed(request, "other", 0.0)
    assert not hook.signed(request, "", 0.0)
    for changed in ({}, headers | {"x-plivo-signature-v3-nonce": "1"}, headers | {"x-plivo-signature-v3": "\ud800"}):
        assert not hook.signed(HookRequest(url, method, changed, form), "token", 0.0)
    assert not hook.signed(HookRequest(f"{url}x", method, headers, form), "token", 0.0)


def test_vobiz_signs_the_address_without_its_query() -> None:
    nonce = "98765432109876543210"
    digest = hmac.new(b"token", b"https://calls.example.com/gateways/vobiz/voice." + nonce.encode(), hashlib.sha256)
    headers = {
        "x-vobiz-signature-v3": base64.b64encode(digest.digest()).decode(),
        "x-vobiz-signature-v3-nonce": nonce,
    }
    request = HookRequest("https://calls.example.com/gateways/vobiz/voice?a=1", "POST", headers, FORM)
    assert PlivoHook("vobiz").signed(request, "token", 0.0)
    assert not PlivoHook("plivo").signed(request, "token", 0.0)


def test_an_upgrade_with_a_signature_is_good_once() -> None:
    url = STREAM.replace("/token-1", "")
    headers = {
        "x-plivo-signature-v3": signature("plivo", "key-1", "GET", url, {}, "n1"),
        "x-plivo-signature-v3-nonce": "n1",
    }
    way, seen = SignedUpgrade("plivo"), Nonces()

    def check(headers: dict[str, str], key: str | None = "key-1", public: str | None = url) -> Any:
        return way.check(Asking("plivo", urlsplit(url).path, headers, url=public), Keys(key, 1.9e9, seen))

    assert check({}) is None
    assert check(headers, None) == Refused("no_key")
    assert check(headers, public=None) == Refused("no_key")
    assert check(headers, "key-2") == Refused("bad_signature")
    assert check(headers | {"x-plivo-signature-v3-nonce": "n2"}) == Refused("bad_signature")
    assert check(headers) == Admitted("plivo:signature")
    assert check(headers) == Refused("replayed")


def test_the_answer_is_what_the_official_library_writes() -> None:
    request = HookRequest(f"{HOST}/voice", "POST", {}, FORM)
    ours = PlivoHook("plivo").connect(request, STREAM, f"{HOST}/after", {"tier": "gold"})
    response = plivoxml.ResponseElement()
    response.add(
        plivoxml.StreamElement(
            STREAM,
            bidirectional=True,
            keepCallAlive=True,
            contentType="audio/x-mulaw;rate=8000",
            audioTrack="inbound",
            extraHeaders="tier=gold,caller=15550100,called=15550199",
        )
    )
    response.add(plivoxml.RedirectElement(f"{HOST}/after", method="POST"))
    assert ElementTree.canonicalize(ours) == ElementTree.canonicalize(response.to_string(pretty=False))
    response = plivoxml.ResponseElement()
    response.add(plivoxml.HangupElement(reason="busy"))
    assert ElementTree.canonicalize(PlivoHook("plivo").busy()) == ElementTree.canonicalize(
        response.to_string(pretty=False)
    )
    response = plivoxml.ResponseElement()
    response.add(plivoxml.DialElement().add(plivoxml.NumberElement("+15550123")))
    assert ElementTree.canonicalize(PlivoHook("plivo").after("+15550123")) == ElementTree.canonicalize(
        response.to_string(pretty=False)
    )
    assert "<Hangup" in PlivoHook("plivo").after(None)


def test_what_the_answer_cannot_carry_is_said() -> None:
    hook, request = PlivoHook("plivo"), HookRequest(f"{HOST}/voice", "POST", {}, {})
    assert "extraHeaders" not in hook.connect(request, STREAM, f"{HOST}/after", {})
    for parameters in ({"tier": "very gold"}, {"a-b": "x"}, {"": "x"}, {"tier": ""}, {"a": "b" * 600}):
        with pytest.raises(ValueError, match="parameter"):
            hook.connect(request, STREAM, f"{HOST}/after", parameters)
    with pytest.raises(ValueError, match="wss"):
        hook.connect(request, "https://calls.example.com", f"{HOST}/after", {})
    sip = HookRequest(f"{HOST}/voice", "POST", {}, {"From": "sip:alice@phone.plivo.com", "To": "+1 555 0199"})
    assert 'extraHeaders="called=15550199"' in hook.connect(sip, STREAM, f"{HOST}/after", {})
    assert (hook.call_id(HookRequest("", "POST", {}, FORM)), hook.call_id(request)) == ("uuid-1", None)


def library_request(monkeypatch: pytest.MonkeyPatch, ask: Any) -> tuple[str, str, Any]:
    """What the official library sends."""
    seen: list[Any] = []

    def send(self: Any, request: Any, **options: Any) -> Any:
        seen.append(request)
        raise ConnectionError

    client = plivo.RestClient(AUTH, "token-1")
    monkeypatch.setattr(type(client.session), "send", send)
    with pytest.raises(ConnectionError):
        ask(client.calls)
    assert seen[0].headers["Authorization"] == "Basic " + base64.b64encode(f"{AUTH}:token-1".encode()).decode()
    return seen[0].method, seen[0].url, json.loads(seen[0].body or "null")


def as_sent(request: RestRequest) -> tuple[str, str, Any]:
    assert request.basic == (AUTH, "token-1")
    return request.method, request.url, None if request.json is None else dict(request.json)


def test_requests_are_what_the_official_library_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    control, target = PlivoControl(Account(AUTH, "token-1")), "https://calls.example.com/transfer.xml"
    method, url, _ = library_request(monkeypatch, lambda calls: calls.delete("uuid-1"))
    assert as_sent(control.hang_up("uuid-1")) == (method, url, None)
    method, url, body = library_request(
        monkeypatch, lambda calls: calls.transfer("uuid-1", legs="aleg", aleg_url=target, aleg_method="POST")
    )
    assert body.pop("call_uuid") == "uuid-1"  # which the library repeats, and the API does not list
    assert as_sent(control.transfer("uuid-1", target)) == (method, url, body)
    with pytest.raises(ValueError, match="https address"):
        control.transfer("uuid-1", "+15550123")
    assert control.hang_up("../x").url == f"https://api.plivo.com/v1/Account/{AUTH}/Call/..%2Fx/"
    assert (control.ended(404, {}), control.ended(400, {})) == (True, False)


def test_vobiz_has_its_own_address_and_headers() -> None:
    control = VobizControl(Account(AUTH, "token-1"))
    assert control.hang_up("uuid-1") == RestRequest(
        "DELETE",
        f"https://api.vobiz.ai/api/v1/Account/{AUTH}/Call/uuid-1/",
        headers={"X-Auth-ID": AUTH, "X-Auth-Token": "token-1"},
    )
    assert control.transfer("uuid-1", "https://calls.example.com/x").json == {
        "legs": "aleg",
        "aleg_url": "https://calls.example.com/x",
        "aleg_method": "POST",
    }
