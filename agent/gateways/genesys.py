"""Genesys Cloud: the Audio Connector, which gives us a caller, and the AudioHook Monitor, which lets us listen.

Both are AudioHook sessions; see `agent.gateways.audiohook` for what is wrong in them and what then happens. Beyond
that, the Connector has keys and news of playback, and takes our audio; the Monitor takes events for the human agent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agent.gateways.audiohook import AudioHook, duration, voices
from agent.gateways.base import (
    Answer,
    Capabilities,
    Clear,
    Command,
    Dtmf,
    Event,
    Play,
    ShowSuggestion,
    ShowTranscript,
    Transfer,
)
from agent.gateways.gateway import Gateway, Opening
from agent.gateways.http_signature import HttpSignature
from agent.gateways.messages import MessageError, digit_field, shown
from audio.codec import Encoding

MAX_AUDIO = 64_000
"""Largest audio message that Genesys takes, bytes."""
_MOST_WAIT_MS = 10_000.0
"""Longest wait that a rate limit may impose: beyond it a caller has long hung up."""
_MAX_VARIABLE = 1000  # characters

_MULAW = Encoding("mulaw", 8000)
_CONNECTOR = Capabilities(
    encoding=_MULAW,
    frame_ms=200,
    bulk=True,
    lead_ms=400.0,
    max_out=MAX_AUDIO,
    messages_per_s=5.0,
    marks="none",
    clear=True,
    dtmf_in=True,
    transfer="message",
    hangup="message",
)
_MONITOR = Capabilities(
    encoding=_MULAW,
    frame_ms=200,
    marks="none",
    clear=False,
    dtmf_in=False,
    hangup="message",
    captions=True,
    audio_out=False,
    monitor=True,
)
_SIGNED = HttpSignature(
    (
        "@request-target",
        "@authority",
        "audiohook-organization-id",
        "audiohook-session-id",
        "audiohook-correlation-id",
        "x-api-key",
    )
)


class GenesysConnector(AudioHook):
    """A call of the Architect action "Call Audio Connector".

    A transfer and a hang-up both end the session with output variables; the flow does the rest. Where Genesys reports
    error 429, our audio is held back for as long as it asks, measured by the audio that comes in, and then sent in one
    piece. `playback_started` and `playback_completed` name no audio and so prove nothing of what was heard: they are
    read and not used.
    """

    name = "genesys-connector"

    def __init__(self, opening: Opening) -> None:
        stereo: list[list[Any]] = [["external"], ["external", "internal"], ["internal", "external"]]
        super().__init__(opening, _CONNECTOR, stereo)
        self._held = bytearray()
        self._held_until_ms: float | None = None

    def obey(self, command: Command) -> Sequence[str | bytes]:
        match command:
            case Play(audio) if self._held_until_ms is not None:
                self._held += audio
                return ()
            case Play(audio):
                return _pieces(audio)
            case Clear():
                self._held.clear()
                return (self.event("barge_in", {}),)
            case Transfer(target, context):
                variables = self.outcome("transfer", {**context, "transfer_target": target})
                return (self.disconnect("completed", "transfer", variables),)
            case _:
                return ()

    def outcome(self, outcome: str, context: Mapping[str, str]) -> Mapping[str, str]:
        return {**{name: value[:_MAX_VARIABLE] for name, value in context.items()}, "outcome": outcome}

    def limited(self, wait_ms: float) -> None:
        self._held_until_ms = self.stream_ms + min(wait_ms, _MOST_WAIT_MS)

    def heard(self, audio: bytes, at_ms: int) -> Sequence[Event]:
        events: list[Event] = [piece for piece in voices(audio, self.channels, at_ms) if piece.speaker == "caller"]
        if self._held_until_ms is not None and self.stream_ms >= self._held_until_ms:
            events += [Answer(piece) for piece in _pieces(bytes(self._held))]
            self._held.clear()
            self._held_until_ms = None
        return events

    def told(self, kind: str, parameters: Mapping[str, Any]) -> Sequence[Event]:
        match kind:
            case "dtmf":
                return (Dtmf(digit_field(parameters, "digit")),)
            case "playback_started" | "playback_completed":
                return ()
            case _:
                raise _unknown(kind)


class GenesysMonitor(AudioHook):
    """A conversation between a caller and a human agent that we listen to.

    What was said goes back as `transcript` events; what the agent could say as `agentassist` suggestions. While Genesys
    asks us to wait (error 429), text that may still change is left out.
    """

    name = "genesys-monitor"

    def __init__(self, opening: Opening) -> None:
        both: list[list[Any]] = [["external", "internal"], ["internal", "external"], ["external"], ["internal"]]
        super().__init__(opening, _MONITOR, both)
        self._suggestions = 0
        self._limited_until_ms = 0.0

    def obey(self, command: Command) -> Sequence[str | bytes]:
        match command:
            case ShowTranscript(final=False) if self.stream_ms < self._limited_until_ms:
                return ()
            case ShowTranscript(text=text) if text:
                return (self.event("transcript", self._transcript(command)),)
            case ShowSuggestion():
                return (self.event("agentassist", self._suggestion(command)),)
            case _:
                return ()

    def limited(self, wait_ms: float) -> None:
        self._limited_until_ms = self.stream_ms + min(wait_ms, _MOST_WAIT_MS)

    def heard(self, audio: bytes, at_ms: int) -> Sequence[Event]:
        return voices(audio, self.channels, at_ms)

    def told(self, kind: str, parameters: Mapping[str, Any]) -> Sequence[Event]:
        raise _unknown(kind)

    def _transcript(self, said: ShowTranscript) -> dict[str, object]:
        channel = "external" if said.speaker == "caller" else "internal"
        data: dict[str, object] = {
            "id": self.own_id(f"{said.speaker} {said.turn}"),
            "channelId": self.channels.index(channel) if channel in self.channels else 0,
            "isFinal": said.final,
        }
        if said.begin_ms is not None:
            begin = self.stream_time(said.begin_ms)
            data["offset"] = duration(begin)
            if said.end_ms is not None:
                data["duration"] = duration(self.stream_time(said.end_ms) - begin)
        confidence = 1.0 if said.confidence is None else min(1.0, max(0.0, said.confidence))
        shown_as = {"type": "display", "transcript": said.text}
        data["alternatives"] = [{"confidence": round(confidence, 4), "interpretations": [shown_as]}]
        return data

    def _suggestion(self, suggestion: ShowSuggestion) -> dict[str, object]:
        self._suggestions += 1
        article = {
            "type": "article",
            "id": self.own_id(f"article {suggestion.source} {suggestion.title}"),
            "confidence": round(min(1.0, max(0.0, suggestion.confidence)), 4),
            "title": suggestion.title,
            "excerpts": [suggestion.text],
            "documentUri": suggestion.source,
        }
        return {"id": self.own_id(f"suggestion {self._suggestions}"), "suggestions": [article]}


def _unknown(kind: str) -> MessageError:
    return MessageError("unknown_type", f"type {shown(kind)} is not known; it is ignored", weight="harmless")


def _pieces(audio: bytes) -> list[bytes]:
    return [audio[at : at + MAX_AUDIO] for at in range(0, len(audio), MAX_AUDIO)]


_VERIFIED = "documents; Genesys' reference client and signature library (audiohook-reference-implementation 2871b01)"
GATEWAYS = (
    Gateway(
        name=GenesysConnector.name,
        title="Genesys Cloud Audio Connector",
        new=GenesysConnector,
        capabilities=_CONNECTOR,
        ways=(_SIGNED,),
        refuses="message",
        wire="binary mu-law, text JSON",
        verified=_VERIFIED + "; the Connector's own messages: documents only",
    ),
    Gateway(
        name=GenesysMonitor.name,
        title="Genesys Cloud AudioHook Monitor",
        new=GenesysMonitor,
        capabilities=_MONITOR,
        ways=(_SIGNED,),
        refuses="message",
        wire="binary mu-law, two channels; text JSON",
        verified=_VERIFIED,
    ),
)
