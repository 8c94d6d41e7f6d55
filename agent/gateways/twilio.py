"""Twilio Media Streams, both ways (`<Connect><Stream>`): its dialect, its webhooks and its REST call update."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import quote

from agent.gateways import twiml
from agent.gateways.auth import check_twilio_signature
from agent.gateways.base import Capabilities
from agent.gateways.dialect import Dialect, StreamProtocol
from agent.gateways.gateway import Account, Gateway, HookRequest
from agent.gateways.rest import RestRequest
from agent.gateways.ways import UrlSignature
from audio.codec import Encoding

CAPABILITIES = Capabilities(
    encoding=Encoding("mulaw", 8000),
    frame_ms=20,
    bulk=True,
    marks="played",
    clear=True,
    dtmf_in=True,
    dtmf_out=False,
    transfer="rest",
    hangup="close",
)
DIALECT = Dialect(
    name="twilio",
    capabilities=CAPABILITIES,
    formats=MappingProxyType({"audio/x-mulaw": "mulaw"}),
    rates=MappingProxyType({"mulaw": (8000,)}),
)
_ALREADY_ENDED = 20404  # no such call in progress
_NONE: Mapping[str, str] = MappingProxyType({})


class TwilioProtocol(StreamProtocol):
    """One Media Streams connection: always 8 kHz mu-law. After `clear` Twilio returns every pending mark at once."""

    def __init__(self) -> None:
        super().__init__(DIALECT)


class TwilioControl:
    """Call updates for one account, with Basic authentication."""

    def __init__(self, account: Account, url: str = "https://api.twilio.com") -> None:
        """`account.name` is the account SID and the user name; `url` is used where the account gives none."""
        self._basic = (account.name, account.secret)
        self._number = account.number
        base = (account.url or url).rstrip("/")
        self._calls = f"{base}/2010-04-01/Accounts/{quote(account.name, safe='')}/Calls"

    def transfer(self, call_id: str, target: str) -> RestRequest:
        """Connect the caller to the number `target`, as `twiml.dial`; our media stream ends by that.

        Raises:
            agent.gateways.twiml.TwimlError: `target` is not E.164.
        """
        return self._update(call_id, Twiml=twiml.dial(target, self._number))

    def hang_up(self, call_id: str) -> RestRequest:
        """Complete the call."""
        return self._update(call_id, Status="completed")

    def ended(self, status: int, answer: Mapping[str, object]) -> bool:
        """404 with Twilio's code 20404: there is no such call in progress."""
        return status == 404 and answer.get("code") == _ALREADY_ENDED

    def _update(self, call_id: str, **form: str) -> RestRequest:
        return RestRequest("POST", f"{self._calls}/{quote(call_id, safe='')}.json", form=form, basic=self._basic)


@dataclass(frozen=True, slots=True)
class TwimlHook:
    """Answers in TwiML to requests signed over the address and the form's fields (a `VoiceHook`).

    header: of the signature. attributes: of the stream, besides its address.
    """

    header: str = "x-twilio-signature"
    attributes: Mapping[str, str] = field(default_factory=lambda: _NONE)
    media_type: str = "application/xml"

    def signed(self, request: HookRequest, key: str, wall_s: float) -> bool:
        """Base64 of an HMAC-SHA1; it carries no time, so it proves the vendor but not the hour."""
        form = request.form if request.method == "POST" else {}
        return check_twilio_signature(key, request.url, form, request.headers.get(self.header))

    def call_id(self, request: HookRequest) -> str | None:
        """The form's `CallSid`."""
        return request.form.get("CallSid") or None

    def connect(self, request: HookRequest, stream_url: str, after_url: str, parameters: Mapping[str, str]) -> str:
        """Stream the call; the numbers of caller and called travel as the parameters of these names.

        Raises:
            agent.gateways.twiml.TwimlError: a value cannot be written.
        """
        return twiml.connect_stream(
            stream_url, numbers(request, parameters), action=after_url, attributes=self.attributes
        )

    def busy(self) -> str:
        """The busy tone, unanswered."""
        return twiml.busy()

    def after(self, target: str | None) -> str:
        """Dial `target`, or hang up.

        Raises:
            agent.gateways.twiml.TwimlError: `target` is not E.164.
        """
        return twiml.dial(target) if target else twiml.hang_up()


def numbers(request: HookRequest, parameters: Mapping[str, str]) -> dict[str, str]:
    """`parameters` with `caller` and `called` as the vendor's form names them."""
    named = {
        ours: request.form[theirs] for ours, theirs in (("caller", "From"), ("called", "To")) if theirs in request.form
    }
    return {**parameters, **named}


TWILIO = Gateway(
    name="twilio",
    title="Twilio Media Streams",
    new=lambda opening: TwilioProtocol(),
    capabilities=CAPABILITIES,
    ways=(UrlSignature(),),
    control=TwilioControl,
    hook=TwimlHook(),
    wire="text JSON, base64; mu-law 8 kHz",
    verified="documents; Twilio's own validator (twilio 9.13.0); an independent simulator (streamdouble 0.3.0)",
)
