"""Every gateway on real sockets: calls side by side on one server, and what happens to those who may not come in."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

import pytest
from live import coded, eventually
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from agent.clock import RealClock
from agent.gateways.catalogue import gateways
from agent.lab.callers.catalogue import Who, gateway_callers
from agent.lab.line import CallerLine

WHO = Who("+15555550143", "+15555550100")
TALKING = tuple(name for name, gateway in gateways().items() if not gateway.capabilities.monitor)
BY_SOCKET = tuple(name for name in gateways() if name != "audiosocket")
KEY = "user:a-key-of-the-tests"


async def refusal(connecting: connect) -> int:
    """The HTTP status with which a socket is refused."""
    with pytest.raises(InvalidStatus) as refused:
        await connecting
    return refused.value.response.status_code


async def test_every_gateway_holds_a_call_beside_the_others(serve, unused_tcp_port):
    up = await serve(server={"max_calls": 60}, audiosocket={"port": unused_tcp_port})
    lines: dict[str, CallerLine] = {}
    async with AsyncExitStack() as stack:
        for name in TALKING:
            simulated = gateway_callers()[name]
            caller = simulated.new(WHO)
            url = f"{up.address.replace('http', 'ws', 1)}/gateways/{name}?{simulated.query}"
            dial = None
            if simulated.dial is not None:
                url = f"tcp://127.0.0.1:{unused_tcp_port}"
                dial = simulated.dial(url)
                asked = {"gateway": name, "call_id": caller.call}
                assert (await up.http.post("/api/tokens", params=asked)).status_code == 200
            line = CallerLine(
                url,
                caller,
                RealClock(),
                life_s=20.0,
                headers=simulated.headers,
                subprotocols=simulated.subprotocols,
                dial=dial,
            )
            lines[name] = await stack.enter_async_context(line)
        await eventually(
            lambda: all(
                gateway_callers()[name].speaks or line.ear.heard_since(0.0) or line.ended
                for name, line in lines.items()
            ),
            10.0,
        )
        assert {name: line.ended for name, line in lines.items() if line.ended} == {}
        assert sorted(session.protocol.name for session in up.calls.sessions.values()) == sorted(TALKING)
    await up.empty()
    assert {name: list(line.wrongs) for name, line in lines.items() if line.wrongs} == {}
    calls = (await up.http.get("/api/calls", params={"limit": 200})).json()["calls"]
    assert sorted(call["gateway"] for call in calls) == sorted(TALKING)
    assert {call["outcome"] for call in calls} == {"caller_left"}


@pytest.mark.parametrize("name", BY_SOCKET)
async def test_nobody_comes_in_without_proof(serve, caplog, name):
    """In the protocol's own way: HTTP 401, or a message and a close."""
    up = await serve(insecure=False, secrets={"keys": {name: KEY}, "token_key": "a-token-key-of-the-tests"})
    gateway, simulated = gateways()[name], gateway_callers()[name]
    for number, path in enumerate((f"/gateways/{name}", f"/gateways/{name}/no-token"), start=1):
        if gateway.refuses == "http":
            assert await refusal(up.socket(path, subprotocols=simulated.subprotocols or None)) == 401
        else:
            url = up.address.replace("http", "ws", 1) + path
            caller = simulated.new(WHO)
            said: list[str | bytes] = []
            hear = caller.receive
            caller.receive = lambda message, said=said, hear=hear: (said.append(message), hear(message))[1]
            asking = {"headers": simulated.headers, "subprotocols": simulated.subprotocols}
            async with CallerLine(url, caller, RealClock(), life_s=10.0, **asking) as line:
                await line.until(lambda line=line: line.ended is not None, 4000.0)
            assert said, "nothing was said in the protocol's own words"
            assert line.ended is not None
        assert len([record for record in caplog.records if record.levelno == logging.WARNING]) >= number
    assert await up.refused("token_malformed") == 1
    assert not coded(caplog.records, "internal_error")
    assert up.calls.sessions == {}
    assert (await up.http.get("/api/calls", headers={"Authorization": "Bearer a-token-key-of-the-tests"})).json()[
        "calls"
    ] == []


async def test_the_address_openais_clients_build_leads_to_that_gateway(serve):
    up = await serve()
    async with connect(f"{up.address.replace('http', 'ws', 1)}/v1/realtime?model=callagent", proxy=None) as socket:
        async with asyncio.timeout(5.0):
            assert "session.created" in await socket.recv()
