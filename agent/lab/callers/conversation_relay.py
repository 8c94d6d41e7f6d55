"""The vendors' halves of ConversationRelay, as simulated callers use them."""

from __future__ import annotations

import json
import re
import secrets
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agent.lab.callers.catalogue import GatewayCaller, Who
from agent.lab.line import FRAME_MS, FromAgent, Left, Messages, Told, Wrong
from audio.codec import Pcm16

CHARACTERS_PER_S = 15.0
"""How fast the simulated voice speaks."""
START_MS = 300.0
"""From the first words of a reply to its first sound, as measured in recordings of real calls."""

_CLAUSE = re.compile(r"[.,:;!?]+(?=\s|$)")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*|multi")
_DIGITS = re.compile(r"[0-9A-DwW#*]+")
_TEXT = {"type": str, "token": str, "last": bool}
_FLAGS = {"lang": str, "interruptible": bool, "preemptible": bool}


@dataclass(slots=True)
class _Reply:
    """What waits to be spoken: text, of which `spoken` characters were and `told` were reported; or keys to press."""

    text: str = ""
    complete: bool = False
    interruptible: bool = True
    digits: bool = False
    spoken: float = 0.0
    told: int = 0
    index: int = -1


@dataclass
class ConversationRelayCaller:
    """One session as the vendor holds it (a `LineProtocol`).

    `voice` is the clock: each call is 20 ms, in which the vendor speaks 15 characters a second. The caller's words come
    by `text`; where the agent speaks, they interrupt it first, as keys do. A message that the vendor would answer by an
    error is `Wrong`.

    heard: for each reply that was begun to be spoken, what the caller heard of it. digits: the keys the agent pressed.
    languages: the ones switched to. handoff: what the agent gave at the end.
    """

    vendor: str
    who: Who = field(default_factory=Who)
    events: bool = True
    """Whether the session asked for speaker-events and tokens-played; only Twilio has them."""

    rate = 8000

    def __post_init__(self) -> None:
        self.session = ("VX" if self._twilio else "") + secrets.token_hex(16)
        self.call = ("CA" if self._twilio else "v2:") + secrets.token_hex(16)
        self.heard: list[str] = []
        self.digits: list[str] = []
        self.languages: list[str] = []
        self.handoff: Mapping[str, str] | None = None
        self._queue: deque[_Reply] = deque()
        self._speaking = False
        self._waited_ms = 0.0

    @property
    def _twilio(self) -> bool:
        return self.vendor == "twilio-relay"

    def opening(self) -> Messages:
        setup: dict[str, Any] = {
            "type": "setup",
            "sessionId": self.session,
            "callSid": self.call,
            "from": self.who.caller or "",
            "to": self.who.called or "",
            "direction": "inbound",
            "callerName": "",
            "callStatus": "RINGING" if self._twilio else "active",
            "accountSid": "AC" + secrets.token_hex(16),
            "customParameters": dict(self.who.parameters),
        }
        if self._twilio:
            setup |= {"parentCallSid": "", "forwardedFrom": "", "callType": "PSTN"}
        else:
            leg = {"callSessionId": secrets.token_hex(16), "callLegId": secrets.token_hex(16)}
            setup |= {"callControlId": self.call, **leg}
        return [json.dumps(setup)]

    def voice(self, samples: Pcm16) -> Messages:
        if not self._queue:
            return []
        reply = self._queue[0]
        if not self._speaking:
            self._waited_ms += FRAME_MS
            if self._waited_ms < START_MS:
                return []
            self._speaking = True
            return self._info("agentSpeaking", "on")
        if reply.digits:
            return [*self._info("tokensPlayed", reply.text), *self._over()]
        reply.spoken = min(len(reply.text), reply.spoken + CHARACTERS_PER_S * FRAME_MS / 1000.0)
        self._note(reply, int(reply.spoken))
        sent: list[str | bytes] = []
        ends = [found.end() for found in _CLAUSE.finditer(reply.text)]
        if reply.complete:
            ends.append(len(reply.text.rstrip()))
        for end in sorted(set(ends)):
            if reply.told < end <= reply.spoken:
                sent += self._info("tokensPlayed", reply.text[reply.told : end])
                reply.told = end
        if reply.complete and reply.spoken >= len(reply.text):
            sent += self._over()
        return sent

    def lost(self) -> None:
        """No sound flows."""

    def key(self, digit: str) -> Messages:
        return [json.dumps({"type": "dtmf", "digit": digit}), *self._interrupt()]

    def text(self, text: str) -> Messages:
        sent = [*self._info("clientSpeaking", "on"), *self._interrupt()]
        prompt = {"type": "prompt", "voicePrompt": text, "lang": "en-US" if self._twilio else "en"}
        if not self._twilio:
            sent.append(json.dumps({**prompt, "voicePrompt": text.split(" ")[0], "last": False}))
        return [*sent, *self._info("clientSpeaking", "off"), json.dumps({**prompt, "last": True})]

    def played(self, name: str) -> Messages:
        return []

    def cleared(self, name: str) -> Messages:
        return []

    def closing(self) -> Messages:
        return []

    def receive(self, message: str | bytes) -> Sequence[FromAgent]:
        if isinstance(message, bytes):
            return [Wrong(f"a binary message of {len(message)} bytes; text only")]
        try:
            data = json.loads(message)
        except ValueError:
            return [Wrong(f"64107: not JSON: {message[:60]!r}")]
        if not isinstance(data, dict):
            return [Wrong(f"64107: no object: {message[:60]!r}")]
        if self.handoff is not None:
            return [Wrong(f"{data.get('type')!r} after the end")]
        match data.get("type"):
            case "text":
                return self._speak(data)
            case "sendDigits" if _known(data, {"type": str, "digits": str}) and _DIGITS.fullmatch(data["digits"]):
                self.digits.append(data["digits"])
                self._queue.append(_Reply(data["digits"], complete=True, digits=True))
                return [Told(data)]
            case "language" if _known(data, {"type": str, "ttsLanguage": str, "transcriptionLanguage": str}):
                self.languages.append(data["ttsLanguage"])
                good = _LANGUAGE.fullmatch(data["ttsLanguage"]) and _LANGUAGE.fullmatch(data["transcriptionLanguage"])
                return [Told(data) if good else Wrong(f"64107: language {message[:80]!r}")]
            case "end" if _known(data, {"type": str, "handoffData": str}):
                return self._end(data["handoffData"])
            case _:
                return [Wrong(f"64107: {message[:80]!r}")]

    def _speak(self, data: dict[str, Any]) -> Sequence[FromAgent]:
        token = data.get("token")
        flags = _FLAGS if self._twilio else {}
        if not _known(data, _TEXT, flags) or not isinstance(token, str) or not (token or self._twilio):
            return [Wrong(f"64107: text {json.dumps(data)[:80]!r}")]
        reply = next((reply for reply in self._queue if not reply.complete), None)
        if reply is None:
            if not token.strip() and data["last"]:
                return [Told(data)]  # the end of a reply that was interrupted
            reply = _Reply(interruptible=data.get("interruptible", True))
            self._queue.append(reply)
        reply.text += token
        reply.complete = data["last"]
        return [Told(data)]

    def _end(self, handoff: str) -> Sequence[FromAgent]:
        try:
            given = json.loads(handoff)
        except ValueError:
            given = None
        if not isinstance(given, dict):
            return [Wrong(f"handoffData is no JSON object: {handoff[:60]!r}")]
        self.handoff = given
        return [Left(str(given.get("reason") or given.get("action", "")))]

    def _note(self, reply: _Reply, count: int) -> None:
        if reply.index < 0:
            reply.index = len(self.heard)
            self.heard.append("")
        self.heard[reply.index] = reply.text[:count].rstrip()

    def _over(self) -> Messages:
        self._queue.popleft()
        if self._queue:
            return []
        self._speaking, self._waited_ms = False, 0.0
        return self._info("agentSpeaking", "off")

    def _interrupt(self) -> Messages:
        """The caller interrupts: what is spoken and all that waits is dropped, a word begun counts as not heard."""
        reply = self._queue[0] if self._queue else None
        if reply is None or not self._speaking or reply.digits or not reply.interruptible:
            return []
        cut = int(reply.spoken)
        if cut < len(reply.text) and not reply.text[cut].isspace():
            cut = max(reply.text.rfind(" ", 0, cut), reply.told)
        self._note(reply, cut)
        piece = reply.text[reply.told : cut].strip()
        interrupt = {"utteranceUntilInterrupt": piece, "durationUntilInterruptMs": int(cut / CHARACTERS_PER_S * 1000)}
        self._queue.clear()
        self._speaking, self._waited_ms = False, 0.0
        spoken = self._info("tokensPlayed", piece) if piece else []
        return [*spoken, json.dumps({"type": "interrupt", **interrupt}), *self._info("agentSpeaking", "off")]

    def _info(self, name: str, value: str) -> Messages:
        asked = self._twilio and self.events
        return [json.dumps({"type": "info", "name": name, "value": value})] if asked else []


def _known(data: Mapping[str, Any], needed: Mapping[str, type], allowed: Mapping[str, type] | None = None) -> bool:
    types = {**needed, **(allowed or {})}
    return needed.keys() <= data.keys() and all(
        name in types and isinstance(value, types[name]) for name, value in data.items()
    )


CALLERS = (
    GatewayCaller("twilio-relay", lambda who: ConversationRelayCaller("twilio-relay", who), speaks=True),
    GatewayCaller("telnyx-relay", lambda who: ConversationRelayCaller("telnyx-relay", who), speaks=True),
)
