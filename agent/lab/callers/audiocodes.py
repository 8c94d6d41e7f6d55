"""VoiceAI Connect's half of the Bot API's streaming mode, as a simulated caller uses it."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from agent.lab.callers.catalogue import GatewayCaller, Who
from agent.lab.line import Cleared, FromAgent, Heard, Left, Messages, Respond, Told, Wrong
from audio.codec import Encoding, Pcm16

_FORMATS = ("raw/lpcm16", "raw/mulaw")
_TOLD = {f"userStream.speech.{name}" for name in ("started", "stopped", "hypothesis", "recognition", "committed")}


class AudioCodesCaller:
    """One conversation at 16 kHz (a `LineProtocol`).

    The session is accepted first, then the user's stream is started and answered, then audio flows. One play stream at
    a time. What a `playStream.stop` cuts off is not said, so all that was not played is dropped.
    """

    rate = 16000

    def __init__(self, who: Who) -> None:
        self.call = secrets.token_hex(16)
        self._who = who
        self._encoding = Encoding("pcm16", self.rate)
        self._accepted = False
        self._listening = False
        self._playing: str | None = None
        self._used: set[str] = set()

    def opening(self) -> Messages:
        initiate = {
            "type": "session.initiate",
            "conversationId": self.call,
            "expectAudioMessages": True,
            "botName": "agent",
            "caller": self._who.caller or "+15550100",
            "supportedMediaFormats": list(_FORMATS),
        }
        return [json.dumps(initiate)]

    def voice(self, samples: Pcm16) -> Messages:
        if not self._listening:
            return []
        chunk = base64.b64encode(self._encoding.encode(samples)).decode("ascii")
        return [self._message("userStream.chunk", audioChunk=chunk)]

    def lost(self) -> None:
        """Nothing says so in this protocol: the chunk is missing."""

    def key(self, digit: str) -> Messages:
        return [self._message("activities", activities=[{"type": "event", "name": "dtmf", "value": digit}])]

    def text(self, text: str) -> Messages:
        return []

    def played(self, name: str) -> Messages:
        return []

    def cleared(self, name: str) -> Messages:
        return []

    def closing(self) -> Messages:
        return [self._message("session.end", reasonCode="client-disconnected", reason="Client Side")]

    def receive(self, message: str | bytes) -> Sequence[FromAgent]:
        if isinstance(message, bytes):
            return [Wrong(f"a binary message of {len(message)} bytes; VoiceAI Connect reads text only")]
        try:
            data = json.loads(message)
        except ValueError:
            return [Wrong(f"not JSON: {message[:60]!r}")]
        if not isinstance(data, dict) or not isinstance(kind := data.get("type"), str):
            return [Wrong(f"no 'type' in {message[:60]!r}")]
        if kind.startswith("playStream."):
            return self._play(kind, data)
        return self._read(kind, data)

    def _read(self, kind: str, data: dict[str, Any]) -> Sequence[FromAgent]:
        match kind:
            case "session.accepted":
                if self._accepted or data.get("mediaFormat") != _FORMATS[0]:
                    return [Wrong(f"session.accepted with {data.get('mediaFormat')!r}, or a second one")]
                self._accepted = True
                start = {"type": "event", "name": "start", "parameters": {"caller": self._who.caller}}
                return [Respond([self._message("activities", activities=[start]), self._message("userStream.start")])]
            case "session.error":
                return [Left(f"refused:{data.get('reason')}")]
            case _ if not self._accepted:
                return [Wrong(f"{kind} before session.accepted")]
            case "userStream.started":
                self._listening = True
                return []
            case "userStream.stopped":
                return []
            case "activities":
                return self._activities(data.get("activities"))
            case _ if kind in _TOLD:
                return [Told(data)]
        return [Wrong(f"unknown type {kind!r}")]

    def _play(self, kind: str, data: dict[str, Any]) -> Sequence[FromAgent]:
        stream = data.get("streamId")
        if not isinstance(stream, str) or not stream or not self._accepted:
            return [Wrong(f"{kind}: no streamId, or no session")]
        if kind == "playStream.start":
            if self._playing is not None or stream in self._used or data.get("mediaFormat") not in _FORMATS:
                return [Wrong(f"playStream.start: {stream!r} while {self._playing!r} plays, used, or no known format")]
            self._playing = stream
            self._used.add(stream)
            return []
        if stream != self._playing:
            return [Wrong(f"{kind}: {stream!r} is not playing")]
        if kind == "playStream.stop":
            self._playing = None
            return [Cleared()]
        try:
            samples = self._encoding.decode(base64.b64decode(data.get("audioChunk", ""), validate=True))
        except (binascii.Error, TypeError, ValueError):
            return [Wrong("playStream.chunk: audioChunk is not base64 of 16-bit samples")]
        return [Heard(samples)] if len(samples) else [Wrong("playStream.chunk: no audio")]

    def _activities(self, activities: object) -> Sequence[FromAgent]:
        events: list[FromAgent] = []
        for activity in activities if isinstance(activities, list) else [None]:
            known = activity if isinstance(activity, dict) and activity.get("type") == "event" else {}
            match known.get("name"):
                case "hangup":
                    events += [Told(known), Left(f"hangup:{_params(known).get('hangupReason')}")]
                case "transfer" | "handover":
                    events += [Told(known), Left(f"transfer:{_params(known).get('transferTarget')}")]
                case _:
                    events.append(Wrong(f"unknown activity {activity!r}"))
        return events

    def _message(self, kind: str, **fields: object) -> str:
        return json.dumps({"type": kind, "conversationId": self.call, **fields})


def _params(activity: Mapping[str, Any]) -> Mapping[str, Any]:
    params = activity.get("activityParams")
    return params if isinstance(params, dict) else {}


CALLERS = (GatewayCaller("audiocodes", AudioCodesCaller),)
