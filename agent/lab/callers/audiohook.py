"""Genesys Cloud's half of an AudioHook session, whatever it is for.

Numbers, timers and strictness are those of Genesys' reference client, counted in frames of voice instead of seconds.
"""

from __future__ import annotations

import json
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from agent.lab.callers.catalogue import Who
from agent.lab.line import FRAME_MS, FromAgent, Heard, Left, Messages, Respond, Told, Wrong
from audio import g711
from audio.codec import Pcm16

RATE = 8000
ORGANIZATION = "d7934305-0972-4844-938e-9060eef73d05"
_PIECE = RATE // 5
"""Samples of an audio message, 200 ms."""
_FIRST_PING, _PING = 1000 // FRAME_MS, 5000 // FRAME_MS
_MAX_AUDIO = 64_000
_MAX_TEXT = 65_535
_LANGUAGES = {"en": "en-US", "zh": "zh-CN"}
_TYPES = ("opened", "pong", "pause", "resume", "event", "updated", "reconnect", "disconnect", "closed")


class AudioHookCaller:
    """One AudioHook session from Genesys' side. What Genesys would end the session for is reported as `Wrong`."""

    rate = RATE
    channels: tuple[tuple[str, ...], ...] = (("external",),)
    """What is offered, the best first."""
    listens = False
    """Whether it takes audio."""

    def __init__(self, who: Who | None = None) -> None:
        self._who = who or Who()
        self.session = str(uuid.uuid4())
        self.call = str(uuid.uuid4())
        """The conversation's id."""
        self.offered = [
            {"type": "audio", "format": "PCMU", "channels": list(channels), "rate": RATE} for channels in self.channels
        ]
        self.variables: dict[str, str] = {}
        """Output variables the session ended with."""
        self.limited = 0
        """Audio messages beyond the rate limit; they were dropped."""
        self._phase: Literal["opening", "open", "closing", "closed"] = "opening"
        self._chosen: list[str] = []
        self._seq = 0
        self._server_seq = 0
        self._samples = 0
        self._paused_at: int | None = None
        self._voice: list[Pcm16] = []
        self._frames = 0
        self._ping: int | None = None
        self._ping_due = _FIRST_PING
        self._pinged = False
        self._ending = ""
        self._wrongs: deque[Wrong] = deque()

    def opening(self) -> Messages:
        who = self._who
        language = _LANGUAGES.get(who.parameters.get("language", ""))
        participant = {"id": str(uuid.uuid4()), "ani": who.caller or "", "aniName": "", "dnis": who.called or ""}
        parameters: dict[str, Any] = {
            "organizationId": ORGANIZATION,
            "conversationId": self.call,
            "participant": participant,
            "media": self.offered,
            **({"language": language} if language else {}),
            **self.more(who.parameters),
        }
        return [self.message("open", parameters)]

    def more(self, parameters: Mapping[str, str]) -> Mapping[str, Any]:
        """Further parameters of `open`."""
        return {}

    def message(self, kind: str, parameters: Mapping[str, Any]) -> str:
        """Write the next message."""
        self._seq += 1
        head = {"version": "2", "type": kind, "id": self.session, "seq": self._seq, "serverseq": self._server_seq}
        return json.dumps({**head, "position": _duration(self._samples), "parameters": parameters})

    def voice(self, samples: Pcm16) -> Messages:
        if self._phase != "open":
            return []
        messages: list[str | bytes] = [*self._pinging(), *self.tick()]
        if self._paused_at is not None:
            self._samples += len(samples)
            return messages
        self._voice.append(samples)
        if sum(len(piece) for piece in self._voice) >= _PIECE:
            audio = np.concatenate(self._voice)
            self._voice = []
            self._samples += len(audio)
            messages.append(self.audio(g711.encode_mulaw(audio), self._chosen))
        return messages

    def audio(self, caller: bytes, channels: Sequence[str]) -> bytes:
        """Write audio of all channels."""
        silence = g711.encode_mulaw(np.zeros(len(caller), dtype=np.int16))
        return interleaved([caller if channel == "external" else silence for channel in channels])

    def tick(self) -> Messages:
        """What is due after another 20 ms."""
        return []

    def _pinging(self) -> Messages:
        self._frames += 1
        if self._frames < self._ping_due:
            return []
        if self._ping is not None:
            self._wrongs.append(Wrong(f"no pong to the ping with seq {self._ping}"))
            return self._fail(408, "Timeout waiting for pong")
        self._ping_due = self._frames + _PING
        return [self._write_ping({} if not self._pinged else {"rtt": "PT0.02S"})]

    def _write_ping(self, parameters: Mapping[str, Any]) -> str:
        written = self.message("ping", parameters)
        self._ping = self._seq
        return written

    def lost(self) -> None:
        """Nothing: what is lost before Genesys shows as silence after it."""

    def key(self, digit: str) -> Messages:
        return []

    def text(self, text: str) -> Messages:
        return []

    def played(self, name: str) -> Messages:
        return []

    def cleared(self, name: str) -> Messages:
        return []

    def closing(self) -> Messages:
        return self._close("end")

    def _close(self, reason: str) -> Messages:
        if self._phase in ("closing", "closed"):
            return []
        self._phase = "closing"
        return [self.message("close", {"reason": reason})]

    def _fail(self, code: int, detail: str) -> Messages:
        if self._phase in ("closing", "closed"):
            return []
        return [self.message("error", {"code": code, "message": detail}), *self._close("error")]

    def receive(self, message: str | bytes) -> Sequence[FromAgent]:
        earlier = [self._wrongs.popleft() for _ in range(len(self._wrongs))]
        return [*earlier, *(self._binary(message) if isinstance(message, bytes) else self._text(message))]

    def _wrong(self, code: int, detail: str) -> Sequence[FromAgent]:
        messages = self._fail(code, detail)
        return [Wrong(detail), Respond(messages)] if messages else [Wrong(detail)]

    def _binary(self, audio: bytes) -> Sequence[FromAgent]:
        if not self.listens:
            return self._wrong(415, f"a binary message of {len(audio)} bytes; a monitor takes none")
        if self._phase != "open":
            return [Wrong(f"audio while the session is {self._phase}")]
        if not 0 < len(audio) <= _MAX_AUDIO:
            return self._wrong(413, f"audio of {len(audio)} bytes; 1 to {_MAX_AUDIO} are taken")
        return self.heard(g711.decode_mulaw(audio))

    def heard(self, samples: Pcm16) -> Sequence[FromAgent]:
        """Take the agent's audio."""
        return [Heard(samples)]

    def _text(self, text: str) -> Sequence[FromAgent]:
        if len(text) > _MAX_TEXT:
            return self._wrong(413, f"a message of {len(text)} characters; {_MAX_TEXT} are the most")
        try:
            data = json.loads(text)
        except ValueError:
            return self._wrong(400, f"not JSON: {text[:60]!r}")
        fault = self._envelope(data)
        if fault is not None:
            return self._wrong(400, fault)
        self._server_seq += 1
        return self._read(data["type"], data["parameters"], data)

    def _envelope(self, data: Any) -> str | None:
        """What is wrong with a message's head."""
        if not isinstance(data, dict) or not isinstance(data.get("parameters"), dict):
            return "no object with parameters"
        if data.get("version") != "2" or data.get("id") != self.session or data.get("type") not in _TYPES:
            return f"version {data.get('version')!r}, id {data.get('id')!r} or type {data.get('type')!r}"
        if data.get("seq") != self._server_seq + 1:
            return f"seq is {data.get('seq')!r} where {self._server_seq + 1} was due"
        seen = data.get("clientseq")
        if not isinstance(seen, int) or not 0 <= seen <= self._seq:
            return f"clientseq is {seen!r}; {self._seq} were sent"
        return None

    def _read(self, kind: str, parameters: dict[str, Any], data: dict[str, Any]) -> Sequence[FromAgent]:
        match kind:
            case "opened":
                return self._opened(parameters)
            case "pong":
                return self._pong(data["clientseq"])
            case "closed" if self._phase == "closing":
                self._phase = "closed"
                return [Left(self._ending)] if self._ending else []
            case "disconnect":
                return self._disconnected(parameters, data)
            case "pause" | "resume" if self._phase == "open":
                return [Respond([self._pausing(kind == "pause")])]
            case "event":
                return self._events(parameters, data)
            case "updated" | "reconnect" | "pause" | "resume":
                return [Told(data)]
            case _:
                return self._wrong(409, f"{kind} while the session is {self._phase}")

    def _opened(self, parameters: dict[str, Any]) -> Sequence[FromAgent]:
        media = parameters.get("media")
        if self._phase != "opening":
            return self._wrong(409, f"opened while the session is {self._phase}")
        if not isinstance(media, list) or len(media) != 1 or media[0] not in self.offered:
            return self._wrong(400, f"media {media!r} is not one of those offered")
        self._phase = "open"
        self._chosen = media[0]["channels"]
        return []

    def _pong(self, number: int) -> Sequence[FromAgent]:
        if self._ping is None or number != self._ping:
            return self._wrong(400, f"a pong with clientseq {number}; the ping's seq is {self._ping}")
        self._ping = None
        if self._pinged or self._phase != "open":
            return []
        # The first answer is followed by another ping at once, so that the server learns the round trip's length.
        self._pinged = True
        return [Respond([self._write_ping({"rtt": "PT0.02S"})])]

    def _disconnected(self, parameters: dict[str, Any], data: dict[str, Any]) -> Sequence[FromAgent]:
        reason, variables = parameters.get("reason"), parameters.get("outputVariables", {})
        if reason not in ("completed", "unauthorized", "error"):
            return self._wrong(400, f"disconnect with reason {reason!r}")
        if not isinstance(variables, dict) or not all(isinstance(value, str) for value in variables.values()):
            return self._wrong(400, "outputVariables are not all texts")
        if variables and not self.listens:
            return self._wrong(400, "outputVariables to a monitor")
        self.variables = dict(variables)
        self._ending = self._ending or str(reason)
        messages = self._close("disconnect")
        return [Told(data), Respond(messages)] if messages else [Told(data)]

    def _pausing(self, on: bool) -> str:
        if on:
            self._paused_at = self._samples if self._paused_at is None else self._paused_at
            return self.message("paused", {})
        began = self._samples if self._paused_at is None else self._paused_at
        self._paused_at = None
        return self.message("resumed", {"start": _duration(began), "discarded": _duration(self._samples - began)})

    def _events(self, parameters: dict[str, Any], data: dict[str, Any]) -> Sequence[FromAgent]:
        entities = parameters.get("entities")
        if self._phase == "opening" or not isinstance(entities, list) or not entities:
            return self._wrong(400, "an event without entities, or before opened")
        found: list[FromAgent] = []
        for entity in entities:
            kind, content = (entity.get("type"), entity.get("data")) if isinstance(entity, dict) else (None, None)
            if not isinstance(kind, str) or not isinstance(content, dict):
                return self._wrong(400, f"an entity without type or data: {str(entity)[:60]}")
            found += self.entity(kind, content)
        return [*found, Told(data)]

    def entity(self, kind: str, content: dict[str, Any]) -> Sequence[FromAgent]:
        """Take one entity of an event."""
        return [Wrong(f"an entity of type {kind!r}")]


def interleaved(channels: Sequence[bytes]) -> bytes:
    """Sample by sample in turn; all of the same length."""
    return np.stack([np.frombuffer(channel, dtype=np.uint8) for channel in channels], axis=1).tobytes()


def _duration(samples: int) -> str:
    return f"PT{samples / RATE:g}S" if samples < RATE else f"PT{samples / RATE:.3f}S"
