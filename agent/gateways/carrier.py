"""Twilio's REST call update: hand a running call to somebody else, or end it."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx

from agent.clock import Clock
from agent.gateways import twiml

_TIMEOUT_S = 5.0  # a caller waits in silence meanwhile
_PAUSES_MS = (250.0, 1000.0)  # before the second and the third try
_ALREADY_ENDED = 20404  # Twilio: no such call in progress


class CarrierError(Exception):
    """The carrier did not do what was asked.

    `code`: call_ended, unauthorized, refused (another 4xx), failing (5xx) or unreachable (no answer in time, or none).
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class TwilioRest:
    """Call updates for one Twilio account, with Basic authentication.

    Each request has 5 s; 5xx answers, time-outs and broken connections are tried three times in all, the rest once.
    A repeated update is harmless: it sets the same TwiML or status again. Whoever made the `http` client closes it.
    """

    def __init__(
        self,
        account_sid: str,
        auth_token: str,
        http: httpx.AsyncClient,
        clock: Clock,
        base_url: str = "https://api.twilio.com",
    ) -> None:
        """`account_sid` names the account and is the user name; `clock` times the pauses between tries."""
        self._auth = httpx.BasicAuth(account_sid, auth_token)
        self._http = http
        self._clock = clock
        self._calls = f"{base_url.rstrip('/')}/2010-04-01/Accounts/{quote(account_sid, safe='')}/Calls"

    async def transfer(
        self,
        call_sid: str,
        target: str,
        caller_id: str | None = None,
        ring_s: int | None = None,
        action: str | None = None,
    ) -> None:
        """Connect the caller of `call_sid` to the number `target`, as `twiml.dial`; our media stream ends by that.

        Raises:
            CarrierError: the call had ended, or the carrier refused or could not be reached.
            agent.gateways.twiml.TwimlError: a number or ring_s is not what Twilio takes.
        """
        await self._update(call_sid, {"Twiml": twiml.dial(target, caller_id, ring_s, action)})

    async def hang_up(self, call_sid: str) -> bool:
        """End the call; False where it had already ended.

        Raises:
            CarrierError: the carrier refused or could not be reached.
        """
        try:
            await self._update(call_sid, {"Status": "completed"})
        except CarrierError as error:
            if error.code == "call_ended":
                return False
            raise
        return True

    async def _update(self, call_sid: str, form: dict[str, str]) -> None:
        url = f"{self._calls}/{quote(call_sid, safe='')}.json"
        for pause_ms in (*_PAUSES_MS, None):
            try:
                response = await self._http.post(url, data=form, auth=self._auth, timeout=_TIMEOUT_S)
            except httpx.TransportError as error:
                failure = CarrierError("unreachable", f"Twilio did not answer: {type(error).__name__} {error}".rstrip())
            else:
                if response.is_success:
                    return
                failure = _failure(call_sid, response)
            if pause_ms is None or failure.code not in ("unreachable", "failing"):
                raise failure
            await self._clock.sleep_until(self._clock.now_ms() + pause_ms)


def _failure(call_sid: str, response: httpx.Response) -> CarrierError:
    said = _said(response)
    status, code, words = response.status_code, said.get("code"), str(said.get("message", ""))[:200]
    detail = f"Twilio answered {status} (code {code}) for call {call_sid}: {words}"
    if status == 404 and code == _ALREADY_ENDED:
        return CarrierError("call_ended", detail)
    if status in (401, 403):
        return CarrierError("unauthorized", f"{detail}; check the account SID and the auth token")
    return CarrierError("failing" if status >= 500 else "refused", detail)


def _said(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of an error answer; empty where a proxy answered something else."""
    try:
        said = response.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
