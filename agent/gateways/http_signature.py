"""HTTP Message Signatures by HMAC-SHA256, as Genesys Cloud signs the opening request of an AudioHook session.

What is signed: for every covered component a line `"name": value`, then `"@signature-params": ` and the parameters as
sent. Sources: draft-ietf-httpbis-message-signatures (RFC 9421), and what Genesys' own client sends (tests hold values
that its signature library made).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from agent.gateways.ways import Admitted, Asking, Keys, Refused, Verdict

SKEW_S = 3.0
"""How far the signer's clock may be from ours."""
_MIN_NONCE, _MAX_NONCE = 22, 256  # characters; 22 hold 128 bits in base64
_MAX_HEADER = 4096

_STRING = r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"'
_INPUT = re.compile(
    rf"(?P<label>[a-z*][a-z0-9_\-.*]*)=(?P<signed>\((?P<names>{_STRING}(?: {_STRING})*)\)"
    rf"(?P<parameters>(?:;[a-z]+=(?:{_STRING}|[0-9]{{1,15}}))+))"
)
_NAME = re.compile(_STRING)
_PARAMETER = re.compile(rf";([a-z]+)=({_STRING}|[0-9]{{1,15}})")
_SIGNATURE = re.compile(r"(?P<label>[a-z*][a-z0-9_\-.*]*)=:(?P<mac>[A-Za-z0-9+/]{43}=):")
_TEXTS = ("keyid", "nonce", "alg")
_NUMBERS = ("created", "expires")

_NOBODYS = secrets.token_bytes(32)
"""Stands in for the secret of an unknown key, so that an unknown key costs as much time as a known one."""


class _Malformed(Exception):
    """The headers are not a signature that we read."""


@dataclass(frozen=True, slots=True)
class HttpSignature:
    """`Signature-Input` and `Signature` over `required` components at least, with the key named in `X-API-KEY`.

    The configured key is `apikey:secret`, the secret in base64. With an empty secret requests come unsigned, and the
    right `X-API-KEY` is all the proof. A nonce is good once, a signature for `max_age_s` at most.
    """

    required: tuple[str, ...]
    max_age_s: float = 10.0
    name: str = "HTTP message signature"

    def check(self, asking: Asking, keys: Keys) -> Verdict:
        given = asking.headers.get("x-api-key")
        fields = asking.headers.get("signature-input"), asking.headers.get("signature")
        if given is None and fields == (None, None):
            return None
        known = _key(keys.key)
        if known is None:
            return Refused("no_key")
        api_key, secret = known
        same_key = hmac.compare_digest((given or "").encode("utf-8", "surrogatepass"), api_key.encode())
        if fields == (None, None):
            if secret:
                return Refused("unsigned")
            return Admitted(f"{asking.gateway}:api-key") if same_key else Refused("bad_credentials")
        if not asking.authority:
            return Refused("no_key")
        try:
            signature = _Signature.read(*fields)
            base = signature.base(asking, self.required)
        except _Malformed:
            return Refused("malformed")
        wanted = hmac.new(secret if same_key and secret else _NOBODYS, base, hashlib.sha256).digest()
        good = hmac.compare_digest(signature.mac, wanted)
        if not same_key:
            return Refused("bad_credentials")
        if not good or signature.keyid != given:
            return Refused("bad_signature")
        return self._in_time(asking, keys, signature)

    def _in_time(self, asking: Asking, keys: Keys, signature: _Signature) -> Verdict:
        now, until = keys.wall_s, signature.created + self.max_age_s + SKEW_S
        if signature.created > now + SKEW_S:
            return Refused("malformed")
        if now > until or (signature.expires is not None and now > signature.expires + SKEW_S):
            return Refused("expired")
        if not keys.seen.use(f"{asking.gateway}:{signature.nonce}", until, now):
            return Refused("replayed")
        return Admitted(f"{asking.gateway}:signature")


@dataclass(frozen=True, slots=True)
class _Signature:
    components: tuple[str, ...]
    signed: str
    """The inner list with its parameters, as sent."""
    mac: bytes
    keyid: str
    nonce: str
    created: int
    expires: int | None

    @classmethod
    def read(cls, given: str | None, proof: str | None) -> _Signature:
        """Read the two headers; exactly one signature, written without optional spaces.

        Raises:
            _Malformed: they are not that.
        """
        if given is None or proof is None or len(given) > _MAX_HEADER:
            raise _Malformed
        described, proved = _INPUT.fullmatch(given.strip()), _SIGNATURE.fullmatch(proof.strip())
        if described is None or proved is None or described["label"] != proved["label"]:
            raise _Malformed
        found = _PARAMETER.findall(described["parameters"])
        parameters = dict(found)
        if len(parameters) != len(found):
            raise _Malformed
        for name, value in found:
            if name not in (_TEXTS if value.startswith('"') else _NUMBERS):
                raise _Malformed
        nonce = _unquoted(parameters.get("nonce", '""'))
        algorithm = _unquoted(parameters.get("alg", '"hmac-sha256"'))
        if not _MIN_NONCE <= len(nonce) <= _MAX_NONCE or algorithm != "hmac-sha256" or "created" not in parameters:
            raise _Malformed
        return cls(
            components=tuple(_unquoted(item) for item in _NAME.findall(described["names"])),
            signed=described["signed"],
            mac=base64.b64decode(proved["mac"]),
            keyid=_unquoted(parameters.get("keyid", '""')),
            nonce=nonce,
            created=int(parameters["created"]),
            expires=int(parameters["expires"]) if "expires" in parameters else None,
        )

    def base(self, asking: Asking, required: tuple[str, ...]) -> bytes:
        """What was signed, of this request.

        Raises:
            _Malformed: a required component is not covered, one is covered twice, or the request does not have it.
        """
        if len(set(self.components)) != len(self.components) or not set(required) <= set(self.components):
            raise _Malformed
        lines = [f'"{name}": {_component(name, asking)}' for name in self.components]
        lines.append(f'"@signature-params": {self.signed}')
        return "\n".join(lines).encode("utf-8", "surrogatepass")


def _component(name: str, asking: Asking) -> str:
    derived: Mapping[str, str] = {"@request-target": _target(asking), "@authority": asking.authority}
    value = derived.get(name) if name.startswith("@") else asking.headers.get(name)
    if not value:
        raise _Malformed
    return value.strip()


def _target(asking: Asking) -> str:
    """Path and query as the vendor sent them: those of the public address, which a proxy may have shortened."""
    return asking.target if asking.url is None else "/" + asking.url.partition("://")[2].partition("/")[2]


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1])


def _key(configured: str | None) -> tuple[str, bytes] | None:
    """API key and secret; None where none is configured, or the secret is not base64."""
    if configured is None:
        return None
    api_key, _, secret = configured.partition(":")
    try:
        decoded = base64.b64decode(secret.strip() + "=" * (-len(secret.strip()) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return (api_key, decoded) if api_key else None
