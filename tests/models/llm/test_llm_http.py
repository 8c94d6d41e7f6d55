"""The HTTP model against a real server of the OpenAI protocol that does what it should, and what it should not."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from llmfakes import ManualClock, scripted

from models.llm.contracts import Finished, Message, TextPiece, Tool, ToolCall
from models.llm.errors import LanguageModelError
from models.llm.guard import MOST_FAILURES, REST_MS, Guard, Limits
from models.llm.http import HttpLanguageModel

ASK = [Message("system", "Be brief."), Message("user", "Do you ship to Norway?")]
LIMITS = Limits(first_token_ms=700, gap_ms=1000, total_ms=8000)


@asynccontextmanager
async def asking(*scripts, **options):
    """A guarded model, its clock and its server."""
    async with scripted(*scripts) as server:
        model = HttpLanguageModel(server.base_url, "small", **options)
        clock = ManualClock()
        guard = Guard(model, clock, concurrent=2)
        try:
            yield guard, clock, server
        finally:
            await guard.aclose()


async def take(guard, **options):
    """Text, tool calls, and how it ended: a finish reason, or the code of the error."""
    text, calls = "", []
    try:
        async for delta in guard.stream(ASK, LIMITS, **options):
            if isinstance(delta, TextPiece):
                text += delta.text
            elif isinstance(delta, ToolCall):
                calls.append(delta)
            else:
                return text, calls, delta.reason
    except LanguageModelError as error:
        return text, calls, error.code
    raise AssertionError("the answer ended without Finished")


async def good(exchange):
    await exchange.begin()
    await exchange.chunk({"role": "assistant", "content": ""})
    await exchange.text("Yes, ", "we ", "ship there.")
    await exchange.end()


async def test_an_answer_streams_and_the_request_is_the_protocols():
    async with asking(good, key="k-123", options={"top_k": 1}) as (guard, _, server):
        tool = Tool("find_order", "Finds an order.", {"type": "object", "properties": {"id": {"type": "string"}}})
        assert await take(guard, tools=[tool], max_tokens=30, temperature=0.5, stop=["\n"]) == (
            "Yes, we ship there.",
            [],
            "stop",
        )
    (sent,) = server.requests
    assert (sent.method, sent.path) == ("POST", "/v1/chat/completions")
    assert sent.headers["authorization"] == "Bearer k-123"
    assert sent.body == {
        "model": "small",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Do you ship to Norway?"},
        ],
        "stream": True,
        "max_tokens": 30,
        "temperature": 0.5,
        "stop": ["\n"],
        "tools": [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
            }
        ],
        "top_k": 1,
    }


async def test_a_tool_call_comes_whole_out_of_its_fragments():
    async def script(exchange):
        await exchange.begin()
        first = {"index": 0, "id": "a", "type": "function", "function": {"name": "find_order", "arguments": ""}}
        await exchange.chunk({"tool_calls": [first]})
        for piece in ('{"id', '": "42', '719"}'):
            await exchange.chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        second = {"index": 1, "id": "b", "function": {"name": "opening_hours", "arguments": "{}"}}
        await exchange.chunk({"tool_calls": [second]})
        await exchange.end("tool_calls")

    async with asking(script) as (guard, _, _):
        _, calls, ended = await take(guard)
    assert calls == [ToolCall("a", "find_order", '{"id": "42719"}'), ToolCall("b", "opening_hours", "{}")]
    assert ended == "tools"


async def test_an_answer_of_one_piece_from_a_server_that_does_not_stream():
    async def script(exchange):
        await exchange.json(200, {"choices": [{"message": {"content": "Yes."}, "finish_reason": "length"}]})

    async with asking(script) as (guard, _, _):
        assert await take(guard) == ("Yes.", [], "length")


async def test_lines_that_are_nothing_are_passed_over():
    async def script(exchange):
        await exchange.begin()
        await exchange.raw(b": ping\n\nevent: x\n\ndata: {not json\n\n\xff\xfe\n\ndata: 7\n\ndata: {}\n\n")
        await exchange.raw('data: {"choices": []}\n\n')
        await exchange.raw('data: {"choices": [{"delta": {"content": null}}]}\n\ndata: {"choices": [null]}\n\n')
        await exchange.text("Yes.")
        await exchange.end()

    async with asking(script) as (guard, _, _):
        assert await take(guard) == ("Yes.", [], "stop")


@pytest.mark.parametrize(("finish", "done"), [("stop", False), (None, True)])
async def test_either_of_the_two_ends_will_do(finish, done):
    async def script(exchange):
        await exchange.begin()
        await exchange.text("Yes.")
        await exchange.end(finish, done)

    async with asking(script) as (guard, _, _):
        assert await take(guard) == ("Yes.", [], "stop")


async def garbage(exchange):
    await exchange.begin()
    for _ in range(50):
        await exchange.raw("data: <html>502</html>\n\n")
    await exchange.raw_bytes("0\r\n\r\n")


async def page(exchange):
    await exchange.begin(kind="text/html")
    await exchange.raw("<html><body>Welcome</body></html>")
    await exchange.raw_bytes("0\r\n\r\n")


async def ends_early(exchange):
    await exchange.begin()
    await exchange.text("Yes, we")
    await exchange.end(None, False)


async def breaks(exchange):
    await exchange.begin()
    await exchange.text("Yes, we")
    exchange.drop()


async def huge(exchange):
    await exchange.begin()
    for _ in range(100):
        await exchange.raw(b"data: " + b"x" * 1000)


async def says_error(exchange):
    await exchange.begin()
    await exchange.text("Yes")
    await exchange.raw('data: {"error": {"message": "out of memory"}}\n\n')
    await exchange.end()


async def packed(exchange):
    await exchange.begin(Content_Encoding="gzip")
    await exchange.stall()


async def redirects(exchange):
    await exchange.json(307, {}, Location=f"http://{exchange.headers['host']}/elsewhere")


def status(number, **headers):
    async def script(exchange):
        await exchange.json(number, {"error": {"message": "no"}}, **headers)

    return script


@pytest.mark.parametrize(
    ("script", "text", "code"),
    [
        (garbage, "", "bad_response"),
        (page, "", "bad_response"),
        (ends_early, "Yes, we", "cut_off"),
        (breaks, "Yes, we", "cut_off"),
        (huge, "", "too_large"),
        (says_error, "Yes", "failed"),
        (packed, "", "bad_response"),
        (redirects, "", "refused"),
        (status(401), "", "refused"),
        (status(404), "", "status"),
        (status(500), "", "status"),
        (status(429), "", "busy"),
    ],
)
async def test_what_goes_wrong_has_a_name_and_what_came_before_stands(script, text, code):
    async with asking(script, max_bytes=16_384) as (guard, _, server):
        assert await take(guard) == (text, [], code)
        assert {exchange.path for exchange in server.requests} == {"/v1/chat/completions"}


async def test_nobody_listens():
    async with scripted(good) as server:
        address = server.base_url
    model = HttpLanguageModel(address, "small")
    assert (await take(Guard(model, ManualClock())))[2] == "unreachable"
    await model.aclose()


async def stalls(exchange):
    await exchange.stall()


async def stalls_midway(exchange):
    await exchange.begin()
    await exchange.text("Yes, we")
    await exchange.stall()


async def never_ends(exchange):
    await exchange.begin()
    while not exchange.gone.is_set():
        await exchange.text("and ")
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("script", "text", "until_ms", "code"),
    [(stalls, "", 700, "first_token"), (stalls_midway, "Yes, we", 1000, "stalled")],
)
async def test_a_deadline_ends_it_here_and_at_the_server(script, text, until_ms, code):
    async with asking(script) as (guard, clock, server):
        answer = asyncio.create_task(take(guard))
        await clock.next(clock.ms + until_ms)
        sent = await server.request()
        clock.advance(until_ms - 1)
        await asyncio.sleep(0)
        assert not answer.done()
        clock.advance(1)
        assert await answer == (text, [], code)
        await asyncio.wait_for(sent.gone.wait(), 5)


async def test_an_answer_that_never_ends_is_ended():
    async with asking(never_ends, max_bytes=10**9) as (guard, clock, server):
        answer = guard.stream(ASK, Limits(first_token_ms=700, gap_ms=10**9, total_ms=8000))
        assert await anext(answer) == TextPiece("and ")
        clock.advance(8000)
        with pytest.raises(LanguageModelError) as caught:
            await anext(delta async for delta in answer if isinstance(delta, Finished))
        assert caught.value.code == "total"
        await asyncio.wait_for(server.requests[0].gone.wait(), 5)


async def test_closing_an_answer_ends_the_servers_work():
    async with asking(stalls_midway) as (guard, _, server):
        answer = guard.stream(ASK, LIMITS)
        assert await anext(answer) == TextPiece("Yes, we")
        await answer.aclose()
        await asyncio.wait_for((await server.request()).gone.wait(), 5)
        assert guard._running == 0


async def test_cancelling_who_waits_ends_the_servers_work():
    async with asking(stalls) as (guard, _, server):
        answer = asyncio.create_task(take(guard))
        sent = await server.request()
        answer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answer
        await asyncio.wait_for(sent.gone.wait(), 5)


async def test_a_server_that_asks_to_be_left_alone_is_left_alone():
    async with asking(status(429, Retry_After="5"), good) as (guard, clock, server):
        assert (await take(guard))[2] == "busy"
        assert (await take(guard))[2] == "resting"
        clock.advance(4999)
        assert (await take(guard))[2] == "resting"
        assert len(server.requests) == 1
        clock.advance(1)
        assert (await take(guard))[2] == "stop"


async def test_a_model_that_keeps_failing_rests_and_then_is_tried_once():
    async with asking(status(500)) as (guard, clock, server):
        ended = [(await take(guard))[2] for _ in range(MOST_FAILURES + 1)]
        assert ended == ["status"] * MOST_FAILURES + ["resting"]
        clock.advance(REST_MS)
        assert [(await take(guard))[2] for _ in range(2)] == ["status", "resting"]
        server.scripts.append(good)
        server.scripts[:-1] = [good] * 10
        clock.advance(REST_MS)
        assert [(await take(guard))[2] for _ in range(3)] == ["stop"] * 3


async def test_no_more_answers_at_a_time_than_allowed():
    async with asking(stalls_midway) as (guard, _, server):
        running = [guard.stream(ASK, LIMITS) for _ in range(2)]
        for answer in running:
            await anext(answer)
        assert (await take(guard))[2] == "busy"
        assert len(server.requests) == 2
        for answer in running:
            await answer.aclose()


async def test_connections_are_kept_and_a_closed_one_is_opened_again():
    async with asking(good) as (guard, _, server):
        assert [(await take(guard))[2] for _ in range(3)] == ["stop"] * 3
        assert server.connections == 1
        server.close_after_each = True
        assert [(await take(guard))[2] for _ in range(3)] == ["stop"] * 3


async def test_a_result_of_a_tool_goes_back_in_the_protocols_words():
    async with asking(good) as (guard, _, server):
        messages = [
            Message("user", "Where is it?"),
            Message("assistant", "", calls=(ToolCall("a", "find_order", "{}"),)),
            Message("tool", json.dumps({"status": "sent"}), call_id="a"),
        ]
        async for delta in guard.stream(messages, LIMITS):
            assert isinstance(delta, TextPiece | Finished)
    call = {"id": "a", "type": "function", "function": {"name": "find_order", "arguments": "{}"}}
    assert server.requests[0].body["messages"][1:] == [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": '{"status": "sent"}', "tool_call_id": "a"},
    ]
