"""Telnyx media streaming, both ways in `rtp` mode: its dialect, its TeXML webhooks and its Call Control commands."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from urllib.parse import quote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from agent.gateways import twiml
from agent.gateways.base import Capabilities
from agent.gateways.dialect import ALAW, L16, MULAW, Dialect, StreamProtocol
from agent.gateways.gateway import Account, Gateway, HookRequest, Opening
from agent.gateways.l16 import Order
from agent.gateways.rest import RestRequest
from agent.gateways.twilio import numbers
from agent.gateways.ways import Asking, Bearer, Keys, Verdict
from audio.codec import Encoding

TELNYX_CAPABILITIES = Capabilities(
    encoding=Encoding("mulaw", 8000),
    frame_ms=20,
    exact=True,
    bulk=True,
    marks="played",
    clear=True,
    dtmf_in=True,
    dtmf_out=False,
    transfer="rest",
    hangup="rest",
)
DIALECT = Dialect(
    name="telnyx",
    capabilities=TELNYX_CAPABILITIES,
    formats=MappingProxyType({**MULAW, **ALAW, **L16}),
    rates=MappingProxyType({"mulaw": (8000,), "alaw": (8000,), "pcm16": (8000, 16000, 24000)}),
    stream="stream_id",
    call="call_control_id",
    account="user_id",
    caller="from",
    called="to",
    parameters="custom_parameters",
    media_format="media_format",
    rate="sample_rate",
    sequence="sequence_number",
    addressed=False,
    window=5,
    ordered=False,
)
_STREAM = MappingProxyType(
    {"track": "inbound_track", "codec": "PCMU", "bidirectionalMode": "rtp", "bidirectionalCodec": "PCMU"}
)
_ENDED = 90018  # the call has already ended
_LATELY_S = 300.0  # how old a webhook may be, as in Telnyx's own validator
_PUBLIC = "ed25519:"


def split_key(key: str) -> tuple[str | None, str | None]:
    """The stream's token and the account's public key, of a key `TOKEN ed25519:BASE64`; either may be absent."""
    parts = key.split()
    token = next((part for part in parts if not part.startswith(_PUBLIC)), None)
    public = next((part.removeprefix(_PUBLIC) for part in parts if part.startswith(_PUBLIC)), None)
    return token, public


@dataclass(frozen=True, slots=True)
class StreamToken:
    """The `stream_auth_token` the stream was started with, as a bearer token or as `token` in the URL's query."""

    name: str = "stream_auth_token"

    def check(self, asking: Asking, keys: Keys) -> Verdict:
        token = split_key(keys.key)[0] if keys.key is not None else None
        return Bearer("token").check(asking, replace(keys, key=token))


class TelnyxControl:
    """Call Control commands; `account.secret` is the API key."""

    def __init__(self, account: Account) -> None:
        self._headers = {"Authorization": f"Bearer {account.secret}"}
        self._number = account.number
        self._calls = f"{(account.url or 'https://api.telnyx.com').rstrip('/')}/v2/calls"

    def transfer(self, call_id: str, target: str) -> RestRequest:
        """Dial the number or SIP address `target` and connect it to the caller.

        Raises:
            ValueError: `target` is neither E.164 nor a SIP address.
        """
        if not target.startswith(("sip:", "sips:")):
            twiml.check_number("target", target)
        return self._do(call_id, "transfer", {"to": target} | ({"from": self._number} if self._number else {}))

    def hang_up(self, call_id: str) -> RestRequest:
        """End the call."""
        return self._do(call_id, "hangup", {})

    def ended(self, status: int, answer: Mapping[str, object]) -> bool:
        """Whether one of the errors is 90018, call has already ended."""
        errors = answer.get("errors")
        return (
            status == 422
            and isinstance(errors, list)
            and any(isinstance(error, dict) and str(error.get("code")) == str(_ENDED) for error in errors)
        )

    def _do(self, call_id: str, action: str, body: Mapping[str, str]) -> RestRequest:
        url = f"{self._calls}/{quote(call_id, safe=':')}/actions/{action}"
        return RestRequest("POST", url, json=body, headers=self._headers)


@dataclass(frozen=True, slots=True)
class TexmlHook:
    """Answers in TeXML to requests signed with Ed25519 over time and body (a `VoiceHook`)."""

    media_type: str = "application/xml"

    def signed(self, request: HookRequest, key: str, wall_s: float) -> bool:
        """Whether `telnyx-signature-ed25519` is that of the account whose public key `key` holds, and not 5 min old.

        A query is not covered, so only POST is taken.
        """
        if request.method != "POST":
            return False
        public = split_key(key)[1]
        said = request.headers.get("telnyx-timestamp", "")
        if public is None or not (said.isascii() and said.isdigit() and len(said) <= 12):
            return False
        if abs(wall_s - int(said)) > _LATELY_S:
            return False
        try:
            signature = base64.b64decode(request.headers.get("telnyx-signature-ed25519", ""), validate=True)
            verifier = Ed25519PublicKey.from_public_bytes(base64.b64decode(public, validate=True))
            verifier.verify(signature, said.encode() + b"|" + request.body)
        except (binascii.Error, ValueError, InvalidSignature):
            return False
        return True

    def call_id(self, request: HookRequest) -> str | None:
        """The `CallSid` where it is a call control id, which the stream's start repeats; older ones differ."""
        given = request.form.get("CallSid", "")
        return given if given[:1] == "v" and ":" in given[:4] else None

    def connect(self, request: HookRequest, stream_url: str, after_url: str, parameters: Mapping[str, str]) -> str:
        """Stream the call as PCMU both ways, whatever its own codec; then ask `after_url`.

        Raises:
            agent.gateways.twiml.TwimlError: a value cannot be written.
        """
        return twiml.connect_stream(stream_url, numbers(request, parameters), attributes=_STREAM, redirect=after_url)

    def busy(self) -> str:
        """The busy tone, unanswered."""
        return twiml.busy()

    def after(self, target: str | None) -> str:
        """Dial `target`, or hang up.

        Raises:
            agent.gateways.twiml.TwimlError: `target` is not E.164.
        """
        return twiml.dial(target) if target else twiml.hang_up()


def _new(opening: Opening) -> StreamProtocol:
    orders: Mapping[str, Order] = {"little": "little", "big": "big"}
    return StreamProtocol(DIALECT, orders.get(opening.query.get("l16", "")))


TELNYX = Gateway(
    name="telnyx",
    title="Telnyx media streaming",
    new=_new,
    capabilities=TELNYX_CAPABILITIES,
    ways=(StreamToken(),),
    control=TelnyxControl,
    hook=TexmlHook(),
    wire="text JSON, base64; PCMU or PCMA 8 kHz, or L16 8/16/24 kHz",
    verified="documents; request builders of the official SDK (telnyx 4.189.0)",
)
