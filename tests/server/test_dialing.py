from __future__ import annotations

import asyncio
import http
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets import Subprotocol
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

import agent.dialing as dialing
from agent.call.transport import NORMAL, Disconnected
from agent.dialing import DialError, allowed, dial
from agent.gateways.asterisk import AsteriskProtocol
from agent.gateways.base import Answer, AudioIn, CallStarted, Hangup, Play
from agent.lab.callers.asterisk import AsteriskCaller

MEDIA = ["ws://ast.example.com:8088/media"]


@pytest.mark.parametrize(
    "url",
    [
        "ws://ast.example.com:8088/media/0fb1c7a2-7ed2-4a05-9f6e-7f6b5a3d1e42",
        "ws://AST.example.com:8088/media/1",
        "ws://ast.example.com:8088/media",
        "ws://ast.example.com:8088/media/",
        "ws://ast.example.com:8088/media/1?x=..",
    ],
)
def test_what_lies_below_a_prefix_may_be_dialled(url: str) -> None:
    assert allowed(url, MEDIA)
    assert allowed(url, ["wss://other.example.com/", "ws://ast.example.com:8088/media/"]) == (url[-6:] != "/media")
    assert allowed(url, ["ws://ast.example.com:8088"])


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/media/1",
        "ws:",
        "ws://",
        "ws:///media/1",
        "//ast.example.com:8088/media/1",
        "http://ast.example.com:8088/media/1",
        "wss://ast.example.com:8088/media/1",
        "ws://ast.example.com/media/1",
        "ws://ast.example.com:8089/media/1",
        "ws://ast.example.com:0/media/1",
        "ws://ast.example.com:99999/media/1",
        "ws://ast.example.com:8088a/media/1",
        "ws://ast.example.com.:8088/media/1",
        "ws://ast.example.com.evil.example:8088/media/1",
        "ws://evil.example:8088/media/1",
        "ws://ast.example.com:8088@evil.example/media/1",
        "ws://ast.example.com:8088@evil.example:8088/media/1",
        "ws://user:password@ast.example.com:8088/media/1",
        "ws://@ast.example.com:8088/media/1",
        "ws://evil.example:8088#@ast.example.com:8088/media/1",
        "ws://evil.example:8088?@ast.example.com:8088/media/1",
        "ws://evil.example:8088\\@ast.example.com:8088/media/1",
        "ws://ast.example.com:8088\\media/1",
        "ws://ast.example.com:8088/mediator",
        "ws://ast.example.com:8088/other",
        "ws://ast.example.com:8088/Media/1",
        "ws://ast.example.com:8088/media/../ari/channels",
        "ws://ast.example.com:8088/media/./1",
        "ws://ast.example.com:8088/media/..",
        "ws://ast.example.com:8088/x/../media/1",
        "ws://ast.example.com:8088/media/%2e%2e/ari",
        "ws://ast.example.com:8088/media/%2E./ari",
        "ws://ast.example.com:8088/media%2f1",
        "ws://ast.example.com:8088/media/%252e%252e/ari",
        "ws://ast.example.com:8088/media/..%5cari",
        "ws://ast.example.com:8088//media/1",
        "ws://ast.example.com:8088/media//1",
        "ws://ast.example.com:8088/media/1#x",
        "ws://ast.example.com:8088/media/1 ",
        " ws://ast.example.com:8088/media/1",
        "ws://ast.example.com:8088/media/\r\nX: y",
        "ws://ast.example.com:8088/media/\t1",
        "ws://ast.example.com:8088/media/\0",
        "ws://ast\u3002example.com:8088/media/1",
        "ws://ast.example.com:8088/media/é",
        "ws://[::1/media/1",
        "ws://ast.example.com:8088/media/" + "1" * 2048,
    ],
)
def test_no_other_address_may_be_dialled(url: str) -> None:
    assert not allowed(url, MEDIA)


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "ws://",
        "ast.example.com",
        "ws://*/",
        "ws://a@ast.example.com:8088/",
        "ws://ast.example.com:8088/?",
        "http://a/",
    ],
)
def test_a_prefix_that_is_no_address_allows_nothing(prefix: str) -> None:
    assert not allowed("ws://ast.example.com:8088/media/1", [prefix])


def test_usual_ports_need_not_be_written() -> None:
    assert allowed("ws://ast.example.com:80/media/1", ["ws://ast.example.com/media"])
    assert allowed("wss://ast.example.com/media/1", ["wss://ast.example.com:443/media"])
    assert allowed("ws://[::1]:8088/media/1", ["ws://[::1]:8088/"])
    assert not allowed("ws://ast.example.com/media/1", [])


@settings(max_examples=200, deadline=None)
@given(
    st.text("abc./:@%2e5c\\?#[] ws", max_size=30), st.sampled_from(["", "ws://ast.example.com:8088", MEDIA[0] + "/"])
)
def test_what_is_allowed_goes_where_it_says(tail: str, head: str) -> None:
    url = head + tail
    if allowed(url, MEDIA):
        parts = urlsplit(url)
        assert (parts.scheme, parts.netloc.lower()) == ("ws", "ast.example.com:8088")
        assert parts.path == "/media" or parts.path.startswith("/media/")
        assert ".." not in parts.path.split("/")


Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def waiting(handler: Handler, **options: Any) -> AsyncIterator[str]:
    """A far end that takes the subprotocol `media`; gives its address."""
    options = {"subprotocols": [Subprotocol("media")], **options}
    server: Server
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/media/"


async def test_a_call_that_waits_at_asterisk_is_dialled_and_spoken_to() -> None:
    caller = AsteriskCaller(codec="ulaw", control="text")
    got: list[str | bytes] = []
    paths: list[str] = []

    async def channel(socket: ServerConnection) -> None:
        assert socket.request is not None
        paths.append(socket.request.path)
        assert "Sec-WebSocket-Extensions" not in socket.request.headers
        assert socket.request.headers["X-Ours"] == "1"
        for message in caller.opening():
            await socket.send(message)
        await socket.send(bytes(160))
        try:
            while True:
                got.append(await socket.recv())
        except ConnectionClosed:
            pass

    async with waiting(channel) as url:
        transport = await dial(url + "7?x=1", "media", {"X-Ours": "1"}, prefixes=[url])
        protocol = AsteriskProtocol()
        started, answer = protocol.receive(await transport.receive())
        assert isinstance(started, CallStarted)
        assert isinstance(answer, Answer)
        await transport.send(answer.message)
        assert protocol.receive(await transport.receive()) == (AudioIn(bytes(160)),)
        for command in (Play(b"\xff" * 160), Hangup("goodbye")):
            for message in protocol.send(command):
                await transport.send(message)
        await transport.close(NORMAL, "ä" * 100)
        await transport.close(NORMAL, "again")
        with pytest.raises(Disconnected):
            await transport.send(b"\0")
    assert got == ["START_MEDIA_BUFFERING", b"\xff" * 160, "HANGUP"]
    assert paths == ["/media/7?x=1"]


async def test_the_far_ends_close_code_is_told() -> None:
    async def leave(socket: ServerConnection) -> None:
        if socket.request is not None and socket.request.path.endswith("abort"):
            socket.transport.abort()
        else:
            await socket.close(1001, "bye")

    async with waiting(leave) as url:
        for name, code in (("close", 1001), ("abort", 1006)):
            transport = await dial(url + name, "media", prefixes=[url])
            with pytest.raises(Disconnected) as gone:
                await transport.receive()
            assert gone.value.code == code
            with pytest.raises(Disconnected):
                await transport.send(b"\0")
            await transport.close(NORMAL, "")


async def test_a_message_that_is_too_large_ends_the_call() -> None:
    async def flood(socket: ServerConnection) -> None:
        await socket.send(bytes(dialing.MAX_MESSAGE + 1))
        await socket.wait_closed()

    async with waiting(flood) as url:
        transport = await dial(url + "1", "media", prefixes=[url])
        with pytest.raises(Disconnected):
            await transport.receive()


async def test_who_takes_nothing_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialing, "SEND_S", 0.1)
    stuck = asyncio.Event()

    async def deaf(socket: ServerConnection) -> None:
        socket.transport.pause_reading()  # type: ignore[attr-defined]
        await stuck.wait()
        socket.transport.abort()

    async with waiting(deaf) as url:
        transport = await dial(url + "1", "media", prefixes=[url])

        async def flood() -> None:
            for _ in range(2000):
                await transport.send(bytes(60_000))

        with pytest.raises(Disconnected):
            await flood()
        begun = time.monotonic()
        await transport.close(NORMAL, "")
        assert time.monotonic() - begun < 2.0
        stuck.set()


async def test_an_address_that_is_not_allowed_is_not_even_looked_up() -> None:
    with pytest.raises(DialError) as error:
        await dial("ws://nowhere.invalid/media/1", "media", prefixes=MEDIA)
    assert error.value.code == "refused_url"


async def idle(socket: ServerConnection) -> None:
    await socket.wait_closed()


def answering(status: http.HTTPStatus, location: str | None = None) -> Any:
    def respond(connection: ServerConnection, request: Request) -> Response:
        response = connection.respond(status, "no")
        if location is not None:
            response.headers["Location"] = location
        return response

    return respond


async def test_a_refusal_and_a_redirect_are_told_and_not_followed() -> None:
    reached: list[str] = []

    async def elsewhere(socket: ServerConnection) -> None:
        reached.append("elsewhere")

    async with waiting(elsewhere) as other:
        for status, location in ((http.HTTPStatus.NOT_FOUND, None), (http.HTTPStatus.FOUND, other + "1")):
            async with waiting(idle, process_request=answering(status, location)) as url:
                with pytest.raises(DialError) as error:
                    await dial(url + "1", "media", prefixes=[url, other])
            assert error.value.code == "refused"
            assert str(status.value) in str(error.value)
    assert reached == []


async def test_who_does_not_choose_our_subprotocol_is_left() -> None:
    async with waiting(idle, subprotocols=None) as url:
        with pytest.raises(DialError) as error:
            await dial(url + "1", "media", prefixes=[url])
        assert error.value.code == "no_subprotocol"
        transport = await dial(url + "1", prefixes=[url])
        await transport.close(NORMAL, "")


async def test_nobody_there_or_nobody_who_answers() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(DialError) as error:
            await dial(f"ws://127.0.0.1:{port}/1", "media", prefixes=[f"ws://127.0.0.1:{port}"])
        assert error.value.code == "unreachable"
        taken.listen()
        begun = time.monotonic()
        with pytest.raises(DialError) as error:
            await dial(f"ws://127.0.0.1:{port}/1", "media", prefixes=[f"ws://127.0.0.1:{port}"], open_s=0.1)
        assert error.value.code == "unreachable"
        assert time.monotonic() - begun < 1.0


async def test_who_speaks_no_http_is_unreachable() -> None:
    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com\r\n")
        writer.close()

    server = await asyncio.start_server(rude, "127.0.0.1", 0)
    async with server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        with pytest.raises(DialError) as error:
            await dial(url, "media", prefixes=[url])
    assert error.value.code == "unreachable"
