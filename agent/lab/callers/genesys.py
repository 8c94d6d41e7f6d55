"""Genesys Cloud's half of the Audio Connector and of the AudioHook Monitor, as simulated callers use them.

The rate limit is what Genesys' staff give: some 5 audio messages a second, 30 at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agent.lab.callers.audiohook import ORGANIZATION, RATE, AudioHookCaller, interleaved
from agent.lab.callers.catalogue import GatewayCaller, Who
from agent.lab.line import FRAME_MS, Cleared, FromAgent, Heard, Messages, Respond, Wrong
from audio import g711
from audio.codec import Pcm16

_BURST, _PER_S = 30.0, 5.0
_RETRY = "PT1S"
_DURATION = re.compile(r"PT(?:\d*\.)?\d+S")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[1-5][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE)


class ConnectorCaller(AudioHookCaller):
    """The Architect action "Call Audio Connector": plays our audio, stops at `barge_in`, limits the rate."""

    listens = True

    def __init__(self, who: Who | None = None) -> None:
        super().__init__(who)
        self._allowed = _BURST
        self._playing = 0

    def more(self, parameters: Mapping[str, str]) -> Mapping[str, Any]:
        return {"inputVariables": {key: value for key, value in parameters.items() if key != "language"}}

    def key(self, digit: str) -> Messages:
        return [self.message("dtmf", {"digit": digit})] if self._phase == "open" else []

    def tick(self) -> Messages:
        self._allowed = min(_BURST, self._allowed + _PER_S * FRAME_MS / 1000.0)
        if not self._playing:
            return []
        self._playing = max(0, self._playing - RATE * FRAME_MS // 1000)
        return [] if self._playing else [self.message("playback_completed", {})]

    def heard(self, samples: Pcm16) -> Sequence[FromAgent]:
        if self._allowed < 1.0:
            self.limited += 1
            error = {"code": 429, "message": "Rate limit exceeded", "retryAfter": _RETRY}
            return [Respond([self.message("error", error)])]
        self._allowed -= 1.0
        begins, self._playing = not self._playing, self._playing + len(samples)
        started = [Respond([self.message("playback_started", {})])] if begins else []
        return [Heard(samples), *started]

    def entity(self, kind: str, content: dict[str, Any]) -> Sequence[FromAgent]:
        if kind == "bot_turn_response":
            return []
        if kind != "barge_in" or content:
            return super().entity(kind, content)
        played, self._playing = bool(self._playing), 0
        completed = [Respond([self.message("playback_completed", {})])] if played and self._phase == "open" else []
        return [Cleared(), *completed]


class MonitorCaller(AudioHookCaller):
    """A monitored conversation: the line's voice is the caller's, `agent_says` adds the human agent's."""

    channels = (("external", "internal"), ("external",), ("internal",))

    def __init__(self, who: Who | None = None) -> None:
        super().__init__(who)
        self._agent = b""
        self.transcripts: list[dict[str, Any]] = []
        self.suggestions: list[dict[str, Any]] = []

    def agent_says(self, samples: Pcm16) -> None:
        """The agent speaks int16 samples[n] at 8 kHz, from the next audio message on, after what is still to come."""
        self._agent += g711.encode_mulaw(samples)

    def audio(self, caller: bytes, channels: Sequence[str]) -> bytes:
        silence = g711.encode_mulaw(np.zeros(len(caller), dtype=np.int16))
        agent = (self._agent + silence)[: len(caller)]
        self._agent = self._agent[len(caller) :]
        return interleaved([caller if channel == "external" else agent for channel in channels])

    def entity(self, kind: str, content: dict[str, Any]) -> Sequence[FromAgent]:
        match kind:
            case "transcript":
                self.transcripts.append(content)
                return _wrong_in(_transcript_faults(content))
            case "agentassist":
                self.suggestions += [item for item in content.get("suggestions", ()) if isinstance(item, dict)]
                return _wrong_in(_suggestion_faults(content))
            case _:
                return super().entity(kind, content)


def _wrong_in(faults: Sequence[str]) -> Sequence[FromAgent]:
    return [Wrong(fault) for fault in faults]


def _transcript_faults(content: Mapping[str, Any]) -> list[str]:
    faults = [] if _uuid(content.get("id")) else ["transcript: id is no UUID"]
    if content.get("channelId") not in (0, 1) or not isinstance(content.get("isFinal"), bool):
        faults.append("transcript: channelId or isFinal")
    times = [content[name] for name in ("offset", "duration") if name in content]
    faults += [f"transcript: {time!r} is no time" for time in times if not _DURATION.fullmatch(str(time))]
    alternatives = content.get("alternatives")
    if not isinstance(alternatives, list) or not alternatives:
        return [*faults, "transcript: no alternatives"]
    for one in alternatives:
        if not isinstance(one.get("confidence"), int | float) or not 0 <= one["confidence"] <= 1:
            faults.append("transcript: confidence")
        shown = one.get("interpretations") or [{}]
        if any(text.get("type") != "display" or not isinstance(text.get("transcript"), str) for text in shown):
            faults.append("transcript: interpretation")
    return faults


def _suggestion_faults(content: Mapping[str, Any]) -> list[str]:
    faults = [] if _uuid(content.get("id")) else ["agentassist: id is no UUID"]
    for item in content.get("suggestions") or [{}]:
        texts = (item.get("title"), item.get("documentUri"))
        if item.get("type") != "article" or not _uuid(item.get("id")) or not all(isinstance(t, str) for t in texts):
            faults.append("agentassist: suggestion")
        if not isinstance(item.get("excerpts"), list) or not isinstance(item.get("confidence"), int | float):
            faults.append("agentassist: excerpts or confidence")
    return faults


def _uuid(value: object) -> bool:
    return isinstance(value, str) and _UUID.fullmatch(value) is not None


_HEADERS = {
    "Audiohook-Organization-Id": ORGANIZATION,
    "Audiohook-Correlation-Id": "30b0e395-84d3-4570-ac13-9a62d8f514c0",
}
CALLERS = (
    GatewayCaller("genesys-connector", ConnectorCaller, headers=_HEADERS),
    GatewayCaller("genesys-monitor", MonitorCaller, headers=_HEADERS),
)
