"""HTTP to the outside: only to addresses that may be called, limited in time and size, and signed where it must be.

OutboundError
└── NotNow  worth another try
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import random
import re
import socket
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

import httpx

from agent.clock import Clock

log = logging.getLogger(__name__)

T = TypeVar("T")

TIMESTAMP = "X-Callagent-Timestamp"
SIGNATURE = "X-Callagent-Signature"
DELIVERY = "X-Callagent-Delivery"
IDEMPOTENCY = "Idempotency-Key"

SHORTEST_KEY = 16
"""Bytes; a shorter key can be guessed."""
FIRST_BACKOFF_MS, LAST_BACKOFF_MS = 250.0, 4000.0

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class OutboundError(Exception):
    """There is no usable answer.

    `code` is stable: timeout, connection, refused_address, status_NNN, bad_response, too_large.
    """

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        super().__init__(detail)


class NotNow(OutboundError):
    """Worth another try, not before `after_ms` from now."""

    def __init__(self, code: str, detail: str, after_ms: float = 0.0) -> None:
        self.after_ms = after_ms
        super().__init__(code, detail)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, the media type in lower case without parameters, and the body."""

    status: int
    media_type: str
    body: bytes


class Outside:
    """Somebody outside who is called over HTTP; `who` names them in messages.

    Redirects are not followed and proxies of the environment not used. Unless `allow_private`, every address that the
    host name resolves to must be public, and the connection goes to the address that was checked.
    """

    def __init__(
        self,
        who: str,
        clock: Clock,
        most_bytes: int,
        allow_private: bool = False,
        remedy: str = "set allow_private to allow it",
    ) -> None:
        """Args:
        most_bytes: longest answer that is read.
        remedy: what a message says against a private address.
        """
        self._who = who
        self._clock = clock
        self._most_bytes = most_bytes
        self._allow_private = allow_private
        self._remedy = remedy
        self._tls = httpx.create_ssl_context(trust_env=False)

    async def send(
        self,
        method: str,
        url: SplitResult,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float,
        attempt: int = 1,
        accepted: Collection[int] = range(200, 300),
    ) -> Answer:
        """One try, which takes the `attempt`-th address of the host.

        Args:
            timeout_s: from resolving the name to the last byte.
            accepted: statuses that are answers.

        Raises:
            NotNow: time-out, lost connection, status 429 or 5xx that is not accepted.
            OutboundError: a private address, another status, or too long an answer.
        """
        try:
            async with asyncio.timeout(timeout_s):
                addresses = await self._resolve(url)
                return await self._ask(method, url, addresses[(attempt - 1) % len(addresses)], headers, body, accepted)
        except TimeoutError as error:
            raise NotNow("timeout", f"{self._who} gave no answer within {timeout_s:.1f} s") from error
        except httpx.TransportError as error:
            raise NotNow("connection", f"{self._who} cannot be reached: {type(error).__name__}: {error}") from error
        except httpx.HTTPError as error:
            raise OutboundError("bad_response", f"{self._who} does not speak HTTP: {type(error).__name__}") from error

    async def _ask(
        self,
        method: str,
        url: SplitResult,
        address: str,
        headers: Mapping[str, str],
        body: bytes | None,
        accepted: Collection[int],
    ) -> Answer:
        host = f"[{address}]" if ":" in address else address
        pinned = url._replace(netloc=f"{host}:{port_of(url)}").geturl()
        own = {"Host": url.netloc, "User-Agent": "callagent", "Accept-Encoding": "identity"}
        async with (
            httpx.AsyncClient(verify=self._tls, trust_env=False, follow_redirects=False, timeout=None) as client,
            client.stream(
                method,
                pinned,
                content=body,
                headers=own | dict(headers),
                extensions={"sni_hostname": url.hostname},
            ) as response,
        ):
            status = response.status_code
            if status not in accepted:
                if status == 429 or status >= 500:
                    after = retry_after_ms(response.headers.get("Retry-After"), self._clock.wall())
                    raise NotNow(f"status_{status}", f"{self._who} said {status}", after)
                raise OutboundError(
                    f"status_{status}",
                    f"{self._who} said {status}; check its URL and key, redirects are not followed",
                )
            answer = b""
            async for piece in response.aiter_raw():
                answer += piece
                if len(answer) > self._most_bytes:
                    raise OutboundError("bad_response", f"{self._who} answered more than {self._most_bytes} bytes")
            media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            return Answer(status, media_type, answer)

    async def _resolve(self, url: SplitResult) -> list[str]:
        """The addresses of the host, all of them allowed."""
        host = url.hostname or ""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port_of(url), type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise NotNow("connection", f"{self._who} host {host!r} cannot be resolved: {error}") from error
        addresses = [str(entry[4][0]) for entry in found]
        for address in addresses:
            if not self._allow_private and not is_public(address):
                raise OutboundError(
                    "refused_address", f"{self._who} host {host!r} is at the private address {address}; {self._remedy}"
                )
        return addresses


class SignedPost:
    """Posts JSON, signed with a shared key, to one URL; tries again as `persist` does, within a budget."""

    def __init__(
        self,
        who: str,
        url: str,
        key: str,
        clock: Clock,
        most_bytes: int,
        timeout_s: float = 4.0,
        budget_s: float = 10.0,
        allow_private: bool = False,
        remedy: str = "set allow_private to allow it",
        rng: random.Random | None = None,
    ) -> None:
        """Args:
            key: shared secret, at least `SHORTEST_KEY` bytes.
            timeout_s: for one try, from connecting to the last byte.
            budget_s: for all tries and the waits between them.

        Raises:
            ValueError: the URL or the key cannot be used.
        """
        self._url = checked_url(who, url, allow_private)
        if len(key.encode()) < SHORTEST_KEY:
            raise ValueError(f"{who} key has {len(key.encode())} bytes; give at least {SHORTEST_KEY} random ones")
        self._key = key.encode()
        self._clock = clock
        self._timeout_s = timeout_s
        self._budget_ms = budget_s * 1000.0
        self._rng = rng or random.Random()
        self._outside = Outside(who, clock, most_bytes, allow_private, remedy)

    async def post(self, body: bytes, idempotency_key: str) -> bytes:
        """Send `body`, and give the answer's.

        Raises:
            OutboundError: no answer within the budget.
        """
        deadline = self._clock.now_ms() + self._budget_ms

        async def one(attempt: int) -> Answer:
            left_s = max((deadline - self._clock.now_ms()) / 1000.0, 0.001)
            timestamp = str(int(self._clock.wall().timestamp()))
            headers = {
                "Content-Type": "application/json",
                TIMESTAMP: timestamp,
                SIGNATURE: sign(self._key, timestamp, body),
                DELIVERY: str(uuid.uuid4()),
                IDEMPOTENCY: idempotency_key,
            }
            return await self._outside.send("POST", self._url, headers, body, min(self._timeout_s, left_s), attempt)

        return (await persist(one, self._clock, self._rng, deadline, idempotency_key)).body


async def persist(
    run: Callable[[int], Awaitable[T]],
    clock: Clock,
    rng: random.Random,
    deadline_ms: float,
    label: str,
    most_tries: int | None = None,
) -> T:
    """Run `run(attempt)` until it does not raise `NotNow`.

    Waits 0.25 s, 0.5 s ... 4 s between tries, each shortened at random by up to half, or as long as the failure says,
    while the whole stays before `deadline_ms`.

    Raises:
        OutboundError: the last failure, when tries or time are used up.
    """
    backoff = FIRST_BACKOFF_MS
    attempt = 0
    while True:
        attempt += 1
        try:
            return await run(attempt)
        except NotNow as error:
            wait = max(backoff * rng.uniform(0.5, 1.0), error.after_ms)
            if attempt == most_tries or clock.now_ms() + wait >= deadline_ms:
                raise OutboundError(error.code, f"{error}; gave up after {attempt} tries") from error
            log.warning("%s: %s; trying again in %.0f ms", label, error, wait)
            await clock.sleep_until(clock.now_ms() + wait)
            backoff = min(backoff * 2, LAST_BACKOFF_MS)


def sign(key: bytes, timestamp: str, body: bytes) -> str:
    """The value of `X-Callagent-Signature`: `v1=` and the hex HMAC-SHA256 (RFC 2104) of "timestamp.body"."""
    return "v1=" + hmac.new(key, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet, also when it wraps an IPv4 address (RFC 4291, 3056, 6052)."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo or (None, None))[1]
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None and not is_public(str(inner)):
            return False
        if ip.ipv4_mapped is not None:
            return True
    return ip.is_global and not ip.is_multicast


def checked_url(who: str, url: str, allow_private: bool, setting: str = "allow_private") -> SplitResult:
    """`url` in parts.

    Raises:
        ValueError: it is not https, has no host, or holds a user, a password or a fragment.
    """
    try:
        parts = urlsplit(url)
        port_fits = parts.port != 0
    except ValueError as error:
        raise ValueError(f"{who} URL cannot be read: {error}") from error
    if parts.scheme not in ("https", "http") or not parts.hostname or not port_fits or parts.fragment:
        raise ValueError(f"{who} URL must look like https://host/path")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{who} URL must not hold a user or password; give them in a header or sign the request")
    if parts.scheme == "http" and not allow_private:
        raise ValueError(f"{who} URL must use https; http is for private addresses, with {setting}")
    return parts


def port_of(url: SplitResult) -> int:
    """The port that is connected to."""
    return url.port or (443 if url.scheme == "https" else 80)


def retry_after_ms(value: str | None, now: datetime) -> float:
    """`Retry-After` in ms from now (RFC 9110 section 10.2.3); 0 where it is missing or nonsense."""
    if value is None:
        return 0.0
    if re.fullmatch(r"\d{1,9}", value.strip()):
        return int(value) * 1000.0
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds() * 1000.0)
