"""FreeSWITCH's half of mod_audio_fork and mod_audio_stream, as a simulated caller uses it."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np

from agent.lab.callers.catalogue import GatewayCaller, Who
from agent.lab.line import Cleared, FromAgent, Heard, Left, Marked, Messages, Told, Wrong
from audio.codec import Encoding, Pcm16

_MAX_MARKS = 30
_TOLD = ("transcription", "transfer", "disconnect", "error", "json")


class ForkCaller:
    """mod_audio_fork at 8 kHz mono with bidirectional streaming (a `LineProtocol`).

    Marks are as the module's source has them: at most 30; a mark belongs to the audio after it; a sample of -1 counts
    as the place of a mark; and each mark that was placed when `killAudio` came swallows a later place. DTMF is what a
    dialplan script sends by `send_text`, since the module sends none.
    """

    rate = 8000

    def __init__(self, who: Who, rate: int = 8000) -> None:
        self.rate = rate
        self.call = secrets.token_hex(16)
        self._encoding = Encoding("pcm16", rate)
        named = {"caller": who.caller, "called": who.called}
        self._metadata = {
            "uuid": self.call,
            "sampleRate": rate,
            **{name: value for name, value in named.items() if value},
            **who.parameters,
        }
        self._marks: dict[str, bool] = {}
        self._swallows = 0

    def opening(self) -> Messages:
        return [json.dumps(self._metadata)]

    def voice(self, samples: Pcm16) -> Messages:
        return [self._encoding.encode(samples)]

    def lost(self) -> None:
        """Nothing says so in this protocol: the frame is missing."""

    def key(self, digit: str) -> Messages:
        return [json.dumps({"event": "dtmf", "dtmf": digit, "duration": "160"})]

    def text(self, text: str) -> Messages:
        return []

    def played(self, name: str) -> Messages:
        self._marks.pop(name, None)
        if self._swallows:
            self._swallows -= 1
            return []
        return [self._mark(name, "playout")]

    def cleared(self, name: str) -> Messages:
        self._swallows += self._marks.pop(name, False)
        return [self._mark(name, "cleared")]

    def closing(self) -> Messages:
        return [b""]

    def receive(self, message: str | bytes) -> Sequence[FromAgent]:
        if isinstance(message, bytes):
            return self._sound(message)
        try:
            data = json.loads(message)
        except ValueError:
            return [Wrong(f"not JSON: {message[:60]!r}")]
        if not isinstance(data, dict) or not isinstance(kind := data.get("type"), str):
            return [Wrong(f"no 'type' in {message[:60]!r}")]
        return self._read(kind, data)

    def _sound(self, audio: bytes) -> Sequence[FromAgent]:
        if not audio or len(audio) % 2:
            return [Wrong(f"audio of {len(audio)} bytes; samples are 2 bytes each")]
        samples = self._encoding.decode(audio)
        places = int(np.count_nonzero(samples == -1)) if self._swallows or self._marks else 0
        taken = min(places, self._swallows)
        self._swallows -= taken
        for name in self._marks:
            self._marks[name] = True
        wrong: list[FromAgent] = []
        if places > taken:
            wrong = [Wrong(f"{places - taken} samples of -1, which the module takes for places of marks")]
        return [Heard(samples[samples != -1] if places else samples), *wrong]

    def _read(self, kind: str, data: dict[str, Any]) -> Sequence[FromAgent]:
        body = data.get("data")
        body = body if isinstance(body, dict) else {}
        match kind:
            case "mark":
                name = body.get("name")
                if not isinstance(name, str) or not name:
                    return [Wrong("mark: no data.name")]
                if len(self._marks) >= _MAX_MARKS:
                    return [Wrong(f"mark {name!r}: {_MAX_MARKS} are waiting, the module discards it")]
                self._marks[name] = False
                return [Marked(name)]
            case "killAudio":
                return [Cleared()]
            case "disconnect":
                return [Told(data), Left(f"hangup:{body.get('reason')}")]
            case "transfer":
                return [Told(data), Left(f"transfer:{body.get('target')}")]
            case _ if kind in _TOLD:
                return [Told(data)]
        return [Wrong(f"unsupported type {kind!r}")]

    def _mark(self, name: str, event: str) -> str:
        return json.dumps({"type": "mark", "data": {"name": name, "event": event}})


class StreamCaller(ForkCaller):
    """The community edition of mod_audio_stream at 8 kHz mono, with a script that plays each file when it comes."""

    def closing(self) -> Messages:
        return []

    def receive(self, message: str | bytes) -> Sequence[FromAgent]:
        if isinstance(message, bytes):
            return [Wrong(f"a binary message of {len(message)} bytes; the community edition reads text only")]
        return super().receive(message)

    def _read(self, kind: str, data: dict[str, Any]) -> Sequence[FromAgent]:
        if kind == "streamAudio":
            return self._file(data.get("data"))
        if kind == "mark":
            return [Wrong("a mark; the module has none")]
        return super()._read(kind, data)

    def _file(self, data: object) -> Sequence[FromAgent]:
        if not isinstance(data, dict) or not isinstance(audio := data.get("audioData"), str):
            return [Wrong("streamAudio: no data.audioData")]
        if data.get("audioDataType") != "raw" or data.get("sampleRate") != self.rate:
            return [Wrong(f"streamAudio: {data.get('audioDataType')!r} at {data.get('sampleRate')!r}")]
        try:
            samples = self._encoding.decode(base64.b64decode(audio, validate=True))
        except (binascii.Error, ValueError):
            return [Wrong("streamAudio: data.audioData is not base64 of 16-bit samples")]
        return [Heard(samples)] if len(samples) else [Wrong("streamAudio: no audio")]


CALLERS = (
    GatewayCaller("freeswitch-fork", ForkCaller, subprotocols=("audio.drachtio.org",)),
    GatewayCaller("freeswitch-stream", StreamCaller),
)
