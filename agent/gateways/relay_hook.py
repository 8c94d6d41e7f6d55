"""TwiML for ConversationRelay: what we answer Twilio when a call comes in and when the session has ended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit
from xml.etree import ElementTree

from agent.gateways import twiml
from agent.gateways.auth import check_twilio_signature
from agent.gateways.gateway import HookRequest

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SESSION = {
    "dtmfDetection": "true",
    "interruptible": "any",
    "reportInputDuringAgentSpeech": "any",
    "events": "speaker-events tokens-played",
}
"""Speech and keys interrupt, and are reported even where they may not; what was spoken is reported."""


def connect_relay(relay_url: str, parameters: Mapping[str, str] | None = None, action: str | None = None) -> str:
    """Answer a call by a ConversationRelay session with `relay_url`; `parameters` arrive with its setup message.

    Twilio asks `action` what to do next once the session has ended. There is no greeting: the agent speaks first.

    Raises:
        agent.gateways.twiml.TwimlError: the URL is not wss, or a value holds what XML forbids.
    """
    try:
        parts = urlsplit(relay_url)
        host = parts.hostname
    except ValueError as error:
        raise twiml.TwimlError(f"relay URL {relay_url[:80]!a}: {error}") from error
    if parts.scheme != "wss" or not host:
        raise twiml.TwimlError(f"relay URL begins with {parts.scheme or 'nothing'!r}; Twilio connects to wss://HOST")
    given = dict(parameters or {})
    for text in (relay_url, action or "", *given, *given.values()):
        if _NOT_XML.search(text):
            raise twiml.TwimlError(f"{text[:40]!a} holds a character that XML forbids; remove it")
    response = ElementTree.Element("Response")
    connect = ElementTree.SubElement(response, "Connect", {} if action is None else {"action": action})
    relay = ElementTree.SubElement(connect, "ConversationRelay", {"url": relay_url, **_SESSION})
    for name, value in given.items():
        ElementTree.SubElement(relay, "Parameter", {"name": name, "value": value})
    return '<?xml version="1.0" encoding="UTF-8"?>' + ElementTree.tostring(response, encoding="unicode")


class RelayHook:
    """Twilio's questions per call; see `agent.gateways.gateway.VoiceHook`."""

    media_type = "application/xml"

    def signed(self, request: HookRequest, key: str, wall_s: float) -> bool:
        """Whether Twilio signed the request: the address and the form, with no time in it."""
        signature = request.headers.get("x-twilio-signature")
        return signature is not None and check_twilio_signature(key, request.url, request.form, signature)

    def call_id(self, request: HookRequest) -> str | None:
        return request.form.get("CallSid")

    def connect(self, request: HookRequest, stream_url: str, after_url: str, parameters: Mapping[str, str]) -> str:
        return connect_relay(stream_url, parameters, after_url)

    def busy(self) -> str:
        return twiml.busy()

    def after(self, target: str | None) -> str:
        return twiml.hang_up() if target is None else twiml.dial(target)
