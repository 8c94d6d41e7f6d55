"""Vonage Voice API websockets: binary 16-bit PCM in messages of exactly 20 ms, JSON text for control.

Which faults end the call is said in `agent.gateways.messages`; beyond those: a `websocket:connected` that cannot be
read ends it with 1007, one with another media type than 16-bit PCM at 8, 16 or 24 kHz with 1003.

Sources: developer.vonage.com/en/voice/voice-api/concepts/websockets, the NCCO reference, the AsyncAPI description of
these pages (api-evangelist/vonage), @vonage/voice 1.21 types; [3P], other implementers' code, where a comment says so.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import quote

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from agent.gateways.base import (
    AudioIn,
    CallEnded,
    CallStarted,
    Capabilities,
    Clear,
    Command,
    Dtmf,
    Event,
    Mark,
    MarkReached,
    Play,
)
from agent.gateways.gateway import Account, Gateway, HookRequest, Opening
from agent.gateways.messages import (
    INVALID,
    UNSUPPORTED,
    MessageError,
    Screen,
    bad_field,
    compact,
    digit_field,
    object_field,
    optional_text_field,
    parse_object,
    shown,
    text_field,
)
from agent.gateways.parameters import as_parameters
from agent.gateways.rest import RestRequest
from agent.gateways.ways import Admitted, Asking, Bearer, Keys, Nonces, SignedJwt
from audio.codec import Encoding

RATES = (8000, 16000, 24000)
MAX_HEADERS = 512
"""Bytes of JSON that the NCCO's `headers` may take."""
API_URL = "https://api.nexmo.com"
TOKEN_S = 300
"""How long a token for the REST API is good, seconds."""

_CAPABILITIES = Capabilities(
    encoding=Encoding("pcm16", 16000),
    frame_ms=20,
    exact=True,
    bulk=True,
    marks="played",
    clear=True,
    dtmf_in=True,
    transfer="rest",
    hangup="close",
)
_MEDIA_TYPE = re.compile(r"audio/l16\s*;\s*rate=([0-9]{4,5})", re.IGNORECASE)
_CLEAR = compact({"action": "clear"})
_E164 = re.compile(r"\+?([1-9][0-9]{1,14})")
_SIP = re.compile(r"sips?:[^\s@]+@[^\s@]+")


class VonageProtocol:
    """One websocket endpoint of a call.

    The NCCO's `headers`, which arrive as fields of `websocket:connected`, are the call's parameters: `uuid` names the
    call for transfers, `caller` and `called` its parties; our own NCCO sets all three. The audio is everybody in the
    call but us, mixed by Vonage. Marks are `notify` messages.
    """

    name = "vonage"

    def __init__(self, opening: Opening) -> None:
        self._call_id = opening.call_id
        self._capabilities = _CAPABILITIES
        self._screen = Screen()
        self._phase: Literal["waiting", "started", "stopped"] = "waiting"

    @property
    def capabilities(self) -> Capabilities:
        """What this endpoint can do; the rate is final once `websocket:connected` came."""
        return self._capabilities

    def receive(self, message: str | bytes) -> Sequence[Event]:
        """Turn one websocket message into events; nothing more once a fault closed the connection."""
        return self._screen.take(message, self._capabilities.max_message, self._handle)

    def send(self, command: Command) -> Sequence[str | bytes]:
        """Turn a command into messages; none before the start or for what Vonage cannot do in-band."""
        if self._phase != "started" or self._screen.closed:
            return ()
        match command:
            case Play(audio) if audio:
                return (audio,)
            case Mark(name):
                return (compact({"action": "notify", "payload": {"name": name}}),)
            case Clear():
                return (_CLEAR,)
            case _:
                return ()

    def _handle(self, raw: str | bytes) -> Sequence[Event]:
        if isinstance(raw, bytes):
            return self._sound(raw)
        message = parse_object(raw)
        event = message.get("event")
        match event:
            case "websocket:connected":
                return self._start(message)
            case "websocket:dtmf" | "websocket:cleared" | "websocket:notify" | "websocket:disconnected":
                self._require_call(event)
                return self._in_call(event, message)
            case "websocket:media:update":
                return ()  # [3P] somebody was muted
            case str():
                raise MessageError(
                    "unknown_event", f"event {shown(event)} is not known; it is ignored", weight="harmless"
                )
            case _:
                raise bad_field("event", event, "the name of an event")

    def _require_call(self, kind: str) -> None:
        if self._phase == "waiting":
            code = "media_before_start" if kind == "audio" else "not_started"
            raise MessageError(code, f"{kind} before websocket:connected; it is dropped", weight="early")
        if self._phase == "stopped":
            raise MessageError("after_stop", f"{kind} after websocket:disconnected; it is dropped")

    def _sound(self, audio: bytes) -> Sequence[Event]:
        if not audio:
            return ()
        self._require_call("audio")
        if len(audio) % 2:
            raise MessageError("odd_audio", f"audio of {len(audio)} bytes; send whole 16-bit samples")
        return (AudioIn(audio),)

    def _start(self, message: Mapping[str, Any]) -> Sequence[Event]:
        if self._phase != "waiting":
            raise MessageError("second_start", "a second websocket:connected; one connection carries one call")
        try:
            media = text_field(message, "content-type")
            parameters = as_parameters(
                {name: value for name, value in message.items() if name not in ("event", "content-type")}, "headers"
            )
            started = CallStarted(
                gateway_call_id=optional_text_field(parameters, "uuid") or self._call_id,
                stream_id=self._call_id,
                caller=optional_text_field(parameters, "caller", 64),
                called=optional_text_field(parameters, "called", 64),
                parameters=parameters,
            )
        except MessageError as error:
            raise MessageError(error.code, f"websocket:connected: {error.detail}", INVALID) from error
        found = _MEDIA_TYPE.fullmatch(media.strip())
        if found is None or int(found[1]) not in RATES:
            detail = f"content-type is {shown(media)}; ask for audio/l16;rate=8000, 16000 or 24000 in the NCCO"
            raise MessageError("unsupported_media", detail, UNSUPPORTED)
        self._phase = "started"
        self._capabilities = replace(_CAPABILITIES, encoding=Encoding("pcm16", int(found[1])))
        return (started,)

    def _in_call(self, event: str, message: Mapping[str, Any]) -> Sequence[Event]:
        match event:
            case "websocket:dtmf":
                # [3P] some implementers saw the digit nested
                nested = message.get("dtmf")
                return (Dtmf(digit_field(nested if isinstance(nested, dict) else message, "digit")),)
            case "websocket:notify":
                return (MarkReached(text_field(object_field(message, "payload"), "name")),)
            case "websocket:cleared":
                return ()
            case _:
                self._phase = "stopped"
                return (CallEnded("disconnected"),)


class VonageControl:
    """Changes to running calls, `PUT /v1/calls/UUID`.

    `account.name` is the application's id and `account.secret` its private key, PEM, which signs a token for each
    request; a secret that is no PEM is sent as it is, as a token made elsewhere.
    """

    def __init__(self, account: Account) -> None:
        """The account is the application; its secret a private key as PEM, or a ready token.

        Raises:
            ValueError: the secret is a PEM, but no RSA private key without a password.
        """
        self.account = account
        self._key = _private_key(account.secret)

    def transfer(self, call_id: str, target: str) -> RestRequest:
        """Give the call a new NCCO that connects it to a telephone number or a SIP address.

        Raises:
            ValueError: `target` is neither.
        """
        ncco = [connect_to(target, self.account.number)]
        return self._update(call_id, {"action": "transfer", "destination": {"type": "ncco", "ncco": ncco}})

    def hang_up(self, call_id: str) -> RestRequest:
        """End the call."""
        return self._update(call_id, {"action": "hangup"})

    def ended(self, status: int, answer: Mapping[str, Any]) -> bool:
        """Vonage knows no such call any more."""
        return status == 404

    def _update(self, call_id: str, change: Mapping[str, Any]) -> RestRequest:
        return RestRequest(
            "PUT",
            f"{(self.account.url or API_URL).rstrip('/')}/v1/calls/{quote(call_id, safe='')}",
            json=change,
            headers={"Authorization": f"Bearer {self._token()}"},
        )

    def _token(self) -> str:
        if self._key is None:
            return self.account.secret
        now = int(self.account.wall_s())
        claims = {"application_id": self.account.name, "iat": now, "exp": now + TOKEN_S, "jti": secrets.token_hex(16)}
        signed = ".".join(_segment(compact(part).encode()) for part in ({"alg": "RS256", "typ": "JWT"}, claims))
        return f"{signed}.{_segment(self._key.sign(signed.encode(), PKCS1v15(), SHA256()))}"


def _private_key(secret: str) -> RSAPrivateKey | None:
    if not secret.lstrip().startswith("-----BEGIN"):
        return None
    try:
        key = load_pem_private_key(secret.encode(), None)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("the private key of the Vonage application cannot be read; download it anew") from error
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("the private key of the Vonage application is no RSA key; download it from the dashboard")
    return key


def connect_to(target: str, caller_id: str | None = None) -> dict[str, Any]:
    """The NCCO action that connects the caller to `target`: E.164, or a SIP address. `caller_id`: shown there, E.164.

    Raises:
        ValueError: `target` is neither.
    """
    number = _E164.fullmatch(target)
    if number is not None:
        endpoint = {"type": "phone", "number": number[1]}
    elif _SIP.fullmatch(target):
        endpoint = {"type": "sip", "uri": target}
    else:
        raise ValueError(f"target is {target[:40]!r}; Vonage takes E.164 such as +15550100, or sip:USER@HOST")
    return {"action": "connect", **_caller(caller_id), "endpoint": [endpoint]}


def _caller(number: str | None) -> dict[str, Any]:
    """Whom a connect action shows as caller: one of the account's numbers, any where none is said."""
    return {"from": number.removeprefix("+")} if number else {"randomFromNumber": True}


def _segment(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _claims(token: str) -> dict[str, Any]:
    """The claims of a token whose signature was checked."""
    body = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


class VonageHook:
    """Answers Vonage's answer webhook (method POST) by NCCOs.

    Vonage signs webhooks by a JWT (HS256, the account's signature secret) whose `payload_hash` is the SHA-256 of the
    body. When our socket closes the NCCO has no further action, so the call ends: `after` is not asked.
    """

    media_type = "application/json"

    def signed(self, request: HookRequest, key: str, wall_s: float) -> bool:
        """Whether the JWT is good, not expired, and of this body; a query is not covered, so only POST is taken."""
        if request.method != "POST":
            return False
        asking = Asking("vonage", "", request.headers)
        if not isinstance(SignedJwt().check(asking, Keys(key, wall_s, Nonces())), Admitted):
            return False
        given = _claims(request.headers["authorization"]).get("payload_hash")
        if given is None:
            return not request.body
        return isinstance(given, str) and hmac.compare_digest(
            hashlib.sha256(request.body).hexdigest().encode(), given.lower().encode("utf-8", "replace")
        )

    def call_id(self, request: HookRequest) -> str | None:
        """The leg's `uuid`, which `headers` carry to the start."""
        return request.form.get("uuid") or None

    def connect(self, request: HookRequest, stream_url: str, after_url: str, parameters: Mapping[str, str]) -> str:
        """Connect the call to our websocket at 16 kHz.

        Raises:
            ValueError: `headers` take more than 512 bytes.
        """
        named = {"uuid": "uuid", "caller": "from", "called": "to"}
        known = {name: request.form[field] for name, field in named.items() if request.form.get(field)}
        headers = {**parameters, **known}
        size = len(compact(headers))
        if size > MAX_HEADERS:
            raise ValueError(f"parameters take {size} bytes; Vonage allows {MAX_HEADERS}: pass an id instead")
        endpoint = {
            "type": "websocket",
            "uri": stream_url,
            "content-type": "audio/l16;rate=16000",
            "headers": headers,
            "authorization": {"type": "vonage"},
        }
        return json.dumps([{"action": "connect", **_caller(request.form.get("to")), "endpoint": [endpoint]}])

    def busy(self) -> str:
        """An NCCO without actions: Vonage hangs up; it has no busy tone for a call it asks about."""
        return "[]"

    def after(self, target: str | None) -> str:
        """Connect the caller to `target`, or hang up."""
        return json.dumps([] if target is None else [connect_to(target)])


GATEWAYS = (
    Gateway(
        name="vonage",
        title="Vonage Voice API",
        new=VonageProtocol,
        capabilities=_CAPABILITIES,
        ways=(SignedJwt(), Bearer()),
        control=VonageControl,
        hook=VonageHook(),
        asks_after=False,
        wire="binary L16 in exact 20 ms, text JSON",
        verified="documents; official SDK types (vonage-voice 1.5.1, vonage-jwt 1.1.5); not run",
    ),
)
