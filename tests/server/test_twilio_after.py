"""What Twilio is told once we closed the stream."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from agent.config import Secrets, ServerSettings, Settings
from agent.gateways.auth import twilio_signature
from agent.handoff.transfers import Transfers
from agent.metrics import Metrics
from agent.server import CallServer, create_app

URL = "https://voice.harbor-pine.example/gateways/twilio/after"


@pytest.fixture
def transfers() -> Transfers:
    return Transfers()


@pytest.fixture
def app(transfers: Transfers) -> Any:
    settings = Settings(
        server=ServerSettings(public_url="https://voice.harbor-pine.example"),
        secrets=Secrets.model_validate({"twilio_auth_token": "secret-of-the-account"}),
    )
    server = CallServer(settings)
    services: Any = SimpleNamespace(transfers=transfers, metrics=Metrics())
    server.loaded = SimpleNamespace(services=services)  # type: ignore[assignment]
    return create_app(server)


async def ask(app: Any, form: dict[str, str], signed: bool = True) -> httpx.Response:
    signature = twilio_signature("secret-of-the-account", URL, form) if signed else "bm90IHNpZ25lZA=="
    transport = httpx.ASGITransport(app, client=("203.0.113.5", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://inside") as http:
        return await http.post("/gateways/twilio/after", data=form, headers={"X-Twilio-Signature": signature})


async def test_a_call_that_was_handed_over_is_connected(app: Any, transfers: Transfers) -> None:
    transfers.put("twilio", "CA1", "+15550100")
    answer = await ask(app, {"CallSid": "CA1"})
    assert "<Dial><Number>+15550100</Number></Dial>" in answer.text
    assert "<Hangup" in (await ask(app, {"CallSid": "CA1"})).text


async def test_any_other_call_is_over(app: Any) -> None:
    answer = await ask(app, {"CallSid": "CA9"})
    assert answer.status_code == 200
    assert "<Hangup" in answer.text


async def test_a_target_that_twilio_would_refuse_ends_the_call(app: Any, transfers: Transfers) -> None:
    transfers.put("twilio", "CA1", "sip:desk@harbor-pine.example")
    assert "<Hangup" in (await ask(app, {"CallSid": "CA1"})).text


async def test_an_unsigned_request_is_refused_and_takes_nothing(app: Any, transfers: Transfers) -> None:
    transfers.put("twilio", "CA1", "+15550100")
    assert (await ask(app, {"CallSid": "CA1"}, signed=False)).status_code == 403
    assert transfers.take("twilio", "CA1") == "+15550100"
