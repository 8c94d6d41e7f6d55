"""SignalWire cXML `<Stream>`: Twilio's dialect with a choice of codecs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from agent.gateways.dialect import ALAW, L16, MULAW, Dialect, StreamProtocol
from agent.gateways.gateway import Account, Gateway
from agent.gateways.rest import RestRequest
from agent.gateways.twilio import CAPABILITIES, TwilioControl, TwimlHook
from agent.gateways.ways import Bearer, UrlSignature

# An update of a call takes no cXML, only the address of some; so transfers go by the stream's `action`.
SIGNALWIRE_CAPABILITIES = replace(CAPABILITIES, transfer="close")
DIALECT = Dialect(
    name="signalwire",
    capabilities=SIGNALWIRE_CAPABILITIES,
    formats=MappingProxyType({**MULAW, **ALAW, **L16}),
    rates=MappingProxyType({"mulaw": (8000,), "alaw": (8000,), "pcm16": (8000, 16000, 24000)}),
)


class SignalwireControl(TwilioControl):
    """Call updates of one project; `account.name` is the project id, `account.url` that of the space."""

    def __init__(self, account: Account) -> None:
        """`account.url`: the space's, such as https://example.signalwire.com/api/laml.

        Raises:
            ValueError: there is none; each space has its own.
        """
        if not account.url:
            raise ValueError("gateways.signalwire.api_url is missing; set https://SPACE.signalwire.com/api/laml")
        super().__init__(account)

    def transfer(self, call_id: str, target: str) -> RestRequest:
        """Let the call go on with the cXML at the address `target`; numbers go by closing the stream.

        Raises:
            ValueError: `target` is not an https address.
        """
        if not target.startswith("https://"):
            raise ValueError(f"SignalWire moves a call to an https address of cXML only, not to {target[:40]!r}")
        return self._update(call_id, Url=target, Method="POST")

    def ended(self, status: int, answer: Mapping[str, object]) -> bool:
        """404: there is no such call; SignalWire documents no code for it."""
        return status == 404


SIGNALWIRE = Gateway(
    name="signalwire",
    title="SignalWire cXML Stream",
    new=lambda opening: StreamProtocol(DIALECT),
    capabilities=SIGNALWIRE_CAPABILITIES,
    ways=(UrlSignature("x-signalwire-signature"), Bearer()),
    control=SignalwireControl,
    hook=TwimlHook("x-signalwire-signature"),
    wire="text JSON, base64; mu-law 8 kHz, or A-law 8 kHz or L16 8/16/24 kHz",
    verified="documents",
)
