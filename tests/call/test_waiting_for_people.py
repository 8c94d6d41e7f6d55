"""Callers who wait for a person at our own console: what they hear, who comes, and what if that person is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from browserfakes import Browser, Ear, announced, control_of, now_ms
from callfakes import FakeCall, FakeDesk, Phone
from virtual_time import run_virtual

from agent.call.announcing import announcement, wants_callback
from agent.call.control import Taken
from agent.handoff.contracts import HandoffRequest, HandoffResult

VOICE = 0.3


@dataclass
class Announcement:
    handoff_id: str
    kind: str
    values: Mapping[str, Any] = field(default_factory=dict)


class Late(Exception):
    def __init__(self, by: str) -> None:
        self.by = by
        super().__init__(f"{by} was first")


class QueueDesk(FakeDesk):
    """A desk with people of ours: the caller waits until somebody accepts, or chooses a call back."""

    def __init__(self, hold: str = "silence") -> None:
        super().__init__()
        self.settings = SimpleNamespace(hold=hold)
        self.callbacks: dict[str, Callable[[Any], None]] = {}
        self.lost: list[tuple[str, str]] = []
        self.by = ""
        self._decided: asyncio.Future[HandoffResult] | None = None

    def listen(self, handoff_id: str, callback: Callable[[Any], None]) -> None:
        self.callbacks[handoff_id] = callback

    async def request(self, request: HandoffRequest) -> HandoffResult:
        self.requests.append(request)
        return await self._wait()

    async def _wait(self) -> HandoffResult:
        self.by, self._decided = "", asyncio.get_running_loop().create_future()
        return await self._decided

    def decide(self, result: HandoffResult) -> None:
        assert self._decided is not None
        if not self._decided.done():
            self._decided.set_result(result)

    def accept(self, who: str, handoff_id: str) -> None:
        if self.by and self.by != who:
            raise Late(self.by)
        self.by = who
        self.decide(HandoffResult("accepted", human=who))

    def choose_callback(self, handoff_id: str) -> None:
        self.decide(HandoffResult("unavailable", detail="callback"))

    async def human_lost(self, who: str, handoff_id: str) -> HandoffResult:
        self.lost.append((who, handoff_id))
        return await self._wait()

    def announce(self, kind: str, **values: Any) -> None:
        [(handoff_id, callback)] = self.callbacks.items()
        callback(Announcement(handoff_id, kind, values))


async def waiting(desk: QueueDesk) -> tuple[FakeCall, Phone, Ear]:
    """A caller who was told that he is connected, and waits."""
    call = FakeCall(desk=desk)
    phone = await call.start()
    ear = Ear(phone)
    await phone.wait_for_agent()
    await phone.say("person please")
    await phone.wait_for_agent()
    await phone.wait(1000)
    assert control_of(call).state()["with"] == "queue"
    return call, phone, ear


def agent_turns(call: FakeCall) -> list[str]:
    return [turn.heard or "" for (_, who), turn in call.record.turns.items() if who == "agent"]


def test_who_waits_is_told_how_long_and_hears_music() -> None:
    async def main() -> None:
        desk = QueueDesk(hold="music")
        call, phone, ear = await waiting(desk)
        desk.announce("position", position=2, wait_s=170.0)
        await phone.wait(5000)
        assert agent_turns(call)[-1] == "You are number 2 in line. The wait is about 3 minutes."
        since = now_ms()
        await phone.wait(2000)
        music = [level for at, level in ear.heard if at > since]
        assert len(music) >= 95
        assert all(abs(level) < 0.1 for level in music)
        assert control_of(call).state()["waiting_s"] > 7
        phone.hang_up()
        await call.ended()
        assert desk.left == [desk.requests[0].handoff_id]

    run_virtual(main())


@pytest.mark.parametrize("how", ["key", "words", "yes"])
def test_a_call_back_is_chosen_by_key_or_words(how: str) -> None:
    async def main() -> None:
        desk = QueueDesk()
        call, phone, _ = await waiting(desk)
        desk.announce("callback_offer", position=4, wait_s=None, key="2")
        await phone.wait(3000)
        if how == "key":
            phone.press("1")
            await phone.wait(200)
            assert not call.session.done
            phone.press("2")
        else:
            await phone.say("please call me back" if how == "words" else "affirm", 900)
        await phone.wait(12_000)
        ended = await call.ended()
        assert (ended.outcome, ended.reason) == ("completed", "callback")
        assert agent_turns(call)[-1].startswith("Thank you. A colleague will call you back")

    run_virtual(main())


def test_who_accepts_gets_the_call_after_the_farewell() -> None:
    async def main() -> None:
        desk = QueueDesk()
        call, phone, ear = await waiting(desk)
        control = control_of(call)
        desk.accept("ana", desk.requests[0].handoff_id)
        taking = asyncio.create_task(control.take_over("ana", desk.requests[0].handoff_id))
        losing = asyncio.create_task(control.take_over("bo", desk.requests[0].handoff_id))
        await phone.wait(3000)
        with pytest.raises(Taken):
            await losing
        async with Browser(await taking, call) as ana:
            assert control.state()["human"] == "ana"
            talking = asyncio.create_task(ana.say("this is ana", 900))
            await phone.wait(1800)
            await talking
            assert ear.hears(call.lines.level("this is ana"))
            phone.hang_up()
            ended = await call.ended()
        assert ended.outcome == "handed_off"
        assert desk.ended == ["bridged", "ended"]
        assert call.dialogue.outcomes == ["accepted"]

    run_virtual(main())


def test_a_person_who_never_comes_loses_the_call_to_the_queue() -> None:
    async def main() -> None:
        desk = QueueDesk()
        call, phone, _ = await waiting(desk)
        desk.accept("ana", desk.requests[0].handoff_id)
        await phone.wait(3000)
        assert control_of(call).state()["human"] == "ana"
        await phone.wait(10_000)
        assert desk.lost == [("ana", desk.requests[0].handoff_id)]
        assert control_of(call).state()["with"] == "queue"
        phone.hang_up()
        await call.ended()

    run_virtual(main())


def test_a_supervisor_takes_a_waiting_call_over() -> None:
    async def main() -> None:
        call = FakeCall(desk=FakeDesk(delay_s=60.0))
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("person please")
        await phone.wait_for_agent()
        await phone.wait(1000)
        control = control_of(call)
        taking = asyncio.create_task(control.take_over("sam"))
        await phone.wait(200)
        await taking
        assert control.state()["human"] == "sam"
        assert call.desk.left == [call.desk.requests[0].handoff_id]
        phone.hang_up()
        await call.ended()

    run_virtual(main())


@pytest.mark.parametrize("queued", [False, True])
def test_a_console_that_is_cut_off_has_the_caller_told_and_the_call_queued_within_5_s(queued: bool) -> None:
    async def main() -> None:
        if queued:
            desk = QueueDesk()
            call, phone, ear = await waiting(desk)
            desk.accept("ana", desk.requests[0].handoff_id)
            await phone.wait(3000)
        else:
            desk = QueueDesk()
            call = FakeCall(desk=desk)
            phone = await call.start()
            ear = Ear(phone)
            await phone.wait_for_agent()
        control = await announced(call)
        async with Browser(await control.take_over("ana"), call) as ana:
            talking = asyncio.create_task(ana.say("one moment", 600))
            await phone.wait(900)
            await talking
            lost = now_ms()
            control.human_lost("ana")
            await phone.wait(5000)
            assert ana.closed == "lost"
        told = ear.first_heard(VOICE, lost)
        assert told is not None
        assert told - lost <= 1000
        assert agent_turns(call)[-1] == "I am sorry, my colleague was cut off. One moment, please."
        if queued:
            assert desk.lost == [("ana", desk.requests[0].handoff_id)]
        else:
            assert desk.requests[0].rule == "human_lost"
        assert control.state()["with"] == "queue"
        # The next one accepts: the caller is given to him.
        desk.accept("bo", desk.requests[0].handoff_id)
        await phone.wait(3000)
        assert control.state()["human"] == "bo"
        phone.hang_up()
        await call.ended()
        assert desk.ended[-1] == "ended"

    run_virtual(main())


def test_nobody_left_after_a_cut_the_agent_has_the_caller_again() -> None:
    async def main() -> None:
        desk = QueueDesk()
        call, phone, _ = await waiting(desk)
        desk.accept("ana", desk.requests[0].handoff_id)
        await phone.wait(3000)
        control = control_of(call)
        control.human_lost("ana")
        control.human_lost("ana")
        await phone.wait(1000)
        desk.decide(HandoffResult("unavailable", detail="nobody"))
        await phone.wait_for_agent()
        await phone.wait(4000)
        assert control.state()["with"] == "agent"
        assert desk.lost == [("ana", desk.requests[0].handoff_id)]
        await phone.say("bye")
        await phone.wait(4000)
        assert (await call.ended()).outcome == "completed"

    run_virtual(main())


def test_a_page_that_is_loaded_again_loses_nothing() -> None:
    async def main() -> None:
        desk = QueueDesk()
        call = FakeCall(desk=desk)
        phone = await call.start()
        await phone.wait_for_agent()
        control = control_of(call)
        async with Browser(await control.take_over("ana"), call) as ana:
            await phone.wait(200)
            ana.seat.leave()
            await phone.wait(2000)
        async with Browser(control.join("ana", "talk"), call) as ana:
            await phone.wait(4000)
            assert control.state()["human"] == "ana"
            ana.seat.leave()
            await phone.wait(4000)
        assert control.state()["with"] == "queue"
        phone.hang_up()
        await call.ended()

    run_virtual(main())


def test_what_a_call_back_is_wanted_by() -> None:
    assert wants_callback("could you call me back", False)
    assert wants_callback("请回电", False)
    assert wants_callback("", True)
    assert not wants_callback("how long will it take", False)


@pytest.mark.parametrize(
    ("kind", "values", "language", "text"),
    [
        ("position", {"position": 1, "wait_s": None}, "en", "You are next in line."),
        ("position", {"position": None, "wait_s": 20.0}, "en", "The wait is about a minute."),
        ("position", {"position": 3, "wait_s": 600.0}, "zh", "您排在第3位。大约需要等待10分钟。"),
        ("coming", {"human": "ana"}, "en", None),
        ("nobody", {"reason": "closed", "opens_at": None}, "en", None),
    ],
)
def test_announcements(kind: str, values: dict[str, Any], language: str, text: str | None) -> None:
    assert announcement(kind, values, language) == text
