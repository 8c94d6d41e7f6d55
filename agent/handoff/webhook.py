"""Asks somebody outside, by a signed POST, to take a call; docs/handoff.md describes it for the receiver.

WebhookError
└── SignatureError  a request is not signed as it should be (for receivers)
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
import logging
import random
import re
import socket
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Literal
from urllib.parse import SplitResult, urlsplit

import httpx

from agent.clock import Clock
from agent.handoff.contracts import HandoffRequest

log = logging.getLogger(__name__)

TIMESTAMP = "X-Callagent-Timestamp"
SIGNATURE = "X-Callagent-Signature"
DELIVERY = "X-Callagent-Delivery"
IDEMPOTENCY = "Idempotency-Key"

TOLERANCE_S = 300
"""Age at which a receiver refuses a signature, so that a recorded request cannot be sent again later."""
SHORTEST_KEY = 16
"""Bytes; a shorter key can be guessed."""
FIRST_BACKOFF_MS, LAST_BACKOFF_MS = 250.0, 4000.0
MAX_REQUEST = 256 * 1024
"""Bytes; the transcript of a longer call loses its oldest rows."""
MAX_RESPONSE = 16 * 1024
"""Bytes; an answer has a few hundred."""
MAX_DETAIL = 500
"""Characters kept of a receiver's `detail`."""

_TRANSFER = re.compile(r"\+[1-9]\d{3,14}|sips?:[^\s<>\"]{1,250}")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Outcome = Literal["accepted", "declined", "unavailable"]
_OUTCOMES: tuple[Outcome, ...] = ("accepted", "declined", "unavailable")


class WebhookError(Exception):
    """The webhook gave no usable answer.

    `code` is stable: timeout, connection, refused_address, status_NNN, bad_response, too_large.
    """

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        super().__init__(detail)


class SignatureError(WebhookError):
    """A request is unsigned, signed with another key, changed, or too old."""


class _Retryable(WebhookError):
    """Worth another try, not before `after_ms` from now."""

    def __init__(self, code: str, detail: str, after_ms: float = 0.0) -> None:
        self.after_ms = after_ms
        super().__init__(code, detail)


@dataclass(frozen=True, slots=True)
class WebhookAnswer:
    """What the receiver said; `transfer_to` is an E.164 number or a SIP address."""

    outcome: Outcome
    transfer_to: str | None = None
    detail: str = ""


class Webhook:
    """One receiver of handoffs.

    Tries again after time-outs, lost connections, 5xx and 429, waiting 0.25 s, 0.5 s ... 4 s (each shortened at random
    by up to half) or as `Retry-After` says, while the whole stays within its budget. Other answers are final.
    Redirects are not followed, proxies of the environment not used, and every address the host name resolves to must
    be public; the connection goes to the address that was checked.
    """

    def __init__(
        self,
        url: str,
        key: str,
        clock: Clock,
        timeout_s: float = 4.0,
        budget_s: float = 10.0,
        allow_private: bool = False,
        rng: random.Random | None = None,
    ) -> None:
        """Args:
            key: shared secret, at least `SHORTEST_KEY` bytes.
            timeout_s: for one try, from connecting to the last byte.
            budget_s: for all tries and the waits between them.
            allow_private: private and loopback addresses, and plain http to them, are allowed.

        Raises:
            ValueError: the URL or the key cannot be used.
        """
        self._url = _checked_url(url, allow_private)
        if len(key.encode()) < SHORTEST_KEY:
            raise ValueError(f"webhook key has {len(key.encode())} bytes; give at least {SHORTEST_KEY} random ones")
        self._key = key.encode()
        self._clock = clock
        self._timeout_s = timeout_s
        self._budget_ms = budget_s * 1000.0
        self._allow_private = allow_private
        self._rng = rng or random.Random()
        self._tls = httpx.create_ssl_context(trust_env=False)

    async def ask(self, request: HandoffRequest) -> WebhookAnswer:
        """Ask to take the call.

        Raises:
            WebhookError: no usable answer within the budget.
        """
        body = encode_request(request)
        deadline = self._clock.now_ms() + self._budget_ms
        backoff = FIRST_BACKOFF_MS
        attempt = 0
        while True:
            attempt += 1
            try:
                left_s = (deadline - self._clock.now_ms()) / 1000.0
                return await self._try(body, request.handoff_id, attempt, min(self._timeout_s, max(left_s, 0.001)))
            except _Retryable as error:
                wait = max(backoff * self._rng.uniform(0.5, 1.0), error.after_ms)
                if self._clock.now_ms() + wait >= deadline:
                    raise WebhookError(error.code, f"{error}; gave up after {attempt} tries") from error
                log.warning("handoff %s: %s; trying again in %.0f ms", request.handoff_id, error, wait)
                await self._clock.sleep_until(self._clock.now_ms() + wait)
                backoff = min(backoff * 2, LAST_BACKOFF_MS)

    async def _try(self, body: bytes, handoff_id: str, attempt: int, timeout_s: float) -> WebhookAnswer:
        timestamp = str(int(self._clock.wall().timestamp()))
        headers = {
            "Host": self._url.netloc,
            "Content-Type": "application/json",
            "User-Agent": "callagent",
            "Accept-Encoding": "identity",
            TIMESTAMP: timestamp,
            SIGNATURE: sign(self._key, timestamp, body),
            DELIVERY: str(uuid.uuid4()),
            IDEMPOTENCY: handoff_id,
        }
        try:
            async with asyncio.timeout(timeout_s):
                addresses = await self._resolve()
                address = addresses[(attempt - 1) % len(addresses)]
                return await self._post(address, headers, body)
        except TimeoutError as error:
            raise _Retryable("timeout", f"webhook gave no answer within {timeout_s:.1f} s") from error
        except httpx.TransportError as error:
            raise _Retryable("connection", f"webhook cannot be reached: {type(error).__name__}: {error}") from error

    async def _post(self, address: str, headers: Mapping[str, str], body: bytes) -> WebhookAnswer:
        host = f"[{address}]" if ":" in address else address
        pinned = self._url._replace(netloc=f"{host}:{_port(self._url)}").geturl()
        async with (
            httpx.AsyncClient(verify=self._tls, trust_env=False, follow_redirects=False, timeout=None) as client,
            client.stream(
                "POST",
                pinned,
                content=body,
                headers=dict(headers),
                extensions={"sni_hostname": self._url.hostname},
            ) as response,
        ):
            if response.status_code == 429 or response.status_code >= 500:
                after = _retry_after_ms(response.headers.get("Retry-After"), self._clock.wall())
                raise _Retryable(f"status_{response.status_code}", f"webhook said {response.status_code}", after)
            if not 200 <= response.status_code < 300:
                raise WebhookError(
                    f"status_{response.status_code}",
                    f"webhook said {response.status_code}; check its URL and key, redirects are not followed",
                )
            answer = b""
            async for piece in response.aiter_raw():
                answer += piece
                if len(answer) > MAX_RESPONSE:
                    raise WebhookError("bad_response", f"webhook answered more than {MAX_RESPONSE} bytes")
            return decode_answer(answer)

    async def _resolve(self) -> list[str]:
        """The addresses of the host, all of them allowed."""
        host = self._url.hostname or ""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, _port(self._url), type=socket.SOCK_STREAM)
        except OSError as error:
            raise _Retryable("connection", f"webhook host {host!r} cannot be resolved: {error}") from error
        addresses = [str(entry[4][0]) for entry in found]
        for address in addresses:
            if not self._allow_private and not is_public(address):
                raise WebhookError(
                    "refused_address",
                    f"webhook host {host!r} is at the private address {address}; set handoff.allow_private to allow it",
                )
        return addresses


def sign(key: bytes, timestamp: str, body: bytes) -> str:
    """The value of `X-Callagent-Signature`: `v1=` and the hex HMAC-SHA256 (RFC 2104) of "timestamp.body"."""
    return "v1=" + hmac.new(key, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def verify_signature(key: bytes, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """For receivers: check that a request was signed with `key`, unchanged, within `TOLERANCE_S` of `now`.

    Raises:
        SignatureError: it was not; the message says why.
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    timestamp, signature = lowered.get(TIMESTAMP.lower(), ""), lowered.get(SIGNATURE.lower(), "")
    if not re.fullmatch(r"\d{1,12}", timestamp):
        raise SignatureError("signature", f"{TIMESTAMP} is {timestamp!r}; it must be Unix seconds")
    if not hmac.compare_digest(sign(key, timestamp, body).encode(), signature.encode()):
        raise SignatureError("signature", f"{SIGNATURE} does not match the body; check the key, and sign the raw bytes")
    if abs(now.timestamp() - int(timestamp)) > TOLERANCE_S:
        raise SignatureError("signature", f"{TIMESTAMP} is more than {TOLERANCE_S} s off; check the clocks")


def encode_request(request: HandoffRequest) -> bytes:
    """The body of the POST: UTF-8 JSON of at most `MAX_REQUEST` bytes, oldest transcript rows left out first.

    Raises:
        WebhookError: even without a transcript it is too large.
    """
    handoff = asdict(request)
    rows = list(handoff["transcript"])
    while True:
        body = json.dumps(
            {"type": "handoff.requested", "version": 1, "handoff": handoff | {"transcript": rows}},
            ensure_ascii=True,
            separators=(",", ":"),
        ).encode()
        if len(body) <= MAX_REQUEST:
            return body
        if not rows:
            raise WebhookError("too_large", f"the handoff takes {len(body)} bytes without its transcript")
        rows = rows[(len(rows) + 1) // 2 :]


def decode_answer(body: bytes) -> WebhookAnswer:
    """Read a receiver's answer; nothing at all means accepted.

    Raises:
        WebhookError: `bad_response`, naming the field.
    """
    if not body.strip():
        return WebhookAnswer("accepted")
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WebhookError("bad_response", "webhook answered something that is not JSON") from error
    if not isinstance(answer, dict):
        raise WebhookError("bad_response", f"webhook answered a {type(answer).__name__}; it must be an object")
    outcome, transfer_to, detail = (answer.get(name) for name in ("outcome", "transfer_to", "detail"))
    if outcome not in _OUTCOMES:
        raise WebhookError(
            "bad_response", f"outcome is {str(outcome)[:40]!r}; it must be one of {', '.join(_OUTCOMES)}"
        )
    if transfer_to is not None and not (isinstance(transfer_to, str) and _TRANSFER.fullmatch(transfer_to)):
        raise WebhookError("bad_response", "transfer_to must be a number such as +12125550123 or a SIP address")
    if detail is not None and not isinstance(detail, str):
        raise WebhookError("bad_response", f"detail is a {type(detail).__name__}; it must be a text")
    return WebhookAnswer(outcome, transfer_to, (detail or "")[:MAX_DETAIL])


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


def _checked_url(url: str, allow_private: bool) -> SplitResult:
    try:
        parts = urlsplit(url)
        port_fits = parts.port != 0
    except ValueError as error:
        raise ValueError(f"webhook URL cannot be read: {error}") from error
    if parts.scheme not in ("https", "http") or not parts.hostname or not port_fits or parts.fragment:
        raise ValueError("webhook URL must look like https://host/path")
    if parts.username is not None or parts.password is not None:
        raise ValueError("webhook URL must not hold a user or password; the signature authenticates it")
    if parts.scheme == "http" and not allow_private:
        raise ValueError("webhook URL must use https; http is for private addresses, with handoff.allow_private")
    return parts


def _port(url: SplitResult) -> int:
    return url.port or (443 if url.scheme == "https" else 80)


def _retry_after_ms(value: str | None, now: datetime) -> float:
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
