"""Tools that the call's client runs, in virtual time."""

from __future__ import annotations

import asyncio

import pytest
from callfakes import FakeCall
from virtual_time import run_virtual

from agent.call.tools import MOST_OPEN, MOST_OUTPUT, ClientTools, ToolFailed
from agent.gateways.base import CallTool, ToolResult, ToolsOffered


def test_a_tool_is_called_and_its_result_comes_back() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait(500)
        phone.give(ToolsOffered(("order_status", "unknown")))
        await phone.wait(100)
        seen: list[CallTool] = []
        append = phone.append
        phone.append = lambda command: seen.append(command) if isinstance(command, CallTool) else append(command)  # type: ignore[method-assign]
        waiting = asyncio.create_task(call.dialogue.tools["order_status"]({"order_number": "42719"}))
        await phone.wait(100)
        [asked] = seen
        assert (asked.name, asked.arguments) == ("order_status", {"order_number": "42719"})
        phone.give(ToolResult("another", "{}"))
        phone.give(ToolResult(asked.call_id, '{"found": true}'))
        await phone.wait(100)
        assert await waiting == {"found": True}
        assert [data["code"] for kind, data in call.record.events if kind == "fault"] == ["unknown_tool_call"]
        phone.hang_up()
        await call.ended()

    run_virtual(main())


@pytest.mark.parametrize(
    ("output", "result"), [("no JSON", {"result": "no JSON"}), ("[1]", {"result": [1]}), ('{"a": 1}', {"a": 1})]
)
async def test_what_is_no_object_is_wrapped(output: str, result: object) -> None:
    sent: list[CallTool] = []
    tools = ClientTools(sent.append)
    waiting = asyncio.create_task(tools.run("name", {}))
    await asyncio.sleep(0)
    assert tools.result(sent[0].call_id, output)
    assert not tools.result(sent[0].call_id, output)
    assert await waiting == result


async def test_open_calls_and_results_are_bounded() -> None:
    sent: list[CallTool] = []
    tools = ClientTools(sent.append)
    waiting = [asyncio.create_task(tools.run("name", {})) for _ in range(MOST_OPEN)]
    await asyncio.sleep(0)
    with pytest.raises(ToolFailed, match="wait"):
        await tools.run("name", {})
    tools.result(sent[0].call_id, "x" * (MOST_OUTPUT + 1))
    with pytest.raises(ToolFailed, match="characters"):
        await waiting[0]
    for task in waiting[1:]:
        task.cancel()
    await asyncio.gather(*waiting[1:], return_exceptions=True)
    assert not tools.result(sent[1].call_id, "{}")
