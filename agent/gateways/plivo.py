"""Plivo audio streaming, and Vobiz, which speaks the same: the dialect, the webhooks, the REST call control."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit
from xml.etree import ElementTree

from agent.gateways import twiml
from agent.gateways.base import Capabilities
from agent.gateways.dialect import Dialect, StreamProtocol
from agent.gateways.gateway import Account, Gateway, HookRequest
from agent.gateways.rest import RestRequest
from agent.gateways.ways import Admitted, Asking, Keys, Refused, Verdict
from audio.codec import Encoding

PLIVO_CAPABILITIES = Capabilities(
    encoding=Encoding("mulaw", 8000),
    frame_ms=20,
    bulk=True,
    marks="played",
    clear=True,
    dtmf_in=True,
    dtmf_out=False,
    transfer="close",
    hangup="close",
)
PLIVO_DIALECT = Dialect(
    name="plivo",
    capabilities=PLIVO_CAPABILITIES,
    formats=MappingProxyType({"audio/x-mulaw": "mulaw", "audio/x-l16": "pcm16"}),
    rates=MappingProxyType({"mulaw": (8000,), "pcm16": (8000, 16000)}),
    stream="streamId",
    call="callId",
    account="accountId",
    parameters="extra_headers",
    channels=None,
    play="playAudio",
    mark="checkpoint",
    played="playedStream",
    clear="clearAudio",
    cleared="clearedAudio",
    flat_marks=True,
    described=True,
    headers=True,
)
VOBIZ_DIALECT = replace(
    PLIVO_DIALECT,
    name="vobiz",
    rates=MappingProxyType({"mulaw": (8000,), "pcm16": (8000, 16000, 24000)}),
)
_MAX_HEADERS = 512  # bytes
_PLAIN = re.compile(r"[A-Za-z0-9]+")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9]")
_NUMBER = re.compile(r"[1-9][0-9]{6,14}")

Scheme = Literal["plivo", "vobiz"]


def signature(scheme: Scheme, key: str, method: str, url: str, form: Mapping[str, str], nonce: str) -> str:
    """What the vendor puts into its V3 signature: base64 of an HMAC-SHA256 over an address and `nonce`.

    Plivo signs the address with the sorted query and, for POST, the sorted form; Vobiz only the address without query.
    Sources: `plivo.utils.signature_v3` 4.63.0; Vobiz's page "Validating callbacks".
    """
    parts = urlsplit(url)
    text = urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))
    if scheme == "plivo":
        posted = form if method == "POST" else {}
        fields: dict[str, list[str]] = parse_qs(parts.query, keep_blank_values=True)
        if method != "POST":
            fields = {name: [value] for name, value in form.items()} | fields
        query = "&".join(f"{name}={value}" for name in sorted(fields) for value in sorted(fields[name]))
        if query or posted:
            text += f"?{query}"
        if query and posted:
            text += "."
        text += "".join(name + posted[name] for name in sorted(posted))
    signed = f"{text}.{nonce}".encode("utf-8", "surrogatepass")
    return base64.b64encode(hmac.new(key.encode(), signed, hashlib.sha256).digest()).decode("ascii")


def _signed(
    scheme: Scheme, key: str, method: str, url: str, form: Mapping[str, str], headers: Mapping[str, str]
) -> bool:
    nonce = headers.get(f"x-{scheme}-signature-v3-nonce", "")
    given = [
        one.strip().encode("utf-8", "surrogatepass")
        for kind in ("v3", "ma-v3")
        for one in headers.get(f"x-{scheme}-signature-{kind}", "").split(",")[:4]
    ]
    wanted = signature(scheme, key, method, url, form, nonce).encode()
    matches = [hmac.compare_digest(one, wanted) for one in given]
    return bool(nonce and key) and any(matches)


@dataclass(frozen=True, slots=True)
class SignedUpgrade:
    """The vendor's V3 signature of the stream's address. A nonce is good once.

    Neither vendor says that it signs this request; where it does not, a path token admits it.
    """

    scheme: Scheme
    name: str = "V3 signature"

    def check(self, asking: Asking, keys: Keys) -> Verdict:
        headers = asking.headers
        if f"x-{self.scheme}-signature-v3" not in headers:
            return None
        if keys.key is None or asking.url is None:
            return Refused("no_key")
        if not _signed(self.scheme, keys.key, "GET", asking.url, {}, headers):
            return Refused("bad_signature")
        nonce = headers[f"x-{self.scheme}-signature-v3-nonce"]
        if not keys.seen.use(f"{asking.gateway}:{nonce}", keys.wall_s + 3600.0, keys.wall_s):
            return Refused("replayed")
        return Admitted(f"{asking.gateway}:signature")


class PlivoControl:
    """Call control with Basic authentication; `account.name` is the auth id."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._calls = self._under(f"{(account.url or 'https://api.plivo.com').rstrip('/')}/v1")

    def _under(self, root: str) -> str:
        return f"{root}/Account/{quote(self._account.name, safe='')}/Call"

    def transfer(self, call_id: str, target: str) -> RestRequest:
        """Let the caller go on with the XML at the address `target`; numbers go by closing the stream.

        Raises:
            ValueError: `target` is not an https address.
        """
        if not target.startswith("https://"):
            raise ValueError(f"the call moves to an https address of XML only, not to {target[:40]!r}")
        return self._ask("POST", call_id, {"legs": "aleg", "aleg_url": target, "aleg_method": "POST"})

    def hang_up(self, call_id: str) -> RestRequest:
        """Delete the call."""
        return self._ask("DELETE", call_id, None)

    def ended(self, status: int, answer: Mapping[str, object]) -> bool:
        """404: there is no such call any more."""
        return status == 404

    def _ask(self, method: str, call_id: str, body: Mapping[str, str] | None) -> RestRequest:
        url = f"{self._calls}/{quote(call_id, safe='')}/"
        return RestRequest(method, url, json=body, basic=(self._account.name, self._account.secret))


class VobizControl(PlivoControl):
    """The same at Vobiz, whose headers name the account."""

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self._calls = self._under(f"{(account.url or 'https://api.vobiz.ai').rstrip('/')}/api/v1")

    def _ask(self, method: str, call_id: str, body: Mapping[str, str] | None) -> RestRequest:
        headers = {"X-Auth-ID": self._account.name, "X-Auth-Token": self._account.secret}
        return replace(super()._ask(method, call_id, body), basic=None, headers=headers)


@dataclass(frozen=True, slots=True)
class PlivoHook:
    """Answers in Plivo XML to signed requests (a `VoiceHook`)."""

    scheme: Scheme
    media_type: str = "application/xml"

    def signed(self, request: HookRequest, key: str, wall_s: float) -> bool:
        """Whether a V3 signature fits; it carries a nonce but no time."""
        return _signed(self.scheme, key, request.method, request.url, request.form, request.headers)

    def call_id(self, request: HookRequest) -> str | None:
        """The form's `CallUUID`, the start's `callId`."""
        return request.form.get("CallUUID") or None

    def connect(self, request: HookRequest, stream_url: str, after_url: str, parameters: Mapping[str, str]) -> str:
        """Stream the call as mu-law until we close the stream; then `after_url` is asked.

        The numbers of caller and called travel as extra headers of their digits.

        Raises:
            ValueError: a parameter holds more than letters and digits, or all of them more than 512 bytes.
        """
        twiml.check_stream_url(stream_url)
        called = {ours: request.form.get(theirs, "") for ours, theirs in (("caller", "From"), ("called", "To"))}
        digits = {name: _NOT_PLAIN.sub("", number) for name, number in called.items() if not number.startswith("sip:")}
        headers = _extra_headers({**parameters, **{name: number for name, number in digits.items() if number}})
        response = ElementTree.Element("Response")
        stream = ElementTree.SubElement(
            response,
            "Stream",
            twiml.given(
                bidirectional="true",
                keepCallAlive="true",
                contentType="audio/x-mulaw;rate=8000",
                audioTrack="inbound",
                extraHeaders=headers or None,
            ),
        )
        stream.text = twiml.written("stream URL", stream_url)
        ElementTree.SubElement(response, "Redirect", method="POST").text = twiml.written("after URL", after_url)
        return twiml.document(response)

    def busy(self) -> str:
        """The busy tone, unanswered."""
        response = ElementTree.Element("Response")
        ElementTree.SubElement(response, "Hangup", reason="busy")
        return twiml.document(response)

    def after(self, target: str | None) -> str:
        """Dial `target`, or hang up.

        Raises:
            agent.gateways.twiml.TwimlError: `target` is not E.164.
        """
        return twiml.dial(target) if target else twiml.hang_up()


class PlivoProtocol(StreamProtocol):
    """One stream; numbers that came as digits in extra headers get their plus sign back."""

    def _parameters(self, message: Mapping[str, object], start: Mapping[str, object]) -> dict[str, str]:
        given = super()._parameters(message, start)
        numbers = {name: f"+{given[name]}" for name in ("caller", "called") if _NUMBER.fullmatch(given.get(name, ""))}
        return given | numbers


def _extra_headers(parameters: Mapping[str, str]) -> str:
    for name, value in parameters.items():
        if not (_PLAIN.fullmatch(name) and _PLAIN.fullmatch(value)):
            raise ValueError(f"parameter {name[:40]!r} or its value holds more than letters and digits; pass an id")
    text = ",".join(f"{name}={value}" for name, value in parameters.items())
    if len(text) > _MAX_HEADERS:
        raise ValueError(f"the parameters take {len(text)} bytes; {_MAX_HEADERS} are allowed: pass an id")
    return text


def _gateway(scheme: Scheme, title: str, dialect: Dialect, control: type[PlivoControl], verified: str) -> Gateway:
    rates: Sequence[int] = dialect.rates["pcm16"]
    return Gateway(
        name=scheme,
        title=title,
        new=lambda opening: PlivoProtocol(dialect),
        capabilities=PLIVO_CAPABILITIES,
        ways=(SignedUpgrade(scheme),),
        control=control,
        hook=PlivoHook(scheme),
        wire=f"text JSON, base64; mu-law 8 kHz, or L16 {'/'.join(str(rate // 1000) for rate in rates)} kHz",
        verified=verified,
    )


PLIVO = _gateway(
    "plivo",
    "Plivo audio streaming",
    PLIVO_DIALECT,
    PlivoControl,
    "documents; official SDK types (plivo-stream-sdk 0.1.1), signature and XML of plivo 4.63.0",
)
VOBIZ = _gateway("vobiz", "Vobiz audio streaming", VOBIZ_DIALECT, VobizControl, "documents")
