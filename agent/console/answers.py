"""What a person is told when something cannot be done: one code and one sentence, over HTTP and on sockets alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import HTTPException
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from agent.call.control import Gone, SeatClosed, Taken
from agent.console.guard import Refused
from agent.console.passwords import Crowded
from agent.handoff.people import QueueError
from agent.records.queries import CallNotFound

REFUSALS: tuple[type[Exception], ...] = (
    Refused,
    ValueError,
    PermissionError,
    Gone,
    SeatClosed,
    Taken,
    QueueError,
    CallNotFound,
    Crowded,
)
"""What calls, queue and records raise where something is not possible; everything else is a fault of ours."""

CODES: Mapping[int, str] = {
    400: "bad_request",
    401: "signed_out",
    403: "forbidden",
    404: "not_found",
    405: "not_allowed",
    409: "conflict",
    413: "too_large",
    415: "not_json",
    422: "invalid",
    429: "too_often",
    503: "not_ready",
}
MOST_SHOWN = 5


def refused(error: Exception) -> Refused:
    """`error`, one of `REFUSALS`, as an answer: 422 for what was given wrongly, 409 for what is not possible now."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, CallNotFound):
        return Refused(404, "not_found", str(error.args[0]))
    if isinstance(error, Crowded):
        return Refused(429, "too_often", "too many people are signing in; try again in a moment", 5.0)
    if isinstance(error, Taken):
        return Refused(409, "taken", str(error))
    if isinstance(error, Gone | SeatClosed):
        return Refused(409, "over", str(error))
    code = getattr(error, "code", None)
    text = str(error) or type(error).__name__
    if isinstance(error, ValueError):
        return Refused(422, code if isinstance(code, str) else "invalid", text)
    usual = "not_yours" if isinstance(error, PermissionError) else "not_now"
    return Refused(409, code if isinstance(code, str) else usual, text)


def code_of(error: HTTPException) -> str:
    """The code of an error, its own or that of its status."""
    return getattr(error, "code", None) or CODES.get(error.status_code, "error")


def sentence(error: RequestValidationError | ValidationError) -> str:
    """What is wrong with what was sent: field and problem, never the value, which may be a password."""
    found: Sequence[Any] = error.errors()
    shown = [f"{_field(item['loc'])}: {item['msg'].removeprefix('Value error, ')}" for item in found[:MOST_SHOWN]]
    return "; ".join(shown) or "the request cannot be read"


def _field(location: Sequence[Any]) -> str:
    parts = [str(part)[:40] for part in location if part not in ("body", "query", "path")]
    return ".".join(parts) or "the request"
