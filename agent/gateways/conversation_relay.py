"""ConversationRelay of Twilio and of Telnyx: the vendor hears and speaks, text goes both ways as JSON text messages.

Which faults end the call is said in `agent.gateways.messages`; beyond those: a setup that cannot be read ends it with
1007. Unknown messages, a second setup and messages before the setup are dropped. The caller hanging up shows only as
the socket closing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from agent.gateways.base import (
    CallStarted,
    Capabilities,
    Command,
    Dtmf,
    Event,
    Fault,
    Hangup,
    SendDtmf,
    SpeakText,
    TextHeard,
    TextIn,
    Transfer,
    TurnBegan,
)
from agent.gateways.gateway import Gateway
from agent.gateways.heard import Spoken
from agent.gateways.messages import (
    INVALID,
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
from agent.gateways.relay_hook import TELNYX_SESSION, TWILIO_SESSION, RelayHook
from agent.gateways.telnyx import StreamToken, TexmlHook
from agent.gateways.twilio import TwimlHook
from agent.gateways.ways import UrlSignature
from audio.codec import Encoding

MAX_PROMPT = 4000
"""Characters of one turn of the caller; a minute of speech has about 1,000."""
MAX_UTTERANCE = 20_000
"""Characters of one utterance reported as heard."""

_CAPABILITIES = Capabilities(
    encoding=Encoding("mulaw", 8000),
    marks="none",
    clear=False,
    dtmf_in=True,
    dtmf_out=True,
    transfer="message",
    hangup="message",
    audio_in=False,
    audio_out=False,
    text_in=True,
    text_out=True,
)
_REGIONS = {"en": "en-US", "zh": "zh-CN"}
"""The vendors name languages with a region; one that we know without is taken to be this."""
_DIGITS = re.compile(r"[0-9A-DwW#*]{1,32}")
_CARD = re.compile(r"(?:\d[ -]?){12,18}\d")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a vendor's ConversationRelay differs.

    call: the field of the setup that names the call for the vendor's API. flags: a text message says whether it may be
    interrupted or preempted. closing: the token of a message that only ends a reply.
    """

    name: str
    call: str
    flags: bool
    closing: str


TWILIO = Dialect("twilio-relay", "callSid", flags=True, closing="")
# Telnyx answers "missing required field: token"; whether it takes an empty one is written nowhere.
TELNYX = Dialect("telnyx-relay", "callControlId", flags=False, closing=" ")


class ConversationRelayProtocol:
    """One ConversationRelay session.

    A reply is everything from one `SpeakText` to the next with `last`. What was heard of it comes as `tokensPlayed`,
    where the session was set up with `events="speaker-events tokens-played"` (Twilio; our own hook does), and with the
    caller's interruption; see `agent.gateways.heard` for how it is found in the reply. We never take a reply back:
    neither vendor has a message for that. What was queued is dropped by the vendor when the caller interrupts.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.name = dialect.name
        self._dialect = dialect
        self._screen = Screen()
        self._phase: Literal["waiting", "started", "stopped"] = "waiting"
        self._spoken = Spoken()
        self._language: str | None = None
        self._began = False
        self._interim = ""

    @property
    def capabilities(self) -> Capabilities:
        """Always text both ways; transfer and hang-up end the session, and the vendor asks for what comes next."""
        return _CAPABILITIES

    def receive(self, message: str | bytes) -> Sequence[Event]:
        """Turn one websocket message into events; nothing more once a fault closed the connection."""
        return self._screen.take(message, _CAPABILITIES.max_message, self._handle)

    def send(self, command: Command) -> Sequence[str]:
        """Turn a command into messages; none before the setup, after the end, or for what has no message."""
        if self._phase != "started" or self._screen.closed:
            return ()
        match command:
            case SpeakText():
                return self._speak(command)
            case SendDtmf(digits) if _DIGITS.fullmatch(digits):
                return (compact({"type": "sendDigits", "digits": digits}),)
            case Transfer(target, context):
                return self._end({"action": "transfer", "target": target}, context)
            case Hangup(reason, context):
                return self._end({"action": "hangup", "reason": reason}, context)
            case _:
                return ()

    def _speak(self, said: SpeakText) -> Sequence[str]:
        if not said.text and not (said.last and self._spoken.open):
            return ()
        sent = []
        language = said.language and (said.language if "-" in said.language else _REGIONS.get(said.language))
        if language and language != self._language:
            # The session was set up in the first one, so that is no change.
            if self._language is not None:
                sent.append(compact({"type": "language", "ttsLanguage": language, "transcriptionLanguage": language}))
            self._language = language
        self._spoken.say(said.text, said.last)
        text: dict[str, object] = {"type": "text", "token": said.text or self._dialect.closing, "last": said.last}
        if self._dialect.flags:
            text["preemptible"] = False
            if not said.interruptible:
                text["interruptible"] = False
        sent.append(compact(text))
        return sent

    def _end(self, what: Mapping[str, str], context: Mapping[str, str]) -> Sequence[str]:
        self._phase = "stopped"
        kept = {name: _CARD.sub(_without_card, value) for name, value in context.items()}
        return (compact({"type": "end", "handoffData": json.dumps({**kept, **what}, ensure_ascii=False)}),)

    def _handle(self, raw: str | bytes) -> Sequence[Event]:
        if isinstance(raw, bytes):
            if not raw:
                return ()
            raise MessageError("binary_message", f"binary message of {len(raw)} bytes; send JSON text")
        message = parse_object(raw)
        kind = message.get("type")
        match kind:
            case "setup":
                return self._setup(message)
            case "prompt" | "dtmf" | "interrupt" | "info" | "error":
                return self._in_call(kind, message)
            case str():
                raise MessageError(
                    "unknown_event", f"type {shown(kind)} is not known; it is ignored", weight="harmless"
                )
            case _:
                raise bad_field("type", kind, "the name of a message")

    def _setup(self, message: Mapping[str, Any]) -> Sequence[Event]:
        if self._phase != "waiting":
            raise MessageError("second_setup", "a second setup; one connection carries one session")
        try:
            session = text_field(message, "sessionId")
            named = self._dialect.call if message.get(self._dialect.call) is not None else "callSid"
            started = CallStarted(
                gateway_call_id=text_field(message, named),
                stream_id=session,
                caller=optional_text_field(message, "from") if message.get("from") else None,
                called=optional_text_field(message, "to") if message.get("to") else None,
                account=optional_text_field(message, "accountSid") if message.get("accountSid") else None,
                parameters=as_parameters(_given(message), "customParameters"),
            )
        except MessageError as error:
            raise MessageError(error.code, f"setup: {error.detail}", INVALID) from error
        self._phase = "started"
        return (started,)

    def _in_call(self, kind: str, message: Mapping[str, Any]) -> Sequence[Event]:
        if self._phase == "waiting":
            raise MessageError("not_started", f"{kind} before setup; it is dropped", weight="early")
        if self._phase == "stopped":
            raise MessageError("after_stop", f"{kind} after the end; it is dropped", weight="harmless")
        match kind:
            case "prompt":
                return self._prompt(message)
            case "dtmf":
                return (Dtmf(digit_field(message, "digit")),)
            case "interrupt":
                heard = self._spoken.interrupted(_text(message, "utteranceUntilInterrupt", MAX_UTTERANCE))
                return (TextHeard(heard, stopped=True),)
            case "info":
                return self._info(message)
            case _:
                detail = f"{self.name} reports {shown(_text(message, 'description', MAX_UTTERANCE))}"
                return (Fault("gateway_error", detail),)

    def _prompt(self, message: Mapping[str, Any]) -> Sequence[Event]:
        last = message.get("last", True)
        if not isinstance(last, bool):
            raise bad_field("last", last, "true or false")
        text = _text(message, "voicePrompt", MAX_PROMPT).strip()
        language = optional_text_field(message, "lang", 35) if message.get("lang") else None
        began, self._began = self._began, not last
        if not last:
            # Each repeats what the ones before it said, and so does the last.
            self._interim = text or self._interim
            return () if began else (TurnBegan(),)
        text, self._interim = text or self._interim, ""
        return (TextIn(text, language),) if text else ()

    def _info(self, message: Mapping[str, Any]) -> Sequence[Event]:
        name = message.get("name")
        match name:
            case "tokensPlayed":
                heard = self._spoken.played(_text(message, "value", MAX_UTTERANCE))
                return () if heard is None else (TextHeard(heard),)
            case "clientSpeaking":
                began, self._began = self._began, message.get("value") == "on"
                return (TurnBegan(),) if self._began and not began else ()
            case str():
                return ()
            case _:
                raise bad_field("name", name, "the name of what happened")


def _text(message: Mapping[str, Any], name: str, max_length: int) -> str:
    """Read a field that is text, perhaps empty; absent or null is empty."""
    return text_field(message, name, max_length) if message.get(name) not in (None, "") else ""


def _given(message: Mapping[str, Any]) -> Mapping[str, Any]:
    return object_field(message, "customParameters") if message.get("customParameters") is not None else {}


def _without_card(found: re.Match[str]) -> str:
    """Neither vendor guards handoff data as card data must be: a number that checks as a card's is left out."""
    digits = [int(digit) for digit in found[0] if digit.isdigit()]
    doubled = [digit if index % 2 == 0 else sum(divmod(digit * 2, 10)) for index, digit in enumerate(reversed(digits))]
    return "[number left out]" if sum(doubled) % 10 == 0 else found[0]


GATEWAYS = (
    Gateway(
        name=TWILIO.name,
        title="Twilio ConversationRelay",
        new=lambda opening: ConversationRelayProtocol(TWILIO),
        capabilities=_CAPABILITIES,
        ways=(UrlSignature(),),
        hook=RelayHook(TwimlHook(), TWILIO_SESSION),
        wire="text JSON; words, no audio",
        verified="documents; recordings of real calls that others published; official types (twilio 9.13.0 for TwiML "
        "and signature, twilio-agent-connect 2.5.0 for messages)",
    ),
    Gateway(
        name=TELNYX.name,
        title="Telnyx ConversationRelay",
        new=lambda opening: ConversationRelayProtocol(TELNYX),
        capabilities=_CAPABILITIES,
        ways=(StreamToken(),),
        hook=RelayHook(TexmlHook(), TELNYX_SESSION),
        wire="text JSON; words, no audio",
        verified="documents",
    ),
)
