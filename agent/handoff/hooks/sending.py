"""HTTP of one hook: where to, how to prove ourselves, how long to try."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Protocol, TypeVar
from urllib.parse import urlencode

from agent.clock import Clock
from agent.outbound import Answer, NotNow, OutboundError, Outside, checked_url, persist

T = TypeVar("T")

MOST_ANSWER = 1024 * 1024
"""Bytes; a list of a contact's conversations may be long."""
GOOD = range(200, 300)
REMEDY = "set allow_private on the hook to allow it"


class Proof(Protocol):
    """How requests prove who they come from."""

    async def headers(self, errand: Errand) -> Mapping[str, str]:
        """The headers to add; may ask somebody for a token."""
        ...

    def refused(self) -> bool:
        """The last headers were not taken; whether others can be had."""
        ...


class Fixed:
    """Always the same headers."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = dict(headers)

    async def headers(self, errand: Errand) -> Mapping[str, str]:
        """Those."""
        return self._headers

    def refused(self) -> bool:
        """There are no others."""
        return False


def basic(user: str, secret: str) -> Fixed:
    """HTTP Basic (RFC 7617)."""
    return Fixed({"Authorization": "Basic " + base64.b64encode(f"{user}:{secret}".encode()).decode()})


class ClientCredentials:
    """A token of the OAuth 2 client credentials flow (RFC 6749 section 4.4), asked for again once it is refused."""

    def __init__(self, token_path: str, client_id: str, secret: str) -> None:
        self._path, self._client_id, self._secret = token_path, client_id, secret
        self._token: str | None = None

    async def headers(self, errand: Errand) -> Mapping[str, str]:
        """A bearer token.

        Raises:
            OutboundError: the token cannot be had.
        """
        if self._token is None:
            form = {"grant_type": "client_credentials", "client_id": self._client_id, "client_secret": self._secret}
            answer = await errand.ask("POST", self._path, form=form, proven=False)
            token = as_object(errand.who, answer.body).get("access_token")
            if not isinstance(token, str) or not token:
                raise OutboundError("bad_response", f"{errand.who} gave no access_token at {self._path}")
            self._token = token
        return {"Authorization": f"Bearer {self._token}"}

    def refused(self) -> bool:
        """Forget the token."""
        known, self._token = self._token is not None, None
        return known


class Sender:
    """Requests of one hook to one host. Tries again as `agent.outbound.persist` does."""

    def __init__(
        self,
        who: str,
        base: str,
        proof: Proof,
        clock: Clock,
        timeout_s: float = 10.0,
        budget_s: float = 60.0,
        allow_private: bool = False,
        rng: random.Random | None = None,
    ) -> None:
        """Args:
            base: scheme and host, maybe with a path before all paths.
            timeout_s: one try. budget_s: one errand, with all its requests and waits.

        Raises:
            ValueError: the address cannot be used.
        """
        parts = checked_url(who, base, allow_private)
        if parts.query:
            raise ValueError(f"{who} URL must not hold a query; put it into the path of the request")
        self.who = who
        self.proof = proof
        self.clock = clock
        self.timeout_s = timeout_s
        self.rng = rng or random.Random()
        self.outside = Outside(who, clock, MOST_ANSWER, allow_private, REMEDY)
        self._base = base.rstrip("/")
        self._allow_private = allow_private
        self._budget_s = budget_s

    def errand(self, label: str) -> Errand:
        """What is to be asked for one event, from now on."""
        return Errand(self, label, self.clock.now_ms() + self._budget_s * 1000.0)

    def url(self, path: str) -> str:
        """The whole address of `path`.

        Raises:
            ValueError: it does not begin with a slash.
        """
        if not path.startswith("/") or path.startswith("//"):
            raise ValueError(f"{self.who}: path {path[:60]!r} must begin with one slash")
        return self._base + path


class Errand:
    """The requests for one event: together they have the hook's time."""

    def __init__(self, sender: Sender, label: str, deadline_ms: float) -> None:
        self.who = sender.who
        self._sender = sender
        self._label = label
        self._deadline_ms = deadline_ms

    async def ask(
        self,
        method: str,
        path: str,
        json_body: Any = None,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        accepted: Collection[int] = GOOD,
        once: bool = False,
        proven: bool = True,
    ) -> Answer:
        """Send one request; 429, 5xx, time-outs and lost connections are tried again, unless `once`.

        Raises:
            OutboundError: no answer of `accepted`; `NotNow`, with `once`, where another try might help.
        """
        sender = self._sender
        url = checked_url(sender.who, sender.url(path), True)
        own = dict(headers or {})
        body: bytes | None = None
        if form is not None:
            body = urlencode(form).encode()
            own["Content-Type"] = "application/x-www-form-urlencoded"
        elif json_body is not None:
            body = json.dumps(json_body, separators=(",", ":")).encode()
            own["Content-Type"] = "application/json"

        async def one(attempt: int) -> Answer:
            left_s = (self._deadline_ms - sender.clock.now_ms()) / 1000.0
            if left_s <= 0:
                raise OutboundError("timeout", f"{sender.who}: the time for {self._label} is used up")
            proof = await sender.proof.headers(self) if proven else {}
            time_s = min(sender.timeout_s, left_s)
            try:
                return await sender.outside.send(method, url, own | dict(proof), body, time_s, attempt, accepted)
            except OutboundError as error:
                if error.code == "status_401" and proven and attempt == 1 and sender.proof.refused():
                    raise NotNow(error.code, str(error)) from error
                raise

        return await (one(1) if once else self.persist(one))

    async def persist(self, run: Callable[[int], Awaitable[T]]) -> T:
        """Run `run(attempt)`, as `agent.outbound.persist`, while there is time.

        Raises:
            OutboundError: the last failure.
        """
        return await persist(run, self._sender.clock, self._sender.rng, self._deadline_ms, self._label)

    async def ask_json(self, method: str, path: str, json_body: Any = None, once: bool = False) -> dict[str, Any]:
        """As `ask`; the answer's JSON object, empty where the body is.

        Raises:
            OutboundError: no good answer, or one that is not a JSON object.
        """
        answer = await self.ask(method, path, json_body, once=once)
        return as_object(self.who, answer.body) if answer.body.strip() else {}


def as_object(who: str, body: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        OutboundError: it is something else.
    """
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise OutboundError("bad_response", f"{who} answered something that is not JSON") from error
    if not isinstance(found, dict):
        raise OutboundError("bad_response", f"{who} answered a {type(found).__name__}; it must be an object")
    return found
