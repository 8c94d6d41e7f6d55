"""Webhook actions: signed, limited, and careful where they call."""

from __future__ import annotations

import json

import httpx
import pytest
from conversation import TODAY, ManualClock

from agent.dialogue.actions import ActionContext
from agent.dialogue.webhook import MOST_BYTES, WebhookAction, WebhookRefused, sign

URL = "http://127.0.0.1:9/hook"


def context() -> ActionContext:
    return ActionContext("call-1", "key-1", ManualClock())


def action(answer: httpx.Response, seen: list[httpx.Request], allow_private: bool = True) -> WebhookAction:
    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return answer

    return WebhookAction(URL, "secret", 2.0, allow_private, "book", httpx.MockTransport(handle))


async def test_sends_a_signed_request_and_reads_the_result() -> None:
    seen: list[httpx.Request] = []
    result = await action(httpx.Response(200, json={"booked": True}), seen)({"day": "2026-05-05"}, context())
    assert result == {"booked": True}
    request = seen[0]
    assert json.loads(request.content) == {
        "action": "book",
        "arguments": {"day": "2026-05-05"},
        "call_id": "call-1",
        "idempotency_key": "key-1",
    }
    stamp = str(int(TODAY.timestamp()))
    assert request.headers["X-Callagent-Timestamp"] == stamp
    assert request.headers["X-Callagent-Signature"] == "v1=" + sign(b"secret", stamp, request.content)
    assert request.headers["Idempotency-Key"] == "key-1"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (httpx.Response(500), httpx.HTTPStatusError),
        (httpx.Response(302, headers={"Location": "http://example.com"}), httpx.HTTPStatusError),
        (httpx.Response(200, content=b"no json"), WebhookRefused),
        (httpx.Response(200, json=[1]), WebhookRefused),
        (httpx.Response(200, content=b"x" * (MOST_BYTES + 1)), WebhookRefused),
    ],
)
async def test_bad_answers_are_errors(answer: httpx.Response, error: type[Exception]) -> None:
    with pytest.raises(error):
        await action(answer, [])({}, context())


async def test_private_addresses_are_refused() -> None:
    seen: list[httpx.Request] = []
    with pytest.raises(WebhookRefused, match="private address 127"):
        await action(httpx.Response(200), seen, allow_private=False)({}, context())
    assert seen == []
