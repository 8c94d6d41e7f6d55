"""The ways in which a connection proves who it is: bearer token, Basic, Twilio's signature, a signed JWT.

Pure: a way looks at the upgrade request and the configured keys. It returns None where the request does not offer its
kind of proof, and else a verdict; a proof that is offered and wrong is refused, whatever else is offered.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeGuard

from agent.gateways.auth import check_twilio_signature

LEEWAY_S = 30.0
"""How far a vendor's clock may be from ours."""


@dataclass(frozen=True, slots=True)
class Asking:
    """An upgrade request.

    path: as sent, without the query. headers: by lower-case name. url: the public address it reached, with its query;
    None where no public address is configured.
    """

    gateway: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str] = field(default_factory=dict)
    target: str = ""
    """Path and query, as sent."""
    url: str | None = None
    authority: str = ""
    """Host of the public address, lower-case, with its port unless it is the default one."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What a gateway's connections are checked against. key: its secret, from CALLAGENT_KEY_<GATEWAY>; None where none
    is configured: then its ways refuse. wall_s: now, seconds since 1970. seen: nonces used before, see `Nonces`.
    """

    key: str | None
    wall_s: float
    seen: Nonces


@dataclass(frozen=True, slots=True)
class Admitted:
    """The proof is good. key: names whose it was, for limits and logs; never a secret. call_id: the gateway's id of the
    call it is bound to, where it is."""

    key: str
    call_id: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The proof is not good. code: unsigned, bad_signature, bad_credentials, expired, replayed, no_key or malformed."""

    code: str


Verdict = Admitted | Refused | None


class Way(Protocol):
    """One way to prove who asks."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def check(self, asking: Asking, keys: Keys) -> Verdict:
        """Whether the proof offered is good; None where this kind is not offered."""
        ...


class Nonces:
    """Nonces used lately; each is good once. Bounded: when full the oldest are forgotten only once they expired."""

    def __init__(self, bound: int = 50_000) -> None:
        self._bound = bound
        self._until: dict[str, float] = {}

    def use(self, nonce: str, until_s: float, now_s: float) -> bool:
        """Whether `nonce` is new; it is then remembered until `until_s`. False too while too many are remembered."""
        if self._until.get(nonce, 0.0) > now_s:
            return False
        if len(self._until) >= self._bound:
            self._until = {name: until for name, until in self._until.items() if until > now_s}
            if len(self._until) >= self._bound:
                return False
        self._until[nonce] = until_s
        return True


@dataclass(frozen=True, slots=True)
class Bearer:
    """`Authorization: Bearer KEY`; `parameter`: the key may also come as that parameter of the URL's query."""

    parameter: str | None = None
    name: str = "bearer token"

    def check(self, asking: Asking, keys: Keys) -> Verdict:
        scheme, _, given = asking.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            given = asking.query.get(self.parameter, "") if self.parameter else ""
        if not given:
            return None
        if keys.key is None:
            return Refused("no_key")
        return Admitted(f"{asking.gateway}:bearer") if _same(given.strip(), keys.key) else Refused("bad_credentials")


@dataclass(frozen=True, slots=True)
class Basic:
    """`Authorization: Basic` with the configured `user:password`."""

    name: str = "HTTP Basic"

    def check(self, asking: Asking, keys: Keys) -> Verdict:
        scheme, _, given = asking.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        if keys.key is None:
            return Refused("no_key")
        try:
            said = base64.b64decode(given.strip(), validate=True)
        except (binascii.Error, ValueError):
            return Refused("malformed")
        user = keys.key.partition(":")[0]
        good = hmac.compare_digest(said, keys.key.encode())
        return Admitted(f"{asking.gateway}:{user}") if good else Refused("bad_credentials")


@dataclass(frozen=True, slots=True)
class UrlSignature:
    """Twilio's signature of the public address: base64 of an HMAC-SHA1, in header `header`."""

    header: str = "x-twilio-signature"
    name: str = "request signature"

    def check(self, asking: Asking, keys: Keys) -> Verdict:
        signature = asking.headers.get(self.header)
        if signature is None:
            return None
        if keys.key is None or asking.url is None:
            return Refused("no_key")
        good = check_twilio_signature(keys.key, asking.url, {}, signature)
        return Admitted(f"{asking.gateway}:signature") if good else Refused("bad_signature")


@dataclass(frozen=True, slots=True)
class SignedJwt:
    """`Authorization: Bearer` with a JWT signed by HS256 (RFC 7519, RFC 7515), not expired, used once: by its `jti`, or
    by its signature where it has none."""

    name: str = "signed JWT"

    def check(self, asking: Asking, keys: Keys) -> Verdict:
        scheme, _, given = asking.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or given.count(".") != 2:
            return None
        if keys.key is None:
            return Refused("no_key")
        signed, _, signature = given.strip().rpartition(".")
        head, _, body = signed.partition(".")
        algorithm, claims = _json(head).get("alg"), _json(body)
        if algorithm != "HS256" or len(given) > 8192:
            return Refused("malformed")
        wanted = hmac.new(keys.key.encode(), signed.encode(), hashlib.sha256).digest()
        if not hmac.compare_digest(_decoded(signature), wanted):
            return Refused("bad_signature")
        issued, expires = claims.get("iat"), claims.get("exp")
        if not _is_time(issued) or issued > keys.wall_s + LEEWAY_S or not (expires is None or _is_time(expires)):
            return Refused("malformed")
        until = float(issued) + 300.0 if expires is None else float(expires)
        if keys.wall_s > until + LEEWAY_S:
            return Refused("expired")
        named = claims.get("jti")
        nonce = named if isinstance(named, str) else f"{wanted.hex()} of no jti"
        if not keys.seen.use(f"{asking.gateway}:{nonce}", until + LEEWAY_S, keys.wall_s):
            return Refused("replayed")
        return Admitted(f"{asking.gateway}:jwt")


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and 0 <= value < 1e12


def _same(given: str, key: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), key.encode())


def _decoded(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text.encode("ascii", "replace") + b"=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(_decoded(text))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
