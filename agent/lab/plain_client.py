"""The client's half of the plain protocol (docs/protocol.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from agent.lab.line import Cleared, FromAgent, Heard, Left, Marked, Messages, Told, Wrong
from audio.codec import Encoding, Pcm16

VERSION = 1


class PlainClient:
    """Writes and reads the messages of one call over the plain protocol (a `LineProtocol`).

    Captions, states, turns and transfers arrive as `Told`; a hang-up or a transfer ends the call.
    """

    def __init__(
        self,
        rate: Literal[8000, 16000] = 16000,
        mode: Literal["voice", "text"] = "voice",
        audio: bool = True,
        caller: str | None = None,
        parameters: Mapping[str, str] | None = None,
        called: str | None = None,
        call: str | None = None,
    ) -> None:
        """`rate` in Hz. mode: `text` sends typed turns and no audio. audio: False asks the agent to send none.

        call: the client's own id of the call.
        """
        self.rate: int = rate
        self._encoding = Encoding("pcm16", rate)
        self._start: dict[str, Any] = {
            "type": "start",
            "version": VERSION,
            "rate": rate,
            "mode": mode,
            "audio": audio,
            "parameters": dict(parameters or {}),
        }
        named = {"caller": caller, "called": called, "call_id": call}
        self._start |= {name: value for name, value in named.items() if value}

    def opening(self) -> Messages:
        return [json.dumps(self._start)]

    def voice(self, samples: Pcm16) -> Messages:
        return [self._encoding.encode(samples)]

    def lost(self) -> None:
        """Nothing says so in this protocol: the frame is missing."""

    def key(self, digit: str) -> Messages:
        return [json.dumps({"type": "dtmf", "digit": digit})]

    def text(self, text: str) -> Messages:
        return [json.dumps({"type": "text", "text": text})]

    def played(self, name: str) -> Messages:
        return [json.dumps({"type": "mark", "name": name})]

    def cleared(self, name: str) -> Messages:
        return self.played(name)

    def closing(self) -> Messages:
        return [json.dumps({"type": "stop", "reason": "hung_up"})]

    def receive(self, message: str | bytes) -> Sequence[FromAgent]:
        if isinstance(message, bytes):
            if len(message) % 2:
                return [Wrong(f"audio of {len(message)} bytes; 16-bit samples are 2 bytes each")]
            return [Heard(self._encoding.decode(message))]
        try:
            data = json.loads(message)
        except ValueError:
            return [Wrong(f"not JSON: {message[:60]!r}")]
        if not isinstance(data, dict) or not isinstance(kind := data.get("type"), str):
            return [Wrong(f"no 'type' in {message[:60]!r}")]
        match kind:
            case "mark":
                name = data.get("name")
                return [Marked(name)] if isinstance(name, str) and name else [Wrong("mark: no name")]
            case "clear":
                return [Cleared()]
            case "hangup":
                return [Told(data), Left(f"hangup:{data.get('reason')}")]
            case "transfer":
                return [Told(data), Left(f"transfer:{data.get('target')}")]
            case _:
                return [Told(data)]
