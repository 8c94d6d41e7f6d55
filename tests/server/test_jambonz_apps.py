"""Application sockets of jambonz, in memory: each call's comes, breaks, comes back, and moves its caller."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from virtual_time import run_virtual

from agent.call.transport import Disconnected
from agent.gateways.rest import CarrierError
from agent.jambonz import HANDSHAKE_S, RETURN_S, JambonzApps


class Socket:
    """jambonz's end of an application socket (a `Transport`)."""

    def __init__(self, apps: JambonzApps) -> None:
        self.sent: list[dict[str, Any]] = []
        self.code: int | None = None
        self.broken = False
        self._waiting: asyncio.Queue[str | Disconnected] = asyncio.Queue()
        self.serving = asyncio.create_task(apps.run(self))

    async def receive(self) -> str | bytes:
        message = await self._waiting.get()
        if isinstance(message, Disconnected):
            raise message
        return message

    async def send(self, message: str | bytes) -> None:
        if self.broken or self.code is not None:
            raise Disconnected
        self.sent.append(json.loads(message))

    async def close(self, code: int, reason: str) -> None:
        self.code = self.code or code
        self._waiting.put_nowait(Disconnected(code))

    async def say(self, kind: str, call_sid: str = "s-1", hook: str | None = None, **data: Any) -> list[str]:
        """Say something; returns the verbs of the answer."""
        self._waiting.put_nowait(
            json.dumps({"type": kind, "msgid": "m1", "call_sid": call_sid, "hook": hook, "data": data})
        )
        await asyncio.sleep(0.01)
        last = self.sent[-1] if self.sent else {}
        return [verb["verb"] for verb in last.get("data", [])] if last.get("type") == "ack" else []

    async def breaks(self) -> None:
        self._waiting.put_nowait(Disconnected(1006))
        await self.serving


def apps(**options: Any) -> JambonzApps:
    return JambonzApps(lambda call_sid: f"wss://calls.example.com/gateways/jambonz/{call_sid}", **options)


def test_a_call_is_connected_moved_and_over() -> None:
    async def main() -> None:
        jambonz = apps()
        socket = Socket(jambonz)
        assert await socket.say("session:new", direction="inbound") == ["answer", "listen", "redirect", "hangup"]
        assert len(jambonz) == 1
        await jambonz.transfer("s-1", "+15550123", {"handoff_id": "h-1"})
        command = socket.sent[-1]
        assert (command["type"], command["command"]) == ("command", "redirect")
        assert command["data"][0]["headers"] == {"X-Handoff-Id": "h-1"}
        assert await socket.say("verb:hook", hook="/dialled", dial_call_status="completed") == ["hangup"]
        await socket.say("call:status", call_status="completed")
        await socket.breaks()
        assert len(jambonz) == 0
        assert await jambonz.hang_up("s-1") is False
        with pytest.raises(CarrierError) as caught:
            await jambonz.transfer("s-1", "+15550123")
        assert caught.value.code == "call_ended"

    run_virtual(main())


def test_hanging_up() -> None:
    async def main() -> None:
        jambonz = apps()
        socket = Socket(jambonz)
        await socket.say("session:new")
        assert await jambonz.hang_up("s-1") is True
        assert socket.sent[-1]["data"] == [{"verb": "hangup"}]
        await socket.breaks()

    run_virtual(main())


def test_a_target_that_jambonz_cannot_reach_is_refused_before_anything_is_sent() -> None:
    async def main() -> None:
        jambonz = apps()
        socket = Socket(jambonz)
        await socket.say("session:new")
        count = len(socket.sent)
        with pytest.raises(ValueError, match="nothing jambonz can connect to"):
            await jambonz.transfer("s-1", "the desk")
        assert len(socket.sent) == count
        await socket.breaks()

    run_virtual(main())


def test_a_command_waits_for_a_socket_that_broke() -> None:
    async def main() -> None:
        jambonz = apps()
        first = Socket(jambonz)
        await first.say("session:new")
        await first.breaks()
        moving = asyncio.create_task(jambonz.transfer("s-1", "queue:support"))
        await asyncio.sleep(1.0)
        second = Socket(jambonz)
        await second.say("session:reconnect")
        await moving
        assert second.sent[-1]["data"][0]["verb"] == "enqueue"
        await second.breaks()

    run_virtual(main())


def test_a_command_that_meets_a_socket_that_just_broke_waits_too() -> None:
    async def main() -> None:
        jambonz = apps()
        first = Socket(jambonz)
        await first.say("session:new")
        first.broken = True
        moving = asyncio.create_task(jambonz.transfer("s-1", "queue:support"))
        await asyncio.sleep(0.1)
        second = Socket(jambonz)
        await second.say("session:reconnect")
        await moving
        assert second.sent[-1]["data"][0]["verb"] == "enqueue"
        await first.breaks()
        assert await jambonz.hang_up("s-1") is True  # the end of the first says nothing about the second
        await second.breaks()

    run_virtual(main())


def test_a_socket_that_stays_away_fails_the_command() -> None:
    async def main() -> None:
        jambonz = apps()
        socket = Socket(jambonz)
        await socket.say("session:new")
        await socket.breaks()
        before = asyncio.get_running_loop().time()
        with pytest.raises(CarrierError) as caught:
            await jambonz.hang_up("s-1")
        assert caught.value.code == "unreachable"
        assert asyncio.get_running_loop().time() - before == pytest.approx(RETURN_S)

    run_virtual(main())


def test_a_call_that_ends_while_a_command_waits() -> None:
    async def main() -> None:
        jambonz = apps()
        socket = Socket(jambonz)
        await socket.say("session:new")
        socket.broken = True
        ending = asyncio.create_task(jambonz.hang_up("s-1"))
        await asyncio.sleep(0.1)
        await socket.say("call:status", call_status="completed")
        await socket.breaks()
        assert await ending is False

    run_virtual(main())


def test_what_is_known_of_a_call_outlives_its_socket() -> None:
    async def main() -> None:
        jambonz = apps(expects=lambda call_sid: True)
        for number in range(3):
            socket = Socket(jambonz)
            await socket.say("session:new" if number == 0 else "session:reconnect")
            verbs = await socket.say("session:redirect", hook="/ended")
            assert ("listen" in verbs) is (number < 2)
            await socket.breaks()

    run_virtual(main())


def test_a_server_that_takes_no_calls_declines_them() -> None:
    async def main() -> None:
        jambonz = apps(accepts=lambda: False)
        socket = Socket(jambonz)
        assert await socket.say("session:new", direction="inbound") == ["sip:decline"]
        await socket.serving
        assert (socket.code, len(jambonz)) == (1000, 0)

    run_virtual(main())


def test_only_so_many_calls_are_kept() -> None:
    async def main() -> None:
        jambonz = apps(bound=2)
        gone, one, two = Socket(jambonz), Socket(jambonz), Socket(jambonz)
        await gone.say("session:new", "s-0")
        await gone.breaks()
        await one.say("session:new", "s-1")
        assert "listen" in await two.say("session:new", "s-2")  # s-0 is forgotten
        late = Socket(jambonz)
        assert await late.say("session:new", "s-3", direction="inbound") == ["sip:decline"]
        assert len(jambonz) == 2
        for socket in (one, two):
            await socket.breaks()
        await late.serving

    run_virtual(main())


def test_a_socket_that_says_nothing_is_closed() -> None:
    async def main() -> None:
        socket = Socket(apps())
        await asyncio.sleep(HANDSHAKE_S + 1.0)
        await socket.serving
        assert socket.code == 4408

    run_virtual(main())


def test_a_first_message_that_cannot_be_read_closes_the_socket() -> None:
    async def main() -> None:
        socket = Socket(apps())
        await socket.say("session:new", call_sid="")
        await socket.serving
        assert socket.code == 1007

    run_virtual(main())


def test_stopping_sends_the_sockets_elsewhere() -> None:
    async def main() -> None:
        jambonz = apps()
        sockets = [Socket(jambonz), Socket(jambonz)]
        for number, socket in enumerate(sockets):
            await socket.say("session:new", f"s-{number}")
        await jambonz.close()
        await asyncio.gather(*(socket.serving for socket in sockets))
        assert [socket.code for socket in sockets] == [1001, 1001]

    run_virtual(main())
