"""Requests that are no upgrade we take: each is answered or cut, none becomes a call, none fills the log."""

import asyncio
import contextlib
import logging
import ssl

import pytest
from live import healthy

UPGRADE = {
    "Host": "127.0.0.1",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def asked(
    target: str = "/gateways/plain",
    method: str = "GET",
    version: str = "1.1",
    more: str = "",
    without: str = "",
    **changed: str,
) -> bytes:
    """An upgrade request."""
    fields = UPGRADE | {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [f"{name}: {value}" for name, value in fields.items() if name != without]
    return (f"{method} {target} HTTP/{version}\r\n" + "\r\n".join(lines) + "\r\n" + more + "\r\n").encode("latin-1")


def plain(more: str = "", target: str = "/live", method: str = "GET", body: str = "") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}\r\n{body}".encode("latin-1")


@pytest.fixture(autouse=True)
def _logs(caplog):
    """Nothing above info, and no stack trace."""
    caplog.set_level(logging.INFO)
    yield
    assert [record for record in caplog.records if record.levelno > logging.INFO or record.exc_info] == []


async def ask(up, request: bytes) -> tuple[int, bytes]:
    """The status (0: cut without one) and the whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
    answer = b""
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(request)
            await writer.drain()
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                while b"\r\n\r\n" not in answer and (piece := await reader.read(65_536)):
                    answer += piece
    finally:
        writer.transport.abort()
    return (int(answer[9:12]) if answer else 0), answer


PATHS = [
    "/gateways/../gateways/plain",
    "/gateways/./plain",
    "/gateways/x/../plain",
    "/gateways/%2e%2e/plain",
    "/gateways/%2E/plain",
    "/gateways/%252e%252e/plain",
    "/gateways%2fplain",
    "/gateways%2Fplain",
    "/gateways%5cplain",
    "/gateways\\plain",
    "/gateways/plain%00",
    "/gateways/plain%2500",
    "/gateways/plain%0d%0aX:%20y",
    "/gateways/plain%7f",
    "/gateways/plain#part",
    "/gateways/%ff%fe",
    "/gateways/plain/%c0%ae%c0%ae/",
]
BAD = {
    **{f"path {path}": (asked(path), {400}) for path in PATHS},
    "a path beside": (asked("/gateways//plain"), {403, 404}),
    "a path in another case": (asked("/Gateways/plain"), {403, 404}),
    "nowhere": (asked("/gateways/nothing"), {403, 404}),
    "another host's path": (asked("http://127.0.0.1/gateways/plain"), {403, 404}),
    "no path": (asked("*"), {403, 404}),
    "no key": (asked(without="Sec-WebSocket-Key"), {400}),
    "an empty key": (asked(Sec_WebSocket_Key=""), {400}),
    "a short key": (asked(Sec_WebSocket_Key="c2hvcnQ="), {400}),
    "a long key": (asked(Sec_WebSocket_Key="dGhlIHNhbXBsZSBub25jZSBsb25n"), {400}),
    "a key that is not base64": (asked(Sec_WebSocket_Key="!" * 24), {400}),
    "two keys": (asked(more="Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), {400}),
    "two versions": (asked(more="Sec-WebSocket-Version: 13\r\n"), {400}),
    "two hosts": (asked(more="Host: 127.0.0.1\r\n"), {400}),
    "two proofs": (asked(more="Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"), {400}),
    "two origins": (asked(more="Origin: http://a\r\nOrigin: http://b\r\n"), {400}),
    "two lengths": (asked(more="Content-Length: 0\r\nContent-Length: 0\r\n"), {400}),
    "two lengths that differ": (asked(more="Content-Length: 0\r\nContent-Length: 5\r\n"), {400}),
    "two upgrades": (asked(more="Upgrade: h2c\r\n"), {400}),
    "no host": (asked(without="Host"), {400}),
    "a host that is none": (asked(Host="a/b@c"), {400}),
    "a host with a space": (asked(Host="a b"), {400}),
    "POST": (asked(method="POST"), {405}),
    "HEAD": (asked(method="HEAD"), {405}),
    "HTTP/1.0": (asked(version="1.0"), {505}),
    "HTTP/2.0": (asked(version="2.0"), {505}),
    "with a body": (asked(more="Content-Length: 5\r\n") + b"hello", {400}),
    "with a chunked body": (asked(more="Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n", {400}),
    "a length and chunks": (
        plain("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "/api/tokens", "POST", "0\r\n\r\nGET"),
        {400},
    ),
    "chunks and a length": (
        plain("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "/api/tokens", "POST", "0\r\n\r\nGET"),
        {400},
    ),
    "chunks twice": (
        plain("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "/api/tokens", "POST", "0\r\n\r\n"),
        {400, 501},
    ),
    "chunks in disguise": (plain("Transfer-Encoding: xchunked\r\n", "/api/tokens", "POST", "0\r\n\r\n"), {400, 501}),
    "chunks after another coding": (plain("Transfer-Encoding: gzip, chunked\r\n", "/x", "POST"), {400, 501}),
    "a length with a sign": (plain("Content-Length: +5\r\n", "/api/tokens", "POST", "hello"), {400}),
    "a list of lengths": (plain("Content-Length: 5, 6\r\n", "/api/tokens", "POST", "hello"), {400}),
    "a space before the colon": (plain("Content-Length : 5\r\n", "/api/tokens", "POST", "hello"), {400}),
    "a folded header": (asked(more="X-Folded: a\r\n b\r\n"), {400}),
    "a control character": (asked(more="X-Odd: a\x01b\r\n"), {400}),
    "a NUL": (asked(more="X-Odd: a\x00b\r\n"), {400}),
    "a bare CR": (asked(more="X-Odd: a\rTransfer-Encoding: chunked\r\n"), {400}),
    "a header of 9 kB": (asked(more=f"X-Long: {'x' * 9000}\r\n"), {431}),
    "headers of 17 kB": (asked(more=f"X-Long: {'x' * 5000}\r\n" * 4), {431}),
    "headers of 1 MB": (asked(more=f"X-Long: {'x' * 5000}\r\n" * 200), {431, 0}),
    "many headers": (asked(more="".join(f"X-{number}: y\r\n" for number in range(120))), {431}),
    "a request line of 9 kB": (asked(f"/gateways/plain?{'x' * 9000}"), {414}),
    "a request line of 1 MB": (asked(f"/gateways/plain?{'x' * 1_000_000}"), {414, 431, 0}),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", {400}),
    "zeros": (bytes(100) + b"\r\n\r\n", {400}),
    "HTTP/2 at once": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {505}),
    "a tunnel": (plain(target="127.0.0.1:22", method="CONNECT"), {405}),
}


async def test_what_is_no_upgrade_we_take_is_refused_and_is_no_call(serve):
    up = await serve()
    async with healthy(up) as other:
        answers = dict(zip(BAD, await asyncio.gather(*(ask(up, data) for data, _ in BAD.values())), strict=True))
        for name, (_, statuses) in BAD.items():
            assert (name, answers[name][0]) in {(name, status) for status in statuses}
        assert len(up.calls.sessions) == 1
        await other.answered("still here")
    assert await up.refused("bad_path") == len(PATHS)


async def test_another_version_is_told_ours(serve):
    up = await serve()
    for version in ("12", "8", "14", "13x", ""):
        status, answer = await ask(up, asked(Sec_WebSocket_Version=version))
        assert status == 426
        assert b"\r\nsec-websocket-version: 13\r\n" in answer.lower()
    assert (await ask(up, asked(without="Sec-WebSocket-Version")))[0] == 426
    assert await up.refused("websocket_version") == 6


async def test_a_method_that_is_not_get_is_told_so(serve):
    up = await serve()
    assert b"\r\nAllow: GET\r\n" in (await ask(up, asked(method="POST")))[1]


async def test_what_is_right_is_taken_however_it_is_written(serve):
    up = await serve()
    many = "".join(f"X-{number}: y\r\n" for number in range(60))
    for request in (
        asked(),
        asked(Upgrade="WebSocket", Connection="keep-alive, upgrade"),
        asked(more=many),
        asked(more=f"X-Long: {'x' * 7000}\r\n"),
        asked("/gateways/plain?a=%2e%2e%2f%00&b=.."),
        asked(more="Content-Length: 0\r\n"),
        asked(more="X-Name: caf\xe9\r\n"),
    ):
        assert (await ask(up, request))[0] == 101
    for request in (
        plain(),
        plain("Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"),
        b"GET /live HTTP/1.0\r\n\r\n",
    ):
        assert (await ask(up, request))[0] == 200


async def test_a_request_that_comes_byte_by_byte_is_read(serve):
    up = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
    for byte in asked():
        writer.write(bytes((byte,)))
        await asyncio.sleep(0)
    assert (await reader.readline()).startswith(b"HTTP/1.1 101 ")
    writer.transport.abort()


async def test_several_requests_on_one_connection_each_get_their_answer(serve):
    up = await serve()
    reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
    writer.write(plain() + plain(target="/nothing") + plain(target="/gateways/%2e%2e"))
    async with asyncio.timeout(5):
        answers = await reader.read()
    statuses = [piece[:3] for piece in answers.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"200", b"404", b"400"]
    writer.close()


async def test_a_body_that_breaks_off_its_coding_leaves_no_trace(serve):
    up = await serve()
    for path in ("/api/tokens", "/nothing", "/live"):
        request = plain("Transfer-Encoding: chunked\r\n", path, "POST", "5\r\nhello\r\nzz\r\n")
        assert (await ask(up, request))[0] in (0, 200, 400, 404, 405)


async def test_knocking_at_the_port_is_no_call_and_no_warning(serve):
    up = await serve(server={"handshake_s": 0.3})
    for _ in range(5):
        _, writer = await asyncio.open_connection("127.0.0.1", up.port)
        writer.transport.abort()
    context = ssl.create_default_context()
    with contextlib.suppress(ssl.SSLError, ConnectionError):
        await asyncio.open_connection("127.0.0.1", up.port, ssl=context, server_hostname="localhost")
    reader, writer = await asyncio.open_connection("127.0.0.1", up.port)
    assert await reader.read() == b""
    writer.close()
    assert up.calls.sessions == {}
    assert await up.no_record()
