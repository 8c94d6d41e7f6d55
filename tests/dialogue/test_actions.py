"""Actions of a call: keys, identity, retries, nonsense results, and what is shown of them."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from conversation import ManualClock
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import OperationalError

from agent.dialogue.actioncontext import MOST_BYTES, ActionContext
from agent.dialogue.actions import Actions, CallActions
from agent.dialogue.actionspec import ActionSpec
from agent.dialogue.contracts import Acted
from agent.dialogue.manner import EmotionSettings
from agent.dialogue.python_action import PythonAction, arguments_model
from agent.dialogue.reasons import WITHHELD
from agent.outbound import NotNow

Work = Callable[..., Awaitable[Any]]


class Order(BaseModel):
    order_number: str = Field(pattern=r"^\d{5}$")
    pin: str | None = None


class Found(BaseModel):
    found: bool = True


class Loose(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True, extra="allow")


class Desk:
    """One action, `act`, that does `work`."""

    def __init__(self, work: Work, **spec: Any) -> None:
        self.clock = ManualClock()
        self.runs = 0

        async def act(database: None, arguments: Order, context: ActionContext) -> Any:
            self.runs += 1
            return await work(arguments, context)

        specs = {"act": ActionSpec(python="some:function", **spec)}
        runnables = {"act": PythonAction("act", act, Order, None)}
        self.actions = Actions(specs, runnables, self.clock, None)

    def call(self, call_id: str = "call-1", caller: str | None = "+12065550103") -> CallActions:
        return self.actions.for_call(call_id, caller)

    async def run(self, call: CallActions | None = None, **arguments: Any) -> Acted:
        task, _ = (call or self.call()).start("act", {"order_number": "42718"} | arguments)
        return await task


async def found(arguments: Order, context: ActionContext) -> Found:
    return Found()


def failing(*errors: Exception) -> Work:
    left = list(errors)

    async def work(arguments: Order, context: ActionContext) -> Found:
        if left:
            raise left.pop(0)
        return Found()

    return work


async def move(clock: ManualClock, task: asyncio.Task[Acted], ms: float = 50.0, steps: int = 40) -> Acted:
    for _ in range(steps):
        for _ in range(5):
            await asyncio.sleep(0)
        if task.done():
            break
        clock.move(ms)
    return await task


async def test_the_context_says_who_calls_and_who_they_are() -> None:
    seen: list[ActionContext] = []

    async def work(arguments: Order, context: ActionContext) -> Found:
        seen.append(context)
        return Found()

    desk = Desk(work)
    call = desk.call()
    await desk.run(call)
    call.customer, call.language = {"id": "c-1"}, "zh"
    await desk.run(call)
    first, second = seen
    assert (first.call_id, first.caller, first.customer, first.language) == ("call-1", "+12065550103", None, "en")
    assert (second.customer, second.language) == ({"id": "c-1"}, "zh")
    assert first.attempts is second.attempts


async def test_failed_proofs_are_counted_across_the_actions_of_a_call() -> None:
    async def work(arguments: Order, context: ActionContext) -> Found:
        context.attempts.failed("c-1")
        return Found(found=context.attempts.locked("c-1"))

    desk = Desk(work)
    call = desk.call()
    assert [(await desk.run(call)).result["found"] for _ in range(3)] == [False, False, True]
    assert [(await desk.run()).result["found"] for _ in range(2)] == [False, True]


async def test_an_action_for_verified_callers_is_refused_without_running() -> None:
    desk = Desk(found, identity="verified", side_effects=True)
    call = desk.call()
    refused = await desk.run(call)
    assert (refused.ok, refused.result, desk.runs) == (False, {"error": "not_verified"}, 0)
    call.customer = {"id": "c-1"}
    assert (await desk.run(call)).ok


async def test_the_calls_client_may_do_the_work_under_the_same_rules() -> None:
    desk = Desk(found, identity="verified", side_effects=True)
    call = desk.call()
    asked: list[Mapping[str, Any]] = []

    async def elsewhere(arguments: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        asked.append(arguments)
        return {"found": True, "by": "client"}

    call.elsewhere["act"] = elsewhere
    assert (await desk.run(call)).result == {"error": "not_verified"}
    call.customer = {"id": "c-1"}
    assert (await desk.run(call.fork())).result == {"found": True, "by": "client"}
    assert (len(asked), desk.runs) == (1, 0)


async def test_the_key_has_the_customer_in_it() -> None:
    desk = Desk(found, side_effects=True)
    call = desk.call()
    nobody = call.key("act", {"a": 1})
    call.customer = {"id": "c-1", "balance": 5}
    mine = call.key("act", {"a": 1})
    call.customer = {"id": "c-1", "balance": 7}
    assert call.key("act", {"a": 1}) == mine
    call.customer = {"id": "c-2", "balance": 7}
    theirs = call.key("act", {"a": 1})
    assert len({nobody, mine, theirs, desk.call("call-2").key("act", {"a": 1})}) == 4
    await desk.run(call)
    call.customer = {"id": "c-1"}
    await desk.run(call)
    await desk.run(call)
    assert desk.runs == 2


async def test_a_preview_does_not_change_who_the_caller_is() -> None:
    desk = Desk(found, side_effects=True)
    call = desk.call()
    fork = call.fork()
    fork.customer = {"id": "c-1"}
    assert call.customer is None
    await desk.run(call)
    joined = call.fork().start("act", {"order_number": "42718"})[1]
    assert joined


async def test_sensitive_arguments_are_hidden_and_their_key_is_no_clue(caplog: pytest.LogCaptureFixture) -> None:
    async def work(arguments: Order, context: ActionContext) -> Found:
        assert arguments.pin == "4821"
        raise RuntimeError(f"no such pin {arguments.pin}")

    caplog.set_level(logging.DEBUG)
    desk = Desk(work, sensitive=("pin",))
    acted = await desk.run(pin="4821")
    assert acted.arguments == {"order_number": "42718", "pin": WITHHELD}
    assert "4821" not in caplog.text + str(acted)
    assert "RuntimeError" in caplog.text
    same = Desk(found, sensitive=("pin",))
    assert same.call().key("act", {"pin": "4821"}) != desk.call().key("act", {"pin": "4821"})
    assert same.call().key("act", {"pin": "4821"}) == same.call().key("act", {"pin": "4821"})
    task, _ = same.call().start("act", {"order_number": "42718", "pin": None}, hidden=("order_number",))
    assert (await task).arguments == {"order_number": WITHHELD, "pin": None}


async def test_arguments_that_do_not_fit_are_refused_by_field(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(found)
    acted = await desk.run(order_number="my secret 4821")
    assert acted.result["error"] == "bad_arguments"
    assert "order_number" in acted.result["detail"]
    assert "4821" not in caplog.text + acted.result["detail"]
    assert desk.runs == 0


def returning(value: Any) -> Work:
    async def work(arguments: Order, context: ActionContext) -> Any:
        return value

    return work


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (None, "bad_result"),
        ({"found": True}, "bad_result"),
        (Loose(price=float("nan")), "bad_result"),
        (Loose(thing=object()), "bad_result"),
        (Loose(text="x" * MOST_BYTES), "too_large"),
    ],
)
async def test_nonsense_results_are_failures_with_a_reason(value: Any, error: str) -> None:
    acted = await Desk(returning(value)).run()
    assert (acted.ok, acted.result["error"]) == (False, error)
    assert acted.result["detail"]


LOCKED = OperationalError("select", {"pin": "4821"}, Exception("database is locked"))


@pytest.mark.parametrize("error", [ConnectionResetError("gone"), TimeoutError(), LOCKED, NotNow("busy", "busy")])
async def test_a_read_only_action_is_tried_again_once(error: Exception) -> None:
    desk = Desk(failing(error))
    task, _ = desk.call().start("act", {"order_number": "42718"})
    assert (await move(desk.clock, task)).ok
    assert desk.runs == 2
    twice = Desk(failing(error, error))
    task, _ = twice.call().start("act", {"order_number": "42718"})
    acted = await move(twice.clock, task)
    assert (acted.ok, twice.runs) == (False, 2)
    assert "4821" not in str(acted)


async def test_what_will_not_pass_is_not_tried_again() -> None:
    desk = Desk(failing(KeyError("x")))
    assert (await desk.run()).result == {"error": "KeyError"}
    assert desk.runs == 1


async def test_side_effects_are_tried_again_only_where_the_domain_says_so() -> None:
    once = Desk(failing(ConnectionError()), side_effects=True)
    assert not (await once.run()).ok
    assert once.runs == 1
    often = Desk(failing(*[ConnectionError()] * 3), side_effects=True, retries=3)
    task, _ = often.call().start("act", {"order_number": "42718"})
    assert (await move(often.clock, task)).ok
    assert often.runs == 4


async def test_tries_end_with_the_time_of_the_action() -> None:
    desk = Desk(failing(*[ConnectionError()] * 9), retries=5, timeout_s=1.0)
    task, _ = desk.call().start("act", {"order_number": "42718"})
    acted = await move(desk.clock, task)
    assert acted.result["error"] == "ConnectionError"
    assert 2 <= desk.runs <= 4
    assert desk.clock.ms <= 1000


async def test_an_action_that_does_not_hear_its_end_does_not_keep_the_call() -> None:
    deaf = asyncio.Event()

    async def work(arguments: Order, context: ActionContext) -> Found:
        while not deaf.is_set():
            try:
                await deaf.wait()
            except asyncio.CancelledError:
                continue
        return Found()

    desk = Desk(work, timeout_s=2.0)
    task, _ = desk.call().start("act", {"order_number": "42718"})
    acted = await move(desk.clock, task, 500.0)
    assert acted.result == {"error": "timeout"}
    deaf.set()
    await desk.actions.close()
    assert not desk.actions._given_up


async def test_too_many_actions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.dialogue.actions.MOST_RUNNING", 1)
    hold = asyncio.Event()

    async def work(arguments: Order, context: ActionContext) -> Found:
        await hold.wait()
        return Found()

    desk = Desk(work)
    first, _ = desk.call().start("act", {"order_number": "42718"})
    await asyncio.sleep(0)
    assert (await desk.run(desk.call("call-2"))).result == {"error": "overloaded"}
    hold.set()
    assert (await first).ok


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ({}, "exactly one"),
        ({"python": "a:b", "webhook": "https://a.example"}, "exactly one"),
        ({"webhook": "https://a.example"}, "secret_env"),
        ({"webhook": "http://a.example", "secret_env": "X"}, "https"),
        ({"python": "a:b", "side_effects": True, "speculate": True}, "turns never made"),
        ({"python": "a:b", "parameters": {"a": "text"}}, "those of its schema"),
        ({"python": "a:b", "returns": {"a": "text"}}, "for webhooks"),
        ({"webhook": "https://a.example", "secret_env": "X", "parameters": {"a": "txt"}}, "no kind of value"),
        ({"webhook": "https://a.example", "secret_env": "X", "parameters": {"a": {"pattern": "("}}}, "regular"),
        ({"http": {"url": "https://{host}.example/a"}}, "host"),
        ({"http": {"url": "https://a.example/{a|date}"}}, "format"),
        ({"http": {"url": "https://a.example/#a"}}, "fragment"),
        ({"http": {"url": "https://me:secret@a.example/"}}, "user or password"),
        ({"http": {"url": "https://a.example", "body": {}}}, "GET has no body"),
        ({"http": {"url": "https://a.example", "method": "DELETE"}}, "side_effects"),
        ({"http": {"url": "https://a.example", "headers": {"Host": "b"}}}, "cannot be set"),
        ({"http": {"url": "https://a.example", "headers": {"X": "a\nb"}}}, "no header can hold"),
        ({"http": {"url": "https://a.example/{a}"}, "parameters": {"b": "text"}}, "differ: a, b"),
        ({"http": {"url": "https://a.example/{customer.id}"}}, "identity: verified"),
        ({"http": {"url": "https://a.example", "ok": [99]}}, "no status"),
        (
            {"http": {"url": "https://a.example", "method": "POST", "idempotency_header": None}, "side_effects": True,
             "retries": 1},
            "idempotency_header",
        ),
    ],
)  # fmt: skip
def test_specs_that_contradict_themselves(spec: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ActionSpec.model_validate(spec)


def test_only_functions_of_the_right_shape_are_actions() -> None:
    async def plain(database: None, arguments: Mapping[str, Any], context: ActionContext) -> Found:
        return Found()

    def blocking(database: None, arguments: Order, context: ActionContext) -> Found:
        return Found()

    async def right(database: None, arguments: Order, context: ActionContext) -> Found:
        return Found()

    right.__annotations__["arguments"] = Order
    plain.__annotations__["arguments"] = Mapping[str, Any]
    assert arguments_model(plain) is None
    assert arguments_model(blocking) is None
    assert arguments_model(right) is Order


def blocks(name: str) -> list[Any]:
    """The YAML examples of a page of the documentation."""
    text = (Path(__file__).parents[2] / "docs" / name).read_text(encoding="utf-8")
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]


def test_the_documented_examples_are_right() -> None:
    found = [block.get("actions", block) for block in blocks("actions.md")]
    examples = {name: ActionSpec.model_validate(spec) for block in found for name, spec in block.items()}
    assert set(examples) == {"transfer_money", "get_balance", "book", "find_parcel", "get_order"}
    (emotion,) = (block["emotion"] for block in blocks("emotion.md"))
    shown = EmotionSettings.model_validate(emotion)
    assert shown.model_copy(update={"say": {}}) == EmotionSettings()
