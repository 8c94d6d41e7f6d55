"""The carriers' halves of the dialects of Twilio's protocol; each writes and rejects what its documentation says."""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from agent.lab.callers.catalogue import GatewayCaller, Who
from agent.lab.line import FRAME_MS, Cleared, FromAgent, Heard, Messages, Respond, Wrong
from agent.lab.twilio_caller import TwilioCaller, marked
from audio.codec import Encoding, Pcm16

_NAMES = {"mulaw": "audio/x-mulaw", "alaw": "audio/x-alaw", "pcm16": "audio/x-l16"}
_RTP_NAMES = {"mulaw": "PCMU", "alaw": "PCMA", "pcm16": "L16"}
_OVERTAKES = 10
"""Of so many chunks one comes after its successor."""


class SignalwireCaller(TwilioCaller):
    """Twilio's messages, with another codec where the script asks for one, and ids as UUIDs."""

    def __init__(
        self,
        caller: str | None = None,
        called: str | None = None,
        parameters: Mapping[str, str] | None = None,
        encoding: Encoding = TwilioCaller.encoding,
    ) -> None:
        super().__init__(caller, called, parameters)
        self.encoding, self.rate = encoding, encoding.rate
        self.stream, self.call, self.account = (str(uuid.uuid4()) for _ in range(3))

    def _start(self) -> dict[str, Any]:
        kind = {"encoding": _NAMES[self.encoding.codec], "sampleRate": self.encoding.rate, "channels": 1}
        return super()._start() | {"mediaFormat": kind}


class TelnyxCaller(TwilioCaller):
    """Telnyx in `rtp` mode: chunks overtake each other now and then, the server's messages name no stream."""

    stream_field = "stream_id"
    sequence_field = "sequence_number"
    addressed = False

    def __init__(
        self,
        caller: str | None = None,
        called: str | None = None,
        parameters: Mapping[str, str] | None = None,
        encoding: Encoding = TwilioCaller.encoding,
        order: Literal["little", "big"] = "big",
    ) -> None:
        """`order` of the bytes of 16-bit samples."""
        super().__init__(parameters=parameters)
        self.encoding, self.rate = encoding, encoding.rate
        self.stream, self.account = str(uuid.uuid4()), str(uuid.uuid4())
        self.call = f"v3:{secrets.token_urlsafe(40)}"
        self._caller, self._called = caller, called
        self._swap = encoding.codec == "pcm16" and order == "big"
        self._held: list[str | bytes] = []

    def opening(self) -> Messages:
        return [json.dumps({"event": "connected", "version": "1.0.0"}), self._event("start", self._start())]

    def _start(self) -> dict[str, Any]:
        return {
            "user_id": self.account,
            "call_control_id": self.call,
            "call_session_id": str(uuid.uuid4()),
            "from": self._caller or "",
            "to": self._called or "",
            "tags": [],
            "client_state": "",
            "custom_parameters": self._parameters,
            "media_format": {
                "encoding": _RTP_NAMES[self.encoding.codec],
                "sample_rate": self.encoding.rate,
                "channels": 1,
            },
        }

    def voice(self, samples: Pcm16) -> Messages:
        (message,) = super().voice(samples.byteswap() if self._swap else samples)
        if self._chunk % _OVERTAKES == 0:
            self._held.append(message)
            return []
        held, self._held = self._held, []
        return [message, *held]

    def key(self, digit: str) -> Messages:
        dtmf = json.loads(self._event("dtmf", {"digit": digit}))
        return [json.dumps(dtmf | {"occurred_at": "2030-01-01T00:00:00.000000Z"})]

    def closing(self) -> Messages:
        return [*self._held, self._event("stop", {"user_id": self.account, "call_control_id": self.call})]

    def _size(self, size: int) -> str | None:
        least = len(self.encoding.silence(self.rate * FRAME_MS // 1000))
        if not least <= size <= least * 1500:  # 30 s
            return f"{size} bytes; the carrier takes 20 ms to 30 s"
        return super()._size(size)

    def _heard(self, body: Mapping[str, Any]) -> FromAgent:
        event = super()._heard(body)
        return Heard(event.samples.byteswap()) if self._swap and isinstance(event, Heard) else event


class PlivoCaller(TwilioCaller):
    """Plivo: no `connected`, no `stop`; counters are numbers; what was cleared is not said to be played."""

    stream_field = "streamId"

    def __init__(
        self,
        caller: str | None = None,
        called: str | None = None,
        parameters: Mapping[str, str] | None = None,
        encoding: Encoding = TwilioCaller.encoding,
    ) -> None:
        """`caller` and `called` travel as extra headers of their digits, as the agent's own XML sends them."""
        digits = [number and number.removeprefix("+") for number in (caller, called)]
        super().__init__(digits[0], digits[1], parameters)
        self.encoding, self.rate = encoding, encoding.rate
        self.stream, self.call = str(uuid.uuid4()), str(uuid.uuid4())
        self.account = "MA" + secrets.token_hex(9).upper()
        self._extra = ";".join(f"{name}={value}" for name, value in self._parameters.items())

    def opening(self) -> Messages:
        start = {
            "callId": self.call,
            "streamId": self.stream,
            "accountId": self.account,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": _NAMES[self.encoding.codec], "sampleRate": self.encoding.rate},
        }
        return [self._say({"event": "start", "start": start})]

    def voice(self, samples: Pcm16) -> Messages:
        self._chunk += 1
        media = {
            "track": "inbound",
            "timestamp": str((self._chunk - 1) * FRAME_MS),
            "chunk": self._chunk,
            "payload": base64.b64encode(self.encoding.encode(samples)).decode("ascii"),
        }
        return [self._say({"event": "media", "streamId": self.stream, "media": media})]

    def key(self, digit: str) -> Messages:
        dtmf = {"track": "inbound", "digit": digit, "timestamp": str(self._chunk * FRAME_MS)}
        return [self._say({"event": "dtmf", "streamId": self.stream, "dtmf": dtmf})]

    def played(self, name: str) -> Messages:
        return [self._say({"event": "playedStream", "streamId": self.stream, "name": name})]

    def cleared(self, name: str) -> Messages:
        return []

    def closing(self) -> Messages:
        return []

    def _read(self, event: str, data: dict[str, Any]) -> Sequence[FromAgent]:
        if event == "playAudio":
            body = data.get("media")
            body = body if isinstance(body, dict) else {}
            said = (body.get("contentType"), body.get("sampleRate"))
            if said != (_NAMES[self.encoding.codec], self.encoding.rate):
                return [Wrong(f"playAudio: {said} is not the stream's contentType and sampleRate")]
            return [self._heard(body)]
        if event == "checkpoint":
            return [marked(event, data)]
        if event == "clearAudio":
            return [Cleared(), Respond([self._say({"event": "clearedAudio", "streamId": self.stream})])]
        return [Wrong(f"unknown event {event!r}")]

    def _say(self, message: dict[str, Any]) -> str:
        self._sequence += 1
        extra = {"extra_headers": self._extra} if self._extra else {}
        return json.dumps({"sequenceNumber": self._sequence, **message, **extra})


class ExotelCaller(TwilioCaller):
    """Exotel: L16 in messages of 100 ms; takes 3,200 to 100,000 bytes at a time, in multiples of 320."""

    encoding = Encoding("pcm16", 8000)
    stream_field = "stream_sid"
    sequence_field = "sequence_number"
    together = 5

    def __init__(
        self,
        caller: str | None = None,
        called: str | None = None,
        parameters: Mapping[str, str] | None = None,
        rate: int = 8000,
    ) -> None:
        super().__init__(parameters=parameters)
        self.encoding, self.rate = Encoding("pcm16", rate), rate
        self._caller, self._called = caller, called
        self._frames: list[Pcm16] = []

    def opening(self) -> Messages:
        return [json.dumps({"event": "connected"}), self._event("start", self._start())]

    def _start(self) -> dict[str, Any]:
        return {
            "stream_sid": self.stream,
            "call_sid": self.call,
            "account_sid": self.account,
            "from": self._caller or "",
            "to": self._called or "",
            "custom_parameters": self._parameters,
            "media_format": {"encoding": "audio/x-raw", "sample_rate": str(self.rate), "bit_rate": "16"},
        }

    def voice(self, samples: Pcm16) -> Messages:
        self._frames.append(samples)
        if len(self._frames) < self.together:
            return []
        audio, self._frames = self.encoding.encode(np.concatenate(self._frames)), []
        self._chunk += 1
        media = {
            "chunk": str(self._chunk),
            "timestamp": str((self._chunk - 1) * FRAME_MS * self.together),
            "payload": base64.b64encode(audio).decode("ascii"),
        }
        return [self._event("media", media)]

    def lost(self) -> None:
        """The piece of 100 ms is one frame shorter."""

    def key(self, digit: str) -> Messages:
        return [self._event("dtmf", {"digit": digit, "duration": "100"})]

    def closing(self) -> Messages:
        stop = {"call_sid": self.call, "account_sid": self.account, "reason": "callended"}
        return [self._event("stop", stop)]

    def _size(self, size: int) -> str | None:
        if not 3200 <= size <= 100_000 or size % 320:
            return f"{size} bytes; the carrier takes 3,200 to 100,000, in multiples of 320"
        return super()._size(size)


def _caller(kind: type[TwilioCaller]) -> Callable[[Who], TwilioCaller]:
    def new(who: Who) -> TwilioCaller:
        return kind(who.caller, who.called, who.parameters)

    return new


CALLERS = (
    GatewayCaller("twilio", _caller(TwilioCaller)),
    GatewayCaller("signalwire", _caller(SignalwireCaller)),
    GatewayCaller("telnyx", _caller(TelnyxCaller)),
    GatewayCaller("plivo", _caller(PlivoCaller)),
    GatewayCaller("vobiz", _caller(PlivoCaller)),
    GatewayCaller("exotel", _caller(ExotelCaller)),
)
