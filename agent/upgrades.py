"""What a request over HTTP may look like before anything of ours sees it, RFC 9110, 9112 and 6455 section 4.2.1."""

from __future__ import annotations

import base64
import binascii
import re
from collections import Counter
from http import HTTPStatus
from urllib.parse import unquote_to_bytes

import h11

MAX_HEAD = 16_384
"""Bytes of a request's line and headers."""
MAX_LINE = 8_000
"""Bytes of the request line or one header; the websocket library reads no longer ones."""
MAX_HEADERS = 100
MAX_QUERY, MAX_ESCAPES, MAX_PARAMETERS = 4096, 600, 100
"""Bytes, percent signs and parameters of a query; reading more would cost more than refusing may."""
VERSION = b"13"
"""Of the websocket protocol."""

_ONCE = frozenset(
    (
        b"host",
        b"authorization",
        b"content-length",
        b"content-type",
        b"transfer-encoding",
        b"upgrade",
        b"origin",
        b"sec-websocket-key",
        b"sec-websocket-version",
    )
)
# What would mean another path to a proxy than to us: separators and control characters in disguise.
_DISGUISED = re.compile(rb"[\\#]|%(?:2f|5c|[01][0-9a-f]|7f)", re.IGNORECASE)
_UNPRINTED = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_HOST = re.compile(rb"(?:[a-z0-9._~!$&'()*+,;=%-]*|\[[0-9a-f:.]+\])(?::[0-9]{0,5})?", re.IGNORECASE)


class BadRequest(Exception):
    """A request is refused: status, the refusal's code for metrics, headers that say what would be taken."""

    def __init__(self, status: HTTPStatus, code: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.headers = headers

    def response(self) -> bytes:
        """The answer; the connection is closed after it."""
        body = f"{self.status} {self.status.phrase}: {self.code}\n"
        lines = [f"HTTP/1.1 {self.status.value} {self.status.phrase}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines += ["Content-Type: text/plain; charset=utf-8", f"Content-Length: {len(body)}", "", body]
        return "\r\n".join(lines).encode("ascii")


class StrictConnection(h11.Connection):
    """h11, with `refused` set besides the error raised where a request is not taken."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, MAX_HEAD)
        self.refused: BadRequest | None = None

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        waiting = self.trailing_data[0] if self.their_state is h11.IDLE else b""
        try:
            event = super().next_event()
            if isinstance(event, h11.Request):
                check(event, waiting[: len(waiting) - len(self.trailing_data[0])])
        except h11.RemoteProtocolError as error:
            self.refused = self._blamed(error)
            raise
        except BadRequest as error:
            self.refused = error
            raise h11.RemoteProtocolError(error.code, error.status.value) from error
        return event

    def _blamed(self, error: h11.RemoteProtocolError) -> BadRequest:
        if error.error_status_hint == HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE:
            if b"\n" not in self.trailing_data[0]:
                return BadRequest(HTTPStatus.REQUEST_URI_TOO_LONG, "request_line_too_long")
            return BadRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large")
        return BadRequest(HTTPStatus.BAD_REQUEST, "bad_request")


def check(request: h11.Request, head: bytes) -> None:
    """Whether a request is one we take; `head` is its line and headers as they came.

    Raises:
        BadRequest: it is not.
    """
    first, *lines = head.strip(b"\r\n").split(b"\n")
    if len(first) > MAX_LINE:
        raise BadRequest(HTTPStatus.REQUEST_URI_TOO_LONG, "request_line_too_long")
    if len(lines) > MAX_HEADERS:
        raise BadRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too_many_headers")
    if len(head) > MAX_HEAD or max(map(len, lines), default=0) > MAX_LINE:
        raise BadRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large")
    if any(line[:1] in (b" ", b"\t") or _UNPRINTED.search(line.removesuffix(b"\r")) for line in lines):
        raise BadRequest(HTTPStatus.BAD_REQUEST, "bad_header")
    # Counted as they came: h11 makes one of equal lengths.
    times = Counter(line.partition(b":")[0].lower() for line in lines)
    if any(times[name] > 1 for name in _ONCE):
        raise BadRequest(HTTPStatus.BAD_REQUEST, "header_twice")
    headers = [(name.lower(), value) for name, value in request.headers]
    given = dict(headers)
    if b"content-length" in given and b"transfer-encoding" in given:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "two_lengths")
    if not _HOST.fullmatch(given.get(b"host", b"")):
        raise BadRequest(HTTPStatus.BAD_REQUEST, "bad_host")
    if request.http_version not in (b"1.0", b"1.1"):
        raise BadRequest(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "http_version")
    if request.method == b"CONNECT":
        raise BadRequest(HTTPStatus.METHOD_NOT_ALLOWED, "no_tunnel", (("Allow", "GET, POST"),))
    _check_path(request.target)
    if _upgrades(headers):
        _check_upgrade(request, given)


def _check_path(target: bytes) -> None:
    path, _, query = target.partition(b"?")
    if len(query) > MAX_QUERY or query.count(b"%") > MAX_ESCAPES:
        raise BadRequest(HTTPStatus.REQUEST_URI_TOO_LONG, "query_too_long")
    if query.count(b"&") >= MAX_PARAMETERS:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "too_many_parameters")
    segments = unquote_to_bytes(path).split(b"/")
    # Decoded once more: %252e is a dot to whoever decodes twice on the way here.
    twice = unquote_to_bytes(unquote_to_bytes(path))
    if _DISGUISED.search(path) or b"#" in target or any(segment in (b".", b"..") for segment in segments):
        raise BadRequest(HTTPStatus.BAD_REQUEST, "bad_path")
    if any(segment in (b".", b"..") for segment in re.split(rb"[/\\]", twice)) or b"\0" in twice:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "bad_path")
    try:
        unquote_to_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "bad_path") from error


def _upgrades(headers: list[tuple[bytes, bytes]]) -> bool:
    named = any(name == b"upgrade" and value.strip().lower() == b"websocket" for name, value in headers)
    return named and any(
        token.strip().lower() == b"upgrade"
        for name, value in headers
        if name == b"connection"
        for token in value.split(b",")
    )


def _check_upgrade(request: h11.Request, given: dict[bytes, bytes]) -> None:
    if request.method != b"GET":
        raise BadRequest(HTTPStatus.METHOD_NOT_ALLOWED, "not_get", (("Allow", "GET"),))
    if request.http_version != b"1.1":
        raise BadRequest(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "http_version")
    if given.get(b"content-length", b"0").strip(b"0") or b"transfer-encoding" in given:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "upgrade_with_body")
    if given.get(b"sec-websocket-version") != VERSION:
        wanted = (("Sec-WebSocket-Version", VERSION.decode()), ("Upgrade", "websocket"))
        raise BadRequest(HTTPStatus.UPGRADE_REQUIRED, "websocket_version", wanted)
    try:
        key = base64.b64decode(given.get(b"sec-websocket-key", b""), validate=True)
    except binascii.Error as error:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "websocket_key") from error
    if len(key) != 16:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "websocket_key")
