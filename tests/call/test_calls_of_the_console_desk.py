"""Calls given to people by the real queue: accept, talk, lose the line, hand back."""

from __future__ import annotations

import asyncio
from typing import Any

from browserfakes import Browser, FakeFeed, control_of
from callfakes import FakeCall
from virtual_time import run_virtual

from agent.clock import LoopClock
from agent.handoff.console_desk import ConsoleDesk


class NoDatabase:
    """A failing database costs the rows of handoffs, never the calls; and virtual time waits for no thread of one."""

    @property
    def engine(self) -> Any:
        return self

    def begin(self) -> Any:
        raise OSError("no database")


def test_a_call_goes_through_the_queue_to_two_people_and_back_to_the_agent() -> None:
    async def main() -> None:
        desk = ConsoleDesk(NoDatabase(), None, None, LoopClock(), feed=FakeFeed())  # type: ignore[arg-type]
        call = FakeCall(desk=desk)  # type: ignore[arg-type]
        desk.start()
        desk.on_duty("ana", (), (), 1)
        desk.on_duty("bo", (), (), 1)
        phone = await call.start()
        await phone.wait_for_agent()
        await phone.say("person please")
        await phone.wait_for_agent()
        await phone.wait(500)
        control = control_of(call)
        [waiting] = desk.snapshot()["queue"]
        desk.accept("ana", waiting["id"])
        await phone.wait(3000)
        async with Browser(await control.take_over("ana", waiting["id"]), call) as ana:
            talking = asyncio.create_task(ana.say("this is ana", 900))
            await phone.wait(1500)
            await talking
            control.human_lost("ana")
            await phone.wait(5000)
            assert ana.closed == "lost"
        assert control.state()["with"] == "queue"
        [again] = desk.snapshot()["queue"]
        assert again["id"] == waiting["id"]
        desk.accept("bo", again["id"])
        await phone.wait(3000)
        async with Browser(await control.take_over("bo", again["id"]), call):
            assert control.state()["human"] == "bo"
            back = asyncio.create_task(control.hand_back("bo", "all done"))
            await phone.wait(200)
            await back
        await phone.wait_for_agent()
        await phone.say("bye")
        await phone.wait(4000)
        assert (await call.ended()).outcome == "completed"
        [over] = desk.snapshot()["queue"]
        assert over["state"] == "handed_back"
        await desk.aclose()

    run_virtual(main())
