"""Who may open a media socket: Twilio's request signature, and one-use path tokens of our own.

No message and no repr here contains a secret, a signature or a token; keep request paths that carry one out of logs.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit, urlunsplit

from agent.clock import Clock

_DEFAULT_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}

_MIN_SECRET = 16  # bytes; shorter secrets can be guessed
_NONCE = 9  # bytes; a multiple of 3 leaves base64 without padding
_EXPIRY = 8  # bytes: ms since 1970, big-endian
_MAX_USED = 100_000  # used tokens remembered: 28 calls a second for an hour, in about 15 MB
_MAX_TOKEN = 1024  # characters


class TokenError(Exception):
    """A path token was not accepted. `code`: malformed, bad_signature, expired, used or busy."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def twilio_signature(auth_token: str, url: str, params: Mapping[str, str | Sequence[str]]) -> str:
    """What Twilio puts into `X-Twilio-Signature` for a request to `url` with POST `params` (none for a websocket).

    Base64 of the HMAC-SHA1, keyed with the account's auth token, over the URL followed by every parameter's name and
    value, sorted. Source: Twilio's page "Webhooks security".
    """
    text = url
    for name in sorted(params):
        value = params[name]
        values = [value] if isinstance(value, str) else sorted(set(value))
        text += "".join(name + item for item in values)
    digest = hmac.new(auth_token.encode(), text.encode("utf-8", "surrogatepass"), hashlib.sha1).digest()
    return base64.b64encode(digest).decode("ascii")


def check_twilio_signature(
    auth_token: str, url: str, params: Mapping[str, str | Sequence[str]], signature: str | None
) -> bool:
    """Whether `signature` is Twilio's for this request, in constant time. A missing signature or auth token is refused.

    `url` is the public one as configured at Twilio, slash for slash, never rebuilt from the Host header. Twilio signs
    it with or without its port, depending on scheme and product: as in Twilio's own validator, a port may be missing
    from what was signed, and the default port may be added.
    """
    if not auth_token or not signature:
        return False
    given = signature.encode("utf-8", "surrogatepass")
    matches = [
        hmac.compare_digest(twilio_signature(auth_token, form, params).encode(), given) for form in _port_forms(url)
    ]
    return any(matches)


def _port_forms(url: str) -> list[str]:
    """The URL as given, and without its port or with the default one added."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return [url]
    default = _DEFAULT_PORTS.get(parts.scheme)
    if port is not None:
        return [url, urlunsplit(parts._replace(netloc=parts.netloc.rpartition(":")[0]))]
    if default is not None and parts.netloc:
        return [url, urlunsplit(parts._replace(netloc=f"{parts.netloc}:{default}"))]
    return [url]


class PathTokens:
    """Short-lived tokens for a URL path, each good for one use and one call id.

    A token is base64url(expiry, nonce, call id) + "." + base64url(HMAC-SHA256). Used tokens are remembered in this
    process until they expire, so behind several processes a token is one-use in each; when too many are remembered new
    ones are refused (`busy`) rather than old ones forgotten.
    """

    def __init__(self, secret: str | bytes, clock: Clock, ttl_s: float = 60.0) -> None:
        """Tokens signed with `secret`, good for `ttl_s` seconds of `clock`'s wall time.

        Raises:
            ValueError: the secret is shorter than 16 bytes or ttl_s is not positive.
        """
        key = secret.encode() if isinstance(secret, str) else secret
        if len(key) < _MIN_SECRET:
            raise ValueError(
                f"the token secret has {len(key)} bytes; use at least {_MIN_SECRET}, "
                "for example from: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
            )
        if not ttl_s > 0:
            raise ValueError(f"ttl_s must be more than 0 seconds, got {ttl_s}")
        self._key = key
        self._clock = clock
        self._ttl_ms = round(ttl_s * 1000)
        self._used: dict[bytes, int] = {}

    def issue(self, call_id: str) -> str:
        """Make a token for `call_id`, fit for a URL path segment.

        Raises:
            ValueError: call_id is empty or longer than 256 bytes.
        """
        name = call_id.encode()
        if not 1 <= len(name) <= 256:
            raise ValueError(f"call_id has {len(name)} bytes; a token binds 1 to 256")
        body = (self._now_ms() + self._ttl_ms).to_bytes(_EXPIRY, "big") + secrets.token_bytes(_NONCE) + name
        return f"{_written(body)}.{_written(self._sign(body))}"

    def redeem(self, token: str) -> str:
        """Give the call id a token was issued for, and use the token up.

        Raises:
            TokenError: it is malformed, not signed by us, expired or used, or too many were used lately (busy).
        """
        first, dot, second = token.partition(".") if len(token) <= _MAX_TOKEN else ("", "", "")
        body, signature = _read(first), _read(second)
        if not dot or body is None or signature is None or len(body) <= _EXPIRY + _NONCE:
            raise TokenError("malformed", "the path holds no token; use the URL exactly as it was given out")
        if not hmac.compare_digest(signature, self._sign(body)):
            raise TokenError("bad_signature", "the token was not issued with this server's secret")
        now = self._now_ms()
        expiry = int.from_bytes(body[:_EXPIRY], "big")
        if now >= expiry:
            raise TokenError("expired", f"the token expired {now - expiry} ms ago; ask for a new one")
        nonce = body[: _EXPIRY + _NONCE]
        if nonce in self._used:
            raise TokenError("used", "the token was used before; ask for a new one")
        if len(self._used) >= _MAX_USED:
            self._used = {used: until for used, until in self._used.items() if until > now}
            if len(self._used) >= _MAX_USED:
                raise TokenError("busy", f"{_MAX_USED} tokens were used within their lifetime; try again later")
        self._used[nonce] = expiry
        return body[_EXPIRY + _NONCE :].decode()

    def _sign(self, body: bytes) -> bytes:
        return hmac.new(self._key, body, hashlib.sha256).digest()

    def _now_ms(self) -> int:
        return int(self._clock.wall().timestamp() * 1000)


def _written(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def _read(text: str) -> bytes | None:
    """Decode base64url in its one canonical form, so that a token has exactly one spelling."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if _written(data) == text else None
