"""Twilio's and SignalWire's webhooks and REST, against Twilio's own library."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl
from xml.etree import ElementTree

import pytest
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from agent.gateways.auth import twilio_signature
from agent.gateways.gateway import Account, HookRequest
from agent.gateways.rest import RestRequest
from agent.gateways.signalwire import SIGNALWIRE, SignalwireControl
from agent.gateways.twilio import TWILIO, TwilioControl, TwimlHook

HOST = "https://calls.example.com/gateways/twilio"
STREAM = "wss://calls.example.com/gateways/twilio/token-1"
FORM = {"CallSid": "CA1", "From": "+15550100", "To": "+15550199", "CallerCity": ""}


def hook(header: str = "x-twilio-signature", method: str = "POST", key: str = "word") -> HookRequest:
    signed = twilio_signature(key, f"{HOST}/voice", FORM if method == "POST" else {})
    return HookRequest(f"{HOST}/voice", method, {header: signed}, FORM)


def test_requests_are_signed_over_address_and_form() -> None:
    request = hook()
    assert RequestValidator("word").validate(request.url, FORM, request.headers["x-twilio-signature"])
    assert TwimlHook().signed(request, "word", 0.0)
    assert TwimlHook().signed(hook(method="GET"), "word", 0.0)
    assert not TwimlHook().signed(request, "other", 0.0)
    assert not TwimlHook().signed(request, "", 0.0)
    changed = HookRequest(request.url, "POST", request.headers, FORM | {"From": "+15550101"})
    assert not TwimlHook().signed(changed, "word", 0.0)
    assert not TwimlHook().signed(HookRequest(request.url, "POST", {}, FORM), "word", 0.0)
    theirs = SIGNALWIRE.hook
    assert theirs is not None
    assert theirs.signed(hook("x-signalwire-signature"), "word", 0.0)
    assert not theirs.signed(request, "word", 0.0)


def test_the_answer_opens_a_stream_with_the_numbers() -> None:
    made = TWILIO.hook
    assert made is not None
    root = ElementTree.fromstring(made.connect(hook(), STREAM, f"{HOST}/after", {"tier": "gold"}))
    [connect] = root
    [stream] = connect
    assert connect.get("action") == f"{HOST}/after"
    assert stream.attrib == {"url": STREAM}
    assert {one.get("name"): one.get("value") for one in stream} == {
        "tier": "gold",
        "caller": "+15550100",
        "called": "+15550199",
    }
    assert made.call_id(hook()) == "CA1"
    assert made.call_id(HookRequest(HOST, "POST", {}, {})) is None
    assert made.media_type == "application/xml"
    assert '<Reject reason="busy"' in made.busy()
    assert "<Dial><Number>+15550123</Number></Dial>" in made.after("+15550123")
    assert "<Hangup" in made.after(None)
    with pytest.raises(ValueError, match=r"E\.164"):
        made.after("sip:desk@example.com")
    with pytest.raises(ValueError, match="500"):
        made.connect(hook(), STREAM, f"{HOST}/after", {"a": "x" * 600})


def library_request(ask: Any) -> tuple[str, str, dict[str, str], Any]:
    """What Twilio's own library sends."""
    seen: list[Any] = []

    class Seen(Exception):
        pass

    class Http:
        def request(self, method: str, uri: str, **options: Any) -> Any:
            seen.append((method, uri, dict(options["data"]), options["auth"]))
            raise Seen

    with pytest.raises(Seen):
        ask(Client("AC1", "word", http_client=Http()))  # type: ignore[arg-type]
    [request] = seen
    return request  # type: ignore[no-any-return]


def as_sent(request: RestRequest) -> tuple[str, str, dict[str, str], Any]:
    return request.method, request.url, dict(request.form or {}), request.basic


def test_call_updates_are_what_twilios_own_library_sends() -> None:
    control = TwilioControl(Account("AC1", "word"))
    assert as_sent(control.hang_up("CA1")) == library_request(lambda rest: rest.calls("CA1").update(status="completed"))
    transfer = control.transfer("CA1", "+15550123")
    assert as_sent(transfer) == library_request(
        lambda rest: rest.calls("CA1").update(twiml=(transfer.form or {})["Twiml"])
    )
    named = TwilioControl(Account("AC1", "word", number="+15550199")).transfer("CA1", "+15550123")
    assert 'callerId="+15550199"' in (named.form or {})["Twiml"]
    assert control.ended(404, {"code": 20404})
    assert not control.ended(404, {"code": 20003})
    assert not control.ended(400, {"code": 20404})
    with pytest.raises(ValueError, match=r"E\.164"):
        control.transfer("CA1", "the desk")


def test_signalwire_moves_calls_to_addresses_only() -> None:
    control = SignalwireControl(Account("project-1", "word", "https://example.signalwire.com/api/laml/"))
    base = "https://example.signalwire.com/api/laml/2010-04-01/Accounts/project-1/Calls/c-1.json"
    assert as_sent(control.hang_up("c-1")) == ("POST", base, {"Status": "completed"}, ("project-1", "word"))
    moved = control.transfer("c-1", "https://calls.example.com/x?a=1")
    assert as_sent(moved)[2] == {"Url": "https://calls.example.com/x?a=1", "Method": "POST"}
    with pytest.raises(ValueError, match="https address"):
        control.transfer("c-1", "+15550123")
    with pytest.raises(ValueError, match="api_url"):
        SignalwireControl(Account("project-1", "word"))
    assert control.ended(404, {})
    assert not control.ended(500, {})


def test_forms_survive_the_wire() -> None:
    import httpx

    request = TwilioControl(Account("AC1", "word")).transfer("CA1", "+15550123")
    sent = httpx.Request(request.method, request.url, data=dict(request.form or {}))
    assert dict(parse_qsl(sent.content.decode())) == dict(request.form or {})
