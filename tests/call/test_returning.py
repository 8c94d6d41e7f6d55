"""A connection that breaks and comes back, in virtual time: the conversation goes on, or ends in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from callfakes import PHONE, FakeCall, FakeGateway, Phone
from virtual_time import run_virtual

from agent.call.session import Admission, Session
from agent.config import Settings
from agent.gateways.base import CallStarted, Capabilities
from audio.codec import Encoding

START = CallStarted("CA1", "MZ2", "+15550123", "+15550100")


class Returned:
    """The call's second connection, as the server runs it."""

    def __init__(self, call: FakeCall, key: str = "", encoding: Encoding = PHONE, gateway_call_id: str = "CA1") -> None:
        self.gateway = FakeGateway(Capabilities(encoding, transfer="close"))
        self.phone = Phone(self.gateway, call.lines)
        find: Callable[[str, str], Session | None] = lambda gateway, name: (  # noqa: E731
            call.session if call.session.answers_to(gateway, name) else None
        )
        self.session = Session(call.services, self.gateway, self.phone, "c-second", Admission(key), find)
        self.running = asyncio.create_task(self.session.run())
        self.phone.give(CallStarted(gateway_call_id, "MZ2", "+15550123"))


def test_a_line_that_comes_back_goes_on_at_the_word_where_it_broke() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait(700)
        phone.drop()
        await asyncio.sleep(6.0)
        assert not call.session.counts
        second = Returned(call)
        await second.phone.wait_for_agent()
        await second.phone.say("where is it")
        await second.phone.wait_for_agent()
        assert call.turn(0, "agent").heard == "This call is recorded. How can I help?"
        assert not call.turn(0, "agent").interrupted
        assert call.turn(1, "agent").heard == "You said where is it."
        assert len(call.records.calls) == 1
        assert not second.running.done()
        second.phone.hang_up()
        ended = await call.ended()
        assert (ended.outcome, ended.reason) == ("caller_left", "stop")
        await second.running
        names = [name for name, _ in call.record.events]
        assert names.index("line_lost") < names.index("line_back")

    run_virtual(main())


def test_time_that_the_line_was_away_prompts_nobody() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        phone.drop()
        await asyncio.sleep(14.0)
        second = Returned(call)
        await second.phone.wait(5000)
        assert second.phone.first_sound == []
        second.phone.hang_up()
        await call.ended()
        await second.running

    run_virtual(main())


def test_a_line_that_does_not_come_back_ends_the_call() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        phone.drop()
        ended = await call.ended(within_s=16.0)
        assert (ended.outcome, ended.reason, ended.code) == ("caller_left", "line_lost", 1000)
        second = Returned(call)
        await second.phone.wait_for_agent()
        assert len(call.records.calls) == 2
        second.phone.hang_up()
        await second.running

    run_virtual(main())


def test_the_new_line_wins_where_the_old_one_has_not_been_missed_yet() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        second = Returned(call)
        await second.phone.say("where is it")
        await second.phone.wait_for_agent()
        assert call.turn(1, "agent").heard == "You said where is it."
        assert phone.closed == (1001, "replaced")
        second.phone.hang_up()
        await call.ended()
        await second.running

    run_virtual(main())


@pytest.mark.parametrize(
    ("key", "encoding", "name"),
    [("somebody", PHONE, "CA1"), ("", Encoding("mulaw", 8000), "CA1"), ("", PHONE, "CA2")],
)
def test_another_party_line_or_call_is_a_call_of_its_own(key: str, encoding: Encoding, name: str) -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait(700)
        phone.drop()
        second = Returned(call, key, encoding, name)
        await asyncio.sleep(1.0)
        assert len(call.records.calls) == 2
        second.phone.hang_up()
        await second.running
        assert (await call.ended()).reason == "line_lost"

    run_virtual(main())


def test_a_line_may_break_again_and_again() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait_for_agent()
        for _ in range(3):
            phone.drop()
            await asyncio.sleep(1.0)
            second = Returned(call)
            await second.phone.wait(500)
            phone = second.phone
        await phone.say("where is it")
        await phone.wait_for_agent()
        assert call.turn(1, "agent").heard == "You said where is it."
        phone.hang_up()
        await call.ended()
        await asyncio.sleep(0.1)

    run_virtual(main())


def test_nothing_is_kept_where_that_is_switched_off() -> None:
    async def main() -> None:
        call = FakeCall(settings=Settings.model_validate({"server": {"return_s": 0}}))
        phone = await call.start()
        await phone.wait(700)
        phone.drop()
        assert (await call.ended(within_s=1.0)).reason == "socket_closed_1006"

    run_virtual(main())


def test_the_server_may_stop_while_the_line_is_away() -> None:
    async def main() -> None:
        call = FakeCall()
        phone = await call.start()
        await phone.wait(700)
        phone.drop()
        await asyncio.sleep(2.0)
        call.session.stop("server_stopping")
        assert (await call.ended(within_s=1.0)).reason == "server_stopping"
        assert call.record.finished is not None

    run_virtual(main())


def test_a_connection_bound_to_another_call_is_refused() -> None:
    async def main() -> None:
        call = FakeCall()
        call.session = Session(call.services, call.gateway, call.phone, "c-test", Admission("key", "CA9"))
        await call.start()
        ended = await call.ended(within_s=2.0)
        assert (ended.outcome, ended.reason, ended.code) == ("refused", "call_mismatch", 1008)
        assert call.records.calls == []
        refused = call.metrics.registry.get_sample_value("callagent_calls_refused_total", {"code": "mismatch"})
        assert refused == 1.0

    run_virtual(main())
