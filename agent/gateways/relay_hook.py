"""TwiML and TeXML for ConversationRelay: what we answer when a call comes in and when the session has ended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit
from xml.etree import ElementTree

from agent.gateways.gateway import HookRequest, VoiceHook
from agent.gateways.twiml import TwimlError

TWILIO_SESSION = {
    "dtmfDetection": "true",
    "interruptible": "any",
    "reportInputDuringAgentSpeech": "any",
    "events": "speaker-events tokens-played",
}
"""Speech and keys interrupt, and are reported even where they may not; what was spoken is reported."""
TELNYX_SESSION = {"dtmfDetection": "true", "interruptible": "any"}

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class RelayHook:
    """Answers as `vendor` does for streams, with a relay session in place of the stream (a `VoiceHook`).

    session: attributes of the session, besides its address.
    """

    vendor: VoiceHook
    session: Mapping[str, str]

    @property
    def media_type(self) -> str:
        return self.vendor.media_type

    def signed(self, request: HookRequest, key: str, wall_s: float) -> bool:
        return self.vendor.signed(request, key, wall_s)

    def call_id(self, request: HookRequest) -> str | None:
        return self.vendor.call_id(request)

    def connect(self, request: HookRequest, stream_url: str, after_url: str, parameters: Mapping[str, str]) -> str:
        """Open a session with `stream_url`; the setup message itself names caller and called.

        Raises:
            agent.gateways.twiml.TwimlError: a value cannot be written.
        """
        return connect_relay(stream_url, self.session, parameters, after_url)

    def busy(self) -> str:
        return self.vendor.busy()

    def after(self, target: str | None) -> str:
        return self.vendor.after(target)


def connect_relay(relay_url: str, session: Mapping[str, str], parameters: Mapping[str, str], action: str) -> str:
    """Answer a call by a ConversationRelay session with `relay_url`; `parameters` arrive with its setup message.

    The vendor asks `action` what to do next once the session has ended. There is no greeting: the agent speaks first.

    Raises:
        agent.gateways.twiml.TwimlError: the URL is not wss, or a value holds what XML forbids.
    """
    try:
        parts = urlsplit(relay_url)
        host = parts.hostname
    except ValueError as error:
        raise TwimlError(f"relay URL {relay_url[:80]!a}: {error}") from error
    if parts.scheme != "wss" or not host:
        raise TwimlError(f"relay URL begins with {parts.scheme or 'nothing'!r}; relays connect to wss://HOST only")
    for text in (relay_url, action, *parameters, *parameters.values()):
        if _NOT_XML.search(text):
            raise TwimlError(f"{text[:40]!a} holds a character that XML forbids; remove it")
    response = ElementTree.Element("Response")
    connect = ElementTree.SubElement(response, "Connect", {"action": action})
    relay = ElementTree.SubElement(connect, "ConversationRelay", {"url": relay_url, **session})
    for name, value in parameters.items():
        ElementTree.SubElement(relay, "Parameter", {"name": name, "value": value})
    return '<?xml version="1.0" encoding="UTF-8"?>' + ElementTree.tostring(response, encoding="unicode")
