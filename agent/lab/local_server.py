"""A server of our own for one run: `agent serve` as a child process on a free loopback port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

READY = "ready on "
"""What `agent serve` prints before its address, once it takes calls."""
START_S = 300.0
"""A cold start renders the domain's fixed phrases, which takes minutes on two slow cores with other work."""
_STOP_S = 15.0
_LAST_LINES = 15
_LONGEST_LINE = 1_000_000


class ServerFailed(Exception):
    """The server did not start; the message has its last words and where its log is."""


@contextlib.asynccontextmanager
async def local_server(
    log: Path,
    arguments: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    start_s: float = START_S,
    on_start: Callable[[int], None] | None = None,
    began: datetime | None = None,
) -> AsyncIterator[str]:
    """Start `agent serve --port 0 --insecure ARGUMENTS`, give its http://127.0.0.1:PORT, and end it by its pid.

    SIGTERM to us cancels the task that asked, and so ends the server too. Its output goes to `log`. `environment`
    replaces ours. `on_start` is told its process id. `began`: the time of day at its start, now without it.

    Raises:
        ServerFailed: it ended, or was not ready within `start_s`.
        OSError: `log` cannot be written.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", "from agent.cli.main import app; app()", "serve", "--port", "0", "--insecure"]
    if began is not None:
        command = [sys.executable, "-m", "agent.lab.dated_server", began.isoformat()]
    command += arguments
    with log.open("wb") as file, _cancelled_by_sigterm():
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
            limit=_LONGEST_LINE,
            start_new_session=True,
        )
        assert process.stdout is not None
        if on_start is not None:
            on_start(process.pid)
        ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        reading = asyncio.create_task(_read(process.stdout, file.fileno(), ready), name="server-output")
        try:
            try:
                async with asyncio.timeout(start_s):
                    address = await ready
            except TimeoutError as error:
                raise ServerFailed(f"the server was not ready within {start_s:.0f} s; its log is {log}") from error
            yield address
        finally:
            await _stop(process)
            await reading
            if ready.done() and not ready.cancelled():
                ready.exception()


@contextlib.contextmanager
def _cancelled_by_sigterm() -> Iterator[None]:
    """The server runs in a session of its own, so that Ctrl-C reaches only us; nobody else would end it."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


async def _read(output: asyncio.StreamReader, log: int, ready: asyncio.Future[str]) -> None:
    """Copy the server's output to its log; the pipe is always emptied, so that the server never blocks on it."""
    last: deque[str] = deque(maxlen=_LAST_LINES)
    while data := await output.readline():
        os.write(log, data)
        text = data.decode("utf-8", "replace").rstrip()
        last.append(text)
        if not ready.done() and text.startswith(READY):
            ready.set_result(text.removeprefix(READY).split()[0])
    if not ready.done():
        ready.set_exception(ServerFailed("the server ended before it was ready:\n" + "\n".join(last)))


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    for signum, patience in ((signal.SIGTERM, _STOP_S), (signal.SIGTERM, _STOP_S / 3), (signal.SIGKILL, _STOP_S)):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signum)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await process.wait()
                return
