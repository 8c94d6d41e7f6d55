"""Reads the records of simulated calls from the server they were placed at."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from agent.clock import Clock

CLOSING_S = 15.0
"""How long the server may take to close a record after the call."""
_POLL_MS = 200.0
_TIMEOUT_S = 10.0
_ROWS = 200


class RecordApi:
    """`GET /api/calls` and `/api/calls/{id}` of a server; an async context manager."""

    def __init__(self, base: str, token: str | None, clock: Clock) -> None:
        """base: http address of the server. token: sent as bearer."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.AsyncClient(base_url=base, headers=headers, timeout=_TIMEOUT_S, trust_env=False)
        self._clock = clock
        self._ids: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def missing(self) -> str | None:
        """Why records cannot be read there; None where they can."""
        try:
            answer = await self._http.get("/api/calls", params={"limit": 1})
        except httpx.HTTPError as error:
            return f"{self._http.base_url} does not answer: {error}"
        if answer.status_code in (401, 403):
            return f"{self._http.base_url} refuses to show records (HTTP {answer.status_code}); give a valid --token"
        if answer.status_code != httpx.codes.OK or not isinstance(_json(answer).get("calls"), list):
            return f"{self._http.base_url} has no records at /api/calls (HTTP {answer.status_code})"
        return None

    async def find(self, gateway_call_id: str) -> Mapping[str, Any] | None:
        """The record of a call by the gateway's id, as it is now; None where there is none or it cannot be read."""
        try:
            if gateway_call_id not in self._ids:
                rows = _json(await self._http.get("/api/calls", params={"limit": _ROWS})).get("calls") or []
                for row in rows:
                    self._ids[str(row.get("gateway_call_id"))] = str(row.get("id"))
            call_id = self._ids.get(gateway_call_id)
            if call_id is None:
                return None
            record = _json(await self._http.get(f"/api/calls/{call_id}"))
        except httpx.HTTPError:
            return None
        return record if "turns" in record and "call" in record else None

    async def closed(self, gateway_call_id: str) -> Mapping[str, Any] | None:
        """The record once the server has closed it, as it is where that takes longer than `CLOSING_S`."""
        until = self._clock.now_ms() + CLOSING_S * 1000.0
        while True:
            record = await self.find(gateway_call_id)
            if record is not None and record["call"].get("outcome") is not None:
                return record
            if self._clock.now_ms() >= until:
                return record
            await self._clock.sleep_until(self._clock.now_ms() + _POLL_MS)


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        data = answer.json()
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
