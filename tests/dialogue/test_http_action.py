"""HTTP actions against a real server: what is sent, what is taken from the answer, and what is refused."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from conversation import ManualClock
from service import Service, Told, told

from agent.dialogue.actioncontext import ActionContext, ActionFailed
from agent.dialogue.actions import Actions
from agent.dialogue.actionspec import ActionSpec
from agent.dialogue.contracts import Acted
from agent.dialogue.http_action import HttpAction, Request, from_environment
from agent.outbound import OutboundError

ORDER = {"order": {"status": "shipped", "total": {"minor": 1250, "currency": "USD"}, "items": [{"name": "tent"}]}}


def context(**more: Any) -> ActionContext:
    return ActionContext("call-1", "key-1", ManualClock(), **more)


def action(url: str, http: dict[str, Any], **spec: Any) -> HttpAction:
    whole = ActionSpec.model_validate(
        {"http": {"url": url + http.pop("path", "/"), **http}, "allow_private": True} | spec
    )
    assert whole.http is not None
    headers, lacking = from_environment(whole.http.headers)
    assert not lacking
    return HttpAction("act", Request.of(whole, whole.http, headers), ManualClock(), 2.0, whole.allow_private)


async def test_a_get_fills_path_and_query_and_picks_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "t-123")
    http = {
        "path": "/orders/{order_number}?v=2",
        "query": {"lang": "{language}", "item": "{items}", "note": "{note}", "to": "for {caller}"},
        "headers": {"Authorization": "Bearer env:SHOP_TOKEN"},
        "result": {
            "status": {"path": "order.status", "enum": ["shipped", "delivered"]},
            "total": {"path": "order.total", "type": "money"},
            "first": "order.items.0.name",
            "coupon": {"path": "order.coupon", "optional": True},
        },
    }
    async with Service(told(ORDER)).running() as service:
        act = action(service.url, http)
        arguments = {"order_number": "4/2 7&?..", "items": ["a b", "ü"], "note": None}
        result = await act(arguments, context(caller="+12065550103"))
    assert result == {
        "status": "shipped", "total": {"minor": 1250, "currency": "USD"}, "first": "tent", "coupon": None,
    }  # fmt: skip
    asked = service.asked[0]
    assert asked.method == "GET"
    assert asked.path == "/orders/4%2F2%207%26%3F..?v=2&lang=en&item=a%20b&item=%C3%BC&to=for%20%2B12065550103"
    assert asked.headers["authorization"] == "Bearer t-123"
    assert asked.headers["host"] == service.url.removeprefix("http://")
    assert "idempotency-key" not in asked.headers


async def test_a_post_keeps_the_types_of_its_template() -> None:
    body = {
        "order": "{order}",
        "count": "{count}",
        "text": "no. {count}",
        "fixed": [1, None, "{gone}"],
        "gone": "{gone}",
    }
    async with Service(told({"id": 7}, 201)).running() as service:
        act = action(service.url, {"method": "POST", "body": body}, side_effects=True)
        assert await act({"order": {"a": 1}, "count": 2, "gone": None}, context()) == {"id": 7}
    asked = service.asked[0]
    assert asked.json == {"order": {"a": 1}, "count": 2, "text": "no. 2", "fixed": [1, None, None]}
    assert asked.headers["content-type"] == "application/json"
    assert asked.headers["idempotency-key"] == "key-1"


async def test_what_a_caller_says_stays_a_value() -> None:
    said = '", "admin": true, "x": "{customer.pin}'
    async with Service().running() as service:
        act = action(service.url, {"method": "POST", "body": {"text": "{text}", "more": "said: {text}"}})
        await act({"text": said}, context())
    assert service.asked[0].json == {"text": said, "more": f"said: {said}"}


@pytest.mark.parametrize("value", ["", ".", "..", None])
async def test_a_path_cannot_be_left(value: str | None) -> None:
    async with Service().running() as service:
        with pytest.raises(ActionFailed, match="no usable order"):
            await action(service.url, {"path": "/orders/{order}"})({"order": value}, context())
    assert service.asked == []


async def test_a_customer_is_filled_in_and_needed() -> None:
    async with Service().running() as service:
        act = action(service.url, {"path": "/customers/{customer.id}"}, identity="verified")
        await act({}, context(customer={"id": "c-1"}))
        with pytest.raises(ActionFailed, match=r"customer\.id"):
            await act({}, context())
    assert [asked.path for asked in service.asked] == ["/customers/c-1"]


async def test_arguments_are_checked_before_anything_is_sent() -> None:
    parameters = {"n": {"type": "integer", "minimum": 1}, "day": {"type": "date", "optional": True}}
    async with Service().running() as service:
        act = action(service.url, {"query": {"n": "{n}", "day": "{day}"}}, parameters=parameters)
        for arguments, problem in (
            ({}, "n is missing"),
            ({"n": 0}, "n is less than 1"),
            ({"n": "1"}, "n is string, not integer"),
            ({"n": 1, "day": "soon"}, "day is not a date"),
            ({"n": 1, "more": 2}, "more is not known"),
            ({"n": float("inf")}, "n"),
        ):
            with pytest.raises(ActionFailed, match=problem) as caught:
                await act(arguments, context())
            assert caught.value.code == "bad_arguments"
        await act({"n": 1}, context())
    assert [asked.path for asked in service.asked] == ["/?n=1"]


HTML = Told(body=b"<html>Login</html>", headers={"Content-Type": "text/html; charset=utf-8"})


@pytest.mark.parametrize(
    ("answer", "code", "why"),
    [
        (HTML, "bad_result", "text/html"),
        (Told(body=b"<html>", headers={}), "bad_result", "JSON"),
        (Told(body=b'{"order": {"status": NaN}}'), "bad_result", "JSON"),
        (Told(body=b'{"order": {"status": 1e999}}'), "bad_result", "JSON"),
        (Told(body=b"[" * 60_000), "bad_result", "JSON"),
        (Told(body=b"\xff\xfe{"), "bad_result", "JSON"),
        (Told(body=b'"' + b"x" * 70_000 + b'"'), "bad_response", "more than 65536 bytes"),
        (told({"order": {"status": "lost"}}), "bad_result", "order.status is none of shipped"),
        (told({"order": {"status": 5}}), "bad_result", "order.status"),
        (told({"order": {}}), "bad_result", "order.status is missing"),
        (told([]), "bad_result", "order.status is missing"),
        (Told(302, headers={"Location": "/elsewhere"}), "status_302", "redirects are not followed"),
        (Told(401), "status_401", "401"),
        (Told(503), "status_503", "503"),
        (Told(hang_up=True), "connection", "cannot be reached"),
    ],
)  # fmt: skip
async def test_nonsense_is_a_failure_with_a_reason(answer: Told, code: str, why: str) -> None:
    async with Service(answer).running() as service:
        act = action(service.url, {"result": {"status": {"path": "order.status", "enum": ["shipped"]}}})
        with pytest.raises((ActionFailed, OutboundError), match=why) as caught:
            await act({}, context())
    assert caught.value.code == code
    assert len(service.asked) == 1


async def test_not_found_is_a_result() -> None:
    http = {"not_found": [404], "result": {"status": "order.status"}}
    async with Service(Told(404, b"<html>"), told(ORDER)).running() as service:
        act = action(service.url, http)
        assert await act({}, context()) == {"found": False}
        assert await act({}, context()) == {"found": True, "status": "shipped"}


async def test_without_a_result_the_answer_must_be_an_object() -> None:
    async with Service(told({"a": 1}), Told(body=b"", headers={}), told([1])).running() as service:
        act = action(service.url, {})
        assert await act({}, context()) == {"a": 1}
        assert await act({}, context()) == {}
        with pytest.raises(ActionFailed, match="a list"):
            await act({}, context())


async def test_a_private_address_is_not_called() -> None:
    async with Service().running() as service:
        spec = {"url": service.url.replace("http:", "https:")}
        whole = ActionSpec.model_validate({"http": spec})
        assert whole.http is not None
        act = HttpAction("act", Request.of(whole, whole.http, {}), ManualClock(), 2.0, False)
        with pytest.raises(OutboundError, match="private address") as caught:
            await act({}, context())
    assert caught.value.code == "refused_address"
    assert service.asked == []


def test_headers_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "k\n")
    monkeypatch.setenv("BAD_KEY", "a\nb")
    monkeypatch.delenv("NO_KEY", raising=False)
    assert from_environment({"X": "env:A_KEY", "Y": "plain"}) == ({"X": "k", "Y": "plain"}, [])
    assert from_environment({"X": "Bearer env:NO_KEY", "Y": "env:BAD_KEY"})[1] == ["NO_KEY", "BAD_KEY"]


async def through_the_call(service: Service, spec: dict[str, Any], clock: ManualClock) -> Acted:
    """The same with what a call adds: tries, times and results."""
    http = {"url": service.url + "/book", "method": "POST"}
    whole = ActionSpec.model_validate({"http": http, "allow_private": True} | spec)
    assert whole.http is not None
    act = HttpAction("act", Request.of(whole, whole.http, {}), clock, whole.timeout_s, True)
    task, _ = Actions({"act": whole}, {"act": act}, clock, None).for_call("call-1").start("act", {})
    while not task.done():
        await asyncio.wait({task}, timeout=0.02)
        if not task.done() and service.asked and service.asked[-1].method == "POST":
            clock.move(100.0)
    return await task


async def test_a_retry_has_the_same_key_and_a_bad_request_none() -> None:
    async with Service(Told(503), Told(hang_up=True), told({"done": True})).running() as service:
        acted = await through_the_call(service, {"side_effects": True, "retries": 2, "timeout_s": 30}, ManualClock())
    assert acted.ok
    assert acted.result == {"done": True}
    assert [asked.headers["idempotency-key"] for asked in service.asked] == [acted.idempotency_key] * 3
    async with Service(Told(422)).running() as service:
        acted = await through_the_call(service, {"retries": 3, "timeout_s": 30}, ManualClock())
    assert acted.result["error"] == "status_422"
    assert len(service.asked) == 1


async def test_side_effects_are_not_repeated_unasked() -> None:
    async with Service(Told(503), told({})).running() as service:
        acted = await through_the_call(service, {"side_effects": True}, ManualClock())
    assert acted.result["error"] == "status_503"
    assert len(service.asked) == 1


async def test_a_stalled_service_times_out() -> None:
    async with Service(Told(delay_s=5)).running() as service:
        acted = await through_the_call(service, {"timeout_s": 0.5}, ManualClock())
    assert acted.result == {"error": "timeout"}
    assert json.dumps(acted.arguments) == "{}"
