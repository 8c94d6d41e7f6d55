"""A server of our own: started, reported on when it fails, and always ended."""

import asyncio
import os
import sys

import pytest

from agent.lab.local_server import ServerFailed, local_server


@pytest.fixture
def program(monkeypatch, tmp_path):
    """Let a small program stand where the interpreter that runs `agent serve` stands."""

    def use(body: str) -> None:
        path = tmp_path / "server"
        path.write_text(f"#!{sys.executable}\nimport os, signal, sys, time\n{body}", encoding="utf-8")
        path.chmod(0o755)
        monkeypatch.setattr("agent.lab.local_server.sys.executable", str(path))

    return use


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_the_address_is_given_once_it_is_ready_and_the_process_ends_with_the_block(program, tmp_path):
    program("print('pid', os.getpid()); print('ready on http://127.0.0.1:4711', flush=True); time.sleep(60)")
    log = tmp_path / "logs" / "server.log"
    pids = []
    async with local_server(log, ("--config", "c.yaml"), on_start=pids.append) as url:
        assert url == "http://127.0.0.1:4711"
        pid = int(log.read_text().split()[1])
        assert pids == [pid]
        assert alive(pid)
    assert not alive(pid)


async def test_it_is_ended_when_the_block_fails_too(program, tmp_path):
    program("print('pid', os.getpid()); print('ready on http://127.0.0.1:4711', flush=True); time.sleep(60)")
    with pytest.raises(ZeroDivisionError):
        async with local_server(tmp_path / "server.log"):
            raise ZeroDivisionError
    assert not alive(int((tmp_path / "server.log").read_text().split()[1]))


async def test_its_last_words_are_told_when_it_does_not_start(program, tmp_path):
    program("print('the port is taken'); sys.exit(2)")
    with pytest.raises(ServerFailed, match="the port is taken"):
        async with local_server(tmp_path / "server.log"):
            pass


async def test_a_traceback_that_quotes_the_announcement_is_not_one(program, tmp_path):
    program("""print('    echo(f"ready on {address}")'); print('ValueError: no voice'); sys.exit(1)""")
    with pytest.raises(ServerFailed, match="ValueError: no voice"):
        async with local_server(tmp_path / "server.log"):
            pass


async def test_one_that_never_gets_ready_is_given_up(program, tmp_path):
    program("print('pid', os.getpid(), flush=True); time.sleep(60)")
    with pytest.raises(ServerFailed, match="not ready within 1 s"):
        async with local_server(tmp_path / "server.log", start_s=1.0):
            pass
    assert not alive(int((tmp_path / "server.log").read_text().split()[1]))


async def test_its_arguments_and_environment_are_ours(program, tmp_path):
    program("print(sys.argv[3:], dict(os.environ).get('COLOUR'), 'HOME' in os.environ); sys.exit(1)")
    with pytest.raises(ServerFailed) as caught:
        async with local_server(tmp_path / "server.log", ("--config", "c.yaml"), {"COLOUR": "red"}):
            pass
    assert "['serve', '--port', '0', '--insecure', '--config', 'c.yaml'] red False" in str(caught.value)


async def test_a_chatty_server_never_blocks_on_its_output(program, tmp_path):
    program(
        "print('ready on http://127.0.0.1:1', flush=True); print('x' * 500_000, flush=True); print('end'); sys.exit()"
    )
    log = tmp_path / "server.log"
    async with local_server(log):
        for _ in range(100):
            if log.read_text().endswith("end\n"):
                break
            await asyncio.sleep(0.05)
    assert log.read_text().endswith("end\n")
