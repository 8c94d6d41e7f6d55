"""Vendors that ask what to do with a call, through the server's own addresses, signed as each of them signs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from plivo.utils.signature_v3 import construct_post_url, get_signature_v3
from twilio.request_validator import RequestValidator

from agent.config import Secrets, ServerSettings, Settings
from agent.door import Token
from agent.handoff.transfers import Transfers
from agent.metrics import Metrics
from agent.server import CallServer, create_app

HOST = "https://voice.harbor-pine.example"
KEY = "secret-of-the-account"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = "ed25519:" + base64.b64encode(PRIVATE.public_key().public_bytes_raw()).decode()
NONCE = "12345678901234567890"
FORM = {"CallSid": "v3:abc", "CallUUID": "v3:abc", "From": "+15550100", "To": "+15550199", "Name": "J\u00f6 & Co"}

Signer = Callable[[str, dict[str, str]], dict[str, str]]


def twilio(url: str, form: dict[str, str]) -> dict[str, str]:
    return {"X-Twilio-Signature": RequestValidator(KEY).compute_signature(url, form)}


def signalwire(url: str, form: dict[str, str]) -> dict[str, str]:
    return {"X-SignalWire-Signature": RequestValidator(KEY).compute_signature(url, form)}


def telnyx(url: str, form: dict[str, str]) -> dict[str, str]:
    stamp = str(int(datetime.now(UTC).timestamp()))
    made = PRIVATE.sign(f"{stamp}|{urlencode(form)}".encode())
    return {"Telnyx-Timestamp": stamp, "Telnyx-Signature-Ed25519": base64.b64encode(made).decode()}


def plivo(url: str, form: dict[str, str]) -> dict[str, str]:
    made = get_signature_v3(KEY, construct_post_url(url, dict(form)).decode(), NONCE)
    return {"X-Plivo-Signature-V3": made.decode(), "X-Plivo-Signature-V3-Nonce": NONCE}


def vobiz(url: str, form: dict[str, str]) -> dict[str, str]:
    made = hmac.new(KEY.encode(), f"{url}.{NONCE}".encode(), hashlib.sha256).digest()
    return {"X-Vobiz-Signature-V3": base64.b64encode(made).decode(), "X-Vobiz-Signature-V3-Nonce": NONCE}


SIGNERS: dict[str, Signer] = {one.__name__: one for one in (twilio, signalwire, telnyx, plivo, vobiz)}


@pytest.fixture
def transfers() -> Transfers:
    return Transfers()


@pytest.fixture
def server(transfers: Transfers) -> CallServer:
    keys = {name: PUBLIC if name == "telnyx" else KEY for name in SIGNERS}
    settings = Settings(
        server=ServerSettings(public_url=HOST), secrets=Secrets.model_validate({"keys": keys, "token_key": "t" * 32})
    )
    server = CallServer(settings)
    services: Any = SimpleNamespace(transfers=transfers, metrics=Metrics())
    server.loaded = SimpleNamespace(services=services)  # type: ignore[assignment]
    return server


@pytest.fixture
def app(server: CallServer) -> Any:
    return create_app(server)


async def ask(app: Any, path: str, headers: dict[str, str]) -> httpx.Response:
    transport = httpx.ASGITransport(app, client=("203.0.113.5", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://inside") as http:
        return await http.post(path, data=FORM, headers=headers)


@pytest.mark.parametrize("name", SIGNERS)
async def test_after_the_stream_the_caller_is_connected_once(app: Any, transfers: Transfers, name: str) -> None:
    path = f"/gateways/{name}/after"
    headers = SIGNERS[name](HOST + path, FORM)
    transfers.put(name, "v3:abc", "+15550123")
    answer = await ask(app, path, headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("application/xml")
    assert "<Dial><Number>+15550123</Number></Dial>" in answer.text
    assert "<Hangup" in (await ask(app, path, headers)).text


@pytest.mark.parametrize("name", SIGNERS)
async def test_who_is_not_the_vendor_is_refused(app: Any, transfers: Transfers, name: str) -> None:
    path = f"/gateways/{name}/after"
    transfers.put(name, "v3:abc", "+15550123")
    for headers in ({}, SIGNERS[name](f"{HOST}/elsewhere", {"CallSid": "v3:other"})):
        assert (await ask(app, path, headers)).status_code == 403
    assert transfers.take(name, "v3:abc") == "+15550123"


@pytest.mark.parametrize("name", SIGNERS)
async def test_a_call_is_streamed_to_an_address_that_is_its_own(app: Any, server: CallServer, name: str) -> None:
    path = f"/gateways/{name}/voice"
    answer = await ask(app, path, SIGNERS[name](HOST + path, FORM))
    assert answer.status_code == 200
    assert f"{HOST}/gateways/{name}/after" in answer.text
    found = re.search(rf"wss://voice.harbor-pine.example/gateways/{name}/([^<\"]+)", answer.text)
    assert found is not None
    token = server.door.redeem(found.group(1), name)
    assert isinstance(token, Token)
    assert token.bound == "v3:abc"
    assert ("+15550100" if name in ("twilio", "signalwire", "telnyx") else "caller=15550100") in answer.text


@pytest.mark.parametrize("name", SIGNERS)
async def test_while_no_call_is_taken_the_caller_hears_the_busy_tone(app: Any, server: CallServer, name: str) -> None:
    server.draining = True
    path = f"/gateways/{name}/voice"
    answer = await ask(app, path, SIGNERS[name](HOST + path, FORM))
    assert answer.status_code == 200
    assert 'reason="busy"' in answer.text
