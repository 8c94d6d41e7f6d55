"""Who may open a connection: path tokens, each gateway's own proof, and limits by key. Pure but for its memory."""

from __future__ import annotations

import hmac
import logging
import secrets
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from agent.clock import Clock
from agent.config import Settings
from agent.gateways.auth import PathTokens, TokenError
from agent.gateways.gateway import Gateway
from agent.gateways.ways import Admitted, Asking, Keys, Nonces, Refused

MINUTE_MS = 60_000.0
MOST_KEYS = 10_000
"""Keys whose rate is remembered; keys are configured, so this many never come together."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Token:
    """What a path token is good for: one call of one gateway. bound: the gateway's own id of it, where it was known."""

    call_id: str
    gateway: str
    bound: str | None


class Door:
    """Lets in or refuses, and counts connections by key."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        key = settings.secrets.token_key
        self._token_key = None if key is None else key.get_secret_value()
        self._tokens = None if self._token_key is None else PathTokens(self._token_key, clock)
        self._seen = Nonces()
        self._recent: dict[str, deque[float]] = {}
        self._open: dict[str, int] = {}

    def issue(self, token: Token) -> str | None:
        """A one-use path token; None where no token key is configured.

        Raises:
            ValueError: the gateway's call id is too long.
        """
        if self._tokens is None:
            return None
        return self._tokens.issue("\n".join((token.call_id, token.gateway, token.bound or "")))

    def redeem(self, text: str, gateway: str) -> Token | Refused:
        """What a path token is good for; it is used up by that."""
        if self._tokens is None:
            return Refused("no_key")
        try:
            call_id, named, bound = self._tokens.redeem(text).split("\n", 2)
        except TokenError as error:
            return Refused(f"token_{error.code}")
        if named != gateway:
            return Refused("mismatch")
        return Token(call_id, gateway, bound or None)

    def bears_token_key(self, headers: Mapping[str, str]) -> bool:
        """Whether a request carries the token key as bearer token."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if self._token_key is None or scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(given.strip().encode(), self._token_key.encode())

    def key_of(self, gateway: Gateway) -> str | None:
        """The gateway's own key; a blank one is none, since anybody could sign with it."""
        key = self._settings.secrets.key_of(gateway.name)
        return key if key is not None and key.strip() else None

    def check(self, gateway: Gateway, asking: Asking) -> Admitted | Refused:
        """Whether the gateway's own proof is good; the first kind that is offered decides."""
        key = self.key_of(gateway)
        if key is None and gateway.shares_key:
            key = self._token_key
        keys = Keys(key, self._clock.wall().timestamp(), self._seen)
        for way in gateway.ways:
            verdict = way.check(asking, keys)
            if verdict is not None:
                return verdict
        return Refused("unsigned" if key is not None else "no_key")

    def url(self, path: str, scheme: str) -> str | None:
        """The address under which the outside reaches `path`; None where none is configured."""
        base = self._settings.server.public_url
        if base is None:
            return None
        parts = urlsplit(base)
        return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}{path}"

    @property
    def authority(self) -> str:
        """Host of the public address, with its port unless it is the default one."""
        base = self._settings.server.public_url
        if base is None:
            return ""
        return urlsplit(base).netloc.lower().removesuffix(":443")

    def enter(self, key: str) -> Refused | None:
        """Count a new connection of `key`; `leave` it when it is over. Refused where there are too many."""
        limits, now = self._settings.server, self._clock.now_ms()
        recent = self._recent.get(key)
        if recent is None:
            if len(self._recent) >= MOST_KEYS:
                self._recent.clear()
            recent = self._recent[key] = deque(maxlen=limits.new_calls_per_minute)
        if self._open.get(key, 0) >= limits.max_calls_per_key:
            return Refused("too_many_calls")
        if len(recent) == limits.new_calls_per_minute and recent[0] > now - MINUTE_MS:
            return Refused("rate_limited")
        recent.append(now)
        self._open[key] = self._open.get(key, 0) + 1
        return None

    def leave(self, key: str) -> None:
        """A connection of `key` is over."""
        left = self._open.get(key, 0) - 1
        if left > 0:
            self._open[key] = left
        else:
            self._open.pop(key, None)


def new_call_id() -> str:
    """A fresh call id."""
    return f"c-{secrets.token_hex(8)}"


def report(refused: Refused, gateway: str, peer: Any) -> None:
    """Log a refusal; nothing of the request itself is shown."""
    log.warning("a connection of %s from %s was refused: %s", gateway, peer, refused.code, extra={"code": refused.code})
