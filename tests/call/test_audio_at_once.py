"""Audio that is taken as it comes, without waiting until the task that reads has its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from callfakes import FakeCall, FakeGateway, Phone
from virtual_time import run_virtual

from agent.call.gatewayed import MOST_WAITING
from agent.gateways.base import AudioIn, Event
from agent.records.pausing import paused_call
from models.pool import Priority


class SharpGateway(FakeGateway):
    """A gateway whose audio is known by sight."""

    def hear(self, message: str | bytes) -> Sequence[Event] | None:
        return self.receive(message) if isinstance(self.events[str(message)], AudioIn) else None


class DirectPhone(Phone):
    """A transport that gives messages at once while somebody waits for one."""

    take: Callable[[str | bytes], bool] | None = None
    waited = False
    at_once = 0

    def directly(self, take: Callable[[str | bytes], bool]) -> None:
        self.take = take

    def give(self, event: Event) -> None:
        number = str(self._count + 1)
        if self.take is not None and self.waited and self._inbox.empty():
            self.gateway.events[number] = event
            if self.take(number):
                self._count += 1
                self.at_once += 1
                return
        super().give(event)

    async def receive(self) -> str | bytes:
        self.waited = True
        try:
            return await super().receive()
        finally:
            self.waited = False


def direct_call(delays_ms: Mapping[Priority, float] | None = None) -> tuple[FakeCall, DirectPhone]:
    call = FakeCall(delays_ms=delays_ms)
    gateway = SharpGateway()
    phone = DirectPhone(gateway, call.lines)
    call.gateway, call.phone = gateway, phone
    call.session = type(call.session)(call.services, gateway, phone, "c-test")
    return call, phone


def test_a_conversation_is_the_same() -> None:
    async def main() -> None:
        call, phone = direct_call()
        await call.start()
        await phone.wait_for_agent()
        await phone.say("where is it")
        await phone.wait_for_agent()
        await phone.say("bye now")
        await phone.wait(4000)
        ended = await call.ended()
        assert (ended.outcome, ended.reason, ended.code) == ("completed", "goodbye", 1000)
        assert call.turn(1, "caller").text == "where is it"
        assert call.turn(1, "agent").heard == "You said where is it."
        assert phone.at_once > 100

    run_virtual(main())


def test_it_runs_as_the_reading_task_would() -> None:
    async def main() -> None:
        call, phone = direct_call()
        seen: list[Any] = []
        await call.start()
        await phone.wait(200)
        listen = call.session.listen

        def watched(audio: bytes, now_ms: float) -> None:
            seen.append((paused_call.get(), asyncio.get_running_loop().time() * 1000.0 == now_ms))
            listen(audio, now_ms)

        call.session.listen = watched  # type: ignore[method-assign]
        assert paused_call.get() is None
        await phone.wait(200)
        phone.hang_up()
        await call.ended()
        assert len(seen) > 2
        assert all(pausing is not None and same for pausing, same in seen)

    run_virtual(main())


def test_a_failure_ends_the_call() -> None:
    async def main() -> None:
        call, phone = direct_call()
        await call.start()
        await phone.wait(200)

        def failing(audio: bytes, now_ms: float) -> None:
            raise RuntimeError("broken")

        call.session.listen = failing  # type: ignore[method-assign]
        await phone.wait(200)
        ended = await call.ended()
        assert (ended.outcome, ended.reason, ended.code) == ("failed", "internal_error", 1011)

    run_virtual(main())


def test_a_flood_ends_the_call() -> None:
    async def main() -> None:
        call, phone = direct_call()
        await call.start()
        await phone.wait(200)
        before = phone.at_once
        for _ in range(call.services.settings.server.max_messages_per_s + 10):
            phone.give(AudioIn(b""))
        assert phone.at_once - before > 300
        ended = await call.ended()
        assert (ended.reason, ended.code) == ("message_flood", 1008)
        assert call.session.notes.counters["message_flood"] == 1

    run_virtual(main())


def test_the_socket_is_not_read_while_too_much_waits_to_be_judged() -> None:
    async def main() -> None:
        call, phone = direct_call({Priority.VOICE_ACTIVITY: 60_000})
        await call.start()
        await phone.wait(5_000)
        assert phone.at_once > 20
        assert MOST_WAITING <= len(call.session._frames) <= MOST_WAITING + 2
        assert phone._inbox.qsize() > 10
        call.session.stop("over")
        assert (await call.ended()).reason == "over"

    run_virtual(main())
