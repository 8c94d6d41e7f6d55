"""Vendors' REST APIs: hand a running call to somebody else, or end it. What is asked is pure; one place asks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from agent.clock import Clock

TIMEOUT_S = 5.0
"""Time for one try; a caller waits in silence meanwhile."""
PAUSES_MS = (250.0, 1000.0)
"""Before the second and the third try."""


class CarrierError(Exception):
    """The carrier did not do what was asked.

    `code`: call_ended, unauthorized, refused (another 4xx), failing (5xx) or unreachable (no answer in time, or none).
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, slots=True)
class RestRequest:
    """One request. form: sent as a form; json: sent as JSON; at most one of both. basic: user and password."""

    method: str
    url: str
    form: Mapping[str, str] | None = None
    json: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    basic: tuple[str, str] | None = None


class CallControl(Protocol):
    """What a vendor is asked, without I/O."""

    def transfer(self, call_id: str, target: str) -> RestRequest:
        """Connect the caller of `call_id`, the gateway's id, to `target`.

        Raises:
            ValueError: `target` is not what the vendor takes; says what it takes.
        """
        ...

    def hang_up(self, call_id: str) -> RestRequest:
        """End the call."""
        ...

    def ended(self, status: int, answer: Mapping[str, Any]) -> bool:
        """Whether an answer says that the call had already ended; `answer` is its JSON, empty where it has none."""
        ...


class RestCarrier:
    """Call control of one account over HTTP.

    Each request has 5 s; 5xx answers, time-outs and broken connections are tried three times in all, the rest once: a
    repeated request sets the same state again. Whoever made the `http` client closes it.
    """

    def __init__(self, title: str, control: CallControl, http: httpx.AsyncClient, clock: Clock) -> None:
        """`title` names the vendor in errors; `clock` times the pauses between tries."""
        self._title = title
        self._control = control
        self._http = http
        self._clock = clock

    async def transfer(self, call_id: str, target: str, context: Mapping[str, str] | None = None) -> None:
        """Connect the caller to `target`; our media stream ends by that. None of these vendors takes a `context`.

        Raises:
            CarrierError: the call had ended, or the carrier refused or could not be reached.
            ValueError: `target` is not what the vendor takes.
        """
        await self._ask(call_id, self._control.transfer(call_id, target))

    async def hang_up(self, call_id: str) -> bool:
        """End the call; False where it had already ended.

        Raises:
            CarrierError: the carrier refused or could not be reached.
        """
        try:
            await self._ask(call_id, self._control.hang_up(call_id))
        except CarrierError as error:
            if error.code == "call_ended":
                return False
            raise
        return True

    async def _ask(self, call_id: str, request: RestRequest) -> None:
        for pause_ms in (*PAUSES_MS, None):
            try:
                response = await self._http.request(
                    request.method,
                    request.url,
                    data=dict(request.form) if request.form is not None else None,
                    json=dict(request.json) if request.json is not None else None,
                    headers=dict(request.headers),
                    auth=request.basic and httpx.BasicAuth(*request.basic),
                    timeout=TIMEOUT_S,
                )
            except httpx.TransportError as error:
                said = f"{type(error).__name__} {error}".rstrip()
                failure = CarrierError("unreachable", f"{self._title} did not answer: {said}")
            else:
                if response.is_success:
                    return
                failure = self._failure(call_id, response)
            if pause_ms is None or failure.code not in ("unreachable", "failing"):
                raise failure
            await self._clock.sleep_until(self._clock.now_ms() + pause_ms)

    def _failure(self, call_id: str, response: httpx.Response) -> CarrierError:
        said = _said(response)
        status, code, words = response.status_code, said.get("code"), str(said.get("message", ""))[:200]
        detail = f"{self._title} answered {status} (code {code}) for call {call_id}: {words}"
        if self._control.ended(status, said):
            return CarrierError("call_ended", detail)
        if status in (401, 403):
            return CarrierError("unauthorized", f"{detail}; check the account and its key")
        return CarrierError("failing" if status >= 500 else "refused", detail)


def _said(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an error answer; empty where a proxy answered something else."""
    try:
        said = response.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
