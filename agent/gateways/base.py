"""What passes between a gateway and a call: events in, commands out, and what a gateway can do.

A gateway protocol is sans-I/O: it turns one websocket message into events and one command into messages. It holds no
socket, reads no clock and never raises on what the other side sent: bad input becomes a `Fault` event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

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
    """A piece of the caller's voice, encoded as `Capabilities.encoding` says.

    speaker: whose voice; `agent` is the human agent's, which only gateways that are listened to (`monitor`) send.
    """

    audio: bytes
    timestamp_ms: int | None = None
    speaker: Literal["caller", "agent"] = "caller"


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
    """A whole turn of the caller as text: typed, or recognized by the gateway. `language` is a code such as `en`."""

    text: str
    language: str | None = None


@dataclass(frozen=True, slots=True)
class TextHeard:
    """A gateway that speaks itself (`Capabilities.text_out`) says what the caller heard of the reply under way so far.

    text: everything heard of this reply, from its beginning. stopped: the caller interrupted, the gateway is silent.
    """

    text: str
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class TurnBegan:
    """A gateway that listens itself (`Capabilities.text_in`) hears the caller begin to speak."""


@dataclass(frozen=True, slots=True)
class MediaPaused:
    """The gateway stops sending audio for a while (`on`), or sends it again: no audio is no fault meanwhile."""

    on: bool


@dataclass(frozen=True, slots=True)
class Truncated:
    """A client that plays the audio itself says that only `heard_ms` of the reply under way were played; it stopped."""

    heard_ms: float


@dataclass(frozen=True, slots=True)
class ToolsOffered:
    """The client runs tools of these names itself: actions of the domain that are named so are run there."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a `CallTool` gave, as text."""

    call_id: str
    output: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What the protocol itself answers to a message: sent as it is, in order, before all commands that wait."""

    message: str | bytes


@dataclass(frozen=True, slots=True)
class Probed:
    """The gateway only tries whether somebody answers: no call begins. `kind` is a short code."""

    kind: str


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


Event = (
    CallStarted
    | AudioIn
    | Dtmf
    | MarkReached
    | TextIn
    | TextHeard
    | TurnBegan
    | MediaPaused
    | Truncated
    | ToolsOffered
    | ToolResult
    | Answer
    | Probed
    | CallEnded
    | Fault
)


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
    """Hand the caller to `target` by the gateway's own means.

    context: what travels along, names to texts: handoff_id, reason, summary, intent, language and the like; each value
    at most 1,000 characters, none of it secret.
    """

    target: str
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hangup:
    """End the call; `context` as in `Transfer`."""

    reason: str
    context: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refuse:
    """Turn the connection away in the protocol's own way, before or at the start: no call begins.

    code: unauthorized, mismatch, busy or draining. After it the socket is closed.
    """

    code: str


@dataclass(frozen=True, slots=True)
class SpeakText:
    """Text for a gateway that speaks itself. `last`: the reply is complete, `text` may then be empty."""

    text: str
    last: bool = False
    language: str | None = None
    interruptible: bool = True


@dataclass(frozen=True, slots=True)
class CallTool:
    """Ask the client to run a tool it offered; `arguments` is JSON-ready. It answers by `ToolResult`."""

    call_id: str
    name: str
    arguments: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ShowTranscript:
    """A caption: what was said. `final` is False for text that may still change.

    Of the agent's words each sentence comes with `final` False as it is said, then all that was heard, `final`.
    begin_ms, end_ms: where in the received audio it was said; only of calls that are listened to (`monitor`).
    """

    speaker: Literal["caller", "agent"]
    text: str
    final: bool
    turn: int
    begin_ms: float | None = None
    end_ms: float | None = None
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class ShowState:
    """The floor's state changed, for clients that show it."""

    state: str


@dataclass(frozen=True, slots=True)
class ShowTurn:
    """What the agent understood and decided in a turn, and how long each part took; JSON-ready."""

    turn: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ShowSpeech:
    """The caller began to speak (`on`) or stopped, `at_ms` of the audio received so far."""

    on: bool
    at_ms: float


@dataclass(frozen=True, slots=True)
class ShowReply:
    """A reply of the agent: `began` when it is being worked on, `audible` with its first sound, then `done` or
    `interrupted`; `heard_ms` of it were heard by then."""

    generation: int
    event: Literal["began", "audible", "done", "interrupted"]
    heard_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class ShowSuggestion:
    """Something the human agent could say or read: a section of the knowledge. `confidence` in [0, 1]."""

    title: str
    text: str
    source: str
    confidence: float


Command = (
    Play
    | Clear
    | Mark
    | SendDtmf
    | Transfer
    | Hangup
    | Refuse
    | SpeakText
    | CallTool
    | ShowTranscript
    | ShowState
    | ShowTurn
    | ShowSpeech
    | ShowReply
    | ShowSuggestion
)


Transferring = Literal["rest", "close", "message", "none"]
HangingUp = Literal["close", "message", "rest"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a gateway sends, accepts and can do.

    frame_ms: length of the audio pieces it receives. exact: each must have exactly that length. bulk: it buffers audio
    sent faster than real time; where not, `lead_ms` is small. lead_ms: how far ahead of its time audio is sent.
    silence: it must be sent silence where there is nothing to say. max_message: largest message accepted from it,
    max_out: largest audio message it accepts, bytes. messages_per_s: audio messages a second it accepts, on average.
    transfer: `rest` needs an HTTP call to the vendor, `close` continues with the vendor's own script when we close the
    socket, `message` takes it in-band. hangup: `close` ends the call when we close the socket, `message` takes it
    in-band and then closes, `rest` needs an HTTP call to the vendor.
    audio_in, audio_out: whether sound flows at all; a typed call has neither. text_in: it recognizes speech itself,
    turns come as `TextIn`; text_out: it speaks itself, replies go as `SpeakText`. monitor: it only lets us listen to
    a caller and a human agent.
    """

    encoding: Encoding
    frame_ms: int = 20
    exact: bool = False
    bulk: bool = True
    lead_ms: float = 160.0
    silence: bool = False
    max_message: int = 65_536
    max_out: int = 65_536
    messages_per_s: float | None = None
    marks: MarkTruth = "played"
    clear: bool = True
    dtmf_in: bool = True
    dtmf_out: bool = False
    transfer: Transferring = "none"
    hangup: HangingUp = "close"
    captions: bool = False
    audio_in: bool = True
    audio_out: bool = True
    text_in: bool = False
    text_out: bool = False
    monitor: bool = False


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


@runtime_checkable
class Opens(Protocol):
    """A protocol in which the server speaks first."""

    def opening(self) -> Sequence[Event]:
        """What happens as soon as the connection is open."""
        ...


@runtime_checkable
class Hears(Protocol):
    """A protocol that knows its usual audio messages by sight."""

    def hear(self, message: str | bytes) -> Sequence[AudioIn] | None:
        """What `receive` would give, where that is nothing but audio and quickly told; else None, and nothing changes.

        Whoever gets None gives the message to `receive`.
        """
        ...
