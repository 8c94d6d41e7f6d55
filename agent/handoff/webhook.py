"""Asks somebody outside, by a signed POST, to take a call; docs/handoff.md describes it for the receiver.

WebhookError
└── SignatureError  a request is not signed as it should be (for receivers)
"""

from __future__ import annotations

import hmac
import json
import random
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Literal

from agent.clock import Clock
from agent.handoff.contracts import HandoffRequest
from agent.outbound import SIGNATURE, TIMESTAMP, OutboundError, SignedPost, sign

TOLERANCE_S = 300
"""Age at which a receiver refuses a signature, so that a recorded request cannot be sent again later."""
MAX_REQUEST = 256 * 1024
"""Bytes; the transcript of a longer call loses its oldest rows."""
MAX_RESPONSE = 16 * 1024
"""Bytes; an answer has a few hundred."""
MAX_DETAIL = 500
"""Characters kept of a receiver's `detail`."""

# Each gateway checks its own targets: numbers, SIP addresses, queues, extensions. None has blanks or controls.
_TRANSFER = re.compile(r"[^\s<>\"'\x00-\x1f\x7f]{1,250}")

Outcome = Literal["accepted", "declined", "unavailable"]
_OUTCOMES: tuple[Outcome, ...] = ("accepted", "declined", "unavailable")


class WebhookError(OutboundError):
    """The webhook gave no usable answer."""


class SignatureError(WebhookError):
    """A request is unsigned, signed with another key, changed, or too old."""


@dataclass(frozen=True, slots=True)
class WebhookAnswer:
    """What the receiver said; `transfer_to` is an E.164 number or a SIP address."""

    outcome: Outcome
    transfer_to: str | None = None
    detail: str = ""


class Webhook:
    """One receiver of handoffs.

    Tries again after time-outs, lost connections, 5xx and 429, waiting 0.25 s, 0.5 s ... 4 s (each shortened at random
    by up to half) or as `Retry-After` says, while the whole stays within its budget. Other answers are final. What may
    be called is said by `agent.outbound.Outside`.
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
            key: shared secret, at least `agent.outbound.SHORTEST_KEY` bytes.
            timeout_s: for one try, from connecting to the last byte.
            budget_s: for all tries and the waits between them.
            allow_private: private and loopback addresses, and plain http to them, are allowed.

        Raises:
            ValueError: the URL or the key cannot be used.
        """
        remedy = "set handoff.allow_private to allow it"
        self._post = SignedPost(
            "webhook", url, key, clock, MAX_RESPONSE, timeout_s, budget_s, allow_private, remedy, rng
        )

    async def ask(self, request: HandoffRequest) -> WebhookAnswer:
        """Ask to take the call.

        Raises:
            WebhookError: no usable answer within the budget.
        """
        try:
            answer = await self._post.post(encode_request(request), request.handoff_id)
        except OutboundError as error:
            raise WebhookError(error.code, str(error)) from error
        return decode_answer(answer)


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
        raise WebhookError(
            "bad_response",
            "transfer_to must be what the gateway takes, without blanks: +12125550123, a SIP address, a queue",
        )
    if detail is not None and not isinstance(detail, str):
        raise WebhookError("bad_response", f"detail is a {type(detail).__name__}; it must be a text")
    return WebhookAnswer(outcome, transfer_to, (detail or "")[:MAX_DETAIL])
