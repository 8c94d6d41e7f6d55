"""An action that runs elsewhere: one signed HTTP POST, one JSON object back."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

if TYPE_CHECKING:
    from agent.dialogue.actions import ActionContext

MOST_BYTES = 65_536
"""Largest answer read."""


class WebhookRefused(ValueError):
    """The webhook may not be called, or answered something that is no result."""


class WebhookAction:
    """Calls `url` with `{action, arguments, call_id, idempotency_key}`.

    Headers: X-Callagent-Timestamp (Unix seconds), X-Callagent-Signature `v1=` HMAC-SHA256 in hex over
    `timestamp.body`, and Idempotency-Key. Redirects are not followed; private addresses are refused unless allowed.
    """

    def __init__(
        self,
        url: str,
        secret: str,
        timeout_s: float,
        allow_private: bool,
        name: str,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = url
        self._secret = secret.encode()
        self._timeout_s = timeout_s
        self._allow_private = allow_private
        self._name = name
        self._transport = transport

    async def __call__(self, arguments: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        """Run the action.

        Raises:
            WebhookRefused: a private address, an answer that is not a JSON object, or one over 64 KB.
            httpx.HTTPError: no connection, a time-out, or a status other than 2xx.
        """
        if not self._allow_private:
            await self._refuse_private()
        body = json.dumps(
            {
                "action": self._name,
                "arguments": dict(arguments),
                "call_id": context.call_id,
                "idempotency_key": context.key,
            }
        ).encode()
        timestamp = str(int(context.clock.wall().timestamp()))
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": context.key,
            "X-Callagent-Timestamp": timestamp,
            "X-Callagent-Signature": "v1=" + sign(self._secret, timestamp, body),
        }
        async with (
            httpx.AsyncClient(timeout=self._timeout_s, transport=self._transport, trust_env=False) as client,
            client.stream("POST", self._url, content=body, headers=headers) as response,
        ):
            response.raise_for_status()
            answer = b""
            async for chunk in response.aiter_bytes():
                answer += chunk
                if len(answer) > MOST_BYTES:
                    raise WebhookRefused(f"webhook '{self._name}' answered more than {MOST_BYTES} bytes; send less")
        try:
            result = json.loads(answer or b"{}")
        except ValueError as error:
            raise WebhookRefused(f"webhook '{self._name}' did not answer JSON: {error}") from error
        if not isinstance(result, dict):
            raise WebhookRefused(f"webhook '{self._name}' answered {type(result).__name__}; answer a JSON object")
        return result

    async def _refuse_private(self) -> None:
        parts = urlsplit(self._url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, port)
        for *_, address in found:
            if not ipaddress.ip_address(address[0]).is_global:
                raise WebhookRefused(
                    f"webhook '{self._name}' is at the private address {address[0]}; set allow_private to permit it"
                )


def sign(secret: bytes, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 over `timestamp.body`, in hex."""
    return hmac.new(secret, timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
