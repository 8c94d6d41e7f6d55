"""How the server ends: the first signal drains, the second does not wait."""

import asyncio
import logging

import pytest
from live import closed, coded, eventually, healthy, start
from websockets.exceptions import InvalidStatus

from agent.config import Settings
from agent.records.database import Database
from agent.records.queries import list_calls
from agent.server import CallServer
from agent.serving import ServeError, Server, bind


async def test_draining_refuses_new_calls_and_lets_running_ones_end(serve, caplog):
    up = await serve()
    async with healthy(up) as caller:
        up.server.stop()
        await asyncio.sleep(0)
        ready = await up.http.get("/ready")
        assert (ready.status_code, ready.json()["draining"]) == (503, True)
        assert (await up.http.get("/live")).status_code == 200
        with pytest.raises(InvalidStatus) as caught:
            async with up.plain():
                pass
        assert caught.value.response.status_code == 503
        assert await up.refused("draining") == 1
        await caller.answered("still here")
        assert not up.server.should_exit
        await caller.stop()
        await eventually(lambda: up.server.should_exit, 5.0)
    assert coded(caplog.records, "draining")


async def test_calls_that_do_not_end_are_ended_when_draining_is_over(serve, tmp_path):
    up = await serve(server={"drain_s": 0.3})
    async with up.plain() as caller:
        await caller.send(start("lasting"))
        await caller.recv()
        up.server.stop()
        assert await closed(caller) == 1001
    await eventually(lambda: up.calls.loaded is None)
    assert await outcome(tmp_path, "lasting") == ("failed", "server_stopping")


async def test_a_second_signal_does_not_wait(serve, tmp_path):
    up = await serve(server={"drain_s": 60})
    async with up.plain() as caller:
        await caller.send(start("lasting"))
        await caller.recv()
        up.server.stop()
        up.server.stop()
        assert await closed(caller, 3.0) == 1001
    await eventually(lambda: up.calls.loaded is None)
    assert await outcome(tmp_path, "lasting") == ("failed", "server_stopping")


async def outcome(folder, gateway_call_id) -> tuple[str, str]:
    async with Database.open(f"sqlite+aiosqlite:///{folder / 'records.db'}") as database:
        (call,) = [row for row in await list_calls(database) if row["gateway_call_id"] == gateway_call_id]
        return call["outcome"], call["reason"]


async def test_an_idle_server_stops_at_once(serve):
    up = await serve()
    up.server.stop()
    await eventually(lambda: up.calls.loaded is None, 3.0)


def test_insecure_is_for_this_machine_alone():
    with pytest.raises(ServeError, match=r"--insecure works on loopback only, and server.host is 0\.0\.0\.0"):
        bind(Settings(server={"host": "0.0.0.0", "port": 0}), insecure=True)


def test_a_taken_port_is_said_before_anything_is_loaded():
    with bind(Settings(server={"port": 0}), insecure=True) as first:
        first.listen()
        taken = Settings(server={"port": first.getsockname()[1]})
        with pytest.raises(ServeError, match="choose another with --port"):
            bind(taken, insecure=True)


def test_an_address_that_is_not_ours_is_said():
    with pytest.raises(ServeError, match=r"cannot listen on 203\.0\.113\.1"):
        bind(Settings(server={"host": "203.0.113.1", "port": 0}), insecure=False)


@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_certificate_that_is_none_is_said(tmp_path, content):
    path = tmp_path / "cert.pem"
    path.write_bytes(content)
    settings = Settings(server={"port": 0, "tls_cert": path, "tls_key": path})
    with pytest.raises(ServeError, match=r"cannot be used.*give a PEM certificate"):
        Server(CallServer(settings, insecure=True), lambda address: None)


async def test_a_failure_while_loading_reaches_whoever_starts_the_server(monkeypatch):
    class Broken(Exception):
        pass

    def load(settings, clock):
        raise Broken

    monkeypatch.setattr("agent.server.load", load)
    settings = Settings(server={"port": 0})
    told = []
    with pytest.raises(Broken):
        await Server(CallServer(settings, insecure=True), told.append).run(bind(settings, insecure=True))
    assert not told


async def test_a_stopping_server_logs_no_error(serve, caplog):
    caplog.set_level(logging.INFO)
    up = await serve()
    async with healthy(up) as caller:
        await caller.answered("hello")
        up.server.stop()
        up.server.stop()
    await eventually(lambda: up.calls.loaded is None)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []
