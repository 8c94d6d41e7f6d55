"""Webhook actions: signed, limited, and careful where they call."""

from __future__ import annotations

from typing import Any

import pytest
from conversation import TODAY, ManualClock
from service import Service, Told, told

from agent.dialogue.actioncontext import MOST_BYTES, ActionContext, ActionFailed
from agent.dialogue.actionspec import ValueSpec
from agent.dialogue.webhook import WebhookAction
from agent.outbound import NotNow, OutboundError, sign


def context(**more: Any) -> ActionContext:
    return ActionContext("call-1", "key-1", ManualClock(), **more)


def action(url: str, allow_private: bool = True, **more: Any) -> WebhookAction:
    return WebhookAction(url, "secret", 2.0, allow_private, "book", ManualClock(), **more)


async def test_sends_a_signed_request_and_reads_the_result() -> None:
    async with Service(told({"booked": True})).running() as service:
        result = await action(service.url)({"day": "2026-05-05"}, context())
    assert result == {"booked": True}
    request = service.asked[0]
    assert request.json == {
        "action": "book",
        "arguments": {"day": "2026-05-05"},
        "call_id": "call-1",
        "idempotency_key": "key-1",
        "language": "en",
    }
    stamp = str(int(TODAY.timestamp()))
    assert request.headers["x-callagent-timestamp"] == stamp
    assert request.headers["x-callagent-signature"] == sign(b"secret", stamp, request.body)
    assert request.headers["idempotency-key"] == "key-1"


async def test_says_who_calls_where_that_is_known() -> None:
    async with Service().running() as service:
        await action(service.url)({}, context(caller="+12065550103", customer={"id": "c-1"}, language="zh"))
    sent = service.asked[0].json
    assert (sent["caller"], sent["customer"], sent["language"]) == ("+12065550103", {"id": "c-1"}, "zh")


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (Told(500), NotNow, "status_500"),
        (Told(404), OutboundError, "status_404"),
        (Told(302, headers={"Location": "http://example.com"}), OutboundError, "status_302"),
        (Told(hang_up=True), NotNow, "connection"),
        (Told(body=b"no json"), ActionFailed, "bad_result"),
        (told([1]), ActionFailed, "bad_result"),
        (Told(body=b"x" * (MOST_BYTES + 1)), OutboundError, "bad_response"),
    ],
)
async def test_bad_answers_are_errors(answer: Told, error: type[Exception], code: str) -> None:
    async with Service(answer).running() as service:
        with pytest.raises(error) as caught:
            await action(service.url)({}, context())
    assert getattr(caught.value, "code", "") == code


async def test_arguments_and_result_are_what_the_domain_says() -> None:
    more = {
        "parameters": {"day": ValueSpec.model_validate("date")},
        "returns": {"status": ValueSpec.model_validate({"enum": ["booked", "full"]})},
    }
    async with Service(told({"status": "booked", "more": 1}), told({"status": "maybe"})).running() as service:
        book = action(service.url, **more)
        assert await book({"day": "2026-05-05"}, context()) == {"status": "booked", "more": 1}
        with pytest.raises(ActionFailed, match="day is not a date"):
            await book({"day": "soon"}, context())
        with pytest.raises(ActionFailed, match="status is none of booked, full"):
            await book({"day": "2026-05-05"}, context())
    assert len(service.asked) == 2


async def test_private_addresses_are_refused() -> None:
    async with Service().running() as service:
        with pytest.raises(ValueError, match="must use https"):
            action(service.url, allow_private=False)
        with pytest.raises(OutboundError, match="private address 127"):
            await action(service.url.replace("http:", "https:"), allow_private=False)({}, context())
    assert service.asked == []
