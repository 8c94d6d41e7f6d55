"""What passes between a gateway and a call: events in, commands out, and what a gateway can do.

A gateway protocol is sans-I/O: it turns one websocket message into events and one command into messages. It holds no
socket, reads no clock and never raises on what the other side sent: bad input becomes a `Fault` event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from audio.codec import Encoding

MarkTruth = Literal["played", "untrue", "none"]
"""`played`: a mark comes back when the audio before it was heard; `untrue`: it comes back at once; `none`: no marks."""


@dataclass(frozen=True, slots=True)
class CallStarted:
    """The gateway announced the call; audio may follow."""

    gateway_call_id: str
    stream_id: str
    caller: str | None = None
    called: str | None = None
    account: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AudioIn:
    """A piece of the caller's voice, encoded as `Capabilities.encoding` says."""

    audio: bytes
    timestamp_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Dtmf:
    """One key: 0-9, *, # or A-D."""

    digit: str


@dataclass(frozen=True, slots=True)
class MarkReached:
    """The gateway says that everything before mark `name` was played (see `Capabilities.marks`)."""

    name: str


@dataclass(frozen=True, slots=True)
class TextIn:
    """The caller typed a whole turn instead of speaking it."""

    text: str


@dataclass(frozen=True, slots=True)
class CallEnded:
    """The gateway says that the call is over; `reason` is a short code."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fault:
    """The other side sent something wrong.

    `code` is stable and names the metric and the log line; `detail` names the field, the value and the remedy, without
    secrets. `close` is the websocket close code where the call cannot go on, None where only the message is dropped.
    """

    code: str
    detail: str
    close: int | None = None


Event = CallStarted | AudioIn | Dtmf | MarkReached | TextIn | CallEnded | Fault


@dataclass(frozen=True, slots=True)
class Play:
    """Audio for the caller, encoded as `Capabilities.encoding` says."""

    audio: bytes


@dataclass(frozen=True, slots=True)
class Clear:
    """Drop everything sent that has not been played."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Ask to be told when all audio sent so far was played."""

    name: str


@dataclass(frozen=True, slots=True)
class SendDtmf:
    """Press keys towards the caller."""

    digits: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """Hand the caller to `target` by the gateway's own means."""

    target: str


@dataclass(frozen=True, slots=True)
class Hangup:
    """End the call."""

    reason: str


@dataclass(frozen=True, slots=True)
class ShowTranscript:
    """A caption: what was said. `final` is False for text that may still change."""

    speaker: Literal["caller", "agent"]
    text: str
    final: bool
    turn: int


@dataclass(frozen=True, slots=True)
class ShowState:
    """The floor's state changed, for clients that show it."""

    state: str


@dataclass(frozen=True, slots=True)
class ShowTurn:
    """What the agent understood and decided in a turn, and how long each part took; JSON-ready."""

    turn: Mapping[str, object]


Command = Play | Clear | Mark | SendDtmf | Transfer | Hangup | ShowTranscript | ShowState | ShowTurn


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a gateway sends, accepts and can do.

    frame_ms: length of the audio pieces it likes to receive. bulk: it buffers audio sent faster than real time.
    max_message: largest websocket message accepted from it, bytes. transfer: `rest` needs an HTTP call to the vendor,
    `close` continues with the vendor's own script when we close the socket, `message` takes it in-band.
    hangup: `close` ends the call when we close the socket, `message` takes it in-band and then closes.
    audio_in, audio_out: whether sound flows at all; a typed call has neither.
    """

    encoding: Encoding
    frame_ms: int = 20
    bulk: bool = True
    max_message: int = 65_536
    marks: MarkTruth = "played"
    clear: bool = True
    dtmf_in: bool = True
    dtmf_out: bool = False
    transfer: Literal["rest", "close", "message", "none"] = "none"
    hangup: Literal["close", "message"] = "close"
    captions: bool = False
    audio_in: bool = True
    audio_out: bool = True


class GatewayProtocol(Protocol):
    """One call's conversation with a gateway, without I/O."""

    name: str

    @property
    def capabilities(self) -> Capabilities:
        """What this gateway can do; the encoding is final once `CallStarted` was returned."""
        ...

    def receive(self, message: str | bytes) -> Sequence[Event]:
        """Turn one websocket message into events. Never raises on bad input: it returns a `Fault`."""
        ...

    def send(self, command: Command) -> Sequence[str | bytes]:
        """Turn a command into websocket messages; an unsupported command gives none."""
        ...
